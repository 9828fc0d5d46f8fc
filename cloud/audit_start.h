/* What the trails tell when an installation is opened: that it is new, that its store was restored, and what key signs
 * its checkpoints from now on. */
#pragma once

#include "cloud/cloud.h"
#include "wire/cose.h"

/* Own transaction. *ret_told: there was something, and a checkpoint of it is wanted. */
int audit_start(struct cloud *c, struct db *db, const uint8_t kid[KID_LEN], bool *ret_told);
