/* Streams that have nothing to say for now: who sleeps is woken when there may be something, or when its time has come.
 * One thread wakes them, all in one round and rounds apart from each other, so that a thousand commits a second do not
 * wake each stream a thousand times. All functions are thread-safe. */
#pragma once

#include "base/error.h"

/* Embedded by its owner. */
struct sleeper {
    struct sleeper *next;
    uint64_t seen;
    int64_t due; /* clock_ms() */
};

struct sleepers;
/* `wake` is called on a thread of their own, once for each time that one fell asleep. */
int sleepers_new(void (*wake)(struct sleeper *s), struct sleepers **ret_sleepers);
/* How often they were woken. Who will sleep asks before he looks whether there is something: what comes between the
 * look and the sleep then wakes him all the same. */
uint64_t sleepers_seen(struct sleepers *p);
/* False: they are closed, and it does not sleep. */
bool sleepers_add(struct sleepers *p, struct sleeper *s, uint64_t seen, uint64_t ms);
void sleepers_wake(struct sleepers *p); /* cheap, and never waits for a stream */
/* Wakes all; nobody sleeps any more. */
void sleepers_close(struct sleepers *p);
void sleepers_free(struct sleepers *p); /* closed; takes NULL */
