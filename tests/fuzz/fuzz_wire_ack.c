/* Acks: what is taken has no second spelling, and no item is valid under a key that the input does not know. */
#include "wire/ack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[ACK_KEY_LEN] = {0x5a, 0x17};
    static struct ack a;
    struct buf b;

    if (crypto_init() != 0 || ack_decode(BYTES(data, size), &a) != 0)
        return 0;
    buf_init(&b, ACK_MSG_MAX);
    ASSERT(ack_encode(&a, &b) == 0);
    ASSERT(bytes_equal(buf_bytes(&b), BYTES(data, size)));
    buf_done(&b);
    ASSERT(ack_check(key, &a.items[0]) == ACK_BAD);
    return 0;
}
