/* Leaves, heads, tags, commitments and checkpoints; see audit_form.h. */
#include "cloud/audit_form.h"

#include <string.h>

#include "base/str.h"
#include "wire/cbor.h"

#define FORM_VERSION 1
#define LEAF_MAX (16 + AUDIT_CORE_MAX + AUDIT_SUBJECTS * (AUDIT_TAG + 2) + AUDIT_DETAILS * (CRYPTO_HASH + 2))

int audit_form_genesis(const char *tenant, uint8_t ret_head[CRYPTO_HASH])
{
    uint8_t bytes[64];
    struct cbor_w w = CBOR_W(bytes, sizeof bytes);
    cbor_put_array(&w, 3);
    cbor_put_text(&w, AUDIT_COSE_AAD);
    cbor_put_uint(&w, FORM_VERSION);
    cbor_put_text(&w, tenant);
    return w.bad ? -ENOBUFS : crypto_sha256(BYTES(bytes, w.len), ret_head);
}

int audit_form_chain(uint8_t head[CRYPTO_HASH], const uint8_t leaf[CRYPTO_HASH])
{
    uint8_t both[2 * CRYPTO_HASH];
    memcpy(both, head, CRYPTO_HASH);
    memcpy(both + CRYPTO_HASH, leaf, CRYPTO_HASH);
    return crypto_sha256(BYTES(both, sizeof both), head);
}

int audit_form_tag(const uint8_t salt[AUDIT_SALT], const uint8_t person[ID_LEN], uint8_t ret_tag[AUDIT_TAG])
{
    uint8_t both[AUDIT_SALT + ID_LEN], hash[CRYPTO_HASH];
    memcpy(both, salt, AUDIT_SALT);
    memcpy(both + AUDIT_SALT, person, ID_LEN);
    int r = crypto_sha256(BYTES(both, sizeof both), hash);
    if (r == 0)
        memcpy(ret_tag, hash, AUDIT_TAG);
    return r;
}

int audit_form_commit(struct bytes salted, uint8_t ret_commitment[CRYPTO_HASH])
{
    return crypto_sha256(salted, ret_commitment);
}

int audit_form_leaf(const struct audit_parts *p, uint8_t ret_leaf[CRYPTO_HASH])
{
    uint8_t bytes[LEAF_MAX];
    struct cbor_w w = CBOR_W(bytes, sizeof bytes);
    if (p->core.n > AUDIT_CORE_MAX || p->n_whose > AUDIT_SUBJECTS || p->n_details > AUDIT_DETAILS)
        return -EINVAL;
    cbor_put_array(&w, 4);
    cbor_put_uint(&w, FORM_VERSION);
    cbor_put_bytes(&w, p->core);
    cbor_put_array(&w, p->n_whose);
    for (size_t i = 0; i < p->n_whose; i++)
        cbor_put_bytes(&w, BYTES(p->whose[i], AUDIT_TAG));
    cbor_put_array(&w, p->n_details);
    for (size_t i = 0; i < p->n_details; i++)
        cbor_put_bytes(&w, BYTES(p->details[i], CRYPTO_HASH));
    return w.bad ? -ENOBUFS : crypto_sha256(BYTES(bytes, w.len), ret_leaf);
}

bool audit_form_plain(const char *s)
{
    while (*s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\')
        s++;
    return *s == '\0';
}

int checkpoint_sign(const struct checkpoint *p, struct crypto_key *key, struct buf *ret_message)
{
    uint8_t bytes[CHECKPOINT_MAX];
    struct cbor_w w = CBOR_W(bytes, sizeof bytes);
    cbor_put_array(&w, 6);
    cbor_put_uint(&w, FORM_VERSION);
    cbor_put_text(&w, p->tenant);
    cbor_put_uint(&w, p->seq);
    cbor_put_bytes(&w, BYTES(p->head, CRYPTO_HASH));
    cbor_put_int(&w, p->time);
    cbor_put_uint(&w, p->epoch);
    return w.bad ? -ENOBUFS : cose_sign(key, AUDIT_COSE_AAD, BYTES(bytes, w.len), ret_message);
}

int checkpoint_read(struct bytes message, const uint8_t point[CRYPTO_POINT], struct checkpoint *ret)
{
    struct checkpoint p = {0};
    struct cose c;
    int r = message.n > CHECKPOINT_MAX ? COSE_BAD : cose_parse(message, &c);
    if (r != 0)
        return r < 0 ? r : CHECKPOINT_BAD;
    if (point != NULL && (r = cose_verify(&c, AUDIT_COSE_AAD, point)) != 0)
        return r < 0 ? r : CHECKPOINT_FORGED;
    struct cbor_r in = cbor_reader(c.payload);
    cbor_get_array(&in, 6, 6);
    uint64_t version = cbor_get_uint(&in, UINT32_MAX);
    struct bytes tenant = cbor_get_text(&in, 1, TENANT_MAX);
    p.seq = cbor_get_uint(&in, INT64_MAX);
    cbor_get_fixed(&in, p.head, sizeof p.head);
    p.time = cbor_get_int(&in);
    p.epoch = cbor_get_uint(&in, INT64_MAX);
    if (!cbor_done(&in) || version != FORM_VERSION)
        return CHECKPOINT_BAD;
    memcpy(p.tenant, tenant.p, tenant.n);
    *ret = p;
    return 0;
}
