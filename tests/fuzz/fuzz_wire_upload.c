/* Uploads and the segment header in them. An upload that is taken has no second spelling. */
#include "wire/upload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct upload u;
    struct buf b;
    struct seg s;

    if (crypto_init() != 0)
        return 0;
    (void)seg_parse(BYTES(data, size), &s);
    if (upload_decode(BYTES(data, size), &u) != 0)
        return 0;
    buf_init(&b, UPLOAD_MAX);
    ASSERT(upload_encode(u.seg_signed, u.first, u.recs, u.n, u.flags, &b) == 0);
    ASSERT(bytes_equal(buf_bytes(&b), BYTES(data, size)));
    buf_done(&b);
    (void)seg_parse(u.seg_signed, &s);
    return 0;
}
