/* X.509 by GnuTLS, whose library this file owns. Keys are PKCS #8 PEM, 0600. */
#include "cloud/pki.h"

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

/* A gateway hangs on its wall for a decade, and there is no renewal over the wire yet. */
#define CA_YEARS 30
#define LEAF_YEARS 15
#define YEAR_SECONDS (365.25 * 24 * 3600)
#define SERIAL_LEN PKI_SERIAL

static int from_gnutls(int rc, const char *what)
{
    if (rc >= 0)
        return 0;
    log_error("pki.failed", "what=%s text=%s", what, log_q(gnutls_strerror(rc)));
    return rc == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EIO;
}

static void free_crt(gnutls_x509_crt_t *c)
{
    if (*c != NULL)
        gnutls_x509_crt_deinit(*c);
}

static void free_key(gnutls_x509_privkey_t *k)
{
    if (*k != NULL)
        gnutls_x509_privkey_deinit(*k);
}

static void free_crq(gnutls_x509_crq_t *q)
{
    if (*q != NULL)
        gnutls_x509_crq_deinit(*q);
}

static void free_pubkey(gnutls_pubkey_t *p)
{
    if (*p != NULL)
        gnutls_pubkey_deinit(*p);
}

static void free_crl(gnutls_x509_crl_t *l)
{
    if (*l != NULL)
        gnutls_x509_crl_deinit(*l);
}

#define CRL CLEANUP(free_crl) gnutls_x509_crl_t
#define CRT CLEANUP(free_crt) gnutls_x509_crt_t
#define KEY CLEANUP(free_key) gnutls_x509_privkey_t
#define CRQ CLEANUP(free_crq) gnutls_x509_crq_t
#define PUBKEY CLEANUP(free_pubkey) gnutls_pubkey_t

static int path_of(char *ret, size_t size, const char *dir, const char *file, const char *suffix)
{
    int n = snprintf(ret, size, "%s/%s%s", dir, file, suffix);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int key_new(gnutls_x509_privkey_t *ret_key)
{
    int rc = gnutls_x509_privkey_init(ret_key);
    if (rc >= 0)
        rc = gnutls_x509_privkey_generate(*ret_key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                          0);
    return from_gnutls(rc, "key");
}

/* What all our certificates share. The serial is random, positive, never all zero in its first byte. */
static int crt_new(int years, uint8_t ret_serial[SERIAL_LEN], gnutls_x509_crt_t *ret_crt)
{
    int r = crypto_random(ret_serial, SERIAL_LEN);
    if (r != 0)
        return r;
    ret_serial[0] = (uint8_t)((ret_serial[0] & 0x3f) | 0x40);
    int rc = gnutls_x509_crt_init(ret_crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_version(*ret_crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_serial(*ret_crt, ret_serial, SERIAL_LEN);
    if (rc >= 0) /* a gateway that wakes without a clock is in 1970 */
        rc = gnutls_x509_crt_set_activation_time(*ret_crt, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(*ret_crt, time(NULL) + (time_t)(years * YEAR_SECONDS));
    return from_gnutls(rc, "certificate");
}

static int key_ids(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
    uint8_t id[64];
    size_t n = sizeof id;
    int rc = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &n);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_subject_key_id(crt, id, n);
    n = sizeof id;
    if (rc >= 0)
        rc = gnutls_x509_crt_get_key_id(issuer, GNUTLS_KEYID_USE_SHA1, id, &n);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_authority_key_id(crt, id, n);
    return from_gnutls(rc, "key id");
}

static int add_pem(gnutls_x509_crt_t crt, struct buf *ret)
{
    gnutls_datum_t d = {0};
    int r = from_gnutls(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d), "export");
    if (r == 0)
        r = buf_add(ret, d.data, d.size);
    gnutls_free(d.data);
    return r;
}

static int write_pair(const char *dir, const char *file, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    char path[4096];
    struct buf pem;
    gnutls_datum_t d = {0};
    int r = from_gnutls(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &d),
                        "export key");
    if (r == 0)
        r = path_of(path, sizeof path, dir, file, ".key");
    if (r == 0)
        r = file_write(path, BYTES(d.data, d.size), 0600);
    if (d.data != NULL)
        crypto_wipe(d.data, d.size);
    gnutls_free(d.data);

    buf_init(&pem, 16384);
    if (r == 0)
        r = add_pem(crt, &pem);
    if (r == 0)
        r = path_of(path, sizeof path, dir, file, ".crt");
    if (r == 0)
        r = file_write(path, buf_bytes(&pem), 0644);
    buf_done(&pem);
    return r;
}

int pki_ca_create(const char *dir, const char *name)
{
    KEY key = NULL;
    CRT crt = NULL;
    uint8_t serial[SERIAL_LEN];
    int r = key_new(&key);
    if (r == 0)
        r = crt_new(CA_YEARS, serial, &crt);
    if (r != 0)
        return r;
    int rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (rc >= 0)
        rc = key_ids(crt, crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
    r = from_gnutls(rc, "ca");
    return r != 0 ? r : write_pair(dir, "ca", crt, key);
}

static int load(const char *dir, const char *file, struct buf *ret)
{
    char path[4096];
    int r = path_of(path, sizeof path, dir, file, "");
    return r != 0 ? r : file_read(path, ret);
}

static int ca_load(const char *dir, gnutls_x509_crt_t *ret_crt, gnutls_x509_privkey_t *ret_key)
{
    struct buf crt, key;
    buf_init(&crt, 65536);
    buf_init(&key, 65536);
    int r = load(dir, "ca.crt", &crt);
    if (r == 0)
        r = load(dir, "ca.key", &key);
    if (r == 0) {
        gnutls_datum_t c = {.data = crt.p, .size = (unsigned)crt.len}, k = {.data = key.p, .size = (unsigned)key.len};
        int rc = gnutls_x509_crt_init(ret_crt);
        if (rc >= 0)
            rc = gnutls_x509_crt_import(*ret_crt, &c, GNUTLS_X509_FMT_PEM);
        if (rc >= 0)
            rc = gnutls_x509_privkey_init(ret_key);
        if (rc >= 0)
            rc = gnutls_x509_privkey_import2(*ret_key, &k, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
        r = from_gnutls(rc, "load ca");
    }
    buf_done(&crt);
    buf_wipe(&key);
    return r;
}

static int set_name(gnutls_x509_crt_t crt, const char *name)
{
    uint8_t ip[16];
    unsigned n = 0;
    if (inet_pton(AF_INET, name, ip) == 1)
        n = 4;
    else if (inet_pton(AF_INET6, name, ip) == 1)
        n = 16;
    if (n > 0)
        return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, n, GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name),
                                                GNUTLS_FSAN_APPEND);
}

static int leaf_finish(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key, enum pki_use use)
{
    int rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(
            crt, use == PKI_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
    if (rc >= 0)
        rc = key_ids(crt, ca);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0);
    return from_gnutls(rc, "sign");
}

int pki_issue(const char *dir, const char *file, const char *cn, const char *const *names, size_t n, enum pki_use use)
{
    CRT ca = NULL;
    KEY ca_key = NULL;
    CRT crt = NULL;
    KEY key = NULL;
    uint8_t serial[SERIAL_LEN];
    int r = ca_load(dir, &ca, &ca_key);
    if (r == 0)
        r = key_new(&key);
    if (r == 0)
        r = crt_new(LEAF_YEARS, serial, &crt);
    if (r != 0)
        return r;
    int rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    for (size_t i = 0; rc >= 0 && i < n; i++)
        rc = set_name(crt, names[i]);
    r = from_gnutls(rc, "leaf");
    if (r == 0)
        r = leaf_finish(crt, ca, ca_key, use);
    return r != 0 ? r : write_pair(dir, file, crt, key);
}

/* Foreign bytes from here on: what GnuTLS refuses is the request's fault. */
static int csr_read(struct bytes pem, const char *cn, gnutls_x509_crq_t *ret_crq)
{
    char got[128];
    size_t n = sizeof got;
    gnutls_datum_t d = {.size = (unsigned)pem.n};
    union {
        const uint8_t *in;
        uint8_t *out;
    } data = {.in = pem.p};
    d.data = data.out; /* GnuTLS only reads it */
    if (gnutls_x509_crq_init(ret_crq) < 0)
        return -ENOMEM;
    unsigned bits;
    int rc = gnutls_x509_crq_import(*ret_crq, &d, GNUTLS_X509_FMT_PEM);
    if (rc == GNUTLS_E_MEMORY_ERROR)
        return -ENOMEM; /* not the request's fault */
    if (rc < 0 || gnutls_x509_crq_get_pk_algorithm(*ret_crq, &bits) != GNUTLS_PK_ECDSA ||
        gnutls_x509_crq_verify(*ret_crq, 0) < 0)
        return PKI_BAD;
    if (gnutls_x509_crq_get_dn_by_oid(*ret_crq, GNUTLS_OID_X520_COMMON_NAME, 0, 0, got, &n) < 0)
        return PKI_BAD;
    return strlen(cn) == n && memcmp(got, cn, n) == 0 ? 0 : PKI_BAD;
}

int pki_sign_csr(const char *dir, const char *cn, struct bytes csr_pem, struct buf *ret_crt_pem, char ret_serial[64],
                 int64_t *ret_expires)
{
    CRT ca = NULL;
    KEY ca_key = NULL;
    CRQ crq = NULL;
    CRT crt = NULL;
    PUBKEY key = NULL;
    uint8_t serial[SERIAL_LEN];
    int r = csr_read(csr_pem, cn, &crq);
    if (r == 0)
        r = ca_load(dir, &ca, &ca_key);
    if (r == 0)
        r = crt_new(LEAF_YEARS, serial, &crt);
    if (r != 0)
        return r;
    /* Only the key is taken from the request. The subject is ours (gnutls_x509_crt_set_crq() would copy theirs, with a
     * second CN for whoever reads the last one), and extensions it may ask for are not copied. */
    int rc = gnutls_pubkey_init(&key);
    if (rc >= 0)
        rc = gnutls_pubkey_import_x509_crq(key, crq, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_pubkey(crt, key);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
    r = from_gnutls(rc, "gateway certificate");
    if (r == 0)
        r = leaf_finish(crt, ca, ca_key, PKI_CLIENT);
    if (r == 0)
        r = add_pem(crt, ret_crt_pem);
    if (r == 0)
        str_hex(serial, sizeof serial, ret_serial);
    if (r == 0)
        *ret_expires = (int64_t)gnutls_x509_crt_get_expiration_time(crt) * 1000000;
    return r;
}

static int crl_fill(gnutls_x509_crl_t crl, gnutls_x509_crt_t ca, const uint8_t *serials, size_t n)
{
    uint8_t id[64], number[8];
    size_t id_n = sizeof id;
    for (size_t i = 0; i < sizeof number; i++)
        number[i] = (uint8_t)((n + 1) >> (56 - 8 * i));
    int rc = gnutls_x509_crl_set_version(crl, 2);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_this_update(crl, (time_t)n);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_next_update(crl, gnutls_x509_crt_get_expiration_time(ca));
    if (rc >= 0)
        rc = gnutls_x509_crt_get_key_id(ca, GNUTLS_KEYID_USE_SHA1, id, &id_n);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_authority_key_id(crl, id, id_n);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_number(crl, number, sizeof number);
    for (size_t i = 0; rc >= 0 && i < n; i++)
        rc = gnutls_x509_crl_set_crt_serial(crl, serials + i * PKI_SERIAL, PKI_SERIAL, 0);
    return from_gnutls(rc, "revocation list");
}

int pki_crl_write(const char *dir, const uint8_t *serials, size_t n)
{
    CRT ca = NULL;
    KEY ca_key = NULL;
    CRL crl = NULL;
    gnutls_datum_t d = {0};
    char path[4096];
    int r = ca_load(dir, &ca, &ca_key);
    if (r == 0)
        r = from_gnutls(gnutls_x509_crl_init(&crl), "revocation list");
    if (r == 0)
        r = crl_fill(crl, ca, serials, n);
    if (r == 0)
        r = from_gnutls(gnutls_x509_crl_sign2(crl, ca, ca_key, GNUTLS_DIG_SHA256, 0), "sign revocation list");
    if (r == 0)
        r = from_gnutls(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &d), "export revocation list");
    if (r == 0)
        r = path_of(path, sizeof path, dir, "ca", ".crl");
    if (r == 0)
        r = file_write(path, BYTES(d.data, d.size), 0644);
    gnutls_free(d.data);
    return r;
}

void pki_require_client(void *session)
{
    static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT; /* GnuTLS keeps the pointer, and reads only */
    static gnutls_typed_vdata_st client = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose, .size = sizeof purpose - 1};
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert2(session, &client, 1, 0);
}
