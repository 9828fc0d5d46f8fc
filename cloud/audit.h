/* The audit trail of a tenant: who did or saw what, and whose. A chain of hashes whose leaves outlive what they are
 * about: what is personal in an event is sealed under the key of the person it is about and dies with it. */
#pragma once

#include <jansson.h>

#include "cloud/who.h"

struct scope;

/* A data subject: who an event is about. */
struct subject {
    uint8_t id[ID_LEN];  /* the person's */
    uint8_t key[ID_LEN]; /* of the key in the keyring */
};

enum audit_outcome { AUDIT_DONE = 1, AUDIT_REFUSED, AUDIT_FAILED };

struct audit_event {
    const char *kind; /* "people.read", "login", "erasure.done", ...: documented in docs/AUDIT.md */
    enum audit_outcome outcome;
    const struct who *who;
    const char *method, *route; /* of the request; NULL: none */
    const char *resource;       /* id of what it was about, unless that is a person; NULL: none */
    const char *fields;         /* classes of fields seen or changed: "name contact punches"; NULL: none */
    uint64_t count;             /* how many rows were seen or changed; 0: not said */
    const struct subject *subjects;
    size_t n_subjects;
    json_t *old, *new; /* borrowed; of subjects[0], sealed under that person's key. NULL: none */
    json_t *detail;    /* borrowed; not personal, stands in the core. NULL: none */
};

/* Inside the caller's write transaction: it is in the trail if the transaction commits. */
int audit_put(const struct scope *s, const struct audit_event *e);
/* Outside of one: durable when it returns, in the chain soon after, without waiting for the store's writer. tenant
 * NULL: VENDOR_TENANT. */
int audit_note(struct cloud *c, struct db *db, const char *tenant, const struct audit_event *e);
