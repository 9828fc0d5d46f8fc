/* Keys in PEM and CSRs. mbedTLS's pk layer wants its own key object; SEC 1 DER (RFC 5915) is the bridge to it, since
 * the key's fields are private in 3.x and its accessors differ from 2.28's. */
#include "base/csr.h"

#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_csr.h>
#include <stdio.h>
#include <string.h>

/* ECPrivateKey { 1, scalar, [0] prime256v1, [1] point }: always these 121 bytes for P-256. */
#define SEC1_LEN 121
static const uint8_t sec1_head[] = {0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20};
static const uint8_t sec1_mid[] = {0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                   0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00};

static int rng(void *arg, unsigned char *out, size_t n)
{
    (void)arg;
    return crypto_random(out, n) == 0 ? 0 : MBEDTLS_ERR_PK_BAD_INPUT_DATA;
}

/* 3.x blinds while it parses and asks for randomness. */
#if MBEDTLS_VERSION_MAJOR >= 3
#define PK_PARSE(pk, p, n) mbedtls_pk_parse_key((pk), (p), (n), NULL, 0, rng, NULL)
#else
#define PK_PARSE(pk, p, n) mbedtls_pk_parse_key((pk), (p), (n), NULL, 0)
#endif

static int sec1(struct crypto_key *k, uint8_t ret[SEC1_LEN])
{
    memcpy(ret, sec1_head, sizeof sec1_head);
    int r = crypto_key_export(k, ret + sizeof sec1_head);
    memcpy(ret + sizeof sec1_head + 32, sec1_mid, sizeof sec1_mid);
    return r < 0 ? r : crypto_key_point(k, ret + sizeof sec1_head + 32 + sizeof sec1_mid);
}

int csr_key_pem(struct crypto_key *k, struct buf *ret)
{
    uint8_t der[SEC1_LEN];
    unsigned char pem[512];
    size_t len = 0;
    int r = sec1(k, der);
    if (r == 0 && mbedtls_pem_write_buffer("-----BEGIN EC PRIVATE KEY-----\n", "-----END EC PRIVATE KEY-----\n", der,
                                           sizeof der, pem, sizeof pem, &len) != 0)
        r = -EINVAL;
    if (r == 0)
        r = buf_add(ret, pem, strlen((const char *)pem));
    crypto_wipe(der, sizeof der);
    crypto_wipe(pem, sizeof pem);
    return r;
}

int csr_key_parse(struct bytes pem, struct crypto_key **ret_key)
{
    struct buf text;
    uint8_t der[256];
    mbedtls_pk_context pk;
    int r = CRYPTO_BAD;

    mbedtls_pk_init(&pk);
    buf_init(&text, 16384);
    if (pem.n >= 16384 || buf_add(&text, pem.p, pem.n) < 0)
        goto out;
    const char *terminated = buf_str(&text); /* PEM wants its NUL counted */
    if (PK_PARSE(&pk, (const unsigned char *)terminated, text.len + 1) != 0)
        goto out;
    int n = mbedtls_pk_write_key_der(&pk, der, sizeof der); /* written at the end of der */
    if (n == SEC1_LEN && memcmp(der + sizeof der - SEC1_LEN, sec1_head, sizeof sec1_head) == 0 &&
        memcmp(der + sizeof der - SEC1_LEN + sizeof sec1_head + 32, sec1_mid, sizeof sec1_mid) == 0)
        r = crypto_key_import(CRYPTO_ECDSA, der + sizeof der - SEC1_LEN + sizeof sec1_head, ret_key);
out:
    mbedtls_pk_free(&pk);
    crypto_wipe(der, sizeof der);
    buf_wipe(&text);
    return r;
}

int csr_public_pem(const uint8_t point[CRYPTO_POINT], struct buf *ret)
{
    uint8_t der[CRYPTO_SPKI];
    unsigned char pem[512];
    size_t len = 0;
    crypto_spki(point, der);
    if (mbedtls_pem_write_buffer("-----BEGIN PUBLIC KEY-----\n", "-----END PUBLIC KEY-----\n", der, sizeof der, pem,
                                 sizeof pem, &len) != 0)
        return -EINVAL;
    return buf_add(ret, pem, strlen((const char *)pem));
}

int csr_public_parse(struct bytes pem, uint8_t ret_point[CRYPTO_POINT])
{
    struct buf text;
    uint8_t der[256];
    mbedtls_pk_context pk;
    int r = CRYPTO_BAD;

    mbedtls_pk_init(&pk);
    buf_init(&text, 16384);
    if (pem.n >= 16384 || buf_add(&text, pem.p, pem.n) < 0)
        goto out;
    const char *terminated = buf_str(&text); /* PEM wants its NUL counted */
    if (mbedtls_pk_parse_public_key(&pk, (const unsigned char *)terminated, text.len + 1) != 0)
        goto out;
    int n = mbedtls_pk_write_pubkey_der(&pk, der, sizeof der); /* written at the end of der */
    if (n > 0)
        r = crypto_spki_point(BYTES(der + sizeof der - n, (size_t)n), ret_point);
out:
    mbedtls_pk_free(&pk);
    buf_done(&text);
    return r;
}

/* mbedTLS reads the subject as text, where a comma begins another attribute. */
static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._ ";

int csr_make(struct crypto_key *k, const char *cn, struct buf *ret)
{
    uint8_t der[SEC1_LEN];
    unsigned char pem[2048];
    char subject[80];
    mbedtls_pk_context pk;
    mbedtls_x509write_csr csr;

    int n = snprintf(subject, sizeof subject, "CN=%s", cn);
    if (n < 0 || (size_t)n >= sizeof subject || n == 3 || n > 3 + 64 || cn[strspn(cn, name_chars)] != '\0')
        return -EINVAL;
    mbedtls_pk_init(&pk);
    mbedtls_x509write_csr_init(&csr);
    int r = sec1(k, der);
    if (r == 0 && PK_PARSE(&pk, der, sizeof der) != 0)
        r = -EINVAL;
    mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
    mbedtls_x509write_csr_set_key(&csr, &pk);
    if (r == 0 && mbedtls_x509write_csr_set_subject_name(&csr, subject) != 0)
        r = -EINVAL;
    if (r == 0 && mbedtls_x509write_csr_pem(&csr, pem, sizeof pem, rng, NULL) != 0)
        r = -EIO;
    if (r == 0)
        r = buf_add(ret, pem, strlen((const char *)pem));
    mbedtls_x509write_csr_free(&csr);
    mbedtls_pk_free(&pk);
    crypto_wipe(der, sizeof der);
    return r;
}
