/* Deterministic CBOR (RFC 8949 section 4.2.1), fixed schemas only, no allocation. The reader refuses what is not the
 * shortest form, indefinite lengths, tags, floats, unsorted map keys, invalid UTF-8 and left-over bytes. */
#pragma once

#include "base/buf.h"

/* Writer into the caller's memory. After an overflow `bad` is set and nothing more is written. */
struct cbor_w {
    uint8_t *p;
    size_t len, cap;
    bool bad;
};
#define CBOR_W(mem, size) ((struct cbor_w){.p = (mem), .cap = (size)})
void cbor_put_uint(struct cbor_w *w, uint64_t v);
void cbor_put_int(struct cbor_w *w, int64_t v);
void cbor_put_bytes(struct cbor_w *w, struct bytes b);
void cbor_put_text(struct cbor_w *w, const char *s);
void cbor_put_array(struct cbor_w *w, size_t n);
void cbor_put_map(struct cbor_w *w, size_t n); /* the caller puts keys in order */
void cbor_put_bool(struct cbor_w *w, bool v);
void cbor_put_raw(struct cbor_w *w, struct bytes b); /* already encoded items */

/* Checked cursor. The first mistake sets `bad`; every later get returns zero/empty; check once, at the end. */
struct cbor_r {
    const uint8_t *p, *end;
    bool bad;
};
struct cbor_r cbor_reader(struct bytes b);
uint64_t cbor_get_uint(struct cbor_r *r, uint64_t max);
int64_t cbor_get_int(struct cbor_r *r);
struct bytes cbor_get_bytes(struct cbor_r *r, size_t min, size_t max);
void cbor_get_fixed(struct cbor_r *r, void *ret, size_t n);           /* bstr .size n, copied; ret zeroed when bad */
struct bytes cbor_get_text(struct cbor_r *r, size_t min, size_t max); /* UTF-8 checked, no NUL inside */
size_t cbor_get_array(struct cbor_r *r, size_t min, size_t max);
size_t cbor_get_map(struct cbor_r *r, size_t max);
bool cbor_get_bool(struct cbor_r *r);
struct bytes cbor_get_any(struct cbor_r *r); /* one whole item, depth <= 8, checked, as it stands; null may occur */
/* Whether an encoded map key may stand after another: bytewise larger (RFC 8949 section 4.2.1). */
bool cbor_key_follows(struct bytes before, struct bytes key);
/* Major type of the next item 0..7, or -1 at the end or when bad. */
int cbor_peek(const struct cbor_r *r);
/* True when nothing went wrong and nothing is left over. */
bool cbor_done(const struct cbor_r *r);
