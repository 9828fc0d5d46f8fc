#include "api/http_listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

/* Descriptors beside the connections: the store's, the broker's, the control socket's. */
#define OTHER_FDS 512

/* "host:port" or "[v6]:port", both parts mandatory. */
static int split_listen(const char *listen, char host[256], char port[8])
{
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen)
        return -EINVAL;
    size_t n = (size_t)(colon - listen);
    const char *from = listen;
    if (from[0] == '[') {
        if (from[n - 1] != ']' || n < 3)
            return -EINVAL;
        from++;
        n -= 2;
    }
    uint64_t v = 0;
    if (n >= 256 || str_u64(colon + 1, 0, 65535, &v) < 0)
        return -EINVAL;
    memcpy(host, from, n);
    host[n] = '\0';
    snprintf(port, 8, "%u", (unsigned)v);
    return 0;
}

static int listen_on(const struct addrinfo *ai, int *ret_fd, unsigned *ret_port)
{
    int one = 1, r = 0;
    struct sockaddr_storage ss = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    socklen_t len = sizeof ss;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
        listen(fd, 256) < 0 || getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    memcpy(&v4, &ss, sizeof v4);
    memcpy(&v6, &ss, sizeof v6);
    *ret_port = ntohs(ss.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
    *ret_fd = fd;
    return 0;
}

int http_listen(const char *listen, int *ret_fd, unsigned *ret_port)
{
    char host[256], port[8];
    int r = split_listen(listen, host, port);
    if (r < 0)
        return r;
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    r = -EADDRNOTAVAIL;
    for (const struct addrinfo *ai = list; ai && r < 0; ai = ai->ai_next)
        r = listen_on(ai, ret_fd, ret_port);
    freeaddrinfo(list);
    return r;
}

int http_descriptors(unsigned connections)
{
    struct rlimit l;
    const rlim_t want = connections + OTHER_FDS;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return -errno;
    if (l.rlim_cur >= want)
        return 0;
    l.rlim_cur = want;
    if (want <= l.rlim_max && setrlimit(RLIMIT_NOFILE, &l) == 0)
        return 0;
    log_error("http.descriptors", "connections=%u needed=%llu allowed=%llu hint=LimitNOFILE", connections,
              (unsigned long long)want, (unsigned long long)l.rlim_max);
    return -EMFILE;
}
