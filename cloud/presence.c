/* Presence; see presence.h. */
#include "cloud/presence.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/correction.h"
#include "cloud/people_impl.h"
#include "cloud/query_impl.h"

enum way { WAY_IN, WAY_OUT, WAY_OTHER }; /* than before */

struct step {
    uint8_t key_id[KEY_ID_LEN];
    int64_t time;
    uint8_t gw[GW_LEN];
    uint64_t gen, gseq;
    enum way way;
    char reader[READER_NAME_MAX + 1];
};
struct walk {
    const uint8_t *site;
    int64_t from, to; /* us, [from, to) */
    struct sites sites;
    struct step *steps;
    size_t n, cap;
};

static enum way way_of(uint8_t dir, const struct directed *d)
{
    if (dir == DIR_IN || dir == DIR_BREAK_IN)
        return WAY_IN;
    if (dir == DIR_OUT || dir == DIR_BREAK_OUT)
        return WAY_OUT;
    if (d == NULL || d->direction == READER_BOTH)
        return WAY_OTHER;
    return d->direction == READER_IN ? WAY_IN : WAY_OUT;
}

static int grow(struct walk *w)
{
    size_t cap = w->cap == 0 ? 256 : 2 * w->cap;
    if (w->n == PRESENCE_PUNCHES_MAX)
        return -E2BIG;
    struct step *p = reallocarray(w->steps, cap, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    w->steps = p;
    w->cap = cap;
    return 0;
}

/* As an approved correction says. CLOUD_ABSENT: the punch does not count. */
static int correct(const struct walk *w, const uint8_t key_id[KEY_ID_LEN], const struct filed *f, int64_t *time,
                   uint8_t *dir)
{
    struct correction c;
    int r = w->sites.corrected ? correction_of(w->sites.s, key_id, f->segid, f->index, &c) : CLOUD_ABSENT;
    if (r != 0)
        return r < 0 ? r : 0;
    *time = c.has_time ? c.time : *time;
    *dir = c.has_dir ? c.dir : *dir;
    return c.kind == CORRECTION_VOID ? CLOUD_ABSENT : 0;
}

static int on_row(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct walk *w = arg;
    const uint8_t *site = kind == KEY_PERSON ? sites_id(&w->sites, f) : NULL;
    if (site == NULL || memcmp(site, w->site, ID_LEN) != 0)
        return 0;
    const struct directed *d = directions_of(&w->sites.directions, f->gw, f->rec.punch.reader);
    int64_t time = f->time;
    uint8_t dir = f->rec.punch.dir;
    int r = (d != NULL && d->mode == READER_ACCESS) ? CLOUD_ABSENT : correct(w, key_id, f, &time, &dir);
    if (r == 0 && time >= w->from && time < w->to)
        r = w->n == w->cap ? grow(w) : 0;
    else if (r == 0)
        r = CLOUD_ABSENT;
    if (r != 0)
        return r < 0 ? r : 0;
    struct step *s = &w->steps[w->n++];
    *s = (struct step){.time = time, .gen = f->gen, .gseq = f->rec.gseq, .way = way_of(dir, d)};
    memcpy(s->key_id, key_id, KEY_ID_LEN);
    memcpy(s->gw, f->gw, GW_LEN);
    memcpy(s->reader, f->rec.punch.reader, sizeof s->reader);
    return 0;
}

/* One that a correction brought from a day that was not looked at. */
static int on_moved(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    const struct walk *w = arg;
    const int64_t day = day_of(f->time);
    const bool seen = day >= day_of(w->from) && day <= day_of(w->to - 1);
    return seen || (f->flags & FILED_PENDING) != 0 ? 0 : on_row(arg, key_id, kind, f);
}

/* By person, then as punches are listed. */
static int compare(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    int c = memcmp(x->key_id, y->key_id, KEY_ID_LEN);
    if (c != 0)
        return c;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    c = memcmp(x->gw, y->gw, GW_LEN);
    if (c != 0)
        return c;
    if (x->gen != y->gen)
        return x->gen < y->gen ? -1 : 1;
    return x->gseq == y->gseq ? 0 : x->gseq < y->gseq ? -1 : 1;
}

/* The steps of one person; true: who is in, since *ret_at. */
static bool is_in(const struct step *s, size_t n, const struct step **ret_at)
{
    bool in = false;
    for (size_t i = 0; i < n; i++) {
        in = s[i].way == WAY_IN || (s[i].way == WAY_OTHER && !in);
        *ret_at = &s[i];
    }
    return in;
}

static int by_id(const void *a, const void *b)
{
    const struct present *x = a, *y = b;
    return memcmp(x->person.id, y->person.id, ID_LEN);
}

static int collect(const struct scope *s, struct walk *w, struct presence *p)
{
    const struct step *at = NULL;
    if (w->n > 1)
        qsort(w->steps, w->n, sizeof *w->steps, compare);
    p->items = calloc(w->n + 1, sizeof *p->items);
    int r = p->items == NULL ? -ENOMEM : 0;
    for (size_t i = 0, next = 0; r == 0 && i < w->n; i = next) {
        for (next = i + 1; next < w->n && memcmp(w->steps[next].key_id, w->steps[i].key_id, KEY_ID_LEN) == 0; next++)
            ;
        if (!is_in(w->steps + i, next - i, &at))
            continue;
        struct present *x = &p->items[p->n];
        r = people_by_key(s, at->key_id, &x->person);
        x->since = at->time;
        memcpy(x->reader, at->reader, sizeof x->reader);
        if (r == 0 || r == CLOUD_DAMAGED)
            p->n++;
        r = r < 0 ? r : 0;
    }
    if (r == 0 && p->n > 1)
        qsort(p->items, p->n, sizeof *p->items, by_id);
    return r;
}

static int read_all(const struct scope *s, struct walk *w, struct presence *p)
{
    int r = sites_init(&w->sites, s);
    for (int64_t day = day_of(w->from); r == 0 && day <= day_of(w->to - 1); day++)
        r = filed_each_day(s, day, NULL, on_row, w);
    if (r == 0 && w->sites.corrected)
        r = correction_each_added(s, NULL, on_row, w);
    if (r == 0 && w->sites.corrected)
        r = correction_each_moved(s, w->from, w->to, on_moved, w);
    if (r == 0)
        r = collect(s, w, p);
    sites_done(&w->sites);
    if (w->steps != NULL)
        crypto_wipe(w->steps, w->cap * sizeof *w->steps);
    free(w->steps);
    return r;
}

int presence_read(struct cloud *c, struct db *db, const char *tenant, const uint8_t site[ID_LEN], const struct zone *z,
                  int64_t now, struct presence *ret_presence)
{
    struct scope s;
    struct presence p = {.day = zone_day(z, now)};
    struct walk w = {.site = site, .from = zone_day_start(z, p.day), .to = zone_day_start(z, p.day + 1)};
    int r = db_begin_read(db); /* one state of the store for all of it */
    if (r == 0)
        r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = read_all(&s, &w, &p);
    db_end_read(db);
    if (r != 0)
        presence_done(&p);
    else
        *ret_presence = p;
    return r;
}

void presence_done(struct presence *p)
{
    if (p->items != NULL)
        crypto_wipe(p->items, p->n * sizeof *p->items);
    free(p->items);
    *p = (struct presence){0};
}
