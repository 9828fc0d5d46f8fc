/* From an opened segment's upload to rows, inside a transaction: ledger, records, and what to acknowledge. */
#pragma once

#include "cloud/ledger.h"
#include "cloud/verify.h"

struct filing_ack {
    uint8_t gw[GW_LEN];
    uint8_t segid[SEGID_LEN];
    uint8_t ack_key[ACK_KEY_LEN];
    uint64_t next;
};
/* INGEST_UNKNOWN_KEY: nothing to acknowledge with. Negative: roll the transaction back. */
int filing_upload(const struct scope *s, const struct gateway *g, const struct opened *o, const struct upload *u,
                  int64_t received, struct tally *t, struct filing_ack *ret_ack);
