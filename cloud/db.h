/* One thin layer over SQL: prepare, bind, step, transaction. sqlite.c is the driver of the embedded store; a second
 * driver gives the same functions over another library. The SQL is kept to what SQLite and PostgreSQL share (?1 style
 * parameters, ON CONFLICT DO NOTHING / DO UPDATE, BLOB/TEXT/INTEGER), tenant_id leads every key.
 *
 * A connection belongs to one thread at a time. Statements are cached per connection by the address of their SQL text,
 * so the text must be a string constant.
 */
#pragma once

#include "base/buf.h"

struct db;
struct db_stmt;
/* Writers of one process queue here, first come first served: SQLite's own busy polling could starve one of them. */
struct db_gate;

enum { DB_ROW = 1, DB_BUSY = 2, DB_CONFLICT = 3 };

int db_gate_new(struct db_gate **ret_gate);
void db_gate_free(struct db_gate *g);

/* Opens (with `create`, makes) the store at `path`. -ENOENT without create. -EIO and the reason in the log otherwise.
 */
int db_open(const char *path, bool create, struct db_gate *gate, struct db **ret_db);
void db_close(struct db *db);

/* A write transaction from its first statement. DB_BUSY when another process held the store too long.
 *
 * Inside a transaction of the same connection a further one joins it, so that what has a transaction of its own can be
 * part of a larger one. Each db_begin() that gave 0 is ended by one db_commit() or db_rollback(). Only the outermost
 * commit commits; a rollback at any depth undoes all at once, and every begin, commit and statement that
 * writes until the outermost end then gives -ECANCELED. */
int db_begin(struct db *db);
/* A negative result means: nothing was committed, or the outcome is unknown; the transaction is over either way. */
int db_commit(struct db *db);
void db_rollback(struct db *db);        /* no-op outside a transaction */
bool db_writing(const struct db *db);   /* inside db_begin() .. db_commit()/db_rollback(), and not undone yet */
unsigned db_depth(const struct db *db); /* how many db_begin() are not ended */
/* Whether one could begin: 0, also while somebody else of this process writes, who is not waited for. */
int db_probe(struct db *db);
/* A read transaction: several SELECTs over one state of the store. Inside a write transaction it is part of that. */
int db_begin_read(struct db *db);
void db_end_read(struct db *db);

/* Writes the store anew without what was deleted and moved within it, and empties its log: after it the files hold the
 * rows there are, and nothing of others. Outside a transaction; writers wait meanwhile. DB_BUSY: a reader still reads
 * an older state, or the store is larger than max_bytes (0: any size). */
int db_scrub(struct db *db, int64_t max_bytes);
bool db_scrubbing(const struct db_gate *g); /* one of its connections is at it: minutes in a large store */

/* Several statements of no result, for the schema. */
int db_script(struct db *db, const char *sql);

/* Borrowed from the cache, reset and with nothing bound; the same text must not be in use twice at once. */
int db_stmt(struct db *db, const char *sql, struct db_stmt **ret_stmt);
void db_done(struct db_stmt *s); /* resets; takes NULL */
/* Parameters count from 1. Bound memory must live until db_done(). A failure shows at the next db_step(). */
void db_bind_int(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, const char *v); /* NULL binds NULL */
void db_bind_blob(struct db_stmt *s, int i, struct bytes v);
/* DB_ROW: a row is there. 0: no more. DB_CONFLICT: a unique key says no (the transaction lives on). */
int db_step(struct db_stmt *s);
/* Step to the end and db_done(); for statements without rows. */
int db_run(struct db_stmt *s);
/* The same where a conflict is not expected: -EEXIST, so that no outcome of another module is mistaken for it. */
int db_must(struct db_stmt *s);
/* The number in the first column of the one row there is, for counts; then db_done(). -EIO: there is none. */
int db_number(struct db_stmt *s, int64_t *ret);
/* Inside a transaction: a number that differs from an earlier one when another connection has committed in between. */
int db_foreign(struct db *db, int64_t *ret_version);
int64_t db_changes(struct db *db); /* rows changed by the last statement */

/* Columns count from 0, borrowed until the next step. A column of another type gives 0 / empty. */
int64_t db_int(struct db_stmt *s, int col);
struct bytes db_blob(struct db_stmt *s, int col);
const char *db_text(struct db_stmt *s, int col); /* "" for NULL */
bool db_null(struct db_stmt *s, int col);
/* Copies exactly n bytes; -EBADMSG when the column has another length. */
int db_fixed(struct db_stmt *s, int col, void *ret, size_t n);
