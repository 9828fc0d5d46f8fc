/* The embedded store: SQLite in WAL mode, synchronous=FULL, one file. The only file that includes sqlite3.h. */
#include "cloud/db.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define BUSY_MS 10000 /* another process (an offline admin command, a backup) */
#define SCRUB_BUSY_MS 1000
#define CACHE_MAX 160 /* statements a connection keeps; all of ours fit */

struct db_gate {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    uint64_t next, serving;
    atomic_bool scrubbing;
};

struct db_stmt {
    struct db *db;
    const char *sql;
    sqlite3_stmt *s;
    bool in_use;
    int bind_error; /* first failed bind, told by the next step */
};

struct db {
    sqlite3 *h;
    struct db_gate *gate;
    bool writing;   /* holds the gate */
    unsigned depth; /* transactions begun and not ended, each inside the one before */
    bool undone;    /* an inner one was rolled back, and all with it */
    size_t n_cached;
    struct db_stmt cache[CACHE_MAX];
};

int db_gate_new(struct db_gate **ret_gate)
{
    struct db_gate *g = calloc(1, sizeof *g);
    if (g == NULL)
        return -ENOMEM;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->turn, NULL);
    *ret_gate = g;
    return 0;
}

void db_gate_free(struct db_gate *g)
{
    if (g == NULL)
        return;
    pthread_cond_destroy(&g->turn);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static void gate_enter(struct db *db)
{
    struct db_gate *g = db->gate;
    pthread_mutex_lock(&g->lock);
    uint64_t mine = g->next++;
    while (g->serving != mine)
        pthread_cond_wait(&g->turn, &g->lock);
    pthread_mutex_unlock(&g->lock);
    db->writing = true;
}

/* Nobody is inside: as gate_enter(), else false. */
static bool gate_try(struct db *db)
{
    struct db_gate *g = db->gate;
    pthread_mutex_lock(&g->lock);
    db->writing = g->serving == g->next;
    if (db->writing)
        g->next++;
    pthread_mutex_unlock(&g->lock);
    return db->writing;
}

static void gate_leave(struct db *db)
{
    struct db_gate *g = db->gate;
    if (!db->writing)
        return;
    db->writing = false;
    pthread_mutex_lock(&g->lock);
    g->serving++;
    pthread_cond_broadcast(&g->turn);
    pthread_mutex_unlock(&g->lock);
}

static int from_sqlite(struct db *db, int rc, const char *what)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
        return 0;
    case SQLITE_CONSTRAINT:
        return DB_CONFLICT;
    default:
        break;
    }
    log_error("store.failed", "what=%s code=%d extended=%d text=%s", log_q(what), rc & 0xff,
              db->h != NULL ? sqlite3_extended_errcode(db->h) : rc, log_q(sqlite3_errstr(rc)));
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
        return -EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

static int pragmas(struct db *db)
{
    /* secure_delete: what is re-filed or erased is overwritten in the file. temp_store: nothing beside it on disk. */
    int rc = sqlite3_exec(db->h,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
                          "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
                          NULL, NULL, NULL);
    return from_sqlite(db, rc, "pragmas");
}

int db_open(const char *path, bool create, struct db_gate *gate, struct db **ret_db)
{
    /* Made by us first, so that its mode (and that of -wal and -shm, which follow it) is 0600 whatever the umask. */
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0)
        return -errno;
    close(fd);

    struct db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return -ENOMEM;
    db->gate = gate;
    int rc =
        sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    int r = from_sqlite(db, rc, "open");
    if (r == 0) {
        sqlite3_busy_timeout(db->h, BUSY_MS);
        r = pragmas(db);
    }
    if (r != 0) {
        db_close(db);
        return r < 0 ? r : -EIO;
    }
    *ret_db = db;
    return 0;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    db_rollback(db);
    for (size_t i = 0; i < db->n_cached; i++)
        sqlite3_finalize(db->cache[i].s);
    sqlite3_close(db->h);
    free(db);
}

/* A ROLLBACK may fail for want of memory, and the connection would hold its locks for good: it is asked for again, here
 * and before the next transaction. */
static void roll_back(struct db *db)
{
    for (int tries = 0; tries < 3 && db->h != NULL && !sqlite3_get_autocommit(db->h); tries++)
        sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
}

static int run_sql(struct db *db, const char *sql)
{
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
    return from_sqlite(db, rc, sql);
}

/* The gate is ours, and is left when it fails. */
static int begin(struct db *db)
{
    roll_back(db);
    int r = run_sql(db, "BEGIN IMMEDIATE");
    if (r != 0)
        gate_leave(db);
    return r == -EBUSY ? DB_BUSY : r;
}

int db_begin(struct db *db)
{
    int r = 0;
    if (db->undone)
        return -ECANCELED;
    if (db->depth == 0) {
        gate_enter(db);
        r = begin(db);
    }
    if (r == 0)
        db->depth++;
    return r;
}

int db_probe(struct db *db)
{
    ASSERT(db->depth == 0);
    int r = gate_try(db) ? begin(db) : 0;
    if (r == 0)
        db_rollback(db);
    return r;
}

static void end_one(struct db *db)
{
    if (db->depth > 0)
        db->depth--;
    if (db->depth == 0)
        db->undone = false;
}

int db_commit(struct db *db)
{
    ASSERT(db->depth > 0);
    int r = db->undone ? -ECANCELED : 0;
    if (r == 0 && db->depth == 1 && (r = run_sql(db, "COMMIT")) != 0) {
        db_rollback(db);
        return r > 0 ? -EIO : r;
    }
    if (db->depth == 1)
        gate_leave(db);
    end_one(db);
    return r;
}

static void undo(struct db *db)
{
    /* A pending SELECT would make ROLLBACK leave it aborted; reset all so that none outlives its transaction. */
    for (size_t i = 0; i < db->n_cached; i++)
        db_done(&db->cache[i]);
    roll_back(db);
    gate_leave(db);
}

void db_rollback(struct db *db)
{
    undo(db);
    db->undone = true;
    end_one(db);
}

bool db_writing(const struct db *db)
{
    return db->writing;
}

unsigned db_depth(const struct db *db)
{
    return db->depth;
}

int db_begin_read(struct db *db)
{
    if (db->undone || db->depth > 0)
        return db->undone ? -ECANCELED : 0;
    roll_back(db);
    return run_sql(db, "BEGIN");
}

void db_end_read(struct db *db)
{
    if (db->depth == 0)
        undo(db);
}

/* One row's column. */
static int pragma_int(struct db *db, const char *sql, int col, int64_t *ret)
{
    struct db_stmt *s;
    int r = db_stmt(db, sql, &s);
    if (r != 0)
        return r;
    r = db_step(s);
    if (r == DB_ROW)
        *ret = db_int(s, col);
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

/* secure_delete zeroes deleted cells but not the copies that stay in the free space of a page when SQLite balances its
 * tree (some 0.4 % of the rows, measured); only VACUUM is rid of them. It would hold the whole store in memory with
 * temp_store=MEMORY. */
static int scrub(struct db *db)
{
    int64_t busy = 1;
    int r = run_sql(db, "PRAGMA temp_store=FILE");
    if (r == 0)
        r = run_sql(db, "VACUUM");
    run_sql(db, "PRAGMA temp_store=MEMORY");
    sqlite3_busy_timeout(db->h, SCRUB_BUSY_MS);
    if (r == 0)
        r = pragma_int(db, "PRAGMA wal_checkpoint(TRUNCATE)", 0, &busy);
    sqlite3_busy_timeout(db->h, BUSY_MS);
    return r == 0 && busy != 0 ? DB_BUSY : r == -EBUSY ? DB_BUSY : r;
}

int db_scrub(struct db *db, int64_t max_bytes)
{
    int64_t pages = 0, size = 0;
    ASSERT(db->depth == 0);
    int r = pragma_int(db, "PRAGMA page_count", 0, &pages);
    if (r == 0)
        r = pragma_int(db, "PRAGMA page_size", 0, &size);
    if (r != 0)
        return r;
    if (max_bytes > 0 && pages > max_bytes / (size > 0 ? size : 1))
        return DB_BUSY;
    gate_enter(db);
    atomic_store(&db->gate->scrubbing, true);
    r = scrub(db);
    atomic_store(&db->gate->scrubbing, false);
    gate_leave(db);
    return r;
}

bool db_scrubbing(const struct db_gate *g)
{
    return atomic_load(&g->scrubbing);
}

int db_script(struct db *db, const char *sql)
{
    int r = run_sql(db, sql);
    return r > 0 ? -EINVAL : r;
}

int db_stmt(struct db *db, const char *sql, struct db_stmt **ret_stmt)
{
    for (size_t i = 0; i < db->n_cached; i++) {
        struct db_stmt *s = &db->cache[i];
        if (s->sql == sql && !s->in_use) {
            s->in_use = true;
            *ret_stmt = s;
            return 0;
        }
    }
    if (db->n_cached == CACHE_MAX)
        return -ENOBUFS;
    struct db_stmt *s = &db->cache[db->n_cached];
    *s = (struct db_stmt){.db = db, .sql = sql};
    int r = from_sqlite(db, sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->s, NULL), sql);
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    db->n_cached++;
    s->in_use = true;
    *ret_stmt = s;
    return 0;
}

void db_done(struct db_stmt *s)
{
    if (s == NULL || !s->in_use)
        return;
    sqlite3_reset(s->s);
    sqlite3_clear_bindings(s->s);
    s->bind_error = 0;
    s->in_use = false;
}

static void bound(struct db_stmt *s, int rc)
{
    if (rc != SQLITE_OK && s->bind_error == 0)
        s->bind_error = rc;
}

void db_bind_int(struct db_stmt *s, int i, int64_t v)
{
    bound(s, sqlite3_bind_int64(s->s, i, v));
}

void db_bind_text(struct db_stmt *s, int i, const char *v)
{
    bound(s, v == NULL ? sqlite3_bind_null(s->s, i) : sqlite3_bind_text(s->s, i, v, -1, SQLITE_STATIC));
}

void db_bind_blob(struct db_stmt *s, int i, struct bytes v)
{
    bound(s, v.n == 0 ? sqlite3_bind_zeroblob(s->s, i, 0) : sqlite3_bind_blob64(s->s, i, v.p, v.n, SQLITE_STATIC));
}

/* SQLite tells a want of memory by a value that is missing. Each is asked for once, where it can still be told, and is
 * there from then on. */
static bool row_whole(sqlite3_stmt *s)
{
    for (int i = 0, n = sqlite3_column_count(s); i < n; i++) {
        int type = sqlite3_column_type(s, i);
        if ((type == SQLITE_TEXT && sqlite3_column_text(s, i) == NULL) ||
            (type == SQLITE_BLOB && sqlite3_column_blob(s, i) == NULL && sqlite3_column_bytes(s, i) > 0))
            return false;
    }
    return true;
}

int db_step(struct db_stmt *s)
{
    if (s->bind_error != 0)
        return from_sqlite(s->db, s->bind_error, s->sql) < 0 ? -EINVAL : -EIO;
    if (s->db->undone && !sqlite3_stmt_readonly(s->s)) /* it would commit by itself, and past the gate */
        return -ECANCELED;
    int rc = sqlite3_step(s->s);
    if (rc == SQLITE_ROW && !row_whole(s->s))
        rc = SQLITE_NOMEM;
    return rc == SQLITE_ROW ? DB_ROW : from_sqlite(s->db, rc, s->sql);
}

int db_run(struct db_stmt *s)
{
    int r;
    do
        r = db_step(s);
    while (r == DB_ROW);
    db_done(s);
    return r;
}

int db_must(struct db_stmt *s)
{
    int r = db_run(s);
    return r > 0 ? -EEXIST : r;
}

int db_number(struct db_stmt *s, int64_t *ret)
{
    int r = db_step(s);
    if (r == DB_ROW)
        *ret = db_int(s, 0);
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

int db_foreign(struct db *db, int64_t *ret_version)
{
    struct db_stmt *s;
    int r = db_stmt(db, "PRAGMA data_version", &s);
    return r != 0 ? r : db_number(s, ret_version);
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes(db->h);
}

int64_t db_int(struct db_stmt *s, int col)
{
    return sqlite3_column_type(s->s, col) == SQLITE_INTEGER ? sqlite3_column_int64(s->s, col) : 0;
}

struct bytes db_blob(struct db_stmt *s, int col)
{
    if (sqlite3_column_type(s->s, col) != SQLITE_BLOB)
        return BYTES_NONE;
    const void *p = sqlite3_column_blob(s->s, col);
    return BYTES(p, (size_t)sqlite3_column_bytes(s->s, col));
}

const char *db_text(struct db_stmt *s, int col)
{
    const char *t = (const char *)sqlite3_column_text(s->s, col);
    return t == NULL ? "" : t;
}

bool db_null(struct db_stmt *s, int col)
{
    return sqlite3_column_type(s->s, col) == SQLITE_NULL;
}

int db_fixed(struct db_stmt *s, int col, void *ret, size_t n)
{
    struct bytes b = db_blob(s, col);
    if (b.n != n)
        return -EBADMSG;
    if (n > 0)
        memcpy(ret, b.p, n);
    return 0;
}
