/* A program's one installation with its API listening, and what is said to it. */
#pragma once

#include "api/api.h"
#include "tests/unit/api_client.h"
#include "tests/unit/cloud_fixture.h"

static struct fixture f;
static struct api *api;

static inline void api_begin(void)
{
    assert_int_equal(api_start(f.c, NULL, &api), 0);
    f.s.port = api_port(api);
}

static inline void api_end(void)
{
    api_stop(api);
    api = NULL;
}

static inline int api_setup(void **state)
{
    (void)state;
    fixture_make(&f);
    api_begin();
    return 0;
}

static inline int api_teardown(void **state)
{
    (void)state;
    api_end();
    fixture_done(&f);
    return 0;
}

/* body NULL: none. */
static inline struct reply call(const char *method, const char *path, const char *token, const char *body)
{
    return request(&f.s, method, path, token, body ? BYTES_STR(body) : BYTES_NONE, body ? as_json : NULL);
}

/* The last four live. */
static inline const char *path_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
static inline const char *path_of(const char *fmt, ...)
{
    static char path[4][512];
    static int at;
    va_list ap;
    at = (at + 1) % 4;
    va_start(ap, fmt);
    vsnprintf(path[at], sizeof path[at], fmt, ap);
    va_end(ap);
    return path[at];
}
