/* GET /metrics against clients of every sort; the loop runs in a thread of its own. Nothing here measures time: a slow
 * client ends when the listener's patience does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "daemon/scrape.h"

#define GOOD "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n"
#define REPLY_MAX (1u << 20)

/* ---- the judge ---- */

static int judge(const char *s)
{
    return scrape_judge((const uint8_t *)s, strlen(s));
}

static void test_judge(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {GOOD, 200},
        {"GET /metrics HTTP/1.0\r\n\r\n", 200},
        {"GET /metrics HTTP/1.0\n\n", 200},
        {"GET /metrics?name=x HTTP/1.1\r\n\r\n", 200},
        {"HEAD /metrics HTTP/1.1\r\n\r\n", 405},
        {"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405},
        {"GET / HTTP/1.1\r\n\r\n", 404},
        {"GET /metrics/ HTTP/1.1\r\n\r\n", 404},
        {"GET /metric HTTP/1.1\r\n\r\n", 404},
        {"GET http://h/metrics HTTP/1.1\r\n\r\n", 404},
        {"get /metrics HTTP/1.1\r\n\r\n", 405},
        {"GET /metrics\r\n\r\n", 400},
        {"GET /metrics HTTP/2.0\r\n\r\n", 400},
        {"GET /metrics HTTP/1.10\r\n\r\n", 400},
        {"GET  /metrics HTTP/1.1\r\n\r\n", 400},
        {"GET /metrics  HTTP/1.1\r\n\r\n", 400},
        {" GET /metrics HTTP/1.1\r\n\r\n", 400},
        {"GET /met\x01rics HTTP/1.1\r\n\r\n", 400},
        {"\r\n\r\n", 400},
        {"\n\n", 400},
        {"\n\r\n", 400},
        {"G\n\n", 400},
        {"GET \n\n", 400},
        {"GET /metrics \n\n", 400},
        {"GET /metrics HTTP/1.1\r\nHost: x\r\n", SCRAPE_MORE},
        {"", SCRAPE_MORE},
        {"\n", SCRAPE_MORE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (judge(cases[i].text) != cases[i].status)
            fail_msg("\"%s\": %d, not %d", cases[i].text, judge(cases[i].text), cases[i].status);
    for (size_t n = 0; n < strlen(GOOD); n++)
        assert_int_equal(scrape_judge((const uint8_t *)GOOD, n), SCRAPE_MORE);

    uint8_t long_one[SCRAPE_REQUEST];
    memset(long_one, 'a', sizeof(long_one));
    assert_int_equal(scrape_judge(long_one, sizeof(long_one) - 1), SCRAPE_MORE);
    assert_int_equal(scrape_judge(long_one, sizeof(long_one)), 431);
    memcpy(long_one, "GET /metrics HTTP/1.1\r\n", 23);
    memcpy(long_one + sizeof(long_one) - 4, "\r\n\r\n", 4);
    assert_int_equal(scrape_judge(long_one, sizeof(long_one)), 200); /* just fits */
}

/* In memory of exactly its size, so that a byte too far is found. */
static void test_judge_garbage(void **state)
{
    static const char bytes[] = "GET /metrics?HTTP/1.0 \r\n\r\n\n\0\xff";
    (void)state;
    srand(1); /* NOLINT(cert-msc51-cpp): the same garbage each time */
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % 80;
        uint8_t *p = malloc(n + 1);
        assert_non_null(p);
        for (size_t k = 0; k < n; k++)
            p[k] = (uint8_t)bytes[(size_t)rand() % (sizeof(bytes) - 1)];
        uint8_t *exact = realloc(p, n ? n : 1);
        int status = scrape_judge(exact, n);
        assert_true(status == SCRAPE_MORE || status == 200 || status == 400 || status == 404 || status == 405);
        free(exact);
    }
}

/* ---- over sockets ---- */

struct rig {
    pthread_t thread;
    struct loop *loop;
    struct scrape *scrape;
    struct loop_io *stop_io;
    int stop;
    char listen[32];
    struct sockaddr_in at;
    size_t page; /* bytes of body */
    unsigned pages;
};

static void page(void *arg, struct buf *ret)
{
    struct rig *g = arg;
    g->pages++;
    buf_addf(ret, "page %u\n", g->pages);
    while (ret->len < g->page && buf_addf(ret, "line %zu\n", ret->len) == 0)
        ;
}

static void on_stop(void *arg, uint32_t events)
{
    struct rig *g = arg;
    (void)events;
    loop_stop(g->loop, 0);
}

static void *run(void *arg)
{
    struct rig *g = arg;
    loop_run(g->loop);
    return NULL;
}

/* A port that is free now may be taken the next moment: another one then. */
static void rig_start(struct rig *g, size_t size)
{
    int r = -EADDRINUSE;
    *g = (struct rig){.page = size, .at = {.sin_family = AF_INET}, .stop = eventfd(0, EFD_CLOEXEC)};
    assert_int_equal(loop_new(&g->loop), 0);
    for (int i = 0; i < 100 && r != 0; i++) {
        unsigned port = 20000 + (unsigned)(getpid() * 31 + i * 97) % 12000;
        snprintf(g->listen, sizeof(g->listen), "127.0.0.1:%u", port);
        g->at.sin_port = htons((uint16_t)port);
        r = scrape_new(g->loop, g->listen, page, g, &g->scrape);
    }
    assert_int_equal(r, 0);
    g->at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(loop_io_new(g->loop, g->stop, 1 /* EPOLLIN */, on_stop, g, &g->stop_io), 0);
    assert_int_equal(pthread_create(&g->thread, NULL, run, g), 0);
}

static void rig_stop(struct rig *g)
{
    assert_int_equal(eventfd_write(g->stop, 1), 0);
    pthread_join(g->thread, NULL);
    scrape_free(g->scrape);
    loop_io_free(g->stop_io);
    loop_free(g->loop);
    close(g->stop);
}

static int dial(struct rig *g)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&g->at, sizeof(g->at)), 0);
    return fd;
}

static void say(int fd, const char *s, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, s, n, MSG_NOSIGNAL);
        if (k < 0)
            return; /* it may have had enough of us */
        s += k;
        n -= (size_t)k;
    }
}

/* All of the answer, to its end; the head's length has to be true. Returns the status, 0: there was none. */
static int hear(int fd, char *ret, size_t chunk)
{
    size_t n = 0;
    for (;;) {
        ssize_t k = recv(fd, ret + n, chunk < REPLY_MAX - 1 - n ? chunk : REPLY_MAX - 1 - n, 0);
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    close(fd);
    ret[n] = '\0';
    if (n == 0)
        return 0;
    int status = 0;
    size_t length = 0;
    assert_int_equal(sscanf(ret, "HTTP/1.0 %d", &status), 1);
    const char *l = strstr(ret, "Content-Length: "), *body = strstr(ret, "\r\n\r\n");
    assert_true(l && body && sscanf(l, "Content-Length: %zu", &length) == 1);
    assert_int_equal(n - (size_t)(body + 4 - ret), length);
    return status;
}

static void test_served(void **state)
{
    struct rig g;
    char *reply = malloc(REPLY_MAX);
    (void)state;
    rig_start(&g, 10);
    int fd = dial(&g);
    say(fd, GOOD, strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 200);
    assert_non_null(strstr(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(reply, "\r\n\r\npage 1\n"));

    fd = dial(&g); /* byte by byte */
    for (size_t i = 0; i < strlen(GOOD); i++)
        say(fd, GOOD + i, 1);
    assert_int_equal(hear(fd, reply, 1), 200);

    fd = dial(&g); /* says more than it was asked for */
    say(fd, GOOD GOOD GOOD, 3 * strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 200);

    fd = dial(&g);
    say(fd, "PUT /metrics HTTP/1.1\r\n\r\n", 25);
    assert_int_equal(hear(fd, reply, REPLY_MAX), 405);
    assert_non_null(strstr(reply, "\r\nAllow: GET\r\n"));
    rig_stop(&g);
    free(reply);
}

/* More than a socket takes at once; and more than there may be. */
static void test_large_page(void **state)
{
    struct rig g;
    char *reply = malloc(REPLY_MAX);
    (void)state;
    rig_start(&g, SCRAPE_REPLY_MAX - 100);
    int fd = dial(&g);
    say(fd, GOOD, strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 200);
    assert_true(strlen(reply) > SCRAPE_REPLY_MAX - 100);
    rig_stop(&g);

    rig_start(&g, SCRAPE_REPLY_MAX + 1);
    fd = dial(&g);
    say(fd, GOOD, strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 500);
    assert_null(strstr(reply, "line ")); /* nothing, rather than a half */
    rig_stop(&g);
    free(reply);
}

/* Clients that are silent, endless, gone or mad use up every place; a good one is served all the same, in the end. */
static void test_crowd(void **state)
{
    struct rig g;
    int fds[40];
    char *reply = malloc(REPLY_MAX), *flood = malloc(REPLY_MAX);
    (void)state;
    memset(flood, 'x', REPLY_MAX);
    rig_start(&g, 100000);
    for (size_t i = 0; i < 6; i++) { /* silent, or half a request */
        fds[i] = dial(&g);
        say(fds[i], GOOD, i % 2 ? 0 : 20);
    }
    int fd = dial(&g);
    say(fd, GOOD, strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 200);
    for (size_t i = 0; i < 6; i++)
        close(fds[i]);

    for (size_t i = 0; i < ARRAY_LEN(fds); i++) { /* gone again, each at another moment */
        fds[i] = dial(&g);
        say(fds[i], GOOD, i % (strlen(GOOD) + 1));
        close(fds[i]);
    }
    fd = dial(&g);
    say(fd, flood, SCRAPE_REQUEST * 2);
    assert_int_equal(hear(fd, reply, REPLY_MAX), 431);
    fd = dial(&g);
    say(fd, flood, REPLY_MAX); /* without an end: cut off */
    close(fd);
    fd = dial(&g);
    say(fd, GOOD, strlen(GOOD));
    assert_int_equal(hear(fd, reply, REPLY_MAX), 200);
    rig_stop(&g);
    free(reply);
    free(flood);
}

/* Ending with connections in every state. */
static void test_end(void **state)
{
    struct rig g;
    (void)state;
    rig_start(&g, 200000);
    int silent = dial(&g), reading = dial(&g), waiting = dial(&g);
    say(silent, GOOD, 5);
    say(reading, GOOD, strlen(GOOD));
    char one;
    assert_int_equal(recv(reading, &one, 1, 0), 1); /* it is being answered */
    rig_stop(&g);
    close(silent);
    close(reading);
    close(waiting);
}

static void test_taken(void **state)
{
    struct rig g;
    struct loop *l = NULL;
    struct scrape *s = NULL;
    (void)state;
    rig_start(&g, 1);
    assert_int_equal(loop_new(&l), 0);
    assert_int_equal(scrape_new(l, g.listen, page, &g, &s), -EADDRINUSE);
    assert_int_equal(scrape_new(l, "0.0.0.0:9464", page, &g, &s), -EINVAL);
    assert_null(s);
    loop_free(l);
    rig_stop(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),      cmocka_unit_test(test_judge_garbage), cmocka_unit_test(test_served),
        cmocka_unit_test(test_large_page), cmocka_unit_test(test_crowd),         cmocka_unit_test(test_end),
        cmocka_unit_test(test_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
