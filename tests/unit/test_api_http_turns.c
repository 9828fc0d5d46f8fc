/* Requests that wait for their turn at the listener: they keep nobody waiting who only reads. */
#include "api/http.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/unit/api_socket.h"

#define WAITING 4

/* "POST /n" waits for its turn, and then until the test lets it go. */
struct turns {
    struct http *h;
    unsigned port;
    atomic_uint asked, done[16];
    sem_t begun, go;
};

static int take_turn(void *arg, const struct http_request *q, struct http_reply *ret)
{
    struct turns *t = arg;
    ret->status = 200;
    ret->type = "text/plain";
    if (strcmp(q->method, "POST") != 0) {
        buf_addf(&ret->body, "read");
    } else if (q->fault == HTTP_CROWDED) {
        ret->status = 503;
        buf_addf(&ret->body, "crowded");
    } else if (q->line == HTTP_LINE_NONE) {
        atomic_fetch_add(&t->asked, 1);
        return HTTP_LINE_WRITE;
    } else {
        int n = atoi(q->path + 1);
        sem_post(&t->begun);
        sem_wait(&t->go);
        atomic_fetch_add(&t->done[n], 1);
        buf_addf(&ret->body, "%d %.*s", n, (int)q->body.n, (const char *)q->body.p);
    }
    return 0;
}

static void turns_start(struct turns *t, unsigned threads, unsigned waiting_each)
{
    *t = (struct turns){0};
    sem_init(&t->begun, 0, 0);
    sem_init(&t->go, 0, 0);
    const struct http_options o = {.listen = "127.0.0.1:0",
                                   .threads = threads,
                                   .connections = 32,
                                   .lines[HTTP_LINE_WRITE] = {1, WAITING, waiting_each},
                                   .request_ms = 2000,
                                   .idle_ms = 60000,
                                   .fn = take_turn,
                                   .arg = t};
    assert_int_equal(http_start(&o, &t->h), 0);
    t->port = http_port(t->h);
}

static int turns_connect(const struct turns *t)
{
    return connect_raw(t->port);
}

static void send_write(int fd, int n)
{
    char text[128];
    snprintf(text, sizeof text, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nbody%02d", n, n);
    send_text(fd, text);
}

static void assert_read(int fd)
{
    char body[64];
    send_text(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(recv_reply(fd, body), 200);
    assert_string_equal(body, "read");
}

static void wait_until_asked(struct turns *t, unsigned n)
{
    while (atomic_load(&t->asked) < n) /* the test's own time-out ends this */
        usleep(1000);
}

/* One is at it for longer than any deadline, as many wait as may, more are refused; all the while reads are answered,
 * on old connections and new ones, even by a single thread. */
static void reads_go_on(unsigned threads)
{
    struct turns t;
    int kept[6], w[WAITING + 1], surplus[3];
    char body[64], text[16];
    turns_start(&t, threads, 0);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        assert_read(kept[i] = turns_connect(&t));
    for (int i = 0; i <= WAITING; i++) {
        send_write(w[i] = turns_connect(&t), i);
        if (i == 0)
            sem_wait(&t.begun);
        else
            wait_until_asked(&t, (unsigned)i + 1);
    }
    send_text(w[1], "GET /behind HTTP/1.1\r\nHost: x\r\n\r\n");
    close(w[2]); /* went away; what it sent is done all the same */
    for (int round = 0; round < 3; round++, sleep(1)) {
        send_write(surplus[round] = turns_connect(&t), 10 + round);
        assert_int_equal(recv_reply(surplus[round], body), 503);
        assert_string_equal(body, "crowded");
        assert_read(surplus[round]);
        for (size_t i = 0; i < ARRAY_LEN(kept); i++)
            assert_read(kept[i]);
        int fd = turns_connect(&t);
        assert_read(fd);
        close(fd);
    }
    for (int i = 0; i <= WAITING; i++)
        sem_post(&t.go);
    for (int i = 0; i <= WAITING; i++) {
        if (i == 2)
            continue;
        assert_int_equal(recv_reply(w[i], body), 200);
        snprintf(text, sizeof text, "%d body%02d", i, i);
        assert_string_equal(body, text);
        if (i == 1)
            assert_int_equal(recv_reply(w[1], body), 200);
        assert_read(w[i]);
        close(w[i]);
    }
    send_write(surplus[0], 10); /* again, as it was told */
    sem_post(&t.go);
    assert_int_equal(recv_reply(surplus[0], body), 200);
    for (size_t i = 0; i < ARRAY_LEN(t.done); i++)
        assert_int_equal(atomic_load(&t.done[i]), i <= WAITING || i == 10);
    http_stop(t.h);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        close(kept[i]);
    for (size_t i = 0; i < ARRAY_LEN(surplus); i++)
        close(surplus[i]);
}

static void test_who_waits_keeps_nobody_waiting(void **state)
{
    reads_go_on(1);
    reads_go_on(3);
}

/* Who writes more than his share keeps nobody of another address from writing. */
static void test_a_line_for_all(void **state)
{
    struct turns t;
    int w[WAITING + 1];
    char body[64];
    turns_start(&t, 2, WAITING / 2);
    for (int i = 0; i < 1 + WAITING / 2; i++) {
        send_write(w[i] = connect_from(1, t.port), i);
        if (i == 0)
            sem_wait(&t.begun);
        else
            wait_until_asked(&t, (unsigned)i + 1);
    }
    int fd = connect_from(1, t.port);
    send_write(fd, 10);
    assert_int_equal(recv_reply(fd, body), 503);
    for (int i = 1 + WAITING / 2; i <= WAITING; i++) {
        send_write(w[i] = connect_from(2, t.port), i);
        wait_until_asked(&t, (unsigned)i + 2);
    }
    for (int i = 0; i <= WAITING; i++)
        sem_post(&t.go);
    for (int i = 0; i <= WAITING; i++) {
        assert_int_equal(recv_reply(w[i], body), 200);
        close(w[i]);
    }
    send_write(fd, 10); /* there is room again */
    sem_post(&t.go);
    assert_int_equal(recv_reply(fd, body), 200);
    close(fd);
    http_stop(t.h);
}

static void *stop(void *arg)
{
    struct turns *t = arg;
    http_stop(t->h);
    return NULL;
}

/* The one at it is finished, who waits is done or told that he was not, and nobody hangs. */
static void test_stop_while_some_wait(void **state)
{
    struct turns t;
    pthread_t stopper;
    int w[WAITING];
    char body[64];
    turns_start(&t, 3, 0);
    for (int i = 0; i < WAITING; i++) {
        send_write(w[i] = turns_connect(&t), i);
        wait_until_asked(&t, (unsigned)i + 1);
    }
    sem_wait(&t.begun);
    assert_int_equal(pthread_create(&stopper, NULL, stop, &t), 0);
    usleep(200000); /* mostly it stops before the first has ended */
    for (int i = 0; i < WAITING; i++)
        sem_post(&t.go);
    pthread_join(stopper, NULL);
    assert_int_equal(atomic_load(&t.done[0]), 1);
    for (int i = 0; i < WAITING; i++) {
        ssize_t n = recv(w[i], body, 12, MSG_WAITALL);
        unsigned done = atomic_load(&t.done[i]);
        assert_true(done <= 1);
        assert_true(n <= 0 || (n == 12 && memcmp(body, done ? "HTTP/1.1 200" : "HTTP/1.1 503", 12) == 0));
        close(w[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_keeps_nobody_waiting),
        cmocka_unit_test(test_a_line_for_all),
        cmocka_unit_test(test_stop_while_some_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
