/* The journal of what must be recorded before an answer leaves, without waiting for the store's one writer: an
 * append-only file, whose entries audit_move.c moves into the chains. Nothing in it is readable; what an entry holds is
 * not this module's business.
 *
 * File: "punch1 audit jnl" (16 bytes), generation (8); then entries: length (4), CRC-32 of the body (4), body. All
 * big-endian. A torn tail is cut when it is opened; if there is more behind it than a write that was cut off leaves,
 * the file as it was is kept as <path>.<time>.bad. Thread-safe. */
#pragma once

#include "base/buf.h"

#define AUDIT_JOURNAL_HEADER 24
#define AUDIT_JOURNAL_FRAME 8
#define AUDIT_JOURNAL_ENTRY_MAX 262144u

struct audit_journal;
/* Makes the file when there is none. max: bytes it may have. */
int audit_journal_open(const char *path, uint64_t max, struct audit_journal **ret_journal);
void audit_journal_close(struct audit_journal *j); /* takes NULL */

/* Returns when it is durable; one sync serves all that wait. AUDIT_JOURNAL_FULL: what is in the file has to be moved
 * first. Negative: it is not recorded, or nobody knows. *ret_end: where the file ends behind it; may be NULL. */
enum { AUDIT_JOURNAL_FULL = 1, AUDIT_JOURNAL_BAD = 100 }; /* 100: beside whatever a callback returns */
int audit_journal_add(struct audit_journal *j, struct bytes body, uint64_t *ret_end);

struct audit_journal_place {
    uint64_t generation, end; /* end: of what is durable */
    bool broken;              /* a sync failed; it takes no entry until it begins anew */
};
void audit_journal_place(struct audit_journal *j, struct audit_journal_place *ret);
/* Entries from `pos` on, at most n of them. Non-zero from fn ends it and is returned; *ret_pos is behind the last one
 * that fn took. AUDIT_JOURNAL_BAD: what stands there is no entry. */
typedef int audit_journal_fn(void *arg, struct bytes body);
int audit_journal_read(struct audit_journal *j, uint64_t pos, size_t n, audit_journal_fn *fn, void *arg,
                       uint64_t *ret_pos);
/* Nobody's entry is begun until audit_journal_go_on(), for whom audit_journal_add() waits; those written before are
 * durable when it returns. -EIO: broken; held all the same. */
int audit_journal_hold(struct audit_journal *j);
void audit_journal_go_on(struct audit_journal *j);
/* A new file of generation + 1 in place of this one, of which everything up to pos is moved. -EAGAIN: there is more in
 * it, or on its way. */
int audit_journal_renew(struct audit_journal *j, uint64_t pos);
/* The same for one that cannot be moved, or is of another time than the store: it is kept as <path>.<time>.bad. The
 * new one is at least of that generation. */
int audit_journal_abandon(struct audit_journal *j, uint64_t generation);

/* Bytes of the longest prefix of whole entries, and the generation. 0: not a journal. For opening, and for tests. */
uint64_t audit_journal_valid(struct bytes image, uint64_t *ret_generation);
