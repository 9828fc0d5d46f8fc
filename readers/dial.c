/* TCP connect for Modbus TCP. libmodbus has one, but it blocks in the resolver for as long as a dead DNS server
 * pleases, and a bus has to stop within two seconds. */
#include "readers/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "readers/wait.h"

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

/* What the resolver works on while nobody may be waiting any more; then it stays with the resolver. */
struct lookup {
    struct gaicb cb;
    struct addrinfo hints;
    char host[256], port[8];
};

/* The resolver's own time-outs reach 20 s and more, so it runs in a thread of glibc's. A lookup that cannot be
 * cancelled at a stop is left to it: some 500 bytes, at the end of the process. */
static int resolve_name(const struct addrinfo *hints, const char *host, const char *port, int64_t deadline_us,
                        int stop_fd, struct addrinfo **ret_list)
{
    struct lookup *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    if (str_copy(q->host, sizeof(q->host), host) < 0 || str_copy(q->port, sizeof(q->port), port) < 0) {
        free(q);
        return -EINVAL;
    }
    q->hints = *hints;
    q->cb = (struct gaicb){.ar_name = q->host, .ar_service = q->port, .ar_request = &q->hints};
    struct gaicb *list[1] = {&q->cb};
    if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) != 0) {
        free(q);
        return -EAGAIN;
    }
    int r = 0;
    while (r == 0 && gai_error(&q->cb) == EAI_INPROGRESS) {
        int64_t step = wait_now_us() + 20000;
        r = wait_fd(-1, 0, stop_fd, step);
        if (r == 0 && step > deadline_us)
            r = -ETIMEDOUT;
    }
    if (r < 0 && gai_cancel(&q->cb) == EAI_NOTCANCELED)
        return r;
    if (r == 0 && gai_error(&q->cb) == 0)
        *ret_list = q->cb.ar_result;
    else if (r == 0)
        r = -EHOSTUNREACH;
    else if (q->cb.ar_result)
        freeaddrinfo(q->cb.ar_result); /* it came as we gave up */
    free(q);
    return r;
}

static int resolve(const char *host, const char *port, int64_t deadline_us, int stop_fd, struct addrinfo **ret_list)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};

    if (getaddrinfo(host, port, &hints, ret_list) == 0)
        return 0;
    hints.ai_flags = 0;
    return resolve_name(&hints, host, port, deadline_us, stop_fd, ret_list);
}

static int connect_one(const struct addrinfo *a, int64_t deadline_us, int stop_fd, int *ret_fd)
{
    int fd CLEANUP(error_closep) = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    int one = 1, e = 0;
    socklen_t len = sizeof(e);

    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        int r = wait_fd(fd, POLLOUT, stop_fd, deadline_us);
        if (r <= 0)
            return r == 0 ? -ETIMEDOUT : r;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
            return -errno;
        if (e != 0)
            return -e;
    }
    /* Both only spare time: without them the line works all the same. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static bool says_absent(int r)
{
    return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -ENETUNREACH || r == -ENETDOWN ||
           r == -ECONNRESET || r == -EHOSTDOWN || r == -EAGAIN;
}

int dial(const char *host, const char *port, unsigned timeout_ms, int stop_fd, int *ret_fd)
{
    int64_t deadline = wait_now_us() + (int64_t)timeout_ms * 1000;
    struct addrinfo *list = NULL;
    int r = resolve(host, port, deadline, stop_fd, &list);

    if (r == 0) {
        r = -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a && r != 0 && r != -ECANCELED; a = a->ai_next)
            r = connect_one(a, deadline, stop_fd, ret_fd);
        freeaddrinfo(list);
    }
    return says_absent(r) ? DIAL_ABSENT : r;
}
