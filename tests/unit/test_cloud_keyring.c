/* The ring and its copies: torn tails, lost and broken escrow, damage, and keys that were never committed. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/keyring.h"
#include "cloud/ring.h"

struct rings {
    char dir[64], own[96], a[96], b[96];
    const char *escrow[2];
};

#define ID "0123456789abcdef"

static void mark(const struct rings *x, const char *name)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%s/%s", x->dir, name);
    assert_int_equal(file_mkdir(folder, 0700), 0);
    assert_int_equal(escrow_adopt(folder, ID), 0);
}

static int setup(void **state)
{
    struct rings *x = calloc(1, sizeof *x);
    assert_int_equal(crypto_init(), 0);
    tmp_dir(x->dir, sizeof x->dir);
    snprintf(x->own, sizeof x->own, "%s/own", x->dir);
    snprintf(x->a, sizeof x->a, "%s/a/acme", x->dir);
    snprintf(x->b, sizeof x->b, "%s/b/acme", x->dir);
    x->escrow[0] = x->a;
    x->escrow[1] = x->b;
    mark(x, "a");
    mark(x, "b");
    assert_int_equal(keyring_create(x->own, x->escrow, 2, ID), 0);
    assert_int_equal(keyring_create(x->own, x->escrow, 2, ID), -EEXIST);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct rings *x = *state;
    tmp_remove(x->dir);
    free(x);
    return 0;
}

static struct keyring *reopen(const struct rings *x)
{
    struct keyring *k = NULL;
    assert_int_equal(keyring_open(x->own, x->escrow, 2, ID, &k), 0);
    return k;
}

static off_t size_of(const char *dir)
{
    char path[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/ring", dir);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void cut(const char *dir, off_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/ring", dir);
    assert_int_equal(truncate(path, size), 0);
}

static void flip(const char *dir, const char *file, off_t at)
{
    char path[160];
    uint8_t b;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    assert_int_equal(fread(&b, 1, 1, f), 1);
    b ^= 0x10;
    fseek(f, at, SEEK_SET);
    assert_int_equal(fwrite(&b, 1, 1, f), 1);
    fclose(f);
}

static void add(struct keyring *k, enum key_kind kind, size_t n, uint8_t (*ret_ids)[KEY_ID_LEN])
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(keyring_add(k, kind, NULL, ret_ids[i]), 0);
    assert_int_equal(keyring_sync(k), 0);
}

static bool has(struct keyring *k, const uint8_t id[KEY_ID_LEN])
{
    enum key_kind kind;
    uint8_t key[CRYPTO_KEY];
    return keyring_get(k, id, &kind, key) == 0;
}

static void keys_survive(void **state)
{
    struct rings *x = *state;
    struct keyring *k = reopen(x);
    static uint8_t ids[300][KEY_ID_LEN];
    uint8_t keys[300][CRYPTO_KEY], again[CRYPTO_KEY], id[KEY_ID_LEN];
    enum key_kind kind;
    add(k, KEY_PERSON, 300, ids);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(keyring_get(k, ids[i], &kind, keys[i]), 0);
    keyring_close(k);
    assert_int_equal(size_of(x->own), RING_HEADER + 300 * RING_ENTRY);
    assert_int_equal(size_of(x->a), size_of(x->own));
    assert_int_equal(size_of(x->b), size_of(x->own));

    k = reopen(x);
    assert_int_equal(keyring_count(k), 300);
    assert_int_equal(keyring_generation(k), 1);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(keyring_get(k, ids[i], &kind, again), 0);
        assert_int_equal(kind, KEY_PERSON);
        assert_memory_equal(again, keys[i], CRYPTO_KEY);
    }
    assert_int_equal(keyring_newest(k, KEY_PERSON, id, again), 0);
    assert_memory_equal(id, ids[299], KEY_ID_LEN);
    assert_int_equal(keyring_newest(k, KEY_INDEX, id, again), KEYRING_ABSENT);
    keyring_close(k);
}

static void nothing_in_the_clear(void **state)
{
    struct rings *x = *state;
    struct keyring *k = reopen(x);
    uint8_t ids[1][KEY_ID_LEN], key[CRYPTO_KEY];
    enum key_kind kind;
    char path[160];
    struct buf b;
    struct stat st;
    add(k, KEY_PERSON, 1, ids);
    assert_int_equal(keyring_get(k, ids[0], &kind, key), 0);
    keyring_close(k);
    snprintf(path, sizeof path, "%s/ring", x->own);
    buf_init(&b, 4096);
    assert_int_equal(file_read(path, &b), 0);
    assert_non_null(memmem(b.p, b.len, ids[0], KEY_ID_LEN)); /* the search finds what is there */
    assert_null(memmem(b.p, b.len, key, CRYPTO_KEY));
    buf_done(&b);
    snprintf(path, sizeof path, "%s/kek", x->a);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, CRYPTO_KEY);
}

/* Cut at every byte of the last entry, in all copies: the entry is gone, the others stay, adding goes on. */
static void torn_tail_is_cut(void **state)
{
    struct rings *x = *state;
    uint8_t ids[3][KEY_ID_LEN], more[1][KEY_ID_LEN];
    struct keyring *k = reopen(x);
    add(k, KEY_WAITING, 3, ids);
    keyring_close(k);
    off_t full = size_of(x->own);
    for (off_t n = full - 1; n > full - RING_ENTRY; n -= 9) {
        cut(x->own, n);
        cut(x->a, n);
        cut(x->b, n);
        k = reopen(x);
        assert_int_equal(keyring_count(k), 2);
        assert_true(has(k, ids[0]) && has(k, ids[1]) && !has(k, ids[2]));
        assert_int_equal(size_of(x->own), full - RING_ENTRY);
        add(k, KEY_WAITING, 1, more);
        keyring_close(k);
        assert_int_equal(size_of(x->b), full);
    }
}

static void copies_heal_each_other(void **state)
{
    struct rings *x = *state;
    uint8_t ids[4][KEY_ID_LEN];
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 4, ids);
    keyring_close(k);
    off_t full = size_of(x->own);

    cut(x->own, full - 100); /* torn here, whole in escrow */
    cut(x->a, RING_HEADER);
    k = reopen(x);
    assert_int_equal(keyring_count(k), 4);
    keyring_close(k);
    assert_int_equal(size_of(x->own), full);
    assert_int_equal(size_of(x->a), full);

    tmp_remove(x->own); /* the disk is gone */
    k = reopen(x);
    assert_int_equal(keyring_count(k), 4);
    keyring_close(k);
    assert_int_equal(size_of(x->own), full);
}

/* A KEK that opens nothing makes its copy worthless, not the others. Two that open each a ring of their own are two
 * truths. */
static void contradicting_copies_are_refused(void **state)
{
    struct rings *x = *state;
    uint8_t ids[2][KEY_ID_LEN], other[1][KEY_ID_LEN];
    char elsewhere[160];
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 2, ids);
    keyring_close(k);
    flip(x->a, "kek", 3);
    k = reopen(x);
    assert_true(has(k, ids[0]) && has(k, ids[1]));
    keyring_close(k);

    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", x->dir);
    assert_int_equal(keyring_create(elsewhere, NULL, 0, ""), 0);
    assert_int_equal(keyring_open(elsewhere, NULL, 0, "", &k), 0);
    add(k, KEY_PERSON, 1, other);
    keyring_close(k);
    tmp_remove(x->a);
    assert_int_equal(rename(elsewhere, x->a), 0);
    k = NULL;
    assert_int_equal(keyring_open(x->own, x->escrow, 2, ID, &k), KEYRING_BAD);
    assert_null(k);
}

static void aborted_keys_are_gone(void **state)
{
    struct rings *x = *state;
    uint8_t kept[1][KEY_ID_LEN], staged[100][KEY_ID_LEN], key[CRYPTO_KEY], id[KEY_ID_LEN], ref[REF_LEN];
    struct row_keys rows;
    enum key_kind kind;
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 1, kept);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(keyring_add(k, KEY_WAITING, NULL, staged[i]), 0);
    assert_int_equal(keyring_rows(k, staged[7], &kind, &rows), 0);
    assert_int_equal(seal_ref(&rows, 24300, ref), 0);
    assert_int_equal(keyring_by_ref(k, 24300, ref, id, &kind, &rows), 0);
    assert_memory_equal(id, staged[7], KEY_ID_LEN);
    keyring_abort(k);
    assert_int_equal(keyring_count(k), 1);
    assert_true(has(k, kept[0]) && !has(k, staged[7]));
    assert_int_equal(keyring_newest(k, KEY_WAITING, id, key), KEYRING_ABSENT);
    assert_int_equal(keyring_by_ref(k, 24300, ref, id, &kind, &rows), KEYRING_ABSENT);
    keyring_close(k);
    k = reopen(x);
    assert_int_equal(keyring_count(k), 1);
    keyring_close(k);
}

/* A file where the escrow folder should be: not even root can write there. */
static void break_escrow(const struct rings *x)
{
    tmp_remove(x->b);
    FILE *f = fopen(x->b, "w");
    assert_non_null(f);
    fclose(f);
}

static void no_key_without_escrow(void **state)
{
    struct rings *x = *state;
    uint8_t ids[1][KEY_ID_LEN], id[KEY_ID_LEN];
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 1, ids);
    break_escrow(x);
    assert_int_equal(keyring_add(k, KEY_PERSON, NULL, id), 0);
    assert_true(keyring_sync(k) < 0);
    assert_false(keyring_escrow_ok(k));
    keyring_abort(k);
    assert_false(has(k, id));
    assert_int_equal(keyring_sync(k), 0); /* nothing new: what escrow has may be used on */

    assert_int_equal(unlink(x->b), 0);
    add(k, KEY_PERSON, 1, &id);
    assert_true(keyring_escrow_ok(k));
    keyring_close(k);
    assert_int_equal(size_of(x->b), RING_HEADER + 2 * RING_ENTRY);
    assert_int_equal(size_of(x->own), size_of(x->b));
    k = reopen(x);
    assert_true(has(k, ids[0]) && has(k, id));
    keyring_close(k);
}

/* A sync that fails half-way leaves keys in some of the copies; what is written after them must not stand in one copy
 * beside them in another, or the next start would find two truths. */
static void a_failed_sync_leaves_copies_that_agree(void **state)
{
    struct rings *x = *state;
    uint8_t ids[1][KEY_ID_LEN], id[KEY_ID_LEN];
    char aside[160], kek[200];
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 1, ids);
    break_escrow(x);
    assert_int_equal(keyring_add(k, KEY_PERSON, NULL, id), 0);
    assert_true(keyring_sync(k) < 0); /* b lacks the key, the others may have it */
    keyring_abort(k);
    assert_int_equal(unlink(x->b), 0);

    assert_int_equal(keyring_add(k, KEY_PERSON, NULL, id), 0);
    snprintf(aside, sizeof aside, "%s/aside", x->dir); /* the process dies before it comes to its own copy */
    assert_int_equal(rename(x->own, aside), 0);
    FILE *f = fopen(x->own, "w");
    assert_non_null(f);
    fclose(f);
    assert_true(keyring_sync(k) < 0);
    keyring_close(k);
    assert_int_equal(unlink(x->own), 0);
    assert_int_equal(rename(aside, x->own), 0);

    k = reopen(x);
    assert_true(has(k, ids[0]));
    add(k, KEY_PERSON, 1, &id);
    keyring_close(k);
    assert_int_equal(size_of(x->a), size_of(x->own));
    assert_int_equal(size_of(x->b), size_of(x->own));
    snprintf(kek, sizeof kek, "%s/kek", x->b);
    assert_true(file_exists(kek));
}

/* The state folder is lost and made anew over the escrow of before: what lies there may be all that is left. */
static void escrow_of_before_is_not_overwritten(void **state)
{
    struct rings *x = *state;
    uint8_t ids[1][KEY_ID_LEN];
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 1, ids);
    keyring_close(k);
    tmp_remove(x->own);
    assert_int_equal(keyring_create(x->own, x->escrow, 2, ID), -EEXIST);
    k = reopen(x); /* taken over, as a ring that a crash left behind */
    assert_true(has(k, ids[0]));
    keyring_close(k);
}

static void name_of(const char *dir, const char *file, char ret[160])
{
    snprintf(ret, 160, "%s/%s", dir, file);
}

/* A second name for a KEK's file, to look at its bytes when it has no name of its own any more. */
static void watch(const struct rings *x, const char *file, const char *as)
{
    char from[160], to[160];
    name_of(x->a, file, from);
    name_of(x->dir, as, to);
    assert_int_equal(link(from, to), 0);
}

static bool reads(const struct rings *x, const char *as, const uint8_t kek[CRYPTO_KEY])
{
    char path[160];
    struct buf b;
    name_of(x->dir, as, path);
    buf_init(&b, 64);
    assert_int_equal(file_read(path, &b), 0);
    bool same = b.len == CRYPTO_KEY && memcmp(b.p, kek, CRYPTO_KEY) == 0;
    buf_done(&b);
    return same;
}

/* Whatever became of a file that held a KEK: once there is another, its blocks hold zeros. */
static void no_kek_is_left_in_free_blocks(void **state)
{
    struct rings *x = *state;
    static const uint8_t zeros[CRYPTO_KEY];
    uint8_t keks[3][CRYPTO_KEY], header[RING_HEADER];
    struct ring_copy c = {.dir = x->a};
    struct bytes image = BYTES(header, sizeof header);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(crypto_random(keks[i], CRYPTO_KEY), 0);
    ring_header(2, header);
    watch(x, "kek", "former");
    assert_int_equal(ring_copy_stage(&c, image, keks[0]), 0); /* staged, and never journalled */
    watch(x, "kek.next", "first");
    assert_int_equal(ring_copy_stage(&c, image, keks[1]), 0);
    assert_true(reads(x, "first", zeros));
    watch(x, "kek.next", "second");
    assert_int_equal(ring_copy_stage(&c, image, keks[1]), 0); /* longer by a key, say */
    assert_int_equal(ring_copy_write(&c, image, keks[1]), 0); /* in place of the former */
    assert_true(reads(x, "former", zeros));
    assert_true(reads(x, "second", keks[1]));
    c.good = 0;
    assert_int_equal(ring_copy_write(&c, image, keks[1]), 0); /* healed */
    assert_true(ring_copy_clean(x->a));
    c.good = 0;
    assert_int_equal(ring_copy_write(&c, image, keks[2]), 0);
    assert_true(ring_copy_clean(x->a));
    assert_true(reads(x, "second", zeros));
}

/* ---- copies of different times ---- */

/* The bytes of both generations, and what a folder may hold of them when its disk went away, or the power, or when it
 * was brought back from a backup. */
enum part { RING_1, KEK_1, RING_2, KEK_2, TOMBS, PARTS };
static const struct {
    const char *name;
    bool at_2; /* what was journalled is there */
    struct {
        const char *file;
        enum part part;
    } files[5];
} conditions[] = {
    {"gone", false, {{NULL}}},
    {"former", false, {{"ring", RING_1}, {"kek", KEK_1}}},
    {"staged", false, {{"ring", RING_1}, {"kek", KEK_1}, {"ring.next", RING_2}, {"kek.next", KEK_2}}},
    {"journalled",
     true,
     {{"ring", RING_1}, {"kek", KEK_1}, {"ring.next", RING_2}, {"kek.next", KEK_2}, {"tombstones", TOMBS}}},
    {"ring moved", true, {{"ring", RING_2}, {"kek", KEK_1}, {"kek.next", KEK_2}, {"tombstones", TOMBS}}},
    {"kek destroyed", true, {{"ring", RING_2}, {"kek.next", KEK_2}, {"tombstones", TOMBS}}},
    {"done", true, {{"ring", RING_2}, {"kek", KEK_2}, {"tombstones", TOMBS}}},
};

struct times {
    struct buf parts[PARTS];
    uint8_t erased[KEY_ID_LEN], kept[KEY_ID_LEN];
};

static void grab(const struct rings *x, const char *file, struct buf *ret)
{
    char path[160];
    name_of(x->a, file, path);
    buf_init(ret, 65536);
    assert_int_equal(file_read(path, ret), 0);
}

static void two_generations(struct rings *x, struct times *t)
{
    uint8_t ids[2][KEY_ID_LEN];
    struct tomb tomb = {.n_cards = 0};
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 2, ids);
    memcpy(t->erased, ids[0], KEY_ID_LEN);
    memcpy(t->kept, ids[1], KEY_ID_LEN);
    grab(x, "ring", &t->parts[RING_1]);
    grab(x, "kek", &t->parts[KEK_1]);
    assert_int_equal(keyring_erase(k, &tomb, &t->erased, 1), 0);
    assert_int_equal(keyring_turn(k), 0);
    assert_int_equal(keyring_turned(k), 0);
    grab(x, "ring", &t->parts[RING_2]);
    grab(x, "kek", &t->parts[KEK_2]);
    grab(x, "tombstones", &t->parts[TOMBS]);
    keyring_close(k);
}

static void put_condition(const char *dir, const struct times *t, size_t c)
{
    char path[160];
    tmp_remove(dir);
    assert_int_equal(file_mkdir(dir, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(conditions[c].files) && conditions[c].files[i].file != NULL; i++) {
        name_of(dir, conditions[c].files[i].file, path);
        assert_int_equal(file_write_volatile(path, buf_bytes(&t->parts[conditions[c].files[i].part]), 0600), 0);
    }
}

static const struct buf *needle;
static unsigned found;

static int look(const char *path, const struct stat *st, int type, struct FTW *f)
{
    struct buf b;
    buf_init(&b, 65536);
    if (type == FTW_F && file_read(path, &b) == 0)
        found += memmem(b.p, b.len, needle->p, needle->len) != NULL;
    buf_done(&b);
    return 0;
}

static unsigned files_with(const struct rings *x, const struct buf *what)
{
    needle = what;
    found = 0;
    assert_int_equal(nftw(x->dir, look, 16, FTW_PHYS), 0);
    return found;
}

/* Whichever copies come back in whichever condition: one that knows of the erasure wins, none takes it back. */
static void no_copy_brings_an_erased_key_back(void **state)
{
    struct rings *x = *state;
    struct times t;
    two_generations(x, &t);
    for (size_t i = 0; i < 7 * 7 * 7; i++) {
        const size_t c[] = {i % 7, i / 7 % 7, i / 49};
        const char *const dirs[] = {x->own, x->a, x->b};
        bool at_2 = false, any = false;
        struct keyring *k = NULL;
        for (size_t d = 0; d < 3; d++) {
            put_condition(dirs[d], &t, c[d]);
            at_2 = at_2 || conditions[c[d]].at_2;
            any = any || c[d] != 0;
        }
        int r = keyring_open(x->own, x->escrow, 2, ID, &k);
        assert_true((r == 0) == any);
        if (r != 0)
            continue;
        assert_int_equal(keyring_generation(k), at_2 ? 2 : 1);
        assert_int_equal(keyring_turned(k), 0);
        if (!keyring_settled(k) || has(k, t.erased) == at_2 || !has(k, t.kept) ||
            files_with(x, &t.parts[at_2 ? KEK_1 : KEK_2]) != 0 || files_with(x, &t.parts[at_2 ? KEK_2 : KEK_1]) != 3)
            fail_msg("ours %s, escrow %s and %s", conditions[c[0]].name, conditions[c[1]].name, conditions[c[2]].name);
        keyring_close(k);
    }
    for (size_t i = 0; i < PARTS; i++)
        buf_done(&t.parts[i]);
}

static void rows_belong_to_their_key(void **state)
{
    struct rings *x = *state;
    uint8_t ids[50][KEY_ID_LEN], ref[REF_LEN], other[REF_LEN], id[KEY_ID_LEN];
    struct row_keys rows, again;
    enum key_kind kind;
    struct keyring *k = reopen(x);
    add(k, KEY_PERSON, 50, ids);
    for (uint32_t month = 24300; month < 24312; month++) /* more months than tables are kept */
        for (size_t i = 0; i < 50; i++) {
            assert_int_equal(keyring_rows(k, ids[i], &kind, &rows), 0);
            assert_int_equal(seal_ref(&rows, month, ref), 0);
            assert_int_equal(keyring_by_ref(k, month, ref, id, &kind, &again), 0);
            assert_memory_equal(id, ids[i], KEY_ID_LEN);
            assert_int_equal(seal_ref(&rows, month + 1, other), 0);
            assert_memory_not_equal(ref, other, REF_LEN);
            assert_int_equal(keyring_by_ref(k, month, other, id, &kind, &again), KEYRING_ABSENT);
        }
    keyring_close(k);
}

static void sealed_values_are_bound_to_their_row(void **state)
{
    uint8_t key[CRYPTO_KEY] = {1}, out[64];
    struct buf b;
    size_t n;
    struct seal_place at = {.table = "punch", .tenant = "acme", .key = {BYTES("abc", 3), BYTES("d", 1)}};
    struct seal_place moved = {.table = "punch", .tenant = "acme", .key = {BYTES("ab", 2), BYTES("cd", 2)}};
    struct seal_place foreign = {.table = "punch", .tenant = "acmf", .key = {BYTES("abc", 3), BYTES("d", 1)}};
    buf_init(&b, 1024);
    assert_int_equal(seal_put(key, &at, BYTES("hello", 5), 32, &b), 0);
    assert_int_equal(b.len, 32 + CRYPTO_NONCE + CRYPTO_TAG);
    assert_int_equal(seal_get(key, &at, buf_bytes(&b), out, sizeof out, &n), 0);
    assert_int_equal(n, 5);
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(seal_get(key, &moved, buf_bytes(&b), out, sizeof out, &n), SEAL_BAD);
    assert_int_equal(seal_get(key, &foreign, buf_bytes(&b), out, sizeof out, &n), SEAL_BAD);
    assert_int_equal(seal_get(key, &at, BYTES(b.p, 10), out, sizeof out, &n), SEAL_BAD);
    assert_int_equal(seal_get(key, &at, buf_bytes(&b), out, 4, &n), SEAL_BAD);
    key[0] = 2;
    assert_int_equal(seal_get(key, &at, buf_bytes(&b), out, sizeof out, &n), SEAL_BAD);
    buf_done(&b);
}

static void the_ref_of_a_month_is_kept(void **state)
{
    static const uint32_t months[] = {24311, 24311, 24312, 24311, SEAL_PENDING, 24312, 24312};
    struct keyring *k = reopen(*state);
    uint8_t ids[2][KEY_ID_LEN], key[CRYPTO_KEY], want[REF_LEN], got[REF_LEN], tenants[1][KEY_ID_LEN];
    struct row_keys kept, fresh;
    enum key_kind kind;
    add(k, KEY_PERSON, 2, ids);
    add(k, KEY_INDEX, 1, tenants);
    for (size_t i = 0; i < 2 * ARRAY_LEN(months); i++) {
        uint32_t month = months[i / 2];
        assert_int_equal(keyring_get(k, ids[i % 2], &kind, key), 0);
        assert_int_equal(seal_keys(key, &fresh), 0);
        assert_int_equal(keyring_rows_in(k, ids[i % 2], month, &kept), 0);
        for (uint32_t ask = month; ask <= month + 1; ask++) { /* one that is kept, and one that is not */
            assert_int_equal(seal_ref(&fresh, ask, want), 0);
            assert_int_equal(seal_ref(&kept, ask, got), 0);
            assert_memory_equal(got, want, REF_LEN);
        }
    }
    assert_int_equal(keyring_rows_in(k, tenants[0], 24311, &kept), KEYRING_ABSENT);
    keyring_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ref_of_a_month_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_in_the_clear, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_tail_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_heal_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(contradicting_copies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(aborted_keys_are_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(no_key_without_escrow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_leaves_copies_that_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(escrow_of_before_is_not_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(no_kek_is_left_in_free_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(no_copy_brings_an_erased_key_back, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_belong_to_their_key, setup, teardown),
        cmocka_unit_test_setup_teardown(sealed_values_are_bound_to_their_row, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
