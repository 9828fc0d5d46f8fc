/* Which addresses a webhook may reach: every special range of IANA's registries, at both of its ends and just outside.
 */
#include "cloud/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

static struct address parsed(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage any;
    struct address a;
    bool v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
    if (!v4)
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    memcpy(&any, v4 ? (const void *)&in : &in6, v4 ? sizeof in : sizeof in6);
    assert_int_equal(address_of((struct sockaddr *)&any, v4 ? sizeof in : sizeof in6, &a), 0);
    return a;
}

static void judge(const char *text, bool special)
{
    struct address a = parsed(text);
    const char *what = address_special(&a);
    if ((what != NULL) != special)
        fail_msg("%s is %s", text, what ? what : "taken for public");
}

static const struct {
    const char *before, *first, *last, *after; /* NULL: nothing public there */
} ranges[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
    {NULL, "240.0.0.0", "255.255.255.255", NULL},

    {NULL, "::", "::1", NULL},
    {NULL, "::2", "::fffe:ffff:ffff", NULL}, /* IPv4-compatible among them */
    {NULL, "::ffff:7f00:1", "::ffff:10.255.255.255", "::ffff:11.0.0.0"},
    {NULL, "::ffff:192.168.0.0", "::ffff:192.168.255.255", "::ffff:8.8.8.8"},
    {NULL, "::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "64:ff9b::", "64:ff9b::0.255.255.255", "64:ff9b::1.0.0.0"},
    {"64:ff9b::9.255.255.255", "64:ff9b::10.0.0.0", "64:ff9b::10.255.255.255", "64:ff9b::11.0.0.0"},
    {NULL, "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", NULL},
    {NULL, "64:ff9b::1:0:0", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL}, /* RFC 8215 among them */
    {NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL},
    {NULL, "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
    {NULL, "2001:0:808:808::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", NULL}, /* Teredo */
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
    {NULL, "2002:7f00:1::", "2002:a00:1::1", NULL}, /* 6to4 of loopback and private ones */
    {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
};

static void special_ranges_are_refused_to_their_ends(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        judge(ranges[i].first, true);
        judge(ranges[i].last, true);
        if (ranges[i].before)
            judge(ranges[i].before, false);
        if (ranges[i].after)
            judge(ranges[i].after, false);
    }
}

static void public_ones_are_public(void **state)
{
    static const char *const open[] = {"8.8.8.8",         "1.1.1.1",        "192.31.196.1",    "2a00:1450:4001::1",
                                       "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"};
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        judge(open[i], false);
}

static void what_it_is_is_told(void **state)
{
    static const char *const told[][2] = {
        {"127.0.0.1", "loopback"},  {"::1", "loopback"},       {"::ffff:10.1.2.3", "private"},
        {"fd12::1", "private"},     {"fe80::1", "link-local"}, {"169.254.169.254", "link-local"},
        {"0.0.0.0", "unspecified"}, {"::", "unspecified"},     {"255.255.255.255", "reserved"}};
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        struct address a = parsed(told[i][0]);
        assert_string_equal(address_special(&a), told[i][1]);
    }
}

static void networks_hold_what_they_should(void **state)
{
    static const struct {
        const char *net, *in, *out;
    } t[] = {
        {"127.0.0.0/8", "127.255.0.1", "128.0.0.1"},
        {"10.1.2.3", "10.1.2.3", "10.1.2.2"},
        {"10.1.2.2/31", "10.1.2.3", "10.1.2.4"},
        {"0.0.0.0/0", "255.1.2.3", "2a00::1"},
        {"fd00::/8", "fdff::1", "fe00::1"},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
        {"192.168.0.0/16", "::ffff:192.168.1.1", "::192.168.1.1"},
    };
    struct address_net net;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct address in = parsed(t[i].in), out = parsed(t[i].out);
        assert_int_equal(address_net(t[i].net, &net), 0);
        assert_true(address_in(&in, &net));
        assert_false(address_in(&out, &net));
    }
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "localhost",
                                      "10.0.0.0/33",
                                      "10.0.0.1/8",
                                      "10.0.0/8",
                                      "::/129",
                                      "fd00::1/8",
                                      "10.0.0.0/",
                                      "/8",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/8/8",
                                      "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/32"};
    struct address_net net;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(address_net(bad[i], &net), -EINVAL);
}

static void other_families_are_none(void **state)
{
    struct sockaddr_storage any = {.ss_family = AF_UNIX};
    struct address a;
    assert_int_equal(address_of((struct sockaddr *)&any, sizeof any, &a), -EAFNOSUPPORT);
    any.ss_family = AF_INET6;
    assert_int_equal(address_of((struct sockaddr *)&any, sizeof(struct sockaddr_in), &a), -EAFNOSUPPORT);
}

static void test_parsing(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:201", "192.0.2.1"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::", "::"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"01.2.3.4", NULL},
        {"256.0.0.1", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4:80", NULL},
        {"[::1]", NULL},
        {"fe80::1%eth0", NULL},
        {"localhost", NULL},
        {"1.2.3.4, 5.6.7.8", NULL},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address a = {{1}}, before = a;
        char text[ADDRESS_TEXT];
        int r = address_parse(cases[i].in, strlen(cases[i].in), &a);
        if (!cases[i].out) {
            assert_int_equal(r, -EINVAL);
            assert_true(address_equal(&a, &before));
            continue;
        }
        assert_int_equal(r, 0);
        address_text(&a, text);
        assert_string_equal(text, cases[i].out);
    }
    struct address a;
    assert_int_equal(address_parse("1.2.3.4\0.5", 10, &a), -EINVAL);
}

static bool same_share(const char *x, const char *y)
{
    struct address a, b;
    assert_int_equal(address_parse(x, strlen(x), &a), 0);
    assert_int_equal(address_parse(y, strlen(y), &b), 0);
    a = address_share(&a);
    b = address_share(&b);
    return address_equal(&a, &b);
}

static void test_shares(void **state)
{
    assert_true(same_share("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
    assert_false(same_share("2001:db8::1", "2001:db8:0:1::1"));
    assert_false(same_share("192.0.2.1", "192.0.2.2"));
    assert_true(same_share("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(same_share("::1", "127.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(special_ranges_are_refused_to_their_ends),
        cmocka_unit_test(public_ones_are_public),
        cmocka_unit_test(what_it_is_is_told),
        cmocka_unit_test(networks_hold_what_they_should),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(other_families_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
