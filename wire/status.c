/* The gateway's signed status (docs/WIRE.md section 9). */
#include "wire/status.h"

#include <string.h>

#include "wire/cbor.h"

#define UINT_MAX_WIRE ((uint64_t)INT64_MAX)
#define COUNTS_MAX 64 /* entries a receiver puts up with, known or not */
#define CONN_LEN 16

static bool encodable(const struct status *s)
{
    for (size_t i = 0; i < COUNT_MAX; i++)
        if (s->counts[i] > UINT_MAX_WIRE)
            return false;
    return s->gen >= 1 && s->gen <= UINT_MAX_WIRE && s->mono <= UINT_MAX_WIRE && s->n_rkids <= STATUS_RKIDS_MAX;
}

static void put(struct cbor_w *w, const struct status *s)
{
    size_t n = 0;

    cbor_put_array(w, 11);
    cbor_put_uint(w, 1);
    cbor_put_bytes(w, BYTES(s->gw, GW_LEN));
    cbor_put_uint(w, s->gen);
    cbor_put_bool(w, s->online);
    cbor_put_bytes(w, BYTES(s->boot, BOOT_LEN));
    cbor_put_bytes(w, BYTES(s->conn, CONN_LEN));
    cbor_put_int(w, s->real);
    cbor_put_uint(w, s->mono);
    cbor_put_uint(w, s->ck);
    cbor_put_array(w, s->n_rkids);
    for (size_t i = 0; i < s->n_rkids; i++)
        cbor_put_bytes(w, BYTES(s->rkids[i], RKID_LEN));
    for (size_t i = 1; i < COUNT_MAX; i++)
        n += s->counts[i] != 0;
    cbor_put_map(w, n);
    for (size_t i = 1; i < COUNT_MAX; i++)
        if (s->counts[i] != 0) {
            cbor_put_uint(w, i);
            cbor_put_uint(w, s->counts[i]);
        }
}

int status_encode(const struct status *s, struct crypto_key *sign, struct buf *ret)
{
    uint8_t tmp[STATUS_MSG_MAX - COSE_OVERHEAD];
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    if (!encodable(s))
        return -EINVAL;
    put(&w, s);
    ASSERT(!w.bad); /* 32 key ids and 15 counts are far below */
    return cose_sign(sign, COSE_AAD_STATUS, BYTES(tmp, w.len), ret);
}

static void get_counts(struct cbor_r *r, struct status *s)
{
    size_t n = cbor_get_map(r, COUNTS_MAX);
    struct bytes before = BYTES_NONE;

    for (size_t i = 0; i < n && !r->bad; i++) {
        const uint8_t *start = r->p;
        int64_t key = cbor_get_int(r);
        struct bytes enc = BYTES(start, (size_t)(r->p - start));
        uint64_t v = cbor_get_uint(r, UINT_MAX_WIRE);
        if (i > 0 && !cbor_key_follows(before, enc))
            r->bad = true;
        before = enc;
        if (key >= 1 && key < COUNT_MAX)
            s->counts[key] = v;
    }
}

static bool get(struct bytes payload, struct status *s)
{
    struct cbor_r r = cbor_reader(payload);

    cbor_get_array(&r, 11, 11);
    bool known = cbor_get_uint(&r, UINT_MAX_WIRE) == 1;
    cbor_get_fixed(&r, s->gw, GW_LEN);
    s->gen = cbor_get_uint(&r, UINT_MAX_WIRE);
    s->online = cbor_get_bool(&r);
    cbor_get_fixed(&r, s->boot, BOOT_LEN);
    cbor_get_fixed(&r, s->conn, CONN_LEN);
    s->real = cbor_get_int(&r);
    s->mono = cbor_get_uint(&r, UINT_MAX_WIRE);
    s->ck = (uint8_t)cbor_get_uint(&r, UINT8_MAX);
    s->n_rkids = cbor_get_array(&r, 0, STATUS_RKIDS_MAX);
    for (size_t i = 0; i < s->n_rkids; i++)
        cbor_get_fixed(&r, s->rkids[i], RKID_LEN);
    get_counts(&r, s);
    return known && cbor_done(&r) && s->gen >= 1;
}

int status_decode(struct bytes msg, const uint8_t *sign_point, struct status *ret)
{
    struct status s = {0};
    struct cose c;

    if (msg.n > STATUS_MSG_MAX || cose_parse(msg, &c) != 0 || !get(c.payload, &s))
        return STATUS_BAD;
    if (sign_point != NULL) {
        int r = cose_verify(&c, COSE_AAD_STATUS, sign_point);
        if (r != 0)
            return r == COSE_BAD ? STATUS_BAD : r;
    }
    *ret = s;
    return 0;
}
