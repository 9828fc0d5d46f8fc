/* Who leaves is archived, not deleted: the person stays, with all that was, and holds no card any more. */
#pragma once

#include "cloud/account.h"
#include "cloud/people.h"

/* The person's cards end now, those of the future never begin, and nobody logs in as this person any more. Taking it
 * back brings neither back. One that is archived already stays as it is. CLOUD_ABSENT, CLOUD_DAMAGED. ARCHIVE_OWNER:
 * it is the last Owner. Own transaction. */
enum { ARCHIVE_OWNER = 16 };
int archive_person(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                   struct person *ret_person);
/* Before the person's time gets an end, or another one. ARCHIVE_OWNER. */
int archive_may_end(const struct scope *s, const struct person *p);
/* After it got another end than it had (`was`): no card ends later than who holds it, and those that ended with the
 * person end with the person still, unless somebody else has got them since. In the caller's transaction. */
int archive_ends(const struct scope *s, const struct person *p, int64_t was);
/* Ends its sessions, links and tokens, and writes it. ARCHIVE_OWNER. In the caller's transaction. */
int archive_account(const struct scope *s, struct account *a);
