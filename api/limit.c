/* How much one may ask for, by where it comes from and by who it is; draft-ietf-httpapi-ratelimit-headers-11 for what
 * the answers say of it. Counted once a request, on the thread that it came in by. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "cloud/address.h"

/* What more than one customer shares is nobody's business: those kinds are told when they are exceeded, not before. */
static bool shown(enum ratelimit_kind kind)
{
    return kind != RATELIMIT_REPORTS;
}

static bool take(struct api_call *k, enum ratelimit_kind kind, struct bytes who)
{
    struct ratelimit_state s;
    int r = ratelimit_take(api_limits(k->api), kind, who, clock_ms(), &s);
    if (r == RATELIMIT_NONE)
        return true;
    if (r < 0) {
        call_outcome(k, r, "limit");
        return false;
    }
    if (shown(kind)) {
        ASSERT(k->n_limits < API_LIMITS_MAX);
        k->limits[k->n_limits++] = s;
    }
    if (r == 0)
        return true;
    http_header(k->r, "Retry-After", "%llu", (unsigned long long)s.next_s);
    problem_reply(k->r, PROBLEM_TOO_MANY, "one %s may ask %llu times in %llu s; nothing was done", s.policy->name,
                  (unsigned long long)s.policy->requests, (unsigned long long)s.policy->window_s);
    return false;
}

static bool take_source(struct api_call *k, enum ratelimit_kind kind)
{
    struct address a = {0};
    const char *text = k->q->address;
    if (text && address_parse(text, strlen(text), &a) == 0)
        a = address_share(&a);
    return take(k, kind, BYTES(a.b, sizeof a.b));
}

bool api_limit_source(struct api_call *k)
{
    return k->q->line != HTTP_LINE_NONE || take_source(k, RATELIMIT_SOURCE);
}

bool api_limit_who(struct api_call *k)
{
    const struct who *w = &k->who;
    if (k->q->line != HTTP_LINE_NONE)
        return true;
    struct bytes id = w->has_token     ? BYTES(w->token, sizeof w->token)
                      : w->has_session ? BYTES(w->session, sizeof w->session)
                                       : BYTES_NONE;
    if (id.n > 0 && !take(k, RATELIMIT_TOKEN, id))
        return false;
    return !k->tenant || !*k->tenant || take(k, RATELIMIT_TENANT, BYTES_STR(k->tenant));
}

bool api_limit_report(struct api_call *k)
{
    return take_source(k, RATELIMIT_REPORT) && take(k, RATELIMIT_REPORTS, BYTES_NONE);
}

void api_limit_tell(struct api_call *k)
{
    for (size_t i = 0; i < k->n_limits; i++) {
        const struct ratelimit_state *s = &k->limits[i];
        const struct ratelimit_policy *p = s->policy;
        http_header(k->r, "RateLimit-Policy", "\"%s\";q=%llu;w=%llu", p->name, (unsigned long long)p->requests,
                    (unsigned long long)p->window_s);
        http_header(k->r, "RateLimit", "\"%s\";r=%llu;t=%llu", p->name, (unsigned long long)s->left,
                    (unsigned long long)s->full_s);
    }
}
