/* The journal of the audit trail, as a kill left it. First byte even: any bytes. Odd: what follows as entries with
 * right lengths and checksums, cut at each zero byte, and their last byte dropped: all but the last are whole. What is
 * found whole stays so whatever comes behind it, and is no longer for being cut. */
#include <string.h>

#include "base/be.h"
#include "base/crc32.h"
#include "cloud/audit_journal.h"
#include "cloud/ring.h"

#define IMAGE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t image[IMAGE_MAX];

static void look(size_t n)
{
    uint64_t generation = 0, again = 0, valid = audit_journal_valid(BYTES(image, n), &generation);
    ASSERT(valid <= n && (valid == 0 || valid >= AUDIT_JOURNAL_HEADER));
    if (valid == 0)
        return;
    ASSERT(audit_journal_valid(BYTES(image, valid), &again) == valid && again == generation);
    if (valid > AUDIT_JOURNAL_HEADER)
        ASSERT(audit_journal_valid(BYTES(image, valid - 1), &again) < valid);
}

static size_t put(size_t at, const uint8_t *p, size_t n)
{
    if (n == 0 || n > IMAGE_MAX - AUDIT_JOURNAL_FRAME - at)
        return at;
    be_put(image + at, n, 4);
    be_put(image + at + 4, crc32_of(BYTES(p, n), BYTES_NONE), 4);
    memcpy(image + at + AUDIT_JOURNAL_FRAME, p, n);
    return at + AUDIT_JOURNAL_FRAME + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > IMAGE_MAX / 16)
        return 0;
    if (data[0] % 2 == 0) {
        memcpy(image, data + 1, size - 1);
        look(size - 1);
        return 0;
    }
    size_t at = AUDIT_JOURNAL_HEADER, before = at;
    uint64_t generation;
    memcpy(image, "punch1 audit jnl", 16);
    be_put(image + 16, data[0], 8);
    for (const uint8_t *p = data + 1, *end = data + size; p < end;) {
        const uint8_t *zero = memchr(p, 0, (size_t)(end - p));
        size_t n = (size_t)((zero != NULL ? zero : end) - p);
        before = n > 0 ? at : before;
        at = put(at, p, n);
        p += n + 1;
    }
    ASSERT(audit_journal_valid(BYTES(image, at), &generation) == at && generation == data[0]);
    if (at > before)
        ASSERT(audit_journal_valid(BYTES(image, at - 1), &generation) == before);
    look(at);
    return 0;
}
