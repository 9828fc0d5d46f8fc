/* The cursor on arbitrary bytes: whole items, and typed gets in an order that the input itself chooses. */
#include "wire/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void typed(struct cbor_r *r, uint8_t which)
{
    uint8_t fixed[16];

    switch (which % 9) {
    case 0:
        (void)cbor_get_uint(r, INT64_MAX);
        break;
    case 1:
        (void)cbor_get_int(r);
        break;
    case 2:
        (void)cbor_get_bytes(r, 1, 64);
        break;
    case 3:
        (void)cbor_get_text(r, 0, SIZE_MAX);
        break;
    case 4:
        (void)cbor_get_array(r, 0, SIZE_MAX);
        break;
    case 5:
        (void)cbor_get_map(r, SIZE_MAX);
        break;
    case 6:
        (void)cbor_get_bool(r);
        break;
    case 7:
        cbor_get_fixed(r, fixed, sizeof fixed);
        break;
    default:
        (void)cbor_get_any(r);
    }
    ASSERT(r->p <= r->end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cbor_r r = cbor_reader(BYTES(data, size));

    struct bytes item = cbor_get_any(&r);
    ASSERT(r.bad ? item.n == 0 : item.n > 0 && item.n <= size);
    if (size < 8)
        return 0;
    r = cbor_reader(BYTES(data + 8, size - 8));
    for (size_t i = 0; i < 8; i++)
        typed(&r, data[i]);
    return 0;
}
