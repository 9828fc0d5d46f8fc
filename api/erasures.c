/* /v1/people/{id}/erasure and /v1/erasures: making a person forgotten, and the record that it was done. */
#include "api/api_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/account.h"
#include "cloud/erasure.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/scope.h"

static json_t *counts_json(const struct tomb_counts *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "punches", (json_int_t)c->punches, "pending",
                     (json_int_t)c->pending, "waiting", (json_int_t)c->waiting, "credentials",
                     (json_int_t)c->credentials, "oddities", (json_int_t)c->oddities, "keys", (json_int_t)c->keys);
}

static json_t *wait_json(const struct erasure_wait *w)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < w->n_rkids; i++)
        whole_append(&keys, json_hex(w->rkids[i], RKID_LEN));
    return json_pack("{s:o, s:I, s:o, s:o}", "gateway", json_hex(w->gw, GW_LEN), "generation", (json_int_t)w->gen,
                     "last_status", json_time_or_null(w->status, 0), "recipient_keys", keys);
}

/* The second date: recipient keys are not destroyed yet, so it is not known; on what it waits is. */
static int originals_json(struct api_call *k, int64_t requested, json_t **ret_json)
{
    struct erasure_wait_list l;
    int r = erasure_waits(k->db, k->tenant, requested, &l);
    if (r != 0)
        return r;
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++)
        whole_append(&items, wait_json(&l.items[i]));
    erasure_wait_list_done(&l);
    *ret_json = json_pack("{s:n, s:o}", "erased", "waits_for", items);
    return *ret_json == NULL ? -ENOMEM : 0;
}

static json_t *erasure_json(const struct erasure *e)
{
    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "id", json_hex(e->id, ID_LEN), "person",
                     json_hex(e->person, ID_LEN), "state", e->done ? "done" : "erasing", "requested",
                     json_time(e->requested), "done", json_time_or_null(e->done, 0), "counts", counts_json(&e->counts));
}

static void answer(struct api_call *k, json_t *o, int64_t requested)
{
    json_t *originals = NULL;
    int r = originals_json(k, requested, &originals);
    if (r != 0) {
        json_decref(o);
        call_outcome(k, r, "erasure");
        return;
    }
    whole_set(&o, "originals", originals);
    problem_json(k->r, 200, o);
}

static void plan(struct api_call *k, const uint8_t person[ID_LEN])
{
    struct tomb_counts counts;
    int r = erasure_plan(k->cloud, k->db, k->tenant, person, &counts);
    if (r != 0)
        call_outcome(k, r, "person");
    else
        answer(k,
               json_pack("{s:n, s:o, s:s, s:n, s:n, s:o}", "id", "person", json_hex(person, ID_LEN), "state", "planned",
                         "requested", "done", "counts", counts_json(&counts)),
               INT64_MAX);
}

/* A copy of the keyring that cannot be written stops an erasure before it begins; a store that cannot, after. */
static void failed(struct api_call *k, int r)
{
    bool begun = r == ERASURE_BEGUN;
    log_error("erasure.failed", "tenant=%s error=%s action=%s", k->tenant, begun ? "store" : log_q(error_str(r)),
              begun ? "\"it is journalled and goes on by itself\"" : "\"nothing was erased\"");
    http_header(k->r, "Retry-After", begun ? "60" : "1");
    problem_reply(k->r, PROBLEM_UNAVAILABLE,
                  begun ? "the erasure has begun and goes on by itself; see /v1/erasures"
                        : "store or keyring, here or in escrow, cannot be written: nothing was erased");
}

/* False: answered. A company keeps its last Owner, also from being forgotten. */
static bool may_go(struct api_call *k, const uint8_t person[ID_LEN])
{
    struct scope s;
    struct person p;
    struct account CLEANUP(account_wipe) a = {0};
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = people_get(k->cloud, k->db, k->tenant, person, &p);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = account_by_key(&s, p.key, &a);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = granted_may_go(&s, a.id, NULL, clock_real());
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_LAST_OWNER, "this is an Owner's account: make somebody else Owner first");
    else if (r < 0 || r == CLOUD_FENCED)
        call_outcome(k, r, "person");
    else
        return true;
    return false;
}

static int make(struct api_call *k, const uint8_t person[ID_LEN], struct erasure *ret)
{
    json_t *detail = call_second(k);
    const struct audit_event asked = {
        .who = &k->who, .method = k->route->method, .route = k->route->pattern, .detail = detail};
    int r = k->second && !detail ? -ENOMEM : erasure_make(k->cloud, k->db, k->tenant, person, &asked, ret);
    json_decref(detail);
    return r;
}

void api_erasures_make(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "dry_run", .type = BODY_BOOL, .required = true}};
    struct body_value v[ARRAY_LEN(fields)];
    uint8_t person[ID_LEN];
    struct erasure e;
    struct person known;
    json_t *body = NULL;
    if (!call_id(k, person, ID_LEN) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    json_decref(body);
    if (!call_everywhere(k, PERM_PEOPLE_ERASE) && !api_person_of(k, PERM_PEOPLE_ERASE, person, true, &known))
        return;
    if (v[0].i != 0) {
        plan(k, person);
        return;
    }
    if (!may_go(k, person))
        return;
    int r = make(k, person, &e);
    if (r == CLOUD_ABSENT) /* asked for again: the same report */
        r = erasure_of(k->cloud, k->db, k->tenant, person, &e);
    if (r < 0 || r == ERASURE_BEGUN)
        failed(k, r);
    else if (r != 0)
        call_outcome(k, r, "person");
    else
        answer(k, erasure_json(&e), e.requested);
}

void api_erasures_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct erasure e;
    if (!call_id(k, id, ID_LEN))
        return;
    int r = erasure_get(k->cloud, k->db, k->tenant, id, &e);
    if (r != 0)
        call_outcome(k, r, "erasure");
    else
        answer(k, erasure_json(&e), e.requested);
}

void api_erasures_list(struct api_call *k)
{
    struct call_span span;
    struct erasure_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = erasure_list(k->cloud, k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of erasures");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, erasure_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    erasure_list_done(&list);
}
