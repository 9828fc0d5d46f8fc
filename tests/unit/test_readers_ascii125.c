/* The 125 kHz parser against the published frames, every way of cutting them, and noise. */
#include "tests/unit/readers_ascii125.h"

static void push(struct ascii125 *p, const void *data, size_t n, struct seen *s)
{
    const uint8_t *b = data;
    struct cred c;

    for (size_t i = 0; i < n; i++)
        if (ascii125_push(p, b[i], &c))
            saw(s, &c);
}

static void gap(struct ascii125 *p, struct seen *s)
{
    struct cred c;

    if (ascii125_gap(p, &c))
        saw(s, &c);
}

/* As after opening a quiet line. */
static void start(struct ascii125 *p, enum ascii125_layout layout)
{
    struct seen s = {0};

    ascii125_init(p, layout, ASCII125_AS_IS);
    gap(p, &s);
    assert_int_equal(s.n, 0);
}

static void push_frame(struct ascii125 *p, struct frame f, struct seen *s)
{
    push(p, f.b, f.n, s);
}

static const enum ascii125_layout layouts[] = {ASCII125_A, ASCII125_B, ASCII125_C, ASCII125_D, ASCII125_E};

/* Facts 1.5 and 1.6: frames seen in the wild, with the number that their readers' owners know (0: not told). */
static const struct {
    const char *frame, *id;      /* NULL: refused */
    enum ascii125_layout layout; /* that it has */
    uint32_t number;
} vectors[] = {
    {"<02>67003B51C6CB<03>", "67003B51C6", ASCII125_A, 3887558},
    {"<02>67003BA86C98<03>", "67003BA86C", ASCII125_A, 3909740},
    {"<02>67003BA86793<03>", "67003BA867", ASCII125_A, 3909735},
    {"<02>68003B51C6CB<03>", NULL, ASCII125_A, 0},   /* the XOR is C4 */
    {"<02>68003B51C6CBDA<03>", NULL, ASCII125_A, 0}, /* too long */
    {"<02>1F00644BB686<03>", "1F00644BB6", ASCII125_A, 6572982},
    {"<02>0D00319CD070<03>", "0D00319CD0", ASCII125_A, 3251408},
    {"4500C5D1E9B8", "4500C5D1E9", ASCII125_C, 12964329},
    {"307E4DE5C224", "307E4DE5C2", ASCII125_C, 0},
    {"6D0094D481AC", "6D0094D481", ASCII125_C, 9753729},
    {"6D0094D6FFD0", "6D0094D6FF", ASCII125_C, 9754367},
    {"6D00949CBBDE", "6D00949CBB", ASCII125_C, 0},
    {"01001293D858", "01001293D8", ASCII125_C, 1217496},
    {"0100CDA4EC84", "0100CDA4EC", ASCII125_C, 13477100},
    {"0100CDA53F56", "0100CDA53F", ASCII125_C, 13477183},
    {"2900DEB30A4E", "2900DEB30A", ASCII125_C, 14594826},
    {"01001293CD4D", "01001293CD", ASCII125_C, 1217485},
    {"<02>01001293D858<0D><0A><03>", "01001293D8", ASCII125_B, 1217496},
    {"<02>2900DEB30A4E<0D><0A><03>", "2900DEB30A", ASCII125_B, 14594826},
    {"<02>50008C0891<0D><0A><03>", "50008C0891", ASCII125_D, 9177233},
    {"<02><0A><02><2E><00><B6><D7><B5><F2><03>", "2E00B6D7B5", ASCII125_E, 11982773},
    {"<02><0A><02><06><00><8E><6D><5D><B0><03>", "06008E6D5D", ASCII125_E, 9334109},
    {"<02>67003b51c6cb<03>", "67003B51C6", ASCII125_A, 3887558}, /* lower case */
    {"<02>50008c0891<0D><0A><03>", "50008C0891", ASCII125_D, 9177233},
    /* zeros: their XOR is right */
    {"<02>000000000000<03>", NULL, ASCII125_A, 0},
    {"<02>000000000000<0D><0A><03>", NULL, ASCII125_B, 0},
    {"000000000000", NULL, ASCII125_C, 0},
    {"<02>0000000000<0D><0A><03>", NULL, ASCII125_D, 0},
    {"<02><0A><02><00><00><00><00><00><08><03>", NULL, ASCII125_E, 0},
    {"<02><09><01><00><00><00><00><08><03>", NULL, ASCII125_E, 0},
    /* wrong ends, no digits, bytes above 7F */
    {"<02>67003B51C6CB<0D><03>", NULL, ASCII125_B, 0},
    {"<02>67003B51C6CB<0A><0D><03>", NULL, ASCII125_B, 0},
    {"<02>67003B51C6CB<04>", NULL, ASCII125_A, 0},
    {"<02>67003B51C6CB<02>", NULL, ASCII125_A, 0},
    {"<02>50008C0891<0D><03>", NULL, ASCII125_D, 0},
    {"<02>50008C0891<0D><0A><0D>", NULL, ASCII125_D, 0},
    {"<02>50008C0891<03>", NULL, ASCII125_D, 0},
    {"<02>67003B51G6CB<03>", NULL, ASCII125_A, 0},
    {"<02>67003B51<C6>6CB<03>", NULL, ASCII125_A, 0},
    {"67003B51<7F>6CB", NULL, ASCII125_C, 0},
    {"4500C5D1E9B9", NULL, ASCII125_C, 0},
    {"<02><0A><02><2E><00><B6><D7><B5><F3><03>", NULL, ASCII125_E, 0}, /* check */
    {"<02><0A><02><2E><00><B6><D7><B5><F2><04>", NULL, ASCII125_E, 0}, /* end */
    {"<02><0A><01><2E><00><B6><D7><B5><F1><03>", NULL, ASCII125_E, 0}, /* Mifare of five bytes */
    {"<02><09><02><2E><00><B6><D7><44><03>", NULL, ASCII125_E, 0},     /* EM4100 of four */
    {"<02><0A><03><2E><00><B6><D7><B5><F3><03>", NULL, ASCII125_E, 0}, /* no such type */
    {"<02><08><01><2E><00><B6><91><03>", NULL, ASCII125_E, 0},         /* no such length */
};

static void published_frames(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct ascii125 p;
        struct seen s = {0};
        char text[CRED_TEXT_MAX], number[16];
        start(&p, vectors[i].layout == ASCII125_C ? ASCII125_C : ASCII125_AUTO);
        push_frame(&p, frame(vectors[i].frame), &s);
        gap(&p, &s);
        assert_int_equal(s.n, vectors[i].id != NULL);
        assert_int_equal(p.bad > 0, vectors[i].id == NULL);
        if (!vectors[i].id)
            continue;
        assert_int_equal(s.last.tech, TECH_EM4100);
        assert_int_equal(s.last.bits, 40);
        expect(&s.last, vectors[i].id);
        cred_render(&s.last, RENDER_DEC10, text);
        snprintf(number, sizeof(number), "%010lu", (unsigned long)vectors[i].number);
        if (vectors[i].number)
            assert_string_equal(text, number);
    }
}

/* And auto takes none without a start byte. */
static void a_configured_layout_takes_no_other(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        for (enum ascii125_layout l = ASCII125_AUTO; l <= ASCII125_E; l++) {
            struct ascii125 p;
            struct seen s = {0};
            start(&p, l);
            push_frame(&p, frame(vectors[i].frame), &s);
            gap(&p, &s);
            bool takes = l == vectors[i].layout || (l == ASCII125_AUTO && vectors[i].layout != ASCII125_C);
            assert_int_equal(s.n, vectors[i].id && takes);
        }
    }
}

/* A real gap within drops the frame wherever it is, and the next is whole again. */
static void every_split(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6");
        for (size_t cut = 1; cut < f.n; cut++) {
            struct ascii125 p;
            struct seen s = {0};
            start(&p, l);
            push(&p, f.b, cut, &s);
            gap(&p, &s);
            push(&p, f.b + cut, f.n - cut, &s);
            gap(&p, &s);
            assert_int_equal(s.n, 0);
            assert_true(p.bad >= 1 && p.bad <= 2);
            push_frame(&p, f, &s);
            assert_int_equal(s.n, 1);
        }
    }
}

static void begun_in_the_middle(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6"), g = framed(l, "67003BA86C");
        for (size_t skip = 1; skip < f.n; skip++) {
            struct ascii125 p;
            struct seen s = {0};
            ascii125_init(&p, l, ASCII125_AS_IS); /* the port was opened just now */
            push(&p, f.b + skip, f.n - skip, &s);
            if (l == ASCII125_C)
                gap(&p, &s);
            push_frame(&p, g, &s);
            assert_int_equal(s.n, 1);
            expect(&s.last, "67003BA86C");
            assert_true(p.bad <= 1 && (p.bad == 1 || f.n - skip <= 3));
        }
    }
}

static void glued_and_with_noise_around(void **state)
{
    EACH_LAYOUT
    {
        struct ascii125 p;
        struct seen s = {0};
        start(&p, l);
        push_frame(&p, framed(l, "67003B51C6"), &s);
        push_frame(&p, framed(l, "67003BA86C"), &s);
        push_frame(&p, framed(l, "67003BA867"), &s);
        push_frame(&p, framed(l, "67003BA867"), &s); /* held before the reader */
        assert_int_equal(s.n, 4);
        assert_int_equal(p.bad, 0);
        expect(&s.all[1], "67003BA86C");
        expect(&s.all[3], "67003BA867");

        push(&p, "\r\n\r\n", 4, &s); /* between frames that is no noise */
        push_frame(&p, framed(l, "67003B51C6"), &s);
        assert_int_equal(s.n, 5);
        assert_int_equal(p.bad, 0);
        push(&p, "\xFF\x80hello\x03", 8, &s);
        if (l == ASCII125_C)
            gap(&p, &s);
        push_frame(&p, framed(l, "67003B51C6"), &s);
        assert_int_equal(s.n, 6);
        assert_int_equal(p.bad, 1); /* one run of noise */
    }
}

/* A byte is lost and the next frame follows at once: its start byte is found inside the bad one. What has none waits
 * for a pause. */
static void a_lost_byte_costs_one_frame(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6");
        for (size_t lost = 0; lost < f.n; lost++) {
            struct ascii125 p;
            struct seen s = {0};
            start(&p, l);
            push(&p, f.b, lost, &s);
            push(&p, f.b + lost + 1, f.n - lost - 1, &s);
            if (l == ASCII125_C)
                gap(&p, &s);
            push_frame(&p, framed(l, "67003BA86C"), &s);
            assert_int_equal(s.n, 1);
            expect(&s.last, "67003BA86C");
            assert_int_equal(p.bad, 1);
        }
    }
}

/* Start bytes at every offset of another frame, and in rows. */
static void stray_start_bytes(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6"), g = framed(l, "67003BA86C");
        struct ascii125 p;
        struct seen s = {0};
        if (l == ASCII125_C)
            continue;
        start(&p, l);
        for (size_t i = 0; i < f.n; i++) {
            push(&p, f.b, i, &s);
            push_frame(&p, g, &s);
            assert_int_equal(s.n, i + 1);
            expect(&s.last, "67003BA86C");
        }
        push(&p, "\x02\x02\x02\x02", 4, &s);
        push(&p, f.b + 1, f.n - 1, &s);
        assert_int_equal(s.n, f.n + 1);
    }
}

/* What the check is for; and what its absence means: in D another digit is another card. Lower case is the same
 * digit. */
static void flipped_bits(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6");
        unsigned others = 0;
        for (size_t bit = 0; bit < 8 * f.n; bit++) {
            struct frame g = f;
            struct ascii125 p;
            struct seen s = {0};
            g.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            start(&p, l);
            push_frame(&p, g, &s);
            gap(&p, &s);
            bool is_case = l != ASCII125_E && bit % 8 == 5 && f.b[bit / 8] >= 'A';
            bool is_digit = bit / 8 >= 1 && bit / 8 <= 10 && str_nibble((char)g.b[bit / 8]) >= 0;
            assert_int_equal(s.n, is_case || (l == ASCII125_D && is_digit));
            if (is_case)
                expect(&s.last, "67003B51C6");
            others += s.n == 1 && !is_case;
        }
        assert_int_equal(others > 0, l == ASCII125_D);
    }
}

/* ---- auto ---- */

static void a_and_d_on_one_line(void **state)
{
    struct ascii125 p;
    struct seen s = {0};

    start(&p, ASCII125_AUTO);
    for (unsigned i = 0; i < 64; i++) {
        char id[11];
        bool d = (i * 37) & 8; /* in changing order */
        snprintf(id, sizeof(id), "4200%06X", 0xA1B200 + i);
        push_frame(&p, framed(d ? ASCII125_D : ASCII125_A, id), &s);
        assert_int_equal(s.n, i + 1);
        expect(&s.last, id);
        if (i % 3 == 0)
            push(&p, "\r", 1, &s);
    }
    push_frame(&p, framed(ASCII125_E, "67003B51C6"), &s);
    assert_int_equal(s.n, 65);
    expect(&s.last, "67003B51C6");
    assert_int_equal(p.bad, 0);
}

/* A B frame that lost two digits looks like a D frame of a card that nobody has. */
static void after_a_b_no_d(void **state)
{
    struct ascii125 p;
    struct seen s = {0};

    start(&p, ASCII125_AUTO);
    push_frame(&p, framed(ASCII125_B, "67003B51C6"), &s);
    push_frame(&p, frame("<02>67003B51CB<0D><0A><03>"), &s);
    assert_int_equal(s.n, 1);
    assert_int_equal(p.bad, 1);
    push_frame(&p, framed(ASCII125_A, "67003B51C6"), &s);
    assert_int_equal(s.n, 2);
    start(&p, ASCII125_AUTO); /* another reader is plugged in */
    push_frame(&p, frame("<02>67003B51CB<0D><0A><03>"), &s);
    assert_int_equal(s.n, 3);
}

/* What auto takes for the beginning of a binary frame may hold a whole one of another layout. */
static void a_frame_within_a_false_one(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
        struct ascii125 p;
        struct seen s = {0};
        if (layouts[i] == ASCII125_C)
            continue;
        start(&p, ASCII125_AUTO);
        push(&p, "\x02\x0F\x01", 3, &s);
        push_frame(&p, framed(layouts[i], "67003B51C6"), &s);
        gap(&p, &s);
        assert_int_equal(s.n, 1);
        expect(&s.last, "67003B51C6");
        assert_true(p.bad >= 1);
    }
}

/* ---- binary ids ---- */

static void binary_ids(void **state)
{
    static const struct {
        const char *id;
        uint8_t tech;
        bool usable;
    } ids[] = {
        {"04A1B2C3", TECH_ISO14443, true},
        {"529D06E3", TECH_ISO14443, true},
        {"04A1B2C3D4E5F6", TECH_ISO14443, true},
        {"08A1B2C3D4E5F6", TECH_ISO14443, true}, /* of seven bytes, 08 is a manufacturer */
        {"04A1B2C3D4E5F6A7B8C9", TECH_ISO14443, true},
        {"02030D0A02", TECH_EM4100, true}, /* all the marks there are */
        {"0203020A", TECH_ISO14443, true},
        {"020A0202090102", TECH_ISO14443, true},
        {"33333333333333333333", TECH_ISO14443, true}, /* ten digits */
        {"08A1B2C3", TECH_ISO14443, false},            /* random */
        {"8804A1B2", TECH_ISO14443, false},            /* the cascade tag */
        {"8804A1B2C3D4E5", TECH_ISO14443, false},
        {"08A1B2C3D4", TECH_EM4100, true},
    };
    struct ascii125 p, q;
    struct seen s = {0}, t = {0};
    unsigned good = 0, refused = 0;

    start(&p, ASCII125_E);
    start(&q, ASCII125_AUTO);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        push_frame(&p, framed(ASCII125_E, ids[i].id), &s);
        push_frame(&q, framed(ASCII125_E, ids[i].id), &t);
        good += ids[i].usable;
        refused += !ids[i].usable;
        assert_int_equal(s.n, good);
        assert_int_equal(t.n, good);
        assert_int_equal(p.unusable, refused);
        if (!ids[i].usable)
            continue;
        expect(&s.last, ids[i].id);
        assert_int_equal(s.last.tech, ids[i].tech);
        assert_int_equal(s.last.bits, 4 * strlen(ids[i].id));
    }
    assert_int_equal(p.bad + q.bad, 0);
}

/* ---- readers that turn the number round ---- */

static void the_same_card_whatever_reader(void **state)
{
    static const struct {
        enum ascii125_reverse how;
        const char *sent, *uid;
    } cases[] = {
        {ASCII125_AS_IS, "67003B51C6", "04A1B2C3"},
        {ASCII125_BYTES, "C6513B0067", "C3B2A104"},
        {ASCII125_BITS, "E600DC8A63", "20854DC3"},
        {ASCII125_NIBBLES, "7600B3156C", "401A2B3C"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EACH_LAYOUT
        {
            struct ascii125 p;
            struct seen s = {0};
            ascii125_init(&p, l, cases[i].how);
            gap(&p, &s);
            push_frame(&p, framed(l, cases[i].sent), &s);
            assert_int_equal(s.n, 1);
            expect(&s.last, "67003B51C6");
            if (l != ASCII125_E)
                continue;
            push_frame(&p, framed(l, cases[i].uid), &s);
            expect(&s.last, "04A1B2C3");
        }
    }
    struct ascii125 p; /* it is the card's own id that names no card */
    struct seen s = {0};
    ascii125_init(&p, ASCII125_E, ASCII125_BYTES);
    push_frame(&p, framed(ASCII125_E, "C3B2A108"), &s);
    assert_int_equal(s.n, 0);
    assert_int_equal(p.unusable, 1);
    push_frame(&p, framed(ASCII125_E, "08B2A1C3"), &s);
    assert_int_equal(s.n, 1);
}

/* ---- noise ---- */

static void noise_never_breaks_it(void **state)
{
    static const uint8_t often[] = {2, 3, 13, 10, '0', '1', 'A', 'f', 9, 1, 15, 12};

    for (enum ascii125_layout l = ASCII125_AUTO; l <= ASCII125_E; l++) {
        struct ascii125 p;
        struct seen s = {0};
        uint64_t x = 88172645463325252u + (unsigned)l;
        start(&p, l);
        for (int i = 0; i < 100000; i++) {
            random_next(&x);
            uint8_t b = x & 0x300 ? often[x % sizeof(often)] : (uint8_t)(x >> 20);
            push(&p, &b, 1, &s);
            assert_true(p.n < ASCII125_FRAME_MAX);
            if (i % 97 == 0)
                gap(&p, &s);
        }
        assert_true(p.bad > 900);
        unsigned before = s.n;
        gap(&p, &s);
        assert_true(s.n <= before + 1);
        before = s.n;
        push_frame(&p, framed(l == ASCII125_AUTO ? ASCII125_A : l, "67003B51C6"), &s);
        assert_int_equal(s.n, before + 1);
    }
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
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(a_and_d_on_one_line),
        cmocka_unit_test(after_a_b_no_d),
        cmocka_unit_test(a_frame_within_a_false_one),
        cmocka_unit_test(binary_ids),
        cmocka_unit_test(the_same_card_whatever_reader),
        cmocka_unit_test(noise_never_breaks_it),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
