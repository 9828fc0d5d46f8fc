/* Tenants; see tenant.h. */
#include "cloud/tenant.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/audit.h"
#include "cloud/role.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/who.h"
#include "wire/segment.h"

bool tenant_valid(const char *id)
{
    size_t n = strlen(id);
    if (n == 0 || n > TENANT_MAX || id[0] == '-' || id[n - 1] == '-')
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int insert_tenant(struct db *db, const char *id, int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db, "INSERT INTO tenant(tenant_id, created, changes) VALUES(?1, ?2, 0)", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, id);
    db_bind_int(s, 2, now);
    r = db_run(s);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

static int insert_recipient(struct db *db, const char *tenant, const uint8_t key_id[KEY_ID_LEN],
                            const uint8_t point[CRYPTO_POINT], const uint8_t rkid[RKID_LEN], int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO recipient(tenant_id, rkid, key_id, point, created)"
                    " VALUES(?1, ?2, ?3, ?4, ?5)",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(rkid, RKID_LEN));
    db_bind_blob(s, 3, BYTES(key_id, KEY_ID_LEN));
    db_bind_blob(s, 4, BYTES(point, CRYPTO_POINT));
    db_bind_int(s, 5, now);
    return db_must(s);
}

/* What segments are sealed to from now on is told by the trail. */
static int note_recipient(struct cloud *c, struct db *db, const char *tenant, const uint8_t rkid[RKID_LEN])
{
    static const struct who us = {.is = WHO_SYSTEM};
    char hex[2 * RKID_LEN + 1];
    const struct audit_event e = {
        .kind = "key.recipient", .outcome = AUDIT_DONE, .who = &us, .resource = str_hex(rkid, RKID_LEN, hex)};
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r == 0 ? audit_put(&s, &e) : r;
}

static int add_recipient(struct cloud *c, struct db *db, const char *tenant, struct keyring *ring, int64_t now)
{
    struct crypto_key *key = NULL;
    uint8_t scalar[CRYPTO_KEY], point[CRYPTO_POINT], key_id[KEY_ID_LEN], rkid[RKID_LEN];
    int r = crypto_key_new(CRYPTO_ECDH, &key);
    if (r == 0)
        r = crypto_key_export(key, scalar);
    if (r == 0)
        r = crypto_key_point(key, point);
    if (r == 0)
        r = keyring_add(ring, KEY_RECIPIENT, scalar, key_id);
    if (r == 0)
        r = seg_rkid(point, rkid);
    if (r == 0)
        r = insert_recipient(db, tenant, key_id, point, rkid, now);
    if (r == 0)
        r = note_recipient(c, db, tenant, rkid);
    crypto_wipe(scalar, sizeof scalar);
    crypto_key_free(key);
    return r;
}

/* A ring left by a crash before its tenant committed has its index key already. */
static int add_index_key(struct keyring *ring)
{
    uint8_t key_id[KEY_ID_LEN], key[CRYPTO_KEY];
    int r = keyring_newest(ring, KEY_INDEX, key_id, key);
    crypto_wipe(key, sizeof key);
    return r == KEYRING_ABSENT ? keyring_add(ring, KEY_INDEX, NULL, key_id) : r;
}

bool tenant_is_customer(const char *id)
{
    return strcmp(id, VENDOR_TENANT) != 0;
}

static int add(struct cloud *c, struct db *db, const char *id, struct tenant *ret_tenant)
{
    struct keyring *ring = NULL;
    struct tenant t = {.created = clock_real(), .key_gen = 1};
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = insert_tenant(db, id, t.created);
    if (r == 0)
        r = cloud_ring_create(c, id, &ring);
    if (r == 0)
        r = add_index_key(ring);
    if (r == 0 && tenant_is_customer(id)) /* the vendor has no gateways */
        r = add_recipient(c, db, id, ring, t.created);
    if (r == 0)
        r = role_ship(db, id, t.created);
    r = cloud_end(c, db, r);
    if (r == 0) {
        str_copy(t.id, sizeof t.id, id);
        *ret_tenant = t;
    }
    return r;
}

int tenant_add(struct cloud *c, struct db *db, const char *id, struct tenant *ret_tenant)
{
    return tenant_valid(id) ? add(c, db, id, ret_tenant) : CLOUD_INVALID;
}

int tenant_ensure_vendor(struct cloud *c, struct db *db)
{
    struct tenant t;
    int r = tenant_get(db, VENDOR_TENANT, &t);
    return r == CLOUD_ABSENT ? add(c, db, VENDOR_TENANT, &t) : r;
}

int tenant_get(struct db *db, const char *id, struct tenant *ret_tenant)
{
    struct db_stmt *s;
    struct tenant t = {0};
    if (str_copy(t.id, sizeof t.id, id) != 0)
        return CLOUD_ABSENT;
    int r = db_stmt(db, "SELECT created, key_gen, archived FROM tenant WHERE tenant_id = ?1", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, id);
    r = db_step(s);
    if (r == DB_ROW) {
        t.created = db_int(s, 0);
        t.key_gen = (uint64_t)db_int(s, 1);
        t.archived = db_int(s, 2);
        *ret_tenant = t;
    }
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

static int from_row(struct db_stmt *s, void *arg, void *item)
{
    struct tenant *t = item;
    t->created = db_int(s, 1);
    t->key_gen = (uint64_t)db_int(s, 2);
    t->archived = db_int(s, 3);
    return str_copy(t->id, sizeof t->id, db_text(s, 0)) == 0 ? 0 : -EBADMSG;
}

int tenant_list(struct db *db, struct tenant_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db, "SELECT tenant_id, created, key_gen, archived FROM tenant ORDER BY tenant_id", &s);
    if (r == 0)
        r = rows_collect(s, 0, sizeof(struct tenant), from_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct tenant_list){.items = l.items, .n = l.n};
    return r;
}

int tenant_open(struct db *db, const char *id)
{
    struct tenant t;
    int r = tenant_get(db, id, &t);
    return r == 0 && t.archived != 0 ? CLOUD_ABSENT : r;
}

int tenant_archive(struct db *db, const char *id, bool yes, int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "UPDATE tenant SET archived = CASE WHEN ?2 = 0 THEN 0 WHEN archived <> 0 THEN archived ELSE ?3 END"
                    " WHERE tenant_id = ?1",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, id);
    db_bind_int(s, 2, yes);
    db_bind_int(s, 3, now);
    r = db_must(s);
    return r == 0 && db_changes(db) == 0 ? CLOUD_ABSENT : r;
}

int tenant_gateways(struct db *db, const char *id, uint64_t *ret_n)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT count(DISTINCT gw) FROM gateway WHERE tenant_id = ?1", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, id);
    r = db_step(s);
    if (r == DB_ROW)
        *ret_n = (uint64_t)db_int(s, 0);
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

void tenant_list_done(struct tenant_list *l)
{
    free(l->items);
    *l = (struct tenant_list){0};
}

int tenant_recipients(struct db *db, const char *tenant, size_t max, uint8_t (*ret_points)[CRYPTO_POINT], size_t *ret_n)
{
    struct db_stmt *s;
    size_t n = 0;
    /* newest first, cut at max, then turned round */
    int r = db_stmt(db, "SELECT point FROM recipient WHERE tenant_id = ?1 ORDER BY created DESC, rkid LIMIT ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_int(s, 2, (int64_t)max);
    while ((r = db_step(s)) == DB_ROW && n < max)
        if ((r = db_fixed(s, 0, ret_points[n++], CRYPTO_POINT)) != 0)
            break;
    db_done(s);
    if (r != 0)
        return r == DB_ROW ? -EIO : r;
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t t[CRYPTO_POINT];
        memcpy(t, ret_points[i], sizeof t);
        memcpy(ret_points[i], ret_points[n - 1 - i], sizeof t);
        memcpy(ret_points[n - 1 - i], t, sizeof t);
    }
    *ret_n = n;
    return 0;
}

int tenant_whose(struct db *db, const char *sql, struct bytes id, char ret_tenant[TENANT_MAX + 1])
{
    struct db_stmt *s;
    int r = db_stmt(db, sql, &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, id);
    r = db_step(s);
    r = r == DB_ROW ? str_copy(ret_tenant, TENANT_MAX + 1, db_text(s, 0)) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    return r;
}
