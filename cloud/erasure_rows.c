/* What an erasure takes away; see erasure.h. */
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "cloud/account.h"
#include "cloud/confidentiality.h"
#include "cloud/credential_impl.h"
#include "cloud/erasure_impl.h"
#include "cloud/granted.h"
#include "cloud/token.h"
#include "wire/cbor.h"

void erasure_plan_done(struct erasure_plan *p)
{
    if (p->cards != NULL)
        crypto_wipe(p->cards, p->n_cards * sizeof *p->cards);
    free(p->cards);
    free(p->holds);
    free(p->keys);
    free(p->oddities);
    crypto_wipe(p, sizeof *p);
}

/* `items` with room for one more than n; NULL: no memory, and items are as they were. */
static void *reserve(void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    size_t more = *cap == 0 ? 16 : *cap * 2;
    void *p = realloc(items, more * size);
    if (p != NULL)
        *cap = more;
    return p;
}

/* ---- keys ---- */

static int add_key(const struct scope *s, struct erasure_plan *p, const uint8_t id[KEY_ID_LEN])
{
    uint8_t key[CRYPTO_KEY];
    enum key_kind kind;
    for (size_t i = 0; i < p->n_keys; i++)
        if (memcmp(p->keys[i], id, KEY_ID_LEN) == 0)
            return 0;
    if (keyring_get(s->ring, id, &kind, key) != 0)
        return 0;
    crypto_wipe(key, sizeof key);
    uint8_t(*keys)[KEY_ID_LEN] = reserve(p->keys, p->n_keys, &p->cap_keys, sizeof *keys);
    if (keys == NULL)
        return -ENOMEM;
    p->keys = keys;
    memcpy(keys[p->n_keys++], id, KEY_ID_LEN);
    p->counts.keys++;
    return 0;
}

static int add_retired(const struct scope *s, struct erasure_plan *p, const uint8_t cidx[CIDX_LEN])
{
    struct db_stmt *st;
    uint8_t id[KEY_ID_LEN];
    int r = scope_stmt(s, "SELECT key_id FROM retired WHERE tenant_id = ?1 AND cidx = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(cidx, CIDX_LEN));
    while ((r = db_step(st)) == DB_ROW) {
        r = db_fixed(st, 0, id, KEY_ID_LEN);
        if (r == 0)
            r = add_key(s, p, id);
        if (r != 0)
            break;
    }
    db_done(st);
    return r;
}

/* ---- cards ---- */

struct walk {
    const struct scope *s;
    struct erasure_plan *p;
    size_t cap_cards;
};

/* The card's entry, made when there is none; NULL: no memory. */
static struct erasure_card *card_of(struct walk *w, const uint8_t cidx[CIDX_LEN], const struct credential *c)
{
    struct erasure_plan *p = w->p;
    for (size_t i = 0; i < p->n_cards; i++)
        if (memcmp(p->cards[i].cidx, cidx, CIDX_LEN) == 0)
            return &p->cards[i];
    struct erasure_card *cards = reserve(p->cards, p->n_cards, &w->cap_cards, sizeof *cards);
    if (cards == NULL)
        return NULL;
    p->cards = cards;
    struct erasure_card *made = &cards[p->n_cards++];
    *made = (struct erasure_card){.cred = c->cred, .until = c->until};
    memcpy(made->cidx, cidx, CIDX_LEN);
    return made;
}

static int add_card(void *arg, const struct assignment *a)
{
    struct walk *w = arg;
    struct erasure_plan *p = w->p;
    uint8_t cidx[CIDX_LEN];
    p->counts.credentials++;
    if (a->cred.damaged) /* which card it was, and when, is not known; which keys it left behind is */
        return add_retired(w->s, p, a->cidx);
    if (a->cred.from >= a->cred.until) /* taken back before it was held */
        return 0;
    int r = p->n_holds == TOMB_CARDS_MAX ? -ENOBUFS : holder_cidx(w->s, &a->cred.cred, cidx);
    if (r != 0)
        return r;
    struct tomb_card *holds = reserve(p->holds, p->n_holds, &p->cap_holds, sizeof *holds);
    if (holds == NULL)
        return -ENOMEM;
    p->holds = holds;
    struct erasure_card *c = card_of(w, cidx, &a->cred);
    if (c == NULL)
        return -ENOMEM;
    if (a->cred.until > c->until)
        c->until = a->cred.until;
    struct tomb_card *h = &holds[p->n_holds++];
    *h = (struct tomb_card){.from = a->cred.from, .until = a->cred.until, .created = a->cred.created};
    memcpy(h->cidx, cidx, CIDX_LEN);
    return 0;
}

static int is_others(void *arg, const struct assignment *a)
{
    return memcmp(a->key_id, arg, KEY_ID_LEN) != 0;
}

/* ---- what waits under a card ---- */

struct waiting_count {
    const struct erasure_plan *p;
    const struct erasure_card *c;
    uint64_t n;
};

/* Of a card that was this person's alone, all until it was given back; else what lies within the person's times. */
static int count_waiting(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct waiting_count *w = arg;
    int64_t when = filed_when(f);
    if (!cred_equal(&f->rec.punch.cred, &w->c->cred))
        return 0;
    bool goes = !w->c->others && when < w->c->until;
    for (size_t i = 0; i < w->p->n_holds; i++) {
        const struct tomb_card *h = &w->p->holds[i];
        goes = goes || (memcmp(h->cidx, w->c->cidx, CIDX_LEN) == 0 && when >= h->from && when < h->until);
    }
    w->n += goes;
    return 0;
}

static int plan_card(const struct scope *s, struct erasure_plan *p, struct erasure_card *c)
{
    struct waiting_row row;
    struct waiting_count w = {.p = p, .c = c};
    int r = assignment_each(s, c->cidx, is_others, p->person.key);
    if (r < 0)
        return r;
    c->others = r != 0;
    r = add_retired(s, p, c->cidx);
    if (r == 0)
        r = waiting_get(s, c->cidx, &row);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    if (!row.shared)
        r = add_key(s, p, row.key_id);
    for (int64_t day = day_of(row.w.first); r == 0 && day <= day_of(row.w.last); day++)
        r = filed_each_day(s, day, row.key_id, count_waiting, &w);
    if (r == 0)
        r = filed_each_pending(s, row.key_id, count_waiting, &w);
    p->counts.waiting += w.n;
    return r;
}

/* The waiting key goes: what stays gets a fresh one, since rows of the person were under the old one. */
static int act_card(const struct scope *s, const struct erasure_card *c)
{
    struct waiting_row row;
    uint64_t n = 0;
    int r = waiting_get(s, c->cidx, &row);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    int64_t first = day_of(row.w.first), last = day_of(row.w.last), split = c->others ? TIME_MIN : c->until;
    r = waiting_delete(s, c->cidx);
    if (r == 0)
        r = credential_refile(s, row.key_id, &c->cred, TIME_MIN, split, first, last, true, &n);
    if (r == 0)
        r = credential_refile(s, row.key_id, &c->cred, split, TIME_MAX, first, last, false, &n);
    return r;
}

/* ---- oddities ---- */

/* The card as a record holds it; a long one also without its surroundings. */
static bool holds_card(struct bytes plain, const struct cred *c)
{
    uint8_t cbor[CRED_CBOR_MAX];
    size_t n = cred_len(c);
    if (n >= 4)
        return memmem(plain.p, plain.n, c->data, n) != NULL;
    n = cred_cbor(c, cbor);
    return memmem(plain.p, plain.n, cbor + 1, n - 1) != NULL; /* without the head of its array */
}

/* Columns segid, idx, sealed. */
static int look_at_oddity(const struct scope *s, struct db_stmt *st, const uint8_t key[CRYPTO_KEY],
                          struct erasure_plan *p)
{
    uint8_t plain[SEAL_PLAIN_MAX], i[8];
    struct erasure_oddity o = {.index = db_int(st, 1)};
    size_t n = 0;
    be_put(i, (uint64_t)o.index, sizeof i);
    if (db_fixed(st, 0, o.segid, SEGID_LEN) != 0)
        return -EBADMSG;
    struct seal_place at = {
        .table = "oddity", .tenant = s->tenant, .key = {BYTES(o.segid, SEGID_LEN), BYTES(i, sizeof i)}};
    int r = seal_get(key, &at, db_blob(st, 2), plain, sizeof plain, &n);
    bool hit = false;
    for (size_t c = 0; r == 0 && !hit && c < p->n_cards; c++)
        hit = holds_card(BYTES(plain, n), &p->cards[c].cred);
    crypto_wipe(plain, n);
    if (r != 0 || !hit)
        return r > 0 ? 0 : r; /* one that does not open says nothing */
    struct erasure_oddity *all = reserve(p->oddities, p->n_oddities, &p->cap_oddities, sizeof *all);
    if (all == NULL)
        return -ENOMEM;
    p->oddities = all;
    all[p->n_oddities++] = o;
    p->counts.oddities++;
    return 0;
}

static int plan_oddities(const struct scope *s, struct erasure_plan *p)
{
    struct db_stmt *st;
    uint8_t key[CRYPTO_KEY];
    int r = p->n_cards == 0 ? 0 : holder_tenant_key(s, key);
    if (r != 0 || p->n_cards == 0)
        return r;
    r = scope_stmt(s, "SELECT segid, idx, sealed FROM oddity WHERE tenant_id = ?1", &st);
    if (r == 0) {
        while ((r = db_step(st)) == DB_ROW && (r = look_at_oddity(s, st, key, p)) == 0)
            ;
        db_done(st);
    }
    crypto_wipe(key, sizeof key);
    return r;
}

static int act_oddities(const struct scope *s, const struct erasure_plan *p)
{
    struct db_stmt *st;
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n_oddities; i++) {
        r = scope_stmt(s, "DELETE FROM oddity WHERE tenant_id = ?1 AND segid = ?2 AND idx = ?3", &st);
        if (r != 0)
            return r;
        db_bind_blob(st, 2, BYTES(p->oddities[i].segid, SEGID_LEN));
        db_bind_int(st, 3, p->oddities[i].index);
        r = db_must(st);
    }
    return r;
}

/* ---- punches ---- */

/* The days there are: no clock of today's has a say in what is erased. */
static int days(const struct scope *s, int64_t *ret_first, int64_t *ret_last)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "SELECT (SELECT min(day) FROM punch WHERE tenant_id = ?1),"
                       " (SELECT max(day) FROM punch WHERE tenant_id = ?1)",
                       &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW) {
        bool none = db_null(st, 0);
        *ret_first = none ? 0 : db_int(st, 0);
        *ret_last = none ? -1 : db_int(st, 1);
    }
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

/* Runs `sql` for one ref (?3) and day (?2; not bound for pending). *ret_n: its first column, or the rows it changed. */
static int run_for(const struct scope *s, const char *sql, const struct row_keys *keys, uint32_t month, int64_t day,
                   uint64_t *ret_n)
{
    struct db_stmt *st;
    uint8_t ref[REF_LEN];
    int64_t n = -1;
    int r = seal_ref(keys, month, ref);
    if (r == 0)
        r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    if (month != SEAL_PENDING)
        db_bind_int(st, 2, day);
    db_bind_blob(st, 3, BYTES(ref, REF_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        n = db_int(st, 0);
    db_done(st);
    if (r < 0 || (r > 0 && r != DB_ROW))
        return r < 0 ? r : -EIO;
    *ret_n += (uint64_t)(n >= 0 ? n : db_changes(s->db));
    return 0;
}

static int each_day(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const char *punch, const char *pending,
                    struct tomb_counts *counts)
{
    struct row_keys keys;
    enum key_kind kind;
    int64_t first = 0, last = -1;
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = days(s, &first, &last);
    for (int64_t day = first; r == 0 && day <= last; day++)
        r = run_for(s, punch, &keys, month_of(day), day, &counts->punches);
    if (r == 0)
        r = run_for(s, pending, &keys, SEAL_PENDING, 0, &counts->pending);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

/* ---- all of it ---- */

int erasure_plan_make(const struct scope *s, const uint8_t person[ID_LEN], struct erasure_plan *ret)
{
    struct erasure_plan p = {0};
    struct walk w = {.s = s, .p = &p};
    int r = people_find(s, person, &p.person);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = add_key(s, &p, p.person.key);
    if (r == 0)
        r = assignment_each_of_key(s, p.person.key, add_card, &w);
    for (size_t i = 0; r == 0 && i < p.n_cards; i++)
        r = plan_card(s, &p, &p.cards[i]);
    if (r == 0)
        r = plan_oddities(s, &p);
    if (r == 0)
        r = each_day(s, p.person.key, "SELECT count(*) FROM punch WHERE tenant_id = ?1 AND day = ?2 AND ref = ?3",
                     "SELECT count(*) FROM pending WHERE tenant_id = ?1 AND ref = ?3", &p.counts);
    if (r != 0)
        erasure_plan_done(&p);
    else
        *ret = p;
    return r;
}

static int delete_by(const struct scope *s, const char *sql, const void *id, size_t n)
{
    struct db_stmt *st;
    int r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, n));
    return db_must(st);
}

/* Each of these rows has the key id of the person it is about. */
static const char *const of_key[] = {
    "DELETE FROM credential WHERE tenant_id = ?1 AND key_id = ?2",
    "DELETE FROM correction WHERE tenant_id = ?1 AND key_id = ?2",
    "DELETE FROM correction_decision WHERE tenant_id = ?1 AND key_id = ?2",
    "DELETE FROM dsr WHERE tenant_id = ?1 AND key_id = ?2",
    "DELETE FROM mail WHERE tenant_id = ?1 AND key_id = ?2",
    /* what waits; a decided one is nobody's */
    ("DELETE FROM approval_part WHERE tenant_id = ?1 AND id IN"
     " (SELECT id FROM approval WHERE tenant_id = ?1 AND key_id = ?2)"),
    "DELETE FROM approval WHERE tenant_id = ?1 AND key_id = ?2",
};

/* Also of a person without an account: grants of others may reach that person alone. */
static int forget_account(const struct scope *s, const struct person *person)
{
    struct account CLEANUP(account_wipe) a = {0};
    int r = account_by_key(s, person->key, &a);
    bool has = r == 0 || r == CLOUD_DAMAGED;
    if (has || r == CLOUD_ABSENT)
        r = granted_forget(s, a.id, person->id);
    if (r == 0 && has)
        r = token_forget(s, a.id);
    if (r == 0 && has)
        r = confidentiality_forget(s, a.id);
    return r == 0 ? account_forget(s, person->key) : r;
}

int erasure_plan_act(const struct scope *s, const struct erasure_plan *p)
{
    struct tomb_counts gone = {0};
    int r = each_day(s, p->person.key, "DELETE FROM punch WHERE tenant_id = ?1 AND day = ?2 AND ref = ?3",
                     "DELETE FROM pending WHERE tenant_id = ?1 AND ref = ?3", &gone);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(of_key); i++)
        r = delete_by(s, of_key[i], p->person.key, KEY_ID_LEN);
    if (r == 0)
        r = forget_account(s, &p->person);
    if (r == 0)
        r = delete_by(s, "DELETE FROM person WHERE tenant_id = ?1 AND id = ?2", p->person.id, ID_LEN);
    for (size_t i = 0; r == 0 && i < p->n_cards; i++)
        r = act_card(s, &p->cards[i]);
    for (size_t i = 0; r == 0 && i < p->n_cards; i++)
        r = delete_by(s, "DELETE FROM retired WHERE tenant_id = ?1 AND cidx = ?2", p->cards[i].cidx, CIDX_LEN);
    for (size_t i = 0; r == 0 && i < p->n_keys; i++) /* of a damaged card */
        r = delete_by(s, "DELETE FROM retired WHERE tenant_id = ?1 AND key_id = ?2", p->keys[i], KEY_ID_LEN);
    return r != 0 ? r : act_oddities(s, p);
}

static int orphans_of(const struct scope *s, const char *list, const char *remove)
{
    struct db_stmt *st;
    uint8_t id[KEY_ID_LEN], key[CRYPTO_KEY];
    uint8_t(*gone)[KEY_ID_LEN] = NULL;
    size_t n = 0, cap = 0;
    enum key_kind kind;
    int r = scope_stmt(s, list, &st);
    if (r != 0)
        return r;
    while ((r = db_step(st)) == DB_ROW) {
        r = db_fixed(st, 0, id, KEY_ID_LEN);
        if (r != 0)
            break;
        if (keyring_get(s->ring, id, &kind, key) == 0)
            continue;
        uint8_t(*more)[KEY_ID_LEN] = reserve(gone, n, &cap, sizeof *more);
        if (more == NULL) {
            r = -ENOMEM;
            break;
        }
        gone = more;
        memcpy(gone[n++], id, KEY_ID_LEN);
    }
    crypto_wipe(key, sizeof key);
    db_done(st);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = delete_by(s, remove, gone[i], KEY_ID_LEN);
    free(gone);
    return r;
}

int erasure_orphans(const struct scope *s)
{
    int r = orphans_of(s, "SELECT key_id FROM person WHERE tenant_id = ?1",
                       "DELETE FROM person WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0) /* without it links and sessions are good for nothing, and the sweep takes them */
        r = orphans_of(s, "SELECT key_id FROM account WHERE tenant_id = ?1",
                       "DELETE FROM account WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0)
        r = orphans_of(s, "SELECT DISTINCT key_id FROM credential WHERE tenant_id = ?1",
                       "DELETE FROM credential WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0)
        r = orphans_of(s, "SELECT DISTINCT key_id FROM waiting WHERE tenant_id = ?1",
                       "DELETE FROM waiting WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0)
        r = orphans_of(s, "SELECT DISTINCT key_id FROM correction WHERE tenant_id = ?1",
                       "DELETE FROM correction WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0)
        r = orphans_of(s, "SELECT DISTINCT key_id FROM correction_decision WHERE tenant_id = ?1",
                       "DELETE FROM correction_decision WHERE tenant_id = ?1 AND key_id = ?2");
    if (r == 0)
        r = orphans_of(s, "SELECT DISTINCT key_id FROM dsr WHERE tenant_id = ?1",
                       "DELETE FROM dsr WHERE tenant_id = ?1 AND key_id = ?2");
    return r;
}
