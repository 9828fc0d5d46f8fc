/* Requests that are done once; see once.h. A tenant's hashes are keyed by its keyring, so that they survive whatever
 * happens to certificates and say nothing in a stolen store; an operator's requests hold nothing personal and are
 * hashed under a constant. */
#include "cloud/once.h"

#include <string.h>

#include "base/str.h"
#include "cloud/holder.h"
#include "cloud/tenant.h"

static int hash_key(struct cloud *c, struct db *db, const char *tenant, uint8_t ret[CRYPTO_KEY])
{
    static const char operator_key[CRYPTO_KEY] = "punchcloud operator's requests";
    struct scope s;
    uint8_t prk[CRYPTO_KEY];
    if (tenant[0] == '\0') {
        memcpy(ret, operator_key, CRYPTO_KEY);
        return 0;
    }
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = holder_tenant_key(&s, prk);
    if (r == 0)
        r = crypto_hkdf_expand(BYTES(prk, sizeof prk), BYTES_STR("punch request"), ret, CRYPTO_KEY);
    crypto_wipe(prk, sizeof prk);
    return r;
}

int once_hash(struct cloud *c, struct db *db, const char *tenant, const struct once_request *q, struct once *ret_once)
{
    struct once o = {0};
    uint8_t k[CRYPTO_KEY];
    const struct bytes name[] = {BYTES_STR("punch request key"), BYTES_STR(q->key), BYTES("", q->who.n > 0 ? 1 : 0),
                                 q->who};
    /* with the NUL of each, so that none can run into the next */
    const struct bytes asked[] = {BYTES_STR("punch request"), BYTES(q->method, strlen(q->method) + 1),
                                  BYTES(q->path, strlen(q->path) + 1), q->body};
    int r = hash_key(c, db, tenant, k);
    if (r == 0)
        r = crypto_hmac(BYTES(k, sizeof k), name, ARRAY_LEN(name), o.key);
    if (r == 0)
        r = crypto_hmac(BYTES(k, sizeof k), asked, ARRAY_LEN(asked), o.fingerprint);
    crypto_wipe(k, sizeof k);
    if (r == 0)
        *ret_once = o;
    return r;
}

int once_find(struct db *db, const char *tenant, const struct once *o, int64_t now, struct once *ret_done)
{
    struct db_stmt *s;
    struct once d = {0};
    int r = db_stmt(db,
                    "SELECT fingerprint, status, location FROM idempotency"
                    " WHERE tenant_id = ?1 AND key = ?2 AND created >= ?3",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(o->key, sizeof o->key));
    db_bind_int(s, 3, now - ONCE_KEPT_US);
    r = db_step(s);
    if (r == DB_ROW) {
        memcpy(d.key, o->key, sizeof d.key);
        d.status = (unsigned)db_int(s, 1);
        r = db_fixed(s, 0, d.fingerprint, sizeof d.fingerprint);
        if (r == 0 && (str_copy(d.location, sizeof d.location, db_text(s, 2)) != 0 || d.status < 200 || d.status > 299))
            r = -EBADMSG;
    } else if (r == 0) {
        r = CLOUD_ABSENT;
    }
    db_done(s);
    if (r == 0)
        *ret_done = d;
    return r;
}

int once_put(struct db *db, const char *tenant, const struct once *o, int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO idempotency(tenant_id, key, fingerprint, status, location, created)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(tenant_id, key) DO UPDATE SET"
                    " fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location,"
                    " created = excluded.created",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(o->key, sizeof o->key));
    db_bind_blob(s, 3, BYTES(o->fingerprint, sizeof o->fingerprint));
    db_bind_int(s, 4, o->status);
    db_bind_text(s, 5, o->location);
    db_bind_int(s, 6, now);
    return db_must(s);
}

/* ---- what is over ---- */

int once_sweep(struct cloud *c, struct db *db, int64_t now)
{
    struct tenant_list l;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i <= l.n; i++)
        r = cloud_sweep(c, db, SWEEP("idempotency WHERE created < ?1 AND tenant_id = ?2"), now - ONCE_KEPT_US,
                        i < l.n ? l.items[i].id : ""); /* "": the operator's */
    tenant_list_done(&l);
    return r;
}
