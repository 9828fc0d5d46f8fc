/* Entries into items; see feed.h. */
#include "cloud/feed.h"

#include <string.h>

#include "cloud/holder.h"
#include "cloud/people_impl.h"
#include "cloud/query_impl.h"

struct feed {
    const struct scope *s;
    struct sites sites;
    feed_fn *fn;
    void *arg;
    const struct change *entry;
};

static int on_row(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct feed *x = arg;
    struct feed_item item = {.entry = *x->entry};
    int r = query_row(&x->sites, key_id, kind, f, &item.punch);
    if (r == 0)
        r = x->fn(x->arg, &item);
    crypto_wipe(&item, sizeof item);
    return r;
}

static int on_person(struct feed *x)
{
    struct feed_item item = {.entry = *x->entry};
    int r = people_by_key(x->s, x->entry->key_id, &item.person);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = x->fn(x->arg, &item);
    crypto_wipe(&item, sizeof item);
    return r;
}

static int on_credential(struct feed *x)
{
    struct feed_item item = {.entry = *x->entry};
    struct assignment a;
    int r = assignment_get(x->s, x->entry->id, &a);
    if (r == 0 || r == CLOUD_DAMAGED) {
        item.credential = a.cred;
        r = x->fn(x->arg, &item);
    }
    crypto_wipe(&a, sizeof a);
    crypto_wipe(&item, sizeof item);
    return r;
}

static int on_correction(struct feed *x)
{
    struct feed_item item = {.entry = *x->entry};
    int r = correction_find(x->s, x->entry->id, &item.correction);
    if (r == 0 || r == CLOUD_DAMAGED) {
        r = people_by_key(x->s, x->entry->key_id, &item.corrected);
        r = r == 0 || r == CLOUD_DAMAGED ? x->fn(x->arg, &item) : r;
    }
    crypto_wipe(&item, sizeof item);
    return r;
}

static int on_added(struct feed *x)
{
    struct filed f;
    int r = correction_added(x->s, x->entry->id, &f);
    return r != 0 ? r : on_row(x, x->entry->key_id, KEY_PERSON, &f);
}

static int on_gateway(struct feed *x)
{
    struct feed_item item = {.entry = *x->entry};
    bool latest;
    int r = gateway_find(x->s->db, x->entry->id, (uint64_t)x->entry->number, &item.gateway, &latest);
    return r != 0 ? r : x->fn(x->arg, &item);
}

static int on_reader(struct feed *x)
{
    struct feed_item item = {.entry = *x->entry};
    int r = reader_get(x->s->c, x->s->db, x->s->tenant, x->entry->id, &item.reader);
    return r == 0 || r == CLOUD_DAMAGED ? x->fn(x->arg, &item) : r;
}

static int on_entry(void *arg, const struct change *e)
{
    struct feed *x = arg;
    struct feed_item item = {.entry = *e};
    int r = 0;
    x->entry = e;
    switch (e->kind) {
    case CHANGE_PUNCH:
    case CHANGE_PENDING:
        r = filed_at(x->s, e->key_id, e->kind == CHANGE_PENDING, e->number, e->id, on_row, x);
        break;
    case CHANGE_PERSON:
        r = on_person(x);
        break;
    case CHANGE_CREDENTIAL:
        r = on_credential(x);
        break;
    case CHANGE_CORRECTION:
        r = on_correction(x);
        break;
    case CHANGE_ADDED:
        r = on_added(x);
        break;
    case CHANGE_GATEWAY:
        r = on_gateway(x);
        break;
    case CHANGE_READER:
        r = on_reader(x);
        break;
    case CHANGE_REMOVED:
    case CHANGE_ERASED:
        r = x->fn(x->arg, &item);
        break;
    }
    return r == CLOUD_ABSENT ? 0 : r;
}

static int read_page(struct feed *x, size_t limit, struct feed_pos *pos, bool *ret_more)
{
    int64_t last = 0, next = 0;
    int r = changes_last(x->s, &last);
    if (r == 0 && pos->after > last)
        return CHANGES_LOST;
    int64_t began = pos->after == 0 ? last : pos->began;
    if (r == 0)
        r = sites_init(&x->sites, x->s);
    if (r == 0)
        r = changes_each(x->s, began, pos->after, limit, on_entry, x, &next);
    sites_done(&x->sites);
    if (r == 0) {
        *pos = (struct feed_pos){.began = began, .after = next};
        *ret_more = next < last;
    }
    return r;
}

int feed_read(struct cloud *c, struct db *db, const char *tenant, size_t limit, feed_fn *fn, void *arg,
              struct feed_pos *pos, bool *ret_more)
{
    struct scope s;
    if (limit == 0 || limit > QUERY_LIMIT_MAX || pos->after < 0)
        return CLOUD_INVALID;
    int r = db_begin_read(db);
    if (r == 0)
        r = scope_init(c, db, tenant, &s);
    if (r == 0) {
        struct feed x = {.s = &s, .fn = fn, .arg = arg};
        r = read_page(&x, limit, pos, ret_more);
    }
    db_end_read(db);
    return r;
}

int feed_now(struct cloud *c, struct db *db, const char *tenant, struct feed_pos *ret_pos)
{
    struct scope s;
    int64_t last = 0;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = changes_last(&s, &last);
    if (r == 0)
        *ret_pos = (struct feed_pos){.began = last, .after = last};
    return r;
}
