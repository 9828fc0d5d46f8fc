/* Time zones; see zone.h. The file's own list of changes counts, and behind its end the rule in its last line (POSIX TZ
 * with the extension of RFC 9636, 3.3.2). */
#include "cloud/zone.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/file.h"

#define FOLDER "/usr/share/zoneinfo"
#define FILE_MAX 65536u
#define HEADER 44
#define TYPES_MAX 256
#define RULE_MAX 64
#define DAY_S INT64_C(86400)
#define OFFSET_MAX (INT64_C(26) * 3600) /* RFC 9636, 3.2: nothing is further from UTC */

/* When, in a year, summer begins or ends. */
struct change_day {
    char form;       /* 'M': week and day of a month; 'J': day 1..365, leap days not counted; '0': day 0..365 */
    int month, week; /* of 'M' */
    int day;
    int32_t time; /* s after local midnight, maybe before it or days later */
};
struct rule {
    bool present, has_dst;
    int32_t std, dst; /* s east of UTC */
    struct change_day begins, ends;
};
struct zone {
    size_t n;
    int64_t *times;
    uint8_t *types; /* of the time behind each change */
    size_t n_types;
    int32_t offsets[TYPES_MAX];
    struct rule rule;
};

/* ---- days ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

static bool is_leap(int64_t y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Of January 1st. */
static int64_t year_day(int64_t y)
{
    int64_t p = y - 1;
    return 365 * (y - 1970) + floor_div(p, 4) - floor_div(p, 100) + floor_div(p, 400) - 477;
}

static int64_t year_of(int64_t day)
{
    int64_t y = 1970 + floor_div(day, 365);
    while (year_day(y) > day)
        y--;
    return y;
}

static int64_t month_day(int64_t y, int month)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    return year_day(y) + before[month] + (month >= 2 && is_leap(y) ? 1 : 0);
}

/* Day of a rule in a year, counted from 1970-01-01. */
static int64_t rule_day(const struct change_day *c, int64_t y)
{
    if (c->form == '0')
        return year_day(y) + c->day;
    if (c->form == 'J')
        return year_day(y) + c->day - 1 + (is_leap(y) && c->day > 59 ? 1 : 0);
    int64_t first = month_day(y, c->month - 1), next = month_day(y, c->month);
    int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t d = first + (c->day - weekday + 7) % 7 + INT64_C(7) * (c->week - 1);
    return d < next ? d : d - 7;
}

/* ---- the rule ---- */

static bool number(const char **p, int max, int *ret)
{
    int v = 0, digits = 0;
    for (; **p >= '0' && **p <= '9' && digits < 4; (*p)++, digits++)
        v = 10 * v + (**p - '0');
    *ret = v;
    return digits > 0 && v <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool clock_time(const char **p, int hours_max, int32_t *ret)
{
    int sign = **p == '-' ? -1 : 1, h = 0, m = 0, s = 0;
    *p += **p == '-' || **p == '+' ? 1 : 0;
    if (!number(p, hours_max, &h))
        return false;
    if (**p == ':' && ((*p)++, !number(p, 59, &m)))
        return false;
    if (**p == ':' && ((*p)++, !number(p, 59, &s)))
        return false;
    *ret = sign * (3600 * h + 60 * m + s);
    return true;
}

static bool zone_name(const char **p)
{
    if (**p == '<') {
        *p += strcspn(*p, ">");
        return *(*p)++ == '>';
    }
    size_t n = strspn(*p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    *p += n;
    return n >= 3;
}

static bool change_day(const char **p, struct change_day *c)
{
    *c = (struct change_day){.form = '0', .time = 2 * 3600};
    if (**p != ',')
        return false;
    (*p)++;
    if (**p == 'M') {
        c->form = *(*p)++;
        if (!number(p, 12, &c->month) || c->month < 1 || *(*p)++ != '.' || !number(p, 5, &c->week) || c->week < 1 ||
            *(*p)++ != '.' || !number(p, 6, &c->day))
            return false;
    } else {
        if (**p == 'J')
            c->form = *(*p)++;
        if (!number(p, 365, &c->day) || (c->form == 'J' && c->day < 1))
            return false;
    }
    return **p != '/' || ((*p)++, clock_time(p, 167, &c->time));
}

/* std offset [dst [offset] , begins , ends]: POSIX counts offsets to the west. */
static bool read_rule(const char *p, struct rule *ret)
{
    struct rule r = {.present = true};
    if (!zone_name(&p) || !clock_time(&p, 24, &r.std))
        return false;
    r.std = -r.std;
    r.has_dst = *p != '\0';
    if (r.has_dst) {
        r.dst = r.std + 3600;
        if (!zone_name(&p))
            return false;
        if (*p != ',') {
            if (!clock_time(&p, 24, &r.dst))
                return false;
            r.dst = -r.dst;
        }
        if (!change_day(&p, &r.begins) || !change_day(&p, &r.ends))
            return false;
    }
    *ret = r;
    return *p == '\0';
}

static int32_t rule_offset(const struct rule *r, int64_t s)
{
    if (!r->has_dst)
        return r->std;
    int64_t y = year_of(floor_div(s + r->std, DAY_S));
    int64_t begins = rule_day(&r->begins, y) * DAY_S + r->begins.time - r->std;
    int64_t ends = rule_day(&r->ends, y) * DAY_S + r->ends.time - r->dst;
    bool summer = begins < ends ? s >= begins && s < ends : s >= begins || s < ends;
    return summer ? r->dst : r->std;
}

/* ---- the file ---- */

struct counts {
    uint32_t isut, isstd, leap, time, type, chars;
};

/* One of the two blocks that begin with a header; *ret_size its data, times of `wide` bytes. */
static bool read_header(struct bytes f, size_t wide, struct counts *c, uint64_t *ret_size)
{
    if (f.n < HEADER || memcmp(f.p, "TZif", 4) != 0 || f.p[4] < '2')
        return false;
    uint32_t *const fields[] = {&c->isut, &c->isstd, &c->leap, &c->time, &c->type, &c->chars};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        *fields[i] = (uint32_t)be_get(f.p + 20 + 4 * i, 4);
    *ret_size = (uint64_t)c->time * (wide + 1) + (uint64_t)c->type * 6 + c->chars + (uint64_t)c->leap * (wide + 4) +
                c->isstd + c->isut;
    return f.n - HEADER >= *ret_size;
}

static bool read_offset(const uint8_t *p, int32_t *ret)
{
    uint32_t raw = (uint32_t)be_get(p, 4);
    int64_t v = raw > INT32_MAX ? (int64_t)raw - (INT64_C(1) << 32) : (int64_t)raw;
    *ret = (int32_t)v;
    return v >= -OFFSET_MAX && v <= OFFSET_MAX;
}

static bool read_lists(struct zone *z, const struct counts *c, const uint8_t *p)
{
    const uint8_t *types = p + (size_t)c->time * 8, *offsets = types + c->time;
    for (size_t i = 0; i < z->n_types; i++)
        if (!read_offset(offsets + 6 * i, &z->offsets[i]))
            return false;
    for (size_t i = 0; i < z->n; i++) {
        z->times[i] = (int64_t)be_get(p + 8 * i, 8);
        z->types[i] = types[i];
        if (types[i] >= z->n_types || (i > 0 && z->times[i] <= z->times[i - 1]))
            return false;
    }
    return true;
}

/* "\n<rule>\n"; empty where no rule says what comes. */
static bool read_footer(struct bytes f, struct rule *ret)
{
    char text[RULE_MAX + 1] = "";
    if (f.n < 2 || f.n > RULE_MAX + 2 || f.p[0] != '\n' || f.p[f.n - 1] != '\n' || memchr(f.p, '\0', f.n))
        return false;
    memcpy(text, f.p + 1, f.n - 2);
    return text[0] == '\0' || read_rule(text, ret);
}

static bool read_second(struct bytes f, struct zone *z)
{
    struct counts c = {0};
    uint64_t size;
    /* with leap seconds in it, times are none that anybody else here knows */
    if (!read_header(f, 8, &c, &size) || c.leap != 0 || c.type == 0 || c.type > TYPES_MAX)
        return false;
    z->n = c.time;
    z->n_types = c.type;
    z->times = calloc(z->n + 1, sizeof *z->times);
    z->types = calloc(z->n + 1, 1);
    return z->times != NULL && z->types != NULL && read_lists(z, &c, f.p + HEADER) &&
           read_footer(BYTES(f.p + HEADER + size, f.n - HEADER - (size_t)size), &z->rule);
}

int zone_read(struct bytes file, struct zone **ret_zone)
{
    struct counts c = {0};
    uint64_t size;
    if (!read_header(file, 4, &c, &size))
        return ZONE_UNKNOWN;
    struct zone *z = calloc(1, sizeof *z);
    if (z == NULL)
        return -ENOMEM;
    size_t second = HEADER + (size_t)size;
    if (!read_second(BYTES(file.p + second, file.n - second), z)) {
        bool short_of_memory = z->n_types > 0 && (z->times == NULL || z->types == NULL);
        zone_free(z);
        return short_of_memory ? -ENOMEM : ZONE_UNKNOWN;
    }
    *ret_zone = z;
    return 0;
}

static int utc(struct zone **ret_zone)
{
    struct zone *z = calloc(1, sizeof *z);
    if (z == NULL)
        return -ENOMEM;
    z->n_types = 1;
    *ret_zone = z;
    return 0;
}

int zone_load(const char *name, struct zone **ret_zone)
{
    char path[256];
    struct buf CLEANUP(buf_done) file;
    buf_init(&file, FILE_MAX);
    if (name[0] == '\0')
        return utc(ret_zone);
    int r = file_join(path, sizeof path, FOLDER, name);
    if (r == 0)
        r = file_read(path, &file);
    if (r == 0)
        return zone_read(buf_bytes(&file), ret_zone);
    return r == -ENOMEM ? r : ZONE_UNKNOWN;
}

void zone_free(struct zone *z)
{
    if (z == NULL)
        return;
    free(z->times);
    free(z->types);
    free(z);
}

/* ---- asking it ---- */

int32_t zone_offset(const struct zone *z, int64_t s)
{
    size_t lo = 0, hi = z->n; /* how many changes are not after s */
    if (z->rule.present && (z->n == 0 || s >= z->times[z->n - 1]))
        return rule_offset(&z->rule, s);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (z->times[mid] <= s)
            lo = mid + 1;
        else
            hi = mid;
    }
    return z->offsets[lo > 0 ? z->types[lo - 1] : 0];
}

static int64_t local_day(const struct zone *z, int64_t s)
{
    return floor_div(s + zone_offset(z, s), DAY_S);
}

int64_t zone_day(const struct zone *z, int64_t us)
{
    return local_day(z, floor_div(us, 1000000));
}

int64_t zone_day_start(const struct zone *z, int64_t day)
{
    int64_t before = day * DAY_S - OFFSET_MAX - 1, at = day * DAY_S + OFFSET_MAX + 1;
    while (at - before > 1) {
        int64_t mid = before + (at - before) / 2;
        if (local_day(z, mid) < day)
            before = mid;
        else
            at = mid;
    }
    return at * 1000000;
}
