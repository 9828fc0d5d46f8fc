/* Keys as PEM files and certificate signing requests (PKCS #10), by mbedTLS's x509write. */
#pragma once

#include "base/crypto.h"

/* PEM text (EC PRIVATE KEY, RFC 5915) of an ECDSA key, which OpenSSL, GnuTLS and mbedTLS read. Appends to ret. */
int csr_key_pem(struct crypto_key *k, struct buf *ret);
/* Reads what csr_key_pem wrote, or any unencrypted P-256 key in PEM; CRYPTO_BAD when it is something else. */
int csr_key_parse(struct bytes pem, struct crypto_key **ret_key);
/* A CSR with subject CN=`cn` (letters, digits, "-._ ", at most 64; else -EINVAL), ES256, PEM appended to ret. */
int csr_make(struct crypto_key *k, const char *cn, struct buf *ret);
