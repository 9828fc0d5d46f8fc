/* The ledger: per segment how far its records are committed, in the same transaction as they. */
#pragma once

#include "cloud/scope.h"
#include "wire/segment.h"

struct ledger {
    uint8_t segid[SEGID_LEN];
    uint8_t gw[GW_LEN];
    uint64_t gen, segno;
    uint8_t prev[SEGID_LEN];
    uint64_t prevlen;
    uint8_t boot[BOOT_LEN];
    uint64_t next;
    uint8_t ack_key[ACK_KEY_LEN];
};
int ledger_get(const struct scope *s, const uint8_t segid[SEGID_LEN], struct ledger *ret); /* CLOUD_ABSENT */
/* A new segment, next = 0. *ret_fork: another one of that gateway has the same prev. */
int ledger_open(const struct scope *s, const uint8_t segid[SEGID_LEN], const struct seg_hdr *hdr,
                const uint8_t ack_key[ACK_KEY_LEN], int64_t now, struct ledger *ret, bool *ret_fork);
/* Written even when nothing changes, so that a commit stands before every ack. */
int ledger_advance(const struct scope *s, struct ledger *l, uint64_t next);
