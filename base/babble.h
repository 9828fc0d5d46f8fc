/* Bounds what a peer may send that is of no use to us, where a library reads the socket by itself: libmosquitto takes
 * packets of 256 MiB, keeps messages of QoS 2 that are never released, and calls nobody before a packet is whole. The
 * TCP socket's own counter tells how much it took from the kernel, whatever became of it. */
#pragma once

#include "base/error.h"

struct babble {
    uint64_t used; /* bytes of the input that we know the use of */
    int64_t began; /* clock_ms() */
};

void babble_begin(struct babble *b); /* with each connection */
/* A message with a body of n bytes was of use; the heads of TLS, MQTT and topic around it are counted in. */
void babble_used(struct babble *b, size_t n);
/* True when more than 1 MiB was taken beyond that and some bytes a second for pings. False when the kernel (before 4.1)
 * does not count. */
bool babble_over(const struct babble *b, int sock);
