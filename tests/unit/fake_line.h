/* The one line behind gpiod1/fake_gpiod.h and gpiod2/fake_gpiod.h. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

static struct {
    int fail; /* errno of every call that can fail */
    char path[64], consumer[32];
    unsigned offset, opens, sets;
    int open; /* chips */
    bool held, low;
    int value;
} fake_line;

static bool fake_ok(void)
{
    errno = fake_line.fail;
    return fake_line.fail == 0;
}

static bool fake_open(const char *path)
{
    fake_line.opens++;
    snprintf(fake_line.path, sizeof(fake_line.path), "%s", path);
    if (!fake_ok())
        return false;
    fake_line.open++;
    return true;
}

static bool fake_request(const char *consumer, bool low, int value)
{
    snprintf(fake_line.consumer, sizeof(fake_line.consumer), "%s", consumer);
    if (!fake_ok())
        return false;
    fake_line.held = true;
    fake_line.low = low;
    fake_line.value = value;
    return true;
}

static bool fake_set(int value)
{
    if (!fake_ok())
        return false;
    fake_line.sets++;
    fake_line.value = value;
    return true;
}
