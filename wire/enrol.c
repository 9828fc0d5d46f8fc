/* The two files of an enrolment (docs/WIRE.md section 11). Certificates and CSRs are texts here: the TLS libraries and
 * the cloud's CA judge them. */
#include "wire/enrol.h"

#include <string.h>

#include "wire/armour.h"
#include "wire/cbor.h"

#define LABEL_REQUEST "PUNCH REQUEST"
#define LABEL_BUNDLE "PUNCH BUNDLE"
#define LABEL_ROOT "PUNCH ROOT"
#define UINT_MAX_WIRE ((uint64_t)INT64_MAX)
#define PAYLOAD_MAX 24576 /* three texts of 8 KiB at most, and points */

static int bad(int r)
{
    return r > 0 ? ENROL_BAD : r;
}

/* Signs what was written and appends it as a block. */
static int write_block(const char *label, const char *aad, const struct cbor_w *w, struct crypto_key *key,
                       struct buf *ret_text)
{
    CLEANUP(buf_done) struct buf msg;

    buf_init(&msg, PAYLOAD_MAX + COSE_OVERHEAD);
    if (w->bad)
        return -ENOBUFS;
    int r = cose_sign(key, aad, BYTES(w->p, w->len), &msg);
    return r == 0 ? armour_write(label, buf_bytes(&msg), ret_text) : r;
}

/* The one block of that label, parsed; *ret borrows from msg. */
static int read_block(struct bytes text, const char *label, struct buf *msg, struct cose *ret)
{
    if (text.n > ENROL_FILE_MAX)
        return ENROL_BAD;
    int r = armour_read(text, label, msg);
    if (r != 0)
        return bad(r);
    return bad(cose_parse(buf_bytes(msg), ret));
}

/* A text into a field of `size` bytes, NUL included. */
static void get_text(struct cbor_r *r, char *ret, size_t size)
{
    struct bytes t = cbor_get_text(r, 1, size - 1);

    if (t.n > 0)
        memcpy(ret, t.p, t.n);
    ret[t.n] = '\0';
}

static bool text_fits(const char *s, size_t size)
{
    return s[0] != '\0' && memchr(s, 0, size) != NULL;
}

int enrol_request_write(const struct enrol_request *q, struct crypto_key *sign, struct buf *ret_text)
{
    uint8_t payload[sizeof q->csr + 128], spki[CRYPTO_SPKI], point[CRYPTO_POINT];
    struct cbor_w w = CBOR_W(payload, sizeof payload);

    if (!text_fits(q->csr, sizeof q->csr))
        return -EINVAL;
    int r = crypto_key_point(sign, point);
    if (r != 0)
        return r;
    if (memcmp(point, q->sign_point, CRYPTO_POINT) != 0)
        return -EINVAL; /* a request that would not verify */
    crypto_spki(point, spki);
    cbor_put_array(&w, 4);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, BYTES(q->gw, GW_LEN));
    cbor_put_text(&w, q->csr);
    cbor_put_bytes(&w, BYTES(spki, sizeof spki));
    return write_block(LABEL_REQUEST, COSE_AAD_REQUEST, &w, sign, ret_text);
}

int enrol_request_read(struct bytes text, struct enrol_request *ret)
{
    CLEANUP(buf_done) struct buf msg;
    struct enrol_request q = {0};
    struct cose c;

    buf_init(&msg, ENROL_FILE_MAX);
    int r = read_block(text, LABEL_REQUEST, &msg, &c);
    if (r != 0)
        return r;
    struct cbor_r in = cbor_reader(c.payload);
    cbor_get_array(&in, 4, 4);
    bool known = cbor_get_uint(&in, UINT_MAX_WIRE) == 1;
    cbor_get_fixed(&in, q.gw, GW_LEN);
    get_text(&in, q.csr, sizeof q.csr);
    struct bytes spki = cbor_get_bytes(&in, CRYPTO_SPKI, CRYPTO_SPKI);
    if (!known || !cbor_done(&in))
        return ENROL_BAD;
    r = crypto_spki_point(spki, q.sign_point);
    if (r == 0)
        r = cose_verify(&c, COSE_AAD_REQUEST, q.sign_point);
    if (r != 0)
        return bad(r);
    *ret = q;
    return 0;
}

int bundle_write(const struct bundle *b, struct crypto_key *root, struct buf *ret_text)
{
    uint8_t payload[PAYLOAD_MAX], point[CRYPTO_POINT];
    struct cbor_w w = CBOR_W(payload, sizeof payload);
    size_t start = ret_text->len;

    if (b->gen < 1 || b->gen > UINT_MAX_WIRE || b->n_recipients < 1 || b->n_recipients > BUNDLE_RECIPIENTS_MAX ||
        !text_fits(b->tls_cert, sizeof b->tls_cert) || !text_fits(b->ca, sizeof b->ca) ||
        !text_fits(b->broker, sizeof b->broker))
        return -EINVAL;
    cbor_put_array(&w, 7);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, BYTES(b->gw, GW_LEN));
    cbor_put_uint(&w, b->gen);
    cbor_put_text(&w, b->tls_cert);
    cbor_put_text(&w, b->ca);
    cbor_put_array(&w, b->n_recipients);
    for (size_t i = 0; i < b->n_recipients; i++)
        cbor_put_bytes(&w, BYTES(b->recipients[i], CRYPTO_POINT));
    cbor_put_text(&w, b->broker);

    int r = crypto_key_point(root, point);
    if (r == 0)
        r = write_block(LABEL_BUNDLE, COSE_AAD_BUNDLE, &w, root, ret_text);
    if (r == 0)
        r = armour_write(LABEL_ROOT, BYTES(point, sizeof point), ret_text);
    if (r != 0)
        ret_text->len = start;
    return r;
}

static bool get_bundle(struct bytes payload, struct bundle *b)
{
    struct cbor_r in = cbor_reader(payload);

    cbor_get_array(&in, 7, 7);
    bool known = cbor_get_uint(&in, UINT_MAX_WIRE) == 1;
    cbor_get_fixed(&in, b->gw, GW_LEN);
    b->gen = cbor_get_uint(&in, UINT_MAX_WIRE);
    get_text(&in, b->tls_cert, sizeof b->tls_cert);
    get_text(&in, b->ca, sizeof b->ca);
    b->n_recipients = cbor_get_array(&in, 1, BUNDLE_RECIPIENTS_MAX);
    for (size_t i = 0; i < b->n_recipients; i++) {
        cbor_get_fixed(&in, b->recipients[i], CRYPTO_POINT);
        known = b->recipients[i][0] == 0x04 && known;
    }
    get_text(&in, b->broker, sizeof b->broker);
    return known && cbor_done(&in) && b->gen >= 1;
}

/* Whose signature counts: the pinned root's, else the one the file brings. A file that brings another root than the
 * pinned one is refused even if a signature by the pinned one is in it: somebody mixed two installations up. */
static int choose_root(struct bytes text, const uint8_t *pinned, uint8_t ret[CRYPTO_POINT])
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, CRYPTO_POINT);
    int r = armour_read(text, LABEL_ROOT, &b);
    if (r == ARMOUR_ABSENT && pinned != NULL) {
        memcpy(ret, pinned, CRYPTO_POINT);
        return 0;
    }
    if (r != 0)
        return r == -ENOBUFS ? ENROL_BAD : bad(r);
    if (b.len != CRYPTO_POINT || (pinned != NULL && memcmp(b.p, pinned, CRYPTO_POINT) != 0))
        return ENROL_BAD;
    memcpy(ret, b.p, CRYPTO_POINT);
    return 0;
}

int bundle_read(struct bytes text, const uint8_t *pinned, struct bundle *ret, uint8_t ret_root[CRYPTO_POINT])
{
    CLEANUP(buf_done) struct buf msg;
    struct bundle b = {0};
    uint8_t root[CRYPTO_POINT];
    struct cose c;

    buf_init(&msg, ENROL_FILE_MAX);
    int r = read_block(text, LABEL_BUNDLE, &msg, &c);
    if (r == 0)
        r = choose_root(text, pinned, root);
    if (r == 0)
        r = bad(cose_verify(&c, COSE_AAD_BUNDLE, root));
    if (r != 0)
        return r;
    if (!get_bundle(c.payload, &b))
        return ENROL_BAD;
    *ret = b;
    memcpy(ret_root, root, CRYPTO_POINT);
    return 0;
}
