/* Entries of the changes feed; see changes.h. */
#include "cloud/changes.h"

#include <string.h>

#include "base/be.h"
#include "base/clock.h"
#include "cloud/holder.h"
#include "wire/cbor.h"

#define ENTRY_UNIT 32 /* the longest: kind, 16 bytes, number; all rows are of one size */

/* What finds an entry. All zeros: the tenant's own. */
#define MARK_LEN (REF_LEN + 1)
#define MARK_MOVED REF_LEN /* 1: it moves a punch that was there before */

/* Months and blocks share the ref key and never a number. */
static uint32_t block_of(int64_t seq)
{
    return SEAL_BLOCK | ((uint32_t)(seq / CHANGES_BLOCK) & ~SEAL_BLOCK);
}

/* The tenant's own: its ref key makes the pads. */
static int tenant_rows(const struct scope *s, struct row_keys *ret_keys)
{
    int r = keyring_tenant_rows(s->ring, ret_keys);
    return r > 0 ? -EBADMSG : r;
}

/* On its way in and out. Not by the number alone: after a restore, or a transaction that failed, another entry has it,
 * and two marks behind one pad would tell whether they are of one key. What is sealed begins with a nonce. */
static int pad(const uint8_t key[CRYPTO_KEY], struct bytes sealed, uint8_t mark[MARK_LEN])
{
    uint8_t mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES_STR("ref"), sealed};
    int r = crypto_hmac(BYTES(key, CRYPTO_KEY), parts, ARRAY_LEN(parts), mac);
    for (size_t i = 0; r == 0 && i < MARK_LEN; i++)
        mark[i] ^= mac[i];
    return r;
}

/* Borrows n8. */
static struct seal_place place(const struct scope *s, int64_t seq, uint8_t n8[8])
{
    be_put(n8, (uint64_t)seq, 8);
    return (struct seal_place){.table = "change", .tenant = s->tenant, .key = {BYTES(n8, 8)}};
}

/* ---- writing ---- */

static int draw_ahead(const struct scope *s, int64_t *ret_seq)
{
    struct draws *d = s->draws;
    int r = d->begun ? 0 : changes_last(s, &d->last);
    if (r != 0)
        return r > 0 ? -EBADMSG : r;
    d->begun = true;
    *ret_seq = ++d->last;
    return 0;
}

int changes_drawn(const struct scope *s)
{
    struct db_stmt *st;
    if (!s->draws->begun)
        return 0;
    int r = scope_stmt(s, "UPDATE tenant SET changes = ?2 WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, s->draws->last);
    s->draws->begun = false;
    return db_must(st);
}

static int draw(const struct scope *s, int64_t *ret_seq)
{
    struct db_stmt *st;
    int64_t seq = 0;
    if (s->draws != NULL)
        return draw_ahead(s, ret_seq);
    int r = scope_stmt(s, "UPDATE tenant SET changes = changes + 1 WHERE tenant_id = ?1 RETURNING changes", &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW)
        seq = db_int(st, 0);
    db_done(st);
    if (r == 0 && seq <= 0)
        r = -EBADMSG;
    if (r == 0)
        *ret_seq = seq;
    return r > 0 ? -EIO : r;
}

static int insert(const struct scope *s, int64_t seq, const uint8_t mark[MARK_LEN], struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "INSERT INTO change(tenant_id, seq, mark, sealed) VALUES(?1, ?2, ?3, ?4)", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, seq);
    db_bind_blob(st, 3, BYTES(mark, MARK_LEN));
    db_bind_blob(st, 4, sealed);
    return db_must(st);
}

/* keys NULL: the tenant's own. */
static int put(const struct scope *s, const struct row_keys *keys, enum change_kind kind, struct bytes id,
               int64_t number, bool moved)
{
    uint8_t plain[ENTRY_UNIT], mark[MARK_LEN] = {0}, n8[8];
    struct row_keys own;
    struct cbor_w w = CBOR_W(plain, sizeof plain);
    struct buf sealed;
    int64_t seq = 0;
    cbor_put_array(&w, 3);
    cbor_put_uint(&w, kind);
    cbor_put_bytes(&w, id);
    cbor_put_int(&w, number);
    buf_init(&sealed, ENTRY_UNIT + SEAL_OVERHEAD + 1);
    int r = w.bad ? -ENOBUFS : draw(s, &seq);
    if (r == 0)
        r = tenant_rows(s, &own);
    if (r == 0 && keys != NULL)
        r = seal_ref(keys, block_of(seq), mark);
    mark[MARK_MOVED] = moved ? 1 : 0;
    if (r == 0) {
        struct seal_place at = place(s, seq, n8);
        r = seal_put(keys != NULL ? keys->seal : own.seal, &at, BYTES(plain, w.len), ENTRY_UNIT, &sealed);
    }
    if (r == 0)
        r = pad(own.ref, buf_bytes(&sealed), mark);
    if (r == 0)
        r = insert(s, seq, mark, buf_bytes(&sealed));
    buf_done(&sealed);
    crypto_wipe(&own, sizeof own);
    crypto_wipe(plain, sizeof plain);
    return r;
}

static int put_of(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], enum change_kind kind, struct bytes id,
                  int64_t number, bool moved)
{
    struct row_keys keys;
    enum key_kind any;
    int r = keyring_rows(s->ring, key_id, &any, &keys);
    if (r == 0)
        r = put(s, &keys, kind, id, number, moved);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

int changes_filed(const struct scope *s, const struct row_keys *keys, bool pending, int64_t day,
                  const uint8_t pid[PID_LEN], bool moved)
{
    return put(s, keys, pending ? CHANGE_PENDING : CHANGE_PUNCH, BYTES(pid, PID_LEN), pending ? 0 : day, moved);
}

int changes_person(const struct scope *s, const uint8_t key_id[KEY_ID_LEN])
{
    return put_of(s, key_id, CHANGE_PERSON, BYTES_NONE, 0, false);
}

int changes_credential(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t id[ID_LEN])
{
    return put_of(s, key_id, CHANGE_CREDENTIAL, BYTES(id, ID_LEN), 0, false);
}

int changes_correction(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t id[ID_LEN])
{
    return put_of(s, key_id, CHANGE_CORRECTION, BYTES(id, ID_LEN), 0, false);
}

int changes_added(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t correction[ID_LEN])
{
    return put_of(s, key_id, CHANGE_ADDED, BYTES(correction, ID_LEN), 0, false);
}

int changes_removed(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t segid[SEGID_LEN],
                    uint64_t index)
{
    return put_of(s, key_id, CHANGE_REMOVED, BYTES(segid, SEGID_LEN), (int64_t)index, true);
}

int changes_erased(const struct scope *s, const uint8_t person[ID_LEN])
{
    return put(s, NULL, CHANGE_ERASED, BYTES(person, ID_LEN), 0, false);
}

int changes_gateway(const struct scope *s, const uint8_t gw[GW_LEN], uint64_t gen)
{
    return put(s, NULL, CHANGE_GATEWAY, BYTES(gw, GW_LEN), (int64_t)gen, false);
}

int changes_reader(const struct scope *s, const uint8_t id[ID_LEN])
{
    return put(s, NULL, CHANGE_READER, BYTES(id, ID_LEN), 0, false);
}

/* ---- reading ---- */

int changes_last(const struct scope *s, int64_t *ret_seq)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT changes FROM tenant WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW)
        *ret_seq = db_int(st, 0);
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

static int decode(struct bytes in, struct change *e)
{
    struct cbor_r c = cbor_reader(in);
    cbor_get_array(&c, 3, 3);
    e->kind = (enum change_kind)cbor_get_uint(&c, UINT8_MAX);
    struct bytes id = cbor_get_bytes(&c, 0, ID_LEN);
    e->number = cbor_get_int(&c);
    if (!cbor_done(&c))
        return -EBADMSG;
    if (id.n > 0)
        memcpy(e->id, id.p, id.n);
    return 0;
}

struct reader {
    const struct scope *s;
    int64_t began;
    struct row_keys own;
};

/* Columns seq, mark, sealed. KEYRING_ABSENT: the key is destroyed; CHANGES_LOST: and it matters; -EBADMSG: damage. */
static int open_entry(const struct reader *x, struct db_stmt *st, struct change *e)
{
    static const uint8_t zeros[MARK_LEN];
    uint8_t mark[MARK_LEN], plain[ENTRY_UNIT], n8[8];
    struct row_keys keys = {0};
    enum key_kind kind;
    size_t n;
    if (db_fixed(st, 1, mark, MARK_LEN) != 0)
        return -EBADMSG;
    int r = pad(x->own.ref, db_blob(st, 2), mark);
    if (r != 0)
        return r;
    if (memcmp(mark, zeros, MARK_LEN) == 0)
        keys = x->own;
    else
        r = keyring_by_ref(x->s->ring, block_of(e->seq), mark, e->key_id, &kind, &keys);
    if (r == KEYRING_ABSENT && mark[MARK_MOVED] != 0 && e->seq > x->began)
        r = CHANGES_LOST;
    if (r != 0)
        return r;
    struct seal_place at = place(x->s, e->seq, n8);
    r = seal_get(keys.seal, &at, db_blob(st, 2), plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = decode(BYTES(plain, n), e);
    crypto_wipe(plain, sizeof plain);
    return r > 0 ? -EBADMSG : r;
}

static int read_one(const struct reader *x, struct db_stmt *st, change_fn *fn, void *arg, int64_t *ret_seq)
{
    struct change e = {.seq = db_int(st, 0)};
    *ret_seq = e.seq;
    int r = open_entry(x, st, &e);
    if (r == -EBADMSG) {
        uint8_t n8[8];
        be_put(n8, (uint64_t)e.seq, sizeof n8);
        scope_damaged(x->s, "change", BYTES(n8, sizeof n8), PASSED_OVER);
        return 0;
    }
    return r == 0 ? fn(arg, &e) : r == KEYRING_ABSENT ? 0 : r;
}

int changes_each(const struct scope *s, int64_t began, int64_t after, size_t limit, change_fn *fn, void *arg,
                 int64_t *ret_seq)
{
    struct reader x = {.s = s, .began = began};
    struct db_stmt *st;
    int64_t seq = after;
    int r = tenant_rows(s, &x.own);
    if (r == 0)
        r = scope_stmt(
            s, "SELECT seq, mark, sealed FROM change WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3", &st);
    if (r == 0) {
        db_bind_int(st, 2, after);
        db_bind_int(st, 3, (int64_t)limit);
        while ((r = db_step(st)) == DB_ROW && (r = read_one(&x, st, fn, arg, &seq)) == 0)
            ;
        db_done(st);
    }
    crypto_wipe(&x, sizeof x);
    if (r == 0)
        *ret_seq = seq;
    return r;
}

/* ---- a store of before the feed ---- */

static int upgrade_row(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    const struct scope *s = arg;
    struct row_keys keys;
    uint8_t pid[PID_LEN];
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = seal_pid(&keys, f->segid, f->index, pid);
    if (r == 0)
        r = changes_filed(s, &keys, (f->flags & FILED_PENDING) != 0, day_of(filed_when(f)), pid, false);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

/* Columns key_id, id of a small table; a key that is gone has left nothing to tell. */
static int upgrade_small(const struct scope *s, const char *sql, enum change_kind kind)
{
    struct db_stmt *st;
    uint8_t key_id[KEY_ID_LEN], id[ID_LEN];
    enum key_kind any;
    struct row_keys keys;
    int r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        if (db_fixed(st, 0, key_id, KEY_ID_LEN) != 0 || db_fixed(st, 1, id, ID_LEN) != 0) {
            r = -EBADMSG;
            break;
        }
        r = keyring_rows(s->ring, key_id, &any, &keys);
        if (r == 0)
            r = put(s, &keys, kind, kind == CHANGE_CREDENTIAL ? BYTES(id, ID_LEN) : BYTES_NONE, 0, false);
        if (r < 0)
            break;
    }
    crypto_wipe(&keys, sizeof keys);
    db_done(st);
    return r;
}

static int upgrade_gateways(const struct scope *s)
{
    struct db_stmt *st;
    uint8_t gw[GW_LEN];
    int r = scope_stmt(s, "SELECT gw, gen FROM gateway WHERE tenant_id = ?1 ORDER BY gw, gen", &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        r = db_fixed(st, 0, gw, GW_LEN);
        if (r == 0)
            r = changes_gateway(s, gw, (uint64_t)db_int(st, 1));
        if (r != 0)
            break;
    }
    db_done(st);
    return r;
}

static int upgrade(const struct scope *s)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE tenant SET changes = 0 WHERE tenant_id = ?1", &st);
    if (r == 0)
        r = db_must(st);
    if (r == 0)
        r = upgrade_gateways(s);
    if (r == 0)
        r = upgrade_small(s, "SELECT key_id, id FROM person WHERE tenant_id = ?1 ORDER BY id", CHANGE_PERSON);
    if (r == 0)
        r = upgrade_small(s, "SELECT key_id, id FROM credential WHERE tenant_id = ?1 ORDER BY id", CHANGE_CREDENTIAL);
    union {
        const struct scope *in;
        void *arg;
    } u = {.in = s};
    int64_t last = day_of(clock_real()) + 2; /* nothing is filed further ahead, nor before the tenant */
    for (int64_t day = day_of(s->created); r == 0 && day <= last; day++)
        r = filed_each_day(s, day, NULL, upgrade_row, u.arg);
    return r != 0 ? r : filed_each_pending(s, NULL, upgrade_row, u.arg);
}

int changes_upgrade(struct cloud *c, struct db *db, const char *tenant)
{
    struct scope s;
    struct db_stmt *st;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT 1 FROM tenant WHERE tenant_id = ?1 AND changes IS NULL", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    db_done(st);
    if (r != DB_ROW)
        return r;
    r = cloud_begin(c, db);
    if (r == 0)
        r = upgrade(&s);
    return cloud_end(c, db, r);
}
