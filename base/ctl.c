/* The control socket, both ends. SOCK_SEQPACKET keeps packets whole, so there is no framing to get wrong.
 *
 * A connection lives in one of four states:
 *   WAIT   the request is awaited, for REQUEST_MS
 *   OPEN   the handler has it, until it calls ctl_exit()
 *   DRAIN  the handler is done, answers are still queued, for DRAIN_MS
 *   DEAD   the peer is gone or was dropped, but the handler may still hold the pointer: memory waits for its
 *          ctl_exit(), or for the on_close callback, which always comes from the loop and never out of ctl_out()
 * What the kernel does not take is queued. One text may be of any length, but who still has more than QUEUE_MAX bytes
 * to read when the next text comes is dropped. */
#include "base/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNS_MAX 16
#define PACKET_MAX 32768u /* of an answer; far below the smallest usual socket buffer */
#define QUEUE_MAX (4u << 20)
#define REQUEST_MS 10000
#define DRAIN_MS 10000
#define PAUSE_MS 1000

enum conn_state { CONN_WAIT, CONN_OPEN, CONN_DRAIN, CONN_DEAD };

struct packet {
    struct packet *next;
    size_t n;
    uint8_t data[];
};

struct ctl_conn {
    struct ctl *ctl;
    struct ctl_conn *next;
    enum conn_state state;
    int fd;
    struct loop_io *io;
    struct loop_timer *timer; /* the time limit of WAIT and DRAIN; collects when DEAD */
    struct packet *first, **last;
    size_t queued;
    void (*on_close)(void *arg, struct ctl_conn *c);
    void *on_close_arg;
};

struct ctl {
    struct loop *loop;
    int fd;
    struct loop_io *io;
    struct loop_timer *pause; /* no descriptor or memory to accept with: the next try */
    struct sockaddr_un addr;
    dev_t dev; /* which file is ours, so that ctl_free() unlinks no successor's */
    ino_t ino;
    ctl_fn *fn;
    void *arg;
    struct ctl_conn *conns;
    size_t n_conns;
};

/* Ends the talk with the peer; the memory stays. */
static void conn_shut(struct ctl_conn *c)
{
    loop_io_free(c->io);
    c->io = NULL;
    error_closep(&c->fd);
    while (c->first) {
        struct packet *p = c->first;
        c->first = p->next;
        free(p);
    }
    c->last = &c->first;
    c->queued = 0;
    c->state = CONN_DEAD;
}

static void conn_free(struct ctl_conn *c)
{
    struct ctl_conn **at = &c->ctl->conns;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->ctl->n_conns--;
    conn_shut(c);
    loop_timer_free(c->timer);
    free(c);
}

/* From the loop, with no handler on the stack. */
static void conn_collect(struct ctl_conn *c)
{
    if (c->on_close)
        c->on_close(c->on_close_arg, c);
    conn_free(c);
}

/* The peer of a connection that the handler may hold is gone. */
static void conn_lost(struct ctl_conn *c)
{
    conn_shut(c);
    if (c->on_close)
        loop_timer_set(c->timer, 0); /* cannot fail: the timer's descriptor is open and the value is valid */
}

static void on_conn_timer(void *arg)
{
    struct ctl_conn *c = arg;

    if (c->state == CONN_DEAD)
        conn_collect(c);
    else
        conn_free(c); /* WAIT and DRAIN: nobody holds it */
}

static int queue_packet(struct ctl_conn *c, char kind, const void *p, size_t n)
{
    struct packet *pk;

    pk = malloc(sizeof(*pk) + n + 1);
    if (!pk)
        return -ENOMEM;
    pk->next = NULL;
    pk->n = n + 1;
    pk->data[0] = (uint8_t)kind;
    memcpy(pk->data + 1, p, n);
    *c->last = pk;
    c->last = &pk->next;
    c->queued += pk->n;
    return 0;
}

/* Sends what the kernel takes. */
static int flush(struct ctl_conn *c)
{
    while (c->first) {
        struct packet *p = c->first;
        if (send(c->fd, p->data, p->n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN || errno == ENOBUFS)
                return loop_io_set(c->io, EPOLLIN | EPOLLOUT);
            return -errno;
        }
        c->first = p->next;
        if (!c->first)
            c->last = &c->first;
        c->queued -= p->n;
        free(p);
    }
    return loop_io_set(c->io, EPOLLIN);
}

static int answer(struct ctl_conn *c, char kind, struct bytes text)
{
    int r = c->queued > QUEUE_MAX && kind != 'x' ? -EPIPE : 0;

    if (c->state == CONN_DEAD)
        return -EPIPE;
    for (size_t at = 0; r == 0 && at < text.n; at += PACKET_MAX) {
        size_t n = text.n - at < PACKET_MAX ? text.n - at : PACKET_MAX;
        r = queue_packet(c, kind, text.p + at, n);
        if (r == 0 && (c->queued > PACKET_MAX || at + n == text.n))
            r = flush(c);
    }
    if (r == 0)
        return 0;
    conn_lost(c);
    return -EPIPE;
}

static int answer_v(struct ctl_conn *c, char kind, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static int answer_v(struct ctl_conn *c, char kind, const char *fmt, va_list ap)
{
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);

    if (n < 0) {
        conn_lost(c);
        return -EPIPE;
    }
    int r = answer(c, kind, BYTES(text, (size_t)n));
    free(text);
    return r;
}

int ctl_out(struct ctl_conn *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = answer_v(c, 'o', fmt, ap);
    va_end(ap);
    return r;
}

int ctl_err(struct ctl_conn *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = answer_v(c, 'e', fmt, ap);
    va_end(ap);
    return r;
}

int ctl_out_bytes(struct ctl_conn *c, struct bytes text)
{
    return answer(c, 'o', text);
}

void ctl_exit(struct ctl_conn *c, int code)
{
    uint8_t status = (uint8_t)code;

    c->on_close = NULL;
    if (answer(c, 'x', BYTES(&status, 1)) < 0 || !c->first || loop_timer_set(c->timer, DRAIN_MS) < 0) {
        conn_free(c);
        return;
    }
    c->state = CONN_DRAIN;
}

void ctl_on_close(struct ctl_conn *c, void (*fn)(void *arg, struct ctl_conn *c), void *arg)
{
    c->on_close = fn;
    c->on_close_arg = arg;
    if (c->state == CONN_DEAD) /* it closed while the handler was at work */
        loop_timer_set(c->timer, 0);
}

/* Cuts the packet at its NULs and calls the handler. */
static void request(struct ctl_conn *c, char *text, size_t n)
{
    char *argv[CTL_ARGS_MAX + 1];
    int argc = 0;

    text[n] = '\0';
    for (size_t at = 0; at <= n; at += strlen(text + at) + 1) {
        if (argc == CTL_ARGS_MAX) {
            ctl_err(c, "more than %d arguments\n", CTL_ARGS_MAX);
            ctl_exit(c, 2);
            return;
        }
        argv[argc++] = text + at;
    }
    argv[argc] = NULL;
    c->ctl->fn(c->ctl->arg, c, argc, argv);
}

static void read_request(struct ctl_conn *c)
{
    char *text = malloc(CTL_REQUEST_MAX + 1);
    ssize_t n = text ? recv(c->fd, text, CTL_REQUEST_MAX, MSG_DONTWAIT | MSG_TRUNC) : -1;

    if (text && n < 0 && (errno == EAGAIN || errno == EINTR)) {
        free(text);
        return;
    }
    if (n <= 0) {
        conn_free(c);
    } else {
        c->state = CONN_OPEN;
        loop_timer_stop(c->timer);
        if ((size_t)n > CTL_REQUEST_MAX) {
            ctl_err(c, "a request has at most %u bytes\n", CTL_REQUEST_MAX);
            ctl_exit(c, 2);
        } else {
            request(c, text, (size_t)n);
        }
    }
    if (text)
        explicit_bzero(text, CTL_REQUEST_MAX);
    free(text);
}

static void on_conn(void *arg, uint32_t events)
{
    struct ctl_conn *c = arg;
    int r = 0;

    if (c->state == CONN_WAIT) {
        read_request(c);
        return;
    }
    if (events & EPOLLOUT)
        r = flush(c);
    if (r == 0 && c->state == CONN_DRAIN && !c->first) {
        conn_free(c);
        return;
    }
    /* A peer says one thing only: whatever comes after its request ends the talk, as its leaving does. */
    if (r == 0 && !(events & (uint32_t)~EPOLLOUT))
        return;
    if (c->state == CONN_DRAIN) {
        conn_free(c);
        return;
    }
    conn_shut(c);
    if (c->on_close)
        conn_collect(c);
}

static void refuse(int fd, const char *why)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "e%s\n", why);

    /* Best effort: the buffer of a socket that was just accepted is empty, and there is nobody else to tell. */
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        (void)!send(fd, "x\1", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_listen(void *arg, uint32_t events)
{
    struct ctl *ctl = arg;
    /* cppcheck-suppress nullPointer; accept(2): nobody asks for the peer's address */
    int fd CLEANUP(error_closep) = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        /* Short of descriptors, the waiting client would keep the loop spinning. */
        if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) &&
            loop_timer_set(ctl->pause, PAUSE_MS) == 0)
            loop_io_set(ctl->io, 0);
        return;
    }
    if (ctl->n_conns == CONNS_MAX) {
        refuse(fd, "the daemon is talking to too many others; try again");
        return;
    }
    struct ctl_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return;
    *c = (struct ctl_conn){.ctl = ctl, .next = ctl->conns, .fd = error_take_fd(&fd), .last = &c->first};
    ctl->conns = c;
    ctl->n_conns++;
    if (loop_timer_new(ctl->loop, on_conn_timer, c, &c->timer) < 0 || loop_timer_set(c->timer, REQUEST_MS) < 0 ||
        loop_io_new(ctl->loop, c->fd, EPOLLIN, on_conn, c, &c->io) < 0)
        conn_free(c);
}

static void on_pause(void *arg)
{
    struct ctl *ctl = arg;
    loop_io_set(ctl->io, EPOLLIN);
}

static int address(const char *path, struct sockaddr_un *ret_addr)
{
    if (strlen(path) >= sizeof(ret_addr->sun_path))
        return -ENAMETOOLONG;
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_addr->sun_path, path, strlen(path));
    return 0;
}

/* A socket that nobody listens on is left over from a daemon that was killed. */
static int clear_stale(const struct sockaddr_un *addr)
{
    struct stat st;
    int fd CLEANUP(error_closep) = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
        return -EADDRINUSE;
    if (errno != ECONNREFUSED)
        return -errno;
    return unlink(addr->sun_path) < 0 ? -errno : 0;
}

static int listen_at(struct ctl *c, unsigned mode)
{
    struct stat st;
    int r = clear_stale(&c->addr);

    if (r < 0)
        return r;
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || bind(c->fd, (const struct sockaddr *)&c->addr, sizeof(c->addr)) < 0)
        return -errno;
    /* Until listen() nobody gets in, so the mode that bind() gave does not matter. */
    if (lstat(c->addr.sun_path, &st) < 0 || chmod(c->addr.sun_path, (mode_t)mode) < 0 || listen(c->fd, CONNS_MAX) < 0) {
        r = -errno;
        unlink(c->addr.sun_path);
        return r;
    }
    c->dev = st.st_dev;
    c->ino = st.st_ino;
    return 0;
}

int ctl_listen(struct loop *l, const char *path, unsigned mode, ctl_fn *fn, void *arg, struct ctl **ret_ctl)
{
    struct ctl *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    *c = (struct ctl){.loop = l, .fd = -1, .fn = fn, .arg = arg};
    int r = address(path, &c->addr);
    if (r == 0)
        r = listen_at(c, mode);
    if (r == 0)
        r = loop_timer_new(l, on_pause, c, &c->pause);
    if (r == 0)
        r = loop_io_new(l, c->fd, EPOLLIN, on_listen, c, &c->io);
    if (r < 0) {
        ctl_free(c);
        return r;
    }
    *ret_ctl = c;
    return 0;
}

void ctl_free(struct ctl *c)
{
    struct stat st;

    if (!c)
        return;
    for (struct ctl_conn *conn = c->conns, *next; conn; conn = next) {
        next = conn->next;
        conn_free(conn);
    }
    loop_io_free(c->io);
    loop_timer_free(c->pause);
    if (c->ino && lstat(c->addr.sun_path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
        unlink(c->addr.sun_path);
    error_closep(&c->fd);
    free(c);
}

static int send_request(int fd, int argc, char *const *argv)
{
    struct buf b CLEANUP(buf_done);
    int size = 2 * (int)CTL_REQUEST_MAX;

    buf_init(&b, CTL_REQUEST_MAX);
    for (int i = 0; i < argc; i++)
        buf_add(&b, argv[i], strlen(argv[i]) + 1);
    if (b.failed || argc > CTL_ARGS_MAX)
        return -E2BIG;
    if (b.len < 2) /* the last NUL is not sent, and an empty packet would look like the end */
        return -EINVAL;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* the default is enough almost everywhere */
    while (send(fd, b.p, b.len - 1, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int print(FILE *f, const uint8_t *p, size_t n)
{
    if (fwrite(p, 1, n, f) != n || fflush(f) != 0)
        return errno ? -errno : -EIO;
    return 0;
}

/* One packet; `out` NULL: print it. 1: that was the end. */
static int receive(int fd, uint8_t *p, struct buf *out, int *ret_code)
{
    ssize_t n = recv(fd, p, PACKET_MAX + 1, MSG_TRUNC);

    /* A daemon that closes before it has read our request resets the connection; what it said waits behind that. */
    if (n < 0)
        return errno == EINTR || errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET; /* the daemon went away before it had said its last word */
    if ((size_t)n > PACKET_MAX + 1)
        return -EPROTO;
    if (p[0] == 'o' && out)
        return buf_add(out, p + 1, (size_t)n - 1);
    if (p[0] == 'o' || p[0] == 'e')
        return print(p[0] == 'o' ? stdout : stderr, p + 1, (size_t)n - 1);
    if (p[0] != 'x' || n != 2)
        return -EPROTO;
    *ret_code = p[1];
    return 1;
}

int ctl_call(const char *path, int argc, char *const *argv, int *ret_code)
{
    return ctl_ask(path, argc, argv, NULL, ret_code);
}

int ctl_ask(const char *path, int argc, char *const *argv, struct buf *ret_out, int *ret_code)
{
    struct sockaddr_un addr;
    int fd CLEANUP(error_closep) = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int r = address(path, &addr);
    if (r < 0)
        return r;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return errno == ENOENT || errno == ECONNREFUSED ? CTL_ABSENT : -errno;
    r = send_request(fd, argc, argv);
    if (r == -EPIPE) /* refused; it has said why */
        r = 0;
    uint8_t *p = malloc(PACKET_MAX + 1);
    if (r == 0 && !p)
        r = -ENOMEM;
    while (r == 0)
        r = receive(fd, p, ret_out, ret_code);
    free(p);
    return r < 0 ? r : 0;
}
