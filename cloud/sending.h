/* Sends what the outbox holds: a thread for mail, and some that share the webhooks. Nobody waits for them: they look
 * for work once a second, and hold no transaction while they talk. A message that does not arrive is tried again, a
 * minute later at first and every six hours in the end, for three days; then it is failed, which its list and the
 * metrics show.
 */
#pragma once

#include "cloud/cloud.h"

struct sending;
/* After courier_init(). */
int sending_start(struct cloud *c, struct sending **ret_sending);
/* Within some seconds; what was on its way is sent again by the next one. Takes NULL. */
void sending_stop(struct sending *s);

enum sending_kind { SENDING_MAIL, SENDING_WEBHOOK, SENDING_KINDS };
const char *sending_kind_name(enum sending_kind k);
enum sending_count {
    SENDING_DELIVERED,
    SENDING_TRIES_FAILED, /* to be tried again */
    SENDING_GIVEN_UP,
    SENDING_COUNTS
};
/* Takes NULL. */
uint64_t sending_count(const struct sending *s, enum sending_kind k, enum sending_count n);
