/* File format of the ring, all numbers big-endian:
 *   header: "PRNG" 1 0 0 0, generation u64, CRC-32 of these 16 bytes
 *   entry:  length u16 of what follows (81), id 16, kind 1, nonce 12, AES-256-GCM(KEK) of the key 32 + 16,
 *           CRC-32 of all before it; additional data "punch ring" || generation || id || kind
 * Only the last entry can be torn: entries are appended, and each append is synced before the next begins.
 */
#include "cloud/ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const uint8_t magic[8] = {'P', 'R', 'N', 'G', 1, 0, 0, 0};

static void put_be(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

uint32_t ring_crc(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu; /* IEEE 802.3, bitwise: a ring is read once a start */
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

void ring_header(uint64_t generation, uint8_t ret[RING_HEADER])
{
    memcpy(ret, magic, sizeof magic);
    put_be(ret + 8, generation, 8);
    put_be(ret + 16, ring_crc(ret, 16), 4);
}

int ring_header_parse(struct bytes image, uint64_t *ret_generation)
{
    if (image.n < RING_HEADER || memcmp(image.p, magic, sizeof magic) != 0 ||
        get_be(image.p + 16, 4) != ring_crc(image.p, 16))
        return RING_BAD;
    *ret_generation = get_be(image.p + 8, 8);
    return 0;
}

static size_t entry_aad(uint64_t generation, const uint8_t *id_and_kind, uint8_t ret[40])
{
    static const char label[] = {'p', 'u', 'n', 'c', 'h', ' ', 'r', 'i', 'n', 'g'};
    memcpy(ret, label, sizeof label);
    put_be(ret + sizeof label, generation, 8);
    memcpy(ret + sizeof label + 8, id_and_kind, 17);
    return sizeof label + 8 + 17;
}

int ring_entry_wrap(struct crypto_aead *kek, uint64_t generation, const struct ring_entry *e, uint8_t ret[RING_ENTRY])
{
    uint8_t aad[40];
    put_be(ret, RING_ENTRY - 2, 2);
    memcpy(ret + 2, e->id, 16);
    ret[18] = e->kind;
    int r = crypto_random(ret + 19, CRYPTO_NONCE);
    if (r != 0)
        return r;
    size_t n = entry_aad(generation, ret + 2, aad);
    r = crypto_aead_seal(kek, ret + 19, BYTES(aad, n), BYTES(e->key, sizeof e->key), ret + 31);
    put_be(ret + 79, ring_crc(ret, 79), 4);
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
        if (get_be(p, 2) != RING_ENTRY - 2 || get_be(p + 79, 4) != ring_crc(p, 79))
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

static int write_all(const char *dir, const char *path, struct bytes image, const uint8_t kek[CRYPTO_KEY])
{
    char kek_path[4096];
    int r = file_mkdir(dir, 0700);
    if (r == 0)
        r = file_join(kek_path, sizeof kek_path, dir, "kek");
    if (r == 0)
        r = file_write(kek_path, BYTES(kek, CRYPTO_KEY), 0600);
    if (r == 0)
        r = file_write(path, image, 0600);
    if (r == 0) { /* the folder itself may be new */
        char parent[4096];
        int n = snprintf(parent, sizeof parent, "%s/..", dir);
        r = n < 0 || (size_t)n >= sizeof parent ? -ENAMETOOLONG : file_sync_dir(parent);
    }
    return r;
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
        r = write_all(c->dir, path, image, kek);
    if (r == 0)
        c->good = image.n;
    else if (good > 0)
        c->good = good; /* what was durable before still is; the tail is written over */
    c->ok = r == 0;
    return r;
}

int ring_copy_read(const char *dir, struct buf *ret_image, uint8_t ret_kek[CRYPTO_KEY])
{
    char path[4096];
    struct buf b;
    int r = file_join(path, sizeof path, dir, "ring");
    if (r == 0)
        r = file_read(path, ret_image);
    if (r == 0)
        r = file_join(path, sizeof path, dir, "kek");
    if (r != 0)
        return r;
    buf_init(&b, 64);
    r = file_read(path, &b);
    if (r == 0 && b.len != CRYPTO_KEY)
        r = RING_BAD;
    if (r == 0)
        memcpy(ret_kek, b.p, CRYPTO_KEY);
    buf_wipe(&b);
    return r;
}
