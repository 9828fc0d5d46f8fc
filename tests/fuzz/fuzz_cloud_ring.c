/* Images of a ring, as they stand in a state or escrow folder. First byte even: any bytes. Odd: a ring made of what
 * follows, then one byte of it changed and its end torn off: what counts as valid are whole entries before the damage,
 * and each of them opens to what was put in. */
#include <stdlib.h>
#include <string.h>

#include "cloud/ring.h"

#define ENTRIES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_aead *kek;

static void foreign(struct bytes image)
{
    uint64_t generation;
    struct ring_entry e;
    if (ring_header_parse(image, &generation) != 0)
        return;
    size_t n = ring_valid_length(image);
    ASSERT(n >= RING_HEADER && n <= image.n && (n - RING_HEADER) % RING_ENTRY == 0);
    for (size_t at = RING_HEADER; at < n; at += RING_ENTRY) {
        int r = ring_entry_unwrap(kek, generation, image.p + at, &e);
        ASSERT(r == 0 || r == RING_BAD);
    }
}

static void damaged(const uint8_t *p, size_t n)
{
    uint8_t image[RING_HEADER + ENTRIES_MAX * RING_ENTRY];
    struct ring_entry in[ENTRIES_MAX], out;
    uint64_t generation = p[0], got;
    size_t k = 0, len = RING_HEADER;
    ring_header(generation, image);
    for (size_t at = 4; at < n && k < ENTRIES_MAX; at += sizeof in[0], k++, len += RING_ENTRY) {
        memset(&in[k], 0, sizeof in[k]);
        memcpy(&in[k], p + at, n - at < sizeof in[k] ? n - at : sizeof in[k]);
        ASSERT(ring_entry_wrap(kek, generation, &in[k], image + len) == 0);
    }
    ASSERT(ring_valid_length(BYTES(image, len)) == len);
    size_t hurt = RING_HEADER + ((size_t)p[1] << 8 | p[2]) % (len - RING_HEADER + 1);
    if (p[3] != 0 && hurt < len)
        image[hurt] ^= p[3];
    else
        len = hurt; /* torn */
    size_t valid = ring_valid_length(BYTES(image, len)), whole = (hurt - RING_HEADER) / RING_ENTRY;
    ASSERT(valid == RING_HEADER + whole * RING_ENTRY);
    ASSERT(ring_header_parse(BYTES(image, len), &got) == 0 && got == generation);
    for (size_t i = 0; i < whole; i++) {
        ASSERT(ring_entry_unwrap(kek, generation, image + RING_HEADER + i * RING_ENTRY, &out) == 0);
        ASSERT(memcmp(out.id, in[i].id, sizeof out.id) == 0 && out.kind == in[i].kind &&
               memcmp(out.key, in[i].key, CRYPTO_KEY) == 0);
        ASSERT(ring_entry_unwrap(kek, generation + 1, image + RING_HEADER + i * RING_ENTRY, &out) == RING_BAD);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[CRYPTO_KEY] = {7};
    if (kek == NULL && (crypto_init() != 0 || crypto_aead_new(key, &kek) != 0))
        return 0;
    if (size > 5 && data[0] % 2 == 1)
        damaged(data + 1, size - 1);
    else if (size > 0)
        foreign(BYTES(data + 1, size - 1));
    return 0;
}
