/* A bounded queue of fixed-size items between threads: many pushers, one popper. Its descriptor is readable
 * while items wait, so an epoll loop can own the popping end. Items are copied; what they point to changes
 * owner with the item. */
#pragma once

#include "base/error.h"

struct queue;
enum { QUEUE_EMPTY = 1, QUEUE_FULL = 2, QUEUE_CLOSED = 3 };

int queue_new(size_t item_size, size_t max, struct queue **ret_q);
void queue_free(struct queue *q);
int queue_push(struct queue *q, const void *item);                   /* QUEUE_FULL, QUEUE_CLOSED */
int queue_push_wait(struct queue *q, const void *item, unsigned ms); /* waits for room; QUEUE_FULL after ms */
int queue_pop(struct queue *q, void *ret_item);                      /* QUEUE_EMPTY */
int queue_pop_wait(struct queue *q, void *ret_item,
                   unsigned ms); /* QUEUE_EMPTY after ms, QUEUE_CLOSED when closed and empty */
/* Later pushes return QUEUE_CLOSED; waiters wake. Items already in stay poppable. */
void queue_close(struct queue *q);
size_t queue_len(struct queue *q);
int queue_fd(const struct queue *q); /* owned by the queue */
