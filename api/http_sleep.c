#include "api/http_sleep.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define ROUND_MS 20      /* from one round to the next */
#define LONGEST_MS 60000 /* until it looks again, when nobody sleeps */

struct sleepers {
    pthread_mutex_t lock; /* of everything here */
    pthread_cond_t changed;
    pthread_t thread;
    void (*wake)(struct sleeper *s);
    struct sleeper *first;
    uint64_t woken;
    bool closing;
};

/* Takes out who is to be woken now; *ret_due: when the next one is. */
static struct sleeper *take_due(struct sleepers *p, int64_t *ret_due)
{
    struct sleeper *due = NULL;
    int64_t now = clock_ms(), next = now + LONGEST_MS;
    for (struct sleeper **at = &p->first; *at;) {
        struct sleeper *s = *at;
        if (p->closing || s->seen != p->woken || s->due <= now) {
            *at = s->next;
            s->next = due;
            due = s;
        } else {
            next = s->due < next ? s->due : next;
            at = &s->next;
        }
    }
    *ret_due = next;
    return due;
}

static void wait_until(struct sleepers *p, int64_t ms)
{
    const struct timespec at = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    pthread_cond_timedwait(&p->changed, &p->lock, &at);
}

static void *run(void *arg)
{
    struct sleepers *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        int64_t next = 0;
        struct sleeper *due = take_due(p, &next);
        if (!due && p->closing)
            break;
        if (!due) {
            wait_until(p, next);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        for (struct sleeper *s = due, *after; s; s = after) {
            after = s->next; /* awake, it is its owner's */
            p->wake(s);
        }
        const struct timespec pause = {.tv_nsec = ROUND_MS * 1000000L};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int sleepers_new(void (*wake)(struct sleeper *s), struct sleepers **ret_sleepers)
{
    pthread_condattr_t attr;
    struct sleepers *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->wake = wake;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &attr);
    pthread_condattr_destroy(&attr);
    int r = -pthread_create(&p->thread, NULL, run, p);
    if (r != 0) {
        p->closing = true;
        sleepers_free(p);
        return r;
    }
    *ret_sleepers = p;
    return 0;
}

uint64_t sleepers_seen(struct sleepers *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t seen = p->woken;
    pthread_mutex_unlock(&p->lock);
    return seen;
}

bool sleepers_add(struct sleepers *p, struct sleeper *s, uint64_t seen, uint64_t ms)
{
    pthread_mutex_lock(&p->lock);
    bool ok = !p->closing;
    if (ok) {
        s->seen = seen;
        s->due = clock_ms() + (int64_t)ms;
        s->next = p->first;
        p->first = s;
        pthread_cond_signal(&p->changed); /* it may be due before all others */
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void sleepers_wake(struct sleepers *p)
{
    pthread_mutex_lock(&p->lock);
    p->woken++;
    if (p->first)
        pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void sleepers_close(struct sleepers *p)
{
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
}

void sleepers_free(struct sleepers *p)
{
    if (!p)
        return;
    ASSERT(p->closing && !p->first);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
