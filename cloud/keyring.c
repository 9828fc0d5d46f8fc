/* The keys in RAM; keyring_files.c keeps them on disk. */
#include "cloud/keyring_impl.h"

#include <stdlib.h>
#include <string.h>

#define COVER_SLICE 256

/* ---- index by id ---- */

static size_t hash_slot(const struct keyring *k, const uint8_t id[KEY_ID_LEN])
{
    uint64_t h;
    memcpy(&h, id, sizeof h); /* ids are random */
    size_t i = (size_t)h & (k->hash_cap - 1);
    while (k->hash[i] != 0 && memcmp(k->entries[k->hash[i] - 1].e.id, id, KEY_ID_LEN) != 0)
        i = (i + 1) & (k->hash_cap - 1);
    return i;
}

static int rehash(struct keyring *k, size_t cap)
{
    uint32_t *h = calloc(cap, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    free(k->hash);
    k->hash = h;
    k->hash_cap = cap;
    for (size_t i = 0; i < k->n; i++)
        k->hash[hash_slot(k, k->entries[i].e.id)] = (uint32_t)i + 1;
    return 0;
}

/* Not realloc(): the old memory held keys and is wiped. */
static int grow(struct keyring *k)
{
    size_t cap = k->cap == 0 ? 64 : k->cap * 2;
    int r = rehash(k, cap * 2); /* before there is room for entries: a hash that is full is searched for ever */
    struct entry *e = r == 0 ? calloc(cap, sizeof *e) : NULL;
    if (e == NULL)
        return -ENOMEM;
    if (k->n > 0)
        memcpy(e, k->entries, k->n * sizeof *e);
    if (k->entries != NULL)
        crypto_wipe(k->entries, k->cap * sizeof *e);
    free(k->entries);
    k->entries = e;
    k->cap = cap;
    return 0;
}

int keyring_remember(struct keyring *k, const struct ring_entry *e, bool leaving)
{
    if (k->n == k->cap) {
        int r = grow(k);
        if (r != 0)
            return r;
    }
    k->entries[k->n] = (struct entry){.e = *e, .leaving = leaving};
    k->n++;
    k->hash[hash_slot(k, e->id)] = (uint32_t)k->n;
    if (e->kind < ARRAY_LEN(k->newest))
        k->newest[e->kind] = k->n;
    return 0;
}

static struct entry *find(struct keyring *k, const uint8_t id[KEY_ID_LEN])
{
    if (k->hash_cap == 0)
        return NULL;
    uint32_t at = k->hash[hash_slot(k, id)];
    return at == 0 ? NULL : &k->entries[at - 1];
}

bool keyring_knows(struct keyring *k, const uint8_t id[KEY_ID_LEN])
{
    return find(k, id) != NULL;
}

/* After entries are gone. Tables of refs may point at them. */
static void reindex(struct keyring *k)
{
    refs_done(&k->refs);
    if (k->hash == NULL) /* there never was one */
        return;
    memset(k->hash, 0, k->hash_cap * sizeof *k->hash);
    memset(k->newest, 0, sizeof k->newest);
    for (size_t i = 0; i < k->n; i++) {
        const struct ring_entry *e = &k->entries[i].e;
        k->hash[hash_slot(k, e->id)] = (uint32_t)i + 1;
        if (e->kind < ARRAY_LEN(k->newest))
            k->newest[e->kind] = i + 1;
    }
}

/* The last n entries are forgotten. */
static void forget(struct keyring *k, size_t n)
{
    k->n -= n;
    crypto_wipe(k->entries + k->n, n * sizeof *k->entries);
    reindex(k);
}

void keyring_drop_leaving(struct keyring *k)
{
    size_t kept = 0;
    for (size_t i = 0; i < k->n; i++)
        if (!k->entries[i].leaving)
            k->entries[kept++] = k->entries[i];
    if (kept < k->n)
        crypto_wipe(k->entries + kept, (k->n - kept) * sizeof *k->entries);
    k->n = kept;
    reindex(k);
}

static bool row_kind(const struct entry *e)
{
    return e->e.kind == KEY_PERSON || e->e.kind == KEY_WAITING;
}

static int derive(struct entry *e)
{
    if (e->derived)
        return 0;
    int r = seal_keys(e->e.key, &e->rows);
    e->derived = r == 0;
    return r;
}

/* ---- adding ---- */

int keyring_add(struct keyring *k, enum key_kind kind, const uint8_t *key, uint8_t ret_id[KEY_ID_LEN])
{
    struct ring_entry e = {.kind = (uint8_t)kind};
    uint8_t bytes[RING_ENTRY];
    int r = crypto_random(e.id, sizeof e.id);
    if (r == 0 && key == NULL)
        r = crypto_random(e.key, sizeof e.key);
    else if (r == 0)
        memcpy(e.key, key, sizeof e.key);
    if (r == 0)
        r = ring_entry_wrap(k->g.aead, k->g.number, &e, bytes);
    pthread_mutex_lock(&k->lock);
    if (r == 0)
        r = keyring_remember(k, &e, false);
    if (r == 0) {
        r = buf_add(&k->g.image, bytes, sizeof bytes);
        if (r != 0)
            forget(k, 1);
    }
    pthread_mutex_unlock(&k->lock);
    if (r == 0)
        memcpy(ret_id, e.id, KEY_ID_LEN);
    crypto_wipe(&e, sizeof e);
    return r;
}

int keyring_erase(struct keyring *k, struct tomb *tomb, const uint8_t (*ids)[KEY_ID_LEN], size_t n)
{
    pthread_mutex_lock(&k->lock);
    int r = k->turning ? -EAGAIN : 0;
    if (r == 0) {
        tomb->generation = k->g.number + 1;
        r = tombs_add(&k->tombs, tomb);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct entry *e = find(k, ids[i]);
        if (e != NULL && row_kind(e))
            e->leaving = true;
    }
    k->due = k->due || r == 0;
    pthread_mutex_unlock(&k->lock);
    return r;
}

void keyring_abort(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    struct generation *g = &k->g;
    k->due = false;
    if (k->tombs.n > k->journalled) {
        tombs_cut(&k->tombs, k->journalled, k->journalled_bytes);
        for (size_t i = 0; !k->turning && i < k->n; i++)
            k->entries[i].leaving = false;
    }
    if (g->image.len != g->synced) {
        forget(k, (g->image.len - g->synced) / RING_ENTRY);
        g->image.len = g->synced;
        g->image.failed = false;
        for (size_t i = 0; i < k->n_copies; i++) {
            struct ring_copy *c = &k->copies[i];
            if (c->good <= g->synced && !k->turning)
                continue;
            c->good = k->turning ? 0 : g->synced;
            c->ok = false; /* what was written there is cut off by the next sync */
        }
    }
    pthread_mutex_unlock(&k->lock);
}

bool keyring_escrow_ok(struct keyring *k)
{
    bool ok = true;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->n_copies; i++)
        ok = ok && k->copies[i].ok;
    pthread_mutex_unlock(&k->lock);
    return ok;
}

/* ---- looking up ---- */

int keyring_get(struct keyring *k, const uint8_t id[KEY_ID_LEN], enum key_kind *ret_kind, uint8_t ret_key[CRYPTO_KEY])
{
    pthread_mutex_lock(&k->lock);
    const struct entry *e = find(k, id);
    if (e != NULL) {
        *ret_kind = (enum key_kind)e->e.kind;
        memcpy(ret_key, e->e.key, CRYPTO_KEY);
    }
    pthread_mutex_unlock(&k->lock);
    return e == NULL ? KEYRING_ABSENT : 0;
}

int keyring_rows(struct keyring *k, const uint8_t id[KEY_ID_LEN], enum key_kind *ret_kind, struct row_keys *ret_keys)
{
    pthread_mutex_lock(&k->lock);
    struct entry *e = find(k, id);
    int r = e == NULL || !row_kind(e) ? KEYRING_ABSENT : derive(e);
    if (r == 0) {
        *ret_kind = (enum key_kind)e->e.kind;
        *ret_keys = e->rows;
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

int keyring_rows_in(struct keyring *k, const uint8_t id[KEY_ID_LEN], uint32_t month, struct row_keys *ret_keys)
{
    pthread_mutex_lock(&k->lock);
    struct entry *e = find(k, id);
    int r = e == NULL || !row_kind(e) ? KEYRING_ABSENT : derive(e);
    if (r == 0 && !(e->rows.has_month && e->rows.month == month)) {
        e->rows.has_month = false;
        r = seal_ref(&e->rows, month, e->rows.month_ref);
        e->rows.month = month;
        e->rows.has_month = r == 0;
    }
    if (r == 0)
        *ret_keys = e->rows;
    pthread_mutex_unlock(&k->lock);
    return r;
}

int keyring_tenant_rows(struct keyring *k, struct row_keys *ret_keys)
{
    pthread_mutex_lock(&k->lock);
    size_t at = k->newest[KEY_INDEX];
    int r = at == 0 ? KEYRING_ABSENT : derive(&k->entries[at - 1]);
    if (r == 0)
        *ret_keys = k->entries[at - 1].rows;
    pthread_mutex_unlock(&k->lock);
    return r;
}

int keyring_newest(struct keyring *k, enum key_kind kind, uint8_t ret_id[KEY_ID_LEN], uint8_t ret_key[CRYPTO_KEY])
{
    int r = KEYRING_ABSENT;
    pthread_mutex_lock(&k->lock);
    size_t at = (size_t)kind < ARRAY_LEN(k->newest) ? k->newest[kind] : 0;
    if (at != 0) {
        memcpy(ret_id, k->entries[at - 1].e.id, KEY_ID_LEN);
        memcpy(ret_key, k->entries[at - 1].e.key, CRYPTO_KEY);
        r = 0;
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

/* Up to `most` keys more. */
static int cover(struct keyring *k, struct refs_table *t, size_t most)
{
    uint8_t ref[REF_LEN];
    int r = 0;
    size_t end = most < k->n - t->covered ? t->covered + most : k->n;
    for (; r == 0 && t->covered < end; t->covered++) {
        struct entry *e = &k->entries[t->covered];
        if (!row_kind(e))
            continue;
        r = derive(e);
        if (r == 0)
            r = seal_ref(&e->rows, t->month, ref);
        if (r == 0)
            r = refs_add(t, ref, t->covered);
        if (r != 0)
            break;
    }
    return r;
}

int keyring_by_ref(struct keyring *k, uint32_t month, const uint8_t ref[REF_LEN], uint8_t ret_id[KEY_ID_LEN],
                   enum key_kind *ret_kind, struct row_keys *ret_keys)
{
    pthread_mutex_lock(&k->lock);
    struct refs_table *t = refs_table(&k->refs, month);
    int r = cover(k, t, COVER_SLICE);
    /* A table of many thousands takes long, and ingest waits for the lock. One that was dropped meanwhile is made in
     * one go: several readers could do that to each other for ever. */
    for (size_t had = t->covered; r == 0 && t->covered < k->n; had = t->covered) {
        pthread_mutex_unlock(&k->lock);
        pthread_mutex_lock(&k->lock);
        t = refs_table(&k->refs, month);
        r = cover(k, t, t->covered < had ? SIZE_MAX : COVER_SLICE);
    }
    if (r == 0) {
        size_t at = refs_find(t, ref);
        if (at == SIZE_MAX) {
            r = KEYRING_ABSENT;
        } else {
            const struct entry *e = &k->entries[at];
            memcpy(ret_id, e->e.id, KEY_ID_LEN);
            *ret_kind = (enum key_kind)e->e.kind;
            *ret_keys = e->rows;
        }
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

const struct tombs *keyring_tombs(const struct keyring *k)
{
    return &k->tombs;
}

uint64_t keyring_generation(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    uint64_t number = k->g.number;
    pthread_mutex_unlock(&k->lock);
    return number;
}

size_t keyring_count(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    size_t n = k->n;
    pthread_mutex_unlock(&k->lock);
    return n;
}
