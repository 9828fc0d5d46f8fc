/* punchcloud.yaml: the shipped example is what the table says, and mistakes are quoted. */
#include "cloud/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/settings_print.h"

static void test_example_is_current(void **state)
{
    (void)state;
    free(assert_example_is_current(&settings_table, SOURCE_DIR "/config/punchcloud.yaml"));
}

static void test_manual_is_current(void **state)
{
    (void)state;
    assert_manual_is_current(&settings_table, SOURCE_DIR "/docs/man/punchcloud.yaml.5");
}

static void test_example_loads(void **state)
{
    struct settings s;
    struct conf *c = NULL;
    assert_int_equal(settings_load(SOURCE_DIR "/config/punchcloud.yaml", &s, &c), 0);
    assert_string_equal(s.state, "/var/lib/punchcloud");
    assert_int_equal(s.escrow.n, 1);
    assert_string_equal(((char **)s.escrow.items)[0], "/var/lib/punchcloud-escrow");
    assert_string_equal(s.api.listen, "127.0.0.1:8443");
    assert_int_equal(s.api.names.n, 2);
    assert_int_equal(s.api.threads, 4);
    assert_int_equal(s.api.connections, 256);
    assert_int_equal(s.api.request_timeout, 30000);
    assert_int_equal(s.api.idle, 15000);
    assert_string_equal(s.broker.address, "localhost:8883");
    assert_int_equal(s.ingest.batch_ms, 50);
    assert_int_equal(s.ingest.backoff_max, 30000);
    assert_null(s.metrics.listen);
    assert_int_equal(s.api.proxies.n, 0);
    assert_null(s.api.proxy_ca);
    assert_true(s.api.hsts / 1000 == 365 * 86400);
    assert_true(s.passwords.memory == 64 << 20 && s.passwords.passes == 3);
    assert_true(s.limits.source > 0 && s.limits.token > 0 && s.limits.tenant > 0); /* protected unless told otherwise */
    conf_free(c);
}

static void test_metrics_on_loopback(void **state)
{
    static const char *const texts[] = {"metrics: {listen: \"127.0.0.1:9464\"}\n",
                                        "metrics: {listen: \"127.9.9.9:1\"}\n", "metrics: {listen: \"[::1]:9464\"}\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct settings s;
        struct conf *c = NULL;
        assert_int_equal(conf_parse("test", BYTES_STR(texts[i]), &settings_table, &s, &c), 0);
        assert_non_null(s.metrics.listen);
        conf_free(c);
    }
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"stat: /x\n", "\"state\""},
        {"api: {threads: many}\n", "1:16"},
        {"api: {threads: 65}\n", "64"},
        {"api: {idle: 30}\n", "unit"},
        {"api: {listen: nowhere}\n", "address:port"},
        {"broker: {address: nowhere}\n", "host:port"},
        {"log: loud\n", "log"},
        {"metrics: {listen: \"0.0.0.0:9464\"}\n", "1:19"},
        {"metrics: {listen: \"[::]:9464\"}\n", "loopback"},
        {"metrics: {listen: \"192.0.2.1:9464\"}\n", "loopback"},
        {"metrics: {listen: \"localhost:9464\"}\n", "loopback"},
        {"metrics: {listen: \"127.0.0.1\"}\n", "loopback"},
        {"metrics: {listen: \"127.0.0.1:x\"}\n", "loopback"},
        {"metrics: {listen: \"\"}\n", "loopback"},
        {"state: /x\nescrow: [/y, /x]\n", "state folder itself"},
        {"ingest: {backoff_min: 10s, backoff_max: 1s}\n", "shorter"},
        {"escrow: []\n", "escrow"},
        {"api: {proxies: [192.0.2.1/24]}\n", "192.0.2.1/24"},
        {"api: {proxies: [proxy.example.org]}\n", "network"},
        {"contact: {security: [security@example.org]}\n", "mailto:"},
        {"contact: {security: [\"mailto:a@example.org\\nExpires: never\"]}\n", "mailto:"},
        {"contact: {canonical: \"http://example.org/security.txt\"}\n", "https:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings s;
        struct conf *c = NULL;
        assert_int_equal(conf_parse("p.yaml", BYTES_STR(cases[i].text), &settings_table, &s, &c), CONF_BAD);
        if (!strstr(conf_text(c), cases[i].want) || !strstr(conf_text(c), "p.yaml:"))
            fail_msg("%s lacks %s", conf_text(c), cases[i].want);
        conf_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_is_current), cmocka_unit_test(test_manual_is_current),
        cmocka_unit_test(test_example_loads),      cmocka_unit_test(test_metrics_on_loopback),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
