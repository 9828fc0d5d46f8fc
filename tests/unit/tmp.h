/* A folder for one test, and its end. */
#pragma once

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static inline void tmp_dir(char *ret, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(ret, size, "%s/punch_unit.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(ret));
}

static inline int tmp_unlink_(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void tmp_remove(const char *dir)
{
    assert_int_equal(nftw(dir, tmp_unlink_, 16, FTW_DEPTH | FTW_PHYS), 0);
}
