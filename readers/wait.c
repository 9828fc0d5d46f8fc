#include "readers/wait.h"

#include <poll.h>
#include <time.h>

int64_t wait_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int wait_fd(int fd, short events, int stop_fd, int64_t deadline_us)
{
    struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = stop_fd, .events = POLLIN}};

    for (;;) {
        int64_t left = deadline_us - wait_now_us();
        struct timespec ts = {.tv_sec = left > 0 ? left / 1000000 : 0, .tv_nsec = left > 0 ? left % 1000000 * 1000 : 0};
        int n = ppoll(p, 2, &ts, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (p[1].revents)
            return -ECANCELED;
        if (p[0].revents)
            return (unsigned short)p[0].revents;
        if (n == 0)
            return 0;
    }
}
