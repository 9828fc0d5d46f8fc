/* Four eyes; see approval.h. Here are the rows, in approval_form.c what is sealed in them. */
#include "cloud/approval.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/approval_impl.h"
#include "cloud/rows.h"
#include "cloud/tenant.h"

static const uint8_t nobody[ID_LEN];

const char *approval_state_name(enum approval_state s)
{
    static const char *const names[] = {[APPROVAL_WAITING] = "waiting",
                                        [APPROVAL_APPROVED] = "approved",
                                        [APPROVAL_DENIED] = "denied",
                                        [APPROVAL_LAPSED] = "lapsed"};
    return s >= APPROVAL_WAITING && s <= APPROVAL_LAPSED ? names[s] : "-";
}

/* ---- rows ---- */

#define COLUMNS "id, perm, home, account, day, state, decider, status, units, key_id, sealed"

struct reading {
    const struct scope *s;
    int64_t now;
};

static int from_row(struct db_stmt *st, void *arg, void *item)
{
    const struct reading *x = arg;
    struct approval *a = item;
    int64_t perm = db_int(st, 1), state = db_int(st, 5);
    if (db_fixed(st, 0, a->id, ID_LEN) != 0 || perm < 0 || perm >= PERM_COUNT ||
        str_copy(a->home, sizeof a->home, db_text(st, 2)) != 0 || db_fixed(st, 3, a->account, ID_LEN) != 0 ||
        state < APPROVAL_WAITING || state > APPROVAL_LAPSED || db_fixed(st, 6, a->decider, ID_LEN) != 0 ||
        db_fixed(st, 9, a->key, ID_LEN) != 0)
        return CLOUD_ABSENT;
    a->perm = (enum perm)perm;
    a->state = (enum approval_state)state;
    a->status = (unsigned)db_int(st, 7);
    a->has_answer = a->state == APPROVAL_APPROVED && db_int(st, 8) > 0;
    int r = a->state == APPROVAL_WAITING ? approval_open_head(x->s, a, db_blob(st, 10), NULL)
                                         : approval_open_outcome(x->s, a, db_blob(st, 10), NULL);
    a->damaged = r == CLOUD_DAMAGED;
    if (a->damaged)
        a->requested = db_int(st, 4) * DAY_US;
    if (a->state == APPROVAL_WAITING && a->requested + APPROVAL_US <= x->now)
        a->state = APPROVAL_LAPSED;
    return a->damaged ? 0 : r;
}

/* How much is kept of all, and of that account. */
static int kept(const struct scope *s, const uint8_t account[ID_LEN], int64_t *ret_all, int64_t *ret_own)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT coalesce(sum(units), 0), coalesce(sum(CASE WHEN account = ?2 THEN units END), 0)"
                       " FROM approval WHERE tenant_id = ?1",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    r = db_step(st);
    if (r == DB_ROW) {
        *ret_all = db_int(st, 0);
        *ret_own = db_int(st, 1);
    }
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

static int insert(const struct scope *s, const struct approval *a, int64_t units, struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(
        s, "INSERT INTO approval(tenant_id, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, a->perm);
    db_bind_text(st, 4, a->home);
    db_bind_blob(st, 5, BYTES(a->account, ID_LEN));
    db_bind_int(st, 6, day_of(a->requested));
    db_bind_int(st, 7, APPROVAL_WAITING);
    db_bind_blob(st, 8, BYTES(nobody, ID_LEN));
    db_bind_int(st, 9, units);
    db_bind_blob(st, 10, BYTES(a->key, ID_LEN));
    db_bind_blob(st, 11, sealed);
    return db_must(st);
}

int approval_ask(const struct scope *s, const struct approval *a, const struct approval_asked *q)
{
    struct buf CLEANUP(buf_done) sealed;
    int64_t all = 0, own = 0, units = (int64_t)(q->body.n / APPROVAL_UNIT + 1);
    buf_init(&sealed, 8192);
    int r = kept(s, a->account, &all, &own);
    if (r == 0 && (all + units > APPROVAL_ALL || own + units > APPROVAL_EACH))
        return APPROVAL_FULL;
    if (r == 0)
        r = approval_seal_head(s, a, q, &sealed);
    if (r == 0)
        r = insert(s, a, units, buf_bytes(&sealed));
    return r == 0 ? approval_put_body(s, a, q->body) : r;
}

int approval_get(const struct scope *s, const uint8_t id[ID_LEN], int64_t now, struct approval *ret)
{
    struct db_stmt *st;
    struct approval a = {0};
    struct reading x = {s, now};
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM approval WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(st, &x, &a) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    if (r == 0)
        *ret = a;
    return r;
}

/* What is sealed in its row, if that is still in this state; db_done() is the caller's. CLOUD_ABSENT. */
static int sealed_of(const struct scope *s, const struct approval *a, enum approval_state state,
                     struct db_stmt **ret_st)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT sealed FROM approval WHERE tenant_id = ?1 AND id = ?2 AND state = ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, state);
    r = db_step(st);
    if (r == DB_ROW)
        *ret_st = st;
    else
        db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

int approval_request(const struct scope *s, const struct approval *a, struct approval_request *ret)
{
    struct db_stmt *st;
    struct approval read = *a;
    if (a->state != APPROVAL_WAITING)
        return CLOUD_ABSENT;
    int r = sealed_of(s, a, APPROVAL_WAITING, &st);
    if (r != 0)
        return r;
    r = approval_open_head(s, &read, db_blob(st, 0), ret);
    db_done(st);
    return r;
}

int approval_list(const struct scope *s, const uint8_t *after, size_t limit, int64_t now, struct approval_list *ret)
{
    struct db_stmt *st;
    struct rows l;
    struct reading x = {s, now};
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM approval WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, after ? BYTES(after, ID_LEN) : BYTES_NONE);
    r = rows_collect(st, limit, sizeof(struct approval), from_row, &x, &l);
    if (r == 0)
        *ret = (struct approval_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void approval_list_done(struct approval_list *l)
{
    free(l->items);
    *l = (struct approval_list){0};
}

/* ---- what becomes of it ---- */

/* As *a says, if its row is in state `from`; CLOUD_CONFLICT: it is not. From here on it is under the tenant's key. */
static int put(const struct scope *s, struct approval *a, enum approval_state from, const char *answer)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, 8192);
    memcpy(a->key, nobody, ID_LEN);
    a->has_answer = answer != NULL;
    int r = approval_seal_outcome(s, a, answer, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "UPDATE approval SET state = ?4, decider = ?5, status = ?6, units = ?7, key_id = ?8, sealed = ?9"
                       " WHERE tenant_id = ?1 AND id = ?2 AND state = ?3",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, from);
    db_bind_int(st, 4, a->state);
    db_bind_blob(st, 5, BYTES(a->decider, ID_LEN));
    db_bind_int(st, 6, a->status);
    db_bind_int(st, 7, a->has_answer);
    db_bind_blob(st, 8, BYTES(a->key, ID_LEN));
    db_bind_blob(st, 9, buf_bytes(&sealed));
    r = db_must(st);
    return r == 0 && db_changes(s->db) == 0 ? CLOUD_CONFLICT : r;
}

static int settle(const struct scope *s, struct approval *a)
{
    int r = put(s, a, APPROVAL_WAITING, NULL);
    return r == 0 ? approval_forget_body(s, a->id) : r;
}

int approval_decide(const struct scope *s, struct approval *a, bool approve, const uint8_t decider[ID_LEN], int64_t now)
{
    if (a->state != APPROVAL_WAITING)
        return CLOUD_CONFLICT;
    a->state = approve ? APPROVAL_APPROVED : APPROVAL_DENIED;
    a->decided = now;
    memcpy(a->decider, decider, ID_LEN);
    return settle(s, a);
}

int approval_done(const struct scope *s, struct approval *a, unsigned status, const char *location, const char *answer)
{
    a->status = status;
    int r = str_copy(a->location, sizeof a->location, location);
    return r == 0 ? put(s, a, APPROVAL_APPROVED, answer) : r;
}

int approval_answer(const struct scope *s, struct approval *a, struct buf *ret)
{
    struct db_stmt *st;
    if (!a->has_answer)
        return CLOUD_ABSENT;
    int r = sealed_of(s, a, APPROVAL_APPROVED, &st);
    if (r != 0)
        return r;
    r = approval_open_outcome(s, a, db_blob(st, 0), ret);
    db_done(st);
    return r == 0 ? put(s, a, APPROVAL_APPROVED, NULL) : r;
}

/* ---- what waited too long ---- */

/* Of those of which something is kept. What does not open is out of time with its day. */
static bool is_due(const struct approval *a, int64_t now)
{
    return a->damaged      ? a->requested + DAY_US + APPROVAL_US <= now
           : a->has_answer ? a->decided + APPROVAL_US <= now
                           : a->state == APPROVAL_LAPSED;
}

static int remove_row(const struct scope *s, const struct approval *a)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM approval WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    r = db_must(st);
    return r == 0 ? approval_forget_body(s, a->id) : r;
}

/* Somebody may have come first since it was read: CLOUD_CONFLICT is all right. */
static int end(const struct scope *s, struct approval *a)
{
    int r = a->damaged ? remove_row(s, a) : a->has_answer ? put(s, a, APPROVAL_APPROVED, NULL) : settle(s, a);
    return r == CLOUD_CONFLICT ? 0 : r;
}

static int remove_old(const struct scope *s, int64_t before)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM approval WHERE tenant_id = ?1 AND day < ?2 AND units = 0", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, before);
    return db_must(st);
}

/* Whether there are old ones, and which of the others are due: fewer than were read. */
static int look(const struct scope *s, int64_t now, bool *ret_old, struct rows *ret)
{
    struct db_stmt *st;
    struct rows l;
    struct reading x = {s, now};
    int r = scope_stmt(s, "SELECT 1 FROM approval WHERE tenant_id = ?1 AND day < ?2 AND units = 0 LIMIT 1", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, day_of(now) - APPROVAL_KEPT_DAYS);
    r = db_step(st);
    *ret_old = r == DB_ROW;
    db_done(st);
    if (r >= 0)
        r = scope_stmt(s, "SELECT " COLUMNS " FROM approval WHERE tenant_id = ?1 AND day <= ?2 AND units > 0", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, day_of(now - APPROVAL_US));
    r = rows_collect(st, 0, sizeof(struct approval), from_row, &x, &l);
    if (r != 0)
        return r;
    struct approval *items = l.items;
    size_t n = 0;
    for (size_t i = 0; i < l.n; i++)
        if (is_due(&items[i], now))
            items[n++] = items[i];
    *ret = (struct rows){.items = items, .n = n};
    return 0;
}

static int forget(struct cloud *c, struct db *db, const char *tenant, struct rows *due, int64_t now)
{
    struct scope s;
    struct approval *items = due->items;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_init(c, db, tenant, &s);
    for (size_t i = 0; r == 0 && i < due->n; i++)
        r = end(&s, &items[i]);
    if (r == 0)
        r = remove_old(&s, day_of(now) - APPROVAL_KEPT_DAYS);
    if (r == 0)
        return cloud_commit(c, db);
    cloud_rollback(c, db);
    return r == CLOUD_FENCED ? 0 : r; /* after the erasure, then */
}

static int sweep_tenant(struct cloud *c, struct db *db, const char *tenant, int64_t now)
{
    struct scope s;
    struct rows due = {0};
    bool old = false;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = look(&s, now, &old, &due);
    if (r == 0 && (old || due.n > 0))
        r = forget(c, db, tenant, &due, now);
    free(due.items);
    return r;
}

int approval_sweep(struct cloud *c, struct db *db, int64_t now)
{
    struct tenant_list l;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = sweep_tenant(c, db, l.items[i].id, now);
    tenant_list_done(&l);
    return r;
}
