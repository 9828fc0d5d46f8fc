/* Who is cut and who is not; each waits for what happens, none measures how fast. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/patience.h"

struct pair {
    int ours, theirs;
};

static struct pair make(void)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    return (struct pair){fd[0], fd[1]};
}

static void done(struct pair *p)
{
    close(p->ours);
    close(p->theirs);
}

/* True when the peer sees the end within `ms`. */
static bool ended(const struct pair *p, int ms)
{
    struct pollfd f = {.fd = p->theirs, .events = POLLIN};
    return poll(&f, 1, ms) == 1;
}

static void test_late_is_cut(void **state)
{
    struct patience *p = NULL;
    struct pair late = make(), early = make(), slow = make();
    assert_int_equal(patience_new(8, &p), 0);
    struct patience_peer *a = patience_join(p, late.ours, 1, NULL, 0),
                         *b = patience_join(p, early.ours, 600000, NULL, 0),
                         *c = patience_join(p, slow.ours, 1, NULL, 0);
    patience_add(p, c, 600000);
    assert_true(ended(&late, 20000));
    assert_false(ended(&early, 0));
    assert_false(ended(&slow, 0));
    patience_set(p, b, 1, true); /* silence after a reply */
    assert_true(ended(&early, 20000));
    patience_set(p, c, PATIENCE_ENDLESS, false);
    patience_add(p, c, 1); /* does not wrap around */
    assert_false(ended(&slow, 2500));
    patience_leave(p, a);
    patience_leave(p, b);
    patience_leave(p, c);
    patience_free(p);
    done(&late);
    done(&early);
    done(&slow);
}

/* The descriptor's number is free for another use as soon as its owner has left. */
static void test_left_is_left(void **state)
{
    struct patience *p = NULL;
    struct pair x = make(), probe = make();
    assert_int_equal(patience_new(8, &p), 0);
    patience_leave(p, patience_join(p, x.ours, 1, NULL, 0));
    struct patience_peer *e = patience_join(p, probe.ours, 1, NULL, 0);
    assert_true(ended(&probe, 20000));
    assert_false(ended(&x, 0));
    patience_leave(p, e);
    patience_free(p);
    done(&x);
    done(&probe);
}

static void test_no_more_than_the_maximum(void **state)
{
    struct patience *p = NULL;
    struct pair x[3] = {make(), make(), make()};
    assert_int_equal(patience_new(2, &p), 0);
    struct patience_peer *a = patience_join(p, x[0].ours, 600000, NULL, 0),
                         *b = patience_join(p, x[1].ours, 600000, NULL, 0);
    assert_null(patience_join(p, x[2].ours, 600000, NULL, 0));
    assert_true(ended(&x[2], 0));
    patience_set(p, NULL, 1, true);
    patience_add(p, NULL, 1);
    patience_leave(p, NULL);
    patience_leave(p, a);
    patience_leave(p, b);
    patience_free(p);
    for (size_t i = 0; i < 3; i++)
        done(&x[i]);
}

/* A full house waits an eighth, but only for who has nothing of ours in hand. */
static void test_crowded(void **state)
{
    struct patience *p = NULL;
    struct pair x[8];
    struct patience_peer *e[8];
    assert_int_equal(patience_new(8, &p), 0);
    for (size_t i = 0; i < 7; i++) {
        x[i] = make();
        e[i] = patience_join(p, x[i].ours, i == 0 ? 24000 : 600000, NULL, 0);
    }
    patience_set(p, e[1], 24000, false);
    assert_true(ended(&x[0], 60000));
    assert_false(ended(&x[1], 0)); /* had the same time, and is served */
    for (size_t i = 0; i < 7; i++) {
        patience_leave(p, e[i]);
        done(&x[i]);
    }
    patience_free(p);
}

static void *come_and_go(void *arg)
{
    struct patience *p = arg;
    for (int i = 0; i < 20000; i++) {
        struct pair x = make();
        struct patience_peer *e = patience_join(p, x.ours, (uint64_t)i % 3, NULL, 0);
        patience_set(p, e, (uint64_t)i % 5, i % 2 == 0);
        patience_leave(p, e);
        done(&x);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct patience *p = NULL;
    pthread_t t[4];
    assert_int_equal(patience_new(3, &p), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, come_and_go, p), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    patience_free(p);
}

/* So many of one, whoever came first; who goes, or counts as another's, makes room. */
static void test_each(void **state)
{
    struct patience *p = NULL;
    struct pair x[4] = {make(), make(), make(), make()};
    const struct address one = {{1}}, two = {{2}};
    assert_int_equal(patience_new(8, &p), 0);
    struct patience_peer *a = patience_join(p, x[0].ours, 600000, &one, 2),
                         *b = patience_join(p, x[1].ours, 600000, &one, 2);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(patience_join(p, x[2].ours, 600000, &one, 2));
    assert_true(ended(&x[2], 0));
    struct patience_peer *c = patience_join(p, x[3].ours, 600000, &two, 2);
    assert_non_null(c);
    assert_false(patience_count(p, c, &one, 2));
    assert_true(patience_count(p, c, &two, 1)); /* itself does not count twice */
    assert_true(patience_count(p, a, NULL, 2));
    assert_true(patience_count(p, c, &one, 2));
    assert_false(patience_count(p, a, &one, 2));
    patience_leave(p, b);
    assert_true(patience_count(p, a, &one, 2));
    assert_true(patience_count(p, NULL, &one, 1));
    patience_leave(p, a);
    patience_leave(p, c);
    patience_free(p);
    for (size_t i = 0; i < ARRAY_LEN(x); i++)
        done(&x[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_is_cut),  cmocka_unit_test(test_each),
        cmocka_unit_test(test_left_is_left), cmocka_unit_test(test_no_more_than_the_maximum),
        cmocka_unit_test(test_crowded),      cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
