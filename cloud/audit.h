/* The audit trail of a tenant: who did or saw what, and whose. A chain of hashes whose leaves outlive what they are
 * about: what is personal in an event is sealed under the key of the person it is about and dies with it. */
#pragma once

#include <jansson.h>

#include "cloud/audit_form.h"
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

/* Inside the caller's write transaction: it is in the trail if the transaction commits. More than AUDIT_SUBJECTS
 * subjects are several events. */
int audit_put(const struct scope *s, const struct audit_event *e);
/* Outside of one: durable when it returns, in the chain soon after, without waiting for the store's writer. tenant
 * NULL: VENDOR_TENANT. */
int audit_note(struct cloud *c, struct db *db, const char *tenant, const struct audit_event *e);

/* ---- reading ---- */

struct audit_head {
    uint64_t seq; /* of the last event; 0: none yet */
    uint8_t head[CRYPTO_HASH];
};
/* One that is damaged, or behind the events that there are, is computed again from those and the last checkpoint. */
int audit_head(const struct scope *s, struct audit_head *ret);
/* The head before event *from, at least 1. *from becomes lower when a leaf is lost between the last checkpoint and it:
 * then no other is known. */
int audit_head_before(const struct scope *s, uint64_t *from, uint8_t ret_head[CRYPTO_HASH]);

/* An event as it is read. Who is erased is a tag only, and what was about them does not open. */
struct audit_row {
    uint64_t seq;
    bool damaged;     /* some of it should open and does not */
    const char *core; /* JSON text. NULL: nothing of it opens, or its row is gone */
    bool has_leaf;    /* false: it is lost with its row; zeros */
    uint8_t leaf[CRYPTO_HASH];
    size_t n_whose;
    struct audit_whose {
        uint8_t tag[AUDIT_TAG];
        bool known;
        struct subject who;
        uint8_t salt[AUDIT_SALT]; /* of known ones */
    } whose[AUDIT_SUBJECTS];
    size_t n_details;
    struct audit_detail {
        uint8_t commitment[CRYPTO_HASH];
        bool open;
        uint8_t salt[AUDIT_SALT]; /* of open ones */
        const char *text;         /* the same; JSON */
    } details[AUDIT_DETAILS];
};
/* Keeps what tells tags apart, for one request. */
struct audit_reader;
/* disclose false: whose they are is not looked for, and no detail is opened. */
int audit_reader_new(bool disclose, struct audit_reader **ret_reader);
void audit_reader_free(struct audit_reader *r); /* takes NULL */
/* At most `limit` events from `from` on, in their order, each number once. Non-zero from fn ends the walk and is
 * returned; the row lives for the call. *ret_next: where to go on. */
typedef int audit_fn(void *arg, const struct audit_row *row);
int audit_each(struct audit_reader *r, const struct scope *s, uint64_t from, size_t limit, audit_fn *fn, void *arg,
               uint64_t *ret_next);
/* The first event that may be of `time` or later: events stand in the order in which they were recorded, which is that
 * of their times but for seconds. */
int audit_from(const struct scope *s, int64_t time, uint64_t *ret_seq);
