/* Acks (docs/WIRE.md section 7): framing and MAC. What an ack changes is decided by the gateway's uplink. */
#include "wire/ack.h"

#include <string.h>

#include "wire/cbor.h"

#define UINT_MAX_WIRE ((uint64_t)INT64_MAX)
#define ACK_LABEL BYTES_STR("punch1 ack")
#define ITEM_MAX 72

static int mac_of(const uint8_t ack_key[ACK_KEY_LEN], const struct ack_item *item, uint8_t ret[ACK_MAC_LEN])
{
    uint8_t tmp[ITEM_MAX], full[CRYPTO_HASH];
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    cbor_put_array(&w, 4);
    cbor_put_bytes(&w, BYTES(item->segid, SEGID_LEN));
    cbor_put_uint(&w, item->epoch);
    cbor_put_int(&w, item->now);
    cbor_put_uint(&w, item->next);
    ASSERT(!w.bad);
    struct bytes parts[2] = {ACK_LABEL, BYTES(tmp, w.len)};
    int r = crypto_hmac(BYTES(ack_key, ACK_KEY_LEN), parts, 2, full);
    if (r == 0)
        memcpy(ret, full, ACK_MAC_LEN);
    crypto_wipe(full, sizeof full);
    return r;
}

int ack_mac(const uint8_t ack_key[ACK_KEY_LEN], struct ack_item *item)
{
    return mac_of(ack_key, item, item->mac);
}

int ack_check(const uint8_t ack_key[ACK_KEY_LEN], const struct ack_item *item)
{
    uint8_t mac[ACK_MAC_LEN];

    int r = mac_of(ack_key, item, mac);
    if (r == 0 && !crypto_equal(mac, item->mac, ACK_MAC_LEN))
        r = ACK_BAD;
    crypto_wipe(mac, sizeof mac); /* the right MAC of a forged item is worth having */
    return r;
}

int ack_encode(const struct ack *a, struct buf *ret)
{
    uint8_t tmp[ACK_MSG_MAX];
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    if (a->n < 1 || a->n > ACK_ITEMS_MAX)
        return -EINVAL;
    cbor_put_array(&w, 2);
    cbor_put_uint(&w, 1);
    cbor_put_array(&w, a->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct ack_item *it = &a->items[i];
        if (it->epoch > UINT_MAX_WIRE || it->next > SEG_RECORDS_MAX)
            return -EINVAL;
        cbor_put_array(&w, 5);
        cbor_put_bytes(&w, BYTES(it->segid, SEGID_LEN));
        cbor_put_uint(&w, it->epoch);
        cbor_put_int(&w, it->now);
        cbor_put_uint(&w, it->next);
        cbor_put_bytes(&w, BYTES(it->mac, ACK_MAC_LEN));
    }
    ASSERT(!w.bad);
    return buf_add(ret, tmp, w.len);
}

int ack_decode(struct bytes msg, struct ack *ret)
{
    struct ack a = {0};
    struct cbor_r r = cbor_reader(msg);

    if (msg.n > ACK_MSG_MAX)
        return ACK_BAD;
    cbor_get_array(&r, 2, 2);
    bool known = cbor_get_uint(&r, UINT_MAX_WIRE) == 1;
    a.n = cbor_get_array(&r, 1, ACK_ITEMS_MAX);
    for (size_t i = 0; i < a.n; i++) {
        struct ack_item *it = &a.items[i];
        cbor_get_array(&r, 5, 5);
        cbor_get_fixed(&r, it->segid, SEGID_LEN);
        it->epoch = cbor_get_uint(&r, UINT_MAX_WIRE);
        it->now = cbor_get_int(&r);
        it->next = cbor_get_uint(&r, SEG_RECORDS_MAX);
        cbor_get_fixed(&r, it->mac, ACK_MAC_LEN);
    }
    if (!known || !cbor_done(&r))
        return ACK_BAD;
    *ret = a;
    return 0;
}
