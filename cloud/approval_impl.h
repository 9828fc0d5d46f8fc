/* What is sealed of an approval, for approval.c alone. The key is the person's while it waits (a->key), the tenant's
 * once it is decided. All: CLOUD_DAMAGED when it does not open (told and counted), CLOUD_ABSENT when the key is gone.
 */
#pragma once

#include "cloud/approval.h"
#include "cloud/scope.h"

/* While it waits: when it was asked (a->requested), and all of the request but its body. CLOUD_INVALID: too large. */
int approval_seal_head(const struct scope *s, const struct approval *a, const struct approval_asked *q,
                       struct buf *ret);
/* Fills a->requested, and *ret unless it is NULL. */
int approval_open_head(const struct scope *s, struct approval *a, struct bytes sealed, struct approval_request *ret);
/* Once it is decided: when it was asked and decided, where the outcome stands, the answer (NULL: none). */
int approval_seal_outcome(const struct scope *s, const struct approval *a, const char *answer, struct buf *ret);
/* Fills those of *a, and appends the answer to *ret_answer unless that is NULL. */
int approval_open_outcome(const struct scope *s, struct approval *a, struct bytes sealed, struct buf *ret_answer);

/* The parts of a body. */
int approval_put_body(const struct scope *s, const struct approval *a, struct bytes body);
int approval_forget_body(const struct scope *s, const uint8_t id[ID_LEN]);
