/* An open table by the id's first bytes, which are random. Deleting is a rebuild: once a minute, of few entries. */
#include "cloud/session_seen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define SLOTS ((size_t)2 * SEEN_MAX)

struct seen {
    pthread_mutex_t lock; /* of what follows */
    size_t n;
    struct seen_entry *slots; /* at 0: free */
};

int seen_new(struct seen **ret_seen)
{
    struct seen *s = calloc(1, sizeof *s);
    if (s)
        s->slots = calloc(SLOTS, sizeof *s->slots);
    if (!s || !s->slots) {
        free(s);
        return -ENOMEM;
    }
    pthread_mutex_init(&s->lock, NULL);
    *ret_seen = s;
    return 0;
}

void seen_free(struct seen *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->slots);
    free(s);
}

static struct seen_entry *slot_of(struct seen_entry *slots, const uint8_t id[ID_LEN])
{
    uint64_t h;
    memcpy(&h, id, sizeof h);
    size_t i = h % SLOTS;
    while (slots[i].at != 0 && memcmp(slots[i].id, id, ID_LEN) != 0)
        i = (i + 1) % SLOTS;
    return &slots[i];
}

void seen_note(struct seen *s, const char *tenant, const uint8_t id[ID_LEN], int64_t at)
{
    pthread_mutex_lock(&s->lock);
    struct seen_entry *e = slot_of(s->slots, id);
    if (e->at != 0 || s->n < SEEN_MAX) {
        s->n += e->at == 0;
        memcpy(e->id, id, ID_LEN);
        str_copy(e->tenant, sizeof e->tenant, tenant);
        e->at = at > e->at ? at : e->at;
    }
    pthread_mutex_unlock(&s->lock);
}

int64_t seen_at(struct seen *s, const uint8_t id[ID_LEN])
{
    pthread_mutex_lock(&s->lock);
    int64_t at = slot_of(s->slots, id)->at;
    pthread_mutex_unlock(&s->lock);
    return at;
}

int seen_take(struct seen *s, struct seen_entry **ret_entries, size_t *ret_n)
{
    size_t n = 0;
    int r = 0;
    pthread_mutex_lock(&s->lock);
    struct seen_entry *all = calloc(s->n + 1, sizeof *all);
    for (size_t i = 0; all && i < SLOTS; i++)
        if (s->slots[i].at != 0)
            all[n++] = s->slots[i];
    pthread_mutex_unlock(&s->lock);
    if (!all)
        r = -ENOMEM;
    if (r == 0) {
        *ret_entries = all;
        *ret_n = n;
    }
    return r;
}

void seen_written(struct seen *s, const struct seen_entry *entries, size_t n)
{
    struct seen_entry *slots = calloc(SLOTS, sizeof *slots);
    if (!slots) /* they are written once more */
        return;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        struct seen_entry *e = slot_of(s->slots, entries[i].id);
        if (e->at == entries[i].at)
            e->at = -1; /* still a link of its chain */
    }
    s->n = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        if (s->slots[i].at <= 0)
            continue;
        *slot_of(slots, s->slots[i].id) = s->slots[i];
        s->n++;
    }
    free(s->slots);
    s->slots = slots;
    pthread_mutex_unlock(&s->lock);
}
