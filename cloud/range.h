/* Address ranges (CIDR), for tokens that work from some places only. An IPv4 address and the same one mapped into IPv6
 * are one. */
#pragma once

#include <stdbool.h>

#define RANGE_TEXT_MAX 49 /* an IPv6 range with NUL */

/* Whether it is "192.0.2.0/24", "2001:db8::/32" or one address, with no bit set behind the prefix. */
bool range_valid(const char *range);
/* Whether the address (numeric text, no port) is in the range; one that cannot be read is in none. */
bool range_has(const char *range, const char *address);
