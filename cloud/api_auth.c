/* Who asks, and what they may: the token, the rights behind it, and how far they reach. What is not granted is denied.
 */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/api_impl.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "cloud/used.h"

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

/* What the account may in k->tenant now, of what the token was made for. */
static int load_rights(struct api_call *k, uint64_t of)
{
    struct who *w = &k->who;
    int64_t now = clock_real();
    int r = granted_rights(k->db, k->tenant, w->home, w->account, now, now, &w->rights);
    for (size_t i = 0; i < w->rights.n; i++)
        w->rights.items[i].perms &= of;
    return r;
}

/* k->who and k->tenant of a token that is good. */
static int take_token(struct api_call *k, const struct token *t)
{
    struct who *w = &k->who;
    *w = (struct who){.is = t->is_operator   ? WHO_OPERATOR
                            : t->has_account ? WHO_ACCOUNT
                                             : WHO_BOOTSTRAP,
                      .has_token = true};
    memcpy(w->token, t->id, TOKEN_ID_LEN);
    str_copy(w->home, sizeof w->home, t->is_operator ? VENDOR_TENANT : t->tenant);
    k->tenant = t->is_operator ? "" : w->home;
    used_note(cloud_used(k->cloud), t, clock_real());
    if (w->is == WHO_BOOTSTRAP)
        rights_add(&w->rights, role_perms_of_tenant(k->tenant), REACH_TENANT, NULL);
    if (w->is != WHO_ACCOUNT)
        return 0;
    memcpy(w->account, t->account, ID_LEN);
    return load_rights(k, t->perms);
}

/* The reply is made when it returns false. */
static bool by_token(struct api_call *k, const char *text)
{
    struct token t;
    int r = token_check(k->db, text, clock_real(), &t);
    if (r == CLOUD_ABSENT) {
        /* The store gives one answer to all bad tokens. At time 0 none has expired; who knows an expired token's text
         * may be told what is wrong with it. */
        bool expired = token_check(k->db, text, 0, &t) == 0;
        unauthorised(k, expired ? PROBLEM_TOKEN_EXPIRED : PROBLEM_TOKEN_UNKNOWN,
                     expired ? "the token has expired" : "the token is unknown or revoked");
        return false;
    }
    if (r == 0)
        r = take_token(k, &t);
    if (r != 0)
        call_outcome(k, r, "token");
    return r == 0;
}

static bool refused(struct api_call *k, enum problem p, const char *detail)
{
    problem_reply(k->r, p, "%s", detail);
    return false;
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
    if (scope == SCOPE_SELF && !w->has_session)
        return refused(k, PROBLEM_FORBIDDEN, "this is for who has logged in, not for a token");
    return true;
}

static bool permitted(struct api_call *k)
{
    enum perm p = k->route->perm;
    if (k->route->scope != SCOPE_TENANT)
        return true;
    if (!rights_any(&k->who.rights, p))
        problem_reply(k->r, PROBLEM_FORBIDDEN, "this needs the permission %s", perm_name(p));
    else if ((k->route->flags & REACHES) == 0 && !rights_everywhere(&k->who.rights, p))
        problem_reply(k->r, PROBLEM_FORBIDDEN, "this needs the permission %s for the whole company", perm_name(p));
    else
        return true;
    return false;
}

/* Nobody can ask a machine for a password; a bootstrap token ends before there is anybody to ask. */
static bool stepped_up(struct api_call *k)
{
    const struct who *w = &k->who;
    int64_t now = clock_real();
    if ((k->route->flags & STEP_UP) == 0 || w->is != WHO_ACCOUNT)
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
    return known && in_scope(k) && permitted(k) && api_factor_given(k) && stepped_up(k);
}

bool call_everywhere(const struct api_call *k, enum perm p)
{
    return rights_everywhere(&k->who.rights, p);
}

bool call_reaches_person(struct api_call *k, enum perm p, const struct person *person)
{
    return rights_reach(&k->who.rights, p, REACH_PERSON, person->id);
}

bool call_reaches_site(const struct api_call *k, enum perm p, const uint8_t site[ID_LEN])
{
    return rights_reach(&k->who.rights, p, REACH_SITE, site);
}
