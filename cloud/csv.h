/* Comma-separated values as they come from elsewhere (RFC 4180, and what spreadsheets make of it): UTF-8 with or
 * without a byte order mark, fields between commas or semicolons, lines that end in CRLF or LF, quoted fields with what
 * they like inside. A line that cannot be read is passed over by itself. */
#pragma once

#include "base/buf.h"

#define CSV_FIELDS_MAX 32
#define CSV_ROW_MAX 8192 /* bytes of one row's fields with their NULs */

enum csv_outcome {
    CSV_ROW = 0,
    CSV_END = 1,
    CSV_BAD_QUOTES = 2, /* a quote that does not end, or stands within a field, or something behind its end */
    CSV_TOO_LONG = 3,   /* more than CSV_FIELDS_MAX fields or CSV_ROW_MAX bytes */
    CSV_BAD_TEXT = 4,   /* not UTF-8, or a NUL */
};

struct csv {
    const char *p, *end;
    size_t line; /* of the row that was read last, from 1 */
    size_t next_line;
    char separator;
};
struct csv_row {
    size_t n;
    const char *fields[CSV_FIELDS_MAX]; /* NUL-terminated, in `text` */
    char text[CSV_ROW_MAX];
};

/* Borrows `text`. The separator is what the first line has more of, outside of quotes. */
void csv_init(struct csv *c, struct bytes text);
/* The next row with anything in it: spreadsheets end their tables with rows of separators alone. After CSV_BAD_* it
 * goes on with the next line. */
enum csv_outcome csv_next(struct csv *c, struct csv_row *ret);
