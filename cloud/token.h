/* API tokens: `pct_` and 43 base64url characters; only their SHA-256 is stored. A token belongs to one tenant, or to
 * the operator, who administers and cannot read people or punches. */
#pragma once

#include "cloud/cloud.h"

#define TOKEN_TEXT_MAX 64
#define TOKEN_ID_LEN 8
struct token {
    uint8_t id[TOKEN_ID_LEN];
    bool is_operator;
    char tenant[TENANT_MAX + 1]; /* "" for the operator's */
    char label[LABEL_MAX_LEN + 1];
    int64_t created, expires, revoked; /* us; expires and revoked 0 = never */
};
struct token_list {
    struct token *items;
    size_t n;
};

/* tenant NULL: an operator token. expires 0: never. CLOUD_ABSENT: no such tenant. Own transaction. */
int token_add(struct cloud *c, struct db *db, const char *tenant, const char *label, int64_t expires,
              char ret_text[TOKEN_TEXT_MAX], struct token *ret_token);
/* CLOUD_ABSENT: unknown, expired or revoked; one answer for all. */
int token_check(struct db *db, const char *text, int64_t now, struct token *ret_token);
int token_list(struct db *db, struct token_list *ret_list);
void token_list_done(struct token_list *l);
int token_revoke(struct cloud *c, struct db *db, const uint8_t id[TOKEN_ID_LEN]); /* CLOUD_ABSENT. Own transaction. */
