/* Credentials, their names and renderings, and the clock byte. */
#include "tests/unit/test_wire_util.h"

#include <stdio.h>

#include "base/str.h"
#include "wire/punch.h"

static const struct cred em = {.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0x00, 0x3b, 0x51, 0xc6}};

/* Facts 1.4 and the vendors' own examples there; facts 2.4, the same fobs through a Wiegand reader whose wires were
 * swapped: all bits inverted, between two of parity. */
static const struct {
    const char *id, *hex8, *dec10, *fc_cn, *dec8, *five, *dec13, *wires;
} em_numbers[] = {
    {"67003B51C6", "003B51C6", "0003887558", "059,20934", "05920934", "00059,20934", "0442385519046", NULL},
    {"0000D507D0", "00D507D0", "0013961168", "213,02000", "21302000", "00213,02000", "0000013961168", NULL},
    {"4B00423C15", "00423C15", "0004340757", "066,15381", "06615381", "00066,15381", "0322126887957", NULL},
    {"01020E9C9B", "020E9C9B", "0034512027", "014,40091", "01440091", "00526,40091", "0004329479323", NULL},
    {"0801161DD6", "01161DD6", "0018226646", "022,07638", "02207638", "00278,07638", "0034377965014", NULL},
    {"FFFFFFFFFF", "FFFFFFFF", "4294967295", "255,65535", "25565535", "65535,65535", "1099511627775", NULL},
    {"01001293D8", "001293D8", "0001217496", "018,37848", "01837848", "00018,37848", "0004296184792",
     "11110110101101100001001110"},
    {"01001293CD", "001293CD", "0001217485", "018,37837", "01837837", "00018,37837", "0004296184781",
     "11110110101101100001100101"},
    {"0100CDA4EC", "00CDA4EC", "0013477100", "205,42220", "20542220", "00205,42220", "0004308444396",
     "00011001001011011000100110"},
    {"0100CDA53F", "00CDA53F", "0013477183", "205,42303", "20542303", "00205,42303", "0004308444479",
     "00011001001011010110000000"},
    {"2900DEB30A", "00DEB30A", "0014594826", "222,45834", "22245834", "00222,45834", "0176108253962",
     "00010000101001100111101010"},
};

static void expect(const struct cred *c, unsigned rendering, const char *want)
{
    char t[CRED_TEXT_MAX];

    cred_render(c, rendering, t);
    assert_string_equal(t, want);
}

static void numbers_of_cards(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(em_numbers); i++) {
        struct cred c = {.tech = TECH_EM4100, .bits = 40};
        assert_int_equal(str_unhex(em_numbers[i].id, c.data, 5), 0);
        expect(&c, RENDER_HEX, em_numbers[i].id);
        expect(&c, RENDER_HEX10, em_numbers[i].id);
        expect(&c, RENDER_HEX8, em_numbers[i].hex8);
        expect(&c, RENDER_DEC10, em_numbers[i].dec10);
        expect(&c, RENDER_FC_CN, em_numbers[i].fc_cn);
        expect(&c, RENDER_DEC8, em_numbers[i].dec8);
        expect(&c, RENDER_5_5, em_numbers[i].five);
        expect(&c, RENDER_DEC13, em_numbers[i].dec13);
        if (!em_numbers[i].wires)
            continue;
        unsigned v = 0;
        char wiegand[16];
        for (size_t bit = 1; bit <= 24; bit++)
            v = v << 1 | (em_numbers[i].wires[bit] == '0');
        snprintf(wiegand, sizeof wiegand, "%03u,%05u", v >> 16, v & 0xffff);
        assert_string_equal(wiegand, em_numbers[i].fc_cn);
    }
}

static void renderings(void **state)
{
    struct cred c = em;

    for (unsigned r = RENDER_HEX; r <= RENDER_DEC13; r++)
        assert_true(cred_renders(&em, r));
    assert_false(cred_renders(&em, RENDER_DEC13 + 1));
    expect(&em, RENDER_DEC13 + 1, "67003B51C6");
    c.bits = 32; /* no EM4100 card */
    expect(&c, RENDER_DEC10, "67003B51");
    expect(&c, RENDER_DEC13, "67003B51");

    /* facts 3.6 */
    c = (struct cred){.tech = TECH_ISO14443, .bits = 32, .data = {0x04, 0xa1, 0xb2, 0xc3}};
    expect(&c, RENDER_HEX, "04A1B2C3");
    expect(&c, RENDER_DEC10, "0077705923");
    for (unsigned r = RENDER_HEX; r <= RENDER_DEC13; r++)
        assert_int_equal(cred_renders(&c, r), r == RENDER_HEX || r == RENDER_DEC10);
    expect(&c, RENDER_FC_CN, "04A1B2C3"); /* the other forms are EM4100's */
    expect(&c, RENDER_DEC13, "04A1B2C3");
    memcpy(c.data, "\x52\x9d\x06\xe3", 4);
    expect(&c, RENDER_DEC10, "1386022627");
    c.bits = 40;
    expect(&c, RENDER_DEC10, "529D06E300");
    c.bits = 56;
    expect(&c, RENDER_DEC10, "529D06E3000000");

    c = (struct cred){.tech = TECH_TEXT, .bits = 24, .data = "A-1"};
    expect(&c, RENDER_HEX, "A-1");
    expect(&c, RENDER_DEC13, "A-1");
    c.data[1] = '\n'; /* nothing unprintable gets out as text */
    expect(&c, RENDER_HEX, "410A31");
    char t[CRED_TEXT_MAX];
    c = (struct cred){.tech = TECH_UHF_EPC, .bits = 8 * CRED_MAX};
    cred_render(&c, RENDER_HEX, t);
    assert_int_equal(strlen(t), 2 * CRED_MAX);
    c = (struct cred){.tech = TECH_WIEGAND};
    expect(&c, RENDER_HEX, "");
}

static void ids_that_name_no_card(void **state)
{
    struct cred c = {.tech = TECH_ISO14443, .bits = 32, .data = {0x08, 1, 2, 3}};

    assert_false(cred_usable(&c)); /* random */
    c.bits = 56;
    assert_true(cred_usable(&c));
    c.data[0] = 0x88; /* the cascade tag, of any length */
    assert_false(cred_usable(&c));
    c.bits = 32;
    assert_false(cred_usable(&c));
    c.data[0] = 0x04;
    assert_true(cred_usable(&c));
    c = (struct cred){.tech = TECH_EM4100, .bits = 40, .data = {0x08}};
    assert_true(cred_usable(&c));
}

static void validity_and_equality(void **state)
{
    struct cred c = {.tech = TECH_WIEGAND, .bits = 26, .data = {1, 2, 3, 0xc0}}, d = c;

    assert_true(cred_valid(&c));
    assert_int_equal(cred_len(&c), 4);
    c.data[3] = 0xe0; /* bit 27 is not part of it */
    assert_false(cred_valid(&c));
    c = d;
    c.tech = 0;
    assert_false(cred_valid(&c));
    c.tech = 9;
    assert_false(cred_valid(&c));
    c = d;
    c.bits = 8 * CRED_MAX + 1;
    assert_false(cred_valid(&c));
    assert_false(cred_equal(&c, &c)); /* beyond its own bytes nothing is compared */
    assert_true(cred_equal(&d, &d));
    c = d;
    c.bits = 27; /* leading or trailing zeros count */
    assert_false(cred_equal(&c, &d));
    c = d;
    c.data[10] = 1; /* bytes not in use do not */
    assert_true(cred_equal(&c, &d));
}

static void indexed_form(void **state)
{
    static const uint8_t want[] = {0x83, 0x03, 0x18, 0x28, 0x45, 0x67, 0x00, 0x3b, 0x51, 0xc6};
    struct cred c = {.tech = TECH_TEXT, .bits = 8 * CRED_MAX};
    uint8_t b[CRED_CBOR_MAX];

    assert_int_equal(cred_cbor(&em, b), sizeof want);
    assert_memory_equal(b, want, sizeof want);
    assert_true(cred_cbor(&c, b) <= CRED_CBOR_MAX);
}

static void names(void **state)
{
    uint8_t v;

    for (unsigned t = TECH_WIEGAND; t <= TECH_UHF_EPC; t++) {
        assert_non_null(tech_name(t));
        assert_int_equal(tech_parse(tech_name(t), &v), 0);
        assert_int_equal(v, t);
    }
    assert_null(tech_name(0));
    assert_null(tech_name(9));
    assert_int_equal(tech_parse("EM4100", &v), -EINVAL);
    for (unsigned r = RENDER_HEX; r <= RENDER_DEC13; r++) {
        assert_int_equal(rendering_parse(rendering_name(r), &v), 0);
        assert_int_equal(v, r);
    }
    assert_null(rendering_name(RENDER_DEC13 + 1));
    assert_int_equal(rendering_parse("", &v), -EINVAL);
    for (unsigned d = DIR_UNKNOWN; d <= DIR_BREAK_IN; d++) {
        assert_int_equal(dir_parse(dir_name(d), &v), 0);
        assert_int_equal(v, d);
    }
    assert_string_equal(dir_name(5), "unknown");
    assert_string_equal(dir_name(16), "function");
    assert_int_equal(dir_parse("sideways", &v), -EINVAL);
}

static void clock_byte(void **state)
{
    /* the examples of docs/WIRE.md section 5 */
    assert_int_equal(ck_make(2, 1), 128);
    assert_int_equal(ck_make(2, 11585), 155);
    assert_int_equal(ck_make(2, 11586), 156);
    assert_int_equal(ck_make(2, 131072), 162);
    assert_int_equal(ck_make(2, (uint64_t)1 << 31), 190);
    assert_int_equal(ck_make(2, ((uint64_t)1 << 31) + 1), 191);
    assert_int_equal(ck_make(0, CK_UNBOUNDED), 63);
    assert_int_equal(ck_make(3, 1048576), 232);
    assert_true(ck_uncertainty(63) == CK_UNBOUNDED);
    assert_int_equal(ck_uncertainty(155), 11585);
    for (unsigned ck = 0; ck < 256; ck++) {
        uint64_t u = ck_uncertainty((uint8_t)ck), q = ck % 64;
        if (q < 63) { /* floor(2^(q/2)): u^2 <= 2^q < (u+1)^2 */
            assert_true(u * u <= (uint64_t)1 << q);
            assert_true((u + 1) * (u + 1) > (uint64_t)1 << q);
        }
        assert_true(ck_uncertainty(ck_make(ck_state((uint8_t)ck), u)) == u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_cards),
        cmocka_unit_test(renderings),
        cmocka_unit_test(ids_that_name_no_card),
        cmocka_unit_test(validity_and_equality),
        cmocka_unit_test(indexed_form),
        cmocka_unit_test(names),
        cmocka_unit_test(clock_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
