#include "base/babble.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"

#define UNUSED_MAX (1u << 20) /* a handshake takes some thousand */
#define PER_MESSAGE 256       /* heads of MQTT and topic */
#define TLS_SHARE 128         /* one byte of so many is a head of TLS */
#define PER_SECOND 64         /* answers to pings */

void babble_begin(struct babble *b)
{
    *b = (struct babble){.began = clock_ms()};
}

void babble_used(struct babble *b, size_t n)
{
    b->used += PER_MESSAGE + n + n / TLS_SHARE;
}

bool babble_over(const struct babble *b, int sock)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    int waiting = 0;
    if (getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 || ioctl(sock, FIONREAD, &waiting) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return false;
    /* What still waits in the kernel is bounded by the kernel, and may be of use yet. */
    return info.tcpi_bytes_received >
           b->used + UNUSED_MAX + (uint64_t)waiting + (uint64_t)(clock_ms() - b->began) / 1000 * PER_SECOND;
}
