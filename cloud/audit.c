/* A tenant's chain of events; see audit.h. A row is its number, its leaf, and two sealed values: the envelope, under
 * the tenant's key (core, tags, commitments), and the details, each under the key of whom it is about. */
#include "cloud/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit_impl.h"
#include "cloud/audit_move.h"
#include "cloud/scope.h"
#include "wire/cbor.h"

#define ENVELOPE_UNIT 64
#define MARGIN_US (60 * 1000000LL) /* an event waits in the journal for seconds; see audit_from() */

static uint32_t block_of(uint64_t seq)
{
    return SEAL_AUDIT | ((uint32_t)(seq / AUDIT_BLOCK) & (SEAL_AUDIT - 1));
}

/* Borrows n8. */
static struct seal_place place(const struct scope *s, uint64_t seq, uint8_t n8[8])
{
    be_put(n8, seq, 8);
    return (struct seal_place){.table = "audit", .tenant = s->tenant, .key = {BYTES(n8, 8)}};
}

static int tenant_seal(const struct scope *s, uint8_t ret_key[CRYPTO_KEY])
{
    struct row_keys own;
    int r = keyring_tenant_rows(s->ring, &own);
    if (r == 0)
        memcpy(ret_key, own.seal, CRYPTO_KEY);
    crypto_wipe(&own, sizeof own);
    return r > 0 ? -EBADMSG : r;
}

/* ---- the head ---- */

int audit_head(const struct scope *s, struct audit_head *ret)
{
    struct db_stmt *st;
    struct audit_head h = {0};
    int r = scope_stmt(s, "SELECT seq, head FROM audit_head WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW) {
        h.seq = (uint64_t)db_int(st, 0);
        r = db_fixed(st, 1, h.head, sizeof h.head) == 0 ? 0 : CLOUD_DAMAGED;
    } else if (r == 0) {
        r = audit_form_genesis(s->tenant, h.head);
    }
    db_done(st);
    if (r == 0)
        *ret = h;
    return r;
}

static int set_head(const struct scope *s, const struct audit_head *h)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO audit_head(tenant_id, seq, head) VALUES(?1, ?2, ?3)"
                       " ON CONFLICT(tenant_id) DO UPDATE SET seq = excluded.seq, head = excluded.head",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)h->seq);
    db_bind_blob(st, 3, BYTES(h->head, sizeof h->head));
    return db_must(st);
}

int audit_head_before(const struct scope *s, uint64_t from, uint8_t ret_head[CRYPTO_HASH])
{
    struct db_stmt *st;
    uint8_t head[CRYPTO_HASH], leaf[CRYPTO_HASH];
    int r = audit_form_genesis(s->tenant, head);
    if (r == 0)
        r = scope_stmt(s, "SELECT leaf FROM audit WHERE tenant_id = ?1 AND seq < ?2 ORDER BY seq", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)from);
    while ((r = db_step(st)) == DB_ROW && (r = db_fixed(st, 0, leaf, sizeof leaf)) == 0 &&
           (r = audit_form_chain(head, leaf)) == 0)
        ;
    db_done(st);
    if (r == 0)
        memcpy(ret_head, head, sizeof head);
    return r;
}

/* ---- writing ---- */

/* Of a person whose key is no more nobody's: the event says that there was somebody. */
static int make_tag(const struct scope *s, const struct subject *who, uint64_t seq, uint8_t ret_tag[AUDIT_TAG])
{
    struct row_keys keys;
    enum key_kind kind;
    uint8_t salt[AUDIT_SALT];
    int r = keyring_rows(s->ring, who->key, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return crypto_random(ret_tag, AUDIT_TAG);
    if (r == 0)
        r = seal_ref(&keys, block_of(seq), salt);
    crypto_wipe(&keys, sizeof keys);
    return r == 0 ? audit_form_tag(salt, who->id, ret_tag) : r;
}

static int write_envelope(const struct scope *s, uint64_t seq, const struct audit_raw *w, const struct audit_parts *p,
                          struct buf *ret)
{
    uint8_t plain[SEAL_PLAIN_MAX], key[CRYPTO_KEY], n8[8], tag[AUDIT_TAG];
    struct cbor_w c = CBOR_W(plain, sizeof plain);
    struct seal_place at = place(s, seq, n8);
    int r = tenant_seal(s, key);
    cbor_put_array(&c, 4);
    cbor_put_bytes(&c, BYTES(w->id, ID_LEN));
    cbor_put_bytes(&c, p->core);
    cbor_put_array(&c, p->n_whose);
    for (size_t i = 0; i < p->n_whose; i++)
        cbor_put_bytes(&c, BYTES(p->whose[i], AUDIT_TAG));
    cbor_put_array(&c, w->n_details);
    for (size_t i = 0; r == 0 && i < w->n_details; i++) {
        if (w->details[i].personal)
            r = make_tag(s, &w->details[i].of, seq, tag);
        cbor_put_array(&c, 2);
        cbor_put_bytes(&c, BYTES(w->details[i].commitment, CRYPTO_HASH));
        cbor_put_bytes(&c, w->details[i].personal ? BYTES(tag, AUDIT_TAG) : BYTES_NONE);
    }
    if (r == 0)
        r = c.bad ? -ENOBUFS : seal_put(key, &at, BYTES(plain, c.len), ENVELOPE_UNIT, ret);
    crypto_wipe(key, sizeof key);
    crypto_wipe(plain, sizeof plain);
    return r;
}

static int insert(const struct scope *s, uint64_t seq, const uint8_t leaf[CRYPTO_HASH], struct bytes sealed,
                  struct bytes details)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "INSERT INTO audit(tenant_id, seq, leaf, sealed, details) VALUES(?1, ?2, ?3, ?4, ?5)", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)seq);
    db_bind_blob(st, 3, BYTES(leaf, CRYPTO_HASH));
    db_bind_blob(st, 4, sealed);
    db_bind_blob(st, 5, details);
    return db_must(st);
}

static int fill_parts(const struct scope *s, const struct audit_raw *w, uint64_t seq, struct buf *core,
                      struct audit_parts *p)
{
    char time[32];
    int r = buf_add(core, w->core.p, w->core.len);
    if (r == 0)
        r = buf_addf(core, ",\"seq\":%llu,\"time\":\"%s\"}", (unsigned long long)seq, str_time(w->time, time));
    p->core = buf_bytes(core);
    p->n_whose = w->n_subjects;
    for (size_t i = 0; r == 0 && i < w->n_subjects; i++)
        r = make_tag(s, &w->subjects[i], seq, p->whose[i]);
    p->n_details = w->n_details;
    for (size_t i = 0; i < w->n_details; i++)
        memcpy(p->details[i], w->details[i].commitment, CRYPTO_HASH);
    return r;
}

int audit_raw_put(const struct scope *s, const struct audit_raw *w)
{
    struct audit_head h;
    struct audit_parts p;
    uint8_t leaf[CRYPTO_HASH];
    struct buf CLEANUP(buf_done) core, CLEANUP(buf_done) sealed;
    buf_init(&core, AUDIT_CORE_MAX);
    buf_init(&sealed, SEAL_PLAIN_MAX + SEAL_OVERHEAD + ENVELOPE_UNIT);
    int r = audit_head(s, &h);
    if (r != 0)
        return r;
    h.seq++;
    r = fill_parts(s, w, h.seq, &core, &p);
    if (r == 0)
        r = audit_form_leaf(&p, leaf);
    if (r == 0)
        r = audit_form_chain(h.head, leaf);
    if (r == 0)
        r = write_envelope(s, h.seq, w, &p, &sealed);
    if (r == 0)
        r = insert(s, h.seq, leaf, buf_bytes(&sealed), buf_bytes(&w->sealed));
    return r == 0 ? set_head(s, &h) : r;
}

int audit_put(const struct scope *s, const struct audit_event *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < audit_raw_parts(e); i++) {
        struct audit_raw w;
        r = audit_raw_make(s->ring, s->db, s->tenant, e, i, &w);
        if (r != 0)
            break;
        r = audit_raw_put(s, &w);
        audit_raw_done(&w);
    }
    return r;
}

int audit_put_anyway(const struct scope *s, const struct audit_event *e)
{
    int r = audit_put(s, e);
    if (r != CLOUD_DAMAGED)
        return r;
    log_error("audit.lost", "tenant=%s kind=%s error=\"the chain is damaged\" action=\"it is left out of the trail\"",
              s->tenant, e->kind);
    return 0;
}

/* ---- reading: whose tags these are ---- */

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

/* ---- reading: rows ---- */

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

/* Those that do not open any more stay commitments. */
static int open_details(const struct audit_reader *x, const struct scope *s, struct bytes sealed, struct opened *o)
{
    for (size_t i = 0; i < o->row.n_details; i++) {
        const struct slot *e = o->of[i].personal ? find(x, o->of[i].tag) : NULL;
        if (o->of[i].personal && e == NULL)
            continue;
        int r = audit_raw_open(s->ring, s->tenant, o->id, sealed, i, e != NULL ? e->who.key : NULL, &o->texts[i]);
        if (r == KEYRING_ABSENT)
            continue;
        if (r != 0)
            return r;
        struct audit_detail *d = &o->row.details[i];
        d->open = true;
        memcpy(d->salt, o->texts[i].p, AUDIT_SALT);
        d->text = buf_str(&o->texts[i]) + AUDIT_SALT;
    }
    return 0;
}

/* Columns seq, leaf, sealed, details. */
static int open_row(struct audit_reader *x, const struct scope *s, const uint8_t key[CRYPTO_KEY], struct db_stmt *st,
                    struct opened *o)
{
    uint8_t plain[SEAL_PLAIN_MAX], n8[8];
    size_t n = 0;
    int r = db_fixed(st, 1, o->row.leaf, CRYPTO_HASH);
    if (r != 0)
        return r;
    struct seal_place at = place(s, o->row.seq, n8);
    r = seal_get(key, &at, db_blob(st, 2), plain, sizeof plain, &n);
    if (r == 0)
        r = decode(BYTES(plain, n), o);
    crypto_wipe(plain, sizeof plain);
    if (r != 0 || !x->disclose)
        return r > 0 ? -EBADMSG : r;
    if (o->row.n_whose > 0 || o->row.n_details > 0)
        r = learn_block(x, s, block_of(o->row.seq));
    if (r == 0)
        disclose(x, &o->row);
    return r == 0 ? open_details(x, s, db_blob(st, 3), o) : r;
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
    if (r == -EBADMSG) {
        uint8_t n8[8];
        be_put(n8, o->row.seq, sizeof n8);
        scope_damaged(s, "audit", BYTES(n8, sizeof n8), PASSED_OVER);
        r = 0;
    } else if (r == 0) {
        r = fn(arg, &o->row);
    }
    for (size_t i = 0; i < AUDIT_DETAILS; i++)
        buf_wipe(&o->texts[i]);
    free(o);
    return r;
}

int audit_each(struct audit_reader *x, const struct scope *s, uint64_t from, size_t limit, audit_fn *fn, void *arg,
               uint64_t *ret_next)
{
    struct db_stmt *st;
    uint8_t key[CRYPTO_KEY];
    uint64_t next = from;
    int r = tenant_seal(s, key);
    if (r == 0)
        r = scope_stmt(s,
                       "SELECT seq, leaf, sealed, details FROM audit WHERE tenant_id = ?1 AND seq >= ?2 ORDER BY seq"
                       " LIMIT ?3",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)from);
    db_bind_int(st, 3, (int64_t)limit);
    while ((r = db_step(st)) == DB_ROW) {
        next = (uint64_t)db_int(st, 0) + 1;
        if ((r = read_one(x, s, key, st, fn, arg)) != 0)
            break;
    }
    db_done(st);
    crypto_wipe(key, sizeof key);
    *ret_next = next;
    return r;
}

/* ---- by time ---- */

static int take_time(void *arg, const struct audit_row *row)
{
    json_t *core = json_loads(row->core, 0, NULL);
    const char *text = json_string_value(json_object_get(core, "time"));
    int r = text != NULL ? str_untime(text, arg) : -EBADMSG;
    json_decref(core);
    return r;
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
        int64_t at = INT64_MIN; /* a damaged row: as if it were early */
        r = audit_each(x, s, mid, 1, take_time, &at, &next);
        if (r == 0 && at < time)
            low = mid + 1;
        else
            high = mid;
    }
    audit_reader_free(x);
    if (r == 0)
        *ret_seq = low;
    return r;
}
