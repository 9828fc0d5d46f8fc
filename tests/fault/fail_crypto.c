/* mbedTLS's PSA, which allocates for each call. */
#include <psa/crypto.h>

#include "tests/fault/strike.h"

#define PSA(name, params, args) FAIL(STRIKE_OTHER, psa_status_t, name, params, args, PSA_ERROR_INSUFFICIENT_MEMORY)

PSA(psa_crypto_init, (void), ())
PSA(psa_generate_random, (uint8_t * p, size_t n), (p, n))
PSA(psa_hash_setup, (psa_hash_operation_t * op, psa_algorithm_t alg), (op, alg))
PSA(psa_hash_update, (psa_hash_operation_t * op, const uint8_t *p, size_t n), (op, p, n))
PSA(psa_hash_finish, (psa_hash_operation_t * op, uint8_t *p, size_t n, size_t *len), (op, p, n, len))
PSA(psa_import_key, (const psa_key_attributes_t *a, const uint8_t *p, size_t n, psa_key_id_t *ret), (a, p, n, ret))
PSA(psa_export_public_key, (psa_key_id_t id, uint8_t *p, size_t n, size_t *len), (id, p, n, len))
PSA(psa_mac_sign_setup, (psa_mac_operation_t * op, psa_key_id_t id, psa_algorithm_t alg), (op, id, alg))
PSA(psa_mac_update, (psa_mac_operation_t * op, const uint8_t *p, size_t n), (op, p, n))
PSA(psa_mac_sign_finish, (psa_mac_operation_t * op, uint8_t *p, size_t n, size_t *len), (op, p, n, len))
PSA(psa_raw_key_agreement,
    (psa_algorithm_t alg, psa_key_id_t id, const uint8_t *peer, size_t peer_n, uint8_t *p, size_t n, size_t *len),
    (alg, id, peer, peer_n, p, n, len))
PSA(psa_sign_hash,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *hash, size_t hash_n, uint8_t *p, size_t n, size_t *len),
    (id, alg, hash, hash_n, p, n, len))
PSA(psa_verify_hash,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *hash, size_t hash_n, const uint8_t *p, size_t n),
    (id, alg, hash, hash_n, p, n))
PSA(psa_aead_encrypt,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *nonce, size_t nonce_n, const uint8_t *aad, size_t aad_n,
     const uint8_t *from, size_t from_n, uint8_t *p, size_t n, size_t *len),
    (id, alg, nonce, nonce_n, aad, aad_n, from, from_n, p, n, len))
PSA(psa_aead_decrypt,
    (psa_key_id_t id, psa_algorithm_t alg, const uint8_t *nonce, size_t nonce_n, const uint8_t *aad, size_t aad_n,
     const uint8_t *from, size_t from_n, uint8_t *p, size_t n, size_t *len),
    (id, alg, nonce, nonce_n, aad, aad_n, from, from_n, p, n, len))
