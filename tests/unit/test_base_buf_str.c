/* base/buf.h and base/str.h: bounds, numbers, hex, base64url (RFC 4648 section 10) and times (RFC 3339). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"

static void buf_grows_to_its_maximum_only(void **state)
{
    struct buf b;
    uint8_t block[100];

    memset(block, 'x', sizeof block);
    buf_init(&b, 250);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_add(&b, block, sizeof block), 0);
    assert_int_equal(buf_add(&b, block, sizeof block), 0);
    assert_int_equal(buf_add(&b, block, 51), -ENOBUFS);
    assert_true(b.failed);
    assert_int_equal(b.len, 200);
    assert_string_equal(buf_str(&b), ""); /* a text with a hole is no text */
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_false(b.failed);
    for (int i = 0; i < 250; i++)
        assert_int_equal(buf_add(&b, "y", 1), 0);
    assert_int_equal(buf_add(&b, "", 0), 0);
    assert_int_equal(buf_add(&b, "y", 1), -ENOBUFS);
    assert_int_equal(buf_bytes(&b).n, 250);
    buf_done(&b);
    buf_done(&b);
    buf_done(NULL);
    assert_int_equal(buf_add(&b, block, 100), 0); /* its maximum outlives buf_done() */
    buf_wipe(&b);
    buf_wipe(NULL);

    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_add(&b, block, sizeof block), 0);
    assert_int_equal(buf_add(&b, block, SIZE_MAX - 50), -ENOBUFS);
    assert_int_equal(b.len, sizeof block);
    buf_done(&b);

    buf_init(&b, 0);
    assert_int_equal(buf_add(&b, "", 0), 0);
    assert_int_equal(buf_add(&b, "x", 1), -ENOBUFS);
    buf_done(&b);
}

static void buf_prints(void **state)
{
    struct buf b;

    buf_init(&b, 10);
    assert_int_equal(buf_addf(&b, "%d-%s", 12, "ab"), 0);
    assert_string_equal(buf_str(&b), "12-ab");
    assert_int_equal(buf_addf(&b, "%s", "123456"), -ENOBUFS);
    assert_int_equal(b.len, 5);
    buf_reset(&b);
    assert_int_equal(buf_addf(&b, "%010d", 7), 0); /* to the last byte, the NUL is beyond */
    assert_string_equal(buf_str(&b), "0000000007");
    buf_reset(&b);
    assert_true(bytes_equal(buf_bytes(&b), BYTES_NONE));
    assert_true(bytes_equal(BYTES_STR("ab"), BYTES("abc", 2)));
    assert_false(bytes_equal(BYTES_STR("ab"), BYTES_STR("abc")));
    assert_false(bytes_equal(BYTES_STR("ab"), BYTES_STR("ac")));
    buf_done(&b);
}

static void reads_numbers(void **state)
{
    static const struct {
        const char *s;
        uint64_t min, max;
        int r;
        uint64_t v;
    } cases[] = {
        {"0", 0, 9, 0, 0},
        {"007", 0, 9, 0, 7},
        {"9", 0, 9, 0, 9},
        {"10", 0, 9, -ERANGE, 0},
        {"4", 5, 9, -ERANGE, 0},
        {"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
        {"", 0, 9, -EINVAL, 0},
        {" 1", 0, 9, -EINVAL, 0},
        {"1 ", 0, 9, -EINVAL, 0},
        {"-1", 0, 9, -EINVAL, 0},
        {"+1", 0, 9, -EINVAL, 0},
        {"0x1", 0, 9, -EINVAL, 0},
        {"1.0", 0, 9, -EINVAL, 0},
        {NULL, 0, 9, -EINVAL, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v = 12345;
        assert_int_equal(str_u64(cases[i].s, cases[i].min, cases[i].max, &v), cases[i].r);
        assert_true(v == (cases[i].r == 0 ? cases[i].v : 12345));
    }
}

static void reads_and_writes_hex(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x9a, 0xbc, 0xde, 0xff};
    char text[13];
    uint8_t out[6];
    size_t n = 77;

    assert_string_equal(str_hex(bytes, sizeof bytes, text), "00019abcdeff");
    assert_string_equal(str_hex_upper(bytes, sizeof bytes, text), "00019ABCDEFF");
    assert_string_equal(str_hex(NULL, 0, text), "");
    assert_int_equal(str_unhex("00019AbCdEfF", out, 6), 0);
    assert_memory_equal(out, bytes, 6);

    memset(out, 0x55, sizeof out);
    static const char *const bad[] = {
        "00019abcdef", "00019abcdeff0", "00019abcdeff00", "00019abcdefg", " 0019abcdeff", "", "0x019abcdeff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_unhex(bad[i], out, 6), -EINVAL);
    for (int c = 1; c < 256; c++) {
        char pair[] = {'0', (char)c, '\0'};
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        uint8_t v = 0;
        assert_int_equal(str_unhex(pair, &v, 1), digit ? 0 : -EINVAL);
    }
    assert_int_equal(str_unhex_any("00019", out, 6, &n), -EINVAL);
    assert_int_equal(str_unhex_any("00019z", out, 6, &n), -EINVAL);
    assert_int_equal(str_unhex_any("00019abcdeff00", out, 6, &n), -ENOBUFS);
    assert_int_equal(n, 77);
    assert_int_equal(out[0], 0x55);
    assert_int_equal(str_unhex_any("9ABC", out, 6, &n), 0);
    assert_int_equal(n, 2);
    assert_memory_equal(out, "\x9a\xbc", 2);
    assert_int_equal(str_unhex_any("", out, 6, &n), 0);
    assert_int_equal(n, 0);
}

static void reads_and_writes_base64url(void **state)
{
    static const struct {
        const char *plain, *text;
    } rfc4648[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
                   {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    char text[64];
    uint8_t out[64];
    size_t n;

    for (size_t i = 0; i < ARRAY_LEN(rfc4648); i++) {
        size_t len = strlen(rfc4648[i].plain);
        assert_string_equal(str_b64url(rfc4648[i].plain, len, text), rfc4648[i].text);
        assert_int_equal(str_b64url_len(len), strlen(rfc4648[i].text));
        assert_int_equal(str_unb64url(text, strlen(text), out, len, &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(out, rfc4648[i].plain, len);
    }
    assert_string_equal(str_b64url("\xfb\xff\xbf", 3, text), "-_-_"); /* the two digits that differ from base64 */

    static const char *const bad[] = {
        "Z", "Zm9vY", "Zg==", "Zm8=", "Zm9+", "Zm9/", "Zm 9", "Zm9v\n", "Zh" /* a bit behind the end */, "Zm9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        n = 77;
        assert_int_equal(str_unb64url(bad[i], strlen(bad[i]), out, sizeof out, &n), -EINVAL);
        assert_int_equal(n, 77);
    }
    assert_int_equal(str_unb64url("Zm\0v", 4, out, sizeof out, &n), -EINVAL);
    assert_int_equal(str_unb64url("Zm9vYg", 6, out, 3, &n), -ENOBUFS);
    assert_int_equal(str_unb64url("Zm9vYg", 4, out, 3, &n), 0); /* `len`, not the NUL, ends it */

    for (size_t len = 0; len < 48; len++) {
        uint8_t in[48];
        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)(i * 37 + len);
        str_b64url(in, len, text);
        assert_int_equal(strlen(text), str_b64url_len(len));
        assert_int_equal(str_unb64url(text, strlen(text), out, sizeof out, &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(in, out, len);
    }
}

static void copies_and_compares(void **state)
{
    char out[4] = "old";

    assert_int_equal(str_copy(out, sizeof out, "1234"), -ENOBUFS);
    assert_string_equal(out, "old");
    assert_int_equal(str_copy(out, sizeof out, "123"), 0);
    assert_string_equal(out, "123");
    assert_int_equal(str_copy(out, 0, ""), -ENOBUFS);
    assert_true(str_starts("punch", "pun") && str_starts("x", ""));
    assert_false(str_starts("pun", "punch"));
}

/* Text, and microseconds since 1970 as `date -u -d TEXT +%s` has them. */
static const struct {
    const char *text;
    int64_t us;
} times[] = {
    {"1970-01-01T00:00:00.000000Z", 0},
    {"1969-12-31T23:59:59.999999Z", -1},
    {"2026-11-23T07:15:00.123456Z", 1795418100123456},
    {"2000-02-29T12:00:00.000000Z", 951825600000000},
    {"2100-02-28T23:59:59.999999Z", 4107542399999999},
    {"2100-03-01T00:00:00.000000Z", 4107542400000000},
    {"0000-01-01T00:00:00.000000Z", -62167219200000000},
    {"9999-12-31T23:59:59.999999Z", 253402300799999999},
};

static void writes_times(void **state)
{
    char text[32];

    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        assert_string_equal(str_time(times[i].us, text), times[i].text);
    /* what RFC 3339 has no year for stays a valid text */
    assert_string_equal(str_time(253402300800000000, text), "9999-12-31T23:59:59.999999Z");
    assert_string_equal(str_time(INT64_MAX, text), "9999-12-31T23:59:59.999999Z");
    assert_string_equal(str_time(-62167219200000001, text), "0000-01-01T00:00:00.000000Z");
    assert_string_equal(str_time(INT64_MIN, text), "0000-01-01T00:00:00.000000Z");
}

static void reads_times(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } more[] = {
        {"2026-11-23", 1795392000000000},
        {"2026-11-23T07:15:00Z", 1795418100000000},
        {"2026-11-23t07:15:00z", 1795418100000000},
        {"2026-11-23 07:15:00Z", 1795418100000000},
        {"2026-11-23T07:15:00.5Z", 1795418100500000},
        {"2026-11-23T08:15:00+01:00", 1795418100000000},
        {"2026-11-22T19:45:00.000001-11:30", 1795418100000001},
        {"2026-11-23T07:15:00-00:00", 1795418100000000},
        {"2016-12-31T23:59:60Z", 1483228800000000}, /* a leap second is the second after it */
    };
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11",
        "2026-11-2",
        "26-11-23",
        "2026-1-23",
        "2026-11-23T",
        "2026-11-23Z",
        "2026-00-01",
        "2026-13-01",
        "2026-01-00",
        "2026-01-32",
        "2026-04-31",
        "2026-02-29",
        "2100-02-29",
        "2026-11-23T07:15Z",
        "2026-11-23T07:15:00",
        "2026-11-23T24:00:00Z",
        "2026-11-23T07:60:00Z",
        "2026-11-23T07:15:61Z",
        "2026-11-23T07:15:00.Z",
        "2026-11-23T07:15:00.1234567Z",
        "2026-11-23T07:15:00+1:00",
        "2026-11-23T07:15:00+0100",
        "2026-11-23T07:15:00+24:00",
        "2026-11-23T07:15:00+01:60",
        "2026-11-23T07:15:00Zx",
        "2026-11-23T07:15:00Z ",
        " 2026-11-23",
        "-026-11-23",
        "2026-11-23T07:15:-1Z",
        "2026-11-23T07:15:00,5Z",
        "2026/11/23",
        "2026-11-23x07:15:00Z",
        "9999-12-31T23:59:59-23:59", /* the year 10000 cannot be written */
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00+00:01",
    };
    int64_t us;

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        assert_int_equal(str_untime(times[i].text, &us), 0);
        assert_true(us == times[i].us);
    }
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        assert_int_equal(str_untime(more[i].text, &us), 0);
        assert_true(us == more[i].us);
    }
    us = 42;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (str_untime(bad[i], &us) != -EINVAL || us != 42)
            fail_msg("\"%s\" is not a time", bad[i]);
}

/* Every day of eight centuries, against the C library. */
static void agrees_with_libc(void **state)
{
    for (int64_t day = -150000; day < 150000; day += 1) {
        int64_t us = day * 86400000000 + (day & 0xffff) * 1000003, back = 0;
        time_t t = (time_t)((us - (us % 1000000 + 1000000) % 1000000) / 1000000);
        char text[32], want[32];
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm), 19);
        str_time(us, text);
        assert_memory_equal(text, want, 19);
        assert_int_equal(str_untime(text, &back), 0);
        assert_true(back == us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_to_its_maximum_only),
        cmocka_unit_test(buf_prints),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(reads_and_writes_hex),
        cmocka_unit_test(reads_and_writes_base64url),
        cmocka_unit_test(copies_and_compares),
        cmocka_unit_test(writes_times),
        cmocka_unit_test(reads_times),
        cmocka_unit_test(agrees_with_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
