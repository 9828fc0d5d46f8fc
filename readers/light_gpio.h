/* A GPIO line, by libgpiod: light_gpio1.c is built with its version 1 (Debian 12), light_gpio2.c with version 2
 * (Debian 13).
 *
 * When we die the kernel closes the line's descriptor, and then "the state of the line becomes uncontrolled from the
 * userspace perspective, and may revert to its default state" (Documentation/userspace-api/gpio/gpio-v2-get-line-
 * ioctl.rst, and gpio-get-linehandle-ioctl.rst for version 1). So nobody promises that it goes dark: the mainline
 * driver of the Raspberry Pi makes it an input, Raspberry Pi's own kernels keep the output as it was (its module
 * parameters strict_gpiod and persist_gpio_outputs; raspberrypi/linux pull requests 6117 and 6150). That is why
 * `ready` flashes (light.h), and why an LED of the LED class is the better choice where there is one: with
 * dtoverlay=gpio-led the same pin becomes one.
 */
#pragma once

#include "readers/light_out.h"

#define LIGHT_GPIO_CONSUMER "punchgate" /* what gpioinfo(1) says who holds the line */

int light_gpio_new(const struct light_place *place, struct light_out **ret);
