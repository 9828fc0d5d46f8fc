/* How a row is sealed and how it is found: from one 32-byte key of the ring come, by HKDF-Expand, the ref, pid and
 * seal keys (design section 6). A sealed value is nonce || AES-256-GCM(len16 || plain || zeros), padded to a multiple
 * of `unit`, bound to table, tenant and row key. */
#pragma once

#include "base/crypto.h"

#define REF_LEN 16
#define PID_LEN 16
#define SEAL_OVERHEAD (CRYPTO_NONCE + CRYPTO_TAG + 2)

struct row_keys {
    uint8_t ref[CRYPTO_KEY];
    uint8_t pid[CRYPTO_KEY];
    uint8_t seal[CRYPTO_KEY];
    bool has_month; /* the ref of one month is known; see keyring_rows_in() */
    uint32_t month;
    uint8_t month_ref[REF_LEN];
};
int seal_keys(const uint8_t key[CRYPTO_KEY], struct row_keys *ret_keys);

/* month = 12 * year + month - 1; SEAL_PENDING for rows whose day is not known; SEAL_BLOCK | n for the n-th block of the
 * changes feed, SEAL_AUDIT | n for that of the audit trail. */
#define SEAL_PENDING 0u
#define SEAL_BLOCK 0x80000000u
#define SEAL_AUDIT 0x40000000u
int seal_ref(const struct row_keys *k, uint32_t month, uint8_t ret_ref[REF_LEN]);
int seal_pid(const struct row_keys *k, const uint8_t segid[16], uint64_t index, uint8_t ret_pid[PID_LEN]);

/* What a sealed value is bound to; up to two parts of the row's key. */
struct seal_place {
    const char *table;
    const char *tenant;
    struct bytes key[2];
};
#define SEAL_PLAIN_MAX 4096
/* Appends; plain.n <= SEAL_PLAIN_MAX. */
int seal_put(const uint8_t key[CRYPTO_KEY], const struct seal_place *at, struct bytes plain, size_t unit,
             struct buf *ret_sealed);
/* SEAL_BAD: not under this key, or of another row. Writes at most SEAL_PLAIN_MAX bytes into ret_plain[max]. */
enum { SEAL_BAD = 1 };
int seal_get(const uint8_t key[CRYPTO_KEY], const struct seal_place *at, struct bytes sealed, uint8_t *ret_plain,
             size_t max, size_t *ret_n);
