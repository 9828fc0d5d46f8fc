/* CRC-32 (ISO-HDLC, as in zlib): against torn writes and bit rot, not against anybody who writes. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* Of `a` followed by `b`. */
uint32_t crc32_of(struct bytes a, struct bytes b);
