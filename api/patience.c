/* The table is as large as the listener's limit and is looked through once a second. */
#include "api/patience.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define SWEEP_S 1
#define HASTE 8 /* a full house waits so much shorter */

struct patience_peer {
    struct patience_peer *next_free;
    int fd; /* -1: nobody */
    bool waited, cut;
    bool counts; /* as who's */
    struct address who;
    int64_t since; /* clock_ms() */
    uint64_t ms;   /* from then */
};

struct patience {
    pthread_mutex_t lock; /* of everything here */
    pthread_cond_t stopped;
    pthread_t thread;
    bool stop;
    unsigned max, open;
    struct patience_peer *free;
    struct patience_peer peers[];
};

/* Its close(2) then drops what the peer has not taken; the kernel would keep that for as long as the peer likes. */
static void cut(int fd)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    shutdown(fd, SHUT_RDWR);
}

static unsigned cut_late(struct patience *p)
{
    int64_t now = clock_ms();
    bool crowded = p->open > p->max / 4 * 3;
    unsigned n = 0;
    for (unsigned i = 0; i < p->max; i++) {
        struct patience_peer *e = &p->peers[i];
        if (e->fd < 0 || e->cut || (uint64_t)(now - e->since) <= (crowded && e->waited ? e->ms / HASTE : e->ms))
            continue;
        cut(e->fd);
        e->cut = true;
        n++;
    }
    return n;
}

static void *sweep(void *arg)
{
    struct patience *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += SWEEP_S;
        if (pthread_cond_timedwait(&p->stopped, &p->lock, &until) == 0 || p->stop)
            continue;
        unsigned n = cut_late(p), open = p->open;
        pthread_mutex_unlock(&p->lock);
        if (n > 0) /* one line a second, however many there are */
            log_info("http.late", "cut=%u open=%u limit=%u", n, open, p->max);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int patience_new(unsigned connections, struct patience **ret_patience)
{
    pthread_condattr_t attr;
    struct patience *p = calloc(1, sizeof *p + connections * sizeof p->peers[0]);
    if (p == NULL)
        return -ENOMEM;
    p->max = connections;
    for (unsigned i = 0; i < connections; i++) {
        p->peers[i].fd = -1;
        p->peers[i].next_free = p->free;
        p->free = &p->peers[i];
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->stopped, &attr);
    pthread_condattr_destroy(&attr);
    int r = -pthread_create(&p->thread, NULL, sweep, p);
    if (r != 0) {
        pthread_cond_destroy(&p->stopped);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return r;
    }
    *ret_patience = p;
    return 0;
}

void patience_free(struct patience *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->stopped);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    ASSERT(p->open == 0);
    pthread_cond_destroy(&p->stopped);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void give(struct patience_peer *e, uint64_t ms, bool waited)
{
    e->since = clock_ms();
    e->ms = ms;
    e->waited = waited;
}

/* Under lock. */
static bool may_count(const struct patience *p, const struct address *who, unsigned each)
{
    unsigned same = 0;
    for (unsigned i = 0; who && each > 0 && i < p->max; i++) {
        const struct patience_peer *e = &p->peers[i];
        same += e->fd >= 0 && e->counts && address_equal(&e->who, who);
    }
    return each == 0 || same < each;
}

static void count_as(struct patience_peer *e, const struct address *who)
{
    e->counts = who != NULL;
    if (who)
        e->who = *who;
}

struct patience_peer *patience_join(struct patience *p, int fd, uint64_t ms, const struct address *who, unsigned each)
{
    pthread_mutex_lock(&p->lock);
    struct patience_peer *e = may_count(p, who, each) ? p->free : NULL;
    if (e != NULL) {
        p->free = e->next_free;
        p->open++;
        e->fd = fd;
        e->cut = false;
        count_as(e, who);
        give(e, ms, true);
    } else {
        cut(fd);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

bool patience_count(struct patience *p, struct patience_peer *peer, const struct address *who, unsigned each)
{
    if (peer == NULL)
        return true;
    pthread_mutex_lock(&p->lock);
    peer->counts = false;
    bool ok = may_count(p, who, each);
    count_as(peer, ok ? who : NULL);
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void patience_set(struct patience *p, struct patience_peer *peer, uint64_t ms, bool waited)
{
    if (peer == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    give(peer, ms, waited);
    pthread_mutex_unlock(&p->lock);
}

void patience_add(struct patience *p, struct patience_peer *peer, uint64_t ms)
{
    if (peer == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    peer->ms = peer->ms > PATIENCE_ENDLESS - ms ? PATIENCE_ENDLESS : peer->ms + ms;
    pthread_mutex_unlock(&p->lock);
}

void patience_leave(struct patience *p, struct patience_peer *peer)
{
    if (peer == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    peer->fd = -1;
    peer->next_free = p->free;
    p->free = peer;
    p->open--;
    pthread_mutex_unlock(&p->lock);
}
