/* The gateway's signed status, retained, also its will; no personal data. */
#pragma once

#include "wire/segment.h"

#define STATUS_RKIDS_MAX 32
#define STATUS_MSG_MAX 4096
/* Keys of counts. */
enum status_count {
    COUNT_PUNCHES = 1,
    COUNT_SPOOL_RECORDS = 2,
    COUNT_SPOOL_UNACKED = 3,
    COUNT_SPOOL_BYTES = 4,
    COUNT_REFUSED = 5,
    COUNT_FRAMES_BAD = 6,
    COUNT_ACKS_BAD = 7,
    COUNT_READERS = 8,
    COUNT_READERS_DOWN = 9,
    COUNT_DUPLICATES = 10,
    COUNT_MAX = 16 /* keys are 1 .. COUNT_MAX-1 in version 1; others are ignored */
};
struct status {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    bool online;
    uint8_t boot[BOOT_LEN];
    uint8_t conn[16];
    int64_t real;
    uint64_t mono;
    uint8_t ck;
    size_t n_rkids;
    uint8_t rkids[STATUS_RKIDS_MAX][RKID_LEN];
    uint64_t counts[COUNT_MAX]; /* zeros are not sent */
};
int status_encode(const struct status *s, struct crypto_key *sign, struct buf *ret);
enum { STATUS_BAD = 1 };
/* Parses without trust (kid and gw tell whose key to use), then checks the signature when a point is given. */
int status_decode(struct bytes msg, const uint8_t *sign_point, struct status *ret);
