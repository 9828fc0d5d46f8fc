/* Rows of punch and pending; see filed.h. */
#include "cloud/filed.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/changes.h"
#include "wire/cbor.h"

#define ROW_UNIT 256 /* holds any ordinary punch with a repeat, so that all rows are of one size */
#define ROW_PLAIN_MAX 2048

/* ---- the inside ---- */

static int keep_plain(struct filed *f, struct bytes item)
{
    f->plain = malloc(item.n);
    if (f->plain == NULL)
        return -ENOMEM;
    memcpy(f->plain, item.p, item.n);
    f->plain_n = item.n;
    return 0;
}

int filed_init(struct filed *f, struct bytes plain, const struct record *rec)
{
    struct cbor_r r = cbor_reader(plain);
    struct bytes item = cbor_get_any(&r);
    if (item.n == 0)
        return -EINVAL;
    f->rec = *rec;
    return keep_plain(f, item);
}

void filed_done(struct filed *f)
{
    if (f->plain != NULL)
        crypto_wipe(f->plain, f->plain_n);
    free(f->plain);
    crypto_wipe(f, sizeof *f);
}

int64_t filed_when(const struct filed *f)
{
    return f->flags & FILED_PENDING ? f->received : f->time;
}

static int encode(const struct filed *f, uint8_t *mem, size_t size, size_t *ret_n)
{
    struct cbor_w w = CBOR_W(mem, size);
    cbor_put_array(&w, 12);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, BYTES(f->segid, SEGID_LEN));
    cbor_put_uint(&w, f->index);
    cbor_put_bytes(&w, BYTES(f->gw, GW_LEN));
    cbor_put_uint(&w, f->gen);
    cbor_put_bytes(&w, BYTES(f->boot, BOOT_LEN));
    cbor_put_bytes(&w, BYTES(f->plain, f->plain_n));
    cbor_put_int(&w, f->time);
    cbor_put_uint(&w, f->uncertainty);
    cbor_put_uint(&w, f->flags);
    cbor_put_int(&w, f->received);
    cbor_put_array(&w, f->n_repeats);
    for (size_t i = 0; i < f->n_repeats; i++) {
        const struct punch_repeat *p = &f->repeats[i];
        cbor_put_array(&w, 5);
        cbor_put_uint(&w, p->gseq);
        cbor_put_int(&w, p->real);
        cbor_put_uint(&w, p->mono);
        cbor_put_uint(&w, p->ck);
        cbor_put_int(&w, p->received);
    }
    if (w.bad)
        return -ENOBUFS;
    *ret_n = w.len;
    return 0;
}

/* A record is decoded with its padding. */
static int decode_record(struct bytes plain, struct record *ret)
{
    uint8_t padded[RECORD_PLAIN_MAX];
    size_t n = plain.n <= 96 ? 96 : (plain.n + 31) / 32 * 32;
    if (n > sizeof padded)
        return -EBADMSG;
    memcpy(padded, plain.p, plain.n);
    memset(padded + plain.n, 0, n - plain.n);
    int r = record_decode(BYTES(padded, n), ret);
    crypto_wipe(padded, n);
    return r != 0 || ret->kind != RECORD_PUNCH ? -EBADMSG : 0;
}

static int decode(struct bytes in, struct filed *ret)
{
    struct filed f = {0};
    struct cbor_r r = cbor_reader(in);
    cbor_get_array(&r, 12, 12);
    cbor_get_uint(&r, 1);
    cbor_get_fixed(&r, f.segid, SEGID_LEN);
    f.index = cbor_get_uint(&r, UINT64_MAX);
    cbor_get_fixed(&r, f.gw, GW_LEN);
    f.gen = cbor_get_uint(&r, UINT64_MAX);
    cbor_get_fixed(&r, f.boot, BOOT_LEN);
    struct bytes plain = cbor_get_bytes(&r, 1, RECORD_PLAIN_MAX);
    f.time = cbor_get_int(&r);
    f.uncertainty = cbor_get_uint(&r, UINT64_MAX);
    f.flags = (unsigned)cbor_get_uint(&r, UINT8_MAX);
    f.received = cbor_get_int(&r);
    f.n_repeats = cbor_get_array(&r, 0, PUNCH_REPEATS_MAX);
    for (size_t i = 0; i < f.n_repeats; i++) {
        struct punch_repeat *p = &f.repeats[i];
        cbor_get_array(&r, 5, 5);
        p->gseq = cbor_get_uint(&r, UINT64_MAX);
        p->real = cbor_get_int(&r);
        p->mono = cbor_get_uint(&r, UINT64_MAX);
        p->ck = (uint8_t)cbor_get_uint(&r, UINT8_MAX);
        p->received = cbor_get_int(&r);
    }
    if (!cbor_done(&r) || decode_record(plain, &f.rec) != 0)
        return -EBADMSG;
    f.stored = true;
    int e = keep_plain(&f, plain);
    if (e == 0)
        *ret = f;
    return e;
}

/* ---- rows ---- */

struct where {
    uint8_t ref[REF_LEN], pid[PID_LEN];
    int64_t day; /* SEAL_PENDING's rows: that of the receipt */
    bool pending;
};

static int locate(const struct row_keys *keys, const struct filed *f, struct where *ret)
{
    ret->pending = (f->flags & FILED_PENDING) != 0;
    ret->day = day_of(filed_when(f));
    int r = seal_ref(keys, ret->pending ? SEAL_PENDING : month_of(ret->day), ret->ref);
    return r != 0 ? r : seal_pid(keys, f->segid, f->index, ret->pid);
}

static struct seal_place place(const struct scope *s, bool pending, const uint8_t ref[REF_LEN],
                               const uint8_t pid[PID_LEN])
{
    return (struct seal_place){
        .table = pending ? "pending" : "punch", .tenant = s->tenant, .key = {BYTES(ref, REF_LEN), BYTES(pid, PID_LEN)}};
}

static int insert_punch(const struct scope *s, const struct where *at, struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO punch(tenant_id, day, ref, pid, sealed) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, at->day);
    db_bind_blob(st, 3, BYTES(at->ref, REF_LEN));
    db_bind_blob(st, 4, BYTES(at->pid, PID_LEN));
    db_bind_blob(st, 5, sealed);
    return db_must(st);
}

static int insert_pending(const struct scope *s, const struct where *at, const struct filed *f, struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO pending(tenant_id, ref, pid, gw, gen, boot, why, day, sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(at->ref, REF_LEN));
    db_bind_blob(st, 3, BYTES(at->pid, PID_LEN));
    db_bind_blob(st, 4, BYTES(f->gw, GW_LEN));
    db_bind_int(st, 5, (int64_t)f->gen);
    db_bind_blob(st, 6, BYTES(f->boot, BOOT_LEN));
    db_bind_int(st, 7, f->flags & FILED_UNTIMED ? 1 : 2);
    db_bind_int(st, 8, at->day);
    db_bind_blob(st, 9, sealed);
    return db_must(st);
}

int filed_put(const struct scope *s, const struct row_keys *keys, const struct filed *f)
{
    uint8_t plain[ROW_PLAIN_MAX];
    struct where at;
    struct buf sealed;
    size_t n;
    buf_init(&sealed, ROW_PLAIN_MAX + 512);
    int r = encode(f, plain, sizeof plain, &n);
    if (r == 0)
        r = locate(keys, f, &at);
    if (r == 0) {
        struct seal_place p = place(s, at.pending, at.ref, at.pid);
        r = seal_put(keys->seal, &p, BYTES(plain, n), ROW_UNIT, &sealed);
    }
    if (r == 0)
        r = at.pending ? insert_pending(s, &at, f, buf_bytes(&sealed)) : insert_punch(s, &at, buf_bytes(&sealed));
    if (r == 0 && db_changes(s->db) > 0)
        r = changes_filed(s, keys, at.pending, at.day, at.pid, f->stored);
    buf_done(&sealed);
    crypto_wipe(plain, sizeof plain);
    return r;
}

int filed_delete(const struct scope *s, const struct row_keys *keys, const struct filed *f)
{
    struct where at;
    struct db_stmt *st;
    int r = locate(keys, f, &at);
    if (r != 0)
        return r;
    if (at.pending)
        r = scope_stmt(s, "DELETE FROM pending WHERE tenant_id = ?1 AND ref = ?3 AND pid = ?4", &st);
    else
        r = scope_stmt(s, "DELETE FROM punch WHERE tenant_id = ?1 AND day = ?2 AND ref = ?3 AND pid = ?4", &st);
    if (r != 0)
        return r;
    if (!at.pending)
        db_bind_int(st, 2, at.day);
    db_bind_blob(st, 3, BYTES(at.ref, REF_LEN));
    db_bind_blob(st, 4, BYTES(at.pid, PID_LEN));
    return db_must(st);
}

/* ---- walks ---- */

/* Whose rows a walk is over, where that is known beforehand. */
struct owner {
    uint8_t key_id[KEY_ID_LEN];
    enum key_kind kind;
    struct row_keys keys;
};

/* Columns ref, pid, sealed. A row that nobody's key opens is passed over; one that its key does not open is damage.
 * `known` NULL: found by the ref, for which the ring makes a table of all its keys a month. */
static int visit(const struct scope *s, struct db_stmt *st, uint32_t month, const struct owner *known, filed_fn *fn,
                 void *arg)
{
    uint8_t ref[REF_LEN], pid[PID_LEN], plain[ROW_PLAIN_MAX];
    struct owner o;
    struct filed f;
    size_t n;
    int r = db_fixed(st, 0, ref, REF_LEN) != 0 || db_fixed(st, 1, pid, PID_LEN) != 0 ? -EBADMSG : 0;
    if (r == 0 && known != NULL)
        o = *known;
    else if (r == 0)
        r = keyring_by_ref(s->ring, month, ref, o.key_id, &o.kind, &o.keys);
    if (r > 0)
        return r == KEYRING_ABSENT ? 0 : r;
    struct seal_place p = place(s, month == SEAL_PENDING, ref, pid);
    if (r == 0) {
        r = seal_get(o.keys.seal, &p, db_blob(st, 2), plain, sizeof plain, &n);
        crypto_wipe(&o.keys, sizeof o.keys);
    }
    if (r == 0) {
        r = decode(BYTES(plain, n), &f);
        crypto_wipe(plain, n);
    }
    if (r == SEAL_BAD || r == -EBADMSG) {
        scope_damaged(s, p.table, db_blob(st, 1), PASSED_OVER);
        return 0;
    }
    if (r != 0)
        return r;
    r = fn(arg, o.key_id, o.kind, &f);
    filed_done(&f);
    return r;
}

static int walk(const struct scope *s, struct db_stmt *st, uint32_t month, const struct owner *known, filed_fn *fn,
                void *arg)
{
    int r;
    while ((r = db_step(st)) == DB_ROW) {
        r = visit(s, st, month, known, fn, arg);
        if (r != 0)
            break;
    }
    db_done(st);
    return r;
}

/* `sql` with ?3 for the ref; ?2 is the day, unused for pending rows; ?4 is the pid, where one is given. */
static int walk_of_key(const struct scope *s, const char *sql, int64_t day, uint32_t month, const uint8_t *key_id,
                       const uint8_t *pid, filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    struct owner o;
    uint8_t ref[REF_LEN];
    memcpy(o.key_id, key_id, KEY_ID_LEN);
    int r = keyring_rows(s->ring, key_id, &o.kind, &o.keys);
    if (r == KEYRING_ABSENT)
        return 0;
    if (r == 0)
        r = seal_ref(&o.keys, month, ref);
    if (r == 0)
        r = scope_stmt(s, sql, &st);
    if (r == 0) {
        if (month != SEAL_PENDING)
            db_bind_int(st, 2, day);
        db_bind_blob(st, 3, BYTES(ref, REF_LEN));
        if (pid != NULL)
            db_bind_blob(st, 4, BYTES(pid, PID_LEN));
        r = walk(s, st, month, &o, fn, arg);
    }
    crypto_wipe(&o.keys, sizeof o.keys);
    return r;
}

int filed_at(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], bool pending, int64_t day,
             const uint8_t pid[PID_LEN], filed_fn *fn, void *arg)
{
    if (pending)
        return walk_of_key(s, "SELECT ref, pid, sealed FROM pending WHERE tenant_id = ?1 AND ref = ?3 AND pid = ?4", 0,
                           SEAL_PENDING, key_id, pid, fn, arg);
    return walk_of_key(s,
                       "SELECT ref, pid, sealed FROM punch WHERE tenant_id = ?1 AND day = ?2 AND ref = ?3 AND pid = ?4",
                       day, month_of(day), key_id, pid, fn, arg);
}

int filed_each_day(const struct scope *s, int64_t day, const uint8_t *key_id, filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    if (key_id != NULL)
        return walk_of_key(s, "SELECT ref, pid, sealed FROM punch WHERE tenant_id = ?1 AND day = ?2 AND ref = ?3", day,
                           month_of(day), key_id, NULL, fn, arg);
    int r = scope_stmt(s, "SELECT ref, pid, sealed FROM punch WHERE tenant_id = ?1 AND day = ?2", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, day);
    return walk(s, st, month_of(day), NULL, fn, arg);
}

int filed_each_pending(const struct scope *s, const uint8_t *key_id, filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    if (key_id != NULL)
        return walk_of_key(s, "SELECT ref, pid, sealed FROM pending WHERE tenant_id = ?1 AND ref = ?3", 0, SEAL_PENDING,
                           key_id, NULL, fn, arg);
    int r = scope_stmt(s, "SELECT ref, pid, sealed FROM pending WHERE tenant_id = ?1", &st);
    return r != 0 ? r : walk(s, st, SEAL_PENDING, NULL, fn, arg);
}

int filed_each_untimed(const struct scope *s, const uint8_t gw[GW_LEN], uint64_t gen, const uint8_t boot[BOOT_LEN],
                       filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT ref, pid, sealed FROM pending"
                       " WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3 AND boot = ?4 AND why = 1",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)gen);
    db_bind_blob(st, 4, BYTES(boot, BOOT_LEN));
    return walk(s, st, SEAL_PENDING, NULL, fn, arg);
}

/* ---- lists ---- */

int filed_list_add(struct filed_list *l, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 16 : l->cap * 2;
        struct filed_item *p = realloc(l->items, cap * sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        l->items = p;
        l->cap = cap;
    }
    struct filed_item *it = &l->items[l->n++];
    memcpy(it->key_id, key_id, KEY_ID_LEN);
    it->kind = kind;
    it->f = *f;
    f->plain = NULL;
    return 0;
}

void filed_list_done(struct filed_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        filed_done(&l->items[i].f);
    free(l->items);
    *l = (struct filed_list){0};
}
