/* The sender's window over a real spool, with a fake uplink and a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/sender.h"
#include "tests/unit/daemon_spool.h"
#include "wire/upload.h"

#define TIMEOUT 10000
#define SENT_MAX 256

struct sent {
    uint64_t segno, first, end;
    unsigned flags;
};

struct rig {
    struct lab l;
    struct sender *s;
    struct sender_now now;
    struct sender_news news;
    struct sent sent[SENT_MAX];
    size_t n;
    bool busy;
};

static int on_send(void *arg, struct buf *msg)
{
    static struct upload u;
    struct rig *r = arg;
    if (r->busy)
        return SENDER_BUSY;
    assert_true(r->n < SENT_MAX);
    assert_int_equal(upload_decode(buf_bytes(msg), &u), 0);
    struct sent *s = &r->sent[r->n++];
    assert_int_equal(u.seg_signed.n, sizeof(s->segno));
    memcpy(&s->segno, u.seg_signed.p, sizeof(s->segno));
    s->first = u.first;
    s->end = u.first + u.n;
    s->flags = u.flags;
    buf_done(msg);
    return 0;
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    lab_init(&r->l, 16u << 20);
    struct sender_options o = {.spool = r->l.s,
                               .ack_timeout_ms = TIMEOUT,
                               .backoff_min_ms = 1000,
                               .backoff_max_ms = 60000,
                               .seed = 42,
                               .send = on_send,
                               .arg = r};
    assert_int_equal(sender_new(&o, &r->s), 0);
    r->now = (struct sender_now){.ms = 1000000, .mono = 5000000};
}

static void rig_up(struct rig *r)
{
    sender_link(r->s, true, &r->now);
}

static void rig_done(struct rig *r)
{
    sender_free(r->s);
    lab_done(&r->l);
}

static uint64_t step(struct rig *r)
{
    return sender_step(r->s, &r->now, &r->news);
}

static void advance(struct rig *r, int64_t ms)
{
    r->now.ms += ms;
    r->now.mono += (uint64_t)ms * 1000;
}

static struct ack_item item_of(struct rig *r, uint64_t segno, uint64_t epoch, uint64_t next)
{
    const struct spool_seg *g = spool_find(r->l.s, segno);
    struct ack_item i = {.epoch = epoch, .now = 1795000000000000 + r->now.ms, .next = next};
    memcpy(i.segid, g->id, SEGID_LEN);
    assert_int_equal(ack_mac(g->ack_key, &i), 0);
    return i;
}

static void deliver(struct rig *r, const struct ack_item *item)
{
    struct ack a = {.n = 1, .items = {*item}};
    struct buf b;
    buf_init(&b, ACK_MSG_MAX);
    assert_int_equal(ack_encode(&a, &b), 0);
    memset(&r->news, 0, sizeof(r->news));
    sender_ack(r->s, buf_bytes(&b), &r->now, &r->news);
    buf_done(&b);
}

static void ack(struct rig *r, uint64_t segno, uint64_t next)
{
    struct ack_item i = item_of(r, segno, 1, next);
    deliver(r, &i);
}

/* Acks uploads number [from, to) of those sent. */
static void ack_sent(struct rig *r, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        ack(r, r->sent[i].segno, r->sent[i].end);
}

static void assert_sent(const struct rig *r, size_t i, uint64_t segno, uint64_t first, uint64_t end)
{
    assert_true(i < r->n);
    if (r->sent[i].segno != segno || r->sent[i].first != first || r->sent[i].end != end)
        fail_msg("upload %zu is segment %d [%d,%d), wanted %d [%d,%d)", i, (int)r->sent[i].segno, (int)r->sent[i].first,
                 (int)r->sent[i].end, (int)segno, (int)first, (int)end);
}

static void more(struct rig *r, uint64_t segno, size_t n)
{
    lab_records(&r->l, segno, n);
    assert_int_equal(spool_commit(r->l.s), 0);
}

static void test_at_once_and_in_order(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    uint64_t g = lab_stored(&r.l, 3, false);
    sender_live(r.s, true, g);
    assert_int_equal(step(&r), UINT64_MAX); /* nothing is sent while down */
    assert_int_equal(r.n, 0);
    rig_up(&r);
    step(&r);
    assert_sent(&r, 0, g, 0, 3);
    more(&r, g, 1);
    step(&r);
    assert_sent(&r, 1, g, 3, 4); /* without waiting for the first one's ack */
    assert_int_equal(r.sent[1].flags & UPLOAD_RESEND, 0);
    ack(&r, g, 3);
    assert_int_equal(spool_find(r.l.s, g)->acked, 3);
    ack(&r, g, 4);
    assert_int_equal(spool_unacked(r.l.s), 0);
    assert_int_equal(step(&r), UINT64_MAX);
    assert_int_equal(r.n, 2);
    rig_done(&r);
}

static void test_window_coalesces(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 1, false);
    sender_live(r.s, true, g);
    for (unsigned i = 0; i < 100; i++) {
        step(&r);
        more(&r, g, 1);
    }
    step(&r);
    assert_int_equal(r.n, SENDER_WINDOW);
    ack(&r, g, 1); /* one slot is free: what has gathered goes in one upload */
    step(&r);
    assert_int_equal(r.n, SENDER_WINDOW + 1);
    assert_sent(&r, SENDER_WINDOW, g, SENDER_WINDOW, 101);
    rig_done(&r);
}

static void test_limits(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 2000, true);
    step(&r);
    uint64_t next = 0;
    for (size_t i = 0; i < r.n; i++) {
        assert_sent(&r, i, g, next, r.sent[i].end);
        next = r.sent[i].end;
        assert_in_range(r.sent[i].end - r.sent[i].first, 1, UPLOAD_RECORDS_MAX);
    }
    assert_int_equal(next, 2000);
    assert_int_equal(r.sent[r.n - 1].flags, UPLOAD_CLOSED);
    rig_done(&r);
}

static void test_live_beside_backlog(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (unsigned i = 0; i < 40; i++)
        lab_stored(&r.l, 2, true);
    uint64_t live = lab_stored(&r.l, 1, false);
    sender_live(r.s, true, live);
    rig_up(&r);
    step(&r);
    assert_int_equal(r.n, 1 + SENDER_WINDOW - SENDER_LIVE_SHARE);
    assert_sent(&r, 0, live, 0, 1); /* first, and beside them three more find room */
    for (unsigned i = 0; i < 5; i++) {
        more(&r, live, 1);
        step(&r);
    }
    assert_int_equal(r.n, SENDER_WINDOW);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(r.sent[SENDER_WINDOW - 1 - i].segno, live);
    rig_done(&r);
}

static void test_silence_and_probe(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t a = lab_stored(&r.l, 100, true), b = lab_stored(&r.l, 100, true);
    step(&r);
    assert_int_equal(r.n, 2);
    assert_int_equal(step(&r), TIMEOUT);
    advance(&r, TIMEOUT);
    uint64_t wait = step(&r);
    assert_true(sender_silent(r.s));
    assert_int_equal(r.n, 2);
    assert_in_range(wait, 1, 1000); /* back-off with jitter */
    uint64_t longest = 0;
    bool saw_a = false, saw_b = false;
    for (unsigned i = 0; i < 12; i++) {
        advance(&r, (int64_t)wait);
        size_t before = r.n;
        wait = step(&r);
        assert_int_equal(r.n, before + 1); /* one upload, a small one, and no second before its time is over */
        assert_int_equal(r.sent[before].first, 0);
        assert_int_equal(r.sent[before].end, SENDER_PROBE_RECORDS);
        assert_true(r.sent[before].flags & UPLOAD_RESEND);
        saw_a = saw_a || r.sent[before].segno == a;
        saw_b = saw_b || r.sent[before].segno == b;
        advance(&r, TIMEOUT);
        wait = step(&r);
        assert_int_equal(r.n, before + 1);
        longest = wait > longest ? wait : longest;
    }
    assert_true(saw_a && saw_b); /* in turn: one that is never acknowledged does not hide the other */
    assert_in_range(longest, 20000, 60000);
    advance(&r, (int64_t)wait);
    step(&r);
    size_t probe = r.n - 1;
    ack(&r, r.sent[probe].segno, r.sent[probe].end);
    assert_false(sender_silent(r.s));
    step(&r);
    assert_true(r.n > probe + 1);
    rig_done(&r);
}

static void test_go_back_after_lost_upload(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 5, false);
    sender_live(r.s, true, g);
    step(&r);
    ack(&r, g, 5);
    more(&r, g, 1);
    step(&r); /* [5,6), lost on the way */
    more(&r, g, 1);
    step(&r); /* [6,7) arrives and is acked with what the cloud has */
    assert_int_equal(r.n, 3);
    ack(&r, g, 5);
    step(&r);
    assert_int_equal(r.n, 3); /* not at once */
    advance(&r, 600);
    step(&r);
    assert_int_equal(r.n, 4);
    assert_sent(&r, 3, g, 5, 7);
    assert_true(r.sent[3].flags & UPLOAD_RESEND);
    ack(&r, g, 7);
    assert_int_equal(spool_unacked(r.l.s), 0);
    rig_done(&r);
}

/* Second acks for the same upload are normal: after a resend each upload is acked twice. They must not make every
 * upload be sent twice for ever. */
static void test_second_acks_do_no_harm(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 1, false);
    sender_live(r.s, true, g);
    for (unsigned i = 0; i < 50; i++) {
        step(&r);
        assert_int_equal(r.n, i + 1);
        more(&r, g, 1);
        step(&r); /* the next one is on its way */
        r.n = i + 2;
        advance(&r, 20);
        ack(&r, g, i + 1);
        advance(&r, 20);
        ack(&r, g, i + 1); /* again, while the next one is on its way */
    }
    assert_int_equal(sender_counts(r.s)->resent, 0);
    assert_int_equal(sender_counts(r.s)->go_backs, 0);
    rig_done(&r);
}

static void test_torn_upload(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 10, true);
    step(&r);
    ack(&r, g, 4); /* the cloud committed only its beginning */
    assert_int_equal(spool_find(r.l.s, g)->acked, 4);
    advance(&r, 600);
    step(&r);
    assert_sent(&r, 1, g, 4, 10);
    rig_done(&r);
}

static void test_poison_segment(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t poison = lab_stored(&r.l, 5, true), live = lab_stored(&r.l, 1, false);
    sender_live(r.s, true, live);
    size_t poisoned = 0, at = 0, living = 0;
    for (unsigned s = 0; s < 600; s++) { /* ten minutes, a punch a second; the cloud never takes the first segment */
        step(&r);
        for (; at < r.n; at++) {
            if (r.sent[at].segno == poison) {
                poisoned++;
            } else {
                living++;
                ack(&r, live, r.sent[at].end);
            }
        }
        r.n = at = 0;
        more(&r, live, 1);
        advance(&r, 1000);
    }
    assert_in_range(living, 590, 601);
    assert_in_range(poisoned, 5, 40); /* tried again, ever more rarely */
    assert_false(sender_silent(r.s));
    assert_int_equal(spool_find(r.l.s, poison)->acked, 0);
    rig_done(&r);
}

static void test_epoch(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t a = lab_stored(&r.l, 5, true), b = lab_stored(&r.l, 5, true);
    step(&r);
    ack_sent(&r, 0, 2);
    assert_false(r.news.epoch); /* the first one known replaces nothing */
    assert_int_equal(spool_unacked(r.l.s), 0);
    /* The store came back from last night's backup, which has three records of b. */
    struct ack_item i = item_of(&r, b, 2, 3);
    deliver(&r, &i);
    assert_true(r.news.epoch);
    assert_int_equal(r.news.epoch_now, 2);
    assert_int_equal(spool_find(r.l.s, a)->acked, 0);
    assert_int_equal(spool_find(r.l.s, b)->acked, 3);
    step(&r);
    assert_sent(&r, 2, a, 0, 5);
    assert_sent(&r, 3, b, 3, 5);
    /* What the old store said is void. */
    ack(&r, a, 5);
    assert_int_equal(spool_find(r.l.s, a)->acked, 0);
    assert_int_equal(sender_counts(r.s)->acks_old_epoch, 1);
    /* Within an epoch next only grows. */
    i = item_of(&r, b, 2, 1);
    deliver(&r, &i);
    assert_int_equal(spool_find(r.l.s, b)->acked, 3);
    rig_done(&r);
}

static void test_forged(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t a = lab_stored(&r.l, 5, true), b = lab_stored(&r.l, 5, true);
    step(&r);
    const struct ack_item good = item_of(&r, a, 1, 5);
    struct ack_item bad = good;
    bad.mac[3] ^= 1;
    deliver(&r, &bad);
    bad = good;
    bad.next = 4;
    deliver(&r, &bad);
    bad = good;
    bad.epoch = 99;
    deliver(&r, &bad);
    bad = good;
    bad.now++;
    deliver(&r, &bad);
    bad = good;
    memcpy(bad.segid, spool_find(r.l.s, b)->id, SEGID_LEN); /* another segment's */
    deliver(&r, &bad);
    assert_int_equal(sender_counts(r.s)->acks_bad, 5);
    bad.segid[0] ^= 0x55;
    deliver(&r, &bad);
    assert_int_equal(sender_counts(r.s)->acks_unknown, 1);
    sender_ack(r.s, BYTES_STR("garbage"), &r.now, &r.news);
    assert_int_equal(sender_counts(r.s)->acks_bad, 6);
    assert_int_equal(spool_unacked(r.l.s), 10);
    assert_int_equal(spool_meta(r.l.s)->epoch, 0);
    deliver(&r, &good);
    deliver(&r, &good); /* a replay changes nothing */
    assert_int_equal(spool_unacked(r.l.s), 5);
    rig_done(&r);
}

static void test_ack_beyond(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t closed = lab_stored(&r.l, 5, true), open = lab_stored(&r.l, 5, false);
    sender_live(r.s, true, open);
    step(&r);
    ack(&r, open, 6);
    assert_int_equal(spool_find(r.l.s, open)->acked, 0);
    assert_int_equal(sender_counts(r.s)->acks_bad, 1);
    ack(&r, closed, 700); /* a restored image: the cloud has more of it than is here */
    assert_int_equal(spool_find(r.l.s, closed)->acked, 5);
    rig_done(&r);
}

static void test_time(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 2, false);
    sender_live(r.s, true, g);
    uint64_t sent = r.now.mono;
    step(&r);
    advance(&r, 40);
    ack(&r, g, 2);
    assert_true(r.news.time);
    assert_int_equal(r.news.sent_mono, sent);
    assert_int_equal(r.news.ack_mono, r.now.mono);
    assert_int_equal(r.news.cloud_now, 1795000000000000 + r.now.ms);
    ack(&r, g, 2); /* advances nothing: says nothing about the time */
    assert_false(r.news.time);
    /* A resent upload's ack may be the first sending's. */
    more(&r, g, 1);
    step(&r);
    sender_link(r.s, false, &r.now);
    rig_up(&r);
    step(&r);
    assert_true(r.sent[r.n - 1].flags & UPLOAD_RESEND);
    ack(&r, g, 3);
    assert_false(r.news.time);
    assert_true(r.news.untimed);
    rig_done(&r);
}

/* A process before this one may have sent it, and a broker may have kept the ack for hours. */
static void test_no_time_from_before(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    uint64_t g = lab_stored(&r.l, 2, true);
    assert_int_equal(spool_reopen(r.l.s), 0);
    rig_up(&r);
    struct ack_item kept = item_of(&r, g, 1, 2);
    advance(&r, 3600000);
    step(&r);
    assert_true(r.sent[0].flags & UPLOAD_RESEND);
    deliver(&r, &kept);
    assert_int_equal(spool_find(r.l.s, g)->acked, 2);
    assert_false(r.news.time);
    assert_true(r.news.untimed);
    rig_done(&r);
}

/* Acks that say less than is known are ignored: they neither send anything again nor pass for a sign of life. */
static void test_replayed(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 2, false);
    sender_live(r.s, true, g);
    step(&r);
    struct ack_item old = item_of(&r, g, 1, 1);
    ack(&r, g, 2);
    advance(&r, 1);
    more(&r, g, 1);
    step(&r);
    size_t n = r.n;
    for (unsigned i = 0; i < 20; i++) {
        advance(&r, TIMEOUT / 21);
        deliver(&r, &old);
        step(&r);
    }
    assert_int_equal(r.n, n);
    advance(&r, TIMEOUT);
    step(&r);
    assert_true(sender_silent(r.s));
    deliver(&r, &old);
    assert_true(sender_silent(r.s));
    rig_done(&r);
}

static void test_damage(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t a = lab_stored(&r.l, 5, true), b = lab_stored(&r.l, 5, true);
    spool_find(r.l.s, a)->records = 9; /* counted, but not there */
    step(&r);
    assert_true(r.news.damage);
    assert_int_equal(r.news.damage_segno, a);
    assert_int_equal(r.news.damage_index, 5);
    assert_sent(&r, 0, a, 0, 5);
    assert_sent(&r, 1, b, 0, 5); /* the others go on */
    memset(&r.news, 0, sizeof(r.news));
    step(&r);
    assert_false(r.news.damage); /* told once */
    spool_find(r.l.s, a)->records = 5;
    uint64_t c = lab_stored(&r.l, 6, true);
    assert_int_equal(spool_lose(r.l.s, c, 0), 0);
    assert_int_equal(spool_commit(r.l.s), 0);
    step(&r);
    assert_sent(&r, 2, c, 1, 6); /* behind the hole */
    ack(&r, c, 0);               /* the cloud has not met the event yet */
    advance(&r, TIMEOUT);
    step(&r);
    assert_sent(&r, r.n - 1, c, 1, 6);
    ack(&r, c, 6);
    assert_int_equal(spool_find(r.l.s, c)->acked, 6);
    rig_done(&r);
}

static void test_busy(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 5, true);
    r.busy = true;
    assert_in_range(step(&r), 1, 1000);
    assert_int_equal(r.n, 0);
    r.busy = false;
    step(&r);
    assert_sent(&r, 0, g, 0, 5);
    rig_done(&r);
}

static void test_reconnect_sends_again(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_up(&r);
    uint64_t g = lab_stored(&r.l, 10, true);
    step(&r);
    ack(&r, g, 4);
    sender_link(r.s, false, &r.now);
    assert_int_equal(step(&r), UINT64_MAX);
    rig_up(&r);
    step(&r);
    assert_sent(&r, 1, g, 4, 10);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once_and_in_order),
        cmocka_unit_test(test_window_coalesces),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_live_beside_backlog),
        cmocka_unit_test(test_silence_and_probe),
        cmocka_unit_test(test_go_back_after_lost_upload),
        cmocka_unit_test(test_second_acks_do_no_harm),
        cmocka_unit_test(test_torn_upload),
        cmocka_unit_test(test_poison_segment),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_ack_beyond),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_no_time_from_before),
        cmocka_unit_test(test_replayed),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_reconnect_sends_again),
    };
    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
