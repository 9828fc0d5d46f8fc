/* A GPIO line by libgpiod 2. */
#include <gpiod.h>
#include <stdlib.h>

#include "readers/light_gpio.h"

struct gpio {
    struct light_out out;
    struct light_place place;
    struct gpiod_line_request *line;
};

static int failed(void)
{
    return errno > 0 ? -errno : -EIO;
}

static void close_gpio(struct light_out *o)
{
    struct gpio *g = (struct gpio *)o;
    if (!g->line)
        return;
    (void)gpiod_line_request_set_value(g->line, g->place.line, GPIOD_LINE_VALUE_INACTIVE);
    gpiod_line_request_release(g->line);
    g->line = NULL;
}

/* An output that is dark: what the three settings objects say together. */
static struct gpiod_line_request *request(struct gpiod_chip *chip, const struct light_place *p)
{
    struct gpiod_line_settings *settings = gpiod_line_settings_new();
    struct gpiod_line_config *lines = gpiod_line_config_new();
    struct gpiod_request_config *who = gpiod_request_config_new();
    struct gpiod_line_request *line = NULL;

    if (settings && lines && who) {
        gpiod_line_settings_set_active_low(settings, p->low);
        gpiod_request_config_set_consumer(who, LIGHT_GPIO_CONSUMER);
        if (gpiod_line_settings_set_direction(settings, GPIOD_LINE_DIRECTION_OUTPUT) == 0 &&
            gpiod_line_settings_set_output_value(settings, GPIOD_LINE_VALUE_INACTIVE) == 0 &&
            gpiod_line_config_add_line_settings(lines, &p->line, 1, settings) == 0)
            line = gpiod_chip_request_lines(chip, who, lines);
    }
    int e = errno; /* the frees may change it */
    if (who)
        gpiod_request_config_free(who);
    if (lines)
        gpiod_line_config_free(lines);
    if (settings)
        gpiod_line_settings_free(settings);
    errno = e;
    return line;
}

static int open_gpio(struct light_out *o)
{
    struct gpio *g = (struct gpio *)o;
    struct gpiod_chip *chip = gpiod_chip_open(g->place.path);
    if (!chip)
        return failed();
    g->line = request(chip, &g->place);
    int r = g->line ? 0 : failed();
    gpiod_chip_close(chip); /* "has no effect on existing line requests" (gpio-v2-get-line-ioctl.rst) */
    return r;
}

static int set(struct light_out *o, bool lit, unsigned for_ms)
{
    struct gpio *g = (struct gpio *)o;
    enum gpiod_line_value value = lit ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE;
    (void)for_ms;
    return gpiod_line_request_set_value(g->line, g->place.line, value) < 0 ? failed() : 0;
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
