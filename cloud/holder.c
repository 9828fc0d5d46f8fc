/* Assignments, waiting credentials, and filing by them; see holder.h. */
#include "cloud/holder.h"

#include <string.h>

#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/holders.h"
#include "wire/cbor.h"

#define ROW_UNIT 192

/* ---- keys ---- */

static int index_key(const struct scope *s, uint8_t ret_key[CRYPTO_KEY])
{
    uint8_t id[KEY_ID_LEN];
    int r = keyring_newest(s->ring, KEY_INDEX, id, ret_key);
    return r > 0 ? -EBADMSG : r;
}

int holder_index(const struct scope *s, const struct bytes *parts, size_t n, uint8_t ret_mac[CRYPTO_HASH])
{
    uint8_t key[CRYPTO_KEY];
    int r = index_key(s, key);
    if (r == 0)
        r = crypto_hmac(BYTES(key, sizeof key), parts, n, ret_mac);
    crypto_wipe(key, sizeof key);
    return r;
}

int holder_cidx(const struct scope *s, const struct cred *cred, uint8_t ret_cidx[CIDX_LEN])
{
    uint8_t cbor[CRED_CBOR_MAX], mac[CRYPTO_HASH];
    struct bytes part = BYTES(cbor, cred_cbor(cred, cbor));
    int r = holder_index(s, &part, 1, mac);
    if (r == 0)
        memcpy(ret_cidx, mac, CIDX_LEN);
    crypto_wipe(cbor, sizeof cbor);
    return r;
}

int holder_tenant_key(const struct scope *s, uint8_t ret_key[CRYPTO_KEY])
{
    uint8_t key[CRYPTO_KEY];
    int r = index_key(s, key);
    if (r == 0)
        r = crypto_hkdf_expand(BYTES(key, sizeof key), BYTES_STR("punch tenant seal"), ret_key, CRYPTO_KEY);
    crypto_wipe(key, sizeof key);
    return r;
}

static void put_cred(struct cbor_w *w, const struct cred *c)
{
    cbor_put_uint(w, c->tech);
    cbor_put_uint(w, c->bits);
    cbor_put_bytes(w, BYTES(c->data, cred_len(c)));
}

static void get_cred(struct cbor_r *r, struct cred *ret)
{
    struct cred c = {0};
    c.tech = (uint8_t)cbor_get_uint(r, UINT8_MAX);
    c.bits = (uint16_t)cbor_get_uint(r, (uint64_t)8 * CRED_MAX);
    struct bytes data = cbor_get_bytes(r, 0, CRED_MAX);
    if (data.n != cred_len(&c))
        r->bad = true;
    else if (data.n > 0)
        memcpy(c.data, data.p, data.n);
    *ret = c;
}

/* Seals and opens the small rows of this file. */
static int seal_small(const struct scope *s, const struct seal_place *at, const uint8_t key_id[KEY_ID_LEN],
                      const struct cbor_w *w, struct buf *ret)
{
    struct row_keys keys;
    enum key_kind kind;
    if (w->bad)
        return -EINVAL;
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = seal_put(keys.seal, at, BYTES(w->p, w->len), ROW_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

/* CLOUD_ABSENT: the key is gone, the row belongs to nobody. */
static int open_small(const struct scope *s, const struct seal_place *at, const uint8_t key_id[KEY_ID_LEN],
                      struct bytes sealed, uint8_t plain[ROW_UNIT], size_t *ret_n)
{
    struct row_keys keys;
    enum key_kind kind;
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return CLOUD_ABSENT;
    if (r == 0)
        r = seal_get(keys.seal, at, sealed, plain, ROW_UNIT, ret_n);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

/* ---- assignments ---- */

/* Bound to its blind index too: who can write the database must not point a person at another card. */
static struct seal_place assignment_place(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t cidx[CIDX_LEN])
{
    return (struct seal_place){
        .table = "credential", .tenant = s->tenant, .key = {BYTES(id, ID_LEN), BYTES(cidx, CIDX_LEN)}};
}

int assignment_put(const struct scope *s, const struct assignment *a)
{
    uint8_t mem[ROW_UNIT], cidx[CIDX_LEN];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf sealed;
    struct db_stmt *st;
    cbor_put_array(&w, 9);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, BYTES(a->cred.person, ID_LEN));
    put_cred(&w, &a->cred.cred);
    cbor_put_uint(&w, a->cred.rendering);
    cbor_put_int(&w, a->cred.from);
    cbor_put_int(&w, a->cred.until);
    cbor_put_int(&w, a->cred.created);

    buf_init(&sealed, 1024);
    int r = holder_cidx(s, &a->cred.cred, cidx);
    struct seal_place at = assignment_place(s, a->cred.id, cidx);
    if (r == 0)
        r = seal_small(s, &at, a->key_id, &w, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO credential(tenant_id, id, cidx, key_id, sealed) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(a->cred.id, ID_LEN));
        db_bind_blob(st, 3, BYTES(cidx, CIDX_LEN));
        db_bind_blob(st, 4, BYTES(a->key_id, KEY_ID_LEN));
        db_bind_blob(st, 5, buf_bytes(&sealed));
        r = db_must(st);
    }
    if (r == 0)
        r = changes_credential(s, a->key_id, a->cred.id);
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

#define ASSIGNMENT_COLUMNS "id, key_id, sealed, cidx"

static int assignment_decode(struct bytes plain, struct assignment *a)
{
    struct credential d = a->cred;
    struct cbor_r c = cbor_reader(plain);
    cbor_get_array(&c, 9, 9);
    cbor_get_uint(&c, 1);
    cbor_get_fixed(&c, d.person, ID_LEN);
    get_cred(&c, &d.cred);
    d.rendering = (uint8_t)cbor_get_uint(&c, UINT8_MAX);
    d.from = cbor_get_int(&c);
    d.until = cbor_get_int(&c);
    d.created = cbor_get_int(&c);
    if (!cbor_done(&c))
        return -EBADMSG;
    a->cred = d;
    return 0;
}

static int assignment_row(const struct scope *s, struct db_stmt *st, struct assignment *ret)
{
    struct assignment a = {0};
    uint8_t plain[ROW_UNIT];
    size_t n;
    if (db_fixed(st, 0, a.cred.id, ID_LEN) != 0 || db_fixed(st, 1, a.key_id, KEY_ID_LEN) != 0 ||
        db_fixed(st, 3, a.cidx, CIDX_LEN) != 0) {
        scope_damaged(s, "credential", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    struct seal_place at = assignment_place(s, a.cred.id, a.cidx);
    int r = open_small(s, &at, a.key_id, db_blob(st, 2), plain, &n);
    if (r == 0)
        r = assignment_decode(BYTES(plain, n), &a);
    crypto_wipe(plain, sizeof plain);
    if (r == -EBADMSG) {
        scope_damaged(s, "credential", BYTES(a.cred.id, ID_LEN), SHOWN_DAMAGED);
        a.cred.damaged = true;
        r = CLOUD_DAMAGED;
    }
    if (r >= 0)
        *ret = a;
    return r;
}

static int assignment_walk(const struct scope *s, struct db_stmt *st, assignment_fn *fn, void *arg)
{
    struct assignment a;
    int r;
    while ((r = db_step(st)) == DB_ROW) {
        r = assignment_row(s, st, &a);
        if (r == CLOUD_ABSENT)
            continue;
        if (r >= 0)
            r = fn(arg, &a);
        if (r != 0)
            break;
    }
    db_done(st);
    return r;
}

int assignment_each(const struct scope *s, const uint8_t cidx[CIDX_LEN], assignment_fn *fn, void *arg)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " ASSIGNMENT_COLUMNS " FROM credential WHERE tenant_id = ?1 AND cidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
    return assignment_walk(s, st, fn, arg);
}

int assignment_each_of_key(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], assignment_fn *fn, void *arg)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " ASSIGNMENT_COLUMNS " FROM credential WHERE tenant_id = ?1 AND key_id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(key_id, KEY_ID_LEN));
    return assignment_walk(s, st, fn, arg);
}

int assignment_get(const struct scope *s, const uint8_t id[ID_LEN], struct assignment *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " ASSIGNMENT_COLUMNS " FROM credential WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? assignment_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

/* ---- waiting credentials ---- */

static int waiting_put(const struct scope *s, const uint8_t cidx[CIDX_LEN], const struct waiting_row *row)
{
    uint8_t mem[ROW_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf sealed;
    struct db_stmt *st;
    cbor_put_array(&w, 9);
    cbor_put_uint(&w, 1);
    put_cred(&w, &row->w.cred);
    cbor_put_uint(&w, row->w.rendering);
    cbor_put_int(&w, row->w.first);
    cbor_put_int(&w, row->w.last);
    cbor_put_uint(&w, row->w.count);
    cbor_put_bool(&w, row->shared);

    buf_init(&sealed, 1024);
    struct seal_place at = {.table = "waiting", .tenant = s->tenant, .key = {BYTES(cidx, CIDX_LEN)}};
    int r = seal_small(s, &at, row->key_id, &w, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO waiting(tenant_id, cidx, key_id, sealed) VALUES(?1, ?2, ?3, ?4)"
                       " ON CONFLICT(tenant_id, cidx) DO UPDATE SET key_id = excluded.key_id,"
                       " sealed = excluded.sealed",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
        db_bind_blob(st, 3, BYTES(row->key_id, KEY_ID_LEN));
        db_bind_blob(st, 4, buf_bytes(&sealed));
        r = db_must(st);
    }
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

/* Columns cidx, key_id, sealed. */
static int waiting_from(const struct scope *s, struct db_stmt *st, uint8_t ret_cidx[CIDX_LEN], struct waiting_row *ret)
{
    struct waiting_row row = {0};
    uint8_t plain[ROW_UNIT];
    size_t n;
    if (db_fixed(st, 0, ret_cidx, CIDX_LEN) != 0 || db_fixed(st, 1, row.key_id, KEY_ID_LEN) != 0)
        return -EBADMSG;
    struct seal_place at = {.table = "waiting", .tenant = s->tenant, .key = {BYTES(ret_cidx, CIDX_LEN)}};
    int r = open_small(s, &at, row.key_id, db_blob(st, 2), plain, &n);
    if (r != 0)
        return r;
    struct cbor_r c = cbor_reader(BYTES(plain, n));
    cbor_get_array(&c, 9, 9);
    cbor_get_uint(&c, 1);
    get_cred(&c, &row.w.cred);
    row.w.rendering = (uint8_t)cbor_get_uint(&c, UINT8_MAX);
    row.w.first = cbor_get_int(&c);
    row.w.last = cbor_get_int(&c);
    row.w.count = cbor_get_uint(&c, UINT64_MAX);
    row.shared = cbor_get_bool(&c);
    crypto_wipe(plain, sizeof plain);
    if (!cbor_done(&c))
        return -EBADMSG;
    *ret = row;
    return 0;
}

int waiting_get(const struct scope *s, const uint8_t cidx[CIDX_LEN], struct waiting_row *ret)
{
    struct db_stmt *st;
    uint8_t found[CIDX_LEN];
    int r = scope_stmt(s, "SELECT cidx, key_id, sealed FROM waiting WHERE tenant_id = ?1 AND cidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
    r = db_step(st);
    r = r == DB_ROW ? waiting_from(s, st, found, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

/* Rows in old backups may be under its key, so an erasure must know it; the shared one is never retired. */
static int waiting_retire(const struct scope *s, const uint8_t cidx[CIDX_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO retired(tenant_id, cidx, key_id) SELECT w.tenant_id, w.cidx, w.key_id"
                       " FROM waiting w, tenant t WHERE w.tenant_id = ?1 AND w.cidx = ?2 AND t.tenant_id = ?1"
                       " AND (t.overflow IS NULL OR w.key_id <> t.overflow) ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
    return db_must(st);
}

int waiting_delete(const struct scope *s, const uint8_t cidx[CIDX_LEN])
{
    struct db_stmt *st;
    int r = waiting_retire(s, cidx);
    if (r == 0)
        r = scope_stmt(s, "DELETE FROM waiting WHERE tenant_id = ?1 AND cidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
    return db_must(st);
}

int waiting_each(const struct scope *s, waiting_fn *fn, void *arg)
{
    struct db_stmt *st;
    struct waiting_row row;
    uint8_t cidx[CIDX_LEN];
    int r = scope_stmt(s, "SELECT cidx, key_id, sealed FROM waiting WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        r = waiting_from(s, st, cidx, &row);
        if (r == CLOUD_ABSENT)
            continue;
        if (r == 0)
            r = fn(arg, cidx, &row);
        if (r != 0)
            break;
    }
    db_done(st);
    return r;
}

/* The tenant's shared key, made at its first use. */
static int overflow_key(const struct scope *s, uint8_t ret_id[KEY_ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT overflow FROM tenant WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    bool have = r == DB_ROW && db_fixed(st, 0, ret_id, KEY_ID_LEN) == 0;
    db_done(st);
    if (have)
        return 0;
    if (r != DB_ROW)
        return r < 0 ? r : -EIO;
    r = keyring_add(s->ring, KEY_WAITING, NULL, ret_id);
    if (r == 0)
        r = scope_stmt(s, "UPDATE tenant SET overflow = ?2 WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(ret_id, KEY_ID_LEN));
    return db_must(st);
}

/* By ranges of the index on both sides of the shared key, since those under it may be many more. */
static int own_waiting_keys(const struct scope *s, uint64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT (SELECT count(*) FROM waiting w WHERE w.tenant_id = ?1 AND w.key_id < o.id)"
                       " + (SELECT count(*) FROM waiting w WHERE w.tenant_id = ?1 AND w.key_id > o.id)"
                       " FROM (SELECT coalesce(overflow, x'') AS id FROM tenant WHERE tenant_id = ?1) o",
                       &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW)
        *ret_n = (uint64_t)db_int(st, 0);
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

static int waiting_make(const struct scope *s, const struct filed *f, struct waiting_row *ret)
{
    struct waiting_row row = {.w = {.cred = f->rec.punch.cred, .rendering = f->rec.punch.rendering}};
    uint64_t n = 0;
    row.w.first = row.w.last = filed_when(f);
    int r = own_waiting_keys(s, &n);
    if (r == 0) {
        row.shared = n >= WAITING_KEYS_MAX;
        r = row.shared ? overflow_key(s, row.key_id) : keyring_add(s->ring, KEY_WAITING, NULL, row.key_id);
    }
    if (r == 0)
        *ret = row;
    return r;
}

/* ---- filing ---- */

static int put_under(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const struct filed *f)
{
    struct row_keys keys;
    uint32_t month = f->flags & FILED_PENDING ? SEAL_PENDING : month_of(day_of(filed_when(f)));
    int r = keyring_rows_in(s->ring, key_id, month, &keys);
    if (r == 0)
        r = filed_put(s, &keys, f);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

/* ---- the erased ---- */

struct succession {
    int64_t when, since;
};

/* Given out after the erasure, and not for later than the punch: from there on it is no longer the erased one's card,
 * even if it has been taken back since. A damaged one may be: what is dropped here is lost for good. */
static int succeeds(void *arg, const struct assignment *a)
{
    const struct succession *q = arg;
    return a->cred.damaged || (a->cred.created >= q->since && a->cred.from <= q->when);
}

static int succeeded(const struct scope *s, const uint8_t cidx[CIDX_LEN], const struct tomb_hold *all, size_t n,
                     struct succession q)
{
    for (size_t i = 0; i < n; i++) /* by somebody who is erased, too, since */
        if (all[i].card.created >= q.since && all[i].card.from <= q.when)
            return 1;
    return assignment_each(s, cidx, succeeds, &q);
}

static int erased_at(const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t when, bool *ret_erased)
{
    size_t n;
    const struct tomb_hold *all = tombs_of(keyring_tombs(s->ring), cidx, &n);
    bool erased = false;
    for (size_t i = 0; i < n && !erased; i++) {
        if (when < all[i].card.from || when >= all[i].card.until)
            continue;
        int r = when < all[i].at ? 0 : succeeded(s, cidx, all, n, (struct succession){when, all[i].at});
        if (r < 0)
            return r;
        erased = r == 0;
    }
    *ret_erased = erased;
    return 0;
}

int holder_erased(const struct scope *s, const struct cred *cred, int64_t when, bool *ret_erased)
{
    uint8_t cidx[CIDX_LEN];
    *ret_erased = false;
    if (keyring_tombs(s->ring)->n_holds == 0)
        return 0;
    int r = holder_cidx(s, cred, cidx);
    return r != 0 ? r : erased_at(s, cidx, when, ret_erased);
}

int64_t holder_created(const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t now)
{
    size_t n;
    const struct tomb_hold *all = tombs_of(keyring_tombs(s->ring), cidx, &n);
    return n > 0 && all[n - 1].at > now ? all[n - 1].at : now; /* in the order of `at` */
}

int holder_file(const struct scope *s, const struct filed *f)
{
    int64_t when = filed_when(f);
    struct waiting_row row;
    uint8_t cidx[CIDX_LEN], key_id[KEY_ID_LEN];
    bool erased = false;
    int r = holder_cidx(s, &f->rec.punch.cred, cidx);
    if (r == 0)
        r = erased_at(s, cidx, when, &erased);
    if (r == 0 && erased)
        return HOLDER_ERASED;
    if (r == 0)
        r = holders_find(s->holders, s, cidx, when, key_id);
    if (r == 0)
        return put_under(s, key_id, f);
    if (r == CLOUD_ABSENT)
        r = waiting_get(s, cidx, &row);
    if (r == CLOUD_ABSENT)
        r = waiting_make(s, f, &row);
    if (r != 0)
        return r;
    /* first and last only ever widen: they are also the days to look through when the credential is claimed */
    if (when < row.w.first)
        row.w.first = when;
    if (when > row.w.last)
        row.w.last = when;
    row.w.count++;
    r = waiting_put(s, cidx, &row);
    return r != 0 ? r : put_under(s, row.key_id, f);
}

int holder_unfile(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f)
{
    struct row_keys keys;
    struct waiting_row row;
    uint8_t cidx[CIDX_LEN];
    enum key_kind same;
    int r = keyring_rows(s->ring, key_id, &same, &keys);
    if (r == 0)
        r = filed_delete(s, &keys, f);
    crypto_wipe(&keys, sizeof keys);
    if (r != 0 || kind != KEY_WAITING)
        return r > 0 ? -EBADMSG : r;
    r = holder_cidx(s, &f->rec.punch.cred, cidx);
    if (r == 0)
        r = waiting_get(s, cidx, &row);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    if (row.w.count <= 1)
        return waiting_delete(s, cidx);
    row.w.count--;
    return waiting_put(s, cidx, &row);
}

int holder_replace(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const struct filed *f)
{
    struct row_keys keys;
    enum key_kind kind;
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = filed_delete(s, &keys, f);
    if (r == 0)
        r = filed_put(s, &keys, f);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

struct key_list {
    int64_t from, until;
    size_t max, n;
    uint8_t (*ids)[KEY_ID_LEN];
};

static int add_key(void *arg, const struct assignment *a)
{
    struct key_list *l = arg;
    if (!a->cred.damaged && (a->cred.until <= l->from || a->cred.from >= l->until))
        return 0;
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(l->ids[i], a->key_id, KEY_ID_LEN) == 0)
            return 0;
    if (l->n < l->max)
        memcpy(l->ids[l->n++], a->key_id, KEY_ID_LEN);
    return 0;
}

int holder_keys(const struct scope *s, const struct cred *cred, int64_t from, int64_t until, size_t max,
                uint8_t (*ret_ids)[KEY_ID_LEN], size_t *ret_n)
{
    struct key_list l = {.from = from, .until = until, .max = max, .ids = ret_ids};
    struct waiting_row row;
    uint8_t cidx[CIDX_LEN];
    int r = holder_cidx(s, cred, cidx);
    if (r == 0)
        r = waiting_get(s, cidx, &row);
    if (r == 0)
        memcpy(ret_ids[l.n++], row.key_id, KEY_ID_LEN);
    if (r == 0 || r == CLOUD_ABSENT)
        r = assignment_each(s, cidx, add_key, &l);
    if (r == 0)
        *ret_n = l.n;
    return r;
}
