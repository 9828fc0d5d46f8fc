/* All cryptography, over mbedTLS: one source for 2.28 and 3.6. The only file that includes psa/crypto.h is crypto.c.
 * Call crypto_init() before there are threads; then every call is thread-safe, but for a struct crypto_aead, which one
 * thread at a time may use. Calls with a private or public key, and crypto_random(), wait for each other. Never fork
 * after crypto_init(). Secrets are wiped by their owner with crypto_wipe(); comparison is constant-time.
 *
 * Points are uncompressed (65 bytes, 0x04 first), scalars and x coordinates 32 bytes big-endian, signatures r||s.
 */
#pragma once

#include "base/buf.h"

enum { CRYPTO_BAD = 1 }; /* a tag, signature or point that does not verify: foreign bytes, not an error of ours */

#define CRYPTO_HASH 32
#define CRYPTO_KEY 32
#define CRYPTO_NONCE 12
#define CRYPTO_TAG 16
#define CRYPTO_POINT 65
#define CRYPTO_SIG 64
#define CRYPTO_SPKI 91 /* SubjectPublicKeyInfo of a P-256 point, DER (RFC 5480) */

int crypto_init(void);
void crypto_wipe(void *p, size_t n);
bool crypto_equal(const void *a, const void *b, size_t n);
int crypto_random(void *ret, size_t n);

int crypto_sha256(struct bytes data, uint8_t ret[CRYPTO_HASH]);
/* HMAC over the concatenation of `n` parts. */
int crypto_hmac(struct bytes key, const struct bytes *parts, size_t n, uint8_t ret[CRYPTO_HASH]);
/* RFC 5869. An empty salt is 32 zero bytes. n <= 255 * 32. */
int crypto_hkdf_extract(struct bytes salt, struct bytes ikm, uint8_t ret_prk[CRYPTO_HASH]);
int crypto_hkdf_expand(struct bytes prk, struct bytes info, uint8_t *ret, size_t n);

/* AES-256-GCM under a kept key: its schedule is computed once. */
struct crypto_aead;
int crypto_aead_new(const uint8_t key[CRYPTO_KEY], struct crypto_aead **ret_aead);
void crypto_aead_free(struct crypto_aead *a);
/* Writes n + CRYPTO_TAG bytes. */
int crypto_aead_seal(struct crypto_aead *a, const uint8_t nonce[CRYPTO_NONCE], struct bytes aad, struct bytes plain,
                     uint8_t *ret);
/* Writes sealed.n - CRYPTO_TAG bytes; CRYPTO_BAD when it does not authenticate (ret holds nothing useful). */
int crypto_aead_open(struct crypto_aead *a, const uint8_t nonce[CRYPTO_NONCE], struct bytes aad, struct bytes sealed,
                     uint8_t *ret);

/* A P-256 private key, for ECDH or for ECDSA. */
enum crypto_use { CRYPTO_ECDH, CRYPTO_ECDSA };
struct crypto_key;
int crypto_key_new(enum crypto_use use, struct crypto_key **ret_key);
int crypto_key_import(enum crypto_use use, const uint8_t scalar[32],
                      struct crypto_key **ret_key); /* CRYPTO_BAD: not in 1..n-1 */
int crypto_key_export(struct crypto_key *k, uint8_t ret_scalar[32]);
int crypto_key_point(struct crypto_key *k, uint8_t ret_point[CRYPTO_POINT]);
void crypto_key_free(struct crypto_key *k);

int crypto_ecdh(struct crypto_key *k, const uint8_t point[CRYPTO_POINT],
                uint8_t ret_x[32]); /* CRYPTO_BAD: invalid point */
/* ES256 over SHA-256 of the concatenated parts; the signature is deterministic (RFC 6979). */
int crypto_sign(struct crypto_key *k, const struct bytes *parts, size_t n, uint8_t ret_sig[CRYPTO_SIG]);
int crypto_verify(const uint8_t point[CRYPTO_POINT], const struct bytes *parts, size_t n,
                  const uint8_t sig[CRYPTO_SIG]); /* CRYPTO_BAD */

void crypto_spki(const uint8_t point[CRYPTO_POINT], uint8_t ret_der[CRYPTO_SPKI]);
int crypto_spki_point(struct bytes der, uint8_t ret_point[CRYPTO_POINT]); /* CRYPTO_BAD */
