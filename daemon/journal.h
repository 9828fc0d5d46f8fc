/* Group commit: records are encoded, sealed into the open segment and committed in one synced transaction.
 *
 * Sealing consumes the index. If a commit fails, its outcome is unknown: the segment's key is wiped, the spool is
 * re-opened and read back; records found there are stored, the others are sealed anew in a new segment. */
#pragma once

#include "daemon/spool.h"
#include "wire/record.h"

#define JOURNAL_BATCH 256
#define JOURNAL_ARG 80

enum { JOURNAL_FULL = 1 };

/* A record to be written, and what became of it. */
struct entry {
    struct record rec; /* its gseq is drawn by the journal; an event's arg may lie in `arg` */
    uint8_t arg[JOURNAL_ARG];
    const char *mark; /* the reader whose mark it sets, or NULL */
    uint8_t hash[32];
    /* the sight behind it, for who answers */
    bool from_sight;
    unsigned reader;
    uint64_t token;
    /* result */
    bool stored;
    uint64_t segno, index;
    uint8_t segid[SEGID_LEN];
    size_t at, n; /* its sealed bytes, the journal's own business */
};

struct journal;
struct journal_options {
    struct spool *spool;
    const uint8_t *recipient; /* CRYPTO_POINT bytes, outlives the journal */
    struct crypto_key *sign;
    uint8_t gw[GW_LEN], boot[BOOT_LEN];
    uint64_t gen;
    /* The clock record at a segment's start, and that it was committed. */
    void (*start_clock)(void *arg, struct record *ret);
    void (*start_stored)(void *arg);
    uint64_t (*mono)(void); /* us */
    void *arg;
};

int journal_new(const struct journal_options *o, struct journal **ret);
void journal_free(struct journal *j); /* wipes the record key; the segment stays open in the spool */

/* Seals what is not stored yet. JOURNAL_FULL: nothing was sealed. Negative: journal_commit() must follow all the same,
 * it recovers. */
int journal_stage(struct journal *j, struct entry *e, size_t n);
/* Commits what is staged, with recovery as above. 0: every entry is stored. Otherwise look at each. */
int journal_commit(struct journal *j, struct entry *e, size_t n, int staged);

/* Closes the open segment (staged). */
void journal_close(struct journal *j);
/* The open segment; false when none is. */
bool journal_open_segment(const struct journal *j, uint64_t *ret_segno);
/* Closes a segment older than an hour. */
void journal_tick(struct journal *j);
/* Forgets the open segment's key after the spool was re-opened by somebody else. */
void journal_drop(struct journal *j);
uint64_t journal_recoveries(const struct journal *j);
