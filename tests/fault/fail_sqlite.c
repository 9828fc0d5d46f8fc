/* SQLite. A failed step has done nothing; column values may be missing for want of memory, as when a text needs its
 * final NUL. */
#include <sqlite3.h>

#include "tests/fault/strike.h"

static int code(void)
{
    static const int codes[] = {SQLITE_NOMEM, SQLITE_IOERR_WRITE, SQLITE_FULL, SQLITE_BUSY, SQLITE_CORRUPT};
    return codes[strike_pick(ARRAY_LEN(codes))];
}

#define SQLITE(name, params, args) FAIL(STRIKE_SQLITE, int, name, params, args, code())
#define MEMORY(name, params, args) FAIL(STRIKE_SQLITE, int, name, params, args, SQLITE_NOMEM)

SQLITE(sqlite3_exec, (sqlite3 * db, const char *sql, int (*fn)(void *, int, char **, char **), void *arg, char **msg),
       (db, sql, fn, arg, msg))
SQLITE(sqlite3_prepare_v3,
       (sqlite3 * db, const char *sql, int n, unsigned flags, sqlite3_stmt **ret, const char **tail),
       (db, sql, n, flags, ret, tail))
MEMORY(sqlite3_bind_int64, (sqlite3_stmt * s, int i, sqlite3_int64 v), (s, i, v))
MEMORY(sqlite3_bind_null, (sqlite3_stmt * s, int i), (s, i))
MEMORY(sqlite3_bind_zeroblob, (sqlite3_stmt * s, int i, int n), (s, i, n))
MEMORY(sqlite3_bind_text, (sqlite3_stmt * s, int i, const char *v, int n, void (*fn)(void *)), (s, i, v, n, fn))
MEMORY(sqlite3_bind_blob64, (sqlite3_stmt * s, int i, const void *v, sqlite3_uint64 n, void (*fn)(void *)),
       (s, i, v, n, fn))

/* A value of a row that was there once stays there until the next step. */
static _Thread_local struct {
    const sqlite3_stmt *s;
    uint64_t columns;
} given[1024];

static uint64_t *given_of(const sqlite3_stmt *s)
{
    size_t i = (uintptr_t)s / 64 % ARRAY_LEN(given);
    while (given[i].s != NULL && given[i].s != s)
        i = (i + 1) % ARRAY_LEN(given);
    given[i].s = s;
    return &given[i].columns;
}

static bool value_fails(const sqlite3_stmt *s, int i, const char *name)
{
    uint64_t *columns = given_of(s), bit = UINT64_C(1) << i;
    bool again = (*columns & bit) != 0;
    *columns |= bit;
    return !again && strike_now(STRIKE_SQLITE, name);
}

int fail_sqlite3_step(sqlite3_stmt *s);
int fail_sqlite3_step(sqlite3_stmt *s)
{
    *given_of(s) = 0;
    return strike_now(STRIKE_SQLITE, "sqlite3_step") ? code() : sqlite3_step(s);
}

const unsigned char *fail_sqlite3_column_text(sqlite3_stmt *s, int i);
const unsigned char *fail_sqlite3_column_text(sqlite3_stmt *s, int i)
{
    return value_fails(s, i, "sqlite3_column_text") ? NULL : sqlite3_column_text(s, i);
}

const void *fail_sqlite3_column_blob(sqlite3_stmt *s, int i);
const void *fail_sqlite3_column_blob(sqlite3_stmt *s, int i)
{
    return value_fails(s, i, "sqlite3_column_blob") ? NULL : sqlite3_column_blob(s, i);
}

/* The handle is made all the same, for its message, and wants closing. */
int fail_sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs);
int fail_sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs)
{
    bool strike = strike_now(STRIKE_SQLITE, "sqlite3_open_v2");
    if (strike && strike_pick(2) == 0) {
        *ret = NULL;
        return SQLITE_NOMEM;
    }
    int rc = sqlite3_open_v2(path, ret, flags, vfs);
    return strike ? SQLITE_CANTOPEN : rc;
}
