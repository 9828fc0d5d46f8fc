/* The lines of an exported trail; see audit_lines.h. */
#include "cloud/audit_lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/audit_impl.h"

/* Events, and so at most as many checkpoints: those of one block, whose tags are learned once. */
#define PIECE AUDIT_BLOCK

static int add_chunk(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) < 0 ? -1 : 0;
}

static void add_string(struct buf *b, const char *s)
{
    json_t *v = json_string(s);
    if (v == NULL || json_dump_callback(v, add_chunk, b, JSON_ENCODE_ANY | JSON_COMPACT) != 0)
        b->failed = true;
    json_decref(v);
}

static void add_hex(struct buf *b, const char *member, const void *p, size_t n)
{
    char hex[2 * CRYPTO_HASH + 1];
    buf_addf(b, "\"%s\":\"%s\"", member, str_hex(p, n, hex));
}

/* Its leaf proves that there was an event, and all those behind it. */
static void add_damaged(struct buf *b, const struct audit_row *row)
{
    buf_addf(b, "{\"damaged\":true,");
    if (row->has_leaf)
        add_hex(b, "leaf", row->leaf, CRYPTO_HASH);
    else
        buf_addf(b, "\"leaf\":null");
    buf_addf(b, ",\"seq\":%llu}\n", (unsigned long long)row->seq);
}

static void add_event(struct buf *b, const struct audit_row *row)
{
    if (row->core == NULL) {
        add_damaged(b, row);
        return;
    }
    buf_addf(b, "{\"core\":");
    buf_add(b, row->core, strlen(row->core));
    buf_addf(b, row->damaged ? ",\"damaged\":true,\"details\":[" : ",\"details\":[");
    for (size_t i = 0; i < row->n_details; i++) {
        const struct audit_detail *d = &row->details[i];
        buf_addf(b, i > 0 ? ",{" : "{");
        if (d->open) {
            add_hex(b, "salt", d->salt, AUDIT_SALT);
            buf_addf(b, ",\"text\":");
            add_string(b, d->text);
        } else {
            add_hex(b, "commitment", d->commitment, CRYPTO_HASH);
        }
        buf_addf(b, "}");
    }
    buf_addf(b, "],");
    add_hex(b, "leaf", row->leaf, CRYPTO_HASH);
    buf_addf(b, ",\"whose\":[");
    for (size_t i = 0; i < row->n_whose; i++) {
        const struct audit_whose *w = &row->whose[i];
        buf_addf(b, i > 0 ? ",{" : "{");
        if (w->known) {
            add_hex(b, "person", w->who.id, ID_LEN);
            buf_addf(b, ",");
            add_hex(b, "salt", w->salt, AUDIT_SALT);
        } else {
            add_hex(b, "tag", w->tag, AUDIT_TAG);
        }
        buf_addf(b, "}");
    }
    buf_addf(b, "]}\n");
}

static void add_checkpoint(struct buf *b, const struct checkpoint_text *p)
{
    char time[32];
    buf_addf(b, "{\"checkpoint\":\"%s\",\"epoch\":%llu,", p->text, (unsigned long long)p->said.epoch);
    add_hex(b, "head", p->said.head, CRYPTO_HASH);
    buf_addf(b, ",\"seq\":%llu,\"time\":\"%s\"}\n", (unsigned long long)p->said.seq, str_time(p->said.time, time));
}

static int add_header(struct buf *b, const struct scope *s, struct audit_lines *x)
{
    uint8_t head[CRYPTO_HASH];
    char time[32];
    int r = audit_head_before(s, &x->next, head);
    if (r != 0)
        return r;
    buf_addf(b, "{\"format\":{\"name\":\"punchline-audit\",\"version\":1},\"from\":%llu,", (unsigned long long)x->next);
    add_hex(b, "head", head, sizeof head);
    buf_addf(b, ",\"made\":\"%s\",\"tenant\":\"%s\",\"to\":%llu}\n", str_time(clock_real(), time), x->tenant,
             (unsigned long long)x->to);
    if (x->next > x->to) /* nothing to show, but that there is nothing */
        add_checkpoint(b, &x->last);
    return b->failed ? -ENOMEM : 0;
}

static int take_seq(void *arg, const struct checkpoint_text *p)
{
    *(uint64_t *)arg = p->said.seq;
    return 0;
}

int audit_lines_begin(struct cloud *c, struct db *db, const char *tenant, uint64_t from, uint64_t to, bool disclose,
                      struct audit_lines *ret, struct buf *ret_text)
{
    struct audit_lines x = {.cloud = c, .next = from, .disclose = disclose};
    struct scope s;
    uint64_t key_gen;
    int r = str_copy(x.tenant, sizeof x.tenant, tenant);
    if (r == 0)
        r = checkpoint_make(c, db, tenant, true, &x.last);
    if (r == 0)
        r = scope_fenced(c, db, x.tenant, &s, &key_gen);
    if (r != 0)
        return r;
    x.to = x.last.said.seq;
    if (x.next > x.to + 1)
        x.next = x.to + 1;
    if (to > 0 && to < x.to)
        r = checkpoint_each(&s, to > x.next ? to : x.next, x.to, 1, take_seq, &x.to);
    if (r == 0)
        r = add_header(ret_text, &s, &x);
    if (r == 0)
        *ret = x;
    return r;
}

struct piece {
    struct buf *text;
    audit_fn *fn;
    void *arg;
    size_t n, at;
    struct checkpoint_text *points;
};

static int take_point(void *arg, const struct checkpoint_text *p)
{
    struct piece *x = arg;
    x->points[x->n++] = *p;
    return 0;
}

static int take_event(void *arg, const struct audit_row *row)
{
    struct piece *x = arg;
    int r = x->fn != NULL ? x->fn(x->arg, row) : 0;
    if (r != 0)
        return r;
    add_event(x->text, row);
    while (x->at < x->n && x->points[x->at].said.seq <= row->seq)
        add_checkpoint(x->text, &x->points[x->at++]);
    return x->text->failed ? -ENOMEM : 0;
}

static int read_piece(struct audit_lines *x, struct db *db, struct audit_reader *reader, struct piece *p)
{
    struct scope s;
    uint64_t key_gen, left = x->to - x->next + 1, block = PIECE - x->next % PIECE;
    size_t n = (size_t)(left < block ? left : block);
    int r = scope_fenced(x->cloud, db, x->tenant, &s, &key_gen);
    if (r != 0)
        return r;
    r = checkpoint_each(&s, x->next, x->next + n - 1, PIECE, take_point, p);
    uint64_t from = x->next;
    if (r == 0)
        r = audit_each(reader, &s, from, n, take_event, p, &x->next);
    return r == 0 && x->next == from ? -EIO : r; /* the chain became shorter meanwhile */
}

int audit_lines_more(struct audit_lines *x, struct db *db, audit_fn *fn, void *arg, struct buf *ret_text)
{
    struct audit_reader *reader = NULL;
    struct piece p = {.text = ret_text, .fn = fn, .arg = arg};
    if (x->next > x->to)
        return AUDIT_LINES_END;
    p.points = calloc(PIECE, sizeof *p.points);
    int r = p.points == NULL ? -ENOMEM : audit_reader_new(x->disclose, &reader);
    if (r == 0)
        r = read_piece(x, db, reader, &p);
    audit_reader_free(reader);
    free(p.points);
    return r != 0 ? r : x->next > x->to ? AUDIT_LINES_END : 0;
}
