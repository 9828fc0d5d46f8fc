/* The 125 kHz parser and driver against the published frames, every way of cutting them, and noise; with a clock of the
 * test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "readers/ascii125.h"

struct seen {
    unsigned n;
    struct cred last, all[8];
};

static void saw(struct seen *s, const struct cred *c)
{
    assert_true(cred_valid(c));
    s->last = c[0];
    s->all[s->n++ % 8] = *c;
}

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

/* ---- frames ---- */

struct frame {
    uint8_t b[40];
    size_t n;
};

/* A frame as the facts write it: <02> is that byte, all else is text. */
static struct frame frame(const char *text)
{
    struct frame f = {.n = 0};

    while (*text) {
        if (*text == '<') {
            char hex[3] = {text[1], text[2], 0};
            assert_int_equal(str_unhex(hex, &f.b[f.n++], 1), 0);
            text += 4;
        } else {
            f.b[f.n++] = (uint8_t)*text++;
        }
    }
    return f;
}

/* The id in that layout; E tells 5 bytes as EM4100, all others as ISO 14443. */
static struct frame framed(enum ascii125_layout layout, const char *hex)
{
    struct frame f = {.n = 0};
    uint8_t id[10], check = 0;
    size_t n;
    char text[64];

    assert_int_equal(str_unhex_any(hex, id, sizeof(id), &n), 0);
    for (size_t i = 0; i < n; i++)
        check ^= id[i];
    if (layout == ASCII125_E) {
        f.b[0] = 2;
        f.b[1] = (uint8_t)(n + 5);
        f.b[2] = n == 5 ? 2 : 1;
        memcpy(f.b + 3, id, n);
        f.b[n + 3] = (uint8_t)(check ^ f.b[1] ^ f.b[2]);
        f.b[n + 4] = 3;
        f.n = n + 5;
        return f;
    }
    if (layout == ASCII125_D)
        snprintf(text, sizeof(text), "<02>%s<0D><0A><03>", hex);
    else if (layout == ASCII125_C)
        snprintf(text, sizeof(text), "%s%02X", hex, check);
    else
        snprintf(text, sizeof(text), "<02>%s%02X%s<03>", hex, check, layout == ASCII125_B ? "<0D><0A>" : "");
    return frame(text);
}

static void push_frame(struct ascii125 *p, struct frame f, struct seen *s)
{
    push(p, f.b, f.n, s);
}

static void expect(const struct cred *c, const char *hex)
{
    char text[CRED_TEXT_MAX];

    cred_render(c, RENDER_HEX, text);
    assert_string_equal(text, hex);
}

static const enum ascii125_layout layouts[] = {ASCII125_A, ASCII125_B, ASCII125_C, ASCII125_D, ASCII125_E};
#define EACH_LAYOUT(l) for (enum ascii125_layout l = ASCII125_A; l <= ASCII125_E; l++)

/* Facts 1.5 and 1.6: frames seen in the wild, with the number that their readers' owners know (0: not told). */
static const struct {
    const char *frame;
    enum ascii125_layout layout; /* that it has */
    const char *id;              /* NULL: refused */
    uint32_t number;
} vectors[] = {
    {"<02>67003B51C6CB<03>", ASCII125_A, "67003B51C6", 3887558},
    {"<02>67003BA86C98<03>", ASCII125_A, "67003BA86C", 3909740},
    {"<02>67003BA86793<03>", ASCII125_A, "67003BA867", 3909735},
    {"<02>68003B51C6CB<03>", ASCII125_A, NULL, 0},   /* the XOR is C4 */
    {"<02>68003B51C6CBDA<03>", ASCII125_A, NULL, 0}, /* too long */
    {"<02>1F00644BB686<03>", ASCII125_A, "1F00644BB6", 6572982},
    {"<02>0D00319CD070<03>", ASCII125_A, "0D00319CD0", 3251408},
    {"4500C5D1E9B8", ASCII125_C, "4500C5D1E9", 12964329},
    {"307E4DE5C224", ASCII125_C, "307E4DE5C2", 0},
    {"6D0094D481AC", ASCII125_C, "6D0094D481", 9753729},
    {"6D0094D6FFD0", ASCII125_C, "6D0094D6FF", 9754367},
    {"6D00949CBBDE", ASCII125_C, "6D00949CBB", 0},
    {"01001293D858", ASCII125_C, "01001293D8", 1217496},
    {"0100CDA4EC84", ASCII125_C, "0100CDA4EC", 13477100},
    {"0100CDA53F56", ASCII125_C, "0100CDA53F", 13477183},
    {"2900DEB30A4E", ASCII125_C, "2900DEB30A", 14594826},
    {"01001293CD4D", ASCII125_C, "01001293CD", 1217485},
    {"<02>01001293D858<0D><0A><03>", ASCII125_B, "01001293D8", 1217496},
    {"<02>2900DEB30A4E<0D><0A><03>", ASCII125_B, "2900DEB30A", 14594826},
    {"<02>50008C0891<0D><0A><03>", ASCII125_D, "50008C0891", 9177233},
    {"<02><0A><02><2E><00><B6><D7><B5><F2><03>", ASCII125_E, "2E00B6D7B5", 11982773},
    {"<02><0A><02><06><00><8E><6D><5D><B0><03>", ASCII125_E, "06008E6D5D", 9334109},
    {"<02>67003b51c6cb<03>", ASCII125_A, "67003B51C6", 3887558}, /* lower case */
    {"<02>50008c0891<0D><0A><03>", ASCII125_D, "50008C0891", 9177233},
    /* zeros: their XOR is right */
    {"<02>000000000000<03>", ASCII125_A, NULL, 0},
    {"<02>000000000000<0D><0A><03>", ASCII125_B, NULL, 0},
    {"000000000000", ASCII125_C, NULL, 0},
    {"<02>0000000000<0D><0A><03>", ASCII125_D, NULL, 0},
    {"<02><0A><02><00><00><00><00><00><08><03>", ASCII125_E, NULL, 0},
    {"<02><09><01><00><00><00><00><08><03>", ASCII125_E, NULL, 0},
    /* wrong ends, no digits, bytes above 7F */
    {"<02>67003B51C6CB<0D><03>", ASCII125_B, NULL, 0},
    {"<02>67003B51C6CB<0A><0D><03>", ASCII125_B, NULL, 0},
    {"<02>67003B51C6CB<04>", ASCII125_A, NULL, 0},
    {"<02>67003B51C6CB<02>", ASCII125_A, NULL, 0},
    {"<02>50008C0891<0D><03>", ASCII125_D, NULL, 0},
    {"<02>50008C0891<0D><0A><0D>", ASCII125_D, NULL, 0},
    {"<02>50008C0891<03>", ASCII125_D, NULL, 0},
    {"<02>67003B51G6CB<03>", ASCII125_A, NULL, 0},
    {"<02>67003B51<C6>6CB<03>", ASCII125_A, NULL, 0},
    {"67003B51<7F>6CB", ASCII125_C, NULL, 0},
    {"4500C5D1E9B9", ASCII125_C, NULL, 0},
    {"<02><0A><02><2E><00><B6><D7><B5><F3><03>", ASCII125_E, NULL, 0}, /* check */
    {"<02><0A><02><2E><00><B6><D7><B5><F2><04>", ASCII125_E, NULL, 0}, /* end */
    {"<02><0A><01><2E><00><B6><D7><B5><F1><03>", ASCII125_E, NULL, 0}, /* Mifare of five bytes */
    {"<02><09><02><2E><00><B6><D7><44><03>", ASCII125_E, NULL, 0},     /* EM4100 of four */
    {"<02><0A><03><2E><00><B6><D7><B5><F3><03>", ASCII125_E, NULL, 0}, /* no such type */
    {"<02><08><01><2E><00><B6><91><03>", ASCII125_E, NULL, 0},         /* no such length */
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
    EACH_LAYOUT(l)
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
    EACH_LAYOUT(l)
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
    EACH_LAYOUT(l)
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
    EACH_LAYOUT(l)
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
    EACH_LAYOUT(l)
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
    EACH_LAYOUT(l)
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
        EACH_LAYOUT(l)
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

static uint64_t random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

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

/* ---- the driver, its clock ours ---- */

struct rig {
    struct reader_settings settings;
    struct reader_stats stats;
    struct outbox out;
    atomic_bool stopping;
    void *self;
    int64_t now, due;
};

static void rig_open(struct rig *r, enum ascii125_layout layout)
{
    struct driver_env env = {.settings = &r->settings, .stats = &r->stats, .out = &r->out};

    memset(r, 0, sizeof(*r));
    r->settings.layout = (int)layout;
    r->out.stopping = &r->stopping;
    assert_int_equal(queue_new(sizeof(struct sight), 64, &r->out.sights), 0);
    assert_int_equal(ascii125_driver.create(&env, &r->self), 0);
    r->now = 1000;
    ascii125_driver.online(r->self);
    assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
}

static void rig_close(struct rig *r)
{
    ascii125_driver.destroy(r->self);
    queue_free(r->out.sights);
}

/* The line was found empty after these bytes. */
static void rig_feed(struct rig *r, const uint8_t *p, size_t n)
{
    ascii125_driver.feed(r->self, BYTES(p, n));
    assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
}

/* Time passes, with the turns that the driver asked for. */
static void rig_wait(struct rig *r, int64_t ms)
{
    int64_t until = r->now + ms;

    while (r->due <= until) {
        r->now = r->due;
        assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
        assert_true(r->due > r->now); /* it does not spin */
    }
    r->now = until;
}

/* Cards seen since the last look. */
static unsigned rig_cards(struct rig *r, struct seen *ret)
{
    struct sight s;
    unsigned n = 0;

    while (queue_pop(r->out.sights, &s) == 0) {
        if (s.kind != SIGHT_CARD)
            continue;
        n++;
        if (ret)
            saw(ret, &s.cred);
    }
    return n;
}

static void a_pause_ends_a_frame(void **state)
{
    EACH_LAYOUT(l)
    {
        struct frame f = framed(l, "67003B51C6");
        int gap_ms = l == ASCII125_C ? 20 : 50;
        struct rig r;
        rig_open(&r, l);
        rig_wait(&r, gap_ms);
        for (size_t i = 0; i < f.n; i++) { /* as slow as may be */
            rig_feed(&r, f.b + i, 1);
            rig_wait(&r, gap_ms - 1);
        }
        assert_int_equal(rig_cards(&r, NULL), 1);
        assert_int_equal(r.stats.bad, 0);
        rig_feed(&r, f.b, 5);
        assert_string_equal(ascii125_driver.state(r.self), "in a frame");
        rig_wait(&r, gap_ms);
        assert_string_equal(ascii125_driver.state(r.self), "listening");
        assert_int_equal(r.due, DRIVER_NEVER);
        rig_feed(&r, f.b + 5, f.n - 5);
        rig_wait(&r, gap_ms);
        assert_int_equal(rig_cards(&r, NULL), 0);
        assert_true(r.stats.bad >= 1);
        rig_feed(&r, f.b, f.n);
        assert_int_equal(rig_cards(&r, NULL), 1);
        rig_close(&r);
    }
}

/* A process that was stopped finds both halves waiting: no turn came between, so nothing is cut. */
static void our_own_pauses_cut_nothing(void **state)
{
    struct frame f = framed(ASCII125_C, "67003B51C6");
    struct rig r;

    rig_open(&r, ASCII125_C);
    rig_wait(&r, 20);
    ascii125_driver.feed(r.self, BYTES(f.b, 4));
    r.now += 5000;
    rig_feed(&r, f.b + 4, f.n - 4);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_close(&r);
}

static void without_a_frame_only_pauses_count(void **state)
{
    struct frame f = framed(ASCII125_C, "67003B51C6");
    struct rig r;

    rig_open(&r, ASCII125_C);
    assert_string_equal(ascii125_driver.state(r.self), "waiting for a pause");
    rig_feed(&r, f.b, f.n); /* the line was just opened: who knows what came before */
    rig_wait(&r, 19);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 0);
    rig_wait(&r, 20);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_wait(&r, 20);
    rig_feed(&r, (const uint8_t *)"3", 1); /* a digit too many: nothing is searched for */
    rig_feed(&r, f.b, f.n);
    rig_wait(&r, 19);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 0);
    rig_wait(&r, 20);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_close(&r);
}

/* Random frames, glued or apart, in random pieces: all of them, in order, and nothing else. */
static void any_pieces(void **state)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        enum ascii125_layout l = (enum ascii125_layout)(seed % 6);
        uint64_t x = 0x9E3779B97F4A7C15u * seed;
        uint8_t line[8 * 16];
        char ids[8][21];
        struct seen s = {0};
        struct rig r;
        size_t n = 0;
        rig_open(&r, l);
        rig_wait(&r, 50);
        for (unsigned i = 0; i < 8; i++) {
            static const enum ascii125_layout together[] = {ASCII125_A, ASCII125_D, ASCII125_E};
            enum ascii125_layout of = l == ASCII125_AUTO ? together[random_next(&x) % 3] : l;
            snprintf(ids[i], sizeof(ids[i]), "%02X%08lX", 1 + i, (unsigned long)(random_next(&x) & 0xffffffff));
            struct frame f = framed(of, ids[i]);
            memcpy(line + n, f.b, f.n);
            n += f.n;
        }
        for (size_t at = 0, k; at < n; at += k) {
            k = 1 + random_next(&x) % 20;
            k = k < n - at ? k : n - at;
            rig_feed(&r, line + at, k);
            rig_wait(&r, (int64_t)(random_next(&x) % 20));
        }
        assert_int_equal(rig_cards(&r, &s), 8);
        for (unsigned i = 0; i < 8; i++)
            expect(&s.all[i], ids[i]);
        assert_int_equal(r.stats.bad, 0);
        assert_int_equal(r.stats.reads, 8);
        rig_close(&r);
    }
}

static void what_names_no_card_is_counted(void **state)
{
    struct frame f = framed(ASCII125_E, "08A1B2C3");
    struct rig r;

    rig_open(&r, ASCII125_AUTO);
    rig_feed(&r, f.b, f.n);
    rig_feed(&r, f.b, f.n);
    rig_wait(&r, 50);
    assert_int_equal(rig_cards(&r, NULL), 0);
    assert_int_equal(r.stats.unusable, 2);
    assert_int_equal(r.stats.reads, 0);
    assert_int_equal(r.stats.bad, 0);
    rig_close(&r);
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
        cmocka_unit_test(a_pause_ends_a_frame),
        cmocka_unit_test(our_own_pauses_cut_nothing),
        cmocka_unit_test(without_a_frame_only_pauses_count),
        cmocka_unit_test(any_pieces),
        cmocka_unit_test(what_names_no_card_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
