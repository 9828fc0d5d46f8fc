/* Who asks, and what they may: the token, the rights behind it, and how far they reach. What is not granted is denied.
 */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/api_impl.h"
#include "cloud/people.h"

static void unauthorised(struct api_call *k, enum problem p, const char *detail)
{
    if (p == PROBLEM_TOKEN_MISSING) /* RFC 6750 section 3.1: no error code when nothing was presented */
        http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\"");
    else
        http_header(k->r, "WWW-Authenticate",
                    "Bearer realm=\"punchcloud\", error=\"invalid_token\", error_description=\"%s\"", detail);
    problem_reply(k->r, p, "%s", detail);
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
    if (r != 0) {
        call_outcome(k, r, "token");
        return false;
    }
    k->who = (struct who){.is = t.is_operator ? WHO_OPERATOR : WHO_BOOTSTRAP, .has_token = true};
    memcpy(k->who.token, t.id, TOKEN_ID_LEN);
    str_copy(k->who.home, sizeof k->who.home, t.is_operator ? VENDOR_TENANT : t.tenant);
    if (!t.is_operator)
        rights_add(&k->who.rights, PERM_ALL & ~PERM_VENDORS, REACH_TENANT, NULL);
    return true;
}

bool api_authorised(struct api_call *k)
{
    const char *h = k->q->authorization;
    if (!h || strncasecmp(h, "Bearer ", 7) != 0) {
        unauthorised(k, PROBLEM_TOKEN_MISSING, "send Authorization: Bearer and a token");
        return false;
    }
    if (!by_token(k, h + 7 + strspn(h + 7, " ")))
        return false;
    bool is_operator = k->who.is == WHO_OPERATOR;
    k->tenant = is_operator ? "" : k->who.home;
    if (is_operator != (k->route->scope == SCOPE_OPERATOR)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      is_operator ? "an operator's token does not reach a tenant's data; use a tenant's token"
                                  : "this needs an operator's token");
        return false;
    }
    if (k->route->scope == SCOPE_TENANT && !rights_any(&k->who.rights, k->route->perm)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "this needs the permission %s", perm_name(k->route->perm));
        return false;
    }
    return true;
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
