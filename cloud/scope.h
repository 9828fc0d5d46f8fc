/* What the store's own modules share: a tenant's scope, and transactions that keep ring and store in step. Not for the
 * HTTP half, but for the transaction that a whole request is (api/write.c). */
#pragma once

#include "cloud/cloud.h"
#include "cloud/keyring.h"

struct holders;

/* Numbers of the changes feed that are drawn but not yet in the store; see changes_drawn(). */
struct draws {
    bool begun;
    int64_t last;
};

struct scope {
    struct cloud *c;
    struct db *db;
    const char *tenant;
    struct keyring *ring;
    int64_t created;         /* the tenant's: no punch of its is older */
    struct holders *holders; /* ingest's; NULL for everybody else */
    struct draws *draws;     /* the same */
    bool *damaged;           /* set when a row was met that does not open; NULL: nobody asks */
};
/* CLOUD_ABSENT. CLOUD_FENCED: inside a write transaction, when the keyring is of another generation than the store. So
 * whatever stages keys or files rows makes its scope inside its transaction. */
int scope_init(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope);
/* The same past the fence, for who brings the two together. */
int scope_fenced(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope, uint64_t *ret_key_gen);

/* As db_begin(): one inside another joins it. */
int cloud_begin(struct cloud *c, struct db *db);
/* The outermost syncs the staged keys of every ring, here and in escrow, turns the ring that is due (keyring.h), then
 * commits. A failure has rolled back. */
int cloud_commit(struct cloud *c, struct db *db);
void cloud_rollback(struct cloud *c, struct db *db); /* no-op outside a transaction */
/* Either, by the outcome of what was done in it: 0 commits. Returns the outcome. */
int cloud_end(struct cloud *c, struct db *db, int r);
/* cloud_begin() and scope_init(). Not 0: nothing is begun. */
int scope_begin(struct cloud *c, struct db *db, const char *tenant, struct scope *ret_scope);
/* Runs `sql` in a transaction of its own; waits for the writers' gate only when `due` finds a row. ?1 is `before`, ?2
 * the tenant (NULL: neither statement has one). */
int cloud_sweep(struct cloud *c, struct db *db, const char *due, const char *sql, int64_t before, const char *tenant);
#define SWEEP(rows) "SELECT 1 FROM " rows " LIMIT 1", "DELETE FROM " rows /* its two statements, where rows just go */
/* Looks after the escrow folders: what one lacks that was away or could not be written is written there. */
void cloud_heal(struct cloud *c);

/* Makes the tenant's ring and opens it; a ring left by a crash before the tenant's row committed is taken over. */
int cloud_ring_create(struct cloud *c, const char *tenant, struct keyring **ret_ring);

/* A prepared statement with the tenant bound as ?1. */
int scope_stmt(const struct scope *s, const char *sql, struct db_stmt **ret_stmt);

/* A row of this tenant does not open: tells, counts, and sets *s->damaged. */
#define SHOWN_DAMAGED "shown as damaged"
#define PASSED_OVER "passed over"
void scope_damaged(const struct scope *s, const char *table, struct bytes row, const char *action);

#define DAY_US (86400LL * 1000000)
/* So far a clock that is being corrected goes back; beyond it was set back. */
#define CLOCK_BACK_US INT64_C(5000000)
int64_t day_of(int64_t us);     /* days since 1970-01-01, rounded down */
uint32_t month_of(int64_t day); /* 12 * year + month - 1; never SEAL_PENDING */
