/* The table is set-associative: a hash leads to a few buckets, of which the one unused for longest gives way. So there
 * are no lists to keep, and what a flood of strangers displaces is what happens to share their sets. */
#include "api/ratelimit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"

#define SETS 2048u
#define WAYS 8u
#define TAG_LEN 16
#define UNIT 1000u /* parts of a request, so that slow buckets fill evenly */

struct bucket {
    uint8_t tag[TAG_LEN];
    int64_t at;    /* clock_ms() when it was last used; 0: never */
    uint64_t left; /* in units, then */
};

struct ratelimit {
    struct ratelimit_policy policies[RATELIMIT_KINDS];
    uint8_t key[CRYPTO_KEY];
    pthread_mutex_t lock; /* of what follows */
    struct bucket buckets[SETS][WAYS];
};

int ratelimit_new(const struct ratelimit_policy policies[RATELIMIT_KINDS], struct ratelimit **ret_limit)
{
    struct ratelimit *l = calloc(1, sizeof *l);
    int r = l ? crypto_random(l->key, sizeof l->key) : -ENOMEM;
    if (r < 0) {
        free(l);
        return r;
    }
    memcpy(l->policies, policies, sizeof l->policies);
    pthread_mutex_init(&l->lock, NULL);
    *ret_limit = l;
    return 0;
}

void ratelimit_free(struct ratelimit *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    crypto_wipe(l, sizeof *l);
    free(l);
}

/* The bucket of a tag, or the one of its set that gives way; a new one is full. */
static struct bucket *find(struct ratelimit *l, const uint8_t tag[TAG_LEN], uint64_t full)
{
    struct bucket *set = l->buckets[(tag[0] | (unsigned)tag[1] << 8) % SETS], *oldest = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].at != 0 && memcmp(set[i].tag, tag, TAG_LEN) == 0)
            return &set[i];
        if (set[i].at < oldest->at)
            oldest = &set[i];
    }
    memcpy(oldest->tag, tag, TAG_LEN);
    oldest->at = 0;
    oldest->left = full;
    return oldest;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static bool take(struct bucket *b, const struct ratelimit_policy *p, int64_t now, struct ratelimit_state *ret)
{
    const uint64_t full = p->requests * UNIT, window_ms = p->window_s * 1000;
    ASSERT(window_ms > 0);
    uint64_t passed = b->at != 0 && now > b->at ? (uint64_t)(now - b->at) : 0;
    passed = passed < window_ms ? passed : window_ms;
    uint64_t left = b->left + full * passed / window_ms;
    left = left < full ? left : full;
    /* What was too little for a unit is not lost: the bucket stays as it was. */
    const bool ok = left >= UNIT;
    if (ok || left != b->left) {
        b->left = ok ? left - UNIT : left;
        b->at = now;
    }
    left = ok ? left - UNIT : left;
    *ret = (struct ratelimit_state){
        .policy = p,
        .left = left / UNIT,
        .full_s = divide_up((full - left) * p->window_s, full),
        .next_s = left >= UNIT ? 0 : divide_up((UNIT - left) * p->window_s, full),
    };
    return ok;
}

int ratelimit_take(struct ratelimit *l, enum ratelimit_kind kind, struct bytes who, int64_t now,
                   struct ratelimit_state *ret_state)
{
    const struct ratelimit_policy *p = &l->policies[kind];
    const uint8_t k = (uint8_t)kind;
    const struct bytes parts[] = {BYTES(&k, 1), who};
    uint8_t tag[CRYPTO_HASH];
    if (p->requests == 0 || p->window_s == 0)
        return RATELIMIT_NONE;
    int r = crypto_hmac(BYTES(l->key, sizeof l->key), parts, ARRAY_LEN(parts), tag);
    if (r < 0)
        return r;
    pthread_mutex_lock(&l->lock);
    bool ok = take(find(l, tag, p->requests * UNIT), p, now > 0 ? now : 1, ret_state);
    pthread_mutex_unlock(&l->lock);
    return ok ? 0 : RATELIMIT_OVER;
}
