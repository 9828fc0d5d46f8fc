/* Signed checkpoints of the chains (audit_form.h), by a key of their own: pki/audit.key. Who keeps one elsewhere can
 * prove later that nothing before it was changed or cut. */
#pragma once

#include "cloud/audit_form.h"
#include "cloud/scope.h"

/* pki/audit.key, made when it is not there. */
int checkpoint_key(const struct cloud *c, struct crypto_key **ret_key);
/* Its public half, as PEM, appended. */
int checkpoint_key_pem(const struct cloud *c, struct buf *ret_pem, uint8_t ret_kid[KID_LEN]);

struct checkpoint_text {
    struct checkpoint said;
    char text[(CHECKPOINT_MAX * 4 + 2) / 3 + 1]; /* the signed message in base64url */
};
/* Of the chain as it is. fresh: even if the last one says the same. Own transaction. CLOUD_ABSENT: no such tenant. */
int checkpoint_make(struct cloud *c, struct db *db, const char *tenant, bool fresh, struct checkpoint_text *ret);
int checkpoint_last(const struct scope *s, struct checkpoint_text *ret); /* CLOUD_ABSENT: there is none */
/* The newest of at most event `seq` that our key signed. CLOUD_ABSENT. */
int checkpoint_before(const struct scope *s, uint64_t seq, struct checkpoint *ret);
/* Of events `from` .. `to`, at most limit, the lowest first. Non-zero from fn ends it and is returned. */
typedef int checkpoint_fn(void *arg, const struct checkpoint_text *p);
int checkpoint_each(const struct scope *s, uint64_t from, uint64_t to, size_t limit, checkpoint_fn *fn, void *arg);
/* For each tenant whose last one is an hour old, or of before a restore, and no longer the whole chain. all: whatever
 * its age. */
int checkpoint_due(struct cloud *c, struct db *db, bool all);
