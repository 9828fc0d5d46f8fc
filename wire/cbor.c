/* Deterministic CBOR, RFC 8949 section 4.2.1, bounded by what the schemas of docs/WIRE.md need. Not a general
 * decoder: no tags, floats, indefinite lengths, and of the simple values only false, true and (inside "any") null. */
#include "wire/cbor.h"

#include <string.h>

#include "base/be.h"

enum major { UINT, NINT, BSTR, TSTR, ARRAY, MAP, TAG, SIMPLE };
#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define SIMPLE_NULL 22u
#define ANY_DEPTH 8

/* ---- writer ---- */

static void put(struct cbor_w *w, const void *p, size_t n)
{
    if (w->bad || n > w->cap - w->len) {
        w->bad = true;
        return;
    }
    if (n > 0)
        memcpy(w->p + w->len, p, n);
    w->len += n;
}

static void put_head(struct cbor_w *w, enum major major, uint64_t v)
{
    uint8_t b[9];
    size_t extra = v < 24 ? 0 : v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
    static const uint8_t info[9] = {[1] = 24, [2] = 25, [4] = 26, [8] = 27};

    b[0] = (uint8_t)((unsigned)major << 5 | (extra == 0 ? (unsigned)v : info[extra]));
    be_put(b + 1, v, extra);
    put(w, b, 1 + extra);
}

void cbor_put_uint(struct cbor_w *w, uint64_t v)
{
    put_head(w, UINT, v);
}

void cbor_put_int(struct cbor_w *w, int64_t v)
{
    if (v < 0)
        put_head(w, NINT, (uint64_t)(-(v + 1))); /* -1 - n is how CBOR counts; v + 1 first: INT64_MIN has no negative */
    else
        put_head(w, UINT, (uint64_t)v);
}

/* A string is written whole or not at all, so that a full buffer never ends in a head without its body. */
static void put_string(struct cbor_w *w, enum major major, struct bytes b)
{
    size_t start = w->len;

    put_head(w, major, b.n);
    put(w, b.p, b.n);
    if (w->bad)
        w->len = start;
}

void cbor_put_bytes(struct cbor_w *w, struct bytes b)
{
    put_string(w, BSTR, b);
}

void cbor_put_text(struct cbor_w *w, const char *s)
{
    put_string(w, TSTR, BYTES_STR(s));
}

void cbor_put_array(struct cbor_w *w, size_t n)
{
    put_head(w, ARRAY, n);
}

void cbor_put_map(struct cbor_w *w, size_t n)
{
    put_head(w, MAP, n);
}

void cbor_put_bool(struct cbor_w *w, bool v)
{
    put_head(w, SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_raw(struct cbor_w *w, struct bytes b)
{
    put(w, b.p, b.n);
}

/* ---- reader ---- */

struct cbor_r cbor_reader(struct bytes b)
{
    static const uint8_t nothing[1];
    const uint8_t *p = b.p != NULL ? b.p : nothing;

    return (struct cbor_r){.p = p, .end = p + (b.p != NULL ? b.n : 0)};
}

static size_t left(const struct cbor_r *r)
{
    return (size_t)(r->end - r->p);
}

/* One head in its shortest form. False (and bad) for every form this codec refuses. */
static bool get_head(struct cbor_r *r, enum major *ret_major, uint64_t *ret_v)
{
    static const uint64_t least[4] = {24, 0x100, 0x10000, 0x100000000};

    if (r->bad || left(r) < 1)
        goto bad;
    unsigned first = *r->p, info = first & 31u;
    uint64_t v = info;
    size_t extra = 0;
    if (info > 27) /* 28..30 are reserved, 31 is indefinite */
        goto bad;
    if (info >= 24) {
        extra = (size_t)1 << (info - 24);
        if (left(r) - 1 < extra)
            goto bad;
        v = be_get(r->p + 1, extra);
        if (v < least[info - 24])
            goto bad;
    }
    if (first >> 5 == TAG || (first >> 5 == SIMPLE && (extra > 0 || v < SIMPLE_FALSE || v > SIMPLE_NULL)))
        goto bad;
    r->p += 1 + extra;
    *ret_major = (enum major)(first >> 5);
    *ret_v = v;
    return true;
bad:
    r->bad = true;
    return false;
}

/* The argument of a head that must have this major type. */
static bool expect(struct cbor_r *r, enum major want, uint64_t *ret_v)
{
    enum major got;
    uint64_t v;

    if (!get_head(r, &got, &v))
        return false;
    if (got != want) {
        r->bad = true;
        return false;
    }
    *ret_v = v;
    return true;
}

uint64_t cbor_get_uint(struct cbor_r *r, uint64_t max)
{
    uint64_t v;

    if (!expect(r, UINT, &v))
        return 0;
    if (v > max) {
        r->bad = true;
        return 0;
    }
    return v;
}

int64_t cbor_get_int(struct cbor_r *r)
{
    enum major got;
    uint64_t v;

    if (!get_head(r, &got, &v))
        return 0;
    if ((got != UINT && got != NINT) || v > INT64_MAX) {
        r->bad = true;
        return 0;
    }
    return got == UINT ? (int64_t)v : -1 - (int64_t)v;
}

static struct bytes get_string(struct cbor_r *r, enum major major, uint64_t min, uint64_t max)
{
    uint64_t n;

    if (!expect(r, major, &n))
        return BYTES_NONE;
    if (n < min || n > max || n > left(r)) {
        r->bad = true;
        return BYTES_NONE;
    }
    struct bytes b = BYTES(r->p, (size_t)n);
    r->p += n;
    return b;
}

struct bytes cbor_get_bytes(struct cbor_r *r, size_t min, size_t max)
{
    return get_string(r, BSTR, min, max);
}

void cbor_get_fixed(struct cbor_r *r, void *ret, size_t n)
{
    struct bytes b = get_string(r, BSTR, n, n);

    if (b.p == NULL) /* only when bad */
        memset(ret, 0, n);
    else
        memcpy(ret, b.p, n);
}

/* RFC 3629 section 4: the syntax excludes overlong forms, surrogates and what lies above U+10FFFF. */
static bool utf8_valid(struct bytes b)
{
    size_t i = 0;

    while (i < b.n) {
        uint8_t c = b.p[i++], lo = 0x80, hi = 0xbf;
        size_t tail;
        if (c < 0x80)
            continue;
        if (c >= 0xc2 && c <= 0xdf) {
            tail = 1;
        } else if (c >= 0xe0 && c <= 0xef) {
            tail = 2;
            lo = c == 0xe0 ? 0xa0 : 0x80;
            hi = c == 0xed ? 0x9f : 0xbf;
        } else if (c >= 0xf0 && c <= 0xf4) {
            tail = 3;
            lo = c == 0xf0 ? 0x90 : 0x80;
            hi = c == 0xf4 ? 0x8f : 0xbf;
        } else {
            return false;
        }
        if (b.n - i < tail || b.p[i] < lo || b.p[i] > hi)
            return false;
        for (size_t k = 1; k < tail; k++)
            if ((b.p[i + k] & 0xc0) != 0x80)
                return false;
        i += tail;
    }
    return true;
}

struct bytes cbor_get_text(struct cbor_r *r, size_t min, size_t max)
{
    struct bytes b = get_string(r, TSTR, min, max);

    if (r->bad)
        return BYTES_NONE;
    if (!utf8_valid(b) || (b.n > 0 && memchr(b.p, 0, b.n) != NULL)) {
        r->bad = true;
        return BYTES_NONE;
    }
    return b;
}

size_t cbor_get_array(struct cbor_r *r, size_t min, size_t max)
{
    uint64_t n;

    if (!expect(r, ARRAY, &n))
        return 0;
    if (n < min || n > max) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

size_t cbor_get_map(struct cbor_r *r, size_t max)
{
    uint64_t n;

    if (!expect(r, MAP, &n))
        return 0;
    if (n > max) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

bool cbor_get_bool(struct cbor_r *r)
{
    uint64_t v;

    if (!expect(r, SIMPLE, &v))
        return false;
    if (v != SIMPLE_FALSE && v != SIMPLE_TRUE) {
        r->bad = true;
        return false;
    }
    return v == SIMPLE_TRUE;
}

bool cbor_key_follows(struct bytes before, struct bytes key)
{
    size_t n = before.n < key.n ? before.n : key.n;
    int c = n > 0 ? memcmp(before.p, key.p, n) : 0;

    return c != 0 ? c < 0 : before.n < key.n;
}

/* Depth is bounded, and every element takes at least one byte, so that a count larger than what is left is refused
 * before the walk: the work is linear in the message. */
static void skip(struct cbor_r *r, unsigned depth) /* NOLINT(misc-no-recursion): at most ANY_DEPTH */
{
    enum major major;
    uint64_t v;
    struct bytes before = BYTES_NONE;

    if (!get_head(r, &major, &v))
        return;
    if (major == BSTR || major == TSTR) {
        if (v > left(r) || (major == TSTR && !utf8_valid(BYTES(r->p, (size_t)v))))
            r->bad = true;
        else
            r->p += v;
        return;
    }
    if (major != ARRAY && major != MAP)
        return;
    if (v > left(r) || (v > 0 && depth >= ANY_DEPTH)) {
        r->bad = true;
        return;
    }
    for (uint64_t i = 0; i < v && !r->bad; i++) {
        if (major == MAP) {
            const uint8_t *start = r->p;
            skip(r, depth + 1);
            struct bytes key = BYTES(start, (size_t)(r->p - start));
            if (i > 0 && !cbor_key_follows(before, key))
                r->bad = true;
            before = key;
        }
        skip(r, depth + 1);
    }
}

struct bytes cbor_get_any(struct cbor_r *r)
{
    const uint8_t *start = r->p;

    skip(r, 1);
    return r->bad ? BYTES_NONE : BYTES(start, (size_t)(r->p - start));
}

int cbor_peek(const struct cbor_r *r)
{
    return r->bad || left(r) == 0 ? -1 : *r->p >> 5;
}

bool cbor_done(const struct cbor_r *r)
{
    return !r->bad && left(r) == 0;
}
