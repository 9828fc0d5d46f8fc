/* Plain sockets for what curl cannot show: several requests of one connection, other loopback addresses, a peer that
 * reads nothing. */
#pragma once

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* From 127.0.0.`host`. */
static inline int connect_from(unsigned host, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    a = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline int connect_raw(unsigned port)
{
    return connect_from(1, port);
}

static inline void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One whole reply, no byte further; its status. */
static inline int recv_reply(int fd, char ret_body[64])
{
    char head[1024];
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        assert_true(n < sizeof head - 1);
        assert_int_equal(recv(fd, head + n, 1, 0), 1);
        n++;
    }
    head[n] = '\0';
    const char *length = strstr(head, "Content-Length: ");
    assert_non_null(length);
    n = strtoul(length + 16, NULL, 10);
    assert_true(n < 64);
    assert_int_equal(recv(fd, ret_body, n, MSG_WAITALL), (ssize_t)n);
    ret_body[n] = '\0';
    return atoi(head + 9);
}
