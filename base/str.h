/* Text helpers: numbers with range and end checks, hex, base64url, bounded copies. */
#pragma once

#include "base/buf.h"

/* Decimal digits only, the whole string, min <= value <= max; -EINVAL, -ERANGE. */
int str_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_v);
/* `ret` has room for 2n+1; lower case. Returns ret. */
char *str_hex(const void *p, size_t n, char *ret);
char *str_hex_upper(const void *p, size_t n, char *ret);
/* Value of one hex digit, either case; -1 for any other character. */
int str_nibble(char c);
/* Exactly n bytes from exactly 2n hex digits, either case; -EINVAL. */
int str_unhex(const char *s, void *ret, size_t n);
/* Any even number of digits up to 2*max; *ret_n bytes. -EINVAL, -ENOBUFS. */
int str_unhex_any(const char *s, void *ret, size_t max, size_t *ret_n);
/* base64url without padding (RFC 4648 section 5). `ret` has room for str_b64url_len(n)+1. */
size_t str_b64url_len(size_t n);
char *str_b64url(const void *p, size_t n, char *ret);
int str_unb64url(const char *s, size_t len, void *ret, size_t max, size_t *ret_n);
/* Copies with NUL; -ENOBUFS when it does not fit (ret untouched). */
int str_copy(char *ret, size_t size, const char *s);
bool str_starts(const char *s, const char *prefix);
/* UTC, RFC 3339 with microseconds: 2026-11-23T07:15:00.123456Z; ret has room for 32. */
char *str_time(int64_t us, char *ret);
/* RFC 3339 with Z or an offset, seconds with up to 6 decimals, or a bare date (midnight UTC); -EINVAL. */
int str_untime(const char *s, int64_t *ret_us);
