/* One epoll loop for one thread: descriptors, timers (timerfd) and signals (signalfd). Callbacks may add and
 * free any source, their own too: freed sources are dead at once and are collected after the round. */
#pragma once

#include "base/error.h"

struct loop;
struct loop_io;
struct loop_timer;
typedef void loop_io_fn(void *arg, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
typedef void loop_fn(void *arg);

int loop_new(struct loop **ret_loop);
void loop_free(struct loop *l); /* frees what is still attached; closes only its own descriptors */
/* Runs until loop_stop(); returns its value, or a negative errno of epoll_wait. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int result);

/* The caller keeps owning fd and frees the source before closing it. */
int loop_io_new(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *arg, struct loop_io **ret_io);
int loop_io_set(struct loop_io *io, uint32_t events);
void loop_io_free(struct loop_io *io);

/* One-shot; set again from the callback to repeat. CLOCK_BOOTTIME, milliseconds from now. */
int loop_timer_new(struct loop *l, loop_fn *fn, void *arg, struct loop_timer **ret_timer);
int loop_timer_set(struct loop_timer *t, uint64_t ms);
int loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* Blocks `signo` in this thread (call before threads start) and calls fn from the loop. */
int loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg);
