/* Rows that belong to a person; see sealed.h. */
#include "cloud/sealed.h"

#include <string.h>

#include "base/be.h"

static struct seal_place place(const struct scope *s, const char *table, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = table, .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

int sealed_put(const struct scope *s, const char *table, const uint8_t id[ID_LEN], const uint8_t key_id[KEY_ID_LEN],
               const struct cbor_w *w, size_t unit, struct buf *ret_sealed)
{
    struct row_keys keys;
    enum key_kind kind;
    struct seal_place at = place(s, table, id);
    if (w->bad)
        return -EINVAL;
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(w->p, w->len), unit, ret_sealed);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? -EBADMSG : r;
}

int sealed_get(const struct scope *s, const char *table, const uint8_t id[ID_LEN], const uint8_t key_id[KEY_ID_LEN],
               struct bytes sealed, uint8_t *ret_plain, size_t max, size_t *ret_n)
{
    struct row_keys keys;
    enum key_kind kind;
    struct seal_place at = place(s, table, id);
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return CLOUD_ABSENT;
    if (r == 0)
        r = seal_get(keys.seal, &at, sealed, ret_plain, max, ret_n);
    crypto_wipe(&keys, sizeof keys);
    return r > 0 ? CLOUD_DAMAGED : r;
}

int sealed_punch_index(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const char *purpose,
                       const uint8_t segid[16], uint64_t index, uint8_t ret_index[16])
{
    struct row_keys keys;
    enum key_kind kind;
    uint8_t i8[8], mac[CRYPTO_HASH];
    be_put(i8, index, sizeof i8);
    const struct bytes parts[] = {BYTES(purpose, strlen(purpose) + 1), BYTES(segid, 16), BYTES(i8, sizeof i8)};
    int r = keyring_rows(s->ring, key_id, &kind, &keys);
    if (r == 0)
        r = crypto_hmac(BYTES(keys.pid, sizeof keys.pid), parts, ARRAY_LEN(parts), mac);
    crypto_wipe(&keys, sizeof keys);
    if (r == 0)
        memcpy(ret_index, mac, 16);
    return r > 0 ? CLOUD_ABSENT : r;
}
