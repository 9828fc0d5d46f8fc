/* The spool on a real disk: what survives, what is refused, what may go, what is set aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "daemon/row.h"
#include "tests/unit/daemon_spool.h"
#include "wire/upload.h"

#define MiB (1u << 20)

static void test_reopen(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, MiB);
    uint64_t a = lab_stored(&l, 3, true), b = lab_stored(&l, 2, false);
    struct spool_mark m = {.gseq = 4, .hash = {1, 2}};
    assert_int_equal(spool_set_mark(l.s, "gate", &m), 0);
    spool_ack(l.s, spool_find(l.s, a), 2, 77);
    spool_take_epoch(l.s, 9);
    assert_int_equal(spool_commit(l.s), 0);
    lab_records(&l, b, 1); /* staged, never committed */
    lab_close(&l);
    assert_int_equal(spool_probe(l.dir), 0);
    lab_open(&l);
    assert_int_equal(spool_count(l.s), 2);
    assert_int_equal(spool_records(l.s), 5);
    assert_int_equal(spool_unacked(l.s), 3);
    assert_int_equal(spool_find(l.s, a)->acked, 2);
    assert_true(spool_find(l.s, b)->closed); /* its key died with its process */
    const struct spool_meta *meta = spool_meta(l.s);
    assert_int_equal(meta->next_gseq, 6);
    assert_int_equal(meta->next_segno, b + 1);
    assert_int_equal(meta->epoch, 9);
    assert_int_equal(meta->cloud_now, 77);
    assert_int_equal(meta->prevlen, 2);
    assert_memory_equal(meta->prev, spool_find(l.s, b)->id, SEGID_LEN);
    struct spool_mark got;
    assert_int_equal(spool_mark(l.s, "gate", &got), 0);
    assert_memory_equal(&got, &m, sizeof(m));
    assert_int_equal(spool_mark(l.s, "door", &got), SPOOL_NONE);
    assert_int_equal(spool_clear_mark(l.s, "gate"), 0);
    assert_int_equal(spool_clear_mark(l.s, "door"), 0); /* clearing none is no error */
    assert_int_equal(spool_commit(l.s), 0);
    assert_int_equal(spool_mark(l.s, "gate", &got), SPOOL_NONE);
    assert_true(lab_has(&l, a, 2));
    assert_true(lab_has(&l, b, 1));
    assert_false(lab_has(&l, b, 2));
    lab_done(&l);
}

static void test_upload(void **state)
{
    static struct upload u;
    struct lab l;
    struct buf msg;
    size_t n;
    (void)state;
    lab_init(&l, 4 * MiB);
    uint64_t segno = lab_stored(&l, 1000, true);
    const struct spool_seg *g = spool_find(l.s, segno);
    buf_init(&msg, UPLOAD_MAX);
    assert_int_equal(spool_upload(l.s, g, 0, 5000, UPLOAD_RESEND, &msg, &n), 0);
    assert_in_range(n, 400, UPLOAD_RECORDS_MAX);
    assert_in_range(msg.len, 1, UPLOAD_MAX);
    assert_int_equal(upload_decode(buf_bytes(&msg), &u), 0);
    assert_int_equal(u.first, 0);
    assert_int_equal(u.n, n);
    assert_int_equal(u.flags, UPLOAD_RESEND);
    assert_true(bytes_equal(u.seg_signed, BYTES(&segno, sizeof(segno)))); /* as it was stored */
    uint8_t sealed[SEALED_N];
    assert_true(bytes_equal(u.recs[7], lab_sealed(segno, 7, sealed)));
    buf_reset(&msg);
    assert_int_equal(spool_upload(l.s, g, 990, 512, 0, &msg, &n), 0);
    assert_int_equal(n, 10);
    assert_int_equal(upload_decode(buf_bytes(&msg), &u), 0);
    assert_int_equal(u.first, 990);
    assert_int_equal(u.flags, UPLOAD_CLOSED); /* the last of a closed segment */
    buf_done(&msg);
    lab_done(&l);
}

/* Fills it with unacknowledged segments until it refuses. */
static size_t fill(struct lab *l)
{
    size_t n = 0;
    int r;
    while ((r = spool_admit(l->s, 50, 240)) == 0) {
        lab_stored(l, 50, true);
        n++;
    }
    assert_int_equal(r, SPOOL_FULL);
    return n;
}

static void test_full(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, MiB);
    l.o.keep_us = UINT64_MAX / 4;
    lab_close(&l);
    lab_open(&l);
    size_t n = fill(&l);
    assert_in_range(spool_bytes(l.s), MiB - 30000, MiB);
    assert_int_equal(spool_records(l.s), 50 * n);
    assert_int_equal(spool_admit(l.s, 50, 240), SPOOL_FULL);
    assert_true(lab_has(&l, 0, 0)); /* what is there is kept */
    /* The map really has room for what the budget promises. */
    struct stat st;
    char file[200];
    snprintf(file, sizeof(file), "%s/data.mdb", l.dir);
    assert_int_equal(stat(file, &st), 0);
    assert_in_range(st.st_size, MiB / 2, MiB + MiB / 4);
    /* An acknowledged segment makes room at once, whatever `keep` says; an open one does not. */
    struct spool_seg *g = spool_at(l.s, 3);
    uint64_t segno = g->segno;
    spool_ack(l.s, g, g->records - 1, 1);
    assert_int_equal(spool_admit(l.s, 50, 240), SPOOL_FULL);
    for (size_t i = 3; i < 6; i++)
        spool_ack(l.s, spool_at(l.s, i), spool_at(l.s, i)->records, 1);
    assert_int_equal(spool_admit(l.s, 50, 240), 0);
    n = spool_count(l.s) + 1;
    assert_null(spool_find(l.s, segno));
    assert_false(lab_has(&l, segno, 0));
    assert_true(lab_has(&l, 0, 0));
    lab_close(&l);
    lab_open(&l);
    assert_int_equal(spool_count(l.s), n - 1);
    lab_done(&l);
}

static void trim_all(struct lab *l)
{
    bool more = true;
    while (more)
        assert_int_equal(spool_trim(l->s, &more), 0);
}

static void test_trim_by_age(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, 4 * MiB);
    uint64_t a = lab_stored(&l, 3000, true), b = lab_stored(&l, 10, true), c = lab_stored(&l, 10, false);
    spool_ack(l.s, spool_find(l.s, a), 3000, 100);
    spool_ack(l.s, spool_find(l.s, c), 10, 100);
    trim_all(&l);
    assert_non_null(spool_find(l.s, a));
    spool_ack(l.s, spool_find(l.s, b), 5, 1100); /* keep is 1000, on the cloud's clock */
    trim_all(&l);
    assert_non_null(spool_find(l.s, a));
    spool_ack(l.s, spool_find(l.s, b), 6, 1101);
    bool more;
    assert_int_equal(spool_trim(l.s, &more), 0); /* in small transactions: 3000 records take several */
    lab_close(&l);
    lab_open(&l); /* a stop in the middle of a trim */
    trim_all(&l);
    assert_null(spool_find(l.s, a));
    assert_false(lab_has(&l, a, 2999));
    assert_non_null(spool_find(l.s, b)); /* not acknowledged to its end */
    assert_non_null(spool_find(l.s, c)); /* was open then: done since its closing */
    assert_int_equal(spool_records(l.s), 20);
    lab_done(&l);
}

static void test_trim_by_size(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, 4 * MiB);
    l.o.keep_us = UINT64_MAX / 4;
    l.o.keep_size = 40000;
    lab_close(&l);
    lab_open(&l);
    for (unsigned i = 0; i < 6; i++) {
        uint64_t segno = lab_stored(&l, 100, true); /* some 15 kB each */
        spool_ack(l.s, spool_find(l.s, segno), 100, 1);
    }
    trim_all(&l);
    assert_int_equal(spool_count(l.s), 2);
    assert_null(spool_find(l.s, 3)); /* the oldest went first */
    assert_non_null(spool_find(l.s, 4));
    lab_done(&l);
}

static void test_epoch(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, MiB);
    uint64_t a = lab_stored(&l, 5, true);
    spool_take_epoch(l.s, 3);
    spool_ack(l.s, spool_find(l.s, a), 5, 1);
    assert_int_equal(spool_unacked(l.s), 0);
    spool_take_epoch(l.s, 4);
    assert_int_equal(spool_find(l.s, a)->acked, 0);
    assert_int_equal(spool_unacked(l.s), 5);
    assert_int_equal(spool_commit(l.s), 0);
    lab_close(&l);
    lab_open(&l);
    assert_int_equal(spool_unacked(l.s), 5);
    assert_int_equal(spool_meta(l.s)->epoch, 4);
    lab_done(&l);
}

/* ---- damage ---- */

/* Overwrites bytes of the file: where record (segno, index) lies, or at an offset. */
static void damage(const struct lab *l, const void *needle, size_t n, off_t off)
{
    struct buf b;
    char file[200];
    buf_init(&b, 64 * MiB);
    snprintf(file, sizeof(file), "%s/data.mdb", l->dir);
    if (needle) {
        assert_int_equal(file_read(file, &b), 0);
        const uint8_t *at = memmem(b.p, b.len, needle, n);
        assert_non_null(at);
        off = at - b.p + 50;
        assert_null(memmem(at + 1, b.len - (size_t)(at + 1 - b.p), needle, n)); /* no older copy of the page */
    }
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff\xfe", 2, off), 2);
    close(fd);
    buf_done(&b);
}

static void test_damaged_record(void **state)
{
    struct lab l;
    struct buf msg;
    size_t n = 0;
    uint8_t sealed[SEALED_N];
    (void)state;
    lab_init(&l, MiB);
    uint64_t a = lab_stored(&l, 20, true);
    lab_close(&l);
    lab_sealed(a, 7, sealed);
    damage(&l, sealed, sizeof(sealed), 0);
    assert_int_equal(spool_probe(l.dir), 0); /* one record is no reason to set the whole aside */
    lab_open(&l);
    const struct spool_seg *g = spool_find(l.s, a);
    buf_init(&msg, UPLOAD_MAX);
    assert_int_equal(spool_upload(l.s, g, 0, 512, 0, &msg, &n), 0);
    assert_int_equal(n, 7); /* those in front of it go out */
    buf_reset(&msg);
    assert_int_equal(spool_upload(l.s, g, 7, 512, 0, &msg, &n), SPOOL_DAMAGED);
    buf_done(&msg);
    assert_int_equal(spool_lose(l.s, a, 7), 0);
    assert_int_equal(spool_lose(l.s, a, 7), 0); /* once is enough */
    assert_int_equal(spool_commit(l.s), 0);
    lab_close(&l);
    lab_open(&l);
    g = spool_find(l.s, a);
    assert_int_equal(g->n_holes, 1);
    assert_int_equal(spool_seg_skip(g, 7), 8);
    assert_int_equal(spool_seg_skip(g, 6), 6);
    buf_init(&msg, UPLOAD_MAX);
    assert_int_equal(spool_upload(l.s, g, 8, 512, 0, &msg, &n), 0);
    assert_int_equal(n, 12); /* and those behind it */
    buf_done(&msg);
    spool_ack(l.s, spool_find(l.s, a), 19, 1);
    assert_int_equal(spool_lose(l.s, a, 19), 0); /* the last one: no ack will ever count it */
    assert_int_equal(spool_unacked(l.s), 0);
    spool_ack(l.s, spool_find(l.s, lab_stored(&l, 1, true)), 1, INT64_MAX / 2);
    trim_all(&l);
    assert_null(spool_find(l.s, a)); /* done like any other */
    uint64_t b = lab_stored(&l, 20, true);
    for (uint64_t i = 0; i < SPOOL_HOLES; i++)
        assert_int_equal(spool_lose(l.s, b, 15 - i), 0);
    assert_int_equal(spool_seg_skip(spool_find(l.s, b), 0), 16);
    assert_int_equal(spool_lose(l.s, b, 18), SPOOL_FULL);
    lab_done(&l);
}

static void test_corrupt(void **state)
{
    struct lab l;
    char moved[64], path[300];
    (void)state;
    lab_init(&l, MiB);
    lab_stored(&l, 2000, true);
    lab_close(&l);
    snprintf(path, sizeof(path), "%s/data.mdb", l.dir);
    assert_int_equal(truncate(path, 40000), 0); /* as after a file system's repair */
    assert_int_equal(spool_probe(l.dir), SPOOL_CORRUPT);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(spool_set_aside(l.dir, "damaged-spool-1", moved, sizeof(moved)), 0);
        assert_string_equal(moved, i == 0 ? "damaged-spool-1" : "damaged-spool-1.1");
        snprintf(path, sizeof(path), "%s/%s/data.mdb", l.root, moved);
        assert_true(file_exists(path)); /* kept for who wants to look */
        assert_int_equal(spool_probe(l.dir), SPOOL_NONE);
        l.o.first_gseq = 1 << 20;
        l.o.first_segno = 7;
        lab_open(&l);
        assert_int_equal(spool_records(l.s), 0);
        assert_int_equal(spool_meta(l.s)->next_gseq, 1 << 20);
        assert_int_equal(lab_stored(&l, 3, true), 7);
        lab_close(&l);
    }
    lab_done(&l);
}

/* What the probe called sound has to open, take records and let go of them; in a child, for LMDB may abort. */
static bool usable(struct lab *l)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct spool *s = NULL;
        bool more = true;
        for (int sig = 1; sig < 32; sig++)
            signal(sig, SIG_DFL);
        (void)!freopen("/dev/null", "w", stderr);
        if (spool_open(&l->o, &s) != 0)
            _exit(1);
        l->s = s;
        for (unsigned i = 0; i < 20; i++)
            lab_stored(l, 100, true);
        for (size_t i = 0; i < spool_count(s); i++)
            spool_ack(s, spool_at(s, i), spool_at(s, i)->records, (int64_t)i * 10000);
        int r = 0;
        while (r == 0 && more)
            r = spool_trim(s, &more);
        _exit(r == 0 ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_garbage(void **state)
{
    struct lab l;
    struct buf b;
    char path[300];
    (void)state;
    lab_init(&l, MiB);
    for (unsigned i = 0; i < 30; i++)
        lab_stored(&l, 50, true); /* many transactions: pages that wait to be used again */
    for (size_t i = 0; i < 10; i++)
        spool_ack(l.s, spool_at(l.s, i), 50, (int64_t)i * 10000);
    trim_all(&l);
    lab_close(&l);
    snprintf(path, sizeof(path), "%s/data.mdb", l.dir);
    buf_init(&b, 64 * MiB);
    assert_int_equal(file_read(path, &b), 0);
    /* Every page in turn is overwritten with noise: it opens, or it is called corrupt; nothing else. */
    unsigned corrupt = 0;
    for (size_t page = 0; page + 4096 <= b.len; page += 4096) {
        struct buf copy;
        buf_init(&copy, 64 * MiB);
        assert_int_equal(buf_add(&copy, b.p, b.len), 0);
        for (size_t i = 0; i < 4096; i++)
            copy.p[page + i] = (uint8_t)(page / 4096 * 31 + i * i * 7 + i / 3);
        assert_int_equal(file_write(path, buf_bytes(&copy), 0600), 0);
        buf_done(&copy);
        int r = spool_probe(l.dir);
        assert_true(r == 0 || r == SPOOL_CORRUPT);
        corrupt += r == SPOOL_CORRUPT;
        assert_true(r == SPOOL_CORRUPT || usable(&l));
    }
    assert_true(corrupt > 5);
    buf_done(&b);
    lab_done(&l);
}

/* Somebody lowers the budget below what is kept: it has to open, refuse, and let go of what is acknowledged. */
static void test_smaller_budget(void **state)
{
    struct lab l;
    (void)state;
    lab_init(&l, 8 * MiB);
    for (unsigned i = 0; i < 40; i++)
        lab_stored(&l, 500, true);
    lab_close(&l);
    l.o.budget = MiB;
    for (unsigned i = 0; i < 3; i++) {
        lab_open(&l);
        assert_int_equal(spool_records(l.s), 40 * 500);
        assert_int_equal(spool_admit(l.s, 1, 240), SPOOL_FULL);
        lab_close(&l);
    }
    lab_open(&l);
    for (unsigned i = 0; i < 40; i++)
        spool_ack(l.s, spool_at(l.s, i), 500, 1);
    assert_int_equal(spool_admit(l.s, 50, 240), 0);
    lab_stored(&l, 50, true);
    lab_done(&l);
}

static void test_generations(void **state)
{
    struct lab l;
    struct spool_meta m;
    (void)state;
    lab_init(&l, MiB);
    lab_stored(&l, 1, true);
    lab_close(&l);
    assert_int_equal(spool_peek(l.dir, &m), 0);
    assert_int_equal(m.gen, 5);
    l.o.gen = 6;
    assert_int_equal(spool_open(&l.o, &l.s), SPOOL_NONE);
    l.o.gen = 4;
    assert_int_equal(spool_open(&l.o, &l.s), SPOOL_NEWER);
    l.o.gen = 5;
    l.o.gw[0] = 99;
    assert_int_equal(spool_open(&l.o, &l.s), SPOOL_NONE);
    l.o.gw[0] = 1;
    lab_open(&l);
    lab_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reopen),         cmocka_unit_test(test_upload),       cmocka_unit_test(test_full),
        cmocka_unit_test(test_trim_by_age),    cmocka_unit_test(test_trim_by_size), cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_damaged_record), cmocka_unit_test(test_corrupt),      cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_smaller_budget), cmocka_unit_test(test_generations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
