/* API tokens; see token.h. */
#include "cloud/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"

#define PREFIX "pct_"
#define SECRET_LEN 32

static int hash_of(const char *text, uint8_t ret[CRYPTO_HASH])
{
    return crypto_sha256(BYTES_STR(text), ret);
}

static int draw(char ret_text[TOKEN_TEXT_MAX], uint8_t ret_hash[CRYPTO_HASH], uint8_t ret_id[TOKEN_ID_LEN])
{
    uint8_t secret[SECRET_LEN];
    int r = crypto_random(secret, sizeof secret);
    if (r == 0)
        r = crypto_random(ret_id, TOKEN_ID_LEN);
    if (r == 0) {
        memcpy(ret_text, PREFIX, sizeof PREFIX);
        str_b64url(secret, sizeof secret, ret_text + sizeof PREFIX - 1);
        r = hash_of(ret_text, ret_hash);
    }
    crypto_wipe(secret, sizeof secret);
    return r;
}

static int insert(struct db *db, const struct token *t, const uint8_t hash[CRYPTO_HASH])
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO token(id, hash, tenant_id, label, created, expires, revoked)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0)",
                    &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(t->id, sizeof t->id));
    db_bind_blob(s, 2, BYTES(hash, CRYPTO_HASH));
    db_bind_text(s, 3, t->is_operator ? NULL : t->tenant);
    db_bind_text(s, 4, t->label);
    db_bind_int(s, 5, t->created);
    db_bind_int(s, 6, t->expires);
    return db_must(s);
}

int token_add(struct cloud *c, struct db *db, const char *tenant, const char *label, int64_t expires,
              char ret_text[TOKEN_TEXT_MAX], struct token *ret_token)
{
    struct token t = {.is_operator = tenant == NULL, .created = clock_real(), .expires = expires};
    struct tenant found;
    char text[TOKEN_TEXT_MAX];
    uint8_t hash[CRYPTO_HASH];
    if (str_copy(t.label, sizeof t.label, label != NULL ? label : "") != 0)
        return CLOUD_INVALID;
    int r = draw(text, hash, t.id);
    if (r != 0)
        return r;
    r = cloud_begin(c, db);
    if (r == 0) {
        if (tenant != NULL)
            r = tenant_is_customer(tenant) ? tenant_get(db, tenant, &found) : CLOUD_ABSENT;
        if (r == 0 && tenant != NULL)
            str_copy(t.tenant, sizeof t.tenant, tenant);
        if (r == 0)
            r = insert(db, &t, hash);
        if (r == 0)
            r = cloud_commit(c, db);
        else
            cloud_rollback(c, db);
    }
    if (r == 0) {
        memcpy(ret_text, text, sizeof text);
        *ret_token = t;
    }
    crypto_wipe(text, sizeof text);
    return r;
}

#define COLUMNS "id, tenant_id, label, created, expires, revoked"

static int from_row(struct db_stmt *s, void *arg, void *item)
{
    struct token *ret_token = item;
    struct token t = {.created = db_int(s, 3), .expires = db_int(s, 4), .revoked = db_int(s, 5)};
    t.is_operator = db_null(s, 1);
    if (db_fixed(s, 0, t.id, sizeof t.id) != 0 || str_copy(t.tenant, sizeof t.tenant, db_text(s, 1)) != 0 ||
        str_copy(t.label, sizeof t.label, db_text(s, 2)) != 0)
        return -EBADMSG;
    *ret_token = t;
    return 0;
}

int token_check(struct db *db, const char *text, int64_t now, struct token *ret_token)
{
    struct db_stmt *s;
    struct token t;
    uint8_t hash[CRYPTO_HASH];
    if (!str_starts(text, PREFIX) || strlen(text) >= TOKEN_TEXT_MAX)
        return CLOUD_ABSENT;
    int r = hash_of(text, hash);
    if (r == 0)
        r = db_stmt(db, "SELECT " COLUMNS " FROM token WHERE hash = ?1", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(hash, sizeof hash));
    r = db_step(s);
    if (r == 0)
        r = CLOUD_ABSENT;
    else if (r == DB_ROW)
        r = from_row(s, NULL, &t);
    db_done(s);
    if (r == 0 && (t.revoked != 0 || (t.expires != 0 && t.expires <= now)))
        r = CLOUD_ABSENT;
    if (r == 0)
        *ret_token = t;
    return r;
}

int token_list(struct db *db, struct token_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db, "SELECT " COLUMNS " FROM token ORDER BY created, id", &s);
    if (r == 0)
        r = rows_collect(s, 0, sizeof(struct token), from_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct token_list){.items = l.items, .n = l.n};
    return r;
}

void token_list_done(struct token_list *l)
{
    free(l->items);
    *l = (struct token_list){0};
}

int token_revoke(struct cloud *c, struct db *db, const uint8_t id[TOKEN_ID_LEN])
{
    struct db_stmt *s;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = db_stmt(db, "UPDATE token SET revoked = ?2 WHERE id = ?1 AND revoked = 0", &s);
    if (r == 0) {
        db_bind_blob(s, 1, BYTES(id, TOKEN_ID_LEN));
        db_bind_int(s, 2, clock_real());
        r = db_must(s);
        if (r == 0 && db_changes(db) == 0)
            r = CLOUD_ABSENT;
    }
    if (r == 0)
        return cloud_commit(c, db);
    cloud_rollback(c, db);
    return r;
}
