/* A journal of erasures, as it stands in a state or escrow folder. First byte even: any bytes. Odd: what follows as the
 * content of one entry with a right length and checksum, since a checksum keeps nobody out. What is taken is kept: read
 * again it says the same, and each of its cards is found. */
#include <string.h>

#include "base/crc32.h"
#include "cloud/ring.h"
#include "cloud/tombstone.h"

#define CONTENT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u32(uint8_t *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * (3 - i)));
}

static void read_it(struct bytes file)
{
    struct tombs t, again;
    tombs_init(&t);
    tombs_init(&again);
    int r = tombs_read(&t, file);
    ASSERT(r == 0 || r == TOMBS_BAD);
    if (r == 0) {
        ASSERT(tombs_read(&again, buf_bytes(&t.file)) == 0);
        ASSERT(again.n == t.n && again.n_holds == t.n_holds && tombs_generation(&again) == tombs_generation(&t));
        for (size_t i = 0; i < t.n_holds; i++) {
            size_t n = 0;
            ASSERT(tombs_of(&t, t.holds[i].card.cidx, &n) != NULL && n > 0);
        }
    }
    tombs_done(&again);
    tombs_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[8] = {'P', 'T', 'M', 'B', 1, 0, 0, 0};
    uint8_t file[sizeof magic + 8 + CONTENT_MAX];
    if (size == 0)
        return 0;
    size_t n = size - 1 < CONTENT_MAX ? size - 1 : CONTENT_MAX, at = sizeof magic;
    if (data[0] % 2 == 0) {
        read_it(BYTES(data + 1, size - 1));
        return 0;
    }
    memcpy(file, magic, sizeof magic);
    put_u32(file + at, (uint32_t)n);
    if (n > 0)
        memcpy(file + at + 4, data + 1, n);
    put_u32(file + at + 4 + n, crc32_of(BYTES(file + at, 4 + n), BYTES_NONE));
    read_it(BYTES(file, at + 8 + n));
    return 0;
}
