/* Deliveries; see delivery.h. Type, data and the last error are sealed under the tenant's key, as JSON. */
#include "cloud/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/holder.h"
#include "cloud/jsontext.h"
#include "cloud/outbox.h"
#include "cloud/rows.h"

#define DELIVERY_UNIT 512
#define COLUMNS "id, state, queued, tried, tries, status, sealed"
#define CHANGES "changes"
#define CHANGES_EACH_US 2000000
#define CHANGES_BATCH 64 /* webhooks told in one pass */

const char *delivery_state_name(enum delivery_state s)
{
    static const char *const names[] = {"waiting", "delivered", "failed"};
    return names[s];
}

void delivery_done(struct delivery *d)
{
    json_decref(d->data);
    *d = (struct delivery){0};
}

void delivery_list_done(struct delivery_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        delivery_done(&l->items[i]);
    free(l->items);
    *l = (struct delivery_list){0};
}

/* ---- rows ---- */

static struct seal_place place(const struct scope *s, const uint8_t webhook[ID_LEN], const uint8_t id[ID_LEN])
{
    return (struct seal_place){
        .table = "delivery", .tenant = s->tenant, .key = {BYTES(webhook, ID_LEN), BYTES(id, ID_LEN)}};
}

static int decode(struct bytes plain, struct delivery *d)
{
    json_t *o = NULL;
    int r = jsontext_read(plain, NULL, &o);
    if (r != 0)
        return r;
    json_t *data = json_object_get(o, "data");
    const char *type = json_string_value(json_object_get(o, "type"));
    const char *error = json_string_value(json_object_get(o, "error"));
    bool good = data && type && error && str_copy(d->type, sizeof d->type, type) == 0 &&
                str_copy(d->error, sizeof d->error, error) == 0;
    if (good)
        d->data = json_incref(data);
    json_decref(o);
    return good ? 0 : SEAL_BAD;
}

struct reading {
    const struct scope *s;
    const uint8_t *webhook;
};

/* Columns as COLUMNS. CLOUD_DAMAGED: *ret has what stands in the clear. */
static int from_row(const struct reading *x, struct db_stmt *st, struct delivery *ret)
{
    uint8_t key[CRYPTO_KEY], plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    int64_t state = db_int(st, 1);
    struct delivery d = {.state = state == 0   ? DELIVERY_WAITING
                                  : state == 1 ? DELIVERY_DONE
                                               : DELIVERY_FAILED,
                         .queued = db_int(st, 2),
                         .tried = db_int(st, 3),
                         .tries = (unsigned)db_int(st, 4),
                         .status = (unsigned)db_int(st, 5)};
    if (db_fixed(st, 0, d.id, ID_LEN) != 0) {
        scope_damaged(x->s, "delivery", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    d.created = (int64_t)be_get(d.id, 8);
    int r = holder_tenant_key(x->s, key);
    if (r == 0) {
        struct seal_place at = place(x->s, x->webhook, d.id);
        r = seal_get(key, &at, db_blob(st, 6), plain, sizeof plain, &n);
    }
    crypto_wipe(key, sizeof key);
    if (r == 0)
        r = decode(BYTES(plain, n), &d);
    if (r == SEAL_BAD || r == -EBADMSG) {
        scope_damaged(x->s, "delivery", BYTES(d.id, ID_LEN), PASSED_OVER);
        r = CLOUD_DAMAGED;
    }
    if (r >= 0)
        *ret = d;
    return r;
}

static int seal(const struct scope *s, const uint8_t webhook[ID_LEN], const struct delivery *d, struct buf *ret_sealed)
{
    uint8_t key[CRYPTO_KEY];
    struct buf CLEANUP(buf_done) plain;
    struct seal_place at = place(s, webhook, d->id);
    buf_init(&plain, SEAL_PLAIN_MAX);
    jsontext_put(&plain,
                 json_pack("{s:s, s:o, s:O}", "type", d->type, "error", jsontext_of(d->error), "data", d->data));
    if (plain.failed)
        return -ENOBUFS;
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = seal_put(key, &at, buf_bytes(&plain), DELIVERY_UNIT, ret_sealed);
    crypto_wipe(key, sizeof key);
    return r;
}

/* Inserts or replaces. */
static int put(const struct scope *s, const uint8_t webhook[ID_LEN], const struct delivery *d)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, SEAL_PLAIN_MAX + DELIVERY_UNIT + SEAL_OVERHEAD);
    int r = seal(s, webhook, d, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO delivery(tenant_id, webhook, id, feed, state, queued, tried, tries, status, sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(tenant_id, webhook, id)"
                       " DO UPDATE SET state = excluded.state, queued = excluded.queued, tried = excluded.tried,"
                       " tries = excluded.tries, status = excluded.status, sealed = excluded.sealed",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    db_bind_blob(st, 3, BYTES(d->id, ID_LEN));
    db_bind_int(st, 4, strcmp(d->type, CHANGES) == 0);
    db_bind_int(st, 5, d->state);
    db_bind_int(st, 6, d->queued);
    db_bind_int(st, 7, d->tried);
    db_bind_int(st, 8, d->tries);
    db_bind_int(st, 9, d->status);
    db_bind_blob(st, 10, buf_bytes(&sealed));
    return db_must(st);
}

int delivery_find(const struct scope *s, const uint8_t webhook[ID_LEN], const uint8_t id[ID_LEN],
                  struct delivery *ret_delivery)
{
    const struct reading x = {s, webhook};
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND id = ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    db_bind_blob(st, 3, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(&x, st, ret_delivery) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(arg, st, item);
    return r == CLOUD_DAMAGED ? CLOUD_ABSENT : r;
}

int delivery_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t webhook[ID_LEN],
                  const uint8_t *after, size_t limit, struct delivery_list *ret_list)
{
    uint8_t newest[ID_LEN];
    struct webhook w;
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    struct reading x = {&s, webhook};
    memset(newest, 0xff, sizeof newest);
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = webhook_find(&s, webhook, &w);
    crypto_wipe(&w, sizeof w);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = scope_stmt(&s,
                       "SELECT " COLUMNS " FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND id < ?3"
                       " ORDER BY id DESC",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    db_bind_blob(st, 3, BYTES(after ? after : newest, ID_LEN));
    r = rows_collect(st, limit, sizeof(struct delivery), listed, &x, &l);
    if (r == 0)
        *ret_list = (struct delivery_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

/* ---- queueing ---- */

/* Later than every one of this webhook before it, whatever the clock says. */
static int draw_id(const struct scope *s, const uint8_t webhook[ID_LEN], uint8_t ret_id[ID_LEN])
{
    struct db_stmt *st;
    int64_t last = 0;
    int r = scope_stmt(s,
                       "UPDATE webhook SET last = CASE WHEN last >= ?3 THEN last + 1 ELSE ?3 END WHERE tenant_id = ?1 "
                       "AND id = ?2 RETURNING last",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    db_bind_int(st, 3, clock_real());
    while ((r = db_step(st)) == DB_ROW)
        last = db_int(st, 0);
    db_done(st);
    if (r == 0 && last <= 0)
        r = CLOUD_ABSENT;
    if (r == 0)
        r = crypto_random(ret_id, ID_LEN);
    if (r == 0)
        be_put(ret_id, (uint64_t)last, 8);
    return r;
}

static int count_waiting(const struct scope *s, const uint8_t webhook[ID_LEN], int64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT count(*) FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND state = 0", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    return db_number(st, ret_n);
}

int delivery_add(const struct scope *s, const uint8_t webhook[ID_LEN], const char *type, json_t *data,
                 struct delivery *ret_delivery)
{
    struct delivery d = {.data = data};
    int64_t waiting = 0;
    int r = str_copy(d.type, sizeof d.type, type);
    if (r == 0)
        r = draw_id(s, webhook, d.id);
    if (r == 0)
        r = count_waiting(s, webhook, &waiting);
    if (r != 0)
        return r;
    d.created = d.queued = (int64_t)be_get(d.id, 8);
    if (waiting >= DELIVERIES_WAITING_MAX) {
        d.state = DELIVERY_FAILED;
        snprintf(d.error, sizeof d.error, "%d others were waiting already", DELIVERIES_WAITING_MAX);
    }
    r = put(s, webhook, &d);
    if (r == 0 && ret_delivery) {
        *ret_delivery = d;
        json_incref(d.data);
    }
    return r;
}

int outbox_event(const struct scope *s, const char *type, json_t *payload)
{
    uint8_t ids[WEBHOOKS_MAX][ID_LEN];
    struct db_stmt *st;
    size_t n = 0;
    uint64_t wanted = webhook_wanted(type);
    if (!wanted)
        return -EINVAL;
    int r = scope_stmt(s, "SELECT id FROM webhook WHERE tenant_id = ?1 AND (wants & ?2) <> 0", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)wanted);
    while ((r = db_step(st)) == DB_ROW && n < WEBHOOKS_MAX)
        if (db_fixed(st, 0, ids[n], ID_LEN) == 0)
            n++;
    db_done(st);
    r = r == DB_ROW ? 0 : r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = delivery_add(s, ids[i], type, payload, NULL);
    return r;
}

static int wake(const struct scope *s, const uint8_t webhook[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE webhook SET due = 0 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    return db_must(st);
}

int delivery_again(const struct scope *s, const uint8_t webhook[ID_LEN], const uint8_t id[ID_LEN],
                   struct delivery *ret_delivery)
{
    struct delivery d = {0};
    int r = delivery_find(s, webhook, id, &d);
    if (r == 0 && d.state == DELIVERY_WAITING)
        r = CLOUD_CONFLICT;
    if (r == 0) {
        d.state = DELIVERY_WAITING;
        d.queued = clock_real();
        r = put(s, webhook, &d);
    }
    if (r == 0)
        r = wake(s, webhook);
    if (r == 0)
        *ret_delivery = d;
    else
        delivery_done(&d);
    return r;
}

/* ---- sending ---- */

int delivery_body(const struct delivery *d, const char *tenant, struct buf *ret_body)
{
    char id[2 * ID_LEN + 1], created[32];
    json_t *o = json_pack("{s:s, s:O, s:s, s:s, s:s}", "created", str_time(d->created, created), "data", d->data, "id",
                          str_hex(d->id, ID_LEN, id), "tenant", tenant, "type", d->type);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int r = text ? buf_add(ret_body, text, strlen(text)) : -ENOMEM;
    free(text);
    json_decref(o);
    return r;
}

int delivery_due(struct db *db, int64_t now, size_t max, struct webhook_due *ret_due, size_t *ret_n)
{
    struct db_stmt *s;
    size_t n = 0;
    int r = db_stmt(db,
                    "SELECT tenant_id, id, failures FROM (SELECT w.tenant_id, w.id, w.failures, CASE WHEN w.failures"
                    " > 0 THEN 1 ELSE 0 END AS failing, ROW_NUMBER() OVER (PARTITION BY w.tenant_id ORDER BY CASE WHEN"
                    " w.failures > 0 THEN 1 ELSE 0 END, w.due, w.id) AS turn FROM webhook w WHERE w.due <= ?1 AND"
                    " EXISTS (SELECT 1 FROM delivery d WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id AND"
                    " d.state = 0)) waiting ORDER BY failing, turn LIMIT ?2",
                    &s);
    if (r != 0)
        return r;
    db_bind_int(s, 1, now);
    db_bind_int(s, 2, (int64_t)max);
    while ((r = db_step(s)) == DB_ROW && n < max) {
        ret_due[n].failures = (unsigned)db_int(s, 2);
        if (str_copy(ret_due[n].tenant, sizeof ret_due[n].tenant, db_text(s, 0)) == 0 &&
            db_fixed(s, 1, ret_due[n].id, ID_LEN) == 0)
            n++;
    }
    db_done(s);
    *ret_n = n;
    return r < 0 ? r : 0;
}

int delivery_head(const struct scope *s, const uint8_t webhook[ID_LEN], struct delivery *ret_delivery)
{
    const struct reading x = {s, webhook};
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT " COLUMNS " FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND state = 0"
                       " ORDER BY id LIMIT 1",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(&x, st, ret_delivery) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

static int trim(const struct scope *s, const uint8_t webhook[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "DELETE FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND state <> 0 AND id <= (SELECT id"
                       " FROM delivery WHERE tenant_id = ?1 AND webhook = ?2 AND state <> 0 ORDER BY id DESC LIMIT 1"
                       " OFFSET ?3)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(webhook, ID_LEN));
    db_bind_int(st, 3, DELIVERIES_KEPT);
    return db_must(st);
}

static int set_due(const struct scope *s, const struct webhook_due *w, int64_t due)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE webhook SET failures = ?3, due = ?4 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(w->id, ID_LEN));
    db_bind_int(st, 3, w->failures);
    db_bind_int(st, 4, due);
    return db_must(st);
}

/* It may have been removed, or changed, meanwhile. A row that does not open is failed by its clear columns. */
static int tried(const struct scope *s, const struct webhook_due *w, const struct delivery *d, int64_t due)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "UPDATE delivery SET state = ?4, tried = ?5, tries = ?6, status = ?7"
                       " WHERE tenant_id = ?1 AND webhook = ?2 AND id = ?3",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(w->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(d->id, ID_LEN));
    db_bind_int(st, 4, d->state);
    db_bind_int(st, 5, d->tried);
    db_bind_int(st, 6, d->tries);
    db_bind_int(st, 7, d->status);
    r = db_must(st);
    if (r != 0 || db_changes(s->db) == 0)
        return r;
    if (d->data)
        r = put(s, w->id, d);
    if (r == 0)
        r = set_due(s, w, due);
    return r == 0 && d->state != DELIVERY_WAITING ? trim(s, w->id) : r;
}

int delivery_tried(struct cloud *c, struct db *db, const struct webhook_due *w, const struct delivery *d, int64_t due)
{
    struct scope s;
    int r = scope_begin(c, db, w->tenant, &s);
    if (r != 0)
        return r;
    return cloud_end(c, db, tried(&s, w, d, due));
}

/* ---- the changes feed ---- */

struct moved {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN];
    int64_t position;
};

static int moved_from_row(struct db_stmt *s, void *arg, void *item)
{
    struct moved *m = item;
    m->position = db_int(s, 2);
    return str_copy(m->tenant, sizeof m->tenant, db_text(s, 0)) == 0 && db_fixed(s, 1, m->id, ID_LEN) == 0
               ? 0
               : CLOUD_ABSENT;
}

static int tell(const struct scope *s, const struct moved *m, int64_t now)
{
    struct db_stmt *st;
    json_t *data = json_pack("{s:I, s:I}", "epoch", (json_int_t)cloud_epoch(s->c), "seq", (json_int_t)m->position);
    int r = data ? delivery_add(s, m->id, CHANGES, data, NULL) : -ENOMEM;
    json_decref(data);
    if (r == 0)
        r = scope_stmt(s, "UPDATE webhook SET position = ?3, noted = ?4 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r; /* it was removed meanwhile */
    db_bind_blob(st, 2, BYTES(m->id, ID_LEN));
    db_bind_int(st, 3, m->position);
    db_bind_int(st, 4, now);
    return db_must(st);
}

static int tell_one(struct cloud *c, struct db *db, const struct moved *m, int64_t now)
{
    struct scope s;
    int r = scope_begin(c, db, m->tenant, &s);
    if (r != 0)
        return r;
    r = tell(&s, m, now);
    if (r == 0)
        return cloud_commit(c, db);
    cloud_rollback(c, db);
    return r == CLOUD_FENCED ? 0 : r; /* its erasure is finished first */
}

int delivery_changes(struct cloud *c, struct db *db, int64_t now, size_t *ret_told)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db,
                    "SELECT w.tenant_id, w.id, t.changes FROM webhook w JOIN tenant t ON t.tenant_id = w.tenant_id"
                    " WHERE (w.wants & 1) <> 0 AND w.position <> t.changes AND (w.noted <= ?1 OR w.noted > ?2) AND NOT"
                    " EXISTS (SELECT 1 FROM delivery d WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id AND"
                    " d.state = 0 AND d.feed = 1)",
                    &s);
    if (r != 0)
        return r;
    db_bind_int(s, 1, now - CHANGES_EACH_US);
    db_bind_int(s, 2, now); /* the clock was set back */
    r = rows_collect(s, CHANGES_BATCH, sizeof(struct moved), moved_from_row, NULL, &l);
    if (r != 0)
        return r;
    const struct moved *m = l.items;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = tell_one(c, db, &m[i], now);
    *ret_told = l.n;
    free(l.items);
    return r;
}

int delivery_counts(struct db *db, uint64_t *ret_waiting, uint64_t *ret_failed)
{
    struct db_stmt *s;
    uint64_t n[3] = {0};
    int r = db_stmt(db, "SELECT state, count(*) FROM delivery GROUP BY state", &s);
    if (r != 0)
        return r;
    while ((r = db_step(s)) == DB_ROW)
        if (db_int(s, 0) >= 0 && db_int(s, 0) <= 2)
            n[db_int(s, 0)] = (uint64_t)db_int(s, 1);
    db_done(s);
    if (r == 0) {
        *ret_waiting = n[DELIVERY_WAITING];
        *ret_failed = n[DELIVERY_FAILED];
    }
    return r;
}
