/* The driver of latched readers over a fake link: every branch of its state machine, and a device, a line and a daemon
 * that misbehave at random while nothing may be lost, doubled or cleared too early. */
#include "tests/unit/readers_inveo.h"

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
        T(an_unreadable_latch_is_given_up_in_the_end),
        T(an_unusable_id_is_cleared_unread),
        T(nothing_is_lost_doubled_or_cleared_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
