/* See schema_6.h. What is personal here is sealed under the person's key or is a keyed hash; ids are random. */
#include "cloud/schema_6.h"

#include <stddef.h>

/* Accounts, sessions, links, delays; roles, grants, tokens, approvals, settings. */
static const char *const access_6 = "";

static const char *const audit_6 = "";

static const char *const outbox_6 =
    /* key_id: whose key seals it; empty: the tenant's. state 0 waiting, 1 failed; what was sent has no row */
    "CREATE TABLE mail(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, state INTEGER NOT NULL,"
    " due INTEGER NOT NULL, tries INTEGER NOT NULL, created INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX mail_due ON mail(tenant_id, state, due);"
    "CREATE INDEX mail_key ON mail(tenant_id, key_id);";

static const char *const people_6 =
    "ALTER TABLE person ADD COLUMN pnidx BLOB;"
    "CREATE UNIQUE INDEX person_pnidx ON person(tenant_id, pnidx);"
    "CREATE TABLE unit(tenant_id TEXT NOT NULL, id BLOB NOT NULL, name TEXT NOT NULL, site_id BLOB,"
    " created INTEGER NOT NULL, archived INTEGER NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX unit_name ON unit(tenant_id, name);";

static const char *const places_6 = "";

static const char *const support_6 = "";

static const char *const door_6 = "";

const char *const schema_6[] = {access_6, audit_6, outbox_6, people_6, places_6, support_6, door_6, NULL};
