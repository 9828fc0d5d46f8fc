/* Credentials: who holds a card from when until when, and the inbox of cards nobody holds. A row is found by the blind
 * index HMAC(tenant's index key, CBOR [tech, bits, data]); person and number in it are sealed.
 *
 * A punch belongs to who held its credential at its corrected time, so both assign and unassign re-file rows, in the
 * transaction that changes the assignment.
 */
#pragma once

#include "cloud/people.h"
#include "wire/punch.h"

struct credential {
    uint8_t id[ID_LEN];
    uint8_t person[ID_LEN];
    struct cred cred;
    uint8_t rendering;   /* how the number is shown */
    int64_t from, until; /* us, [from, until) */
    int64_t created;
    bool damaged; /* its row does not open: nothing is known but the id */
};
struct credential_list {
    struct credential *items;
    size_t n;
};

/* CLOUD_ABSENT: no such person. CLOUD_CONFLICT: somebody holds it within [from, until). CLOUD_INVALID: not a
 * credential, from >= until, or the person is archived or gone by then. It ends with the person at the latest. Own
 * transaction. *ret_refiled (may be NULL) counts the waiting punches that became the person's. */
int credential_assign(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                      const struct cred *cred, uint8_t rendering, int64_t from, int64_t until,
                      struct credential *ret_credential, uint64_t *ret_refiled);
/* Ends the assignment at `until`; later punches go back to waiting. CLOUD_ABSENT; CLOUD_INVALID: until beyond the end
 * it has already, or before its beginning by which it would never have been: then use until = from. Own transaction. */
int credential_unassign(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], int64_t until,
                        struct credential *ret_credential, uint64_t *ret_refiled);
int credential_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct credential *ret_credential); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* Those of one person, ended and damaged ones too, by from. CLOUD_ABSENT: no such person. */
int credential_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                    struct credential_list *ret_list);
void credential_list_done(struct credential_list *l);

/* From a number as people write it: hex10 and dec13 say all of an EM4100 card; the others are lossy, or say
 * no technology, and may only claim the one waiting credential that shows so. CLOUD_ABSENT, CLOUD_AMBIGUOUS,
 * CLOUD_INVALID: not such a number. */
int credential_by_number(struct cloud *c, struct db *db, const char *tenant, const char *number, uint8_t rendering,
                         struct cred *ret_cred);

struct waiting {
    uint8_t id[ID_LEN]; /* the blind index */
    struct cred cred;
    uint8_t rendering;
    int64_t first, last; /* us, corrected or, for pending ones, received */
    uint64_t count;
};
/* Where a page ended: a card that is seen again moves before it. */
struct waiting_pos {
    int64_t last;
    uint8_t id[ID_LEN];
};
struct waiting_list {
    struct waiting *items;
    size_t n;
    bool more; /* the next page begins behind the last item */
};
#define WAITING_LIMIT_MAX 1000
/* The inbox: last seen first, behind `after` (NULL: from the start), at most limit. CLOUD_INVALID: limit not 1 ..
 * WAITING_LIMIT_MAX. */
int credential_waiting(struct cloud *c, struct db *db, const char *tenant, const struct waiting_pos *after,
                       size_t limit, struct waiting_list *ret_list);
int credential_waiting_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                           struct waiting *ret_waiting); /* CLOUD_ABSENT */
void waiting_list_done(struct waiting_list *l);
