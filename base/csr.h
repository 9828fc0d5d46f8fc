/* Keys as PEM files and certificate signing requests (PKCS #10), by mbedTLS's x509write. */
#pragma once

#include "base/crypto.h"

/* PEM text (EC PRIVATE KEY, RFC 5915) of an ECDSA key, which OpenSSL, GnuTLS and mbedTLS read. Appends to ret. */
int csr_key_pem(struct crypto_key *k, struct buf *ret);
/* Reads what csr_key_pem wrote, or any unencrypted P-256 key in PEM; CRYPTO_BAD when it is something else. */
int csr_key_parse(struct bytes pem, struct crypto_key **ret_key);
/* The public half as PEM (PUBLIC KEY, RFC 7468), and back; appends. CRYPTO_BAD: not a P-256 key. */
int csr_public_pem(const uint8_t point[CRYPTO_POINT], struct buf *ret);
int csr_public_parse(struct bytes pem, uint8_t ret_point[CRYPTO_POINT]);
/* A CSR with subject CN=`cn` (letters, digits, "-._ ", at most 64; else -EINVAL), ES256, PEM appended to ret. */
int csr_make(struct crypto_key *k, const char *cn, struct buf *ret);
