/* GET /metrics on a loopback address, on the gateway's loop: HTTP/1.0, one request a connection, and no library,
 * because one that does more would cost this small machine more memory than the daemon itself. It never blocks and
 * never holds up a punch: at most SCRAPE_CONNS connections (more wait in the kernel), SCRAPE_MS for each,
 * SCRAPE_REQUEST bytes of request. */
#pragma once

#include "base/buf.h"
#include "base/loop.h"

#define SCRAPE_CONNS 4
#define SCRAPE_MS 2000
#define SCRAPE_REQUEST 1024
#define SCRAPE_REPLY_MAX (256u << 10)

struct scrape;
/* Fills `ret` (at most SCRAPE_REPLY_MAX) with what /metrics shows. */
typedef void scrape_fn(void *arg, struct buf *ret);
/* `listen` as metrics_address() takes it. */
int scrape_new(struct loop *l, const char *listen, scrape_fn *fn, void *arg, struct scrape **ret);
void scrape_free(struct scrape *s); /* takes NULL */

/* What is to be answered to the bytes that came so far: an HTTP status, or SCRAPE_MORE. */
#define SCRAPE_MORE 0
int scrape_judge(const uint8_t *p, size_t n);
