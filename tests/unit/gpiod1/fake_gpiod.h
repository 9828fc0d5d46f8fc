/* libgpiod 1 in one line: a chip with one line that can be held once, told a value and made to fail. Its functions are
 * the program's own, so they stand in front of the library's. */
#include <gpiod.h>

#include "../fake_line.h"

struct gpiod_chip {
    char unused;
};
struct gpiod_line {
    char unused;
};
static struct gpiod_chip fake_chip;
static struct gpiod_line fake_line_object;

struct gpiod_chip *gpiod_chip_open(const char *path)
{
    return fake_open(path) ? &fake_chip : NULL;
}

struct gpiod_line *gpiod_chip_get_line(struct gpiod_chip *chip, unsigned int offset)
{
    fake_line.offset = offset;
    return &fake_line_object;
}

int gpiod_line_request_output_flags(struct gpiod_line *line, const char *consumer, int flags, int value)
{
    return fake_request(consumer, flags == GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW, value) ? 0 : -1;
}

int gpiod_line_set_value(struct gpiod_line *line, int value)
{
    return fake_set(value) ? 0 : -1;
}

void gpiod_chip_close(struct gpiod_chip *chip)
{
    fake_line.open--;
    fake_line.held = false; /* gpiod.h: closing a chip releases its lines */
}
