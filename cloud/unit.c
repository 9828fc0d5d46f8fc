/* Units; see unit.h. */
#include "cloud/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/site.h"

#define COLUMNS "id, name, site_id, created, archived"

_Static_assert(UNIT_NAME_MAX_LEN == SITE_MAX_LEN, "a unit's name is valid where a site's is");

static int from_row(const struct scope *s, struct db_stmt *st, struct unit *ret)
{
    struct unit u = {.created = db_int(st, 3), .archived = db_int(st, 4), .has_site = !db_null(st, 2)};
    if (db_fixed(st, 0, u.id, ID_LEN) != 0) {
        scope_damaged(s, "unit", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    u.damaged = !site_name_valid(db_text(st, 1)) || str_copy(u.name, sizeof u.name, db_text(st, 1)) != 0 ||
                (u.has_site && db_fixed(st, 2, u.site, ID_LEN) != 0);
    if (u.damaged)
        scope_damaged(s, "unit", BYTES(u.id, ID_LEN), SHOWN_DAMAGED);
    *ret = u;
    return u.damaged ? CLOUD_DAMAGED : 0;
}

static int one(const struct scope *s, struct db_stmt *st, struct unit *ret)
{
    int r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

static int find(const struct scope *s, const uint8_t id[ID_LEN], struct unit *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM unit WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    return one(s, st, ret);
}

int unit_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct unit *ret_unit)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : find(&s, id, ret_unit);
}

int unit_by_name(struct cloud *c, struct db *db, const char *tenant, const char *name, struct unit *ret_unit)
{
    struct scope s;
    struct db_stmt *st;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " COLUMNS " FROM unit WHERE tenant_id = ?1 AND name = ?2", &st);
    if (r != 0)
        return r;
    db_bind_text(st, 2, name);
    return one(&s, st, ret_unit);
}

/* ---- lists ---- */

struct listing {
    const struct scope *s;
    unit_fits *fits;
    void *arg;
};

static int listed(struct db_stmt *st, void *arg, void *item)
{
    const struct listing *l = arg;
    int r = from_row(l->s, st, item);
    if (r == CLOUD_DAMAGED)
        r = 0;
    return r == 0 && l->fits != NULL && !l->fits(l->arg, item) ? CLOUD_ABSENT : r;
}

int unit_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit, unit_fits *fits,
              void *arg, struct unit_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    struct listing what = {.s = &s, .fits = fits, .arg = arg};
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " COLUMNS " FROM unit WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct unit), listed, &what, &l);
    }
    if (r == 0)
        *ret_list = (struct unit_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void unit_list_done(struct unit_list *l)
{
    free(l->items);
    *l = (struct unit_list){0};
}

/* ---- changing ---- */

/* Inserts or replaces by id. CLOUD_CONFLICT: the name is another's. */
static int put(const struct scope *s, const struct unit *u)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO unit(tenant_id, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET name = excluded.name, site_id = excluded.site_id,"
                       " archived = excluded.archived",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(u->id, ID_LEN));
    db_bind_text(st, 3, u->name);
    if (u->has_site)
        db_bind_blob(st, 4, BYTES(u->site, ID_LEN));
    db_bind_int(st, 5, u->created);
    db_bind_int(st, 6, u->archived);
    r = db_run(st);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

static int apply(const struct scope *s, struct unit *u, const struct unit_set *set)
{
    static const uint8_t none[ID_LEN];
    struct site site;
    if ((set->name == NULL && u->name[0] == '\0') || (set->name != NULL && !site_name_valid(set->name)))
        return CLOUD_INVALID;
    if (set->name != NULL)
        str_copy(u->name, sizeof u->name, set->name);
    if (set->archived != NULL && *set->archived != (u->archived != 0))
        u->archived = *set->archived ? clock_real() : 0;
    if (set->site == NULL)
        return 0;
    memcpy(u->site, set->site, ID_LEN);
    u->has_site = memcmp(u->site, none, ID_LEN) != 0;
    return u->has_site ? site_get(s->c, s->db, s->tenant, u->site, &site) : 0;
}

static int create(const struct scope *s, const struct unit_set *set, struct unit *u)
{
    int r = apply(s, u, set);
    u->created = clock_real();
    if (r == 0)
        r = crypto_random(u->id, ID_LEN);
    return r != 0 ? r : put(s, u);
}

static int update(const struct scope *s, const uint8_t id[ID_LEN], const struct unit_set *set, struct unit *u)
{
    int r = find(s, id, u);
    if (r == 0)
        r = apply(s, u, set);
    return r != 0 ? r : put(s, u);
}

/* id NULL: a new one. */
static int change(struct cloud *c, struct db *db, const char *tenant, const uint8_t *id, const struct unit_set *set,
                  struct unit *ret_unit)
{
    struct scope s;
    struct unit u = {0};
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, id == NULL ? create(&s, set, &u) : update(&s, id, set, &u));
    if (r == 0)
        *ret_unit = u;
    return r;
}

int unit_create(struct cloud *c, struct db *db, const char *tenant, const struct unit_set *set, struct unit *ret_unit)
{
    return change(c, db, tenant, NULL, set, ret_unit);
}

int unit_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                const struct unit_set *set, struct unit *ret_unit)
{
    return change(c, db, tenant, id, set, ret_unit);
}
