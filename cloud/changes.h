/* The changes feed, where it is written: one entry a change of a tenant's data, numbered 1, 2, 3 ... inside the write
 * transaction of the change itself. So the numbers are in commit order, and who reads n+1 in one state of the store
 * finds n there, too. An entry says where to look, never what is there: feed.c resolves it to what is there now.
 *
 * A row of the table is its number, 17 bytes that look random and a sealed value of one size: it links nothing. An
 * entry about a person's or a waiting credential's rows is sealed under their key and dies with it. It is found by
 * HMAC(ref key, number / CHANGES_BLOCK), as a punch is found by its month, behind a pad made from the tenant's index
 * key and the sealed value: without the keyring no two entries have anything in common, and with a keyring that lacks
 * the person only those within one block have. Entries that must outlive a key are sealed under the tenant's own.
 *
 * Who is erased takes along what the entries said. That is right for a punch that a consumer has never seen, or knows
 * as the erased person's; but it may know it as another's, or as nobody's, and would keep it. So behind the pad stands
 * also whether an entry moves a punch: one that does and does not open any more sends the consumer back to the
 * beginning. */
#pragma once

#include "cloud/scope.h"
#include "wire/segment.h"

#define CHANGES_BLOCK 256 /* smaller: less in common once a person is erased; larger: less work for the reader */

enum change_kind {
    CHANGE_PUNCH = 1,       /* a row of punch is there or anew: id = pid, number = day */
    CHANGE_PENDING,         /* of pending: id = pid */
    CHANGE_PERSON,          /* created or changed */
    CHANGE_CREDENTIAL,      /* handed out or taken back: id */
    CHANGE_REMOVED,         /* a punch is no more, and no row took its place: id = segid, number = index */
    CHANGE_ERASED,          /* id = person; this and the next are the tenant's own */
    CHANGE_CORRECTION = 20, /* asked for, or decided: id */
    CHANGE_ADDED = 21,      /* a punch that was forgotten is there: id of its correction */
    CHANGE_GATEWAY = 7,     /* added, or at another site: id = gw, number = generation */
    CHANGE_READER = 22,     /* another label, direction or mode: id */
};

struct change {
    int64_t seq;
    enum change_kind kind;
    uint8_t key_id[KEY_ID_LEN]; /* whose; not for the tenant's own */
    uint8_t id[ID_LEN];         /* shorter ones end in zeros */
    int64_t number;
};

/* All inside the caller's write transaction. filed_put() calls the first itself. */
int changes_filed(const struct scope *s, const struct row_keys *keys, bool pending, int64_t day,
                  const uint8_t pid[PID_LEN], bool moved);
int changes_person(const struct scope *s, const uint8_t key_id[KEY_ID_LEN]);
int changes_credential(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t id[ID_LEN]);
/* For who deletes a punch for good. key_id: under which it was. When that key is destroyed with it, consumers must
 * begin again, since no trace of the punch may stay to tell them which one it was. */
int changes_removed(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t segid[SEGID_LEN],
                    uint64_t index);
/* Tells consumers to forget the person, its credentials and its punches. */
int changes_erased(const struct scope *s, const uint8_t person[ID_LEN]);
int changes_correction(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t id[ID_LEN]);
int changes_added(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const uint8_t correction[ID_LEN]);
int changes_reader(const struct scope *s, const uint8_t id[ID_LEN]);
int changes_gateway(const struct scope *s, const uint8_t gw[GW_LEN], uint64_t gen);

/* For a scope with draws: writes the number up to which it has drawn. Due before anybody else draws for this tenant, so
 * before the scope ends, unless the transaction is rolled back. A tenth of ingest's work was to write each. */
int changes_drawn(const struct scope *s);

/* The number of the last entry; 0: none yet. */
int changes_last(const struct scope *s, int64_t *ret_seq);
/* Up to `limit` entries behind `after` in their order. *ret_seq: the last one looked at, `after` when there is none.
 * Entries of destroyed keys are passed over, but for those that move a punch and come behind `began`, which is what
 * changes_last() said when this consumer began: CHANGES_LOST. Non-zero from fn ends the walk and is returned. */
enum { CHANGES_LOST = 16 };
typedef int change_fn(void *arg, const struct change *e);
int changes_each(const struct scope *s, int64_t began, int64_t after, size_t limit, change_fn *fn, void *arg,
                 int64_t *ret_seq);

/* Entries for everything that a store of before the feed holds, so that it can be followed from its beginning. Nothing
 * to do in any other. Own transaction. */
int changes_upgrade(struct cloud *c, struct db *db, const char *tenant);
