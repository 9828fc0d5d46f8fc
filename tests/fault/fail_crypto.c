/* mbedTLS: PSA, which allocates for each call, and the contexts of gcm.h and md.h. */
#include <mbedtls/cipher.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <psa/crypto.h>

#include "tests/fault/strike.h"

#define PSA(name, params, args) FAIL(STRIKE_OTHER, psa_status_t, name, params, args, PSA_ERROR_INSUFFICIENT_MEMORY)

PSA(psa_crypto_init, (void), ())
PSA(psa_generate_random, (uint8_t * p, size_t n), (p, n))
PSA(psa_import_key, (const psa_key_attributes_t *a, const uint8_t *p, size_t n, psa_key_id_t *ret), (a, p, n, ret))
PSA(psa_export_public_key, (psa_key_id_t id, uint8_t *p, size_t n, size_t *len), (id, p, n, len))
PSA(psa_raw_key_agreement,
    (psa_algorithm_t alg, psa_key_id_t id, const uint8_t *peer, size_t peer_n, uint8_t *p, size_t n, size_t *len),
    (alg, id, peer, peer_n, p, n, len))
PSA(psa_sign_hash,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *hash, size_t hash_n, uint8_t *p, size_t n, size_t *len),
    (id, alg, hash, hash_n, p, n, len))
PSA(psa_verify_hash,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *hash, size_t hash_n, const uint8_t *p, size_t n),
    (id, alg, hash, hash_n, p, n))

#define MBED(name, params, args, failed) FAIL(STRIKE_OTHER, int, mbedtls_##name, params, args, failed)

MBED(md_setup, (mbedtls_md_context_t * md, const mbedtls_md_info_t *info, int hmac), (md, info, hmac),
     MBEDTLS_ERR_MD_ALLOC_FAILED)
MBED(md_starts, (mbedtls_md_context_t * md), (md), MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(md_update, (mbedtls_md_context_t * md, const unsigned char *p, size_t n), (md, p, n),
     MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(md_finish, (mbedtls_md_context_t * md, unsigned char *p), (md, p), MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(md_hmac_starts, (mbedtls_md_context_t * md, const unsigned char *p, size_t n), (md, p, n),
     MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(md_hmac_update, (mbedtls_md_context_t * md, const unsigned char *p, size_t n), (md, p, n),
     MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(md_hmac_finish, (mbedtls_md_context_t * md, unsigned char *p), (md, p), MBEDTLS_ERR_MD_BAD_INPUT_DATA)
MBED(gcm_setkey, (mbedtls_gcm_context * gcm, mbedtls_cipher_id_t id, const unsigned char *p, unsigned bits),
     (gcm, id, p, bits), MBEDTLS_ERR_CIPHER_ALLOC_FAILED)
MBED(gcm_crypt_and_tag,
     (mbedtls_gcm_context * gcm, int mode, size_t n, const unsigned char *nonce, size_t nonce_n,
      const unsigned char *aad, size_t aad_n, const unsigned char *from, unsigned char *p, size_t tag_n,
      unsigned char *tag),
     (gcm, mode, n, nonce, nonce_n, aad, aad_n, from, p, tag_n, tag), MBEDTLS_ERR_GCM_BAD_INPUT)
MBED(gcm_auth_decrypt,
     (mbedtls_gcm_context * gcm, size_t n, const unsigned char *nonce, size_t nonce_n, const unsigned char *aad,
      size_t aad_n, const unsigned char *tag, size_t tag_n, const unsigned char *from, unsigned char *p),
     (gcm, n, nonce, nonce_n, aad, aad_n, tag, tag_n, from, p), MBEDTLS_ERR_GCM_BAD_INPUT)
