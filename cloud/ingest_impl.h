/* Ingest without its threads, for ingest.c itself and for tests, which play the broker. */
#pragma once

#include "base/buf.h"
#include "cloud/ingest.h"

typedef void ingest_publish_fn(void *arg, const char *topic, struct bytes payload);
int ingest_new(struct cloud *c, ingest_publish_fn *publish, void *arg, struct ingest **ret_ingest);
void ingest_free(struct ingest *in);
/* A message from the broker; copied; dropped and counted when the queue is full. Thread-safe. */
void ingest_put(struct ingest *in, const char *topic, struct bytes payload);
/* Waits up to ms for a message, then takes what is there, commits it and publishes the acks. 0, or the reason why
 * nothing of the batch was committed. */
int ingest_step(struct ingest *in, unsigned ms);
/* Boots that never knew the time, erasures that are not finished; ingest_start()'s thread does it every minute. */
int ingest_sweep(struct ingest *in, int64_t now);
