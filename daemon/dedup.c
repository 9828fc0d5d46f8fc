#include "daemon/dedup.h"

#include <string.h>

static struct dedup_slot *find(struct dedup *d, const uint8_t hash[DEDUP_HASH])
{
    for (size_t i = 0; i < DEDUP_SLOTS; i++)
        if (d->slots[i].used && memcmp(d->slots[i].hash, hash, DEDUP_HASH) == 0)
            return &d->slots[i];
    return NULL;
}

static struct dedup_slot *vacate(struct dedup *d)
{
    struct dedup_slot *oldest = &d->slots[0];
    for (size_t i = 0; i < DEDUP_SLOTS; i++) {
        if (!d->slots[i].used)
            return &d->slots[i];
        if (d->slots[i].last < oldest->last)
            oldest = &d->slots[i];
    }
    return oldest;
}

bool dedup_seen(struct dedup *d, const uint8_t hash[DEDUP_HASH], uint64_t mono, uint64_t hold_us)
{
    if (hold_us == 0)
        return false;
    struct dedup_slot *s = find(d, hash);
    bool seen = s && (mono < s->last || mono - s->last < hold_us);
    if (!s) {
        s = vacate(d);
        s->used = true;
        s->last = 0;
        memcpy(s->hash, hash, DEDUP_HASH);
    }
    if (mono > s->last)
        s->last = mono;
    return seen;
}

void dedup_extend(struct dedup *d, const uint8_t hash[DEDUP_HASH], uint64_t mono)
{
    struct dedup_slot *s = find(d, hash);
    if (s && mono > s->last)
        s->last = mono;
}

void dedup_forget(struct dedup *d, const uint8_t hash[DEDUP_HASH])
{
    struct dedup_slot *s = find(d, hash);
    if (s)
        memset(s, 0, sizeof(*s));
}
