/* The CRC that stands in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/crc32.h"

/* Spools, keyrings and journals on disk carry it: the check value of CRC-32/ISO-HDLC (Koopman, and zlib's), however two
 * parts share it. */
static void crc_is_the_known_one(void **state)
{
    const char *digits = "123456789";
    (void)state;
    for (size_t n = 0; n <= 9; n++)
        assert_int_equal(crc32_of(BYTES(digits, n), BYTES(digits + n, 9 - n)), 0xcbf43926);
    assert_int_equal(crc32_of(BYTES_NONE, BYTES_NONE), 0);
}

/* However many bytes are taken at once. */
static void crc_is_that_of_single_bits(void **state)
{
    uint8_t p[70];
    uint32_t crc = UINT32_MAX;
    (void)state;
    for (size_t n = 0; n < sizeof(p); n++) {
        assert_int_equal(crc32_of(BYTES_NONE, BYTES(p, n)), ~crc);
        assert_int_equal(crc32_of(BYTES(p, n / 3), BYTES(p + n / 3, n - n / 3)), ~crc);
        p[n] = (uint8_t)(0x9d * n + 7);
        crc ^= p[n];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_the_known_one),
        cmocka_unit_test(crc_is_that_of_single_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
