/* The tables of design section 6, and the epoch. */
#pragma once

#include "cloud/db.h"

#define SCHEMA_VERSION 6
/* From one version to a later one, 0 being an empty store; inside the caller's transaction. */
int schema_apply(struct db *db, int from, int to);
/* To SCHEMA_VERSION, in one transaction. CLOUD_NEWER: the store is beyond it; nothing was changed. */
int schema_upgrade(struct db *db);
/* meta: small integers by name. CLOUD_ABSENT when there is none. */
int meta_get(struct db *db, const char *name, int64_t *ret_v);
int meta_put(struct db *db, const char *name, int64_t v);

/* What stands in a column, and of what is personal, where a person's export shows it. A column that is not in the table
 * fails its test: who adds one decides. */
enum column_is {
    COLUMN_MACHINE,  /* about machines, keys, the installation, or the customer */
    COLUMN_KEYED,    /* random, a keyed hash, or a plain value that nothing but those joins to a person */
    COLUMN_PERSONAL, /* about a person that is known here */
    COLUMN_UNOWNED,  /* sealed, about somebody perhaps, but nobody here knows whom: no export can show it */
};
struct schema_columns {
    const char *table, *columns; /* names with blanks between */
    enum column_is is;
    const char *pointers; /* COLUMN_PERSONAL: into the export, with blanks between */
};
extern const struct schema_columns schema_columns[]; /* ends with table NULL */
