/* Corrections; see correction.h. */
#include "cloud/correction.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/filed.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"
#include "cloud/sealed.h"
#include "cloud/site.h"

#define REQUEST_UNIT 640 /* the longest: reason and some numbers */
#define DECISION_UNIT 576
#define INDEX_OF "correction"

static const char *const kinds[] = {
    [CORRECTION_ADD] = "add", [CORRECTION_CHANGE] = "change", [CORRECTION_VOID] = "void"};
static const char *const states[] = {
    [CORRECTION_REQUESTED] = "requested", [CORRECTION_APPROVED] = "approved", [CORRECTION_REJECTED] = "rejected"};

const char *correction_kind_name(enum correction_kind k)
{
    return kinds[k];
}

bool correction_kind_parse(const char *name, enum correction_kind *ret_kind)
{
    for (size_t i = 1; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i], name) == 0) {
            *ret_kind = (enum correction_kind)i;
            return true;
        }
    }
    return false;
}

const char *correction_state_name(enum correction_state s)
{
    return states[s];
}

bool correction_state_parse(const char *name, enum correction_state *ret_state)
{
    for (size_t i = 1; i < ARRAY_LEN(states); i++) {
        if (strcmp(states[i], name) == 0) {
            *ret_state = (enum correction_state)i;
            return true;
        }
    }
    return false;
}

/* ---- rows ---- */

static int insert_request(const struct scope *s, const struct correction *c, const uint8_t *pidx, struct bytes sealed)
{
    struct db_stmt *st;
    int r =
        scope_stmt(s, "INSERT INTO correction(tenant_id, id, key_id, pidx, sealed) VALUES(?1, ?2, ?3, ?4, ?5)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(c->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(c->key, ID_LEN));
    if (pidx != NULL)
        db_bind_blob(st, 4, BYTES(pidx, 16));
    db_bind_blob(st, 5, sealed);
    return db_must(st);
}

static int put_request(const struct scope *s, const struct correction *c)
{
    uint8_t mem[REQUEST_UNIT], pidx[16];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf sealed;
    bool of_punch = c->kind != CORRECTION_ADD;
    cbor_put_array(&w, 14);
    cbor_put_uint(&w, 1);
    cbor_put_uint(&w, c->kind);
    cbor_put_bytes(&w, of_punch ? BYTES(c->segid, SEGID_LEN) : BYTES_NONE);
    cbor_put_uint(&w, c->index);
    cbor_put_int(&w, c->was_time);
    cbor_put_uint(&w, c->was_dir);
    cbor_put_bool(&w, c->has_time);
    cbor_put_int(&w, c->time);
    cbor_put_bool(&w, c->has_dir);
    cbor_put_uint(&w, c->dir);
    cbor_put_text(&w, c->reason);
    cbor_put_bytes(&w, BYTES(c->by, ID_LEN));
    cbor_put_int(&w, c->requested);
    cbor_put_bytes(&w, c->has_site ? BYTES(c->site, ID_LEN) : BYTES_NONE);
    buf_init(&sealed, 1024);
    int r = sealed_put(s, "correction", c->id, c->key, &w, REQUEST_UNIT, &sealed);
    if (r == 0 && of_punch)
        r = sealed_punch_index(s, c->key, INDEX_OF, c->segid, c->index, pidx);
    if (r == 0)
        r = insert_request(s, c, of_punch ? pidx : NULL, buf_bytes(&sealed));
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r;
}

static void get_reason(struct cbor_r *r, char ret[REASON_MAX_LEN + 1])
{
    struct bytes text = cbor_get_text(r, 0, REASON_MAX_LEN);
    if (text.n > 0)
        memcpy(ret, text.p, text.n);
}

static bool decode_request(struct bytes plain, struct correction *c)
{
    struct cbor_r r = cbor_reader(plain);
    cbor_get_array(&r, 14, 14);
    cbor_get_uint(&r, 1);
    uint64_t kind = cbor_get_uint(&r, CORRECTION_VOID);
    struct bytes segid = cbor_get_bytes(&r, 0, SEGID_LEN);
    c->index = cbor_get_uint(&r, UINT64_MAX);
    c->was_time = cbor_get_int(&r);
    c->was_dir = (uint8_t)cbor_get_uint(&r, UINT8_MAX);
    c->has_time = cbor_get_bool(&r);
    c->time = cbor_get_int(&r);
    c->has_dir = cbor_get_bool(&r);
    c->dir = (uint8_t)cbor_get_uint(&r, UINT8_MAX);
    get_reason(&r, c->reason);
    cbor_get_fixed(&r, c->by, ID_LEN);
    c->requested = cbor_get_int(&r);
    struct bytes site = cbor_get_bytes(&r, 0, ID_LEN);
    c->has_site = site.n == ID_LEN;
    if (c->has_site)
        memcpy(c->site, site.p, ID_LEN);
    if (segid.n == SEGID_LEN)
        memcpy(c->segid, segid.p, SEGID_LEN);
    c->kind = kind == 0 ? CORRECTION_ADD : (enum correction_kind)kind;
    c->state = CORRECTION_REQUESTED;
    return cbor_done(&r) && kind != 0 && (segid.n == SEGID_LEN) == (kind != CORRECTION_ADD);
}

static int put_decision(const struct scope *s, const struct correction *c)
{
    uint8_t mem[DECISION_UNIT];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct buf sealed;
    struct db_stmt *st;
    cbor_put_array(&w, 5);
    cbor_put_uint(&w, 1);
    cbor_put_uint(&w, c->state);
    cbor_put_bytes(&w, BYTES(c->decider, ID_LEN));
    cbor_put_int(&w, c->decided);
    cbor_put_text(&w, c->answer);
    buf_init(&sealed, 1024);
    int r = sealed_put(s, "correction_decision", c->id, c->key, &w, DECISION_UNIT, &sealed);
    if (r == 0)
        r = scope_stmt(s, "INSERT INTO correction_decision(tenant_id, id, key_id, sealed) VALUES(?1, ?2, ?3, ?4)", &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(c->id, ID_LEN));
        db_bind_blob(st, 3, BYTES(c->key, ID_LEN));
        db_bind_blob(st, 4, buf_bytes(&sealed));
        r = db_run(st);
    }
    buf_done(&sealed);
    crypto_wipe(mem, sizeof mem);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

static bool decode_decision(struct bytes plain, struct correction *c)
{
    struct cbor_r r = cbor_reader(plain);
    cbor_get_array(&r, 5, 5);
    cbor_get_uint(&r, 1);
    uint64_t state = cbor_get_uint(&r, CORRECTION_REJECTED);
    cbor_get_fixed(&r, c->decider, ID_LEN);
    c->decided = cbor_get_int(&r);
    get_reason(&r, c->answer);
    if (!cbor_done(&r) || state < CORRECTION_APPROVED)
        return false;
    c->state = (enum correction_state)state;
    return true;
}

#define SELECT                                                                                    \
    "SELECT c.id, c.key_id, c.sealed, d.sealed FROM correction c LEFT JOIN correction_decision d" \
    " ON d.tenant_id = c.tenant_id AND d.id = c.id WHERE c.tenant_id = ?1 AND "

/* CLOUD_ABSENT: its key is gone, or cannot even be named. */
static int from_row(const struct scope *s, struct db_stmt *st, struct correction *ret)
{
    struct correction c = {0};
    uint8_t plain[REQUEST_UNIT];
    size_t n = 0;
    bool sound = true;
    if (db_fixed(st, 0, c.id, ID_LEN) != 0 || db_fixed(st, 1, c.key, ID_LEN) != 0) {
        scope_damaged(s, "correction", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    int r = sealed_get(s, "correction", c.id, c.key, db_blob(st, 2), plain, sizeof plain, &n);
    if (r == 0)
        sound = decode_request(BYTES(plain, n), &c);
    if (r == 0 && sound && !db_null(st, 3)) {
        r = sealed_get(s, "correction_decision", c.id, c.key, db_blob(st, 3), plain, sizeof plain, &n);
        sound = r == 0 && decode_decision(BYTES(plain, n), &c);
    }
    crypto_wipe(plain, sizeof plain);
    if (r == CLOUD_DAMAGED || (r == 0 && !sound)) {
        scope_damaged(s, "correction", BYTES(c.id, ID_LEN), SHOWN_DAMAGED);
        c.damaged = true;
        r = CLOUD_DAMAGED;
    }
    if (r == 0 || r == CLOUD_DAMAGED)
        *ret = c;
    return r;
}

int correction_find(const struct scope *s, const uint8_t id[ID_LEN], struct correction *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, SELECT "c.id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int correction_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct correction *ret_correction)
{
    struct scope s;
    int r = scope_init(c, db, tenant, &s);
    return r != 0 ? r : correction_find(&s, id, ret_correction);
}

int correction_any(const struct scope *s, bool *ret_any)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT 1 FROM correction WHERE tenant_id = ?1 LIMIT 1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    *ret_any = r == DB_ROW;
    db_done(st);
    return r < 0 ? r : 0;
}

int correction_of(const struct scope *s, const uint8_t key_id[ID_LEN], const uint8_t segid[SEGID_LEN], uint64_t index,
                  struct correction *ret)
{
    struct db_stmt *st;
    struct correction c;
    uint8_t pidx[16];
    bool found = false;
    int r = sealed_punch_index(s, key_id, INDEX_OF, segid, index, pidx);
    if (r == 0)
        r = scope_stmt(s, SELECT "c.pidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(pidx, sizeof pidx));
    while ((r = db_step(st)) == DB_ROW) {
        r = from_row(s, st, &c);
        if (r == 0 && c.state == CORRECTION_APPROVED && (!found || c.decided >= ret->decided)) {
            *ret = c;
            found = true;
        }
        if (r < 0)
            break;
    }
    db_done(st);
    return r < 0 ? r : found ? 0 : CLOUD_ABSENT;
}

/* ---- punches that were forgotten ---- */

static bool is_added(const struct correction *c)
{
    return c->kind == CORRECTION_ADD && c->state == CORRECTION_APPROVED;
}

static void filed_of(const struct correction *c, struct filed *ret)
{
    _Static_assert(SEGID_LEN == ID_LEN, "an id stands where a segment's does");
    *ret = (struct filed){
        .flags = FILED_ADDED, .time = c->time, .received = c->decided, .has_site = c->has_site, .stored = true};
    memcpy(ret->segid, c->id, ID_LEN);
    memcpy(ret->site, c->site, ID_LEN);
    ret->rec.punch.dir = c->has_dir ? c->dir : DIR_UNKNOWN;
}

int correction_each_added(const struct scope *s, const uint8_t *key_id, filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    struct correction c;
    struct filed f;
    int r = scope_stmt(s, SELECT "c.pidx IS NULL AND d.id IS NOT NULL AND (?2 IS NULL OR c.key_id = ?2)", &st);
    if (r != 0)
        return r;
    if (key_id != NULL)
        db_bind_blob(st, 2, BYTES(key_id, ID_LEN));
    while ((r = db_step(st)) == DB_ROW) {
        r = from_row(s, st, &c);
        if (r == 0 && is_added(&c)) {
            filed_of(&c, &f);
            r = fn(arg, c.key, KEY_PERSON, &f);
        }
        if (r != 0 && r != CLOUD_ABSENT && r != CLOUD_DAMAGED)
            break;
    }
    db_done(st);
    crypto_wipe(&c, sizeof c);
    return r;
}

int correction_added(const struct scope *s, const uint8_t id[ID_LEN], struct filed *ret_filed)
{
    struct correction c;
    int r = correction_find(s, id, &c);
    if (r == 0 && !is_added(&c))
        r = CLOUD_ABSENT;
    if (r == 0)
        filed_of(&c, ret_filed);
    crypto_wipe(&c, sizeof c);
    return r;
}

/* ---- punches that were at another time ---- */

/* The day of a punch is known to who has its row alone, so each is asked: a lookup by the whole key. fn's result other
 * than 0 ends it, and is returned. */
static int at_punch(const struct scope *s, const struct correction *c, filed_fn *fn, void *arg)
{
    struct row_keys keys;
    enum key_kind kind;
    uint8_t pid[PID_LEN];
    int r = keyring_rows(s->ring, c->key, &kind, &keys);
    if (r == 0)
        r = seal_pid(&keys, c->segid, c->index, pid);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        r = filed_at(s, c->key, true, 0, pid, fn, arg);
    int64_t last = day_of(clock_real()) + 2;
    for (int64_t day = last; r == 0 && day >= day_of(s->created) - 1; day--)
        r = filed_at(s, c->key, false, day, pid, fn, arg);
    return r;
}

/* Where several were approved, the last one says when it was. */
static int says_the_last(const struct scope *s, const struct correction *c, bool *ret)
{
    struct correction last;
    int r = correction_of(s, c->key, c->segid, c->index, &last);
    *ret = r == 0 && memcmp(last.id, c->id, ID_LEN) == 0;
    return r < 0 ? r : 0;
}

int correction_each_moved(const struct scope *s, int64_t from, int64_t to, filed_fn *fn, void *arg)
{
    struct db_stmt *st;
    struct correction c;
    bool counts = false;
    int r = scope_stmt(s, SELECT "c.pidx IS NOT NULL AND d.id IS NOT NULL", &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        r = from_row(s, st, &c);
        if (r == 0 && c.state == CORRECTION_APPROVED && c.has_time && c.time >= from && c.time < to)
            r = says_the_last(s, &c, &counts);
        if (r == 0 && counts)
            r = at_punch(s, &c, fn, arg);
        counts = false;
        if (r < 0)
            break;
    }
    db_done(st);
    crypto_wipe(&c, sizeof c);
    return r < 0 ? r : 0;
}

/* ---- lists ---- */

struct listing {
    const struct scope *s;
    correction_fits *fits;
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

int correction_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *key, const uint8_t *after,
                    size_t limit, correction_fits *fits, void *arg, struct correction_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    struct listing what = {.s = &s, .fits = fits, .arg = arg};
    int r = scope_init(c, db, tenant, &s);
    if (r == 0 && key != NULL)
        r = scope_stmt(&s, SELECT "c.key_id = ?3 AND c.id > ?2 ORDER BY c.id", &st);
    else if (r == 0)
        r = scope_stmt(&s, SELECT "c.id > ?2 ORDER BY c.id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
        if (key != NULL)
            db_bind_blob(st, 3, BYTES(key, ID_LEN));
        r = rows_collect(st, limit, sizeof(struct correction), listed, &what, &l);
    }
    if (r == 0)
        *ret_list = (struct correction_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void correction_list_done(struct correction_list *l)
{
    if (l->items != NULL)
        crypto_wipe(l->items, l->n * sizeof *l->items);
    free(l->items);
    *l = (struct correction_list){0};
}

/* ---- asking and deciding ---- */

static bool reason_valid(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return n > 0 && n <= REASON_MAX_LEN;
}

static bool request_valid(const struct correction *c)
{
    if (c->has_site && c->kind != CORRECTION_ADD)
        return false;
    switch (c->kind) {
    case CORRECTION_ADD:
        return c->has_time && reason_valid(c->reason);
    case CORRECTION_CHANGE:
        return (c->has_time || c->has_dir) && reason_valid(c->reason);
    case CORRECTION_VOID:
        return !c->has_time && !c->has_dir && reason_valid(c->reason);
    }
    return false;
}

enum { FOUND = 64 };

static int note_punch(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct correction *c = arg;
    c->was_time = filed_when(f);
    c->was_dir = f->rec.punch.dir;
    return FOUND;
}

static int find_punch(const struct scope *s, struct correction *c)
{
    int r = at_punch(s, c, note_punch, c);
    return r == FOUND ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

/* One that was forgotten, and is now there by a correction. */
static int find_added(const struct scope *s, struct correction *c)
{
    struct correction added;
    struct filed f;
    int r = c->index == 0 ? correction_find(s, c->segid, &added) : CLOUD_ABSENT;
    if (r == CLOUD_DAMAGED || (r == 0 && (!is_added(&added) || memcmp(added.key, c->key, ID_LEN) != 0)))
        r = CLOUD_ABSENT;
    if (r == 0) {
        filed_of(&added, &f);
        note_punch(c, c->key, KEY_PERSON, &f);
    }
    return r;
}

static int site_known(const struct scope *s, const uint8_t id[ID_LEN])
{
    struct site site;
    int r = site_get(s->c, s->db, s->tenant, id, &site);
    return r == CLOUD_ABSENT ? CLOUD_INVALID : r == CLOUD_DAMAGED ? 0 : r;
}

static int request(const struct scope *s, const uint8_t person[ID_LEN], struct correction *c)
{
    struct person p;
    int r = people_find(s, person, &p);
    if (r != 0)
        return r;
    memcpy(c->key, p.key, ID_LEN);
    if (c->kind != CORRECTION_ADD && (r = find_punch(s, c)) == CLOUD_ABSENT)
        r = find_added(s, c);
    if (r == 0 && c->has_site)
        r = site_known(s, c->site);
    if (r == 0)
        r = crypto_random(c->id, ID_LEN);
    c->requested = clock_real();
    c->state = CORRECTION_REQUESTED;
    if (r == 0)
        r = put_request(s, c);
    return r == 0 ? changes_correction(s, c->key, c->id) : r;
}

int correction_request(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                       struct correction *correction)
{
    struct scope s;
    if (!request_valid(correction))
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    return cloud_end(c, db, request(&s, person, correction));
}

static int decide(const struct scope *s, const uint8_t id[ID_LEN], struct correction *c, const struct correction *said)
{
    int r = correction_find(s, id, c);
    if (r != 0)
        return r;
    if (c->state != CORRECTION_REQUESTED)
        return CLOUD_CONFLICT;
    c->state = said->state;
    c->decided = clock_real();
    memcpy(c->decider, said->decider, ID_LEN);
    memcpy(c->answer, said->answer, sizeof c->answer);
    r = put_decision(s, c);
    if (r == 0)
        r = changes_correction(s, c->key, c->id);
    return r == 0 && is_added(c) ? changes_added(s, c->key, c->id) : r;
}

int correction_decide(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool approved,
                      const uint8_t account[ID_LEN], const char *reason, struct correction *ret_correction)
{
    struct scope s;
    struct correction found, said = {.state = approved ? CORRECTION_APPROVED : CORRECTION_REJECTED};
    if (!reason_valid(reason))
        return CLOUD_INVALID;
    memcpy(said.decider, account, ID_LEN);
    str_copy(said.answer, sizeof said.answer, reason);
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, decide(&s, id, &found, &said));
    if (r == 0)
        *ret_correction = found;
    return r;
}
