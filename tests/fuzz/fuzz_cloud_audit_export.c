/* An exported audit trail, as `punchcloud audit verify` reads it, and a checkpoint that was kept elsewhere. The corpus
 * has a real one, of the key below; without that key nothing beyond its last event is ever proven, whatever the bytes.
 */
#include <string.h>

#include "cloud/audit_check.h"

#define LAST 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t point[CRYPTO_POINT] = {
    0x04, 0x3b, 0x66, 0xb3, 0x7a, 0xf2, 0x5d, 0x2b, 0xc4, 0x73, 0xc9, 0x4b, 0x11, 0x87, 0xcb, 0xc9, 0xc8,
    0xbf, 0xf3, 0x60, 0x49, 0x35, 0xbc, 0xe0, 0x19, 0x59, 0x76, 0xae, 0xf3, 0xcd, 0x88, 0x1d, 0x13, 0xdd,
    0xba, 0x62, 0xb7, 0x6b, 0xde, 0x00, 0x2a, 0x1e, 0xb6, 0xe8, 0x91, 0xfe, 0xe3, 0xda, 0xfe, 0x91, 0xcf,
    0x40, 0x4a, 0x1b, 0xdf, 0x52, 0x28, 0x6f, 0x5d, 0x4e, 0xf8, 0x83, 0x3e, 0xa4, 0xb7};

static bool ours(const char *tenant, uint64_t seq)
{
    return strcmp(tenant, "acme") == 0 && seq <= LAST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audit_check *k = NULL;
    struct checkpoint c;
    struct audit_proof p;
    static bool ready;
    if (!ready)
        ASSERT(crypto_init() == 0);
    ready = true;
    int r = audit_check_parse(BYTES(data, size), point, &c);
    ASSERT(r != 0 || ours(c.tenant, c.seq));
    if (audit_check_new(point, r == 0 ? &c : NULL, &k) != 0)
        return 0;
    r = 0;
    for (const char *s = (const char *)data, *end = s + size, *nl; r == 0 && s < end; s = nl + 1) {
        nl = memchr(s, '\n', (size_t)(end - s));
        if (nl == NULL)
            nl = end;
        r = audit_check_line(k, s, (size_t)(nl - s));
    }
    if (r == 0)
        r = audit_check_end(k);
    ASSERT(r == 0 || r == AUDIT_WRONG);
    ASSERT((r == 0) == (audit_check_why(k)[0] == '\0'));
    audit_check_proof(k, &p);
    ASSERT(p.time == 0 || ours(p.tenant, p.seq));
    ASSERT(r != 0 || p.time != 0);
    audit_check_free(k);
    return 0;
}
