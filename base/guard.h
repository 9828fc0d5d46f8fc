/* A library's failed assertion costs the call, not the process. libmosquitto 2.0.11 (Debian 12) runs into an assert(3)
 * of its own when a broker sends a property that MQTT does not know, and a broker must not end us.
 *
 * guard_call() takes over the C library's __assert_fail for the calling thread while fn runs: the failed assertion is
 * logged and fn is left by longjmp(3). What fn and the library had in hand is lost (some kB), so after GUARD_FAILED the
 * caller only destroys the library's handle. Elsewhere, and in every other thread, a failed assertion aborts as ever;
 * our own ASSERT always does.
 */
#pragma once

#include "base/error.h"

enum { GUARD_FAILED = 1 };
/* Not to be nested. */
int guard_call(void (*fn)(void *arg), void *arg);
