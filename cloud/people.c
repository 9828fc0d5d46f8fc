/* People; see people.h. The row: id and key id are random, all else is sealed under the person's key. */
#include "cloud/people.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/holder.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "cloud/schema.h"
#include "cloud/tenant.h"
#include "wire/cbor.h"

/* All at their longest with their heads, so that all rows are of one size and tell nothing by it; and no larger than
 * what SQLite keeps of a row in one place. */
#define PERSON_UNIT 880
#define INDEX_LEN 16

/* ---- what a person may be ---- */

static bool text_valid(const char *s, size_t max)
{
    size_t n = strlen(s);
    if (n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

/* Whether mail arrives there only a mail tells. */
static bool email_valid(const char *s)
{
    const char *at = strchr(s, '@');
    return s[0] == '\0' ||
           (at != NULL && at != s && at[1] != '\0' && strchr(at + 1, '@') == NULL && !strpbrk(s, " <>,;"));
}

static bool set_text(char *text, size_t size, const char *to)
{
    if (to == NULL)
        return true;
    if (!text_valid(to, size - 1))
        return false;
    str_copy(text, size, to);
    return true;
}

bool people_apply(struct person *p, const struct person_set *set)
{
    static const uint8_t none[ID_LEN];
    struct person n = *p;
    if (!set_text(n.name, sizeof n.name, set->name) || n.name[0] == '\0' ||
        !set_text(n.personnel_number, sizeof n.personnel_number, set->personnel_number) ||
        !set_text(n.given_name, sizeof n.given_name, set->given_name) ||
        !set_text(n.family_name, sizeof n.family_name, set->family_name) ||
        !set_text(n.email, sizeof n.email, set->email) || !email_valid(n.email) ||
        !set_text(n.phone, sizeof n.phone, set->phone))
        return false;
    if (set->unit != NULL) {
        memcpy(n.unit, set->unit, ID_LEN);
        n.has_unit = memcmp(n.unit, none, ID_LEN) != 0;
    }
    if (set->has_from)
        n.from = set->from;
    if (set->has_until)
        n.until = set->until;
    if (n.from >= n.until)
        return false;
    *p = n;
    return true;
}

/* ---- rows ---- */

int people_number_index(const struct scope *s, const char *number, uint8_t ret_index[INDEX_LEN])
{
    uint8_t mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES("personnel number", sizeof "personnel number"), BYTES_STR(number)};
    int r = holder_index(s, parts, ARRAY_LEN(parts), mac);
    if (r == 0)
        memcpy(ret_index, mac, INDEX_LEN);
    return r;
}

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "person", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static int encode(const struct person *p, struct cbor_w *w)
{
    cbor_put_array(w, 12);
    cbor_put_uint(w, 2);
    cbor_put_text(w, p->name);
    cbor_put_text(w, p->personnel_number);
    cbor_put_int(w, p->created);
    cbor_put_text(w, p->given_name);
    cbor_put_text(w, p->family_name);
    cbor_put_text(w, p->email);
    cbor_put_text(w, p->phone);
    cbor_put_bytes(w, p->has_unit ? BYTES(p->unit, ID_LEN) : BYTES_NONE);
    cbor_put_int(w, p->from);
    cbor_put_int(w, p->until);
    cbor_put_int(w, p->archived);
    return w->bad ? -EINVAL : 0;
}

/* Inserts or replaces. index NULL: none. */
static int put_row(const struct scope *s, const struct person *p, struct bytes index, struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO person(tenant_id, id, key_id, sealed, pnidx) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET sealed = excluded.sealed, pnidx = excluded.pnidx",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(p->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(p->key, ID_LEN));
    db_bind_blob(st, 4, sealed);
    if (index.n > 0)
        db_bind_blob(st, 5, index);
    r = db_run(st);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

int people_put(const struct scope *s, const struct person *p)
{
    uint8_t mem[PERSON_UNIT], index[INDEX_LEN];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    enum key_kind kind;
    struct buf sealed;
    struct seal_place at = place(s, p->id);
    bool numbered = p->personnel_number[0] != '\0';
    buf_init(&sealed, 2048);
    int r = encode(p, &w);
    if (r == 0 && numbered)
        r = people_number_index(s, p->personnel_number, index);
    if (r == 0)
        r = keyring_rows(s->ring, p->key, &kind, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), PERSON_UNIT, &sealed);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = put_row(s, p, numbered ? BYTES(index, sizeof index) : BYTES_NONE, buf_bytes(&sealed));
    if (r == 0)
        r = changes_person(s, p->key);
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

int people_add(const struct scope *s, struct person *p)
{
    p->created = clock_real();
    int r = crypto_random(p->id, ID_LEN);
    if (r == 0)
        r = keyring_add(s->ring, KEY_PERSON, NULL, p->key);
    return r != 0 ? r : people_put(s, p);
}

int people_create(struct cloud *c, struct db *db, const char *tenant, const struct person_set *set,
                  struct person *ret_person)
{
    struct scope s;
    struct person p = {.from = TIME_MIN, .until = TIME_MAX};
    if (!people_apply(&p, set))
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, people_add(&s, &p));
    if (r == 0)
        *ret_person = p;
    return r;
}

static void get_text(struct cbor_r *c, char *ret, size_t size)
{
    struct bytes text = cbor_get_text(c, 0, size - 1);
    if (text.n > 0)
        memcpy(ret, text.p, text.n);
}

/* Version 1 ended after `created`. */
static void get_rest(struct cbor_r *c, struct person *p)
{
    get_text(c, p->given_name, sizeof p->given_name);
    get_text(c, p->family_name, sizeof p->family_name);
    get_text(c, p->email, sizeof p->email);
    get_text(c, p->phone, sizeof p->phone);
    struct bytes unit = cbor_get_bytes(c, 0, ID_LEN);
    p->has_unit = unit.n == ID_LEN;
    if (p->has_unit)
        memcpy(p->unit, unit.p, ID_LEN);
    else if (unit.n > 0)
        c->bad = true;
    p->from = cbor_get_int(c);
    p->until = cbor_get_int(c);
    p->archived = cbor_get_int(c);
}

/* *p has id and key. */
static int decode(struct bytes plain, struct person *p)
{
    struct person n = *p;
    struct cbor_r c = cbor_reader(plain);
    size_t members = cbor_get_array(&c, 4, 12);
    uint64_t version = cbor_get_uint(&c, 2);
    n.from = TIME_MIN;
    n.until = TIME_MAX;
    get_text(&c, n.name, sizeof n.name);
    get_text(&c, n.personnel_number, sizeof n.personnel_number);
    n.created = cbor_get_int(&c);
    if (version == 2 && members == 12)
        get_rest(&c, &n);
    if (!cbor_done(&c))
        return SEAL_BAD;
    *p = n;
    return 0;
}

/* Columns id, key_id, sealed. CLOUD_ABSENT: its key is gone, or cannot even be named. */
static int from_row(const struct scope *s, struct db_stmt *st, struct person *ret)
{
    struct person p = {0};
    struct row_keys keys;
    enum key_kind kind;
    uint8_t plain[PERSON_UNIT];
    size_t n;
    if (db_fixed(st, 0, p.id, ID_LEN) != 0 || db_fixed(st, 1, p.key, ID_LEN) != 0) {
        scope_damaged(s, "person", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    int r = keyring_rows(s->ring, p.key, &kind, &keys);
    if (r != 0)
        return r == KEYRING_ABSENT ? CLOUD_ABSENT : r;
    struct seal_place at = place(s, p.id);
    r = seal_get(keys.seal, &at, db_blob(st, 2), plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = decode(BYTES(plain, n), &p);
    crypto_wipe(plain, sizeof plain);
    if (r == SEAL_BAD) {
        scope_damaged(s, "person", BYTES(p.id, ID_LEN), SHOWN_DAMAGED);
        p.damaged = true;
        r = CLOUD_DAMAGED;
    }
    if (r >= 0)
        *ret = p;
    return r;
}

static int one(const struct scope *s, struct db_stmt *st, struct person *ret)
{
    int r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int people_find(const struct scope *s, const uint8_t id[ID_LEN], struct person *ret_person)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT id, key_id, sealed FROM person WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    return one(s, st, ret_person);
}

int people_by_key(const struct scope *s, const uint8_t key[ID_LEN], struct person *ret_person)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT id, key_id, sealed FROM person WHERE tenant_id = ?1 AND key_id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(key, ID_LEN));
    return one(s, st, ret_person);
}

int people_here(const struct scope *s, const uint8_t key[ID_LEN], int64_t now)
{
    struct person p;
    int r = people_by_key(s, key, &p);
    if (r == CLOUD_DAMAGED)
        return 0;
    return r == 0 && p.until <= now ? CLOUD_ABSENT : r;
}

int people_find_number(const struct scope *s, const char *personnel_number, struct person *ret_person)
{
    struct db_stmt *st;
    uint8_t index[INDEX_LEN];
    int r = people_number_index(s, personnel_number, index);
    if (r == 0)
        r = scope_stmt(s, "SELECT id, key_id, sealed FROM person WHERE tenant_id = ?1 AND pnidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(index, sizeof index));
    return one(s, st, ret_person);
}

int people_by_number(struct cloud *c, struct db *db, const char *tenant, const char *personnel_number,
                     struct person *ret_person)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : people_find_number(&s, personnel_number, ret_person);
}

int people_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct person *ret_person)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : people_find(&s, id, ret_person);
}

int people_key(struct db *db, const char *tenant, const uint8_t id[ID_LEN], uint8_t ret_key[ID_LEN])
{
    struct db_stmt *st;
    int r = db_stmt(db, "SELECT key_id FROM person WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, tenant);
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? db_fixed(st, 0, ret_key, KEY_ID_LEN) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int people_get_by_key(struct cloud *c, struct db *db, const char *tenant, const uint8_t key[ID_LEN],
                      struct person *ret_person)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : people_by_key(&s, key, ret_person);
}

static int update(const struct scope *s, const uint8_t id[ID_LEN], const struct person_set *set, struct person *ret)
{
    int r = people_find(s, id, ret);
    if (r != 0)
        return r;
    return people_apply(ret, set) ? people_put(s, ret) : CLOUD_INVALID;
}

int people_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  const struct person_set *set, struct person *ret_person)
{
    struct scope s;
    struct person p;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, update(&s, id, set, &p));
    if (r == 0)
        *ret_person = p;
    return r;
}

/* ---- lists ---- */

struct listing {
    const struct scope *s;
    person_fits *fits;
    void *arg;
};

static int listed(struct db_stmt *st, void *arg, void *item)
{
    const struct listing *l = arg;
    int r = from_row(l->s, st, item); /* CLOUD_ABSENT: erased, its row says nothing any more */
    if (r == CLOUD_DAMAGED)
        r = 0;
    return r == 0 && l->fits != NULL && !l->fits(l->arg, item) ? CLOUD_ABSENT : r;
}

int people_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                person_fits *fits, void *arg, struct person_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    struct listing what = {.s = &s, .fits = fits, .arg = arg};
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT id, key_id, sealed FROM person WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct person), listed, &what, &l);
    }
    if (r == 0)
        *ret_list = (struct person_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void person_list_done(struct person_list *l)
{
    free(l->items);
    *l = (struct person_list){0};
}

/* ---- a store of before the index ---- */

static int index_one(const struct scope *s, const struct person *p)
{
    uint8_t index[INDEX_LEN];
    struct db_stmt *st;
    if (p->damaged || p->personnel_number[0] == '\0')
        return 0;
    int r = people_number_index(s, p->personnel_number, index);
    if (r == 0)
        r = scope_stmt(s, "UPDATE person SET pnidx = ?3 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(p->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(index, sizeof index));
    r = db_run(st);
    return r == DB_CONFLICT ? 0 : r;
}

static int index_tenant(struct cloud *c, struct db *db, const char *tenant)
{
    struct scope s;
    struct person_list l = {0};
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = people_list(c, db, tenant, NULL, SIZE_MAX, NULL, NULL, &l);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = index_one(&s, &l.items[i]);
    person_list_done(&l);
    return r;
}

int people_upgrade(struct cloud *c, struct db *db)
{
    struct tenant_list l = {0};
    int64_t done;
    int r = meta_get(db, "personnel_numbers", &done);
    if (r != CLOUD_ABSENT)
        return r;
    r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = tenant_list(db, &l);
    bool all = true;
    for (size_t i = 0; r == 0 && i < l.n; i++) {
        r = index_tenant(c, db, l.items[i].id);
        all = all && r == 0;
        r = r == CLOUD_FENCED ? 0 : r; /* at the next start */
    }
    tenant_list_done(&l);
    if (r == 0 && all)
        r = meta_put(db, "personnel_numbers", 1);
    return cloud_end(c, db, r);
}
