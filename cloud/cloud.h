/* The installation: settings, store, keyrings, epoch, opened once by `run` or by an admin command and shared by the
 * HTTP threads, the admin socket and ingest. What is in here is thread-safe unless it says otherwise.
 */
#pragma once

#include "base/buf.h"
#include "cloud/db.h"
#include "cloud/settings.h"

struct cloud;
struct keyring;
struct seen;
struct used;
struct audit_mover;

/* Outcomes of all store functions (tenant, gateway, token, people, credential, query). */
enum cloud_outcome {
    CLOUD_ABSENT = 1,    /* no such thing in this tenant */
    CLOUD_CONFLICT = 2,  /* it exists already, or overlaps */
    CLOUD_INVALID = 3,   /* an argument outside its limits */
    CLOUD_EPOCH = 4,     /* cloud_open: the store and the keyring are not of one time */
    CLOUD_RUNNING = 5,   /* cloud_open: another process has the installation */
    CLOUD_AMBIGUOUS = 6, /* several match */
    CLOUD_NEWER = 7,     /* cloud_open: the store is of a later version; the log names both */
    CLOUD_FENCED = 8,    /* an erasure has to be finished before this tenant's data is written to again */
    CLOUD_KEYS = 9,      /* cloud_open: of a tenant's keyring no copy is usable; the log names the folders */
    CLOUD_DAMAGED = 10,  /* it is there, but its row does not open; what is known of it is in the output all the same */
    CLOUD_ESCROW = 11    /* an escrow folder is not this installation's (escrow.h); the log names it */
};

#define TENANT_MAX 32
#define NAME_MAX_LEN 200 /* a person's name, bytes */
#define PERSONNEL_NUMBER_MAX_LEN 100
#define SITE_MAX_LEN 64
#define LABEL_MAX_LEN 64
#define ID_LEN 16 /* people, credentials */

/* `punchcloud init`: CA, certificates, root key, store, keyring folder, escrow, epoch, first operator token (text, at
 * most 64 bytes with NUL). CLOUD_CONFLICT when the state folder holds an installation already, CLOUD_ESCROW when an
 * escrow folder holds keys: those of an installation whose store was lost, perhaps. */
int cloud_init(const struct settings *set, char ret_token[64]);

/* Takes the state lock (CLOUD_RUNNING), opens store and keyrings, compares the epochs (CLOUD_EPOCH), upgrades a store
 * of an earlier version, refuses one of a later version (CLOUD_NEWER) and escrow folders that are not ours
 * (CLOUD_ESCROW). -ENOENT: no installation there. crypto_init() comes before. */
int cloud_open(const struct settings *set, struct cloud **ret_cloud);
void cloud_close(struct cloud *c);

const struct settings *cloud_settings(const struct cloud *c);
uint64_t cloud_epoch(const struct cloud *c);
struct used *cloud_used(struct cloud *c); /* when tokens were last used (used.h) */
/* <state>/<name> into ret[size]; -ENAMETOOLONG. "pki/api.crt", "pki/api.key", "pki/ca.crt", ... */
int cloud_path(const struct cloud *c, const char *name, char *ret, size_t size);
struct seen *cloud_seen(struct cloud *c); /* when sessions were seen last */
bool cloud_answers(struct cloud *c);      /* the store answers a SELECT */
bool cloud_scrubs(struct cloud *c); /* the store is rewritten after an erasure: whoever writes waits, and rightly */
bool cloud_ready(struct cloud *c);  /* the store answers a SELECT and the last escrow write went well */

size_t cloud_damaged(struct cloud *c); /* rows found since the start that do not open (damage.h) */

/* All keyrings together. */
struct cloud_rings {
    size_t rings, keys;
    uint64_t generations; /* sum; it rises by one with each erasure */
    size_t escrow_bad;    /* whose last escrow write failed */
};
void cloud_rings(struct cloud *c, struct cloud_rings *ret);

/* Called after each commit of cloud_commit(), on the thread that committed, so it must be quick; fn NULL: nobody. No
 * call runs any more when this returns. One listener at a time. */
void cloud_listen(struct cloud *c, void (*fn)(void *arg), void *arg);

/* A connection of the caller's own, from a pool. Give it back in the same state: no open transaction. */
int cloud_db_take(struct cloud *c, struct db **ret_db);
void cloud_db_give(struct cloud *c, struct db *db); /* rolls back what is open; takes NULL */

/* The tenant's keyring; CLOUD_ABSENT. Borrowed for the life of c. */
int cloud_keyring(struct cloud *c, const char *tenant, struct keyring **ret_ring);

/* audit_move.h */
struct audit_mover *cloud_audit(struct cloud *c);
