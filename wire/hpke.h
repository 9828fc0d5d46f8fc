/* HPKE base mode (RFC 9180), DHKEM(P-256, HKDF-SHA256) / HKDF-SHA256 / AES-256-GCM. The pipeline uses Export only
 * (section 5.3); key and base nonce (section 5.2) are there for the official vectors. */
#pragma once

#include "base/crypto.h"

struct hpke {
    uint8_t key[32];
    uint8_t base_nonce[12];
    uint8_t exporter[32];
};
enum { HPKE_BAD = 1 };
/* Fresh ephemeral key. */
int hpke_sender(const uint8_t recipient[CRYPTO_POINT], struct bytes info, uint8_t ret_enc[CRYPTO_POINT],
                struct hpke *ret);
/* With a given ephemeral key: official vectors only. */
int hpke_sender_with(struct crypto_key *ephemeral, const uint8_t recipient[CRYPTO_POINT], struct bytes info,
                     uint8_t ret_enc[CRYPTO_POINT], struct hpke *ret);
int hpke_receiver(struct crypto_key *recipient, const uint8_t enc[CRYPTO_POINT], struct bytes info,
                  struct hpke *ret); /* HPKE_BAD */
/* context: at most 256 bytes, else -EINVAL. */
int hpke_export(const struct hpke *h, const char *context, uint8_t *ret, size_t n);
int hpke_export_bytes(const struct hpke *h, struct bytes context, uint8_t *ret, size_t n);
/* RFC 9180 section 7.1.3: DeriveKeyPair for P-256. */
int hpke_derive_key(struct bytes ikm, struct crypto_key **ret_key);
void hpke_wipe(struct hpke *h);
