/* Small rows that belong to a person: an id in the clear, all else sealed under the person's key, padded to one size.
 */
#pragma once

#include "cloud/scope.h"
#include "wire/cbor.h"

/* Appends the sealed form of what was written. -EINVAL: w is bad. */
int sealed_put(const struct scope *s, const char *table, const uint8_t id[ID_LEN], const uint8_t key_id[KEY_ID_LEN],
               const struct cbor_w *w, size_t unit, struct buf *ret_sealed);
/* CLOUD_ABSENT: the key is no more. CLOUD_DAMAGED. */
int sealed_get(const struct scope *s, const char *table, const uint8_t id[ID_LEN], const uint8_t key_id[KEY_ID_LEN],
               struct bytes sealed, uint8_t *ret_plain, size_t max, size_t *ret_n);
/* An own key for one purpose of the keys that find a person's rows: HMAC(pid key, purpose NUL segid index)[16]. */
int sealed_punch_index(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const char *purpose,
                       const uint8_t segid[16], uint64_t index, uint8_t ret_index[16]);
