/* What a technician's mistakes look like, and that the example file is the table's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/settings.h"
#include "tests/unit/settings_print.h"

#define GOOD_BUS "buses:\n  - {name: b, serial: /dev/ttyX}\n"

static int parse(const char *text, struct settings *s, struct conf **c)
{
    return conf_parse("p.yaml", BYTES_STR(text), &settings_table, s, c);
}

static void refused(const char *text, const char *where, const char *what)
{
    struct settings s;
    struct conf *c = NULL;
    int r = parse(text, &s, &c);
    if (r == 0 && readers_check(c, &s.buses, &s.readers, SOURCE_DIR "/config/profiles") > 0)
        r = CONF_BAD;
    assert_int_equal(r, CONF_BAD);
    const char *said = conf_text(c);
    if (!strstr(said, where) || !strstr(said, what))
        fail_msg("wanted \"%s\" and \"%s\" in:\n%s", where, what, said);
    conf_free(c);
}

static void test_defaults(void **state)
{
    struct settings s;
    struct conf *c = NULL;
    (void)state;
    assert_int_equal(parse("log: warn\n", &s, &c), 0);
    assert_string_equal(s.state, "/var/lib/punchgate");
    assert_string_equal(s.runtime, "/run/punchgate");
    assert_int_equal(s.spool.budget, 256 << 20);
    assert_int_equal(s.spool.keep_ms, 7 * 24 * 3600 * 1000);
    assert_int_equal(s.uplink.backoff_min_ms, 1000);
    assert_int_equal(s.uplink.backoff_max_ms, 60000);
    assert_int_equal(s.uplink.keepalive_ms, 30000);
    assert_int_equal(s.uplink.ack_timeout_ms, 10000);
    assert_int_equal(s.readers.n, 0);
    assert_int_equal(settings_log_level(&s), 4);
    conf_free(c);
}

static void test_values(void **state)
{
    struct settings s;
    struct conf *c = NULL;
    (void)state;
    assert_int_equal(parse("spool: {budget: 1MiB, keep: 1h, keep_size: 64KiB}\n" GOOD_BUS
                           "readers:\n  - {name: gate, bus: b, driver: ascii125, hold: 500ms, direction: in}\n",
                           &s, &c),
                     0);
    assert_int_equal(s.spool.budget, 1 << 20);
    assert_int_equal(s.spool.keep_ms, 3600000);
    assert_int_equal(s.spool.keep_size, 65536);
    const struct reader_settings *r = s.readers.items;
    assert_int_equal(r->hold_ms, 500);
    assert_int_equal(r->direction, DIR_IN);
    assert_int_equal(readers_check(c, &s.buses, &s.readers, SOURCE_DIR "/config/profiles"), 0);
    conf_free(c);
}

static void test_mistakes(void **state)
{
    (void)state;
    refused("spol: {}\n", "p.yaml:1:1", "did you mean \"spool\"");
    refused("spool: {budget: 12}\n", "p.yaml:1:", "12");
    refused("spool: {budget: 1KiB}\n", "p.yaml:1:", "1MiB");
    refused("uplink:\n  keepalive: fast\n", "p.yaml:2:", "fast");
    refused("uplink: {backoff_min: 10s, backoff_max: 1s}\n", "p.yaml:1:", "longer than backoff_max");
    refused("log: loud\n", "p.yaml:1:", "loud");
    refused(GOOD_BUS "readers:\n"
                     "  - {name: gate, bus: b, driver: ascii125}\n"
                     "  - {name: gate, bus: b, driver: ascii125}\n",
            "p.yaml:5:", "two readers are named \"gate\"");
    refused("buses:\n  - {name: b, serial: /dev/x}\n  - {name: b, serial: /dev/y}\n",
            "p.yaml:3:", "two buses are named \"b\"");
    refused(GOOD_BUS "readers:\n  - {name: gate, bus: c, driver: ascii125}\n", "p.yaml:4:", "c");
    refused(GOOD_BUS "readers:\n  - {name: gate, bus: b, driver: ascii125, hodl: 2s}\n",
            "p.yaml:4:", "did you mean \"hold\"");
}

static void test_example(void **state)
{
    char *made = assert_example_is_current(&settings_table, SOURCE_DIR "/config/punchgate.yaml");
    struct settings s;
    struct conf *c = NULL;
    (void)state;
    /* As it stands it lacks only the buses' addresses. */
    int r = parse(made, &s, &c);
    if (r == CONF_BAD)
        assert_non_null(strstr(conf_text(c), "wants one of serial, usb and tcp"));
    else
        assert_int_equal(r, 0);
    conf_free(c);
    free(made);
}

static void test_manual_is_current(void **state)
{
    (void)state;
    assert_manual_is_current(&settings_table, SOURCE_DIR "/docs/man/punchgate.yaml.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),          cmocka_unit_test(test_values),
        cmocka_unit_test(test_mistakes),          cmocka_unit_test(test_example),
        cmocka_unit_test(test_manual_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
