/* TCP connect for Modbus TCP. libmodbus has one, but it blocks in the resolver for as long as a dead DNS server
 * pleases, and a bus has to stop within two seconds. */
#include "readers/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "readers/wait.h"

#define RESOLVE_US 60000000 /* longer than any resolver tries: one thread at a time is enough */

int dial_parse(const char *where, char *ret_host, size_t host_size, char *ret_port, size_t port_size)
{
    const char *colon = strrchr(where, ':');
    size_t n = colon ? (size_t)(colon - where) : 0;
    const char *host = where;
    uint64_t port;

    if (n == 0 || str_u64(colon + 1, 1, 65535, &port) < 0)
        return -EINVAL;
    if (host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    } else if (memchr(host, ':', n)) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    if (n == 0)
        return -EINVAL;
    if (n >= host_size || strlen(colon + 1) >= port_size)
        return -ENOBUFS;
    memcpy(ret_host, host, n);
    ret_host[n] = '\0';
    return str_copy(ret_port, port_size, colon + 1);
}

/* Shared by the waiter and the thread that resolves; who leaves last frees it. */
struct lookup {
    atomic_int refs;
    int done; /* eventfd, readable when the thread is through */
    char host[256], port[8];
    struct addrinfo *list; /* NULL once taken */
    atomic_int error;      /* stored after the list, loaded before it */
};

static void lookup_unref(struct lookup *q)
{
    if (atomic_fetch_sub(&q->refs, 1) > 1)
        return;
    if (q->list)
        freeaddrinfo(q->list);
    close(q->done);
    free(q);
}

static void *lookup_run(void *arg)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *q = arg;
    uint64_t one = 1;

    int e = getaddrinfo(q->host, q->port, &hints, &q->list);
    if (e != 0)
        q->list = NULL;
    atomic_store(&q->error, e);
    /* Cannot fail, the counter has room for it; the waiter has a deadline all the same. */
    (void)!write(q->done, &one, sizeof(one));
    lookup_unref(q);
    return NULL;
}

static int lookup_start(const char *host, const char *port, struct lookup **ret_lookup)
{
    struct lookup *q = calloc(1, sizeof(*q));
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (!q)
        return -ENOMEM;
    atomic_init(&q->refs, 2);
    q->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = q->done < 0 ? -errno : 0;
    if (r == 0 && (str_copy(q->host, sizeof(q->host), host) < 0 || str_copy(q->port, sizeof(q->port), port) < 0))
        r = -EINVAL;
    if (r == 0) {
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        r = -pthread_create(&thread, &attr, lookup_run, q);
        pthread_attr_destroy(&attr);
    }
    if (r < 0) {
        error_closep(&q->done);
        free(q);
        return r;
    }
    *ret_lookup = q;
    return 0;
}

/* The resolver's own time-outs reach 20 s and more, so it runs in a thread of its own, which is left behind at a
 * stop: it ends when the resolver does. (getaddrinfo_a(3) does the same, but its threads are hidden from the thread
 * sanitizer.) */
static int resolve_name(const char *host, const char *port, int stop_fd, struct addrinfo **ret_list)
{
    struct lookup *q = NULL;
    int r = lookup_start(host, port, &q);

    if (r < 0)
        return r;
    r = wait_fd(q->done, POLLIN, stop_fd, wait_now_us() + RESOLVE_US);
    if (r > 0 && atomic_load(&q->error) == 0) {
        *ret_list = q->list;
        q->list = NULL;
        r = 0;
    } else if (r >= 0) {
        r = r > 0 ? -EHOSTUNREACH : -ETIMEDOUT;
    }
    lookup_unref(q);
    return r;
}

static int resolve(const char *host, const char *port, int stop_fd, struct addrinfo **ret_list)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};

    if (getaddrinfo(host, port, &hints, ret_list) == 0)
        return 0;
    return resolve_name(host, port, stop_fd, ret_list);
}

static int connect_fd(int fd, const struct addrinfo *a, int64_t deadline_us, int stop_fd)
{
    int e = 0;
    socklen_t len = sizeof(e);

    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    int r = wait_fd(fd, POLLOUT, stop_fd, deadline_us);
    if (r <= 0)
        return r == 0 ? -ETIMEDOUT : r;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 ? -errno : -e;
}

static int connect_one(const struct addrinfo *a, int64_t deadline_us, int stop_fd, int *ret_fd)
{
    int one = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);

    if (fd < 0)
        return -errno;
    int r = connect_fd(fd, a, deadline_us, stop_fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    /* Both only spare time: without them the line works all the same. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    *ret_fd = fd;
    return 0;
}

static bool says_absent(int r)
{
    return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -ENETUNREACH || r == -ENETDOWN ||
           r == -ECONNRESET || r == -EHOSTDOWN || r == -EAGAIN;
}

int dial(const char *host, const char *port, unsigned timeout_ms, int stop_fd, int *ret_fd)
{
    struct addrinfo *list = NULL;
    int r = resolve(host, port, stop_fd, &list);

    if (r == 0) {
        int64_t deadline = wait_now_us() + (int64_t)timeout_ms * 1000;
        r = -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a && r != 0 && r != -ECANCELED; a = a->ai_next)
            r = connect_one(a, deadline, stop_fd, ret_fd);
        freeaddrinfo(list);
    }
    return says_absent(r) ? DIAL_ABSENT : r;
}
