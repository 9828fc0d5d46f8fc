/* A thread for each question, detached: it is left alone when its time is over, and ends when the resolver's is. */
#include "cloud/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define RESOLVE_S 10
#define OPEN_MAX 32 /* questions */

struct question {
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t answered;
    unsigned holders; /* who asked, and who asks for him */
    bool done;
    int r;
    struct resolved found;
    char host[256];
};

static atomic_uint open_now;

static void let_go(struct question *q)
{
    pthread_mutex_lock(&q->lock);
    bool last = --q->holders == 0;
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
    atomic_fetch_sub(&open_now, 1);
}

static void *ask(void *arg)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct question *q = arg;
    struct addrinfo *list = NULL;
    struct resolved found = {0};
    int r = getaddrinfo(q->host, NULL, &hints, &list);
    for (const struct addrinfo *a = r == 0 ? list : NULL; a && found.n < RESOLVE_MAX; a = a->ai_next)
        if (address_of(a->ai_addr, a->ai_addrlen, &found.items[found.n]) == 0)
            found.n++;
    if (r == 0)
        freeaddrinfo(list);
    pthread_mutex_lock(&q->lock);
    q->found = found;
    q->r = r == EAI_MEMORY ? -ENOMEM : found.n == 0 ? RESOLVE_NONE : 0;
    q->done = true;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->lock);
    let_go(q);
    return NULL;
}

static struct question *question_new(const char *host)
{
    struct question *q = strlen(host) < sizeof q->host ? calloc(1, sizeof *q) : NULL;
    pthread_condattr_t attr;
    if (!q)
        return NULL;
    snprintf(q->host, sizeof q->host, "%s", host);
    q->holders = 2;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &attr);
    pthread_condattr_destroy(&attr);
    return q;
}

/* Looks at *stop twice a second. */
static int wait_answer(struct question *q, const atomic_bool *stop, struct resolved *ret)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    pthread_mutex_lock(&q->lock);
    for (int half = 0; !q->done && half < 2 * RESOLVE_S && !atomic_load(stop); half++) {
        until.tv_nsec += 500000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!q->done && pthread_cond_timedwait(&q->answered, &q->lock, &until) == 0)
            ;
    }
    int r = q->done ? q->r : RESOLVE_LATE;
    if (r == 0)
        *ret = q->found;
    pthread_mutex_unlock(&q->lock);
    return r;
}

int resolve(const char *host, const atomic_bool *stop, struct resolved *ret)
{
    pthread_t thread;
    pthread_attr_t attr;
    if (atomic_fetch_add(&open_now, 1) >= OPEN_MAX) {
        atomic_fetch_sub(&open_now, 1);
        return RESOLVE_LATE;
    }
    struct question *q = question_new(host);
    if (!q) {
        atomic_fetch_sub(&open_now, 1);
        return strlen(host) < sizeof q->host ? -ENOMEM : RESOLVE_NONE;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = -pthread_create(&thread, &attr, ask, q);
    pthread_attr_destroy(&attr);
    if (r != 0)
        q->holders = 1; /* nobody asks for him */
    else
        r = wait_answer(q, stop, ret);
    let_go(q);
    return r;
}
