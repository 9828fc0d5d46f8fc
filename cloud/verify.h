/* From a message to an opened segment: parse, resolve (gw, gen), check the signature, open with the recipient key. Both
 * costs, ECDSA and ECDH, are paid once a segment: opened ones stay in a bounded cache. */
#pragma once

#include "cloud/gateway.h"
#include "cloud/tally.h"
#include "wire/upload.h"

struct opened {
    uint8_t segid[SEGID_LEN];
    uint8_t signed_hash[CRYPTO_HASH]; /* of all signed bytes: another signature over the same header is checked anew */
    char tenant[TENANT_MAX + 1];
    struct seg_hdr hdr;
    struct seg_reader *reader; /* NULL: its recipient key is gone; the ledger may still know its ack key */
    uint64_t batch;            /* last used in */
};

struct verifier;
#define VERIFIER_SETS 256
#define VERIFIER_WAYS 8
/* Keeps sets * VERIFIER_WAYS opened segments; sets <= VERIFIER_SETS. */
int verifier_new(size_t sets, struct verifier **ret_v);
void verifier_free(struct verifier *v);
void verifier_next_batch(struct verifier *v); /* what was handed out before may be evicted from now on */

/* 0: trusted. A positive value is the reason of refusal (enum ingest_count). `topic_gw` from the topic. *ret_opened is
 * borrowed until the next batch. */
int verify_upload(struct verifier *v, struct cloud *c, struct db *db, const uint8_t topic_gw[GW_LEN],
                  struct bytes payload, struct upload *ret_upload, struct gateway *ret_gateway,
                  const struct opened **ret_opened);
int verify_status(struct db *db, const uint8_t topic_gw[GW_LEN], struct bytes payload, struct status *ret_status,
                  struct gateway *ret_gateway);
/* Who may send now: INGEST_UNKNOWN_GATEWAY, INGEST_REVOKED, INGEST_OLD_GENERATION. Asked again inside the transaction.
 */
int verify_gateway(struct db *db, const uint8_t gw[GW_LEN], uint64_t gen, struct gateway *ret_gateway);
