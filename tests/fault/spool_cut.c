/* Power cuts, played. A random workload runs on the real spool while the recorder logs its writes and syncs and when
 * records were acknowledged to a reader. Then, for random cut points, the file is rebuilt as a disk may have kept it:
 * everything synced, and of the writes since then a random subset of their 512-byte sectors. LMDB's meta page is
 * written through an O_DSYNC descriptor and counts as synced once that write has returned. What opens must hold every
 * acknowledged record with its bytes, nothing that was never written, and a whole chain of segments.
 *
 *   spool_cut [--cuts N] [--seed S] [--commits N]        PUNCH_CUTS, PUNCH_SEED in the environment
 *
 * Built with PUNCH_MUTANT_NOSYNC it must fail, and tests/fault/CMakeLists.txt demands its words. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/str.h"
#include "daemon/spool.h"
#include "tests/fault/recorder.h"

#define SECTOR 512u
#define NEVER SIZE_MAX

/* What was given to the spool, and at which place of the log. */
struct known {
    uint64_t segno, index, gseq;
    size_t staged_at; /* log length when it was staged */
    size_t n;
    uint8_t bytes[256];
};
struct known_seg {
    uint64_t segno, records;
    uint8_t id[SEGID_LEN];
    size_t may_go_at; /* from here on it was closed and acknowledged: it may be trimmed */
};

static struct {
    uint64_t rng, seed;
    struct known *recs;
    size_t n_recs, cap_recs;
    struct known_seg segs[4096];
    size_t n_segs;
    char root[64], dir[96], file[128], again[96];
    struct spool_options o;
} t;

static uint64_t rnd(uint64_t below)
{
    t.rng ^= t.rng << 13;
    t.rng ^= t.rng >> 7;
    t.rng ^= t.rng << 17;
    return below ? t.rng % below : t.rng;
}

_Noreturn static void PRINTF_LIKE(1, 2) broken(const char *fmt, ...)
{
    va_list ap;
    printf("spool_cut: ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf(" (seed %" PRIu64 ")\n", t.seed);
    fflush(stdout);
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t.root);
    exit(system(cmd) == 0 ? 1 : 3);
}

#define MUST(expr)                                        \
    do {                                                  \
        int must_ = (expr);                               \
        if (must_ != 0)                                   \
            broken("workload: %s gave %d", #expr, must_); \
    } while (0)

/* ---- the workload ---- */

static uint64_t open_segment(struct spool *s)
{
    struct known_seg *k = &t.segs[t.n_segs++];
    uint8_t ack_key[ACK_KEY_LEN], rkid[RKID_LEN], head[300];
    if (t.n_segs == ARRAY_LEN(t.segs))
        broken("workload: too many segments");
    *k = (struct known_seg){.segno = spool_meta(s)->next_segno, .may_go_at = NEVER};
    MUST(crypto_random(k->id, sizeof(k->id)));
    MUST(crypto_random(ack_key, sizeof(ack_key)));
    MUST(crypto_random(rkid, sizeof(rkid)));
    MUST(crypto_random(head, sizeof(head)));
    struct spool_new_seg n = {.segno = k->segno,
                              .id = k->id,
                              .ack_key = ack_key,
                              .rkid = rkid,
                              .signed_hdr = BYTES(head, sizeof(head)),
                              .opened = 1};
    MUST(spool_add_segment(s, &n));
    return k->segno;
}

static struct known_seg *known_seg(uint64_t segno)
{
    for (size_t i = 0; i < t.n_segs; i++)
        if (t.segs[i].segno == segno)
            return &t.segs[i];
    return NULL;
}

static void add_record(struct spool *s, uint64_t segno)
{
    if (t.n_recs == t.cap_recs) {
        t.cap_recs = t.cap_recs ? t.cap_recs * 2 : 1024;
        t.recs = realloc(t.recs, t.cap_recs * sizeof(*t.recs));
        if (!t.recs)
            broken("workload: no memory");
    }
    struct known_seg *g = known_seg(segno);
    struct known *k = &t.recs[t.n_recs++];
    *k = (struct known){.segno = segno,
                        .index = g->records++,
                        .gseq = spool_meta(s)->next_gseq,
                        .staged_at = recorder_count(),
                        .n = 112 + 16 * rnd(9)};
    for (size_t i = 0; i < k->n; i++)
        k->bytes[i] = (uint8_t)rnd(256);
    MUST(spool_add_record(s, segno, k->index, k->gseq, BYTES(k->bytes, k->n)));
}

static void acknowledge(struct spool *s, int64_t now)
{
    for (size_t i = 0; i < spool_count(s); i++) {
        struct spool_seg *g = spool_at(s, i);
        if (g->trimming || g->acked == g->records || rnd(3) == 0)
            continue;
        spool_ack(s, g, rnd(2) ? g->records : g->acked + rnd(g->records - g->acked), now);
    }
}

/* From now on a trim may take what is closed and wholly acknowledged. */
static void note_deletable(struct spool *s)
{
    for (size_t i = 0; i < spool_count(s); i++) {
        const struct spool_seg *g = spool_at(s, i);
        struct known_seg *k = known_seg(g->segno);
        if (g->closed && g->acked == g->records && k->may_go_at == NEVER)
            k->may_go_at = recorder_count();
    }
}

static void run_workload(struct spool *s, unsigned commits)
{
    uint64_t segno = 0;
    bool open = false, more;
    for (unsigned c = 0; c < commits; c++) {
        int64_t now = (int64_t)c * 1000000 + 1;
        size_t n = 1 + rnd(rnd(2) ? 5 : 50);
        MUST(spool_admit(s, n + 2, 256));
        for (size_t i = 0; i < n; i++) {
            if (open && rnd(60) == 0) {
                spool_close_segment(s, segno);
                open = false;
            }
            if (!open)
                segno = open_segment(s);
            open = true;
            add_record(s, segno);
        }
        struct spool_mark m = {.gseq = spool_meta(s)->next_gseq - 1};
        if (rnd(2))
            MUST(spool_set_mark(s, rnd(2) ? "gate" : "door", &m));
        else if (rnd(2))
            MUST(spool_clear_mark(s, rnd(2) ? "gate" : "door"));
        MUST(spool_commit(s));
        recorder_mark(spool_meta(s)->next_gseq - 1); /* now the reader is answered */
        if (rnd(4) == 0)
            acknowledge(s, now);
        note_deletable(s);
        if (rnd(6) == 0)
            MUST(spool_trim(s, &more));
    }
}

/* ---- the disk ---- */

struct image {
    uint8_t *p;
    size_t n, cap;
};

static void image_grow(struct image *m, size_t n)
{
    if (n > m->cap) {
        m->cap = n * 2;
        m->p = realloc(m->p, m->cap);
        if (!m->p)
            broken("no memory");
    }
    if (n > m->n) {
        memset(m->p + m->n, 0, n - m->n);
        m->n = n;
    }
}

static void image_put(struct image *m, uint64_t off, const uint8_t *p, size_t n)
{
    image_grow(m, (size_t)off + n);
    memcpy(m->p + off, p, n);
}

/* Each sector of the write reached the disk with a chance of percent. */
static void image_tear(struct image *m, const struct rec_event *e, unsigned percent)
{
    for (size_t at = 0; at < e->n;) {
        size_t n = SECTOR - (size_t)((e->off + at) % SECTOR);
        if (n > e->n - at)
            n = e->n - at;
        if (rnd(100) < percent)
            image_put(m, e->off + at, e->data + at, n);
        at += n;
    }
}

static void image_copy(struct image *to, const struct image *from)
{
    to->n = 0;
    image_put(to, 0, from->p, from->n);
}

/* `base` holds all up to log[base_at], synced. The event at `cut` was under way when the power went. */
static void rebuild(const struct image *base, size_t base_at, size_t cut, struct image *ret)
{
    static const unsigned percents[] = {0, 10, 50, 90, 100};
    unsigned percent = percents[rnd(ARRAY_LEN(percents))];
    image_copy(ret, base);
    for (size_t i = base_at; i <= cut && i < recorder_count(); i++) {
        const struct rec_event *e = recorder_at(i);
        if (e->kind == REC_WRITE && e->durable && i < cut)
            image_put(ret, e->off, e->data, e->n);
        else if (e->kind == REC_WRITE)
            image_tear(ret, e, percent);
        else if (e->kind == REC_SIZE && (size_t)e->off > ret->n && rnd(2))
            image_grow(ret, (size_t)e->off);
    }
}

static void put_file(const struct image *m)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/data.mdb", t.again);
    if (mkdir(t.again, 0700) != 0 && errno != EEXIST)
        broken("mkdir %s", t.again);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t at = 0; fd >= 0 && at < m->n;) {
        ssize_t n = write(fd, m->p + at, m->n - at);
        if (n <= 0)
            broken("write %s", path);
        at += (size_t)n;
    }
    if (fd < 0 || close(fd) != 0)
        broken("write %s", path);
}

/* ---- the judgement ---- */

static void check_known(struct spool *s, size_t number, size_t cut, uint64_t answered)
{
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < t.n_recs; i++) {
        const struct known *k = &t.recs[i];
        const struct known_seg *g = known_seg(k->segno);
        buf_reset(&b);
        int r = spool_read(s, k->segno, k->index, &b);
        if (r == 0 && k->staged_at > cut)
            broken("FAILED at cut %zu: record %" PRIu64 " is there and was not written yet", number, k->gseq);
        if (r == 0 && !bytes_equal(buf_bytes(&b), BYTES(k->bytes, k->n)))
            broken("FAILED at cut %zu: record %" PRIu64 " has other bytes", number, k->gseq);
        if (r == SPOOL_DAMAGED)
            broken("FAILED at cut %zu: record %" PRIu64 " is damaged", number, k->gseq);
        if (r != 0 && k->gseq <= answered && g->may_go_at > cut)
            broken("FAILED at cut %zu: acknowledged record %" PRIu64 " is missing", number, k->gseq);
    }
    buf_done(&b);
}

static void check_chain(struct spool *s, size_t number, uint64_t answered)
{
    const struct spool_meta *m = spool_meta(s);
    if (m->next_gseq <= answered)
        broken("FAILED at cut %zu: gseq goes back to %" PRIu64 " of %" PRIu64, number, m->next_gseq, answered);
    for (size_t i = 0; i < spool_count(s); i++) {
        const struct spool_seg *g = spool_at(s, i);
        const struct known_seg *k = known_seg(g->segno);
        if (!k || memcmp(k->id, g->id, SEGID_LEN) != 0)
            broken("FAILED at cut %zu: segment %" PRIu64 " was never written", number, g->segno);
        if (!g->closed || g->records > k->records || g->acked > g->records)
            broken("FAILED at cut %zu: segment %" PRIu64 " contradicts itself", number, g->segno);
        if (g->segno >= m->next_segno)
            broken("FAILED at cut %zu: segment numbers go back", number);
        if (g->segno + 1 == m->next_segno &&
            (memcmp(m->prev, g->id, SEGID_LEN) != 0 || (m->prevlen != g->records && !g->trimming)))
            broken("FAILED at cut %zu: the chain's end is not its newest segment", number);
    }
}

/* It is not enough that it opens: it has to take the next punch. */
static void check_usable(struct spool *s, size_t number)
{
    uint8_t id[SEGID_LEN] = {1}, key[ACK_KEY_LEN] = {2}, bytes[128] = {3};
    struct spool_new_seg n = {.segno = spool_meta(s)->next_segno,
                              .id = id,
                              .ack_key = key,
                              .rkid = key,
                              .signed_hdr = BYTES(bytes, sizeof(bytes))};
    int r = spool_add_segment(s, &n);
    if (r == 0)
        r = spool_add_record(s, n.segno, 0, spool_meta(s)->next_gseq, BYTES(bytes, sizeof(bytes)));
    if (r == 0)
        r = spool_commit(s);
    bool has = false;
    if (r == 0)
        r = spool_has(s, n.segno, 0, BYTES(bytes, sizeof(bytes)), &has);
    if (!has)
        broken("FAILED at cut %zu: the next record cannot be stored (%d)", number, r);
}

static void judge(size_t number, size_t cut)
{
    uint64_t answered = 0;
    struct spool *s = NULL;
    for (size_t i = 0; i < cut && i < recorder_count(); i++)
        if (recorder_at(i)->kind == REC_MARK)
            answered = recorder_at(i)->mark;
    int r = spool_probe(t.again); /* as the daemon does: a child may die of it */
    struct spool_options o = t.o;
    o.dir = t.again;
    if (r == 0)
        r = spool_open(&o, &s);
    if (r != 0)
        broken("FAILED at cut %zu: the spool does not open (%d), %" PRIu64 " records were acknowledged", number, r,
               answered);
    check_known(s, number, cut, answered);
    check_chain(s, number, answered);
    check_usable(s, number);
    spool_free(s);
}

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static void read_file(const char *path, struct image *ret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        broken("open %s", path);
    image_grow(ret, (size_t)st.st_size);
    if (read(fd, ret->p, ret->n) != (ssize_t)ret->n)
        broken("read %s", path);
    close(fd);
}

static uint64_t option(int argc, char **argv, const char *name, const char *env, uint64_t def)
{
    const char *text = getenv(env);
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            text = argv[i + 1];
    if (text && str_u64(text, 1, UINT64_MAX, &def) != 0) {
        fprintf(stderr, "spool_cut: %s: not a number\n", name);
        exit(2);
    }
    return def;
}

int main(int argc, char **argv)
{
    size_t cuts = (size_t)option(argc, argv, "--cuts", "PUNCH_CUTS", 200);
    unsigned commits = (unsigned)option(argc, argv, "--commits", "PUNCH_COMMITS", 150);
    struct image base = {0}, now = {0};
    struct spool *s = NULL;
    t.seed = option(argc, argv, "--seed", "PUNCH_SEED", (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20);
    t.rng = t.seed | 1;
    printf("spool_cut: seed %" PRIu64 ", %zu cuts, %u commits\n", t.seed, cuts, commits);
    fflush(stdout);
    const char *tmp = getenv("TMPDIR");
    snprintf(t.root, sizeof(t.root), "%.40s/spool_cut.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(t.root))
        broken("mkdtemp %s", t.root);
    snprintf(t.dir, sizeof(t.dir), "%s/spool", t.root);
    snprintf(t.file, sizeof(t.file), "%s/data.mdb", t.dir);
    snprintf(t.again, sizeof(t.again), "%s/again", t.root);
    t.o = (struct spool_options){.dir = t.dir, .gen = 1, .budget = 4u << 20, .keep_us = 20000000, .keep_size = 100000};
    MUST(crypto_init());
    MUST(spool_open(&t.o, &s));
    read_file(t.file, &base);
    recorder_watch(t.file, true);
    run_workload(s, commits);
    spool_free(s);
    size_t events = recorder_count(), at = 0, *points = calloc(cuts, sizeof(*points));
    if (!points)
        broken("no memory");
    for (size_t i = 0; i < cuts; i++)
        points[i] = (size_t)rnd(events + 1);
    qsort(points, cuts, sizeof(*points), by_size);
    for (size_t i = 0; i < cuts; i++) {
        /* Advance the synced image to the last sync before the cut. */
        size_t last = at;
        for (size_t k = at; k < points[i]; k++)
            if (recorder_at(k)->kind == REC_SYNC)
                last = k + 1;
        for (; at < last; at++)
            if (recorder_at(at)->kind == REC_WRITE)
                image_put(&base, recorder_at(at)->off, recorder_at(at)->data, recorder_at(at)->n);
        rebuild(&base, at, points[i], &now);
        put_file(&now);
        judge(i, points[i]);
    }
    printf("spool_cut: ok, %zu records, %zu segments, %zu writes and syncs, %zu cuts\n", t.n_recs, t.n_segs, events,
           cuts);
    recorder_stop();
    free(points);
    free(base.p);
    free(now.p);
    free(t.recs);
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t.root);
    return system(cmd) == 0 ? 0 : 3;
}
