/* A connection reads until the blank line behind the head, answers, and reads on until the peer closes (else what it
 * still sends would reset the connection under the answer). One timer bounds all of it. */
#include "daemon/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"

#define PAUSE_MS 1000
#define DRAIN_MAX (64u << 10)
#define SEND_ROOM (64 << 10) /* in the kernel, for each of those who do not read */
#define BACKLOG 16

enum state { STATE_READ, STATE_WRITE, STATE_DRAIN };

struct conn {
    struct scrape *scrape; /* NULL: free */
    enum state state;
    int fd;
    struct loop_io *io;
    struct loop_timer *timer;
    uint8_t in[SCRAPE_REQUEST];
    size_t n_in, drained;
    struct buf out;
    size_t sent;
};

struct scrape {
    struct loop *loop;
    int fd;
    struct loop_io *io;
    struct loop_timer *pause; /* no descriptor or memory to accept with: the next try */
    scrape_fn *fn;
    void *arg;
    struct conn conns[SCRAPE_CONNS];
};

/* ---- the request ---- */

/* One past the blank line that ends the head; 0: there is none yet. A bare LF ends a line, too (RFC 9112, 2.2). */
static size_t head_end(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (p[i] != '\n')
            continue;
        if (p[i + 1] == '\n')
            return i + 2;
        if (p[i + 1] == '\r' && i + 2 < n && p[i + 2] == '\n')
            return i + 3;
    }
    return 0;
}

/* A word up to the next blank, which must be one of at least one printable character. */
static size_t word(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] > ' ' && p[i] < 0x7f)
        i++;
    return i;
}

static bool is(const uint8_t *p, size_t n, const char *s)
{
    return bytes_equal(BYTES(p, n), BYTES_STR(s));
}

/* "GET /metrics HTTP/1.1", its end of line taken off. */
static int judge_line(const uint8_t *p, size_t n)
{
    size_t method = word(p, n), at = method + 1;
    if (method == 0 || method >= n || p[method] != ' ')
        return 400;
    size_t target = word(p + at, n - at), version = at + target + 1;
    if (target == 0 || at + target >= n || p[at + target] != ' ')
        return 400;
    if (!is(p + version, n - version, "HTTP/1.0") && !is(p + version, n - version, "HTTP/1.1"))
        return 400;
    const uint8_t *query = memchr(p + at, '?', target);
    if (!is(p + at, query ? (size_t)(query - p) - at : target, "/metrics"))
        return 404;
    return is(p, method, "GET") ? 200 : 405;
}

int scrape_judge(const uint8_t *p, size_t n)
{
    if (n > SCRAPE_REQUEST)
        return 431;
    if (head_end(p, n) == 0)
        return n == SCRAPE_REQUEST ? 431 : SCRAPE_MORE;
    const uint8_t *lf = memchr(p, '\n', n);
    size_t line = (size_t)(lf - p);
    return judge_line(p, line > 0 && p[line - 1] == '\r' ? line - 1 : line);
}

/* ---- a connection ---- */

static void conn_end(struct conn *c)
{
    struct scrape *s = c->scrape;
    loop_io_free(c->io);
    loop_timer_free(c->timer);
    error_closep(&c->fd);
    buf_done(&c->out);
    *c = (struct conn){.fd = -1};
    loop_io_set(s->io, EPOLLIN); /* there is room again */
}

static void on_late(void *arg)
{
    conn_end(arg);
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Request";
    }
}

static void compose(struct conn *c, int status)
{
    struct scrape *s = c->scrape;
    struct buf body CLEANUP(buf_done);
    buf_init(&body, SCRAPE_REPLY_MAX);
    buf_init(&c->out, SCRAPE_REPLY_MAX + 512);
    if (status == 200) {
        s->fn(s->arg, &body);
        if (body.failed) { /* half a page would look like counters that are gone */
            buf_reset(&body);
            status = 500;
        }
    }
    if (status != 200)
        buf_addf(&body, "%s; GET /metrics is what there is here\n", reason(status));
    buf_addf(&c->out,
             "HTTP/1.0 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n%s"
             "Content-Length: %zu\r\nConnection: close\r\n\r\n",
             status, reason(status), status == 405 ? "Allow: GET\r\n" : "", body.len);
    buf_add(&c->out, body.p, body.len);
}

static void conn_write(struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && loop_io_set(c->io, EPOLLOUT) == 0)
            return;
        if (n < 0) {
            conn_end(c);
            return;
        }
        c->sent += (size_t)n;
    }
    buf_done(&c->out);
    c->state = STATE_DRAIN;
    if (shutdown(c->fd, SHUT_WR) < 0 || loop_io_set(c->io, EPOLLIN) < 0)
        conn_end(c);
}

static void conn_read(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        conn_end(c);
        return;
    }
    c->n_in += (size_t)n;
    int status = scrape_judge(c->in, c->n_in);
    if (status == SCRAPE_MORE)
        return;
    compose(c, status);
    c->state = STATE_WRITE;
    if (c->out.failed)
        conn_end(c);
    else
        conn_write(c);
}

static void conn_drain(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    c->drained += n > 0 ? (size_t)n : 0;
    if (n <= 0 || c->drained > DRAIN_MAX)
        conn_end(c);
}

static void on_conn(void *arg, uint32_t events)
{
    static void (*const steps[])(struct conn *) = {conn_read, conn_write, conn_drain};
    struct conn *c = arg;
    (void)events; /* an error shows itself in recv() and send() */
    steps[c->state](c);
}

/* ---- the listener ---- */

static struct conn *find_free(struct scrape *s)
{
    for (size_t i = 0; i < SCRAPE_CONNS; i++)
        if (!s->conns[i].scrape)
            return &s->conns[i];
    return NULL;
}

static void on_listen(void *arg, uint32_t events)
{
    struct scrape *s = arg;
    struct conn *c = find_free(s);
    (void)events;
    if (!c) {
        loop_io_set(s->io, 0); /* until one ends */
        return;
    }
    /* cppcheck-suppress nullPointer; accept(2): nobody asks for the peer's address */
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* Short of descriptors, the waiting client would keep the loop spinning. */
        if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) &&
            loop_timer_set(s->pause, PAUSE_MS) == 0)
            loop_io_set(s->io, 0);
        return;
    }
    *c = (struct conn){.scrape = s, .fd = fd};
    if (loop_timer_new(s->loop, on_late, c, &c->timer) < 0 || loop_timer_set(c->timer, SCRAPE_MS) < 0 ||
        loop_io_new(s->loop, fd, EPOLLIN, on_conn, c, &c->io) < 0)
        conn_end(c);
}

static void on_pause(void *arg)
{
    struct scrape *s = arg;
    loop_io_set(s->io, EPOLLIN);
}

static int listen_at(const char *listen_on, int *ret_fd)
{
    struct sockaddr_storage a;
    socklen_t n;
    int yes = 1, room = SEND_ROOM;
    int r = metrics_address(listen_on, &a, &n);
    if (r != 0)
        return r;
    int fd CLEANUP(error_closep) = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0 || /* accepted ones inherit it */
        bind(fd, (const struct sockaddr *)&a, n) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = error_take_fd(&fd);
    return 0;
}

int scrape_new(struct loop *l, const char *listen, scrape_fn *fn, void *arg, struct scrape **ret)
{
    struct scrape *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct scrape){.loop = l, .fd = -1, .fn = fn, .arg = arg};
    int r = listen_at(listen, &s->fd);
    if (r == 0)
        r = loop_timer_new(l, on_pause, s, &s->pause);
    if (r == 0)
        r = loop_io_new(l, s->fd, EPOLLIN, on_listen, s, &s->io);
    if (r != 0) {
        scrape_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void scrape_free(struct scrape *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SCRAPE_CONNS; i++)
        if (s->conns[i].scrape)
            conn_end(&s->conns[i]);
    loop_io_free(s->io);
    loop_timer_free(s->pause);
    error_closep(&s->fd);
    free(s);
}
