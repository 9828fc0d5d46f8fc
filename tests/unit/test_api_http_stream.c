/* Replies without end: events as they come, a beat while there are none, as many as may be, and an end for who is gone,
 * who does not read, and when the listener stops. */
#include "api/http.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/crypto.h"
#include "cloud/pki.h"
#include "tests/unit/api_client.h"
#include "tests/unit/api_socket.h"

struct rig {
    struct http *h;
    unsigned port;
    atomic_uint last; /* event that was published */
    atomic_uint asked, begun, done;
    atomic_bool fails;
};

struct reader {
    struct rig *g;
    unsigned at;
    bool floods; /* "/flood": says 64 KiB whenever it is asked */
};

static int more(void *arg, struct buf *ret)
{
    struct reader *c = arg;
    const unsigned last = atomic_load(&c->g->last);
    atomic_fetch_add(&c->g->asked, 1);
    if (c->floods) {
        for (int i = 0; i < 64; i++)
            buf_addf(ret, ":%01022d\n", 0);
        return 0;
    }
    if (atomic_load(&c->g->fails))
        return -EIO;
    while (c->at < last)
        buf_addf(ret, "data: %u\n\n", ++c->at);
    return last == 999 ? HTTP_LAST : HTTP_LATER;
}

static void done(void *arg)
{
    struct reader *c = arg;
    atomic_fetch_add(&c->g->done, 1);
    free(c);
}

static int handle(void *arg, const struct http_request *q, struct http_reply *ret)
{
    struct rig *g = arg;
    ret->status = 200;
    if (strcmp(q->path, "/events") == 0 || strcmp(q->path, "/flood") == 0) {
        struct reader *c = calloc(1, sizeof *c);
        assert_non_null(c);
        *c = (struct reader){.g = g, .floods = q->path[1] == 'f', .at = atomic_load(&g->last)};
        if (http_stream(ret, q->n_query ? q->query[0].value : q->address, more, done, c)) {
            atomic_fetch_add(&g->begun, 1);
            return 0;
        }
        free(c);
        ret->status = 503;
    }
    ret->type = "text/plain";
    buf_addf(&ret->body, "plain");
    return 0;
}

static struct http_options options(struct rig *g)
{
    return (struct http_options){.listen = "127.0.0.1:0",
                                 .threads = 1,
                                 .connections = 64,
                                 .streams = 4,
                                 .streams_each = 3,
                                 .beat_ms = 200,
                                 .request_ms = 1000,
                                 .idle_ms = 60000,
                                 .fn = handle,
                                 .arg = g};
}

static void start(struct rig *g, const struct http_options *o)
{
    assert_int_equal(http_start(o, &g->h), 0);
    g->port = http_port(g->h);
}

static void ask(int fd, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    send_text(fd, text);
}

/* Reads on until `text` has come; all that came, without the chunks' lengths told apart, is in `got`. */
static void read_until(int fd, char *got, size_t max, const char *text)
{
    size_t n = strlen(got);
    while (!strstr(got, text)) {
        assert_true(n < max - 1);
        ssize_t k = recv(fd, got + n, max - 1 - n, 0);
        if (k <= 0)
            fail_msg("ended before \"%s\": %s", text, got);
        n += (size_t)k;
        got[n] = '\0';
    }
}

static int open_stream(const struct rig *g, unsigned host)
{
    char head[1024] = "";
    int fd = connect_from(host, g->port);
    ask(fd, "/events");
    read_until(fd, head, sizeof head, "\r\n\r\n");
    assert_non_null(strstr(head, "HTTP/1.1 200"));
    assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(head, "X-Accel-Buffering: no\r\n")); /* a proxy passes each event on at once */
    assert_non_null(strstr(head, "Cache-Control: no-store\r\n"));
    return fd;
}

static void publish(struct rig *g, unsigned n)
{
    atomic_store(&g->last, n);
    http_wake(g->h);
}

static void until_done(struct rig *g, unsigned n)
{
    while (atomic_load(&g->done) < n) /* the test's own time-out ends this */
        usleep(1000);
}

static void test_events_and_beats(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    char got[4096] = "", text[32], body[64];
    start(&g, &o);
    int fd = open_stream(&g, 1), other = connect_raw(g.port);
    for (unsigned i = 1; i <= 20; i++) {
        publish(&g, i);
        snprintf(text, sizeof text, "data: %u\n\n", i);
        read_until(fd, got, sizeof got, text);
        ask(other, "/"); /* its thread serves others all the while */
        assert_int_equal(recv_reply(other, body), 200);
    }
    publish(&g, 23);
    read_until(fd, got, sizeof got, "data: 21\n\ndata: 22\n\ndata: 23\n\n");
    char quiet[256] = "";
    read_until(fd, quiet, sizeof quiet, ":\n\n"); /* and for longer than any deadline */
    sleep(2);
    publish(&g, 24);
    read_until(fd, quiet, sizeof quiet, "data: 24\n\n");
    publish(&g, 999);
    char rest[65536] = "";
    read_until(fd, rest, sizeof rest, "data: 999\n\n");
    read_until(fd, rest, sizeof rest, "\r\n0\r\n"); /* the last chunk: it ended well */
    ask(fd, "/");
    assert_int_equal(recv_reply(fd, (char[1024]){0}), 200);
    close(fd);
    close(other);
    http_stop(g.h);
    assert_int_equal(atomic_load(&g.done), 1);
}

/* No more than may be, of one address and of all; who goes makes room, also when nothing is published. */
static void test_as_many_as_may(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    char body[64];
    start(&g, &o);
    int a[3], b = 0, surplus[2];
    for (int i = 0; i < 3; i++)
        a[i] = open_stream(&g, 1);
    ask(surplus[0] = connect_from(1, g.port), "/events");
    assert_int_equal(recv_reply(surplus[0], body), 503);
    b = open_stream(&g, 2);
    ask(surplus[1] = connect_from(3, g.port), "/events");
    assert_int_equal(recv_reply(surplus[1], body), 503);
    close(a[0]);
    until_done(&g, 1); /* its beat found nobody */
    ask(surplus[1], "/events");
    read_until(surplus[1], (char[1024]){0}, 1024, "text/event-stream");
    atomic_store(&g.fails, true); /* what cannot be had any more is cut, not ended */
    http_wake(g.h);
    until_done(&g, 4);
    close(a[1]);
    close(a[2]);
    close(b);
    close(surplus[0]);
    close(surplus[1]);
    http_stop(g.h);
    assert_int_equal(atomic_load(&g.done), atomic_load(&g.begun));
}

/* It is told something all the time and reads nothing. */
/* However many addresses it has: the rest of the places is for others. */
static void test_nobody_takes_all(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    int fd[5];
    start(&g, &o);
    for (unsigned i = 0; i < 3; i++) {
        ask(fd[i] = connect_from(i + 1, g.port), "/events?of=acme");
        read_until(fd[i], (char[1024]){0}, 1024, "text/event-stream");
    }
    ask(fd[3] = connect_from(4, g.port), "/events?of=acme");
    assert_int_equal(recv_reply(fd[3], (char[64]){0}), 503);
    ask(fd[4] = connect_from(5, g.port), "/events?of=globex");
    read_until(fd[4], (char[1024]){0}, 1024, "text/event-stream");
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        close(fd[i]);
    http_stop(g.h);
    assert_int_equal(atomic_load(&g.done), 4);
}

static void test_who_does_not_read_is_cut(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    start(&g, &o);
    int fd = connect_raw(g.port);
    ask(fd, "/flood");
    until_done(&g, 1);
    close(fd);
    http_stop(g.h);
}

static atomic_bool storm;

static void *wake_on(void *arg)
{
    unsigned *n = calloc(1, sizeof *n);
    assert_non_null(n);
    while (atomic_load(&storm)) {
        http_wake(arg);
        ++*n;
    }
    return n;
}

/* However often it is woken, a stream is asked now and then only, and others are served; streams come and go in it. */
static void test_a_storm_of_wakes(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    pthread_t t[2];
    uint64_t wakes = 0;
    char body[64];
    o.threads = 2;
    start(&g, &o);
    atomic_store(&storm, true);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, wake_on, g.h), 0);
    int kept = open_stream(&g, 2), other = connect_raw(g.port);
    for (unsigned i = 1; i <= 12; i++) {
        int fd = open_stream(&g, 1);
        ask(other, "/");
        assert_int_equal(recv_reply(other, body), 200);
        close(fd);
        until_done(&g, i);
    }
    atomic_store(&storm, false);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        void *n = NULL;
        pthread_join(t[i], &n);
        wakes += *(unsigned *)n;
        free(n);
    }
    assert_true(wakes > 100 * (uint64_t)atomic_load(&g.asked));
    publish(&g, 1); /* it still hears */
    read_until(kept, (char[65536]){0}, 65536, "data: 1\n\n");
    close(kept);
    close(other);
    http_stop(g.h);
}

/* None was forgotten between a look and a sleep: each event arrives although nobody wakes for it twice. */
static void test_no_wake_is_lost(void **state)
{
    struct rig g = {0};
    struct http_options o = options(&g);
    char text[32];
    o.beat_ms = 600000;
    start(&g, &o);
    int fd = open_stream(&g, 1);
    for (unsigned i = 1; i <= 100; i++) {
        char got[128] = "";
        publish(&g, i);
        snprintf(text, sizeof text, "data: %u\n\n", i);
        read_until(fd, got, sizeof got, text);
    }
    close(fd);
    http_stop(g.h);
}

static void test_stop_while_streams_sleep(void **state)
{
    for (int round = 0; round < 5; round++) {
        struct rig g = {0};
        struct http_options o = options(&g);
        int fd[3];
        char got[256];
        o.beat_ms = 600000;
        start(&g, &o);
        for (size_t i = 0; i < ARRAY_LEN(fd); i++)
            fd[i] = open_stream(&g, 1);
        if (round % 2 == 0)
            usleep(100000); /* mostly they sleep by then */
        http_stop(g.h);
        assert_int_equal(atomic_load(&g.done), ARRAY_LEN(fd));
        for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
            while (recv(fd[i], got, sizeof got, 0) > 0)
                ;
            close(fd[i]);
        }
    }
}

/* The usual client, over TLS. */
static void test_curl(void **state)
{
    static const char *const names[] = {"localhost"};
    struct scratch s;
    struct rig g = {0};
    struct http_options o = options(&g);
    char crt[128], key[128], url[64], got[4096] = "", text[128];
    int out[2];
    pid_t pid = 0;
    posix_spawn_file_actions_t fa;
    tmp_dir(s.dir, sizeof s.dir);
    assert_int_equal(crypto_init(), 0);
    assert_int_equal(pki_ca_create(s.dir, "test CA"), 0);
    assert_int_equal(pki_issue(s.dir, "api", "api", names, 1, PKI_SERVER), 0);
    snprintf(s.ca, sizeof s.ca, "%s/ca.crt", s.dir);
    snprintf(crt, sizeof crt, "%s/api.crt", s.dir);
    snprintf(key, sizeof key, "%s/api.key", s.dir);
    o.cert_file = crt;
    o.key_file = key;
    start(&g, &o);
    snprintf(url, sizeof url, "https://localhost:%u/events", g.port);
    const char *const argv[] = {"curl", "-sS", "-N", "-i", "--max-time", "60", "--cacert", s.ca, url, NULL};
    char *mutable[ARRAY_LEN(argv)];
    memcpy(mutable, argv, sizeof argv);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, out[1], 1);
    assert_int_equal(posix_spawnp(&pid, "curl", &fa, NULL, mutable, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(out[1]);
    while (atomic_load(&g.begun) == 0)
        usleep(1000);
    for (unsigned i = 1; i <= 3; i++) {
        size_t n = strlen(got);
        publish(&g, i);
        snprintf(text, sizeof text, "data: %u\n\n", i);
        for (ssize_t k = 0; !strstr(got, text); n += (size_t)k, got[n] = '\0')
            assert_true((k = read(out[0], got + n, sizeof got - 1 - n)) > 0);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(out[0]);
    until_done(&g, 1);
    http_stop(g.h);
    tmp_remove(s.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_and_beats),         cmocka_unit_test(test_as_many_as_may),
        cmocka_unit_test(test_nobody_takes_all),         cmocka_unit_test(test_who_does_not_read_is_cut),
        cmocka_unit_test(test_a_storm_of_wakes),         cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_stop_while_streams_sleep), cmocka_unit_test(test_curl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
