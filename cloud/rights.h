/* What somebody may do, and how far it reaches. A permission is a verb on a class of resources; a role is a bundle of
 * them; a grant gives an account a role within a reach, for a time. Nothing is allowed that no grant allows.
 */
#pragma once

#include "base/buf.h"
#include "cloud/cloud.h"

/* name, who it is for, what it allows */
#define PERMS(X)                                                                                                   \
    X(PERM_PEOPLE_READ, "people.read", "see people")                                                               \
    X(PERM_PEOPLE_CHANGE, "people.change", "create, change, import and archive people")                            \
    X(PERM_PEOPLE_EXPORT, "people.export", "take out everything that is held about a person")                      \
    X(PERM_PEOPLE_ERASE, "people.erase", "erase a person, and see the reports of erasures")                        \
    X(PERM_CREDENTIALS_READ, "credentials.read", "see who holds which card, and the cards that nobody holds")      \
    X(PERM_CREDENTIALS_CHANGE, "credentials.change", "hand out and take back cards")                               \
    X(PERM_PUNCHES_READ, "punches.read", "see punches")                                                            \
    X(PERM_CORRECTIONS_REQUEST, "corrections.request", "ask for a correction of a punch")                          \
    X(PERM_CORRECTIONS_APPROVE, "corrections.approve", "decide on corrections that others ask for")                \
    X(PERM_PRESENCE_READ, "presence.read", "see who is in")                                                        \
    X(PERM_CHANGES_READ, "changes.read", "follow the changes feed and the live stream")                            \
    X(PERM_GATEWAYS_READ, "gateways.read", "see gateways and their events")                                        \
    X(PERM_GATEWAYS_CHANGE, "gateways.change", "invite, move and revoke gateways")                                 \
    X(PERM_READERS_READ, "readers.read", "see readers")                                                            \
    X(PERM_READERS_CHANGE, "readers.change", "change readers")                                                     \
    X(PERM_SITES_READ, "sites.read", "see sites and units")                                                        \
    X(PERM_SITES_CHANGE, "sites.change", "create, change and archive sites and units")                             \
    X(PERM_WEBHOOKS_READ, "webhooks.read", "see webhooks and their deliveries")                                    \
    X(PERM_WEBHOOKS_CHANGE, "webhooks.change", "create, change and remove webhooks")                               \
    X(PERM_ACCOUNTS_READ, "accounts.read", "see accounts, their sessions, tokens, roles and grants")               \
    X(PERM_ACCOUNTS_CHANGE, "accounts.change", "invite, change and archive accounts")                              \
    X(PERM_GRANTS_CHANGE, "grants.change", "grant and revoke, and change roles")                                   \
    X(PERM_AUDIT_READ, "audit.read", "read and export the audit trail")                                            \
    X(PERM_SETTINGS_READ, "settings.read", "see the settings of the company")                                      \
    X(PERM_SETTINGS_CHANGE, "settings.change", "change the settings of the company")                               \
    X(PERM_SUPPORT_READ, "support.read", "see requests for support access, and what was done under them")          \
    X(PERM_SUPPORT_APPROVE, "support.approve", "let the vendor's support in, or end its access")                   \
    X(PERM_TENANT_TERMINATE, "tenant.terminate", "end the contract, and take the company's data out")              \
    /* of the vendor's own people, in the vendor's tenant only */                                                  \
    X(PERM_SUPPORT_REQUEST, "support.request", "ask a customer for support access")                                \
    X(PERM_BREAKGLASS_REQUEST, "breakglass.request", "ask for, or second, access without the customer's approval") \
    X(PERM_BREAKGLASS_REVIEW, "breakglass.review", "review such accesses afterwards")

enum perm {
#define PERM_ENUM(id, name, help) id,
    PERMS(PERM_ENUM)
#undef PERM_ENUM
        PERM_COUNT,
    PERM_NONE = PERM_COUNT /* the route asks for none */
};
#define PERM_BIT(p) (UINT64_C(1) << (unsigned)(p))
#define PERM_ALL (PERM_BIT(PERM_COUNT) - 1)
/* Those that only the vendor's own tenant knows. */
#define PERM_VENDORS \
    (PERM_BIT(PERM_SUPPORT_REQUEST) | PERM_BIT(PERM_BREAKGLASS_REQUEST) | PERM_BIT(PERM_BREAKGLASS_REVIEW))

const char *perm_name(enum perm p); /* "people.read" */
const char *perm_help(enum perm p); /* in a few words */
bool perm_find(const char *name, enum perm *ret_perm);

enum reach_kind { REACH_TENANT = 1, REACH_SITE, REACH_UNIT, REACH_PERSON };
const char *reach_name(enum reach_kind k); /* "tenant", "site", ... */

#define RIGHTS_MAX 64
struct rights {
    size_t n;
    struct right {
        uint64_t perms; /* PERM_BIT()s */
        enum reach_kind kind;
        uint8_t id[ID_LEN]; /* of the site, unit or person */
    } items[RIGHTS_MAX];
};

/* False when there is no room for more. */
bool rights_add(struct rights *r, uint64_t perms, enum reach_kind kind, const uint8_t id[ID_LEN]);
bool rights_any(const struct rights *r, enum perm p);        /* anywhere at all */
bool rights_everywhere(const struct rights *r, enum perm p); /* in the whole tenant */
/* In the whole tenant, or for this site, unit or person by name. What a site or unit holds is the caller's to know. */
bool rights_reach(const struct rights *r, enum perm p, enum reach_kind kind, const uint8_t id[ID_LEN]);
uint64_t rights_all(const struct rights *r); /* what they allow anywhere */
