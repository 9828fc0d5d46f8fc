/* Passwords; see password.h. */
#include "cloud/password.h"

#include <argon2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "cloud/common_passwords.h"

/* Letters that a password must have beside a common one. */
#define LETTERS_OWN 4
#define DISTINCT_MIN 6
#define WHOLE_MIN 2
#define WORD_MIN 4

static _Atomic uint64_t runs;

/* ---- characters ---- */

/* The code point at *s, which is moved on; 0 at the end, UINT32_MAX when that is not UTF-8 (RFC 3629). */
static uint32_t next_point(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (*p < 0x80) {
        *s += *p != 0;
        return *p;
    }
    unsigned more = *p >= 0xf0 && *p < 0xf8 ? 3 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xc2 && *p < 0xe0 ? 1 : 0;
    if (more == 0)
        return UINT32_MAX;
    uint32_t c = *p & (0x3fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return UINT32_MAX;
    *s += more + 1;
    return c;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

/* Beyond ASCII, what Unicode's blocks of signs, punctuation and pictures hold is special, the rest are letters. */
static bool is_letter(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool latin_sign = c < 0xc0 && c != 0xaa && c != 0xb5 && c != 0xba;
    bool sign = latin_sign || c == 0xd7 || c == 0xf7 || (c >= 0x2000 && c < 0x2c00) || (c >= 0x3000 && c < 0x3040) ||
                (c >= 0xe000 && c < 0xf900) || c >= 0x1f000;
    return !sign;
}

/* Lower case of the Latin letters that Europe writes with. */
static uint32_t lower(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c < 0xdf && c != 0xd7))
        return c + 0x20;
    if ((c >= 0x100 && c < 0x138) || (c >= 0x14a && c < 0x178) || (c >= 0x200 && c < 0x220))
        return c | 1;
    return (c >= 0x139 && c < 0x149) || (c >= 0x179 && c < 0x17f) ? c + (c & 1) : c;
}

static uint32_t canonical(uint32_t c)
{
    static const char from[] = "4@83!1l|05$7+", to[] = "aabeiiiiosstt";
    c = lower(c);
    const char *at = c > 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    return at ? (uint32_t)to[at - from] : c;
}

/* ---- rules ---- */

struct points {
    size_t n;
    uint32_t as_typed[PASSWORD_MAX], plain[PASSWORD_MAX]; /* plain: canonical */
};

static int read_points(const char *text, struct points *ret)
{
    uint32_t c;
    ret->n = 0;
    while ((c = next_point(&text)) != 0) {
        if (c == UINT32_MAX || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return PASSWORD_CODING;
        if (ret->n == PASSWORD_MAX)
            return PASSWORD_LONG;
        ret->as_typed[ret->n] = c;
        ret->plain[ret->n++] = canonical(c);
    }
    return ret->n < PASSWORD_MIN ? PASSWORD_SHORT : 0;
}

static bool has_kinds(const struct points *p)
{
    bool letter = false, digit = false, special = false;
    for (size_t i = 0; i < p->n; i++) {
        uint32_t c = p->as_typed[i];
        letter = letter || is_letter(c);
        digit = digit || is_digit(c);
        special = special || (!is_letter(c) && !is_digit(c));
    }
    return letter && digit && special;
}

static int compare_word(const void *key, const void *word)
{
    return strcmp(key, word);
}

static bool is_common_word(const uint32_t *p, size_t n)
{
    char word[COMMON_PASSWORD_MAX + 1];
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= 0x80)
            return false;
        word[i] = (char)p[i];
    }
    word[n] = '\0';
    bool found = bsearch(word, common_passwords, common_passwords_n, sizeof common_passwords[0], compare_word) != NULL;
    crypto_wipe(word, sizeof word);
    return found;
}

static size_t letters_beside(const struct points *p, size_t from, size_t until)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += (i < from || i >= until) && is_letter(p->as_typed[i]);
    return n;
}

/* A common password, with digits, signs and fewer than LETTERS_OWN letters around it; or the same few characters over
 * and over. */
static bool is_common(const struct points *p)
{
    size_t distinct = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t before = 0;
        while (p->plain[before] != p->plain[i])
            before++;
        distinct += before == i;
    }
    for (size_t i = 0; i < p->n; i++)
        for (size_t n = COMMON_PASSWORD_MIN; n <= COMMON_PASSWORD_MAX && i + n <= p->n; n++)
            if (letters_beside(p, i, i + n) < LETTERS_OWN && is_common_word(p->plain + i, n))
                return true;
    return distinct < DISTINCT_MIN;
}

static bool holds(const struct points *p, const uint32_t *word, size_t n)
{
    for (size_t i = 0; i + n <= p->n; i++)
        if (memcmp(p->plain + i, word, n * sizeof *word) == 0)
            return true;
    return false;
}

/* Whether the password holds the whole of `word`. */
static bool holds_whole(const struct points *p, const char *word)
{
    uint32_t all[PASSWORD_MAX], c;
    size_t n = 0;
    while (n < PASSWORD_MAX && (c = next_point(&word)) != 0 && c != UINT32_MAX)
        all[n++] = canonical(c);
    return n >= WHOLE_MIN && holds(p, all, n);
}

/* Whether the password holds a part of `words`. */
static bool holds_part(const struct points *p, const char *words)
{
    uint32_t part[PASSWORD_MAX], c;
    size_t n = 0;
    do {
        c = next_point(&words);
        if (c != 0 && c != UINT32_MAX && (is_letter(c) || is_digit(c))) {
            if (n < PASSWORD_MAX)
                part[n++] = canonical(c);
            continue;
        }
        if (n >= WORD_MIN && holds(p, part, n))
            return true;
        n = 0;
    } while (c != 0 && c != UINT32_MAX);
    return false;
}

int password_judge(const char *text, const char *const *whole, const char *const *words)
{
    struct points p;
    int r = read_points(text, &p);
    if (r == 0 && !has_kinds(&p))
        r = PASSWORD_KINDS;
    for (; r == 0 && *whole; whole++)
        if (holds_whole(&p, *whole))
            r = PASSWORD_PERSONAL;
    for (; r == 0 && *words; words++)
        if (holds_part(&p, *words))
            r = PASSWORD_PERSONAL;
    if (r == 0 && is_common(&p))
        r = PASSWORD_COMMON;
    crypto_wipe(&p, sizeof p);
    return r;
}

const char *password_fault_text(int fault)
{
    switch (fault) {
    case PASSWORD_SHORT:
        return "has fewer than 12 characters";
    case PASSWORD_LONG:
        return "has more than 128 characters";
    case PASSWORD_KINDS:
        return "needs a letter, a digit and a special character";
    case PASSWORD_COMMON:
        return "is one of those that are tried first, or little more than one";
    case PASSWORD_PERSONAL:
        return "holds the login, a name or the company";
    default:
        return "is no text in UTF-8 without control characters";
    }
}

/* ---- hashes ---- */

static int run(const struct password_cost *cost, const uint8_t salt[PASSWORD_SALT], const char *text,
               uint8_t ret[PASSWORD_HASH])
{
    atomic_fetch_add(&runs, 1);
    int r = argon2id_hash_raw(cost->passes, cost->memory_kib, cost->lanes, text, strlen(text), salt, PASSWORD_SALT, ret,
                              PASSWORD_HASH);
    return r == ARGON2_OK ? 0 : r == ARGON2_MEMORY_ALLOCATION_ERROR ? -ENOMEM : -EINVAL;
}

int password_make(const struct password_cost *cost, const char *text, struct password_hash *ret)
{
    struct password_hash h = {.cost = *cost};
    int r = crypto_random(h.salt, sizeof h.salt);
    if (r == 0)
        r = run(cost, h.salt, text, h.hash);
    if (r == 0)
        *ret = h;
    crypto_wipe(&h, sizeof h);
    return r;
}

int password_check(const struct password_hash *h, const char *text)
{
    uint8_t hash[PASSWORD_HASH];
    int r = run(&h->cost, h->salt, text, hash);
    if (r == 0 && !crypto_equal(hash, h->hash, sizeof hash))
        r = PASSWORD_WRONG;
    crypto_wipe(hash, sizeof hash);
    return r;
}

bool password_aged(const struct password_hash *h, const struct password_cost *cost)
{
    return h->cost.memory_kib != cost->memory_kib || h->cost.passes != cost->passes || h->cost.lanes != cost->lanes;
}

uint64_t password_runs(void)
{
    return atomic_load(&runs);
}
