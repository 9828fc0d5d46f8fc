/* The event loop. Sources are level-triggered epoll entries whose data pointer is the source itself. A freed source
 * may still stand in the array that epoll_wait filled, so freeing only marks it dead and takes it out of epoll; the
 * memory goes at the end of the round. Timers are a timerfd each (a daemon here has a few dozen), signals a signalfd
 * each. */
#include "base/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ROUND_EVENTS 32

struct loop_io {
    struct loop *loop;
    struct loop_io *next;
    int fd;
    bool own_fd; /* timer and signal descriptors are ours */
    bool dead;
    loop_io_fn *fn;
    void *arg;
};

struct loop_timer {
    struct loop_io *io;
    loop_fn *fn;
    void *arg;
    struct loop_timer *next; /* while freed and waiting for collection */
};

struct signal_source {
    loop_fn *fn;
    void *arg;
    int fd;
    struct signal_source *next;
};

struct loop {
    int epoll;
    struct loop_io *ios;
    struct loop_timer *dead_timers;
    struct signal_source *signals;
    bool stopping;
    int result;
};

int loop_new(struct loop **ret_loop)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        int r = -errno;
        free(l);
        return r;
    }
    *ret_loop = l;
    return 0;
}

static void io_kill(struct loop_io *io)
{
    if (io->dead)
        return;
    io->dead = true;
    epoll_ctl(io->loop->epoll, EPOLL_CTL_DEL, io->fd, NULL);
    if (io->own_fd)
        close(io->fd);
    io->fd = -1;
}

static void on_timer(void *arg, uint32_t events);

static void collect(struct loop *l, bool all)
{
    for (struct loop_io **at = &l->ios; *at != NULL;) {
        struct loop_io *io = *at;
        if (all && !io->dead) {
            io_kill(io);
            if (io->fn == on_timer) /* nobody freed it: it goes with the loop */
                free(io->arg);
        }
        if (!io->dead) {
            at = &io->next;
            continue;
        }
        *at = io->next;
        free(io);
    }
    while (l->dead_timers != NULL) {
        struct loop_timer *t = l->dead_timers;
        l->dead_timers = t->next;
        free(t);
    }
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    collect(l, true);
    while (l->signals != NULL) {
        struct signal_source *s = l->signals;
        l->signals = s->next;
        free(s);
    }
    close(l->epoll);
    free(l);
}

int loop_run(struct loop *l)
{
    struct epoll_event events[ROUND_EVENTS];
    l->stopping = false;
    while (!l->stopping) {
        int n = epoll_wait(l->epoll, events, ROUND_EVENTS, -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct loop_io *io = events[i].data.ptr;
            if (!io->dead)
                io->fn(io->arg, events[i].events);
        }
        collect(l, false);
    }
    return l->result;
}

void loop_stop(struct loop *l, int result)
{
    l->stopping = true;
    l->result = result;
}

static int io_new(struct loop *l, int fd, bool own_fd, uint32_t events, loop_io_fn *fn, void *arg,
                  struct loop_io **ret_io)
{
    struct loop_io *io = calloc(1, sizeof *io);
    if (io == NULL)
        return -ENOMEM;
    *io = (struct loop_io){.loop = l, .fd = fd, .own_fd = own_fd, .fn = fn, .arg = arg, .next = l->ios};
    struct epoll_event ev = {.events = events, .data.ptr = io};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
        int r = -errno;
        free(io);
        return r;
    }
    l->ios = io;
    *ret_io = io;
    return 0;
}

int loop_io_new(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *arg, struct loop_io **ret_io)
{
    return io_new(l, fd, false, events, fn, arg, ret_io);
}

int loop_io_set(struct loop_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};
    return epoll_ctl(io->loop->epoll, EPOLL_CTL_MOD, io->fd, &ev) < 0 ? -errno : 0;
}

void loop_io_free(struct loop_io *io)
{
    if (io != NULL)
        io_kill(io);
}

static void on_timer(void *arg, uint32_t events)
{
    struct loop_timer *t = arg;
    uint64_t count;
    (void)events;
    if (read(t->io->fd, &count, sizeof count) != sizeof count)
        return; /* stopped or set anew between expiry and here */
    t->fn(t->arg);
}

int loop_timer_new(struct loop *l, loop_fn *fn, void *arg, struct loop_timer **ret_timer)
{
    struct loop_timer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    int fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    int r = fd < 0 ? -errno : io_new(l, fd, true, EPOLLIN, on_timer, t, &t->io);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        free(t);
        return r;
    }
    t->fn = fn;
    t->arg = arg;
    *ret_timer = t;
    return 0;
}

static int timer_program(struct loop_timer *t, uint64_t ms, bool arm)
{
    struct itimerspec at = {0};
    if (arm) {
        at.it_value.tv_sec = (time_t)(ms / 1000);
        at.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
        if (ms == 0)
            at.it_value.tv_nsec = 1; /* zero would disarm */
    }
    return timerfd_settime(t->io->fd, 0, &at, NULL) < 0 ? -errno : 0;
}

int loop_timer_set(struct loop_timer *t, uint64_t ms)
{
    return timer_program(t, ms, true);
}

int loop_timer_stop(struct loop_timer *t)
{
    return timer_program(t, 0, false);
}

void loop_timer_free(struct loop_timer *t)
{
    if (t == NULL)
        return;
    struct loop *l = t->io->loop;
    io_kill(t->io);
    t->next = l->dead_timers;
    l->dead_timers = t;
}

static void on_signal(void *arg, uint32_t events)
{
    struct signal_source *s = arg;
    struct signalfd_siginfo info;
    (void)events;
    if (read(s->fd, &info, sizeof info) == sizeof info)
        s->fn(s->arg);
}

int loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
    sigset_t set;
    struct loop_io *io;
    struct signal_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    sigemptyset(&set);
    sigaddset(&set, signo);
    int r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = -1;
    if (r == 0) {
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        r = fd < 0 ? -errno : io_new(l, fd, true, EPOLLIN, on_signal, s, &io);
    }
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        free(s);
        return r;
    }
    *s = (struct signal_source){.fn = fn, .arg = arg, .fd = fd, .next = l->signals};
    l->signals = s;
    return 0;
}
