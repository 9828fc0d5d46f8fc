/* liboath allocates for each code. */
#include <stdint.h>

#include <liboath/oath.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, int, oath_hotp_generate,
     (const char *secret, size_t n, uint64_t step, unsigned digits, bool checksum, size_t offset, char *ret),
     (secret, n, step, digits, checksum, offset, ret), OATH_MALLOC_ERROR)
