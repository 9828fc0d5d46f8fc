/* What the clocks are worth: the `ck` of every record and when a clock record is due (design section 4, Time). Pure
 * logic over values read by stamp_read(), so that tests can play any clock. */
#pragma once

#include "wire/record.h"

#define STAMP_YEAR_2020 INT64_C(1577836800000000) /* before it a clock has never been set */
#define STAMP_STEP_US 100000
#define STAMP_HOUR_US UINT64_C(3600000000)
#define STAMP_DRIFT_PPM 250

struct stamp_clock {
    int64_t real;
    uint64_t mono;
    bool synced;
    uint64_t error_us; /* when synced */
};
void stamp_read(struct stamp_clock *ret);

struct stamp {
    uint64_t sync_mono, sync_error; /* the last time it was synchronised */
    int64_t offset;                 /* real - mono */
    int64_t step;                   /* not yet told by a clock record */
    uint64_t wrote_mono, wrote_cloud_mono;
    bool was_synced, has_offset, due, wrote, wrote_cloud;
};

/* Takes a look at the clocks; call it before each batch and now and then. True: a clock record is due (the first
 * synchronisation, a step over 100 ms, an hour since the last) and stays due until stamp_stored(). */
bool stamp_update(struct stamp *st, const struct stamp_clock *c);
/* `ck` for something that happened at `real` and `mono`. */
uint8_t stamp_ck(const struct stamp *st, const struct stamp_clock *c, int64_t real, uint64_t mono);
/* The clock record for now, at a segment's start or because one is due. */
void stamp_clock_record(const struct stamp *st, const struct stamp_clock *c, struct record *ret);
void stamp_stored(struct stamp *st, const struct stamp_clock *c);

/* The cloud's time serves where NTP does not: once when this process has no synchronised clock, then hourly. */
bool stamp_cloud_due(const struct stamp *st, const struct stamp_clock *c);
/* `now` is the cloud's clock at some moment between sent_mono and ack_mono. Its `mono` is the middle of the bracket;
 * the whole bracket is given as uncertainty. */
void stamp_cloud_record(int64_t now, uint64_t sent_mono, uint64_t ack_mono, struct record *ret);
void stamp_cloud_stored(struct stamp *st, uint64_t mono);
