/* A tenant's scope, and transactions by their outcome; see scope.h. Those that touch the rings are in cloud.c. */
#include "cloud/scope.h"

#include "cloud/tenant.h"

int cloud_end(struct cloud *c, struct db *db, int r)
{
    if (r == 0)
        return cloud_commit(c, db);
    cloud_rollback(c, db);
    return r;
}

int scope_begin(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope)
{
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_init(c, db, tenant, ret_scope);
    if (r != 0)
        cloud_rollback(c, db);
    return r;
}

static int sweep_stmt(struct db *db, const char *sql, int64_t before, const char *tenant, struct db_stmt **ret)
{
    int r = db_stmt(db, sql, ret);
    if (r != 0)
        return r;
    db_bind_int(*ret, 1, before);
    if (tenant != NULL)
        db_bind_text(*ret, 2, tenant);
    return 0;
}

int cloud_sweep(struct cloud *c, struct db *db, const char *due, const char *sql, int64_t before, const char *tenant)
{
    struct db_stmt *s;
    int r = sweep_stmt(db, due, before, tenant, &s);
    if (r != 0)
        return r;
    r = db_step(s);
    db_done(s);
    if (r != DB_ROW)
        return r;
    r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = sweep_stmt(db, sql, before, tenant, &s);
    return cloud_end(c, db, r == 0 ? db_must(s) : r);
}

int scope_fenced(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope, uint64_t *ret_key_gen)
{
    struct tenant t;
    struct scope s = {.c = c, .db = db, .tenant = tenant};
    int r = tenant_get(db, tenant, &t);
    if (r == 0)
        r = cloud_keyring(c, tenant, &s.ring);
    if (r == 0) {
        s.created = t.created;
        *ret_scope = s;
        *ret_key_gen = t.key_gen;
    }
    return r;
}

int scope_init(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope)
{
    struct scope s;
    uint64_t key_gen;
    int r = scope_fenced(c, db, tenant, &s, &key_gen);
    if (r == 0 && db_writing(db) && key_gen != keyring_generation(s.ring))
        r = CLOUD_FENCED;
    if (r == 0)
        *ret_scope = s;
    return r;
}

int scope_stmt(const struct scope *s, const char *sql, struct db_stmt **ret_stmt)
{
    int r = db_stmt(s->db, sql, ret_stmt);
    if (r == 0)
        db_bind_text(*ret_stmt, 1, s->tenant);
    return r;
}

int64_t day_of(int64_t us)
{
    int64_t d = us / DAY_US;
    return us % DAY_US < 0 ? d - 1 : d;
}

uint32_t month_of(int64_t day)
{
    /* Civil from days (proleptic Gregorian), years counted from 0000-03-01. Days outside 0000..9999 do not occur in
     * rows: an impossible day stays in pending. */
    int64_t z = day + 719468;
    if (z < 0)
        z = 0;
    int64_t era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    return (uint32_t)(12 * year + month - 1);
}
