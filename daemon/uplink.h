/* The way to the broker: a thread of its own, because libmosquitto blocks in DNS and connect for up to a minute. It
 * shares two bounded queues with the loop and nothing else; a blackholed broker delays nobody.
 *
 * A new handle for each connection, MQTT 5, clean start: what was published and not acknowledged dies with the
 * connection, because the window counts the cloud's acks, not PUBACKs. Nothing is published while down. */
#pragma once

#include "base/loop.h"
#include "wire/topic.h"

struct uplink;
enum { UPLINK_FULL = 1, UPLINK_STUCK = 2 };

struct uplink_options {
    const char *host; /* outlives it */
    uint16_t port;
    const char *key_file, *cert_file, *ca_file;
    uint8_t gw[GW_LEN];
    uint64_t keepalive_s, backoff_min_ms, backoff_max_ms;
    uint64_t seed; /* of the jitter */
};

/* A connection's signed status, online and (as its will) offline, with the same fresh `conn`. */
struct uplink_session {
    struct buf online, will;
};

struct uplink_calls {                                       /* all on the loop thread */
    void (*session)(void *arg, struct uplink_session *ret); /* fills both; an empty one makes the attempt fail */
    void (*up)(void *arg);
    void (*down)(void *arg, const char *why);
    void (*ack)(void *arg, struct bytes msg);
    void *arg;
};

struct uplink_counts {
    uint64_t connects, failures, published, refused, dropped_acks;
};

int uplink_start(struct loop *l, const struct uplink_options *o, const struct uplink_calls *calls, struct uplink **ret);
/* Publishes to .../up, or the retained .../status. Takes the message over; UPLINK_FULL leaves it alone. Messages of a
 * connection that is gone are dropped. */
int uplink_send(struct uplink *u, enum topic_leaf leaf, struct buf *msg);
void uplink_counts(const struct uplink *u, struct uplink_counts *ret);
/* Publishes `last` (the status, offline; may be empty), disconnects and frees. UPLINK_STUCK: the thread is caught in a
 * connect; it was left alone with its memory, and the process has to end by _exit(). */
int uplink_stop(struct uplink *u, struct buf *last);
