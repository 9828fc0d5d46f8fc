/* The same credential seen again on one reader within `hold` is the same presentation, and being seen extends it.
 * Holds keyed hashes, never credentials. A reader remembers 32 of them; with more people than that inside one hold,
 * the one not seen for longest is forgotten (a second punch is better than a lost one). */
#pragma once

#include "base/error.h"

#define DEDUP_SLOTS 32
#define DEDUP_HASH 32

struct dedup {
    struct dedup_slot {
        bool used;
        uint64_t last; /* mono, us */
        uint8_t hash[DEDUP_HASH];
    } slots[DEDUP_SLOTS];
};

/* True: seen within hold_us before `mono`. Remembers it as seen at `mono` either way. */
bool dedup_seen(struct dedup *d, const uint8_t hash[DEDUP_HASH], uint64_t mono, uint64_t hold_us);
/* It was there until `mono`: extends what is remembered. What is not (it could not be stored) stays unknown. */
void dedup_extend(struct dedup *d, const uint8_t hash[DEDUP_HASH], uint64_t mono);
/* For a punch that could not be stored: the next sighting must count. */
void dedup_forget(struct dedup *d, const uint8_t hash[DEDUP_HASH]);
