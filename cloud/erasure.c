/* The order of work, the records, and going on after a crash; see erasure.h. */
#include "cloud/erasure.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit_move.h"
#include "cloud/changes.h"
#include "cloud/erasure_impl.h"
#include "cloud/outbox.h"
#include "cloud/rows.h"
#include "cloud/tell.h"
#include "cloud/tenant.h"

#define SCRUB_AT_ONCE (64LL << 20) /* a larger store is scrubbed by the sweep, once for all erasures since */

/* ---- the record ---- */

#define COLUMNS "id, person, requested, done, punches, pending, waiting, credentials, oddities, keys"

static int record_put(const struct scope *s, const struct tomb *t)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO erasure(tenant_id, " COLUMNS ", generation)"
                       " VALUES(?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(t->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(t->person, ID_LEN));
    db_bind_int(st, 4, t->at);
    db_bind_int(st, 5, (int64_t)t->counts.punches);
    db_bind_int(st, 6, (int64_t)t->counts.pending);
    db_bind_int(st, 7, (int64_t)t->counts.waiting);
    db_bind_int(st, 8, (int64_t)t->counts.credentials);
    db_bind_int(st, 9, (int64_t)t->counts.oddities);
    db_bind_int(st, 10, (int64_t)t->counts.keys);
    db_bind_int(st, 11, (int64_t)t->generation);
    return db_must(st);
}

static int record_row(struct db_stmt *st, struct erasure *ret)
{
    struct erasure e = {.requested = db_int(st, 2), .done = db_int(st, 3)};
    if (db_fixed(st, 0, e.id, ID_LEN) != 0 || db_fixed(st, 1, e.person, ID_LEN) != 0)
        return -EBADMSG;
    e.counts = (struct tomb_counts){.punches = (uint64_t)db_int(st, 4),
                                    .pending = (uint64_t)db_int(st, 5),
                                    .waiting = (uint64_t)db_int(st, 6),
                                    .credentials = (uint64_t)db_int(st, 7),
                                    .oddities = (uint64_t)db_int(st, 8),
                                    .keys = (uint64_t)db_int(st, 9)};
    *ret = e;
    return 0;
}

/* `sql` with ?2 for the id. */
static int find(struct cloud *c, struct db *db, const char *tenant, const char *sql, const uint8_t id[ID_LEN],
                struct erasure *ret_erasure)
{
    struct scope s;
    struct db_stmt *st;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, sql, &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? record_row(st, ret_erasure) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int erasure_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                struct erasure *ret_erasure)
{
    return find(c, db, tenant, "SELECT " COLUMNS " FROM erasure WHERE tenant_id = ?1 AND id = ?2", id, ret_erasure);
}

int erasure_of(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
               struct erasure *ret_erasure)
{
    return find(c, db, tenant, "SELECT " COLUMNS " FROM erasure WHERE tenant_id = ?1 AND person = ?2", person,
                ret_erasure);
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    return record_row(st, item);
}

int erasure_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                 struct erasure_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " COLUMNS " FROM erasure WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct erasure), listed, NULL, &l);
    }
    if (r == 0)
        *ret_list = (struct erasure_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void erasure_list_done(struct erasure_list *l)
{
    free(l->items);
    *l = (struct erasure_list){0};
}

/* ---- originals on gateways ---- */

/* Keeps of w's recipient keys those of before the erasure, and those not known: a store that was restored may not. */
static int keep_older(const struct scope *s, int64_t requested, struct erasure_wait *w)
{
    struct db_stmt *st;
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < w->n_rkids; i++) {
        r = scope_stmt(s, "SELECT 1 FROM recipient WHERE tenant_id = ?1 AND rkid = ?2 AND created > ?3", &st);
        if (r != 0)
            return r;
        db_bind_blob(st, 2, BYTES(w->rkids[i], RKID_LEN));
        db_bind_int(st, 3, requested);
        r = db_step(st);
        if (r == 0)
            memmove(w->rkids[kept++], w->rkids[i], RKID_LEN);
        db_done(st);
        r = r < 0 ? r : 0;
    }
    w->n_rkids = kept;
    return r;
}

/* Columns gw, gen, received (NULL: no status), rkids. */
static int add_wait(const struct scope *s, struct db_stmt *st, int64_t requested, struct erasure_wait_list *l)
{
    struct erasure_wait w = {.gen = (uint64_t)db_int(st, 1), .status = db_int(st, 2)};
    struct bytes rkids = db_blob(st, 3);
    bool silent = w.status <= requested; /* since: what it has sealed meanwhile it has not told */
    if (db_fixed(st, 0, w.gw, GW_LEN) != 0 || rkids.n > sizeof w.rkids || rkids.n % RKID_LEN != 0)
        return -EBADMSG;
    w.n_rkids = rkids.n / RKID_LEN;
    if (rkids.n > 0)
        memcpy(w.rkids, rkids.p, rkids.n);
    int r = keep_older(s, requested, &w);
    if (r != 0 || (!silent && w.n_rkids == 0))
        return r;
    struct erasure_wait *p = realloc(l->items, (l->n + 1) * sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    l->items = p;
    p[l->n++] = w;
    return 0;
}

int erasure_waits(struct db *db, const char *tenant, int64_t requested, struct erasure_wait_list *ret_list)
{
    struct scope s = {.db = db, .tenant = tenant};
    struct erasure_wait_list l = {0};
    struct db_stmt *st;
    int r = scope_stmt(&s,
                       "SELECT g.gw, g.gen, t.received, t.rkids FROM gateway g LEFT JOIN gateway_status t"
                       " ON t.tenant_id = g.tenant_id AND t.gw = g.gw AND t.gen = g.gen"
                       " WHERE g.tenant_id = ?1 AND g.added <= ?2 ORDER BY g.gw, g.gen",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, requested);
    while ((r = db_step(st)) == DB_ROW && (r = add_wait(&s, st, requested, &l)) == 0)
        ;
    db_done(st);
    if (r != 0)
        erasure_wait_list_done(&l);
    else
        *ret_list = l;
    return r;
}

void erasure_wait_list_done(struct erasure_wait_list *l)
{
    free(l->items);
    *l = (struct erasure_wait_list){0};
}

/* ---- erasing ---- */

int erasure_plan(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                 struct tomb_counts *ret_counts)
{
    struct scope s;
    struct erasure_plan p;
    int r = db_begin_read(db); /* one state of the store for all counts */
    if (r == 0)
        r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = erasure_plan_make(&s, person, &p);
    if (r == 0) {
        *ret_counts = p.counts;
        erasure_plan_done(&p);
    }
    db_end_read(db);
    return r;
}

static int set_key_gen(const struct scope *s, uint64_t generation)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE tenant SET key_gen = ?2 WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)generation);
    return db_must(st);
}

/* Of an event about the ring and KEK that have not got the person any more. */
static int put_generation(const struct scope *s, struct audit_event *e, uint64_t generation)
{
    e->detail = json_pack("{s:I}", "generation", (json_int_t)generation);
    int r = e->detail ? audit_put(s, e) : -ENOMEM;
    json_decref(e->detail);
    e->detail = NULL;
    return r;
}

/* While the person's key is there: of it is the tag by which the event is theirs, like those of before. */
static int note_begun(const struct scope *s, const struct audit_event *asked, const uint8_t id[ID_LEN],
                      const struct person *person)
{
    char hex[2 * ID_LEN + 1];
    struct subject of;
    struct audit_event e = *asked;
    memcpy(of.id, person->id, ID_LEN);
    memcpy(of.key, person->key, KEY_ID_LEN);
    e.kind = "erasure.begun";
    e.outcome = AUDIT_DONE;
    e.resource = str_hex(id, ID_LEN, hex);
    e.subjects = &of;
    e.n_subjects = 1;
    return put_generation(s, &e, keyring_generation(s->ring) + 1);
}

/* Takes p's holds. */
static int stage(const struct scope *s, const struct audit_event *asked, struct erasure_plan *p, struct tomb *ret)
{
    struct tomb t = {.generation = keyring_generation(s->ring) + 1,
                     .at = clock_real(),
                     .counts = p->counts,
                     .n_cards = p->n_holds,
                     .cards = p->holds};
    p->holds = NULL;
    p->n_holds = 0;
    memcpy(t.person, p->person.id, ID_LEN);
    int r = crypto_random(t.id, ID_LEN);
    *ret = t;
    ret->cards = NULL;
    ret->n_cards = 0;
    if (r == 0)
        r = note_begun(s, asked, t.id, &p->person);
    if (r == 0)
        r = keyring_erase(s->ring, &t, p->keys, p->n_keys);
    tomb_done(&t);
    return r == -EAGAIN ? CLOUD_FENCED : r;
}

static int erase(const struct scope *s, const uint8_t person[ID_LEN], const struct audit_event *asked, struct tomb *ret)
{
    struct erasure_plan p;
    struct tomb t = {0};
    int r = erasure_plan_make(s, person, &p);
    if (r != 0)
        return r;
    r = stage(s, asked, &p, &t);
    if (r == 0)
        r = erasure_plan_act(s, &p);
    if (r == 0)
        r = record_put(s, &t);
    if (r == 0)
        r = changes_erased(s, person);
    if (r == 0)
        r = set_key_gen(s, t.generation);
    erasure_plan_done(&p);
    if (r == 0)
        *ret = t;
    return r;
}

static int settle(struct cloud *c, struct db *db, const char *tenant, int64_t max_bytes);

int erasure_make(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                 const struct audit_event *asked, struct erasure *ret_erasure)
{
    struct scope s;
    struct tomb t;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = erase(&s, person, asked, &t);
    if (r != 0) {
        cloud_rollback(c, db);
        return r;
    }
    r = cloud_commit(c, db);
    if (r != 0)
        return keyring_journalled(s.ring, t.id) ? ERASURE_BEGUN : r;
    audit_soon(c);
    struct erasure e = {.requested = t.at, .counts = t.counts};
    memcpy(e.id, t.id, ID_LEN);
    memcpy(e.person, t.person, ID_LEN);
    if (db_depth(db) == 0 && settle(c, db, tenant, SCRUB_AT_ONCE) == 0)
        erasure_get(c, db, tenant, t.id, &e);
    *ret_erasure = e;
    return 0;
}

/* ---- going on ---- */

static const struct who us = {.is = WHO_SYSTEM};

/* What the store lacks of the journal, the event among it: it was of the transaction that is lost. In a store whose
 * commit failed the person is still there, and so is the key, `leaving`; in one from before the erasure only rows are
 * left that nobody's key opens. */
static int redo_one(const struct scope *s, const struct tomb *t)
{
    static const struct audit_event resumed = {.who = &us};
    struct person gone = {0};
    struct erasure_plan p;
    memcpy(gone.id, t->person, ID_LEN);
    int r = erasure_plan_make(s, t->person, &p);
    if (r == 0) {
        r = note_begun(s, &resumed, t->id, &p.person);
        if (r == 0)
            r = erasure_plan_act(s, &p);
        erasure_plan_done(&p);
    } else if (r == CLOUD_ABSENT) {
        r = note_begun(s, &resumed, t->id, &gone);
    }
    if (r == 0)
        r = record_put(s, t);
    return r == 0 ? changes_erased(s, t->person) : r;
}

static int redo(const struct scope *s, uint64_t key_gen)
{
    const struct tombs *all = keyring_tombs(s->ring);
    int r = 0;
    for (size_t i = 0; r == 0 && i < all->n; i++)
        if (all->items[i].generation > key_gen)
            r = redo_one(s, &all->items[i]);
    if (r == 0)
        r = erasure_orphans(s);
    return r == 0 ? set_key_gen(s, keyring_generation(s->ring)) : r;
}

/* Under the write transaction nobody else is between journal and commit. */
static int roll_forward(struct cloud *c, struct db *db, const char *tenant)
{
    struct scope s;
    uint64_t key_gen, generation = 0;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_fenced(c, db, tenant, &s, &key_gen);
    if (r == 0)
        generation = keyring_generation(s.ring);
    if (r == 0 && key_gen > generation) {
        log_error("erasure.keyring", "tenant=%s store=%llu keyring=%llu error=\"the keyring is older than the store\"",
                  tenant, (unsigned long long)key_gen, (unsigned long long)generation);
        r = CLOUD_EPOCH;
    }
    if (r != 0 || key_gen == generation) {
        if (r == 0)
            r = keyring_turned(s.ring);
        cloud_rollback(c, db);
        return r;
    }
    log_note("erasure.resumed", "tenant=%s from=%llu to=%llu", tenant, (unsigned long long)key_gen,
             (unsigned long long)generation);
    keyring_redo(s.ring);
    r = redo(&s, key_gen);
    return cloud_end(c, db, r);
}

/* The last generation of those not done; 0: none. */
static int undone(const struct scope *s, int64_t *ret_generation)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT max(generation) FROM erasure WHERE tenant_id = ?1 AND done = 0", &st);
    if (r != 0)
        return r;
    return db_number(st, ret_generation);
}

static int id_from_row(struct db_stmt *st, void *arg, void *item)
{
    return db_fixed(st, 0, item, ID_LEN) == 0 ? 0 : CLOUD_ABSENT;
}

/* The trail, the customer's programs and those who may erase hear of it; by its id, whose it was nobody knows any more.
 */
static int tell_one(const struct scope *s, const uint8_t id[ID_LEN], uint64_t generation)
{
    char hex[2 * ID_LEN + 1], now[MAIL_TIME];
    struct audit_event e = {
        .kind = "erasure.done", .outcome = AUDIT_DONE, .who = &us, .resource = str_hex(id, ID_LEN, hex)};
    json_t *data = json_pack("{s:s}", "erasure", hex);
    int r = data ? outbox_event(s, "erasure.done", data) : -ENOMEM;
    json_decref(data);
    const struct mail_arg args[] = {{"erasure", hex}, {"time", mail_time(clock_real(), now)}};
    if (r == 0)
        r = tell_holders(s, PERM_PEOPLE_ERASE, NULL, MAIL_ERASED, args, ARRAY_LEN(args));
    return r == 0 ? put_generation(s, &e, generation) : r;
}

static int tell_done(const struct scope *s, int64_t generation)
{
    struct db_stmt *st;
    struct rows l;
    int r = scope_stmt(s, "SELECT id FROM erasure WHERE tenant_id = ?1 AND done = 0 AND generation <= ?2", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, generation);
    r = rows_collect(st, 0, ID_LEN, id_from_row, NULL, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = tell_one(s, (const uint8_t *)l.items + i * ID_LEN, (uint64_t)generation);
    free(l.items);
    return r;
}

static int note_done(const struct scope *s, int64_t generation)
{
    struct db_stmt *st;
    int r = cloud_begin(s->c, s->db);
    if (r != 0)
        return r;
    r = tell_done(s, generation);
    if (r == 0)
        r = scope_stmt(s, "UPDATE erasure SET done = ?2 WHERE tenant_id = ?1 AND done = 0 AND generation <= ?3", &st);
    if (r == 0) {
        db_bind_int(st, 2, clock_real());
        db_bind_int(st, 3, generation);
        r = db_must(st);
    }
    r = cloud_end(s->c, s->db, r);
    if (r == 0)
        audit_soon(s->c);
    return r;
}

/* DB_BUSY: not now. One that is committed meanwhile is of a later generation and waits for the next time. */
static int settle(struct cloud *c, struct db *db, const char *tenant, int64_t max_bytes)
{
    struct scope s;
    int64_t generation = 0;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = undone(&s, &generation);
    if (r != 0 || generation == 0 || !keyring_settled(s.ring))
        return r;
    r = db_scrub(db, max_bytes);
    return r == 0 ? note_done(&s, generation) : r;
}

static int resume_tenant(struct cloud *c, struct db *db, const char *tenant, bool at_start)
{
    struct scope s;
    uint64_t key_gen;
    int r = scope_fenced(c, db, tenant, &s, &key_gen);
    if (r == 0 && (key_gen != keyring_generation(s.ring) || !keyring_settled(s.ring)))
        r = roll_forward(c, db, tenant);
    if (r == 0)
        r = settle(c, db, tenant, at_start ? SCRUB_AT_ONCE : 0);
    return r == DB_BUSY ? 0 : r;
}

int erasure_resume(struct cloud *c, struct db *db, bool at_start)
{
    struct tenant_list l;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; i < l.n; i++) {
        int rr = resume_tenant(c, db, l.items[i].id, at_start);
        if (rr != 0)
            log_error("erasure.resume", "tenant=%s error=%s action=\"tried again by the next sweep\"", l.items[i].id,
                      log_q(rr < 0 ? error_str(rr) : "the keyring is not the store's"));
        if (r == 0)
            r = rr;
    }
    tenant_list_done(&l);
    return r;
}
