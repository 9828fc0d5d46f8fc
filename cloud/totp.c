/* The second factor; see totp.h. Codes are compared in constant time, and all three steps are always computed, so that
 * neither tells how near a guess was. */
#include "cloud/totp.h"

#include <liboath/oath.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* RFC 4648 section 6, and Crockford's without I, L, O and U. */
static const char rfc4648[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* n a multiple of 5 */
static void base32(const char *digits, const uint8_t *p, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i += 5) {
        uint64_t v = 0;
        for (size_t j = 0; j < 5; j++)
            v = v << 8 | p[i + j];
        for (int shift = 35; shift >= 0; shift -= 5)
            *ret++ = digits[v >> shift & 31];
    }
    *ret = '\0';
}

int totp_draw(uint8_t ret_secret[TOTP_SECRET])
{
    return crypto_random(ret_secret, TOTP_SECRET);
}

int totp_code(const uint8_t secret[TOTP_SECRET], uint64_t step, char ret[TOTP_DIGITS + 1])
{
    char code[TOTP_DIGITS + 1];
    int r = oath_hotp_generate((const char *)secret, TOTP_SECRET, step, TOTP_DIGITS, false,
                               OATH_HOTP_DYNAMIC_TRUNCATION, code);
    if (r != OATH_OK)
        return r == OATH_MALLOC_ERROR ? -ENOMEM : -EIO;
    memcpy(ret, code, sizeof code);
    return 0;
}

int totp_check(const uint8_t secret[TOTP_SECRET], const char *code, int64_t now, uint64_t last, uint64_t *ret_step)
{
    char given[TOTP_DIGITS + 1] = "", want[TOTP_DIGITS + 1];
    uint64_t accepted = 0, at = (uint64_t)(now < 0 ? 0 : now) / 1000000 / TOTP_PERIOD;
    if (str_copy(given, sizeof given, code) != 0)
        return TOTP_WRONG;
    for (uint64_t step = at > 0 ? at - 1 : 0; step <= at + 1; step++) {
        int r = totp_code(secret, step, want);
        if (r != 0)
            return r;
        bool same = crypto_equal(given, want, sizeof want);
        if (same && step > last && accepted == 0)
            accepted = step;
    }
    crypto_wipe(want, sizeof want);
    if (accepted == 0)
        return TOTP_WRONG;
    *ret_step = accepted;
    return 0;
}

void totp_base32(const uint8_t secret[TOTP_SECRET], char ret[TOTP_BASE32_MAX])
{
    base32(rfc4648, secret, TOTP_SECRET, ret);
}

/* Percent-encodes all but what RFC 3986 section 2.3 leaves as it is. */
static void add_encoded(struct buf *b, const char *s)
{
    for (; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
                     strchr("-._~", *s) != NULL;
        buf_addf(b, plain ? "%c" : "%%%02X", (unsigned char)*s);
    }
}

int totp_uri(const uint8_t secret[TOTP_SECRET], const char *issuer, const char *login, char ret[TOTP_URI_MAX])
{
    struct buf CLEANUP(buf_wipe) b;
    char text[TOTP_BASE32_MAX];
    totp_base32(secret, text);
    buf_init(&b, TOTP_URI_MAX - 1);
    buf_addf(&b, "otpauth://totp/");
    add_encoded(&b, issuer);
    buf_addf(&b, ":");
    add_encoded(&b, login);
    buf_addf(&b, "?secret=%s&issuer=", text);
    add_encoded(&b, issuer);
    buf_addf(&b, "&algorithm=SHA1&digits=%d&period=%d", TOTP_DIGITS, TOTP_PERIOD);
    crypto_wipe(text, sizeof text);
    return b.failed ? -ENOBUFS : str_copy(ret, TOTP_URI_MAX, buf_str(&b));
}

/* ---- recovery codes ---- */

#define RECOVERY_LEN 10
#define RECOVERY_CHARS 16

static int hash_code(const char code[RECOVERY_CHARS], uint8_t ret[RECOVERY_HASH])
{
    uint8_t hash[CRYPTO_HASH];
    const struct bytes part = BYTES(code, RECOVERY_CHARS);
    int r = crypto_hmac(BYTES_STR("punch recovery code"), &part, 1, hash);
    if (r == 0)
        memcpy(ret, hash, RECOVERY_HASH);
    return r;
}

int recovery_draw(char ret_text[RECOVERY_TEXT], uint8_t ret_hash[RECOVERY_HASH])
{
    uint8_t random[RECOVERY_LEN];
    char code[RECOVERY_CHARS + 1];
    int r = crypto_random(random, sizeof random);
    if (r != 0)
        return r;
    base32(crockford, random, sizeof random, code);
    r = hash_code(code, ret_hash);
    if (r == 0)
        snprintf(ret_text, RECOVERY_TEXT, "%.4s-%.4s-%.4s-%.4s", code, code + 4, code + 8, code + 12);
    crypto_wipe(random, sizeof random);
    crypto_wipe(code, sizeof code);
    return r;
}

/* Crockford reads I and L as 1, O as 0. */
static char read_digit(char c)
{
    c = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
    return c && strchr(crockford, c) ? c : '\0';
}

int recovery_hash(const char *text, uint8_t ret_hash[RECOVERY_HASH])
{
    char code[RECOVERY_CHARS];
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == ' ')
            continue;
        if (n == sizeof code || (code[n] = read_digit(*text)) == '\0')
            return RECOVERY_BAD;
        n++;
    }
    int r = n == sizeof code ? hash_code(code, ret_hash) : RECOVERY_BAD;
    crypto_wipe(code, sizeof code);
    return r;
}
