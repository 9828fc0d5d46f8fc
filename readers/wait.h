/* Waiting in a worker thread: for a descriptor or a time, and always for the stop of the bus as well. */
#pragma once

#include "base/error.h"

/* CLOCK_MONOTONIC in microseconds: silences on a line are shorter than a millisecond. */
int64_t wait_now_us(void);

/* Waits until `fd` (-1: none) has `events` or an error, until deadline_us, or until stop_fd (-1: none) is readable.
 * > 0: the poll(2) events of fd; 0: the time is over; -ECANCELED: stop; -errno. */
int wait_fd(int fd, short events, int stop_fd, int64_t deadline_us);
