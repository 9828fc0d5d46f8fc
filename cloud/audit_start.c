/* The events of an installation itself; see audit_start.h. */
#include "cloud/audit_start.h"

#include "base/be.h"
#include "base/str.h"
#include "cloud/audit.h"
#include "cloud/escrow.h"
#include "cloud/schema.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"

/* What the trails told last; absent: they have told nothing yet. */
#define META_EPOCH "audit_epoch"
#define META_KEY "audit_key"

static int put_in(struct cloud *c, struct db *db, const char *tenant, const char *kind, const char *resource)
{
    static const struct who us = {.is = WHO_SYSTEM};
    const struct audit_event e = {.kind = kind, .outcome = AUDIT_DONE, .who = &us, .resource = resource};
    struct scope s;
    uint64_t key_gen;
    int r = scope_fenced(c, db, tenant, &s, &key_gen);
    return r == 0 ? audit_put(&s, &e) : r;
}

static int put_in_all(struct cloud *c, struct db *db, const char *kind, const char *resource)
{
    struct tenant_list l = {0};
    int r = tenant_list(db, &l);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = put_in(c, db, l.items[i].id, kind, resource);
    tenant_list_done(&l);
    return r;
}

/* Each chain goes on where the backup ended. */
static int tell_epoch(struct cloud *c, struct db *db, bool *told)
{
    char id[ESCROW_ID];
    int64_t last = 0, epoch = (int64_t)cloud_epoch(c);
    int r = meta_get(db, META_EPOCH, &last);
    if ((r != 0 && r != CLOUD_ABSENT) || (r == 0 && last == epoch))
        return r;
    if (r == 0)
        r = put_in_all(c, db, "restore", NULL);
    else if ((r = escrow_id(cloud_settings(c)->state, id)) == 0)
        r = put_in(c, db, VENDOR_TENANT, "init", id);
    *told = true;
    return r == 0 ? meta_put(db, META_EPOCH, epoch) : r;
}

static int tell_key(struct cloud *c, struct db *db, const uint8_t kid[KID_LEN], bool *told)
{
    char hex[2 * KID_LEN + 1];
    int64_t last = 0, now = (int64_t)be_get(kid, KID_LEN);
    int r = meta_get(db, META_KEY, &last);
    if ((r != 0 && r != CLOUD_ABSENT) || (r == 0 && last == now))
        return r;
    r = put_in_all(c, db, "key.audit", str_hex(kid, KID_LEN, hex));
    *told = true;
    return r == 0 ? meta_put(db, META_KEY, now) : r;
}

int audit_start(struct cloud *c, struct db *db, const uint8_t kid[KID_LEN], bool *ret_told)
{
    bool told = false;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = tell_epoch(c, db, &told);
    if (r == 0)
        r = tell_key(c, db, kid, &told);
    if (r == 0 && told)
        r = cloud_commit(c, db);
    else
        cloud_rollback(c, db);
    if (r == 0)
        *ret_told = told;
    return r;
}
