/* Configuration: YAML through libyaml's document API, driven by one table of keys. The table yields validation,
 * `check`, the commented example file and the manual page's list. Every mistake is reported, not the first only,
 * with file, line, column and the quoted line; a misspelt key gets a suggestion. A file is one document of at most
 * 1 MiB UTF-8 text; anchors, aliases and tags are refused. A table has at most 64 keys.
 */
#pragma once

#include <stdio.h>

#include "base/buf.h"

enum conf_type {
    CONF_STRING,  /* char *     */
    CONF_UINT,    /* uint64_t, decimal or 0x hex                                     */
    CONF_BOOL,    /* bool, true/false                                                */
    CONF_MS,      /* uint64_t milliseconds; written 250ms, 2s, 5min, 1h, 7d: the unit is mandatory (0 needs none) */
    CONF_SIZE,    /* uint64_t bytes; written 64KiB, 256MiB, 1GiB, 512B: the unit is mandatory */
    CONF_ENUM,    /* int, index into `names`                                         */
    CONF_UINTS,   /* struct conf_list of uint64_t                                    */
    CONF_STRINGS, /* struct conf_list of char *                                      */
    CONF_MAP,     /* an embedded struct described by `sub`                           */
    CONF_LIST,    /* struct conf_list of structs described by `sub`                  */
};

struct conf_list {
    void *items;
    size_t n;
};

struct conf;
struct conf_table;

struct conf_key {
    const char *name;
    enum conf_type type;
    bool required;            /* of a section: it must be there; its own required keys are asked for either way */
    size_t off;               /* offsetof in the object */
    int64_t min, max;         /* range of a number, length of a string, count of a list; both 0: unbounded */
    const char *def;          /* as it would be written; NULL with !required: stays zero/NULL/empty */
    const char *const *names; /* CONF_ENUM: NULL-terminated */
    const struct conf_table *sub;
    const char *help;    /* one sentence, also the example's comment */
    const char *example; /* for the example file where def is NULL */
};

struct conf_table {
    const char *what; /* "reader", for messages */
    size_t size;      /* of the object */
    const struct conf_key *keys;
    size_t n;
    /* What a table cannot say (two readers of one name). Reports by conf_mistake(); may be NULL. Called for
     * each object after its keys were read without mistakes. */
    void (*check)(struct conf *c, void *object);
};

/* CONF_BAD: conf_text() tells all mistakes; the object is zeroed and must not be used. */
enum { CONF_BAD = 1 };

/* Fills `object` (zeroed first). Strings and lists belong to *ret_conf and die with it. *ret_conf is set on 0 and
 * on CONF_BAD. -ENOENT, -EACCES, ... when the file cannot be read. */
int conf_load(const char *path, const struct conf_table *t, void *object, struct conf **ret_conf);
/* The same from memory; `name` stands in messages. */
int conf_parse(const char *name, struct bytes text, const struct conf_table *t, void *object, struct conf **ret_conf);
void conf_free(struct conf *c);
/* All mistakes as text for people, "" when none:
 *   punchgate.yaml:12:5: unknown key "hodl" in reader; did you mean "hold"?
 *      12 |     hodl: 2s
 *         |     ^ */
const char *conf_text(struct conf *c);
/* A mistake at the place that filled `field` (an address inside the object), or at its object. */
void conf_mistake(struct conf *c, const void *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A complete commented example, and an mdoc list (.Bl, .It Cm) of all keys. */
void conf_print_example(FILE *f, const struct conf_table *t);
void conf_print_mdoc(FILE *f, const struct conf_table *t);
