/* What a request puts into the audit trail: what was seen, before it leaves, and what was changed, with the change; and
 * what was refused. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit_move.h"
#include "cloud/people.h"
#include "cloud/scope.h"

/* ---- seen ---- */

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, ID_LEN);
}

void shown_add(struct shown *s, const uint8_t id[ID_LEN], const uint8_t *key)
{
    if (s->n == s->cap && !s->failed) {
        size_t cap = s->cap == 0 ? 64 : 2 * s->cap;
        struct subject *p = realloc(s->items, cap * sizeof *p);
        s->failed = p == NULL;
        if (p != NULL) {
            s->items = p;
            s->cap = cap;
        }
    }
    if (s->failed)
        return;
    struct subject *x = &s->items[s->n++];
    memcpy(x->id, id, ID_LEN);
    if (key != NULL)
        memcpy(x->key, key, ID_LEN);
    else
        memset(x->key, 0, ID_LEN);
}

/* Who is gone meanwhile stays without a key: the trail will say that there was somebody. */
static int find_key(struct api_call *k, struct subject *x)
{
    static const uint8_t none[ID_LEN];
    if (memcmp(x->key, none, ID_LEN) != 0)
        return 0;
    int r = people_key(k->db, k->tenant, x->id, x->key);
    return r == CLOUD_ABSENT ? 0 : r;
}

size_t shown_once(struct shown *s)
{
    size_t n = 0;
    if (s->n > 0)
        qsort(s->items, s->n, sizeof s->items[0], by_id);
    for (size_t i = 0; i < s->n; i++)
        if (n == 0 || memcmp(s->items[n - 1].id, s->items[i].id, ID_LEN) != 0)
            s->items[n++] = s->items[i];
    s->n = n;
    return n;
}

bool call_saw_those(struct api_call *k, const char *fields, struct shown *s)
{
    size_t n = shown_once(s);
    int r = s->failed ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = find_key(k, &s->items[i]);
    bool ok = r == 0 && call_saw(k, fields, s->items, n);
    if (r != 0)
        call_outcome(k, r, "audit trail");
    free(s->items);
    *s = (struct shown){0};
    return ok;
}

static const char *kind_of(const struct api_route *t)
{
    return t->perm != PERM_NONE         ? perm_name(t->perm)
           : t->scope == SCOPE_OPERATOR ? "operator"
           : t->scope == SCOPE_OPEN     ? "open"
                                        : "self";
}

bool call_saw(struct api_call *k, const char *fields, const struct subject *subjects, size_t n)
{
    const struct audit_event e = {
        .kind = kind_of(k->route),
        .outcome = AUDIT_DONE,
        .who = &k->who,
        .method = k->route->method,
        .route = k->route->pattern,
        .fields = fields,
        .count = n,
        .subjects = subjects,
        .n_subjects = n,
    };
    int r = k->probing ? 0 : audit_note(k->cloud, k->db, k->tenant, &e);
    k->saw = r == 0;
    if (r == 0)
        return true;
    log_error("audit.unrecorded", "route=%s error=%s action=\"nothing was shown\"", k->route->pattern,
              log_q(r < 0 ? error_str(r) : "unexpected outcome"));
    http_header(k->r, "Retry-After", "5");
    problem_reply(k->r, PROBLEM_UNAVAILABLE, "the access cannot be recorded now, so nothing is shown; try again");
    return false;
}

/* ---- changed ---- */

/* "/v1/sites/1234" -> "1234" */
static const char *last_of(const char *path)
{
    const char *last = strrchr(path, '/');
    return last != NULL ? last + 1 : path;
}

/* A person's id stands in no core. */
static const char *resource_of(const struct api_call *k)
{
    const char *path = k->location[0] ? k->location : k->param;
    return strstr(k->route->pattern, "/people") != NULL || !path[0] ? NULL : last_of(path);
}

json_t *call_second(const struct api_call *k)
{
    return k->second ? json_pack("{s:o}", "approved_by", json_hex(k->second->account, ID_LEN)) : NULL;
}

static int put(struct api_call *k, const struct subject *subject, json_t *old, json_t *now)
{
    bool more = k->asked || k->decision || k->second;
    json_t *detail = k->asked      ? json_pack("{s:s}", "asked", last_of(k->location))
                     : k->decision ? json_pack("{s:s}", "decision", k->decision)
                                   : call_second(k);
    const struct audit_event e = {
        .kind = kind_of(k->route),
        .outcome = AUDIT_DONE,
        .who = &k->who,
        .method = k->route->method,
        .route = k->route->pattern,
        .resource = resource_of(k),
        .subjects = subject,
        .n_subjects = subject != NULL ? 1 : 0,
        .old = old,
        .new = now,
        .detail = detail,
    };
    struct scope s;
    uint64_t key_gen;
    int r = scope_fenced(k->cloud, k->db, k->tenant[0] ? k->tenant : VENDOR_TENANT, &s, &key_gen);
    if (r == 0)
        r = more && !detail ? -ENOMEM : audit_put(&s, &e);
    json_decref(detail);
    return r;
}

bool call_changed(struct api_call *k, const struct subject *subject, json_t *old, json_t *now)
{
    int r = put(k, subject, old, now);
    if (r != 0)
        call_outcome(k, r, "audit trail");
    k->noted = r == 0;
    return r == 0;
}

int call_noted(struct api_call *k)
{
    return k->noted ? 0 : put(k, NULL, NULL, NULL);
}

/* ---- refused ---- */

void api_refused(struct api_call *k)
{
    const struct audit_event e = {.kind = k->refusal ? k->refusal : kind_of(k->route),
                                  .outcome = k->refusal && k->r->status != 429 ? AUDIT_FAILED : AUDIT_REFUSED,
                                  .who = &k->who,
                                  .method = k->route->method,
                                  .route = k->route->pattern};
    if (!k->who.address[0] && k->q->address) /* nobody has been looked at */
        str_copy(k->who.address, sizeof k->who.address, k->q->address);
    audit_refused(k->cloud, k->db, k->refused_in[0] ? k->refused_in : k->tenant, &e);
}
