#include "daemon/row.h"

#include <string.h>

#include "base/be.h"
#include "base/crc32.h"

#define ROW_VERSION 1

static uint8_t *put(uint8_t *p, uint64_t v, size_t n)
{
    be_put(p, v, n);
    return p + n;
}

static uint8_t *put_mem(uint8_t *p, const void *from, size_t n)
{
    memcpy(p, from, n);
    return p + n;
}

static uint64_t get(const uint8_t **p, size_t n)
{
    uint64_t v = be_get(*p, n);
    *p += n;
    return v;
}

static void get_mem(const uint8_t **p, void *to, size_t n)
{
    memcpy(to, *p, n);
    *p += n;
}

void row_key_seg(uint64_t segno, uint8_t ret[ROW_KEY_SEG])
{
    put(ret, segno, 8);
}

void row_key_rec(uint64_t segno, uint64_t index, uint8_t ret[ROW_KEY_REC])
{
    put(put(ret, segno, 8), index, 4);
}

uint64_t row_u64(const uint8_t *p)
{
    return get(&p, 8);
}

void row_seal(struct bytes key, uint8_t *value, size_t n)
{
    put(value, crc32_of(key, BYTES(value + ROW_CRC, n - ROW_CRC)), ROW_CRC);
}

bool row_intact(struct bytes key, struct bytes value)
{
    if (value.n < ROW_CRC)
        return false;
    const uint8_t *p = value.p;
    return get(&p, ROW_CRC) == crc32_of(key, BYTES(value.p + ROW_CRC, value.n - ROW_CRC));
}

void row_put_seg(const struct spool_seg *s, uint8_t ret[ROW_SEG_LEN])
{
    uint8_t key[ROW_KEY_SEG], *p = ret + ROW_CRC;
    p = put(p, ROW_VERSION, 1);
    p = put_mem(p, s->id, SEGID_LEN);
    p = put_mem(p, s->ack_key, ACK_KEY_LEN);
    p = put_mem(p, s->rkid, RKID_LEN);
    p = put(p, s->records, 8);
    p = put(p, s->acked, 8);
    p = put(p, (uint64_t)s->closed | (uint64_t)s->trimming << 1, 8);
    p = put(p, (uint64_t)s->opened, 8);
    p = put(p, (uint64_t)s->done_at, 8);
    p = put(p, s->bytes, 8);
    p = put(p, s->n_holes, 1);
    for (unsigned i = 0; i < s->n_holes; i++)
        p = put(p, s->holes[i], 4);
    memset(p, 0, (size_t)(ret + ROW_SEG_LEN - p));
    row_key_seg(s->segno, key);
    row_seal(BYTES(key, sizeof(key)), ret, ROW_SEG_LEN);
}

int row_get_seg(struct bytes key, struct bytes value, struct spool_seg *ret)
{
    if (key.n != ROW_KEY_SEG || value.n != ROW_SEG_LEN || !row_intact(key, value))
        return ROW_BAD;
    struct spool_seg s = {.segno = row_u64(key.p)};
    const uint8_t *p = value.p + ROW_CRC;
    if (get(&p, 1) != ROW_VERSION)
        return ROW_BAD;
    get_mem(&p, s.id, SEGID_LEN);
    get_mem(&p, s.ack_key, ACK_KEY_LEN);
    get_mem(&p, s.rkid, RKID_LEN);
    s.records = get(&p, 8);
    s.acked = get(&p, 8);
    uint64_t flags = get(&p, 8);
    s.closed = flags & 1;
    s.trimming = flags >> 1 & 1;
    s.opened = (int64_t)get(&p, 8);
    s.done_at = (int64_t)get(&p, 8);
    s.bytes = get(&p, 8);
    s.n_holes = (unsigned)get(&p, 1);
    if (s.records > SEG_RECORDS_MAX || s.acked > s.records || s.n_holes > SPOOL_HOLES)
        return ROW_BAD;
    for (unsigned i = 0; i < s.n_holes; i++)
        s.holes[i] = (uint32_t)get(&p, 4);
    s.tx.high = s.records;
    *ret = s;
    return 0;
}

static const struct bytes meta_key = {.p = (const uint8_t *)"meta", .n = 4};

void row_put_meta(const struct spool_meta *m, uint8_t ret[ROW_META_LEN])
{
    uint8_t *p = ret + ROW_CRC;
    p = put(p, ROW_VERSION, 1);
    p = put_mem(p, m->gw, GW_LEN);
    p = put(p, m->gen, 8);
    p = put(p, m->next_gseq, 8);
    p = put(p, m->next_segno, 8);
    p = put_mem(p, m->prev, SEGID_LEN);
    p = put(p, m->prevlen, 8);
    p = put(p, m->epoch, 8);
    p = put(p, (uint64_t)m->cloud_now, 8);
    memset(p, 0, (size_t)(ret + ROW_META_LEN - p));
    row_seal(meta_key, ret, ROW_META_LEN);
}

int row_get_meta(struct bytes value, struct spool_meta *ret)
{
    if (value.n != ROW_META_LEN || !row_intact(meta_key, value))
        return ROW_BAD;
    const uint8_t *p = value.p + ROW_CRC;
    if (get(&p, 1) != ROW_VERSION)
        return ROW_BAD;
    get_mem(&p, ret->gw, GW_LEN);
    ret->gen = get(&p, 8);
    ret->next_gseq = get(&p, 8);
    ret->next_segno = get(&p, 8);
    get_mem(&p, ret->prev, SEGID_LEN);
    ret->prevlen = get(&p, 8);
    ret->epoch = get(&p, 8);
    ret->cloud_now = (int64_t)get(&p, 8);
    return 0;
}

void row_put_mark(const char *reader, const struct spool_mark *m, uint8_t ret[ROW_MARK_LEN])
{
    uint8_t *p = put_mem(put(ret + ROW_CRC, m->gseq, 8), m->hash, sizeof(m->hash));
    put_mem(put(p, m->mono, 8), m->boot, BOOT_LEN);
    row_seal(BYTES_STR(reader), ret, ROW_MARK_LEN);
}

int row_get_mark(const char *reader, struct bytes value, struct spool_mark *ret)
{
    if (value.n != ROW_MARK_LEN || !row_intact(BYTES_STR(reader), value))
        return ROW_BAD;
    const uint8_t *p = value.p + ROW_CRC;
    ret->gseq = get(&p, 8);
    get_mem(&p, ret->hash, sizeof(ret->hash));
    ret->mono = get(&p, 8);
    get_mem(&p, ret->boot, BOOT_LEN);
    return 0;
}
