/* What is uploaded when: the window, the order, going back, probing. Runs on the loop thread, knows neither MQTT nor
 * sockets; time is passed in.
 *
 *   window     16 uploads without an ack; the live segment always finds 4 of them free of backlog
 *   order      inside a segment from `acked` on without a gap; acks are cumulative
 *   go back    to what is acknowledged, when an upload's ack is overdue, or soon after an ack that did not move. Not at
 *              once: a second ack for the same upload is normal, and going back at each would double every upload for
 *              ever. A segment that had to go back sends one upload at a time until its ack moves.
 *   probe      when nothing at all is acknowledged: one upload at a time, segments in turn, with back-off and jitter
 */
#pragma once

#include "daemon/spool.h"
#include "wire/ack.h"

#define SENDER_WINDOW 16u
#define SENDER_LIVE_SHARE 4u
#define SENDER_PROBE_RECORDS 32

enum { SENDER_BUSY = 1 };

struct sender;
struct sender_options {
    struct spool *spool;
    uint64_t ack_timeout_ms, backoff_min_ms, backoff_max_ms;
    uint64_t seed; /* of the jitter */
    /* Takes the message over and leaves `msg` empty; SENDER_BUSY leaves it alone. */
    int (*send)(void *arg, struct buf *msg);
    void *arg;
};
struct sender_now {
    int64_t ms;    /* for time-outs */
    uint64_t mono; /* us, for the cloud's time */
};

/* What the gateway has to act upon. It must not touch the spool inside the sender's calls, so it is told by value. */
struct sender_news {
    bool epoch; /* the cloud's epoch rose from one that was known */
    uint64_t epoch_now;
    bool time; /* an ack that first advanced `next`: the cloud's clock was cloud_now within the bracket */
    int64_t cloud_now;
    uint64_t sent_mono, ack_mono;
    bool untimed; /* acks moved, but only of resent uploads, which say nothing about the time */
    bool damage;  /* this record is damaged on disk */
    uint64_t damage_segno, damage_index;
    uint8_t damage_segid[SEGID_LEN];
};

struct sender_counts {
    uint64_t uploads, records, resent, acks, acks_bad, acks_unknown, acks_old_epoch, go_backs;
};

int sender_new(const struct sender_options *o, struct sender **ret);
void sender_free(struct sender *s);
void sender_link(struct sender *s, bool up, const struct sender_now *now);
void sender_live(struct sender *s, bool open, uint64_t segno);
/* After the spool was re-opened: forgets what is on its way. */
void sender_reset(struct sender *s);
/* Sends what may be sent. Returns when it wants to be called again, in ms from now; UINT64_MAX: not before an ack, a
 * commit or a connection. */
uint64_t sender_step(struct sender *s, const struct sender_now *now, struct sender_news *news);
/* A message from the ack topic, as it came. */
void sender_ack(struct sender *s, struct bytes msg, const struct sender_now *now, struct sender_news *news);
const struct sender_counts *sender_counts(const struct sender *s);
bool sender_silent(const struct sender *s); /* probing */
