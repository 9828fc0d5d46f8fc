/* Address ranges; see range.h. */
#include "cloud/range.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

#define V4_PREFIX 96 /* ::ffff:0:0/96, RFC 4291 section 2.5.5.2 */

static bool parse_address(const char *s, unsigned char ret[16], bool *ret_v4)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *ret_v4 = inet_pton(AF_INET, s, ret + 12) == 1;
    if (*ret_v4) {
        memcpy(ret, mapped, sizeof mapped);
        return true;
    }
    return inet_pton(AF_INET6, s, ret) == 1;
}

static bool parse(const char *range, unsigned char ret[16], unsigned *ret_bits)
{
    char address[RANGE_TEXT_MAX];
    uint64_t bits;
    bool v4;
    size_t n = strcspn(range, "/");
    if (n >= sizeof address)
        return false;
    memcpy(address, range, n);
    address[n] = '\0';
    if (!parse_address(address, ret, &v4))
        return false;
    bits = v4 ? 32 : 128;
    if (range[n] == '/' && str_u64(range + n + 1, 0, bits, &bits) < 0)
        return false;
    *ret_bits = (unsigned)bits + (v4 ? V4_PREFIX : 0);
    return true;
}

static bool bit(const unsigned char a[16], unsigned i)
{
    return (a[i / 8] >> (7 - i % 8) & 1) != 0;
}

bool range_valid(const char *range)
{
    unsigned char a[16];
    unsigned bits;
    if (!parse(range, a, &bits))
        return false;
    for (; bits < 128; bits++)
        if (bit(a, bits))
            return false;
    return true;
}

bool range_has(const char *range, const char *address)
{
    unsigned char a[16], b[16];
    unsigned bits;
    bool v4;
    if (!parse(range, a, &bits) || !parse_address(address, b, &v4))
        return false;
    for (unsigned i = 0; i < bits; i++)
        if (bit(a, i) != bit(b, i))
            return false;
    return true;
}
