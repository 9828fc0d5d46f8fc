/* A person is erased: rows, keys, what comes late, what the disks say to it; and the others stay. What is left in the
 * files and in old copies of them is in test_cloud_erasure_files.c. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "tests/unit/cloud_erased.h"

/* ---- what goes and what stays ---- */

static void gone_with_all_that_was_hers(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert"), p;
    struct tomb_counts counts;
    struct erasure got;
    struct keyring *ring;
    struct erasure_list l;
    for (int i = 9; i >= 0; i--)
        tgw_punch(g, 1, now - i * 20 * HOUR); /* waited first: under a key that is retired by the claim */
    tgw_punch(g, 2, now);
    tgw_punch_full(g, "door", 1, 5, 10 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    tgw_plain(g, BYTES("\x89\x18\x63 a record of a later version with \x67\x00\x00\x00\x01 in it"
                       "                                                              ",
                       96));
    send_all(x, g);
    give(x, &anna, 1, TIME_MIN, TIME_MAX);
    give(x, &bert, 2, TIME_MIN, TIME_MAX);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM retired"), 2);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM oddity"), 1);
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    size_t keys = keyring_count(ring);

    assert_int_equal(erasure_plan(x->c, x->db, TENANT, anna.id, &counts), 0);
    assert_int_equal(counts.punches, 10);
    assert_int_equal(counts.pending, 1);
    assert_int_equal(counts.waiting, 0);
    assert_int_equal(counts.credentials, 1);
    assert_int_equal(counts.oddities, 1);
    assert_int_equal(counts.keys, 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 11);
    assert_int_equal(keyring_generation(ring), 1);

    struct erasure e = erase(x, &anna);
    assert_memory_equal(&e.counts, &counts, sizeof counts);
    assert_int_equal(keyring_generation(ring), 2);
    assert_int_equal(keyring_count(ring), keys - 2);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM punch"), 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM pending"), 0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM oddity"), 0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM credential"), 1);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), CLOUD_ABSENT);
    assert_int_equal(erasure_make(x->c, x->db, TENANT, anna.id, &asked, &e), CLOUD_ABSENT);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);

    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), CLOUD_ABSENT);
    assert_int_equal(erasure_list(x->c, x->db, TENANT, NULL, 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(erasure_get(x->c, x->db, TENANT, l.items[0].id, &got), 0);
    assert_memory_equal(got.person, anna.id, ID_LEN);
    assert_true(got.done >= got.requested && got.done > 0);
    erasure_list_done(&l);
    erase(x, &bert); /* and a third generation */
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 0);
    tgw_free(g);
}

static void late_punches_are_dropped(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    struct credential ended = give(x, &anna, 2, now - 5 * DAY_US, TIME_MAX);
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, ended.id, now - 2 * DAY_US, &ended, NULL), 0);
    give(x, &anna, 1, now - 3 * DAY_US, TIME_MAX);
    erase(x, &anna);
    fixture_restart(x);

    tgw_punch(g, 1, now - 4 * DAY_US);      /* before she had it: nobody's */
    tgw_punch(g, 1, now - 3 * DAY_US);      /* hers */
    tgw_punch(g, 1, clock_real() + SECOND); /* after, and nobody else has it */
    tgw_punch(g, 2, now - 3 * DAY_US);      /* hers */
    tgw_punch(g, 2, now - 1 * DAY_US);      /* given back before: somebody's who is not known yet */
    tgw_punch(g, 3, now);
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_ERASED), 3);
    assert_int_equal(counted(x, INGEST_PUNCHES), 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    assert_int_equal(inbox(x), 3);
    assert_int_equal(send_seg(x, g, g->seg, 1, 2), 6); /* sent again: known */
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);

    /* given to somebody else, as if always: only what comes after the erasure is his */
    give(x, &bert, 1, now - 3 * DAY_US, TIME_MAX);
    tgw_punch(g, 1, now - 2 * DAY_US);
    tgw_punch(g, 1, clock_real() + SECOND);
    assert_int_equal(send_seg(x, g, g->seg, 6, 2), 8);
    assert_int_equal(counted(x, INGEST_ERASED), 4);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);

    /* taken back from him: what he punched waits, it is not taken for hers */
    struct credential_list l;
    assert_int_equal(credential_list(x->c, x->db, TENANT, bert.id, &l), 0);
    uint64_t n;
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, l.items[0].id, l.items[0].from, &ended, &n), 0);
    credential_list_done(&l);
    assert_int_equal(n, 1);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 4);
    tgw_free(g);
}

/* Its time is learnt after the erasure, and lies before it. */
static void what_waited_for_its_time_is_dropped(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    give(x, &anna, 1, now - 3 * DAY_US, TIME_MAX);
    erase(x, &anna);
    give(x, &bert, 1, clock_real(), TIME_MAX);
    tgw_punch_full(g, "door", 1, 5, 10 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    tgw_punch_full(g, "door", 1, 5, 20 * HOUR + 10 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_PENDING, bert.id), 2);
    tgw_clock(g, clock_real() + SECOND, 20 * HOUR + 10 * SECOND, ck_make(2, 1000));
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    tgw_free(g);
}

static void waiting_punches_of_her_cards(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct tomb_counts counts;
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    for (unsigned card = 1; card <= 3; card++)
        for (int i = 4; i >= 0; i--)
            tgw_punch(g, card, now - i * DAY_US);
    send_all(x, g);
    give(x, &anna, 1, now - 2 * DAY_US, TIME_MAX);              /* hers alone: two wait from before */
    give(x, &anna, 2, now - 3 * DAY_US, now - 1 * DAY_US);      /* given back: one waits from before, two from after */
    give(x, &anna, 3, now - 2 * DAY_US, TIME_MAX);              /* somebody else's before */
    give(x, &bert, 3, now - 3 * DAY_US, now - 3 * DAY_US + 10); /* one is his, one waits */
    assert_int_equal(erasure_plan(x->c, x->db, TENANT, anna.id, &counts), 0);
    assert_int_equal(counts.punches, 3 + 2 + 3);
    assert_int_equal(counts.waiting, 2 + 1);
    erase(x, &anna);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 2 + 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);
    assert_int_equal(inbox(x), 2);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 4);
    tgw_free(g);
}

/* ---- the others ---- */

/* Any mixture of people, cards and erasures: everybody else's punches are all readable, before and after a restart. */
static void everybody_else_keeps_everything(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct person p[12];
    size_t n[12] = {0};
    unsigned seed = (unsigned)now;
    print_message("seed %u\n", seed);
    srand(seed);
    for (unsigned i = 0; i < 12; i++)
        p[i] = make(x, "Somebody");
    for (unsigned i = 0; i < 12; i += 2)
        give(x, &p[i], i, TIME_MIN, TIME_MAX);
    for (unsigned i = 0; i < 400; i++) {
        unsigned who = (unsigned)rand() % 12;
        tgw_punch(g, who, now - rand() % 9 * DAY_US);
        n[who]++;
    }
    send_all(x, g);
    for (unsigned i = 1; i < 12; i += 2)
        give(x, &p[i], i, TIME_MIN, TIME_MAX);
    bool gone[12] = {false};
    for (int round = 0; round < 4; round++) {
        unsigned who;
        do
            who = (unsigned)rand() % 12;
        while (gone[who]);
        gone[who] = true;
        struct erasure e = erase(x, &p[who]);
        assert_int_equal(e.counts.punches, n[who]);
        if (round % 2 == 1)
            fixture_restart(x);
        for (unsigned i = 0; i < 12; i++)
            if (!gone[i])
                assert_int_equal(ask_n(x, PUNCH_ALL, p[i].id), n[i]);
    }
    tgw_free(g);
}

/* ---- escrow ---- */

static void no_erasure_without_escrow(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    struct erasure e;
    struct erasure_list l;
    struct keyring *ring;
    struct person anna = make(x, "Anna");
    give(x, &anna, 1, TIME_MIN, TIME_MAX);
    tgw_punch(g, 1, clock_real());
    send_all(x, g);
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    fixture_unmount(x, 1);
    assert_true(erasure_make(x->c, x->db, TENANT, anna.id, &asked, &e) < 0);
    assert_int_equal(keyring_generation(ring), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 1);
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2); /* nobody is fenced */
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 2);
    assert_int_equal(erasure_list(x->c, x->db, TENANT, NULL, 10, &l), 0);
    assert_int_equal(l.n, 0);
    erasure_list_done(&l);
    char staged[200];
    snprintf(staged, sizeof staged, "%s/keyring/acme/kek.next", x->state);
    assert_false(file_exists(staged));
    fixture_mount(x, 1);
    erase(x, &anna);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 0);
    tgw_free(g);
}

/* A folder where a file should be: that one cannot be written there, all others can. */
static void obstruct(struct fixture *x, const char *name, char ret_path[200])
{
    snprintf(ret_path, 200, "%s/acme/%s", x->escrow[1], name);
    unlink(ret_path);
    assert_int_equal(mkdir(ret_path, 0700), 0);
}

/* Escrow fails when ours is journalled already: it is taken back, in a store that goes on. */
static void a_journal_that_fails_is_taken_back(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    char path[200];
    struct erasure e;
    struct person anna = make(x, "Anna"), p;
    give(x, &anna, 1, TIME_MIN, TIME_MAX);
    tgw_punch(g, 1, clock_real());
    send_all(x, g);
    obstruct(x, "tombstones", path);
    assert_true(erasure_make(x->c, x->db, TENANT, anna.id, &asked, &e) < 0);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), 0);
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2);
    assert_int_equal(rmdir(path), 0);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 2);
    erase(x, &anna);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 0);
    tgw_free(g);
}

/* Escrow fails when it is journalled: the person is gone, but it is not called done while the former KEK is somewhere.
 */
static void it_is_not_done_before_every_copy_is(void **state)
{
    struct fixture *x = *state;
    char path[200];
    struct erasure e;
    struct person anna = make(x, "Anna"), p;
    obstruct(x, "kek", path);
    assert_int_equal(erasure_make(x->c, x->db, TENANT, anna.id, &asked, &e), 0);
    assert_int_equal(e.done, 0);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), CLOUD_ABSENT);
    assert_false(cloud_ready(x->c));
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(erasure_get(x->c, x->db, TENANT, e.id, &e), 0);
    assert_int_equal(e.done, 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(erasure_get(x->c, x->db, TENANT, e.id, &e), 0);
    assert_true(e.done > 0);
    assert_true(cloud_ready(x->c));
}

/* The disk is full when the store commits: it has begun, it is said so, and it goes on when there is room. */
static void what_is_journalled_happens(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    struct erasure e;
    struct erasure_list l;
    struct rlimit was;
    struct person anna = make(x, "Anna"), bert = make(x, "Bert"), p;
    give(x, &anna, 1, TIME_MIN, TIME_MAX);
    tgw_punch(g, 1, clock_real());
    send_all(x, g);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){16384, was.rlim_max}), 0);
    int r = erasure_make(x->c, x->db, TENANT, anna.id, &asked, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(r, ERASURE_BEGUN);
    assert_int_equal(erasure_make(x->c, x->db, TENANT, bert.id, &asked, &e), CLOUD_FENCED);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), 0);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), CLOUD_ABSENT);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 0);
    assert_int_equal(erasure_list(x->c, x->db, TENANT, NULL, 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_true(l.items[0].done > 0);
    assert_int_equal(l.items[0].counts.punches, 1);
    erasure_list_done(&l);
    tgw_free(g);
}

/* ---- clocks and gateways ---- */

/* As if all erasures had been made so much later. */
static void erased_later(struct fixture *x, int64_t us)
{
    const char *const dirs[] = {x->state, x->escrow[0], x->escrow[1]};
    char path[200];
    fixture_close(x);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        struct buf b;
        struct tombs t, later;
        snprintf(path, sizeof path, "%s%s/acme/tombstones", dirs[i], i == 0 ? "/keyring" : "");
        buf_init(&b, TOMBS_MAX);
        tombs_init(&t);
        tombs_init(&later);
        assert_int_equal(file_read(path, &b), 0);
        assert_int_equal(tombs_read(&t, buf_bytes(&b)), 0);
        assert_true(t.n > 0);
        for (size_t k = 0; k < t.n; k++) {
            t.items[k].at += us;
            assert_int_equal(tombs_add(&later, &t.items[k]), 0);
        }
        assert_int_equal(file_write(path, buf_bytes(&later.file), 0600), 0);
        tombs_done(&t);
        tombs_done(&later);
        buf_done(&b);
    }
    fixture_open(x);
}

/* The clock is set back between an erasure and the card's next holder: he is not taken for one of before. */
static void a_clock_set_back_loses_no_successor(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    give(x, &anna, 1, now - 3 * DAY_US, TIME_MAX);
    erase(x, &anna);
    erased_later(x, HOUR);
    give(x, &bert, 1, clock_real(), TIME_MAX);
    tgw_punch(g, 1, clock_real() + 2 * HOUR);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);
    tgw_free(g);
}

static size_t waits(struct fixture *x, int64_t requested)
{
    struct erasure_wait_list l;
    assert_int_equal(erasure_waits(x->db, TENANT, requested, &l), 0);
    size_t n = l.n;
    erasure_wait_list_done(&l);
    return n;
}

/* A status of before the erasure says nothing of what the gateway has sealed since and until then. */
static void originals_wait_for_a_word_of_after(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    struct gateway gw;
    bool latest;
    struct status st = {.gen = g->gen, .online = true};
    struct person anna = make(x, "Anna");
    assert_int_equal(gateway_find(x->db, g->id, g->gen, &gw, &latest), 0);
    assert_int_equal(gateway_put_status(x->db, &gw, &st, clock_real()), 0);
    struct erasure e = erase(x, &anna);
    assert_int_equal(waits(x, e.requested), 1);
    assert_int_equal(gateway_put_status(x->db, &gw, &st, clock_real()), 0); /* retained, it comes again */
    assert_int_equal(waits(x, e.requested), 1);
    st.mono++;
    assert_int_equal(gateway_put_status(x->db, &gw, &st, clock_real()), 0);
    assert_int_equal(waits(x, e.requested), 0);
    st.mono++;
    st.n_rkids = 1; /* of a key that this store does not know */
    assert_int_equal(gateway_put_status(x->db, &gw, &st, clock_real()), 0);
    assert_int_equal(waits(x, e.requested), 1);
    assert_int_equal(waits(x, 0), 0); /* the gateway came after that */
    tgw_free(g);
}

/* ---- side by side ---- */

struct office {
    struct fixture *x;
    const struct person *people;
    size_t n;
    atomic_bool stop;
    int failed;
    unsigned reads;
};

static void *reading(void *arg)
{
    struct office *o = arg;
    struct db *db;
    o->failed = cloud_db_take(o->x->c, &db);
    while (!atomic_load(&o->stop) && o->failed == 0) {
        struct punch_list l;
        int64_t now = clock_real();
        struct punch_query q = {
            .tenant = TENANT, .has_from = true, .has_to = true, .from = now - HOUR, .to = now + HOUR, .limit = 1000};
        o->failed = query_punches(o->x->c, db, &q, &l);
        if (o->failed == 0)
            punch_list_done(&l);
        o->reads++;
    }
    cloud_db_give(o->x->c, db);
    return NULL;
}

static void *erasing(void *arg)
{
    struct office *o = arg;
    struct db *db;
    struct erasure e;
    o->failed = cloud_db_take(o->x->c, &db);
    for (size_t i = 0; i < o->n && o->failed == 0; i++)
        while ((o->failed = erasure_make(o->x->c, db, TENANT, o->people[i].id, &asked, &e)) == CLOUD_FENCED)
            ; /* the other one's is being finished */
    cloud_db_give(o->x->c, db);
    return NULL;
}

static void ingest_and_readers_go_on(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    struct person p[6];
    pthread_t r, e, o;
    for (unsigned i = 0; i < 6; i++) {
        p[i] = make(x, "Somebody");
        give(x, &p[i], i, TIME_MIN, TIME_MAX);
    }
    struct office reader = {.x = x}, eraser = {.x = x, .people = p, .n = 2}, other = {.x = x, .people = p + 2, .n = 2};
    for (unsigned i = 0; i < 600; i++)
        tgw_punch(g, i % 7, clock_real() + i); /* card 6 is nobody's */
    assert_int_equal(pthread_create(&r, NULL, reading, &reader), 0);
    assert_int_equal(pthread_create(&e, NULL, erasing, &eraser), 0);
    assert_int_equal(pthread_create(&o, NULL, erasing, &other), 0);
    for (uint64_t next = 0; next < 600; next += 10) {
        int64_t now = -1;
        for (int i = 0; now != (int64_t)next + 10; i++) { /* fenced for a moment: sent again */
            assert_true(i < 1000);
            now = send_seg(x, g, g->seg, next, 10);
        }
    }
    pthread_join(e, NULL);
    pthread_join(o, NULL);
    atomic_store(&reader.stop, true);
    pthread_join(r, NULL);
    assert_int_equal(eraser.failed, 0);
    assert_int_equal(other.failed, 0);
    assert_int_equal(reader.failed, 0);
    assert_int_equal(ask_n(x, PUNCH_ALL, p[4].id), 86);
    assert_int_equal(ask_n(x, PUNCH_ALL, p[5].id), 85);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 86 + 85 + 85);
    assert_int_equal(counted(x, INGEST_COMMIT_FAILURES), 0);
    fixture_restart(x);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM erasure WHERE done = 0"), 0);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 86 + 85 + 85);
    tgw_free(g);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(gone_with_all_that_was_hers),         T(late_punches_are_dropped),
        T(what_waited_for_its_time_is_dropped), T(waiting_punches_of_her_cards),
        T(everybody_else_keeps_everything),     T(no_erasure_without_escrow),
        T(a_journal_that_fails_is_taken_back),  T(it_is_not_done_before_every_copy_is),
        T(what_is_journalled_happens),          T(a_clock_set_back_loses_no_successor),
        T(originals_wait_for_a_word_of_after),  T(ingest_and_readers_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
