#include "api/http_line.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS_MAX 64

struct line {
    pthread_mutex_t lock; /* of everything that changes here */
    pthread_cond_t changed;
    struct line_options o;
    struct line_item *first, *last;
    unsigned n;
    bool closing;
    unsigned threads; /* that were made; not under lock */
    pthread_t thread[THREADS_MAX];
};

/* Under lock; NULL: nobody waits. */
static struct line_item *take(struct line *l)
{
    struct line_item *item = l->first;
    if (item) {
        l->first = item->next;
        if (!l->first)
            l->last = NULL;
        l->n--;
    }
    return item;
}

/* Under lock; NULL when there is none any more. */
static struct line_item *wait_for_item(struct line *l)
{
    while (!l->first && !l->closing)
        pthread_cond_wait(&l->changed, &l->lock);
    return take(l);
}

static void *run(void *arg)
{
    struct line *l = arg;
    if (l->o.nice > 0) { /* on Linux a thread's own; to be nicer is never refused, and 19 is the nicest */
        const id_t me = (id_t)gettid();
        setpriority(PRIO_PROCESS, me, getpriority(PRIO_PROCESS, me) + l->o.nice);
    }
    pthread_mutex_lock(&l->lock);
    for (struct line_item *item; (item = wait_for_item(l));) {
        bool closing = l->closing;
        pthread_mutex_unlock(&l->lock);
        l->o.fn(l->o.arg, item, closing);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int line_new(const struct line_options *o, struct line **ret_line)
{
    ASSERT(o->threads >= 1 && o->threads <= THREADS_MAX);
    struct line *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->o = *o;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    for (; l->threads < o->threads; l->threads++) {
        int r = -pthread_create(&l->thread[l->threads], NULL, run, l);
        if (r != 0) {
            line_close(l);
            line_free(l);
            return r;
        }
    }
    *ret_line = l;
    return 0;
}

bool line_join(struct line *l, struct line_item *item)
{
    unsigned same = 0;
    pthread_mutex_lock(&l->lock);
    for (const struct line_item *i = l->first; i; i = i->next)
        same += address_equal(&i->who, &item->who);
    const unsigned places = l->o.waiting + (item->known ? l->o.kept : 0);
    bool ok = !l->closing && l->n < places && (l->o.waiting_each == 0 || same < l->o.waiting_each);
    if (ok) {
        item->next = NULL;
        if (l->last)
            l->last->next = item;
        else
            l->first = item;
        l->last = item;
        l->n++;
        pthread_cond_signal(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

bool line_others(struct line *l)
{
    struct line_item *item;
    pthread_mutex_lock(&l->lock);
    for (unsigned n = l->n; n > 0 && !l->closing && (item = take(l)); n--) { /* who comes meanwhile: the next time */
        pthread_mutex_unlock(&l->lock);
        l->o.fn(l->o.arg, item, false);
        pthread_mutex_lock(&l->lock);
    }
    bool open = !l->closing;
    pthread_mutex_unlock(&l->lock);
    return open;
}

void line_close(struct line *l)
{
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    for (; l->threads > 0; l->threads--)
        pthread_join(l->thread[l->threads - 1], NULL);
}

void line_free(struct line *l)
{
    if (!l)
        return;
    ASSERT(l->closing && !l->first);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
