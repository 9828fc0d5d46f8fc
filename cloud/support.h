/* Access of the vendor's people to a customer's data: support requests, which the customer lets in, and break-glass,
 * which two of the vendor's people open for security or availability, at most an hour, and a third reviews. One row is
 * the request and the grant: while it is active its account has its permissions, and nothing else gives the vendor's
 * people any. It stands in the customer's tenant; what is written in it is sealed under the tenant's key. */
#pragma once

#include "cloud/who.h"

struct scope;

#define SUPPORT_TICKET_MAX 64 /* bytes, as the next */
#define SUPPORT_REASON_MAX 500
#define SUPPORT_FINDINGS_MAX 1500
#define SUPPORT_HOURS_MAX 8
#define SUPPORT_MINUTES_MAX 60                              /* of break-glass */
#define SUPPORT_WAITS_US (INT64_C(7) * 24 * 3600 * 1000000) /* for the customer's decision */
#define SUPPORT_SECOND_US (INT64_C(3600) * 1000000)         /* for the second of break-glass */

/* What the vendor's people never get: what would outlast the access or let others in, and what cannot be undone. */
#define SUPPORT_NEVER                                                                                                \
    (PERM_VENDORS | PERM_BIT(PERM_GRANTS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_CHANGE) | PERM_BIT(PERM_SUPPORT_APPROVE) | \
     PERM_BIT(PERM_SETTINGS_CHANGE) | PERM_BIT(PERM_TENANT_TERMINATE) | PERM_BIT(PERM_WEBHOOKS_CHANGE) |             \
     PERM_BIT(PERM_PEOPLE_ERASE))

enum support_kind { SUPPORT_REQUEST = 1, SUPPORT_BREAK_GLASS };
enum support_state {
    SUPPORT_REQUESTED = 1, /* for the customer's decision, or the second's */
    SUPPORT_ACTIVE,
    SUPPORT_ENDED,
    SUPPORT_DENIED,
    SUPPORT_WITHDRAWN, /* by who asked */
    SUPPORT_LAPSED,    /* nobody decided */
    SUPPORT_STATES
};
enum support_end {
    SUPPORT_END_NONE,
    SUPPORT_END_TIME,
    SUPPORT_END_TENANT,
    SUPPORT_END_VENDOR,
    SUPPORT_END_CLOCK, /* the clock was set back: it does not tell the end any more */
    SUPPORT_ENDS
};
enum support_category { SUPPORT_SECURITY = 1, SUPPORT_AVAILABILITY };

struct support {
    char tenant[TENANT_MAX + 1]; /* the customer */
    uint8_t id[ID_LEN];
    enum support_kind kind;
    enum support_state state;
    enum support_end end;
    enum support_category category; /* of break-glass */
    uint8_t account[ID_LEN];        /* who asked and works under it; as the next three, an account of VENDOR_TENANT */
    uint8_t second[ID_LEN];         /* of break-glass; zero as long as there is none, as the others */
    uint8_t reviewer[ID_LEN];
    uint8_t decider[ID_LEN]; /* the customer's account that decided; zero also for a bootstrap token */
    uint64_t asked, perms;   /* PERM_BIT()s; perms: what was let in */
    enum reach_kind reach;
    uint8_t reach_id[ID_LEN];                       /* of the site, unit or person; zero for the tenant */
    int64_t length;                                 /* us, as the times: what was asked for, then what was let in */
    int64_t created, starts, ends, ended, reviewed; /* 0: not yet. starts: when it was decided, whatever became of it */
    bool told;                                      /* that it is over, with the summary */
    char ticket[SUPPORT_TICKET_MAX + 1];
    char reason[SUPPORT_REASON_MAX + 1];   /* of who asked */
    char decision[SUPPORT_REASON_MAX + 1]; /* of who decided; may be "" */
    char findings[SUPPORT_FINDINGS_MAX + 1];
    bool damaged; /* its texts do not open */
};
struct support_list {
    struct support *items;
    size_t n;
    bool more;
};

const char *support_kind_name(enum support_kind k);   /* "support-request", "break-glass" */
const char *support_state_name(enum support_state s); /* "requested", ... */
const char *support_end_name(enum support_end e);     /* "time", ...; "" for none */
const char *support_category_name(enum support_category c);
bool support_category_find(const char *name, enum support_category *ret);
/* Its state at `now`: one whose time is over is not active, whether the sweep came by or not. */
enum support_state support_state_at(const struct support *p, int64_t now);

/* What changes something does so within the caller's transaction. */

/* Inserts a request of kind, category, account, asked, reach, length, ticket and reason; the rest is made here.
 * CLOUD_INVALID: outside of the limits above. CLOUD_CONFLICT: the account has one in this tenant that is not over. */
int support_ask(const struct scope *s, const struct support *asked, int64_t now, struct support *ret);
int support_get(const struct scope *s, const uint8_t id[ID_LEN], struct support *ret); /* CLOUD_ABSENT */
/* The customer that it is of. CLOUD_ABSENT. */
int support_locate(struct db *db, const uint8_t id[ID_LEN], char ret_tenant[TENANT_MAX + 1]);
/* By id, beginning after `after` (NULL: the first); of this tenant or, in the vendor's scope, of all customers; account
 * NULL: everybody's. */
int support_list(const struct scope *s, enum support_kind kind, const uint8_t *account, const uint8_t *after,
                 size_t limit, struct support_list *ret_list);
void support_list_done(struct support_list *l);

/* The customer's decision on a support request, of `perms` and `length` of those asked for. CLOUD_ABSENT;
 * CLOUD_CONFLICT: it waits for none any more; CLOUD_INVALID: more than was asked for, or nothing. */
struct support_decision {
    bool approve;
    const uint8_t *decider; /* account; NULL: bootstrap token */
    uint64_t perms;
    int64_t length;
    const char *reason;
};
int support_decide(const struct scope *s, const uint8_t id[ID_LEN], const struct support_decision *d, int64_t now,
                   struct support *ret);
/* The second one of break-glass, whom the caller knows to be another human being: it is active now. As above. */
int support_second(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t second[ID_LEN], int64_t now,
                   struct support *ret);
/* Ends what is active, or withdraws what waits (SUPPORT_END_VENDOR only). CLOUD_ABSENT, CLOUD_CONFLICT. */
int support_end(const struct scope *s, const uint8_t id[ID_LEN], enum support_end how, int64_t now,
                struct support *ret);
/* The review of break-glass that is over. CLOUD_ABSENT; CLOUD_CONFLICT: it is not over, was never active, or is
 * reviewed; CLOUD_INVALID: by one of the two, or without findings. */
int support_review(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t reviewer[ID_LEN],
                   const char *findings, int64_t now, struct support *ret);
/* Whether a break-glass of any customer waits for its review. */
int support_review_owed(struct db *db, bool *ret_owed);

/* What the vendor's account may in the tenant now, and under which request (ret_id; zero: none). */
int support_rights(struct db *db, const char *tenant, const uint8_t account[ID_LEN], int64_t now,
                   struct rights *ret_rights, uint8_t ret_id[ID_LEN]);

/* What the sweep has to look at: those whose time is over and those that are over and not told. The tenants' ids. */
struct support_due {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN];
};
/* At most `max` of them. clock_back: all that are active. */
int support_due(struct db *db, int64_t now, bool clock_back, size_t max, struct support_due *ret, size_t *ret_n);
/* Takes one that is due to its end; *ret as it is then. CLOUD_CONFLICT: it is not due. */
int support_expire(const struct scope *s, const uint8_t id[ID_LEN], bool clock_back, int64_t now, struct support *ret);
int support_told(const struct scope *s, const uint8_t id[ID_LEN]);
