/* What the files of /v1/approvals share: approvals.c shows, asked.c takes requests in, approving.c decides. */
#pragma once

#include "api/api_impl.h"
#include "cloud/approval.h"
#include "cloud/people.h"
#include "cloud/scope.h"

json_t *approval_json(const struct approval *a);
bool approval_is_own(const struct api_call *k, const struct approval *a);
/* What {id} names, for who asked and for who could decide; false: answered. */
bool approval_named(struct api_call *k, struct scope *ret_scope, struct approval *ret);

/* A request as it was kept, with its body; `q` borrows from the rest. */
struct approval_kept {
    struct approval_request request;
    struct buf body;
    struct http_request q;
};
/* with_body false: only one that a reply can hold; q.body is empty instead. CLOUD_ABSENT, CLOUD_DAMAGED as
 * approval_request(). */
int approval_kept_load(const struct scope *s, const struct approval *a, bool whole, struct approval_kept *ret);
void approval_kept_done(struct approval_kept *x);
