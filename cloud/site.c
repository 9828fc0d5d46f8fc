/* Sites; see site.h. */
#include "cloud/site.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "wire/segment.h"

#define COLUMNS "id, name, time_zone, created, archived"

bool site_name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > SITE_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

bool time_zone_valid(const char *zone)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-";
    const char *p = zone;
    if (strlen(zone) > TIME_ZONE_MAX)
        return false;
    for (;;) {
        if (*p == '\0' || strchr(letters, *p) == NULL)
            return false;
        p += strspn(p, rest);
        if (*p != '/')
            return *p == '\0';
        p++;
    }
}

static int from_row(const struct scope *s, struct db_stmt *st, struct site *ret)
{
    struct site t = {.created = db_int(st, 3), .archived = db_int(st, 4)};
    if (db_fixed(st, 0, t.id, ID_LEN) != 0) {
        scope_damaged(s, "site", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    t.damaged = !site_name_valid(db_text(st, 1)) || str_copy(t.name, sizeof t.name, db_text(st, 1)) != 0 ||
                str_copy(t.time_zone, sizeof t.time_zone, db_text(st, 2)) != 0;
    if (t.damaged)
        scope_damaged(s, "site", BYTES(t.id, ID_LEN), SHOWN_DAMAGED);
    *ret = t;
    return t.damaged ? CLOUD_DAMAGED : 0;
}

static int find(const struct scope *s, const uint8_t id[ID_LEN], struct site *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM site WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int site_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct site *ret_site)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : find(&s, id, ret_site);
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(arg, st, item);
    return r == CLOUD_DAMAGED ? 0 : r;
}

int site_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
              struct site_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " COLUMNS " FROM site WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct site), listed, &s, &l);
    }
    if (r == 0)
        *ret_list = (struct site_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void site_list_done(struct site_list *l)
{
    free(l->items);
    *l = (struct site_list){0};
}

/* ---- changing ---- */

/* Inserts or replaces by id. CLOUD_CONFLICT: the name is another's. */
static int put(struct db *db, const char *tenant, const struct site *t)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO site(tenant_id, id, name, time_zone, created, archived)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(tenant_id, id) DO UPDATE SET name = excluded.name,"
                    " time_zone = excluded.time_zone, archived = excluded.archived",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(t->id, ID_LEN));
    db_bind_text(s, 3, t->name);
    db_bind_text(s, 4, t->time_zone);
    db_bind_int(s, 5, t->created);
    db_bind_int(s, 6, t->archived);
    r = db_run(s);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

static bool set_texts(struct site *t, const char *name, const char *time_zone)
{
    if ((name != NULL && !site_name_valid(name)) ||
        (time_zone != NULL && time_zone[0] != '\0' && !time_zone_valid(time_zone)))
        return false;
    if (name != NULL)
        str_copy(t->name, sizeof t->name, name);
    if (time_zone != NULL)
        str_copy(t->time_zone, sizeof t->time_zone, time_zone);
    return true;
}

static int insert(struct db *db, const char *tenant, struct site *t)
{
    t->created = clock_real();
    int r = crypto_random(t->id, ID_LEN);
    return r != 0 ? r : put(db, tenant, t);
}

int site_add(struct cloud *c, struct db *db, const char *tenant, const char *name, const char *time_zone,
             struct site *ret_site)
{
    struct scope s;
    struct site t = {0};
    if (!set_texts(&t, name, time_zone))
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, insert(db, tenant, &t));
    if (r == 0)
        *ret_site = t;
    return r;
}

static int set_archived(struct db *db, const char *tenant, const uint8_t id[ID_LEN], int64_t when)
{
    struct db_stmt *s;
    int r = db_stmt(db, "UPDATE site SET archived = ?3 WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    db_bind_int(s, 3, when);
    return db_must(s);
}

int site_by_name(struct db *db, const char *tenant, const char *name, uint8_t ret_id[ID_LEN])
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT id FROM site WHERE tenant_id = ?1 AND name = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_text(s, 2, name);
    r = db_step(s);
    r = r == DB_ROW ? db_fixed(s, 0, ret_id, ID_LEN) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    return r;
}

int site_ensure(struct db *db, const char *tenant, const char *name, uint8_t ret_id[ID_LEN])
{
    struct site t = {0};
    if (!set_texts(&t, name, NULL))
        return CLOUD_INVALID;
    int r = site_by_name(db, tenant, name, t.id);
    if (r == 0)
        r = set_archived(db, tenant, t.id, 0);
    else if (r == CLOUD_ABSENT)
        r = insert(db, tenant, &t);
    if (r == 0)
        memcpy(ret_id, t.id, ID_LEN);
    return r > 0 ? -EEXIST : r;
}

struct stands {
    uint8_t gw[GW_LEN];
    uint64_t gen;
};

static int stands_from_row(struct db_stmt *s, void *arg, void *item)
{
    struct stands *g = item;
    g->gen = (uint64_t)db_int(s, 1);
    return db_fixed(s, 0, g->gw, GW_LEN);
}

/* Whoever shows a gateway shows the name of its site. */
static int tell_gateways(const struct scope *s, const uint8_t id[ID_LEN])
{
    struct db_stmt *st;
    struct rows l;
    int r = scope_stmt(s, "SELECT gw, gen FROM gateway WHERE tenant_id = ?1 AND site_id = ?2 ORDER BY gw, gen", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = rows_collect(st, 0, sizeof(struct stands), stands_from_row, NULL, &l);
    if (r != 0)
        return r;
    const struct stands *g = l.items;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = changes_gateway(s, g[i].gw, g[i].gen);
    free(l.items);
    return r;
}

static int update(const struct scope *s, const uint8_t id[ID_LEN], const char *name, const char *time_zone,
                  struct site *ret)
{
    int r = find(s, id, ret);
    if (r != 0 && (r != CLOUD_DAMAGED || name == NULL || time_zone == NULL))
        return r;
    bool renamed = name != NULL && (ret->damaged || strcmp(name, ret->name) != 0);
    if (!set_texts(ret, name, time_zone))
        return CLOUD_INVALID;
    ret->damaged = false;
    r = put(s->db, s->tenant, ret);
    return r == 0 && renamed ? tell_gateways(s, id) : r;
}

int site_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], const char *name,
                const char *time_zone, struct site *ret_site)
{
    struct scope s;
    struct site t = {0};
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, update(&s, id, name, time_zone, &t));
    if (r == 0)
        *ret_site = t;
    return r;
}

/* Of the tenant ?1 at the site ?2: in any generation, or now. */
#define EVER_THERE "SELECT count(DISTINCT gw) FROM gateway WHERE tenant_id = ?1 AND site_id = ?2"
#define THERE_NOW                                                                                     \
    "SELECT count(*) FROM gateway g WHERE tenant_id = ?1 AND site_id = ?2 AND revoked = 0 AND gen = " \
    "(SELECT max(n.gen) FROM gateway n WHERE n.tenant_id = g.tenant_id AND n.gw = g.gw)"

static int count_gateways(struct db *db, const char *sql, const char *tenant, const uint8_t id[ID_LEN], uint64_t *ret_n)
{
    struct db_stmt *s;
    int r = db_stmt(db, sql, &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    r = db_step(s);
    if (r == DB_ROW)
        *ret_n = (uint64_t)db_int(s, 0);
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

static int archive(const struct scope *s, const uint8_t id[ID_LEN], bool archived, uint64_t *ret_gateways)
{
    struct site t;
    int r = find(s, id, &t);
    if (r == 0 && archived)
        r = count_gateways(s->db, THERE_NOW, s->tenant, id, ret_gateways);
    if (r != 0)
        return r;
    if (*ret_gateways > 0)
        return CLOUD_CONFLICT;
    return archived == (t.archived != 0) ? 0 : set_archived(s->db, s->tenant, id, archived ? clock_real() : 0);
}

int site_archive(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                 uint64_t *ret_gateways)
{
    struct scope s;
    uint64_t n = 0;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, archive(&s, id, archived, &n));
    *ret_gateways = n;
    return r;
}

static int remove_row(struct db *db, const char *tenant, const uint8_t id[ID_LEN])
{
    struct db_stmt *s;
    int r = db_stmt(db, "DELETE FROM site WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    r = db_must(s);
    return r == 0 && db_changes(db) == 0 ? CLOUD_ABSENT : r;
}

int site_remove(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], uint64_t *ret_gateways)
{
    uint64_t n = 0;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = count_gateways(db, EVER_THERE, tenant, id, &n);
    if (r == 0)
        r = n > 0 ? CLOUD_CONFLICT : remove_row(db, tenant, id);
    r = cloud_end(c, db, r);
    *ret_gateways = n;
    return r;
}
