/* Reading a tenant's chain: rows opened, whose tags they have, and what is damaged; see audit.h. */
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/str.h"
#include "cloud/audit_impl.h"
#include "cloud/jsontext.h"
#include "cloud/scope.h"
#include "wire/cbor.h"

#define MARGIN_US (60 * 1000000LL) /* an event waits in the journal for seconds; see audit_from() */

/* ---- whose tags these are ---- */

struct slot {
    uint8_t tag[AUDIT_TAG];
    struct subject who;
    uint8_t salt[AUDIT_SALT];
    bool used;
};
struct audit_reader {
    bool disclose;
    bool has_block;
    uint32_t block;
    size_t n, cap; /* cap: a power of two, at most half of it used */
    struct slot *slots;
};

int audit_reader_new(bool disclose, struct audit_reader **ret_reader)
{
    struct audit_reader *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->disclose = disclose;
    *ret_reader = x;
    return 0;
}

static void forget_block(struct audit_reader *x)
{
    if (x->slots != NULL)
        crypto_wipe(x->slots, x->cap * sizeof *x->slots);
    free(x->slots);
    x->slots = NULL;
    x->n = x->cap = 0;
    x->has_block = false;
}

void audit_reader_free(struct audit_reader *x)
{
    if (x == NULL)
        return;
    forget_block(x);
    free(x);
}

static struct slot *slot_of(struct slot *slots, size_t cap, const uint8_t tag[AUDIT_TAG])
{
    uint64_t h;
    memcpy(&h, tag, sizeof h); /* tags are hashes */
    size_t i = (size_t)h & (cap - 1);
    while (slots[i].used && memcmp(slots[i].tag, tag, AUDIT_TAG) != 0)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static int grow(struct audit_reader *x)
{
    size_t cap = x->cap == 0 ? 64 : 2 * x->cap;
    struct slot *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < x->cap; i++)
        if (x->slots[i].used)
            *slot_of(slots, cap, x->slots[i].tag) = x->slots[i];
    if (x->slots != NULL)
        crypto_wipe(x->slots, x->cap * sizeof *x->slots);
    free(x->slots);
    x->slots = slots;
    x->cap = cap;
    return 0;
}

/* Columns id, key_id. */
static int add_person(struct audit_reader *x, const struct scope *s, struct db_stmt *st, uint32_t block)
{
    struct slot e = {.used = true};
    struct row_keys keys;
    enum key_kind kind;
    if (db_fixed(st, 0, e.who.id, ID_LEN) != 0 || db_fixed(st, 1, e.who.key, KEY_ID_LEN) != 0)
        return 0; /* people_list() tells of it */
    int r = keyring_rows(s->ring, e.who.key, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return 0;
    if (r == 0)
        r = seal_ref(&keys, block, e.salt);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = audit_form_tag(e.salt, e.who.id, e.tag);
    if (r == 0 && 2 * (x->n + 1) > x->cap)
        r = grow(x);
    if (r != 0)
        return r;
    *slot_of(x->slots, x->cap, e.tag) = e;
    x->n++;
    return 0;
}

/* One block at a time: events are read in their order. */
static int learn_block(struct audit_reader *x, const struct scope *s, uint32_t block)
{
    struct db_stmt *st;
    if (x->has_block && x->block == block)
        return 0;
    forget_block(x);
    int r = grow(x);
    if (r == 0)
        r = scope_stmt(s, "SELECT id, key_id FROM person WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW && (r = add_person(x, s, st, block)) == 0)
        ;
    db_done(st);
    x->block = block;
    x->has_block = r == 0;
    return r;
}

/* NULL: of nobody there is. */
static const struct slot *find(const struct audit_reader *x, const uint8_t tag[AUDIT_TAG])
{
    const struct slot *e = x->has_block ? slot_of(x->slots, x->cap, tag) : NULL;
    return e != NULL && e->used ? e : NULL;
}

/* ---- rows ---- */

struct opened {
    uint8_t id[ID_LEN];
    struct audit_row row;
    char core[AUDIT_CORE_MAX + 1];
    struct {
        bool personal;
        uint8_t tag[AUDIT_TAG];
    } of[AUDIT_DETAILS];
    struct buf texts[AUDIT_DETAILS];
};

static void tell_damaged(const struct scope *s, uint64_t seq)
{
    uint8_t n8[8];
    be_put(n8, seq, sizeof n8);
    scope_damaged(s, "audit", BYTES(n8, sizeof n8), SHOWN_DAMAGED);
}

static int decode(struct bytes plain, struct opened *o)
{
    struct cbor_r c = cbor_reader(plain);
    cbor_get_array(&c, 4, 4);
    cbor_get_fixed(&c, o->id, ID_LEN);
    struct bytes core = cbor_get_bytes(&c, 1, AUDIT_CORE_MAX);
    o->row.n_whose = cbor_get_array(&c, 0, AUDIT_SUBJECTS);
    for (size_t i = 0; i < o->row.n_whose; i++)
        cbor_get_fixed(&c, o->row.whose[i].tag, AUDIT_TAG);
    o->row.n_details = cbor_get_array(&c, 0, AUDIT_DETAILS);
    for (size_t i = 0; i < o->row.n_details; i++) {
        cbor_get_array(&c, 2, 2);
        cbor_get_fixed(&c, o->row.details[i].commitment, CRYPTO_HASH);
        struct bytes tag = cbor_get_bytes(&c, 0, AUDIT_TAG);
        o->of[i].personal = tag.n == AUDIT_TAG;
        if (o->of[i].personal)
            memcpy(o->of[i].tag, tag.p, AUDIT_TAG);
    }
    if (!cbor_done(&c) || memchr(core.p, 0, core.n) != NULL)
        return -EBADMSG;
    memcpy(o->core, core.p, core.n);
    o->core[core.n] = '\0';
    o->row.core = o->core;
    return 0;
}

static void disclose(const struct audit_reader *x, struct audit_row *row)
{
    for (size_t i = 0; i < row->n_whose; i++) {
        struct audit_whose *w = &row->whose[i];
        const struct slot *e = find(x, w->tag);
        w->known = e != NULL;
        if (e == NULL)
            continue;
        w->who = e->who;
        memcpy(w->salt, e->salt, AUDIT_SALT);
    }
}

/* 0 also when it stays a commitment: its person is erased, or it is damaged. */
static int open_detail(const struct audit_reader *x, const struct scope *s, struct bytes sealed, struct opened *o,
                       size_t i)
{
    const struct slot *e = o->of[i].personal ? find(x, o->of[i].tag) : NULL;
    struct audit_detail *d = &o->row.details[i];
    if (o->of[i].personal && e == NULL)
        return 0;
    int r = audit_raw_open(s->ring, s->tenant, o->id, sealed, i, e != NULL ? e->who.key : NULL, &o->texts[i]);
    if (r == -EBADMSG)
        o->row.damaged = true;
    if (r != 0)
        return r == -EBADMSG || r == KEYRING_ABSENT ? 0 : r;
    d->open = true;
    memcpy(d->salt, o->texts[i].p, AUDIT_SALT);
    d->text = buf_str(&o->texts[i]) + AUDIT_SALT;
    return 0;
}

/* The leaf that the row gives, which is also told by a column of its own: one of them may be damaged. */
static int make_leaf(struct opened *o, bool *ret_differs)
{
    struct audit_parts p = {.core = BYTES_STR(o->core), .n_whose = o->row.n_whose, .n_details = o->row.n_details};
    uint8_t leaf[CRYPTO_HASH];
    for (size_t i = 0; i < p.n_whose; i++)
        memcpy(p.whose[i], o->row.whose[i].tag, AUDIT_TAG);
    for (size_t i = 0; i < p.n_details; i++)
        memcpy(p.details[i], o->row.details[i].commitment, CRYPTO_HASH);
    int r = audit_form_leaf(&p, leaf);
    if (r != 0)
        return r;
    *ret_differs = !o->row.has_leaf || memcmp(leaf, o->row.leaf, sizeof leaf) != 0;
    memcpy(o->row.leaf, leaf, sizeof leaf);
    o->row.has_leaf = true;
    return 0;
}

/* -EBADMSG: it does not open. */
static int open_envelope(const struct scope *s, const uint8_t key[CRYPTO_KEY], struct bytes sealed, struct opened *o)
{
    uint8_t plain[SEAL_PLAIN_MAX], n8[8];
    size_t n = 0;
    struct seal_place at = audit_place(s, o->row.seq, n8);
    int r = seal_get(key, &at, sealed, plain, sizeof plain, &n);
    if (r == 0)
        r = decode(BYTES(plain, n), o);
    crypto_wipe(plain, sizeof plain);
    return r > 0 ? -EBADMSG : r;
}

/* Columns seq, leaf, sealed, details. What does not open is left out of the row. */
static int open_row(struct audit_reader *x, const struct scope *s, const uint8_t key[CRYPTO_KEY], struct db_stmt *st,
                    struct opened *o)
{
    bool differs = false;
    o->row.has_leaf = db_fixed(st, 1, o->row.leaf, CRYPTO_HASH) == 0;
    int r = open_envelope(s, key, db_blob(st, 2), o);
    if (r == -EBADMSG) {
        o->row.damaged = true;
        o->row.n_whose = o->row.n_details = 0;
        r = 0;
    } else if (r == 0) {
        r = make_leaf(o, &differs);
    }
    if (r == 0 && x->disclose && (o->row.n_whose > 0 || o->row.n_details > 0)) {
        r = learn_block(x, s, audit_block(o->row.seq));
        if (r == 0)
            disclose(x, &o->row);
        for (size_t i = 0; r == 0 && i < o->row.n_details; i++)
            r = open_detail(x, s, db_blob(st, 3), o, i);
    }
    if (r == 0 && (o->row.damaged || differs))
        tell_damaged(s, o->row.seq);
    return r;
}

static int read_one(struct audit_reader *x, const struct scope *s, const uint8_t key[CRYPTO_KEY], struct db_stmt *st,
                    audit_fn *fn, void *arg)
{
    struct opened *o = calloc(1, sizeof *o); /* tens of kilobytes */
    if (o == NULL)
        return -ENOMEM;
    o->row.seq = (uint64_t)db_int(st, 0);
    for (size_t i = 0; i < AUDIT_DETAILS; i++)
        buf_init(&o->texts[i], AUDIT_SALT + AUDIT_DETAIL_MAX);
    int r = open_row(x, s, key, st, o);
    if (r == 0)
        r = fn(arg, &o->row);
    for (size_t i = 0; i < AUDIT_DETAILS; i++)
        buf_wipe(&o->texts[i]);
    free(o);
    return r;
}

/* Events whose rows are not there: *next .. to. */
static int tell_missing(const struct scope *s, uint64_t *next, uint64_t to, audit_fn *fn, void *arg)
{
    int r = 0;
    while (r == 0 && *next <= to) {
        const struct audit_row row = {.seq = (*next)++, .damaged = true};
        tell_damaged(s, row.seq);
        r = fn(arg, &row);
    }
    return r;
}

int audit_walk(struct audit_reader *x, const struct scope *s, uint64_t from, uint64_t to, audit_fn *fn, void *arg,
               uint64_t *ret_next)
{
    struct db_stmt *st;
    uint8_t key[CRYPTO_KEY];
    uint64_t next = from;
    int r = audit_seal_key(s, key);
    if (r == 0)
        r = scope_stmt(s,
                       "SELECT seq, leaf, sealed, details FROM audit WHERE tenant_id = ?1 AND seq >= ?2 AND seq <= ?3"
                       " ORDER BY seq",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)from);
    db_bind_int(st, 3, (int64_t)to);
    while ((r = db_step(st)) == DB_ROW) {
        uint64_t seq = (uint64_t)db_int(st, 0);
        if ((r = tell_missing(s, &next, seq - 1, fn, arg)) != 0)
            break;
        next = seq + 1;
        if ((r = read_one(x, s, key, st, fn, arg)) != 0)
            break;
    }
    db_done(st);
    crypto_wipe(key, sizeof key);
    if (r == 0)
        r = tell_missing(s, &next, to, fn, arg);
    *ret_next = next;
    return r;
}

int audit_each(struct audit_reader *x, const struct scope *s, uint64_t from, size_t limit, audit_fn *fn, void *arg,
               uint64_t *ret_next)
{
    struct audit_head h;
    int r = audit_head(s, &h);
    if (r != 0)
        return r;
    if (from > h.seq || limit == 0) {
        *ret_next = from;
        return 0;
    }
    return audit_walk(x, s, from, limit > h.seq - from ? h.seq : from + limit - 1, fn, arg, ret_next);
}

/* ---- by time ---- */

struct dated {
    uint64_t seq;
    int64_t time;
};
enum { FOUND = 1 };

/* The first that tells its time. */
static int take_time(void *arg, const struct audit_row *row)
{
    struct dated *d = arg;
    json_t *core = NULL;
    if (row->core != NULL && jsontext_read(BYTES_STR(row->core), NULL, &core) == -ENOMEM)
        return -ENOMEM;
    const char *text = json_string_value(json_object_get(core, "time"));
    bool found = text != NULL && str_untime(text, &d->time) == 0;
    json_decref(core);
    d->seq = row->seq;
    return found ? FOUND : 0;
}

int audit_from(const struct scope *s, int64_t time, uint64_t *ret_seq)
{
    struct audit_head h;
    struct audit_reader *x = NULL;
    uint64_t low = 1, next;
    int r = audit_head(s, &h);
    if (r == 0)
        r = audit_reader_new(false, &x);
    if (r != 0)
        return r;
    if (time > INT64_MIN + MARGIN_US)
        time -= MARGIN_US;
    for (uint64_t high = h.seq + 1; r == 0 && low < high;) {
        uint64_t mid = low + (high - low) / 2;
        struct dated d = {0};
        r = audit_walk(x, s, mid, high - 1, take_time, &d, &next);
        if (r == FOUND && d.time < time)
            low = d.seq + 1;
        else
            high = mid; /* what is damaged may be of any time: it is not left out */
        r = r == FOUND ? 0 : r;
    }
    audit_reader_free(x);
    if (r == 0)
        *ret_seq = low;
    return r;
}
