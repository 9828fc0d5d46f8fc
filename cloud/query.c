/* Reading punches; see query.h. Days are walked in order; of a day's rows only the best `limit + 1` are kept, in a
 * heap, so that memory does not grow with the day. */
#include "cloud/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/correction.h"
#include "cloud/people_impl.h"
#include "cloud/query_impl.h"
#include "cloud/site.h"

/* ---- positions ---- */

static int compare_pos(const struct punch_pos *a, const struct punch_pos *b)
{
    if (a->pending != b->pending)
        return a->pending ? 1 : -1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    int c = memcmp(a->gw, b->gw, GW_LEN);
    if (c != 0)
        return c;
    if (a->gen != b->gen)
        return a->gen < b->gen ? -1 : 1;
    if (a->gseq != b->gseq)
        return a->gseq < b->gseq ? -1 : 1;
    c = memcmp(a->segid, b->segid, SEGID_LEN);
    if (c != 0)
        return c;
    return a->index == b->index ? 0 : a->index < b->index ? -1 : 1;
}

#define POS_BYTES (1 + 8 + GW_LEN + 8 + 8 + SEGID_LEN + 8)

void punch_pos_text(const struct punch_pos *p, char ret[PUNCH_POS_TEXT_MAX])
{
    uint8_t b[POS_BYTES];
    b[0] = p->pending ? 1 : 0;
    be_put(b + 1, (uint64_t)p->time, 8);
    memcpy(b + 9, p->gw, GW_LEN);
    be_put(b + 17, p->gen, 8);
    be_put(b + 25, p->gseq, 8);
    memcpy(b + 33, p->segid, SEGID_LEN);
    be_put(b + 33 + SEGID_LEN, p->index, 8);
    str_b64url(b, sizeof b, ret);
}

int punch_pos_parse(const char *text, struct punch_pos *ret_pos)
{
    uint8_t b[POS_BYTES];
    size_t n;
    if (str_unb64url(text, strlen(text), b, sizeof b, &n) != 0 || n != sizeof b || b[0] > 1)
        return -EINVAL;
    struct punch_pos p = {.pending = b[0] == 1, .time = (int64_t)be_get(b + 1, 8)};
    memcpy(p.gw, b + 9, GW_LEN);
    p.gen = be_get(b + 17, 8);
    p.gseq = be_get(b + 25, 8);
    memcpy(p.segid, b + 33, SEGID_LEN);
    p.index = be_get(b + 33 + SEGID_LEN, 8);
    *ret_pos = p;
    return 0;
}

/* ---- the best rows so far: a heap with the worst on top ---- */

struct hit {
    struct punch_pos pos;
    uint8_t key_id[KEY_ID_LEN];
    enum key_kind kind;
    struct filed f;
};

struct search {
    const struct punch_query *q;
    const struct scope *s;
    struct sites sites;
    bool has_key;
    uint8_t key_id[KEY_ID_LEN]; /* the person's */
    bool pending;               /* which table is walked */
    bool damaged;
    bool has_seen; /* who was looked at last for q->fits */
    struct person seen;
    size_t cap, n;
    struct hit *hits; /* cap of them, n in use */
    struct hit **heap;
};

static void swap(struct hit **a, struct hit **b)
{
    struct hit *t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(struct hit **h, size_t n, size_t i)
{
    for (;;) {
        size_t worst = i, l = 2 * i + 1, r = l + 1;
        if (l < n && compare_pos(&h[l]->pos, &h[worst]->pos) > 0)
            worst = l;
        if (r < n && compare_pos(&h[r]->pos, &h[worst]->pos) > 0)
            worst = r;
        if (worst == i)
            return;
        swap(&h[i], &h[worst]);
        i = worst;
    }
}

static void sift_up(struct hit **h, size_t i)
{
    while (i > 0 && compare_pos(&h[i]->pos, &h[(i - 1) / 2]->pos) > 0) {
        swap(&h[i], &h[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void keep(struct search *x, const struct punch_pos *pos, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind,
                 struct filed *f)
{
    bool full = x->n == x->cap;
    if (full && compare_pos(pos, &x->heap[0]->pos) >= 0)
        return;
    struct hit *h = full ? x->heap[0] : &x->hits[x->n];
    if (full)
        filed_done(&h->f);
    *h = (struct hit){.pos = *pos, .kind = kind, .f = *f};
    memcpy(h->key_id, key_id, KEY_ID_LEN);
    f->plain = NULL;
    if (full) {
        sift_down(x->heap, x->n, 0);
    } else {
        x->heap[x->n] = h;
        sift_up(x->heap, x->n++);
    }
}

/* ---- one row ---- */

int sites_init(struct sites *x, const struct scope *s)
{
    x->s = s;
    int r = correction_any(s, &x->corrected);
    if (r == 0)
        r = gateway_list(s->db, s->tenant, &x->gateways);
    return r != 0 ? r : directions_load(s, &x->directions);
}

void sites_done(struct sites *x)
{
    gateway_list_done(&x->gateways);
    directions_done(&x->directions);
    crypto_wipe(x->people, sizeof x->people);
}

const struct gateway *sites_gateway(struct sites *x, const uint8_t gw[GW_LEN], uint64_t gen)
{
    for (size_t i = 0; i < x->gateways.n; i++)
        if (memcmp(x->gateways.items[i].gw, gw, GW_LEN) == 0 && x->gateways.items[i].gen == gen)
            return &x->gateways.items[i];
    struct gateway g;
    bool latest;
    if (gateway_find(x->s->db, gw, gen, &g, &latest) != 0)
        return NULL;
    struct gateway *p = realloc(x->gateways.items, (x->gateways.n + 1) * sizeof *p);
    if (p == NULL)
        return NULL;
    x->gateways.items = p;
    p[x->gateways.n] = g;
    return &p[x->gateways.n++];
}

const char *sites_of(struct sites *x, const uint8_t gw[GW_LEN], uint64_t gen)
{
    const struct gateway *g = sites_gateway(x, gw, gen);
    return g != NULL ? g->site : "";
}

const uint8_t *sites_id(struct sites *x, const struct filed *f)
{
    if (f->flags & FILED_ADDED)
        return f->has_site ? f->site : NULL;
    const struct gateway *g = sites_gateway(x, f->gw, f->gen);
    return g != NULL ? g->site_id : NULL;
}

/* "" where there is none; of one that was forgotten it is looked up, for they are few. */
static int site_name(struct sites *x, const struct filed *f, char ret[SITE_MAX_LEN + 1])
{
    struct site site;
    if (!(f->flags & FILED_ADDED))
        return str_copy(ret, SITE_MAX_LEN + 1, sites_of(x, f->gw, f->gen));
    int r = f->has_site ? site_get(x->s->c, x->s->db, x->s->tenant, f->site, &site) : CLOUD_ABSENT;
    return r < 0 ? r : str_copy(ret, SITE_MAX_LEN + 1, r == 0 ? site.name : "");
}

static bool wanted(struct search *x, enum key_kind kind, const struct filed *f)
{
    const struct punch_query *q = x->q;
    int64_t when = filed_when(f);
    if ((q->has_from && when < q->from) || (q->has_to && when >= q->to))
        return false;
    if (!x->pending && q->state == PUNCH_ASSIGNED && kind != KEY_PERSON)
        return false;
    if (!x->pending && q->state == PUNCH_UNASSIGNED && kind != KEY_WAITING)
        return false;
    if (q->reader != NULL && strcmp(q->reader, f->rec.punch.reader) != 0)
        return false;
    if (q->site == NULL)
        return true;
    char name[SITE_MAX_LEN + 1];
    return site_name(&x->sites, f, name) == 0 && strcmp(q->site, name) == 0;
}

/* Whether the caller is to see it, a person at a time: rows of one come together where a day is walked by its refs. */
static int is_seen(struct search *x, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f,
                   bool *ret_seen)
{
    const struct punch_query *q = x->q;
    *ret_seen = true;
    if (q->fits == NULL)
        return 0;
    int r = 0;
    if (kind == KEY_PERSON && (!x->has_seen || memcmp(x->seen.key, key_id, KEY_ID_LEN) != 0)) {
        r = people_by_key(x->s, key_id, &x->seen);
        x->has_seen = r == 0 || r == CLOUD_DAMAGED;
        if (r < 0)
            return r;
    }
    bool known = kind == KEY_PERSON && x->has_seen;
    *ret_seen = q->fits(q->fits_arg, known ? &x->seen : NULL, sites_id(&x->sites, f));
    return 0;
}

static int on_row(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct search *x = arg;
    bool seen = false;
    int r = wanted(x, kind, f) ? is_seen(x, key_id, kind, f, &seen) : 0;
    if (r != 0 || !seen)
        return r;
    struct punch_pos pos = {
        .pending = x->pending, .time = filed_when(f), .gen = f->gen, .gseq = f->rec.gseq, .index = f->index};
    memcpy(pos.gw, f->gw, GW_LEN);
    memcpy(pos.segid, f->segid, SEGID_LEN);
    if (x->q->after == NULL || compare_pos(&pos, x->q->after) > 0)
        keep(x, &pos, key_id, kind, f);
    return 0;
}

/* ---- the walk ---- */

static int walk_days(struct search *x)
{
    const struct punch_query *q = x->q;
    int64_t first = day_of(x->s->created), last = day_of(clock_real()) + 2;
    if (q->has_from && day_of(q->from) > first)
        first = day_of(q->from);
    if (q->has_to && day_of(q->to) < last)
        last = day_of(q->to);
    if (q->after != NULL && day_of(q->after->time) > first)
        first = day_of(q->after->time);
    int r = 0;
    for (int64_t day = first; r == 0 && day <= last && x->n < x->cap; day++)
        r = filed_each_day(x->s, day, x->has_key ? x->key_id : NULL, on_row, x);
    return r;
}

static int walk(struct search *x)
{
    int r = 0;
    bool after_filed = x->q->after != NULL && x->q->after->pending;
    if (x->q->state != PUNCH_PENDING && !after_filed)
        r = walk_days(x);
    bool added = x->sites.corrected && (x->q->state == PUNCH_ALL || x->q->state == PUNCH_ASSIGNED) && !after_filed;
    if (r == 0 && added) /* after the days: what is better than the worst of those takes its place */
        r = correction_each_added(x->s, x->has_key ? x->key_id : NULL, on_row, x);
    if (r == 0 && (x->q->state == PUNCH_PENDING || x->q->state == PUNCH_ALL) && x->n < x->cap) {
        x->pending = true;
        r = filed_each_pending(x->s, x->has_key ? x->key_id : NULL, on_row, x);
    }
    return r;
}

/* ---- the answer ---- */

int sites_person(struct sites *x, const uint8_t key_id[KEY_ID_LEN], const struct known **ret)
{
    struct known *k = &x->people[key_id[0] % PEOPLE_SLOTS];
    struct person p;
    if (!k->known || memcmp(k->key_id, key_id, KEY_ID_LEN) != 0) {
        int r = people_by_key(x->s, key_id, &p);
        if (r != 0 && r != CLOUD_DAMAGED)
            return r;
        memcpy(k->key_id, key_id, KEY_ID_LEN);
        memcpy(k->id, p.id, ID_LEN);
        memcpy(k->name, p.name, sizeof k->name);
        k->known = true;
        crypto_wipe(&p, sizeof p);
    }
    *ret = k;
    return 0;
}

static int correct(const struct sites *x, const uint8_t key_id[KEY_ID_LEN], struct punch_row *row)
{
    struct correction c;
    int r = x->corrected ? correction_of(x->s, key_id, row->segid, row->index, &c) : CLOUD_ABSENT;
    if (r != 0)
        return r < 0 ? r : 0;
    row->correction = (struct punch_correction){.is = true,
                                                .voids = c.kind == CORRECTION_VOID,
                                                .has_time = c.has_time,
                                                .time = c.time,
                                                .has_dir = c.has_dir,
                                                .dir = c.dir};
    memcpy(row->correction.id, c.id, ID_LEN);
    return 0;
}

int query_row(struct sites *x, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f,
              struct punch_row *row)
{
    const struct known *p;
    const struct directed *d;
    memcpy(row->segid, f->segid, SEGID_LEN);
    row->index = f->index;
    row->state = f->flags & FILED_PENDING ? PUNCH_PENDING : kind == KEY_PERSON ? PUNCH_ASSIGNED : PUNCH_UNASSIGNED;
    row->cred = f->rec.punch.cred;
    row->rendering = f->rec.punch.rendering;
    memcpy(row->gw, f->gw, GW_LEN);
    row->gen = f->gen;
    row->added = (f->flags & FILED_ADDED) != 0;
    const uint8_t *site = sites_id(x, f);
    row->has_site = site != NULL;
    if (row->has_site)
        memcpy(row->site_id, site, ID_LEN);
    int r = site_name(x, f, row->site);
    if (r != 0)
        return r;
    memcpy(row->reader, f->rec.punch.reader, sizeof row->reader);
    row->dir = f->rec.punch.dir;
    if (row->dir == DIR_UNKNOWN && !row->added &&
        (d = directions_of(&x->directions, f->gw, f->rec.punch.reader)) != NULL)
        row->by_reader = d->direction == READER_IN ? DIR_IN : d->direction == READER_OUT ? DIR_OUT : DIR_UNKNOWN;
    row->gseq = f->rec.gseq;
    row->time = f->time;
    row->uncertainty = f->uncertainty;
    row->estimated = (f->flags & FILED_ESTIMATED) != 0;
    row->impossible = (f->flags & FILED_IMPOSSIBLE) != 0;
    row->real = f->rec.real;
    row->mono = f->rec.mono;
    row->ck = f->rec.ck;
    row->received = f->received;
    row->n_repeats = f->n_repeats;
    memcpy(row->repeats, f->repeats, sizeof row->repeats);
    if (kind != KEY_PERSON)
        return 0;
    r = correct(x, key_id, row);
    if (r == 0)
        r = sites_person(x, key_id, &p);
    if (r == 0) {
        row->has_person = true;
        memcpy(row->person, p->id, ID_LEN);
        memcpy(row->person_key, key_id, ID_LEN);
        memcpy(row->person_name, p->name, sizeof row->person_name);
    }
    return r < 0 ? r : 0;
}

static int by_pos(const void *a, const void *b)
{
    const struct hit *const *x = a, *const *y = b;
    return compare_pos(&(*x)->pos, &(*y)->pos);
}

static int answer(struct search *x, struct punch_list *ret)
{
    struct punch_list l = {0};
    int r = 0;
    if (x->n > 1)
        qsort(x->heap, x->n, sizeof(struct hit *), by_pos);
    l.more = x->n > x->q->limit;
    size_t n = l.more ? x->q->limit : x->n;
    l.items = calloc(n == 0 ? 1 : n, sizeof *l.items);
    if (l.items == NULL)
        return -ENOMEM;
    for (; r == 0 && l.n < n; l.n++)
        r = query_row(&x->sites, x->heap[l.n]->key_id, x->heap[l.n]->kind, &x->heap[l.n]->f, &l.items[l.n]);
    l.damaged = x->damaged;
    if (l.more)
        l.next = x->heap[n - 1]->pos;
    if (r != 0)
        punch_list_done(&l);
    else
        *ret = l;
    return r;
}

static bool valid(const struct punch_query *q)
{
    uint64_t span;
    if (q->limit == 0 || q->limit > QUERY_LIMIT_MAX)
        return false;
    if (q->has_from && q->has_to && q->from > q->to)
        return false;
    if (q->person != NULL)
        return true;
    span = (uint64_t)q->to - (uint64_t)q->from;
    return q->has_from && q->has_to && span <= (uint64_t)QUERY_DAYS_MAX * DAY_US;
}

static int search(struct search *x, struct punch_list *ret_list)
{
    int r = 0;
    if (x->q->person != NULL) {
        struct person p;
        r = people_find(x->s, x->q->person, &p);
        if (r != 0 && r != CLOUD_DAMAGED)
            return r;
        x->has_key = true;
        memcpy(x->key_id, p.key, KEY_ID_LEN);
        if (x->q->state == PUNCH_UNASSIGNED) /* what is a person's is assigned */
            return answer(x, ret_list);
    }
    r = sites_init(&x->sites, x->s);
    if (r == 0)
        r = walk(x);
    return r != 0 ? r : answer(x, ret_list);
}

int query_punches(struct cloud *c, struct db *db, const struct punch_query *q, struct punch_list *ret_list)
{
    struct scope s;
    if (!valid(q))
        return CLOUD_INVALID;
    int r = db_begin_read(db); /* one state of the store for all days */
    if (r == 0)
        r = scope_init(c, db, q->tenant, &s);
    if (r == 0) {
        struct search x = {.q = q, .s = &s, .cap = q->limit + 1};
        s.damaged = &x.damaged;
        x.hits = calloc(x.cap, sizeof *x.hits);
        x.heap = calloc(x.cap, sizeof(struct hit *));
        r = x.hits == NULL || x.heap == NULL ? -ENOMEM : search(&x, ret_list);
        for (size_t i = 0; i < x.n; i++)
            filed_done(&x.hits[i].f);
        free(x.hits);
        free(x.heap);
        sites_done(&x.sites);
        crypto_wipe(&x.seen, sizeof x.seen);
    }
    db_end_read(db);
    return r;
}

void punch_list_done(struct punch_list *l)
{
    if (l->items != NULL)
        crypto_wipe(l->items, l->n * sizeof *l->items);
    free(l->items);
    *l = (struct punch_list){0};
}
