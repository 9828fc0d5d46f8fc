/* Support requests and break-glass: the rows and what may become of them; see support.h. */
#include "cloud/support.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"
#include "wire/cbor.h"

#define TEXTS_UNIT 512
#define TEXTS_MAX (SUPPORT_TICKET_MAX + 2 * SUPPORT_REASON_MAX + SUPPORT_FINDINGS_MAX + 32)
#define HOUR_US (INT64_C(3600) * 1000000)
#define MINUTE_US (INT64_C(60) * 1000000)

static const uint8_t nobody[ID_LEN];

const char *support_kind_name(enum support_kind k)
{
    return k == SUPPORT_BREAK_GLASS ? "break-glass" : "support-request";
}

const char *support_state_name(enum support_state s)
{
    static const char *const names[SUPPORT_STATES] = {
        [SUPPORT_REQUESTED] = "requested", [SUPPORT_ACTIVE] = "active",       [SUPPORT_ENDED] = "ended",
        [SUPPORT_DENIED] = "denied",       [SUPPORT_WITHDRAWN] = "withdrawn", [SUPPORT_LAPSED] = "lapsed"};
    return names[s];
}

const char *support_end_name(enum support_end e)
{
    static const char *const names[SUPPORT_ENDS] = {[SUPPORT_END_NONE] = "",
                                                    [SUPPORT_END_TIME] = "time",
                                                    [SUPPORT_END_TENANT] = "tenant",
                                                    [SUPPORT_END_VENDOR] = "vendor",
                                                    [SUPPORT_END_CLOCK] = "clock"};
    return names[e];
}

const char *support_category_name(enum support_category c)
{
    return c == SUPPORT_SECURITY ? "security" : c == SUPPORT_AVAILABILITY ? "availability" : "";
}

bool support_category_find(const char *name, enum support_category *ret)
{
    for (enum support_category c = SUPPORT_SECURITY; c <= SUPPORT_AVAILABILITY; c++) {
        if (strcmp(name, support_category_name(c)) != 0)
            continue;
        *ret = c;
        return true;
    }
    return false;
}

static int64_t waits_until(const struct support *p)
{
    return p->created + (p->kind == SUPPORT_BREAK_GLASS ? SUPPORT_SECOND_US : SUPPORT_WAITS_US);
}

/* A clock that shows a time before the row came to be, by more than a correction, tells nothing: nobody is let in by
 * it. */
enum support_state support_state_at(const struct support *p, int64_t now)
{
    if (p->state == SUPPORT_REQUESTED && (now < p->created - CLOCK_BACK_US || now >= waits_until(p)))
        return SUPPORT_LAPSED;
    if (p->state == SUPPORT_ACTIVE && (now < p->starts - CLOCK_BACK_US || now >= p->ends))
        return SUPPORT_ENDED;
    return p->state;
}

/* ---- rows ---- */

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "support", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static int seal_texts(const struct scope *s, const struct support *p, struct buf *ret)
{
    uint8_t mem[TEXTS_MAX];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    struct seal_place at = place(s, p->id);
    cbor_put_array(&w, 5);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, p->ticket);
    cbor_put_text(&w, p->reason);
    cbor_put_text(&w, p->decision);
    cbor_put_text(&w, p->findings);
    int r = w.bad ? -EINVAL : keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), TEXTS_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    crypto_wipe(mem, sizeof mem);
    return r > 0 ? -EBADMSG : r;
}

static void copy_text(char *ret, struct bytes text)
{
    if (text.n > 0)
        memcpy(ret, text.p, text.n);
}

static int open_texts(const struct scope *s, struct bytes sealed, struct support *p)
{
    uint8_t plain[TEXTS_MAX];
    size_t n = 0;
    struct row_keys keys;
    struct seal_place at = place(s, p->id);
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r != 0)
        return r > 0 ? -EBADMSG : r;
    r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    struct cbor_r c = cbor_reader(BYTES(plain, r == 0 ? n : 0));
    cbor_get_array(&c, 5, 5);
    cbor_get_uint(&c, 1);
    struct bytes ticket = cbor_get_text(&c, 0, SUPPORT_TICKET_MAX), reason = cbor_get_text(&c, 0, SUPPORT_REASON_MAX);
    struct bytes decision = cbor_get_text(&c, 0, SUPPORT_REASON_MAX),
                 findings = cbor_get_text(&c, 0, SUPPORT_FINDINGS_MAX);
    if (r == SEAL_BAD || (r == 0 && !cbor_done(&c))) {
        scope_damaged(s, "support", BYTES(p->id, ID_LEN), SHOWN_DAMAGED);
        p->damaged = true;
        r = 0;
    } else if (r == 0) {
        copy_text(p->ticket, ticket);
        copy_text(p->reason, reason);
        copy_text(p->decision, decision);
        copy_text(p->findings, findings);
    }
    crypto_wipe(plain, sizeof plain);
    return r;
}

#define COLUMNS                                                                                                      \
    "id, kind, state, ending, category, account, second_id, reviewer, decider, asked, perms, reach, reach_id, span," \
    " created, starts, ends, ended, reviewed, told, sealed"
#define SELECT "SELECT " COLUMNS ", tenant_id FROM support "

static bool within(int64_t v, int64_t min, int64_t max)
{
    return v >= min && v <= max;
}

/* arg: the scope; the vendor's lists what is the customers'. */
static int from_row(struct db_stmt *st, void *arg, void *item)
{
    const struct scope *s = arg;
    struct support *p = item;
    struct scope theirs;
    int64_t kind = db_int(st, 1), state = db_int(st, 2), end = db_int(st, 3), category = db_int(st, 4),
            reach = db_int(st, 11);
    if (!within(kind, SUPPORT_REQUEST, SUPPORT_BREAK_GLASS) || !within(state, SUPPORT_REQUESTED, SUPPORT_LAPSED) ||
        !within(end, SUPPORT_END_NONE, SUPPORT_END_CLOCK) || !within(category, 0, SUPPORT_AVAILABILITY) ||
        !within(reach, REACH_TENANT, REACH_PERSON) || db_fixed(st, 0, p->id, ID_LEN) != 0 ||
        db_fixed(st, 5, p->account, ID_LEN) != 0 || db_fixed(st, 6, p->second, ID_LEN) != 0 ||
        db_fixed(st, 7, p->reviewer, ID_LEN) != 0 || db_fixed(st, 8, p->decider, ID_LEN) != 0 ||
        db_fixed(st, 12, p->reach_id, ID_LEN) != 0) {
        scope_damaged(s, "support", db_blob(st, 0), PASSED_OVER);
        return CLOUD_ABSENT;
    }
    p->kind = (enum support_kind)kind;
    p->state = (enum support_state)state;
    p->end = (enum support_end)end;
    p->category = (enum support_category)category;
    p->asked = (uint64_t)db_int(st, 9);
    p->perms = (uint64_t)db_int(st, 10);
    p->reach = (enum reach_kind)reach;
    p->length = db_int(st, 13);
    p->created = db_int(st, 14);
    p->starts = db_int(st, 15);
    p->ends = db_int(st, 16);
    p->ended = db_int(st, 17);
    p->reviewed = db_int(st, 18);
    p->told = db_int(st, 19) != 0;
    int r = str_copy(p->tenant, sizeof p->tenant, db_text(st, 21));
    if (r == 0 && strcmp(p->tenant, s->tenant) != 0) {
        r = scope_init(s->c, s->db, p->tenant, &theirs);
        s = &theirs;
    }
    return r != 0 ? r : open_texts(s, db_blob(st, 20), p);
}

/* Inserts or replaces by id; who asked, for what and where it reaches never changes. */
static int put(const struct scope *s, const struct support *p)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, SEAL_PLAIN_MAX + SEAL_OVERHEAD + TEXTS_UNIT);
    int r = seal_texts(s, p, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO support(tenant_id, " COLUMNS
                       ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
                       " ?19, ?20, ?21, ?22) ON CONFLICT(tenant_id, id) DO UPDATE SET state = excluded.state,"
                       " ending = excluded.ending, second_id = excluded.second_id, reviewer = excluded.reviewer,"
                       " decider = excluded.decider, perms = excluded.perms, span = excluded.span,"
                       " starts = excluded.starts, ends = excluded.ends, ended = excluded.ended,"
                       " reviewed = excluded.reviewed, told = excluded.told, sealed = excluded.sealed",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(p->id, ID_LEN));
    db_bind_int(st, 3, p->kind);
    db_bind_int(st, 4, p->state);
    db_bind_int(st, 5, p->end);
    db_bind_int(st, 6, p->category);
    db_bind_blob(st, 7, BYTES(p->account, ID_LEN));
    db_bind_blob(st, 8, BYTES(p->second, ID_LEN));
    db_bind_blob(st, 9, BYTES(p->reviewer, ID_LEN));
    db_bind_blob(st, 10, BYTES(p->decider, ID_LEN));
    db_bind_int(st, 11, (int64_t)p->asked);
    db_bind_int(st, 12, (int64_t)p->perms);
    db_bind_int(st, 13, p->reach);
    db_bind_blob(st, 14, BYTES(p->reach_id, ID_LEN));
    db_bind_int(st, 15, p->length);
    db_bind_int(st, 16, p->created);
    db_bind_int(st, 17, p->starts);
    db_bind_int(st, 18, p->ends);
    db_bind_int(st, 19, p->ended);
    db_bind_int(st, 20, p->reviewed);
    db_bind_int(st, 21, p->told);
    db_bind_blob(st, 22, buf_bytes(&sealed));
    return db_must(st);
}

static void *borrowed(const struct scope *s)
{
    return (void *)(uintptr_t)s; /* from_row() only reads it */
}

int support_get(const struct scope *s, const uint8_t id[ID_LEN], struct support *ret)
{
    struct db_stmt *st;
    struct support p = {0};
    int r = scope_stmt(s, SELECT "WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(st, borrowed(s), &p) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    if (r == 0)
        *ret = p;
    return r;
}

int support_locate(struct db *db, const uint8_t id[ID_LEN], char ret_tenant[TENANT_MAX + 1])
{
    return tenant_whose(db, "SELECT tenant_id FROM support WHERE id = ?1", BYTES(id, ID_LEN), ret_tenant);
}

int support_list(const struct scope *s, enum support_kind kind, const uint8_t *account, const uint8_t *after,
                 size_t limit, struct support_list *ret_list)
{
    struct db_stmt *st;
    struct rows l;
    int r =
        tenant_is_customer(s->tenant)
            ? scope_stmt(s,
                         SELECT
                         "WHERE tenant_id = ?1 AND kind = ?2 AND id > ?3 AND (?4 IS NULL OR account = ?4) ORDER BY id",
                         &st)
            : scope_stmt(s,
                         SELECT
                         "WHERE ?1 <> tenant_id AND kind = ?2 AND id > ?3 AND (?4 IS NULL OR account = ?4) ORDER BY id",
                         &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, kind);
    db_bind_blob(st, 3, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
    if (account != NULL)
        db_bind_blob(st, 4, BYTES(account, ID_LEN));
    else
        db_bind_text(st, 4, NULL);
    r = rows_collect(st, limit, sizeof(struct support), from_row, borrowed(s), &l);
    if (r == 0)
        *ret_list = (struct support_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void support_list_done(struct support_list *l)
{
    free(l->items);
    *l = (struct support_list){0};
}

/* ---- asking ---- */

static bool text_valid(const char *text, size_t max)
{
    size_t n = strlen(text);
    return n >= 1 && n <= max;
}

static bool valid(const struct support *p)
{
    bool emergency = p->kind == SUPPORT_BREAK_GLASS;
    int64_t longest = emergency ? SUPPORT_MINUTES_MAX * MINUTE_US : SUPPORT_HOURS_MAX * HOUR_US;
    return (emergency || text_valid(p->ticket, SUPPORT_TICKET_MAX)) && text_valid(p->reason, SUPPORT_REASON_MAX) &&
           p->asked != 0 && (p->asked & (SUPPORT_NEVER | ~PERM_ALL)) == 0 && within(p->length, MINUTE_US, longest) &&
           within(p->reach, REACH_TENANT, REACH_PERSON) && (!emergency || p->category != 0);
}

/* Whether the account has one that is not over. Only one, so that what is done is done under that one. */
static int has_one(const struct scope *s, const uint8_t account[ID_LEN], int64_t now, bool *ret_has)
{
    struct db_stmt *st;
    bool has = false;
    int r = scope_stmt(s,
                       "SELECT kind, state, created, starts, ends FROM support WHERE tenant_id = ?1 AND account = ?2"
                       " AND state <= ?3",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, SUPPORT_ACTIVE);
    while ((r = db_step(st)) == DB_ROW) {
        const struct support p = {.kind = db_int(st, 0) == SUPPORT_BREAK_GLASS ? SUPPORT_BREAK_GLASS : SUPPORT_REQUEST,
                                  .state = db_int(st, 1) == SUPPORT_ACTIVE ? SUPPORT_ACTIVE : SUPPORT_REQUESTED,
                                  .created = db_int(st, 2),
                                  .starts = db_int(st, 3),
                                  .ends = db_int(st, 4)};
        has = has || support_state_at(&p, now) <= SUPPORT_ACTIVE;
    }
    db_done(st);
    if (r == 0)
        *ret_has = has;
    return r;
}

int support_ask(const struct scope *s, const struct support *asked, int64_t now, struct support *ret)
{
    struct support p = {.kind = asked->kind,
                        .state = SUPPORT_REQUESTED,
                        .category = asked->kind == SUPPORT_BREAK_GLASS ? asked->category : 0,
                        .asked = asked->asked,
                        .reach = asked->reach,
                        .length = asked->length,
                        .created = now};
    bool has = false;
    if (!valid(asked))
        return CLOUD_INVALID;
    str_copy(p.tenant, sizeof p.tenant, s->tenant);
    memcpy(p.account, asked->account, ID_LEN);
    if (p.reach != REACH_TENANT)
        memcpy(p.reach_id, asked->reach_id, ID_LEN);
    str_copy(p.ticket, sizeof p.ticket, asked->ticket);
    str_copy(p.reason, sizeof p.reason, asked->reason);
    int r = has_one(s, p.account, now, &has);
    if (r == 0 && has)
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = crypto_random(p.id, ID_LEN);
    if (r == 0)
        r = put(s, &p);
    if (r == 0)
        *ret = p;
    return r;
}

/* ---- what becomes of it ---- */

/* The one of that id, if it is in this state. */
static int in_state(const struct scope *s, const uint8_t id[ID_LEN], enum support_state state, int64_t now,
                    struct support *ret)
{
    int r = support_get(s, id, ret);
    return r == 0 && support_state_at(ret, now) != state ? CLOUD_CONFLICT : r;
}

static int keep(const struct scope *s, const struct support *p, struct support *ret)
{
    int r = put(s, p);
    if (r == 0)
        *ret = *p;
    return r;
}

static void open_for(struct support *p, uint64_t perms, int64_t length, int64_t now)
{
    p->state = SUPPORT_ACTIVE;
    p->perms = perms;
    p->length = length;
    p->starts = now;
    p->ends = now + length;
}

int support_decide(const struct scope *s, const uint8_t id[ID_LEN], const struct support_decision *d, int64_t now,
                   struct support *ret)
{
    struct support p;
    int r = in_state(s, id, SUPPORT_REQUESTED, now, &p);
    if (r == 0 && p.kind != SUPPORT_REQUEST)
        r = CLOUD_ABSENT;
    if (r != 0)
        return r;
    if (strlen(d->reason) > SUPPORT_REASON_MAX ||
        (d->approve && (d->perms == 0 || (d->perms & ~p.asked) != 0 || !within(d->length, MINUTE_US, p.length))))
        return CLOUD_INVALID;
    str_copy(p.decision, sizeof p.decision, d->reason);
    if (d->decider != NULL)
        memcpy(p.decider, d->decider, ID_LEN);
    if (d->approve) {
        open_for(&p, d->perms, d->length, now);
    } else {
        p.state = SUPPORT_DENIED;
        p.starts = p.ended = now;
        p.told = true; /* nothing was seen */
    }
    return keep(s, &p, ret);
}

int support_second(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t second[ID_LEN], int64_t now,
                   struct support *ret)
{
    struct support p;
    int r = in_state(s, id, SUPPORT_REQUESTED, now, &p);
    if (r == 0 && p.kind != SUPPORT_BREAK_GLASS)
        r = CLOUD_ABSENT;
    if (r == 0 && memcmp(p.account, second, ID_LEN) == 0)
        r = CLOUD_INVALID;
    if (r != 0)
        return r;
    memcpy(p.second, second, ID_LEN);
    open_for(&p, p.asked, p.length, now);
    return keep(s, &p, ret);
}

int support_end(const struct scope *s, const uint8_t id[ID_LEN], enum support_end how, int64_t now, struct support *ret)
{
    struct support p;
    int r = support_get(s, id, &p);
    if (r != 0)
        return r;
    enum support_state state = support_state_at(&p, now);
    if (state == SUPPORT_REQUESTED && how == SUPPORT_END_VENDOR) {
        p.state = SUPPORT_WITHDRAWN;
        p.told = true;
    } else if (state == SUPPORT_ACTIVE) {
        p.state = SUPPORT_ENDED;
        p.end = how;
    } else {
        return CLOUD_CONFLICT;
    }
    p.ended = now;
    return keep(s, &p, ret);
}

int support_review(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t reviewer[ID_LEN],
                   const char *findings, int64_t now, struct support *ret)
{
    struct support p;
    int r = in_state(s, id, SUPPORT_ENDED, now, &p);
    if (r == 0 && p.kind != SUPPORT_BREAK_GLASS)
        r = CLOUD_ABSENT;
    if (r == 0 && p.reviewed != 0)
        r = CLOUD_CONFLICT;
    if (r == 0 && (!text_valid(findings, SUPPORT_FINDINGS_MAX) || memcmp(p.account, reviewer, ID_LEN) == 0 ||
                   memcmp(p.second, reviewer, ID_LEN) == 0))
        r = CLOUD_INVALID;
    if (r != 0)
        return r;
    memcpy(p.reviewer, reviewer, ID_LEN);
    str_copy(p.findings, sizeof p.findings, findings);
    p.reviewed = now;
    return keep(s, &p, ret);
}

int support_review_owed(struct db *db, bool *ret_owed)
{
    struct db_stmt *st;
    int r = db_stmt(db, "SELECT 1 FROM support WHERE kind = ?1 AND state IN (?2, ?3) AND reviewed = 0 LIMIT 1", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 1, SUPPORT_BREAK_GLASS);
    db_bind_int(st, 2, SUPPORT_ACTIVE);
    db_bind_int(st, 3, SUPPORT_ENDED);
    r = db_step(st);
    db_done(st);
    if (r >= 0)
        *ret_owed = r == DB_ROW;
    return r < 0 ? r : 0;
}

/* ---- what it gives ---- */

/* Nothing of what SUPPORT_NEVER names, whatever a row says. */
int support_rights(struct db *db, const char *tenant, const uint8_t account[ID_LEN], int64_t now,
                   struct rights *ret_rights, uint8_t ret_id[ID_LEN])
{
    struct db_stmt *st;
    struct rights rights = {0};
    uint8_t id[ID_LEN] = {0}, reach[ID_LEN];
    int r = db_stmt(db,
                    "SELECT id, perms, reach, reach_id FROM support WHERE tenant_id = ?1 AND account = ?2"
                    " AND state = ?3 AND starts - ?5 <= ?4 AND ends > ?4 ORDER BY starts DESC LIMIT 1",
                    &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, tenant);
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, SUPPORT_ACTIVE);
    db_bind_int(st, 4, now);
    db_bind_int(st, 5, CLOCK_BACK_US);
    r = db_step(st);
    if (r == DB_ROW && within(db_int(st, 2), REACH_TENANT, REACH_PERSON) && db_fixed(st, 3, reach, ID_LEN) == 0 &&
        db_fixed(st, 0, id, ID_LEN) == 0)
        rights_add(&rights, (uint64_t)db_int(st, 1) & PERM_ALL & ~SUPPORT_NEVER, (enum reach_kind)db_int(st, 2), reach);
    db_done(st);
    if (r < 0)
        return r;
    *ret_rights = rights;
    memcpy(ret_id, rights.n > 0 ? id : nobody, ID_LEN);
    return 0;
}

/* ---- the sweep's ---- */

static int due_from_row(struct db_stmt *st, void *arg, void *item)
{
    struct support_due *d = item;
    return db_fixed(st, 1, d->id, ID_LEN) != 0 || str_copy(d->tenant, sizeof d->tenant, db_text(st, 0)) != 0
               ? CLOUD_ABSENT
               : 0;
}

int support_due(struct db *db, int64_t now, bool clock_back, size_t max, struct support_due *ret, size_t *ret_n)
{
    struct db_stmt *st;
    struct rows l;
    int r =
        db_stmt(db,
                "SELECT tenant_id, id FROM support WHERE told = 0 AND ((state = 1 AND (created - ?5 > ?1 OR"
                " created <= CASE kind WHEN 2 THEN ?3 ELSE ?4 END)) OR (state = 2 AND (?2 <> 0 OR starts - ?5 > ?1 OR"
                " ends <= ?1)) OR state = 3) ORDER BY tenant_id, id",
                &st);
    if (r != 0)
        return r;
    db_bind_int(st, 1, now);
    db_bind_int(st, 2, clock_back);
    db_bind_int(st, 3, now - SUPPORT_SECOND_US);
    db_bind_int(st, 4, now - SUPPORT_WAITS_US);
    db_bind_int(st, 5, CLOCK_BACK_US);
    r = rows_collect(st, max, sizeof(struct support_due), due_from_row, NULL, &l);
    if (r != 0)
        return r;
    if (l.n > 0)
        memcpy(ret, l.items, l.n * sizeof *ret);
    *ret_n = l.n;
    free(l.items);
    return 0;
}

int support_expire(const struct scope *s, const uint8_t id[ID_LEN], bool clock_back, int64_t now, struct support *ret)
{
    struct support p;
    int r = support_get(s, id, &p);
    if (r != 0)
        return r;
    enum support_state state = support_state_at(&p, now);
    if (p.state == SUPPORT_REQUESTED && state == SUPPORT_LAPSED) {
        p.state = SUPPORT_LAPSED;
        p.ended = now;
        p.told = true;
    } else if (p.state == SUPPORT_ACTIVE && (clock_back || state == SUPPORT_ENDED)) {
        p.state = SUPPORT_ENDED;
        p.end = now >= p.ends ? SUPPORT_END_TIME : SUPPORT_END_CLOCK;
        p.ended = now >= p.ends ? p.ends : now;
    } else {
        return CLOUD_CONFLICT;
    }
    return keep(s, &p, ret);
}

int support_told(const struct scope *s, const uint8_t id[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE support SET told = 1 WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    return db_must(st);
}
