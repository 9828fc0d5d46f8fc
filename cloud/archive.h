/* Who leaves is archived, not deleted: the person stays, with all that was, and holds no card any more. */
#pragma once

#include "cloud/people.h"

/* The person's cards end now; those of the future never begin. Taking it back brings no card back. One that is archived
 * already stays as it is. CLOUD_ABSENT, CLOUD_DAMAGED. Own transaction. */
int archive_person(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                   struct person *ret_person);
