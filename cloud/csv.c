/* Comma-separated values; see csv.h. */
#include "cloud/csv.h"

#include <string.h>

static char separator_of(const char *p, const char *end)
{
    size_t commas = 0, semicolons = 0;
    bool quoted = false;
    for (; p < end && *p != '\n'; p++) {
        quoted = quoted != (*p == '"');
        commas += !quoted && *p == ',';
        semicolons += !quoted && *p == ';';
    }
    return semicolons > commas ? ';' : ',';
}

void csv_init(struct csv *c, struct bytes text)
{
    const char *p = (const char *)text.p, *end = p + text.n;
    if (text.n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    *c = (struct csv){.p = p, .end = end, .next_line = 1, .separator = separator_of(p, end)};
}

/* ---- text ---- */

/* Bytes that follow the first one of a character; -1: none begins so. */
static int follows(unsigned char c)
{
    return c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : -1;
}

/* RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
static bool is_utf8(const char *s)
{
    while (*s) {
        unsigned char c = (unsigned char)s[0], d = (unsigned char)s[1];
        int n = follows(c);
        if (n < 0 || (c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
            (c == 0xf4 && d > 0x8f))
            return false;
        for (s++; n > 0; n--, s++)
            if (((unsigned char)*s & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* ---- rows ---- */

struct row {
    struct csv *c;
    struct csv_row *ret;
    size_t used, newlines;
    enum csv_outcome bad; /* CSV_ROW: not yet */
};

static void put(struct row *r, char c)
{
    if (r->used < CSV_ROW_MAX)
        r->ret->text[r->used++] = c;
    else
        r->bad = CSV_TOO_LONG;
    if (c == '\n')
        r->newlines++;
}

static bool at_end_of_line(const struct csv *c)
{
    return c->p == c->end || *c->p == '\n' || (*c->p == '\r' && (c->p + 1 == c->end || c->p[1] == '\n'));
}

/* Behind the opening quote; up to what is behind the closing one. */
static void quoted(struct row *r)
{
    struct csv *c = r->c;
    for (; c->p < c->end && r->bad == CSV_ROW; c->p++) {
        if (*c->p == '\0') {
            r->bad = CSV_BAD_TEXT;
        } else if (*c->p != '"') {
            put(r, *c->p);
        } else if (c->p + 1 < c->end && c->p[1] == '"') {
            put(r, '"');
            c->p++;
        } else {
            c->p++;
            if (!at_end_of_line(c) && *c->p != c->separator)
                r->bad = CSV_BAD_QUOTES;
            return;
        }
    }
    if (r->bad == CSV_ROW)
        r->bad = CSV_BAD_QUOTES;
}

static void plain(struct row *r)
{
    struct csv *c = r->c;
    for (; r->bad == CSV_ROW && !at_end_of_line(c) && *c->p != c->separator; c->p++) {
        if (*c->p == '"')
            r->bad = CSV_BAD_QUOTES;
        else if (*c->p == '\0')
            r->bad = CSV_BAD_TEXT;
        else
            put(r, *c->p);
    }
}

/* One field and its NUL. */
static void field(struct row *r)
{
    struct csv *c = r->c;
    if (r->ret->n == CSV_FIELDS_MAX || r->used == CSV_ROW_MAX) {
        r->bad = CSV_TOO_LONG;
        return;
    }
    const char *begin = r->ret->text + r->used;
    if (c->p < c->end && *c->p == '"') {
        c->p++;
        quoted(r);
    } else {
        plain(r);
    }
    put(r, '\0');
    if (r->bad == CSV_ROW && !is_utf8(begin))
        r->bad = CSV_BAD_TEXT;
    if (r->bad == CSV_ROW)
        r->ret->fields[r->ret->n++] = begin;
}

static void skip_line(struct csv *c)
{
    while (c->p < c->end && *c->p != '\n')
        c->p++;
    c->p += c->p < c->end;
}

/* CRLF, LF, or what is left of them at the end of the text. */
static void end_line(struct csv *c)
{
    if (c->p < c->end && *c->p == '\r')
        c->p++;
    if (c->p < c->end && *c->p == '\n')
        c->p++;
}

static enum csv_outcome next_row(struct csv *c, struct csv_row *ret)
{
    while (c->p < c->end && at_end_of_line(c)) {
        end_line(c);
        c->next_line++;
    }
    if (c->p >= c->end)
        return CSV_END;
    const char *begin = c->p;
    struct row r = {.c = c, .ret = ret};
    c->line = c->next_line;
    ret->n = 0;
    for (bool more = true; more && r.bad == CSV_ROW;) {
        field(&r);
        more = r.bad == CSV_ROW && c->p < c->end && *c->p == c->separator;
        c->p += more;
    }
    if (r.bad != CSV_ROW) { /* what a quote swallowed are lines of their own */
        c->p = begin;
        skip_line(c);
        c->next_line = c->line + 1;
        return r.bad;
    }
    end_line(c);
    c->next_line = c->line + r.newlines + 1;
    return CSV_ROW;
}

static bool blank(const struct csv_row *row)
{
    for (size_t i = 0; i < row->n; i++)
        if (row->fields[i][0] != '\0')
            return false;
    return true;
}

enum csv_outcome csv_next(struct csv *c, struct csv_row *ret)
{
    enum csv_outcome r;
    do {
        r = next_row(c, ret);
    } while (r == CSV_ROW && blank(ret));
    return r;
}
