/* The bytes of the spool's rows: big-endian numbers, fixed sizes, a CRC-32 in front of each. Pure functions, no LMDB.
 */
#pragma once

#include "daemon/spool.h"

enum { ROW_BAD = 1 }; /* not the right length, a failed CRC, or numbers that contradict each other */

#define ROW_KEY_SEG 8
#define ROW_KEY_REC 12
#define ROW_SEG_LEN 182
#define ROW_META_LEN 93
#define ROW_MARK_LEN 68
#define ROW_CRC 4

void row_key_seg(uint64_t segno, uint8_t ret[ROW_KEY_SEG]);
void row_key_rec(uint64_t segno, uint64_t index, uint8_t ret[ROW_KEY_REC]);
uint64_t row_u64(const uint8_t *p);

/* Puts the CRC-32 of (key, value[4..]) into value[0..3]: a row cannot pass under another's key. */
void row_seal(struct bytes key, uint8_t *value, size_t n);
bool row_intact(struct bytes key, struct bytes value);

void row_put_seg(const struct spool_seg *s, uint8_t ret[ROW_SEG_LEN]);
int row_get_seg(struct bytes key, struct bytes value, struct spool_seg *ret); /* ROW_BAD */
void row_put_meta(const struct spool_meta *m, uint8_t ret[ROW_META_LEN]);
int row_get_meta(struct bytes value, struct spool_meta *ret); /* ROW_BAD */
void row_put_mark(const char *reader, const struct spool_mark *m, uint8_t ret[ROW_MARK_LEN]);
int row_get_mark(const char *reader, struct bytes value, struct spool_mark *ret); /* ROW_BAD */
