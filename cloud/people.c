/* People; see people.h. The row: id and key id are random, all else is sealed under the person's key. */
#include "cloud/people.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "wire/cbor.h"

#define PERSON_UNIT 352 /* name, reference and the rest at their longest: all rows are of one size */

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

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "person", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

/* Inserts or replaces. */
static int put(const struct scope *s, const struct person *p, const struct row_keys *keys)
{
    uint8_t mem[PERSON_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    cbor_put_array(&w, 4);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, p->name);
    cbor_put_text(&w, p->reference);
    cbor_put_int(&w, p->created);
    if (w.bad)
        return -EINVAL;

    struct buf sealed;
    struct db_stmt *st;
    struct seal_place at = place(s, p->id);
    buf_init(&sealed, 1024);
    int r = seal_put(keys->seal, &at, BYTES(mem, w.len), PERSON_UNIT, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO person(tenant_id, id, key_id, sealed) VALUES(?1, ?2, ?3, ?4)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET sealed = excluded.sealed",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(p->id, ID_LEN));
        db_bind_blob(st, 3, BYTES(p->key, ID_LEN));
        db_bind_blob(st, 4, buf_bytes(&sealed));
        r = db_must(st);
    }
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

/* NULL leaves one as it is. */
static bool set_texts(struct person *p, const char *name, const char *reference)
{
    if (name != NULL && (name[0] == '\0' || !text_valid(name, NAME_MAX_LEN)))
        return false;
    if (reference != NULL && !text_valid(reference, REFERENCE_MAX_LEN))
        return false;
    if (name != NULL)
        str_copy(p->name, sizeof p->name, name);
    if (reference != NULL)
        str_copy(p->reference, sizeof p->reference, reference);
    return true;
}

int people_create(struct cloud *c, struct db *db, const char *tenant, const char *name, const char *reference,
                  struct person *ret_person)
{
    struct scope s;
    struct row_keys keys;
    enum key_kind kind;
    struct person p = {.created = clock_real()};
    if (!set_texts(&p, name, reference))
        return CLOUD_INVALID;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = crypto_random(p.id, ID_LEN);
    if (r == 0)
        r = keyring_add(s.ring, KEY_PERSON, NULL, p.key);
    if (r == 0)
        r = keyring_rows(s.ring, p.key, &kind, &keys);
    if (r == 0)
        r = put(&s, &p, &keys);
    if (r == 0)
        r = changes_person(&s, p.key);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = cloud_commit(c, db);
    else
        cloud_rollback(c, db);
    if (r == 0)
        *ret_person = p;
    return r;
}

static int decode(struct bytes plain, struct person *p)
{
    struct cbor_r c = cbor_reader(plain);
    cbor_get_array(&c, 4, 4);
    cbor_get_uint(&c, 1);
    struct bytes name = cbor_get_text(&c, 0, NAME_MAX_LEN), reference = cbor_get_text(&c, 0, REFERENCE_MAX_LEN);
    int64_t created = cbor_get_int(&c);
    if (!cbor_done(&c))
        return SEAL_BAD;
    p->created = created;
    if (name.n > 0)
        memcpy(p->name, name.p, name.n);
    if (reference.n > 0)
        memcpy(p->reference, reference.p, reference.n);
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

int people_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct person *ret_person)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : people_find(&s, id, ret_person);
}

static int update(const struct scope *s, const uint8_t id[ID_LEN], const char *name, const char *reference,
                  struct person *ret)
{
    struct row_keys keys;
    enum key_kind kind;
    int r = people_find(s, id, ret);
    if (r != 0)
        return r;
    if (!set_texts(ret, name, reference))
        return CLOUD_INVALID;
    r = keyring_rows(s->ring, ret->key, &kind, &keys);
    if (r == 0)
        r = put(s, ret, &keys);
    if (r == 0)
        r = changes_person(s, ret->key);
    crypto_wipe(&keys, sizeof keys);
    return r;
}

int people_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], const char *name,
                  const char *reference, struct person *ret_person)
{
    struct scope s;
    struct person p;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = update(&s, id, name, reference, &p);
    if (r == 0)
        r = cloud_commit(c, db);
    else
        cloud_rollback(c, db);
    if (r == 0)
        *ret_person = p;
    return r;
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(arg, st, item); /* CLOUD_ABSENT: erased, its row says nothing any more */
    return r == CLOUD_DAMAGED ? 0 : r;
}

int people_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                struct person_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    if (limit == 0)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT id, key_id, sealed FROM person WHERE tenant_id = ?1 AND id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct person), listed, &s, &l);
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
