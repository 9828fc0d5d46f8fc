/* Sealing of rows; see seal.h. */
#include "cloud/seal.h"

#include <string.h>

#include "base/be.h"

int seal_keys(const uint8_t key[CRYPTO_KEY], struct row_keys *ret_keys)
{
    struct row_keys k = {0};
    struct bytes prk = BYTES(key, CRYPTO_KEY);
    int r = crypto_hkdf_expand(prk, BYTES_STR("punch row ref"), k.ref, sizeof k.ref);
    if (r == 0)
        r = crypto_hkdf_expand(prk, BYTES_STR("punch row pid"), k.pid, sizeof k.pid);
    if (r == 0)
        r = crypto_hkdf_expand(prk, BYTES_STR("punch row seal"), k.seal, sizeof k.seal);
    if (r == 0)
        *ret_keys = k;
    crypto_wipe(&k, sizeof k);
    return r;
}

int seal_ref(const struct row_keys *k, uint32_t month, uint8_t ret_ref[REF_LEN])
{
    uint8_t m[4], mac[CRYPTO_HASH];
    if (k->has_month && k->month == month) {
        memcpy(ret_ref, k->month_ref, REF_LEN);
        return 0;
    }
    be_put(m, month, sizeof m);
    struct bytes part = BYTES(m, sizeof m);
    int r = crypto_hmac(BYTES(k->ref, sizeof k->ref), &part, 1, mac);
    if (r == 0)
        memcpy(ret_ref, mac, REF_LEN);
    return r;
}

int seal_pid(const struct row_keys *k, const uint8_t segid[16], uint64_t index, uint8_t ret_pid[PID_LEN])
{
    uint8_t i[8], mac[CRYPTO_HASH];
    be_put(i, index, sizeof i);
    const struct bytes parts[] = {BYTES(segid, 16), BYTES(i, sizeof i)};
    int r = crypto_hmac(BYTES(k->pid, sizeof k->pid), parts, 2, mac);
    if (r == 0)
        memcpy(ret_pid, mac, PID_LEN);
    return r;
}

/* table NUL tenant NUL, then each part of the key with its length before it. */
static int place_aad(const struct seal_place *at, uint8_t *ret, size_t size, size_t *ret_n)
{
    size_t t = strlen(at->table) + 1, n = strlen(at->tenant) + 1, len = t + n;
    for (size_t i = 0; i < ARRAY_LEN(at->key); i++)
        len += 2 + at->key[i].n;
    if (len > size)
        return -ENOBUFS;
    memcpy(ret, at->table, t);
    memcpy(ret + t, at->tenant, n);
    uint8_t *p = ret + t + n;
    for (size_t i = 0; i < ARRAY_LEN(at->key); i++) {
        be_put(p, at->key[i].n, 2);
        if (at->key[i].n > 0)
            memcpy(p + 2, at->key[i].p, at->key[i].n);
        p += 2 + at->key[i].n;
    }
    *ret_n = len;
    return 0;
}

int seal_put(const uint8_t key[CRYPTO_KEY], const struct seal_place *at, struct bytes plain, size_t unit,
             struct buf *ret_sealed)
{
    uint8_t aad[256], nonce[CRYPTO_NONCE], padded[SEAL_PLAIN_MAX + 1024], out[sizeof padded + CRYPTO_TAG];
    struct crypto_aead *aead = NULL;
    size_t aad_n;

    if (plain.n > SEAL_PLAIN_MAX || unit == 0 || unit > 1022)
        return -EINVAL;
    size_t n = (2 + plain.n + unit - 1) / unit * unit;
    memset(padded, 0, n);
    be_put(padded, plain.n, 2);
    if (plain.n > 0)
        memcpy(padded + 2, plain.p, plain.n);

    int r = place_aad(at, aad, sizeof aad, &aad_n);
    if (r == 0)
        r = crypto_random(nonce, sizeof nonce);
    if (r == 0)
        r = crypto_aead_new(key, &aead);
    if (r == 0)
        r = crypto_aead_seal(aead, nonce, BYTES(aad, aad_n), BYTES(padded, n), out);
    crypto_aead_free(aead);
    crypto_wipe(padded, n);
    if (r == 0)
        r = buf_add(ret_sealed, nonce, sizeof nonce);
    if (r == 0)
        r = buf_add(ret_sealed, out, n + CRYPTO_TAG);
    return r;
}

int seal_get(const uint8_t key[CRYPTO_KEY], const struct seal_place *at, struct bytes sealed, uint8_t *ret_plain,
             size_t max, size_t *ret_n)
{
    uint8_t aad[256], padded[SEAL_PLAIN_MAX + 1024];
    struct crypto_aead *aead = NULL;
    size_t aad_n;

    if (sealed.n < SEAL_OVERHEAD || sealed.n - CRYPTO_NONCE - CRYPTO_TAG > sizeof padded)
        return SEAL_BAD;
    size_t n = sealed.n - CRYPTO_NONCE - CRYPTO_TAG;
    int r = place_aad(at, aad, sizeof aad, &aad_n);
    if (r == 0)
        r = crypto_aead_new(key, &aead);
    if (r == 0)
        r = crypto_aead_open(aead, sealed.p, BYTES(aad, aad_n), BYTES(sealed.p + CRYPTO_NONCE, sealed.n - CRYPTO_NONCE),
                             padded);
    crypto_aead_free(aead);
    if (r == 0) {
        size_t len = be_get(padded, 2);
        if (len > n - 2 || len > max) {
            r = SEAL_BAD;
        } else {
            memcpy(ret_plain, padded + 2, len);
            *ret_n = len;
        }
    } else if (r == CRYPTO_BAD) {
        r = SEAL_BAD;
    }
    crypto_wipe(padded, n);
    return r;
}
