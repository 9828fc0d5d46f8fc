/* A table of fixed size, one place a card; see holders.h. Blind indexes are keyed by tenant and spread evenly. */
#include "cloud/holders.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 4096u
#define EACH 4 /* assignments of one card; a card with more is asked for each time */

struct holding {
    int64_t from, until;
    uint8_t key_id[KEY_ID_LEN];
};

struct place {
    bool known;
    uint8_t cidx[CIDX_LEN];
    size_t n;
    struct holding of[EACH];
};

struct holders {
    int64_t version;
    struct place places[PLACES];
};

int holders_new(struct holders **ret_holders)
{
    struct holders *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    *ret_holders = h;
    return 0;
}

void holders_free(struct holders *h)
{
    free(h);
}

void holders_forget(struct holders *h)
{
    memset(h->places, 0, sizeof h->places);
}

int holders_begin(struct holders *h, struct db *db)
{
    int64_t version;
    int r = db_foreign(db, &version);
    if (r != 0)
        return r;
    if (version != h->version)
        holders_forget(h);
    h->version = version;
    return 0;
}

/* Stops with 1 when there is no room for all. */
static int add(void *arg, const struct assignment *a)
{
    struct place *p = arg;
    if (p->n == EACH)
        return 1;
    struct holding *of = &p->of[p->n++];
    of->from = a->cred.from;
    of->until = a->cred.until;
    memcpy(of->key_id, a->key_id, KEY_ID_LEN);
    return 0;
}

struct at_time {
    int64_t when;
    uint8_t *key_id;
};

static int holds(void *arg, const struct assignment *a)
{
    struct at_time *t = arg;
    if (t->when < a->cred.from || t->when >= a->cred.until)
        return 0;
    memcpy(t->key_id, a->key_id, KEY_ID_LEN);
    return 1;
}

static int ask(const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t when, uint8_t ret_key_id[KEY_ID_LEN])
{
    struct at_time t = {.when = when, .key_id = ret_key_id};
    int r = assignment_each(s, cidx, holds, &t);
    return r == 1 ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

int holders_find(struct holders *h, const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t when,
                 uint8_t ret_key_id[KEY_ID_LEN])
{
    if (h == NULL)
        return ask(s, cidx, when, ret_key_id);
    struct place *p = &h->places[(unsigned)(cidx[0] << 8 | cidx[1]) % PLACES];
    if (!p->known || memcmp(p->cidx, cidx, CIDX_LEN) != 0) {
        *p = (struct place){0};
        int r = assignment_each(s, cidx, add, p);
        if (r < 0)
            return r;
        if (r == 1)
            return ask(s, cidx, when, ret_key_id);
        memcpy(p->cidx, cidx, CIDX_LEN);
        p->known = true;
    }
    for (size_t i = 0; i < p->n; i++)
        if (when >= p->of[i].from && when < p->of[i].until) {
            memcpy(ret_key_id, p->of[i].key_id, KEY_ID_LEN);
            return 0;
        }
    return CLOUD_ABSENT;
}
