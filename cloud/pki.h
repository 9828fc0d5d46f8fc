/* The installation's CA and the certificates it issues (X.509, P-256, GnuTLS). All begin at 1970-01-01, so that a
 * gateway without a battery clock can connect. The root key that signs bundles is another key and no part of this. */
#pragma once

#include "base/buf.h"

enum pki_use { PKI_SERVER, PKI_CLIENT };
enum { PKI_BAD = 1 }; /* a request that is not what it should be */

/* Writes ca.crt and ca.key (0600) into dir, which exists. */
int pki_ca_create(const char *dir, const char *name);
/* Makes a key and a certificate <dir>/<file>.crt and .key, signed by the CA in dir. Names that parse as addresses
 * become IP entries, others DNS ones; PKI_CLIENT needs none. The .crt holds the leaf alone. */
int pki_issue(const char *dir, const char *file, const char *cn, const char *const *names, size_t n, enum pki_use use);
/* A client certificate for a PEM request whose self-signature holds and whose CN is `cn`; PKI_BAD otherwise.
 * ret_serial: hex; ret_expires: us. */
int pki_sign_csr(const char *dir, const char *cn, struct bytes csr_pem, struct buf *ret_crt_pem, char ret_serial[64],
                 int64_t *ret_expires);

/* A TLS session that has not begun (libmicrohttpd's, a gnutls_session_t): whoever is at its other end must present a
 * client's certificate of a CA that its credentials trust, else there is no session. */
void pki_require_client(void *session);

#define PKI_SERIAL 16 /* bytes of a serial */
/* Writes ca.crl: the n certificates with these serials, one after the other, are revoked. Its `thisUpdate` is n seconds
 * after 1970: that rises with each revocation, as OpenSSL wants before it prefers one list to another, and needs no
 * clock. It expires with the CA, because a broker with an expired list refuses everybody. */
int pki_crl_write(const char *dir, const uint8_t *serials, size_t n);
