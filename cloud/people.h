/* People: the data subjects. What is known of one is sealed under the person's own key; the personnel number is also
 * found by a blind index, HMAC(tenant's index key, "personnel number", number)[16]. */
#pragma once

#include "cloud/cloud.h"

#define TIME_MIN INT64_MIN /* from: always */
#define TIME_MAX INT64_MAX /* until: open */

#define PART_NAME_MAX_LEN 100 /* bytes, as all of these */
#define EMAIL_MAX_LEN 254
#define PHONE_MAX_LEN 40

struct person {
    uint8_t id[ID_LEN];
    uint8_t key[ID_LEN];         /* id of the key in the keyring */
    char name[NAME_MAX_LEN + 1]; /* as it is shown */
    /* "" = none */
    char personnel_number[PERSONNEL_NUMBER_MAX_LEN + 1]; /* unique within the tenant */
    char given_name[PART_NAME_MAX_LEN + 1], family_name[PART_NAME_MAX_LEN + 1];
    char email[EMAIL_MAX_LEN + 1], phone[PHONE_MAX_LEN + 1];
    bool has_unit;
    uint8_t unit[ID_LEN];
    int64_t from, until; /* us: works here [from, until); TIME_MIN, TIME_MAX: open */
    int64_t archived;    /* us; 0 = not */
    int64_t created;     /* us */
    bool damaged;        /* its row does not open: nothing is known but id and key */
};
struct person_list {
    struct person *items;
    size_t n;
    bool more; /* the next page begins after the last item's id */
};

/* What a person shall be. NULL, and what is not `has`: as it is, of a new one nothing; "" (not for the name), a unit of
 * zeros, TIME_MIN, TIME_MAX: none. */
struct person_set {
    const char *name, *personnel_number, *given_name, *family_name, *email, *phone;
    const uint8_t *unit; /* ID_LEN bytes */
    bool has_from, has_until;
    int64_t from, until;
};

/* CLOUD_INVALID: no name, a text too long or with control characters, an address without @, from >= until.
 * CLOUD_CONFLICT: another person has the personnel number. Own transaction; the key is in escrow before it commits. */
int people_create(struct cloud *c, struct db *db, const char *tenant, const struct person_set *set,
                  struct person *ret_person);
/* The same, and CLOUD_ABSENT. Own transaction. */
int people_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  const struct person_set *set, struct person *ret_person);
int people_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
               struct person *ret_person); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* The key everything of the person is sealed under. CLOUD_ABSENT. */
int people_key(struct db *db, const char *tenant, const uint8_t id[ID_LEN], uint8_t ret_key[ID_LEN]);
int people_by_number(struct cloud *c, struct db *db, const char *tenant, const char *personnel_number,
                     struct person *ret_person); /* CLOUD_ABSENT, CLOUD_DAMAGED */

int people_get_by_key(struct cloud *c, struct db *db, const char *tenant, const uint8_t key[ID_LEN],
                      struct person *ret_person); /* CLOUD_ABSENT, CLOUD_DAMAGED */

/* Who is to be in a list, asked once a row is open; NULL: everybody. */
typedef bool person_fits(void *arg, const struct person *p);
/* Damaged ones, too, in the order of their (random) ids, beginning after `after` (NULL: from the start), at most limit.
 */
int people_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                person_fits *fits, void *arg, struct person_list *ret_list);
void person_list_done(struct person_list *l);

/* Blind indexes for a store of before they were. Of two people with one number the first in the order of ids gets it.
 * Nothing to do in any other. Own transaction. */
int people_upgrade(struct cloud *c, struct db *db);
