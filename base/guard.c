/* See guard.h. */
#include "base/guard.h"

#include <setjmp.h>
#include <stdlib.h>

#include "base/log.h"

static _Thread_local jmp_buf *escape;

_Noreturn void __assert_fail(const char *text, const char *file, unsigned line, const char *function);

/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the C library's, taken over on purpose */
__attribute__((visibility("default"))) _Noreturn void __assert_fail(const char *text, const char *file, unsigned line,
                                                                    const char *function)
{
    log_error("assertion", "text=%s file=%s line=%u function=%s", log_q(text), log_q(file), line, log_q(function));
    if (escape == NULL)
        abort();
    jmp_buf *to = escape;
    escape = NULL;
    longjmp(*to, 1); /* NOLINT(cert-err52-cpp) */
}

int guard_call(void (*fn)(void *arg), void *arg)
{
    jmp_buf here;
    ASSERT(escape == NULL);
    if (setjmp(here) != 0) /* NOLINT(cert-err52-cpp) */
        return GUARD_FAILED;
    escape = &here;
    fn(arg);
    escape = NULL;
    return 0;
}
