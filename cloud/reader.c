/* Readers; see reader.h. */
#include "cloud/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/holder.h"
#include "cloud/rows.h"
#include "wire/cbor.h"

#define READER_UNIT 128 /* name and label at their longest: all rows are of one size */

struct reader_keys {
    uint8_t seal[CRYPTO_KEY], id[CRYPTO_KEY];
};

static int take_keys(const struct scope *s, struct reader_keys *ret)
{
    int r = holder_tenant_key(s, ret->seal);
    return r != 0 ? r
                  : crypto_hkdf_expand(BYTES(ret->seal, CRYPTO_KEY), BYTES_STR("punch reader id"), ret->id, CRYPTO_KEY);
}

static int make_id(const struct reader_keys *k, const uint8_t gw[GW_LEN], const char *name, uint8_t ret_id[ID_LEN])
{
    uint8_t mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES(gw, GW_LEN), BYTES_STR(name)};
    int r = crypto_hmac(BYTES(k->id, CRYPTO_KEY), parts, ARRAY_LEN(parts), mac);
    if (r == 0)
        memcpy(ret_id, mac, ID_LEN);
    return r;
}

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "reader", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

/* ---- writing ---- */

/* Inserts or replaces by id. */
static int put(const struct scope *s, const struct reader_keys *k, const struct reader *x)
{
    uint8_t mem[READER_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf CLEANUP(buf_done) sealed;
    struct seal_place at = place(s, x->id);
    struct db_stmt *st;
    buf_init(&sealed, 1024);
    cbor_put_array(&w, 3);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, x->name);
    cbor_put_text(&w, x->label);
    if (w.bad)
        return -EINVAL;
    int r = seal_put(k->seal, &at, BYTES(mem, w.len), READER_UNIT, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO reader(tenant_id, id, gw, first_day, last_day, sealed, direction, mode)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(tenant_id, id) DO UPDATE SET"
                       " first_day = excluded.first_day, last_day = excluded.last_day, sealed = excluded.sealed,"
                       " direction = excluded.direction, mode = excluded.mode",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(x->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(x->gw, GW_LEN));
    db_bind_int(st, 4, x->first_day);
    db_bind_int(st, 5, x->last_day);
    db_bind_blob(st, 6, buf_bytes(&sealed));
    db_bind_int(st, 7, x->direction);
    db_bind_int(st, 8, x->mode);
    return db_must(st);
}

static int widen(const struct scope *s, const uint8_t id[ID_LEN], int64_t first, int64_t last)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE reader SET first_day = ?3, last_day = ?4 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_int(st, 3, first);
    db_bind_int(st, 4, last);
    return db_must(st);
}

/* CLOUD_ABSENT: it has never punched. */
static int known_days(const struct scope *s, const uint8_t id[ID_LEN], int64_t *ret_first, int64_t *ret_last)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT first_day, last_day FROM reader WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    if (r == DB_ROW) {
        *ret_first = db_int(st, 0);
        *ret_last = db_int(st, 1);
    }
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

int reader_seen(const struct scope *s, const uint8_t gw[GW_LEN], const char *name, int64_t day)
{
    struct reader_keys k;
    struct reader x = {.first_day = day, .last_day = day};
    int64_t first, last;
    int r = take_keys(s, &k);
    if (r == 0)
        r = make_id(&k, gw, name, x.id);
    if (r == 0)
        r = known_days(s, x.id, &first, &last);
    if (r == CLOUD_ABSENT) {
        memcpy(x.gw, gw, GW_LEN);
        r = str_copy(x.name, sizeof x.name, name);
        if (r == 0)
            r = put(s, &k, &x);
    } else if (r == 0 && (day < first || day > last)) {
        r = widen(s, x.id, day < first ? day : first, day > last ? day : last);
    }
    crypto_wipe(&k, sizeof k);
    return r;
}

/* ---- reading ---- */

#define SELECT                                                                                              \
    "SELECT r.id, r.gw, t.name, r.first_day, r.last_day, r.sealed, r.direction, r.mode, t.id FROM reader r" \
    " JOIN gateway g ON g.tenant_id = r.tenant_id AND g.gw = r.gw AND g.gen ="                              \
    " (SELECT max(n.gen) FROM gateway n WHERE n.tenant_id = r.tenant_id AND n.gw = r.gw)"                   \
    " JOIN site t ON t.tenant_id = g.tenant_id AND t.id = g.site_id WHERE r.tenant_id = ?1"

struct reading {
    const struct scope *s;
    struct reader_keys k;
};

static int open_texts(const struct reading *g, struct bytes sealed, struct reader *x)
{
    uint8_t plain[READER_UNIT];
    size_t n;
    struct seal_place at = place(g->s, x->id);
    int r = seal_get(g->k.seal, &at, sealed, plain, sizeof plain, &n);
    if (r != 0)
        return r;
    struct cbor_r c = cbor_reader(BYTES(plain, n));
    cbor_get_array(&c, 3, 3);
    cbor_get_uint(&c, 1);
    struct bytes name = cbor_get_text(&c, 0, READER_NAME_MAX), label = cbor_get_text(&c, 0, LABEL_MAX_LEN);
    if (!cbor_done(&c))
        return SEAL_BAD;
    if (name.n > 0)
        memcpy(x->name, name.p, name.n);
    if (label.n > 0)
        memcpy(x->label, label.p, label.n);
    return 0;
}

static int settings_from(struct db_stmt *st, struct reader *x)
{
    int64_t direction = db_int(st, 6), mode = db_int(st, 7);
    if (direction < READER_BOTH || direction > READER_OUT || mode < READER_ATTENDANCE || mode > READER_ACCESS)
        return SEAL_BAD;
    x->direction = (enum reader_direction)direction;
    x->mode = (enum reader_mode)mode;
    return 0;
}

static int from_row(struct db_stmt *st, void *arg, void *item)
{
    const struct reading *g = arg;
    struct reader *x = item;
    x->first_day = db_int(st, 3);
    x->last_day = db_int(st, 4);
    if (db_fixed(st, 0, x->id, ID_LEN) != 0 || db_fixed(st, 1, x->gw, GW_LEN) != 0 ||
        db_fixed(st, 8, x->site_id, ID_LEN) != 0) {
        scope_damaged(g->s, "reader", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    if (str_copy(x->site, sizeof x->site, db_text(st, 2)) != 0)
        x->site[0] = '\0'; /* the site's row is damaged */
    int r = open_texts(g, db_blob(st, 5), x);
    if (r == 0)
        r = settings_from(st, x);
    if (r != SEAL_BAD)
        return r;
    scope_damaged(g->s, "reader", BYTES(x->id, ID_LEN), SHOWN_DAMAGED);
    x->damaged = true;
    return CLOUD_DAMAGED;
}

static int listed(struct db_stmt *st, void *arg, void *item)
{
    int r = from_row(st, arg, item);
    return r == CLOUD_DAMAGED ? 0 : r;
}

static int get(const struct reading *g, const uint8_t id[ID_LEN], struct reader *ret)
{
    struct db_stmt *st;
    struct reader x = {0};
    int r = scope_stmt(g->s, SELECT " AND r.id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(st, (void *)(uintptr_t)g, &x) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    if (r == 0 || r == CLOUD_DAMAGED)
        *ret = x;
    return r;
}

int reader_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct reader *ret_reader)
{
    struct scope s;
    struct reading g = {.s = &s};
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = take_keys(&s, &g.k);
    if (r == 0)
        r = get(&g, id, ret_reader);
    crypto_wipe(&g.k, sizeof g.k);
    return r;
}

int reader_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                struct reader_list *ret_list)
{
    struct scope s;
    struct reading g = {.s = &s};
    struct db_stmt *st;
    struct rows l;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = take_keys(&s, &g.k);
    if (r == 0)
        r = scope_stmt(&s, SELECT " AND r.id > ?2 ORDER BY r.id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        r = rows_collect(st, limit, sizeof(struct reader), listed, &g, &l);
    }
    crypto_wipe(&g.k, sizeof g.k);
    if (r == 0)
        *ret_list = (struct reader_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void reader_list_done(struct reader_list *l)
{
    free(l->items);
    *l = (struct reader_list){0};
}

/* ---- changing ---- */

/* A reader's id is made from its name: so what a damaged row was called can be checked. */
static int mend(const struct reading *g, const struct reader_set *set, struct reader *x)
{
    uint8_t id[ID_LEN];
    if (set->name == NULL || set->label == NULL || set->direction == NULL || set->mode == NULL)
        return CLOUD_DAMAGED;
    int r = make_id(&g->k, x->gw, set->name, id);
    if (r == 0 && memcmp(id, x->id, ID_LEN) != 0)
        r = CLOUD_INVALID;
    if (r == 0)
        r = str_copy(x->name, sizeof x->name, set->name);
    x->damaged = false;
    return r;
}

static int update(const struct scope *s, const uint8_t id[ID_LEN], const struct reader_set *set)
{
    struct reading g = {.s = s};
    struct reader x;
    int r = take_keys(s, &g.k);
    if (r == 0)
        r = get(&g, id, &x);
    if (r == CLOUD_DAMAGED)
        r = mend(&g, set, &x);
    else if (r == 0 && set->name != NULL && strcmp(set->name, x.name) != 0)
        r = CLOUD_INVALID;
    if (r == 0 && set->label != NULL)
        r = str_copy(x.label, sizeof x.label, set->label) != 0 ? CLOUD_INVALID : 0;
    if (r == 0) {
        x.direction = set->direction != NULL ? *set->direction : x.direction;
        x.mode = set->mode != NULL ? *set->mode : x.mode;
        r = put(s, &g.k, &x);
    }
    if (r == 0)
        r = changes_reader(s, id);
    crypto_wipe(&g.k, sizeof g.k);
    return r;
}

int reader_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  const struct reader_set *set)
{
    struct scope s;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    return cloud_end(c, db, update(&s, id, set));
}

/* ---- what punches mean by setting ---- */

static int directed_from_row(struct db_stmt *st, void *arg, void *item)
{
    struct directed *d = item;
    struct reader x = {0};
    int r = from_row(st, arg, &x);
    if (r != 0)
        return r == CLOUD_DAMAGED ? CLOUD_ABSENT : r;
    memcpy(d->gw, x.gw, GW_LEN);
    memcpy(d->name, x.name, sizeof d->name);
    d->direction = x.direction;
    d->mode = x.mode;
    return 0;
}

static int compare_directed(const void *a, const void *b)
{
    const struct directed *x = a, *y = b;
    int c = memcmp(x->gw, y->gw, GW_LEN);
    return c != 0 ? c : strcmp(x->name, y->name);
}

int directions_load(const struct scope *s, struct directions *ret)
{
    struct reading g = {.s = s};
    struct db_stmt *st;
    struct rows l = {0};
    int r = take_keys(s, &g.k);
    if (r == 0)
        r = scope_stmt(s, SELECT " AND (r.direction <> 0 OR r.mode <> 0)", &st);
    if (r == 0)
        r = rows_collect(st, 0, sizeof(struct directed), directed_from_row, &g, &l);
    crypto_wipe(&g.k, sizeof g.k);
    if (r != 0)
        return r;
    if (l.n > 1)
        qsort(l.items, l.n, sizeof(struct directed), compare_directed);
    *ret = (struct directions){.items = l.items, .n = l.n};
    return 0;
}

void directions_done(struct directions *d)
{
    free(d->items);
    *d = (struct directions){0};
}

const struct directed *directions_of(const struct directions *d, const uint8_t gw[GW_LEN], const char *name)
{
    struct directed key = {0};
    memcpy(key.gw, gw, GW_LEN);
    if (d->n == 0 || str_copy(key.name, sizeof key.name, name) != 0)
        return NULL;
    return bsearch(&key, d->items, d->n, sizeof key, compare_directed);
}
