/* File format of the ring, all numbers big-endian:
 *   header: "PRNG" 1 0 0 0, generation u64, CRC-32 of these 16 bytes
 *   entry:  length u16 of what follows (81), id 16, kind 1, nonce 12, AES-256-GCM(KEK) of the key 32 + 16,
 *           CRC-32 of all before it; additional data "punch ring" || generation || id || kind
 * Only the last entry can be torn: entries are appended, and each append is synced before the next begins.
 */
#include "cloud/ring.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/be.h"
#include "base/crc32.h"
#include "base/fault.h"
#include "base/file.h"

static const uint8_t magic[8] = {'P', 'R', 'N', 'G', 1, 0, 0, 0};

void ring_header(uint64_t generation, uint8_t ret[RING_HEADER])
{
    memcpy(ret, magic, sizeof magic);
    be_put(ret + 8, generation, 8);
    be_put(ret + 16, crc32_of(BYTES(ret, 16), BYTES_NONE), 4);
}

int ring_header_parse(struct bytes image, uint64_t *ret_generation)
{
    if (image.n < RING_HEADER || memcmp(image.p, magic, sizeof magic) != 0 ||
        be_get(image.p + 16, 4) != crc32_of(BYTES(image.p, 16), BYTES_NONE))
        return RING_BAD;
    *ret_generation = be_get(image.p + 8, 8);
    return 0;
}

static size_t entry_aad(uint64_t generation, const uint8_t *id_and_kind, uint8_t ret[40])
{
    static const char label[] = {'p', 'u', 'n', 'c', 'h', ' ', 'r', 'i', 'n', 'g'};
    memcpy(ret, label, sizeof label);
    be_put(ret + sizeof label, generation, 8);
    memcpy(ret + sizeof label + 8, id_and_kind, 17);
    return sizeof label + 8 + 17;
}

int ring_entry_wrap(struct crypto_aead *kek, uint64_t generation, const struct ring_entry *e, uint8_t ret[RING_ENTRY])
{
    uint8_t aad[40];
    be_put(ret, RING_ENTRY - 2, 2);
    memcpy(ret + 2, e->id, 16);
    ret[18] = e->kind;
    int r = crypto_random(ret + 19, CRYPTO_NONCE);
    if (r != 0)
        return r;
    size_t n = entry_aad(generation, ret + 2, aad);
    r = crypto_aead_seal(kek, ret + 19, BYTES(aad, n), BYTES(e->key, sizeof e->key), ret + 31);
    be_put(ret + 79, crc32_of(BYTES(ret, 79), BYTES_NONE), 4);
    return r;
}

int ring_entry_unwrap(struct crypto_aead *kek, uint64_t generation, const uint8_t p[RING_ENTRY],
                      struct ring_entry *ret_entry)
{
    struct ring_entry e;
    uint8_t aad[40];
    memcpy(e.id, p + 2, 16);
    e.kind = p[18];
    size_t n = entry_aad(generation, p + 2, aad);
    int r = crypto_aead_open(kek, p + 19, BYTES(aad, n), BYTES(p + 31, 48), e.key);
    if (r == 0)
        *ret_entry = e;
    crypto_wipe(&e, sizeof e);
    return r == CRYPTO_BAD ? RING_BAD : r;
}

size_t ring_valid_length(struct bytes image)
{
    size_t at = RING_HEADER;
    while (image.n - at >= RING_ENTRY) {
        const uint8_t *p = image.p + at;
        if (be_get(p, 2) != RING_ENTRY - 2 || be_get(p + 79, 4) != crc32_of(BYTES(p, 79), BYTES_NONE))
            break;
        at += RING_ENTRY;
    }
    return at;
}

static int append(const char *path, size_t good, struct bytes image)
{
    struct stat st;
    CLEANUP(error_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((size_t)st.st_size < good)
        return -ESTALE; /* somebody put another file there */
    for (size_t at = good; at < image.n;) {
        ssize_t n = pwrite(fd, image.p + at, image.n - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += (size_t)n;
    }
    /* what a failed append left behind */
    if ((size_t)st.st_size > image.n && ftruncate(fd, (off_t)image.n) < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

/* ---- whole files ---- */

static const char *const file_names[] = {"ring", "kek", "ring.next", "kek.next"};
enum { RING, KEK, RING_NEXT, KEK_NEXT };

static int file_in(const char *dir, int which, char *ret, size_t size)
{
    return file_join(ret, size, dir, file_names[which]);
}

/* Overwritten where it lies, then taken away. On a disk that writes elsewhere (flash, copy on write) the device decides
 * what becomes of the old block. */
static int destroy(const char *path)
{
    static const uint8_t zeros[4096];
    struct stat st;
    CLEANUP(error_closep) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    for (off_t at = 0; at < st.st_size;) {
        off_t left = st.st_size - at;
        ssize_t n = pwrite(fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
    }
    if (fsync(fd) < 0)
        return -errno;
    FAULT_KILL("erase");
    return unlink(path) < 0 ? -errno : 0;
}

/* file_write() leaves <name>.new.XXXXXX behind when it is killed. */
static bool is_leftover(const char *name)
{
    return strncmp(name, "ring.new.", 9) == 0 || strncmp(name, "kek.new.", 8) == 0 ||
           strncmp(name, "ring.next.new.", 14) == 0 || strncmp(name, "kek.next.new.", 13) == 0;
}

/* Calls fn for each left-over of a crash; its error ends the walk. */
static int each_leftover(const char *dir, int (*fn)(const char *path))
{
    char path[4096];
    int r = 0;
    DIR *d = opendir(dir);
    if (d == NULL)
        return -errno;
    while (r == 0) {
        /* cppcheck-suppress readdirCalled; d is ours alone */
        const struct dirent *e = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
        if (e == NULL)
            break;
        if (!is_leftover(e->d_name))
            continue;
        r = file_join(path, sizeof path, dir, e->d_name);
        if (r == 0)
            r = fn(path);
    }
    closedir(d);
    return r;
}

static int found(const char *path)
{
    return 1;
}

/* Whether the KEK opens the ring: its first entry, or for want of one any KEK does. */
static bool opens(struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    struct crypto_aead *aead = NULL;
    struct ring_entry e;
    uint64_t generation;
    if (ring_header_parse(image, &generation) != 0)
        return false;
    if (ring_valid_length(image) < RING_HEADER + RING_ENTRY)
        return true;
    int r = crypto_aead_new(kek, &aead);
    if (r == 0)
        r = ring_entry_unwrap(aead, generation, image.p + RING_HEADER, &e);
    crypto_aead_free(aead);
    crypto_wipe(&e, sizeof e);
    return r == 0;
}

/* RING_BAD: of another length. */
static int read_kek(const char *dir, int which, uint8_t ret_kek[CRYPTO_KEY])
{
    char path[4096];
    struct buf b;
    buf_init(&b, 64);
    int r = file_in(dir, which, path, sizeof path);
    if (r == 0)
        r = file_read(path, &b);
    if (r == 0 && b.len != CRYPTO_KEY)
        r = RING_BAD;
    if (r == 0)
        memcpy(ret_kek, b.p, CRYPTO_KEY);
    buf_wipe(&b);
    return r == -ENOBUFS ? RING_BAD : r;
}

static bool is_kek(const char *dir, int which, const uint8_t kek[CRYPTO_KEY])
{
    uint8_t there[CRYPTO_KEY];
    bool is = read_kek(dir, which, there) == 0 && crypto_equal(there, kek, CRYPTO_KEY);
    crypto_wipe(there, sizeof there);
    return is;
}

static int read_back(const char *dir, struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    char path[4096];
    struct buf b;
    buf_init(&b, RING_MAX);
    int r = file_in(dir, RING_NEXT, path, sizeof path);
    if (r == 0)
        r = file_read(path, &b);
    if (r == 0 && (b.len != image.n || memcmp(b.p, image.p, image.n) != 0 ||
                   (!is_kek(dir, KEK, kek) && !is_kek(dir, KEK_NEXT, kek))))
        r = -EIO;
    buf_wipe(&b);
    return r;
}

/* A KEK is written once and then only moved: were it written anew, the bytes of the former file would stay on the disk,
 * where no later destroy() finds them. */
static int stage_kek(const char *dir, const uint8_t kek[CRYPTO_KEY])
{
    char path[4096];
    if (is_kek(dir, KEK, kek) || is_kek(dir, KEK_NEXT, kek))
        return 0;
    int r = file_in(dir, KEK_NEXT, path, sizeof path);
    if (r == 0)
        r = destroy(path);
    return r == 0 ? file_write(path, BYTES(kek, CRYPTO_KEY), 0600) : r;
}

int ring_copy_stage(struct ring_copy *c, struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    char path[4096];
    int r = file_mkdir(c->dir, 0700);
    if (r == 0)
        r = stage_kek(c->dir, kek);
    FAULT_KILL("erase");
    if (r == 0)
        r = file_in(c->dir, RING_NEXT, path, sizeof path);
    if (r == 0)
        r = file_write(path, image, 0600);
    FAULT_KILL("erase");
    if (r == 0)
        r = read_back(c->dir, image, kek);
    if (r == 0) { /* the folder itself may be new */
        int n = snprintf(path, sizeof path, "%s/..", c->dir);
        r = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : file_sync_dir(path);
    }
    return r;
}

void ring_copy_unstage(const char *dir)
{
    char path[4096];
    if (file_in(dir, KEK_NEXT, path, sizeof path) == 0)
        destroy(path);
    if (file_in(dir, RING_NEXT, path, sizeof path) == 0)
        unlink(path);
    each_leftover(dir, destroy);
    file_sync_dir(dir);
}

static int move_next(const char *dir, int from, int to)
{
    char a[4096], b[4096];
    int r = file_in(dir, from, a, sizeof a);
    if (r == 0)
        r = file_in(dir, to, b, sizeof b);
    if (r == 0 && rename(a, b) < 0)
        r = -errno;
    if (r == 0)
        r = file_sync_dir(dir);
    FAULT_KILL("erase");
    return r;
}

/* The ring first: from then on it is kek.next that opens it, and `kek`, which opens nothing there any more, is
 * destroyed before its name is given away. */
static int write_all(struct ring_copy *c, struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    char path[4096];
    int r = ring_copy_stage(c, image, kek);
    if (r == 0)
        r = move_next(c->dir, RING_NEXT, RING);
    bool there = r == 0 && is_kek(c->dir, KEK, kek);
    if (r == 0)
        r = file_in(c->dir, there ? KEK_NEXT : KEK, path, sizeof path);
    if (r == 0)
        r = destroy(path);
    if (r == 0 && !there)
        r = move_next(c->dir, KEK_NEXT, KEK);
    if (r == 0)
        r = each_leftover(c->dir, destroy);
    return r == 0 ? file_sync_dir(c->dir) : r;
}

int ring_copy_write(struct ring_copy *c, struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    char path[4096];
    int r = file_join(path, sizeof path, c->dir, "ring");
    if (r != 0)
        return r;
    size_t good = c->good;
    c->good = 0; /* a failed write leaves an unknown tail */
    r = good > 0 ? append(path, good, image) : -ENOENT;
    if (r == -ENOENT || r == -ESTALE)
        r = write_all(c, image, kek);
    if (r == 0)
        c->good = image.n;
    else if (good > 0)
        c->good = good; /* what was durable before still is; the tail is written over */
    c->ok = r == 0;
    return r;
}

int ring_copy_read(const char *dir, bool next, struct buf *ret_image, uint8_t ret_kek[CRYPTO_KEY])
{
    char path[4096];
    uint8_t kek[CRYPTO_KEY];
    size_t before = ret_image->len;
    int r = file_in(dir, next ? RING_NEXT : RING, path, sizeof path);
    if (r == 0)
        r = file_read(path, ret_image);
    if (r != 0)
        return r;
    struct bytes image = BYTES(ret_image->p + before, ret_image->len - before);
    static const int keks[] = {KEK, KEK_NEXT};
    r = -ENOENT;
    for (size_t i = 0; r != 0 && i < ARRAY_LEN(keks); i++) {
        int rr = read_kek(dir, keks[i], kek);
        if (rr == 0 && opens(image, kek)) {
            memcpy(ret_kek, kek, CRYPTO_KEY);
            r = 0;
        } else if (rr != -ENOENT &&
                   (r == -ENOENT || r == RING_BAD)) { /* an error of the disk is told before all else */
            r = rr < 0 ? rr : RING_BAD;
        }
    }
    crypto_wipe(kek, sizeof kek);
    return r;
}

bool ring_copy_has(const char *dir, const uint8_t id[16])
{
    uint8_t kek[CRYPTO_KEY];
    struct buf b;
    bool has = false;
    buf_init(&b, RING_MAX);
    int r = ring_copy_read(dir, false, &b, kek);
    size_t n = r == 0 ? ring_valid_length(buf_bytes(&b)) : 0;
    for (size_t at = RING_HEADER; !has && at < n; at += RING_ENTRY)
        has = memcmp(b.p + at + 2, id, 16) == 0;
    buf_wipe(&b);
    crypto_wipe(kek, sizeof kek);
    return has;
}

bool ring_copy_clean(const char *dir)
{
    char path[4096];
    uint8_t kek[CRYPTO_KEY];
    struct buf b;
    for (int i = RING_NEXT; i <= KEK_NEXT; i++)
        if (file_in(dir, i, path, sizeof path) != 0 || file_exists(path))
            return false;
    buf_init(&b, RING_MAX);
    bool ok = each_leftover(dir, found) == 0 && file_in(dir, RING, path, sizeof path) == 0 &&
              file_read(path, &b) == 0 && read_kek(dir, KEK, kek) == 0 && opens(buf_bytes(&b), kek);
    buf_wipe(&b);
    crypto_wipe(kek, sizeof kek);
    return ok;
}
