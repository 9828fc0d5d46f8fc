/* Armour: strict base64 (RFC 4648 section 4) between lines that name the content. Nothing is trusted here; who signed
 * what is inside is asked by enrol.c. */
#include "wire/armour.h"

#include <string.h>

#define LINE 64
#define TEXT_LABEL_MAX 32
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(const uint8_t *p, size_t n, char ret[4])
{
    uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);

    for (unsigned i = 0; i < 4; i++)
        ret[i] = i <= n ? alphabet[v >> (18 - 6 * i) & 63] : '=';
}

int armour_write(const char *label, struct bytes data, struct buf *ret_text)
{
    size_t start = ret_text->len, column = 0;
    char group[4];

    int r = buf_addf(ret_text, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; r == 0 && i < data.n; i += 3) {
        encode_group(data.p + i, data.n - i < 3 ? data.n - i : 3, group);
        r = buf_add(ret_text, group, sizeof group);
        column += sizeof group;
        if (r == 0 && (column == LINE || i + 3 >= data.n)) {
            r = buf_add(ret_text, "\n", 1);
            column = 0;
        }
    }
    if (r == 0)
        r = buf_addf(ret_text, "-----END %s-----\n", label);
    if (r != 0)
        ret_text->len = start;
    return r;
}

/* The next line without its end (LF or CR LF); false at the end of the text. */
static bool next_line(struct bytes *rest, struct bytes *ret_line)
{
    if (rest->n == 0)
        return false;
    const uint8_t *lf = memchr(rest->p, '\n', rest->n);
    size_t n = lf != NULL ? (size_t)(lf - rest->p) : rest->n;
    size_t used = lf != NULL ? n + 1 : n;
    *ret_line = BYTES(rest->p, n > 0 && rest->p[n - 1] == '\r' ? n - 1 : n);
    *rest = BYTES(rest->p + used, rest->n - used);
    return true;
}

static bool is_marker(struct bytes line, const char *verb, const char *label)
{
    struct bytes parts[] = {BYTES_STR("-----"), BYTES_STR(verb), BYTES_STR(" "), BYTES_STR(label), BYTES_STR("-----")};
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (line.n - at < parts[i].n || memcmp(line.p + at, parts[i].p, parts[i].n) != 0)
            return false;
        at += parts[i].n;
    }
    return at == line.n;
}

/* Base64 read character by character: whole groups of four, '=' only at the very end. */
struct unbase64 {
    uint32_t bits;
    unsigned n;      /* characters of the open group, '=' included */
    unsigned padded; /* '=' seen in the last group */
    bool ended;
};

static int feed_group(struct unbase64 *u, struct buf *ret)
{
    uint8_t out[3] = {(uint8_t)(u->bits >> 16), (uint8_t)(u->bits >> 8), (uint8_t)u->bits};

    if (u->padded > 2 || (u->padded > 0 && (u->bits & ((1u << (8 * u->padded)) - 1)) != 0))
        return ARMOUR_BAD; /* unused bits that are not zero: a second spelling of the same bytes */
    u->ended = u->padded > 0;
    int r = buf_add(ret, out, 3 - u->padded);
    *u = (struct unbase64){.ended = u->ended};
    return r;
}

static int feed(struct unbase64 *u, uint8_t c, struct buf *ret)
{
    const char *at = c != 0 ? strchr(alphabet, c) : NULL;

    if (c == ' ' || c == '\t' || c == '\r')
        return 0;
    if (u->ended || (c != '=' && (at == NULL || u->padded > 0)))
        return ARMOUR_BAD;
    u->bits = u->bits << 6 | (at != NULL ? (uint32_t)(at - alphabet) : 0);
    u->padded += c == '=';
    return ++u->n == 4 ? feed_group(u, ret) : 0;
}

int armour_read(struct bytes text, const char *label, struct buf *ret_data)
{
    enum { BEFORE, INSIDE, AFTER } where = BEFORE;
    size_t start = ret_data->len;
    struct unbase64 u = {0};
    struct bytes line;
    int r = 0;

    while (r == 0 && next_line(&text, &line)) {
        if (is_marker(line, "BEGIN", label)) {
            r = where == BEFORE ? 0 : ARMOUR_BAD;
            where = INSIDE;
        } else if (where == INSIDE && is_marker(line, "END", label)) {
            r = u.n == 0 ? 0 : ARMOUR_BAD;
            where = AFTER;
        } else if (where == INSIDE) {
            for (size_t i = 0; r == 0 && i < line.n; i++)
                r = feed(&u, line.p[i], ret_data);
        }
    }
    if (r == 0)
        r = where == AFTER ? 0 : where == BEFORE ? ARMOUR_ABSENT : ARMOUR_BAD;
    if (r != 0)
        ret_data->len = start;
    return r;
}
