/* Sealing and group commit: order, numbers, segments, refusal. Failures of the disk are tests/fault/spool_fail.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/journal.h"
#include "tests/unit/daemon_spool.h"
#include "wire/upload.h"

#define HOUR UINT64_C(3600000000)

static uint64_t mono_now;

struct bench {
    struct lab l;
    struct journal *j;
    struct crypto_key *sign, *recipient;
    uint8_t sign_point[CRYPTO_POINT], point[CRYPTO_POINT];
    unsigned starts;
};

static uint64_t mono(void)
{
    return mono_now;
}

static void start_clock(void *arg, struct record *ret)
{
    (void)arg;
    *ret = (struct record){.kind = RECORD_CLOCK, .real = 5, .mono = mono_now, .ck = ck_make(1, CK_UNBOUNDED)};
}

static void start_stored(void *arg)
{
    struct bench *b = arg;
    b->starts++;
}

static void journal_again(struct bench *b)
{
    struct journal_options o = {.spool = b->l.s,
                                .recipient = b->point,
                                .sign = b->sign,
                                .gw = {1, 2, 3},
                                .boot = {7},
                                .gen = 5,
                                .start_clock = start_clock,
                                .start_stored = start_stored,
                                .mono = mono,
                                .arg = b};
    assert_int_equal(journal_new(&o, &b->j), 0);
}

static void bench_init(struct bench *b, uint64_t budget)
{
    memset(b, 0, sizeof(*b));
    mono_now = HOUR;
    lab_init(&b->l, budget);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &b->sign), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDH, &b->recipient), 0);
    assert_int_equal(crypto_key_point(b->sign, b->sign_point), 0);
    assert_int_equal(crypto_key_point(b->recipient, b->point), 0);
    journal_again(b);
}

static void bench_done(struct bench *b)
{
    journal_free(b->j);
    crypto_key_free(b->sign);
    crypto_key_free(b->recipient);
    lab_done(&b->l);
}

static void punches(struct entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        e[i] = (struct entry){.from_sight = true};
        e[i].rec = (struct record){.kind = RECORD_PUNCH, .real = 9, .mono = mono_now, .ck = ck_make(1, CK_UNBOUNDED)};
        strcpy(e[i].rec.punch.reader, "gate");
        e[i].rec.punch.cred = (struct cred){.tech = TECH_EM4100, .bits = 40, .data = {(uint8_t)i}};
    }
}

static int write_batch(struct bench *b, struct entry *e, size_t n)
{
    return journal_commit(b->j, e, n, journal_stage(b->j, e, n));
}

static int write_punches(struct bench *b, size_t n)
{
    struct entry e[JOURNAL_BATCH];
    punches(e, n);
    int r = write_batch(b, e, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(e[i].stored, r == 0);
    return r;
}

/* As the cloud sees segment number i: header checked, records [first, ...) opened. */
static size_t read_segment(struct bench *b, size_t i, struct seg_hdr *ret_hdr, struct record *ret, size_t max)
{
    static struct upload u;
    struct seg_reader *r = NULL;
    struct seg seg;
    struct buf msg;
    size_t n = 0;
    buf_init(&msg, UPLOAD_MAX);
    assert_int_equal(spool_upload(b->l.s, spool_at(b->l.s, i), 0, max, 0, &msg, &n), 0);
    assert_int_equal(upload_decode(buf_bytes(&msg), &u), 0);
    assert_int_equal(seg_parse(u.seg_signed, &seg), 0);
    assert_int_equal(seg_verify(&seg, b->sign_point), 0);
    assert_memory_equal(seg.id, spool_at(b->l.s, i)->id, SEGID_LEN);
    assert_int_equal(seg_reader_new(&seg, b->recipient, &r), 0);
    assert_memory_equal(seg_reader_ack_key(r), spool_at(b->l.s, i)->ack_key, ACK_KEY_LEN);
    for (size_t k = 0; k < n; k++) {
        uint8_t plain[RECORD_PLAIN_MAX];
        assert_int_equal(seg_reader_open(r, k, u.recs[k], plain), 0);
        assert_int_equal(record_decode(BYTES(plain, u.recs[k].n - CRYPTO_TAG), &ret[k]), 0);
        if (ret[k].kind == RECORD_EVENT)
            ret[k].event.arg = BYTES_NONE; /* it borrows from `plain` */
    }
    *ret_hdr = seg.hdr;
    seg_reader_free(r);
    buf_done(&msg);
    return n;
}

static void test_first_light(void **state)
{
    struct bench b;
    struct seg_hdr hdr;
    struct record rec[16];
    uint64_t segno;
    (void)state;
    bench_init(&b, 1 << 20);
    assert_false(journal_open_segment(b.j, &segno)); /* opened by its first record */
    assert_int_equal(write_punches(&b, 3), 0);
    assert_int_equal(write_punches(&b, 2), 0);
    assert_true(journal_open_segment(b.j, &segno));
    assert_int_equal(segno, 0);
    assert_int_equal(b.starts, 1);
    assert_int_equal(read_segment(&b, 0, &hdr, rec, 16), 6);
    assert_int_equal(rec[0].kind, RECORD_CLOCK); /* a segment begins with a clock record */
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(rec[i].gseq, i + 1); /* all records are counted */
    assert_int_equal(rec[3].punch.cred.data[0], 2);
    assert_string_equal(rec[3].punch.reader, "gate");
    assert_int_equal(hdr.gen, 5);
    assert_int_equal(hdr.prevlen, 0);
    bench_done(&b);
}

static void test_chain(void **state)
{
    struct bench b;
    struct seg_hdr hdr;
    struct record rec[16];
    (void)state;
    bench_init(&b, 1 << 20);
    assert_int_equal(write_punches(&b, 3), 0);
    journal_close(b.j);
    assert_int_equal(write_punches(&b, 1), 0);
    mono_now += HOUR;
    journal_tick(b.j);
    assert_int_equal(write_punches(&b, 1), 0);
    /* A new process: its segments go on where the last one's ended. */
    journal_free(b.j);
    lab_close(&b.l);
    lab_open(&b.l);
    journal_again(&b);
    assert_int_equal(write_punches(&b, 1), 0);
    uint64_t lengths[] = {4, 2, 2, 2}, gseq = 1;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_segment(&b, i, &hdr, rec, 16), lengths[i]);
        assert_int_equal(hdr.segno, i);
        assert_int_equal(hdr.prevlen, i == 0 ? 0 : lengths[i - 1]);
        if (i > 0)
            assert_memory_equal(hdr.prev, spool_at(b.l.s, i - 1)->id, SEGID_LEN);
        for (size_t k = 0; k < lengths[i]; k++)
            assert_int_equal(rec[k].gseq, gseq++);
        assert_int_equal(spool_at(b.l.s, i)->closed, i < 3);
    }
    bench_done(&b);
}

static void test_given_clock_begins(void **state)
{
    struct bench b;
    struct seg_hdr hdr;
    struct record rec[16];
    struct entry e[3];
    (void)state;
    bench_init(&b, 1 << 20);
    punches(e, 3);
    start_clock(NULL, &e[0].rec);
    e[0].rec.clock.step = 77;
    assert_int_equal(write_batch(&b, e, 3), 0);
    assert_int_equal(read_segment(&b, 0, &hdr, rec, 16), 3); /* not a second clock record in front of it */
    assert_int_equal(rec[0].clock.step, 77);
    assert_int_equal(b.starts, 0);
    bench_done(&b);
}

static void test_full(void **state)
{
    struct bench b;
    uint64_t segno;
    int r;
    (void)state;
    bench_init(&b, 1 << 20);
    size_t stored = 0;
    while ((r = write_punches(&b, 40)) == 0)
        stored += 40;
    assert_int_equal(r, JOURNAL_FULL);
    assert_int_equal(journal_recoveries(b.j), 0);
    assert_in_range(stored, 4000, 8000);
    size_t segments = spool_count(b.l.s);
    assert_true(segments >= 8); /* a small spool has small segments, or nothing could ever be trimmed */
    uint64_t records = spool_records(b.l.s), gseq = spool_meta(b.l.s)->next_gseq;
    assert_int_equal(write_punches(&b, 40), JOURNAL_FULL);
    assert_int_equal(spool_records(b.l.s), records); /* refused, nothing was sealed */
    assert_int_equal(spool_meta(b.l.s)->next_gseq, gseq);
    assert_true(journal_open_segment(b.j, &segno));
    struct spool_seg *g = spool_at(b.l.s, 0);
    spool_ack(b.l.s, g, g->records, 1);
    assert_int_equal(write_punches(&b, 40), 0);
    bench_done(&b);
}

static void test_longest_segment(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 256u << 20);
    size_t left = SEG_RECORDS_MAX - 1; /* its clock record is one */
    while (left > 10) {
        size_t n = left - 10 < JOURNAL_BATCH ? left - 10 : JOURNAL_BATCH;
        assert_int_equal(write_punches(&b, n), 0);
        left -= n;
    }
    assert_int_equal(spool_count(b.l.s), 1);
    assert_int_equal(write_punches(&b, 25), 0); /* in the middle of a batch */
    assert_int_equal(spool_count(b.l.s), 2);
    assert_int_equal(spool_at(b.l.s, 0)->records, SEG_RECORDS_MAX);
    assert_true(spool_at(b.l.s, 0)->closed);
    assert_int_equal(spool_at(b.l.s, 1)->records, 16);
    struct seg_hdr hdr;
    struct record rec[16];
    read_segment(&b, 1, &hdr, rec, 16);
    assert_int_equal(hdr.prevlen, SEG_RECORDS_MAX);
    assert_int_equal(rec[15].gseq, SEG_RECORDS_MAX + 16);
    bench_done(&b);
}

static void test_marks(void **state)
{
    struct bench b;
    struct entry e[2];
    struct spool_mark m;
    (void)state;
    bench_init(&b, 1 << 20);
    punches(e, 2);
    e[1].mark = "gate";
    memset(e[1].hash, 9, sizeof(e[1].hash));
    assert_int_equal(write_batch(&b, e, 2), 0);
    assert_int_equal(spool_mark(b.l.s, "gate", &m), 0);
    assert_int_equal(m.gseq, e[1].rec.gseq);
    assert_memory_equal(m.hash, e[1].hash, sizeof(m.hash));
    assert_int_equal(m.mono, e[1].rec.mono);
    assert_int_equal(m.boot[0], 7);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_light),        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_given_clock_begins), cmocka_unit_test(test_full),
        cmocka_unit_test(test_longest_segment),    cmocka_unit_test(test_marks),
    };
    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
