/* What a tenant has set for itself. The default of each is the value that protects people most. */
#pragma once

#include "cloud/rights.h"
#include "cloud/site.h"

struct scope;

#define LANGUAGE_LEN 2
#define DPO_CONTACT_MAX 200
/* No punch is given up sooner than it may wait for its gateway's clock. */
#define RETENTION_DAYS_MIN 62
#define RETENTION_DAYS_MAX 3650
#define SESSION_IDLE_MIN 5 /* minutes */
#define SESSION_IDLE_MAX 30
#define SESSION_LIFE_MIN 1 /* hours */
#define SESSION_LIFE_MAX 12
#define SECOND_FACTOR_ALL UINT64_MAX

struct tenant_settings {
    char time_zone[TIME_ZONE_MAX + 1];
    unsigned week_start;     /* 1 Monday .. 7 Sunday */
    unsigned retention_days; /* of punches: on record, nothing heeds it yet */
    uint64_t second_factor;  /* permissions that want an account with an active second factor; SECOND_FACTOR_ALL */
    uint64_t four_eyes;      /* permissions whose use somebody else has to approve */
    bool presence;           /* who is in may be asked */
    char language[LANGUAGE_LEN + 1];
    unsigned session_idle; /* minutes */
    unsigned session_life; /* hours */
};

/* The defaults where nothing is set. */
int tenant_settings_get(struct db *db, const char *tenant, struct tenant_settings *ret);
/* Inside the caller's transaction; contact: the tenant's data-protection officer, "" for none. CLOUD_INVALID. */
int tenant_settings_put(const struct scope *s, const struct tenant_settings *t, const char *contact);
/* "" when none is set or it does not open. */
int tenant_dpo_contact(const struct scope *s, char ret[DPO_CONTACT_MAX + 1]);

bool language_known(const char *language); /* "en", "de", "ro" */
/* Whether using `perm` wants a second factor. */
bool settings_second_factor_needed(const struct tenant_settings *t, enum perm perm);
