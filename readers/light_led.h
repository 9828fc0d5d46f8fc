/* An LED of the kernel's LED class, by its folder in /sys/class/leds. */
#pragma once

#include "readers/light_out.h"

int light_led_new(const struct light_place *place, struct light_out **ret);
