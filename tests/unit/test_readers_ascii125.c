/* The 125 kHz parser against the published frames, every way of cutting them, and noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "readers/ascii125.h"

struct seen {
    unsigned n;
    struct cred last, all[8];
};

static void push(struct ascii125 *p, const void *data, size_t n, struct seen *s)
{
    const uint8_t *b = data;
    struct cred c;

    for (size_t i = 0; i < n; i++) {
        if (!ascii125_push(p, b[i], &c))
            continue;
        s->last = c;
        s->all[s->n++ % 8] = c;
    }
}

static void push_str(struct ascii125 *p, const char *s, struct seen *ret)
{
    push(p, s, strlen(s), ret);
}

static uint32_t low32(const struct cred *c)
{
    return (uint32_t)c->data[1] << 24 | (uint32_t)c->data[2] << 16 | (uint32_t)c->data[3] << 8 | c->data[4];
}

/* Facts 1.5: frames seen in the wild, with the number their readers' owners know. */
static const struct {
    const char *frame;
    enum ascii125_layout layout; /* that it has */
    bool good;
    uint8_t version;
    uint32_t number;
} vectors[] = {
    {"\x02"
     "67003B51C6CB"
     "\x03",
     ASCII125_A, true, 0x67, 3887558},
    {"\x02"
     "67003BA86C98"
     "\x03",
     ASCII125_A, true, 0x67, 3909740},
    {"\x02"
     "67003BA86793"
     "\x03",
     ASCII125_A, true, 0x67, 3909735},
    {"\x02"
     "68003B51C6CB"
     "\x03",
     ASCII125_A, false, 0, 0}, /* the XOR is C4 */
    {"\x02"
     "68003B51C6CBDA"
     "\x03",
     ASCII125_A, false, 0, 0}, /* too long */
    {"\x02"
     "1F00644BB686"
     "\x03",
     ASCII125_A, true, 0x1F, 6572982},
    {"\x02"
     "0D00319CD070"
     "\x03",
     ASCII125_A, true, 0x0D, 3251408},
    {"\x02"
     "01001293D858"
     "\r\n\x03",
     ASCII125_B, true, 0x01, 1217496},
    {"\x02"
     "0100CDA4EC84"
     "\r\n\x03",
     ASCII125_B, true, 0x01, 13477100},
    {"\x02"
     "0100CDA53F56"
     "\r\n\x03",
     ASCII125_B, true, 0x01, 13477183},
    {"\x02"
     "2900DEB30A4E"
     "\r\n\x03",
     ASCII125_B, true, 0x29, 14594826},
    {"\x02"
     "01001293CD4D"
     "\r\n\x03",
     ASCII125_B, true, 0x01, 1217485},
    {"\x02"
     "4500C5D1E9B8"
     "\r\n\x03",
     ASCII125_B, true, 0x45, 12964329},
    {"\x02"
     "67003b51c6cb"
     "\x03",
     ASCII125_A, true, 0x67, 3887558}, /* lower case */
    {"\x02"
     "50008C0891"
     "\r\n\x03",
     ASCII125_B, false, 0, 0},                                             /* layout D: no check digits */
    {"\x02\x0A\x02\x2E\x00\xB6\xD7\xB5\xF2\x03", ASCII125_A, false, 0, 0}, /* layout E: binary */
    {"4500C5D1E9B8", ASCII125_A, false, 0, 0},                             /* layout C: no start byte */
    {"\x02"
     "000000000000"
     "\x03",
     ASCII125_A, false, 0, 0}, /* its XOR is right */
    {"\x02"
     "67003B51C6CB"
     "\r\x03",
     ASCII125_B, false, 0, 0},
    {"\x02"
     "67003B51C6CB"
     "\n\r\x03",
     ASCII125_B, false, 0, 0},
    {"\x02"
     "67003B51G6CB"
     "\x03",
     ASCII125_A, false, 0, 0},
    {"\x02"
     "67003B51\xC6"
     "6CB"
     "\x03",
     ASCII125_A, false, 0, 0},
    {"\x02"
     "67003B51C6CB"
     "\x04",
     ASCII125_A, false, 0, 0}, /* wrong end */
};

/* Binary frames hold zeros; all others are strings. */
static size_t vector_len(size_t i)
{
    return vectors[i].frame[1] == 0x0A ? 10 : strlen(vectors[i].frame);
}

static void published_frames(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct ascii125 p;
        struct seen s = {0};
        ascii125_init(&p, ASCII125_AUTO);
        push(&p, vectors[i].frame, vector_len(i), &s);
        ascii125_gap(&p);
        assert_int_equal(s.n, vectors[i].good);
        assert_int_equal(p.bad > 0, !vectors[i].good);
        if (!vectors[i].good)
            continue;
        assert_int_equal(s.last.tech, TECH_EM4100);
        assert_int_equal(s.last.bits, 40);
        assert_true(cred_valid(&s.last));
        assert_int_equal(s.last.data[0], vectors[i].version);
        assert_int_equal(low32(&s.last), vectors[i].number);
    }
}

static void a_configured_layout_takes_no_other(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        for (int layout = ASCII125_A; layout <= ASCII125_B; layout++) {
            struct ascii125 p;
            struct seen s = {0};
            ascii125_init(&p, (enum ascii125_layout)layout);
            push(&p, vectors[i].frame, vector_len(i), &s);
            assert_int_equal(s.n, vectors[i].good && layout == (int)vectors[i].layout);
        }
    }
}

/* The push interface has no pieces to cut, so what is tested is that nothing between the pieces is needed: a look at
 * the line that finds nothing (no gap) changes nothing, a real gap drops the frame, and the next is whole again. */
static void every_split(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        size_t n = vector_len(i);
        for (size_t cut = 1; vectors[i].good && cut < n; cut++) {
            struct ascii125 p;
            struct seen s = {0};
            ascii125_init(&p, ASCII125_AUTO);
            push(&p, vectors[i].frame, cut, &s);
            ascii125_gap(&p);
            push(&p, vectors[i].frame + cut, n - cut, &s);
            assert_int_equal(s.n, 0);
            assert_true(p.bad >= 1 && p.bad <= 2);
            push(&p, vectors[i].frame, n, &s);
            assert_int_equal(s.n, 1);
        }
    }
}

static void begun_in_the_middle(void **state)
{
    for (size_t skip = 1; skip < 14; skip++) {
        struct ascii125 p;
        struct seen s = {0};
        ascii125_init(&p, ASCII125_AUTO);
        push_str(&p, vectors[0].frame + skip, &s);
        push_str(&p, vectors[1].frame, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(low32(&s.last), vectors[1].number);
        assert_int_equal(p.bad, 1);
    }
}

static void glued_and_with_noise_around(void **state)
{
    struct ascii125 p;
    struct seen s = {0};

    ascii125_init(&p, ASCII125_AUTO);
    for (int i = 0; i < 3; i++)
        push_str(&p, vectors[i].frame, &s);
    push_str(&p, vectors[7].frame, &s);
    assert_int_equal(s.n, 4);
    assert_int_equal(p.bad, 0);
    assert_int_equal(low32(&s.all[1]), vectors[1].number);
    assert_int_equal(low32(&s.all[3]), vectors[7].number);

    push_str(&p, "\r\n\r\n", &s); /* between frames that is no noise */
    assert_int_equal(p.bad, 0);
    push_str(&p, "\xFF\x80hello\x03", &s);
    push_str(&p, vectors[0].frame, &s);
    assert_int_equal(s.n, 5);
    assert_int_equal(p.bad, 1); /* one run of noise */
}

/* A byte is lost and the next frame follows at once: its start byte is found inside the bad one. */
static void a_lost_byte_costs_one_frame(void **state)
{
    for (size_t lost = 0; lost < 14; lost++) {
        struct ascii125 p;
        struct seen s = {0};
        ascii125_init(&p, ASCII125_AUTO);
        push(&p, vectors[0].frame, lost, &s);
        push(&p, vectors[0].frame + lost + 1, 14 - lost - 1, &s);
        push_str(&p, vectors[1].frame, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(low32(&s.last), vectors[1].number);
        assert_int_equal(p.bad, 1);
    }
}

static void stray_start_bytes(void **state)
{
    struct ascii125 p;
    struct seen s = {0};

    ascii125_init(&p, ASCII125_AUTO);
    for (size_t i = 0; i < 14; i++) {
        push(&p, vectors[0].frame, i, &s);
        push_str(&p, vectors[1].frame, &s); /* begins with a start byte at every offset of another frame */
        assert_int_equal(s.n, i + 1);
    }
    push_str(&p, "\x02\x02\x02\x02", &s);
    push_str(&p, vectors[0].frame + 1, &s);
    assert_int_equal(s.n, 15);
}

static void every_single_flipped_bit_is_refused(void **state)
{
    for (size_t bit = 0; bit < 14 * 8; bit++) {
        char f[15];
        struct ascii125 p;
        struct seen s = {0};
        memcpy(f, vectors[0].frame, 15);
        f[bit / 8] = (char)(f[bit / 8] ^ (1 << bit % 8));
        ascii125_init(&p, ASCII125_AUTO);
        push(&p, f, 14, &s);
        /* Lower case is the same digit: the only flip that leaves the frame good. */
        bool case_only = bit % 8 == 5 && vectors[0].frame[bit / 8] >= 'A';
        assert_int_equal(s.n, case_only);
        if (case_only)
            assert_int_equal(low32(&s.last), vectors[0].number);
    }
}

static void noise_never_breaks_it(void **state)
{
    static const uint8_t often[] = {2, 3, 13, 10, '0', '1', 'A', 'f'};
    struct ascii125 p;
    struct seen s = {0};
    uint64_t x = 88172645463325252u;

    ascii125_init(&p, ASCII125_AUTO);
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint8_t b = x & 0x300 ? often[x % sizeof(often)] : (uint8_t)(x >> 20);
        push(&p, &b, 1, &s);
        assert_true(p.n < ASCII125_FRAME_MAX);
        if (i % 977 == 0)
            ascii125_gap(&p);
    }
    assert_true(p.bad > 1000);
    unsigned before = s.n;
    ascii125_gap(&p);
    push_str(&p, vectors[0].frame, &s);
    assert_int_equal(s.n, before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_frames),
        cmocka_unit_test(a_configured_layout_takes_no_other),
        cmocka_unit_test(every_split),
        cmocka_unit_test(begun_in_the_middle),
        cmocka_unit_test(glued_and_with_noise_around),
        cmocka_unit_test(a_lost_byte_costs_one_frame),
        cmocka_unit_test(stray_start_bytes),
        cmocka_unit_test(every_single_flipped_bit_is_refused),
        cmocka_unit_test(noise_never_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
