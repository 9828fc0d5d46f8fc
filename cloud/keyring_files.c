/* The copies of a ring: opening, healing, adding, and one generation in place of another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/keyring_impl.h"

static struct bytes image_bytes(const struct keyring *k)
{
    return buf_bytes(&k->g.image);
}

void generation_done(struct generation *g)
{
    crypto_aead_free(g->aead);
    buf_wipe(&g->image);
    crypto_wipe(g, sizeof *g);
}

/* Whether the escrow folder that holds `dir` is ours now; everything that writes there asks before. */
static int folder_of(const char *dir, char ret[4096])
{
    const char *slash = strrchr(dir, '/');
    int n = snprintf(ret, 4096, "%.*s", slash == NULL ? 0 : (int)(slash - dir), dir);
    return n < 0 || n >= 4096 ? -ENAMETOOLONG : 0;
}

static int check_folder(const char *dir, const char *installation)
{
    char folder[4096];
    int r = folder_of(dir, folder);
    return r == 0 ? escrow_check(folder, installation) : r;
}

/* Copy 0 is ours. What comes back after it was away is written as a whole: nobody knows where it was. */
static int check_copy(struct keyring *k, size_t i)
{
    int r = i == 0 ? 0 : check_folder(k->copies[i].dir, k->installation);
    if (r < 0) {
        k->copies[i].ok = false;
        k->copies[i].good = 0;
    }
    return r;
}

/* ---- making ---- */

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

int keyring_create(const char *dir, const char *const *escrow, size_t n_escrow, const char *installation)
{
    uint8_t header[RING_HEADER], kek[CRYPTO_KEY];
    char path[4096];
    int r = file_join(path, sizeof path, dir, "ring");
    bool old = r == 0 && file_exists(path);
    for (size_t i = 0; r == 0 && i < n_escrow; i++) {
        r = check_folder(escrow[i], installation);
        if (r == 0)
            r = holds_keys(escrow[i], &old);
    }
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

/* ---- tombstones ---- */

static int tombs_path(const struct keyring *k, size_t i, char *ret, size_t size)
{
    return file_join(ret, size, k->copies[i].dir, "tombstones");
}

static int write_tombs(struct keyring *k, size_t i, size_t bytes)
{
    char path[4096];
    int r = check_copy(k, i);
    if (r == 0)
        r = file_mkdir(k->copies[i].dir, 0700);
    if (r == 0)
        r = tombs_path(k, i, path, sizeof path);
    if (r == 0)
        r = file_write(path, BYTES(k->tombs.file.p, bytes), 0600);
    k->has_tombs[i] = r == 0;
    FAULT_KILL("erase");
    return r;
}

/* The longest one counts, of which the others must be a beginning: it is ours that is written first. */
static int choose_tombs(struct keyring *k, struct buf *files)
{
    size_t best = 0;
    for (size_t i = 1; i < k->n_copies; i++)
        if (files[i].len > files[best].len)
            best = i;
    for (size_t i = 0; i < k->n_copies; i++)
        if (files[i].len > 0 && memcmp(files[i].p, files[best].p, files[i].len) != 0)
            return KEYRING_BAD;
    int r = files[best].len == 0 ? 0 : tombs_read(&k->tombs, buf_bytes(&files[best]));
    for (size_t i = 0; i < k->n_copies; i++)
        k->has_tombs[i] = files[i].len == files[best].len;
    k->journalled = k->tombs.n;
    k->journalled_bytes = k->tombs.file.len;
    return r > 0 ? KEYRING_BAD : r;
}

/* A file that is damaged counts as none; a ring that it belongs to will be found to be newer than the rest. */
static int read_tombs_file(struct keyring *k, size_t i, struct buf *ret)
{
    char path[4096];
    struct tombs t;
    tombs_init(&t);
    int r = tombs_path(k, i, path, sizeof path);
    if (r == 0)
        r = file_read(path, ret);
    if (r == 0 && ret->len > 0)
        r = tombs_read(&t, buf_bytes(ret));
    tombs_done(&t);
    if (r == 0 || r == -ENOENT)
        return 0;
    log_warn("keyring.tombstones", "folder=%s reason=%s", log_q(k->copies[i].dir),
             log_q(r < 0 ? error_str(r) : "damaged"));
    buf_reset(ret);
    return r < 0 && i == 0 ? r : 0;
}

static int read_tombs(struct keyring *k)
{
    struct buf files[1 + ESCROW_MAX] = {{0}};
    int r = 0;
    for (size_t i = 0; i < k->n_copies; i++) {
        buf_init(&files[i], TOMBS_MAX);
        if (r == 0)
            r = read_tombs_file(k, i, &files[i]);
    }
    if (r == 0)
        r = choose_tombs(k, files);
    for (size_t i = 0; i < k->n_copies; i++)
        buf_done(&files[i]);
    return r;
}

/* ---- opening ---- */

/* A ring, or a staged one, of some copy. */
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

static int candidate_read(const char *dir, bool next, struct candidate *ret)
{
    buf_init(&ret->image, RING_MAX);
    int r = ring_copy_read(dir, next, &ret->image, ret->kek);
    if (r == 0)
        r = ring_header_parse(buf_bytes(&ret->image), &ret->generation);
    if (r == 0)
        ret->length = ring_valid_length(buf_bytes(&ret->image));
    return r;
}

/* Every usable copy of a generation must be a prefix of the longest one, under one KEK. */
static bool agree(const struct candidate *a, const struct candidate *b)
{
    size_t n = a->length < b->length ? a->length : b->length;
    return crypto_equal(a->kek, b->kek, CRYPTO_KEY) && memcmp(a->image.p, b->image.p, n) == 0;
}

/* The longest of a generation; NULL: none. */
static const struct candidate *longest(const struct candidate *c, size_t n, uint64_t generation)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (c[i].length > 0 && c[i].generation == generation && (best == NULL || c[i].length > best->length))
            best = &c[i];
    return best;
}

/* The keys of the generation before, which the one that is journalled lacks. */
static int remember_leaving(struct keyring *k, const struct candidate *former)
{
    struct crypto_aead *aead = NULL;
    struct ring_entry e;
    int r = crypto_aead_new(former->kek, &aead);
    for (size_t at = RING_HEADER; r == 0 && at < former->length; at += RING_ENTRY) {
        r = ring_entry_unwrap(aead, former->generation, former->image.p + at, &e);
        if (r == 0 && !keyring_knows(k, e.id))
            r = keyring_remember(k, &e, true);
    }
    crypto_wipe(&e, sizeof e);
    crypto_aead_free(aead);
    return r == RING_BAD ? KEYRING_BAD : r;
}

static int unwrap_all(struct keyring *k)
{
    struct ring_entry e;
    int r = crypto_aead_new(k->g.kek, &k->g.aead);
    for (size_t at = RING_HEADER; r == 0 && at < k->g.image.len; at += RING_ENTRY) {
        r = ring_entry_unwrap(k->g.aead, k->g.number, k->g.image.p + at, &e);
        if (r == 0)
            r = keyring_remember(k, &e, false);
        else if (r == RING_BAD)
            r = KEYRING_BAD;
    }
    crypto_wipe(&e, sizeof e);
    return r;
}

static void judge_copies(struct keyring *k, const struct candidate *c)
{
    for (size_t i = 0; i < k->n_copies; i++) {
        const struct candidate *own = &c[2 * i];
        size_t length = own->generation == k->g.number ? own->length : 0;
        bool clean = length > 0 && ring_copy_clean(k->copies[i].dir);
        bool whole = clean && length == k->g.synced && own->image.len == k->g.synced;
        k->copies[i].good = clean ? length : 0;
        k->copies[i].ok = whole && k->has_tombs[i];
        k->turning = k->turning || (k->g.number > 1 && !clean);
        if (!whole)
            log_warn("keyring.healed", "folder=%s had=%zu valid=%zu now=%zu", log_q(k->copies[i].dir), own->image.len,
                     length, k->g.synced);
    }
}

/* The journal says which generation counts: one that is staged and not in it does not, one that is older than it is
 * not opened alone. */
static int take(struct keyring *k, const struct candidate *c, size_t n)
{
    uint64_t number = tombs_generation(&k->tombs);
    const struct candidate *best = longest(c, n, number), *former = longest(c, n, number - 1);
    if (best == NULL)
        return KEYRING_BAD;
    for (size_t i = 0; i < n; i += 2) /* a ring in place is never ahead of its tombstones */
        if (c[i].length > 0 && c[i].generation > number)
            return KEYRING_BAD;
    for (size_t i = 0; i < n; i++)
        if (c[i].length > 0 && c[i].generation == number && !agree(&c[i], best))
            return KEYRING_BAD;
    k->g.number = number;
    memcpy(k->g.kek, best->kek, sizeof k->g.kek);
    int r = buf_add(&k->g.image, best->image.p, best->length);
    k->g.synced = best->length;
    if (r == 0)
        r = unwrap_all(k);
    if (r == 0 && former != NULL)
        r = remember_leaving(k, former);
    if (r == 0)
        judge_copies(k, c);
    return r;
}

static int read_copies(struct keyring *k)
{
    struct candidate *c = calloc(2 * k->n_copies, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; r == 0 && i < 2 * k->n_copies; i++) {
        bool next = i % 2 == 1;
        int rr = candidate_read(k->copies[i / 2].dir, next, &c[i]);
        if (rr == 0 || (next && rr == -ENOENT))
            continue;
        c[i].length = 0;
        log_warn("keyring.copy", "folder=%s staged=%d reason=%s", log_q(k->copies[i / 2].dir), next,
                 log_q(rr == -ENOENT ? "ring or kek is missing"
                       : rr < 0      ? error_str(rr)
                                     : "damaged"));
        if (i == 0 && rr < 0 && rr != -ENOENT)
            r = rr; /* our own, unreadable now: not the time to overwrite it */
    }
    if (r == 0)
        r = take(k, c, 2 * k->n_copies);
    for (size_t i = 0; i < 2 * k->n_copies; i++)
        candidate_done(&c[i]);
    free(c);
    return r;
}

/* ---- writing ---- */

static int copy_write(struct keyring *k, size_t i, struct bytes image)
{
    struct ring_copy *c = &k->copies[i];
    int r = check_copy(k, i);
    if (r < 0)
        return r;
    r = k->has_tombs[i] || k->journalled_bytes == 0 ? 0 : write_tombs(k, i, k->journalled_bytes);
    if (r == 0 && k->turning) {
        r = ring_copy_stage(c, image, k->g.kek);
        c->ok = r == 0;
    } else if (r == 0) {
        r = ring_copy_write(c, image, k->g.kek);
    } else {
        c->ok = false;
    }
    if (r < 0)
        log_error("keyring.sync", "folder=%s error=%s action=\"no new key is used until it works\"", log_q(c->dir),
                  log_q(error_str(r)));
    return r;
}

/* A copy that a write failed on, or that holds keys forgotten since, is brought to what all agree on before any copy
 * gets more: else a crash in between could leave two copies that contradict each other. */
static int even_out(struct keyring *k)
{
    int r = 0;
    for (size_t i = 0; i < k->n_copies; i++) {
        int rr = k->copies[i].ok ? 0 : copy_write(k, i, BYTES(k->g.image.p, k->g.synced));
        if (r == 0)
            r = rr;
    }
    return r;
}

int keyring_sync(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    int r = even_out(k);
    if (k->g.image.len == k->g.synced) {
        r = 0; /* a folder that fails holds up new keys only: rows under keys that it has may go on */
    } else {
        /* Ours goes last: if it fails the others hold keys that no row uses, which is harmless. */
        for (size_t i = k->n_copies; r == 0 && i-- > 0;)
            r = copy_write(k, i, image_bytes(k));
        if (r == 0)
            k->g.synced = k->g.image.len;
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

void keyring_heal(struct keyring *k)
{
    char folder[4096];
    pthread_mutex_lock(&k->lock);
    for (size_t i = 1; i < k->n_copies; i++)
        if (folder_of(k->copies[i].dir, folder) != 0 || !escrow_marked(folder, k->installation))
            k->copies[i].ok = false;
    even_out(k); /* logs */
    pthread_mutex_unlock(&k->lock);
}

/* Ours must be written; escrow that cannot be is tried again at every sync. */
static int heal(struct keyring *k)
{
    int r = even_out(k);
    return k->copies[0].ok ? 0 : r;
}

int keyring_open(const char *dir, const char *const *escrow, size_t n_escrow, const char *installation,
                 struct keyring **ret_ring)
{
    if (n_escrow > ESCROW_MAX)
        return -EINVAL;
    struct keyring *k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    pthread_mutex_init(&k->lock, NULL);
    buf_init(&k->g.image, RING_MAX);
    tombs_init(&k->tombs);
    int r = str_copy(k->installation, sizeof k->installation, installation);
    for (size_t i = 0; r == 0 && i < 1 + n_escrow; i++) {
        k->copies[i].dir = strdup(i == 0 ? dir : escrow[i - 1]);
        if (k->copies[i].dir == NULL)
            r = -ENOMEM;
        k->n_copies = i + 1;
    }
    if (r == 0)
        r = read_tombs(k);
    if (r == 0)
        r = read_copies(k);
    if (r == 0 && !k->turning)
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
    tombs_done(&k->tombs);
    generation_done(&k->g);
    pthread_mutex_destroy(&k->lock);
    crypto_wipe(k, sizeof *k);
    free(k);
}

/* ---- one generation in place of another ---- */

/* All keys but the leaving ones, wrapped anew under a fresh KEK. */
static int generation_make(const struct keyring *k, struct generation *ret)
{
    uint8_t bytes[RING_ENTRY];
    struct generation g = {.number = k->g.number + 1};
    buf_init(&g.image, RING_MAX);
    int r = crypto_random(g.kek, sizeof g.kek);
    if (r == 0)
        r = crypto_aead_new(g.kek, &g.aead);
    ring_header(g.number, bytes);
    if (r == 0)
        r = buf_add(&g.image, bytes, RING_HEADER);
    for (size_t i = 0; r == 0 && i < k->n; i++) {
        if (k->entries[i].leaving)
            continue;
        r = ring_entry_wrap(g.aead, g.number, &k->entries[i].e, bytes);
        if (r == 0)
            r = buf_add(&g.image, bytes, sizeof bytes);
    }
    g.synced = g.image.len;
    if (r == 0)
        *ret = g;
    else
        generation_done(&g);
    crypto_wipe(&g, sizeof g);
    return r;
}

static int stage(struct keyring *k, const struct generation *next)
{
    int r = 0;
    for (size_t i = k->n_copies; r == 0 && i-- > 0;) {
        r = check_copy(k, i);
        if (r == 0)
            r = ring_copy_stage(&k->copies[i], buf_bytes(&next->image), next->kek);
        if (r < 0)
            log_error("keyring.stage", "folder=%s error=%s action=\"nothing is erased\"", log_q(k->copies[i].dir),
                      log_q(error_str(r)));
    }
    return r;
}

/* Whether a copy may hold more than what is journalled; one that cannot be read may. */
static bool may_hold_entry(const struct keyring *k, size_t i)
{
    char path[4096];
    struct buf b;
    buf_init(&b, TOMBS_MAX);
    int r = tombs_path(k, i, path, sizeof path);
    if (r == 0)
        r = file_read(path, &b);
    bool may = r == 0 ? b.len > k->journalled_bytes : r != -ENOENT && r != -ENOTDIR && r != -EISDIR;
    buf_done(&b);
    return may;
}

/* Ours first: whatever copy has the entry, ours has it. When a later copy fails the entry is taken back; if that fails,
 * too, *ret_stands, and the erasure happens. */
static int journal(struct keyring *k, bool *ret_stands)
{
    size_t i = 0;
    int r = 0;
    for (; r == 0 && i < k->n_copies; i++)
        r = write_tombs(k, i, k->tombs.file.len);
    *ret_stands = r == 0;
    if (r == 0)
        return 0;
    log_error("keyring.journal", "folder=%s error=%s", log_q(k->copies[i - 1].dir), log_q(error_str(r)));
    while (i-- > 0) {
        if (write_tombs(k, i, k->journalled_bytes) == 0)
            continue;
        k->copies[i].ok = false; /* written again before it gets a key */
        *ret_stands = *ret_stands || may_hold_entry(k, i);
    }
    return r;
}

static int turn(struct keyring *k)
{
    struct generation next;
    bool stands = false;
    int r = generation_make(k, &next);
    if (r != 0)
        return r;
    r = stage(k, &next);
    if (r == 0)
        r = journal(k, &stands);
    if (!stands) {
        for (size_t i = 0; i < k->n_copies; i++)
            if (check_copy(k, i) == 0)
                ring_copy_unstage(k->copies[i].dir);
        generation_done(&next);
        return r;
    }
    generation_done(&k->g);
    k->g = next;
    crypto_wipe(&next, sizeof next);
    k->turning = true;
    k->journalled = k->tombs.n;
    k->journalled_bytes = k->tombs.file.len;
    for (size_t i = 0; i < k->n_copies; i++)
        k->copies[i].ok = k->has_tombs[i] = k->has_tombs[i] && r == 0;
    return r;
}

int keyring_turn(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    k->due = false;
    int r = even_out(k);
    if (r == 0 && !k->turning && k->tombs.n > k->journalled)
        r = turn(k);
    pthread_mutex_unlock(&k->lock);
    return r;
}

int keyring_turned(struct keyring *k)
{
    int r = 0;
    pthread_mutex_lock(&k->lock);
    if (k->turning) {
        k->turning = false;
        keyring_drop_leaving(k);
        for (size_t i = 0; i < k->n_copies; i++) {
            k->copies[i].good = 0; /* anew as a whole, which destroys what else is there */
            k->copies[i].ok = false;
        }
        r = heal(k);
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

bool keyring_journalled(struct keyring *k, const uint8_t id[TOMB_ID])
{
    bool found = false;
    pthread_mutex_lock(&k->lock);
    for (size_t i = k->journalled; !found && i-- > 0;)
        found = memcmp(k->tombs.items[i].id, id, TOMB_ID) == 0;
    pthread_mutex_unlock(&k->lock);
    return found;
}

void keyring_redo(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    k->due = true;
    pthread_mutex_unlock(&k->lock);
}

bool keyring_due(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    bool due = k->due;
    pthread_mutex_unlock(&k->lock);
    return due;
}

bool keyring_settled(struct keyring *k)
{
    bool settled;
    pthread_mutex_lock(&k->lock);
    settled = !k->turning;
    for (size_t i = 0; i < k->n_copies; i++)
        settled = settled && k->copies[i].ok;
    pthread_mutex_unlock(&k->lock);
    return settled;
}
