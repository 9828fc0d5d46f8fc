/* Where a light is connected, and the seam to what drives it: an LED of the kernel's LED class (light_led.c) or a GPIO
 * line (light_gpio1.c with libgpiod 1, light_gpio2.c with libgpiod 2; the build takes one of them).
 *
 *   /sys/class/leds/NAME   an LED of the LED class
 *   CHIP:LINE[:low]        a line of /dev/CHIP by its number; with `low` it is lit while the line is low
 */
#pragma once

#include "base/error.h"

#define LIGHT_PLACE_MAX 255

struct light_place {
    bool gpio;
    char path[LIGHT_PLACE_MAX + 1]; /* of the LED's folder, or of the chip */
    unsigned line;
    bool low;
};
/* -EINVAL for what is neither. */
int light_place_parse(const char *text, struct light_place *ret);
/* The same wire, also when it is described differently. */
bool light_place_equal(const struct light_place *a, const struct light_place *b);

struct light_out;
struct light_out_ops {
    const char *name;
    int (*open)(struct light_out *o); /* dark afterwards; -ENOENT, -EBUSY, ... */
    /* Negative: to be closed and, some time, opened again. Lit: it is wanted for that long; an output that can, goes
     * dark by itself a little later. Never waits for anything but the driver below. */
    int (*set)(struct light_out *o, bool lit, unsigned for_ms);
    void (*close)(struct light_out *o); /* dark, as far as that can be said; takes a closed one */
    void (*free)(struct light_out *o);  /* closes too */
};
struct light_out {
    const struct light_out_ops *ops;
};
int light_out_new(const struct light_place *place, struct light_out **ret); /* closed; copies the place */
