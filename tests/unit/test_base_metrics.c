/* Prometheus's text format as base/metrics.h writes it, and who may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/metrics.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"127.0.0.1:9464", 0},
        {"127.1.2.3:1", 0},
        {"[::1]:65535", 0},
        {"0.0.0.0:9464", -EINVAL},
        {"192.0.2.1:9464", -EINVAL},
        {"126.255.255.255:9464", -EINVAL},
        {"128.0.0.1:9464", -EINVAL},
        {"[::]:9464", -EINVAL},
        {"[2001:db8::1]:9464", -EINVAL},
        {"[::ffff:127.0.0.1]:9464", -EINVAL},
        {"", -EINVAL},
        {":", -EINVAL},
        {":9464", -EINVAL},
        {"127.0.0.1", -EINVAL},
        {"127.0.0.1:", -EINVAL},
        {"127.0.0.1:0", -EINVAL},
        {"127.0.0.1:65536", -EINVAL},
        {"127.0.0.1:94x", -EINVAL},
        {"127.1:9464", -EINVAL},
        {"[127.0.0.1]:9464", -EINVAL},
        {"::1:9464", -EINVAL},
        {"[::1:9464", -EINVAL},
        {"localhost:9464", -EINVAL}, /* what that is, others decide */
        {"[::1%lo]:9464", -EINVAL},
        {"127.0.0.1 :9464", -EINVAL},
        {"1111111111111111111111111111111111111111111111111111111111:1", -EINVAL},
    };
    struct sockaddr_storage a;
    socklen_t n;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int r = metrics_address(cases[i].text, &a, &n);
        if (r != cases[i].r)
            fail_msg("\"%s\": %d, not %d", cases[i].text, r, cases[i].r);
    }
    struct sockaddr_in v4;
    assert_int_equal(metrics_address("127.0.0.9:9464", &a, &n), 0);
    assert_int_equal(n, sizeof(v4));
    memcpy(&v4, &a, sizeof(v4));
    assert_int_equal(v4.sin_family, AF_INET);
    assert_int_equal(ntohs(v4.sin_port), 9464);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), 0x7f000009);
    struct sockaddr_in6 v6;
    assert_int_equal(metrics_address("[::1]:80", &a, &n), 0);
    assert_int_equal(n, sizeof(v6));
    memcpy(&v6, &a, sizeof(v6));
    assert_int_equal(v6.sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6.sin6_port), 80);
}

static void refused(const char *text, const char *what)
{
    struct metrics_settings s;
    struct conf *c = NULL;
    assert_int_equal(conf_parse("p.yaml", BYTES_STR(text), &metrics_table, &s, &c), CONF_BAD);
    if (!strstr(conf_text(c), what))
        fail_msg("wanted \"%s\" in:\n%s", what, conf_text(c));
    conf_free(c);
}

static void test_settings(void **state)
{
    struct metrics_settings s;
    struct conf *c = NULL;
    (void)state;
    assert_int_equal(conf_parse("p.yaml", BYTES_NONE, &metrics_table, &s, &c), 0);
    assert_null(s.listen);
    conf_free(c);
    assert_int_equal(conf_parse("p.yaml", BYTES_STR("listen: \"[::1]:9464\"\n"), &metrics_table, &s, &c), 0);
    assert_string_equal(s.listen, "[::1]:9464");
    conf_free(c);
    refused("listen: 0.0.0.0:9464\n", "p.yaml:1:9: write a loopback address");
    refused("listen: \"\"\n", "loopback");
    refused("listen: 9464\n", "loopback");
}

static void test_text(void **state)
{
    struct buf b CLEANUP(buf_done);
    (void)state;
    buf_init(&b, 4096);
    metrics_family(&b, METRICS_COUNTER, "a_total", "One.\nTwo \\ \"three\".");
    metrics_value(&b, "a_total", NULL, UINT64_MAX);
    metrics_family(&b, METRICS_GAUGE, "b", "B.");
    metrics_value(&b, "b", (struct metrics_label[METRICS_LABELS]){{"reader", "say \"x\\y\"\n\xc3\xa4"}}, 0);
    metrics_seconds(&b, "b", (struct metrics_label[METRICS_LABELS]){{"x", ""}, {"y", "z"}}, 1000001);
    metrics_seconds(&b, "b", NULL, UINT64_MAX);
    assert_string_equal(buf_str(&b), "# HELP a_total One.\\nTwo \\\\ \"three\".\n"
                                     "# TYPE a_total counter\n"
                                     "a_total 18446744073709551615\n"
                                     "# HELP b B.\n"
                                     "# TYPE b gauge\n"
                                     "b{reader=\"say \\\"x\\\\y\\\"\\n\xc3\xa4\"} 0\n"
                                     "b{x=\"\",y=\"z\"} 1.000001\n"
                                     "b +Inf\n");
}

static void test_histogram(void **state)
{
    struct metrics_times t = {0};
    struct buf b CLEANUP(buf_done);
    (void)state;
    metrics_took(&t, 0);
    metrics_took(&t, 1000); /* a bound belongs to its bucket */
    metrics_took(&t, 1001);
    metrics_took(&t, 2500001);
    buf_init(&b, 4096);
    metrics_histogram(&b, "h", &t);
    const char *s = buf_str(&b);
    assert_non_null(strstr(s, "h_bucket{le=\"0.001\"} 2\nh_bucket{le=\"0.0025\"} 3\n"));
    assert_non_null(strstr(s, "h_bucket{le=\"2.5\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 2.502002\nh_count 4\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
