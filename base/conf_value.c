/* One scalar of a configuration file: a number, a duration, a size, a word of a list. Everything that is refused
 * is refused with what would have been right. */
#include "base/conf_impl.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit times[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};

static const struct unit *units_of(enum conf_type type, size_t *ret_n)
{
    *ret_n = type == CONF_MS ? ARRAY_LEN(times) : ARRAY_LEN(sizes);
    return type == CONF_MS ? times : sizes;
}

size_t conf_value_size(enum conf_type type)
{
    switch (type) {
    case CONF_STRING:
        return sizeof(char *);
    case CONF_UINT:
    case CONF_MS:
    case CONF_SIZE:
        return sizeof(uint64_t);
    case CONF_BOOL:
        return sizeof(bool);
    case CONF_ENUM:
        return sizeof(int);
    case CONF_UINTS:
    case CONF_STRINGS:
    case CONF_LIST:
        return sizeof(struct conf_list);
    case CONF_MAP:
        break;
    }
    return 0;
}

const char *conf_type_name(enum conf_type type)
{
    switch (type) {
    case CONF_STRING:
        return "text";
    case CONF_UINT:
        return "a whole number";
    case CONF_BOOL:
        return "true or false";
    case CONF_MS:
        return "a duration such as 250ms, 2s, 5min, 1h or 7d";
    case CONF_SIZE:
        return "a size such as 64KiB, 256MiB or 1GiB";
    case CONF_ENUM:
        return "a word";
    case CONF_UINTS:
        return "a list of numbers such as [1, 2]";
    case CONF_STRINGS:
        return "a list such as [a, b]";
    case CONF_MAP:
        return "a group of keys";
    case CONF_LIST:
        return "a list";
    }
    return "?";
}

const char *conf_number(enum conf_type type, uint64_t v, char ret[32])
{
    const char *unit = "";
    size_t n = 0;
    const struct unit *u = units_of(type, &n);

    if (type == CONF_MS || type == CONF_SIZE) {
        size_t best = 0;
        for (size_t i = 0; i < n; i++)
            if (v != 0 && v % u[i].factor == 0)
                best = i;
        v /= u[best].factor;
        unit = u[best].name;
    }
    snprintf(ret, 32, "%llu%s", (unsigned long long)v, unit);
    return ret;
}

static char lower(char ch)
{
    return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance with neighbours swapped counting once (optimal string alignment), whatever the case. */
enum { WORD_MAX = 40 };
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];

    for (size_t i = 0; i <= na; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            unsigned v = least(d[i - 1][j] + 1, d[i][j - 1] + 1);
            v = least(v, d[i - 1][j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]))
                v = least(v, d[i - 2][j - 2] + 1);
            d[i][j] = v;
        }
    }
    return d[na][nb];
}

const char *conf_suggest(const char *s, size_t n, const char *(*candidate)(const void *from, size_t i),
                         const void *from)
{
    const char *best = NULL;
    /* A third of the letters may be wrong, one at least: farther away a suggestion is a riddle. */
    unsigned limit = n < 6 ? 1 : (unsigned)(n / 3);

    if (n == 0 || n > WORD_MAX)
        return NULL;
    for (size_t i = 0; candidate(from, i); i++) {
        const char *name = candidate(from, i);
        size_t len = strlen(name);
        if (len > WORD_MAX)
            continue;
        unsigned d = distance(s, n, name, len);
        if (d <= limit && d < len) {
            best = name;
            limit = d > 0 ? d - 1 : 0;
            if (d == 0)
                break;
        }
    }
    return best;
}

/* The digits s begins with; *ret_used of them. -ERANGE when they do not fit. */
static int digits(const char *s, unsigned base, uint64_t *ret_v, size_t *ret_used)
{
    uint64_t v = 0;
    size_t i = 0;
    int r = 0;

    for (;; i++) {
        unsigned d;
        char ch = lower(s[i]);
        if (ch >= '0' && ch <= '9')
            d = (unsigned)(ch - '0');
        else if (base == 16 && ch >= 'a' && ch <= 'f')
            d = (unsigned)(ch - 'a') + 10;
        else
            break;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
            r = -ERANGE;
    }
    *ret_v = v;
    *ret_used = i;
    return r;
}

const char *conf_range(const struct conf_key *k, enum conf_type type, char ret[CONF_RANGE])
{
    char lo[32], hi[32];

    conf_number(type, k->min > 0 ? (uint64_t)k->min : 0, lo);
    conf_number(type, k->max > 0 ? (uint64_t)k->max : 0, hi);
    ret[0] = '\0';
    if (k->max > 0)
        snprintf(ret, CONF_RANGE, "%s to %s", lo, hi);
    else if (k->min > 0)
        snprintf(ret, CONF_RANGE, "at least %s", lo);
    return ret;
}

static bool in_range(const struct conf_key *k, uint64_t v)
{
    return (k->min <= 0 || v >= (uint64_t)k->min) && (k->max <= 0 || v <= (uint64_t)k->max);
}

static int check_range(const struct conf_key *k, enum conf_type type, bool ranged, int fits, uint64_t v,
                       const char *shown, char why[CONF_WHY])
{
    char range[CONF_RANGE];

    if (fits == 0 && (!ranged || in_range(k, v)))
        return 0;
    conf_range(k, type, range);
    if (ranged && range[0])
        snprintf(why, CONF_WHY, "\"%s\" is out of range for \"%s\": %s", shown, k->name, range);
    else
        snprintf(why, CONF_WHY, "\"%s\" is too large for \"%s\"", shown, k->name);
    return CONF_BAD;
}

static int read_uint(const struct conf_key *k, bool ranged, struct conf_scalar v, const char *shown, uint64_t *ret,
                     char why[CONF_WHY])
{
    bool hex = v.n > 2 && v.s[0] == '0' && lower(v.s[1]) == 'x';
    const char *s = hex ? v.s + 2 : v.s;
    uint64_t x = 0;
    size_t used = 0;
    int fits = digits(s, hex ? 16 : 10, &x, &used);

    if (used == 0 || used != v.n - (size_t)(s - v.s)) {
        snprintf(why, CONF_WHY, "\"%s\" is not a whole number, as \"%s\" wants it", shown, k->name);
        return CONF_BAD;
    }
    /* YAML 1.1 takes 010 as eight, people take it as ten. */
    if (!hex && used > 1 && s[0] == '0') {
        snprintf(why, CONF_WHY, "\"%s\" begins with a zero: write \"%s\" without it, or as 0x in hex", shown, k->name);
        return CONF_BAD;
    }
    int r = check_range(k, CONF_UINT, ranged, fits, x, shown, why);
    if (r == 0)
        *ret = x;
    return r;
}

static int read_united(const struct conf_key *k, enum conf_type type, struct conf_scalar v, const char *shown,
                       uint64_t *ret, char why[CONF_WHY])
{
    const char *all = type == CONF_MS ? "ms, s, min, h or d" : "B, KiB, MiB, GiB or TiB";
    size_t used = 0, n = 0;
    uint64_t x = 0;
    int fits = digits(v.s, 10, &x, &used);
    const struct unit *u = units_of(type, &n);

    if (used == 0 || (used < v.n && strchr(".,:", v.s[used]))) {
        snprintf(why, CONF_WHY, "\"%s\" is not %s (a whole number and its unit), as \"%s\" wants it", shown,
                 conf_type_name(type), k->name);
        return CONF_BAD;
    }
    if (used == v.n && (x != 0 || fits != 0)) {
        snprintf(why, CONF_WHY, "\"%s\" lacks its unit: write \"%s\" with %s behind the number", shown, k->name, all);
        return CONF_BAD;
    }
    uint64_t factor = used == v.n ? 1 : 0;
    for (size_t i = 0; i < n; i++)
        if (strlen(u[i].name) == v.n - used && memcmp(u[i].name, v.s + used, v.n - used) == 0)
            factor = u[i].factor;
    if (factor == 0) {
        char unit[CONF_SHOW];
        snprintf(why, CONF_WHY, "\"%s\" is no unit for \"%s\": write %s behind the number, without a blank",
                 conf_show(v.s + used, v.n - used, unit), k->name, all);
        return CONF_BAD;
    }
    if (__builtin_mul_overflow(x, factor, &x))
        fits = -ERANGE;
    int r = check_range(k, type, true, fits, x, shown, why);
    if (r == 0)
        *ret = x;
    return r;
}

static const char *name_at(const void *from, size_t i)
{
    return ((const char *const *)from)[i];
}

static int read_enum(const struct conf_key *k, struct conf_scalar v, const char *shown, int *ret, char why[CONF_WHY])
{
    for (int i = 0; k->names[i]; i++) {
        if (strlen(k->names[i]) == v.n && memcmp(k->names[i], v.s, v.n) == 0) {
            *ret = i;
            return 0;
        }
    }
    const char *near = conf_suggest(v.s, v.n, name_at, k->names);
    int n = snprintf(why, CONF_WHY, "\"%s\" is unknown for \"%s\"; %s%s%s", shown, k->name,
                     near ? "did you mean \"" : "one of: ", near ? near : "", near ? "\"? One of: " : "");
    for (int i = 0; k->names[i] && n > 0 && n < CONF_WHY; i++)
        n += snprintf(why + n, CONF_WHY - (size_t)n, "%s%s", i ? ", " : "", k->names[i]);
    return CONF_BAD;
}

static int read_bool(const struct conf_key *k, struct conf_scalar v, const char *shown, bool *ret, char why[CONF_WHY])
{
    if (!v.quoted && (strcmp(v.s, "true") == 0 || strcmp(v.s, "false") == 0)) {
        *ret = v.s[0] == 't';
        return 0;
    }
    snprintf(why, CONF_WHY, "\"%s\" is neither true nor false, as \"%s\" wants it", shown, k->name);
    return CONF_BAD;
}

static int read_string(struct conf *c, const struct conf_key *k, bool ranged, struct conf_scalar v, char **ret,
                       char why[CONF_WHY])
{
    for (size_t i = 0; i < v.n;) {
        uint32_t ch = 0;
        size_t len = conf_utf8((const uint8_t *)v.s + i, v.n - i, &ch);
        if (len == 0 || conf_control(ch)) {
            snprintf(why, CONF_WHY, "\"%s\" holds a control character", k->name);
            return CONF_BAD;
        }
        i += len;
    }
    if (ranged && !in_range(k, v.n)) {
        char range[CONF_RANGE];
        snprintf(why, CONF_WHY, "\"%s\" is %zu bytes long; it may have %s", k->name, v.n,
                 conf_range(k, CONF_STRING, range));
        return CONF_BAD;
    }
    char *s = conf_alloc(c, v.n + 1);
    if (!s)
        return -ENOMEM;
    memcpy(s, v.s, v.n);
    *ret = s;
    return 0;
}

int conf_value(struct conf *c, const struct conf_key *k, enum conf_type type, bool ranged, struct conf_scalar v,
               void *at, char why[CONF_WHY])
{
    char shown[CONF_SHOW];

    conf_show(v.s, v.n, shown);
    /* `key:` alone, or the two ways YAML writes "nothing": an oversight more often than a wish. */
    if (!v.quoted && (v.n == 0 || strcmp(v.s, "~") == 0 || strcmp(v.s, "null") == 0)) {
        snprintf(why, CONF_WHY, "\"%s\" has no value; it wants %s", k->name, conf_type_name(type));
        return CONF_BAD;
    }
    if (v.quoted && type == CONF_UINT) {
        snprintf(why, CONF_WHY, "\"%s\" wants a whole number, not quoted text", k->name);
        return CONF_BAD;
    }
    switch (type) {
    case CONF_STRING:
        return read_string(c, k, ranged, v, at, why);
    case CONF_UINT:
        return read_uint(k, ranged, v, shown, at, why);
    case CONF_BOOL:
        return read_bool(k, v, shown, at, why);
    case CONF_MS:
    case CONF_SIZE:
        return read_united(k, type, v, shown, at, why);
    case CONF_ENUM:
        return read_enum(k, v, shown, at, why);
    case CONF_UINTS:
    case CONF_STRINGS:
    case CONF_MAP:
    case CONF_LIST:
        break;
    }
    ASSERT(false); /* a list or a group is not a scalar */
    return CONF_BAD;
}
