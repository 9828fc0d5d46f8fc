/* Armoured blocks of the files that people carry (docs/WIRE.md section 11): base64 between BEGIN and END lines. */
#pragma once

#include "base/buf.h"

enum { ARMOUR_ABSENT = 1, ARMOUR_BAD = 2 };

/* Appends a block. */
int armour_write(const char *label, struct bytes data, struct buf *ret_text);
/* Appends the content of the file's only block of that label. ARMOUR_ABSENT: none; ARMOUR_BAD: two of them, one
 * without an end, or not base64. -ENOBUFS, -ENOMEM. */
int armour_read(struct bytes text, const char *label, struct buf *ret_data);
