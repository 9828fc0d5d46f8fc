/* The worked examples of docs/WIRE.md section 14: made anew from fixed keys and compared with the page, then the page's
 * own bytes are decoded. With --print it writes the section, so page and code cannot drift apart. */
#include "tests/unit/test_wire_util.h"

#include "base/file.h"
#include "wire/ack.h"
#include "wire/cbor.h"
#include "wire/enrol.h"
#include "wire/hpke.h"
#include "wire/record.h"
#include "wire/status.h"
#include "wire/topic.h"
#include "wire/upload.h"

#define SIGN_SEED 0x11
#define RECIPIENT_SEED 0x22
#define EPHEMERAL_SEED 0x33
#define ROOT_SEED 0x44
#define NOW 1763870405000000
#define EPOCH 1763800000
#define M1 13260000
#define M2 13300000

struct example {
    const char *name, *what;
    bool text; /* shown as it is, not in hex */
    struct buf data;
};
enum {
    SIGN_SCALAR,
    SIGN_POINT,
    KID,
    RECIPIENT_SCALAR,
    RECIPIENT_POINT,
    RKID,
    EPHEMERAL_SCALAR,
    HDR,
    ENC,
    RECORD_KEY,
    ACK_KEY,
    SEG_PAYLOAD,
    SEGID,
    SIG_STRUCTURE,
    SIGNED,
    PLAIN_0,
    PLAIN_1,
    SEALED_0,
    SEALED_1,
    UP_TOPIC,
    UP,
    MAC_INPUT,
    ACK,
    PLAIN_2,
    STATUS_PAYLOAD,
    STATUS,
    ROOT_SCALAR,
    REQUEST,
    BUNDLE,
    N_EXAMPLES
};
static struct example ex[N_EXAMPLES] = {
    [SIGN_SCALAR] = {.name = "signing-scalar", .what = "The gateway's signing key, private"},
    [SIGN_POINT] = {.name = "signing-point", .what = "its point"},
    [KID] = {.name = "kid", .what = "its key id"},
    [RECIPIENT_SCALAR] = {.name = "recipient-scalar", .what = "The tenant's recipient key, private (skR)"},
    [RECIPIENT_POINT] = {.name = "recipient-point", .what = "its point (pkR)"},
    [RKID] = {.name = "rkid", .what = "its key id"},
    [EPHEMERAL_SCALAR] = {.name = "ephemeral-scalar", .what = "The segment's ephemeral key (skE; normally random)"},
    [HDR] = {.name = "hdr",
             .what = "`seg-hdr`: gw 7b00c0ffee000001, gen 1, boot b0 b1 .. bf, segno 1, no segment before"},
    [ENC] = {.name = "enc", .what = "`enc` (the ephemeral key's point)"},
    [RECORD_KEY] = {.name = "record-key", .what = "Export(\"punch1 rec\", 32)"},
    [ACK_KEY] = {.name = "ack-key", .what = "Export(\"punch1 ack\", 32)"},
    [SEG_PAYLOAD] = {.name = "seg-payload", .what = "`seg-payload`"},
    [SEGID] = {.name = "segid", .what = "segid"},
    [SIG_STRUCTURE] = {.name = "sig-structure", .what = "Sig_structure, what is signed"},
    [SIGNED] = {.name = "signed", .what = "`signed`, by a deterministic signature (RFC 6979)"},
    [PLAIN_0] = {.name = "plain-0", .what = "Record 0, a clock: gseq 1, state 0, unbounded, src 0, step 0"},
    [PLAIN_1] = {.name = "plain-1",
                 .what = "Record 1, a punch: gseq 2, reader \"door-1\", EM4100 67003B51C6, in, state 1, unbounded, "
                         "rendering dec10"},
    [SEALED_0] = {.name = "sealed-0", .what = "record 0, sealed"},
    [SEALED_1] = {.name = "sealed-1", .what = "record 1, sealed"},
    [UP_TOPIC] = {.name = "topic", .what = "The topic", .text = true},
    [UP] = {.name = "upload", .what = "The `upload`: both records, first 0, flags 0"},
    [MAC_INPUT] = {.name = "mac-input",
                   .what = "What the ack's HMAC covers: epoch 1763800000, now 1763870405000000, next 2"},
    [ACK] = {.name = "ack", .what = "The `ack`"},
    [PLAIN_2] = {.name = "plain-2",
                 .what = "The upload was sent at mono 13260000 and the ack arrived at 13300000. The clock record that "
                         "follows: gseq 3, src 3, mono 13280000, real 1763870405000000, ck 159 (synchronised within "
                         "46340 us). So the punch (mono 13250000) happened at t = 1763870404970000, u = 46348"},
    [STATUS_PAYLOAD] = {.name = "status-payload",
                        .what = "A `status`: online, conn c0 c1 .. cf, one recipient key in the spool, "
                                "1 punch, 3 records, 1 of them not acked"},
    [STATUS] = {.name = "status", .what = "signed"},
    [ROOT_SCALAR] = {.name = "root-scalar", .what = "The installation's root key, private"},
    [REQUEST] = {.name = "request", .what = "A request file (its `csr` is no CSR here)", .text = true},
    [BUNDLE] = {.name = "bundle", .what = "A bundle file (its certificates are none)", .text = true},
};

static const uint8_t gw[GW_LEN] = {0x7b, 0x00, 0xc0, 0xff, 0xee, 0x00, 0x00, 0x01};

static void set(int i, struct bytes b)
{
    assert_int_equal(ex[i].data.len, 0);
    buf_init(&ex[i].data, ENROL_FILE_MAX);
    assert_int_equal(buf_add(&ex[i].data, b.p, b.n), 0);
}

static void set_key(int scalar, int point, enum crypto_use use, uint8_t seed)
{
    uint8_t s[32], p[CRYPTO_POINT];

    memset(s, seed, sizeof s);
    set(scalar, BYTES(s, sizeof s));
    fixed_point(use, seed, p);
    if (point >= 0)
        set(point, BYTES(p, sizeof p));
}

static struct bytes of(int i)
{
    return buf_bytes(&ex[i].data);
}

static void boot_id(uint8_t first, uint8_t ret[16])
{
    for (unsigned i = 0; i < 16; i++)
        ret[i] = (uint8_t)(first + i);
}

static struct record example_record(unsigned i)
{
    struct record r = {.kind = RECORD_CLOCK,
                       .gseq = i + 1,
                       .real = 1763870400000000,
                       .mono = 12000000,
                       .ck = ck_make(0, CK_UNBOUNDED)};

    if (i == 1) {
        r = (struct record){.kind = RECORD_PUNCH,
                            .gseq = 2,
                            .real = 1763870401250000,
                            .mono = 13250000,
                            .ck = ck_make(1, CK_UNBOUNDED)};
        strcpy(r.punch.reader, "door-1");
        r.punch.cred = (struct cred){.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0x00, 0x3b, 0x51, 0xc6}};
        r.punch.dir = DIR_IN;
        r.punch.rendering = RENDER_DEC10;
    } else if (i == 2) {
        r.real = NOW;
        r.mono = M1 + (M2 - M1) / 2;
        r.ck = ck_make(2, M2 - M1);
        r.clock.src = CLOCK_SRC_CLOUD;
    }
    return r;
}

static void set_plain(int i, unsigned rec)
{
    struct record r = example_record(rec);
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n;

    assert_int_equal(record_encode(&r, plain, &n), 0);
    set(i, BYTES(plain, n));
}

/* The keys a second time, straight from HPKE, so that the page's names are those of the RFC. */
static void set_exports(struct crypto_key *ephemeral, const uint8_t recipient[CRYPTO_POINT], struct bytes hdr)
{
    uint8_t enc[CRYPTO_POINT], key[32], info[256] = "punch1 seg";
    struct hpke h;

    memcpy(info + 10, hdr.p, hdr.n);
    assert_int_equal(hpke_sender_with(ephemeral, recipient, BYTES(info, 10 + hdr.n), enc, &h), 0);
    set(ENC, BYTES(enc, sizeof enc));
    assert_int_equal(hpke_export(&h, "punch1 rec", key, sizeof key), 0);
    set(RECORD_KEY, BYTES(key, sizeof key));
    assert_int_equal(hpke_export(&h, "punch1 ack", key, sizeof key), 0);
    set(ACK_KEY, BYTES(key, sizeof key));
}

static void make_segment(struct crypto_key *sign)
{
    struct crypto_key *ephemeral = fixed_key(CRYPTO_ECDH, EPHEMERAL_SEED);
    struct seg_hdr hdr = {.gen = 1, .segno = 1};
    uint8_t recipient[CRYPTO_POINT], sealed[RECORD_SEALED_MAX], sig[256];
    struct seg_writer *w;
    struct seg s;

    fixed_point(CRYPTO_ECDH, RECIPIENT_SEED, recipient);
    memcpy(hdr.gw, gw, GW_LEN);
    boot_id(0xb0, hdr.boot);
    assert_int_equal(seg_writer_new_with(&hdr, ephemeral, recipient, sign, &w), 0);
    assert_int_equal(seg_parse(seg_writer_signed(w), &s), 0);
    set(HDR, s.hdr_bytes);
    set_exports(ephemeral, recipient, s.hdr_bytes);
    assert_memory_equal(of(ENC).p, s.enc, CRYPTO_POINT);
    assert_memory_equal(of(ACK_KEY).p, seg_writer_ack_key(w), ACK_KEY_LEN);
    set(KID, BYTES(s.cose.kid, KID_LEN));
    set(RKID, BYTES(s.hdr.rkid, RKID_LEN));
    set(SEG_PAYLOAD, s.cose.payload);
    set(SEGID, BYTES(s.id, SEGID_LEN));
    set(SIGNED, seg_writer_signed(w));

    struct cbor_w sw = CBOR_W(sig, sizeof sig);
    cbor_put_array(&sw, 4);
    cbor_put_text(&sw, "Signature1");
    cbor_put_bytes(&sw, s.cose.protected_hdr);
    cbor_put_bytes(&sw, BYTES_STR("punch1 seg"));
    cbor_put_bytes(&sw, s.cose.payload);
    assert_false(sw.bad);
    set(SIG_STRUCTURE, BYTES(sig, sw.len));

    for (int i = 0; i < 2; i++) {
        set_plain(PLAIN_0 + i, (unsigned)i);
        assert_int_equal(seg_writer_seal(w, of(PLAIN_0 + i), sealed), 0);
        set(SEALED_0 + i, BYTES(sealed, of(PLAIN_0 + i).n + CRYPTO_TAG));
    }
    seg_writer_free(w);
    crypto_key_free(ephemeral);
}

static void make_ack(void)
{
    struct ack a = {.n = 1, .items[0] = {.epoch = EPOCH, .now = NOW, .next = 2}};
    uint8_t in[128] = "punch1 ack";
    struct cbor_w w = CBOR_W(in, sizeof in);

    w.len = 10;
    cbor_put_array(&w, 4);
    cbor_put_bytes(&w, of(SEGID));
    cbor_put_uint(&w, EPOCH);
    cbor_put_int(&w, NOW);
    cbor_put_uint(&w, 2);
    set(MAC_INPUT, BYTES(in, w.len));
    memcpy(a.items[0].segid, of(SEGID).p, SEGID_LEN);
    assert_int_equal(ack_mac(of(ACK_KEY).p, &a.items[0]), 0);
    buf_init(&ex[ACK].data, ACK_MSG_MAX);
    assert_int_equal(ack_encode(&a, &ex[ACK].data), 0);
}

static void make_status(struct crypto_key *sign)
{
    struct status s = {.gen = 1, .online = true, .real = 1763870406000000, .mono = 14300000, .ck = 127, .n_rkids = 1};
    struct cose c;

    memcpy(s.gw, gw, GW_LEN);
    boot_id(0xb0, s.boot);
    boot_id(0xc0, s.conn);
    memcpy(s.rkids[0], of(RKID).p, RKID_LEN);
    s.counts[COUNT_PUNCHES] = 1;
    s.counts[COUNT_SPOOL_RECORDS] = 3;
    s.counts[COUNT_SPOOL_UNACKED] = 1;
    buf_init(&ex[STATUS].data, STATUS_MSG_MAX);
    assert_int_equal(status_encode(&s, sign, &ex[STATUS].data), 0);
    assert_int_equal(cose_parse(of(STATUS), &c), 0);
    set(STATUS_PAYLOAD, c.payload);
}

static void make_files(struct crypto_key *sign)
{
    struct crypto_key *root = fixed_key(CRYPTO_ECDSA, ROOT_SEED);
    static struct bundle b = {
        .gen = 1, .n_recipients = 1, .tls_cert = "(certificate)\n", .ca = "(ca)\n", .broker = "broker.example:8883"};
    struct enrol_request q = {.csr = "(csr)\n"};

    memcpy(q.gw, gw, GW_LEN);
    memcpy(b.gw, gw, GW_LEN);
    memcpy(q.sign_point, of(SIGN_POINT).p, CRYPTO_POINT);
    memcpy(b.recipients[0], of(RECIPIENT_POINT).p, CRYPTO_POINT);
    buf_init(&ex[REQUEST].data, ENROL_FILE_MAX);
    buf_init(&ex[BUNDLE].data, ENROL_FILE_MAX);
    assert_int_equal(enrol_request_write(&q, sign, &ex[REQUEST].data), 0);
    assert_int_equal(bundle_write(&b, root, &ex[BUNDLE].data), 0);
    crypto_key_free(root);
}

static void make_all(void)
{
    struct crypto_key *sign = fixed_key(CRYPTO_ECDSA, SIGN_SEED);
    char topic[TOPIC_MAX];

    set_key(SIGN_SCALAR, SIGN_POINT, CRYPTO_ECDSA, SIGN_SEED);
    set_key(RECIPIENT_SCALAR, RECIPIENT_POINT, CRYPTO_ECDH, RECIPIENT_SEED);
    set_key(EPHEMERAL_SCALAR, -1, CRYPTO_ECDH, EPHEMERAL_SEED);
    set_key(ROOT_SCALAR, -1, CRYPTO_ECDSA, ROOT_SEED);
    make_segment(sign);
    topic_make(gw, TOPIC_UP, topic);
    set(UP_TOPIC, BYTES_STR(topic));
    struct bytes recs[2] = {of(SEALED_0), of(SEALED_1)};
    buf_init(&ex[UP].data, UPLOAD_MAX);
    assert_int_equal(upload_encode(of(SIGNED), 0, recs, 2, 0, &ex[UP].data), 0);
    make_ack();
    set_plain(PLAIN_2, 2);
    make_status(sign);
    make_files(sign);
    crypto_key_free(sign);
}

static void print_all(void)
{
    for (int i = 0; i < N_EXAMPLES; i++) {
        struct bytes b = of(i);
        printf("%s:\n\n```%s %s\n", ex[i].what, ex[i].text ? "text" : "hex", ex[i].name);
        for (size_t k = 0; k < b.n && ex[i].text; k++)
            putchar(b.p[k]);
        for (size_t k = 0; k < b.n && !ex[i].text; k++)
            printf("%02x%s", b.p[k], k % 48 == 47 && k + 1 < b.n ? "\n" : "");
        printf("%s```\n\n", b.n > 0 && ex[i].text && b.p[b.n - 1] == '\n' ? "" : "\n");
    }
}

/* ---- the page's side ---- */

/* The content of ```hex NAME or ```text NAME. */
static struct buf from_page(struct buf *page, const struct example *e)
{
    char fence[64];
    struct buf b;

    snprintf(fence, sizeof fence, "```%s %s\n", e->text ? "text" : "hex", e->name);
    const char *start = strstr(buf_str(page), fence);
    const char *end = start != NULL ? strstr(start + strlen(fence), "```") : NULL;
    if (start == NULL || end == NULL) {
        fail_msg("docs/WIRE.md has no example \"%s\"", e->name);
        return (struct buf){0}; /* not reached; the analyzer does not know that fail_msg() jumps */
    }
    start += strlen(fence);
    buf_init(&b, ENROL_FILE_MAX);
    if (e->text) {
        assert_int_equal(buf_add(&b, start, (size_t)(end - start)), 0);
        return b;
    }
    struct buf digits;
    buf_init(&digits, ENROL_FILE_MAX);
    for (const char *p = start; p < end; p++)
        if (*p != '\n')
            buf_add(&digits, p, 1);
    buf_done(&b);
    b = unhex(buf_str(&digits));
    buf_done(&digits);
    return b;
}

static struct buf page_of(void)
{
    struct buf page;

    buf_init(&page, 1 << 20);
    assert_int_equal(file_read(SOURCE_DIR "/docs/WIRE.md", &page), 0);
    return page;
}

static void page_is_what_code_makes(void **state)
{
    struct buf page = page_of();

    for (int i = 0; i < N_EXAMPLES; i++) {
        struct buf b = from_page(&page, &ex[i]);
        size_t n = ex[i].data.len;
        /* a text block ends with a line end even where the value has none */
        if (b.len < n || memcmp(b.p, ex[i].data.p, n) != 0 || b.len > n + (ex[i].text ? 1 : 0))
            fail_msg("docs/WIRE.md, example \"%s\" is not what the code makes; run this test with --print", ex[i].name);
        buf_done(&b);
    }
    buf_done(&page);
}

static void check_records(const struct upload *u, struct seg_reader *reader)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    struct record r = {0};

    for (size_t i = 0; i < u->n; i++) {
        assert_int_equal(seg_reader_open(reader, u->first + i, u->recs[i], plain), 0);
        assert_int_equal(record_decode(BYTES(plain, u->recs[i].n - CRYPTO_TAG), &r), 0);
        assert_int_equal(r.gseq, i + 1);
    }
    char text[CRED_TEXT_MAX];
    assert_int_equal(r.kind, RECORD_PUNCH);
    assert_string_equal(r.punch.reader, "door-1");
    assert_int_equal(r.punch.dir, DIR_IN);
    cred_render(&r.punch.cred, r.punch.rendering, text);
    assert_string_equal(text, "0003887558");
}

static void page_decodes(void **state)
{
    struct buf page = page_of(), up = from_page(&page, &ex[UP]), ack = from_page(&page, &ex[ACK]);
    struct buf status = from_page(&page, &ex[STATUS]), bundle = from_page(&page, &ex[BUNDLE]);
    struct buf request = from_page(&page, &ex[REQUEST]), last = from_page(&page, &ex[PLAIN_2]);
    struct crypto_key *recipient = fixed_key(CRYPTO_ECDH, RECIPIENT_SEED);
    static struct upload u;
    static struct bundle b;
    struct seg_reader *reader;
    struct enrol_request q;
    struct record r;
    struct status st;
    struct seg s;
    struct ack a;
    uint8_t root[CRYPTO_POINT], want[CRYPTO_POINT];

    assert_int_equal(upload_decode(buf_bytes(&up), &u), 0);
    assert_int_equal(u.n, 2);
    assert_int_equal(seg_parse(u.seg_signed, &s), 0);
    assert_int_equal(seg_verify(&s, of(SIGN_POINT).p), 0);
    assert_memory_equal(s.hdr.gw, gw, GW_LEN);
    assert_int_equal(seg_reader_new(&s, recipient, &reader), 0);
    check_records(&u, reader);
    assert_int_equal(ack_decode(buf_bytes(&ack), &a), 0);
    assert_memory_equal(a.items[0].segid, s.id, SEGID_LEN);
    assert_int_equal(ack_check(seg_reader_ack_key(reader), &a.items[0]), 0);
    assert_int_equal(a.items[0].next, 2);
    assert_int_equal(status_decode(buf_bytes(&status), of(SIGN_POINT).p, &st), 0);
    assert_int_equal(st.counts[COUNT_SPOOL_RECORDS], 3);
    assert_int_equal(enrol_request_read(buf_bytes(&request), &q), 0);
    assert_int_equal(bundle_read(buf_bytes(&bundle), NULL, &b, root), 0);
    fixed_point(CRYPTO_ECDSA, ROOT_SEED, want);
    assert_memory_equal(root, want, CRYPTO_POINT);
    assert_string_equal(b.broker, "broker.example:8883");
    assert_int_equal(record_decode(buf_bytes(&last), &r), 0);
    assert_int_equal(ck_state(r.ck), 2);
    assert_int_equal(ck_uncertainty(r.ck), 46340);
    assert_int_equal(r.ck, 159);

    seg_reader_free(reader);
    crypto_key_free(recipient);
    struct buf *all[] = {&page, &up, &ack, &status, &bundle, &request, &last};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_what_code_makes),
        cmocka_unit_test(page_decodes),
    };
    int r = 0;

    if (crypto_init() != 0)
        return 1;
    make_all();
    if (argc > 1 && strcmp(argv[1], "--print") == 0)
        print_all();
    else
        r = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < N_EXAMPLES; i++)
        buf_done(&ex[i].data);
    return r;
}
