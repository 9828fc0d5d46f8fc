/* Requests that go from one line to the next: what they carry along, whose threads they are on, and that a full line of
 * passwords keeps nobody else waiting. */
#include "api/http.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tests/unit/api_socket.h"

#define WAITING 4
#define KEPT 1

struct rig {
    struct http *h;
    unsigned port;
    atomic_uint asked;   /* for the line of passwords */
    sem_t begun, go;     /* of "/slow" there */
    atomic_uint written; /* in the line of writers */
    atomic_bool in_long; /* "/long" is under way there */
    atomic_bool cut;     /* one ended because the listener did */
    atomic_int nice_password, nice_write;
};

static bool empty(const uint8_t carry[HTTP_CARRY])
{
    static const uint8_t none[HTTP_CARRY];
    return memcmp(carry, none, HTTP_CARRY) == 0;
}

/* Lets others write until somebody has. */
static int take_long(struct rig *g, const struct http_request *q, struct http_reply *ret)
{
    if (q->between)
        return HTTP_LINE_WRITE;
    assert_false(atomic_exchange(&g->in_long, true));
    sem_post(&g->begun);
    bool open = true;
    while ((open = http_others(q, ret)) && atomic_load(&g->written) == 0)
        usleep(1000);
    atomic_store(&g->in_long, false);
    if (!open)
        atomic_store(&g->cut, true);
    buf_addf(&ret->body, open ? "long" : "cut short");
    return HTTP_LINE_NONE;
}

/* GET reads; POST /write only writes; POST /login, /slow and /known hash, then write. */
static int handle(void *arg, const struct http_request *q, struct http_reply *ret)
{
    struct rig *g = arg;
    ret->status = 200;
    ret->type = "text/plain";
    if (q->fault == HTTP_CROWDED) {
        ret->status = 503;
        buf_addf(&ret->body, "crowded %d", q->line);
        return HTTP_LINE_NONE;
    }
    if (strcmp(q->method, "POST") != 0) {
        buf_addf(&ret->body, "read");
        return HTTP_LINE_NONE;
    }
    const bool hashes = strcmp(q->path, "/write") != 0 && strcmp(q->path, "/long") != 0;
    switch (q->line) {
    case HTTP_LINE_NONE:
        if (!empty(q->carry)) /* of the request before */
            ret->status = 500;
        atomic_fetch_add(&g->asked, 1);
        q->carry[0] = 1;
        ret->known = strcmp(q->path, "/known") == 0;
        return hashes ? HTTP_LINE_PASSWORD : HTTP_LINE_WRITE;
    case HTTP_LINE_PASSWORD:
        atomic_store(&g->nice_password, getpriority(PRIO_PROCESS, (id_t)gettid()));
        if (strcmp(q->path, "/slow") == 0) {
            sem_post(&g->begun);
            sem_wait(&g->go);
        }
        q->carry[HTTP_CARRY - 1] = 2;
        return HTTP_LINE_WRITE;
    case HTTP_LINE_WRITE:
        if (strcmp(q->path, "/long") == 0)
            return take_long(g, q, ret);
        atomic_fetch_add(&g->written, 1);
        atomic_store(&g->nice_write, getpriority(PRIO_PROCESS, (id_t)gettid()));
        buf_addf(&ret->body, "%d%d %.*s", q->carry[0], q->carry[HTTP_CARRY - 1], (int)q->body.n,
                 (const char *)q->body.p);
        return HTTP_LINE_NONE;
    case HTTP_LINES:
        break;
    }
    ret->status = 500;
    return HTTP_LINE_NONE;
}

static void start(struct rig *g, unsigned password_each)
{
    *g = (struct rig){0};
    sem_init(&g->begun, 0, 0);
    sem_init(&g->go, 0, 0);
    const struct http_options o = {.listen = "127.0.0.1:0",
                                   .threads = 1,
                                   .connections = 32,
                                   .lines[HTTP_LINE_WRITE] = {1, 32, 0, 0},
                                   .lines[HTTP_LINE_PASSWORD] = {2, WAITING, password_each, KEPT},
                                   .request_ms = 20000,
                                   .idle_ms = 60000,
                                   .fn = handle,
                                   .arg = g};
    assert_int_equal(http_start(&o, &g->h), 0);
    g->port = http_port(g->h);
}

static void send_post(int fd, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", path);
    send_text(fd, text);
}

static void expect(int fd, int status, const char *text)
{
    char body[64];
    assert_int_equal(recv_reply(fd, body), status);
    assert_string_equal(body, text);
}

static void test_from_line_to_line(void **state)
{
    struct rig g;
    start(&g, 0);
    int fd = connect_raw(g.port);
    for (int i = 0; i < 20; i++) { /* one connection: nothing is left of the request before */
        send_post(fd, "/login");
        expect(fd, 200, "12 body");
        send_post(fd, "/write");
        expect(fd, 200, "10 body");
        send_text(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        expect(fd, 200, "read");
    }
    int nice = atomic_load(&g.nice_write) + 10; /* 19 is the nicest */
    assert_int_equal(atomic_load(&g.nice_password), nice < 19 ? nice : 19);
    close(fd);
    http_stop(g.h);
}

/* Both threads hash, as many wait as may: further logins are told so, but for who is known; writes and reads go on, and
 * nothing is lost. */
static void test_a_full_line_of_passwords(void **state)
{
    struct rig g;
    int slow[2 + WAITING];
    start(&g, 0);
    for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
        send_post(slow[i] = connect_raw(g.port), "/slow");
        if (i < 2)
            sem_wait(&g.begun);
        while (atomic_load(&g.asked) <= i)
            usleep(1000);
    }
    int fd = connect_raw(g.port), kept = connect_raw(g.port);
    send_post(kept, "/known");
    while (atomic_load(&g.asked) <= ARRAY_LEN(slow))
        usleep(1000);
    for (int i = 0; i < 3; i++) {
        send_post(fd, i == 2 ? "/known" : "/login"); /* there is one such place, and it is taken */
        expect(fd, 503, "crowded 2");
        send_post(fd, "/write");
        expect(fd, 200, "10 body");
        send_text(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        expect(fd, 200, "read");
    }
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        sem_post(&g.go);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        expect(slow[i], 200, "12 body");
        close(slow[i]);
    }
    expect(kept, 200, "12 body");
    close(kept);
    send_post(fd, "/login");
    expect(fd, 200, "12 body");
    close(fd);
    http_stop(g.h);
}

/* One source's logins leave places for others. */
static void test_passwords_by_address(void **state)
{
    struct rig g;
    int slow[3];
    start(&g, 1);
    for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
        send_post(slow[i] = connect_raw(g.port), "/slow");
        if (i < 2)
            sem_wait(&g.begun);
        while (atomic_load(&g.asked) <= i)
            usleep(1000);
    }
    int own = connect_raw(g.port), other = connect_from(2, g.port);
    send_post(own, "/login");
    expect(own, 503, "crowded 2");
    send_post(other, "/login");
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        sem_post(&g.go);
    expect(other, 200, "12 body");
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        expect(slow[i], 200, "12 body");
        close(slow[i]);
    }
    close(own);
    close(other);
    http_stop(g.h);
}

/* Who waits to write is done between the steps of one that takes long; another such comes after it. */
static void test_others_between(void **state)
{
    struct rig g;
    start(&g, 0);
    int one = connect_raw(g.port), two = connect_raw(g.port), fd = connect_raw(g.port);
    send_post(one, "/long");
    sem_wait(&g.begun);
    send_post(two, "/long");
    while (atomic_load(&g.asked) < 2)
        usleep(1000);
    send_post(fd, "/write");
    expect(fd, 200, "10 body");
    expect(one, 200, "long");
    expect(two, 200, "long");
    atomic_store(&g.written, 0);
    send_post(one, "/long"); /* nobody writes any more: it ends when the listener does */
    for (int i = 0; i < 2; i++)
        sem_wait(&g.begun);
    http_stop(g.h); /* whether its reply still leaves is not said */
    assert_true(atomic_load(&g.cut));
    close(one);
    close(two);
    close(fd);
}

static void *stop(void *arg)
{
    http_stop(arg);
    return NULL;
}

/* Some hash, some wait: each is answered, done or refused, wherever between the lines it is, and nobody hangs. */
static void test_stop_between_lines(void **state)
{
    struct rig g;
    pthread_t stopper;
    int slow[2 + WAITING];
    start(&g, 0);
    for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
        send_post(slow[i] = connect_raw(g.port), "/slow");
        if (i < 2)
            sem_wait(&g.begun);
        while (atomic_load(&g.asked) <= i)
            usleep(1000);
    }
    assert_int_equal(pthread_create(&stopper, NULL, stop, g.h), 0);
    usleep(100000);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        sem_post(&g.go);
    pthread_join(stopper, NULL);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        char head[12];
        ssize_t n = recv(slow[i], head, sizeof head, MSG_WAITALL);
        assert_true(n <= 0 ||
                    (n == 12 && (memcmp(head, "HTTP/1.1 200", 12) == 0 || memcmp(head, "HTTP/1.1 503", 12) == 0)));
        close(slow[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_line_to_line),    cmocka_unit_test(test_a_full_line_of_passwords),
        cmocka_unit_test(test_passwords_by_address), cmocka_unit_test(test_others_between),
        cmocka_unit_test(test_stop_between_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
