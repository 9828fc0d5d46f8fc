/* What a daemon's table of keys prints, compared with the files that are shipped. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/file.h"

static inline char *printed(void (*print)(FILE *f, const struct conf_table *t), const struct conf_table *table)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    print(f, table);
    fclose(f);
    return text;
}

/* The file is the example that the table prints, which the caller gets and frees. */
static inline char *assert_example_is_current(const struct conf_table *table, const char *path)
{
    struct buf CLEANUP(buf_done) shipped;
    char *text = printed(conf_print_example, table);
    buf_init(&shipped, 1 << 20);
    assert_int_equal(file_read(path, &shipped), 0);
    assert_string_equal(buf_str(&shipped), text);
    return text;
}

/* The list of keys in the manual page is the table's own, and the only one there. */
static inline void assert_manual_is_current(const struct conf_table *table, const char *path)
{
    struct buf CLEANUP(buf_done) page;
    char *text = printed(conf_print_mdoc, table);
    buf_init(&page, 1 << 20);
    assert_int_equal(file_read(path, &page), 0);
    const char *keys = strstr(buf_str(&page), ".Sh KEYS\n");
    assert_non_null(keys);
    if (strncmp(keys + strlen(".Sh KEYS\n"), text, strlen(text)) != 0)
        fail_msg("%s should have below KEYS\n%s", path, text);
    free(text);
}
