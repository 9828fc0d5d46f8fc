/* Enrolment: the request that `punchgate keygen` writes and the bundle that `gateway add` hands back. Both are files:
 * one COSE_Sign1, armoured as base64 between -----BEGIN PUNCH REQUEST----- / -----BEGIN PUNCH BUNDLE----- lines.
 *
 *   request = [ 1, gw: bytes8, csr: tstr (PEM), spki: bstr .size 91 ]   signed by the signing key, aad "punch1 request"
 *   bundle  = [ 1, gw: bytes8, gen: uint, tls-cert: tstr, ca: tstr, recipients: [ 1* bstr .size 65 ], broker: tstr ]
 *                                                                       signed by the installation's root, aad "punch1
 * bundle"
 */
#pragma once

#include "wire/segment.h"

#define ENROL_FILE_MAX 65536u
#define BUNDLE_RECIPIENTS_MAX 8
enum { ENROL_BAD = 1 };

struct enrol_request {
    uint8_t gw[GW_LEN];
    char csr[4096];
    uint8_t sign_point[CRYPTO_POINT];
};
int enrol_request_write(const struct enrol_request *q, struct crypto_key *sign, struct buf *ret_text);
int enrol_request_read(struct bytes text, struct enrol_request *ret); /* self-signature checked; ENROL_BAD */

struct bundle {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    char tls_cert[8192]; /* PEM chain */
    char ca[8192];       /* PEM */
    size_t n_recipients;
    uint8_t recipients[BUNDLE_RECIPIENTS_MAX][CRYPTO_POINT]; /* the last is current */
    char broker[256];                                        /* host:port */
};
/* Appends the bundle, then the root's point in a block of its own (PUNCH ROOT). */
int bundle_write(const struct bundle *b, struct crypto_key *root, struct buf *ret_text);
/* `pinned`: the root this gateway already trusts, or NULL at first enrolment, when the file's own PUNCH ROOT block is
 * taken (the technician carried it; the caller pins ret_root). ENROL_BAD: no valid bundle, or not by that root. */
int bundle_read(struct bytes text, const uint8_t *pinned, struct bundle *ret, uint8_t ret_root[CRYPTO_POINT]);
