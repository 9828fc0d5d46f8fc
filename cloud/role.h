/* Roles: named bundles of permissions, a tenant's own. The shipped ones are copied into each tenant and may be edited
 * there, within what their kind allows; Owner always holds everything. */
#pragma once

#include "cloud/cloud.h"
#include "cloud/rights.h"

enum role_kind {
    ROLE_OWN, /* the tenant made it */
    ROLE_OWNER,
    ROLE_DPO,
    ROLE_HR,
    ROLE_TEAM_LEAD,
    ROLE_AUDITOR,
    ROLE_INSPECTOR,
    ROLE_TECHNICIAN,
    ROLE_EMPLOYEE,
    ROLE_SUPPORT, /* in the vendor's tenant only */
    ROLE_KINDS
};

struct grant_reach {
    enum reach_kind kind;
    uint8_t id[ID_LEN]; /* of the site, unit or person; zero for the tenant */
};

#define ROLE_NAME_MAX 64 /* bytes */
#define ROLES_MAX 100    /* of a tenant, archived ones included: a page shows all */

struct role {
    uint8_t id[ID_LEN];
    enum role_kind kind;
    char name[ROLE_NAME_MAX + 1];
    uint64_t perms;            /* Owner: all there are, whatever the row says */
    int64_t created, archived; /* us; archived 0: in use */
};
struct role_list {
    struct role *items;
    size_t n;
};

/* 1 .. ROLE_NAME_MAX bytes, no control characters. */
bool role_name_valid(const char *name);
const char *role_kind_name(enum role_kind kind); /* "owner", "team-lead", ...; "own" for the tenant's */
/* What there is to hold in a tenant; the vendor's knows more. */
uint64_t role_perms_of_tenant(const char *tenant);
/* What a role of this kind may hold at most. */
uint64_t role_kind_perms(enum role_kind kind, const char *tenant);
/* What a role holds whose row says `row`. */
uint64_t role_holds(enum role_kind kind, uint64_t row, const char *tenant);
/* Why this kind cannot be granted with that reach and time, or NULL when it can. `own`: the reach is
 * the account's own person. */
const char *role_kind_refuses(enum role_kind kind, const struct grant_reach *reach, bool own, int64_t starts,
                              int64_t ends);

/* Inserts the shipped roles that the tenant lacks; inside the caller's transaction. */
int role_ship(struct db *db, const char *tenant, int64_t now);
int role_ship_all(struct db *db); /* the same to every tenant, for a store of before there were roles */

int role_get(struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct role *ret_role); /* CLOUD_ABSENT */
/* The tenant's copy of a shipped role. CLOUD_ABSENT */
int role_of_kind(struct db *db, const char *tenant, enum role_kind kind, struct role *ret_role);
int role_list(struct db *db, const char *tenant, struct role_list *ret_list); /* by id, archived ones too */
void role_list_done(struct role_list *l);
/* Inserts or replaces by id. CLOUD_CONFLICT: another one in use has the name. CLOUD_INVALID: ROLES_MAX. Inside the
 * caller's transaction. */
int role_put(struct db *db, const char *tenant, const struct role *role);
