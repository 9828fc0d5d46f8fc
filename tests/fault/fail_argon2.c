/* libargon2 wants 64 MiB for each password. */
#include <argon2.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, int, argon2id_hash_raw,
     (uint32_t passes, uint32_t memory, uint32_t lanes, const void *text, size_t text_n, const void *salt,
      size_t salt_n, void *p, size_t n),
     (passes, memory, lanes, text, text_n, salt, salt_n, p, n), ARGON2_MEMORY_ALLOCATION_ERROR)
