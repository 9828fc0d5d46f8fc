/* The vendor's people at the door: nothing of anybody before they signed the statement of confidentiality, and a
 * customer's data only where, and as long as, they are let in. */
#include <string.h>

#include "api/api_impl.h"
#include "cloud/confidentiality.h"
#include "cloud/tenant.h"

static bool refused(struct api_call *k, enum problem p, const char *detail)
{
    problem_reply(k->r, p, "%s", detail);
    return false;
}

static bool signed_statement(struct api_call *k)
{
    int64_t when;
    int r = confidentiality_signed(k->db, k->who.account, &when);
    if (r == CLOUD_ABSENT)
        return refused(k, PROBLEM_CONFIDENTIALITY,
                       "sign the statement of confidentiality first: POST /v1/me/confidentiality");
    if (r != 0)
        call_outcome(k, r, "statement");
    return r == 0;
}

bool api_vendor_let_in(struct api_call *k)
{
    const struct who *w = &k->who;
    const char *tenant = k->q->tenant;
    if (w->is != WHO_ACCOUNT) /* acts in one company, if in any: that one's own name changes nothing */
        return !tenant || (w->is == WHO_BOOTSTRAP && strcmp(tenant, w->home) == 0) ||
               refused(k, PROBLEM_FORBIDDEN, "nobody of that company has let you in");
    if (tenant_is_customer(w->home) || k->route->scope == SCOPE_SELF)
        return true;
    if (!w->has_session && w->has_support)
        return refused(k, PROBLEM_FORBIDDEN, "a customer's data is for who has logged in, not for a token");
    if (!w->factor) /* whatever a customer has set for its own people */
        return refused(k, PROBLEM_SECOND_FACTOR, "the vendor's people have a second factor, and log in with it");
    return signed_statement(k);
}
