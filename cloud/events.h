/* What a gateway says about itself and its clock: rows of the table event, sealed under a key of the tenant's, since
 * they belong to no person. The sealing is shared with oddities, records that are stored whole because nobody here
 * understands them. */
#pragma once

#include "cloud/scope.h"
#include "wire/record.h"
#include "wire/segment.h"

/* Under the tenant's key, bound to table, segment and index. Appends. */
int events_seal(const struct scope *s, const char *table, const uint8_t segid[SEGID_LEN], uint64_t index,
                struct bytes plain, struct buf *ret_sealed);

/* Where a record stands among those of its gateway; also a page's end. */
struct event_pos {
    uint64_t gen, gseq;
    uint8_t segid[SEGID_LEN];
    uint64_t index;
};
/* Inside the caller's transaction; a row that is there already stays. plain is the record's plaintext. */
int events_put(const struct scope *s, const uint8_t gw[GW_LEN], const struct event_pos *at, struct bytes plain);

struct event_row {
    struct event_pos at;
    struct record rec; /* an event or a clock record; its argument lies in plain */
    uint8_t plain[RECORD_PLAIN_MAX];
};
struct event_list {
    struct event_row *items;
    size_t n;
    bool more;
    struct event_pos next; /* where the following page begins, when there is more */
};
#define EVENTS_LIMIT_MAX 1000
/* Newest first, by generation and gseq, behind `after` (NULL: from the newest). What does not open is logged and passed
 * over. CLOUD_INVALID: limit. */
int events_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN],
                const struct event_pos *after, size_t limit, struct event_list *ret_list);
void event_list_done(struct event_list *l);
