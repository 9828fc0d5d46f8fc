/* Kill points for tests; empty without -DPUNCH_FAULT. */
#include "base/fault.h"

#ifdef PUNCH_FAULT
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault_kill(const char *point)
{
    static atomic_long passes;                     /* of any thread */
    const char *want = getenv("PUNCH_FAULT_KILL"); /* NOLINT(concurrency-mt-unsafe): nothing calls setenv */
    if (want == NULL)
        return;
    size_t n = strlen(point);
    if (strncmp(want, point, n) != 0 || want[n] != ':')
        return;
    if (atomic_fetch_add(&passes, 1) + 1 == strtol(want + n + 1, NULL, 10))
        kill(getpid(), SIGKILL);
}
#else
typedef int fault_is_compiled_out; /* ISO C wants a declaration */
#endif
