#include "base/crc32.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

/* Reflected polynomial 0xEDB88320, sixteen bytes at a time: steps[n][b] is what byte b does when n more bytes follow
 * it. A drain reads all that was stored, and with a quarter of the table the CRC was half of what that costs. */
static uint32_t steps[16][256];
static pthread_once_t steps_made = PTHREAD_ONCE_INIT;

static void make_steps(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
        steps[0][b] = crc;
    }
    for (int n = 1; n < 16; n++)
        for (uint32_t b = 0; b < 256; b++)
            steps[n][b] = steps[n - 1][b] >> 8 ^ steps[0][steps[n - 1][b] & 0xff];
}

/* What eight bytes do when `after` more follow them. */
static uint32_t fold(const uint8_t *p, uint32_t crc, size_t after)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    w = le64toh(w) ^ crc;
    return steps[after + 7][w & 0xff] ^ steps[after + 6][w >> 8 & 0xff] ^ steps[after + 5][w >> 16 & 0xff] ^
           steps[after + 4][w >> 24 & 0xff] ^ steps[after + 3][w >> 32 & 0xff] ^ steps[after + 2][w >> 40 & 0xff] ^
           steps[after + 1][w >> 48 & 0xff] ^ steps[after][w >> 56];
}

static uint32_t update(uint32_t crc, struct bytes b)
{
    size_t i = 0;
    for (; b.n - i >= 16; i += 16)
        crc = fold(b.p + i, crc, 8) ^ fold(b.p + i + 8, 0, 0);
    for (; b.n - i >= 8; i += 8)
        crc = fold(b.p + i, crc, 0);
    for (; i < b.n; i++)
        crc = crc >> 8 ^ steps[0][(crc ^ b.p[i]) & 0xff];
    return crc;
}

uint32_t crc32_of(struct bytes a, struct bytes b)
{
    pthread_once(&steps_made, make_steps);
    return ~update(update(UINT32_MAX, a), b);
}
