/* Plaintexts. What is taken can be made again, and says the same. */
#include <string.h>

#include "wire/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t padded[RECORD_PLAIN_MAX] = {0}, again[RECORD_PLAIN_MAX], third[RECORD_PLAIN_MAX];
    struct record r, s;
    size_t n, m;
    char text[CRED_TEXT_MAX];

    (void)record_decode(BYTES(data, size), &r);
    if (size > sizeof padded)
        return 0;
    memcpy(padded, data, size); /* spares the fuzzer the padding */
    n = size <= 96 ? 96 : (size + 31) / 32 * 32;
    if (record_decode(BYTES(padded, n), &r) != 0)
        return 0;
    ASSERT(record_encode(&r, again, &n) == 0);
    ASSERT(record_decode(BYTES(again, n), &s) == 0);
    ASSERT(record_encode(&s, third, &m) == 0);
    ASSERT(n == m && memcmp(again, third, n) == 0);
    if (r.kind == RECORD_PUNCH)
        cred_render(&r.punch.cred, r.punch.rendering, text);
    return 0;
}
