/* Segments: header, encapsulation, sealing and opening (docs/WIRE.md section 4). No I/O and no clock: when a segment
 * is opened and closed is decided by the gateway, what is committed by the cloud. */
#include "wire/segment.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "wire/cbor.h"
#include "wire/hpke.h"

#define HDR_MAX 128
#define INFO_LABEL "punch1 seg"
#define UINT_MAX_WIRE ((uint64_t)INT64_MAX)

/* What both ends derive. */
struct seg_keys {
    struct crypto_aead *record;
    uint8_t ack[ACK_KEY_LEN];
};

struct seg_writer {
    struct seg_keys keys;
    uint8_t id[SEGID_LEN];
    uint64_t next;
    struct buf signed_msg;
};

struct seg_reader {
    struct seg_keys keys;
};

int seg_rkid(const uint8_t recipient[CRYPTO_POINT], uint8_t ret[RKID_LEN])
{
    uint8_t hash[CRYPTO_HASH];

    int r = crypto_sha256(BYTES(recipient, CRYPTO_POINT), hash);
    if (r == 0)
        memcpy(ret, hash, RKID_LEN);
    return r;
}

static int seg_id(struct bytes payload, uint8_t ret[SEGID_LEN])
{
    uint8_t hash[CRYPTO_HASH];

    int r = crypto_sha256(payload, hash);
    if (r == 0)
        memcpy(ret, hash, SEGID_LEN);
    return r;
}

static size_t make_info(struct bytes hdr, uint8_t ret[sizeof INFO_LABEL + HDR_MAX])
{
    size_t n = sizeof INFO_LABEL - 1;

    memcpy(ret, INFO_LABEL, n);
    memcpy(ret + n, hdr.p, hdr.n);
    return n + hdr.n;
}

/* Exports both keys and wipes the context; on failure ret is untouched. */
static int derive(struct hpke *h, struct seg_keys *ret)
{
    uint8_t rec[CRYPTO_KEY];
    struct seg_keys k = {0};

    int r = hpke_export(h, "punch1 rec", rec, sizeof rec);
    if (r == 0)
        r = hpke_export(h, "punch1 ack", k.ack, sizeof k.ack);
    if (r == 0)
        r = crypto_aead_new(rec, &k.record);
    if (r == 0)
        *ret = k;
    crypto_wipe(rec, sizeof rec);
    crypto_wipe(&k, sizeof k);
    hpke_wipe(h);
    return r;
}

static void keys_wipe(struct seg_keys *k)
{
    crypto_aead_free(k->record);
    crypto_wipe(k, sizeof *k);
}

static void make_nonce(uint64_t index, uint8_t ret[CRYPTO_NONCE])
{
    memset(ret, 0, CRYPTO_NONCE - 8);
    be_put(ret + CRYPTO_NONCE - 8, index, 8);
}

/* ---- header ---- */

static void put_hdr(struct cbor_w *w, const struct seg_hdr *h)
{
    cbor_put_array(w, 9);
    cbor_put_uint(w, 1);
    cbor_put_array(w, 3);
    cbor_put_uint(w, 16);
    cbor_put_uint(w, 1);
    cbor_put_uint(w, 2);
    cbor_put_bytes(w, BYTES(h->rkid, RKID_LEN));
    cbor_put_bytes(w, BYTES(h->gw, GW_LEN));
    cbor_put_uint(w, h->gen);
    cbor_put_bytes(w, BYTES(h->boot, BOOT_LEN));
    cbor_put_uint(w, h->segno);
    cbor_put_bytes(w, BYTES(h->prev, SEGID_LEN));
    cbor_put_uint(w, h->prevlen);
}

static bool hdr_valid(const struct seg_hdr *h)
{
    static const uint8_t none[SEGID_LEN];

    return h->gen >= 1 && h->gen <= UINT_MAX_WIRE && h->segno <= UINT_MAX_WIRE && h->prevlen <= SEG_RECORDS_MAX &&
           (h->prevlen == 0 || memcmp(h->prev, none, SEGID_LEN) != 0);
}

static bool get_hdr(struct bytes b, struct seg_hdr *ret)
{
    struct cbor_r r = cbor_reader(b);

    cbor_get_array(&r, 9, 9);
    bool known = cbor_get_uint(&r, UINT_MAX_WIRE) == 1;
    cbor_get_array(&r, 3, 3);
    known = cbor_get_uint(&r, UINT_MAX_WIRE) == 16 && known;
    known = cbor_get_uint(&r, UINT_MAX_WIRE) == 1 && known;
    known = cbor_get_uint(&r, UINT_MAX_WIRE) == 2 && known;
    cbor_get_fixed(&r, ret->rkid, RKID_LEN);
    cbor_get_fixed(&r, ret->gw, GW_LEN);
    ret->gen = cbor_get_uint(&r, UINT_MAX_WIRE);
    cbor_get_fixed(&r, ret->boot, BOOT_LEN);
    ret->segno = cbor_get_uint(&r, UINT_MAX_WIRE);
    cbor_get_fixed(&r, ret->prev, SEGID_LEN);
    ret->prevlen = cbor_get_uint(&r, SEG_RECORDS_MAX);
    return cbor_done(&r) && known && hdr_valid(ret);
}

/* ---- gateway ---- */

/* Encodes header and encapsulation, signs them, derives the keys into w. */
static int writer_setup(struct seg_writer *w, const struct seg_hdr *hdr, struct crypto_key *ephemeral,
                        const uint8_t recipient[CRYPTO_POINT], struct crypto_key *sign)
{
    uint8_t mem[HDR_MAX], payload[HDR_MAX + CRYPTO_POINT + 8], info[sizeof INFO_LABEL + HDR_MAX], enc[CRYPTO_POINT];
    struct cbor_w hw = CBOR_W(mem, sizeof mem), pw = CBOR_W(payload, sizeof payload);
    struct hpke h;

    put_hdr(&hw, hdr);
    ASSERT(!hw.bad); /* 1 + 1 + 4 + 9 + 9 + 9 + 17 + 9 + 17 + 9 at most */
    size_t n_info = make_info(BYTES(mem, hw.len), info);
    int r = hpke_sender_with(ephemeral, recipient, BYTES(info, n_info), enc, &h);
    if (r != 0)
        return r == HPKE_BAD ? -EINVAL : r;
    r = derive(&h, &w->keys);
    if (r != 0)
        return r;
    cbor_put_array(&pw, 2);
    cbor_put_bytes(&pw, BYTES(mem, hw.len));
    cbor_put_bytes(&pw, BYTES(enc, sizeof enc));
    ASSERT(!pw.bad);
    r = seg_id(BYTES(payload, pw.len), w->id);
    return r == 0 ? cose_sign(sign, COSE_AAD_SEG, BYTES(payload, pw.len), &w->signed_msg) : r;
}

int seg_writer_new_with(const struct seg_hdr *hdr, struct crypto_key *ephemeral, const uint8_t recipient[CRYPTO_POINT],
                        struct crypto_key *sign, struct seg_writer **ret)
{
    struct seg_hdr h = *hdr;

    if (!hdr_valid(&h))
        return -EINVAL;
    struct seg_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    buf_init(&w->signed_msg, SEG_SIGNED_MAX);
    int r = seg_rkid(recipient, h.rkid);
    if (r == 0)
        r = writer_setup(w, &h, ephemeral, recipient, sign);
    if (r != 0) {
        seg_writer_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

int seg_writer_new(const struct seg_hdr *hdr, const uint8_t recipient[CRYPTO_POINT], struct crypto_key *sign,
                   struct seg_writer **ret)
{
    struct crypto_key *ephemeral;

    int r = crypto_key_new(CRYPTO_ECDH, &ephemeral);
    if (r != 0)
        return r;
    r = seg_writer_new_with(hdr, ephemeral, recipient, sign, ret);
    crypto_key_free(ephemeral);
    return r;
}

void seg_writer_free(struct seg_writer *w)
{
    if (w == NULL)
        return;
    keys_wipe(&w->keys);
    buf_done(&w->signed_msg);
    free(w);
}

const uint8_t *seg_writer_id(const struct seg_writer *w)
{
    return w->id;
}

struct bytes seg_writer_signed(const struct seg_writer *w)
{
    return buf_bytes(&w->signed_msg);
}

const uint8_t *seg_writer_ack_key(const struct seg_writer *w)
{
    return w->keys.ack;
}

uint64_t seg_writer_next(const struct seg_writer *w)
{
    return w->next;
}

int seg_writer_seal(struct seg_writer *w, struct bytes plain, uint8_t *ret)
{
    uint8_t nonce[CRYPTO_NONCE];

    if (w->next >= SEG_RECORDS_MAX)
        return SEG_FULL;
    /* Consumed before it is used: a failure half-way must not let the nonce serve again. */
    make_nonce(w->next++, nonce);
    return crypto_aead_seal(w->keys.record, nonce, BYTES_NONE, plain, ret);
}

/* ---- cloud ---- */

int seg_parse(struct bytes signed_msg, struct seg *ret)
{
    struct seg s = {0};

    if (signed_msg.n > SEG_SIGNED_MAX || cose_parse(signed_msg, &s.cose) != 0)
        return SEG_BAD;
    struct cbor_r r = cbor_reader(s.cose.payload);
    cbor_get_array(&r, 2, 2);
    s.hdr_bytes = cbor_get_bytes(&r, 1, HDR_MAX);
    cbor_get_fixed(&r, s.enc, sizeof s.enc);
    if (!cbor_done(&r) || s.enc[0] != 0x04 || !get_hdr(s.hdr_bytes, &s.hdr))
        return SEG_BAD;
    int res = seg_id(s.cose.payload, s.id);
    if (res != 0)
        return res;
    *ret = s;
    return 0;
}

int seg_verify(const struct seg *s, const uint8_t sign_point[CRYPTO_POINT])
{
    int r = cose_verify(&s->cose, COSE_AAD_SEG, sign_point);

    return r == COSE_BAD ? SEG_BAD : r;
}

int seg_reader_new(const struct seg *s, struct crypto_key *recipient, struct seg_reader **ret)
{
    uint8_t point[CRYPTO_POINT], rkid[RKID_LEN], info[sizeof INFO_LABEL + HDR_MAX];
    struct hpke h;

    int r = crypto_key_point(recipient, point);
    if (r == 0)
        r = seg_rkid(point, rkid);
    if (r != 0)
        return r;
    if (memcmp(rkid, s->hdr.rkid, RKID_LEN) != 0)
        return SEG_BAD;
    r = hpke_receiver(recipient, s->enc, BYTES(info, make_info(s->hdr_bytes, info)), &h);
    if (r != 0)
        return r == HPKE_BAD ? SEG_BAD : r;
    struct seg_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        hpke_wipe(&h);
        return -ENOMEM;
    }
    r = derive(&h, &reader->keys);
    if (r != 0) {
        seg_reader_free(reader);
        return r;
    }
    *ret = reader;
    return 0;
}

void seg_reader_free(struct seg_reader *r)
{
    if (r == NULL)
        return;
    keys_wipe(&r->keys);
    free(r);
}

const uint8_t *seg_reader_ack_key(const struct seg_reader *r)
{
    return r->keys.ack;
}

int seg_reader_open(struct seg_reader *r, uint64_t index, struct bytes sealed, uint8_t *ret)
{
    uint8_t nonce[CRYPTO_NONCE];

    if (index >= SEG_RECORDS_MAX || sealed.n < CRYPTO_TAG)
        return SEG_BAD;
    make_nonce(index, nonce);
    int res = crypto_aead_open(r->keys.record, nonce, BYTES_NONE, sealed, ret);
    return res == CRYPTO_BAD ? SEG_BAD : res;
}
