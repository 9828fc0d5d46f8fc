/* Big-endian integers of 1 to 8 bytes: network byte order (RFC 1700), as in everything that we write. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline void be_put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static inline uint64_t be_get(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}
