/* The arithmetic and the pending punches; boots without any clock record are in neighbours.c. */
#include "cloud/clockbook.h"

#include <string.h>

#include "base/clock.h"
#include "cloud/changes.h"
#include "cloud/clockbook_impl.h"
#include "cloud/holder.h"

#define DRIFT_PPM 250
#define SETTLE_CHUNK 256

int clockbook_add(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN],
                  const struct record *rec, bool *ret_new)
{
    struct db_stmt *st;
    uint64_t u = ck_uncertainty(rec->ck);
    int r = scope_stmt(s,
                       "INSERT INTO clock(tenant_id, gw, gen, boot, mono, real, uncertainty, src)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(g->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)g->gen);
    db_bind_blob(st, 4, BYTES(boot, BOOT_LEN));
    db_bind_int(st, 5, (int64_t)rec->mono);
    db_bind_int(st, 6, rec->real);
    db_bind_int(st, 7, u > INT64_MAX ? INT64_MAX : (int64_t)u); /* INT64_MAX: unbounded */
    db_bind_int(st, 8, rec->clock.src);
    r = db_must(st);
    if (r == 0)
        *ret_new = db_changes(s->db) > 0;
    return r;
}

/* ---- choosing a clock record ---- */

static int point_row(const struct scope *s, const char *sql, const struct gateway *g, const uint8_t boot[BOOT_LEN],
                     uint64_t mono, struct clock_point *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(g->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)g->gen);
    db_bind_blob(st, 4, BYTES(boot, BOOT_LEN));
    db_bind_int(st, 5, mono > INT64_MAX ? INT64_MAX : (int64_t)mono);
    r = db_step(st);
    if (r == DB_ROW) {
        int64_t u = db_int(st, 2);
        ret->mono = (uint64_t)db_int(st, 0);
        ret->real = db_int(st, 1);
        ret->uncertainty = u == INT64_MAX ? CK_UNBOUNDED : (uint64_t)u;
        r = 0;
    } else if (r == 0) {
        r = CLOUD_ABSENT;
    }
    db_done(st);
    return r;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

int clockbook_point(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN], uint64_t mono,
                    bool latest, struct clock_point *ret)
{
    struct clock_point before = {0}, after = {0};
    int r = point_row(s,
                      "SELECT mono, real, uncertainty FROM clock WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                      " AND boot = ?4 AND mono <= ?5 ORDER BY mono DESC LIMIT 1",
                      g, boot, mono, &before);
    if (r < 0)
        return r;
    bool have = r == 0;
    if (have && latest) {
        *ret = before;
        return 0;
    }
    r = point_row(s,
                  "SELECT mono, real, uncertainty FROM clock WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                  " AND boot = ?4 AND mono > ?5 ORDER BY mono LIMIT 1",
                  g, boot, mono, &after);
    if (r < 0 || (r != 0 && !have))
        return r;
    *ret = r != 0 || (have && distance(before.mono, mono) <= distance(after.mono, mono)) ? before : after;
    return 0;
}

bool clockbook_apply(const struct clock_point *c, uint64_t mono, int64_t *ret_time, uint64_t *ret_u)
{
    int64_t t;
    uint64_t d = distance(c->mono, mono);
    if (d > INT64_MAX || (mono >= c->mono ? __builtin_add_overflow(c->real, (int64_t)d, &t)
                                          : __builtin_sub_overflow(c->real, (int64_t)d, &t)))
        return false;
    uint64_t drift = d / 1000000 * DRIFT_PPM + d % 1000000 * DRIFT_PPM / 1000000, u;
    *ret_time = t;
    *ret_u = c->uncertainty == CK_UNBOUNDED || __builtin_add_overflow(c->uncertainty, drift, &u) ? CK_UNBOUNDED : u;
    return true;
}

void clockbook_set(const struct gateway *g, struct filed *f, int64_t time, uint64_t u, unsigned flags)
{
    /* Before it was known to us, or more than a day after we had it: no day of the calendar is right for it. */
    bool impossible = day_of(time) < day_of(g->added) || time > f->received + DAY_US;
    f->time = impossible ? 0 : time;
    f->uncertainty = u;
    f->flags = impossible ? FILED_IMPOSSIBLE : flags;
}

int clockbook_time(const struct scope *s, const struct gateway *g, struct filed *f)
{
    struct clock_point c;
    int64_t t;
    uint64_t u;
    unsigned state = ck_state(f->rec.ck);
    if (state == CLOCK_SYNC) {
        clockbook_set(g, f, f->rec.real, ck_uncertainty(f->rec.ck), 0);
        return 0;
    }
    int r = clockbook_point(s, g, f->boot, f->rec.mono, state == CLOCK_FREE, &c);
    if (r < 0)
        return r;
    f->time = 0;
    f->uncertainty = CK_UNBOUNDED;
    if (r != 0)
        f->flags = FILED_UNTIMED;
    else if (clockbook_apply(&c, f->rec.mono, &t, &u))
        clockbook_set(g, f, t, u, 0);
    else
        f->flags = FILED_IMPOSSIBLE;
    return 0;
}

/* ---- pending ---- */

/* Stops with 1 when a chunk is full. */
static int collect(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct filed_list *l = arg;
    int r = filed_list_add(l, key_id, kind, f);
    return r != 0 ? r : l->n == SETTLE_CHUNK;
}

/* Filed first, taken out of pending after: a waiting credential's row then never drops to none in between, and keeps
 * its key. */
static int place_one(const struct scope *s, const struct gateway *g, const struct filed_item *it,
                     clockbook_placer *place, void *arg)
{
    struct filed f = it->f;
    int r = place(arg, s, g, &f);
    if (r != 0)
        return r;
    if (f.flags & FILED_PENDING) { /* now known to be impossible: the same row, for another reason */
        r = f.flags & FILED_UNTIMED ? -EIO : holder_replace(s, it->key_id, &f);
        return r;
    }
    r = holder_file(s, &f);
    bool erased = r == HOLDER_ERASED; /* now that its time is known */
    if (r == 0 || erased)
        r = holder_unfile(s, it->key_id, it->kind, &it->f);
    return r == 0 && erased ? changes_removed(s, it->key_id, f.segid, f.index) : r;
}

int clockbook_place(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN],
                    clockbook_placer *place, void *arg, uint64_t *ret_n)
{
    struct filed_list l = {0};
    uint64_t n = 0;
    int r;
    do {
        filed_list_done(&l);
        r = filed_each_untimed(s, g->gw, g->gen, boot, collect, &l);
        if (r == 1)
            r = 0;
        for (size_t i = 0; r == 0 && i < l.n; i++)
            r = place_one(s, g, &l.items[i], place, arg);
        n += l.n;
    } while (r == 0 && l.n > 0);
    filed_list_done(&l);
    if (r == 0)
        *ret_n += n;
    return r;
}

static int by_nearest(void *arg, const struct scope *s, const struct gateway *g, struct filed *f)
{
    return clockbook_time(s, g, f);
}

int clockbook_settle(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN], uint64_t *ret_n)
{
    return clockbook_place(s, g, boot, by_nearest, NULL, ret_n);
}
