/* People and their cards from a table, by personnel number: who is not known is made, who is known becomes as the table
 * says, and what is so already stays untouched, so that a table may come again and again. A row that is bad is named by
 * line and reason; the others are taken all the same.
 *
 * The work is done in slices, each a transaction of its own, so that ingest and other requests come between; the record
 * of the run says how far it is. What a run keeps says nothing of the values. */
#pragma once

#include "cloud/people.h"
#include "cloud/scope.h"

#define IMPORT_BODY_MAX (8u << 20)
#define IMPORT_ERRORS_MAX 1000 /* that are kept; all are counted */

enum import_state {
    IMPORT_RUNNING = 1,
    IMPORT_DONE,
    IMPORT_INTERRUPTED, /* by the end of the process, or of its luck: send the table again */
};
const char *import_state_name(enum import_state s);

struct import {
    uint8_t id[ID_LEN];
    bool preview; /* nothing is changed: it says what would be */
    enum import_state state;
    uint64_t total, done; /* rows */
    uint64_t made, changed, unchanged, bad;
    int64_t started, ended; /* us; 0 = not yet */
};
struct import_error {
    uint64_t line;
    char field[32]; /* "" = the row */
    char reason[96];
};
struct import_errors {
    struct import_error *items;
    size_t n;
};

/* Inside the transaction of a slice: whom it changed. Non-zero undoes the slice and ends the run. */
typedef int import_noted(void *arg, const struct scope *s, const struct person *people, size_t n);
struct import_options {
    bool preview;
    bool cards; /* the caller may hand out cards */
    import_noted *noted;
    /* Between two slices, in no transaction: others may write. False: the run is interrupted. May be NULL. */
    bool (*between)(void *arg);
    void *arg;
};

/* -ECANCELED: `between` said so. IMPORT_HEADER: the first row does not name the columns; ret_why says what is wrong
 * with it. Transactions of its own. */
#define IMPORT_WHY 384
enum { IMPORT_HEADER = 16 };
int import_run(struct cloud *c, struct db *db, const char *tenant, struct bytes csv, const struct import_options *o,
               struct import *ret_import, char ret_why[IMPORT_WHY]);
int import_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
               struct import *ret_import); /* CLOUD_ABSENT */
/* The last one first. */
struct import_list {
    struct import *items;
    size_t n;
};
int import_list(struct cloud *c, struct db *db, const char *tenant, struct import_list *ret_list);
void import_list_done(struct import_list *l);
/* By line. */
int import_errors(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  struct import_errors *ret_errors);
void import_errors_done(struct import_errors *e);
/* At the start of a process: what is still said to run was interrupted. Own transaction. */
int import_resume(struct cloud *c, struct db *db);
