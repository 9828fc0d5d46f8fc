/* The clock logic, with clocks of our own making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/stamp.h"

#define SECOND INT64_C(1000000)
#define TODAY (INT64_C(1795400000) * SECOND)

static struct stamp_clock at(int64_t real, int64_t mono)
{
    return (struct stamp_clock){.real = real, .mono = (uint64_t)mono};
}

static struct stamp_clock synced(int64_t real, int64_t mono, uint64_t error)
{
    return (struct stamp_clock){.real = real, .mono = (uint64_t)mono, .synced = true, .error_us = error};
}

static void test_states(void **state)
{
    struct stamp st = {0};
    struct stamp_clock c = at(10 * SECOND, 5 * SECOND);
    (void)state;
    stamp_update(&st, &c);
    uint8_t ck = stamp_ck(&st, &c, c.real, c.mono);
    assert_int_equal(ck_state(ck), CLOCK_NEVER);
    assert_true(ck_uncertainty(ck) == CK_UNBOUNDED);
    c = at(TODAY, 6 * SECOND);
    stamp_update(&st, &c);
    ck = stamp_ck(&st, &c, c.real, c.mono);
    assert_int_equal(ck_state(ck), CLOCK_RTC);
    assert_true(ck_uncertainty(ck) == CK_UNBOUNDED);
    c = synced(TODAY, 7 * SECOND, 900);
    stamp_update(&st, &c);
    ck = stamp_ck(&st, &c, c.real, c.mono);
    assert_int_equal(ck_state(ck), CLOCK_SYNC);
    assert_in_range(ck_uncertainty(ck), 900, 2000);
    /* An hour after the synchronisation was lost it has drifted by no more than 250 ppm. */
    c = at(TODAY + 3600 * SECOND, 3607 * SECOND);
    stamp_update(&st, &c);
    ck = stamp_ck(&st, &c, c.real, c.mono);
    assert_int_equal(ck_state(ck), CLOCK_FREE);
    assert_in_range(ck_uncertainty(ck), 900900, 2000000);
}

static void test_due_at_first_sync(void **state)
{
    struct stamp st = {0};
    struct stamp_clock c = at(TODAY, SECOND);
    (void)state;
    assert_false(stamp_update(&st, &c)); /* a segment's start has one anyway */
    c = synced(TODAY + SECOND, 2 * SECOND, 100);
    assert_true(stamp_update(&st, &c));
    assert_true(stamp_update(&st, &c)); /* until it is stored */
    struct record r;
    stamp_clock_record(&st, &c, &r);
    assert_int_equal(r.kind, RECORD_CLOCK);
    assert_int_equal(r.clock.src, CLOCK_SRC_NTP);
    assert_int_equal(r.clock.step, 0);
    stamp_stored(&st, &c);
    assert_false(stamp_update(&st, &c));
}

static void test_due_at_step(void **state)
{
    struct stamp st = {0};
    struct stamp_clock c = at(TODAY, SECOND);
    struct record r;
    (void)state;
    stamp_update(&st, &c);
    stamp_stored(&st, &c);
    c = at(TODAY + SECOND + 99000, 2 * SECOND); /* slewed, or a small step */
    assert_false(stamp_update(&st, &c));
    c = at(TODAY + 2 * SECOND + 99000 - 5 * SECOND, 3 * SECOND);
    assert_true(stamp_update(&st, &c));
    stamp_clock_record(&st, &c, &r);
    assert_int_equal(r.clock.step, -5 * SECOND);
    /* A second step before the first was stored is told together with it. */
    c.real += 2 * SECOND;
    assert_true(stamp_update(&st, &c));
    stamp_clock_record(&st, &c, &r);
    assert_int_equal(r.clock.step, -3 * SECOND);
    stamp_stored(&st, &c);
    stamp_clock_record(&st, &c, &r);
    assert_int_equal(r.clock.step, 0);
}

static void test_due_hourly(void **state)
{
    struct stamp st = {0};
    struct stamp_clock c = at(TODAY, SECOND);
    (void)state;
    stamp_update(&st, &c);
    stamp_stored(&st, &c);
    c = at(TODAY + 3599 * SECOND, 3600 * SECOND);
    assert_false(stamp_update(&st, &c));
    c = at(TODAY + 3600 * SECOND, 3601 * SECOND);
    assert_true(stamp_update(&st, &c));
}

static void test_cloud(void **state)
{
    struct stamp st = {0};
    struct stamp_clock c = at(TODAY, 100 * SECOND);
    struct record r;
    (void)state;
    assert_true(stamp_cloud_due(&st, &c));
    stamp_cloud_record(TODAY + 7, 90 * SECOND, 90 * SECOND + 40000, &r);
    assert_int_equal(r.clock.src, CLOCK_SRC_CLOUD);
    assert_int_equal(r.real, TODAY + 7);
    assert_int_equal(r.mono, 90 * SECOND + 20000);
    assert_int_equal(ck_state(r.ck), CLOCK_SYNC);
    assert_in_range(ck_uncertainty(r.ck), 40000, 80000);
    stamp_cloud_stored(&st, c.mono);
    assert_false(stamp_cloud_due(&st, &c));
    c.mono += 3600 * SECOND;
    assert_true(stamp_cloud_due(&st, &c));
    c.synced = true; /* NTP is better */
    assert_false(stamp_cloud_due(&st, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),      cmocka_unit_test(test_due_at_first_sync),
        cmocka_unit_test(test_due_at_step), cmocka_unit_test(test_due_hourly),
        cmocka_unit_test(test_cloud),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
