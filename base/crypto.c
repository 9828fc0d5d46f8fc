/* mbedTLS, wrapped, by two of its interfaces. PSA keeps what is the platform's or has a private key: randomness, ECDH,
 * ECDSA. Its 2.28 has no locking (3.6's has), so one mutex around every PSA call serves both; it has 32 key slots in
 * all, fewer than the cloud has open segments, so private keys are kept as bytes and imported for each operation.
 * SHA-256, HMAC and AES-GCM, thousands a second, go by gcm.h and md.h, the same in 2.28 and 3.6: their contexts are the
 * caller's, so threads need not meet in the mutex, and a key schedule is computed once. What these share inside is the
 * AES tables and the CPU's features, found at the first key: psa_crypto_init() sets one, before there are threads. */
#include "base/crypto.h"

#include <mbedtls/cipher.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <psa/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct crypto_aead {
    mbedtls_gcm_context gcm;
};

struct crypto_key {
    enum crypto_use use;
    uint8_t scalar[32];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int from_mbedtls(int e)
{
    switch (e) {
    case 0:
        return 0;
    case MBEDTLS_ERR_GCM_AUTH_FAILED:
        return CRYPTO_BAD;
    case MBEDTLS_ERR_CIPHER_ALLOC_FAILED:
    case MBEDTLS_ERR_MD_ALLOC_FAILED:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static int from_psa(psa_status_t s)
{
    switch (s) {
    case PSA_SUCCESS:
        return 0;
    case PSA_ERROR_INVALID_SIGNATURE:
        return CRYPTO_BAD;
    case PSA_ERROR_INSUFFICIENT_MEMORY:
        return -ENOMEM;
    case PSA_ERROR_INSUFFICIENT_ENTROPY:
        return -EAGAIN;
    case PSA_ERROR_BUFFER_TOO_SMALL:
        return -ENOBUFS;
    case PSA_ERROR_NOT_SUPPORTED:
        return -ENOTSUP;
    case PSA_ERROR_INVALID_ARGUMENT:
        return -EINVAL;
    default:
        return -EIO;
    }
}

/* What fails because of bytes that came from outside. */
static int foreign(psa_status_t s)
{
    return s == PSA_ERROR_INVALID_ARGUMENT ? CRYPTO_BAD : from_psa(s);
}

int crypto_init(void)
{
    pthread_mutex_lock(&lock);
    psa_status_t s = psa_crypto_init();
    pthread_mutex_unlock(&lock);
    return from_psa(s);
}

void crypto_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < n; i++)
        diff = (uint8_t)(diff | (x[i] ^ y[i]));
    return diff == 0;
}

int crypto_random(void *ret, size_t n)
{
    pthread_mutex_lock(&lock);
    psa_status_t s = psa_generate_random(ret, n);
    pthread_mutex_unlock(&lock);
    return from_psa(s);
}

static int hash_parts(const struct bytes *parts, size_t n, uint8_t ret[CRYPTO_HASH])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int e = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0);
    if (e == 0)
        e = mbedtls_md_starts(&md);
    for (size_t i = 0; e == 0 && i < n; i++)
        e = mbedtls_md_update(&md, parts[i].p, parts[i].n);
    if (e == 0)
        e = mbedtls_md_finish(&md, ret);
    mbedtls_md_free(&md);
    return from_mbedtls(e);
}

int crypto_sha256(struct bytes data, uint8_t ret[CRYPTO_HASH])
{
    return hash_parts(&data, 1, ret);
}

int crypto_hmac(struct bytes key, const struct bytes *parts, size_t n, uint8_t ret[CRYPTO_HASH])
{
    uint8_t out[CRYPTO_HASH]; /* a part may lie where the result goes */
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int e = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1);
    if (e == 0)
        e = mbedtls_md_hmac_starts(&md, key.p, key.n);
    for (size_t i = 0; e == 0 && i < n; i++)
        e = mbedtls_md_hmac_update(&md, parts[i].p, parts[i].n);
    if (e == 0)
        e = mbedtls_md_hmac_finish(&md, out);
    mbedtls_md_free(&md);
    if (e == 0)
        memcpy(ret, out, sizeof out);
    crypto_wipe(out, sizeof out);
    return from_mbedtls(e);
}

int crypto_hkdf_extract(struct bytes salt, struct bytes ikm, uint8_t ret_prk[CRYPTO_HASH])
{
    return crypto_hmac(salt, &ikm, 1, ret_prk);
}

int crypto_hkdf_expand(struct bytes prk, struct bytes info, uint8_t *ret, size_t n)
{
    uint8_t t[CRYPTO_HASH];
    size_t have = 0;
    int r = 0;

    if (n > (size_t)255 * CRYPTO_HASH)
        return -EINVAL;
    for (uint8_t i = 1; r == 0 && n > 0; i++) {
        const struct bytes parts[] = {BYTES(t, have), info, BYTES(&i, 1)};
        r = crypto_hmac(prk, parts, ARRAY_LEN(parts), t);
        have = sizeof t;
        size_t take = n < sizeof t ? n : sizeof t;
        if (r == 0)
            memcpy(ret, t, take);
        ret += take;
        n -= take;
    }
    crypto_wipe(t, sizeof t);
    return r;
}

int crypto_aead_new(const uint8_t key[CRYPTO_KEY], struct crypto_aead **ret_aead)
{
    struct crypto_aead *a = malloc(sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    mbedtls_gcm_init(&a->gcm);
    int e = mbedtls_gcm_setkey(&a->gcm, MBEDTLS_CIPHER_ID_AES, key, 8 * CRYPTO_KEY);
    if (e == 0)
        *ret_aead = a;
    else
        crypto_aead_free(a);
    return from_mbedtls(e);
}

void crypto_aead_free(struct crypto_aead *a)
{
    if (a == NULL)
        return;
    mbedtls_gcm_free(&a->gcm); /* wipes */
    free(a);
}

int crypto_aead_seal(struct crypto_aead *a, const uint8_t nonce[CRYPTO_NONCE], struct bytes aad, struct bytes plain,
                     uint8_t *ret)
{
    return from_mbedtls(mbedtls_gcm_crypt_and_tag(&a->gcm, MBEDTLS_GCM_ENCRYPT, plain.n, nonce, CRYPTO_NONCE, aad.p,
                                                  aad.n, plain.p, ret, CRYPTO_TAG, ret + plain.n));
}

int crypto_aead_open(struct crypto_aead *a, const uint8_t nonce[CRYPTO_NONCE], struct bytes aad, struct bytes sealed,
                     uint8_t *ret)
{
    if (sealed.n < CRYPTO_TAG)
        return CRYPTO_BAD;
    size_t n = sealed.n - CRYPTO_TAG;
    return from_mbedtls(mbedtls_gcm_auth_decrypt(&a->gcm, n, nonce, CRYPTO_NONCE, aad.p, aad.n, sealed.p + n,
                                                 CRYPTO_TAG, sealed.p, ret));
}

static psa_status_t import(psa_key_type_t type, psa_algorithm_t alg, psa_key_usage_t usage, struct bytes key,
                           psa_key_id_t *ret_id)
{
    psa_key_attributes_t attr = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attr, type);
    psa_set_key_algorithm(&attr, alg);
    psa_set_key_usage_flags(&attr, usage);
    return psa_import_key(&attr, key.p, key.n, ret_id);
}

static psa_status_t import_private(enum crypto_use use, const uint8_t scalar[32], psa_key_id_t *ret_id)
{
    return import(PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
                  use == CRYPTO_ECDH ? PSA_ALG_ECDH : PSA_ALG_DETERMINISTIC_ECDSA(PSA_ALG_SHA_256),
                  use == CRYPTO_ECDH ? PSA_KEY_USAGE_DERIVE : PSA_KEY_USAGE_SIGN_HASH, BYTES(scalar, 32), ret_id);
}

int crypto_key_import(enum crypto_use use, const uint8_t scalar[32], struct crypto_key **ret_key)
{
    psa_key_id_t id = 0;
    pthread_mutex_lock(&lock);
    psa_status_t s = import_private(use, scalar, &id); /* checks the range */
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    if (s != PSA_SUCCESS)
        return foreign(s);
    struct crypto_key *k = malloc(sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    k->use = use;
    memcpy(k->scalar, scalar, sizeof k->scalar);
    *ret_key = k;
    return 0;
}

int crypto_key_new(enum crypto_use use, struct crypto_key **ret_key)
{
    uint8_t scalar[32];
    int r;
    do { /* a random 256-bit number is out of range once in 2^32 */
        r = crypto_random(scalar, sizeof scalar);
        if (r == 0)
            r = crypto_key_import(use, scalar, ret_key);
    } while (r == CRYPTO_BAD);
    crypto_wipe(scalar, sizeof scalar);
    return r;
}

int crypto_key_export(struct crypto_key *k, uint8_t ret_scalar[32])
{
    memcpy(ret_scalar, k->scalar, sizeof k->scalar);
    return 0;
}

int crypto_key_point(struct crypto_key *k, uint8_t ret_point[CRYPTO_POINT])
{
    psa_key_id_t id = 0;
    size_t len;
    pthread_mutex_lock(&lock);
    psa_status_t s = import_private(k->use, k->scalar, &id);
    if (s == PSA_SUCCESS)
        s = psa_export_public_key(id, ret_point, CRYPTO_POINT, &len);
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    return from_psa(s);
}

void crypto_key_free(struct crypto_key *k)
{
    if (k == NULL)
        return;
    crypto_wipe(k, sizeof *k);
    free(k);
}

int crypto_ecdh(struct crypto_key *k, const uint8_t point[CRYPTO_POINT], uint8_t ret_x[32])
{
    psa_key_id_t id = 0;
    uint8_t x[32];
    size_t len;
    ASSERT(k->use == CRYPTO_ECDH);
    if (point[0] != 0x04)
        return CRYPTO_BAD;
    pthread_mutex_lock(&lock);
    psa_status_t s = import_private(k->use, k->scalar, &id);
    if (s == PSA_SUCCESS)
        s = psa_raw_key_agreement(PSA_ALG_ECDH, id, point, CRYPTO_POINT, x, sizeof x, &len);
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    if (s == PSA_SUCCESS)
        memcpy(ret_x, x, sizeof x);
    crypto_wipe(x, sizeof x);
    return foreign(s);
}

int crypto_sign(struct crypto_key *k, const struct bytes *parts, size_t n, uint8_t ret_sig[CRYPTO_SIG])
{
    psa_key_id_t id = 0;
    uint8_t hash[CRYPTO_HASH];
    size_t len;
    ASSERT(k->use == CRYPTO_ECDSA);
    int r = hash_parts(parts, n, hash);
    if (r != 0)
        return r;
    pthread_mutex_lock(&lock);
    psa_status_t s = import_private(k->use, k->scalar, &id);
    if (s == PSA_SUCCESS)
        s = psa_sign_hash(id, PSA_ALG_DETERMINISTIC_ECDSA(PSA_ALG_SHA_256), hash, sizeof hash, ret_sig, CRYPTO_SIG,
                          &len);
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    return from_psa(s);
}

int crypto_verify(const uint8_t point[CRYPTO_POINT], const struct bytes *parts, size_t n, const uint8_t sig[CRYPTO_SIG])
{
    psa_key_id_t id = 0;
    uint8_t hash[CRYPTO_HASH];
    if (point[0] != 0x04)
        return CRYPTO_BAD;
    int r = hash_parts(parts, n, hash);
    if (r != 0)
        return r;
    pthread_mutex_lock(&lock);
    psa_status_t s = import(PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1), PSA_ALG_ECDSA(PSA_ALG_SHA_256),
                            PSA_KEY_USAGE_VERIFY_HASH, BYTES(point, CRYPTO_POINT), &id);
    if (s == PSA_SUCCESS)
        s = psa_verify_hash(id, PSA_ALG_ECDSA(PSA_ALG_SHA_256), hash, sizeof hash, sig, CRYPTO_SIG);
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    return foreign(s);
}

/* SubjectPublicKeyInfo { id-ecPublicKey, prime256v1 } up to the point (RFC 5480 section 2). */
static const uint8_t spki_head[CRYPTO_SPKI - CRYPTO_POINT] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};

void crypto_spki(const uint8_t point[CRYPTO_POINT], uint8_t ret_der[CRYPTO_SPKI])
{
    memcpy(ret_der, spki_head, sizeof spki_head);
    memcpy(ret_der + sizeof spki_head, point, CRYPTO_POINT);
}

int crypto_spki_point(struct bytes der, uint8_t ret_point[CRYPTO_POINT])
{
    psa_key_id_t id = 0;
    if (der.n != CRYPTO_SPKI || memcmp(der.p, spki_head, sizeof spki_head) != 0 || der.p[sizeof spki_head] != 0x04)
        return CRYPTO_BAD;
    pthread_mutex_lock(&lock);
    psa_status_t s = import(PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1), PSA_ALG_ECDSA(PSA_ALG_SHA_256),
                            PSA_KEY_USAGE_VERIFY_HASH, BYTES(der.p + sizeof spki_head, CRYPTO_POINT),
                            &id); /* checks that it is on the curve */
    psa_destroy_key(id);
    pthread_mutex_unlock(&lock);
    if (s != PSA_SUCCESS)
        return foreign(s);
    memcpy(ret_point, der.p + sizeof spki_head, CRYPTO_POINT);
    return 0;
}
