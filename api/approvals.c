/* /v1/approvals: four eyes. A request whose permission wants them is kept and answered 202; it is done when somebody
 * else who could have asked for it approves, as if both had sent it together: what either of them may not, or does not
 * reach, is refused. */
#include <stdio.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/account.h"
#include "cloud/approval.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/scope.h"
#include "cloud/settings_of.h"
#include "cloud/tell.h"

#define PEOPLE "/v1/people/"
#define ID_TEXT ((size_t)ID_LEN * 2)

static bool person_named(struct api_call *k, const char *text, struct person *ret)
{
    char hex[2 * ID_LEN + 1] = "";
    uint8_t id[ID_LEN];
    if (strcspn(text, "/") != ID_TEXT)
        return false;
    memcpy(hex, text, ID_TEXT);
    return str_unhex(hex, id, ID_LEN) == 0 && people_get(k->cloud, k->db, k->tenant, id, ret) == 0;
}

/* The person that a request is about, by its path or by the member `person` of its body; false: none. */
static bool person_of(struct api_call *k, const struct http_request *q, struct person *ret)
{
    if (str_starts(q->path, PEOPLE))
        return person_named(k, q->path + sizeof PEOPLE - 1, ret);
    json_t *body = q->body.n ? json_loadb((const char *)q->body.p, q->body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *text = json_string_value(json_object_get(body, "person"));
    bool is = text && person_named(k, text, ret);
    json_decref(body);
    return is;
}

static bool is_own(const struct api_call *k, const struct approval *a)
{
    return strcmp(a->home, k->who.home) == 0 && memcmp(a->account, k->who.account, ID_LEN) == 0;
}

static json_t *outcome_json(const struct approval *a)
{
    return a->status == 0
               ? json_null()
               : json_pack("{s:i, s:o}", "status", (int)a->status, "location", json_text_or_null(a->location));
}

static json_t *approval_json(const struct approval *a)
{
    bool decided = a->decided != 0;
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "id", json_hex(a->id, ID_LEN), "permission",
                     perm_name(a->perm), "requested_by", json_hex(a->account, ID_LEN), "requested",
                     json_time(a->requested), "expires", json_time(a->requested + APPROVAL_US), "state",
                     approval_state_name(a->state), "decided_by", decided ? json_hex(a->decider, ID_LEN) : json_null(),
                     "decided", json_time_or_null(a->decided, 0), "outcome", outcome_json(a));
}

/* What was asked for as a request, and back. False: no request that can be kept. */
static struct http_request request_of(const struct approval_asked *a)
{
    return (struct http_request){.method = a->method,
                                 .path = a->path,
                                 .if_match = a->if_match,
                                 .content_type = "application/json",
                                 .body = a->body,
                                 .line = HTTP_LINE_WRITE};
}

static bool asked_of(const struct http_request *q, struct approval_asked *ret)
{
    *ret = (struct approval_asked){q->method, q->path, q->if_match, q->body};
    return q->n_query == 0 &&
           (q->body.n == 0 || (q->content_type && strncasecmp(q->content_type, "application/json", 16) == 0));
}

/* ---- asking ---- */

/* The settings themselves are among them, or one person could take the others out; and so are accounts and grants, or
 * one could make the second pair of eyes, or take somebody's. */
#define ALWAYS (PERM_BIT(PERM_SETTINGS_CHANGE) | PERM_BIT(PERM_GRANTS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_CHANGE))

static int wanted(struct api_call *k, bool *ret_wanted)
{
    struct tenant_settings set;
    *ret_wanted = false;
    if (k->who.is != WHO_ACCOUNT || k->route->perm == PERM_NONE)
        return 0;
    int r = tenant_settings_get(k->db, k->tenant, &set);
    *ret_wanted = r == 0 && set.four_eyes != 0 && ((set.four_eyes | ALWAYS) & PERM_BIT(k->route->perm)) != 0;
    return r;
}

/* To those who may decide, at least somewhere: which request it is, and not whom it is about. */
static int tell(const struct scope *s, const struct approval *a)
{
    char id[2 * ID_LEN + 1], what[96], until[MAIL_TIME];
    snprintf(what, sizeof what, "%s (%s)", perm_name(a->perm), str_hex(a->id, ID_LEN, id));
    const struct mail_arg args[] = {{"what", what}, {"until", mail_time(a->requested + APPROVAL_US, until)}};
    return tell_holders(s, a->perm, a->account, MAIL_APPROVAL, args, ARRAY_LEN(args));
}

static int ask(struct api_call *k, struct approval *a)
{
    struct scope s;
    struct person person;
    struct approval_asked asked;
    if (!asked_of(k->q, &asked))
        return CLOUD_INVALID;
    *a = (struct approval){.perm = k->route->perm, .requested = clock_real(), .state = APPROVAL_WAITING};
    str_copy(a->home, sizeof a->home, k->who.home);
    memcpy(a->account, k->who.account, ID_LEN);
    if (person_of(k, k->q, &person))
        memcpy(a->key, person.key, ID_LEN);
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = crypto_random(a->id, ID_LEN);
    if (r == 0)
        r = approval_ask(&s, a, &asked);
    return r != 0 ? r : tell(&s, a);
}

bool api_asked(struct api_call *k)
{
    struct approval a;
    char id[2 * ID_LEN + 1];
    bool is_wanted;
    int r = wanted(k, &is_wanted);
    if (r == 0 && !is_wanted)
        return false;
    if (r == 0)
        r = ask(k, &a);
    if (r == CLOUD_INVALID) {
        problem_reply(k->r, PROBLEM_TOO_LARGE,
                      "what somebody else has to approve is JSON of at most %d bytes, without a query",
                      APPROVAL_REQUEST_MAX);
    } else if (r != 0) {
        call_outcome(k, r, "approval");
    } else {
        call_location(k, "/v1/approvals/", str_hex(a.id, ID_LEN, id));
        http_header(k->r, "Location", "%s", k->location);
        problem_json(k->r, 202, approval_json(&a));
    }
    return true;
}

bool api_asked_alone(struct api_call *k)
{
    bool is_wanted;
    int r = wanted(k, &is_wanted);
    if (r == 0 && !is_wanted)
        return false;
    if (r == 0)
        r = cloud_begin(k->cloud, k->db);
    if (r != 0) {
        call_outcome(k, r, "store");
        return true;
    }
    (void)api_asked(k);
    if (k->r->status > 299) {
        cloud_rollback(k->cloud, k->db);
        return true;
    }
    r = call_noted(k);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r != 0) {
        k->r->n_headers = k->r->header_used = 0;
        call_outcome(k, r, "approval");
    }
    return true;
}

/* ---- seeing ---- */

/* Who asked, and who could decide. */
static bool visible(struct api_call *k, const struct scope *s, const struct approval *a)
{
    struct approval_request request;
    struct person person;
    if (is_own(k, a) || call_everywhere(k, a->perm))
        return true;
    if (!call_may(k, a->perm) || approval_request(s, a, &request) != 0)
        return false;
    struct http_request q = request_of(&request.asked);
    bool sees = person_of(k, &q, &person) && call_reaches_person(k, a->perm, &person);
    crypto_wipe(&request, sizeof request);
    return sees;
}

static bool named(struct api_call *k, struct scope *ret_scope, struct approval *ret)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = scope_init(k->cloud, k->db, k->tenant, ret_scope);
    if (r == 0)
        r = approval_get(ret_scope, id, clock_real(), ret);
    if (r == 0 && !visible(k, ret_scope, ret))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

void api_approvals_list(struct api_call *k)
{
    struct call_span span;
    struct scope s;
    struct approval_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = approval_list(&s, span.after, span.limit, clock_real(), &list);
    if (r != 0) {
        call_outcome(k, r, "list of approvals");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (visible(k, &s, &list.items[i]))
            whole_append(&items, approval_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    approval_list_done(&list);
}

static json_t *request_json(const struct approval_asked *q)
{
    json_t *body = q->body.n ? json_loadb((const char *)q->body.p, q->body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    return json_pack("{s:s, s:o, s:o}", "method", q->method, "path", jsontext_of(q->path), "body",
                     body ? body : json_null());
}

void api_approvals_get(struct api_call *k)
{
    struct scope s;
    struct approval a;
    struct approval_request request;
    struct person person;
    if (!named(k, &s, &a))
        return;
    int r = approval_request(&s, &a, &request);
    if (r < 0) {
        call_outcome(k, r, "approval");
        return;
    }
    struct http_request q = r == 0 ? request_of(&request.asked) : (struct http_request){0};
    bool about = r == 0 && person_of(k, &q, &person);
    const struct subject subject = about ? api_subject(&person) : (struct subject){0};
    if (!call_saw(k, "request", about ? &subject : NULL, about ? 1 : 0))
        return;
    json_t *o = approval_json(&a);
    whole_set(&o, "request", r == 0 ? request_json(&request.asked) : json_null());
    call_resource(k, o, NULL);
    crypto_wipe(&request, sizeof request);
}

/* ---- deciding ---- */

/* Who asked, with what he may now; CLOUD_ABSENT: his account is in use no more. */
static int load_asker(struct api_call *sub, const struct approval *a)
{
    struct who w = {.is = WHO_ACCOUNT};
    struct scope s;
    struct account account;
    str_copy(w.home, sizeof w.home, a->home);
    memcpy(w.account, a->account, ID_LEN);
    int r = scope_init(sub->cloud, sub->db, a->home, &s);
    if (r == 0)
        r = account_find(&s, a->account, &account);
    if (r != 0)
        return r == CLOUD_DAMAGED ? CLOUD_ABSENT : r;
    r = account.state == ACCOUNT_ACTIVE ? 0 : CLOUD_ABSENT;
    memcpy(w.person, account.person, ID_LEN);
    account_wipe(&account);
    sub->who = w;
    return r != 0 ? r : api_rights_of(sub, &sub->who.rights);
}

/* False: answered. */
static bool is_other_being(struct api_call *k, const struct approval *a)
{
    struct scope s;
    struct account CLEANUP(account_wipe) asker = {0}, CLEANUP(account_wipe) decider = {0};
    int r = scope_init(k->cloud, k->db, a->home, &s);
    if (r == 0)
        r = account_find(&s, a->account, &asker);
    if (r == 0)
        r = scope_init(k->cloud, k->db, k->who.home, &s);
    if (r == 0)
        r = account_find(&s, k->who.account, &decider);
    bool same = r == 0 && account_one_being(&asker, &decider);
    if (r != 0)
        call_outcome(k, r, "account");
    else if (same)
        problem_reply(k->r, PROBLEM_FORBIDDEN, "both accounts get their mail at one address: somebody else approves");
    return r == 0 && !same;
}

/* The request as both of them send it; false: answered. */
static bool prepare(struct api_call *k, const struct approval *a, const struct http_request *q, struct api_call *sub)
{
    *sub = *k;
    sub->q = q;
    sub->second = NULL;
    sub->location[0] = '\0';
    sub->noted = sub->saw = false;
    int r = load_asker(sub, a);
    if (r == CLOUD_ABSENT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "who asked for it may do nothing here any more; deny it");
        return false;
    }
    if (r != 0) {
        call_outcome(k, r, "approval");
        return false;
    }
    if (!is_other_being(k, a))
        return false;
    sub->second = &k->who;
    struct api_call decider = *k; /* as if he sent it himself */
    decider.route = sub->route = api_find_route(sub);
    return sub->route != NULL && api_vendor_let_in(&decider) && api_permitted(sub) && api_factor_given(&decider) &&
           api_stepped_up(k, sub->route);
}

static int decide(struct api_call *k, const struct scope *s, const struct approval *a, bool approve)
{
    int r = approval_decide(s, a->id, approve, k->who.account, clock_real());
    return r != 0 ? r : call_noted(k);
}

/* What the request is answered with is kept as its status and where its outcome stands. */
static void clear(struct http_reply *r)
{
    r->n_headers = r->header_used = 0;
    r->status = 0;
    r->type = NULL;
    buf_reset(&r->body);
}

/* In one transaction with the decision; false: nothing was done, and the reply says why. */
static bool run_within(struct api_call *k, const struct scope *s, const struct approval *a, struct api_call *sub)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = decide(k, s, a, true);
    if (r == 0) {
        sub->route->fn(sub);
        if (k->r->status > 299 || k->r->body.failed) {
            cloud_rollback(k->cloud, k->db);
            return false;
        }
        r = call_noted(sub);
    }
    if (r == 0)
        r = approval_done(s, a->id, k->r->status, sub->location);
    clear(k->r);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r == 0 && sub->then)
        sub->then(sub);
    if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

/* One that has transactions of its own: first the decision, then the deed, then what became of it. */
static bool run_alone(struct api_call *k, const struct scope *s, const struct approval *a, struct api_call *sub)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = decide(k, s, a, true);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r == 0) {
        sub->route->fn(sub);
        r = cloud_begin(k->cloud, k->db);
    }
    unsigned status = k->r->status;
    clear(k->r);
    if (r == 0)
        r = approval_done(s, a->id, status, sub->location);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

static bool approve(struct api_call *k, const struct scope *s, const struct approval *a)
{
    struct approval_request request;
    struct api_call sub;
    int r = approval_request(s, a, &request);
    if (r != 0) {
        call_outcome(k, r, "request");
        return false;
    }
    struct http_request q = request_of(&request.asked);
    bool ok = prepare(k, a, &q, &sub) && (sub.route->effect == WRITES ? run_within : run_alone)(k, s, a, &sub);
    crypto_wipe(&request, sizeof request);
    return ok;
}

static bool deny(struct api_call *k, const struct scope *s, const struct approval *a)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = decide(k, s, a, false);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

void api_approvals_decide(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "approve", .type = BODY_BOOL, .required = true}};
    struct body_value v[1] = {{0}};
    struct scope s;
    struct approval a;
    json_t *body = NULL;
    if (!named(k, &s, &a) || !body_read(k->q, fields, 1, v, &body, k->r))
        return;
    json_decref(body);
    if (a.state != APPROVAL_WAITING) {
        problem_reply(k->r, PROBLEM_CONFLICT, "it is %s", approval_state_name(a.state));
        return;
    }
    if (v[0].i != 0 && is_own(k, &a)) { /* who asked may withdraw it */
        problem_reply(k->r, PROBLEM_FORBIDDEN, "somebody else approves what you asked for");
        return;
    }
    if (!(v[0].i != 0 ? approve(k, &s, &a) : deny(k, &s, &a)))
        return;
    int r = approval_get(&s, a.id, clock_real(), &a);
    if (r != 0)
        call_outcome(k, r, "approval");
    else
        call_resource(k, approval_json(&a), NULL);
}
