/* base/loop.h and base/queue.h: sources that free themselves and each other while a round runs, timers, signals, and
 * threads that push against a bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/queue.h"

#define SOURCES 8

struct room {
    struct loop *loop;
    int fds[SOURCES][2];
    struct loop_io *ios[SOURCES];
    struct loop_timer *timers[SOURCES];
    unsigned calls, limit;
    char order[32];
    uint32_t events;
};

static int enter(void **state)
{
    static struct room r;
    memset(&r, 0, sizeof r);
    for (size_t i = 0; i < SOURCES; i++)
        assert_int_equal(pipe2(r.fds[i], O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(loop_new(&r.loop), 0);
    *state = &r;
    return 0;
}

static int leave(void **state)
{
    struct room *r = *state;
    loop_free(r->loop);
    for (size_t i = 0; i < SOURCES; i++) {
        close(r->fds[i][0]);
        close(r->fds[i][1]);
    }
    return 0;
}

static void poke(struct room *r, size_t i)
{
    assert_int_equal(write(r->fds[i][1], "x", 1), 1);
}

static void on_stop(void *arg)
{
    struct room *r = arg;
    loop_stop(r->loop, 0);
}

/* Ends the run some rounds later. */
static void stop_in(struct room *r, uint64_t ms)
{
    if (!r->timers[SOURCES - 1])
        assert_int_equal(loop_timer_new(r->loop, on_stop, r, &r->timers[SOURCES - 1]), 0);
    assert_int_equal(loop_timer_set(r->timers[SOURCES - 1], ms), 0);
}

static void on_read(void *arg, uint32_t events)
{
    struct room *r = arg;
    char c;
    r->events = events;
    r->calls++;
    if (read(r->fds[0][0], &c, 1) == 1 && c == 'q')
        loop_stop(r->loop, 7);
}

static void reads_until_stopped(void **state)
{
    struct room *r = *state;

    assert_int_equal(loop_io_new(r->loop, r->fds[0][0], EPOLLIN, on_read, r, &r->ios[0]), 0);
    assert_int_equal(write(r->fds[0][1], "abq", 3), 3);
    assert_int_equal(loop_run(r->loop), 7);
    assert_int_equal(r->calls, 3); /* level-triggered: a byte a call */
    assert_true(r->events & EPOLLIN);

    assert_int_equal(loop_io_set(r->ios[0], 0), 0); /* deaf */
    assert_int_equal(write(r->fds[0][1], "q", 1), 1);
    stop_in(r, 20);
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->calls, 3);
    assert_int_equal(loop_io_set(r->ios[0], EPOLLIN), 0); /* and hearing again */
    assert_int_equal(loop_run(r->loop), 7);
    assert_int_equal(r->calls, 4);
    loop_io_free(r->ios[0]);
    loop_io_free(NULL);
}

static void refuses_bad_descriptors(void **state)
{
    struct room *r = *state;
    struct loop_io *io = NULL;

    assert_int_equal(loop_io_new(r->loop, -1, EPOLLIN, on_read, r, &io), -EBADF);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(loop_io_new(r->loop, fd, EPOLLIN, on_read, r, &io), -EPERM);
    assert_null(io);
    close(fd);
}

static void on_free_all(void *arg, uint32_t events)
{
    struct room *r = arg;
    r->calls++;
    for (size_t i = 0; i < SOURCES; i++) {
        loop_io_free(r->ios[i]);
        r->ios[i] = NULL;
        close(r->fds[i][0]); /* as the owner would */
        r->fds[i][0] = -1;
    }
    stop_in(r, 20);
}

/* All are ready in one round; whoever comes first frees all, itself too: nobody else may be called. */
static void freed_sources_are_dead_at_once(void **state)
{
    struct room *r = *state;

    for (size_t i = 0; i < SOURCES; i++) {
        assert_int_equal(loop_io_new(r->loop, r->fds[i][0], EPOLLIN, on_free_all, r, &r->ios[i]), 0);
        poke(r, i);
    }
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->calls, 1);
}

static void on_replace(void *arg, uint32_t events)
{
    struct room *r = arg;
    if (++r->calls == 100) {
        loop_stop(r->loop, 0);
        return;
    }
    loop_io_free(r->ios[0]);
    assert_int_equal(loop_io_new(r->loop, r->fds[0][0], EPOLLIN, on_replace, r, &r->ios[0]), 0);
}

static void sources_may_be_replaced_from_within(void **state)
{
    struct room *r = *state;

    assert_int_equal(loop_io_new(r->loop, r->fds[0][0], EPOLLIN, on_replace, r, &r->ios[0]), 0);
    poke(r, 0);
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->calls, 100);
}

static void note(struct room *r, char c)
{
    if (r->calls < sizeof r->order - 1)
        r->order[r->calls++] = c;
}
static void on_a(void *arg)
{
    struct room *r = arg;
    note(r, 'a');
    if (r->calls < r->limit)
        assert_int_equal(loop_timer_set(r->timers[0], 1), 0);
    else if (r->limit)
        stop_in(r, 20); /* time enough for one call too many */
}
static void on_b(void *arg)
{
    note(arg, 'b');
}
static void on_c(void *arg)
{
    struct room *r = arg;
    note(r, 'c');
    loop_timer_free(r->timers[2]); /* itself */
    r->timers[2] = NULL;
    loop_timer_free(r->timers[1]); /* and one that is armed */
    r->timers[1] = NULL;
}

static void timers_fire_once_and_in_order(void **state)
{
    struct room *r = *state;

    assert_int_equal(loop_timer_new(r->loop, on_a, r, &r->timers[0]), 0);
    assert_int_equal(loop_timer_new(r->loop, on_b, r, &r->timers[1]), 0);
    assert_int_equal(loop_timer_set(r->timers[1], 40), 0);
    assert_int_equal(loop_timer_set(r->timers[0], 0), 0);
    stop_in(r, 120);
    assert_int_equal(loop_run(r->loop), 0);
    assert_string_equal(r->order, "ab");

    /* set again from the callback; a later set replaces an earlier one; a stopped one is silent */
    r->calls = 0;
    r->limit = 3;
    assert_int_equal(loop_timer_set(r->timers[0], 1), 0);
    assert_int_equal(loop_timer_set(r->timers[1], 1), 0);
    assert_int_equal(loop_timer_set(r->timers[1], 3600000), 0);
    assert_int_equal(loop_run(r->loop), 0);
    assert_memory_equal(r->order, "aaa", 4);
    assert_int_equal(loop_timer_set(r->timers[1], 1), 0);
    assert_int_equal(loop_timer_stop(r->timers[1]), 0);
    stop_in(r, 30);
    assert_int_equal(loop_run(r->loop), 0);
    assert_int_equal(r->calls, 3);
}

static void timers_may_be_freed_from_within(void **state)
{
    struct room *r = *state;

    assert_int_equal(loop_timer_new(r->loop, on_b, r, &r->timers[1]), 0);
    assert_int_equal(loop_timer_new(r->loop, on_c, r, &r->timers[2]), 0);
    assert_int_equal(loop_timer_set(r->timers[2], 0), 0);
    assert_int_equal(loop_timer_set(r->timers[1], 10), 0);
    stop_in(r, 50);
    assert_int_equal(loop_run(r->loop), 0);
    assert_string_equal(r->order, "c");
    loop_timer_free(NULL);
}

static void on_stop_another(void *arg, uint32_t events)
{
    struct room *r = arg;
    char c;
    usleep(5000); /* the timer expires meanwhile, perhaps in this very round */
    assert_int_equal(loop_timer_stop(r->timers[1]), 0);
    assert_int_equal(read(r->fds[0][0], &c, 1), 1);
}

/* A timer that had expired when it was stopped stays silent all the same. */
static void a_stopped_timer_is_silent(void **state)
{
    struct room *r = *state;

    assert_int_equal(loop_io_new(r->loop, r->fds[0][0], EPOLLIN, on_stop_another, r, &r->ios[0]), 0);
    assert_int_equal(loop_timer_new(r->loop, on_b, r, &r->timers[1]), 0);
    for (int i = 0; i < 5; i++) {
        poke(r, 0);
        assert_int_equal(loop_timer_set(r->timers[1], i == 0 ? 0 : 3), 0);
        if (i == 0)
            usleep(2000); /* both are ready when the round begins */
        stop_in(r, 15);
        assert_int_equal(loop_run(r->loop), 0);
    }
    assert_true(strlen(r->order) <= 1); /* only the first round may have met the timer before the pipe */
}

static void on_signal(void *arg)
{
    struct room *r = arg;
    note(r, 's');
    if (r->calls == 2)
        loop_stop(r->loop, 0);
    else
        raise(SIGUSR1);
}

static void signals_come_through_the_loop(void **state)
{
    struct room *r = *state;
    sigset_t set;

    assert_int_equal(loop_signal(r->loop, SIGUSR1, on_signal, r), 0);
    raise(SIGUSR1); /* blocked by loop_signal(), or this would end the test */
    assert_int_equal(r->calls, 0);
    assert_int_equal(loop_run(r->loop), 0);
    assert_string_equal(r->order, "ss");
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

struct item {
    unsigned who, n;
};

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void queue_is_bounded_and_in_order(void **state)
{
    struct queue *q;
    struct item in = {0, 0}, out = {99, 99};

    assert_int_equal(queue_new(sizeof in, 3, &q), 0);
    assert_int_equal(queue_pop(q, &out), QUEUE_EMPTY);
    assert_int_equal(queue_pop_wait(q, &out, 1), QUEUE_EMPTY);
    assert_int_equal(out.who, 99);
    for (unsigned round = 0; round < 5; round++) { /* around the ring */
        assert_false(readable(queue_fd(q)));
        for (in.n = 0; in.n < 3; in.n++)
            assert_int_equal(queue_push(q, &in), 0);
        assert_int_equal(queue_push(q, &in), QUEUE_FULL);
        assert_int_equal(queue_push_wait(q, &in, 1), QUEUE_FULL);
        assert_int_equal(queue_len(q), 3);
        for (unsigned n = 0; n < 3; n++) {
            assert_true(readable(queue_fd(q)));
            assert_int_equal(queue_pop(q, &out), 0);
            assert_int_equal(out.n, n);
        }
        if (round == 3) { /* an odd start for the last round */
            assert_int_equal(queue_push(q, &in), 0);
            assert_int_equal(queue_pop_wait(q, &out, 0), 0);
        }
    }
    assert_int_equal(queue_push(q, &in), 0);
    queue_close(q);
    queue_close(q);
    assert_int_equal(queue_push(q, &in), QUEUE_CLOSED);
    assert_int_equal(queue_push_wait(q, &in, 60000), QUEUE_CLOSED);
    assert_int_equal(queue_pop_wait(q, &out, 60000), 0);
    assert_int_equal(queue_pop_wait(q, &out, 60000), QUEUE_CLOSED);
    assert_int_equal(queue_pop(q, &out), QUEUE_EMPTY);
    queue_free(q);
    queue_free(NULL);
}

enum { PUSHERS = 4, ITEMS = 5000 };

struct push {
    pthread_t thread;
    struct queue *q;
    unsigned who;
    int r;
};

static void *pusher(void *arg)
{
    struct push *p = arg;
    for (unsigned n = 0; n < ITEMS && p->r == 0; n++)
        p->r = queue_push_wait(p->q, &(struct item){p->who, n}, 60000);
    return NULL;
}

struct popper {
    struct loop *loop;
    struct queue *q;
    unsigned next[PUSHERS], total;
    bool order;
};

static void on_queue(void *arg, uint32_t events)
{
    struct popper *p = arg;
    struct item it;

    for (int i = 0; i < 7 && queue_pop(p->q, &it) == 0; i++) { /* leaves some, so that the descriptor must tell again */
        p->order = p->order && it.who < PUSHERS && it.n == p->next[it.who]++;
        p->total++;
    }
    if (p->total == PUSHERS * ITEMS)
        loop_stop(p->loop, 0);
}

static void queue_joins_threads_to_a_loop(void **state)
{
    struct popper p = {.order = true};
    struct push push[PUSHERS] = {0};
    struct loop_io *io;

    assert_int_equal(queue_new(sizeof(struct item), 16, &p.q), 0);
    assert_int_equal(loop_new(&p.loop), 0);
    assert_int_equal(loop_io_new(p.loop, queue_fd(p.q), EPOLLIN, on_queue, &p, &io), 0);
    for (unsigned i = 0; i < PUSHERS; i++) {
        push[i] = (struct push){.q = p.q, .who = i};
        assert_int_equal(pthread_create(&push[i].thread, NULL, pusher, &push[i]), 0);
    }
    assert_int_equal(loop_run(p.loop), 0);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pthread_join(push[i].thread, NULL);
        assert_int_equal(push[i].r, 0);
        assert_int_equal(p.next[i], ITEMS);
    }
    assert_true(p.order);
    assert_false(readable(queue_fd(p.q)));
    loop_free(p.loop);
    queue_free(p.q);
}

static void *waits_for_room(void *arg)
{
    struct push *p = arg;
    p->r = queue_push_wait(p->q, &(struct item){1, 1}, 60000);
    return NULL;
}

static void *waits_for_an_item(void *arg)
{
    struct push *p = arg;
    struct item it;
    p->r = queue_pop_wait(p->q, &it, 60000);
    return NULL;
}

/* Runs fn in a thread against a queue of one, and does `act` meanwhile; the thread must not sleep its minute out. */
static int meanwhile(void *(*fn)(void *arg), bool full, void (*act)(struct queue *q))
{
    struct push p = {0};
    int64_t began = clock_ms();

    assert_int_equal(queue_new(sizeof(struct item), 1, &p.q), 0);
    if (full)
        assert_int_equal(queue_push(p.q, &(struct item){0, 0}), 0);
    assert_int_equal(pthread_create(&p.thread, NULL, fn, &p), 0);
    usleep(10000);
    act(p.q);
    pthread_join(p.thread, NULL);
    queue_free(p.q);
    assert_true(clock_ms() - began < 30000);
    return p.r;
}

static void pop_one(struct queue *q)
{
    struct item it;
    assert_int_equal(queue_pop(q, &it), 0);
}

static void push_one(struct queue *q)
{
    assert_int_equal(queue_push(q, &(struct item){2, 2}), 0);
}

static void waiters_wake(void **state)
{
    assert_int_equal(meanwhile(waits_for_room, true, pop_one), 0);
    assert_int_equal(meanwhile(waits_for_room, true, queue_close), QUEUE_CLOSED);
    assert_int_equal(meanwhile(waits_for_an_item, false, push_one), 0);
    assert_int_equal(meanwhile(waits_for_an_item, false, queue_close), QUEUE_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_until_stopped, enter, leave),
        cmocka_unit_test_setup_teardown(refuses_bad_descriptors, enter, leave),
        cmocka_unit_test_setup_teardown(freed_sources_are_dead_at_once, enter, leave),
        cmocka_unit_test_setup_teardown(sources_may_be_replaced_from_within, enter, leave),
        cmocka_unit_test_setup_teardown(timers_fire_once_and_in_order, enter, leave),
        cmocka_unit_test_setup_teardown(timers_may_be_freed_from_within, enter, leave),
        cmocka_unit_test_setup_teardown(a_stopped_timer_is_silent, enter, leave),
        cmocka_unit_test_setup_teardown(signals_come_through_the_loop, enter, leave),
        cmocka_unit_test(queue_is_bounded_and_in_order),
        cmocka_unit_test(queue_joins_threads_to_a_loop),
        cmocka_unit_test(waiters_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
