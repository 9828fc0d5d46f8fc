/* See schema_6.h. What is personal here is sealed under the person's key or is a keyed hash; ids are random. */
#include "cloud/schema_6.h"

#include <stddef.h>

/* Accounts, sessions, links, delays; roles, grants, tokens, approvals, settings. */
static const char *const access_6 = "";

static const char *const audit_6 = "";

static const char *const outbox_6 = "";

static const char *const people_6 = "";

static const char *const places_6 = "";

static const char *const support_6 = "";

static const char *const door_6 = "";

const char *const schema_6[] = {access_6, audit_6, outbox_6, people_6, places_6, support_6, door_6, NULL};
