/* The keys in RAM, over ring.c's files. */
#include "cloud/keyring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "cloud/refs.h"
#include "cloud/ring.h"

#define ESCROW_MAX 8
#define COVER_SLICE 256

struct entry {
    struct ring_entry e;
    bool derived;
    struct row_keys rows;
};

struct keyring {
    pthread_mutex_t lock;
    uint64_t generation;
    uint8_t kek[CRYPTO_KEY];
    struct crypto_aead *aead;
    struct buf image;
    size_t synced; /* bytes of image that every copy has */
    size_t n_copies;
    struct ring_copy copies[1 + ESCROW_MAX]; /* [0] is ours, the others are escrow */

    size_t n, cap;
    struct entry *entries;
    size_t hash_cap;
    uint32_t *hash; /* index + 1 */
    struct refs refs;
    size_t newest[KEY_INDEX + 1]; /* index + 1 of the newest key of a kind */
};

static struct bytes image_bytes(const struct keyring *k)
{
    return buf_bytes(&k->image);
}

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
    struct entry *e = calloc(cap, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    if (k->n > 0)
        memcpy(e, k->entries, k->n * sizeof *e);
    if (k->entries != NULL)
        crypto_wipe(k->entries, k->cap * sizeof *e);
    free(k->entries);
    k->entries = e;
    k->cap = cap;
    return rehash(k, cap * 2);
}

static int remember(struct keyring *k, const struct ring_entry *e)
{
    if (k->n == k->cap) {
        int r = grow(k);
        if (r != 0)
            return r;
    }
    k->entries[k->n] = (struct entry){.e = *e};
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

/* The last n entries are forgotten. */
static void forget(struct keyring *k, size_t n)
{
    k->n -= n;
    crypto_wipe(k->entries + k->n, n * sizeof *k->entries);
    memset(k->hash, 0, k->hash_cap * sizeof *k->hash);
    memset(k->newest, 0, sizeof k->newest);
    for (size_t i = 0; i < k->n; i++) {
        const struct ring_entry *e = &k->entries[i].e;
        k->hash[hash_slot(k, e->id)] = (uint32_t)i + 1;
        if (e->kind < ARRAY_LEN(k->newest))
            k->newest[e->kind] = i + 1;
    }
}

static int derive(struct entry *e)
{
    if (e->derived)
        return 0;
    int r = seal_keys(e->e.key, &e->rows);
    e->derived = r == 0;
    return r;
}

/* ---- files ---- */

/* Sets *ret_holds when a ring with keys in it is there; leaves it alone otherwise. */
static int holds_keys(const char *dir, bool *ret_holds)
{
    char path[4096];
    struct stat st;
    int r = file_join(path, sizeof path, dir, "ring");
    if (r == 0 && stat(path, &st) == 0 && st.st_size > RING_HEADER)
        *ret_holds = true;
    return r;
}

int keyring_create(const char *dir, const char *const *escrow, size_t n_escrow)
{
    uint8_t header[RING_HEADER], kek[CRYPTO_KEY];
    char path[4096];
    int r = file_join(path, sizeof path, dir, "ring");
    bool old = r == 0 && file_exists(path);
    for (size_t i = 0; r == 0 && i < n_escrow; i++)
        r = holds_keys(escrow[i], &old);
    if (r == 0 && old)
        r = -EEXIST;
    if (r == 0)
        r = crypto_random(kek, sizeof kek);
    ring_header(1, header);
    /* Escrow first: a ring of ours implies its copies. */
    for (size_t i = n_escrow + 1; r == 0 && i-- > 0;) {
        union {
            const char *in;
            char *out;
        } where = {.in = i == 0 ? dir : escrow[i - 1]};
        struct ring_copy c = {.dir = where.out};
        r = ring_copy_write(&c, BYTES(header, sizeof header), kek);
    }
    crypto_wipe(kek, sizeof kek);
    return r;
}

struct candidate {
    struct buf image;
    uint8_t kek[CRYPTO_KEY];
    uint64_t generation;
    size_t length; /* its valid prefix; 0 = nothing usable */
};

static void candidate_done(struct candidate *c)
{
    buf_wipe(&c->image);
    crypto_wipe(c->kek, sizeof c->kek);
}

static int candidate_read(const char *dir, struct candidate *ret)
{
    buf_init(&ret->image, RING_MAX);
    int r = ring_copy_read(dir, &ret->image, ret->kek);
    if (r == 0)
        r = ring_header_parse(buf_bytes(&ret->image), &ret->generation);
    if (r == 0)
        ret->length = ring_valid_length(buf_bytes(&ret->image));
    return r;
}

/* Every usable copy must be a prefix of the longest one, under one KEK. */
static bool agree(const struct candidate *a, const struct candidate *b)
{
    size_t n = a->length < b->length ? a->length : b->length;
    return a->generation == b->generation && crypto_equal(a->kek, b->kek, CRYPTO_KEY) &&
           memcmp(a->image.p, b->image.p, n) == 0;
}

static int take_longest(struct keyring *k, struct candidate *c, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (c[i].length > c[best].length)
            best = i;
    if (c[best].length == 0)
        return KEYRING_BAD;
    for (size_t i = 0; i < n; i++)
        if (c[i].length > 0 && !agree(&c[i], &c[best]))
            return KEYRING_BAD;
    k->generation = c[best].generation;
    memcpy(k->kek, c[best].kek, sizeof k->kek);
    int r = buf_add(&k->image, c[best].image.p, c[best].length);
    k->synced = c[best].length;
    for (size_t i = 0; i < n; i++) {
        bool whole = c[i].length == k->synced && c[i].image.len == k->synced;
        k->copies[i].good = c[i].length;
        k->copies[i].ok = whole;
        if (r == 0 && !whole)
            log_warn("keyring.healed", "folder=%s had=%zu valid=%zu now=%zu", log_q(k->copies[i].dir), c[i].image.len,
                     c[i].length, k->synced);
    }
    return r;
}

static int read_copies(struct keyring *k)
{
    struct candidate *c = calloc(k->n_copies, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; r == 0 && i < k->n_copies; i++) {
        int rr = candidate_read(k->copies[i].dir, &c[i]);
        if (rr == 0)
            continue;
        c[i].length = 0;
        log_warn("keyring.copy", "folder=%s reason=%s", log_q(k->copies[i].dir),
                 log_q(rr < 0 ? error_str(rr) : "damaged"));
        if (i == 0 && rr < 0 && rr != -ENOENT)
            r = rr; /* our own, unreadable now: not the time to overwrite it */
    }
    if (r == 0)
        r = take_longest(k, c, k->n_copies);
    for (size_t i = 0; i < k->n_copies; i++)
        candidate_done(&c[i]);
    free(c);
    return r;
}

static int unwrap_all(struct keyring *k)
{
    struct ring_entry e;
    int r = crypto_aead_new(k->kek, &k->aead);
    for (size_t at = RING_HEADER; r == 0 && at < k->image.len; at += RING_ENTRY) {
        r = ring_entry_unwrap(k->aead, k->generation, k->image.p + at, &e);
        if (r == 0)
            r = remember(k, &e);
        else if (r == RING_BAD)
            r = KEYRING_BAD;
    }
    crypto_wipe(&e, sizeof e);
    return r;
}

/* Ours must be written; escrow that cannot be is tried again at every sync. */
static int heal(struct keyring *k)
{
    for (size_t i = 0; i < k->n_copies; i++) {
        if (k->copies[i].ok)
            continue;
        int r = ring_copy_write(&k->copies[i], image_bytes(k), k->kek);
        if (r < 0 && i == 0)
            return r;
        if (r < 0)
            log_error("keyring.escrow", "folder=%s error=%s, no new key is used until it works",
                      log_q(k->copies[i].dir), log_q(error_str(r)));
    }
    return 0;
}

int keyring_open(const char *dir, const char *const *escrow, size_t n_escrow, struct keyring **ret_ring)
{
    if (n_escrow > ESCROW_MAX)
        return -EINVAL;
    struct keyring *k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    pthread_mutex_init(&k->lock, NULL);
    buf_init(&k->image, RING_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < 1 + n_escrow; i++) {
        k->copies[i].dir = strdup(i == 0 ? dir : escrow[i - 1]);
        if (k->copies[i].dir == NULL)
            r = -ENOMEM;
        k->n_copies = i + 1;
    }
    if (r == 0)
        r = read_copies(k);
    if (r == 0)
        r = unwrap_all(k);
    if (r == 0)
        r = heal(k);
    if (r != 0) {
        keyring_close(k);
        return r;
    }
    *ret_ring = k;
    return 0;
}

void keyring_close(struct keyring *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n_copies; i++)
        free(k->copies[i].dir);
    if (k->entries != NULL)
        crypto_wipe(k->entries, k->cap * sizeof *k->entries);
    free(k->entries);
    free(k->hash);
    refs_done(&k->refs);
    buf_wipe(&k->image);
    crypto_aead_free(k->aead);
    pthread_mutex_destroy(&k->lock);
    crypto_wipe(k, sizeof *k);
    free(k);
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
        r = ring_entry_wrap(k->aead, k->generation, &e, bytes);
    pthread_mutex_lock(&k->lock);
    if (r == 0)
        r = remember(k, &e);
    if (r == 0) {
        r = buf_add(&k->image, bytes, sizeof bytes);
        if (r != 0)
            forget(k, 1);
    }
    pthread_mutex_unlock(&k->lock);
    if (r == 0)
        memcpy(ret_id, e.id, KEY_ID_LEN);
    crypto_wipe(&e, sizeof e);
    return r;
}

static int copy_write(struct keyring *k, size_t i, struct bytes image)
{
    int r = ring_copy_write(&k->copies[i], image, k->kek);
    if (r < 0)
        log_error("keyring.sync", "folder=%s error=%s, not committing", log_q(k->copies[i].dir), log_q(error_str(r)));
    return r;
}

/* A copy that a write failed on, or that holds keys forgotten since, is brought to what all agree on before any copy
 * gets more: else a crash in between could leave two copies that contradict each other. */
static int even_out(struct keyring *k)
{
    int r = 0;
    for (size_t i = 0; i < k->n_copies; i++) {
        int rr = k->copies[i].ok ? 0 : copy_write(k, i, BYTES(k->image.p, k->synced));
        if (r == 0)
            r = rr;
    }
    return r;
}

int keyring_sync(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    int r = even_out(k);
    if (k->image.len == k->synced) {
        r = 0; /* a folder that fails holds up new keys only: rows under keys that it has may go on */
    } else {
        /* Ours goes last: if it fails the others hold keys that no row uses, which is harmless. */
        for (size_t i = k->n_copies; r == 0 && i-- > 0;)
            r = copy_write(k, i, image_bytes(k));
        if (r == 0)
            k->synced = k->image.len;
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

void keyring_abort(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    if (k->image.len != k->synced) {
        forget(k, (k->image.len - k->synced) / RING_ENTRY);
        k->image.len = k->synced;
        k->image.failed = false;
        for (size_t i = 0; i < k->n_copies; i++) {
            struct ring_copy *c = &k->copies[i];
            if (c->good <= k->synced)
                continue;
            c->good = k->synced;
            c->ok = false; /* what was written there is cut off by the next sync */
        }
        refs_done(&k->refs); /* its tables may point at what is gone */
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

static bool row_kind(const struct entry *e)
{
    return e->e.kind == KEY_PERSON || e->e.kind == KEY_WAITING;
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

uint64_t keyring_generation(const struct keyring *k)
{
    return k->generation;
}

size_t keyring_count(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    size_t n = k->n;
    pthread_mutex_unlock(&k->lock);
    return n;
}
