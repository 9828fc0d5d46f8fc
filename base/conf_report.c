/* Mistakes in a configuration file: where a value came from, what is wrong with it, and the text that quotes the
 * line. It knows nothing of YAML. */
#include "base/conf_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf_block {
    struct conf_block *next;
    max_align_t data[];
};

void *conf_alloc(struct conf *c, size_t size)
{
    struct conf_block *b = calloc(1, sizeof(*b) + size);
    if (!b) {
        c->no_memory = true;
        return NULL;
    }
    b->next = c->blocks;
    c->blocks = b;
    return b->data;
}

void conf_blocks_free(struct conf *c)
{
    while (c->blocks) {
        struct conf_block *b = c->blocks;
        c->blocks = b->next;
        free(b);
    }
}

size_t conf_utf8(const uint8_t *p, size_t n, uint32_t *ret_char)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } shapes[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    if (n == 0)
        return 0;
    for (size_t len = 1; len <= ARRAY_LEN(shapes); len++) {
        if ((p[0] & shapes[len - 1].mask) != shapes[len - 1].lead)
            continue;
        if (n < len)
            return 0;
        uint32_t ch = p[0] & (uint8_t)~shapes[len - 1].mask;
        for (size_t i = 1; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            ch = ch << 6 | (p[i] & 0x3f);
        }
        /* Overlong forms, surrogates and what lies beyond Unicode are not UTF-8 (RFC 3629 section 3). */
        if (ch < shapes[len - 1].least || (ch >= 0xd800 && ch <= 0xdfff) || ch > 0x10ffff)
            return 0;
        *ret_char = ch;
        return len;
    }
    return 0;
}

bool conf_control(uint32_t ch)
{
    return ch < 0x20 || (ch >= 0x7f && ch < 0xa0) || ch == 0x2028 || ch == 0x2029;
}

/* Line breaks are CR, LF and CRLF. YAML 1.1 knows three more, which conf_control() refuses, so that our lines are
 * libyaml's and an editor's. */
static size_t line_end(struct bytes text, size_t from)
{
    while (from < text.n && text.p[from] != '\n' && text.p[from] != '\r')
        from++;
    return from;
}

static size_t line_next(struct bytes text, size_t end)
{
    if (end + 1 < text.n && text.p[end] == '\r' && text.p[end + 1] == '\n')
        return end + 2;
    return end + 1;
}

struct conf_mark conf_mark_of(struct bytes text, size_t offset)
{
    struct conf_mark mark = {0};
    size_t from = 0;

    for (size_t end = line_end(text, 0); end < offset && end < text.n; end = line_end(text, from)) {
        from = line_next(text, end);
        mark.line++;
    }
    for (size_t i = from; i < offset && i < text.n; i++)
        if ((text.p[i] & 0xc0) != 0x80)
            mark.col++;
    return mark;
}

const char *conf_show(const char *s, size_t n, char ret[CONF_SHOW])
{
    static const char hex[] = "0123456789abcdef";
    size_t out = 0, i = 0;

    while (i < n) {
        uint32_t ch = 0;
        size_t len = conf_utf8((const uint8_t *)s + i, n - i, &ch);
        bool plain = len > 0 && !conf_control(ch);
        size_t need = plain ? len : 4;
        if (out + need + sizeof("...") > CONF_SHOW)
            break;
        if (plain) {
            memcpy(ret + out, s + i, len);
            i += len;
        } else {
            ret[out] = '\\';
            ret[out + 1] = 'x';
            ret[out + 2] = hex[(uint8_t)s[i] >> 4];
            ret[out + 3] = hex[(uint8_t)s[i] & 0x0f];
            i++;
        }
        out += need;
    }
    memcpy(ret + out, i < n ? "..." : "", i < n ? sizeof("...") : 1);
    return ret;
}

void conf_place(struct conf *c, const void *at, size_t size, struct conf_mark mark)
{
    if (c->n_places == c->cap_places) {
        size_t cap = c->cap_places ? c->cap_places * 2 : 64;
        struct conf_place *p = realloc(c->places, cap * sizeof(*p));
        if (!p) {
            c->no_memory = true;
            return;
        }
        c->places = p;
        c->cap_places = cap;
    }
    c->places[c->n_places++] = (struct conf_place){.at = (uintptr_t)at, .size = size, .mark = mark};
}

/* The smallest place around the field; among equals the last, which lies deepest. */
static struct conf_mark place_of(const struct conf *c, const void *field)
{
    const struct conf_place *best = NULL;

    for (size_t i = 0; i < c->n_places; i++) {
        const struct conf_place *p = &c->places[i];
        if ((uintptr_t)field - p->at < p->size && (!best || p->size <= best->size))
            best = p;
    }
    return best ? best->mark : (struct conf_mark){0};
}

static void vreport(struct conf *c, struct conf_mark mark, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static void vreport(struct conf *c, struct conf_mark mark, const char *fmt, va_list ap)
{
    size_t i = c->n_mistakes++;
    if (i >= CONF_MISTAKES_MAX)
        return;

    char line[1024];
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
    char *text = conf_alloc(c, len + 1);
    if (text)
        memcpy(text, line, len);
    c->mistakes[i] = (struct conf_entry){.mark = mark, .text = text};
}

void conf_report(struct conf *c, struct conf_mark mark, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vreport(c, mark, fmt, ap);
    va_end(ap);
}

void conf_mistake(struct conf *c, const void *field, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vreport(c, c->n_mistakes < CONF_MISTAKES_MAX ? place_of(c, field) : (struct conf_mark){0}, fmt, ap);
    va_end(ap);
}

/* The quoted line and a caret below the column. A long line is quoted around the column only. Tabs stay tabs in
 * both lines, so that the caret lands right whatever their width. */
static void quote(struct conf *c, struct conf_mark mark)
{
    enum { BEFORE = 60, WIDTH = 100 };
    size_t from = 0;
    for (size_t line = 0; line < mark.line && from < c->text.n; line++)
        from = line_next(c->text, line_end(c->text, from));
    if (from >= c->text.n)
        return; /* the end of the file: nothing to quote */

    size_t end = line_end(c->text, from), skip = mark.col > WIDTH - 10 ? mark.col - BEFORE : 0;
    char pad[8 * WIDTH];
    size_t pads = 0, col = 0;
    buf_addf(&c->out, "%5zu | %s", mark.line + 1, skip ? "..." : "");
    if (skip)
        pads = (size_t)snprintf(pad, sizeof(pad), "   ");
    for (size_t i = from; i < end && col < skip + WIDTH; col++) {
        uint32_t ch = 0;
        size_t len = conf_utf8(c->text.p + i, end - i, &ch);
        bool plain = len > 0 && (ch == '\t' || !conf_control(ch));
        if (col >= skip) {
            if (plain)
                buf_add(&c->out, c->text.p + i, len);
            else
                buf_add(&c->out, "?", 1);
            if (col < mark.col)
                pad[pads++] = ch == '\t' ? '\t' : ' ';
        }
        i += len ? len : 1;
    }
    pad[pads] = '\0';
    buf_addf(&c->out, "%s\n%5s | %s^\n", col == skip + WIDTH ? "..." : "", "", pad);
}

/* Stable: two mistakes at one place stay in the order they were found in. */
static void sort(struct conf_entry *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct conf_entry x = r[i];
        size_t j = i;
        for (; j > 0; j--) {
            const struct conf_mark *m = &r[j - 1].mark;
            if (m->line < x.mark.line || (m->line == x.mark.line && m->col <= x.mark.col))
                break;
            r[j] = r[j - 1];
        }
        r[j] = x;
    }
}

const char *conf_text(struct conf *c)
{
    size_t kept = c->n_mistakes < CONF_MISTAKES_MAX ? c->n_mistakes : CONF_MISTAKES_MAX;

    sort(c->mistakes, kept);
    buf_reset(&c->out);
    for (size_t i = 0; i < kept; i++) {
        const struct conf_entry *m = &c->mistakes[i];
        buf_addf(&c->out, "%s:%zu:%zu: %s\n", c->name, m->mark.line + 1, m->mark.col + 1,
                 m->text ? m->text : "(no memory to say what)");
        quote(c, m->mark);
    }
    if (c->n_mistakes > kept)
        buf_addf(&c->out, "%s: %zu more mistakes\n", c->name, c->n_mistakes - kept);
    if (c->out.failed)
        return "the configuration has mistakes, and there is no memory to tell them\n";
    return buf_str(&c->out);
}
