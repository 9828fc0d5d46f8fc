/* Page cursors: version byte, position, the first 16 bytes of an HMAC; base64url. */
#include "api/cursor.h"

#include <string.h>

#include "base/str.h"

#define CURSOR_VERSION 1

int cursor_bind(const char *const *parts, size_t n, struct cursor_binding *ret)
{
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 8192);
    for (size_t i = 0; i < n; i++) {
        const char *s = parts[i] ? parts[i] : "";
        buf_addf(&b, "%c%zu:%s", parts[i] ? '+' : '-', strlen(s), s);
    }
    if (b.failed)
        return -ENOBUFS;
    return crypto_sha256(buf_bytes(&b), ret->hash);
}

static int mac(const uint8_t key[CRYPTO_KEY], const struct cursor_binding *b, struct bytes body,
               uint8_t ret[CRYPTO_HASH])
{
    const struct bytes parts[] = {BYTES_STR("punchcloud cursor"), BYTES(b->hash, sizeof b->hash), body};
    return crypto_hmac(BYTES(key, CRYPTO_KEY), parts, ARRAY_LEN(parts), ret);
}

int cursor_make(const uint8_t key[CRYPTO_KEY], const struct cursor_binding *b, struct bytes pos,
                char ret[CURSOR_TEXT_MAX])
{
    uint8_t raw[1 + CURSOR_POS_MAX + CURSOR_MAC] = {CURSOR_VERSION}, full[CRYPTO_HASH];
    if (pos.n > CURSOR_POS_MAX)
        return -EINVAL;
    memcpy(raw + 1, pos.p, pos.n);
    int r = mac(key, b, BYTES(raw, 1 + pos.n), full);
    if (r < 0)
        return r;
    memcpy(raw + 1 + pos.n, full, CURSOR_MAC);
    str_b64url(raw, 1 + pos.n + CURSOR_MAC, ret);
    return 0;
}

int cursor_open(const uint8_t key[CRYPTO_KEY], const struct cursor_binding *b, const char *text,
                uint8_t ret_pos[CURSOR_POS_MAX], size_t *ret_n)
{
    uint8_t raw[1 + CURSOR_POS_MAX + CURSOR_MAC], full[CRYPTO_HASH];
    size_t n = 0;
    if (str_unb64url(text, strlen(text), raw, sizeof raw, &n) < 0 || n < 1 + CURSOR_MAC || raw[0] != CURSOR_VERSION)
        return CURSOR_BAD;
    n -= CURSOR_MAC;
    int r = mac(key, b, BYTES(raw, n), full);
    if (r < 0)
        return r;
    if (!crypto_equal(full, raw + n, CURSOR_MAC))
        return CURSOR_BAD;
    memcpy(ret_pos, raw + 1, n - 1);
    *ret_n = n - 1;
    return 0;
}
