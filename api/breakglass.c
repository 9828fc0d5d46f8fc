/* /v1/break-glass: access without the customer's approval, for security or availability. One of the vendor's people
 * asks for it, another human being among them opens it, the customer is told at once and may end it, and a third person
 * reviews it before there can be another. */
#include <string.h>

#include "api/support.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/account.h"
#include "cloud/people_impl.h"

#define MINUTE_US (INT64_C(60) * 1000000)

void api_breakglass_list(struct api_call *k)
{
    support_list_page(k, SUPPORT_BREAK_GLASS);
}

static const char *const live[] = {"state", NULL};

void api_breakglass_get(struct api_call *k)
{
    struct scope s;
    struct support p;
    if (support_named(k, SUPPORT_BREAK_GLASS, &s, &p))
        call_resource(k, support_json(&p), live);
}

static bool read_request(struct api_call *k, struct support *ret, struct scope *ret_s)
{
    enum { F_TENANT, F_CATEGORY, F_REASON, F_PERMS, F_MINUTES, F_COUNT };
    static const struct body_field fields[F_COUNT] = {
        [F_TENANT] = {.name = "tenant", .type = BODY_STRING, .required = true, .min = 1, .max = TENANT_MAX},
        [F_CATEGORY] = {.name = "category", .type = BODY_STRING, .required = true, .min = 1, .max = 32},
        [F_REASON] = {.name = "reason", .type = BODY_STRING, .required = true, .min = 1, .max = SUPPORT_REASON_MAX},
        [F_PERMS] = {.name = "permissions", .type = BODY_STRINGS, .required = true, .min = 1, .max = PERM_COUNT},
        [F_MINUTES] = {.name = "minutes", .type = BODY_UINT, .required = true, .min = 1, .max = SUPPORT_MINUTES_MAX},
    };
    struct body_value v[F_COUNT];
    struct support p = {.kind = SUPPORT_BREAK_GLASS, .reach = REACH_TENANT};
    json_t *body = NULL;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    p.length = v[F_MINUTES].i * MINUTE_US;
    bool ok = support_customer(k, v[F_TENANT].s, ret_s) &&
              call_perms(k, "permissions", v[F_PERMS].list, PERM_ALL & ~SUPPORT_NEVER, &p.asked);
    if (ok && !support_category_find(v[F_CATEGORY].s, &p.category)) {
        call_invalid(k, "category", "is not security or availability; for all else ask the customer");
        ok = false;
    } else if (ok && str_copy(p.reason, sizeof p.reason, v[F_REASON].s) != 0) {
        call_invalid(k, "reason", "is longer than %d bytes of UTF-8", SUPPORT_REASON_MAX);
        ok = false;
    }
    str_copy(p.tenant, sizeof p.tenant, v[F_TENANT].s);
    json_decref(body);
    if (ok)
        *ret = p;
    return ok;
}

/* The last one has to be reviewed first; false: answered. */
static bool none_owed(struct api_call *k)
{
    bool owed = true;
    int r = support_review_owed(k->db, &owed);
    if (r != 0)
        call_outcome(k, r, "review");
    else if (owed)
        problem_reply(k->r, PROBLEM_REVIEW_OWED, "the last break-glass has not been reviewed yet");
    return r == 0 && !owed;
}

void api_breakglass_ask(struct api_call *k)
{
    struct scope s;
    struct support asked, p;
    if (!none_owed(k) || !read_request(k, &asked, &s))
        return;
    s.tenant = asked.tenant;
    memcpy(asked.account, k->who.account, ID_LEN);
    int r = support_ask(&s, &asked, clock_real(), &p);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "you have an access to this customer, or asked for one; withdraw that");
    else if (r != 0)
        call_outcome(k, r, "break-glass");
    else
        support_answer(k, &s, &p, "breakglass.requested", true);
}

/* CLOUD_INVALID: the same one as `first` is. */
static int other_being(struct api_call *k, const uint8_t first[ID_LEN])
{
    struct scope s;
    struct account a = {0}, b = {0};
    int r = scope_init(k->cloud, k->db, VENDOR_TENANT, &s);
    if (r == 0)
        r = account_find(&s, first, &a);
    if (r == 0)
        r = people_here(&s, a.key, clock_real());
    if (r == 0)
        r = account_find(&s, k->who.account, &b);
    if (r == CLOUD_ABSENT || r == CLOUD_DAMAGED || (r == 0 && a.state != ACCOUNT_ACTIVE))
        r = CLOUD_CONFLICT; /* who asked is gone */
    if (r == 0 && account_one_being(&a, &b))
        r = CLOUD_INVALID;
    account_wipe(&a);
    account_wipe(&b);
    return r;
}

void api_breakglass_second(struct api_call *k)
{
    struct scope s;
    struct support p;
    if (!support_named(k, SUPPORT_BREAK_GLASS, &s, &p) || !none_owed(k))
        return;
    int r = other_being(k, p.account);
    if (r == 0)
        r = support_second(&s, p.id, k->who.account, clock_real(), &p);
    if (r == CLOUD_INVALID)
        problem_reply(k->r, PROBLEM_FORBIDDEN, "a second human being opens it, not the one who asked");
    else if (r != 0)
        support_outcome(k, r);
    else if (support_tell(k, &s, &p, MAIL_BREAKGLASS))
        support_answer(k, &s, &p, "breakglass.opened", false);
}

void api_breakglass_review(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "findings", .type = BODY_STRING, .required = true, .min = 1, .max = SUPPORT_FINDINGS_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct scope s;
    struct support p;
    json_t *body = NULL;
    if (!support_named(k, SUPPORT_BREAK_GLASS, &s, &p) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    bool was_one = memcmp(p.account, k->who.account, ID_LEN) == 0 || memcmp(p.second, k->who.account, ID_LEN) == 0;
    if (strlen(v[0].s) > SUPPORT_FINDINGS_MAX) {
        call_invalid(k, "findings", "is longer than %d bytes of UTF-8", SUPPORT_FINDINGS_MAX);
    } else if (was_one) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "somebody reviews it who was neither of the two");
    } else {
        int r = support_review(&s, p.id, k->who.account, v[0].s, clock_real(), &p);
        if (r != 0)
            support_outcome(k, r);
        else
            support_answer(k, &s, &p, "breakglass.reviewed", false);
    }
    json_decref(body);
}
