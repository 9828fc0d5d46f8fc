/* Reading the changes feed: each entry of changes.h, resolved to what is there now. */
#pragma once

#include "cloud/changes.h"
#include "cloud/correction.h"
#include "cloud/credential.h"
#include "cloud/gateway.h"
#include "cloud/people.h"
#include "cloud/query.h"
#include "cloud/reader.h"

/* By its kind one of the members holds what is there, or that it is damaged; CHANGE_REMOVED and CHANGE_ERASED have the
 * entry alone. */
struct feed_item {
    struct change entry;
    struct punch_row punch; /* CHANGE_PUNCH, CHANGE_PENDING, CHANGE_ADDED */
    struct person person;
    struct credential credential;
    struct gateway gateway;
    struct reader reader;
    struct correction correction;
    struct person corrected; /* whose */
};
typedef int feed_fn(void *arg, const struct feed_item *item);

/* Where a consumer is. All zeros: at the beginning. */
struct feed_pos {
    int64_t began; /* the last number of all when it was at the beginning */
    int64_t after; /* the last number that it has seen */
};

/* Where a consumer is that begins with what comes from now on. CLOUD_ABSENT: no such tenant. */
int feed_now(struct cloud *c, struct db *db, const char *tenant, struct feed_pos *ret_pos);
/* Looks at up to `limit` entries behind *pos, in one state of the store, and gives those that still say something:
 * where a row has gone, a later entry tells what became of it. Moves *pos on; *ret_more: there is more now.
 * CHANGES_LOST: this store has never been there, or an erasure took entries along that the consumer would have needed.
 * CLOUD_ABSENT: no such tenant. CLOUD_INVALID: limit. */
int feed_read(struct cloud *c, struct db *db, const char *tenant, size_t limit, feed_fn *fn, void *arg,
              struct feed_pos *pos, bool *ret_more);
