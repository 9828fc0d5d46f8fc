/* Acks: "records 0 .. next-1 of this segment are committed", made only by who can open the segment. */
#pragma once

#include "wire/segment.h"

#define ACK_ITEMS_MAX 32
#define ACK_MAC_LEN 16
#define ACK_MSG_MAX (ACK_ITEMS_MAX * 72 + 16)
struct ack_item {
    uint8_t segid[SEGID_LEN];
    uint64_t epoch;
    int64_t now; /* the cloud's clock, us */
    uint64_t next;
    uint8_t mac[ACK_MAC_LEN];
};
struct ack {
    size_t n;
    struct ack_item items[ACK_ITEMS_MAX];
};
int ack_mac(const uint8_t ack_key[ACK_KEY_LEN], struct ack_item *item); /* fills item->mac */
enum { ACK_BAD = 1 };
int ack_check(const uint8_t ack_key[ACK_KEY_LEN], const struct ack_item *item); /* ACK_BAD */
int ack_encode(const struct ack *a, struct buf *ret);
int ack_decode(struct bytes msg, struct ack *ret); /* ACK_BAD */
