/* The gateway's state, shared by its own files: gateway.c (life), gateway_sights.c (sights to stored punches) and
 * gateway_link.c (uplink, acks, status). */
#pragma once

#include "daemon/control.h"
#include "daemon/gateway.h"
#include "daemon/intake.h"
#include "daemon/keys.h"
#include "daemon/scrape.h"
#include "daemon/stamp.h"
#include "readers/lights.h"
#include "wire/status.h"

#define READER_EVENT_MS 10000 /* a flapping reader writes at most one event in this time */
#define ASK_TIME_MS 60000
#define STATUS_MIN_MS 10000 /* docs/WIRE.md section 9 */
#define STATUS_MS 300000

struct reader_state {
    bool up, acked, told_up, telling;
    int64_t told_ms;
    uint64_t punches, duplicates, refused;
};

/* Of the spool, for the status; kept from when it could be read. */
struct holdings {
    uint8_t rkids[STATUS_RKIDS_MAX][RKID_LEN];
    size_t n_rkids;
    uint64_t records, unacked, bytes;
};

struct gateway {
    const struct settings *s;
    struct loop *loop;
    struct keys keys;
    uint8_t hash_key[CRYPTO_KEY], boot[BOOT_LEN], conn[16];
    bool hash_key_fresh;
    int lock;
    struct spool *spool;
    struct journal *journal;
    struct intake *intake;
    struct sender *sender;
    struct uplink *uplink;
    struct control *control;
    struct scrape *scrape;
    struct queue *sights;
    struct loop_io *sights_io;
    struct readers *readers;
    struct lights *lights;
    struct loop_timer *tick, *send, *watchdog;
    struct stamp stamp;
    struct stamp_clock clock; /* as read for the current batch */
    struct entry *batch;      /* JOURNAL_BATCH of them */
    struct reader_state *lanes;
    char quarantined[128]; /* the folder a corrupt spool went to, until the event about it is stored */
    bool link_up, spool_full, damage, status_due;
    bool release_due;   /* the start, a handshake or a drain left memory behind */
    uint64_t sent_seen; /* records uploaded until the last tick */
    struct holdings held;
    char link_why[96];
    uint64_t damage_segno, damage_index;
    uint8_t damage_segid[SEGID_LEN];
    uint64_t punches, duplicates, refused, refused_untold, recoveries_seen;
    struct metrics_times commits;
    uint64_t started_mono;
    int64_t started, status_ms, asked_ms;
};

/* gateway_sights.c */
void gateway_on_sights(void *arg, uint32_t events);
void gateway_drain(struct gateway *g); /* what is left in the queue, at the end */
/* Commits g->batch[0..n), answers, tells. True: all of it is stored. */
bool gateway_commit(struct gateway *g, size_t n);
/* Prepares batch[i] as an event; the arg is one CBOR item. */
struct entry *gateway_event(struct gateway *g, size_t i, enum event_code code, struct bytes arg);
void gateway_read_clock(struct gateway *g);
/* Clock records, reader events and whatever else is due. */
void gateway_due(struct gateway *g);
/* Tells the lights which readers are up and can have their punches stored. */
void gateway_lights(struct gateway *g);

/* gateway_link.c */
int gateway_link_start(struct gateway *g);
void gateway_send(struct gateway *g); /* lets the sender do what it can, and sets its timer */
void gateway_send_cb(void *arg);
void gateway_status_changed(struct gateway *g); /* what it says: publishes it, now or a little later */
void gateway_status_tick(struct gateway *g);
void gateway_status(struct gateway *g, bool online, struct buf *ret);
