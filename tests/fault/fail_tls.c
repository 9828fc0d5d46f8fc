/* GnuTLS, as far as it makes things. */
#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "tests/fault/strike.h"

#define TLS(name, params, args) FAIL(STRIKE_OTHER, int, name, params, args, GNUTLS_E_MEMORY_ERROR)

TLS(gnutls_pubkey_init, (gnutls_pubkey_t * p), (p))
TLS(gnutls_x509_crl_init, (gnutls_x509_crl_t * p), (p))
TLS(gnutls_x509_crq_init, (gnutls_x509_crq_t * p), (p))
TLS(gnutls_x509_crt_init, (gnutls_x509_crt_t * p), (p))
TLS(gnutls_x509_privkey_init, (gnutls_x509_privkey_t * p), (p))
TLS(gnutls_x509_crl_export2, (gnutls_x509_crl_t p, gnutls_x509_crt_fmt_t f, gnutls_datum_t *ret), (p, f, ret))
TLS(gnutls_x509_crt_export2, (gnutls_x509_crt_t p, gnutls_x509_crt_fmt_t f, gnutls_datum_t *ret), (p, f, ret))
TLS(gnutls_x509_crt_import, (gnutls_x509_crt_t p, const gnutls_datum_t *d, gnutls_x509_crt_fmt_t f), (p, d, f))
TLS(gnutls_x509_crq_import, (gnutls_x509_crq_t p, const gnutls_datum_t *d, gnutls_x509_crt_fmt_t f), (p, d, f))
TLS(gnutls_x509_crt_sign2,
    (gnutls_x509_crt_t p, gnutls_x509_crt_t issuer, gnutls_x509_privkey_t key, gnutls_digest_algorithm_t alg,
     unsigned flags),
    (p, issuer, key, alg, flags))
TLS(gnutls_x509_crl_sign2,
    (gnutls_x509_crl_t p, gnutls_x509_crt_t issuer, gnutls_x509_privkey_t key, gnutls_digest_algorithm_t alg,
     unsigned flags),
    (p, issuer, key, alg, flags))
TLS(gnutls_x509_privkey_generate, (gnutls_x509_privkey_t p, gnutls_pk_algorithm_t alg, unsigned bits, unsigned flags),
    (p, alg, bits, flags))
