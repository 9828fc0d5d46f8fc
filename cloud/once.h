/* Requests that are done once however often they are sent (the API's Idempotency-Key): what was asked, as keyed hashes,
 * and where the outcome stands. Nothing of the request or of its answer is kept. */
#pragma once

#include "base/crypto.h"
#include "cloud/cloud.h"

#define ONCE_KEPT_US (INT64_C(24) * 3600 * 1000000)
#define ONCE_LOCATION_MAX 96

struct once {
    uint8_t key[CRYPTO_HASH], fingerprint[CRYPTO_HASH];
    unsigned status;                  /* of the answer */
    char location[ONCE_LOCATION_MAX]; /* path of the resource that it made or changed; "" for none */
};

/* What was asked. */
struct once_request {
    struct bytes who; /* whose key it is: one is of an account; empty: of the tenant's and operator's own tokens */
    const char *key, *method, *path;
    struct bytes body;
};
/* Fills key and fingerprint. tenant "": the operator's. CLOUD_ABSENT: no such tenant. */
int once_hash(struct cloud *c, struct db *db, const char *tenant, const struct once_request *q, struct once *ret_once);
/* What was done under once->key. CLOUD_ABSENT: nothing in the last ONCE_KEPT_US. */
int once_find(struct db *db, const char *tenant, const struct once *o, int64_t now, struct once *ret_done);
/* Inside the transaction of the effect. */
int once_put(struct db *db, const char *tenant, const struct once *o, int64_t now);
/* Deletes what is older than ONCE_KEPT_US. Disturbs no writer when nothing is. */
int once_sweep(struct cloud *c, struct db *db, int64_t now);
