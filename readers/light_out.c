#include "readers/light_out.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "readers/light_gpio.h"
#include "readers/light_led.h"

#define LINE_MAX_ 65535
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static int parse_gpio(const char *text, struct light_place *ret)
{
    struct light_place p = {.gpio = true};
    size_t name = strspn(text, NAME_CHARS);
    const char *number = text + name + 1;
    size_t digits = strspn(number, "0123456789");
    char digit[8];
    uint64_t line;

    if (digits >= sizeof(digit))
        return -EINVAL;
    memcpy(digit, number, digits);
    digit[digits] = '\0';
    if (str_u64(digit, 0, LINE_MAX_, &line) < 0)
        return -EINVAL;
    if (strcmp(number + digits, ":low") == 0)
        p.low = true;
    else if (number[digits] != '\0')
        return -EINVAL;
    p.line = (unsigned)line;
    snprintf(p.path, sizeof(p.path), "/dev/%.*s", (int)name, text);
    *ret = p;
    return 0;
}

int light_place_parse(const char *text, struct light_place *ret)
{
    struct light_place p = {.gpio = false};
    size_t name = strspn(text, NAME_CHARS);

    if (text[0] != '/')
        return name > 0 && name < 64 && text[name] == ':' ? parse_gpio(text, ret) : -EINVAL;
    if (str_copy(p.path, sizeof(p.path), text) < 0 || p.path[strlen(p.path) - 1] == '/')
        return -EINVAL; /* one folder has one name here, so that two readers' light is known to be one */
    *ret = p;
    return 0;
}

bool light_place_equal(const struct light_place *a, const struct light_place *b)
{
    return a->gpio == b->gpio && a->line == b->line && strcmp(a->path, b->path) == 0;
}

int light_out_new(const struct light_place *place, struct light_out **ret)
{
    return place->gpio ? light_gpio_new(place, ret) : light_led_new(place, ret);
}
