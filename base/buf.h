/* Byte slices and a buffer born with its maximum. A failed append leaves the buffer as it was and sets
 * `failed`, so a run of appends needs one check at its end. */
#pragma once

#include "base/error.h"

/* A borrowed slice; who made it owns the bytes. */
struct bytes {
    const uint8_t *p;
    size_t n;
};
#define BYTES(ptr, len) ((struct bytes){.p = (const uint8_t *)(ptr), .n = (len)})
#define BYTES_STR(s) BYTES((s), __builtin_strlen(s))
#define BYTES_NONE ((struct bytes){0})
bool bytes_equal(struct bytes a, struct bytes b);

struct buf {
    uint8_t *p;
    size_t len, cap, max;
    bool failed; /* an append would have passed max, or memory was short */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);  /* frees; takes NULL and zeroed */
void buf_wipe(struct buf *b);  /* overwrites, then frees */
void buf_reset(struct buf *b); /* keeps the memory */
/* Room for n more bytes at once, instead of by doubling. */
int buf_reserve(struct buf *b, size_t n);
/* -ENOBUFS past max, -ENOMEM; both also set failed. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct bytes buf_bytes(const struct buf *b);
/* NUL-terminated view; the NUL is not counted in len. "" when empty or failed. */
const char *buf_str(struct buf *b);
