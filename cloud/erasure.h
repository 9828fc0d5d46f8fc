/* Erasure of a person (design section 6): the rows go, the keys go, what arrives later is dropped, and backups of
 * before hold nothing that opens.
 *
 *   1. the write transaction: every row under the person's key, what waited under the person's cards, oddities that
 * hold a card; keys that go: the person's, and those under which these cards ever waited
 *   2. cloud_commit(): ring n+1 beside ring n in every copy, the journal (tombstone.h), then the store's commit with
 *      tenant.key_gen = n+1, then n+1 in place of n and KEK n destroyed
 *   3. the store's files are scrubbed of what was deleted; only then it is done
 *
 * What is journalled rolls forward: at the next open, or by the sweep. Until then scope_init() lets nobody write. */
#pragma once

#include "cloud/audit.h"
#include "cloud/cloud.h"
#include "cloud/tombstone.h"
#include "wire/status.h"

struct erasure {
    uint8_t id[ID_LEN];
    uint8_t person[ID_LEN]; /* random; nobody's now */
    int64_t requested;      /* us; store and backups are rid of the person from `done` on */
    int64_t done;           /* us, 0 = not yet */
    struct tomb_counts counts;
};
struct erasure_list {
    struct erasure *items;
    size_t n;
    bool more; /* the next page begins after the last item's id */
};

/* What would go; nothing changes. CLOUD_ABSENT: no such person. */
int erasure_plan(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                 struct tomb_counts *ret_counts);
/* Own transaction. CLOUD_ABSENT. CLOUD_FENCED: the one before is not finished. ERASURE_BEGUN: the journal stands and
 * the store could not be brought along; it rolls forward. Negative: nothing was erased. asked: who did it and by which
 * route, for the audit trail, where it is "erasure.begun" in its transaction and "erasure.done" when the store is
 * scrubbed. */
enum { ERASURE_BEGUN = 16 };
int erasure_make(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                 const struct audit_event *asked, struct erasure *ret_erasure);
int erasure_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                struct erasure *ret_erasure); /* CLOUD_ABSENT */
int erasure_of(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
               struct erasure *ret_erasure); /* that person's; CLOUD_ABSENT */
/* By (random) id, beginning after `after` (NULL: from the start), at most limit. */
int erasure_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                 struct erasure_list *ret_list);
void erasure_list_done(struct erasure_list *l);

/* Where sealed originals of before the erasure may still lie: gateways whose last signed status lists a segment sealed
 * to one of the recipient keys of that time, or that have not said anything since. */
struct erasure_wait {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    int64_t status; /* us, 0 = none yet */
    size_t n_rkids;
    uint8_t rkids[STATUS_RKIDS_MAX][RKID_LEN];
};
struct erasure_wait_list {
    struct erasure_wait *items;
    size_t n;
};
int erasure_waits(struct db *db, const char *tenant, int64_t requested, struct erasure_wait_list *ret_list);
void erasure_wait_list_done(struct erasure_wait_list *l);

/* Finishes what is journalled, all tenants, scrubs the store and notes what is done. One tenant's trouble is not
 * another's; the first error is returned. CLOUD_EPOCH: a store is ahead of its keyring. at_start: a large store is left
 * for the sweep, or a start would last as long as that takes. */
int erasure_resume(struct cloud *c, struct db *db, bool at_start);
