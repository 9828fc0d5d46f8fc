/* The audit trail's form, byte for byte as docs/AUDIT.md says it: what makes a leaf, the chain of leaves and a signed
 * checkpoint. Pure: it knows neither store nor keys, so that `punchcloud audit verify` needs no installation. */
#pragma once

#include "base/crypto.h"
#include "cloud/cloud.h"
#include "wire/cose.h"

#define AUDIT_TAG 16      /* of one data subject in one event */
#define AUDIT_SALT 16     /* behind a tag, or before a detail */
#define AUDIT_SUBJECTS 64 /* of one event; more of them are several events */
#define AUDIT_DETAILS 4   /* of one event */
#define AUDIT_CORE_MAX 1536
#define AUDIT_DETAIL_MAX 32768 /* a detail's text */
#define AUDIT_COSE_AAD "punch1 audit"

/* The head of a chain that has no event yet. */
int audit_form_genesis(const char *tenant, uint8_t ret_head[CRYPTO_HASH]);
/* head becomes the head behind that leaf. */
int audit_form_chain(uint8_t head[CRYPTO_HASH], const uint8_t leaf[CRYPTO_HASH]);
int audit_form_tag(const uint8_t salt[AUDIT_SALT], const uint8_t person[ID_LEN], uint8_t ret_tag[AUDIT_TAG]);
/* Of a detail as it is sealed: salt, then text. */
int audit_form_commit(struct bytes salted, uint8_t ret_commitment[CRYPTO_HASH]);

struct audit_parts {
    struct bytes core; /* JSON text */
    size_t n_whose, n_details;
    uint8_t whose[AUDIT_SUBJECTS][AUDIT_TAG];
    uint8_t details[AUDIT_DETAILS][CRYPTO_HASH]; /* commitments */
};
int audit_form_leaf(const struct audit_parts *p, uint8_t ret_leaf[CRYPTO_HASH]);

/* Printable ASCII without quote and backslash: JSON as it is. */
bool audit_form_plain(const char *s);

/* What a checkpoint says: the first `seq` events of this tenant's chain lead to `head`. */
struct checkpoint {
    char tenant[TENANT_MAX + 1];
    uint64_t seq;
    uint8_t head[CRYPTO_HASH];
    int64_t time;   /* us */
    uint64_t epoch; /* of the store; it rises with each restore */
};
#define CHECKPOINT_MAX 256 /* bytes, signed */
int checkpoint_sign(const struct checkpoint *p, struct crypto_key *key, struct buf *ret_message);
/* CHECKPOINT_BAD: not a checkpoint. CHECKPOINT_FORGED: not signed by that key. point NULL: it is not looked at. */
enum { CHECKPOINT_BAD = 1, CHECKPOINT_FORGED = 2 };
int checkpoint_read(struct bytes message, const uint8_t point[CRYPTO_POINT], struct checkpoint *ret);
