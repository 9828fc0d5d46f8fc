/* Plaintexts of records: round trips up to the limits, padding, what is bad and what is merely unknown. */
#include "tests/unit/test_wire_util.h"

#include "wire/cbor.h"
#include "wire/record.h"

static struct record punch(void)
{
    struct record r = {.kind = RECORD_PUNCH, .gseq = 7, .real = 1763870401250000, .mono = 13250000, .ck = 162};

    strcpy(r.punch.reader, "door-1");
    r.punch.cred = (struct cred){.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0x00, 0x3b, 0x51, 0xc6}};
    r.punch.dir = DIR_IN;
    return r;
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(a->gseq == b->gseq && a->real == b->real && a->mono == b->mono && a->ck == b->ck);
    if (a->kind == RECORD_PUNCH) {
        assert_string_equal(a->punch.reader, b->punch.reader);
        assert_true(cred_equal(&a->punch.cred, &b->punch.cred));
        assert_int_equal(a->punch.dir, b->punch.dir);
        assert_true(a->punch.repeat == b->punch.repeat);
        assert_int_equal(a->punch.rendering, b->punch.rendering);
    } else if (a->kind == RECORD_CLOCK) {
        assert_int_equal(a->clock.src, b->clock.src);
        assert_true(a->clock.step == b->clock.step);
    } else {
        assert_true(a->event.code == b->event.code);
        assert_true(bytes_equal(a->event.arg, b->event.arg));
    }
}

static size_t round_trip(const struct record *r)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    struct record back;
    size_t n;

    assert_int_equal(record_encode(r, plain, &n), 0);
    assert_true(n >= 96 && n <= RECORD_PLAIN_MAX && n % 32 == 0);
    assert_int_equal(record_decode(BYTES(plain, n), &back), 0);
    assert_same(r, &back);
    return n;
}

static void punches(void **state)
{
    struct record r = punch();

    assert_int_equal(round_trip(&r), 96);
    r.punch.repeat = INT64_MAX;
    r.punch.rendering = RENDER_DEC13;
    assert_int_equal(round_trip(&r), 96);
    memset(r.punch.reader, 'x', READER_NAME_MAX);
    r.punch.cred = (struct cred){.tech = TECH_UHF_EPC, .bits = 8 * CRED_MAX};
    memset(r.punch.cred.data, 0xff, CRED_MAX);
    r.punch.dir = 255;
    r.gseq = INT64_MAX;
    r.real = INT64_MIN;
    r.mono = INT64_MAX;
    r.ck = 255;
    assert_int_equal(round_trip(&r), 160);
    r = punch();
    r.punch.cred = (struct cred){.tech = TECH_WIEGAND, .bits = 26, .data = {1, 2, 3, 0xc0}};
    round_trip(&r);
    r.punch.cred = (struct cred){.tech = TECH_KEYPAD};
    round_trip(&r);
    strcpy(r.punch.reader, "Tür");
    round_trip(&r);
}

static void clocks_and_events(void **state)
{
    struct record r = {.kind = RECORD_CLOCK, .gseq = 1, .ck = 63};
    static const uint8_t text[] = {0x65, '1', '.', '2', '.', '3'};

    assert_int_equal(round_trip(&r), 96);
    r.clock.src = CLOCK_SRC_CLOUD;
    r.clock.step = INT64_MIN;
    round_trip(&r);
    r = (struct record){.kind = RECORD_EVENT, .gseq = 2, .event.code = EVENT_READER_UP};
    round_trip(&r);
    r.event.arg = BYTES(text, sizeof text);
    round_trip(&r);
    r.event.code = INT64_MAX; /* of a later version */
    round_trip(&r);
}

static void sender_refuses(void **state)
{
    uint8_t plain[RECORD_PLAIN_MAX], big[RECORD_PLAIN_MAX] = {0x59, 0x03, 0xfd - 30};
    struct record r = punch(), ok = r;
    size_t n = 12345;

#define REFUSED(change, why)                                 \
    do {                                                     \
        r = ok;                                              \
        change;                                              \
        assert_int_equal(record_encode(&r, plain, &n), why); \
    } while (0)
    REFUSED(r.gseq = 0, -EINVAL);
    REFUSED(r.gseq = (uint64_t)INT64_MAX + 1, -EINVAL);
    REFUSED(r.mono = UINT64_MAX, -EINVAL);
    REFUSED(r.punch.reader[0] = '\0', -EINVAL);
    REFUSED(r.punch.reader[0] = '\xff', -EINVAL);
    REFUSED(memset(r.punch.reader, 'x', sizeof r.punch.reader), -EINVAL);
    REFUSED(r.punch.cred.tech = 0, -EINVAL);
    REFUSED(r.punch.cred.bits = 39, 0); /* C6: its last bit is zero */
    REFUSED(r.punch.cred.bits = 38, -EINVAL);
    REFUSED(r.punch.rendering = RENDER_DEC13 + 1, -EINVAL);
    REFUSED(r.kind = (enum record_kind)4, -EINVAL);
    ok = (struct record){.kind = RECORD_CLOCK, .gseq = 1};
    REFUSED(r.clock.src = 4, -EINVAL);
    ok = (struct record){.kind = RECORD_EVENT, .gseq = 1, .event.code = 1};
    n = 12345;
    REFUSED(r.event.arg = BYTES("\x18\x01", 2), -EINVAL);
    assert_int_equal(n, 12345);
    REFUSED(r.event.arg = BYTES(big, 3 + 0x3fd - 30), 0);
    assert_int_equal(n, 1024);
    big[2] = 0xff;
    big[1] = 0x03;
    REFUSED(r.event.arg = BYTES(big, 3 + 0x3ff), -ENOBUFS);
#undef REFUSED
}

/* Hex of an item, padded here to 96. */
static int decode_hex(const char *hex, struct record *ret)
{
    struct buf b = unhex(hex);
    uint8_t plain[96] = {0};

    assert_true(b.len <= sizeof plain);
    memcpy(plain, b.p, b.len);
    buf_done(&b);
    return record_decode(BYTES(plain, sizeof plain), ret);
}

static void bad_and_unknown(void **state)
{
    static const struct {
        const char *hex;
        int want;
    } cases[] = {
        /* gseq 7, "d", EM4100, 40, data, in, real 1, mono 2, ck 3 */
        {"8a0107616403182845"
         "67003b51c6"
         "01010203",
         0},
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a0",
         0},
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a10105",
         0},
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a10100",
         RECORD_BAD}, /* repeat 0 */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a101f4",
         RECORD_BAD}, /* repeat false */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a10209",
         0}, /* rendering of later */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a2188283f4f5f62064"
         "61626364",
         0}, /* other keys */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a202010105",
         RECORD_BAD}, /* keys fall */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a201050105",
         RECORD_BAD}, /* a key twice */
        {"8b0107616403182845"
         "67003b51c6"
         "01010203"
         "a1616101",
         RECORD_BAD}, /* key no int */
        {"8a010761640318"
         "1a"
         "00",
         RECORD_BAD},
        {"8a0107616403182844"
         "67003b51"
         "01010203",
         RECORD_BAD}, /* a byte short of 40 bits */
        {"8a0107616403182745"
         "67003b51c7"
         "01010203",
         RECORD_BAD}, /* 39 bits and the 40th set */
        {"8a0107616409182845"
         "67003b51c6"
         "01010203",
         RECORD_UNKNOWN}, /* tech 9 */
        {"8a0107616400182845"
         "67003b51c6"
         "01010203",
         RECORD_UNKNOWN}, /* tech 0 */
        {"8a0107616409182745"
         "67003b51c7"
         "01010203",
         RECORD_BAD}, /* tech 9, unused bit set */
        {"8a010760"
         "03182845"
         "67003b51c6"
         "01010203",
         RECORD_BAD}, /* reader empty */
        {"8a0107610003182845"
         "67003b51c6"
         "01010203",
         RECORD_BAD}, /* reader NUL */
        {"8a0107"
         "616403182845"
         "67003b51c6"
         "190100010203",
         RECORD_BAD}, /* dir 256 */
        {"8a0107616403182845"
         "67003b51c6"
         "010102190100",
         RECORD_BAD}, /* ck 256 */
        {"8a0107616403182845"
         "67003b51c6"
         "010120"
         "03",
         RECORD_BAD}, /* mono negative */
        {"8a0100616403182845"
         "67003b51c6"
         "01010203",
         RECORD_BAD}, /* gseq 0 */
        {"8a011b8000000000000000616403182845"
         "67003b51c6"
         "01010203",
         RECORD_BAD}, /* gseq 2^63 */
        {"890107616403182845"
         "67003b51c6"
         "010102",
         RECORD_BAD}, /* an element short */
        {"8c0107616403182845"
         "67003b51c6"
         "01010203a000",
         RECORD_BAD}, /* one too many */
        {"870201"
         "01020300"
         "00",
         0},
        {"870201"
         "01020303"
         "3863",
         0},
        {"870201"
         "01020304"
         "00",
         RECORD_UNKNOWN}, /* src 4 */
        {"860201"
         "01020300",
         RECORD_BAD},
        {"860301"
         "01020301",
         0},
        {"870301"
         "01020301"
         "8201f6",
         0},
        {"870301"
         "01020301"
         "fb3ff199999999999a",
         RECORD_BAD}, /* arg a float */
        {"870301"
         "01020301"
         "1801",
         RECORD_BAD},
        {"8104", RECORD_UNKNOWN},
        {"8204a10102", RECORD_UNKNOWN},
        {"8200f6", RECORD_UNKNOWN},
        {"8204", RECORD_UNKNOWN}, /* its second element is the first padding byte */
        {"8104"
         "01",
         RECORD_BAD}, /* something behind it */
        {"8101", RECORD_BAD},
        {"8102", RECORD_BAD},
        {"8120", RECORD_BAD},
        {"816100", RECORD_BAD},
        {"8104"
         "00000000ff",
         RECORD_BAD},
        {"80", RECORD_BAD},
        {"00", RECORD_BAD},
        {"a10104", RECORD_BAD},
        {"f6", RECORD_BAD},
    };
    struct record r;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = (struct record){.gseq = 4711};
        int got = decode_hex(cases[i].hex, &r);
        if (got != cases[i].want)
            fail_msg("%s: %d instead of %d", cases[i].hex, got, cases[i].want);
        if (got != 0)
            assert_int_equal(r.gseq, 4711); /* untouched */
    }
}

static void padding(void **state)
{
    uint8_t plain[RECORD_PLAIN_MAX + 64] = {0};
    struct record r = punch(), back;
    size_t n;

    assert_int_equal(record_encode(&r, plain, &n), 0);
    assert_int_equal(n, 96);
    for (size_t len = 0; len <= sizeof plain; len++) {
        bool fits = len >= 96 && len <= RECORD_PLAIN_MAX && len % 32 == 0;
        assert_int_equal(record_decode(BYTES(plain, len), &back), fits ? 0 : RECORD_BAD);
    }
    for (size_t at = 60; at < 96; at++) { /* all of it is looked at */
        plain[at] ^= 1;
        assert_int_equal(record_decode(BYTES(plain, n), &back), RECORD_BAD);
        plain[at] ^= 1;
    }
    /* the boundary: items of 96 and of 97 bytes */
    r = (struct record){.kind = RECORD_EVENT, .gseq = 1, .event.code = 1};
    uint8_t arg[128] = {0x58, 0};
    for (uint8_t body = 60; body < 120; body++) {
        arg[1] = body;
        r.event.arg = BYTES(arg, 2u + body);
        size_t item = 1 + 6 + 2u + body;
        assert_int_equal(round_trip(&r), item <= 96 ? 96 : (item + 31) / 32 * 32);
    }
}

/* Whatever is taken after a change is the canonical form of what it says: there are no two spellings. */
static void respell(void *arg, struct bytes msg, size_t at)
{
    uint8_t again[RECORD_PLAIN_MAX];
    size_t n, *taken = arg;
    struct record r;

    if (record_decode(msg, &r) != 0)
        return;
    ++*taken;
    assert_int_equal(record_encode(&r, again, &n), 0);
    assert_true(bytes_equal(msg, BYTES(again, n)));
}

static void every_byte_changed(void **state)
{
    struct record recs[] = {punch(),
                            {.kind = RECORD_CLOCK, .gseq = 300, .mono = 99999, .ck = 63, .clock.step = -70000},
                            {.kind = RECORD_EVENT,
                             .gseq = 300,
                             .mono = 99999,
                             .event = {.code = 5,
                                       .arg = BYTES("\x64"
                                                    "door",
                                                    5)}}};
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n, made = 0, taken = 0;

    for (size_t i = 0; i < ARRAY_LEN(recs); i++) {
        assert_int_equal(record_encode(&recs[i], plain, &n), 0);
        made += spoil(BYTES(plain, n), respell, &taken);
    }
    print_message("%zu changed plaintexts, %zu of them are other records, none a second spelling\n", made, taken);
    assert_true(taken > 0 && taken < made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(punches),         cmocka_unit_test(clocks_and_events), cmocka_unit_test(sender_refuses),
        cmocka_unit_test(bad_and_unknown), cmocka_unit_test(padding),           cmocka_unit_test(every_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
