/* The second factor: time-based codes (RFC 6238: SHA-1, 30 s, six digits, as every authenticator knows them) and
 * recovery codes. The only file that includes liboath/oath.h is totp.c. */
#pragma once

#include "base/crypto.h"

#define TOTP_SECRET 20 /* bytes; RFC 4226 section 4 recommends 160 bits */
#define TOTP_DIGITS 6
#define TOTP_PERIOD 30 /* s */
#define TOTP_BASE32_MAX 40
#define TOTP_URI_MAX 512

int totp_draw(uint8_t ret_secret[TOTP_SECRET]);
/* The code of a step (seconds since 1970 / TOTP_PERIOD). */
int totp_code(const uint8_t secret[TOTP_SECRET], uint64_t step, char ret[TOTP_DIGITS + 1]);
/* Whether `code` is that of the step of `now` (us) or of one beside it, and later than `last`, the step that was
 * accepted last: *ret_step is the accepted one, to be kept in its place. TOTP_WRONG. */
enum { TOTP_WRONG = 1 };
int totp_check(const uint8_t secret[TOTP_SECRET], const char *code, int64_t now, uint64_t last, uint64_t *ret_step);

void totp_base32(const uint8_t secret[TOTP_SECRET], char ret[TOTP_BASE32_MAX]);
/* otpauth://totp/ISSUER:LOGIN?... as authenticators read it. -ENOBUFS. */
int totp_uri(const uint8_t secret[TOTP_SECRET], const char *issuer, const char *login, char ret[TOTP_URI_MAX]);

/* A recovery code is 80 random bits, in base 32 without what is easily mistaken: XXXX-XXXX-XXXX-XXXX. */
#define RECOVERY_CODES 10
#define RECOVERY_TEXT 20 /* with NUL */
#define RECOVERY_HASH 16
int recovery_draw(char ret_text[RECOVERY_TEXT], uint8_t ret_hash[RECOVERY_HASH]);
/* Of what a person typed: case, blanks and hyphens make no difference. RECOVERY_BAD: no recovery code looks so. */
enum { RECOVERY_BAD = 1 };
int recovery_hash(const char *text, uint8_t ret_hash[RECOVERY_HASH]);
