/* Requests of data subjects; see dsr.h. */
#include "cloud/dsr.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "cloud/sealed.h"

/* Both texts at their longest; the two halves of a seal unit, which is at most 1022. */
#define DSR_UNIT 544
#define DSR_PLAIN 1088

static const char *const kinds[] = {
    [DSR_ERASURE] = "erasure", [DSR_RESTRICTION] = "restriction", [DSR_RECTIFICATION] = "rectification"};
static const char *const states[] = {[DSR_OPEN] = "open", [DSR_GRANTED] = "granted", [DSR_REFUSED] = "refused"};

const char *dsr_kind_name(enum dsr_kind k)
{
    return kinds[k];
}

const char *dsr_state_name(enum dsr_state s)
{
    return states[s];
}

bool dsr_state_parse(const char *name, enum dsr_state *ret_state)
{
    for (size_t i = 1; i < ARRAY_LEN(states); i++) {
        if (strcmp(states[i], name) == 0) {
            *ret_state = (enum dsr_state)i;
            return true;
        }
    }
    return false;
}

/* ---- rows ---- */

/* A text of its full length, so that nobody sees by a row's size whether it has been answered. */
static int put(const struct scope *s, const struct dsr *d)
{
    uint8_t mem[DSR_PLAIN] = {0};
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf sealed;
    struct db_stmt *st;
    cbor_put_array(&w, 8);
    cbor_put_uint(&w, 1);
    cbor_put_uint(&w, d->kind);
    cbor_put_uint(&w, d->state);
    cbor_put_int(&w, d->requested);
    cbor_put_text(&w, d->text);
    cbor_put_bytes(&w, BYTES(d->decider, ID_LEN));
    cbor_put_int(&w, d->decided);
    cbor_put_text(&w, d->answer);
    w.bad = w.bad || w.len > DSR_PLAIN - 2;
    w.len = w.bad ? w.len : DSR_PLAIN - 2; /* zeros behind it: always two units */
    buf_init(&sealed, 2048);
    int r = sealed_put(s, "dsr", d->id, d->key, &w, DSR_UNIT, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO dsr(tenant_id, id, key_id, sealed) VALUES(?1, ?2, ?3, ?4)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET sealed = excluded.sealed",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(d->id, ID_LEN));
        db_bind_blob(st, 3, BYTES(d->key, ID_LEN));
        db_bind_blob(st, 4, buf_bytes(&sealed));
        r = db_must(st);
    }
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

static void get_text(struct cbor_r *r, char ret[DSR_TEXT_MAX_LEN + 1])
{
    struct bytes text = cbor_get_text(r, 0, DSR_TEXT_MAX_LEN);
    if (text.n > 0)
        memcpy(ret, text.p, text.n);
}

static bool decode(struct bytes plain, struct dsr *d)
{
    struct cbor_r r = cbor_reader(plain);
    cbor_get_array(&r, 8, 8);
    cbor_get_uint(&r, 1);
    uint64_t kind = cbor_get_uint(&r, DSR_RECTIFICATION), state = cbor_get_uint(&r, DSR_REFUSED);
    d->requested = cbor_get_int(&r);
    get_text(&r, d->text);
    cbor_get_fixed(&r, d->decider, ID_LEN);
    d->decided = cbor_get_int(&r);
    get_text(&r, d->answer);
    if (r.bad || kind == 0 || state == 0)
        return false;
    d->kind = (enum dsr_kind)kind;
    d->state = (enum dsr_state)state;
    return true;
}

#define SELECT "SELECT id, key_id, sealed FROM dsr WHERE tenant_id = ?1 AND "

static int from_row(const struct scope *s, struct db_stmt *st, struct dsr *ret)
{
    struct dsr d = {0};
    uint8_t plain[DSR_PLAIN];
    size_t n = 0;
    if (db_fixed(st, 0, d.id, ID_LEN) != 0 || db_fixed(st, 1, d.key, ID_LEN) != 0) {
        scope_damaged(s, "dsr", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    int r = sealed_get(s, "dsr", d.id, d.key, db_blob(st, 2), plain, sizeof plain, &n);
    if (r == 0 && !decode(BYTES(plain, n), &d))
        r = CLOUD_DAMAGED;
    crypto_wipe(plain, sizeof plain);
    d.damaged = r == CLOUD_DAMAGED;
    if (d.damaged)
        scope_damaged(s, "dsr", BYTES(d.id, ID_LEN), SHOWN_DAMAGED);
    if (r == 0 || d.damaged)
        *ret = d;
    return r;
}

static int find(const struct scope *s, const uint8_t id[ID_LEN], struct dsr *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, SELECT "id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int dsr_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct dsr *ret_dsr)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : find(&s, id, ret_dsr);
}

struct listing {
    const struct scope *s;
    dsr_fits *fits;
    void *arg;
};

static int listed(struct db_stmt *st, void *arg, void *item)
{
    const struct listing *l = arg;
    int r = from_row(l->s, st, item);
    if (r == CLOUD_DAMAGED)
        r = 0;
    return r == 0 && l->fits != NULL && !l->fits(l->arg, item) ? CLOUD_ABSENT : r;
}

int dsr_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *key, const uint8_t *after, size_t limit,
             dsr_fits *fits, void *arg, struct dsr_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    struct listing what = {.s = &s, .fits = fits, .arg = arg};
    int r = scope_init(c, db, tenant, &s);
    if (r == 0 && key != NULL)
        r = scope_stmt(&s, SELECT "key_id = ?3 AND id > ?2 ORDER BY id", &st);
    else if (r == 0)
        r = scope_stmt(&s, SELECT "id > ?2 ORDER BY id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        if (key != NULL)
            db_bind_blob(st, 3, BYTES(key, ID_LEN));
        r = rows_collect(st, limit, sizeof(struct dsr), listed, &what, &l);
    }
    if (r == 0)
        *ret_list = (struct dsr_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void dsr_list_done(struct dsr_list *l)
{
    if (l->items != NULL)
        crypto_wipe(l->items, l->n * sizeof *l->items);
    free(l->items);
    *l = (struct dsr_list){0};
}

/* ---- asking and answering ---- */

/* Lines may be broken. */
static bool text_valid(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\n') || s[i] == 0x7f)
            return false;
    return n <= DSR_TEXT_MAX_LEN;
}

static bool is_open(void *arg, const struct dsr *d)
{
    const enum dsr_kind *kind = arg;
    return !d->damaged && d->kind == *kind && d->state == DSR_OPEN;
}

static int make(const struct scope *s, const uint8_t person[ID_LEN], struct dsr *d)
{
    struct person p;
    struct dsr_list open = {0};
    int r = people_find(s, person, &p);
    if (r != 0 && r != CLOUD_DAMAGED)
        return r;
    memcpy(d->key, p.key, ID_LEN);
    r = dsr_list(s->c, s->db, s->tenant, p.key, NULL, 1, is_open, &d->kind, &open);
    if (r == 0 && open.n > 0)
        r = CLOUD_CONFLICT;
    dsr_list_done(&open);
    if (r == 0)
        r = crypto_random(d->id, ID_LEN);
    return r != 0 ? r : put(s, d);
}

int dsr_make(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN], enum dsr_kind kind,
             const char *text, struct dsr *ret_dsr)
{
    struct scope s;
    struct dsr d = {.kind = kind, .state = DSR_OPEN, .requested = clock_real()};
    if (text != NULL && (!text_valid(text) || str_copy(d.text, sizeof d.text, text) != 0))
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, make(&s, person, &d));
    if (r == 0)
        *ret_dsr = d;
    return r;
}

int dsr_decide(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool granted,
               const uint8_t account[ID_LEN], const char *answer, struct dsr *ret_dsr)
{
    struct scope s;
    struct dsr d;
    if (answer[0] == '\0' || !text_valid(answer))
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = find(&s, id, &d);
    if (r == 0 && d.state != DSR_OPEN)
        r = CLOUD_CONFLICT;
    if (r == 0) {
        d.state = granted ? DSR_GRANTED : DSR_REFUSED;
        d.decided = clock_real();
        memcpy(d.decider, account, ID_LEN);
        str_copy(d.answer, sizeof d.answer, answer);
        r = put(&s, &d);
    }
    r = cloud_end(c, db, r);
    if (r == 0)
        *ret_dsr = d;
    return r;
}
