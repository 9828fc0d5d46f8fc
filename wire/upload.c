/* Uploads: the frame around a segment header and a run of its sealed records (docs/WIRE.md section 6). What is inside
 * is looked at by segment.c and record.c. */
#include "wire/upload.h"

#include <string.h>

#include "wire/cbor.h"

static bool sealed_len_valid(size_t n)
{
    return n >= RECORD_SEALED_MIN && n <= RECORD_SEALED_MAX && (n - CRYPTO_TAG) % 32 == 0;
}

static int add(struct buf *ret, const struct cbor_w *w)
{
    return buf_add(ret, w->p, w->len);
}

/* A bstr head and its body, straight into the buffer. Sizes here are below 65,536. */
static int add_bytes(struct buf *ret, struct bytes b)
{
    uint8_t head[3];
    size_t n = b.n < 24 ? 1 : b.n < 256 ? 2 : 3;

    head[0] = (uint8_t)(0x40 | (b.n < 24 ? b.n : b.n < 256 ? 24 : 25));
    if (n == 2)
        head[1] = (uint8_t)b.n;
    if (n == 3) {
        head[1] = (uint8_t)(b.n >> 8);
        head[2] = (uint8_t)b.n;
    }
    int r = buf_add(ret, head, n);
    return r == 0 ? buf_add(ret, b.p, b.n) : r;
}

static int encode(struct bytes seg_signed, uint64_t first, const struct bytes *recs, size_t n, unsigned flags,
                  struct buf *ret)
{
    uint8_t tmp[32];
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    cbor_put_array(&w, 4);
    int r = add(ret, &w);
    if (r == 0)
        r = add_bytes(ret, seg_signed);
    w.len = 0;
    cbor_put_uint(&w, first);
    cbor_put_array(&w, n);
    if (r == 0)
        r = add(ret, &w);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_bytes(ret, recs[i]);
    w.len = 0;
    cbor_put_uint(&w, flags);
    return r == 0 ? add(ret, &w) : r;
}

int upload_encode(struct bytes seg_signed, uint64_t first, const struct bytes *recs, size_t n, unsigned flags,
                  struct buf *ret)
{
    size_t start = ret->len, size = UPLOAD_OVERHEAD;

    if (seg_signed.n == 0 || seg_signed.n > SEG_SIGNED_MAX || n < 1 || n > UPLOAD_RECORDS_MAX ||
        first > SEG_RECORDS_MAX - n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!sealed_len_valid(recs[i].n))
            return -EINVAL;
        size += recs[i].n + 3;
    }
    /* A buffer that may not hold so much says so when it is full. */
    int r = size <= ret->max - ret->len ? buf_reserve(ret, size) : 0;
    if (r == 0)
        r = encode(seg_signed, first, recs, n, flags, ret);
    if (r == 0 && ret->len - start > UPLOAD_MAX)
        r = -ENOBUFS;
    if (r != 0)
        ret->len = start;
    return r;
}

int upload_decode(struct bytes msg, struct upload *ret)
{
    struct cbor_r r = cbor_reader(msg);

    if (msg.n > UPLOAD_MAX)
        return UPLOAD_BAD;
    cbor_get_array(&r, 4, 4);
    struct bytes seg = cbor_get_bytes(&r, 1, SEG_SIGNED_MAX);
    uint64_t first = cbor_get_uint(&r, SEG_RECORDS_MAX - 1);
    size_t n = cbor_get_array(&r, 1, UPLOAD_RECORDS_MAX);
    struct cbor_r recs = r;
    for (size_t i = 0; i < n; i++)
        if (!sealed_len_valid(cbor_get_bytes(&r, RECORD_SEALED_MIN, RECORD_SEALED_MAX).n))
            r.bad = true;
    uint64_t flags = cbor_get_uint(&r, UINT32_MAX);
    if (!cbor_done(&r) || first > SEG_RECORDS_MAX - n)
        return UPLOAD_BAD;

    /* walked twice, so that ret stays as it was until all is known to be good, without a second 8 KiB of slices */
    ret->seg_signed = seg;
    ret->first = first;
    ret->n = n;
    ret->flags = (unsigned)flags;
    for (size_t i = 0; i < n; i++)
        ret->recs[i] = cbor_get_bytes(&recs, RECORD_SEALED_MIN, RECORD_SEALED_MAX);
    return 0;
}
