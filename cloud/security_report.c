#include "cloud/security_report.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/jsontext.h"
#include "cloud/rows.h"
#include "cloud/scope.h"

#define UNIT 512

_Static_assert(SECURITY_REPORT_BYTES <= SEAL_PLAIN_MAX, "a report fits into one sealed value");

static const char *const names[SECURITY_STATES] = {
    [SECURITY_NEW] = "new", [SECURITY_OPEN] = "open", [SECURITY_CLOSED] = "closed"};

const char *security_state_name(enum security_state s)
{
    return names[s];
}

bool security_state_find(const char *name, enum security_state *ret)
{
    for (enum security_state s = SECURITY_NEW; s < SECURITY_STATES; s++) {
        if (strcmp(name, names[s]) != 0)
            continue;
        *ret = s;
        return true;
    }
    return false;
}

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "security_report", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static int seal(const struct scope *s, const uint8_t id[ID_LEN], const json_t *told, struct buf *ret)
{
    uint8_t plain[SECURITY_REPORT_BYTES];
    struct row_keys keys;
    struct seal_place at = place(s, id);
    size_t n = json_dumpb(told, (char *)plain, sizeof plain, JSON_COMPACT);
    if (n == 0)
        return -ENOMEM;
    if (n > sizeof plain)
        return CLOUD_INVALID;
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(plain, n), UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    crypto_wipe(plain, sizeof plain);
    return r > 0 ? -EBADMSG : r;
}

static int unseal(const struct scope *s, struct bytes sealed, struct security_report *x)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    struct row_keys keys;
    struct seal_place at = place(s, x->id);
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r != 0)
        return r > 0 ? -EBADMSG : r;
    r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = jsontext_read(BYTES(plain, n), NULL, &x->told);
    crypto_wipe(plain, sizeof plain);
    if (r < 0 && r != -EBADMSG)
        return r;
    x->damaged = x->told == NULL;
    if (x->damaged)
        scope_damaged(s, "security_report", BYTES(x->id, ID_LEN), SHOWN_DAMAGED);
    return 0;
}

/* Those that were closed long ago; *ret_n: how many there are then. */
static int sweep(const struct scope *s, int64_t now, int64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM security_report WHERE tenant_id = ?1 AND state = ?2 AND changed < ?3", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, SECURITY_CLOSED);
    db_bind_int(st, 3, now - SECURITY_REPORT_KEPT_US);
    r = db_must(st);
    if (r != 0 || (r = scope_stmt(s, "SELECT COUNT(*) FROM security_report WHERE tenant_id = ?1", &st)) != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW) {
        *ret_n = db_int(st, 0);
        r = 0;
    }
    db_done(st);
    return r;
}

int security_report_add(const struct scope *s, const json_t *told, int64_t now, uint8_t ret_id[ID_LEN])
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    uint8_t id[ID_LEN];
    int64_t n = 0;
    buf_init(&sealed, SEAL_PLAIN_MAX + UNIT + SEAL_OVERHEAD);
    int r = crypto_random(id, sizeof id);
    if (r == 0)
        r = seal(s, id, told, &sealed);
    if (r == 0)
        r = sweep(s, now, &n);
    if (r == 0 && n >= SECURITY_REPORTS_MAX)
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO security_report(tenant_id, id, state, created, changed, sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?4, ?5)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, SECURITY_NEW);
    db_bind_int(st, 4, now);
    db_bind_blob(st, 5, buf_bytes(&sealed));
    r = db_must(st);
    if (r == 0)
        memcpy(ret_id, id, ID_LEN);
    return r;
}

#define COLUMNS "id, state, created, changed"

static int from_row(struct db_stmt *st, void *arg, void *item)
{
    struct security_report *x = item;
    int64_t state = db_int(st, 1);
    if (state < SECURITY_NEW || state >= SECURITY_STATES)
        return -EBADMSG;
    x->state = (enum security_state)state;
    x->created = db_int(st, 2);
    x->changed = db_int(st, 3);
    return db_fixed(st, 0, x->id, ID_LEN);
}

int security_report_get(const struct scope *s, const uint8_t id[ID_LEN], struct security_report *ret)
{
    struct db_stmt *st;
    struct security_report x = {0};
    int r = scope_stmt(s, "SELECT " COLUMNS ", sealed FROM security_report WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        r = from_row(st, NULL, &x);
    else if (r == 0)
        r = CLOUD_ABSENT;
    if (r == 0)
        r = unseal(s, db_blob(st, 4), &x);
    db_done(st);
    if (r == 0)
        *ret = x;
    return r;
}

int security_report_list(const struct scope *s, const uint8_t *after, size_t limit, struct security_report_list *ret)
{
    struct db_stmt *st;
    struct rows l = {0};
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM security_report WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, after ? BYTES(after, ID_LEN) : BYTES_NONE);
    r = rows_collect(st, limit, sizeof(struct security_report), from_row, NULL, &l);
    if (r == 0)
        *ret = (struct security_report_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

int security_report_move(const struct scope *s, const uint8_t id[ID_LEN], enum security_state state, int64_t now)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE security_report SET state = ?3, changed = ?4 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, state);
    db_bind_int(st, 4, now);
    return db_must(st);
}
