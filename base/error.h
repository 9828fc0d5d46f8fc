/* The error convention, once for the whole tree.
 *
 *   0          success
 *   negative   a negative errno: fatal for the operation, passed on unchanged
 *   positive   a documented outcome that the caller must handle (SPOOL_FULL, CONF_BAD, ...);
 *              each header lists its own
 *
 * Library folders (base, wire, readers) return; the daemons log, once, and say what they did about it.
 * ASSERT is for our own bugs and is never compiled out. Bytes from a reader, a broker, an HTTP client, a
 * configuration file or a database never reach one. Outputs are named ret_x, come last, and are untouched
 * on failure.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

_Noreturn void error_assert(const char *expr, const char *file, int line);
#define ASSERT(expr) ((expr) ? (void)0 : error_assert(#expr, __FILE__, __LINE__))

/* Text of a negative errno; thread-safe. */
const char *error_str(int r);

/* For CLEANUP on a heap pointer and on a descriptor (closed when >= 0, errno kept). */
void error_freep(void *p);
void error_closep(int *fd);
/* Hands a descriptor on: what CLEANUP(error_closep) would have closed belongs to the receiver now. */
static inline int error_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
