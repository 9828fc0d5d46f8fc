/* Boots that never knew the time (design section 4). Such a boot began after what came before it in the segment chain,
 * and its last punch lies before the next boot began, or before it reached us. Its punches keep their distances; the
 * whole of them is put into the middle of that room, flagged, with half the room as uncertainty.
 */
#include <stdlib.h>
#include <string.h>

#include "cloud/clockbook_impl.h"
#include "cloud/tenant.h"

#define BOOTS_MAX 64

struct boot_row {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint8_t boot[BOOT_LEN];
    int64_t day; /* of the oldest receipt */
};
struct boot_list {
    struct boot_row *items;
    size_t n;
};

static int waiting_boots(const struct scope *s, struct boot_list *l)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT gw, gen, boot, min(day) FROM pending WHERE tenant_id = ?1 AND why = 1"
                       " GROUP BY gw, gen, boot",
                       &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        struct boot_row *p = realloc(l->items, (l->n + 1) * sizeof *p);
        if (p == NULL) {
            r = -ENOMEM;
            break;
        }
        l->items = p;
        struct boot_row *b = &p[l->n];
        b->gen = (uint64_t)db_int(st, 1);
        b->day = db_int(st, 3);
        if (db_fixed(st, 0, b->gw, GW_LEN) != 0 || db_fixed(st, 2, b->boot, BOOT_LEN) != 0) {
            r = -EBADMSG;
            break;
        }
        l->n++;
    }
    db_done(st);
    return r;
}

static void bind_boot(struct db_stmt *st, const struct boot_row *b)
{
    db_bind_blob(st, 2, BYTES(b->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)b->gen);
    db_bind_blob(st, 4, BYTES(b->boot, BOOT_LEN));
}

/* All of the boot is here: each of its segments is followed by one that says how long it was, and is that long; each
 * follows one we know, or is the first of all. */
static int whole(const struct scope *s, const struct boot_row *b, bool *ret_whole)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT count(*) FROM segment a WHERE a.tenant_id = ?1 AND a.gw = ?2 AND a.gen = ?3"
                       " AND a.boot = ?4 AND (NOT EXISTS (SELECT 1 FROM segment n WHERE n.tenant_id = ?1"
                       " AND n.gw = ?2 AND n.gen = ?3 AND n.prev = a.segid AND n.prevlen <= a.next)"
                       " OR NOT (a.prev = ?5 OR EXISTS (SELECT 1 FROM segment p WHERE p.tenant_id = ?1"
                       " AND p.segid = a.prev)))",
                       &st);
    if (r != 0)
        return r;
    static const uint8_t zeros[SEGID_LEN];
    bind_boot(st, b);
    db_bind_blob(st, 5, BYTES(zeros, SEGID_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        *ret_whole = db_int(st, 0) == 0;
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

/* One integer; *ret_have false for NULL. */
static int bound(struct db_stmt *st, int64_t *ret_v, bool *ret_have)
{
    int r = db_step(st);
    if (r == DB_ROW) {
        *ret_have = !db_null(st, 0);
        *ret_v = db_int(st, 0);
    }
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

/* The latest time known of any boot before it in the chain. */
static int lower(const struct scope *s, const struct boot_row *b, int64_t *ret_v, bool *ret_have)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT max(c.real) FROM clock c WHERE c.tenant_id = ?1 AND c.gw = ?2 AND c.gen = ?3"
                       " AND c.boot IN (SELECT boot FROM segment WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                       " AND segno < (SELECT min(segno) FROM segment WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                       " AND boot = ?4))",
                       &st);
    if (r != 0)
        return r;
    bind_boot(st, b);
    return bound(st, ret_v, ret_have);
}

/* When the next boot that knew the time began: its monotonic clock counts from there. */
static int upper(const struct scope *s, const struct boot_row *b, int64_t *ret_v, bool *ret_have)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT min(c.real - c.mono) FROM clock c WHERE c.tenant_id = ?1 AND c.gw = ?2 AND c.gen = ?3"
                       " AND c.boot IN (SELECT boot FROM segment WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                       " AND segno > (SELECT max(segno) FROM segment WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3"
                       " AND boot = ?4))",
                       &st);
    if (r != 0)
        return r;
    bind_boot(st, b);
    return bound(st, ret_v, ret_have);
}

struct span {
    uint64_t last_mono;
    int64_t began_by; /* the boot began no later: receipt minus mono of each of its punches */
    bool any;
};

static int measure(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct span *sp = arg;
    int64_t by;
    if (f->rec.mono > INT64_MAX || __builtin_sub_overflow(f->received, (int64_t)f->rec.mono, &by))
        return 0;
    if (!sp->any || f->rec.mono > sp->last_mono)
        sp->last_mono = f->rec.mono;
    if (!sp->any || by < sp->began_by)
        sp->began_by = by;
    sp->any = true;
    return 0;
}

static int by_room(void *arg, const struct scope *s, const struct gateway *g, struct filed *f)
{
    const struct clock_point *began = arg;
    int64_t t;
    uint64_t u;
    if (clockbook_apply(began, f->rec.mono, &t, &u))
        clockbook_set(g, f, t, u, FILED_ESTIMATED);
    else
        f->flags = FILED_IMPOSSIBLE;
    return 0;
}

/* What a boot may be placed into. The dear questions come last: most boots that wait are not due. */
struct room {
    bool due, have_low, have_high;
    int64_t low, high;
};

static int look(const struct scope *s, const struct boot_row *b, int64_t now, struct room *ret)
{
    struct room m = {.due = day_of(now) - b->day > CLOCKBOOK_WAIT_DAYS};
    bool is_whole = false;
    int r = m.due ? 0 : whole(s, b, &is_whole);
    if (r == 0 && (m.due || is_whole))
        r = upper(s, b, &m.high, &m.have_high);
    m.due = m.due || (is_whole && m.have_high);
    if (r == 0 && m.due)
        r = lower(s, b, &m.low, &m.have_low);
    if (r == 0)
        *ret = m;
    return r;
}

static int place_boot(const struct scope *s, const struct boot_row *b, int64_t now, uint64_t *ret_n)
{
    struct gateway g;
    struct room m;
    struct span sp = {0};
    bool latest;
    int r = gateway_find(s->db, b->gw, b->gen, &g, &latest);
    if (r == 0)
        r = look(s, b, now, &m);
    if (r == 0 && m.due)
        r = filed_each_untimed(s, b->gw, b->gen, b->boot, measure, &sp);
    if (r != 0 || !sp.any)
        return r;

    int64_t low = !m.have_low || m.low < g.added ? g.added : m.low; /* it was not ours before */
    int64_t latest_start = sp.began_by, before_next;
    if (m.have_high && !__builtin_sub_overflow(m.high, (int64_t)sp.last_mono, &before_next) &&
        before_next < latest_start)
        latest_start = before_next;
    if (latest_start < low) /* clocks that contradict each other by a little: the later bound is the better known */
        low = latest_start;
    uint64_t room = (uint64_t)latest_start - (uint64_t)low;
    struct clock_point began = {.real = low + (int64_t)(room / 2), .mono = 0, .uncertainty = room / 2 + 1};
    return clockbook_place(s, &g, b->boot, by_room, &began, ret_n);
}

static int sweep_boot(const struct scope *s, const struct boot_row *b, int64_t now, uint64_t *ret_n)
{
    uint64_t n = 0;
    struct scope inside;
    int r = scope_begin(s->c, s->db, s->tenant, &inside);
    if (r != 0)
        return r;
    r = place_boot(&inside, b, now, &n);
    if (r == 0 && n > 0)
        r = cloud_commit(s->c, s->db);
    else
        cloud_rollback(s->c, s->db);
    if (r == 0)
        *ret_n += n;
    return r;
}

/* No more than BOOTS_MAX at a time, from anywhere in the list: a gateway that makes up boots without end must not keep
 * ingest busy with them. Writers are not disturbed for a boot that is not due. */
static int sweep_tenant(struct cloud *c, struct db *db, const char *tenant, int64_t now, uint64_t *ret_n)
{
    struct scope s;
    struct boot_list l = {0};
    struct room m;
    uint32_t start = 0;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = waiting_boots(&s, &l);
    if (r == 0)
        r = crypto_random(&start, sizeof start);
    for (size_t i = 0; r == 0 && i < l.n && i < BOOTS_MAX; i++) {
        const struct boot_row *b = &l.items[(start + i) % l.n];
        r = look(&s, b, now, &m);
        if (r == 0 && m.due)
            r = sweep_boot(&s, b, now, ret_n);
    }
    free(l.items);
    return r;
}

int clockbook_sweep(struct cloud *c, struct db *db, int64_t now, uint64_t *ret_n)
{
    struct tenant_list l;
    *ret_n = 0;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; i < l.n; i++) { /* one tenant's trouble is not another's */
        int rr = sweep_tenant(c, db, l.items[i].id, now, ret_n);
        if (r == 0)
            r = rr;
    }
    tenant_list_done(&l);
    return r;
}
