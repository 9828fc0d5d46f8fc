/* What was done under a support request or break-glass, as the customer's audit trail has it; and the sweep that
 * notices their ends and tells the customer. */
#pragma once

#include <jansson.h>

#include "cloud/audit.h"
#include "cloud/support.h"

/* Events of it from `from` on (0: its first), in their order, until `limit` were given or so many rows were looked at
 * that it is time to answer. *ret_next: where to go on; 0: it is over, and there are no more. Non-zero from fn ends the
 * walk. */
typedef int support_event_fn(void *arg, const json_t *core, const struct audit_row *row);
int support_events(const struct scope *s, const struct support *p, uint64_t from, size_t limit, support_event_fn *fn,
                   void *arg, uint64_t *ret_next);

struct support_summary {
    uint64_t reads, changes, refused;
    json_t *kinds;            /* {"people.read": 3, ...} */
    json_t *fields;           /* {"name": 3, ...} */
    char first[32], last[32]; /* times; "" without events */
    struct subject *people;   /* each once */
    size_t n_people, cap_people;
    uint64_t forgotten; /* mentions of people who are erased by now */
};
int support_summary(const struct scope *s, const struct support *p, struct support_summary *ret);
void support_summary_done(struct support_summary *y);

/* Ends what is over, and sends each summary once. clock_back: the clock was set back since the last time. Own
 * transactions, none when there is nothing to do. */
int support_sweep(struct cloud *c, struct db *db, int64_t now, bool clock_back);
