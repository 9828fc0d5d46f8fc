/* What leaves by mail and webhook, on its way: written in the transaction of what causes it, sent afterwards, again and
 * again until it arrived or three days have gone by. Each message arrives at least once, whatever dies in between, and
 * carries an id that stays the same. */
#pragma once

#include <jansson.h>

#include "cloud/mail.h"
#include "cloud/scope.h"

struct mail {
    const uint8_t *key; /* of the recipient's person in the keyring, KEY_ID_LEN: with it the message dies. NULL: to
                           nobody's own address */
    const char *to;     /* mail_address_valid() */
    const char *lang;   /* "en", "de", "ro"; NULL or another: English */
    enum mail_template template;
    const struct mail_arg *args; /* what mail_args(template) names, all of them; UTF-8 */
    size_t n_args;
};

/* Whether a server for mail is set. Without one no message is queued: who would have mailed a link hands it out
 * himself, so the answer to the request that made it holds it. */
bool outbox_mails(const struct cloud *c);

/* Inside the caller's write transaction; with it the message comes to be or not. 0 also where no server is set.
 * CLOUD_INVALID: address or arguments. -EAGAIN: too many wait in this tenant. */
int outbox_mail(const struct scope *s, const struct mail *m);
/* In the same way, for each webhook of the tenant that wants the type: "audit.checkpoint", "support.requested",
 * "erasure.done", ... (webhook_type()). The payload (borrowed) is thin: ids and positions, nothing that is personal;
 * the receiver fetches the rest. Any other type is -EINVAL. */
int outbox_event(const struct scope *s, const char *type, json_t *payload);
