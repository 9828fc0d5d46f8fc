/* One tenant's keys, outside the SQL database (design section 6): the ring, an append-only file of wrapped keys, and
 * the KEK that wraps them, each with a copy in every escrow folder. All keys are held in RAM, wiped at the end.
 *
 * keyring_add() only stages; keyring_sync() makes it durable here and in escrow. The writer of a transaction calls it
 * before its commit (cloud_commit() does), so that no row is ever under a key that escrow lacks. Only the holder of the
 * store's write transaction stages keys; everything else is thread-safe.
 */
#pragma once

#include "cloud/seal.h"
#include "cloud/tombstone.h"

#define KEY_ID_LEN 16
enum key_kind { KEY_PERSON = 1, KEY_WAITING = 2, KEY_RECIPIENT = 3, KEY_INDEX = 4 };

struct keyring;
enum { KEYRING_ABSENT = 1, KEYRING_BAD = 2 };

/* Generation 1, no keys; `dir` is <state>/keyring/<tenant>, escrow[i] is <escrow folder>/<tenant>, and `installation`
 * is the id that an escrow folder must be marked with whenever it is written to (escrow.h). -EEXIST: a ring is there,
 * or escrow has one with keys in it, which may be all that is left of it: open it. */
int keyring_create(const char *dir, const char *const *escrow, size_t n_escrow, const char *installation);
/* Cuts a torn tail, and lets the longest of the copies that agree heal the others. An escrow folder that cannot be
 * written is logged and tried again at every sync. KEYRING_BAD: damaged, older than its tombstones, or the copies
 * contradict each other. What was staged and not journalled is destroyed; what was journalled counts, and the files
 * stay as they are until keyring_turned(). */
int keyring_open(const char *dir, const char *const *escrow, size_t n_escrow, const char *installation,
                 struct keyring **ret_ring);
void keyring_close(struct keyring *k);

/* key NULL: a random one. */
int keyring_add(struct keyring *k, enum key_kind kind, const uint8_t *key, uint8_t ret_id[KEY_ID_LEN]);
/* Staged keys to disk and escrow; 0 when nothing is staged. After a failure they are still staged. */
int keyring_sync(struct keyring *k);
void keyring_abort(struct keyring *k); /* forgets staged keys */
bool keyring_escrow_ok(struct keyring *k);
/* Looks whether the escrow folders are still there and brings copies that lack something up to date. */
void keyring_heal(struct keyring *k);

int keyring_get(struct keyring *k, const uint8_t id[KEY_ID_LEN], enum key_kind *ret_kind,
                uint8_t ret_key[CRYPTO_KEY]); /* KEYRING_ABSENT */
/* The derived keys of a row key (person or waiting). KEYRING_ABSENT. */
int keyring_rows(struct keyring *k, const uint8_t id[KEY_ID_LEN], enum key_kind *ret_kind, struct row_keys *ret_keys);
/* The same with the ref of a month, which the ring keeps for the next punch in it. */
int keyring_rows_in(struct keyring *k, const uint8_t id[KEY_ID_LEN], uint32_t month, struct row_keys *ret_keys);
/* The same from the newest index key: for what is the tenant's and no person's. KEYRING_ABSENT. */
int keyring_tenant_rows(struct keyring *k, struct row_keys *ret_keys);
/* The newest key of a kind. KEYRING_ABSENT. */
int keyring_newest(struct keyring *k, enum key_kind kind, uint8_t ret_id[KEY_ID_LEN], uint8_t ret_key[CRYPTO_KEY]);

/* Whose row is it: the row key with seal_ref(month) = ref, by a table kept per month. KEYRING_ABSENT: nobody's. */
int keyring_by_ref(struct keyring *k, uint32_t month, const uint8_t ref[REF_LEN], uint8_t ret_id[KEY_ID_LEN],
                   enum key_kind *ret_kind, struct row_keys *ret_keys);

uint64_t keyring_generation(struct keyring *k);
size_t keyring_count(struct keyring *k);

/* ---- erasure: a generation without some keys ----
 *
 *   keyring_erase()   stages a tombstone and marks the keys as leaving; keyring_abort() takes that back
 *   keyring_turn()    before the store commits: ring and KEK n+1 beside n in every copy, read back; then the journal.
 *                     From here on the erasure happens, whatever fails
 *   keyring_turned()  after the commit: n+1 takes the place of n in every copy, KEK n is destroyed, the keys leave RAM
 *
 * cloud_commit() calls the latter two for the rings that are due. A process that ends in between finds at the next
 * keyring_open() the generation n+1 and the leaving keys, and keyring_redo() says that a transaction makes up for it.
 */

/* Takes the tombstone's cards and sets its generation. ids: of persons and waiting credentials; others are passed over.
 * -EAGAIN: the erasure before this one is not finished. */
int keyring_erase(struct keyring *k, struct tomb *tomb, const uint8_t (*ids)[KEY_ID_LEN], size_t n);
void keyring_redo(struct keyring *k);
bool keyring_due(struct keyring *k);
/* A failure has changed nothing, unless keyring_generation() has risen: then the journal could not be taken back. */
int keyring_turn(struct keyring *k);
/* Whether the erasure of that id is journalled: it happens, whatever became of the transaction that began it. */
bool keyring_journalled(struct keyring *k, const uint8_t id[TOMB_ID]);
/* A copy that cannot be written now is tried again at every sync; ours must be. */
int keyring_turned(struct keyring *k);
/* The former generation is no more, in any copy. */
bool keyring_settled(struct keyring *k);
/* Staged ones included. For the holder of the write transaction. */
const struct tombs *keyring_tombs(const struct keyring *k);
