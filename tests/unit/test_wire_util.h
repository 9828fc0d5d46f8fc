/* What the tests of wire/ share: cmocka with its prerequisites, hex, fixed keys, and a way to spoil a message in every
 * byte. Everything is static inline, since each test is a program of its own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/str.h"

/* Hex of any length into memory that the caller frees. */
static inline struct buf unhex(const char *hex)
{
    struct buf b;
    size_t n = strlen(hex) / 2;

    buf_init(&b, n + 1);
    uint8_t *tmp = malloc(n + 1);
    assert_non_null(tmp);
    assert_int_equal(str_unhex(hex, tmp, n), 0);
    assert_int_equal(buf_add(&b, tmp, n), 0);
    free(tmp);
    return b;
}

/* A fixed key: scalar = 32 times `seed`. */
static inline struct crypto_key *fixed_key(enum crypto_use use, uint8_t seed)
{
    uint8_t scalar[32];
    struct crypto_key *k;

    memset(scalar, seed, sizeof scalar);
    assert_int_equal(crypto_key_import(use, scalar, &k), 0);
    return k;
}

static inline void fixed_point(enum crypto_use use, uint8_t seed, uint8_t ret[CRYPTO_POINT])
{
    struct crypto_key *k = fixed_key(use, seed);

    assert_int_equal(crypto_key_point(k, ret), 0);
    crypto_key_free(k);
}

/* Calls fn with every truncation and every flip of one byte (by two masks) of msg, each in memory of exactly its size,
 * so that a sanitizer sees a read past the end. Returns how many it made. */
typedef void spoiled_fn(void *arg, struct bytes msg, size_t at);
static inline size_t spoil(struct bytes msg, spoiled_fn *fn, void *arg)
{
    static const uint8_t masks[] = {0x01, 0x80};
    size_t made = 0;

    for (size_t n = 0; n < msg.n; n++) {
        uint8_t *p = malloc(n > 0 ? n : 1);
        assert_non_null(p);
        memcpy(p, msg.p, n);
        fn(arg, BYTES(p, n), n);
        free(p);
        made++;
    }
    for (size_t at = 0; at < msg.n; at++)
        for (size_t m = 0; m < sizeof masks; m++) {
            uint8_t *p = malloc(msg.n);
            assert_non_null(p);
            memcpy(p, msg.p, msg.n);
            p[at] ^= masks[m];
            fn(arg, BYTES(p, msg.n), at);
            free(p);
            made++;
        }
    return made;
}
