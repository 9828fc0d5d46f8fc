/* What punchcloud looks at before it asks the watchdog for more time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "tests/unit/cloud_gateway.h"

#define TRIES 600

static void wait_turned(struct ingest *in, bool standing)
{
    for (int i = 0; i < TRIES; i++) {
        if ((ingest_turned(in) > 2000) == standing)
            return;
        usleep(50000);
    }
    fail_msg("ingest %s", standing ? "seems to turn though it waits" : "stands still");
}

/* An upload waits for its turn to write as long as somebody else does not end. */
static void test_ingest_that_waits(void **state)
{
    static char nobody[] = "127.0.0.1:1";
    struct fixture *x = fixture_new();
    struct tgw *g = tgw_new(x, "hq");
    struct ingest *in = NULL;
    char topic[TOPIC_MAX];
    struct buf upload CLEANUP(buf_done);
    (void)state;
    x->set.broker.address = nobody;
    x->set.ingest.backoff_min = x->set.ingest.backoff_max = 1000;
    tgw_punch(g, 1, clock_real());
    buf_init(&upload, UPLOAD_MAX);
    tgw_upload(g->seg, 0, g->seg->n, &upload);
    topic_make(g->id, TOPIC_UP, topic);

    assert_int_equal(ingest_start(x->c, &in), 0);
    wait_turned(in, false);
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    ingest_put(in, topic, buf_bytes(&upload));
    wait_turned(in, true);
    assert_true(cloud_answers(x->c)); /* reading waits for nobody */
    cloud_rollback(x->c, x->db);
    wait_turned(in, false);
    ingest_stop(in);
    tgw_free(g);
    fixture_done(x);
}

static void test_store_that_is_gone(void **state)
{
    struct fixture *x = fixture_new();
    struct db *all[40];
    char path[256];
    (void)state;
    assert_true(cloud_answers(x->c));
    snprintf(path, sizeof path, "%s/store.db", x->state);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) /* none is left in the pool */
        assert_int_equal(cloud_db_take(x->c, &all[i]), 0);
    assert_int_equal(unlink(path), 0);
    assert_false(cloud_answers(x->c));
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        cloud_db_give(x->c, all[i]);
    fixture_done(x);
}

static void *scrub(void *arg)
{
    return db_scrub(arg, 0) == DB_BUSY ? NULL : arg;
}

/* A store that is rewritten after an erasure keeps ingest waiting for minutes when it is large: told apart from one
 * that stands still. A reader of an older state holds it up here. */
static void test_store_that_is_rewritten(void **state)
{
    struct fixture *x = fixture_new();
    struct db *other;
    pthread_t t;
    void *r = x;
    int64_t epoch;
    (void)state;
    assert_int_equal(cloud_db_take(x->c, &other), 0);
    assert_int_equal(db_begin_read(other), 0);
    assert_int_equal(meta_get(other, "epoch", &epoch), 0);
    assert_false(cloud_scrubs(x->c));
    assert_int_equal(pthread_create(&t, NULL, scrub, x->db), 0);
    for (int i = 0; i < TRIES && !cloud_scrubs(x->c); i++)
        usleep(1000);
    assert_true(cloud_scrubs(x->c));
    assert_true(cloud_answers(x->c));
    assert_int_equal(pthread_join(t, &r), 0);
    assert_null(r);
    assert_false(cloud_scrubs(x->c));
    db_end_read(other);
    cloud_db_give(x->c, other);
    fixture_done(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ingest_that_waits),
        cmocka_unit_test(test_store_that_is_rewritten),
        cmocka_unit_test(test_store_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
