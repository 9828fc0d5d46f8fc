/* A trail as it is handed out: JSON lines, as docs/AUDIT.md says and audit_check.c verifies. Made in pieces, each from
 * a short read of the store, so that neither memory nor a snapshot is held. */
#pragma once

#include "cloud/audit.h"
#include "cloud/checkpoint.h"

struct audit_lines {
    struct cloud *cloud;
    char tenant[TENANT_MAX + 1];
    uint64_t next, to;
    bool disclose;               /* people by their ids, and details as far as they open */
    struct checkpoint_text last; /* of the whole chain, made for this */
};
/* From event `from` up to the first checkpoint that covers event `to`; 0: all there are. Appends the first line. Own
 * transactions: a checkpoint is made. CLOUD_ABSENT: no such tenant. */
int audit_lines_begin(struct cloud *c, struct db *db, const char *tenant, uint64_t from, uint64_t to, bool disclose,
                      struct audit_lines *ret, struct buf *ret_text);
/* Appends some more; fn (may be NULL) is told of each event. AUDIT_LINES_END: those were the last. */
enum { AUDIT_LINES_END = 1 };
int audit_lines_more(struct audit_lines *x, struct db *db, audit_fn *fn, void *arg, struct buf *ret_text);
