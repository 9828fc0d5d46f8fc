/* The driver of readers that show a card while it is there, over a fake link: arrival, long presence, change,
 * departure, and everything that says nothing about the card. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "readers/asked.h"
#include "tests/unit/readers_rig.h"

#define ABSENT 3 /* what the shipped profiles mean by gone */

/* ---- a VRD-485 behind the link: two registers ---- */

struct vrd {
    struct fake fake;
    uint32_t id;
    uint16_t first; /* an IC-10MRW's register 8, when not 0 */
    uint32_t torn;  /* shown once instead: a register changed before the other */
};

static void serve(struct fake *f, const struct ask *a, struct reply *ret)
{
    struct vrd *d = (struct vrd *)f;
    uint32_t id = d->torn ? d->torn : d->id;

    assert_int_equal(a->fc, ASK_HOLDING); /* nothing is ever written */
    assert_int_equal(a->addr, 2);
    assert_int_equal(a->n, 2);
    assert_int_equal(a->unit, 7);
    ret->v[0] = (uint16_t)(id >> 16);
    ret->v[1] = (uint16_t)id;
    d->torn = 0;
}

static struct vrd *vrd_of(struct rig *r)
{
    return (struct vrd *)r->dev;
}

static int rig_new(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct vrd *d = calloc(1, sizeof(*d));

    assert_non_null(r);
    assert_non_null(d);
    d->fake.serve = serve;
    rig_init(r, &level_driver, "technotrade-vrd-485", &d->fake);
    *state = r;
    return 0;
}

static int rig_free(void **state)
{
    struct rig *r = *state;
    rig_done(r);
    free(r->dev);
    free(r);
    return 0;
}

static void turns(struct rig *r, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(turn(r), 0);
}

/* Connected, with nothing in the field. */
static void idle(struct rig *r)
{
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    turns(r, 3);
    no_sight(r);
}

static void same_id(const struct sight *s, uint32_t id)
{
    uint8_t b[4] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    assert_int_equal(s->cred.tech, TECH_EM4100);
    assert_int_equal(s->cred.bits, 32);
    assert_memory_equal(s->cred.data, b, 4);
}

static struct sight card(struct rig *r, uint32_t id)
{
    until_sight(r);
    struct sight s = take(r, SIGHT_CARD);
    same_id(&s, id);
    return s;
}

static struct sight gone(struct rig *r, uint32_t id)
{
    until_sight(r);
    struct sight s = take(r, SIGHT_LEFT);
    same_id(&s, id);
    return s;
}

/* ---- the sequence ---- */

static void one_sight_however_long_it_is_held(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);

    assert_false(r->driver->acked);
    idle(r);
    d->id = 0xA41E45C6;
    struct sight s = card(r, 0xA41E45C6);
    assert_true(s.real > 0 && s.mono > 0 && s.token > 0);
    int64_t from = r->now;
    while (r->now - from < 10 * HOLD)
        turns(r, 1);
    no_sight(r);
    uint64_t before = clock_mono();
    turns(r, 1);
    d->id = 0;
    turns(r, ABSENT - 1);
    no_sight(r);
    turns(r, 1);
    struct sight l = gone(r, 0xA41E45C6);
    assert_true(l.mono >= before); /* when it was last seen, not when it came */
    assert_int_equal(l.token, s.token);
    no_sight(r);
    assert_int_equal(atomic_load(&r->stats.reads), 1);
    assert_int_equal(atomic_load(&r->stats.bad), 0);

    d->id = 0xA41E45C6; /* presented again */
    assert_true(card(r, 0xA41E45C6).token != s.token);
}

static void a_card_is_there_from_the_start(void **state)
{
    struct rig *r = *state;

    vrd_of(r)->id = 7;
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    card(r, 7);
}

static void another_card_in_its_place(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);

    idle(r);
    d->id = 0x11111111;
    struct sight a = card(r, 0x11111111);
    d->id = 0x22222222;
    gone(r, 0x11111111);
    struct sight b = card(r, 0x22222222);
    assert_true(a.token != b.token);
    d->id = 0x11111111;
    gone(r, 0x22222222);
    card(r, 0x11111111);
    turns(r, 20);
    no_sight(r);
}

static void one_reply_without_it_is_no_departure(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);

    idle(r);
    d->id = 5;
    card(r, 5);
    for (int i = 0; i < 20; i++) {
        d->id = i % ABSENT == 0 ? 5 : 0;
        turns(r, 1);
    }
    no_sight(r);
}

/* A device may change one register before the other. What was seen once is no card; it is looked at again at once. */
static void half_a_number_is_nobodys(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);

    idle(r);
    d->id = 0xA41E45C6;
    d->torn = 0xA41E0000;
    turns(r, 1);
    assert_string_equal(state_of(r), "looking twice");
    assert_true(r->due <= r->now);
    card(r, 0xA41E45C6);
    d->torn = 0x000045C6; /* while it lies there, and while it leaves */
    turns(r, 5);
    no_sight(r);
    d->id = 0;
    d->torn = 0x000045C6;
    gone(r, 0xA41E45C6);
    turns(r, 5);
    no_sight(r);
    assert_int_equal(atomic_load(&r->stats.reads), 1);

    /* One that is another with each reply is nobody either, and not asked without a pause. */
    for (uint32_t i = 1; i < 20; i++) {
        d->id = i;
        turns(r, 1);
        assert_true(i == 1 || r->due - r->now == POLL);
    }
    no_sight(r);
}

/* ---- what says nothing about the card ---- */

static void lost_replies_neither_end_nor_begin_it(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);
    static const enum trouble kinds[] = {LOSE_REQUEST, LOSE_REPLY, DAMAGE, EXCEPTION};

    idle(r);
    d->id = 5;
    card(r, 5);
    for (unsigned i = 0; i < 40; i++) {
        r->dev->trouble = kinds[i % 4];
        r->dev->code = 4;
        turns(r, 1);
        r->dev->trouble = kinds[(i + 1) % 4];
        turns(r, 1);
        turns(r, 1);
    }
    no_sight(r);

    /* While it leaves they do not count; only replies do. */
    d->id = 0;
    for (int i = 0; i < ABSENT - 1; i++) {
        turns(r, 1);
        r->dev->trouble = LOSE_REPLY;
        turns(r, 1);
    }
    no_sight(r);
    turns(r, 1);
    gone(r, 5);
}

static void busy_is_neither(void **state)
{
    struct rig *r = *state;

    idle(r);
    vrd_of(r)->id = 5;
    card(r, 5);
    for (int i = 0; i < 20; i++) {
        r->dev->trouble = EXCEPTION;
        r->dev->code = i % 2 ? 5 : 6;
        turns(r, 1);
    }
    turns(r, 5);
    no_sight(r);
    assert_int_equal(atomic_load(&r->stats.exceptions), 20);
    assert_true(atomic_load(&r->stats.up));
}

/* ---- nobody sees the card ---- */

/* It left when it was last seen; if it still lies there afterwards the daemon's `hold` tells whether that is news. */
static void a_silent_device_ends_the_presentation(void **state)
{
    struct rig *r = *state;

    idle(r);
    vrd_of(r)->id = 5;
    struct sight s = card(r, 5);
    turns(r, 3);
    uint64_t seen = clock_mono();
    for (int i = 0; i < ASKED_DOWN_AFTER; i++) {
        no_sight(r);
        r->dev->trouble = LOSE_REQUEST;
        turns(r, 1);
    }
    take(r, SIGHT_DOWN);
    struct sight l = gone(r, 5);
    assert_true(l.mono >= s.mono && l.mono <= seen);
    assert_int_equal(l.token, s.token);
    assert_true(r->due - r->now > POLL);
    turns(r, 1);
    take(r, SIGHT_UP);
    assert_true(card(r, 5).token != s.token);
}

static void a_broken_line_ends_it_too(void **state)
{
    struct rig *r = *state;

    idle(r);
    vrd_of(r)->id = 5;
    card(r, 5);
    r->dev->trouble = BREAK;
    assert_int_equal(turn(r), -EIO);
    r->driver->offline(r->self);
    gone(r, 5);
    take(r, SIGHT_DOWN);
    no_sight(r);
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    card(r, 5);

    /* A number seen once before the break is not half a proof after it. */
    vrd_of(r)->id = 0;
    turns(r, ABSENT);
    gone(r, 5);
    vrd_of(r)->id = 6;
    turns(r, 1);
    r->driver->offline(r->self);
    take(r, SIGHT_DOWN);
    online(r);
    turns(r, 1);
    take(r, SIGHT_UP);
    no_sight(r);
    card(r, 6);
}

static void a_dead_device_is_probed_rarely(void **state)
{
    struct rig *r = *state;
    unsigned probes = 0;

    idle(r);
    int64_t from = r->now;
    while (r->now - from < 60000) {
        r->dev->trouble = LOSE_REQUEST;
        turns(r, 1);
        probes++;
        assert_true(r->due - r->now <= 5000);
    }
    assert_true(probes > 12 && probes < 25);
    take(r, SIGHT_DOWN);
    no_sight(r);
    assert_true(r->dev->last.probe);
}

/* ---- no number ---- */

/* An IC-10MRW with a card whose map nobody knows. */
static void serve_ic(struct fake *f, const struct ask *a, struct reply *ret)
{
    struct vrd *d = (struct vrd *)f;

    assert_int_equal(a->fc, ASK_HOLDING);
    assert_int_equal(a->addr, 3);
    assert_int_equal(a->n, 7);
    memset(ret->v, 0, sizeof(ret->v));
    ret->v[0] = (uint16_t)(d->torn ? d->torn : d->id);
    d->torn = 0;
    for (unsigned i = 1; i < 7; i++)
        ret->v[i] = ret->v[0] ? i == 5 && d->first ? d->first : (uint16_t)(0x0101 * i) : 0;
}

static void a_card_without_a_map_is_refused_and_counted(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);
    char *why = NULL;

    assert_int_equal(profile_load(SOURCE_DIR "/config/profiles", "ic-10mrw", &r->profile, &why), 0);
    d->fake.serve = serve_ic;
    idle(r);
    for (uint64_t n = 1; n <= 3; n++) {
        d->id = 10;
        turns(r, 30);
        no_sight(r);
        assert_int_equal(atomic_load(&r->stats.bad), n); /* a presentation, not a poll */
        d->id = 0;
        turns(r, ABSENT - 1);
        d->id = 10; /* it flickers: the same presentation */
        turns(r, ABSENT);
        assert_int_equal(atomic_load(&r->stats.bad), n);
        d->id = 0;
        turns(r, ABSENT);
    }
    d->torn = 10; /* a length before its bytes */
    d->id = 4;
    until_sight(r);
    struct sight s = take(r, SIGHT_CARD);
    assert_int_equal(s.cred.bits, 32);
    assert_memory_equal(s.cred.data, "\x05\x05\x06\x06", 4);
    d->id = 10; /* whatever it is, it is not the card that was there */
    turns(r, ABSENT);
    take(r, SIGHT_LEFT);
    d->id = 0;
    turns(r, ABSENT);
    no_sight(r);
    d->id = 7;
    until_sight(r);
    s = take(r, SIGHT_CARD);
    assert_int_equal(atomic_load(&r->stats.bad), 4);
    assert_int_equal(s.cred.bits, 56);
    assert_memory_equal(s.cred.data, "\x02\x05\x05\x06\x06\x01\x01", 7);
}

/* A telephone makes a new id each time, and one of 88 is half of another. */
static void an_id_that_names_no_card_is_refused(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);
    char *why = NULL;

    assert_int_equal(profile_load(SOURCE_DIR "/config/profiles", "ic-10mrw", &r->profile, &why), 0);
    d->fake.serve = serve_ic;
    idle(r);
    d->id = 4;
    d->first = 0x5508;
    turns(r, 20);
    no_sight(r);
    assert_int_equal(atomic_load(&r->stats.unusable), 1);
    assert_int_equal(atomic_load(&r->stats.bad), 0);
    d->first = 0x5509;
    until_sight(r);
    take(r, SIGHT_CARD);
}

/* ---- all together ---- */

/* Cards come and go under random trouble; each sight is of a card that is, or just was, there; a card that stays long
 * enough on a line that works is seen; CARD and LEFT alternate. */
static void sights_are_of_cards(void **state)
{
    struct rig *r = *state;
    struct vrd *d = vrd_of(r);
    uint32_t in = 0, next = 1;
    unsigned seen = 0;

    srand(20261123);
    online(r);
    for (unsigned round = 0; round < 100000; round++) {
        if (rand() % 50 == 0)
            d->id = d->id && rand() % 2 ? 0 : next++ << 8 | 0xFF;
        if (rand() % 4 == 0) {
            static const uint8_t codes[] = {4, 5, 6, 11};
            r->dev->trouble = (enum trouble)(rand() % (BREAK + 1));
            r->dev->code = codes[rand() % 4];
        }
        if (rand() % 10 == 0)
            d->torn = 0x80000000 + round;
        if (turn(r) < 0) {
            r->driver->offline(r->self);
            online(r);
        }
        struct sight s;
        while (queue_pop(r->q, &s) == 0) {
            if (s.kind == SIGHT_LEFT) {
                same_id(&s, in);
                in = 0;
            }
            if (s.kind != SIGHT_CARD)
                continue;
            assert_int_equal(in, 0);
            same_id(&s, d->id);
            in = d->id;
            seen++;
        }
    }
    assert_true(seen > 500);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_new, rig_free)
    const struct CMUnitTest tests[] = {
        T(one_sight_however_long_it_is_held),
        T(a_card_is_there_from_the_start),
        T(another_card_in_its_place),
        T(one_reply_without_it_is_no_departure),
        T(half_a_number_is_nobodys),
        T(lost_replies_neither_end_nor_begin_it),
        T(busy_is_neither),
        T(a_silent_device_ends_the_presentation),
        T(a_broken_line_ends_it_too),
        T(a_dead_device_is_probed_rarely),
        T(a_card_without_a_map_is_refused_and_counted),
        T(an_id_that_names_no_card_is_refused),
        T(sights_are_of_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
