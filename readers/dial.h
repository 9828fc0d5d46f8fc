/* A TCP connection that can be given up: name resolution and connect both end at the stop of a bus. */
#pragma once

#include "base/error.h"

/* "host:port" or "[v6]:port"; host without its brackets, port as text. -EINVAL, -ENOBUFS. */
int dial_parse(const char *where, char *ret_host, size_t host_size, char *ret_port, size_t port_size);
/* Non-blocking, close-on-exec, without delay of small packets; timeout_ms is for the connect alone. DIAL_ABSENT: nobody
 * answers (now). -ECANCELED, -errno. */
enum { DIAL_ABSENT = 1 };
int dial(const char *host, const char *port, unsigned timeout_ms, int stop_fd, int *ret_fd);
