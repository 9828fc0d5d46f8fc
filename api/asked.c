/* Requests that wait for a second pair of eyes, on their way in. See approvals.h. */
#include <stdio.h>
#include <string.h>

#include "api/approvals.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/account.h"
#include "cloud/correction.h"
#include "cloud/credential.h"
#include "cloud/dsr.h"
#include "cloud/jsontext.h"
#include "cloud/settings_of.h"
#include "cloud/tell.h"

/* ---- whether it does ---- */

/* The settings themselves are among them, or one person could take the others out; and so are accounts and grants, or
 * one could make the second pair of eyes, or take somebody's. */
#define ALWAYS (PERM_BIT(PERM_SETTINGS_CHANGE) | PERM_BIT(PERM_GRANTS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_CHANGE))

/* A table of people may hand out cards on its way. */
static uint64_t makes_use_of(const struct api_route *t)
{
    return PERM_BIT(t->perm) | (t->fn == api_imports_run ? PERM_BIT(PERM_CREDENTIALS_CHANGE) : 0);
}

uint64_t api_askable(void)
{
    size_t n;
    uint64_t perms = 0;
    const struct api_route *t = api_routes(&n);
    for (size_t i = 0; i < n; i++)
        if (t[i].effect != READS && t[i].perm != PERM_NONE && (t[i].flags & AT_ONCE) == 0)
            perms |= makes_use_of(&t[i]);
    return perms;
}

/* What the handler takes for a rehearsal, and nothing else: what cannot be read is none. */
static bool is_rehearsal(const struct api_call *k)
{
    const char *mode = call_query(k, "mode");
    if ((k->route->flags & REHEARSES) == 0)
        return false;
    if (mode)
        return strcmp(mode, "preview") == 0;
    json_t *body = NULL;
    (void)jsontext_read(k->q->body, NULL, &body);
    bool is = json_is_true(json_object_get(body, "dry_run"));
    json_decref(body);
    return is;
}

static int wanted(struct api_call *k, bool *ret_wanted)
{
    struct tenant_settings set;
    *ret_wanted = false;
    if (k->who.is != WHO_ACCOUNT || k->route->perm == PERM_NONE || (k->route->flags & AT_ONCE) != 0)
        return 0;
    int r = tenant_settings_get(k->db, k->tenant, &set);
    *ret_wanted =
        r == 0 && set.four_eyes != 0 && ((set.four_eyes | ALWAYS) & makes_use_of(k->route)) != 0 && !is_rehearsal(k);
    return r;
}

/* ---- keeping it ---- */

/* Whose key what an id names is under. CLOUD_ABSENT: nobody's. */
typedef int key_fn(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN]);

/* Of a damaged one the key is known. */
static int key_is(int r, const uint8_t key[ID_LEN], uint8_t ret[ID_LEN])
{
    if (r == CLOUD_DAMAGED)
        r = 0;
    if (r == 0)
        memcpy(ret, key, ID_LEN);
    return r;
}

static int of_person(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN])
{
    struct person p = {0};
    int r = key_is(people_get(k->cloud, k->db, k->tenant, id, &p), p.key, ret);
    crypto_wipe(&p, sizeof p);
    return r;
}

static int of_account(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN])
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    return r == 0 ? key_is(account_find(&s, id, &a), a.key, ret) : r;
}

static int of_credential(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN])
{
    struct credential c = {0};
    int r = credential_get(k->cloud, k->db, k->tenant, id, &c);
    if (r == 0)
        r = of_person(k, c.person, ret);
    crypto_wipe(&c, sizeof c);
    return r == CLOUD_DAMAGED ? CLOUD_ABSENT : r;
}

static int of_correction(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN])
{
    struct correction c = {0};
    int r = key_is(correction_get(k->cloud, k->db, k->tenant, id, &c), c.key, ret);
    crypto_wipe(&c, sizeof c);
    return r;
}

static int of_dsr(struct api_call *k, const uint8_t id[ID_LEN], uint8_t ret[ID_LEN])
{
    struct dsr d = {0};
    int r = key_is(dsr_get(k->cloud, k->db, k->tenant, id, &d), d.key, ret);
    crypto_wipe(&d, sizeof d);
    return r;
}

static const struct {
    const char *prefix; /* of a pattern whose {id} names it */
    key_fn *fn;
} named_by[] = {{"/v1/people/", of_person},
                {"/v1/accounts/", of_account},
                {"/v1/credentials/", of_credential},
                {"/v1/corrections/", of_correction},
                {"/v1/requests/", of_dsr}};

/* The key of the person that a request is about, by its path or by the member `person` of its body. CLOUD_ABSENT: it is
 * about none. */
static int key_of(struct api_call *k, uint8_t ret[ID_LEN])
{
    uint8_t id[ID_LEN];
    json_t *body = NULL;
    for (size_t i = 0; i < ARRAY_LEN(named_by); i++)
        if (str_starts(k->route->pattern, named_by[i].prefix) && str_unhex(k->param, id, ID_LEN) == 0)
            return named_by[i].fn(k, id, ret);
    if (k->q->body.n > 0 && jsontext_read(k->q->body, NULL, &body) == -ENOMEM)
        return -ENOMEM;
    const char *text = json_string_value(json_object_get(body, "person"));
    int r = text && str_unhex(text, id, ID_LEN) == 0 ? of_person(k, id, ret) : CLOUD_ABSENT;
    json_decref(body);
    return r;
}

_Static_assert(HTTP_QUERY_MAX <= APPROVAL_QUERY_MAX, "all parameters of a request can be kept");

static struct approval_asked asked_of(const struct api_call *k)
{
    const struct http_request *q = k->q;
    struct approval_asked a = {.method = q->method,
                               .path = q->path,
                               .type = q->content_type,
                               .if_match = q->if_match,
                               .if_none_match = q->if_none_match,
                               .n_query = q->n_query,
                               .has_token = k->who.has_token,
                               .body = q->body};
    for (size_t i = 0; i < q->n_query; i++)
        a.query[i] = (struct approval_pair){q->query[i].name, q->query[i].value};
    memcpy(a.token, k->who.token, TOKEN_ID_LEN);
    return a;
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
    const struct approval_asked asked = asked_of(k);
    *a = (struct approval){.perm = k->route->perm, .requested = clock_real(), .state = APPROVAL_WAITING};
    str_copy(a->home, sizeof a->home, k->who.home);
    memcpy(a->account, k->who.account, ID_LEN);
    int r = key_of(k, a->key);
    if (r == 0 || r == CLOUD_ABSENT)
        r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = crypto_random(a->id, ID_LEN);
    if (r == 0)
        r = approval_ask(&s, a, &asked);
    return r != 0 ? r : tell(&s, a);
}

bool api_asked(struct api_call *k)
{
    struct approval a;
    bool is_wanted;
    int r = wanted(k, &is_wanted);
    if (r == 0 && !is_wanted)
        return false;
    if (r == 0)
        r = ask(k, &a);
    if (r == CLOUD_INVALID) {
        problem_reply(k->r, PROBLEM_TOO_LARGE,
                      "of what somebody else has to approve path, query and headers have at most %d bytes",
                      APPROVAL_HEAD_MAX);
    } else if (r == APPROVAL_FULL) {
        problem_reply(k->r, PROBLEM_APPROVALS_FULL,
                      "too much of yours, or of your company, waits for approval: have some of it decided, or withdraw "
                      "it");
    } else if (r != 0) {
        call_outcome(k, r, "approval");
    } else {
        k->asked = true;
        call_location_of(k, "/v1/approvals/", a.id, ID_LEN);
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
