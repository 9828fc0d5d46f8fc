/* Passwords: which are good enough, and their Argon2id hashes. The only file that includes argon2.h is password.c. */
#pragma once

#include "base/error.h"

#define PASSWORD_MIN 12  /* code points */
#define PASSWORD_MAX 128 /* the same; the longest is four times as many bytes */

enum password_fault {
    PASSWORD_SHORT = 1,
    PASSWORD_LONG,
    PASSWORD_CODING,  /* not UTF-8, or a control character */
    PASSWORD_KINDS,   /* a letter, a digit or a special character is missing */
    PASSWORD_COMMON,  /* one of the first that anybody tries, or little more */
    PASSWORD_PERSONAL /* holds a word that is known of its owner */
};
/* 0 or an enum password_fault. Both NULL-terminated; case and usual substitutions make no difference.
 * whole: login and company, as they are, from two characters on.
 * words: names and the like; each is taken apart at whatever is no letter or digit, and parts of fewer than four
 * characters do not count, because they are in too many words. */
int password_judge(const char *text, const char *const *whole, const char *const *words);
/* What is wrong, to follow the word "password". */
const char *password_fault_text(int fault);

/* What a hash costs; the settings' `passwords`. */
struct password_cost {
    uint32_t memory_kib, passes, lanes;
};
/* An Argon2id hash (RFC 9106, version 0x13) and what it takes to compare one with it. */
#define PASSWORD_SALT 16
#define PASSWORD_HASH 32
struct password_hash {
    struct password_cost cost;
    uint8_t salt[PASSWORD_SALT], hash[PASSWORD_HASH];
};
/* These two take as long as the cost says: never on a thread that has other requests to answer. */
int password_make(const struct password_cost *cost, const char *text, struct password_hash *ret);
/* PASSWORD_WRONG. Who has no hash is compared with one of zeros, which takes as long. */
enum { PASSWORD_WRONG = 1 };
int password_check(const struct password_hash *h, const char *text);
/* It was made at another cost, so it is made anew at the next login. */
bool password_aged(const struct password_hash *h, const struct password_cost *cost);
/* How many times Argon2 ran since the start. */
uint64_t password_runs(void);
