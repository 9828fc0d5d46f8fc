/* Edges of ingest: damage at the end of a segment, clock records behind the punches they time, foreign damage
 * reports, many boots without a clock. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/fold.h"
#include "cloud/ledger.h"

static int setup(void **state)
{
    struct fixture *x = fixture_new();
    age(x);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* What a gateway seals when it finds record `index` of that segment damaged in its spool. */
static void tgw_damage(struct tgw *g, const uint8_t segid[SEGID_LEN], uint8_t index)
{
    uint8_t arg[] = {0x82, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, index};
    struct record e = {.kind = RECORD_EVENT, .real = clock_real(), .mono = 1, .ck = ck_make(2, 1000)};
    assert_true(index < 24);
    memcpy(arg + 2, segid, SEGID_LEN);
    e.event.code = EVENT_RECORD_DAMAGED;
    e.event.arg = BYTES(arg, sizeof arg);
    tgw_record(g, &e);
}

static int64_t next_of(struct fixture *x, const struct tseg *s)
{
    struct scope sc;
    struct ledger l;
    assert_int_equal(scope_init(x->c, x->db, TENANT, &sc), 0);
    return ledger_get(&sc, seg_writer_id(s->w), &l) == 0 ? (int64_t)l.next : -1;
}

/* Nothing comes behind it that could bring `next` over it. */
static void damage_at_the_end_is_passed(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    for (unsigned i = 0; i < 4; i++)
        tgw_punch(g, i, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 2), 2);
    struct tseg *damaged = tgw_segment(g);
    tgw_damage(g, seg_writer_id(damaged->w), 3);
    send_all(x, g);
    assert_int_equal(next_of(x, damaged), 2);
    tgw_damage(g, seg_writer_id(damaged->w), 2);
    send_all(x, g);
    assert_int_equal(next_of(x, damaged), 4); /* in the transaction of the event */
    assert_int_equal(counted(x, INGEST_VOID), 2);
    assert_int_equal(send_seg(x, g, damaged, 0, 1), 4);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    tseg_free(damaged);
    tgw_free(g);
}

static void damage_behind_an_upload_is_passed(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    for (unsigned i = 0; i < 3; i++)
        tgw_punch(g, i, clock_real());
    struct tseg *damaged = tgw_segment(g);
    tgw_damage(g, seg_writer_id(damaged->w), 2);
    send_all(x, g);
    assert_int_equal(next_of(x, damaged), -1); /* not known yet */
    assert_int_equal(send_seg(x, g, damaged, 0, 2), 3);
    assert_int_equal(next_of(x, damaged), 3);

    tgw_damage(g, seg_writer_id(g->seg->w), 3); /* of the very segment that it stands in */
    tgw_punch(g, 9, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 3), 4);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    tseg_free(damaged);
    tgw_free(g);
}

/* Another gateway's word about a segment neither voids it nor stands in the way of its own gateway's. */
static void foreign_damage_changes_nothing(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *h = tgw_new(x, "branch");
    for (unsigned i = 0; i < 3; i++)
        tgw_punch(g, i, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), 1);
    tgw_damage(h, seg_writer_id(g->seg->w), 1);
    send_all(x, h);
    assert_int_equal(next_of(x, g->seg), 1);
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), 1);

    struct tseg *damaged = tgw_segment(g);
    tgw_damage(g, seg_writer_id(damaged->w), 1);
    send_all(x, g);
    assert_int_equal(send_seg(x, g, damaged, 2, 1), 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    tseg_free(damaged);
    tgw_free(g);
    tgw_free(h);
}

/* A clock record counts for the whole upload it comes in, also for punches before it: the nearest one decides, and it
 * may be the anchor of an earlier instant. */
static void clock_records_behind_the_punch_count(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct punch_list l;
    int64_t t = clock_real() - HOUR;
    tgw_clock(g, t, 10 * SECOND, ck_make(2, 1000));
    tgw_punch_full(g, "door", 1, 0, 100 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    tgw_punch_full(g, "door", 2, t + 200 * SECOND, 200 * SECOND, ck_make(3, SECOND), 0);
    tgw_clock(g, t + 87 * SECOND, 95 * SECOND, ck_make(2, 1000));
    send_all(x, g);
    ask(x, PUNCH_ALL, NULL, &l);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[0].time, t + 92 * SECOND);
    assert_int_equal(l.items[1].time, t + 192 * SECOND);
    punch_list_done(&l);
    tgw_free(g);
}

/* State 2 of unbounded uncertainty says no time. */
static void unbounded_clocks_correct_nothing(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t t = clock_real() - HOUR;
    tgw_punch_full(g, "door", 1, 0, 100 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    tgw_clock(g, t, 100 * SECOND, ck_make(2, CK_UNBOUNDED));
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM clock"), 0);
    tgw_clock(g, t, 101 * SECOND, ck_make(2, 1000));
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 0);
    tgw_free(g);
}

/* Boots that wait are looked at every minute; none of that may hold up writers. */
static void waiting_boots_disturb_no_writer(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct db *other;
    for (unsigned i = 0; i < 3; i++) {
        tgw_reboot(g);
        tseg_free(tgw_segment(g));
        tgw_punch_full(g, "door", i, 0, 100 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
        send_all(x, g);
    }
    assert_int_equal(cloud_db_take(x->c, &other), 0);
    assert_int_equal(cloud_begin(x->c, other), 0);
    alarm(60); /* it would wait for this very thread */
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    alarm(0);
    cloud_db_give(x->c, other);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 3);
    assert_int_equal(ingest_sweep(x->in, clock_real() + 70 * DAY_US), 0);
    assert_int_equal(ask_n(x, PUNCH_PENDING, NULL), 0);
    tgw_free(g);
}

/* Another process holds the store for longer than we wait: the batch waits once, not once for each of its uploads. */
static void a_held_store_is_waited_for_once(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct db_gate *gate;
    struct db *other;
    struct buf b;
    char path[160], topic[TOPIC_MAX];
    for (unsigned i = 0; i < 3; i++)
        tgw_punch(g, i, clock_real());
    snprintf(path, sizeof path, "%s/store.db", x->state);
    assert_int_equal(db_gate_new(&gate), 0);
    assert_int_equal(db_open(path, false, gate, &other), 0);
    assert_int_equal(db_begin(other), 0);
    topic_make(g->id, TOPIC_UP, topic);
    buf_init(&b, UPLOAD_MAX);
    for (uint64_t i = 0; i < 3; i++) {
        buf_reset(&b);
        tgw_upload(g->seg, i, 1, &b);
        ingest_put(x->in, topic, buf_bytes(&b));
    }
    assert_int_equal(ingest_step(x->in, 0), -EBUSY);
    assert_int_equal(counted(x, INGEST_COMMIT_FAILURES), 1);
    assert_int_equal(x->n_acks, 0);
    db_close(other);
    db_gate_free(gate);
    buf_done(&b);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    tgw_free(g);
}

/* However many cards wait, the inbox shows the latest of them. */
static void the_inbox_shows_the_latest(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct waiting_list l;
    int64_t now = clock_real() - HOUR;
    for (unsigned i = 0; i < 25; i++)
        tgw_punch(g, i, now + (int64_t)(i * 7 % 25) * SECOND);
    send_all(x, g);
    assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, 0, &l), CLOUD_INVALID);
    for (size_t limit = 1; limit < 30; limit++) {
        assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, limit, &l), 0);
        assert_int_equal(l.n, limit < 25 ? limit : 25);
        assert_int_equal(l.more, limit < 25);
        for (size_t i = 0; i < l.n; i++)
            assert_int_equal(l.items[i].last, now + (int64_t)(24 - i) * SECOND);
        waiting_list_done(&l);
    }
    tgw_free(g);
}

/* An older image says the same numbers again: equal in time, gateway and gseq, and still two punches. */
static void pages_lose_no_twin(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    for (unsigned i = 0; i < 6; i++) {
        g->gseq = i < 3 ? 0 : 7;
        tgw_punch(g, i, now);
    }
    send_all(x, g);
    for (size_t limit = 1; limit < 8; limit++) {
        struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .limit = limit};
        struct punch_pos pos;
        struct punch_list l;
        char text[PUNCH_POS_TEXT_MAX];
        size_t n = 0;
        bool more = true;
        q.from = now - HOUR;
        q.to = now + HOUR;
        while (more && n < 20) {
            assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
            n += l.n;
            more = l.more;
            punch_pos_text(&l.next, text);
            punch_list_done(&l);
            assert_int_equal(punch_pos_parse(text, &pos), 0);
            q.after = &pos;
        }
        assert_int_equal(n, 6);
    }
    tgw_free(g);
}

/* The search for what is repeated opens rows; an upload may ask for it so often and no more. Nothing is lost. */
static void endless_repeats_are_filed_as_they_are(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    uint64_t first = tgw_punch(g, 0, now);
    for (unsigned i = 1; i < 100; i++)
        tgw_punch(g, i, now + i);
    send_all(x, g);
    for (unsigned i = 0; i < 100; i++)
        tgw_punch_full(g, "door", i, now + HOUR + i, 5 * SECOND, ck_make(2, 1), first + i);
    assert_int_equal(send_seg(x, g, g->seg, 100, 100), 200);
    assert_int_equal(counted(x, INGEST_FOLDED), FOLD_SEARCHES);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 200 - FOLD_SEARCHES);
    tgw_free(g);
}

/* A visitors' card: whoever has it now, and whoever had it. */
static void repeats_of_a_card_of_many_hands_are_folded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct cred c = card(1);
    int64_t now = clock_real();
    for (int i = 0; i < 200; i++) {
        struct person p;
        struct credential got;
        int64_t from = now - (200 - i) * 60 * SECOND;
        assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Visitor"}, &p), 0);
        assert_int_equal(
            credential_assign(x->c, x->db, TENANT, p.id, &c, RENDER_HEX, from, from + 60 * SECOND, &got, NULL), 0);
    }
    uint64_t first = tgw_punch(g, 1, now - SECOND);
    tgw_punch_full(g, "door", 1, now, 5 * SECOND, ck_make(2, 1), first);
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_FOLDED), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    tgw_free(g);
}

static void send_status(struct fixture *x, const struct tgw *g, uint8_t conn, uint64_t mono, bool online,
                        uint64_t count)
{
    struct status s = {.gen = g->gen, .online = online, .real = clock_real(), .mono = mono, .ck = ck_make(2, 1000)};
    struct buf b;
    char topic[TOPIC_MAX];
    memcpy(s.gw, g->id, GW_LEN);
    memcpy(s.boot, g->boot, sizeof s.boot);
    memset(s.conn, conn, sizeof s.conn);
    s.counts[COUNT_PUNCHES] = count;
    s.n_rkids = 1;
    memset(s.rkids, (int)count, RKID_LEN);
    buf_init(&b, STATUS_MSG_MAX);
    assert_int_equal(status_encode(&s, g->sign, &b), 0);
    topic_make(g->id, TOPIC_STATUS, topic);
    ingest_put(x->in, topic, buf_bytes(&b));
    assert_int_equal(ingest_step(x->in, 0), 0);
    buf_done(&b);
}

static void expect_status(struct fixture *x, const struct tgw *g, bool online, uint64_t count)
{
    struct gateway seen;
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &seen), 0);
    assert_true(seen.has_status);
    assert_int_equal(seen.online, online);
    assert_int_equal(seen.counts[COUNT_PUNCHES], count);
}

static void older_news_of_a_gateway_is_none(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    send_status(x, g, 1, 100, true, 10);
    send_status(x, g, 1, 200, true, 20);
    expect_status(x, g, true, 20);
    send_status(x, g, 1, 100, true, 10); /* played again */
    expect_status(x, g, true, 20);
    send_status(x, g, 1, 90, false, 9); /* its will, signed before */
    expect_status(x, g, false, 20);
    send_status(x, g, 2, 300, true, 30);
    send_status(x, g, 1, 90, false, 9); /* the will of a connection that is long gone */
    expect_status(x, g, true, 30);
    send_status(x, g, 2, 300, true, 30); /* retained: seen at every start */
    expect_status(x, g, true, 30);
    tgw_reboot(g);
    send_status(x, g, 3, 5, true, 1);
    expect_status(x, g, true, 1);
    tgw_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damage_at_the_end_is_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_behind_an_upload_is_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_damage_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_records_behind_the_punch_count, setup, teardown),
        cmocka_unit_test_setup_teardown(unbounded_clocks_correct_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_boots_disturb_no_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_store_is_waited_for_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_inbox_shows_the_latest, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_lose_no_twin, setup, teardown),
        cmocka_unit_test_setup_teardown(endless_repeats_are_filed_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats_of_a_card_of_many_hands_are_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(older_news_of_a_gateway_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
