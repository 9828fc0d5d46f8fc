/* Text as a QR code (ISO/IEC 18004), drawn as SVG. The only file that includes qrencode.h is qr.c. */
#pragma once

#include "base/buf.h"

/* Appends an image of one unit a module with the quiet zone of four around it. -EINVAL: too long a text. */
int qr_svg(const char *text, struct buf *ret_svg);
