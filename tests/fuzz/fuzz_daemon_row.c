/* Rows of the spool, as a worn card may give them back: the first byte says which kind, and whether the length and the
 * checksum are made to fit, so that the fuzzer gets behind them. What is taken can be written again, and reads the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "daemon/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seg(struct bytes key, struct bytes value)
{
    uint8_t again[ROW_SEG_LEN];
    struct spool_seg s = {0}, t = {0};
    int r = row_get_seg(key, value, &s);
    ASSERT(r == 0 || r == ROW_BAD);
    if (r != 0)
        return;
    ASSERT(s.acked <= s.records && s.records <= SEG_RECORDS_MAX && s.n_holes <= SPOOL_HOLES);
    row_put_seg(&s, again);
    ASSERT(row_get_seg(key, BYTES(again, sizeof again), &t) == 0);
    ASSERT(t.segno == s.segno && t.records == s.records && t.acked == s.acked && t.closed == s.closed &&
           t.n_holes == s.n_holes && memcmp(t.holes, s.holes, sizeof t.holes) == 0);
}

static void meta(struct bytes value)
{
    uint8_t again[ROW_META_LEN];
    struct spool_meta m = {0}, t = {0};
    if (row_get_meta(value, &m) != 0)
        return;
    row_put_meta(&m, again);
    ASSERT(row_get_meta(BYTES(again, sizeof again), &t) == 0);
    ASSERT(t.gen == m.gen && t.next_gseq == m.next_gseq && t.epoch == m.epoch && t.cloud_now == m.cloud_now);
}

static void mark(const char *reader, struct bytes value)
{
    uint8_t again[ROW_MARK_LEN];
    struct spool_mark m, t;
    if (row_get_mark(reader, value, &m) != 0)
        return;
    row_put_mark(reader, &m, again);
    ASSERT(row_get_mark(reader, BYTES(again, sizeof again), &t) == 0);
    ASSERT(t.gseq == m.gseq && memcmp(t.hash, m.hash, sizeof t.hash) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t lengths[] = {ROW_SEG_LEN, ROW_META_LEN, ROW_MARK_LEN};
    if (size < 1 + ROW_KEY_SEG)
        return 0;
    unsigned kind = data[0] % 3;
    bool fit = data[0] < 0xc0;
    struct bytes own = BYTES(data + 1, ROW_KEY_SEG), key = kind == 0 ? own : BYTES_STR(kind == 1 ? "meta" : "door");
    size_t n = size - 1 - ROW_KEY_SEG, len = fit ? lengths[kind] : n;
    uint8_t *value = calloc(1, len + 1);
    if (value == NULL)
        return 0;
    memcpy(value, data + 1 + ROW_KEY_SEG, n < len ? n : len);
    if (fit)
        row_seal(key, value, len);
    if (kind == 0)
        seg(key, BYTES(value, len));
    else if (kind == 1)
        meta(BYTES(value, len));
    else
        mark("door", BYTES(value, len));
    free(value);
    return 0;
}
