/* A punch as the store keeps it: what is inside `sealed`, and the rows of the tables punch and pending. Whose key a
 * row is under is decided by holder.c. */
#pragma once

#include "cloud/query.h"
#include "cloud/scope.h"
#include "wire/record.h"

enum filed_flags {
    FILED_UNTIMED = 1,    /* pending: no clock record of its boot yet */
    FILED_IMPOSSIBLE = 2, /* pending: its day cannot be */
    FILED_ESTIMATED = 4,  /* placed between its neighbours */
    FILED_ADDED = 8,      /* no row: made of a correction. It has no gateway, no reader, no card */
};
#define FILED_PENDING (FILED_UNTIMED | FILED_IMPOSSIBLE)

struct filed {
    uint8_t segid[SEGID_LEN];
    uint64_t index;
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint8_t boot[BOOT_LEN];
    uint8_t *plain; /* the record as it was sealed, without its padding; owned */
    size_t plain_n;
    struct record rec; /* the same, decoded */
    int64_t time;      /* corrected; 0 when pending */
    uint64_t uncertainty;
    unsigned flags;
    int64_t received;
    bool has_site; /* of FILED_ADDED alone: where it was */
    uint8_t site[ID_LEN];
    bool stored; /* read from a row: what is put now was there before, perhaps as another's */
    size_t n_repeats;
    struct punch_repeat repeats[PUNCH_REPEATS_MAX];
};
/* rec must be decoded from plain; copies plain without its zero tail. */
int filed_init(struct filed *f, struct bytes plain, const struct record *rec);
void filed_done(struct filed *f);
/* What says whose it is: the corrected time, or, while there is none, the receipt. */
int64_t filed_when(const struct filed *f);

/* Inserts under that key, into punch or pending by its flags, and tells the changes feed. A row that is there already
 * stays. */
int filed_put(const struct scope *s, const struct row_keys *keys, const struct filed *f);
/* The feed is not told: the punch is filed anew beside this, or else changes_removed() is due. */
int filed_delete(const struct scope *s, const struct row_keys *keys, const struct filed *f);

/* fn may take f's memory (f->plain = NULL). Its non-zero result ends the walk and is returned. It must not write to
 * the table that is walked: collect first. */
typedef int filed_fn(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f);
/* The one row with that pid, where there is one. The day is that of punch, not used when pending. */
int filed_at(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], bool pending, int64_t day,
             const uint8_t pid[PID_LEN], filed_fn *fn, void *arg);
/* key_id NULL: all rows of the day; rows of destroyed keys are passed over. */
int filed_each_day(const struct scope *s, int64_t day, const uint8_t *key_id, filed_fn *fn, void *arg);
int filed_each_pending(const struct scope *s, const uint8_t *key_id, filed_fn *fn, void *arg);
/* Pending for want of a clock record of that boot. */
int filed_each_untimed(const struct scope *s, const uint8_t gw[GW_LEN], uint64_t gen, const uint8_t boot[BOOT_LEN],
                       filed_fn *fn, void *arg);

struct filed_list {
    struct filed_item {
        uint8_t key_id[KEY_ID_LEN];
        enum key_kind kind;
        struct filed f;
    } * items;
    size_t n, cap;
};
int filed_list_add(struct filed_list *l, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind,
                   struct filed *f); /* takes f's memory */
void filed_list_done(struct filed_list *l);
