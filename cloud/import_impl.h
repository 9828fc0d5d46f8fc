/* Between import.c (runs, slices, records) and import_row.c (what one row means). */
#pragma once

#include "cloud/credential.h"
#include "cloud/csv.h"
#include "cloud/import.h"
#include "cloud/scope.h"

/* The order is that of import_row.c's names. */
enum import_column {
    COL_NUMBER,
    COL_NAME,
    COL_GIVEN,
    COL_FAMILY,
    COL_EMAIL,
    COL_PHONE,
    COL_UNIT,
    COL_FROM,
    COL_UNTIL,
    COL_CARD,
    COL_RENDERING,
    COL_CARD_FROM,
    COL_CARD_UNTIL,
    COL_COUNT
};
struct import_columns {
    size_t n;             /* that the header has */
    uint32_t nameless;    /* those that must be empty, a bit each */
    int index[COL_COUNT]; /* where it stands; -1: it does not */
};
_Static_assert(CSV_FIELDS_MAX <= 32, "a bit each");
/* cards: whether there may be columns of cards. False: ret_why says what is wrong. */
bool import_columns_read(const struct csv_row *header, bool cards, struct import_columns *ret,
                         char ret_why[IMPORT_WHY]);

/* Personnel numbers and cards that rows before had, by their blind indexes. */
struct import_seen {
    size_t n; /* slots */
    struct seen_slot {
        uint8_t key[16];
        uint32_t line; /* 0: free */
    } * slots;
};
int import_seen_init(struct import_seen *x, uint64_t rows);
void import_seen_done(struct import_seen *x);

struct row_fault {
    const char *field, *reason; /* static; reason NULL: none */
};
struct row_plan {
    struct person person; /* as it shall be; without id when it is new */
    bool is_new, changes; /* changes: anything, of the person or of the card */
    int64_t was_until;    /* of a known person */
    bool person_changes;
    enum { CARD_NONE, CARD_ASSIGN, CARD_END } card;
    struct cred cred;
    uint8_t rendering;
    int64_t from, until;
    uint8_t credential[ID_LEN]; /* of CARD_END */
};
/* By reading only. *ret_fault.reason is set when the row is bad. */
int import_plan(const struct scope *s, const struct import_columns *columns, const struct csv_row *row,
                struct import_seen *seen, size_t line, struct row_plan *ret_plan, struct row_fault *ret_fault);
/* In the caller's write transaction; fills plan->person. */
int import_do(const struct scope *s, struct row_plan *plan);
