/* Deciding on what waits for a second pair of eyes; see approvals.h. */
#include <stdlib.h>
#include <string.h>

#include "api/approvals.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/account.h"
#include "cloud/jsontext.h"
#include "cloud/people_impl.h"

/* ---- as both of them ---- */

/* A token may less than its account, and what it asked for ends with it. CLOUD_ABSENT: it has. */
static int as_token(struct api_call *sub, const struct approval_asked *asked)
{
    struct token t;
    struct who *w = &sub->who;
    int r = token_get(sub->db, w->home, asked->token, &t);
    if (r != 0)
        return r;
    if (t.revoked != 0 || (t.expires != 0 && t.expires <= clock_real()))
        return CLOUD_ABSENT;
    w->has_token = true;
    memcpy(w->token, t.id, TOKEN_ID_LEN);
    for (size_t i = 0; i < w->rights.n; i++)
        w->rights.items[i].perms &= t.perms;
    return 0;
}

/* Who asked, with what he may now; CLOUD_ABSENT: his account or token is in use no more. */
static int load_asker(struct api_call *sub, const struct approval *a, const struct approval_asked *asked)
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
    r = account.state == ACCOUNT_ACTIVE ? people_here(&s, account.key, clock_real()) : CLOUD_ABSENT;
    memcpy(w.person, account.person, ID_LEN);
    account_wipe(&account);
    sub->who = w;
    if (r == 0)
        r = api_rights_of(sub, &sub->who.rights);
    return r == 0 && asked->has_token ? as_token(sub, asked) : r;
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
static bool prepare(struct api_call *k, const struct approval *a, const struct approval_kept *kept,
                    struct api_call *sub)
{
    *sub = *k;
    sub->q = &kept->q;
    sub->second = NULL;
    sub->location[0] = '\0';
    sub->noted = sub->saw = false;
    int r = load_asker(sub, a, &kept->request.asked);
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

/* ---- the decision ---- */

static int decide(struct api_call *k, const struct scope *s, struct approval *a, bool approve)
{
    k->decision = approve ? "approved" : "denied";
    int r = approval_decide(s, a, approve, k->who.account, clock_real());
    return r != 0 ? r : call_noted(k);
}

static bool answered(struct api_call *k, int r)
{
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "it waits no more");
    else if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

/* What the request is answered with is kept as its status and where its outcome stands. */
static void clear(struct http_reply *r)
{
    r->n_headers = r->header_used = 0;
    r->status = 0;
    r->type = NULL;
    buf_reset(&r->body);
}

static int done(const struct scope *s, struct approval *a, const struct api_call *sub, unsigned status)
{
    struct buf CLEANUP(buf_wipe) once;
    bool any = json_object_size(sub->once) > 0;
    buf_init(&once, APPROVAL_ANSWER_MAX);
    if (!sub->once) /* memory was short when something was put in */
        return -ENOMEM;
    if (any)
        jsontext_put(&once, json_incref(sub->once));
    return once.failed ? -ENOBUFS : approval_done(s, a, status, sub->location, any ? buf_str(&once) : NULL);
}

/* In one transaction with the decision; false: nothing was done, and the reply says why. */
static bool run_within(struct api_call *k, const struct scope *s, struct approval *a, struct api_call *sub)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = decide(k, s, a, true);
    if (r == 0) {
        sub->route->fn(sub);
        if (k->r->status > 299 || k->r->body.failed || *k->unsure != 0) {
            cloud_rollback(k->cloud, k->db);
            return false;
        }
        r = call_noted(sub);
    }
    if (r == 0)
        r = done(s, a, sub, k->r->status);
    clear(k->r);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    if (r == 0 && sub->then)
        sub->then(sub);
    return answered(k, r);
}

static int commit_decision(struct api_call *k, const struct scope *s, struct approval *a, bool approve)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r != 0)
        return r;
    r = decide(k, s, a, approve);
    if (r == 0)
        return cloud_commit(k->cloud, k->db);
    cloud_rollback(k->cloud, k->db);
    return r;
}

/* One that has transactions of its own: first the decision, then the deed, then what became of it. */
static bool run_alone(struct api_call *k, const struct scope *s, struct approval *a, struct api_call *sub)
{
    int r = commit_decision(k, s, a, true);
    if (r != 0)
        return answered(k, r);
    sub->route->fn(sub);
    unsigned status = k->r->status;
    clear(k->r);
    r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = done(s, a, sub, status);
    if (r == 0)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    return answered(k, r);
}

static bool approve(struct api_call *k, const struct scope *s, struct approval *a)
{
    struct approval_kept kept = {0};
    struct api_call sub = {0};
    bool ok = false;
    int r = approval_kept_load(s, a, true, &kept);
    if (r != 0) {
        call_outcome(k, r, "request");
    } else if (prepare(k, a, &kept, &sub)) {
        sub.once = json_object();
        ok = answered(k, sub.once ? 0 : -ENOMEM) &&
             (sub.route->effect == WRITES ? run_within : run_alone)(k, s, a, &sub);
        json_decref(sub.once);
    }
    approval_kept_done(&kept);
    return ok;
}

void api_approvals_decide(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "approve", .type = BODY_BOOL, .required = true}};
    struct body_value v[1] = {{0}};
    struct scope s;
    struct approval a;
    json_t *body = NULL;
    if (!approval_named(k, &s, &a) || !body_read(k->q, fields, 1, v, &body, k->r))
        return;
    json_decref(body);
    if (a.state != APPROVAL_WAITING) {
        problem_reply(k->r, PROBLEM_CONFLICT, "it is %s", approval_state_name(a.state));
        return;
    }
    if (v[0].i != 0 && approval_is_own(k, &a)) { /* who asked may withdraw it */
        problem_reply(k->r, PROBLEM_FORBIDDEN, "somebody else approves what you asked for");
        return;
    }
    if (!(v[0].i != 0 ? approve(k, &s, &a) : answered(k, commit_decision(k, &s, &a, false))))
        return;
    int r = approval_get(&s, a.id, clock_real(), &a);
    if (r != 0)
        call_outcome(k, r, "approval");
    else
        call_resource(k, approval_json(&a), NULL);
}
