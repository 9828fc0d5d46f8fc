/* Time zones, held against glibc, which may be asked here: this is one thread. */
#include "cloud/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/file.h"

#define HOUR_US INT64_C(3600000000)

/* Both halves of the world, no summer time, a summer that ends before it begins in the year, a negative one (Dublin),
 * half hours, a day left out (Apia), midnight changes (Santiago, Havana), a rule without weeks (none). */
static const char *const names[] = {"Europe/Berlin",    "Europe/Bucharest",  "Europe/Dublin",       "America/New_York",
                                    "America/Santiago", "America/Havana",    "Australia/Lord_Howe", "Pacific/Apia",
                                    "Asia/Kathmandu",   "Africa/Casablanca", "Etc/GMT+5",           "America/Sao_Paulo",
                                    "Asia/Tehran",      "Pacific/Kiritimati"};

static void as_glibc_sees(const char *name, int64_t s, struct tm *ret)
{
    time_t t = (time_t)s;
    setenv("TZ", name, 1);
    tzset();
    assert_non_null(localtime_r(&t, ret));
}

static void test_offsets_are_those_of_glibc(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct zone *z = NULL;
        struct tm tm;
        assert_int_equal(zone_load(names[i], &z), 0);
        /* 1970 to 2150, past the end of every file's list, in steps that meet all hours */
        for (int64_t s = 0; s < INT64_C(5680000000); s += 86400 * 3 + 3601) {
            as_glibc_sees(names[i], s, &tm);
            if (zone_offset(z, s) != tm.tm_gmtoff)
                print_error("%s at %lld\n", names[i], (long long)s);
            assert_int_equal(zone_offset(z, s), tm.tm_gmtoff);
        }
        zone_free(z);
    }
}

/* Each day begins with the first second of its date, and ends where the next begins. */
static void test_days_meet(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct zone *z = NULL;
        assert_int_equal(zone_load(names[i], &z), 0);
        for (int64_t day = 20000; day < 20800; day++) { /* from October 2024 on */
            int64_t at = zone_day_start(z, day);
            assert_int_equal(zone_day(z, at), day);
            assert_int_equal(zone_day(z, at - 1), day - 1);
            int64_t hours = (zone_day_start(z, day + 1) - at) / (HOUR_US / 2);
            assert_in_range(hours, 46, 50);
        }
        zone_free(z);
    }
}

static void test_summer_time_makes_days_of_23_and_25_hours(void **state)
{
    struct zone *z = NULL;
    assert_int_equal(zone_load("Europe/Berlin", &z), 0);
    const int64_t march29 = 20541, october25 = 20751; /* of 2026 */
    assert_int_equal((zone_day_start(z, march29 + 1) - zone_day_start(z, march29)) / HOUR_US, 23);
    assert_int_equal((zone_day_start(z, october25 + 1) - zone_day_start(z, october25)) / HOUR_US, 25);
    assert_int_equal(zone_day_start(z, march29), (march29 * 24 - 1) * HOUR_US);
    zone_free(z);
    /* the clocks of Santiago skip midnight: the day begins at one */
    assert_int_equal(zone_load("America/Santiago", &z), 0);
    const int64_t september6 = 20702;
    assert_int_equal(zone_day_start(z, september6), (september6 * 24 + 4) * HOUR_US);
    assert_int_equal((zone_day_start(z, september6 + 1) - zone_day_start(z, september6)) / HOUR_US, 23);
    zone_free(z);
}

static void test_no_zone_said_is_utc(void **state)
{
    struct zone *z = NULL;
    assert_int_equal(zone_load("", &z), 0);
    assert_int_equal(zone_offset(z, 1780000000), 0);
    assert_int_equal(zone_day_start(z, 20541), 20541 * 24 * HOUR_US);
    zone_free(z);
}

static void test_what_is_no_zone(void **state)
{
    struct zone *z = NULL;
    static const char *const wrong[] = {"Europe", "Mars/Olympus", "leapseconds"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(zone_load(wrong[i], &z), ZONE_UNKNOWN);
    assert_null(z);
}

/* A torn or damaged file: an answer, whatever it is, and never a byte beyond it. */
static void test_a_damaged_file(void **state)
{
    struct buf CLEANUP(buf_done) file;
    struct zone *z = NULL;
    size_t refused = 0;
    buf_init(&file, 65536);
    assert_int_equal(file_read("/usr/share/zoneinfo/Europe/Berlin", &file), 0);
    for (size_t n = 0; n < file.len; n++) {
        uint8_t *torn = malloc(n + 1);
        assert_non_null(torn);
        memcpy(torn, file.p, n);
        assert_int_equal(zone_read(BYTES(torn, n), &z), ZONE_UNKNOWN);
        free(torn);
    }
    for (size_t i = 0; i < 8 * file.len; i++) {
        file.p[i / 8] ^= (uint8_t)(1u << (i % 8));
        int r = zone_read(buf_bytes(&file), &z);
        if (r == 0) {
            zone_offset(z, 1780000000);
            zone_offset(z, INT64_C(1) << 40);
            zone_free(z);
        } else {
            assert_int_equal(r, ZONE_UNKNOWN);
            refused++;
        }
        file.p[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    assert_true(refused > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_are_those_of_glibc),
        cmocka_unit_test(test_days_meet),
        cmocka_unit_test(test_summer_time_makes_days_of_23_and_25_hours),
        cmocka_unit_test(test_no_zone_said_is_utc),
        cmocka_unit_test(test_what_is_no_zone),
        cmocka_unit_test(test_a_damaged_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
