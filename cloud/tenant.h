/* Tenants: customer companies, each with its own keyring, index key and recipient keys. */
#pragma once

#include "base/crypto.h"
#include "cloud/cloud.h"

struct tenant {
    char id[TENANT_MAX + 1];
    int64_t created;  /* us */
    int64_t archived; /* us; 0: it is not. Its people and tokens are shut out, its gateways are not */
    uint64_t key_gen; /* of the keyring that the store goes with */
};
struct tenant_list {
    struct tenant *items;
    size_t n;
};

/* [a-z0-9-]{1,32}, not beginning or ending with a hyphen. */
bool tenant_valid(const char *id);
/* The vendor's own tenant (who.h) is none of these. */
bool tenant_is_customer(const char *id);
/* Makes the vendor's tenant when there is none. Own transaction. */
int tenant_ensure_vendor(struct cloud *c, struct db *db);
/* Makes ring, KEK, index key and recipient key. CLOUD_INVALID, CLOUD_CONFLICT. Own transaction. */
int tenant_add(struct cloud *c, struct db *db, const char *id, struct tenant *ret_tenant);
int tenant_get(struct db *db, const char *id, struct tenant *ret_tenant); /* CLOUD_ABSENT */
int tenant_list(struct db *db, struct tenant_list *ret_list);             /* by id; the vendor's, too */
/* It is there and not archived; 0, CLOUD_ABSENT. */
int tenant_open(struct db *db, const char *id);
/* Shuts it out, or lets it in again; CLOUD_ABSENT. Inside the caller's transaction. */
int tenant_archive(struct db *db, const char *id, bool yes, int64_t now);
int tenant_gateways(struct db *db, const char *id, uint64_t *ret_n); /* how many it has or had */
void tenant_list_done(struct tenant_list *l);
/* Whose a row is that is found by its id alone: "SELECT tenant_id ..." with ?1 for it. CLOUD_ABSENT. */
int tenant_whose(struct db *db, const char *sql, struct bytes id, char ret_tenant[TENANT_MAX + 1]);

/* Points of the tenant's recipient keys, oldest first, at most `max` of the newest. */
int tenant_recipients(struct db *db, const char *tenant, size_t max, uint8_t (*ret_points)[CRYPTO_POINT],
                      size_t *ret_n);
