/* What the tests of the 125 kHz parser and driver share: frames as the facts write them, and what was seen. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "readers/ascii125.h"

struct seen {
    unsigned n;
    struct cred last, all[8];
};

static inline void saw(struct seen *s, const struct cred *c)
{
    assert_true(cred_valid(c));
    s->last = c[0];
    s->all[s->n++ % 8] = *c;
}

struct frame {
    uint8_t b[40];
    size_t n;
};

/* A frame as the facts write it: <02> is that byte, all else is text. */
static inline struct frame frame(const char *text)
{
    struct frame f = {.n = 0};

    while (*text) {
        if (*text == '<') {
            char hex[3] = {text[1], text[2], 0};
            assert_int_equal(str_unhex(hex, &f.b[f.n++], 1), 0);
            text += 4;
        } else {
            f.b[f.n++] = (uint8_t)*text++;
        }
    }
    return f;
}

/* The id in that layout; E tells 5 bytes as EM4100, all others as ISO 14443. */
static inline struct frame framed(enum ascii125_layout layout, const char *hex)
{
    struct frame f = {.n = 0};
    uint8_t id[10], check = 0;
    size_t n;
    char text[64];

    assert_int_equal(str_unhex_any(hex, id, sizeof(id), &n), 0);
    for (size_t i = 0; i < n; i++)
        check ^= id[i];
    if (layout == ASCII125_E) {
        f.b[0] = 2;
        f.b[1] = (uint8_t)(n + 5);
        f.b[2] = n == 5 ? 2 : 1;
        memcpy(f.b + 3, id, n);
        f.b[n + 3] = (uint8_t)(check ^ f.b[1] ^ f.b[2]);
        f.b[n + 4] = 3;
        f.n = n + 5;
        return f;
    }
    if (layout == ASCII125_D)
        snprintf(text, sizeof(text), "<02>%s<0D><0A><03>", hex);
    else if (layout == ASCII125_C)
        snprintf(text, sizeof(text), "%s%02X", hex, check);
    else
        snprintf(text, sizeof(text), "<02>%s%02X%s<03>", hex, check, layout == ASCII125_B ? "<0D><0A>" : "");
    return frame(text);
}

static inline void expect(const struct cred *c, const char *hex)
{
    char text[CRED_TEXT_MAX];

    cred_render(c, RENDER_HEX, text);
    assert_string_equal(text, hex);
}

#define EACH_LAYOUT for (enum ascii125_layout l = ASCII125_A; l <= ASCII125_E; l++)

static inline uint64_t random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}
