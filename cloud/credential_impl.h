/* Re-filing and prolonging, for the modules beside credential.c. */
#pragma once

#include "cloud/holder.h"

/* Every row of this credential under key_id in [from, until) is filed anew, a day at a time, or with `drop` forgotten.
 * The caller has changed assignments and waiting row so that holder_file() decides afresh and never for key_id again,
 * or for rows outside the days still to come. */
int credential_refile(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const struct cred *cred, int64_t from,
                      int64_t until, int64_t first_day, int64_t last_day, bool drop, uint64_t *moved);
/* It ends later than it did: punches that waited meanwhile become the person's. CLOUD_ABSENT, CLOUD_DAMAGED;
 * CLOUD_CONFLICT: somebody else has got it since. In the caller's transaction. */
int credential_prolong(const struct scope *s, const uint8_t id[ID_LEN], int64_t until);
