/* What the files of the configuration reader share; nobody else includes it.
 *   conf.c         the file, libyaml, the walk along the table
 *   conf_value.c   one scalar: numbers, units, names, and suggestions
 *   conf_report.c  places, mistakes and the text that quotes them
 *   conf_print.c   the example file and the manual page */
#pragma once

#include <stdarg.h>

#include "base/conf.h"

#define CONF_FILE_MAX (1u << 20)
#define CONF_DEPTH_MAX 16    /* ours go three deep */
#define CONF_LIST_MAX 4096   /* where the table says nothing */
#define CONF_KEYS_MAX 64     /* keys a table may have */
#define CONF_MISTAKES_MAX 50 /* the rest is counted: nobody reads more */

struct conf_mark {
    size_t line, col; /* from 0; columns count characters, not bytes */
};

struct conf_place {
    uintptr_t at;
    size_t size;
    struct conf_mark mark;
};

struct conf_entry {
    struct conf_mark mark;
    char *text;
};

struct conf_block;

struct conf {
    char *name;
    struct bytes text; /* a copy, for quoting; the byte order mark is cut off */
    struct conf_block *blocks;
    struct conf_place *places;
    size_t n_places, cap_places;
    struct conf_entry mistakes[CONF_MISTAKES_MAX];
    size_t n_mistakes; /* all of them, also those that were not kept */
    struct buf out;
    bool no_memory; /* seen while reporting; the load fails with -ENOMEM */
};

/* conf_report.c */
void *conf_alloc(struct conf *c, size_t size); /* zeroed, dies with c; NULL also sets no_memory */
void conf_blocks_free(struct conf *c);
void conf_place(struct conf *c, const void *at, size_t size, struct conf_mark mark);
void conf_report(struct conf *c, struct conf_mark mark, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct conf_mark conf_mark_of(struct bytes text, size_t offset);
/* Length of the valid UTF-8 character at p, or 0. */
size_t conf_utf8(const uint8_t *p, size_t n, uint32_t *ret_char);
bool conf_control(uint32_t ch); /* C0, C1, and the Unicode line separators */

/* Foreign text for a message: control characters escaped, cut at some 60 bytes. Returns ret. */
#define CONF_SHOW 80
const char *conf_show(const char *s, size_t n, char ret[CONF_SHOW]);

/* conf_value.c */
struct conf_scalar {
    const char *s; /* NUL-terminated, though it may hold NULs before n */
    size_t n;
    bool quoted;
};
/* Reads a scalar of type `type` (never MAP or a list) with k's range into `at`. CONF_BAD writes into why. */
#define CONF_WHY 640
int conf_value(struct conf *c, const struct conf_key *k, enum conf_type type, bool ranged, struct conf_scalar v,
               void *at, char why[CONF_WHY]);
size_t conf_value_size(enum conf_type type);
/* The candidate nearest to s, or NULL when none is near. */
const char *conf_suggest(const char *s, size_t n, const char *(*candidate)(const void *from, size_t i),
                         const void *from);
/* 90000 as "90s", 65536 as "64KiB"; plain decimal for the other types. */
const char *conf_number(enum conf_type type, uint64_t v, char ret[32]);
/* "1 to 10", "at least 1", or "" when there is no range; returns ret. */
#define CONF_RANGE 80
const char *conf_range(const struct conf_key *k, enum conf_type type, char ret[CONF_RANGE]);
/* "a duration such as 250ms, 2s or 5min" */
const char *conf_type_name(enum conf_type type);
