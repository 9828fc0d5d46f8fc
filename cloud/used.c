/* When tokens were last used; see used.h. */
#include "cloud/used.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cloud/scope.h"

#define USED_MAX 256 /* tokens between two flushes */

struct use {
    uint8_t id[TOKEN_ID_LEN];
    int64_t day;
};
struct used {
    pthread_mutex_t lock;
    size_t n;
    struct use items[USED_MAX];
};

int used_new(struct used **ret_used)
{
    struct used *u = calloc(1, sizeof *u);
    if (!u)
        return -ENOMEM;
    pthread_mutex_init(&u->lock, NULL);
    *ret_used = u;
    return 0;
}

void used_free(struct used *u)
{
    if (!u)
        return;
    pthread_mutex_destroy(&u->lock);
    free(u);
}

void used_note(struct used *u, const struct token *t, int64_t now)
{
    int64_t day = day_of(now);
    size_t i = 0;
    if (t->used >= day)
        return;
    pthread_mutex_lock(&u->lock);
    while (i < u->n && memcmp(u->items[i].id, t->id, TOKEN_ID_LEN) != 0)
        i++;
    if (i < USED_MAX) {
        memcpy(u->items[i].id, t->id, TOKEN_ID_LEN);
        u->items[i].day = day;
        u->n = i == u->n ? i + 1 : u->n;
    }
    pthread_mutex_unlock(&u->lock);
}

static size_t take(struct used *u, struct use ret[USED_MAX])
{
    pthread_mutex_lock(&u->lock);
    size_t n = u->n;
    memcpy(ret, u->items, n * sizeof ret[0]);
    u->n = 0;
    pthread_mutex_unlock(&u->lock);
    return n;
}

int used_flush(struct used *u, struct cloud *c, struct db *db)
{
    struct use items[USED_MAX];
    size_t n = take(u, items);
    if (n == 0)
        return 0;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = token_note_use(db, items[i].id, items[i].day);
    return cloud_end(c, db, r);
}
