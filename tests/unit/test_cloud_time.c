/* Corrected time, pending, boots that never knew the time, and repeats. */
#include "tests/unit/cloud_gateway.h"

#define CK(state, u) ck_make((state), (u))

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static struct punch_row only(struct fixture *x, enum punch_state state)
{
    struct punch_list l;
    ask(x, state, NULL, &l);
    assert_int_equal(l.n, 1);
    struct punch_row p = l.items[0];
    punch_list_done(&l);
    return p;
}

static void synchronised_needs_no_correction(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_clock(g, now - 5 * SECOND, 1000 * SECOND, CK(2, 10)); /* another opinion does not matter */
    tgw_punch_full(g, "door", 1, now, 1000 * SECOND, CK(2, 500), 0);
    send_all(x, g);
    struct punch_row p = only(x, PUNCH_UNASSIGNED);
    assert_int_equal(p.time, now);
    assert_int_equal(p.uncertainty, ck_uncertainty(CK(2, 500)));
    tgw_free(g);
}

static void waits_for_the_first_clock_record(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_punch_full(g, "door", 1, 1000, 100 * SECOND, CK(0, CK_UNBOUNDED), 0); /* wakes in 1970 */
    tgw_punch_full(g, "door", 2, 2000, 101 * SECOND, CK(1, CK_UNBOUNDED), 0);
    tgw_clock(g, 5000, 102 * SECOND, CK(0, CK_UNBOUNDED)); /* says nothing */
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 0);
    assert_int_equal(counted(x, INGEST_PENDING), 2);

    tgw_clock(g, now, 200 * SECOND, CK(2, 1000));
    assert_int_equal(send_seg(x, g, g->seg, 3, 1), 4);
    assert_int_equal(counted(x, INGEST_SETTLED), 2);
    struct punch_list l;
    ask(x, PUNCH_UNASSIGNED, NULL, &l);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[0].time, now - 100 * SECOND);
    assert_int_equal(l.items[1].time, now - 99 * SECOND);
    assert_int_equal(l.items[0].uncertainty, ck_uncertainty(CK(2, 1000)) + 100 * SECOND * 250 / 1000000);
    assert_int_equal(l.items[0].real, 1000); /* the original is never rewritten */
    assert_int_equal(l.items[0].ck, CK(0, CK_UNBOUNDED));
    assert_false(l.items[0].estimated);
    punch_list_done(&l);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM pending"), 0);

    /* from now on at once, by the nearest */
    tgw_clock(g, now + 1000 * SECOND, 1200 * SECOND + 7, CK(2, 1000));
    tgw_punch_full(g, "door", 3, 3000, 1199 * SECOND, CK(1, CK_UNBOUNDED), 0);
    assert_int_equal(send_seg(x, g, g->seg, 4, 2), 6);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 0);
    ask(x, PUNCH_UNASSIGNED, NULL, &l);
    assert_int_equal(l.items[2].time, now + 1000 * SECOND - (SECOND + 7));
    punch_list_done(&l);
    tgw_free(g);
}

static void free_running_by_the_latest(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_clock(g, now - 100 * SECOND, 100 * SECOND, CK(2, 1000));
    tgw_clock(g, now - 50 * SECOND, 150 * SECOND, CK(2, 1000));
    tgw_clock(g, now + 1 * SECOND, 200 * SECOND, CK(2, 1000)); /* later, and nearer */
    tgw_punch_full(g, "door", 1, 77, 199 * SECOND, CK(3, 5000), 0);
    send_all(x, g);
    assert_int_equal(only(x, PUNCH_UNASSIGNED).time, now - 50 * SECOND + 49 * SECOND);
    tgw_free(g);
}

static void other_boots_do_not_count(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    tgw_punch_full(g, "door", 1, 1000, 100 * SECOND, CK(0, CK_UNBOUNDED), 0);
    send_all(x, g);
    struct tseg *first = tgw_segment(g); /* same boot id in its header; reboot, and one more */
    tgw_reboot(g);
    tseg_free(tgw_segment(g));
    tgw_clock(g, clock_real(), 100 * SECOND, CK(2, 1000));
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 1);
    tseg_free(first);
    tgw_free(g);
}

static void impossible_days_stay_pending(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_punch(g, 1, now - 3 * DAY_US); /* before `gateway add` */
    tgw_punch(g, 2, now + 2 * DAY_US); /* long after receipt */
    tgw_punch(g, 3, now);
    tgw_clock(g, now, 5, CK(2, 1000));
    send_all(x, g);
    struct punch_list l;
    ask(x, PUNCH_PENDING, NULL, &l);
    assert_int_equal(l.n, 2);
    assert_true(l.items[0].impossible && l.items[1].impossible);
    assert_int_equal(l.items[0].real, now - 3 * DAY_US);
    punch_list_done(&l);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 1);
    tgw_free(g);
}

/* Times beyond all sense must neither crash nor be filed. */
static void absurd_clocks_are_harmless(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_clock(g, INT64_MAX, 5, CK(2, 1000));
    tgw_clock(g, INT64_MIN, INT64_MAX, CK(2, 1000));
    tgw_clock(g, now, INT64_MAX, CK(2, 1000));
    tgw_punch_full(g, "door", 1, INT64_MIN, 0, CK(0, CK_UNBOUNDED), 0);
    tgw_punch_full(g, "door", 2, INT64_MAX, INT64_MAX, CK(3, 1), 0);
    tgw_punch_full(g, "door", 3, INT64_MAX, 1, CK(2, 1), 0);
    tgw_punch_full(g, "door", 4, INT64_MIN, 1, CK(2, 1), 0);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 4);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 3);
    assert_int_equal(ingest_sweep(x->in, now + 100 * DAY_US), 0);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 4);
    tgw_free(g);
}

/* ---- boots that never knew the time ---- */

struct chain {
    struct tgw *g;
    struct tseg *a, *b; /* a: knew the time; b: never; g->seg: the next, which may know it */
    int64_t now;
};

static void make_chain(struct fixture *x, struct chain *c)
{
    c->g = tgw_new(x, "hq");
    age(x);
    c->now = clock_real() - 2000 * SECOND;
    tgw_clock(c->g, c->now, 10 * SECOND, CK(2, 1000));
    c->a = c->g->seg;
    send_all(x, c->g);
    tgw_reboot(c->g);
    tgw_segment(c->g);
    tgw_punch_full(c->g, "door", 1, 1, 10 * SECOND, CK(0, CK_UNBOUNDED), 0);
    tgw_punch_full(c->g, "door", 2, 2, 20 * SECOND, CK(0, CK_UNBOUNDED), 0);
    c->b = c->g->seg;
    tgw_reboot(c->g);
    tgw_segment(c->g);
}

static void free_chain(struct chain *c)
{
    tseg_free(c->a);
    tseg_free(c->b);
    tgw_free(c->g);
}

static void placed_between_neighbours(void **state)
{
    struct fixture *x = *state;
    struct chain c;
    make_chain(x, &c);
    assert_int_equal(send_seg(x, c.g, c.b, 0, 1), 1);
    tgw_clock(c.g, c.now + 1000 * SECOND, 100 * SECOND, CK(2, 1000)); /* this boot began at now + 900 s */
    send_all(x, c.g);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 1); /* not all of that boot is here yet */

    assert_int_equal(send_seg(x, c.g, c.b, 1, 1), 2);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 0);
    struct punch_list l;
    ask(x, PUNCH_UNASSIGNED, NULL, &l);
    assert_int_equal(l.n, 2);
    assert_true(l.items[0].estimated && l.items[1].estimated);
    assert_int_equal(l.items[1].time - l.items[0].time, 10 * SECOND); /* distances are kept */
    assert_true(l.items[0].time >= c.now && l.items[1].time <= c.now + 900 * SECOND);
    assert_true(l.items[0].time - (int64_t)l.items[0].uncertainty <= c.now + 10 * SECOND);
    punch_list_done(&l);
    free_chain(&c);
}

static void placed_after_62_days(void **state)
{
    struct fixture *x = *state;
    struct chain c;
    make_chain(x, &c);
    assert_int_equal(send_seg(x, c.g, c.b, 0, 2), 2);
    assert_int_equal(ingest_sweep(x->in, clock_real() + 60 * DAY_US), 0);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 2);
    assert_int_equal(ingest_sweep(x->in, clock_real() + 64 * DAY_US), 0);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 0);
    struct punch_list l;
    ask(x, PUNCH_UNASSIGNED, NULL, &l);
    assert_int_equal(l.n, 2);
    assert_true(l.items[0].estimated);
    assert_true(l.items[1].time <= l.items[1].received); /* it happened before it reached us */
    punch_list_done(&l);
    free_chain(&c);
}

/* ---- repeats ---- */

static void repeat_is_folded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    uint64_t first = tgw_punch_full(g, "poll", 1, now, 10 * SECOND, CK(2, 1), 0);
    uint64_t second = tgw_punch_full(g, "poll", 1, now + 60 * SECOND, 5 * SECOND, CK(2, 1), first);
    tgw_punch_full(g, "poll", 1, now + 90 * SECOND, 5 * SECOND, CK(2, 1), second); /* cut once more */
    send_all(x, g);
    struct punch_row p = only(x, PUNCH_ALL);
    assert_int_equal(p.gseq, first);
    assert_int_equal(p.time, now);
    assert_int_equal(p.n_repeats, 2);
    assert_int_equal(p.repeats[0].real, now + 60 * SECOND);
    assert_int_equal(p.repeats[0].mono, 5 * SECOND);
    assert_int_equal(p.repeats[1].real, now + 90 * SECOND);
    assert_int_equal(counted(x, INGEST_FOLDED), 2);
    tgw_free(g);
}

static void repeat_that_arrives_first(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    uint64_t gseq = tgw_punch_full(g, "poll", 1, now, 10 * SECOND, CK(2, 1), 0);
    struct tseg *backlog = tgw_segment(g); /* live goes before backlog */
    tgw_punch_full(g, "poll", 1, now + 60 * SECOND, 5 * SECOND, CK(2, 1), gseq);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    assert_int_equal(send_seg(x, g, backlog, 0, 1), 1);
    struct punch_row p = only(x, PUNCH_ALL);
    assert_int_equal(p.gseq, gseq);
    assert_int_equal(p.n_repeats, 1);
    assert_int_equal(p.repeats[0].real, now + 60 * SECOND);
    tseg_free(backlog);
    tgw_free(g);
}

static void only_a_true_repeat_is_folded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *h = tgw_new(x, "hq");
    int64_t now = clock_real();
    uint64_t gseq = tgw_punch_full(g, "poll", 1, now, 10 * SECOND, CK(2, 1), 0);
    tgw_punch_full(g, "poll", 2, now + SECOND, 11 * SECOND, CK(2, 1), gseq);  /* another card */
    tgw_punch_full(g, "other", 1, now + SECOND, 11 * SECOND, CK(2, 1), gseq); /* another reader */
    tgw_punch_full(h, "poll", 1, now + SECOND, 11 * SECOND, CK(2, 1), gseq);  /* another gateway */
    send_all(x, g);
    send_all(x, h);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 4);
    assert_int_equal(counted(x, INGEST_FOLDED), 0);
    tgw_free(g);
    tgw_free(h);
}

static void repeat_of_a_pending_punch(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    uint64_t gseq = tgw_punch_full(g, "poll", 1, 5, 10 * SECOND, CK(0, CK_UNBOUNDED), 0);
    tgw_punch_full(g, "poll", 1, 6, 12 * SECOND, CK(0, CK_UNBOUNDED), gseq);
    send_all(x, g);
    assert_int_equal(only(x, PUNCH_PENDING).n_repeats, 1);
    tgw_clock(g, now, 20 * SECOND, CK(2, 1));
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), 3);
    struct punch_row p = only(x, PUNCH_UNASSIGNED);
    assert_int_equal(p.time, now - 10 * SECOND);
    assert_int_equal(p.n_repeats, 1);
    tgw_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(synchronised_needs_no_correction, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_the_first_clock_record, setup, teardown),
        cmocka_unit_test_setup_teardown(free_running_by_the_latest, setup, teardown),
        cmocka_unit_test_setup_teardown(other_boots_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_days_stay_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_clocks_are_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(placed_between_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(placed_after_62_days, setup, teardown),
        cmocka_unit_test_setup_teardown(repeat_is_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(repeat_that_arrives_first, setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_true_repeat_is_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(repeat_of_a_pending_punch, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
