/* API tokens; see token.h. */
#include "cloud/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/granted.h"
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

#define COLUMNS "id, tenant_id, label, created, expires, revoked, account, perms, ranges, used"

static int insert(struct db *db, const struct token *t, const uint8_t hash[CRYPTO_HASH])
{
    struct db_stmt *s;
    int r = db_stmt(db, "INSERT INTO token(hash, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, 0)", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(hash, CRYPTO_HASH));
    db_bind_blob(s, 2, BYTES(t->id, sizeof t->id));
    db_bind_text(s, 3, t->is_operator ? NULL : t->tenant);
    db_bind_text(s, 4, t->label);
    db_bind_int(s, 5, t->created);
    db_bind_int(s, 6, t->expires);
    if (t->has_account)
        db_bind_blob(s, 7, BYTES(t->account, ID_LEN));
    else
        db_bind_text(s, 7, NULL);
    db_bind_int(s, 8, (int64_t)t->perms);
    db_bind_text(s, 9, t->ranges);
    return db_must(s);
}

/* Ends the transaction that begins here. */
static int finish(struct cloud *c, struct db *db, int r)
{
    return cloud_end(c, db, r);
}

/* Once people of the tenant's own let others in, nobody else does. */
static int may_bootstrap(struct cloud *c, struct db *db, const char *tenant, int64_t now)
{
    struct scope s;
    uint64_t owners = 0;
    int r = tenant_is_customer(tenant) ? scope_init(c, db, tenant, &s) : CLOUD_ABSENT;
    if (r == 0)
        r = granted_owners(&s, now, NULL, NULL, &owners);
    return r == 0 && owners > 0 ? CLOUD_CONFLICT : r;
}

int token_add(struct cloud *c, struct db *db, const char *tenant, const char *label, int64_t expires,
              char ret_text[TOKEN_TEXT_MAX], struct token *ret_token)
{
    struct token t = {.is_operator = tenant == NULL, .created = clock_real(), .expires = expires};
    char text[TOKEN_TEXT_MAX];
    uint8_t hash[CRYPTO_HASH];
    if (str_copy(t.label, sizeof t.label, label != NULL ? label : "") != 0)
        return CLOUD_INVALID;
    int r = draw(text, hash, t.id);
    if (r == 0)
        r = cloud_begin(c, db);
    if (r != 0)
        return r;
    if (tenant != NULL)
        r = may_bootstrap(c, db, tenant, t.created);
    if (r == 0 && tenant != NULL)
        str_copy(t.tenant, sizeof t.tenant, tenant);
    if (r == 0)
        r = insert(db, &t, hash);
    r = finish(c, db, r);
    if (r == 0) {
        memcpy(ret_text, text, sizeof text);
        *ret_token = t;
    }
    crypto_wipe(text, sizeof text);
    return r;
}

static int count_of(struct db *db, const struct token *t, int64_t *ret_n)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "SELECT count(*) FROM token WHERE tenant_id = ?1 AND account = ?2 AND revoked = 0"
                    " AND expires > ?3",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, t->tenant);
    db_bind_blob(s, 2, BYTES(t->account, ID_LEN));
    db_bind_int(s, 3, t->created);
    return db_number(s, ret_n);
}

int token_make(const struct scope *s, const struct token *given, char ret_text[TOKEN_TEXT_MAX], struct token *ret_token)
{
    struct token t = *given;
    char text[TOKEN_TEXT_MAX];
    uint8_t hash[CRYPTO_HASH];
    int64_t n = 0;
    t.is_operator = false;
    t.has_account = true;
    t.created = clock_real();
    t.revoked = t.used = 0;
    if (str_copy(t.tenant, sizeof t.tenant, s->tenant) != 0 || t.expires <= t.created ||
        t.expires - t.created > TOKEN_LIFE_DAYS * DAY_US)
        return CLOUD_INVALID;
    int r = draw(text, hash, t.id);
    if (r == 0)
        r = cloud_begin(s->c, s->db);
    if (r != 0)
        return r;
    r = count_of(s->db, &t, &n);
    if (r == 0 && n >= TOKENS_EACH)
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = insert(s->db, &t, hash);
    r = finish(s->c, s->db, r);
    if (r == 0) {
        memcpy(ret_text, text, sizeof text);
        *ret_token = t;
    }
    crypto_wipe(text, sizeof text);
    return r;
}

static int from_row(struct db_stmt *s, void *arg, void *item)
{
    struct token *ret_token = item;
    struct token t = {.created = db_int(s, 3),
                      .expires = db_int(s, 4),
                      .revoked = db_int(s, 5),
                      .has_account = !db_null(s, 6),
                      .perms = (uint64_t)db_int(s, 7),
                      .used = db_int(s, 9)};
    t.is_operator = db_null(s, 1);
    if (db_fixed(s, 0, t.id, sizeof t.id) != 0 || str_copy(t.tenant, sizeof t.tenant, db_text(s, 1)) != 0 ||
        str_copy(t.label, sizeof t.label, db_text(s, 2)) != 0 ||
        str_copy(t.ranges, sizeof t.ranges, db_text(s, 8)) != 0 ||
        (t.has_account && db_fixed(s, 6, t.account, ID_LEN) != 0))
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
    return finish(c, db, r);
}

int token_list_of(struct db *db, const char *tenant, const uint8_t *account, const uint8_t *after, size_t limit,
                  struct token_list *ret_list, bool *ret_more)
{
    struct db_stmt *s;
    struct rows l;
    int r = account ? db_stmt(db,
                              "SELECT " COLUMNS " FROM token WHERE tenant_id = ?1 AND id > ?2 AND account = ?3"
                              " ORDER BY id",
                              &s)
                    : db_stmt(db, "SELECT " COLUMNS " FROM token WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, after ? BYTES(after, TOKEN_ID_LEN) : BYTES_NONE);
    if (account)
        db_bind_blob(s, 3, BYTES(account, ID_LEN));
    r = rows_collect(s, limit, sizeof(struct token), from_row, NULL, &l);
    if (r == 0) {
        *ret_list = (struct token_list){.items = l.items, .n = l.n};
        *ret_more = l.more;
    }
    return r;
}

int token_tenant(struct db *db, const uint8_t id[TOKEN_ID_LEN], char ret_tenant[TENANT_MAX + 1])
{
    return tenant_whose(db, "SELECT tenant_id FROM token WHERE id = ?1", BYTES(id, TOKEN_ID_LEN), ret_tenant);
}

int token_get(struct db *db, const char *tenant, const uint8_t id[TOKEN_ID_LEN], struct token *ret)
{
    struct db_stmt *s;
    struct token t;
    int r = db_stmt(db, "SELECT " COLUMNS " FROM token WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, TOKEN_ID_LEN));
    r = db_step(s);
    r = r == DB_ROW ? from_row(s, NULL, &t) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    if (r == 0)
        *ret = t;
    return r;
}

bool token_from(const struct token *t, const char *address)
{
    char range[TOKEN_RANGE_MAX];
    struct address from;
    struct address_net net;
    const char *p = t->ranges;
    if (*p == '\0')
        return true;
    if (address_parse(address, strlen(address), &from) != 0)
        return false;
    while (*p) {
        size_t n = strcspn(p, " ");
        if (n < sizeof range) {
            memcpy(range, p, n);
            range[n] = '\0';
            if (address_net(range, &net) == 0 && address_in(&from, &net))
                return true;
        }
        p += n + strspn(p + n, " ");
    }
    return false;
}

int token_note_use(struct db *db, const uint8_t id[TOKEN_ID_LEN], int64_t day)
{
    struct db_stmt *s;
    int r = db_stmt(db, "UPDATE token SET used = ?2 WHERE id = ?1 AND used < ?2", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(id, TOKEN_ID_LEN));
    db_bind_int(s, 2, day);
    return db_must(s);
}

int token_end_bootstrap(const struct scope *s)
{
    struct db_stmt *st;
    int r =
        scope_stmt(s, "UPDATE token SET revoked = ?2 WHERE tenant_id = ?1 AND account IS NULL AND revoked = 0", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, clock_real());
    return db_must(st);
}

int token_end_account(const struct scope *s, const uint8_t account[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE token SET revoked = ?3 WHERE tenant_id = ?1 AND account = ?2 AND revoked = 0", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, clock_real());
    return db_must(st);
}

int token_forget(const struct scope *s, const uint8_t account[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM token WHERE tenant_id = ?1 AND account = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    return db_must(st);
}
