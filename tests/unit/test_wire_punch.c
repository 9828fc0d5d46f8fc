/* Credentials, their names and renderings, and the clock byte. */
#include "tests/unit/test_wire_util.h"

#include "wire/punch.h"

static const struct cred em = {.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0x00, 0x3b, 0x51, 0xc6}};

static void renderings(void **state)
{
    char t[CRED_TEXT_MAX];
    struct cred c = em;

    cred_render(&em, RENDER_HEX10, t);
    assert_string_equal(t, "67003B51C6");
    cred_render(&em, RENDER_DEC10, t);
    assert_string_equal(t, "0003887558");
    cred_render(&em, RENDER_FC_CN, t);
    assert_string_equal(t, "059,20934");
    memset(c.data, 0xff, 5);
    cred_render(&c, RENDER_DEC10, t);
    assert_string_equal(t, "4294967295");
    cred_render(&c, RENDER_FC_CN, t);
    assert_string_equal(t, "255,65535");
    c.tech = TECH_ISO14443; /* the decimal forms are EM4100's */
    cred_render(&c, RENDER_DEC10, t);
    assert_string_equal(t, "FFFFFFFFFF");
    c = (struct cred){.tech = TECH_TEXT, .bits = 24, .data = "A-1"};
    cred_render(&c, RENDER_HEX, t);
    assert_string_equal(t, "A-1");
    c.data[1] = '\n'; /* nothing unprintable gets out as text */
    cred_render(&c, RENDER_HEX, t);
    assert_string_equal(t, "410A31");
    c = (struct cred){.tech = TECH_UHF_EPC, .bits = 8 * CRED_MAX};
    cred_render(&c, RENDER_HEX, t);
    assert_int_equal(strlen(t), 2 * CRED_MAX);
    c = (struct cred){.tech = TECH_WIEGAND};
    cred_render(&c, RENDER_HEX, t);
    assert_string_equal(t, "");
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
    for (unsigned r = RENDER_HEX; r <= RENDER_FC_CN; r++) {
        assert_int_equal(rendering_parse(rendering_name(r), &v), 0);
        assert_int_equal(v, r);
    }
    assert_null(rendering_name(4));
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
        cmocka_unit_test(renderings),   cmocka_unit_test(validity_and_equality),
        cmocka_unit_test(indexed_form), cmocka_unit_test(names),
        cmocka_unit_test(clock_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
