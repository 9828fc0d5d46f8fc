/* The spool under its journal, one call failing: a record that was reported as stored is on disk, sealed as it was,
 * one that was not is not, and what failed works when it is tried again. */
#include "tests/fault/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "daemon/journal.h"
#include "tests/unit/tmp.h"
#include "wire/upload.h"

#define BATCHES 6u
#define BATCH 3u

static struct {
    char root[160], dir[180];
    struct spool_options o;
    struct spool *s;
    struct crypto_key *sign, *recipient;
    uint8_t point[CRYPTO_POINT];
    unsigned seen[BATCHES * BATCH];
    uint64_t segno[BATCHES * BATCH];
    uint64_t acked; /* the segment that may have been trimmed */
} t;

static void start_clock(void *arg, struct record *ret)
{
    *ret = (struct record){.kind = RECORD_CLOCK, .real = 1, .mono = 1, .ck = ck_make(1, CK_UNBOUNDED)};
}

static void start_stored(void *arg)
{
}

static uint64_t no_time(void)
{
    return 1;
}

/* LMDB calling its file damaged is a refusal, too; the gateway then sets the spool aside, and the records with it. */
static int opened(void)
{
    int r = spool_open(&t.o, &t.s);
    return r == SPOOL_CORRUPT ? -EIO : r;
}

static void make_punch(struct entry *e, unsigned number)
{
    *e = (struct entry){.from_sight = true, .mark = "gate"};
    e->rec = (struct record){.kind = RECORD_PUNCH, .real = 1, .mono = 1, .ck = ck_make(1, CK_UNBOUNDED)};
    strcpy(e->rec.punch.reader, "gate");
    e->rec.punch.cred = (struct cred){.tech = TECH_EM4100, .bits = 40};
    e->rec.punch.cred.data[4] = (uint8_t)number;
}

/* As the gateway does with readers that ask again: what is not stored comes in the next batch. */
static void commit(struct journal *j, unsigned first)
{
    struct entry batch[BATCH];
    size_t n = BATCH;
    for (unsigned i = 0; i < BATCH; i++)
        make_punch(&batch[i], first + i);
    for (unsigned tries = 0; n > 0 && tries < 3; tries++) {
        int r = journal_commit(j, batch, n, journal_stage(j, batch, n));
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            unsigned number = batch[i].rec.punch.cred.data[4];
            t.segno[number] = batch[i].segno;
            if (!batch[i].stored)
                make_punch(&batch[left++], number);
        }
        assert_true(r <= 0 && (r == 0) == (left == 0));
        n = left;
    }
    assert_int_equal(n, 0);
}

static int upload(const struct spool_seg *g)
{
    struct buf msg;
    size_t n = 0;
    buf_init(&msg, UPLOAD_MAX);
    int r = spool_upload(t.s, g, 0, UPLOAD_RECORDS_MAX, 0, &msg, &n);
    assert_true(r != 0 || n > 0);
    buf_done(&msg);
    return r;
}

/* As gateway.c does after acks and trims: a commit of nothing reads back what is on disk. */
static int settled(struct journal *j, int r)
{
    if (r != 0)
        assert_int_equal(journal_commit(j, NULL, 0, 0), 0);
    return r;
}

static int acknowledge(struct journal *j)
{
    struct spool_seg *g = spool_at(t.s, 0);
    t.acked = g->segno;
    spool_ack(t.s, g, g->records, 5);
    return settled(j, spool_commit(t.s));
}

static int trim(struct journal *j)
{
    bool more = true;
    int r = 0;
    while (r == 0 && more)
        r = spool_trim(t.s, &more);
    return settled(j, r);
}

static void work(void)
{
    struct journal *j = NULL;
    struct spool_mark mark;
    STEP(opened());
    struct journal_options jo = {.spool = t.s,
                                 .recipient = t.point,
                                 .sign = t.sign,
                                 .gen = 1,
                                 .start_clock = start_clock,
                                 .start_stored = start_stored,
                                 .mono = no_time};
    STEP(journal_new(&jo, &j));
    for (unsigned b = 0; b < BATCHES; b++) {
        commit(j, b * BATCH);
        if (b == 1)
            journal_close(j);
        if (b == 3) {
            STEP(upload(spool_at(t.s, 0)));
            STEP(acknowledge(j));
            STEP(trim(j));
        }
    }
    STEP(spool_mark(t.s, "gate", &mark));
    journal_free(j);
    spool_free(t.s);
    t.s = NULL;
}

/* ---- what has to hold ---- */

static void count(const struct spool_seg *g)
{
    static struct upload u;
    struct seg_reader *r = NULL;
    struct seg seg;
    struct buf msg;
    size_t n = 0;
    if (g->records == 0)
        return;
    buf_init(&msg, UPLOAD_MAX);
    assert_int_equal(spool_upload(t.s, g, 0, UPLOAD_RECORDS_MAX, 0, &msg, &n), 0);
    assert_int_equal(n, g->records);
    assert_int_equal(upload_decode(buf_bytes(&msg), &u), 0);
    assert_int_equal(seg_parse(u.seg_signed, &seg), 0);
    assert_int_equal(seg_reader_new(&seg, t.recipient, &r), 0);
    for (size_t i = 0; i < n; i++) {
        uint8_t plain[RECORD_PLAIN_MAX];
        struct record rec;
        assert_int_equal(seg_reader_open(r, i, u.recs[i], plain), 0);
        assert_int_equal(record_decode(BYTES(plain, u.recs[i].n - CRYPTO_TAG), &rec), 0);
        if (rec.kind == RECORD_PUNCH)
            t.seen[rec.punch.cred.data[4]]++;
    }
    seg_reader_free(r);
    buf_done(&msg);
}

static void look(void)
{
    assert_int_equal(spool_probe(t.dir), 0);
    assert_int_equal(spool_open(&t.o, &t.s), 0);
    for (size_t i = 0; i < spool_count(t.s); i++)
        count(spool_at(t.s, i));
    for (unsigned i = 0; i < BATCHES * BATCH; i++)
        assert_true(t.seen[i] == 1 || (t.seen[i] == 0 && t.segno[i] == t.acked));
    spool_free(t.s);
}

int main(void)
{
    strike_promise();
    strike_off(true);
    log_init("torture", 0);
    assert_int_equal(crypto_init(), 0);
    tmp_dir(t.root, sizeof t.root);
    snprintf(t.dir, sizeof t.dir, "%s/spool", t.root);
    t.o = (struct spool_options){.dir = t.dir, .gen = 1, .budget = 4u << 20};
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &t.sign), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDH, &t.recipient), 0);
    assert_int_equal(crypto_key_point(t.recipient, t.point), 0);
    strike_off(false);
    work();
    strike_off(true);
    look();
    crypto_key_free(t.sign);
    crypto_key_free(t.recipient);
    tmp_remove(t.root);
    return 0;
}
