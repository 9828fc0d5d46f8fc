/* Links that are used once; see link.h. */
#include "cloud/link.h"

#include <string.h>

#include "base/str.h"

#define SECRET_LEN 32

static int hash_of(const char *text, uint8_t ret[CRYPTO_HASH])
{
    uint8_t secret[SECRET_LEN];
    size_t n = 0;
    if (str_unb64url(text, strlen(text), secret, sizeof secret, &n) != 0 || n != sizeof secret)
        return CLOUD_ABSENT;
    int r = crypto_sha256(BYTES(secret, sizeof secret), ret);
    crypto_wipe(secret, sizeof secret);
    return r;
}

static int insert(const struct scope *s, const uint8_t account[ID_LEN], enum link_kind kind, int64_t expires,
                  const uint8_t hash[CRYPTO_HASH])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM link WHERE tenant_id = ?1 AND account = ?2 AND kind = ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, kind);
    r = db_must(st);
    if (r == 0)
        r = scope_stmt(s, "INSERT INTO link(tenant_id, hash, account, kind, expires) VALUES(?1, ?2, ?3, ?4, ?5)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(hash, CRYPTO_HASH));
    db_bind_blob(st, 3, BYTES(account, ID_LEN));
    db_bind_int(st, 4, kind);
    db_bind_int(st, 5, expires);
    return db_must(st);
}

int link_make(const struct scope *s, const uint8_t account[ID_LEN], enum link_kind kind, int64_t now,
              char ret_text[LINK_TEXT], int64_t *ret_expires)
{
    uint8_t secret[SECRET_LEN], hash[CRYPTO_HASH];
    int64_t expires = now + (kind == LINK_INVITATION ? LINK_INVITATION_US : LINK_RESET_US);
    int r = crypto_random(secret, sizeof secret);
    if (r == 0)
        r = crypto_sha256(BYTES(secret, sizeof secret), hash);
    if (r == 0)
        r = insert(s, account, kind, expires, hash);
    if (r == 0) {
        str_b64url(secret, sizeof secret, ret_text);
        *ret_expires = expires;
    }
    crypto_wipe(secret, sizeof secret);
    return r;
}

int link_find(struct db *db, enum link_kind kind, const char *text, int64_t now, struct link *ret_link)
{
    struct db_stmt *st;
    struct link l = {0};
    uint8_t hash[CRYPTO_HASH];
    int r = hash_of(text, hash);
    if (r == 0)
        r = db_stmt(db, "SELECT tenant_id, account, expires FROM link WHERE hash = ?1 AND kind = ?2 AND expires > ?3",
                    &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 1, BYTES(hash, sizeof hash));
    db_bind_int(st, 2, kind);
    db_bind_int(st, 3, now);
    r = db_step(st);
    if (r == 0)
        r = CLOUD_ABSENT;
    else if (r == DB_ROW)
        r = str_copy(l.tenant, sizeof l.tenant, db_text(st, 0)) != 0 || db_fixed(st, 1, l.account, ID_LEN) != 0
                ? -EBADMSG
                : 0;
    l.expires = db_int(st, 2);
    db_done(st);
    if (r == 0)
        *ret_link = l;
    return r;
}

int link_use(struct db *db, enum link_kind kind, const char *text, int64_t now)
{
    struct db_stmt *st;
    uint8_t hash[CRYPTO_HASH];
    int r = hash_of(text, hash);
    if (r == 0)
        r = db_stmt(db, "DELETE FROM link WHERE hash = ?1 AND kind = ?2 AND expires > ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 1, BYTES(hash, sizeof hash));
    db_bind_int(st, 2, kind);
    db_bind_int(st, 3, now);
    r = db_must(st);
    return r == 0 && db_changes(db) == 0 ? CLOUD_ABSENT : r;
}

int link_end_all(const struct scope *s, const uint8_t account[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM link WHERE tenant_id = ?1 AND account = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    return db_must(st);
}

int link_sweep(struct cloud *c, struct db *db, int64_t now)
{
    return cloud_sweep(c, db, SWEEP("link WHERE expires <= ?1"), now, NULL);
}

void link_url(const struct cloud *c, enum link_kind kind, const char *text, char *ret, size_t size)
{
    const struct settings *set = cloud_settings(c);
    const char *port = strrchr(set->api.listen, ':'), *own = set->api.public_url;
    char *const *names = set->api.names.items;
    bool usual = port == NULL || strcmp(port, ":443") == 0;
    /* behind the #: no browser sends that to anybody, and no log shows it */
    snprintf(ret, size, "%s%s%s/#%s=%s", own != NULL ? "" : "https://", own != NULL ? own : names[0],
             own != NULL || usual ? "" : port, kind == LINK_INVITATION ? "invitation" : "password-reset", text);
}
