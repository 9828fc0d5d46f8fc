/* Imports; see import.h. A row is planned first, by reading only, then, unless it is a preview, done. */
#include "cloud/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "cloud/csv.h"
#include "cloud/import_impl.h"
#include "cloud/people_impl.h"
#include "cloud/rows.h"

#define SLICE 200     /* rows a transaction */
#define RUNS_KEPT 100 /* of a tenant; older ones are forgotten */

const char *import_state_name(enum import_state s)
{
    static const char *const names[] = {
        [IMPORT_RUNNING] = "running", [IMPORT_DONE] = "done", [IMPORT_INTERRUPTED] = "interrupted"};
    return names[s];
}

/* ---- the record ---- */

static int put_run(const struct scope *s, const struct import *m)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO import_run(tenant_id, id, preview, state, total, done, made, changed, unchanged,"
                       " bad, started, ended) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
                       " ON CONFLICT(tenant_id, id) DO UPDATE SET state = excluded.state, done = excluded.done,"
                       " made = excluded.made, changed = excluded.changed, unchanged = excluded.unchanged,"
                       " bad = excluded.bad, ended = excluded.ended",
                       &st);
    if (r != 0)
        return r;
    const int64_t v[] = {m->preview,
                         m->state,
                         (int64_t)m->total,
                         (int64_t)m->done,
                         (int64_t)m->made,
                         (int64_t)m->changed,
                         (int64_t)m->unchanged,
                         (int64_t)m->bad,
                         m->started,
                         m->ended};
    db_bind_blob(st, 2, BYTES(m->id, ID_LEN));
    for (int i = 0; i < (int)ARRAY_LEN(v); i++)
        db_bind_int(st, i + 3, v[i]);
    return db_must(st);
}

static int forget_old(const struct scope *s)
{
    static const char *const old[] = {
        "DELETE FROM import_error WHERE tenant_id = ?1 AND id NOT IN"
        " (SELECT id FROM import_run WHERE tenant_id = ?1 ORDER BY started DESC LIMIT ?2)",
        "DELETE FROM import_run WHERE tenant_id = ?1 AND id NOT IN"
        " (SELECT id FROM import_run WHERE tenant_id = ?1 ORDER BY started DESC LIMIT ?2)",
    };
    struct db_stmt *st;
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(old); i++) {
        r = scope_stmt(s, old[i], &st);
        if (r != 0)
            return r;
        db_bind_int(st, 2, RUNS_KEPT);
        r = db_must(st);
    }
    return r;
}

static int put_error(const struct scope *s, const struct import *m, size_t line, const struct row_fault *f)
{
    struct db_stmt *st;
    if (m->bad >= IMPORT_ERRORS_MAX)
        return 0;
    int r = scope_stmt(s,
                       "INSERT INTO import_error(tenant_id, id, line, field, reason) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(m->id, ID_LEN));
    db_bind_int(st, 3, (int64_t)line);
    db_bind_text(st, 4, f->field);
    db_bind_text(st, 5, f->reason);
    return db_must(st);
}

/* Columns as put_run() has them, behind id. */
static int run_row(struct db_stmt *st, struct import *ret)
{
    struct import m = {.preview = db_int(st, 1) != 0,
                       .state = (enum import_state)db_int(st, 2),
                       .total = (uint64_t)db_int(st, 3),
                       .done = (uint64_t)db_int(st, 4),
                       .made = (uint64_t)db_int(st, 5),
                       .changed = (uint64_t)db_int(st, 6),
                       .unchanged = (uint64_t)db_int(st, 7),
                       .bad = (uint64_t)db_int(st, 8),
                       .started = db_int(st, 9),
                       .ended = db_int(st, 10)};
    if (db_fixed(st, 0, m.id, ID_LEN) != 0 || m.state < IMPORT_RUNNING || m.state > IMPORT_INTERRUPTED)
        return -EBADMSG;
    *ret = m;
    return 0;
}

#define RUN_COLUMNS "id, preview, state, total, done, made, changed, unchanged, bad, started, ended"

int import_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct import *ret_import)
{
    struct scope s;
    struct db_stmt *st;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " RUN_COLUMNS " FROM import_run WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? run_row(st, ret_import) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

static int list_row(struct db_stmt *st, void *arg, void *item)
{
    return run_row(st, item);
}

int import_list(struct cloud *c, struct db *db, const char *tenant, struct import_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(&s, "SELECT " RUN_COLUMNS " FROM import_run WHERE tenant_id = ?1 ORDER BY started DESC LIMIT ?2",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, RUNS_KEPT);
    r = rows_collect(st, RUNS_KEPT, sizeof(struct import), list_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct import_list){.items = l.items, .n = l.n};
    return r;
}

void import_list_done(struct import_list *l)
{
    free(l->items);
    *l = (struct import_list){0};
}

static int error_row(struct db_stmt *st, void *arg, void *item)
{
    struct import_error *e = item;
    e->line = (uint64_t)db_int(st, 0);
    return str_copy(e->field, sizeof e->field, db_text(st, 1)) != 0 ||
                   str_copy(e->reason, sizeof e->reason, db_text(st, 2)) != 0
               ? -EBADMSG
               : 0;
}

int import_errors(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  struct import_errors *ret_errors)
{
    struct scope s;
    struct db_stmt *st;
    struct rows l;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = scope_stmt(
            &s, "SELECT line, field, reason FROM import_error WHERE tenant_id = ?1 AND id = ?2 ORDER BY line", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = rows_collect(st, IMPORT_ERRORS_MAX, sizeof(struct import_error), error_row, NULL, &l);
    if (r == 0)
        *ret_errors = (struct import_errors){.items = l.items, .n = l.n};
    return r;
}

void import_errors_done(struct import_errors *e)
{
    free(e->items);
    *e = (struct import_errors){0};
}

int import_resume(struct cloud *c, struct db *db)
{
    struct db_stmt *st;
    int r = db_stmt(db, "SELECT 1 FROM import_run WHERE state = 1 LIMIT 1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    db_done(st);
    if (r != DB_ROW)
        return r;
    r = cloud_begin(c, db);
    if (r == 0)
        r = db_stmt(db, "UPDATE import_run SET state = 3 WHERE state = 1", &st);
    if (r == 0)
        r = db_must(st);
    return cloud_end(c, db, r);
}

/* ---- a run ---- */

struct run {
    struct cloud *c;
    struct db *db;
    const char *tenant;
    const struct import_options *o;
    struct csv csv;
    struct csv_row row;
    struct import_columns columns;
    struct import_seen seen;
    struct import m;
    struct person *noted; /* SLICE of them */
    size_t n_noted;
};

/* Why there is no row. */
static const char *unreadable(enum csv_outcome read)
{
    return read == CSV_BAD_QUOTES ? "its quotes do not fit"
           : read == CSV_TOO_LONG ? "it is too long"
                                  : "it is not UTF-8; let the spreadsheet save as \"CSV UTF-8\"";
}

static int one_row(struct run *x, const struct scope *s, enum csv_outcome read)
{
    struct row_fault fault = {.field = "", .reason = NULL};
    struct row_plan plan = {.card = CARD_NONE};
    int r = 0;
    if (read == CSV_ROW)
        r = import_plan(s, &x->columns, &x->row, &x->seen, x->csv.line, &plan, &fault);
    else
        fault.reason = unreadable(read);
    x->m.done++;
    if (r != 0)
        return r;
    if (fault.reason != NULL) {
        r = put_error(s, &x->m, x->csv.line, &fault);
        x->m.bad++;
        return r;
    }
    if (!x->o->preview)
        r = import_do(s, &plan);
    x->m.made += plan.is_new;
    x->m.changed += !plan.is_new && plan.changes;
    x->m.unchanged += !plan.is_new && !plan.changes;
    if (plan.is_new || plan.changes)
        x->noted[x->n_noted++] = plan.person;
    crypto_wipe(&plan, sizeof plan);
    return r;
}

/* *ret_end: that was the last. */
static int slice(struct run *x, const struct scope *s, bool *ret_end)
{
    int r = 0;
    x->n_noted = 0;
    for (int i = 0; r == 0 && i < SLICE && !*ret_end; i++) {
        enum csv_outcome read = csv_next(&x->csv, &x->row);
        *ret_end = read == CSV_END;
        if (read != CSV_END)
            r = one_row(x, s, read);
    }
    if (r == 0 && *ret_end) {
        x->m.state = IMPORT_DONE;
        x->m.ended = clock_real();
    }
    if (r == 0)
        r = put_run(s, &x->m);
    if (r == 0 && !x->o->preview && x->n_noted > 0 && x->o->noted != NULL)
        r = x->o->noted(x->o->arg, s, x->noted, x->n_noted);
    return r;
}

static int in_transaction(struct run *x, bool *ret_end)
{
    struct scope s;
    int r = scope_begin(x->c, x->db, x->tenant, &s);
    if (r != 0)
        return r;
    return cloud_end(x->c, x->db, slice(x, &s, ret_end));
}

static int begin(struct run *x)
{
    struct scope s;
    x->m.preview = x->o->preview;
    x->m.state = IMPORT_RUNNING;
    x->m.started = clock_real();
    int r = crypto_random(x->m.id, ID_LEN);
    if (r == 0)
        r = cloud_begin(x->c, x->db);
    if (r != 0)
        return r;
    r = scope_init(x->c, x->db, x->tenant, &s);
    if (r == 0)
        r = put_run(&s, &x->m);
    if (r == 0)
        r = forget_old(&s);
    return cloud_end(x->c, x->db, r);
}

/* What was committed stays; that the rest was not is on record, if that can still be written. */
static void interrupted(struct run *x)
{
    struct scope s;
    struct import m;
    if (import_get(x->c, x->db, x->tenant, x->m.id, &m) != 0 || cloud_begin(x->c, x->db) != 0)
        return;
    m.state = IMPORT_INTERRUPTED;
    if (scope_init(x->c, x->db, x->tenant, &s) == 0 && put_run(&s, &m) == 0)
        cloud_commit(x->c, x->db);
    else
        cloud_rollback(x->c, x->db);
}

static uint64_t count_rows(struct bytes text, struct csv_row *row)
{
    struct csv c;
    uint64_t n = 0;
    csv_init(&c, text);
    while (csv_next(&c, row) != CSV_END)
        n++;
    return n > 0 ? n - 1 : 0;
}

static bool read_header(struct run *x, struct bytes csv, char ret_why[IMPORT_WHY])
{
    csv_init(&x->csv, csv);
    enum csv_outcome read = csv_next(&x->csv, &x->row);
    if (read == CSV_ROW)
        return import_columns_read(&x->row, x->o->cards, &x->columns, ret_why);
    snprintf(ret_why, IMPORT_WHY, "%s", read == CSV_END ? "the table is empty" : unreadable(read));
    return false;
}

static int go(struct run *x, struct bytes csv, char ret_why[IMPORT_WHY])
{
    x->m.total = count_rows(csv, &x->row);
    if (!read_header(x, csv, ret_why))
        return IMPORT_HEADER;
    int r = import_seen_init(&x->seen, x->m.total);
    if (r == 0)
        r = begin(x);
    if (r != 0)
        return r;
    for (bool end = false; r == 0 && !end;) {
        r = in_transaction(x, &end);
        if (r == 0 && !end && x->o->between != NULL && !x->o->between(x->o->arg))
            r = -ECANCELED;
        FAULT_KILL("import");
    }
    if (r != 0)
        interrupted(x);
    return r;
}

int import_run(struct cloud *c, struct db *db, const char *tenant, struct bytes csv, const struct import_options *o,
               struct import *ret_import, char ret_why[IMPORT_WHY])
{
    struct run *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    *x = (struct run){.c = c, .db = db, .tenant = tenant, .o = o};
    x->noted = calloc(SLICE, sizeof *x->noted);
    int r = x->noted == NULL ? -ENOMEM : go(x, csv, ret_why);
    if (r == 0)
        *ret_import = x->m;
    import_seen_done(&x->seen);
    if (x->noted != NULL)
        crypto_wipe(x->noted, SLICE * sizeof *x->noted);
    free(x->noted);
    crypto_wipe(x, sizeof *x);
    free(x);
    return r;
}
