/* libgpiod 2 in one line: a chip with one line that can be held once, told a value and made to fail. Its functions are
 * the program's own, so they stand in front of the library's. */
#include <gpiod.h>

#include "../fake_line.h"

struct gpiod_chip {
    char unused;
};
struct gpiod_line_settings {
    bool output, low;
    int value;
};
struct gpiod_line_config {
    struct gpiod_line_settings *settings;
};
struct gpiod_request_config {
    const char *consumer;
};
struct gpiod_line_request {
    char unused;
};
static struct gpiod_chip fake_chip;
static struct gpiod_line_settings fake_settings;
static struct gpiod_line_config fake_config;
static struct gpiod_request_config fake_who;
static struct gpiod_line_request fake_request_object;

struct gpiod_chip *gpiod_chip_open(const char *path)
{
    return fake_open(path) ? &fake_chip : NULL;
}

void gpiod_chip_close(struct gpiod_chip *chip)
{
    fake_line.open--;
}

struct gpiod_line_settings *gpiod_line_settings_new(void)
{
    fake_settings = (struct gpiod_line_settings){.value = -1};
    return &fake_settings;
}

void gpiod_line_settings_free(struct gpiod_line_settings *settings)
{
}

int gpiod_line_settings_set_direction(struct gpiod_line_settings *settings, enum gpiod_line_direction direction)
{
    settings->output = direction == GPIOD_LINE_DIRECTION_OUTPUT;
    return 0;
}

void gpiod_line_settings_set_active_low(struct gpiod_line_settings *settings, bool active_low)
{
    settings->low = active_low;
}

int gpiod_line_settings_set_output_value(struct gpiod_line_settings *settings, enum gpiod_line_value value)
{
    settings->value = value == GPIOD_LINE_VALUE_ACTIVE;
    return 0;
}

struct gpiod_line_config *gpiod_line_config_new(void)
{
    return &fake_config;
}

void gpiod_line_config_free(struct gpiod_line_config *config)
{
}

int gpiod_line_config_add_line_settings(struct gpiod_line_config *config, const unsigned int *offsets,
                                        size_t num_offsets, struct gpiod_line_settings *settings)
{
    assert_int_equal(num_offsets, 1);
    fake_line.offset = offsets[0];
    config->settings = settings;
    return 0;
}

struct gpiod_request_config *gpiod_request_config_new(void)
{
    return &fake_who;
}

void gpiod_request_config_free(struct gpiod_request_config *config)
{
}

void gpiod_request_config_set_consumer(struct gpiod_request_config *config, const char *consumer)
{
    config->consumer = consumer;
}

struct gpiod_line_request *gpiod_chip_request_lines(struct gpiod_chip *chip, struct gpiod_request_config *req_cfg,
                                                    struct gpiod_line_config *line_cfg)
{
    assert_true(line_cfg->settings->output);
    return fake_request(req_cfg->consumer, line_cfg->settings->low, line_cfg->settings->value) ? &fake_request_object
                                                                                               : NULL;
}

int gpiod_line_request_set_value(struct gpiod_line_request *request, unsigned int offset, enum gpiod_line_value value)
{
    assert_int_equal(offset, fake_line.offset);
    return fake_set(value == GPIOD_LINE_VALUE_ACTIVE) ? 0 : -1;
}

void gpiod_line_request_release(struct gpiod_line_request *request)
{
    fake_line.held = false;
}
