/* COSE_Sign1 in the one shape that docs/WIRE.md section 3 allows. Sig_structure is hashed in parts, so that the
 * payload is never copied and never decoded again. */
#include "wire/cose.h"

#include <string.h>

#include "wire/cbor.h"

#define PROTECTED_LEN (5 + KID_LEN)
#define SIG_HEAD_MAX 64 /* array head, "Signature1", protected, external_aad, the payload's head */
static const uint8_t protected_head[5] = {0xa2, 0x01, 0x26, 0x04, 0x48}; /* {1: -7, 4: bstr of 8 */

int cose_kid(const uint8_t point[CRYPTO_POINT], uint8_t ret_kid[KID_LEN])
{
    uint8_t der[CRYPTO_SPKI], hash[CRYPTO_HASH];

    crypto_spki(point, der);
    int r = crypto_sha256(BYTES(der, sizeof der), hash);
    if (r != 0)
        return r;
    memcpy(ret_kid, hash, KID_LEN);
    return 0;
}

/* The head of a byte string of n bytes; its body follows as a part of its own. */
static void put_bstr_head(struct cbor_w *w, size_t n)
{
    uint8_t tmp[9];
    struct cbor_w head = CBOR_W(tmp, sizeof tmp);

    /* major 2 instead of 0, the argument is coded alike (RFC 8949 section 3) */
    cbor_put_uint(&head, n);
    tmp[0] |= 0x40;
    cbor_put_raw(w, BYTES(tmp, head.len));
}

/* RFC 9052 section 4.4 up to the payload's bytes. */
static size_t sig_head(struct bytes protected_hdr, const char *aad, size_t payload_len, uint8_t ret[SIG_HEAD_MAX])
{
    struct cbor_w w = CBOR_W(ret, SIG_HEAD_MAX);

    cbor_put_array(&w, 4);
    cbor_put_text(&w, "Signature1");
    cbor_put_bytes(&w, protected_hdr);
    cbor_put_bytes(&w, BYTES_STR(aad));
    put_bstr_head(&w, payload_len);
    ASSERT(!w.bad); /* the longest aad is "punch1 request" */
    return w.len;
}

int cose_sign(struct crypto_key *key, const char *aad, struct bytes payload, struct buf *ret)
{
    uint8_t point[CRYPTO_POINT], prot[PROTECTED_LEN], head[SIG_HEAD_MAX], sig[CRYPTO_SIG], tmp[COSE_OVERHEAD];

    int r = crypto_key_point(key, point);
    if (r != 0)
        return r;
    memcpy(prot, protected_head, sizeof protected_head);
    r = cose_kid(point, prot + sizeof protected_head);
    if (r != 0)
        return r;
    struct bytes parts[2] = {BYTES(head, sig_head(BYTES(prot, sizeof prot), aad, payload.n, head)), payload};
    r = crypto_sign(key, parts, 2, sig);
    if (r != 0)
        return r;

    struct cbor_w w = CBOR_W(tmp, sizeof tmp);
    cbor_put_array(&w, 4);
    cbor_put_bytes(&w, BYTES(prot, sizeof prot));
    cbor_put_map(&w, 0);
    put_bstr_head(&w, payload.n);
    size_t before = w.len;
    cbor_put_bytes(&w, BYTES(sig, sizeof sig));
    size_t start = ret->len;
    r = buf_add(ret, tmp, before);
    if (r == 0)
        r = buf_add(ret, payload.p, payload.n);
    if (r == 0)
        r = buf_add(ret, tmp + before, w.len - before);
    if (r != 0)
        ret->len = start;
    return r;
}

int cose_parse(struct bytes msg, struct cose *ret)
{
    struct cose c = {0};
    struct cbor_r r = cbor_reader(msg);

    cbor_get_array(&r, 4, 4);
    c.protected_hdr = cbor_get_bytes(&r, PROTECTED_LEN, PROTECTED_LEN);
    cbor_get_map(&r, 0);
    c.payload = cbor_get_bytes(&r, 0, SIZE_MAX);
    cbor_get_fixed(&r, c.sig, sizeof c.sig);
    if (!cbor_done(&r) || memcmp(c.protected_hdr.p, protected_head, sizeof protected_head) != 0)
        return COSE_BAD;
    memcpy(c.kid, c.protected_hdr.p + sizeof protected_head, KID_LEN);
    *ret = c;
    return 0;
}

int cose_verify(const struct cose *c, const char *aad, const uint8_t point[CRYPTO_POINT])
{
    uint8_t kid[KID_LEN], head[SIG_HEAD_MAX];

    int r = cose_kid(point, kid);
    if (r != 0)
        return r;
    if (memcmp(kid, c->kid, KID_LEN) != 0)
        return COSE_BAD;
    struct bytes parts[2] = {BYTES(head, sig_head(c->protected_hdr, aad, c->payload.n, head)), c->payload};
    r = crypto_verify(point, parts, 2, c->sig);
    return r == CRYPTO_BAD ? COSE_BAD : r;
}
