/* What an installation has for its trails while it is open: the journal, and a thread that moves the journal's entries
 * into the chains, tells of refusals that were only counted, and makes checkpoints.
 *
 * Exactly once: how far the journal is moved stands in the store, written in the transaction of the move. When all of
 * it is moved the file begins anew under its next generation. */
#pragma once

#include "cloud/audit.h"
#include "wire/cose.h"

#define AUDIT_JOURNAL_MAX (64ull << 20) /* what the journal may hold; beyond it nothing is noted, nor shown */

struct audit_mover;
/* The journal and the key are made when they are not there. */
int audit_mover_start(struct cloud *c, struct audit_mover **ret_mover);
void audit_mover_stop(struct audit_mover *m); /* moves what is left, if it can; takes NULL */
/* Waits until what was noted before is in the chains, at most so long. -ETIMEDOUT. */
int audit_settle(struct cloud *c, unsigned ms);
/* A checkpoint of what has changed, soon. */
void audit_soon(struct cloud *c);

/* A request that was refused. The first of its kind, route, and source is noted; more of them within a minute are
 * counted, and noted as one. */
void audit_refused(struct cloud *c, struct db *db, const char *tenant, const struct audit_event *e);

struct audit_counts {
    uint64_t noted, moved, lost, refused, journal_bytes;
};
void audit_counts(struct cloud *c, struct audit_counts *ret);

/* What verifies checkpoints. */
struct audit_key {
    char pem[256];
    uint8_t kid[KID_LEN];
};
void audit_key(struct cloud *c, struct audit_key *ret);
