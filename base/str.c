/* Text helpers. Times are proleptic Gregorian UTC without leap seconds, by Howard Hinnant's days-from-civil
 * arithmetic, so that neither the locale nor TZ matters. */
#include "base/str.h"

#include <stdio.h>
#include <string.h>

int str_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_v)
{
    uint64_t v = 0;
    if (s == NULL || *s == '\0')
        return -EINVAL;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        unsigned d = (unsigned)(*s - '0');
        if (v > (UINT64_MAX - d) / 10)
            return -ERANGE;
        v = v * 10 + d;
    }
    if (v < min || v > max)
        return -ERANGE;
    *ret_v = v;
    return 0;
}

static char *hex_with(const char *digits, const void *p, size_t n, char *ret)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[b[i] >> 4];
        ret[2 * i + 1] = digits[b[i] & 15];
    }
    ret[2 * n] = '\0';
    return ret;
}

char *str_hex(const void *p, size_t n, char *ret)
{
    return hex_with("0123456789abcdef", p, n, ret);
}

char *str_hex_upper(const void *p, size_t n, char *ret)
{
    return hex_with("0123456789ABCDEF", p, n, ret);
}

int str_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int str_unhex(const char *s, void *ret, size_t n)
{
    uint8_t *out = ret;
    if (strlen(s) != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < 2 * n; i++)
        if (str_nibble(s[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((unsigned)str_nibble(s[2 * i]) << 4 | (unsigned)str_nibble(s[2 * i + 1]));
    return 0;
}

int str_unhex_any(const char *s, void *ret, size_t max, size_t *ret_n)
{
    size_t len = strlen(s);
    if (len % 2 != 0)
        return -EINVAL;
    if (len / 2 > max)
        return -ENOBUFS;
    int r = str_unhex(s, ret, len / 2);
    if (r == 0)
        *ret_n = len / 2;
    return r;
}

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t str_b64url_len(size_t n)
{
    return n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1);
}

char *str_b64url(const void *p, size_t n, char *ret)
{
    const uint8_t *b = p;
    char *o = ret;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16;
        if (i + 1 < n)
            v |= (uint32_t)b[i + 1] << 8;
        if (i + 2 < n)
            v |= b[i + 2];
        *o++ = b64_digits[v >> 18];
        *o++ = b64_digits[v >> 12 & 63];
        if (i + 1 < n)
            *o++ = b64_digits[v >> 6 & 63];
        if (i + 2 < n)
            *o++ = b64_digits[v & 63];
    }
    *o = '\0';
    return ret;
}

int str_unb64url(const char *s, size_t len, void *ret, size_t max, size_t *ret_n)
{
    uint8_t *out = ret;
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;

    if (len % 4 == 1)
        return -EINVAL;
    if (len / 4 * 3 + (len % 4 == 0 ? 0 : len % 4 - 1) > max)
        return -ENOBUFS;
    for (size_t i = 0; i < len; i++) {
        const char *d = s[i] == '\0' ? NULL : strchr(b64_digits, s[i]);
        if (d == NULL)
            return -EINVAL;
        acc = acc << 6 | (uint32_t)(d - b64_digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(acc >> bits);
        }
        acc &= (1u << bits) - 1;
    }
    if (acc != 0) /* non-zero padding bits: two texts for one value */
        return -EINVAL;
    *ret_n = n;
    return 0;
}

int str_copy(char *ret, size_t size, const char *s)
{
    size_t n = strlen(s);
    if (n >= size)
        return -ENOBUFS;
    memcpy(ret, s, n + 1);
    return 0;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

/* The years that RFC 3339 can write. */
#define YEAR_0 INT64_C(-62167219200000000)
#define YEAR_10000 INT64_C(253402300800000000)

static void put_digits(char *p, unsigned v, size_t n)
{
    for (; n > 0; v /= 10)
        p[--n] = (char)('0' + v % 10);
}

/* By hand: a page of punches has three hundred of these, and snprintf() takes ten times as long. */
char *str_time(int64_t us, char *ret)
{
    /* A clock gone mad must not print a wrong but plausible date. */
    if (us < YEAR_0 || us >= YEAR_10000) {
        snprintf(ret, 32, "%s", us < YEAR_0 ? "0000-01-01T00:00:00.000000Z" : "9999-12-31T23:59:59.999999Z");
        return ret;
    }

    int64_t days = us / 86400000000;
    int64_t rest = us % 86400000000;
    if (rest < 0) {
        rest += 86400000000;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    unsigned d = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    int64_t y = yoe + era * 400 + (m <= 2);
    unsigned sec = (unsigned)(rest / 1000000);
    put_digits(ret, (unsigned)y, 4);
    put_digits(ret + 5, m, 2);
    put_digits(ret + 8, d, 2);
    put_digits(ret + 11, sec / 3600, 2);
    put_digits(ret + 14, sec / 60 % 60, 2);
    put_digits(ret + 17, sec % 60, 2);
    put_digits(ret + 20, (unsigned)(rest % 1000000), 6);
    ret[4] = ret[7] = '-';
    ret[10] = 'T';
    ret[13] = ret[16] = ':';
    ret[19] = '.';
    memcpy(ret + 26, "Z", 2);
    return ret;
}

/* n digits at *s, moving on. */
static int digits(const char **s, unsigned n, unsigned *ret)
{
    unsigned v = 0;
    for (unsigned i = 0; i < n; i++) {
        if ((*s)[i] < '0' || (*s)[i] > '9')
            return -EINVAL;
        v = v * 10 + (unsigned)((*s)[i] - '0');
    }
    *s += n;
    *ret = v;
    return 0;
}

static int expect(const char **s, char c)
{
    if (**s != c)
        return -EINVAL;
    (*s)++;
    return 0;
}

static int zone(const char **s, int64_t *ret_us)
{
    unsigned h;
    unsigned m;
    char sign = **s;
    if (sign == 'Z' || sign == 'z') {
        (*s)++;
        *ret_us = 0;
        return 0;
    }
    if (sign != '+' && sign != '-')
        return -EINVAL;
    (*s)++;
    if (digits(s, 2, &h) < 0 || expect(s, ':') < 0 || digits(s, 2, &m) < 0 || h > 23 || m > 59)
        return -EINVAL;
    *ret_us = (sign == '-' ? -1 : 1) * (int64_t)(h * 60 + m) * 60000000;
    return 0;
}

int str_untime(const char *s, int64_t *ret_us)
{
    static const unsigned month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned y;
    unsigned mo;
    unsigned d;
    unsigned h;
    unsigned mi;
    unsigned sec;
    int64_t us = 0;
    int64_t off = 0;

    if (digits(&s, 4, &y) < 0 || expect(&s, '-') < 0 || digits(&s, 2, &mo) < 0 || expect(&s, '-') < 0 ||
        digits(&s, 2, &d) < 0 || mo < 1 || mo > 12 || d < 1)
        return -EINVAL;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > month_days[mo - 1] + (mo == 2 && leap ? 1 : 0))
        return -EINVAL;
    int64_t base = days_from_civil(y, mo, d) * 86400000000;
    if (*s == '\0') {
        *ret_us = base;
        return 0;
    }
    if (*s != 'T' && *s != 't' && *s != ' ')
        return -EINVAL;
    s++;
    if (digits(&s, 2, &h) < 0 || expect(&s, ':') < 0 || digits(&s, 2, &mi) < 0 || expect(&s, ':') < 0 ||
        digits(&s, 2, &sec) < 0 || h > 23 || mi > 59 || sec > 60)
        return -EINVAL;
    if (*s == '.') {
        int64_t unit = 100000;
        s++;
        if (*s < '0' || *s > '9')
            return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++, unit /= 10) {
            if (unit == 0)
                return -EINVAL;
            us += (*s - '0') * unit;
        }
    }
    if (zone(&s, &off) < 0 || *s != '\0')
        return -EINVAL;
    int64_t t = base + (int64_t)(h * 3600 + mi * 60 + sec) * 1000000 + us - off;
    if (t < YEAR_0 || t >= YEAR_10000) /* an offset or a leap second led out of what can be written */
        return -EINVAL;
    *ret_us = t;
    return 0;
}
