/* Enrolment files. First byte even: a file as it comes. Odd: a payload that is signed here and armoured, so that the
 * fuzzer gets behind the signature: of a bundle (1 mod 4) or of a request (3 mod 4). */
#include <string.h>

#include "wire/armour.h"
#include "wire/enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_key *key;
static uint8_t point[CRYPTO_POINT];
static struct bundle b;
static struct enrol_request q;

static void check_bundle(struct bytes text, const uint8_t *pinned)
{
    uint8_t root[CRYPTO_POINT];

    int r = bundle_read(text, pinned, &b, root);
    ASSERT(r == 0 || r == ENROL_BAD);
    if (r == 0)
        ASSERT(b.n_recipients >= 1 && b.n_recipients <= BUNDLE_RECIPIENTS_MAX && strlen(b.broker) < sizeof b.broker &&
               strlen(b.ca) < sizeof b.ca && strlen(b.tls_cert) < sizeof b.tls_cert);
}

static void check_request(struct bytes text)
{
    int r = enrol_request_read(text, &q);

    ASSERT(r == 0 || r == ENROL_BAD);
    if (r == 0)
        ASSERT(strlen(q.csr) < sizeof q.csr);
}

static void signed_payload(struct bytes payload, bool bundle)
{
    struct buf msg, text;

    buf_init(&msg, ENROL_FILE_MAX);
    buf_init(&text, (size_t)2 * ENROL_FILE_MAX);
    ASSERT(cose_sign(key, bundle ? COSE_AAD_BUNDLE : COSE_AAD_REQUEST, payload, &msg) == 0);
    ASSERT(armour_write(bundle ? "PUNCH BUNDLE" : "PUNCH REQUEST", buf_bytes(&msg), &text) == 0);
    if (bundle)
        check_bundle(buf_bytes(&text), point);
    else
        check_request(buf_bytes(&text));
    buf_done(&msg);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t scalar[32] = {[31] = 9};

    if (key == NULL &&
        (crypto_init() != 0 || crypto_key_import(CRYPTO_ECDSA, scalar, &key) != 0 || crypto_key_point(key, point) != 0))
        return 0;
    if (size < 1 || size > 32768)
        return 0;
    struct bytes rest = BYTES(data + 1, size - 1);
    if (data[0] % 2 == 0) {
        check_bundle(rest, NULL);
        check_bundle(rest, point);
        check_request(rest);
    } else {
        signed_payload(rest, data[0] % 4 == 1);
    }
    return 0;
}
