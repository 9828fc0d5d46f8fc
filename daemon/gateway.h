/* The daemon's loop thread, which owns all state: sights in, group commit, answers out; uploads out, acks in. */
#pragma once

#include "base/metrics.h"
#include "daemon/sender.h"
#include "daemon/settings.h"
#include "daemon/uplink.h"

struct gateway;

/* Runs until SIGTERM or SIGINT. 0, or 1 after an error that was logged. `*ret_stuck`: the uplink's thread could not be
 * ended; leave by _exit(). */
int gateway_run(const struct settings *s, bool *ret_stuck);

/* ---- what `status`, `tail` and `spool` show ---- */
struct gateway_view {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    bool link_up, probing, spool_full, clock_synced;
    char link_why[96]; /* why it is down, "" when never tried */
    const char *broker;
    uint64_t punches, duplicates, refused, recoveries, readers_down;
    struct sender_counts sender;
    struct uplink_counts uplink;
    const struct spool *spool;   /* until the handler returns */
    const struct lights *lights; /* the same */
    uint8_t ck;
    int64_t started;                     /* us, real */
    uint64_t started_mono;               /* the same moment, clock_mono() */
    const struct metrics_times *commits; /* until the handler returns */
};
void gateway_view(struct gateway *g, struct gateway_view *ret);

struct gateway_reader {
    const char *name, *bus;
    bool up, acked;
    uint64_t punches, duplicates, refused;
    uint64_t reads, polls, unusable, bad, exceptions, timeouts, late;
};
size_t gateway_readers(const struct gateway *g);
void gateway_reader(struct gateway *g, size_t i, struct gateway_reader *ret);
