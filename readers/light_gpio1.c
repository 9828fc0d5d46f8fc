/* A GPIO line by libgpiod 1. */
#include <gpiod.h>
#include <stdlib.h>

#include "readers/light_gpio.h"

struct gpio {
    struct light_out out;
    struct light_place place;
    struct gpiod_chip *chip; /* closing it releases the line */
    struct gpiod_line *line; /* the chip's */
};

static int failed(void)
{
    return errno > 0 ? -errno : -EIO;
}

static void close_gpio(struct light_out *o)
{
    struct gpio *g = (struct gpio *)o;
    if (g->line)
        (void)gpiod_line_set_value(g->line, 0);
    if (g->chip)
        gpiod_chip_close(g->chip);
    g->chip = NULL;
    g->line = NULL;
}

static int open_gpio(struct light_out *o)
{
    struct gpio *g = (struct gpio *)o;
    int flags = g->place.low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0;
    g->chip = gpiod_chip_open(g->place.path);
    struct gpiod_line *line = g->chip ? gpiod_chip_get_line(g->chip, g->place.line) : NULL;
    if (!line || gpiod_line_request_output_flags(line, LIGHT_GPIO_CONSUMER, flags, 0) < 0) {
        int r = failed();
        close_gpio(o);
        return r;
    }
    g->line = line;
    return 0;
}

static int set(struct light_out *o, bool lit, unsigned for_ms)
{
    struct gpio *g = (struct gpio *)o;
    (void)for_ms;
    return gpiod_line_set_value(g->line, lit) < 0 ? failed() : 0;
}

static void free_gpio(struct light_out *o)
{
    close_gpio(o);
    free(o);
}

static const struct light_out_ops gpio_ops = {
    .name = "gpio", .open = open_gpio, .set = set, .close = close_gpio, .free = free_gpio};

int light_gpio_new(const struct light_place *place, struct light_out **ret)
{
    struct gpio *g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    g->out.ops = &gpio_ops;
    g->place = *place;
    *ret = &g->out;
    return 0;
}
