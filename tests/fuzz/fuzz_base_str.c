/* Numbers, times, hex and base64url as clients, files and command lines write them: what is read is in range and can be
 * written and read again with the same meaning. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void times(const char *s)
{
    char text[32];
    int64_t t, again;
    if (str_untime(s, &t) != 0)
        return;
    str_time(t, text);
    ASSERT(str_untime(text, &again) == 0 && again == t);
}

static void numbers(const char *s)
{
    uint64_t v, w;
    if (str_u64(s, 0, UINT64_MAX, &v) != 0)
        return;
    ASSERT(strspn(s, "0123456789") == strlen(s));
    if (v > 0)
        ASSERT(str_u64(s, 0, v - 1, &w) == -ERANGE);
    if (v < UINT64_MAX)
        ASSERT(str_u64(s, v + 1, UINT64_MAX, &w) == -ERANGE);
    ASSERT(str_u64(s, v, v, &w) == 0 && w == v);
}

static void bytes(const char *s, size_t n)
{
    uint8_t bin[64], again[64];
    char text[2 * sizeof bin + 1];
    size_t k, m;
    if (str_unhex_any(s, bin, sizeof bin, &k) == 0) {
        ASSERT(k <= sizeof bin && 2 * k == n);
        ASSERT(str_unhex(str_hex(bin, k, text), again, k) == 0 && memcmp(bin, again, k) == 0);
        ASSERT(str_unhex(str_hex_upper(bin, k, text), again, k) == 0 && memcmp(bin, again, k) == 0);
    }
    if (str_unb64url(s, n, bin, sizeof bin, &k) == 0) {
        ASSERT(k <= sizeof bin && str_b64url_len(k) == n);
        str_b64url(bin, k, text); /* only one way to write it */
        ASSERT(strlen(text) == n && memcmp(text, s, n) == 0);
        ASSERT(str_unb64url(text, n, again, sizeof again, &m) == 0 && m == k && memcmp(bin, again, k) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = malloc(size + 1);
    if (s == NULL)
        return 0;
    memcpy(s, data, size);
    s[size] = '\0';
    times(s);
    numbers(s);
    bytes(s, strlen(s));
    free(s);
    return 0;
}
