/* What the measuring programs share. They are told what to do by bench.py and print one `name value ...` a line; a
 * failure ends them with the reason. Nothing here is installed. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"

#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))
#define MUST(x) ((x) == 0 ? (void)0 : DIE("%s:%d: failed: %s", __FILE__, __LINE__, #x))

static inline int64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline void sleep_until(int64_t ns)
{
    const struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static inline uint64_t number(const char *text)
{
    uint64_t v = 0;
    if (!text || str_u64(text, 0, INT64_MAX, &v) != 0)
        DIE("not a number: %s", text ? text : "(nothing)");
    return v;
}
