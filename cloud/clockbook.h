/* Corrected time (design section 4): the state-2 clock records of each boot, and what they make of a punch's time. */
#pragma once

#include "cloud/filed.h"
#include "cloud/gateway.h"

#define CLOCKBOOK_WAIT_DAYS 62 /* after that a boot without a clock record is filed by its neighbours all the same */

struct clock_point {
    int64_t real;
    uint64_t mono;
    uint64_t uncertainty;
};
/* Keeps a state-2 clock record. *ret_new false: known. */
int clockbook_add(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN],
                  const struct record *rec, bool *ret_new);

/* Sets time, uncertainty and flags of f from its record and what is known of its boot. Never fails for want of a clock:
 * then FILED_UNTIMED is set. */
int clockbook_time(const struct scope *s, const struct gateway *g, struct filed *f);

/* Files what waited for a clock record of that boot. */
int clockbook_settle(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN], uint64_t *ret_n);

/* Places boots that never knew the time between their neighbours in the segment chain, once the chain shows that all of
 * them is here and the next boot knows the time, or after CLOCKBOOK_WAIT_DAYS. All tenants; own transactions. */
int clockbook_sweep(struct cloud *c, struct db *db, int64_t now, uint64_t *ret_n);
