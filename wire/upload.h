/* An upload: a signed segment header and a run of its sealed records (design section 5). */
#pragma once

#include "wire/segment.h"

#define UPLOAD_MAX 65536u
#define UPLOAD_RECORDS_MAX 512
#define RECORD_SEALED_MIN (96 + 16)
#define RECORD_SEALED_MAX (1024 + 16)
enum upload_flags { UPLOAD_CLOSED = 1, UPLOAD_RESEND = 2 }; /* hints only */

/* Bytes of the upload around its records, at most; each record costs its length + 3. */
#define UPLOAD_OVERHEAD (SEG_SIGNED_MAX + 32)
int upload_encode(struct bytes seg_signed, uint64_t first, const struct bytes *recs, size_t n, unsigned flags,
                  struct buf *ret);

struct upload { /* slices borrow from the message */
    struct bytes seg_signed;
    uint64_t first;
    size_t n;
    struct bytes recs[UPLOAD_RECORDS_MAX];
    unsigned flags;
};
enum { UPLOAD_BAD = 1 };
int upload_decode(struct bytes msg, struct upload *ret);
