/* Sessions; see session.h. */
#include "cloud/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "cloud/session_seen.h"
#include "wire/cbor.h"

#define SECRET_LEN 32
#define SESSION_UNIT 320

int64_t session_until(const struct session *s)
{
    int64_t idle = s->seen + s->idle, end = s->created + s->life;
    return idle < end ? idle : end;
}

/* ---- cookies ---- */

bool session_cookie(const char *header, const char *name, char *ret, size_t size)
{
    size_t len = strlen(name);
    for (const char *p = header; p && *p; p += strcspn(p, ";"), p += *p == ';') {
        p += strspn(p, " \t");
        if (strncmp(p, name, len) != 0 || p[len] != '=')
            continue;
        const char *value = p + len + 1;
        size_t n = strcspn(value, "; \t");
        if (n >= size)
            return false;
        memcpy(ret, value, n);
        ret[n] = '\0';
        return true;
    }
    return false;
}

/* CLOUD_ABSENT: no cookie of ours looks so. */
static int secret_of(const char *cookie, uint8_t ret[SECRET_LEN])
{
    size_t n = 0;
    return str_unb64url(cookie, strlen(cookie), ret, SECRET_LEN, &n) == 0 && n == SECRET_LEN ? 0 : CLOUD_ABSENT;
}

static int hash_of(const uint8_t secret[SECRET_LEN], uint8_t ret[CRYPTO_HASH])
{
    return crypto_sha256(BYTES(secret, SECRET_LEN), ret);
}

int session_csrf(const char *cookie, char ret[SESSION_TEXT])
{
    uint8_t secret[SECRET_LEN], mac[CRYPTO_HASH];
    const struct bytes part = BYTES_STR("punch csrf");
    int r = secret_of(cookie, secret);
    if (r == 0)
        r = crypto_hmac(BYTES(secret, sizeof secret), &part, 1, mac);
    if (r == 0)
        str_b64url(mac, sizeof mac, ret);
    crypto_wipe(secret, sizeof secret);
    return r;
}

bool session_csrf_fits(const char *cookie, const char *given)
{
    char want[SESSION_TEXT];
    return given && strlen(given) == SESSION_TEXT - 1 && session_csrf(cookie, want) == 0 &&
           crypto_equal(given, want, SESSION_TEXT - 1);
}

/* ---- rows ---- */

static int row_keys_of(const struct scope *s, const struct session *t, struct row_keys *ret)
{
    enum key_kind kind;
    int r = keyring_rows(s->ring, t->key, &kind, ret);
    return r == KEYRING_ABSENT ? CLOUD_ABSENT : r;
}

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "session", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static int seal(const struct scope *s, const struct session *t, struct buf *ret)
{
    uint8_t mem[SESSION_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    struct seal_place at = place(s, t->id);
    cbor_put_array(&w, 11);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, BYTES(t->person, ID_LEN));
    cbor_put_bool(&w, t->half);
    cbor_put_bool(&w, t->factor);
    cbor_put_int(&w, t->created);
    cbor_put_int(&w, t->seen);
    cbor_put_int(&w, t->stepped);
    cbor_put_int(&w, t->idle);
    cbor_put_int(&w, t->life);
    cbor_put_text(&w, t->address);
    cbor_put_text(&w, t->agent);
    int r = w.bad ? -EINVAL : row_keys_of(s, t, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), SESSION_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    return r;
}

static void get_text(struct cbor_r *r, char *ret, size_t size)
{
    struct bytes b = cbor_get_text(r, 0, size - 1);
    if (b.n > 0)
        memcpy(ret, b.p, b.n);
    ret[b.n] = '\0';
}

/* CLOUD_ABSENT, too, when it does not open: whose session it was cannot be told, so it is none. */
static int open_sealed(const struct scope *s, struct bytes sealed, struct session *t)
{
    uint8_t plain[SESSION_UNIT];
    struct row_keys keys;
    size_t n = 0;
    struct seal_place at = place(s, t->id);
    int r = row_keys_of(s, t, &keys);
    if (r == 0)
        r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    if (r != 0 && r != SEAL_BAD)
        return r;
    struct cbor_r c = cbor_reader(BYTES(plain, r == 0 ? n : 0));
    cbor_get_array(&c, 11, 11);
    cbor_get_uint(&c, 1);
    cbor_get_fixed(&c, t->person, ID_LEN);
    t->half = cbor_get_bool(&c);
    t->factor = cbor_get_bool(&c);
    t->created = cbor_get_int(&c);
    t->seen = cbor_get_int(&c);
    t->stepped = cbor_get_int(&c);
    t->idle = cbor_get_int(&c);
    t->life = cbor_get_int(&c);
    get_text(&c, t->address, sizeof t->address);
    get_text(&c, t->agent, sizeof t->agent);
    if (cbor_done(&c))
        return 0;
    scope_damaged(s, "session", BYTES(t->id, ID_LEN), PASSED_OVER);
    return CLOUD_ABSENT;
}

/* Of a login at t->created, when nothing follows: the UTC day after which the row is of no use. */
static int64_t last_day(const struct session *t)
{
    return day_of(t->created + t->life) + 1;
}

static int insert(const struct scope *s, const struct session *t, const uint8_t hash[CRYPTO_HASH])
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, (size_t)2 * SESSION_UNIT);
    int r = seal(s, t, &sealed);
    if (r == 0)
        r = scope_stmt(
            s, "INSERT INTO session(tenant_id, id, hash, account, day, sealed) VALUES(?1, ?2, ?3, ?4, ?5, ?6)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(t->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(hash, CRYPTO_HASH));
    db_bind_blob(st, 4, BYTES(t->account, ID_LEN));
    db_bind_int(st, 5, last_day(t));
    db_bind_blob(st, 6, buf_bytes(&sealed));
    return db_must(st);
}

static int update(const struct scope *s, const struct session *t)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, (size_t)2 * SESSION_UNIT);
    int r = seal(s, t, &sealed);
    if (r == 0)
        r = scope_stmt(s, "UPDATE session SET sealed = ?3 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(t->id, ID_LEN));
    db_bind_blob(st, 3, buf_bytes(&sealed));
    return db_must(st);
}

/* Columns id, account, sealed, and t->key is known. */
static int from_row(const struct scope *s, struct db_stmt *st, struct session *t)
{
    if (db_fixed(st, 0, t->id, ID_LEN) != 0 || db_fixed(st, 1, t->account, ID_LEN) != 0 ||
        str_copy(t->tenant, sizeof t->tenant, s->tenant) != 0)
        return -EBADMSG;
    return open_sealed(s, db_blob(st, 2), t);
}

static int find(const struct scope *s, const uint8_t id[ID_LEN], struct session *ret)
{
    struct db_stmt *st;
    struct session t = {0};
    int r = scope_stmt(s,
                       "SELECT n.id, n.account, n.sealed, a.key_id FROM session n JOIN account a"
                       " ON a.tenant_id = n.tenant_id AND a.id = n.account WHERE n.tenant_id = ?1 AND n.id = ?2",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        r = db_fixed(st, 3, t.key, KEY_ID_LEN) == 0 ? from_row(s, st, &t) : -EBADMSG;
    else if (r == 0)
        r = CLOUD_ABSENT;
    db_done(st);
    if (r == 0)
        *ret = t;
    return r;
}

/* ---- one request's ---- */

struct found {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN], account[ID_LEN], key[KEY_ID_LEN];
    uint8_t sealed[SEAL_OVERHEAD + 2 * SESSION_UNIT];
    size_t n;
};

static int look_up(struct db *db, const uint8_t hash[CRYPTO_HASH], struct found *f)
{
    struct db_stmt *st;
    int r = db_stmt(db,
                    "SELECT n.tenant_id, n.id, n.account, n.sealed, a.key_id FROM session n JOIN account a"
                    " ON a.tenant_id = n.tenant_id AND a.id = n.account WHERE n.hash = ?1 AND a.state = ?2",
                    &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 1, BYTES(hash, CRYPTO_HASH));
    db_bind_int(st, 2, ACCOUNT_ACTIVE);
    r = db_step(st);
    struct bytes sealed = r == DB_ROW ? db_blob(st, 3) : BYTES_NONE;
    if (r == 0 || sealed.n > sizeof f->sealed) {
        r = CLOUD_ABSENT;
    } else if (r == DB_ROW) {
        r = str_copy(f->tenant, sizeof f->tenant, db_text(st, 0)) != 0 || db_fixed(st, 1, f->id, ID_LEN) != 0 ||
                    db_fixed(st, 2, f->account, ID_LEN) != 0 || db_fixed(st, 4, f->key, KEY_ID_LEN) != 0
                ? -EBADMSG
                : 0;
        f->n = sealed.n;
        if (sealed.n > 0)
            memcpy(f->sealed, sealed.p, sealed.n);
    }
    db_done(st);
    return r;
}

static void use_seen(struct cloud *c, struct session *t)
{
    int64_t at = seen_at(cloud_seen(c), t->id);
    if (at > t->seen)
        t->seen = at;
}

static bool is_over(const struct session *t, int64_t now)
{
    return now >= session_until(t) || now < t->created - t->idle; /* a clock that was set back by more than that */
}

int session_check(struct cloud *c, struct db *db, const char *cookie, int64_t now, struct session *ret_session)
{
    uint8_t secret[SECRET_LEN], hash[CRYPTO_HASH];
    struct found f;
    struct scope s;
    struct session t = {0};
    int r = secret_of(cookie, secret);
    if (r == 0)
        r = hash_of(secret, hash);
    crypto_wipe(secret, sizeof secret);
    if (r == 0)
        r = look_up(db, hash, &f);
    if (r == 0)
        r = scope_fenced(c, db, f.tenant, &s, &(uint64_t){0}); /* an erasure that is under way ends nobody's session */
    if (r != 0)
        return r;
    memcpy(t.id, f.id, ID_LEN);
    memcpy(t.account, f.account, ID_LEN);
    memcpy(t.key, f.key, KEY_ID_LEN);
    str_copy(t.tenant, sizeof t.tenant, f.tenant);
    s.tenant = t.tenant;
    r = open_sealed(&s, BYTES(f.sealed, f.n), &t);
    if (r == 0)
        r = people_here(&s, t.key, now);
    if (r != 0)
        return r;
    use_seen(c, &t);
    if (is_over(&t, now))
        return CLOUD_ABSENT;
    *ret_session = t;
    return 0;
}

void session_saw(struct cloud *c, const struct session *t, int64_t now)
{
    seen_note(cloud_seen(c), t->tenant, t->id, now);
}

/* ---- made, listed, ended ---- */

static int listed(struct db_stmt *st, void *arg, void *item);

struct listing {
    const struct scope *s;
    const struct account *a;
    int64_t now;
};

static int list_all(struct listing *l, struct rows *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(l->s, "SELECT id, account, sealed FROM session WHERE tenant_id = ?1 AND account = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(l->a->id, ID_LEN));
    return rows_collect(st, 0, sizeof(struct session), listed, l, ret);
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    struct listing *l = arg;
    struct session *t = item;
    memcpy(t->key, l->a->key, KEY_ID_LEN);
    int r = from_row(l->s, st, t);
    if (r != 0)
        return r;
    use_seen(l->s->c, t);
    return is_over(t, l->now) ? CLOUD_ABSENT : 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct session *x = a, *y = b;
    return (x->seen < y->seen) - (x->seen > y->seen);
}

int session_list(const struct scope *s, const struct account *a, int64_t now, struct session_list *ret_list)
{
    struct listing l = {.s = s, .a = a, .now = now};
    struct rows rows;
    int r = list_all(&l, &rows);
    if (r != 0)
        return r;
    struct session_list all = {.items = rows.items};
    for (size_t i = 0; i < rows.n; i++)
        if (!all.items[i].half)
            all.items[all.n++] = all.items[i];
    if (all.n > 0)
        qsort(all.items, all.n, sizeof *all.items, newest_first);
    *ret_list = all;
    return 0;
}

void session_list_done(struct session_list *l)
{
    free(l->items);
    *l = (struct session_list){0};
}

/* Half ones among themselves: who knows the password and has no code puts nobody out. */
static int make_room(const struct scope *s, const struct account *a, bool half, int64_t now)
{
    size_t n = 0;
    struct listing l = {.s = s, .a = a, .now = now};
    struct rows rows;
    int r = list_all(&l, &rows);
    if (r != 0)
        return r;
    const struct session *all = rows.items;
    if (rows.n > 0)
        qsort(rows.items, rows.n, sizeof *all, newest_first);
    for (size_t i = 0; r == 0 && i < rows.n; i++)
        if (all[i].half == half && ++n >= SESSIONS_EACH)
            r = session_end(s, a->id, all[i].id);
    free(rows.items);
    return r;
}

int session_make(const struct scope *s, const struct account *a, struct session *t, char ret_cookie[SESSION_TEXT])
{
    uint8_t secret[SECRET_LEN], hash[CRYPTO_HASH];
    int64_t now = clock_real();
    memcpy(t->account, a->id, ID_LEN);
    memcpy(t->person, a->person, ID_LEN);
    memcpy(t->key, a->key, KEY_ID_LEN);
    str_copy(t->tenant, sizeof t->tenant, s->tenant);
    t->created = t->seen = now;
    if (t->half)
        t->idle = t->life = SESSION_HALF_US;
    int r = make_room(s, a, t->half, now);
    if (r == 0)
        r = crypto_random(t->id, ID_LEN);
    if (r == 0)
        r = crypto_random(secret, sizeof secret);
    if (r == 0)
        r = hash_of(secret, hash);
    if (r == 0)
        r = insert(s, t, hash);
    if (r == 0)
        str_b64url(secret, sizeof secret, ret_cookie);
    crypto_wipe(secret, sizeof secret);
    return r;
}

int session_end(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t id[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM session WHERE tenant_id = ?1 AND account = ?2 AND id = ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_blob(st, 3, BYTES(id, ID_LEN));
    r = db_must(st);
    return r == 0 && db_changes(s->db) == 0 ? CLOUD_ABSENT : r;
}

int session_end_all(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t *except)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM session WHERE tenant_id = ?1 AND account = ?2 AND id <> ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_blob(st, 3, except ? BYTES(except, ID_LEN) : BYTES_NONE);
    return db_must(st);
}

int session_step(const struct scope *s, const uint8_t id[ID_LEN], bool factor, int64_t now)
{
    struct session t;
    int r = find(s, id, &t);
    if (r != 0)
        return r;
    t.stepped = now;
    t.factor = t.factor || factor;
    t.seen = now > t.seen ? now : t.seen;
    return update(s, &t);
}

/* ---- the sweep ---- */

static int write_seen_of(struct cloud *c, struct db *db, const struct seen_entry *e)
{
    struct scope s;
    struct session t;
    int r = scope_init(c, db, e->tenant, &s);
    if (r == 0)
        r = find(&s, e->id, &t);
    if (r == 0 && t.seen < e->at) {
        t.seen = e->at;
        r = update(&s, &t);
    }
    return r == CLOUD_ABSENT || r == CLOUD_FENCED ? 0 : r; /* ended meanwhile; or next time */
}

static int write_seen(struct cloud *c, struct db *db)
{
    struct seen_entry *all = NULL;
    size_t n = 0;
    int r = seen_take(cloud_seen(c), &all, &n);
    if (r != 0 || n == 0) {
        free(all);
        return r;
    }
    r = cloud_begin(c, db);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = write_seen_of(c, db, &all[i]);
    r = cloud_end(c, db, r);
    if (r == 0)
        seen_written(cloud_seen(c), all, n);
    free(all);
    return r;
}

int session_sweep(struct cloud *c, struct db *db, int64_t now)
{
    int r = write_seen(c, db);
    return r == 0 ? cloud_sweep(c, db, SWEEP("session WHERE day < ?1"), day_of(now), NULL) : r;
}
