/* The daemon's end of a control socket, with a real one: the first byte says how the client behaves, the rest is its
 * request. Whatever it sends, the handler sees at most CTL_ARGS_MAX strings that make up the packet, or is not called;
 * the client gets an exit code or the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct loop_timer *timer;
static struct ctl *ctl;
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static struct bytes sent;

static void on_request(void *arg, struct ctl_conn *c, int argc, char **argv)
{
    size_t at = 0;
    (void)arg;
    ASSERT(argc >= 1 && argc <= CTL_ARGS_MAX && argv[argc] == NULL);
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]);
        ASSERT(at + n <= sent.n && memcmp(argv[i], sent.p + at, n) == 0);
        at += n + 1;
    }
    ASSERT(at == sent.n + 1);
    (void)ctl_out(c, "%d\n", argc);
    ctl_exit(c, argc);
}

static void remove_socket(void)
{
    ctl_free(ctl);
}

static void on_timer(void *arg)
{
    (void)arg;
    loop_stop(loop, 0);
}

/* A request that lies there still must not meet the next one's expectations: accepted, read, closed. */
static void settle(void)
{
    for (int i = 0; i < 3; i++)
        if (loop_timer_set(timer, 0) == 0)
            (void)loop_run(loop);
}

static bool ready(void)
{
    if (loop != NULL)
        return true;
    snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/punch-fuzz-ctl.%d", (int)getpid());
    return loop_new(&loop) == 0 && loop_timer_new(loop, on_timer, NULL, &timer) == 0 &&
           ctl_listen(loop, addr.sun_path, 0600, on_request, NULL, &ctl) == 0 && atexit(remove_socket) == 0;
}

/* Until the exit code or the end of the connection. */
static void on_answer(void *arg, uint32_t events)
{
    static char answer[40000];
    ssize_t n = recv(*(const int *)arg, answer, sizeof answer, MSG_DONTWAIT);
    (void)events;
    if (n <= 0 || answer[0] == 'x')
        loop_stop(loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loop_io *io = NULL;
    if (size < 1 || size > CTL_REQUEST_MAX + 2 || !ready())
        return 0;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    sent = BYTES(data + 1, size - 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) {
        (void)send(fd, sent.p, sent.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (data[0] % 4 == 1)
            (void)send(fd, sent.p, sent.n, MSG_NOSIGNAL | MSG_DONTWAIT); /* nobody asked for a second one */
        if (data[0] % 4 >= 2 || sent.n == 0)
            shutdown(fd, data[0] % 4 == 3 ? SHUT_RDWR : SHUT_WR);
        if (loop_io_new(loop, fd, EPOLLIN, on_answer, &fd, &io) == 0)
            (void)loop_run(loop);
        loop_io_free(io);
        settle();
    }
    close(fd);
    return 0;
}
