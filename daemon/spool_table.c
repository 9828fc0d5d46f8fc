/* The spool's tables in memory, what is staged for the next transaction, and what may be deleted. Disk is spool.c's. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/spool_impl.h"
#include "wire/upload.h"

#define STAGED_MAX_OPS 65536u
#define SEG_COST 1400 /* head, row and their share of pages; a mark or two */

/* What a node takes of its page when pages fill up in order of keys (4,096 bytes, 16 of header; a node is its key, its
 * value, 8 bytes of header and a 2-byte pointer, rounded to even). */
static uint64_t node_cost(size_t key, size_t value)
{
    size_t node = (key + value + 8 + 2 + 1) & ~(size_t)1;
    return 4096 / (4080 / node);
}

static uint64_t record_cost(size_t sealed)
{
    return node_cost(ROW_KEY_REC, sealed + REC_EXTRA);
}

static struct spool_seg **bucket(struct spool *s, const uint8_t *id)
{
    return &s->by_id[(unsigned)(id[0] << 8 | id[1]) & (SPOOL_BUCKETS - 1)];
}

int spool_seg_insert(struct spool *s, const struct spool_seg *from, struct spool_seg **ret)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct spool_seg **more = realloc(s->segs, cap * sizeof(struct spool_seg *));
        if (!more)
            return -ENOMEM;
        s->segs = more;
        s->cap = cap;
    }
    struct spool_seg *g = malloc(sizeof(*g));
    if (!g)
        return -ENOMEM;
    *g = *from;
    struct spool_seg **b = bucket(s, g->id);
    g->next_by_id = *b;
    *b = g;
    s->segs[s->n++] = g;
    s->bytes += g->bytes;
    *ret = g;
    return 0;
}

void spool_seg_remove(struct spool *s, struct spool_seg *g)
{
    for (struct spool_seg **b = bucket(s, g->id); *b; b = &(*b)->next_by_id)
        if (*b == g) {
            *b = g->next_by_id;
            break;
        }
    for (size_t i = 0; i < s->n; i++)
        if (s->segs[i] == g) {
            memmove(&s->segs[i], &s->segs[i + 1], (s->n - i - 1) * sizeof(struct spool_seg *));
            s->n--;
            break;
        }
    s->bytes -= g->bytes;
    free(g);
}

void spool_forget(struct spool *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->segs[i]);
    s->n = 0;
    s->bytes = 0;
    memset(s->by_id, 0, sizeof(s->by_id));
    buf_reset(&s->staged);
    s->nops = 0;
    s->meta_dirty = false;
}

/* ---- looking ---- */

const struct spool_meta *spool_meta(const struct spool *s)
{
    return &s->meta;
}

uint64_t spool_bytes(const struct spool *s)
{
    return s->bytes;
}

uint64_t spool_budget(const struct spool *s)
{
    return s->o.budget;
}

size_t spool_count(const struct spool *s)
{
    return s->n;
}

struct spool_seg *spool_at(const struct spool *s, size_t i)
{
    return s->segs[i];
}

bool spool_broken(const struct spool *s)
{
    return s->broken;
}

bool spool_staged(const struct spool *s)
{
    return s->nops > 0 || s->meta_dirty;
}

uint64_t spool_records(const struct spool *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->segs[i]->trimming ? 0 : s->segs[i]->records;
    return n;
}

uint64_t spool_unacked(const struct spool *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->segs[i]->trimming ? 0 : s->segs[i]->records - spool_seg_skip(s->segs[i], s->segs[i]->acked);
    return n;
}

struct spool_seg *spool_find(const struct spool *s, uint64_t segno)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->segs[mid]->segno < segno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && s->segs[lo]->segno == segno ? s->segs[lo] : NULL;
}

struct spool_seg *spool_find_id(const struct spool *s, const uint8_t id[SEGID_LEN])
{
    struct spool_seg *g = s->by_id[(unsigned)(id[0] << 8 | id[1]) & (SPOOL_BUCKETS - 1)];
    while (g && memcmp(g->id, id, SEGID_LEN) != 0)
        g = g->next_by_id;
    return g;
}

uint64_t spool_seg_skip(const struct spool_seg *g, uint64_t index)
{
    for (unsigned i = 0; i < g->n_holes; i++)
        if (g->holes[i] == index)
            index++;
    return index;
}

/* ---- staging ---- */

static void touch(struct spool *s, struct spool_seg *g)
{
    g->dirty = true;
    s->meta_dirty = true;
}

/* `prefix` bytes in front of the value are left for its CRC. */
static int stage(struct spool *s, enum op_kind kind, struct bytes key, struct bytes head, struct bytes value)
{
    static const uint8_t zeros[ROW_CRC];
    if (s->broken)
        return -EIO;
    if (s->nops == s->cap_ops) {
        size_t cap = s->cap_ops ? s->cap_ops * 2 : 128;
        struct op *more = cap > STAGED_MAX_OPS ? NULL : realloc(s->ops, cap * sizeof(*more));
        if (!more)
            return -ENOMEM;
        s->ops = more;
        s->cap_ops = cap;
    }
    struct op op = {.kind = kind, .key = s->staged.len, .nkey = key.n};
    int r = buf_add(&s->staged, key.p, key.n);
    op.val = s->staged.len;
    if (r == 0 && kind != OP_UNMARK && kind != OP_MARK)
        r = buf_add(&s->staged, zeros, sizeof(zeros));
    if (r == 0 && head.n > 0)
        r = buf_add(&s->staged, head.p, head.n);
    if (r == 0 && value.n > 0)
        r = buf_add(&s->staged, value.p, value.n);
    if (r != 0) {
        s->broken = true; /* half a batch must never be committed */
        return r;
    }
    op.nval = s->staged.len - op.val;
    if (kind == OP_HEAD || kind == OP_RECORD)
        row_seal(key, s->staged.p + op.val, op.nval);
    s->ops[s->nops++] = op;
    return 0;
}

int spool_add_segment(struct spool *s, const struct spool_new_seg *n)
{
    ASSERT(n->segno >= s->meta.next_segno);
    struct spool_seg g = {.segno = n->segno, .opened = n->opened, .bytes = SEG_COST};
    memcpy(g.id, n->id, SEGID_LEN);
    memcpy(g.ack_key, n->ack_key, ACK_KEY_LEN);
    memcpy(g.rkid, n->rkid, RKID_LEN);
    uint8_t key[ROW_KEY_SEG];
    row_key_seg(n->segno, key);
    int r = stage(s, OP_HEAD, BYTES(key, sizeof(key)), BYTES_NONE, n->signed_hdr);
    struct spool_seg *in = NULL;
    if (r == 0 && (r = spool_seg_insert(s, &g, &in)) != 0)
        s->broken = true;
    if (r != 0)
        return r;
    s->meta.next_segno = n->segno + 1;
    memcpy(s->meta.prev, n->id, SEGID_LEN);
    s->meta.prevlen = 0;
    touch(s, in);
    return 0;
}

int spool_add_record(struct spool *s, uint64_t segno, uint64_t index, uint64_t gseq, struct bytes sealed)
{
    struct spool_seg *g = spool_find(s, segno);
    ASSERT(g && !g->closed && g->records == index);
    uint8_t key[ROW_KEY_REC], head[8];
    row_key_rec(segno, index, key);
    row_key_seg(gseq, head); /* eight bytes, big-endian */
    int r = stage(s, OP_RECORD, BYTES(key, sizeof(key)), BYTES(head, sizeof(head)), sealed);
    if (r != 0)
        return r;
    uint64_t cost = record_cost(sealed.n);
    if (g->acked == index) {
        uint64_t now = clock_mono();
        g->wait = (struct spool_wait){.since = now, .mark = index, .mark_at = now};
    }
    g->records++;
    g->bytes += cost;
    s->bytes += cost;
    if (gseq >= s->meta.next_gseq)
        s->meta.next_gseq = gseq + 1;
    if (segno + 1 == s->meta.next_segno)
        s->meta.prevlen = g->records;
    touch(s, g);
    return 0;
}

static void settle(struct spool *s, struct spool_seg *g)
{
    if (g->closed && spool_seg_skip(g, g->acked) == g->records && g->done_at == 0)
        g->done_at = s->meta.cloud_now;
}

void spool_close_segment(struct spool *s, uint64_t segno)
{
    struct spool_seg *g = spool_find(s, segno);
    if (!g || g->closed)
        return;
    g->closed = true;
    settle(s, g);
    touch(s, g);
}

int spool_lose(struct spool *s, uint64_t segno, uint64_t index)
{
    struct spool_seg *g = spool_find(s, segno);
    unsigned at = 0;
    if (!g || g->trimming)
        return 0;
    while (at < g->n_holes && g->holes[at] < index)
        at++;
    if (at == g->n_holes || g->holes[at] != index) {
        if (g->n_holes == SPOOL_HOLES)
            return SPOOL_FULL;
        memmove(&g->holes[at + 1], &g->holes[at], (g->n_holes - at) * sizeof(g->holes[0]));
        g->holes[at] = (uint32_t)index;
        g->n_holes++;
    }
    g->tx.damage_told = false;
    settle(s, g);
    touch(s, g);
    return 0;
}

int spool_set_mark(struct spool *s, const char *reader, const struct spool_mark *m)
{
    uint8_t row[ROW_MARK_LEN];
    row_put_mark(reader, m, row);
    return stage(s, OP_MARK, BYTES_STR(reader), BYTES_NONE, BYTES(row, sizeof(row)));
}

int spool_clear_mark(struct spool *s, const char *reader)
{
    return stage(s, OP_UNMARK, BYTES_STR(reader), BYTES_NONE, BYTES_NONE);
}

void spool_ack(struct spool *s, struct spool_seg *g, uint64_t next, int64_t cloud_now)
{
    ASSERT(next <= g->records);
    if (cloud_now > s->meta.cloud_now)
        s->meta.cloud_now = cloud_now;
    g->acked = next;
    if (next >= g->wait.mark) {
        if (g->wait.mark_at != 0)
            g->wait.since = g->wait.mark_at;
        g->wait.mark = g->records;
        g->wait.mark_at = clock_mono();
    }
    settle(s, g);
    touch(s, g);
}

void spool_take_epoch(struct spool *s, uint64_t epoch)
{
    uint64_t now = clock_mono();
    bool first = s->meta.epoch == 0; /* nothing was acknowledged under another one */
    s->meta.epoch = epoch;
    s->meta_dirty = true;
    if (first)
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct spool_seg *g = s->segs[i];
        if (g->trimming || (g->acked == 0 && g->tx.sent == 0))
            continue;
        g->acked = 0;
        g->done_at = 0;
        g->tx = (struct spool_tx){.high = g->tx.high};
        g->wait = (struct spool_wait){.since = now, .mark = g->records, .mark_at = now};
        touch(s, g);
    }
}

/* ---- what may go ---- */

static bool deletable(const struct spool_seg *g)
{
    return g->closed && !g->trimming && spool_seg_skip(g, g->acked) == g->records;
}

struct spool_seg *spool_trim_pick(struct spool *s, bool pressure)
{
    struct spool_seg *oldest = NULL, *expired = NULL;
    uint64_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct spool_seg *g = s->segs[i];
        if (g->trimming)
            return g;
        if (!deletable(g))
            continue;
        kept += g->bytes;
        if (!oldest)
            oldest = g;
        if (!expired && g->done_at > 0 && s->meta.cloud_now - g->done_at > (int64_t)s->o.keep_us)
            expired = g;
    }
    return pressure || kept > s->o.keep_size ? oldest : expired;
}

static int trim_once(struct spool *s, bool pressure, bool *ret_did)
{
    struct spool_seg *g = s->broken ? NULL : spool_trim_pick(s, pressure);
    *ret_did = g != NULL;
    if (!g)
        return s->broken ? -EIO : 0;
    if (!g->trimming) {
        g->trimming = true;
        touch(s, g);
    }
    bool gone = false;
    int r = spool_write(s, g, &gone);
    if (r == 0 && gone)
        spool_seg_remove(s, g);
    return r;
}

int spool_trim(struct spool *s, bool *ret_more)
{
    bool did = true;
    int r = 0;
    for (unsigned i = 0; i < 4 && r == 0 && did; i++)
        r = trim_once(s, false, &did);
    *ret_more = did && r == 0;
    return r;
}

int spool_admit(struct spool *s, size_t n, size_t each)
{
    uint64_t need = n * record_cost(each) + SEG_COST;
    bool did = true;
    while (did && s->bytes + need > s->o.budget) {
        int r = trim_once(s, true, &did);
        if (r != 0)
            return r;
    }
    if (s->broken)
        return -EIO;
    return s->bytes + need > s->o.budget ? SPOOL_FULL : 0;
}

int spool_commit(struct spool *s)
{
    bool gone;
    return spool_write(s, NULL, &gone);
}
