/* People: the data subjects. Name and reference are sealed under the person's own key. */
#pragma once

#include "cloud/cloud.h"

struct person {
    uint8_t id[ID_LEN];
    uint8_t key[ID_LEN]; /* id of the key in the keyring */
    char name[NAME_MAX_LEN + 1];
    char reference[REFERENCE_MAX_LEN + 1]; /* "" = none */
    int64_t created;                       /* us */
    bool damaged;                          /* its row does not open: nothing is known but id and key */
};
struct person_list {
    struct person *items;
    size_t n;
    bool more; /* the next page begins after the last item's id */
};

/* CLOUD_INVALID: empty or too long a name. Own transaction; the key is in escrow before it commits. */
int people_create(struct cloud *c, struct db *db, const char *tenant, const char *name, const char *reference,
                  struct person *ret_person);
/* name, reference NULL: as it is; reference "": none. CLOUD_ABSENT, CLOUD_INVALID. Own transaction. */
int people_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], const char *name,
                  const char *reference, struct person *ret_person);
int people_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
               struct person *ret_person); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* Damaged ones, too, in the order of their (random) ids, beginning after `after` (NULL: from the start), at most limit.
 */
int people_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                struct person_list *ret_list);
void person_list_done(struct person_list *l);
