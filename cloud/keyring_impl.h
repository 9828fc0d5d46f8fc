/* The keyring's inside, between keyring.c (keys in RAM) and keyring_files.c (the copies on disk). */
#pragma once

#include <pthread.h>

#include "cloud/escrow.h"
#include "cloud/keyring.h"
#include "cloud/refs.h"
#include "cloud/ring.h"

#define ESCROW_MAX 8

struct entry {
    struct ring_entry e;
    bool leaving; /* not in the generation that comes, or is journalled */
    bool derived;
    struct row_keys rows;
};

struct generation {
    uint64_t number;
    uint8_t kek[CRYPTO_KEY];
    struct crypto_aead *aead;
    struct buf image;
    size_t synced; /* bytes of image that every copy has */
};

struct keyring {
    pthread_mutex_t lock;
    struct generation g;
    /* The generation g is journalled and lies staged beside the former one, which is still needed: the store may not
     * have been brought along yet. Keys that g lacks are kept, `leaving`. */
    bool turning;
    bool due; /* the transaction in hand brings the store along with g, or with the erasure that is staged */
    struct tombs tombs;
    size_t journalled, journalled_bytes; /* entries and bytes of tombs that are on disk; the others are staged */
    char installation[ESCROW_ID];
    size_t n_copies;
    struct ring_copy copies[1 + ESCROW_MAX]; /* [0] is ours, the others are escrow */
    bool has_tombs[1 + ESCROW_MAX];          /* what is journalled is there */

    size_t n, cap;
    struct entry *entries;
    size_t hash_cap;
    uint32_t *hash; /* index + 1 */
    struct refs refs;
    size_t newest[KEY_INDEX + 1]; /* index + 1 of the newest key of a kind */
};

/* ---- keyring.c; the caller holds the lock or is alone ---- */
int keyring_remember(struct keyring *k, const struct ring_entry *e, bool leaving);
bool keyring_knows(struct keyring *k, const uint8_t id[KEY_ID_LEN]);
void keyring_drop_leaving(struct keyring *k); /* out of RAM, wiped */
void generation_done(struct generation *g);
