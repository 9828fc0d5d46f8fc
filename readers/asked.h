/* What the drivers of devices that are asked have in common: one request with its outcome booked, whether the device
 * is up, and when one that does not answer is asked next. Embedded in a driver; belongs to its bus's thread. */
#pragma once

#include "readers/driver.h"
#include "readers/profile.h"

#define ASKED_DOWN_AFTER 3 /* failed requests in a row: one lost reply is no news */

struct asked {
    struct driver_env env;
    unsigned failures; /* requests in a row without a good reply */
    unsigned busy;     /* exceptions 5 and 6 since the last good reply */
};

/* The outcomes of link_ops.ask. A good reply is to be followed by asked_up(), everything else by asked_failed(). */
int asked_read(struct asked *a, enum ask_fc fc, unsigned addr, unsigned n, struct reply *ret);
int asked_write(struct asked *a, const struct profile_write *w, struct reply *ret);

/* The device answered, or its line is gone: SIGHT_UP or SIGHT_DOWN, when that is news. */
void asked_up(struct asked *a);
void asked_down(struct asked *a);
/* For every outcome of a request but 0: counted, logged; *ret_due is when to ask again. Passes a negative one on. The
 * device is down from the ASKED_DOWN_AFTERth on. `state`: the driver's, for the log. */
int asked_failed(struct asked *a, int64_t now, int outcome, const struct reply *rep, const char *state,
                 int64_t *ret_due);

int64_t asked_poll_ms(const struct asked *a);
/* A sight that happens now; `cred` may be NULL. */
void asked_tell(const struct asked *a, enum sight_kind kind, uint64_t token, const struct cred *cred);
