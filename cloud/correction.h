/* Corrections of punches: what somebody says in the place of what a reader saw, with the reason and who allowed it. The
 * punch itself is never rewritten, a correction never changed: a request is one row, the decision another. Both are
 * sealed under the person's key; which punch is meant is found by a keyed index of its own, which joins nothing. */
#pragma once

#include "cloud/filed.h"
#include "cloud/people.h"

#define REASON_MAX_LEN 500

enum correction_kind {
    CORRECTION_ADD = 1, /* a punch that was forgotten */
    CORRECTION_CHANGE,  /* another time or direction of a punch */
    CORRECTION_VOID,    /* a punch that does not count */
};
enum correction_state { CORRECTION_REQUESTED = 1, CORRECTION_APPROVED, CORRECTION_REJECTED };
const char *correction_kind_name(enum correction_kind k); /* "add", "change", "void" */
bool correction_kind_parse(const char *name, enum correction_kind *ret_kind);
const char *correction_state_name(enum correction_state s); /* "requested", "approved", "rejected" */
bool correction_state_parse(const char *name, enum correction_state *ret_state);

struct correction {
    uint8_t id[ID_LEN];
    uint8_t key[ID_LEN]; /* the person's */
    enum correction_kind kind;
    uint8_t segid[SEGID_LEN]; /* of the punch; not of CORRECTION_ADD */
    uint64_t index;
    int64_t was_time; /* corrected time and direction as the punch has them */
    uint8_t was_dir;
    bool has_site; /* where a forgotten punch was; of CORRECTION_ADD alone */
    uint8_t site[ID_LEN];
    bool has_time, has_dir; /* what they shall be */
    int64_t time;
    uint8_t dir;
    char reason[REASON_MAX_LEN + 1];
    uint8_t by[ID_LEN]; /* account; zeros: none */
    int64_t requested;  /* us */
    enum correction_state state;
    uint8_t decider[ID_LEN];
    int64_t decided;                 /* us; 0 = not yet */
    char answer[REASON_MAX_LEN + 1]; /* its reason; "" = none */
    bool damaged;                    /* nothing is known but id and key */
};
struct correction_list {
    struct correction *items;
    size_t n;
    bool more;
};

/* Fills id, key, was_time, was_dir, requested and state. CLOUD_ABSENT: no such person, or no such punch of theirs.
 * CLOUD_INVALID: a reason that is empty or too long, nothing that is changed, no such site. Own transaction. */
int correction_request(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                       struct correction *correction);
/* CLOUD_ABSENT. CLOUD_CONFLICT: it is decided. CLOUD_INVALID: the reason. Own transaction. */
int correction_decide(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool approved,
                      const uint8_t account[ID_LEN], const char *reason, struct correction *ret_correction);
int correction_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct correction *ret_correction); /* CLOUD_ABSENT, CLOUD_DAMAGED */
typedef bool correction_fits(void *arg, const struct correction *c);
/* In the order of their (random) ids behind `after`, at most limit (0: all); key NULL: everybody's; fits NULL: all. */
int correction_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *key, const uint8_t *after,
                    size_t limit, correction_fits *fits, void *arg, struct correction_list *ret_list);
void correction_list_done(struct correction_list *l);

/* ---- for the store's own modules ---- */

int correction_find(const struct scope *s, const uint8_t id[ID_LEN], struct correction *ret);
int correction_any(const struct scope *s, bool *ret_any); /* whether the tenant has one at all */
/* The approved one of that punch which was decided last. CLOUD_ABSENT. */
int correction_of(const struct scope *s, const uint8_t key_id[ID_LEN], const uint8_t segid[SEGID_LEN], uint64_t index,
                  struct correction *ret);
/* The approved ones of CORRECTION_ADD as punches, FILED_ADDED: the correction's id with the index 0 names one, and it
 * is itself corrected under that name. In no order; key_id NULL: everybody's. Each has to be opened to know its day. */
int correction_each_added(const struct scope *s, const uint8_t *key_id, filed_fn *fn, void *arg);
/* Punches that an approved correction says to have been made in [from, to), as they were filed, pending ones too; each
 * once. */
int correction_each_moved(const struct scope *s, int64_t from, int64_t to, filed_fn *fn, void *arg);
/* CLOUD_ABSENT: it is none of those. */
int correction_added(const struct scope *s, const uint8_t id[ID_LEN], struct filed *ret_filed);
