/* Who asks, and what they may: the token, the rights behind it, and how far they reach. What is not granted is denied.
 */
#include <string.h>
#include <strings.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/account.h"
#include "cloud/granted.h"
#include "cloud/people_impl.h"
#include "cloud/session.h"
#include "cloud/support.h"
#include "cloud/tenant.h"
#include "cloud/unit.h"
#include "cloud/used.h"

#define CLOSED "this company is archived"
#define STEP_UP_US (INT64_C(5) * 60 * 1000000)

static void unauthorised(struct api_call *k, enum problem p, const char *detail)
{
    if (p == PROBLEM_TOKEN_MISSING) /* RFC 6750 section 3.1: no error code when nothing was presented */
        http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\"");
    else
        http_header(k->r, "WWW-Authenticate",
                    "Bearer realm=\"punchcloud\", error=\"invalid_token\", error_description=\"%s\"", detail);
    problem_reply(k->r, p, "%s", detail);
}

static bool refused(struct api_call *k, enum problem p, const char *detail)
{
    problem_reply(k->r, p, "%s", detail);
    return false;
}

int api_rights_of(struct api_call *k, struct rights *ret)
{
    struct who *w = &k->who;
    int64_t now = clock_real();
    int r = tenant_open(k->db, k->tenant);
    if (r != 0)
        return r;
    if (strcmp(k->tenant, w->home) == 0)
        return granted_rights(k->db, k->tenant, w->account, now, now, ret);
    if (tenant_is_customer(w->home) || !tenant_is_customer(k->tenant))
        return CLOUD_ABSENT;
    r = support_rights(k->db, k->tenant, w->account, now, ret, w->support);
    w->has_support = r == 0 && ret->n > 0;
    return r == 0 && ret->n == 0 ? CLOUD_ABSENT : r;
}

bool api_enter(struct api_call *k, uint64_t perms)
{
    struct who *w = &k->who;
    k->tenant = k->q->tenant ? k->q->tenant : w->home;
    int r = api_rights_of(k, &w->rights);
    if (r == CLOUD_ABSENT) /* also where there is no such customer */
        return refused(k, PROBLEM_FORBIDDEN,
                       strcmp(k->tenant, w->home) == 0 ? CLOSED : "nobody of that company has let you in");
    if (r != 0)
        call_outcome(k, r, "rights");
    for (size_t i = 0; i < w->rights.n; i++)
        w->rights.items[i].perms &= perms;
    return r == 0;
}

/* Of a token of an account in use: whose it is. */
static int find_holder(struct api_call *k, const struct token *t)
{
    struct scope s;
    struct account a;
    int r = scope_init(k->cloud, k->db, t->tenant, &s);
    if (r == 0)
        r = account_find(&s, t->account, &a);
    if (r != 0)
        return r == CLOUD_DAMAGED ? CLOUD_ABSENT : r;
    r = a.state == ACCOUNT_ACTIVE ? people_here(&s, a.key, clock_real()) : CLOUD_ABSENT;
    memcpy(k->who.account, a.id, ID_LEN);
    memcpy(k->who.person, a.person, ID_LEN);
    k->who.factor = a.has_totp;
    account_wipe(&a);
    return r;
}

/* Whoever it is: token_check() said that it is good. */
static void take_token(struct api_call *k, const struct token *t)
{
    struct who *w = &k->who;
    *w = (struct who){.is = t->is_operator   ? WHO_OPERATOR
                            : t->has_account ? WHO_ACCOUNT
                                             : WHO_BOOTSTRAP,
                      .has_token = true};
    memcpy(w->token, t->id, TOKEN_ID_LEN);
    str_copy(w->home, sizeof w->home, t->is_operator ? VENDOR_TENANT : t->tenant);
    str_copy(w->address, sizeof w->address, k->q->address ? k->q->address : "");
    k->tenant = t->is_operator ? "" : w->home;
}

/* The reply is made when it returns false. */
static bool by_token(struct api_call *k, const char *text)
{
    struct token t;
    int64_t now = clock_real();
    int r = token_check(k->db, text, now, &t);
    if (r == 0) {
        take_token(k, &t);
        r = t.has_account ? find_holder(k, &t) : 0;
    }
    if (r == CLOUD_ABSENT) {
        /* The store gives one answer to all bad tokens. At time 0 none has expired; who knows an expired token's text
         * may be told what is wrong with it. */
        bool expired = token_check(k->db, text, 0, &t) == 0 && t.expires != 0 && t.expires <= now;
        unauthorised(k, expired ? PROBLEM_TOKEN_EXPIRED : PROBLEM_TOKEN_UNKNOWN,
                     expired ? "the token has expired" : "the token is unknown or revoked");
        return false;
    }
    if (r != 0) {
        call_outcome(k, r, "token");
        return false;
    }
    used_note(cloud_used(k->cloud), &t, now);
    if (!token_from(&t, k->who.address))
        return refused(k, PROBLEM_FORBIDDEN, "this token is not for use from this address");
    r = k->who.is == WHO_BOOTSTRAP ? tenant_open(k->db, k->tenant) : 0;
    if (r == CLOUD_ABSENT)
        return refused(k, PROBLEM_FORBIDDEN, CLOSED);
    if (r != 0)
        call_outcome(k, r, "tenant");
    else if (k->who.is == WHO_BOOTSTRAP)
        rights_add(&k->who.rights, role_perms_of_tenant(k->tenant), REACH_TENANT, NULL);
    return r == 0 && (k->who.is != WHO_ACCOUNT || api_enter(k, t.perms));
}

/* The class of who asks fits the route's. */
static bool in_scope(struct api_call *k)
{
    const struct who *w = &k->who;
    enum api_scope scope = k->route->scope;
    if (w->is == WHO_OPERATOR && scope != SCOPE_OPERATOR)
        return refused(k, PROBLEM_FORBIDDEN,
                       "an operator's token does not reach a tenant's data; use a tenant's token");
    if (w->is != WHO_OPERATOR && scope == SCOPE_OPERATOR)
        return refused(k, PROBLEM_FORBIDDEN, "this needs an operator's token");
    /* what is one's own was not put into the token's hands */
    if (scope == SCOPE_SELF && (!w->has_session || strcmp(k->tenant, w->home) != 0))
        return refused(k, PROBLEM_FORBIDDEN, "this is for who has logged in, not for a token");
    return true;
}

bool api_permits(struct api_call *k)
{
    enum perm p = k->route->perm;
    return k->route->scope != SCOPE_TENANT ||
           (call_may(k, p) && ((k->route->flags & REACHES) != 0 || call_everywhere(k, p)));
}

bool api_permitted(struct api_call *k)
{
    enum perm p = k->route->perm;
    if (api_permits(k))
        return true;
    problem_reply(k->r, PROBLEM_FORBIDDEN, "this needs the permission %s%s", perm_name(p),
                  call_may(k, p) ? " for the whole company" : "");
    return false;
}

/* Nobody can ask a machine for a password; a bootstrap token ends before there is anybody to ask. */
bool api_stepped_up(struct api_call *k, const struct api_route *route)
{
    const struct who *w = &k->who;
    int64_t now = clock_real();
    if ((route->flags & STEP_UP) == 0 || w->is != WHO_ACCOUNT)
        return true;
    if (!w->has_session)
        return refused(k, PROBLEM_STEP_UP,
                       "this is done by a person who has just given password and code, not by a token");
    if (w->stepped == 0 || w->stepped > now || now - w->stepped > STEP_UP_US)
        return refused(k, PROBLEM_STEP_UP, "give password and code again, then repeat this within 5 minutes");
    return true;
}

bool api_authorised(struct api_call *k)
{
    const char *h = k->q->authorization;
    bool known = false;
    if (h && strncasecmp(h, "Bearer ", 7) == 0)
        known = by_token(k, h + 7 + strspn(h + 7, " "));
    else if (!h && k->q->cookie && strstr(k->q->cookie, SESSION_COOKIE "="))
        known = api_by_cookie(k);
    else
        unauthorised(k, PROBLEM_TOKEN_MISSING, "send Authorization: Bearer and a token, or log in");
    return known && api_vendor_let_in(k) && in_scope(k) && api_permitted(k) && api_factor_given(k) &&
           api_stepped_up(k, k->route);
}

/* ---- how far it reaches ---- */

typedef bool reach_fn(struct api_call *k, const struct rights *r, enum perm p, const void *what);

/* What is done with four eyes reaches as far as both reach. */
static bool each(struct api_call *k, reach_fn *fn, enum perm p, const void *what)
{
    return fn(k, &k->who.rights, p, what) && (k->second == NULL || fn(k, &k->second->rights, p, what));
}

static bool everywhere(struct api_call *k, const struct rights *r, enum perm p, const void *what)
{
    return rights_everywhere(r, p);
}

static bool reaches_site(struct api_call *k, const struct rights *r, enum perm p, const void *site)
{
    return rights_reach(r, p, REACH_SITE, site);
}

int call_sure(struct api_call *k, int r)
{
    if (r != 0 && r != CLOUD_ABSENT && r != CLOUD_DAMAGED)
        *k->unsure = r;
    return r;
}

static bool has_sites(const struct rights *r, enum perm p)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].kind == REACH_SITE && (r->items[i].perms & PERM_BIT(p)) != 0)
            return true;
    return false;
}

/* By name, or by its site, which is looked up only where it can matter. */
static bool reaches_unit(struct api_call *k, const struct rights *r, enum perm p, const void *id)
{
    struct unit unit;
    if (rights_reach(r, p, REACH_UNIT, id))
        return true;
    return has_sites(r, p) && call_sure(k, unit_get(k->cloud, k->db, k->tenant, id, &unit)) == 0 && unit.has_site &&
           reaches_site(k, r, p, unit.site);
}

static bool reaches_person(struct api_call *k, const struct rights *r, enum perm p, const void *what)
{
    const struct person *person = what;
    return rights_reach(r, p, REACH_PERSON, person->id) || (person->has_unit && reaches_unit(k, r, p, person->unit));
}

bool call_everywhere(struct api_call *k, enum perm p)
{
    return each(k, everywhere, p, NULL);
}

bool call_reaches_person(struct api_call *k, enum perm p, const struct person *person)
{
    return each(k, reaches_person, p, person);
}

bool call_reaches_site(struct api_call *k, enum perm p, const uint8_t site[ID_LEN])
{
    return each(k, reaches_site, p, site);
}

bool call_reaches_unit(struct api_call *k, enum perm p, const uint8_t unit[ID_LEN])
{
    return each(k, reaches_unit, p, unit);
}

bool call_may(const struct api_call *k, enum perm p)
{
    return rights_any(&k->who.rights, p) && (k->second == NULL || rights_any(&k->second->rights, p));
}
