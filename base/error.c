/* The few functions behind base/error.h. */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void error_assert(const char *expr, const char *file, int line)
{
    fprintf(stderr, "bug: %s:%d: %s does not hold\n", file, line, expr);
    abort();
}

const char *error_str(int r)
{
    static _Thread_local char text[64];
    /* The GNU strerror_r: thread-safe, may return a constant instead of filling the buffer. */
    return strerror_r(r < 0 ? -r : r, text, sizeof text);
}

void error_freep(void *p)
{
    void **pp = p;
    free(*pp);
    *pp = NULL;
}

void error_closep(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}
