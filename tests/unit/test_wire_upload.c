/* Segments and uploads: from a gateway's sealing to a cloud's opening, and with every byte changed on the way. */
#include "tests/unit/test_wire_util.h"

#include "wire/cbor.h"
#include "wire/record.h"
#include "wire/upload.h"

#define SIGN_SEED 0x11
#define RECIPIENT_SEED 0x22
#define N_RECS 3

struct world {
    struct crypto_key *sign, *recipient;
    uint8_t sign_point[CRYPTO_POINT], recipient_point[CRYPTO_POINT];
    struct seg_writer *w;
    uint8_t plain[N_RECS][96], sealed[N_RECS][96 + CRYPTO_TAG];
    struct bytes recs[N_RECS];
    struct buf msg;
    struct seg_reader *reader; /* of the unchanged segment */
    size_t opened, refused;
};

static const struct seg_hdr hdr = {.gw = {0x7b, 1, 2, 3, 4, 5, 6, 7},
                                   .gen = 3,
                                   .boot = {9, 9, 9},
                                   .segno = 70000,
                                   .prev = {1, 2, 3},
                                   .prevlen = 65536};

static int setup(void **state)
{
    struct world *s = calloc(1, sizeof *s);
    struct seg seg;

    assert_non_null(s);
    s->sign = fixed_key(CRYPTO_ECDSA, SIGN_SEED);
    s->recipient = fixed_key(CRYPTO_ECDH, RECIPIENT_SEED);
    fixed_point(CRYPTO_ECDSA, SIGN_SEED, s->sign_point);
    fixed_point(CRYPTO_ECDH, RECIPIENT_SEED, s->recipient_point);
    assert_int_equal(seg_writer_new(&hdr, s->recipient_point, s->sign, &s->w), 0);
    for (size_t i = 0; i < N_RECS; i++) {
        memset(s->plain[i], (int)(i + 1), 96);
        assert_int_equal(seg_writer_next(s->w), i);
        assert_int_equal(seg_writer_seal(s->w, BYTES(s->plain[i], 96), s->sealed[i]), 0);
        s->recs[i] = BYTES(s->sealed[i], sizeof s->sealed[i]);
    }
    buf_init(&s->msg, UPLOAD_MAX);
    assert_int_equal(upload_encode(seg_writer_signed(s->w), 0, s->recs, N_RECS, UPLOAD_RESEND, &s->msg), 0);
    assert_int_equal(seg_parse(seg_writer_signed(s->w), &seg), 0);
    assert_int_equal(seg_reader_new(&seg, s->recipient, &s->reader), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct world *s = *state;

    seg_reader_free(s->reader);
    seg_writer_free(s->w);
    crypto_key_free(s->sign);
    crypto_key_free(s->recipient);
    buf_done(&s->msg);
    free(s);
    return 0;
}

static void travels(void **state)
{
    struct world *s = *state;
    static struct upload u;
    struct seg seg;
    struct seg_reader *r;
    uint8_t plain[RECORD_PLAIN_MAX];

    assert_int_equal(upload_decode(buf_bytes(&s->msg), &u), 0);
    assert_int_equal(u.n, N_RECS);
    assert_int_equal(u.first, 0);
    assert_int_equal(u.flags, UPLOAD_RESEND);
    assert_true(bytes_equal(u.seg_signed, seg_writer_signed(s->w)));
    assert_int_equal(seg_parse(u.seg_signed, &seg), 0);
    assert_memory_equal(seg.id, seg_writer_id(s->w), SEGID_LEN);
    assert_memory_equal(seg.hdr.gw, hdr.gw, GW_LEN);
    assert_memory_equal(seg.hdr.boot, hdr.boot, BOOT_LEN);
    assert_memory_equal(seg.hdr.prev, hdr.prev, SEGID_LEN);
    assert_true(seg.hdr.gen == hdr.gen && seg.hdr.segno == hdr.segno && seg.hdr.prevlen == hdr.prevlen);
    assert_int_equal(seg_verify(&seg, s->sign_point), 0);
    assert_int_equal(seg_verify(&seg, s->recipient_point), SEG_BAD);
    assert_int_equal(seg_reader_new(&seg, s->recipient, &r), 0);
    assert_memory_equal(seg_reader_ack_key(r), seg_writer_ack_key(s->w), ACK_KEY_LEN);
    for (size_t i = 0; i < N_RECS; i++) {
        assert_int_equal(seg_reader_open(r, i, u.recs[i], plain), 0);
        assert_memory_equal(plain, s->plain[i], 96);
        assert_int_equal(seg_reader_open(r, i + 1, u.recs[i], plain), SEG_BAD); /* bound to its index */
    }
    assert_int_equal(seg_reader_open(r, SEG_RECORDS_MAX, u.recs[0], plain), SEG_BAD);
    assert_int_equal(seg_reader_open(r, 0, BYTES(s->sealed[0], 15), plain), SEG_BAD);
    seg_reader_free(r);
}

static void other_keys_open_nothing(void **state)
{
    struct world *s = *state;
    struct crypto_key *other = fixed_key(CRYPTO_ECDH, 0x55);
    struct seg_reader *r;
    struct seg_writer *w;
    struct seg seg;
    uint8_t plain[96];

    assert_int_equal(seg_parse(seg_writer_signed(s->w), &seg), 0);
    assert_int_equal(seg_reader_new(&seg, other, &r), SEG_BAD);
    crypto_key_free(other);
    /* the same header again: another segment, whose records are not ours */
    assert_int_equal(seg_writer_new(&hdr, s->recipient_point, s->sign, &w), 0);
    assert_memory_not_equal(seg_writer_id(w), seg_writer_id(s->w), SEGID_LEN);
    assert_int_equal(seg_parse(seg_writer_signed(w), &seg), 0);
    assert_int_equal(seg_reader_new(&seg, s->recipient, &r), 0);
    assert_int_equal(seg_reader_open(r, 0, s->recs[0], plain), SEG_BAD);
    seg_reader_free(r);
    seg_writer_free(w);
}

static void writer_refuses(void **state)
{
    struct world *s = *state;
    struct seg_hdr h = hdr;
    struct seg_writer *w = NULL;
    uint8_t off_curve[CRYPTO_POINT];

    h.gen = 0;
    assert_int_equal(seg_writer_new(&h, s->recipient_point, s->sign, &w), -EINVAL);
    h = hdr;
    h.prevlen = SEG_RECORDS_MAX + 1;
    assert_int_equal(seg_writer_new(&h, s->recipient_point, s->sign, &w), -EINVAL);
    h = hdr;
    memset(h.prev, 0, sizeof h.prev);
    assert_int_equal(seg_writer_new(&h, s->recipient_point, s->sign, &w), -EINVAL);
    memcpy(off_curve, s->recipient_point, sizeof off_curve);
    off_curve[64] ^= 1;
    assert_int_equal(seg_writer_new(&hdr, off_curve, s->sign, &w), -EINVAL);
    assert_null(w);
}

static void segment_fills_up(void **state)
{
    struct world *s = *state;
    uint8_t out[96 + CRYPTO_TAG];

    while (seg_writer_next(s->w) < SEG_RECORDS_MAX)
        assert_int_equal(seg_writer_seal(s->w, BYTES(s->plain[0], 96), out), 0);
    assert_int_equal(seg_writer_seal(s->w, BYTES(s->plain[0], 96), out), SEG_FULL);
    assert_int_equal(seg_writer_next(s->w), SEG_RECORDS_MAX);
    assert_int_equal(seg_reader_open(s->reader, SEG_RECORDS_MAX - 1, BYTES(out, sizeof out), s->plain[1]), 0);
}

/* What a cloud would take from a message that somebody changed. */
static void cloud(void *arg, struct bytes msg, size_t at)
{
    struct world *s = arg;
    static struct upload u;
    uint8_t plain[RECORD_PLAIN_MAX];
    struct seg seg;

    if (upload_decode(msg, &u) != 0 || seg_parse(u.seg_signed, &seg) != 0 ||
        (!bytes_equal(u.seg_signed, seg_writer_signed(s->w)) && seg_verify(&seg, s->sign_point) != 0)) {
        s->refused++;
        return;
    }
    assert_memory_equal(seg.id, seg_writer_id(s->w), SEGID_LEN);
    for (size_t i = 0; i < u.n; i++) {
        if (seg_reader_open(s->reader, u.first + i, u.recs[i], plain) != 0)
            break;
        assert_true(u.first + i < N_RECS);
        assert_int_equal(u.recs[i].n, 96 + CRYPTO_TAG);
        assert_memory_equal(plain, s->plain[u.first + i], 96);
        s->opened++;
    }
}

static void every_byte_changed(void **state)
{
    struct world *s = *state;
    size_t made = spoil(buf_bytes(&s->msg), cloud, s);

    print_message("%zu changed uploads, %zu refused whole; %zu records opened, all as they were sealed\n", made,
                  s->refused, s->opened);
    assert_true(s->refused > 0 && s->opened > 0);
}

static void limits(void **state)
{
    struct world *s = *state;
    static struct bytes recs[UPLOAD_RECORDS_MAX + 1];
    static uint8_t big[RECORD_SEALED_MAX + 32];
    static struct upload u;
    struct bytes signed_msg = seg_writer_signed(s->w);
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(recs); i++)
        recs[i] = s->recs[0];
    assert_int_equal(upload_encode(signed_msg, 0, recs, UPLOAD_RECORDS_MAX, 0, &b), 0);
    assert_true(b.len <= UPLOAD_MAX);
    assert_int_equal(upload_decode(buf_bytes(&b), &u), 0);
    assert_int_equal(u.n, UPLOAD_RECORDS_MAX);
    buf_reset(&b);
    assert_int_equal(upload_encode(signed_msg, 0, recs, UPLOAD_RECORDS_MAX + 1, 0, &b), -EINVAL);
    assert_int_equal(upload_encode(signed_msg, 0, recs, 0, 0, &b), -EINVAL);
    assert_int_equal(upload_encode(signed_msg, SEG_RECORDS_MAX - 1, recs, 1, 0, &b), 0);
    assert_int_equal(upload_decode(buf_bytes(&b), &u), 0);
    buf_reset(&b);
    assert_int_equal(upload_encode(signed_msg, SEG_RECORDS_MAX - 1, recs, 2, 0, &b), -EINVAL);
    for (size_t n = 0; n <= sizeof big; n++) {
        recs[0] = BYTES(big, n);
        bool fits = n >= RECORD_SEALED_MIN && n <= RECORD_SEALED_MAX && n % 32 == 16;
        assert_int_equal(upload_encode(signed_msg, 0, recs, 1, 0, &b), fits ? 0 : -EINVAL);
        if (fits)
            assert_int_equal(upload_decode(buf_bytes(&b), &u), 0);
        buf_reset(&b);
    }
    for (size_t i = 0; i < ARRAY_LEN(recs); i++)
        recs[i] = BYTES(big, RECORD_SEALED_MAX);
    /* what UPLOAD_OVERHEAD promises to who fills an upload up */
    size_t fit = (UPLOAD_MAX - UPLOAD_OVERHEAD) / (RECORD_SEALED_MAX + 3);
    assert_int_equal(upload_encode(signed_msg, 0, recs, fit, 0, &b), 0);
    buf_reset(&b);
    assert_int_equal(upload_encode(signed_msg, 0, recs, fit + 2, 0, &b), -ENOBUFS);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

/* Hostile frames that the encoder would not make. */
static void hostile(void **state)
{
    struct world *s = *state;
    struct upload u = {.n = 4711};
    static uint8_t mem[UPLOAD_MAX + 600];
    enum { FINE, TOO_FAR, RUNS_OUT, SHORT_REC, ODD_REC, BIG_FLAGS, EXTRA, LONG_SEG, N };

    for (int i = 0; i < N; i++) {
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        cbor_put_array(&w, i == EXTRA ? 5 : 4);
        if (i == LONG_SEG)
            cbor_put_bytes(&w, BYTES(mem + 1000, SEG_SIGNED_MAX + 1));
        else
            cbor_put_bytes(&w, seg_writer_signed(s->w));
        cbor_put_uint(&w, i == TOO_FAR ? SEG_RECORDS_MAX : i == RUNS_OUT ? SEG_RECORDS_MAX - 1 : 0);
        cbor_put_array(&w, i == RUNS_OUT ? 2 : 1);
        if (i == RUNS_OUT)
            cbor_put_bytes(&w, BYTES(mem, 112));
        cbor_put_bytes(&w, BYTES(mem, i == SHORT_REC ? 96u : i == ODD_REC ? 113u : 112u));
        cbor_put_uint(&w, i == BIG_FLAGS ? (uint64_t)UINT32_MAX + 1 : UINT32_MAX);
        if (i == EXTRA)
            cbor_put_uint(&w, 0);
        assert_int_equal(upload_decode(BYTES(mem, w.len), &u), i == FINE ? 0 : UPLOAD_BAD);
        if (i == FINE) {
            assert_true(u.flags == UINT32_MAX);
            u.n = 4711;
        }
    }
    assert_int_equal(u.n, 4711); /* untouched by what is refused */
    memset(mem, 0, sizeof mem);
    assert_int_equal(upload_decode(BYTES(mem, sizeof mem), &u), UPLOAD_BAD);
    assert_int_equal(upload_decode(BYTES_NONE, &u), UPLOAD_BAD);
}

/* Headers signed by the right key that say what version 1 does not allow. */
static void foreign_headers(void **state)
{
    struct world *s = *state;
    static const struct {
        uint64_t value;
        unsigned at;
        int want;
    } cases[] = {{1, 0, 0},       {2, 0, SEG_BAD},          {17, 1, SEG_BAD}, {2, 2, SEG_BAD}, {1, 3, SEG_BAD},
                 {0, 4, SEG_BAD}, {UINT64_MAX, 4, SEG_BAD}, {0, 5, 0},        {65536, 6, 0},   {65537, 6, SEG_BAD}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v[7] = {1, 16, 1, 2, 3, 4, 5};
        uint8_t hm[128], pm[256], id[16] = {1};
        struct cbor_w h = CBOR_W(hm, sizeof hm), p = CBOR_W(pm, sizeof pm);
        struct buf msg;
        struct seg seg;

        v[cases[i].at] = cases[i].value;
        cbor_put_array(&h, 9);
        cbor_put_uint(&h, v[0]);
        cbor_put_array(&h, 3);
        for (int k = 1; k < 4; k++)
            cbor_put_uint(&h, v[k]);
        cbor_put_bytes(&h, BYTES(id, RKID_LEN));
        cbor_put_bytes(&h, BYTES(id, GW_LEN));
        cbor_put_uint(&h, v[4]);
        cbor_put_bytes(&h, BYTES(id, BOOT_LEN));
        cbor_put_uint(&h, v[5]);
        cbor_put_bytes(&h, BYTES(id, SEGID_LEN));
        cbor_put_uint(&h, v[6]);
        cbor_put_array(&p, 2);
        cbor_put_bytes(&p, BYTES(hm, h.len));
        cbor_put_bytes(&p, BYTES(s->recipient_point, CRYPTO_POINT));
        buf_init(&msg, SEG_SIGNED_MAX);
        assert_int_equal(cose_sign(s->sign, COSE_AAD_SEG, BYTES(pm, p.len), &msg), 0);
        assert_int_equal(seg_parse(buf_bytes(&msg), &seg), cases[i].want);
        if (cases[i].want == 0)
            assert_int_equal(seg_verify(&seg, s->sign_point), 0);
        buf_done(&msg);
    }
}

/* A signature for one purpose is none for another. */
static void purposes_are_apart(void **state)
{
    struct world *s = *state;
    struct cose c;

    assert_int_equal(cose_parse(seg_writer_signed(s->w), &c), 0);
    assert_int_equal(cose_verify(&c, COSE_AAD_SEG, s->sign_point), 0);
    assert_int_equal(cose_verify(&c, COSE_AAD_STATUS, s->sign_point), COSE_BAD);
    assert_int_equal(cose_verify(&c, "", s->sign_point), COSE_BAD);
}

/* A good signature under a key id that is not the key's. */
static void key_id_must_be_the_keys(void **state)
{
    struct world *s = *state;
    uint8_t prot[13] = {0xa2, 0x01, 0x26, 0x04, 0x48}, mem[64], sig[CRYPTO_SIG];

    for (int wrong = 0; wrong < 2; wrong++) {
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        struct cose c = {.protected_hdr = BYTES(prot, sizeof prot), .payload = BYTES_STR("x")};

        assert_int_equal(cose_kid(s->sign_point, prot + 5), 0);
        prot[12] ^= (uint8_t)wrong;
        cbor_put_array(&w, 4);
        cbor_put_text(&w, "Signature1");
        cbor_put_bytes(&w, c.protected_hdr);
        cbor_put_bytes(&w, BYTES_STR(COSE_AAD_SEG));
        cbor_put_bytes(&w, c.payload);
        struct bytes all = BYTES(mem, w.len);
        assert_int_equal(crypto_sign(s->sign, &all, 1, sig), 0);
        memcpy(c.kid, prot + 5, KID_LEN);
        memcpy(c.sig, sig, sizeof sig);
        assert_int_equal(cose_verify(&c, COSE_AAD_SEG, s->sign_point), wrong ? COSE_BAD : 0);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(travels),
        T(other_keys_open_nothing),
        T(writer_refuses),
        T(segment_fills_up),
        T(every_byte_changed),
        T(limits),
        T(hostile),
        T(foreign_headers),
        T(purposes_are_apart),
        T(key_id_must_be_the_keys),
    };

    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
