/* Whose punch is it: who held the credential at the punch's time, or the waiting key of a credential nobody held. */
#pragma once

#include "cloud/credential.h"
#include "cloud/filed.h"

#define CIDX_LEN 16
#define WAITING_KEYS_MAX 10000 /* a tenant's own waiting keys; beyond them one key is shared */

/* HMAC(tenant's index key, parts), for blind indexes. Whoever makes one begins with a text of its own and its NUL; a
 * card's begins with the head of a CBOR array, which is none. */
int holder_index(const struct scope *s, const struct bytes *parts, size_t n, uint8_t ret_mac[CRYPTO_HASH]);
/* HMAC(tenant's index key, CBOR [tech, bits, data]). */
int holder_cidx(const struct scope *s, const struct cred *cred, uint8_t ret_cidx[CIDX_LEN]);
/* A key for what belongs to no person (oddities, events, ack keys), from the tenant's index key. */
int holder_tenant_key(const struct scope *s, uint8_t ret_key[CRYPTO_KEY]);

/* A damaged one has its id, key and index, and holds no time: from and until are 0. */
struct assignment {
    struct credential cred;
    uint8_t key_id[KEY_ID_LEN]; /* the person's */
    uint8_t cidx[CIDX_LEN];
};
typedef int assignment_fn(void *arg, const struct assignment *a); /* non-zero ends the walk */
/* Of one card, damaged ones too: somebody has or had it, nobody knows when, so ingest goes on and the card can be
 * handed out anew. */
int assignment_each(const struct scope *s, const uint8_t cidx[CIDX_LEN], assignment_fn *fn, void *arg);
/* Of one person, damaged ones too. */
int assignment_each_of_key(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], assignment_fn *fn, void *arg);
int assignment_get(const struct scope *s, const uint8_t id[ID_LEN],
                   struct assignment *ret);                            /* CLOUD_ABSENT, CLOUD_DAMAGED */
int assignment_put(const struct scope *s, const struct assignment *a); /* inserts or replaces */

struct waiting_row {
    uint8_t key_id[KEY_ID_LEN];
    bool shared; /* under the overflow key */
    struct waiting w;
};
int waiting_get(const struct scope *s, const uint8_t cidx[CIDX_LEN], struct waiting_row *ret); /* CLOUD_ABSENT */
int waiting_delete(const struct scope *s, const uint8_t cidx[CIDX_LEN]); /* and notes its key as retired */
typedef int waiting_fn(void *arg, const uint8_t cidx[CIDX_LEN], const struct waiting_row *w);
int waiting_each(const struct scope *s, waiting_fn *fn, void *arg);

/* Whether a punch of that card at that time was made by somebody who is erased: within the time he held it and before
 * the erasure, or after it until somebody else has the card. */
int holder_erased(const struct scope *s, const struct cred *cred, int64_t when, bool *ret_erased);
/* `now` for an assignment that is made now: not before the erasure of who held that card, even if the clock was
 * set back since. Else the card's next holder would be taken for a former one, and his punches for the erased one's. */
int64_t holder_created(const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t now);
/* Files the punch under its holder's key, or under the credential's waiting key, made when there is none.
 * HOLDER_ERASED: nowhere, it is to be forgotten. */
enum { HOLDER_ERASED = 1 };
int holder_file(const struct scope *s, const struct filed *f);
/* Takes it out again from under key_id. */
int holder_unfile(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f);
/* Replaces a row by another of the same identity, time and key. */
int holder_replace(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const struct filed *f);

/* Every key under which punches of this credential with a time in [from, until) may be: the waiting one, then holders'.
 * At most max. */
int holder_keys(const struct scope *s, const struct cred *cred, int64_t from, int64_t until, size_t max,
                uint8_t (*ret_ids)[KEY_ID_LEN], size_t *ret_n);
