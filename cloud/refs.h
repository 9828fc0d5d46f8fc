/* Which key a row's ref belongs to: one table a month, from ref to the key's place in the ring. Used by keyring.c
 * alone, under its lock. The changes feed counts in blocks in place of months; their tables have slots of their own, so
 * that who reads the feed from its beginning does not cost the reports theirs. */
#pragma once

#include "cloud/seal.h"

#define REFS_MONTHS 8 /* tables kept: a month's report reads two, and ingest may file into two */
#define REFS_BLOCK_TABLES 2

struct refs_table {
    uint32_t month;
    bool used;
    uint64_t touched;
    size_t covered; /* keys 0 .. covered-1 of the ring are in */
    size_t n, cap;
    struct refs_slot {
        uint8_t ref[REF_LEN];
        uint32_t at; /* index + 1; 0 = free */
    } * slots;
};
struct refs {
    uint64_t clock;
    struct refs_table tables[REFS_MONTHS + REFS_BLOCK_TABLES];
};

void refs_done(struct refs *r); /* forgets all */
/* The month's or block's table, made when it is not there; the oldest one of its sort goes. */
struct refs_table *refs_table(struct refs *r, uint32_t month);
int refs_add(struct refs_table *t, const uint8_t ref[REF_LEN], size_t at);
/* SIZE_MAX: nobody's. */
size_t refs_find(const struct refs_table *t, const uint8_t ref[REF_LEN]);
