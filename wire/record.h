/* A record's plaintext: a punch, a clock note or an event (design section 5), padded with zero bytes. */
#pragma once

#include "wire/punch.h"

#define RECORD_PLAIN_MAX 1024
enum record_kind { RECORD_PUNCH = 1, RECORD_CLOCK = 2, RECORD_EVENT = 3 };
enum clock_src { CLOCK_SRC_BOOT = 0, CLOCK_SRC_NTP = 1, CLOCK_SRC_RTC = 2, CLOCK_SRC_CLOUD = 3 };

/* Event codes; arg in the comment. docs/WIRE.md lists them. */
enum event_code {
    EVENT_STARTED = 1,           /* tstr version */
    EVENT_SPOOL_FULL = 2,        /* uint: refused since */
    EVENT_SPOOL_QUARANTINED = 3, /* tstr: name of the folder it was moved to */
    EVENT_RECORD_DAMAGED = 4,    /* [segid, index]; the cloud marks it void */
    EVENT_READER_DOWN = 5,       /* tstr reader */
    EVENT_READER_UP = 6,         /* tstr reader */
    EVENT_EPOCH = 7,             /* uint: the cloud's new epoch was taken */
};

struct record {
    enum record_kind kind;
    uint64_t gseq;
    int64_t real;
    uint64_t mono;
    uint8_t ck;
    union {
        struct {
            char reader[READER_NAME_MAX + 1];
            struct cred cred;
            uint8_t dir;
            uint64_t repeat;   /* ext 1: gseq of the record whose acknowledgement is unknown; 0 = absent */
            uint8_t rendering; /* ext 2; RENDER_HEX = absent */
        } punch;
        struct {
            uint8_t src;
            int64_t step; /* us, signed */
        } clock;
        struct {
            uint64_t code;
            struct bytes arg; /* one CBOR item, borrowed; empty = absent */
        } event;
    };
};

/* Encodes and pads: to 96 bytes, then to multiples of 32. -ENOBUFS past RECORD_PLAIN_MAX, -EINVAL for a record that
 * the CDDL does not allow. */
int record_encode(const struct record *r, uint8_t ret[RECORD_PLAIN_MAX], size_t *ret_n);

/* RECORD_BAD: not what the CDDL says. RECORD_UNKNOWN: well-formed, a kind of a later version. */
enum { RECORD_BAD = 1, RECORD_UNKNOWN = 2 };
int record_decode(struct bytes plain, struct record *ret);
