/* Tombstones: what is left of an erased person, beside the keyring (design section 6). They are the journal of
 * erasures, one entry each, by which one that was interrupted rolls forward, and they tell the punches of that person
 * that arrive late or again, also in a store restored from before the erasure. No name, no card number: ids are random,
 * cards are blind indexes.
 *
 * Embedded in a keyring, which keeps the file and its copies. Only the holder of the store's write transaction adds and
 * looks up. */
#pragma once

#include "base/buf.h"

#define TOMB_ID 16
#define TOMB_CIDX 16
#define TOMB_CARDS_MAX 10000 /* assignments of one person */
#define TOMBS_MAX ((size_t)64 << 20)

/* A time for which the person held a card. */
struct tomb_card {
    uint8_t cidx[TOMB_CIDX];
    int64_t from, until; /* us, [from, until) */
    int64_t created;     /* of the assignment */
};
struct tomb_counts {
    uint64_t punches, pending, waiting, credentials, oddities, keys;
};
struct tomb {
    uint64_t generation; /* of the ring that lacks the person */
    uint8_t id[TOMB_ID]; /* of the erasure */
    uint8_t person[TOMB_ID];
    int64_t at; /* us */
    struct tomb_counts counts;
    size_t n_cards;
    struct tomb_card *cards; /* owned */
};
void tomb_done(struct tomb *t);

/* A card's entry, with the time of its erasure. */
struct tomb_hold {
    struct tomb_card card;
    int64_t at;
};
struct tombs {
    struct buf file; /* as it is on disk, staged entries included */
    size_t n;
    struct tomb *items; /* in the order of their generation */
    size_t n_holds, cap_holds;
    struct tomb_hold *holds; /* by cidx */
};
void tombs_init(struct tombs *t); /* none: an empty file */
void tombs_done(struct tombs *t);
/* TOMBS_BAD: not such a file, or damaged: what it held of the erased must not be forgotten in silence. */
enum { TOMBS_BAD = 1 };
int tombs_read(struct tombs *t, struct bytes file);
/* Appends; takes the cards on success. */
int tombs_add(struct tombs *t, struct tomb *tomb);
/* Back to the first n entries, `bytes` of the file. */
void tombs_cut(struct tombs *t, size_t n, size_t bytes);
uint64_t tombs_generation(const struct tombs *t); /* of the last entry, 1 for none */
/* *ret_n holds of that card, from the returned pointer on. */
const struct tomb_hold *tombs_of(const struct tombs *t, const uint8_t cidx[TOMB_CIDX], size_t *ret_n);
