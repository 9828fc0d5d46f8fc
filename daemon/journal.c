#include "daemon/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#define ATTEMPTS 3
#define SEGMENT_US UINT64_C(3600000000)
#define RECORD_GUESS 240 /* sealed bytes of a punch, at most; what admission reckons with */
#define BUDGET_SHARE 8   /* a segment closes at this part of the budget, so that a small spool can be trimmed */

struct journal {
    struct journal_options o;
    struct seg_writer *writer;
    uint64_t segno, opened, next_gseq, next_segno;
    bool start_staged; /* a segment's first clock record is in this batch */
    struct buf sealed; /* of the entries being committed, for the read-back */
    uint64_t recoveries;
};

int journal_new(const struct journal_options *o, struct journal **ret)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->o = *o;
    buf_init(&j->sealed, (size_t)(JOURNAL_BATCH + 8) * (RECORD_PLAIN_MAX + CRYPTO_TAG));
    *ret = j;
    return 0;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    seg_writer_free(j->writer);
    buf_done(&j->sealed);
    free(j);
}

void journal_drop(struct journal *j)
{
    seg_writer_free(j->writer);
    j->writer = NULL;
}

void journal_close(struct journal *j)
{
    if (!j->writer)
        return;
    spool_close_segment(j->o.spool, j->segno);
    journal_drop(j);
}

bool journal_open_segment(const struct journal *j, uint64_t *ret_segno)
{
    if (!j->writer)
        return false;
    *ret_segno = j->segno;
    return true;
}

uint64_t journal_recoveries(const struct journal *j)
{
    return j->recoveries;
}

void journal_tick(struct journal *j)
{
    if (j->writer && j->o.mono() - j->opened >= SEGMENT_US)
        journal_close(j);
}

static bool segment_ended(const struct journal *j)
{
    const struct spool_seg *g = spool_find(j->o.spool, j->segno);
    return seg_writer_next(j->writer) >= SEG_RECORDS_MAX || j->o.mono() - j->opened >= SEGMENT_US ||
           (g && g->bytes > spool_budget(j->o.spool) / BUDGET_SHARE);
}

/* Seals and stages one record; the index is consumed whatever happens. */
static int put(struct journal *j, struct record *rec, size_t *ret_at, size_t *ret_n, uint64_t *ret_index)
{
    uint8_t plain[RECORD_PLAIN_MAX], sealed[RECORD_PLAIN_MAX + CRYPTO_TAG];
    size_t n;
    rec->gseq = j->next_gseq++;
    int r = record_encode(rec, plain, &n);
    if (r != 0)
        return r;
    uint64_t index = seg_writer_next(j->writer);
    r = seg_writer_seal(j->writer, BYTES(plain, n), sealed);
    crypto_wipe(plain, sizeof(plain));
    if (r != 0)
        return r > 0 ? -EIO : r; /* SEG_FULL cannot be: segment_ended() was asked */
    size_t at = j->sealed.len;
    r = buf_add(&j->sealed, sealed, n + CRYPTO_TAG);
    if (r == 0)
        r = spool_add_record(j->o.spool, j->segno, index, rec->gseq, BYTES(sealed, n + CRYPTO_TAG));
    if (r != 0)
        return r;
    *ret_at = at;
    *ret_n = n + CRYPTO_TAG;
    *ret_index = index;
    return 0;
}

/* A segment begins with a clock record, so that its punches can be put in time by it alone: `first`, if that is one. */
static int open_segment(struct journal *j, const struct record *first)
{
    const struct spool_meta *m = spool_meta(j->o.spool);
    struct seg_hdr hdr = {.gen = j->o.gen, .prevlen = m->prevlen};
    memcpy(hdr.gw, j->o.gw, GW_LEN);
    memcpy(hdr.boot, j->o.boot, BOOT_LEN);
    memcpy(hdr.prev, m->prev, SEGID_LEN);
    hdr.segno = m->next_segno > j->next_segno ? m->next_segno : j->next_segno;
    int r = seg_rkid(j->o.recipient, hdr.rkid);
    if (r == 0)
        r = seg_writer_new(&hdr, j->o.recipient, j->o.sign, &j->writer);
    if (r != 0)
        return r > 0 ? -EIO : r;
    j->segno = hdr.segno;
    j->next_segno = hdr.segno + 1;
    j->opened = j->o.mono();
    bool given = first->kind == RECORD_CLOCK && first->clock.src != CLOCK_SRC_CLOUD;
    struct record clock = *first;
    if (!given)
        j->o.start_clock(j->o.arg, &clock);
    struct spool_new_seg n = {.segno = hdr.segno,
                              .id = seg_writer_id(j->writer),
                              .ack_key = seg_writer_ack_key(j->writer),
                              .rkid = hdr.rkid,
                              .signed_hdr = seg_writer_signed(j->writer),
                              .opened = clock.real};
    if ((r = spool_add_segment(j->o.spool, &n)) != 0 || given)
        return r;
    size_t at, len;
    uint64_t index;
    j->start_staged = true;
    return put(j, &clock, &at, &len, &index);
}

static int stage_entry(struct journal *j, struct entry *e)
{
    int r = 0;
    if (j->writer && segment_ended(j))
        journal_close(j);
    if (!j->writer && (r = open_segment(j, &e->rec)) != 0)
        return r;
    if ((r = put(j, &e->rec, &e->at, &e->n, &e->index)) != 0)
        return r;
    e->segno = j->segno;
    memcpy(e->segid, seg_writer_id(j->writer), SEGID_LEN);
    if (e->mark) {
        struct spool_mark m = {.gseq = e->rec.gseq, .mono = e->rec.mono};
        memcpy(m.hash, e->hash, sizeof(m.hash));
        memcpy(m.boot, j->o.boot, BOOT_LEN);
        r = spool_set_mark(j->o.spool, e->mark, &m);
    }
    return r;
}

int journal_stage(struct journal *j, struct entry *e, size_t n)
{
    const struct spool_meta *m = spool_meta(j->o.spool);
    if (m->next_gseq > j->next_gseq)
        j->next_gseq = m->next_gseq;
    buf_reset(&j->sealed);
    j->start_staged = false;
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        left += !e[i].stored;
    if (left == 0)
        return 0;
    int r = spool_admit(j->o.spool, left + 1, RECORD_GUESS);
    if (r != 0)
        return r == SPOOL_FULL ? JOURNAL_FULL : r;
    for (size_t i = 0; i < n && r == 0; i++)
        if (!e[i].stored) {
            e[i].n = 0; /* its place in an earlier attempt */
            r = stage_entry(j, &e[i]);
        }
    return r;
}

/* After a failed commit. The read-back is believed because spool_reopen() has synced what it found. */
static int recover(struct journal *j, struct entry *e, size_t n)
{
    j->recoveries++;
    journal_drop(j);
    int r = spool_reopen(j->o.spool);
    if (r != 0)
        return r;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (e[i].stored || e[i].n == 0)
            continue;
        r = spool_has(j->o.spool, e[i].segno, e[i].index, BYTES(j->sealed.p + e[i].at, e[i].n), &e[i].stored);
        if (r != 0) /* sealing it anew might store it twice */
            return r;
        found += e[i].stored;
    }
    log_warn("spool.reopened", "found=%zu of=%zu action=\"sealing the rest anew in a new segment\"", found, n);
    return 0;
}

int journal_commit(struct journal *j, struct entry *e, size_t n, int staged)
{
    int r = staged;
    for (unsigned attempt = 0;; attempt++) {
        if (r == JOURNAL_FULL)
            return r;
        if (r == 0) {
            FAULT_KILL("before-commit");
            r = spool_commit(j->o.spool);
        }
        if (r == 0)
            break;
        log_error("spool.commit", "error=%s action=\"opening the spool again\"", log_q(error_str(r)));
        int again = recover(j, e, n);
        if (again != 0)
            return again > 0 ? -EUCLEAN : again;
        if (attempt + 1 == ATTEMPTS)
            return r;
        r = journal_stage(j, e, n);
    }
    FAULT_KILL("after-commit");
    for (size_t i = 0; i < n; i++)
        e[i].stored = true;
    if (j->start_staged)
        j->o.start_stored(j->o.arg);
    j->start_staged = false;
    return 0;
}
