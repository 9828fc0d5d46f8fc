/* The bounded buffer. Grows by doubling, never past max. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    if (b == NULL)
        return;
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_wipe(struct buf *b)
{
    if (b != NULL && b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* And for a NUL. Growth copies by hand so that a secret does not stay in freed memory. */
int buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max - b->len) {
        b->failed = true;
        return -ENOBUFS;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 64 ? 64 : b->cap * 2;
    if (cap < need)
        cap = need;
    if (cap - 1 > b->max)
        cap = b->max + 1;
    uint8_t *p = malloc(cap);
    if (p == NULL) {
        b->failed = true;
        return -ENOMEM;
    }
    if (b->len > 0)
        memcpy(p, b->p, b->len);
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    free(b->p);
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    int r = buf_reserve(b, n);
    if (r < 0)
        return r;
    if (n > 0)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return -EINVAL;
    }
    int r = buf_reserve(b, (size_t)n);
    if (r < 0)
        return r;
    va_start(ap, fmt);
    vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

struct bytes buf_bytes(const struct buf *b)
{
    return BYTES(b->p, b->len);
}

const char *buf_str(struct buf *b)
{
    if (b->p == NULL || b->failed)
        return "";
    b->p[b->len] = '\0';
    return (const char *)b->p;
}
