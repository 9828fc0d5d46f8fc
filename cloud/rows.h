/* Rows of a statement as a list in memory. */
#pragma once

#include "cloud/db.h"

/* Reads one row into a zeroed item. CLOUD_ABSENT leaves the row out; anything else that is not 0 ends the walk. */
typedef int rows_fn(struct db_stmt *s, void *arg, void *item);
struct rows {
    void *items; /* the caller's to free() */
    size_t n;
    bool more; /* there were rows beyond the limit */
};
/* Steps a bound statement to its end, or until there are `limit` items of `size` bytes (0: all of them); then
 * db_done(). */
int rows_collect(struct db_stmt *s, size_t limit, size_t size, rows_fn *fn, void *arg, struct rows *ret_rows);
