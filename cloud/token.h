/* API tokens: `pct_` and 43 base64url characters; only their SHA-256 is stored. Three kinds:
 *   an account's    may what it was made for and the account still may
 *   bootstrap       a tenant's without an account: may everything there, until the tenant has an active Owner
 *   the operator's  administers the installation, and reads neither people nor punches */
#pragma once

#include "cloud/address.h"
#include "cloud/cloud.h"

struct scope;

#define TOKEN_TEXT_MAX 64
#define TOKEN_ID_LEN 8
#define TOKEN_RANGES 8                     /* ranges of one token */
#define TOKEN_RANGE_MAX (ADDRESS_TEXT + 4) /* a network of IPv6, with NUL */
#define TOKENS_EACH 50                     /* of one account that are neither over nor revoked */
#define TOKEN_LIFE_DAYS 366                /* at most, of an account's or a bootstrap token */
#define TOKEN_BOOTSTRAP_DAYS 90
struct token {
    uint8_t id[TOKEN_ID_LEN];
    bool is_operator;
    char tenant[TENANT_MAX + 1]; /* of an account's: the account's; "" for the operator's */
    char label[LABEL_MAX_LEN + 1];
    int64_t created, expires, revoked; /* us; expires and revoked 0 = never */
    bool has_account;                  /* what follows is an account's */
    uint8_t account[ID_LEN];
    uint64_t perms;
    char ranges[TOKEN_RANGES * TOKEN_RANGE_MAX]; /* with blanks between; "": from everywhere */
    int64_t used;                                /* the UTC day of the last request, 0: none yet */
};
struct token_list {
    struct token *items;
    size_t n;
};

/* tenant NULL: an operator token, else a bootstrap token. expires 0: never. CLOUD_ABSENT: no such tenant.
 * CLOUD_CONFLICT: it has an active Owner, so that people of its own let others in. Own transaction. */
int token_add(struct cloud *c, struct db *db, const char *tenant, const char *label, int64_t expires,
              char ret_text[TOKEN_TEXT_MAX], struct token *ret_token);
/* An account's: label, expires, account, perms and ranges as given. CLOUD_CONFLICT: TOKENS_EACH. Own transaction. */
int token_make(const struct scope *s, const struct token *t, char ret_text[TOKEN_TEXT_MAX], struct token *ret_token);
/* CLOUD_ABSENT: unknown, expired or revoked; one answer for all. */
int token_check(struct db *db, const char *text, int64_t now, struct token *ret_token);
/* "": the operator's. CLOUD_ABSENT. */
int token_tenant(struct db *db, const uint8_t id[TOKEN_ID_LEN], char ret_tenant[TENANT_MAX + 1]);
int token_list(struct db *db, struct token_list *ret_list);
void token_list_done(struct token_list *l);
int token_revoke(struct cloud *c, struct db *db, const uint8_t id[TOKEN_ID_LEN]); /* CLOUD_ABSENT. Own transaction. */

/* Of a tenant, at most limit, by id, beginning after `after`; account NULL: everybody's and those without one. */
int token_list_of(struct db *db, const char *tenant, const uint8_t *account, const uint8_t *after, size_t limit,
                  struct token_list *ret_list, bool *ret_more);
int token_get(struct db *db, const char *tenant, const uint8_t id[TOKEN_ID_LEN], struct token *ret); /* CLOUD_ABSENT */
bool token_from(const struct token *t, const char *address);                    /* whether it may come from there */
int token_note_use(struct db *db, const uint8_t id[TOKEN_ID_LEN], int64_t day); /* in the caller's transaction */

/* Within the caller's transaction: the tenant has its first active Owner; the account is archived; it is erased. */
int token_end_bootstrap(const struct scope *s);
int token_end_account(const struct scope *s, const uint8_t account[ID_LEN]);
int token_forget(const struct scope *s, const uint8_t account[ID_LEN]);
