#include "daemon/stamp.h"

#include "base/clock.h"

void stamp_read(struct stamp_clock *ret)
{
    clock_both(&ret->real, &ret->mono);
    if (clock_sync(&ret->synced, &ret->error_us) != 0) {
        ret->synced = false;
        ret->error_us = 0;
    }
}

static int64_t offset_of(const struct stamp_clock *c)
{
    return (int64_t)((uint64_t)c->real - c->mono);
}

bool stamp_update(struct stamp *st, const struct stamp_clock *c)
{
    int64_t offset = offset_of(c);
    if (st->has_offset) {
        int64_t step = (int64_t)((uint64_t)offset - (uint64_t)st->offset);
        if (step > STAMP_STEP_US || step < -STAMP_STEP_US) {
            st->step = (int64_t)((uint64_t)st->step + (uint64_t)step);
            st->due = true;
        }
    }
    st->offset = offset;
    st->has_offset = true;
    if (c->synced) {
        if (!st->was_synced)
            st->due = true;
        st->was_synced = true;
        st->sync_mono = c->mono;
        st->sync_error = c->error_us;
    }
    if (st->wrote && c->mono - st->wrote_mono >= STAMP_HOUR_US)
        st->due = true;
    return st->due;
}

uint8_t stamp_ck(const struct stamp *st, const struct stamp_clock *c, int64_t real, uint64_t mono)
{
    if (real < STAMP_YEAR_2020)
        return ck_make(CLOCK_NEVER, CK_UNBOUNDED);
    if (c->synced)
        return ck_make(CLOCK_SYNC, c->error_us);
    if (st->was_synced) {
        uint64_t run = mono > st->sync_mono ? mono - st->sync_mono : 0;
        return ck_make(CLOCK_FREE, st->sync_error + run / 1000000 * STAMP_DRIFT_PPM + STAMP_DRIFT_PPM);
    }
    return ck_make(CLOCK_RTC, CK_UNBOUNDED);
}

void stamp_clock_record(const struct stamp *st, const struct stamp_clock *c, struct record *ret)
{
    static const uint8_t sources[] = {[CLOCK_NEVER] = CLOCK_SRC_BOOT,
                                      [CLOCK_RTC] = CLOCK_SRC_RTC,
                                      [CLOCK_SYNC] = CLOCK_SRC_NTP,
                                      [CLOCK_FREE] = CLOCK_SRC_NTP};
    *ret = (struct record){.kind = RECORD_CLOCK, .real = c->real, .mono = c->mono};
    ret->ck = stamp_ck(st, c, c->real, c->mono);
    ret->clock.src = sources[ck_state(ret->ck) & 3];
    ret->clock.step = st->step;
}

void stamp_stored(struct stamp *st, const struct stamp_clock *c)
{
    st->due = false;
    st->step = 0;
    st->wrote = true;
    st->wrote_mono = c->mono;
}

bool stamp_cloud_due(const struct stamp *st, const struct stamp_clock *c)
{
    if (c->synced)
        return false;
    return !st->wrote_cloud || c->mono >= st->wrote_cloud_mono + STAMP_HOUR_US;
}

void stamp_cloud_record(int64_t now, uint64_t sent_mono, uint64_t ack_mono, struct record *ret)
{
    uint64_t bracket = ack_mono > sent_mono ? ack_mono - sent_mono : 1;
    *ret = (struct record){
        .kind = RECORD_CLOCK, .real = now, .mono = sent_mono + bracket / 2, .ck = ck_make(CLOCK_SYNC, bracket)};
    ret->clock.src = CLOCK_SRC_CLOUD;
}

void stamp_cloud_stored(struct stamp *st, uint64_t mono)
{
    st->wrote_cloud = true;
    st->wrote_cloud_mono = mono;
}
