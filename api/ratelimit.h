/* How many requests somebody may make: token buckets of a fixed number, in memory. One that is full says nothing, so
 * forgetting who has not asked for longest costs little when there are more askers than buckets. Who asks is kept as a
 * keyed hash only. All functions are thread-safe. */
#pragma once

#include "base/buf.h"

enum ratelimit_kind {
    RATELIMIT_SOURCE,  /* address */
    RATELIMIT_TOKEN,   /* token or session */
    RATELIMIT_TENANT,  /* all of a customer's together */
    RATELIMIT_REPORT,  /* security reports of one address */
    RATELIMIT_REPORTS, /* of all together */
    RATELIMIT_KINDS
};

struct ratelimit_policy {
    const char *name;  /* as answers show it */
    uint64_t requests; /* at once at most, and within the window again; 0: no limit */
    uint64_t window_s;
};

struct ratelimit_state {
    const struct ratelimit_policy *policy;
    uint64_t left;
    uint64_t full_s; /* until it is full again, rounded up */
    uint64_t next_s; /* until one more request is allowed, rounded up; 0: it is */
};

struct ratelimit;
int ratelimit_new(const struct ratelimit_policy policies[RATELIMIT_KINDS], struct ratelimit **ret_limit);
void ratelimit_free(struct ratelimit *l);
/* Takes one request of `who`, at `now` by clock_ms(). 0; RATELIMIT_OVER: it is one too many. RATELIMIT_NONE: there is
 * no limit of this kind, and *ret_state is untouched. Negative: the hash could not be made. */
enum { RATELIMIT_OVER = 1, RATELIMIT_NONE = 2 };
int ratelimit_take(struct ratelimit *l, enum ratelimit_kind kind, struct bytes who, int64_t now,
                   struct ratelimit_state *ret_state);
