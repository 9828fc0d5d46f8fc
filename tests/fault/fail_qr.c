/* libqrencode says memory shortage by NULL and errno. */
#include <qrencode.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, QRcode *, QRcode_encodeString8bit, (const char *text, int version, QRecLevel level),
     (text, version, level), (errno = ENOMEM, NULL))
