/* Invitations: who brings the code of one may enrol one gateway at one site, once, until a time. The code is shown when
 * it is made; only its hash is kept. */
#pragma once

#include "cloud/gateway.h"

/* Five groups of five out of 32 letters and digits: 125 bits, to be read out and typed. */
#define INVITATION_CODE 30
#define INVITATION_LIFE_US (INT64_C(24) * 3600 * 1000000)
#define INVITATION_LIFE_MAX_US (7 * INVITATION_LIFE_US)

struct invitation {
    uint8_t id[ID_LEN], site_id[ID_LEN];
    char site[SITE_MAX_LEN + 1];       /* its name now; "" when its row is damaged */
    int64_t created, expires, revoked; /* us; revoked 0: not */
    int64_t used;                      /* us; 0: not */
    uint8_t gw[GW_LEN];                /* when used: the gateway */
};
struct invitation_list {
    struct invitation *items;
    size_t n;
    bool more;
};

/* CLOUD_ABSENT: no such site. CLOUD_INVALID: expires not within INVITATION_LIFE_MAX_US from now. Own transaction. */
int invitation_add(struct cloud *c, struct db *db, const char *tenant, const uint8_t site[ID_LEN], int64_t expires,
                   char ret_code[INVITATION_CODE], struct invitation *ret_invitation);
int invitation_get(struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct invitation *ret_invitation); /* CLOUD_ABSENT */
/* In the order of their (random) ids, beginning after `after` (NULL: from the start), at most limit. */
int invitation_list(struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                    struct invitation_list *ret_list);
void invitation_list_done(struct invitation_list *l);
/* CLOUD_ABSENT. CLOUD_CONFLICT: it is used. Own transaction. */
int invitation_revoke(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN]);

/* gateway_add() by a code, in the caller's transaction, which is to be rolled back unless this gives 0.
 * INVITATION_BAD: unknown, used, revoked, expired; one answer for all. CLOUD_INVALID: the request. CLOUD_CONFLICT: the
 * gateway is known. A request holds no secret, so whoever has seen one could take that gateway away with an invitation
 * of his own: one that is known is enrolled anew only at the same site of the same tenant, and only if it has never
 * been heard, as when the bundle was lost on its way. */
enum { INVITATION_BAD = 16 };
int invitation_use(struct cloud *c, struct db *db, const char *code, struct bytes request, int64_t now,
                   struct buf *ret_bundle, struct gateway *ret_gateway, struct invitation *ret_invitation);
/* Forgets those that are over for a month. Own transaction. */
int invitation_sweep(struct cloud *c, struct db *db, int64_t now);
