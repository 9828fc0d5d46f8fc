/* /v1/me/confidentiality: what the vendor's people sign before they can reach anything of a customer. */
#include <string.h>

#include "api/support.h"
#include "base/clock.h"
#include "cloud/confidentiality.h"

/* Nobody else has anything to sign; false: answered. */
static bool is_vendors(struct api_call *k)
{
    if (strcmp(k->who.home, VENDOR_TENANT) == 0)
        return true;
    problem_reply(k->r, PROBLEM_NOT_FOUND, "only the vendor's people sign this");
    return false;
}

static void answer(struct api_call *k)
{
    int64_t when = 0;
    int r = confidentiality_signed(k->db, k->who.account, &when);
    if (r != 0 && r != CLOUD_ABSENT) {
        call_outcome(k, r, "statement");
        return;
    }
    problem_json(k->r, 200,
                 json_pack("{s:i, s:s, s:o}", "version", CONFIDENTIALITY_VERSION, "text", confidentiality_text(),
                           "signed", r == 0 ? json_time(when) : json_null()));
}

void api_confidentiality_get(struct api_call *k)
{
    if (is_vendors(k))
        answer(k);
}

void api_confidentiality_sign(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "version", .type = BODY_UINT, .required = true, .min = 1, .max = INT32_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct scope s;
    json_t *body = NULL;
    if (!is_vendors(k) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    json_decref(body);
    if (v[0].i != CONFIDENTIALITY_VERSION) {
        problem_reply(k->r, PROBLEM_CONFLICT, "the statement is of version %d: read that one first",
                      CONFIDENTIALITY_VERSION);
        return;
    }
    int r = scope_init(k->cloud, k->db, VENDOR_TENANT, &s);
    if (r == 0)
        r = confidentiality_sign(&s, k->who.account, clock_real());
    if (r != 0 && r != CLOUD_CONFLICT) { /* signed before: that date stands */
        call_outcome(k, r, "statement");
        return;
    }
    answer(k);
}
