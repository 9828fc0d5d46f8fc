/* Webhooks; see webhook.h. The row: what it wants, when it is due, how far it was told of the changes feed; address and
 * secrets are sealed under the tenant's key, as JSON. */
#include "cloud/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/holder.h"
#include "cloud/jsontext.h"
#include "cloud/rows.h"

#define WEBHOOK_UNIT 1000 /* url, name and secrets at their longest, mostly */
#define COLUMNS "id, created, wants, failures, due, sealed"

/* ---- types ---- */

static const char *const types[] = {"changes",      "audit.checkpoint", "support.*", "breakglass.*",
                                    "erasure.done", "gateway.*",        NULL};

const char *webhook_type(size_t i)
{
    return i < ARRAY_LEN(types) ? types[i] : NULL;
}

bool webhook_type_find(const char *name, uint64_t *ret_bit)
{
    for (size_t i = 0; types[i]; i++) {
        if (strcmp(types[i], name) != 0)
            continue;
        *ret_bit = UINT64_C(1) << i;
        return true;
    }
    return false;
}

uint64_t webhook_wanted(const char *event)
{
    for (size_t i = 0; types[i]; i++) {
        size_t n = strcspn(types[i], "*"); /* with the dot before it */
        if (types[i][n] == '*' ? strncmp(event, types[i], n) == 0 && event[n] : strcmp(event, types[i]) == 0)
            return UINT64_C(1) << i;
    }
    return 0;
}

/* ---- rows ---- */

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "webhook", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static bool copied(char *ret, size_t size, const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    return s && str_copy(ret, size, s) == 0;
}

static int decode(struct bytes plain, struct webhook *w)
{
    json_t *o = NULL;
    int r = jsontext_read(plain, NULL, &o);
    if (r != 0)
        return r;
    bool good = copied(w->url, sizeof w->url, o, "url") && copied(w->name, sizeof w->name, o, "name") &&
                copied(w->secret, sizeof w->secret, o, "secret") && copied(w->old, sizeof w->old, o, "old");
    w->old_until = json_integer_value(json_object_get(o, "until"));
    json_decref(o);
    return good ? 0 : SEAL_BAD;
}

/* Columns as COLUMNS. CLOUD_ABSENT: it has not even an id. CLOUD_DAMAGED: only the id is known. */
static int from_row(const struct scope *s, struct db_stmt *st, struct webhook *ret)
{
    uint8_t key[CRYPTO_KEY], plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    struct webhook w = {.created = db_int(st, 1),
                        .wants = (uint64_t)db_int(st, 2),
                        .failures = (unsigned)db_int(st, 3),
                        .due = db_int(st, 4)};
    if (db_fixed(st, 0, w.id, ID_LEN) != 0) {
        scope_damaged(s, "webhook", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    int r = holder_tenant_key(s, key);
    if (r == 0) {
        struct seal_place at = place(s, w.id);
        r = seal_get(key, &at, db_blob(st, 5), plain, sizeof plain, &n);
    }
    crypto_wipe(key, sizeof key);
    if (r == 0)
        r = decode(BYTES(plain, n), &w);
    crypto_wipe(plain, sizeof plain);
    if (r == SEAL_BAD || r == -EBADMSG) {
        scope_damaged(s, "webhook", BYTES(w.id, ID_LEN), SHOWN_DAMAGED);
        w.damaged = true;
        r = CLOUD_DAMAGED;
    }
    if (r >= 0)
        *ret = w;
    crypto_wipe(&w, sizeof w);
    return r;
}

int webhook_find(const struct scope *s, const uint8_t id[ID_LEN], struct webhook *ret_webhook)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM webhook WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret_webhook) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int webhook_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                struct webhook *ret_webhook)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : webhook_find(&s, id, ret_webhook);
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(arg, st, item);
    return r == CLOUD_DAMAGED ? 0 : r;
}

int webhook_list(struct cloud *c, struct db *db, const char *tenant, struct webhook_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " COLUMNS " FROM webhook WHERE tenant_id = ?1 ORDER BY created, id", &st);
    if (r == 0)
        r = rows_collect(st, 0, sizeof(struct webhook), listed, &s, &l);
    if (r == 0)
        *ret_list = (struct webhook_list){.items = l.items, .n = l.n};
    return r;
}

void webhook_list_done(struct webhook_list *l)
{
    if (l->items)
        crypto_wipe(l->items, l->n * sizeof *l->items);
    free(l->items);
    *l = (struct webhook_list){0};
}

/* ---- changing ---- */

static int seal(const struct scope *s, const struct webhook *w, struct buf *ret_sealed)
{
    uint8_t key[CRYPTO_KEY];
    struct buf CLEANUP(buf_wipe) plain;
    struct seal_place at = place(s, w->id);
    buf_init(&plain, SEAL_PLAIN_MAX);
    jsontext_put(&plain, json_pack("{s:s, s:s, s:s, s:s, s:I}", "url", w->url, "name", w->name, "secret", w->secret,
                                   "old", w->old, "until", (json_int_t)w->old_until));
    if (plain.failed)
        return -ENOMEM;
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = seal_put(key, &at, buf_bytes(&plain), WEBHOOK_UNIT, ret_sealed);
    crypto_wipe(key, sizeof key);
    return r;
}

/* Inserts, told of the changes feed as far as it goes now, or replaces. */
static int put(const struct scope *s, const struct webhook *w)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    int64_t position = 0;
    buf_init(&sealed, SEAL_PLAIN_MAX + WEBHOOK_UNIT + SEAL_OVERHEAD);
    int r = seal(s, w, &sealed);
    if (r == 0)
        r = changes_last(s, &position);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO webhook(tenant_id, id, created, wants, failures, due, position, noted, last,"
                       " sealed) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8) ON CONFLICT(tenant_id, id) DO UPDATE SET"
                       " wants = excluded.wants, failures = excluded.failures, due = excluded.due,"
                       " sealed = excluded.sealed",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(w->id, ID_LEN));
    db_bind_int(st, 3, w->created);
    db_bind_int(st, 4, (int64_t)w->wants);
    db_bind_int(st, 5, w->failures);
    db_bind_int(st, 6, w->due);
    db_bind_int(st, 7, position);
    db_bind_blob(st, 8, buf_bytes(&sealed));
    return db_must(st);
}

static int draw_secret(char ret[WEBHOOK_SECRET_MAX])
{
    uint8_t secret[32];
    int r = crypto_random(secret, sizeof secret);
    if (r == 0) {
        memcpy(ret, "pws_", 5);
        str_b64url(secret, sizeof secret, ret + 4);
    }
    crypto_wipe(secret, sizeof secret);
    return r;
}

static bool set_texts(struct webhook *w, const struct webhook_set *set)
{
    bool moved = set->url && strcmp(set->url, w->url) != 0;
    if ((set->url && str_copy(w->url, sizeof w->url, set->url) != 0) ||
        (set->name && str_copy(w->name, sizeof w->name, set->name) != 0))
        return false;
    if (set->wants)
        w->wants = set->wants;
    if (moved)
        w->due = 0; /* whether it is better there is still to be seen */
    return w->url[0] != '\0';
}

static int count(const struct scope *s, int64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT count(*) FROM webhook WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    return db_number(st, ret_n);
}

static int add(const struct scope *s, const struct webhook_set *set, struct webhook *w)
{
    int64_t n = 0;
    if (!set_texts(w, set))
        return CLOUD_INVALID;
    int r = count(s, &n);
    if (r == 0 && n >= WEBHOOKS_MAX)
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = crypto_random(w->id, ID_LEN);
    if (r == 0)
        r = draw_secret(w->secret);
    w->created = clock_real();
    return r != 0 ? r : put(s, w);
}

/* One of these within a transaction. */
struct alteration {
    const struct webhook_set *set; /* add, update */
    const uint8_t *id;             /* update, rotate, remove */
    enum { ADD, UPDATE, ROTATE, REMOVE } what;
};

static int remove_rows(const struct scope *s, const uint8_t id[ID_LEN])
{
    static const char *const sql[] = {"DELETE FROM delivery WHERE tenant_id = ?1 AND webhook = ?2",
                                      "DELETE FROM webhook WHERE tenant_id = ?1 AND id = ?2"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(sql); i++) {
        struct db_stmt *st;
        r = scope_stmt(s, sql[i], &st);
        if (r != 0)
            break;
        db_bind_blob(st, 2, BYTES(id, ID_LEN));
        r = db_must(st);
    }
    return r == 0 && db_changes(s->db) == 0 ? CLOUD_ABSENT : r;
}

static int alter(const struct scope *s, const struct alteration *x, struct webhook *w)
{
    if (x->what == ADD)
        return add(s, x->set, w);
    if (x->what == REMOVE)
        return remove_rows(s, x->id);
    int r = webhook_find(s, x->id, w);
    if (r == 0 && x->what == UPDATE && !set_texts(w, x->set))
        r = CLOUD_INVALID;
    if (r == 0 && x->what == ROTATE) {
        memcpy(w->old, w->secret, sizeof w->old);
        w->old_until = clock_real() + WEBHOOK_OLD_US;
        r = draw_secret(w->secret);
    }
    return r != 0 ? r : put(s, w);
}

static int change(struct cloud *c, struct db *db, const char *tenant, const struct alteration *x, struct webhook *ret)
{
    struct scope s;
    struct webhook w = {0};
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, alter(&s, x, &w));
    if (r == 0 && ret)
        *ret = w;
    crypto_wipe(&w, sizeof w);
    return r;
}

int webhook_add(struct cloud *c, struct db *db, const char *tenant, const struct webhook_set *set,
                struct webhook *ret_webhook)
{
    return change(c, db, tenant, &(struct alteration){.what = ADD, .set = set}, ret_webhook);
}

int webhook_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   const struct webhook_set *set, struct webhook *ret_webhook)
{
    return change(c, db, tenant, &(struct alteration){.what = UPDATE, .id = id, .set = set}, ret_webhook);
}

int webhook_rotate(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct webhook *ret_webhook)
{
    return change(c, db, tenant, &(struct alteration){.what = ROTATE, .id = id}, ret_webhook);
}

int webhook_remove(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN])
{
    return change(c, db, tenant, &(struct alteration){.what = REMOVE, .id = id}, NULL);
}

/* ---- sending ---- */

int webhook_sign(const struct webhook *w, int64_t now, struct bytes body, char ret[WEBHOOK_SIGNATURE_MAX])
{
    char t[24], hex[2 * CRYPTO_HASH + 1];
    uint8_t mac[CRYPTO_HASH];
    int n = snprintf(t, sizeof t, "%lld.", (long long)(now / 1000000));
    const struct bytes parts[] = {BYTES(t, (size_t)n), body};
    const char *secrets[] = {w->secret, w->old[0] && w->old_until > now ? w->old : NULL};
    size_t used = (size_t)snprintf(ret, WEBHOOK_SIGNATURE_MAX, "t=%.*s", n - 1, t);
    for (size_t i = 0; i < ARRAY_LEN(secrets) && secrets[i]; i++) {
        int r = crypto_hmac(BYTES_STR(secrets[i]), parts, ARRAY_LEN(parts), mac);
        if (r != 0)
            return r;
        used += (size_t)snprintf(ret + used, WEBHOOK_SIGNATURE_MAX - used, ",v1=%s", str_hex(mac, sizeof mac, hex));
    }
    return 0;
}

int64_t webhook_backoff(unsigned failures, uint32_t random)
{
    const int64_t first = 60000000, most = INT64_C(6) * 3600 * 1000000;
    int64_t us = failures < 2 ? first : failures > 9 ? most : first << (failures - 1);
    us = us > most ? most : us;
    return us - us / 4 + us / 2 / 1000 * (random % 1001);
}
