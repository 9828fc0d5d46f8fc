/* Verifies an exported trail, line by line, with nothing but the public key (docs/AUDIT.md). What an export shows is
 * computed again: each leaf from core, data subjects and details, the chain from the leaves, and each checkpoint's
 * signature. Foreign bytes throughout. */
#pragma once

#include "cloud/audit_form.h"

#define AUDIT_LINE_MAX (4u << 20)
#define AUDIT_DAMAGED_NAMED 1000

struct audit_check;
/* newer: a checkpoint that was kept elsewhere, or NULL; borrowed. */
int audit_check_new(const uint8_t point[CRYPTO_POINT], const struct checkpoint *newer, struct audit_check **ret_check);
void audit_check_free(struct audit_check *k);
/* One line, without its end. AUDIT_WRONG: audit_check_why() says what is; nothing more is to be asked then. */
enum { AUDIT_WRONG = 1 };
int audit_check_line(struct audit_check *k, const char *line, size_t n);
/* Behind the last line. */
int audit_check_end(struct audit_check *k);
const char *audit_check_why(struct audit_check *k);

/* How far the trail is proven; after audit_check_end(), or before what is wrong. */
struct audit_proof {
    char tenant[TENANT_MAX + 1];
    uint64_t from, seq; /* the first event, and the last that a checkpoint covers; seq < from: none */
    int64_t time;       /* of that checkpoint; 0: none */
    uint64_t epoch;
    /* Events that are shown as damaged: their leaves are in their places, but what they said is not all there. Only
     * the first AUDIT_DAMAGED_NAMED of them are in `damaged`, which is borrowed from the check. */
    size_t n_damaged;
    const uint64_t *damaged;
};
void audit_check_proof(const struct audit_check *k, struct audit_proof *ret);

/* A checkpoint as people keep it: the text itself, an object with a member "checkpoint", an event of a webhook
 * with one, or a page of them, of which the one of the highest number counts. CHECKPOINT_BAD, CHECKPOINT_FORGED. */
int audit_check_parse(struct bytes text, const uint8_t point[CRYPTO_POINT], struct checkpoint *ret);
