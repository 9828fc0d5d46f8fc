/* Damaged rows; see damage.h. A handful at most is expected, so they are looked through. */
#include "cloud/damage.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"

void damage_init(struct damage *d)
{
    d->n = 0;
    pthread_mutex_init(&d->lock, NULL);
}

void damage_done(struct damage *d)
{
    pthread_mutex_destroy(&d->lock);
}

static bool known(const struct damage *d, const struct damaged_row *x)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->rows[i].table, x->table) == 0 && strcmp(d->rows[i].tenant, x->tenant) == 0 &&
            memcmp(d->rows[i].key, x->key, DAMAGE_KEY) == 0)
            return true;
    return false;
}

void damage_note(struct damage *d, const char *tenant, const char *table, struct bytes row, const char *action)
{
    struct damaged_row x = {.table = table};
    str_copy(x.tenant, sizeof x.tenant, tenant);
    if (row.n > 0)
        memcpy(x.key, row.p, row.n < DAMAGE_KEY ? row.n : DAMAGE_KEY);
    pthread_mutex_lock(&d->lock);
    bool tell = d->n < DAMAGE_MAX && !known(d, &x);
    if (tell)
        d->rows[d->n++] = x;
    pthread_mutex_unlock(&d->lock);
    if (tell) /* never the row's id: it may be a person's */
        log_error("store.row", "tenant=%s table=%s reason=\"does not open\" action=%s", tenant, table, log_q(action));
}

size_t damage_count(struct damage *d)
{
    pthread_mutex_lock(&d->lock);
    size_t n = d->n;
    pthread_mutex_unlock(&d->lock);
    return n;
}
