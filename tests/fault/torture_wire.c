/* A gateway's enrolment, a segment, its upload, its ack and a status, made and read, one call failing. Bytes that are
 * in order are never taken for foreign ones, and nothing is sealed twice under one index. */
#include "tests/fault/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "wire/ack.h"
#include "wire/enrol.h"
#include "wire/record.h"
#include "wire/segment.h"
#include "wire/status.h"
#include "wire/upload.h"

#define RECORDS 3

static struct {
    struct crypto_key *sign, *recipient;
    uint8_t sign_point[CRYPTO_POINT], point[CRYPTO_POINT];
    struct seg_writer *w;
    struct seg_reader *r;
    uint8_t sealed[RECORDS][RECORD_SEALED_MAX];
    size_t n[RECORDS];
    struct buf msg, text;
} t;

/* The index is consumed whatever comes of it. */
static int seal(unsigned i)
{
    struct record rec = {.kind = RECORD_CLOCK, .gseq = i + 1, .real = 1, .mono = 1, .ck = ck_make(1, CK_UNBOUNDED)};
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n = 0;
    uint64_t next = seg_writer_next(t.w);
    int r = record_encode(&rec, plain, &n);
    if (r == 0)
        r = seg_writer_seal(t.w, BYTES(plain, n), t.sealed[i]);
    assert_int_equal(seg_writer_next(t.w), next + 1);
    t.n[i] = n + CRYPTO_TAG;
    return r;
}

static int encode(void)
{
    struct bytes recs[RECORDS];
    buf_reset(&t.msg);
    for (size_t i = 0; i < RECORDS; i++)
        recs[i] = BYTES(t.sealed[i], t.n[i]);
    return upload_encode(seg_writer_signed(t.w), 0, recs, RECORDS, 0, &t.msg);
}

static void segment(void)
{
    static struct upload u;
    struct seg_hdr h = {.gen = 1};
    struct seg seg;
    uint64_t index[RECORDS];
    STEP(seg_writer_new(&h, t.point, t.sign, &t.w));
    for (unsigned i = 0; i < RECORDS; i++) {
        STEP(seal(i));
        index[i] = seg_writer_next(t.w) - 1;
    }
    STEP(encode());
    STEP(upload_decode(buf_bytes(&t.msg), &u));
    assert_int_equal(u.n, RECORDS);
    STEP(seg_parse(u.seg_signed, &seg));
    STEP(seg_verify(&seg, t.sign_point));
    STEP(seg_reader_new(&seg, t.recipient, &t.r));
    for (unsigned i = 0; i < RECORDS; i++) {
        uint8_t plain[RECORD_PLAIN_MAX];
        struct record rec;
        STEP(seg_reader_open(t.r, index[i], u.recs[i], plain));
        assert_int_equal(record_decode(BYTES(plain, u.recs[i].n - CRYPTO_TAG), &rec), 0);
        assert_int_equal(rec.gseq, i + 1);
    }
}

static int acknowledged(void)
{
    struct ack_item item = {.epoch = 1, .now = 2, .next = RECORDS};
    memcpy(item.segid, seg_writer_id(t.w), SEGID_LEN);
    int r = ack_mac(seg_reader_ack_key(t.r), &item);
    return r != 0 ? r : ack_check(seg_writer_ack_key(t.w), &item);
}

static int told(void)
{
    struct status s = {.gen = 1, .online = true}, back;
    buf_reset(&t.msg);
    int r = status_encode(&s, t.sign, &t.msg);
    return r != 0 ? r : status_decode(buf_bytes(&t.msg), t.sign_point, &back);
}

static int requested(void)
{
    struct enrol_request q = {.csr = "-----BEGIN CERTIFICATE REQUEST-----\n"}, back;
    memcpy(q.sign_point, t.sign_point, sizeof q.sign_point);
    buf_reset(&t.text);
    int r = enrol_request_write(&q, t.sign, &t.text);
    return r != 0 ? r : enrol_request_read(buf_bytes(&t.text), &back);
}

static int bundled(void)
{
    static struct bundle b, back;
    uint8_t root[CRYPTO_POINT];
    b = (struct bundle){.gen = 1, .tls_cert = "cert", .ca = "ca", .n_recipients = 1, .broker = "host:1"};
    memcpy(b.recipients[0], t.point, CRYPTO_POINT);
    buf_reset(&t.text);
    int r = bundle_write(&b, t.sign, &t.text);
    return r != 0 ? r : bundle_read(buf_bytes(&t.text), t.sign_point, &back, root);
}

int main(void)
{
    strike_promise();
    buf_init(&t.msg, UPLOAD_MAX);
    buf_init(&t.text, ENROL_FILE_MAX);
    STEP(crypto_init());
    STEP(crypto_key_new(CRYPTO_ECDSA, &t.sign));
    STEP(crypto_key_new(CRYPTO_ECDH, &t.recipient));
    STEP(crypto_key_point(t.sign, t.sign_point));
    STEP(crypto_key_point(t.recipient, t.point));
    segment();
    STEP(acknowledged());
    STEP(told());
    STEP(requested());
    STEP(bundled());
    seg_writer_free(t.w);
    seg_reader_free(t.r);
    crypto_key_free(t.sign);
    crypto_key_free(t.recipient);
    buf_wipe(&t.msg);
    buf_done(&t.text);
    return 0;
}
