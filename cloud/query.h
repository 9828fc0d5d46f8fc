/* Reading punches: rows opened, filtered, in the order of corrected time, gateway, generation, gseq. Pending ones have
 * no time; they come after all others, in the order of their receipt, and from/to mean their receipt. */
#pragma once

#include "cloud/credential.h"
#include "wire/segment.h"

enum punch_state { PUNCH_ALL, PUNCH_ASSIGNED, PUNCH_UNASSIGNED, PUNCH_PENDING };
#define PUNCH_REPEATS_MAX 8
#define QUERY_LIMIT_MAX 1000
#define QUERY_DAYS_MAX 31

/* The same presentation reported again after a power cut (design section 4): its own times. */
struct punch_repeat {
    uint64_t gseq;
    int64_t real;
    uint64_t mono;
    uint8_t ck;
    int64_t received;
};

struct punch_row {
    uint8_t segid[SEGID_LEN];
    uint64_t index;
    enum punch_state state; /* PUNCH_ASSIGNED, PUNCH_UNASSIGNED or PUNCH_PENDING */
    bool added; /* by a correction, whose id stands for segid; what gateway, reader and card would say is not there */
    bool has_person;
    uint8_t person[ID_LEN], person_key[ID_LEN];
    char person_name[NAME_MAX_LEN + 1]; /* "": damaged */
    struct cred cred;
    uint8_t rendering;
    uint8_t gw[GW_LEN];
    uint64_t gen;
    char site[SITE_MAX_LEN + 1];
    bool has_site;
    uint8_t site_id[ID_LEN];
    char reader[READER_NAME_MAX + 1];
    uint8_t dir;
    uint8_t by_reader; /* DIR_IN, DIR_OUT where dir is unknown and its reader's setting says it; else 0 */
    uint64_t gseq;
    int64_t time;         /* corrected; not for PUNCH_PENDING */
    uint64_t uncertainty; /* us, CK_UNBOUNDED */
    bool estimated;       /* placed between its neighbours: its boot never knew the time */
    bool impossible;      /* pending because its day cannot be: before `gateway add` or long after receipt */
    int64_t real;         /* original */
    uint64_t mono;
    uint8_t ck;
    int64_t received;
    size_t n_repeats;
    struct punch_repeat repeats[PUNCH_REPEATS_MAX];
    /* What an approved correction says in the place of time and direction. */
    struct punch_correction {
        bool is, voids, has_time, has_dir;
        uint8_t id[ID_LEN];
        int64_t time;
        uint8_t dir;
    } correction;
};

/* Where a page ended: stable while rows come and go. Two records of a gateway set back to an older image may share
 * all but their identity. */
struct punch_pos {
    bool pending;
    int64_t time; /* or receipt */
    uint8_t gw[GW_LEN];
    uint64_t gen, gseq;
    uint8_t segid[SEGID_LEN];
    uint64_t index;
};
#define PUNCH_POS_TEXT_MAX 96
void punch_pos_text(const struct punch_pos *p, char ret[PUNCH_POS_TEXT_MAX]);
int punch_pos_parse(const char *text, struct punch_pos *ret_pos); /* -EINVAL */

/* Whether a punch of that person (NULL: of nobody known) at that site (ID_LEN bytes; NULL: of no gateway that is known)
 * is to be in a list. */
typedef bool punch_fits(void *arg, const struct person *p, const uint8_t *site);

struct punch_query {
    const char *tenant;
    const uint8_t *person; /* ID_LEN bytes, or NULL */
    punch_fits *fits;      /* NULL: every one */
    void *fits_arg;
    const char *site;   /* NULL: any */
    const char *reader; /* NULL: any */
    bool has_from, has_to;
    int64_t from, to; /* us, [from, to) */
    enum punch_state state;
    size_t limit; /* 1 .. QUERY_LIMIT_MAX */
    const struct punch_pos *after;
};
struct punch_list {
    struct punch_row *items;
    size_t n;
    bool more; /* then `next` is where the following page begins */
    struct punch_pos next;
    bool damaged; /* some that were looked at do not open: they are missing, or their person's name is */
};

/* CLOUD_ABSENT: no such person. CLOUD_INVALID: without person, from or to missing or more than 31 days apart;
 * from > to; limit. */
int query_punches(struct cloud *c, struct db *db, const struct punch_query *q, struct punch_list *ret_list);
void punch_list_done(struct punch_list *l);
