/* RFC 9180, base mode, the suite [0x0010, 0x0001, 0x0002] and no other. Section numbers below are the RFC's. */
#include "wire/hpke.h"

#include <string.h>

#define EXPAND_INFO_MAX 256
#define SCHEDULE_CONTEXT_LEN (1 + 2 * CRYPTO_HASH)
static const uint8_t kem_suite[5] = {'K', 'E', 'M', 0x00, 0x10};
static const uint8_t hpke_suite[10] = {'H', 'P', 'K', 'E', 0x00, 0x10, 0x00, 0x01, 0x00, 0x02};
#define KEM_SUITE BYTES(kem_suite, sizeof kem_suite)
#define HPKE_SUITE BYTES(hpke_suite, sizeof hpke_suite)
#define VERSION_LABEL BYTES_STR("HPKE-v1")

/* Section 4, LabeledExtract. HKDF-Extract is HMAC with the salt as key, so the labels need no copy beside the ikm. */
static int labeled_extract(struct bytes suite, struct bytes salt, const char *label, struct bytes ikm,
                           uint8_t ret[CRYPTO_HASH])
{
    static const uint8_t zeros[CRYPTO_HASH];
    struct bytes parts[] = {VERSION_LABEL, suite, BYTES_STR(label), ikm};

    return crypto_hmac(salt.n > 0 ? salt : BYTES(zeros, sizeof zeros), parts, ARRAY_LEN(parts), ret);
}

/* Section 4, LabeledExpand. -EINVAL for an info beyond EXPAND_INFO_MAX, which no caller of ours has. */
static int labeled_expand(struct bytes suite, const uint8_t prk[CRYPTO_HASH], const char *label, struct bytes info,
                          uint8_t *ret, size_t n)
{
    uint8_t len[2] = {(uint8_t)(n >> 8), (uint8_t)n}, all[64 + EXPAND_INFO_MAX];
    struct bytes parts[] = {BYTES(len, sizeof len), VERSION_LABEL, suite, BYTES_STR(label), info};
    size_t fill = 0;

    if (info.n > EXPAND_INFO_MAX)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n > 0)
            memcpy(all + fill, parts[i].p, parts[i].n);
        fill += parts[i].n;
    }
    return crypto_hkdf_expand(BYTES(prk, CRYPTO_HASH), BYTES(all, fill), ret, n);
}

/* Section 4.1, ExtractAndExpand over the DH result. */
static int kem_shared(const uint8_t dh[32], const uint8_t enc[CRYPTO_POINT], const uint8_t recipient[CRYPTO_POINT],
                      uint8_t ret[CRYPTO_HASH])
{
    uint8_t context[2 * CRYPTO_POINT], prk[CRYPTO_HASH];

    memcpy(context, enc, CRYPTO_POINT);
    memcpy(context + CRYPTO_POINT, recipient, CRYPTO_POINT);
    int r = labeled_extract(KEM_SUITE, BYTES_NONE, "eae_prk", BYTES(dh, 32), prk);
    if (r == 0)
        r = labeled_expand(KEM_SUITE, prk, "shared_secret", BYTES(context, sizeof context), ret, CRYPTO_HASH);
    crypto_wipe(prk, sizeof prk);
    return r;
}

/* Section 5.1, KeySchedule with mode_base, no psk. */
static int key_schedule(const uint8_t shared[CRYPTO_HASH], struct bytes info, struct hpke *ret)
{
    uint8_t context[SCHEDULE_CONTEXT_LEN] = {0}, secret[CRYPTO_HASH];
    struct bytes ctx = BYTES(context, sizeof context);
    struct hpke h = {0};

    int r = labeled_extract(HPKE_SUITE, BYTES_NONE, "psk_id_hash", BYTES_NONE, context + 1);
    if (r == 0)
        r = labeled_extract(HPKE_SUITE, BYTES_NONE, "info_hash", info, context + 1 + CRYPTO_HASH);
    if (r == 0)
        r = labeled_extract(HPKE_SUITE, BYTES(shared, CRYPTO_HASH), "secret", BYTES_NONE, secret);
    if (r == 0)
        r = labeled_expand(HPKE_SUITE, secret, "key", ctx, h.key, sizeof h.key);
    if (r == 0)
        r = labeled_expand(HPKE_SUITE, secret, "base_nonce", ctx, h.base_nonce, sizeof h.base_nonce);
    if (r == 0)
        r = labeled_expand(HPKE_SUITE, secret, "exp", ctx, h.exporter, sizeof h.exporter);
    if (r == 0)
        *ret = h;
    crypto_wipe(secret, sizeof secret);
    hpke_wipe(&h);
    return r;
}

/* Encap and Decap end alike: one side's private key with the other's point. */
static int setup(struct crypto_key *own, const uint8_t peer[CRYPTO_POINT], const uint8_t enc[CRYPTO_POINT],
                 const uint8_t recipient[CRYPTO_POINT], struct bytes info, struct hpke *ret)
{
    uint8_t dh[32], shared[CRYPTO_HASH];

    int r = crypto_ecdh(own, peer, dh);
    if (r == 0)
        r = kem_shared(dh, enc, recipient, shared);
    if (r == 0)
        r = key_schedule(shared, info, ret);
    crypto_wipe(dh, sizeof dh);
    crypto_wipe(shared, sizeof shared);
    return r == CRYPTO_BAD ? HPKE_BAD : r;
}

int hpke_sender_with(struct crypto_key *ephemeral, const uint8_t recipient[CRYPTO_POINT], struct bytes info,
                     uint8_t ret_enc[CRYPTO_POINT], struct hpke *ret)
{
    uint8_t enc[CRYPTO_POINT];

    int r = crypto_key_point(ephemeral, enc);
    if (r == 0)
        r = setup(ephemeral, recipient, enc, recipient, info, ret);
    if (r == 0)
        memcpy(ret_enc, enc, CRYPTO_POINT);
    return r;
}

int hpke_sender(const uint8_t recipient[CRYPTO_POINT], struct bytes info, uint8_t ret_enc[CRYPTO_POINT],
                struct hpke *ret)
{
    struct crypto_key *ephemeral;

    int r = crypto_key_new(CRYPTO_ECDH, &ephemeral);
    if (r != 0)
        return r;
    r = hpke_sender_with(ephemeral, recipient, info, ret_enc, ret);
    crypto_key_free(ephemeral);
    return r;
}

int hpke_receiver(struct crypto_key *recipient, const uint8_t enc[CRYPTO_POINT], struct bytes info, struct hpke *ret)
{
    uint8_t own[CRYPTO_POINT];

    int r = crypto_key_point(recipient, own);
    return r == 0 ? setup(recipient, enc, enc, own, info, ret) : r;
}

int hpke_export_bytes(const struct hpke *h, struct bytes context, uint8_t *ret, size_t n)
{
    return labeled_expand(HPKE_SUITE, h->exporter, "sec", context, ret, n);
}

int hpke_export(const struct hpke *h, const char *context, uint8_t *ret, size_t n)
{
    return hpke_export_bytes(h, BYTES_STR(context), ret, n);
}

int hpke_derive_key(struct bytes ikm, struct crypto_key **ret_key)
{
    uint8_t prk[CRYPTO_HASH], scalar[32];

    int r = labeled_extract(KEM_SUITE, BYTES_NONE, "dkp_prk", ikm, prk);
    /* A candidate is out of range with probability 2^-32; the RFC gives up after 256. */
    for (unsigned i = 0; r == 0; i++) {
        uint8_t counter = (uint8_t)i;
        r = labeled_expand(KEM_SUITE, prk, "candidate", BYTES(&counter, 1), scalar, sizeof scalar);
        if (r != 0)
            break;
        r = crypto_key_import(CRYPTO_ECDH, scalar, ret_key);
        if (r != CRYPTO_BAD)
            break;
        r = i == 255 ? -EINVAL : 0;
    }
    crypto_wipe(prk, sizeof prk);
    crypto_wipe(scalar, sizeof scalar);
    return r;
}

void hpke_wipe(struct hpke *h)
{
    crypto_wipe(h, sizeof *h);
}
