/* Each write and each sync of the spool's file is made to fail once, in four ways (EIO, ENOSPC, half written, and
 * written but reported as failed), while the real journal seals and commits. Whatever was reported as stored must be
 * there, once, and open under the recipient's key; nothing may be there twice; and the journal must go on.
 *
 *   spool_fail [--stride N]        every N-th call only (PUNCH_STRIDE; default 3) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/journal.h"
#include "tests/fault/recorder.h"
#include "wire/upload.h"

#define BATCHES 14u
#define PUNCHES_MAX 128u

static struct {
    char root[64], dir[96], file[128];
    struct crypto_key *sign, *recipient;
    uint8_t point[CRYPTO_POINT];
    bool stored[PUNCHES_MAX];
    uint64_t segno[PUNCHES_MAX];
    uint64_t acked; /* the segment that was acknowledged and may be trimmed */
    unsigned seen[PUNCHES_MAX];
    unsigned punches;
    uint64_t k;
    enum rec_fault how;
} t;

#define MUST(cond)                                                                                            \
    do {                                                                                                      \
        if (!(cond)) {                                                                                        \
            printf("spool_fail: FAILED: %s (call %llu, fault %d, line %d)\n", #cond, (unsigned long long)t.k, \
                   (int)t.how, __LINE__);                                                                     \
            exit(1);                                                                                          \
        }                                                                                                     \
    } while (0)

static void start_clock(void *arg, struct record *ret)
{
    (void)arg;
    *ret = (struct record){.kind = RECORD_CLOCK, .real = 1, .mono = 1, .ck = ck_make(1, CK_UNBOUNDED)};
}

static void start_stored(void *arg)
{
    (void)arg;
}

static uint64_t no_time(void)
{
    return 1;
}

static struct spool_options options(void)
{
    return (struct spool_options){.dir = t.dir, .gen = 1, .budget = 4u << 20, .keep_size = 0};
}

static void make_punch(struct entry *e, unsigned number)
{
    *e = (struct entry){.from_sight = true, .mark = "gate"};
    e->rec = (struct record){.kind = RECORD_PUNCH, .real = 1, .mono = 1, .ck = ck_make(1, CK_UNBOUNDED)};
    strcpy(e->rec.punch.reader, "gate");
    e->rec.punch.cred = (struct cred){.tech = TECH_EM4100, .bits = 40};
    e->rec.punch.cred.data[3] = (uint8_t)(number >> 8);
    e->rec.punch.cred.data[4] = (uint8_t)number;
}

/* As the gateway does: batches, acks of the older segments, trims; errors are survived, not wished away. */
static void workload(struct spool *s, struct journal *j)
{
    t.punches = 0;
    t.acked = UINT64_MAX;
    for (unsigned b = 0; b < BATCHES; b++) {
        struct entry batch[8];
        size_t n = 1 + b % 5;
        for (size_t i = 0; i < n; i++)
            make_punch(&batch[i], t.punches + (unsigned)i);
        int r = journal_commit(j, batch, n, journal_stage(j, batch, n));
        MUST(r <= 0);
        for (size_t i = 0; i < n; i++) {
            t.segno[t.punches] = batch[i].segno;
            t.stored[t.punches++] = batch[i].stored;
        }
        if (b % 4 == 3)
            journal_close(j);
        if (b == BATCHES / 2 && !spool_broken(s) && spool_count(s) > 0) {
            struct spool_seg *g = spool_at(s, 0);
            bool more;
            t.acked = g->segno;
            spool_ack(s, g, g->records, 5);
            (void)spool_trim(s, &more);
        }
    }
    /* One failure is over by now: the last batch must have made it. */
    MUST(t.stored[t.punches - 1]);
}

static void count_segment(struct spool *s, const struct spool_seg *g)
{
    static struct upload u;
    struct seg_reader *r = NULL;
    struct seg seg;
    struct buf msg;
    for (uint64_t first = 0; first < g->records;) {
        size_t n = 0;
        buf_init(&msg, UPLOAD_MAX);
        MUST(spool_upload(s, g, first, UPLOAD_RECORDS_MAX, 0, &msg, &n) == 0);
        MUST(upload_decode(buf_bytes(&msg), &u) == 0 && u.first == first && u.n == n);
        MUST(seg_parse(u.seg_signed, &seg) == 0);
        MUST(r || seg_reader_new(&seg, t.recipient, &r) == 0);
        for (size_t i = 0; i < n; i++) {
            uint8_t plain[RECORD_PLAIN_MAX];
            struct record rec;
            MUST(seg_reader_open(r, first + i, u.recs[i], plain) == 0);
            MUST(record_decode(BYTES(plain, u.recs[i].n - CRYPTO_TAG), &rec) == 0);
            if (rec.kind == RECORD_PUNCH) {
                unsigned number = (unsigned)(rec.punch.cred.data[3] << 8 | rec.punch.cred.data[4]);
                MUST(number < t.punches);
                t.seen[number]++;
            }
        }
        first += n;
        buf_done(&msg);
    }
    seg_reader_free(r);
}

static void judge(void)
{
    struct spool *s = NULL;
    struct spool_options o = options();
    MUST(spool_probe(t.dir) == 0);
    MUST(spool_open(&o, &s) == 0);
    memset(t.seen, 0, sizeof(t.seen));
    for (size_t i = 0; i < spool_count(s); i++)
        count_segment(s, spool_at(s, i));
    for (unsigned i = 0; i < t.punches; i++) {
        MUST(t.seen[i] <= 1);
        MUST(!t.stored[i] || t.seen[i] == 1 || t.segno[i] == t.acked);
        MUST(t.stored[i] || t.seen[i] == 0); /* the reader was told to ask again: it would be there twice */
    }
    spool_free(s);
}

/* True: the fault was hit, there may be more calls to fail. */
static bool run_once(void)
{
    struct spool *s = NULL;
    struct journal *j = NULL;
    struct spool_options o = options();
    MUST(spool_open(&o, &s) == 0);
    struct journal_options jo = {.spool = s,
                                 .recipient = t.point,
                                 .sign = t.sign,
                                 .gen = 1,
                                 .start_clock = start_clock,
                                 .start_stored = start_stored,
                                 .mono = no_time};
    MUST(journal_new(&jo, &j) == 0);
    recorder_watch(t.file, false);
    recorder_fail(t.k, t.how);
    workload(s, j);
    bool hit = recorder_failed();
    recorder_stop();
    journal_free(j);
    spool_free(s);
    judge();
    char file[160];
    MUST(unlink(t.file) == 0);
    snprintf(file, sizeof(file), "%s", t.dir);
    MUST(rmdir(file) == 0);
    return hit;
}

int main(int argc, char **argv)
{
    uint64_t stride = 3;
    const char *text = argc == 3 && strcmp(argv[1], "--stride") == 0 ? argv[2] : getenv("PUNCH_STRIDE");
    if (text && str_u64(text, 1, 1000, &stride) != 0)
        return 2;
    const char *tmp = getenv("TMPDIR");
    snprintf(t.root, sizeof(t.root), "%.40s/spool_fail.XXXXXX", tmp ? tmp : "/tmp");
    MUST(mkdtemp(t.root) != NULL);
    snprintf(t.dir, sizeof(t.dir), "%s/spool", t.root);
    snprintf(t.file, sizeof(t.file), "%s/data.mdb", t.dir);
    log_init("spool_fail", 0); /* the journal's lines about each recovery are not for here */
    MUST(crypto_init() == 0);
    MUST(crypto_key_new(CRYPTO_ECDSA, &t.sign) == 0 && crypto_key_new(CRYPTO_ECDH, &t.recipient) == 0);
    MUST(crypto_key_point(t.recipient, t.point) == 0);
    unsigned runs = 0;
    for (t.how = REC_FAIL_EIO; t.how < REC_FAULTS; t.how++)
        for (t.k = 1; run_once(); t.k += stride)
            runs++;
    printf("spool_fail: ok, %u runs with a failure each\n", runs);
    crypto_key_free(t.sign);
    crypto_key_free(t.recipient);
    return rmdir(t.root) == 0 ? 0 : 1;
}
