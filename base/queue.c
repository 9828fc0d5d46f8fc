/* A ring under a mutex. The eventfd's counter mirrors "not empty": written on the first item, read on the last. */
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint8_t *items;
    size_t item_size, max, head, len;
    bool closed;
    int event;
};

int queue_new(size_t item_size, size_t max, struct queue **ret_q)
{
    ASSERT(item_size > 0 && max > 0);
    pthread_condattr_t attr;
    struct queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    q->item_size = item_size;
    q->max = max;
    q->items = calloc(max, item_size);
    q->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->items == NULL || q->event < 0) {
        int r = q->items == NULL ? -ENOMEM : -errno;
        if (q->event >= 0)
            close(q->event);
        free(q->items);
        free(q);
        return r;
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->changed, &attr);
    pthread_condattr_destroy(&attr);
    *ret_q = q;
    return 0;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    explicit_bzero(q->items, q->max * q->item_size); /* sights carry credentials */
    free(q->items);
    close(q->event);
    free(q);
}

static struct timespec deadline_in(unsigned ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

static void event_set(struct queue *q)
{
    uint64_t one = 1;
    ssize_t n = write(q->event, &one, sizeof one);
    ASSERT(n == sizeof one);
}

static void event_clear(struct queue *q)
{
    uint64_t count;
    ssize_t n = read(q->event, &count, sizeof count);
    ASSERT(n == sizeof count);
}

int queue_push_wait(struct queue *q, const void *item, unsigned ms)
{
    struct timespec until = deadline_in(ms);
    int r = 0;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->len == q->max && ms > 0)
        if (pthread_cond_timedwait(&q->changed, &q->lock, &until) == ETIMEDOUT)
            break;
    if (q->closed) {
        r = QUEUE_CLOSED;
    } else if (q->len == q->max) {
        r = QUEUE_FULL;
    } else {
        memcpy(q->items + (q->head + q->len) % q->max * q->item_size, item, q->item_size);
        if (q->len++ == 0)
            event_set(q);
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

int queue_push(struct queue *q, const void *item)
{
    return queue_push_wait(q, item, 0);
}

int queue_pop_wait(struct queue *q, void *ret_item, unsigned ms)
{
    struct timespec until = deadline_in(ms);
    int r = 0;
    pthread_mutex_lock(&q->lock);
    while (q->len == 0 && !q->closed && ms > 0)
        if (pthread_cond_timedwait(&q->changed, &q->lock, &until) == ETIMEDOUT)
            break;
    if (q->len == 0) {
        r = q->closed ? QUEUE_CLOSED : QUEUE_EMPTY;
    } else {
        uint8_t *slot = q->items + q->head * q->item_size;
        memcpy(ret_item, slot, q->item_size);
        explicit_bzero(slot, q->item_size);
        q->head = (q->head + 1) % q->max;
        if (--q->len == 0)
            event_clear(q);
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

int queue_pop(struct queue *q, void *ret_item)
{
    int r = queue_pop_wait(q, ret_item, 0);
    return r == QUEUE_CLOSED ? QUEUE_EMPTY : r;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_len(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->len;
    pthread_mutex_unlock(&q->lock);
    return n;
}

int queue_fd(const struct queue *q)
{
    return q->event;
}
