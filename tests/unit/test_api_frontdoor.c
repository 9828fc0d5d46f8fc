/* Whom X-Forwarded-For makes of a peer: what a listed proxy wrote counts, what a client wrote himself does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/frontdoor.h"

static struct address_net proxies[2];

static int setup(void **state)
{
    assert_int_equal(address_net("10.0.0.0/24", &proxies[0]), 0);
    assert_int_equal(address_net("2001:db8:1::/64", &proxies[1]), 0);
    return 0;
}

/* `lists`: the header's values, NULL-terminated. */
static void expect(const char *peer, const char *const *lists, const char *want)
{
    struct address p, a;
    char text[ADDRESS_TEXT];
    size_t n = 0;
    while (lists[n])
        n++;
    assert_int_equal(address_parse(peer, strlen(peer), &p), 0);
    a = frontdoor_client(&p, proxies, 2, lists, n);
    assert_string_equal(address_text(&a, text), want);
}

static void expect_one(const char *peer, const char *list, const char *want)
{
    const char *const lists[] = {list, NULL};
    expect(peer, lists, want);
}

static void test_strangers_are_not_believed(void **state)
{
    expect_one("192.0.2.1", "198.51.100.1", "192.0.2.1");
    expect_one("192.0.2.1", "10.0.0.1", "192.0.2.1");
    expect_one("10.0.1.1", "198.51.100.1", "10.0.1.1");
    expect_one("::ffff:192.0.2.1", "198.51.100.1", "192.0.2.1");
    expect_one("2001:db8:2::1", "198.51.100.1", "2001:db8:2::1");
}

static void test_the_rightmost_stranger_counts(void **state)
{
    expect_one("10.0.0.1", "198.51.100.1", "198.51.100.1");
    expect_one("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1");
    expect_one("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"); /* the left one is the client's own story */
    expect_one("10.0.0.1", "10.0.0.7, 203.0.113.9,198.51.100.1", "198.51.100.1");
    expect_one("10.0.0.1", "203.0.113.9 ,\t198.51.100.1 , 10.0.0.2,2001:db8:1::5", "198.51.100.1");
    expect_one("2001:db8:1::1", "2001:db8:9::9", "2001:db8:9::9");
    expect_one("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1");
    expect_one("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1");
    const char *const lists[] = {"203.0.113.9", "198.51.100.1, 10.0.0.3", "10.0.0.2", NULL};
    expect("10.0.0.1", lists, "198.51.100.1");
}

static void test_ports(void **state)
{
    expect_one("10.0.0.1", "198.51.100.1:4711", "198.51.100.1");
    expect_one("10.0.0.1", "[2001:db8:9::9]:4711", "2001:db8:9::9");
    expect_one("10.0.0.1", "[2001:db8:9::9]", "2001:db8:9::9");
}

/* What is no address ends the list: it was passed on by a proxy, and that is all that is known. */
static void test_nonsense(void **state)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "unknown",
                                      "_hidden",
                                      "198.51.100",
                                      "198.51.100.1, ",
                                      "198.51.100.1,x",
                                      "[2001:db8:9::9",
                                      "[",
                                      "]",
                                      ":",
                                      "198.51.100.1 198.51.100.2",
                                      "\"198.51.100.1\""};
    const char *const none[] = {NULL};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_one("10.0.0.1", bad[i], "10.0.0.1");
    expect_one("10.0.0.1", "198.51.100.1, junk, 10.0.0.2", "10.0.0.2");
    expect("10.0.0.1", none, "10.0.0.1");
}

/* Nobody keeps us busy with a list of proxies without end. */
static void test_many_hops(void **state)
{
    char list[64 * 12] = "";
    for (int i = 0; i < 60; i++)
        strcat(list, "10.0.0.9,");
    strcat(list, "10.0.0.8");
    expect_one("10.0.0.1", list, "10.0.0.9");
    memcpy(list, "192.0.2.1,", 10); /* too far left to be reached */
    list[9] = ',';
    expect_one("10.0.0.1", list, "10.0.0.9");
    char few[256] = "192.0.2.1";
    for (int i = 0; i < FRONTDOOR_HOPS - 1; i++)
        strcat(few, ",10.0.0.9");
    expect_one("10.0.0.1", few, "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_not_believed),
        cmocka_unit_test(test_the_rightmost_stranger_counts),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_many_hops),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
