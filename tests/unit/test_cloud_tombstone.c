/* The journal of erasures as a file: what is written is read; what is damaged, or whole by its checksum and nonsense
 * all the same, is refused and harms nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "cloud/ring.h"
#include "cloud/tombstone.h"

#define MAGIC 8

static void fill(struct tombs *t)
{
    for (uint8_t i = 0; i < 3; i++) {
        struct tomb tomb = {.generation = 2u + i, .at = 1000 + i, .n_cards = i, .counts = {.punches = i}};
        tomb.cards = i == 0 ? NULL : calloc(i, sizeof *tomb.cards);
        assert_true(i == 0 || tomb.cards != NULL);
        for (uint8_t k = 0; k < i; k++)
            tomb.cards[k] = (struct tomb_card){.cidx = {k}, .from = -k, .until = INT64_MAX, .created = k};
        assert_int_equal(tombs_add(t, &tomb), 0);
    }
}

static void what_is_written_is_read(void **state)
{
    struct tombs t, again;
    size_t n = 0;
    uint8_t cidx[TOMB_CIDX] = {0};
    tombs_init(&t);
    tombs_init(&again);
    fill(&t);
    assert_int_equal(tombs_read(&again, buf_bytes(&t.file)), 0);
    assert_int_equal(again.n, 3);
    assert_int_equal(tombs_generation(&again), 4);
    assert_non_null(tombs_of(&again, cidx, &n));
    assert_int_equal(n, 2);
    cidx[0] = 9;
    assert_null(tombs_of(&again, cidx, &n));
    tombs_done(&again);
    tombs_done(&t);
}

/* What an earlier call may have left on the stack. */
static void __attribute__((noinline)) soil(void)
{
    volatile uint8_t mud[2048];
    for (size_t i = 0; i < sizeof mud; i++)
        mud[i] = 0xa5;
}

static void refused(struct bytes file)
{
    struct tombs t;
    tombs_init(&t);
    soil();
    assert_int_equal(tombs_read(&t, file), TOMBS_BAD);
    tombs_done(&t);
}

static void each_changed_byte_is_refused(void **state)
{
    struct tombs t;
    tombs_init(&t);
    fill(&t);
    for (size_t i = 0; i < t.file.len; i++) {
        t.file.p[i] ^= 1;
        refused(buf_bytes(&t.file));
        t.file.p[i] ^= 1;
    }
    tombs_done(&t);
}

/* A checksum keeps out accidents, not whoever can write to an escrow folder. */
static void nonsense_with_a_right_checksum_is_refused(void **state)
{
    static const uint8_t contents[][4] = {{0x80}, {0x87, 0x01}, {0xff, 0xff, 0xff}, {0x87, 0x01, 0x02, 0x40}};
    struct tombs t;
    tombs_init(&t);
    fill(&t);
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        uint8_t file[MAGIC + 12] = {0};
        memcpy(file, t.file.p, MAGIC);
        file[MAGIC + 3] = sizeof contents[i];
        memcpy(file + MAGIC + 4, contents[i], sizeof contents[i]);
        uint32_t crc = crc32_of(BYTES(file + MAGIC, 8), BYTES_NONE);
        for (size_t k = 0; k < 4; k++)
            file[MAGIC + 8 + k] = (uint8_t)(crc >> (8 * (3 - k)));
        refused(BYTES(file, sizeof file));
    }
    tombs_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(each_changed_byte_is_refused),
        cmocka_unit_test(nonsense_with_a_right_checksum_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
