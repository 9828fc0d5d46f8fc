/* Grants: an account has a role within a reach, from a time until a time, for a reason, by somebody. What is not
 * granted is denied. The vendor's people get theirs otherwise (support.h). Rows stay when a grant is over, so that it
 * can be told who could do what; they name accounts, roles and reaches by random ids, and the reason is sealed under
 * the tenant's key. */
#pragma once

#include "cloud/role.h"
#include "cloud/who.h"

struct scope;

#define GRANT_REASON_MAX 500 /* bytes */

struct granted {
    uint8_t id[ID_LEN];
    uint8_t account[ID_LEN];
    uint8_t role[ID_LEN];
    struct grant_reach reach;
    int64_t starts, ends;     /* us; ends 0: none */
    int64_t created, revoked; /* us; revoked 0: not */
    bool by_account;          /* else a bootstrap token or the command line granted it */
    uint8_t by[ID_LEN];
    char reason[GRANT_REASON_MAX + 1];
    bool damaged; /* its reason does not open */
};
struct granted_list {
    struct granted *items;
    size_t n;
    bool more;
};

/* Inserts; inside the caller's transaction, as everything here that changes something. What is asked of who grants is
 * the caller's to check. CLOUD_INVALID: the account has RIGHTS_MAX grants that are not over, or the role's kind
 * refuses. CLOUD_ABSENT: no such role in use. */
int granted_add(const struct scope *s, const struct granted *g);
int granted_get(const struct scope *s, const uint8_t id[ID_LEN], struct granted *ret); /* CLOUD_ABSENT */
/* By id, beginning after `after`, at most limit; account NULL: everybody's. */
int granted_list(const struct scope *s, const uint8_t *account, const uint8_t *after, size_t limit,
                 struct granted_list *ret_list);
void granted_list_done(struct granted_list *l);
int granted_revoke(const struct scope *s, const uint8_t id[ID_LEN], int64_t now); /* CLOUD_ABSENT: none, or revoked */

/* What the account may do in `tenant` at `now`, of grants that also hold at `through` (0: without an end; at
 * `now` itself for what it may do now). */
int granted_rights(struct db *db, const char *tenant, const uint8_t account[ID_LEN], int64_t now, int64_t through,
                   struct rights *ret_rights);

/* Owners: active accounts of the tenant that hold its role Owner, tenant-wide, and neither the grant nor the person's
 * time has an end. `without`: an account that does not count, or NULL; `but`: a grant that does not count, or NULL. */
int granted_owners(const struct scope *s, int64_t now, const uint8_t *without, const uint8_t *but, uint64_t *ret_n);
/* Whether that account (or, account NULL, that grant) may go. CLOUD_CONFLICT: it is the last Owner's, or with four eyes
 * one of the last two. */
int granted_may_go(const struct scope *s, const uint8_t *account, const uint8_t *grant, int64_t now);
/* After a grant was added or an account became active: with an active Owner the tenant's bootstrap tokens end. */
int granted_settle(const struct scope *s, int64_t now);
/* With its person the account is erased: its grants go, and those that reach only that person. */
int granted_forget(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t person[ID_LEN]);
