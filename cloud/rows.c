/* Rows into a list; see rows.h. */
#include "cloud/rows.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/cloud.h"

static int add(struct rows *l, size_t *cap, size_t size, struct db_stmt *s, rows_fn *fn, void *arg)
{
    if (l->n == *cap) {
        size_t more = *cap == 0 ? 16 : *cap * 2;
        void *p = reallocarray(l->items, more, size);
        if (p == NULL)
            return -ENOMEM;
        l->items = p;
        *cap = more;
    }
    char *item = (char *)l->items + l->n * size;
    memset(item, 0, size);
    int r = fn(s, arg, item);
    l->n += r == 0;
    return r == CLOUD_ABSENT ? 0 : r;
}

int rows_collect(struct db_stmt *s, size_t limit, size_t size, rows_fn *fn, void *arg, struct rows *ret_rows)
{
    struct rows l = {0};
    size_t cap = 0;
    int r;
    while ((r = db_step(s)) == DB_ROW) {
        l.more = limit != 0 && l.n == limit;
        r = l.more ? 0 : add(&l, &cap, size, s, fn, arg);
        if (l.more || r != 0)
            break;
    }
    db_done(s);
    if (r != 0)
        free(l.items);
    else
        *ret_rows = l;
    return r;
}
