/* Grants; see granted.h. */
#include "cloud/granted.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/account.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/settings_of.h"
#include "cloud/token.h"
#include "wire/cbor.h"

#define REASON_UNIT 128
#define REASON_PLAIN (GRANT_REASON_MAX + 16)

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "granted", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

/* ---- rows ---- */

static int seal_reason(const struct scope *s, const struct granted *g, struct buf *ret)
{
    uint8_t mem[REASON_PLAIN];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    struct seal_place at = place(s, g->id);
    cbor_put_array(&w, 2);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, g->reason);
    if (w.bad)
        return CLOUD_INVALID;
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), REASON_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    crypto_wipe(mem, sizeof mem);
    return r;
}

static int open_reason(const struct scope *s, struct bytes sealed, struct granted *g)
{
    uint8_t plain[REASON_PLAIN];
    size_t n = 0;
    struct row_keys keys;
    struct seal_place at = place(s, g->id);
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    struct cbor_r c = cbor_reader(BYTES(plain, r == 0 ? n : 0));
    cbor_get_array(&c, 2, 2);
    cbor_get_uint(&c, 1);
    struct bytes reason = cbor_get_text(&c, 0, GRANT_REASON_MAX);
    if (r == SEAL_BAD || (r == 0 && !cbor_done(&c))) {
        scope_damaged(s, "granted", BYTES(g->id, ID_LEN), SHOWN_DAMAGED);
        g->damaged = true;
        r = 0;
    } else if (r == 0 && reason.n > 0) {
        memcpy(g->reason, reason.p, reason.n);
    }
    crypto_wipe(plain, sizeof plain);
    return r;
}

#define COLUMNS "id, account, role, reach, reach_id, starts, ends, created, revoked, by_account, by_id, sealed"

static int from_row(struct db_stmt *st, void *arg, void *item)
{
    const struct scope *s = arg;
    struct granted *g = item;
    int64_t kind = db_int(st, 3);
    g->starts = db_int(st, 5);
    g->ends = db_int(st, 6);
    g->created = db_int(st, 7);
    g->revoked = db_int(st, 8);
    g->by_account = db_int(st, 9) != 0;
    if (kind < REACH_TENANT || kind > REACH_PERSON || db_fixed(st, 0, g->id, ID_LEN) != 0 ||
        db_fixed(st, 1, g->account, ID_LEN) != 0 || db_fixed(st, 2, g->role, ID_LEN) != 0 ||
        db_fixed(st, 4, g->reach.id, ID_LEN) != 0 || db_fixed(st, 10, g->by, ID_LEN) != 0) {
        scope_damaged(s, "granted", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    g->reach.kind = (enum reach_kind)kind;
    return open_reason(s, db_blob(st, 11), g);
}

static int insert(const struct scope *s, const struct granted *g)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, 1024);
    int r = seal_reason(s, g, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO granted(tenant_id, " COLUMNS
                       ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11, ?12)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(g->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(g->account, ID_LEN));
    db_bind_blob(st, 4, BYTES(g->role, ID_LEN));
    db_bind_int(st, 5, g->reach.kind);
    db_bind_blob(st, 6, BYTES(g->reach.id, ID_LEN));
    db_bind_int(st, 7, g->starts);
    db_bind_int(st, 8, g->ends);
    db_bind_int(st, 9, g->created);
    db_bind_int(st, 10, g->by_account);
    db_bind_blob(st, 11, BYTES(g->by, ID_LEN));
    db_bind_blob(st, 12, buf_bytes(&sealed));
    return db_must(st);
}

/* Those that are not over: more than RIGHTS_MAX would not be looked at. */
static int count_open(const struct scope *s, const struct granted *g, int64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT count(*) FROM granted WHERE tenant_id = ?1 AND account = ?2"
                       " AND revoked = 0 AND (ends = 0 OR ends > ?3)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(g->account, ID_LEN));
    db_bind_int(st, 3, g->created);
    return db_number(st, ret_n);
}

int granted_add(const struct scope *s, const struct granted *g)
{
    struct role role;
    int64_t n = 0;
    if (strlen(g->reason) > GRANT_REASON_MAX || (g->ends != 0 && g->ends <= g->starts))
        return CLOUD_INVALID;
    int r = role_get(s->db, s->tenant, g->role, &role);
    if (r == 0 && role.archived != 0)
        r = CLOUD_ABSENT;
    if (r == 0)
        r = count_open(s, g, &n);
    if (r == 0 && n >= RIGHTS_MAX)
        r = CLOUD_INVALID;
    return r != 0 ? r : insert(s, g);
}

int granted_get(const struct scope *s, const uint8_t id[ID_LEN], struct granted *ret)
{
    struct db_stmt *st;
    struct granted g = {0};
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM granted WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(st, (void *)(uintptr_t)s, &g) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    if (r == 0)
        *ret = g;
    return r;
}

int granted_list(const struct scope *s, const uint8_t *account, const uint8_t *after, size_t limit,
                 struct granted_list *ret_list)
{
    struct db_stmt *st;
    struct rows l;
    int r = account != NULL
                ? scope_stmt(s,
                             "SELECT " COLUMNS " FROM granted WHERE tenant_id = ?1 AND id > ?2"
                             " AND account = ?3 ORDER BY id",
                             &st)
                : scope_stmt(s, "SELECT " COLUMNS " FROM granted WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
    if (account != NULL)
        db_bind_blob(st, 3, BYTES(account, ID_LEN));
    r = rows_collect(st, limit, sizeof(struct granted), from_row, (void *)(uintptr_t)s, &l);
    if (r == 0)
        *ret_list = (struct granted_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void granted_list_done(struct granted_list *l)
{
    free(l->items);
    *l = (struct granted_list){0};
}

int granted_revoke(const struct scope *s, const uint8_t id[ID_LEN], int64_t now)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE granted SET revoked = ?3 WHERE tenant_id = ?1 AND id = ?2 AND revoked = 0", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, now);
    r = db_must(st);
    return r == 0 && db_changes(s->db) == 0 ? CLOUD_ABSENT : r;
}

/* ---- what they say ---- */

/* What cannot be read gives nothing. */
static void add_right(struct db_stmt *st, const char *tenant, struct rights *ret)
{
    int64_t kind = db_int(st, 0), role = db_int(st, 2);
    uint8_t id[ID_LEN];
    if (kind >= REACH_TENANT && kind <= REACH_PERSON && role >= 0 && role < ROLE_KINDS &&
        db_fixed(st, 1, id, ID_LEN) == 0)
        rights_add(ret, role_holds((enum role_kind)role, (uint64_t)db_int(st, 3), tenant), (enum reach_kind)kind, id);
}

int granted_rights(struct db *db, const char *tenant, const uint8_t account[ID_LEN], int64_t now, int64_t through,
                   struct rights *ret_rights)
{
    struct db_stmt *st;
    struct rights rights = {0};
    int r = db_stmt(db,
                    "SELECT g.reach, g.reach_id, r.kind, r.perms FROM granted g"
                    " JOIN role r ON r.tenant_id = g.tenant_id AND r.id = g.role"
                    " WHERE g.tenant_id = ?1 AND g.account = ?2 AND g.revoked = 0 AND r.archived = 0"
                    " AND g.starts <= ?3 AND (g.ends = 0 OR (g.ends > ?3 AND ?4 <> 0 AND g.ends >= ?4))",
                    &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, tenant);
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, now);
    db_bind_int(st, 4, through);
    while ((r = db_step(st)) == DB_ROW)
        add_right(st, tenant, &rights);
    db_done(st);
    if (r < 0)
        return r;
    *ret_rights = rights;
    return 0;
}

/* Of one whose row is damaged nobody can tell when it ends: it does not. */
static int count_lasting(const struct scope *s, struct db_stmt *st, uint64_t *n)
{
    uint8_t key[KEY_ID_LEN];
    struct person p;
    int r;
    while ((r = db_step(st)) == DB_ROW) {
        r = db_fixed(st, 1, key, KEY_ID_LEN);
        if (r == 0)
            r = people_by_key(s, key, &p);
        *n += r == CLOUD_DAMAGED || (r == 0 && p.until == TIME_MAX);
        if (r < 0)
            break;
    }
    db_done(st);
    return r;
}

int granted_owners(const struct scope *s, int64_t now, const uint8_t *without, const uint8_t *but, uint64_t *ret_n)
{
    struct db_stmt *st;
    uint64_t n = 0;
    int r = scope_stmt(s,
                       "SELECT DISTINCT g.account, a.key_id FROM granted g"
                       " JOIN role r ON r.tenant_id = g.tenant_id AND r.id = g.role"
                       " JOIN account a ON a.tenant_id = g.tenant_id AND a.id = g.account"
                       " WHERE g.tenant_id = ?1 AND r.kind = ?2 AND g.reach = ?3 AND g.revoked = 0"
                       " AND g.starts <= ?4 AND g.ends = 0 AND g.account <> ?5 AND g.id <> ?6 AND a.state = ?7",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, ROLE_OWNER);
    db_bind_int(st, 3, REACH_TENANT);
    db_bind_int(st, 4, now);
    db_bind_blob(st, 5, without != NULL ? BYTES(without, ID_LEN) : BYTES_NONE);
    db_bind_blob(st, 6, but != NULL ? BYTES(but, ID_LEN) : BYTES_NONE);
    db_bind_int(st, 7, ACCOUNT_ACTIVE);
    r = count_lasting(s, st, &n);
    if (r == 0)
        *ret_n = n;
    return r;
}

int granted_may_go(const struct scope *s, const uint8_t *account, const uint8_t *grant, int64_t now)
{
    struct tenant_settings set;
    uint64_t before = 0, after = 0;
    int r = granted_owners(s, now, NULL, NULL, &before);
    if (r == 0)
        r = granted_owners(s, now, account, grant, &after);
    if (r == 0)
        r = tenant_settings_get(s->db, s->tenant, &set);
    if (r != 0 || after == before)
        return r;
    return after < (set.four_eyes != 0 ? 2 : 1) ? CLOUD_CONFLICT : 0;
}

int granted_settle(const struct scope *s, int64_t now)
{
    uint64_t owners = 0;
    int r = granted_owners(s, now, NULL, NULL, &owners);
    return r == 0 && owners > 0 ? token_end_bootstrap(s) : r;
}

int granted_forget(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t person[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(
        s, "DELETE FROM granted WHERE tenant_id = ?1 AND (account = ?2 OR (reach = ?4 AND reach_id = ?3))", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_blob(st, 3, BYTES(person, ID_LEN));
    db_bind_int(st, 4, REACH_PERSON);
    return db_must(st);
}
