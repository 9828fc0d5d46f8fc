/* Units: the departments and teams of a customer, perhaps at one site. Nothing personal: whose unit one is stands
 * sealed in that person's row, so that the store shows no chart of who belongs where. */
#pragma once

#include "cloud/cloud.h"

#define UNIT_NAME_MAX_LEN 64

struct unit {
    uint8_t id[ID_LEN];
    char name[UNIT_NAME_MAX_LEN + 1];
    bool has_site;
    uint8_t site[ID_LEN];
    int64_t created;  /* us */
    int64_t archived; /* us; 0 = not */
    bool damaged;     /* its row cannot be: nothing is known but the id */
};
struct unit_list {
    struct unit *items;
    size_t n;
    bool more;
};

/* What a unit shall be. NULL: as it is, of a new one nothing; a site of zeros: none. */
struct unit_set {
    const char *name;
    const uint8_t *site; /* ID_LEN bytes */
    const bool *archived;
};

/* CLOUD_INVALID: no name, or one too long or with control characters. CLOUD_CONFLICT: another unit has the name.
 * CLOUD_ABSENT: no such tenant, unit or site. Own transactions. */
int unit_create(struct cloud *c, struct db *db, const char *tenant, const struct unit_set *set, struct unit *ret_unit);
int unit_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                const struct unit_set *set, struct unit *ret_unit);
int unit_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
             struct unit *ret_unit); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* The one of that very name. CLOUD_ABSENT, CLOUD_DAMAGED. */
int unit_by_name(struct cloud *c, struct db *db, const char *tenant, const char *name, struct unit *ret_unit);
typedef bool unit_fits(void *arg, const struct unit *u);
/* Damaged ones, too, in the order of their (random) ids, beginning after `after` (NULL: from the start), at most limit.
 * fits NULL: all. */
int unit_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit, unit_fits *fits,
              void *arg, struct unit_list *ret_list);
void unit_list_done(struct unit_list *l);
