/* The driver of latched readers over a fake link: every branch of its state machine, and a device, a line and a daemon
 * that misbehave at random while nothing may be lost, doubled or cleared too early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/readers_rig.h"

#define FLAG 1016
#define RESET 1017

/* ---- an Inveo behind the link ---- */

struct inveo {
    struct fake fake;
    bool flag, reset;
    bool reset_sticks, unsure; /* a reset flag that cannot be cleared; registers that deny the flag */
    uint8_t id[20];
    unsigned len, writes, init_writes, flag_clears, reset_clears;
};

struct latched_rig {
    struct rig rig;
    struct inveo dev;
};

static void write_done(struct inveo *f, const struct ask *a)
{
    f->writes++;
    if (a->fc == ASK_WRITE_COIL && a->addr == FLAG && a->n == 0) {
        f->flag_clears += f->flag;
        f->flag = false;
    } else if (a->fc == ASK_WRITE_COIL && a->addr == RESET && a->n == 0) {
        f->reset_clears++;
        f->reset = f->reset_sticks;
    } else {
        f->init_writes++;
    }
}

static void read_done(const struct inveo *f, const struct ask *a, struct reply *ret)
{
    for (unsigned i = 0; i < a->n; i++) {
        unsigned at = a->addr + i;
        if (a->fc == ASK_COILS)
            ret->v[i] = at == FLAG ? f->flag : at == RESET ? f->reset : 0;
        else if (at == 1000)
            ret->v[i] = f->flag && !f->unsure;
        else if (at == 1001)
            ret->v[i] = (uint16_t)f->len;
        else
            ret->v[i] = (uint16_t)(f->id[2 * (at - 1002)] << 8 | f->id[2 * (at - 1002) + 1]);
    }
}

static void serve(struct fake *fake, const struct ask *a, struct reply *ret)
{
    if (a->fc == ASK_WRITE_COIL || a->fc == ASK_WRITE_HOLDING)
        write_done((struct inveo *)fake, a);
    else
        read_done((struct inveo *)fake, a, ret);
}

static void present(struct inveo *f, const char *id)
{
    assert_false(f->flag);
    memset(f->id, 0, sizeof(f->id));
    f->len = (unsigned)strlen(id);
    memcpy(f->id, id, f->len);
    f->flag = true;
}

/* ---- the driver under test ---- */

static struct inveo *inveo_of(struct rig *r)
{
    return (struct inveo *)r->dev;
}

static int rig_new(void **state)
{
    struct latched_rig *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->dev.fake.serve = serve;
    rig_init(&l->rig, &latched_driver, "inveo-rfid-ind", &l->dev.fake);
    *state = &l->rig;
    return 0;
}

static int rig_free(void **state)
{
    struct latched_rig *l = *state;
    rig_done(&l->rig);
    free(l);
    return 0;
}

static void answer(struct rig *r, uint64_t token, enum answer a)
{
    latched_driver.answer(r->self, token, a);
    r->due = 0;
}

/* Connected, told so, nothing latched. */
static void idle(struct rig *r)
{
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    until_sight(r);
    take(r, SIGHT_IDLE);
    no_sight(r);
}

static struct sight card(struct rig *r, const char *id)
{
    until_sight(r);
    struct sight s = take(r, SIGHT_CARD);
    assert_int_equal(s.cred.tech, TECH_ISO14443);
    assert_int_equal(s.cred.bits, 8 * strlen(id));
    assert_memory_equal(s.cred.data, id, strlen(id));
    no_sight(r);
    return s;
}

/* ---- the sequence ---- */

static void seen_stored_cleared(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    assert_int_equal(dev->writes, 0); /* writes only on need */
    present(dev, "\x04\xA1\xB2\xC3");
    struct sight s = card(r, "\x04\xA1\xB2\xC3");
    assert_true(s.real > 0 && s.mono > 0 && s.token > 0);
    unsigned asked = r->dev->asked;
    for (int i = 0; i < 50; i++)
        turn(r);
    assert_int_equal(r->dev->asked, asked); /* nothing is asked, above all nothing is cleared, before the answer */
    assert_true(dev->flag);
    answer(r, s.token + 1, ANSWER_STORED); /* an answer to another question */
    turn(r);
    assert_true(dev->flag);
    answer(r, s.token, ANSWER_STORED);
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    assert_false(dev->flag);
    /* The same card again is a new event. */
    present(dev, "\x04\xA1\xB2\xC3");
    assert_true(card(r, "\x04\xA1\xB2\xC3").token != s.token);
    assert_int_equal(atomic_load(&r->stats.reads), 2);
    assert_true(atomic_load(&r->stats.up));
}

static void no_idle_when_a_read_is_latched_at_the_start(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    present(dev, "abcd");
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    struct sight s = card(r, "abcd");
    answer(r, s.token, ANSWER_STORED);
    until_sight(r);
    take(r, SIGHT_ACKED);
    for (int i = 0; i < 10; i++)
        turn(r);
    no_sight(r);
}

static void refused_is_looked_at_again_after_a_second(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    present(dev, "abcd");
    struct sight s = card(r, "abcd");
    int64_t refused = clock_ms();
    answer(r, s.token, ANSWER_REFUSED);
    struct sight again = card(r, "abcd");
    assert_true(r->now >= refused + 1000);
    assert_true(again.token != s.token);
    assert_true(dev->flag);
    answer(r, again.token, ANSWER_STORED);
    until_sight(r);
    take(r, SIGHT_ACKED);
    assert_false(dev->flag);
}

/* ---- clears of unknown outcome ---- */

static struct sight up_to_clear(struct rig *r)
{
    struct inveo *dev = inveo_of(r);

    idle(r);
    present(dev, "abcd");
    struct sight s = card(r, "abcd");
    answer(r, s.token, ANSWER_STORED);
    assert_string_equal(state_of(r), "clearing");
    return s;
}

static void a_lost_clear_reply_is_settled_by_the_flag(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);
    struct sight s = up_to_clear(r);

    r->dev->trouble = LOSE_REPLY;
    turn(r);
    no_sight(r);
    assert_string_equal(state_of(r), "settling a clear");
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    no_sight(r);
    assert_int_equal(dev->writes, 1);
}

static void a_lost_clear_is_made_again_without_a_second_sight(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);
    struct sight s = up_to_clear(r);

    for (int i = 0; i < 2; i++) {
        r->dev->trouble = LOSE_REQUEST;
        turn(r);
        assert_true(dev->flag);
        turn(r); /* settle: the same number */
        no_sight(r);
    }
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    assert_int_equal(dev->flag_clears, 1);
}

static void another_card_means_that_the_clear_was_done(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);
    struct sight s = up_to_clear(r);

    r->dev->trouble = DAMAGE;
    turn(r);
    present(dev, "efgh");
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    struct sight next = take(r, SIGHT_CARD);
    assert_memory_equal(next.cred.data, "efgh", 4);
    assert_true(dev->flag); /* not cleared unread */
    assert_int_equal(dev->flag_clears, 1);
}

/* Beyond `hold` the same number may be a second presentation: the daemon is asked. */
static void the_same_card_after_hold_is_asked_again(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);
    struct sight s = up_to_clear(r);

    r->dev->trouble = LOSE_REPLY;
    turn(r);
    r->now += HOLD + 1;
    present(dev, "abcd");
    struct sight again = card(r, "abcd");
    assert_true(again.token != s.token);
    assert_true(dev->flag);
}

static void exceptions_to_a_clear(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    for (uint8_t code = 1; code < 12; code++) {
        present(dev, "abcd");
        struct sight s = card(r, "abcd");
        answer(r, s.token, ANSWER_STORED);
        r->dev->trouble = EXCEPTION;
        r->dev->code = code;
        until_sight(r);
        assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
        assert_false(dev->flag);
    }
    assert_int_equal(atomic_load(&r->stats.exceptions), 11);
    no_sight(r);
}

/* Exceptions 5 and 6 ask for time: however many, the device is not down. Others are failures. */
static void busy_is_not_down(void **state)
{
    struct rig *r = *state;

    idle(r);
    for (int i = 0; i < 20; i++) {
        r->dev->trouble = EXCEPTION;
        r->dev->code = i % 2 ? 5 : 6;
        turn(r);
        assert_true(r->due - r->now <= POLL);
    }
    no_sight(r);
    for (int i = 0; i < 3; i++) {
        r->dev->trouble = EXCEPTION;
        r->dev->code = 4;
        turn(r);
    }
    take(r, SIGHT_DOWN);
    assert_true(r->due - r->now > POLL);
    until_sight(r);
    take(r, SIGHT_UP);
    take(r, SIGHT_IDLE);
}

/* But one that does nothing else is of no use to anybody. */
static void busy_for_ever_is_down(void **state)
{
    struct rig *r = *state;

    idle(r);
    for (int i = 0; i < 1000 && queue_len(r->q) == 0; i++) {
        r->dev->trouble = EXCEPTION;
        r->dev->code = 6;
        turn(r);
    }
    take(r, SIGHT_DOWN);
    for (int i = 0; i < 10; i++) {
        r->dev->trouble = EXCEPTION;
        r->dev->code = 6;
        turn(r);
    }
    assert_true(r->due - r->now > POLL);
    until_sight(r);
    take(r, SIGHT_UP);
    take(r, SIGHT_IDLE);
    r->dev->trouble = EXCEPTION;
    turn(r);
    turn(r);
    assert_true(r->due - r->now <= POLL); /* forgiven */
    no_sight(r);
}

/* ---- silence ---- */

static void a_silent_device_is_probed_rarely(void **state)
{
    struct rig *r = *state;
    unsigned probes = 0;

    idle(r);
    int64_t from = r->now;
    while (r->now - from < 60000) {
        r->dev->trouble = LOSE_REQUEST;
        turn(r);
        probes++;
        assert_true(r->due - r->now <= 5000);
    }
    assert_true(probes > 12 && probes < 25);
    take(r, SIGHT_DOWN);
    no_sight(r); /* told once */
    assert_true(r->dev->last.probe);
    assert_false(atomic_load(&r->stats.up));
    assert_int_equal(atomic_load(&r->stats.timeouts), probes);
    until_sight(r);
    take(r, SIGHT_UP);
    take(r, SIGHT_IDLE);
    turn(r);
    turn(r);
    assert_false(r->dev->last.probe);
    assert_true(r->due - r->now <= POLL);
}

static void one_lost_reply_is_no_news(void **state)
{
    struct rig *r = *state;

    idle(r);
    for (int i = 0; i < 10; i++) {
        r->dev->trouble = i % 2 ? LOSE_REPLY : DAMAGE;
        turn(r);
        turn(r);
    }
    no_sight(r);
    assert_true(atomic_load(&r->stats.up));
}

static void a_card_during_silence_is_not_lost(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    for (int i = 0; i < 6; i++) {
        r->dev->trouble = LOSE_REQUEST;
        turn(r);
    }
    take(r, SIGHT_DOWN);
    present(dev, "abcd");
    until_sight(r);
    take(r, SIGHT_UP);
    card(r, "abcd");
}

/* ---- connections and restarts ---- */

static void broken_line_in_every_state(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    r->dev->trouble = BREAK;
    assert_int_equal(turn(r), -EIO);
    latched_driver.offline(r->self);
    take(r, SIGHT_DOWN);
    idle(r); /* told again after a reconnect */

    /* While the daemon thinks. */
    present(dev, "abcd");
    struct sight s = card(r, "abcd");
    latched_driver.offline(r->self);
    take(r, SIGHT_DOWN);
    online(r);
    for (int i = 0; i < 5; i++)
        turn(r);
    take(r, SIGHT_UP);
    no_sight(r);
    assert_true(dev->flag);
    answer(r, s.token, ANSWER_STORED);
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);

    /* The answer comes while the line is down. */
    present(dev, "abcd");
    s = card(r, "abcd");
    latched_driver.offline(r->self);
    take(r, SIGHT_DOWN);
    answer(r, s.token, ANSWER_STORED);
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    assert_false(dev->flag);

    /* During the clear. */
    present(dev, "abcd");
    s = card(r, "abcd");
    answer(r, s.token, ANSWER_STORED);
    r->dev->trouble = BREAK;
    assert_int_equal(turn(r), -EIO);
    latched_driver.offline(r->self);
    take(r, SIGHT_DOWN);
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    assert_int_equal(dev->flag_clears, 3);
}

/* The stored card was forgotten by the device while we were away, and the same one presented again. */
static void a_restart_while_waiting_makes_the_same_card_new(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    present(dev, "abcd");
    struct sight s = card(r, "abcd");
    latched_driver.offline(r->self);
    take(r, SIGHT_DOWN);
    answer(r, s.token, ANSWER_STORED);
    dev->reset = true; /* power failure; then the card again */
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    struct sight again = card(r, "abcd");
    assert_true(again.token != s.token);
    assert_true(dev->flag);
    assert_int_equal(dev->reset_clears, 1);
}

static void a_restart_repeats_the_init_writes(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    r->profile.n_init = 2;
    r->profile.init[0] = (struct profile_write){.at = {.fc = ASK_HOLDING, .addr = 5}, .value = 300};
    r->profile.init[1] = (struct profile_write){.at = {.fc = ASK_COILS, .addr = 1000}, .value = 1};
    dev->reset = true;
    idle(r);
    assert_int_equal(dev->init_writes, 2);
    assert_int_equal(dev->reset_clears, 1);
    for (int i = 0; i < 10; i++)
        turn(r);
    assert_int_equal(dev->init_writes, 2);
    dev->reset = true;
    r->dev->trouble = LOSE_REPLY;
    for (int i = 0; i < 10; i++)
        turn(r);
    assert_int_equal(dev->init_writes, 4);
    assert_int_equal(dev->reset_clears, 2);
    assert_false(dev->reset);
}

/* Such a device cannot say that it started anew. So after an absence longer than `hold` its number may be a new
 * presentation, and the daemon is asked, as after a clear of unknown outcome. */
static void without_a_reset_flag_an_absence_makes_the_same_card_new(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    r->profile.reset.fc = (enum ask_fc)0;
    for (int longer = 0; longer < 2; longer++) {
        idle(r);
        present(dev, "abcd");
        struct sight s = card(r, "abcd");
        latched_driver.offline(r->self);
        take(r, SIGHT_DOWN);
        answer(r, s.token, ANSWER_STORED);
        online(r);
        latched_driver.offline(r->self); /* opened in vain */
        r->now += longer ? HOLD + 1 : HOLD / 2;
        online(r);
        until_sight(r);
        take(r, SIGHT_UP);
        until_sight(r);
        struct sight again = take(r, longer ? SIGHT_CARD : SIGHT_ACKED);
        assert_int_equal(again.token == s.token, !longer);
        assert_int_equal(dev->flag, longer);
        latched_driver.offline(r->self);
        take(r, SIGHT_DOWN);
    }
}

/* A device that contradicts itself is asked at the pace of one that is well: a turn costs the line's time. */
static void a_device_out_of_its_mind_is_not_chased(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    dev->reset = dev->reset_sticks = true;
    int64_t from = r->now;
    for (int i = 0; i < 100; i++)
        turn(r);
    assert_true(r->now - from > 20 * POLL);
    dev->reset = dev->reset_sticks = false;
    for (int i = 0; i < 10; i++)
        turn(r);
    dev->flag = dev->unsure = true;
    from = r->now;
    for (int i = 0; i < 100; i++)
        turn(r);
    assert_true(r->now - from > 20 * POLL);
    no_sight(r);
}

/* ---- what is latched has no number ---- */

static void an_unreadable_latch_is_given_up_in_the_end(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    present(dev, "");
    for (int i = 0; i < 20; i++)
        turn(r);
    no_sight(r);
    assert_false(dev->flag);
    assert_int_equal(atomic_load(&r->stats.bad), 3);
    present(dev, "abcd");
    card(r, "abcd");

    /* A number that comes late is taken. */
    answer(r, 1, ANSWER_STORED);
    until_sight(r);
    take(r, SIGHT_ACKED);
    present(dev, "");
    turn(r);
    turn(r);
    dev->len = 4;
    memcpy(dev->id, "efgh", 4);
    card(r, "efgh");
}

/* An id that names no card locks nobody out and is no punch. */
static void an_unusable_id_is_cleared_unread(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);

    idle(r);
    present(dev, "\x08\x01\x02\x03");
    for (int i = 0; i < 10; i++)
        turn(r);
    no_sight(r);
    assert_false(dev->flag);
    assert_int_equal(dev->flag_clears, 1);
    assert_int_equal(atomic_load(&r->stats.unusable), 1);
    assert_int_equal(atomic_load(&r->stats.bad), 0);
    present(dev, "abcd");
    struct sight s = card(r, "abcd");

    /* In the place of ours, whose clear got no answer: ours was cleared. */
    answer(r, s.token, ANSWER_STORED);
    r->dev->trouble = LOSE_REPLY;
    turn(r);
    present(dev, "\x88\x01\x02\x03");
    until_sight(r);
    assert_int_equal(take(r, SIGHT_ACKED).token, s.token);
    for (int i = 0; i < 10; i++)
        turn(r);
    no_sight(r);
    assert_false(dev->flag);
    assert_int_equal(atomic_load(&r->stats.unusable), 2);
}

/* ---- all together ---- */

/* Random trouble on the line, a slow and refusing daemon, cuts. The daemon folds what the driver repeats as daemons
 * do: the same number as the one it has not seen acknowledged is the same presentation. Then each presentation is
 * stored exactly once, in order, and nothing is cleared that was not stored. */
static void nothing_is_lost_doubled_or_cleared_early(void **state)
{
    struct rig *r = *state;
    struct inveo *dev = inveo_of(r);
    unsigned presented = 0, stored = 0, rounds = 0;
    bool pending = false; /* stored, not yet acknowledged */
    struct cred unacked = {0};

    srand(20261123);
    online(r);
    while (presented < 3000 && ++rounds < 200000) {
        if (!dev->flag && rand() % 4 == 0) {
            char id[5] = {'a', (char)('a' + presented % 26), (char)('a' + presented / 26 % 26),
                          (char)('a' + presented / 676), 0};
            assert_int_equal(dev->flag_clears, presented);
            assert_int_equal(stored, presented); /* the latch was freed only once its read was stored */
            present(dev, id);
            presented++;
        }
        if (rand() % 3 == 0) {
            static const uint8_t codes[] = {4, 5, 6, 11};
            r->dev->trouble = (enum trouble)(rand() % (BREAK + 1));
            r->dev->code = codes[rand() % 4];
        }
        if (turn(r) < 0) {
            latched_driver.offline(r->self);
            online(r);
        }
        struct sight s;
        while (queue_pop(r->q, &s) == 0) {
            if (s.kind == SIGHT_IDLE || s.kind == SIGHT_ACKED)
                pending = false;
            if (s.kind != SIGHT_CARD)
                continue;
            if (rand() % 8 == 0) {
                answer(r, s.token, ANSWER_REFUSED);
                continue;
            }
            if (!pending || !cred_equal(&unacked, &s.cred)) {
                assert_memory_equal(s.cred.data, dev->id, 4);
                stored++;
                assert_int_equal(stored, presented);
            }
            pending = true;
            unacked = s.cred;
            answer(r, s.token, ANSWER_STORED);
        }
    }
    assert_int_equal(presented, 3000);
    assert_true(stored >= presented - 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_new, rig_free)
    const struct CMUnitTest tests[] = {
        T(seen_stored_cleared),
        T(no_idle_when_a_read_is_latched_at_the_start),
        T(refused_is_looked_at_again_after_a_second),
        T(a_lost_clear_reply_is_settled_by_the_flag),
        T(a_lost_clear_is_made_again_without_a_second_sight),
        T(another_card_means_that_the_clear_was_done),
        T(the_same_card_after_hold_is_asked_again),
        T(exceptions_to_a_clear),
        T(busy_is_not_down),
        T(busy_for_ever_is_down),
        T(a_silent_device_is_probed_rarely),
        T(one_lost_reply_is_no_news),
        T(a_card_during_silence_is_not_lost),
        T(broken_line_in_every_state),
        T(a_restart_while_waiting_makes_the_same_card_new),
        T(a_restart_repeats_the_init_writes),
        T(without_a_reset_flag_an_absence_makes_the_same_card_new),
        T(a_device_out_of_its_mind_is_not_chased),
        T(an_unreadable_latch_is_given_up_in_the_end),
        T(an_unusable_id_is_cleared_unread),
        T(nothing_is_lost_doubled_or_cleared_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
