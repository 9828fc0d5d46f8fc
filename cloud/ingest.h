/* Ingest: messages from the broker to committed rows, then acks. One thread: under mbedTLS 2.28 every PSA call takes
 * the one lock, so a pool would wait in turn; a segment is verified and opened once, its records cost an AES-GCM each.
 */
#pragma once

#include "base/metrics.h"
#include "cloud/cloud.h"

enum ingest_count {
    INGEST_MESSAGES,
    INGEST_PUNCHES,    /* committed */
    INGEST_RECORDS,    /* committed, of every kind */
    INGEST_DUPLICATES, /* records below next, skipped */
    INGEST_AHEAD,      /* uploads that begin beyond next: acked with the old next */
    INGEST_FOLDED,     /* repeats folded into the punch they repeat */
    INGEST_PENDING,    /* punches that went to pending */
    INGEST_SETTLED,    /* pending ones filed since */
    INGEST_ODDITIES,   /* stored whole: invalid or unknown records */
    INGEST_ERASED,     /* punches of erased people that came late: committed, and nowhere */
    INGEST_FENCED,     /* uploads not acked because an erasure of their tenant is not finished */
    INGEST_VOID,       /* records that the gateway reported as its own damage */
    INGEST_FORKS,      /* two segments with one prev: an old SD image */
    INGEST_STATUSES,
    INGEST_COMMITS,
    INGEST_COMMIT_FAILURES,
    INGEST_ACKS,    /* items */
    INGEST_DROPPED, /* the queue was full */
    INGEST_CONNECTS,
    /* refusals, by reason */
    INGEST_BAD_TOPIC, /* not ours, wrong <p>, or not the gateway the message names */
    INGEST_BAD_SIZE,
    INGEST_BAD_CBOR, /* upload, segment or status that does not parse */
    INGEST_UNKNOWN_GATEWAY,
    INGEST_REVOKED,
    INGEST_OLD_GENERATION,
    INGEST_BAD_SIGNATURE,
    INGEST_UNKNOWN_KEY, /* recipient key */
    INGEST_BAD_OPEN,    /* the encapsulation does not open */
    INGEST_BAD_RECORD,  /* AEAD failure; the upload stops there */
    INGEST_COUNTS
};
const char *ingest_count_name(enum ingest_count i); /* "punches", "refused_signature", ... */
bool ingest_count_refusal(enum ingest_count i);

struct ingest;
/* Connects in a thread of its own and stays at it; never fails because the broker is away. */
int ingest_start(struct cloud *c, struct ingest **ret_ingest);
void ingest_stop(struct ingest *in); /* commits what is queued, joins, frees; takes NULL */
void ingest_counts(struct ingest *in, uint64_t ret[INGEST_COUNTS]);
bool ingest_connected(struct ingest *in);
/* ms since its thread came round last: it does twice a second, unless a commit waits. */
int64_t ingest_turned(const struct ingest *in);

void ingest_took(struct ingest *in, struct metrics_times *ret); /* commits of the store */
size_t ingest_queued(struct ingest *in);                        /* messages that wait */
