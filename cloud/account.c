/* Accounts; see account.h. The row: tenant, id, state and keyed hashes; all else is sealed under the person's key. */
#include "cloud/account.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cloud/holder.h"
#include "cloud/rows.h"
#include "wire/cbor.h"

#define ACCOUNT_UNIT 1000 /* all rows are of one size */
#define LIDX_LEN 16

const char *account_state_name(enum account_state s)
{
    return s == ACCOUNT_INVITED ? "invited" : s == ACCOUNT_ACTIVE ? "active" : "archived";
}

bool account_one_being(const struct account *a, const struct account *b)
{
    return memcmp(a->key, b->key, KEY_ID_LEN) == 0 || (a->mail[0] != '\0' && strcasecmp(a->mail, b->mail) == 0);
}

void account_wipe(struct account *a)
{
    crypto_wipe(a, sizeof *a);
}

void account_drop_factor(struct account *a)
{
    crypto_wipe(a->totp, sizeof a->totp);
    crypto_wipe(a->new_totp, sizeof a->new_totp);
    a->has_totp = a->has_new_totp = false;
    a->n_recovery = 0;
}

bool login_canonical(const char *text, char ret[LOGIN_MAX + 1])
{
    char login[LOGIN_MAX + 1];
    size_t n = 0;
    for (; text[n]; n++) {
        char c = text[n];
        if (n == LOGIN_MAX)
            return false;
        c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._@+-", c))
            return false;
        login[n] = c;
    }
    login[n] = '\0';
    memcpy(ret, login, n + 1);
    return n > 0;
}

/* HMAC(tenant's key, "login", login)[16] */
static int index_of(const struct scope *s, const char *login, uint8_t ret[LIDX_LEN])
{
    uint8_t key[CRYPTO_KEY], mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES("login", sizeof "login"), BYTES_STR(login)};
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = crypto_hmac(BYTES(key, sizeof key), parts, ARRAY_LEN(parts), mac);
    if (r == 0)
        memcpy(ret, mac, LIDX_LEN);
    crypto_wipe(key, sizeof key);
    return r;
}

/* ---- the sealed part ---- */

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "account", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static void put_optional(struct cbor_w *w, bool has, const void *p, size_t n)
{
    cbor_put_bytes(w, has ? BYTES(p, n) : BYTES_NONE);
}

static void encode(const struct account *a, struct cbor_w *w)
{
    cbor_put_array(w, 16);
    cbor_put_uint(w, 1);
    cbor_put_bytes(w, BYTES(a->person, ID_LEN));
    cbor_put_text(w, a->login);
    cbor_put_text(w, a->mail);
    cbor_put_text(w, a->language);
    put_optional(w, a->has_password, a->password.hash, PASSWORD_HASH);
    put_optional(w, a->has_password, a->password.salt, PASSWORD_SALT);
    cbor_put_uint(w, a->password.cost.memory_kib);
    cbor_put_uint(w, a->password.cost.passes);
    cbor_put_uint(w, a->password.cost.lanes);
    put_optional(w, a->has_totp, a->totp, TOTP_SECRET);
    put_optional(w, a->has_new_totp, a->new_totp, TOTP_SECRET);
    cbor_put_uint(w, a->totp_step);
    cbor_put_bytes(w, BYTES(a->recovery, a->n_recovery * RECOVERY_HASH));
    cbor_put_int(w, a->created);
    cbor_put_int(w, a->changed);
}

static bool get_optional(struct cbor_r *r, void *ret, size_t n)
{
    struct bytes b = cbor_get_bytes(r, 0, n);
    if (b.n == 0)
        return false;
    if (b.n == n)
        memcpy(ret, b.p, n);
    else
        r->bad = true;
    return true;
}

static void get_text(struct cbor_r *r, char *ret, size_t size)
{
    struct bytes b = cbor_get_text(r, 0, size - 1);
    if (b.n > 0)
        memcpy(ret, b.p, b.n);
    ret[b.n] = '\0';
}

static bool decode(struct bytes plain, struct account *a)
{
    struct cbor_r r = cbor_reader(plain);
    cbor_get_array(&r, 16, 16);
    if (cbor_get_uint(&r, 1) != 1)
        return false;
    cbor_get_fixed(&r, a->person, ID_LEN);
    get_text(&r, a->login, sizeof a->login);
    get_text(&r, a->mail, sizeof a->mail);
    get_text(&r, a->language, sizeof a->language);
    a->has_password = get_optional(&r, a->password.hash, PASSWORD_HASH);
    if (get_optional(&r, a->password.salt, PASSWORD_SALT) != a->has_password)
        return false;
    a->password.cost.memory_kib = (uint32_t)cbor_get_uint(&r, UINT32_MAX);
    a->password.cost.passes = (uint32_t)cbor_get_uint(&r, UINT32_MAX);
    a->password.cost.lanes = (uint32_t)cbor_get_uint(&r, UINT32_MAX);
    a->has_totp = get_optional(&r, a->totp, TOTP_SECRET);
    a->has_new_totp = get_optional(&r, a->new_totp, TOTP_SECRET);
    a->totp_step = cbor_get_uint(&r, UINT64_MAX);
    struct bytes codes = cbor_get_bytes(&r, 0, sizeof a->recovery);
    a->n_recovery = codes.n / RECOVERY_HASH;
    if (codes.n > 0)
        memcpy(a->recovery, codes.p, a->n_recovery * RECOVERY_HASH);
    a->created = cbor_get_int(&r);
    a->changed = cbor_get_int(&r);
    return cbor_done(&r) && codes.n % RECOVERY_HASH == 0;
}

/* ---- rows ---- */

#define COLUMNS "id, key_id, state, sealed"

static int open_row(const struct scope *s, struct bytes sealed, struct account *a)
{
    uint8_t plain[ACCOUNT_UNIT];
    struct row_keys keys;
    enum key_kind kind;
    size_t n = 0;
    struct seal_place at = place(s, a->id);
    int r = keyring_rows(s->ring, a->key, &kind, &keys);
    if (r == KEYRING_ABSENT) /* erased: it says nothing any more */
        return CLOUD_ABSENT;
    if (r == 0)
        r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    if (r == 0 && !decode(BYTES(plain, n), a))
        r = SEAL_BAD;
    crypto_wipe(&keys, sizeof keys);
    crypto_wipe(plain, sizeof plain);
    return r;
}

/* CLOUD_DAMAGED, and what is known, when it does not open. */
static int from_row(const struct scope *s, struct db_stmt *st, struct account *ret)
{
    struct account a = {.state = (enum account_state)db_int(st, 2)}, known;
    if (db_fixed(st, 0, a.id, ID_LEN) != 0 || db_fixed(st, 1, a.key, KEY_ID_LEN) != 0 || a.state < ACCOUNT_INVITED ||
        a.state > ACCOUNT_ARCHIVED)
        return -EBADMSG;
    known = a;
    int r = open_row(s, db_blob(st, 3), &a);
    if (r == SEAL_BAD) {
        scope_damaged(s, "account", BYTES(known.id, ID_LEN), SHOWN_DAMAGED);
        a = known;
        a.damaged = true;
        r = CLOUD_DAMAGED;
    }
    if (r == 0 || r == CLOUD_DAMAGED)
        *ret = a;
    account_wipe(&a);
    return r;
}

static int find(const struct scope *s, const char *sql, struct bytes by, struct account *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, by);
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int account_find(const struct scope *s, const uint8_t id[ID_LEN], struct account *ret_account)
{
    return find(s, "SELECT " COLUMNS " FROM account WHERE tenant_id = ?1 AND id = ?2", BYTES(id, ID_LEN), ret_account);
}

int account_by_login(const struct scope *s, const char *login, struct account *ret_account)
{
    uint8_t lidx[LIDX_LEN];
    int r = index_of(s, login, lidx);
    return r != 0 ? r
                  : find(s, "SELECT " COLUMNS " FROM account WHERE tenant_id = ?1 AND lidx = ?2",
                         BYTES(lidx, sizeof lidx), ret_account);
}

int account_by_key(const struct scope *s, const uint8_t key[KEY_ID_LEN], struct account *ret_account)
{
    return find(s, "SELECT " COLUMNS " FROM account WHERE tenant_id = ?1 AND key_id = ?2", BYTES(key, KEY_ID_LEN),
                ret_account);
}

static int put_row(const struct scope *s, const struct account *a, struct bytes sealed)
{
    struct db_stmt *st;
    uint8_t lidx[LIDX_LEN];
    int r = index_of(s, a->login, lidx);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO account(tenant_id, id, key_id, lidx, state, sealed) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET lidx = excluded.lidx, state = excluded.state,"
                       " sealed = excluded.sealed",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(a->key, KEY_ID_LEN));
    db_bind_blob(st, 4, BYTES(lidx, sizeof lidx));
    db_bind_int(st, 5, a->state);
    db_bind_blob(st, 6, sealed);
    r = db_run(st);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

int account_put(const struct scope *s, const struct account *a)
{
    uint8_t mem[ACCOUNT_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf CLEANUP(buf_done) sealed;
    struct row_keys keys;
    enum key_kind kind;
    struct seal_place at = place(s, a->id);
    buf_init(&sealed, (size_t)2 * ACCOUNT_UNIT);
    encode(a, &w);
    int r = w.bad ? -EINVAL : keyring_rows(s->ring, a->key, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return CLOUD_ABSENT;
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), ACCOUNT_UNIT, &sealed);
    crypto_wipe(mem, sizeof mem);
    crypto_wipe(&keys, sizeof keys);
    return r == 0 ? put_row(s, a, buf_bytes(&sealed)) : r;
}

int account_forget(const struct scope *s, const uint8_t key[KEY_ID_LEN])
{
#define OF_ACCOUNT " WHERE tenant_id = ?1 AND account IN (SELECT id FROM account WHERE tenant_id = ?1 AND key_id = ?2)"
    static const char *const gone[] = {"DELETE FROM session" OF_ACCOUNT, "DELETE FROM link" OF_ACCOUNT,
                                       "DELETE FROM account WHERE tenant_id = ?1 AND key_id = ?2"};
#undef OF_ACCOUNT
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(gone); i++) {
        struct db_stmt *st;
        r = scope_stmt(s, gone[i], &st);
        if (r != 0)
            break;
        db_bind_blob(st, 2, BYTES(key, KEY_ID_LEN));
        r = db_must(st);
    }
    return r;
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(arg, st, item);
    return r == CLOUD_DAMAGED ? 0 : r;
}

int account_list(const struct scope *s, const uint8_t *after, size_t limit, struct account_list *ret_list)
{
    struct db_stmt *st;
    struct rows l;
    struct scope mine = *s;
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM account WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, after ? BYTES(after, ID_LEN) : BYTES_NONE);
    r = rows_collect(st, limit, sizeof(struct account), listed, &mine, &l);
    if (r == 0)
        *ret_list = (struct account_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void account_list_done(struct account_list *l)
{
    if (l->items)
        crypto_wipe(l->items, l->n * sizeof *l->items);
    free(l->items);
    *l = (struct account_list){0};
}
