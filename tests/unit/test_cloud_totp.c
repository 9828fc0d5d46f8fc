/* The second factor: codes against RFC 6238, steps that are accepted once, recovery codes, and the picture of the
 * secret, module by module. */
#include <qrencode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cloud/qr.h"
#include "cloud/totp.h"

static const uint8_t rfc_secret[TOTP_SECRET] = {'1', '2', '3', '4', '5', '6', '7', '8', '9', '0',
                                                '1', '2', '3', '4', '5', '6', '7', '8', '9', '0'};

/* RFC 6238 appendix B, SHA-1: eight digits there, of which these are the last six. */
static const struct {
    int64_t time;
    const char *code;
} vectors[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
               {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};

static void test_rfc6238(void **state)
{
    char code[TOTP_DIGITS + 1];
    uint64_t step;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        assert_int_equal(totp_code(rfc_secret, (uint64_t)vectors[i].time / TOTP_PERIOD, code), 0);
        assert_string_equal(code, vectors[i].code);
        assert_int_equal(totp_check(rfc_secret, vectors[i].code, vectors[i].time * 1000000, 0, &step), 0);
        assert_int_equal(step, vectors[i].time / TOTP_PERIOD);
    }
}

static void test_tolerance(void **state)
{
    const int64_t at = INT64_C(1111111111) * 1000000, period = INT64_C(30) * 1000000;
    uint64_t step = 7;
    assert_int_equal(totp_check(rfc_secret, "050471", at + period, 0, &step), 0);
    assert_int_equal(step, 37037037);
    assert_int_equal(totp_check(rfc_secret, "050471", at - period, 0, &step), 0);
    assert_int_equal(step, 37037037);
    step = 7;
    assert_int_equal(totp_check(rfc_secret, "050471", at + 2 * period, 0, &step), TOTP_WRONG);
    assert_int_equal(totp_check(rfc_secret, "050471", at - 2 * period, 0, &step), TOTP_WRONG);
    static const char *const wrong[] = {"", "050472", "50471", "0504711", "05047", " 50471", "05047a"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(totp_check(rfc_secret, wrong[i], at, 0, &step), TOTP_WRONG);
    assert_int_equal(step, 7);
}

static void test_once(void **state)
{
    const int64_t at = INT64_C(1111111111) * 1000000;
    char before[TOTP_DIGITS + 1], after[TOTP_DIGITS + 1];
    uint64_t last = 0;
    assert_int_equal(totp_check(rfc_secret, "050471", at, last, &last), 0);
    assert_int_equal(totp_check(rfc_secret, "050471", at, last, &last), TOTP_WRONG);
    /* that of the step before it would be within the tolerance, and came too late */
    assert_int_equal(totp_code(rfc_secret, last - 1, before), 0);
    assert_int_equal(totp_check(rfc_secret, before, at, last, &last), TOTP_WRONG);
    assert_int_equal(totp_code(rfc_secret, last + 1, after), 0);
    assert_int_equal(totp_check(rfc_secret, after, at, last, &last), 0);
    assert_int_equal(last, 37037038);
}

static void test_uri(void **state)
{
    char uri[TOTP_URI_MAX], text[TOTP_BASE32_MAX], long_name[300];
    totp_base32(rfc_secret, text);
    assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_int_equal(totp_uri(rfc_secret, "Punchline acme", "ada@example.org", uri), 0);
    assert_string_equal(uri, "otpauth://totp/Punchline%20acme:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                             "&issuer=Punchline%20acme&algorithm=SHA1&digits=6&period=30");
    memset(long_name, '@', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(totp_uri(rfc_secret, "Punchline acme", long_name, uri), -ENOBUFS);
}

static void test_recovery(void **state)
{
    char text[RECOVERY_TEXT], typed[40];
    uint8_t hash[RECOVERY_HASH], again[RECOVERY_HASH];
    for (int i = 0; i < 50; i++) {
        assert_int_equal(recovery_draw(text, hash), 0);
        assert_int_equal(strlen(text), 19);
        assert_int_equal(recovery_hash(text, again), 0);
        assert_memory_equal(hash, again, sizeof hash);
        /* as a person types it: in small letters, blanks for hyphens, o for 0 and l for 1 */
        snprintf(typed, sizeof typed, " %s ", text);
        for (char *p = typed; *p; p++)
            *p = *p == '-' ? ' ' : *p == '0' ? 'o' : *p == '1' ? 'l' : *p >= 'A' ? (char)(*p | 0x20) : *p;
        assert_int_equal(recovery_hash(typed, again), 0);
        assert_memory_equal(hash, again, sizeof hash);
        text[0] = text[0] == '2' ? '3' : '2';
        assert_int_equal(recovery_hash(text, again), 0);
        assert_memory_not_equal(hash, again, sizeof hash);
    }
    static const char *const wrong[] = {"", "2222-2222-2222-222", "2222-2222-2222-22222", "2222-2222-2222-222u",
                                        "050471"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(recovery_hash(wrong[i], again), RECOVERY_BAD);
}

/* Paints what the path says and compares it with what the library encoded. */
static void test_qr(void **state)
{
    static const char text[] = "otpauth://totp/Punchline:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    static uint8_t painted[200][200];
    struct buf svg;
    buf_init(&svg, 65536);
    assert_int_equal(qr_svg(text, &svg), 0);
    QRcode *want = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    assert_non_null(want);
    int side = want->width + 8, x, y, n, m, used;
    char head[120];
    snprintf(head, sizeof head, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"", side, side);
    assert_int_equal(strncmp(buf_str(&svg), head, strlen(head)), 0);
    const char *p = strstr(buf_str(&svg), "<path d=\"");
    assert_non_null(p);
    for (p += 9; sscanf(p, "M%d %dh%dv1h-%dz%n", &x, &y, &n, &m, &used) == 4; p += used) {
        assert_int_equal(n, m);
        for (int i = 0; i < n; i++)
            painted[y][x + i] = 1;
    }
    assert_string_equal(p, "\"/></svg>");
    for (y = 0; y < side; y++)
        for (x = 0; x < side; x++) {
            bool quiet = x < 4 || y < 4 || x >= side - 4 || y >= side - 4;
            assert_int_equal(painted[y][x], quiet ? 0 : want->data[(y - 4) * want->width + x - 4] & 1);
        }
    QRcode_free(want);
    buf_done(&svg);

    char *long_text = calloc(1, 5000);
    assert_non_null(long_text);
    memset(long_text, 'x', 4999);
    buf_init(&svg, 65536);
    assert_int_equal(qr_svg(long_text, &svg), -EINVAL);
    buf_done(&svg);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc6238), cmocka_unit_test(test_tolerance), cmocka_unit_test(test_once),
        cmocka_unit_test(test_uri),     cmocka_unit_test(test_recovery),  cmocka_unit_test(test_qr),
    };
    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
