/* Open addressing by the ref's first bytes, which are a MAC's and so already evenly spread. */
#include "cloud/refs.h"

#include <stdlib.h>
#include <string.h>

static void table_done(struct refs_table *t)
{
    free(t->slots);
    *t = (struct refs_table){0};
}

void refs_done(struct refs *r)
{
    for (size_t i = 0; i < ARRAY_LEN(r->tables); i++)
        table_done(&r->tables[i]);
}

struct refs_table *refs_table(struct refs *r, uint32_t month)
{
    bool block = (month & SEAL_BLOCK) != 0;
    size_t begin = block ? REFS_MONTHS : 0, end = block ? ARRAY_LEN(r->tables) : REFS_MONTHS;
    struct refs_table *oldest = &r->tables[begin];
    for (size_t i = begin; i < end; i++) {
        struct refs_table *t = &r->tables[i];
        if (t->used && t->month == month) {
            t->touched = ++r->clock;
            return t;
        }
        if (t->touched < oldest->touched)
            oldest = t;
    }
    table_done(oldest);
    oldest->used = true;
    oldest->month = month;
    oldest->touched = ++r->clock;
    return oldest;
}

static size_t slot_of(const struct refs_table *t, const uint8_t ref[REF_LEN])
{
    uint64_t h;
    memcpy(&h, ref, sizeof h);
    size_t i = (size_t)h & (t->cap - 1);
    while (t->slots[i].at != 0 && memcmp(t->slots[i].ref, ref, REF_LEN) != 0)
        i = (i + 1) & (t->cap - 1);
    return i;
}

static int grow(struct refs_table *t)
{
    struct refs_table bigger = {.cap = t->cap == 0 ? 64 : t->cap * 2};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].at != 0)
            bigger.slots[slot_of(&bigger, t->slots[i].ref)] = t->slots[i];
    free(t->slots);
    t->slots = bigger.slots;
    t->cap = bigger.cap;
    return 0;
}

int refs_add(struct refs_table *t, const uint8_t ref[REF_LEN], size_t at)
{
    if (at >= UINT32_MAX)
        return -ENOBUFS;
    if ((t->n + 1) * 2 > t->cap) {
        int r = grow(t);
        if (r != 0)
            return r;
    }
    struct refs_slot *s = &t->slots[slot_of(t, ref)];
    if (s->at == 0)
        t->n++;
    memcpy(s->ref, ref, REF_LEN);
    s->at = (uint32_t)at + 1;
    return 0;
}

size_t refs_find(const struct refs_table *t, const uint8_t ref[REF_LEN])
{
    if (t->cap == 0)
        return SIZE_MAX;
    const struct refs_slot *s = &t->slots[slot_of(t, ref)];
    return s->at == 0 ? SIZE_MAX : s->at - 1;
}
