/* COSE_Sign1, untagged, ES256, protected {1: -7, 4: kid} (RFC 9052 section 4; RFC 9053 section 2.1). */
#pragma once

#include "base/crypto.h"

#define KID_LEN 8
#define COSE_AAD_SEG "punch1 seg"
#define COSE_AAD_STATUS "punch1 status"
#define COSE_AAD_BUNDLE "punch1 bundle"
#define COSE_AAD_REQUEST "punch1 request"
/* Bytes that signing adds to a payload, at most. */
#define COSE_OVERHEAD 96

/* First 8 bytes of SHA-256 of the key's SPKI. */
int cose_kid(const uint8_t point[CRYPTO_POINT], uint8_t ret_kid[KID_LEN]);

/* Appends the whole COSE_Sign1 to ret. */
int cose_sign(struct crypto_key *key, const char *aad, struct bytes payload, struct buf *ret);

/* Slices borrow from the message. */
struct cose {
    struct bytes protected_hdr; /* the encoded map, without the bstr head */
    uint8_t kid[KID_LEN];
    struct bytes payload;
    uint8_t sig[CRYPTO_SIG];
};
enum { COSE_BAD = 1 };
int cose_parse(struct bytes msg, struct cose *ret);                                        /* COSE_BAD */
int cose_verify(const struct cose *c, const char *aad, const uint8_t point[CRYPTO_POINT]); /* COSE_BAD */
