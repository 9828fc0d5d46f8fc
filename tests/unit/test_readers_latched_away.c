/* The driver of latched readers while its device is silent, restarts, or comes back after a while. */
#include "tests/unit/readers_inveo.h"

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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_new, rig_free)
    const struct CMUnitTest tests[] = {
        T(a_silent_device_is_probed_rarely),
        T(one_lost_reply_is_no_news),
        T(a_card_during_silence_is_not_lost),
        T(broken_line_in_every_state),
        T(a_restart_while_waiting_makes_the_same_card_new),
        T(a_restart_repeats_the_init_writes),
        T(without_a_reset_flag_an_absence_makes_the_same_card_new),
        T(a_device_out_of_its_mind_is_not_chased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
