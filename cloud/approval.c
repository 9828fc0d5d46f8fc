/* Four eyes; see approval.h. */
#include "cloud/approval.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"
#include "wire/cbor.h"

#define REQUEST_UNIT 512
#define METHOD_MAX 8
#define TAG_TEXT_MAX 128

const char *approval_state_name(enum approval_state s)
{
    static const char *const names[] = {[APPROVAL_WAITING] = "waiting",
                                        [APPROVAL_APPROVED] = "approved",
                                        [APPROVAL_DENIED] = "denied",
                                        [APPROVAL_LAPSED] = "lapsed"};
    return s >= APPROVAL_WAITING && s <= APPROVAL_LAPSED ? names[s] : "-";
}

/* ---- the request ---- */

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "approval", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static const uint8_t nobody[ID_LEN];

static bool is_zero(const uint8_t id[ID_LEN])
{
    return memcmp(id, nobody, ID_LEN) == 0;
}

static int take_keys(const struct scope *s, const uint8_t key[ID_LEN], struct row_keys *ret)
{
    enum key_kind kind;
    int r = is_zero(key) ? keyring_tenant_rows(s->ring, ret) : keyring_rows(s->ring, key, &kind, ret);
    return r == KEYRING_ABSENT ? CLOUD_ABSENT : r;
}

static int seal_request(const struct scope *s, const struct approval *a, const struct approval_asked *q,
                        struct buf *ret)
{
    uint8_t mem[APPROVAL_REQUEST_MAX + 256];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    struct seal_place at = place(s, a->id);
    if (strlen(q->method) > METHOD_MAX || strlen(q->path) + q->body.n > APPROVAL_REQUEST_MAX ||
        (q->if_match && strlen(q->if_match) > TAG_TEXT_MAX))
        return CLOUD_INVALID;
    cbor_put_array(&w, 5);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, q->method);
    cbor_put_text(&w, q->path);
    cbor_put_text(&w, q->if_match ? q->if_match : "");
    cbor_put_bytes(&w, q->body);
    if (w.bad)
        return CLOUD_INVALID;
    int r = take_keys(s, a->key, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), REQUEST_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    crypto_wipe(mem, sizeof mem);
    return r;
}

/* A text of the request into ret->text from *used on, NUL-terminated. */
static const char *keep(struct approval_request *ret, struct bytes b, size_t *used)
{
    char *to = ret->text + *used;
    if (b.n > 0)
        memcpy(to, b.p, b.n);
    to[b.n] = '\0';
    *used += b.n + 1;
    return to;
}

static int open_request(const struct scope *s, const struct approval *a, struct bytes sealed,
                        struct approval_request *ret)
{
    uint8_t plain[APPROVAL_REQUEST_MAX + 256];
    size_t n = 0, used = 0;
    struct row_keys keys;
    struct seal_place at = place(s, a->id);
    int r = take_keys(s, a->key, &keys);
    if (r != 0)
        return r;
    r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    struct cbor_r c = cbor_reader(BYTES(plain, r == 0 ? n : 0));
    cbor_get_array(&c, 5, 5);
    cbor_get_uint(&c, 1);
    struct bytes method = cbor_get_text(&c, 1, METHOD_MAX), path = cbor_get_text(&c, 1, APPROVAL_REQUEST_MAX),
                 match = cbor_get_text(&c, 0, TAG_TEXT_MAX), body = cbor_get_bytes(&c, 0, APPROVAL_REQUEST_MAX);
    bool good = r == 0 && cbor_done(&c);
    if (good) {
        ret->asked.method = keep(ret, method, &used);
        ret->asked.path = keep(ret, path, &used);
        ret->asked.if_match = match.n ? keep(ret, match, &used) : NULL;
        ret->asked.body = BYTES(keep(ret, body, &used), body.n);
    } else if (r >= 0) {
        scope_damaged(s, "approval", BYTES(a->id, ID_LEN), SHOWN_DAMAGED);
    }
    crypto_wipe(plain, sizeof plain);
    return r < 0 ? r : good ? 0 : CLOUD_DAMAGED;
}

/* ---- rows ---- */

#define COLUMNS "id, perm, home, account, requested, state, decided, decider, status, location, key_id"

static int from_row(struct db_stmt *st, void *arg, void *item)
{
    const int64_t *now = arg;
    struct approval *a = item;
    int64_t perm = db_int(st, 1), state = db_int(st, 5);
    if (db_fixed(st, 0, a->id, ID_LEN) != 0 || perm < 0 || perm >= PERM_COUNT ||
        str_copy(a->home, sizeof a->home, db_text(st, 2)) != 0 || db_fixed(st, 3, a->account, ID_LEN) != 0 ||
        state < APPROVAL_WAITING || state > APPROVAL_DENIED || db_fixed(st, 7, a->decider, ID_LEN) != 0 ||
        str_copy(a->location, sizeof a->location, db_text(st, 9)) != 0 || db_fixed(st, 10, a->key, ID_LEN) != 0)
        return CLOUD_ABSENT;
    a->perm = (enum perm)perm;
    a->requested = db_int(st, 4);
    a->state = (enum approval_state)state;
    a->decided = db_int(st, 6);
    a->status = (unsigned)db_int(st, 8);
    if (a->state == APPROVAL_WAITING && a->requested + APPROVAL_US <= *now)
        a->state = APPROVAL_LAPSED;
    return 0;
}

int approval_ask(const struct scope *s, const struct approval *a, const struct approval_asked *q)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, 8192);
    int r = seal_request(s, a, q, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO approval(tenant_id, " COLUMNS ", sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 0, '', ?9, ?10)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, a->perm);
    db_bind_text(st, 4, a->home);
    db_bind_blob(st, 5, BYTES(a->account, ID_LEN));
    db_bind_int(st, 6, a->requested);
    db_bind_int(st, 7, APPROVAL_WAITING);
    db_bind_blob(st, 8, BYTES(nobody, ID_LEN));
    db_bind_blob(st, 9, BYTES(a->key, ID_LEN));
    db_bind_blob(st, 10, buf_bytes(&sealed));
    return db_must(st);
}

int approval_get(const struct scope *s, const uint8_t id[ID_LEN], int64_t now, struct approval *ret)
{
    struct db_stmt *st;
    struct approval a = {0};
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM approval WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(st, &now, &a) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    if (r == 0)
        *ret = a;
    return r;
}

int approval_request(const struct scope *s, const struct approval *a, struct approval_request *ret)
{
    struct db_stmt *st;
    if (a->state != APPROVAL_WAITING)
        return CLOUD_ABSENT;
    int r = scope_stmt(s, "SELECT sealed FROM approval WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        r = db_blob(st, 0).n > 0 ? open_request(s, a, db_blob(st, 0), ret) : CLOUD_ABSENT;
    else if (r == 0)
        r = CLOUD_ABSENT;
    db_done(st);
    return r;
}

int approval_list(const struct scope *s, const uint8_t *after, size_t limit, int64_t now, struct approval_list *ret)
{
    struct db_stmt *st;
    struct rows l;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM approval WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, after ? BYTES(after, ID_LEN) : BYTES_NONE);
    r = rows_collect(st, limit, sizeof(struct approval), from_row, &now, &l);
    if (r == 0)
        *ret = (struct approval_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void approval_list_done(struct approval_list *l)
{
    free(l->items);
    *l = (struct approval_list){0};
}

int approval_decide(const struct scope *s, const uint8_t id[ID_LEN], bool approve, const uint8_t decider[ID_LEN],
                    int64_t now)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "UPDATE approval SET state = ?3, decider = ?4, decided = ?5, sealed = ?6, key_id = ?9"
                       " WHERE tenant_id = ?1 AND id = ?2 AND state = ?7 AND requested > ?8",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, approve ? APPROVAL_APPROVED : APPROVAL_DENIED);
    db_bind_blob(st, 4, BYTES(decider, ID_LEN));
    db_bind_int(st, 5, now);
    db_bind_blob(st, 6, BYTES("", 0));
    db_bind_int(st, 7, APPROVAL_WAITING);
    db_bind_int(st, 8, now - APPROVAL_US);
    db_bind_blob(st, 9, BYTES(nobody, ID_LEN));
    r = db_must(st);
    return r == 0 && db_changes(s->db) == 0 ? CLOUD_CONFLICT : r;
}

int approval_done(const struct scope *s, const uint8_t id[ID_LEN], unsigned status, const char *location)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE approval SET status = ?3, location = ?4 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, status);
    db_bind_text(st, 4, location);
    return db_must(st);
}

/* ---- what waited too long ---- */

static int is_due(struct db *db, const char *tenant, int64_t before, bool *ret_due)
{
    struct db_stmt *s;
    int r = db_stmt(
        db, "SELECT 1 FROM approval WHERE tenant_id = ?1 AND requested <= ?2 AND length(sealed) > 0 LIMIT 1", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_int(s, 2, before);
    r = db_step(s);
    *ret_due = r == DB_ROW;
    db_done(s);
    return r < 0 ? r : 0;
}

static int sweep_tenant(struct cloud *c, struct db *db, const char *tenant, int64_t before)
{
    struct db_stmt *s;
    bool due = false;
    int r = is_due(db, tenant, before, &due);
    if (r != 0 || !due)
        return r;
    r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = db_stmt(db, "UPDATE approval SET sealed = ?3, key_id = ?4 WHERE tenant_id = ?1 AND requested <= ?2", &s);
    if (r == 0) {
        db_bind_text(s, 1, tenant);
        db_bind_int(s, 2, before);
        db_bind_blob(s, 3, BYTES("", 0));
        db_bind_blob(s, 4, BYTES(nobody, ID_LEN));
        r = db_must(s);
    }
    if (r == 0)
        return cloud_commit(c, db);
    cloud_rollback(c, db);
    return r;
}

int approval_sweep(struct cloud *c, struct db *db, int64_t now)
{
    struct tenant_list l;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = sweep_tenant(c, db, l.items[i].id, now - APPROVAL_US);
    tenant_list_done(&l);
    return r;
}
