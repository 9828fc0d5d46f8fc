/* The count, the place of a call, and what makes a cmocka test end at its first assertion after the fault. */
#include "tests/fault/strike.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

#define EXPORT __attribute__((visibility("default"), used))
#define FRAMES 24
#define SHOWN 8 /* frames of ours that make a place */

static const char *const kinds[STRIKE_KINDS] = {"alloc", "io", "lmdb", "sqlite", "other"};

static struct {
    pthread_mutex_t lock;
    bool counting, off, hit, promise;
    int kind;
    uint64_t at, pick, calls[STRIKE_KINDS];
    FILE *log;
    pid_t log_owner;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .kind = -1};

extern const char __executable_start, etext; /* the linker's */

/* Return addresses inside the program, from its start, so that they are the same in each run. */
static void write_place(enum strike_kind kind, const char *name)
{
    void *frames[FRAMES];
    char line[256];
    size_t n = (size_t)snprintf(line, sizeof line, "%s %s", kinds[kind], name), shown = 0;
    uintptr_t first = (uintptr_t)&__executable_start, last = (uintptr_t)&etext;
    int count = backtrace(frames, FRAMES);
    for (int i = 2; i < count && shown < SHOWN; i++) { /* not this one and strike_now() */
        uintptr_t a = (uintptr_t)frames[i];
        if (a < first || a >= last)
            continue;
        n += (size_t)snprintf(line + n, sizeof line - n, " %lx", (unsigned long)(a - first - 1));
        shown++;
    }
    fprintf(t.log, "%s\n", line);
}

bool strike_now(enum strike_kind kind, const char *name)
{
    int saved = errno;
    pthread_mutex_lock(&t.lock);
    uint64_t n = t.off ? 0 : ++t.calls[kind];
    bool hit = n != 0 && (int)kind == t.kind && n == t.at;
    t.hit = t.hit || hit;
    if (n != 0 && t.log != NULL && getpid() == t.log_owner && (t.counting || hit)) {
        write_place(kind, name);
        if (hit)
            fflush(t.log); /* it may be the last that this process does */
    }
    pthread_mutex_unlock(&t.lock);
    errno = saved;
    return hit;
}

bool strike_hit(void)
{
    pthread_mutex_lock(&t.lock);
    bool hit = t.hit;
    pthread_mutex_unlock(&t.lock);
    return hit;
}

unsigned strike_pick(unsigned n)
{
    return (unsigned)(t.pick % n);
}

int strike_errno(int a, int b)
{
    errno = strike_pick(2) == 0 ? a : b;
    return -1;
}

void strike_off(bool off)
{
    pthread_mutex_lock(&t.lock);
    t.off = off;
    pthread_mutex_unlock(&t.lock);
}

void strike_promise(void)
{
    t.promise = true;
}

static void *json_malloc(size_t n)
{
    return strike_now(STRIKE_ALLOC, "json") ? NULL : malloc(n);
}

__attribute__((weak)) void json_set_alloc_funcs(void *(*get)(size_t), void (*put)(void *));

__attribute__((constructor)) static void begin(void)
{
    const char *kind = getenv("PUNCH_FAIL_KIND"), *at = getenv("PUNCH_FAIL_AT"), *pick = getenv("PUNCH_FAIL_PICK");
    const char *log = getenv("PUNCH_FAIL_LOG");
    for (int i = 0; kind != NULL && i < STRIKE_KINDS; i++)
        if (strcmp(kind, kinds[i]) == 0)
            t.kind = i;
    if ((kind != NULL && t.kind < 0) || (at != NULL && str_u64(at, 1, UINT64_MAX, &t.at) != 0) ||
        (pick != NULL && str_u64(pick, 0, UINT64_MAX, &t.pick) != 0)) {
        fputs("fail: PUNCH_FAIL_KIND, _AT or _PICK is not understood\n", stderr);
        _exit(2);
    }
    t.counting = t.at == 0;
    if (log != NULL && (t.log = fopen(log, "ae")) == NULL) {
        perror(log);
        _exit(2);
    }
    t.log_owner = getpid();
    if (json_set_alloc_funcs != NULL)
        json_set_alloc_funcs(json_malloc, free);
}

__attribute__((destructor)) static void end(void)
{
    if (t.log != NULL && getpid() == t.log_owner)
        fclose(t.log);
}

/* What follows stands in front of the libraries' functions of the same names. */

/* cmocka's jumps over what the test would clean up and goes on with the next test. After the fault the process ends
 * instead: what it would say then is about the test, not about the code. */
EXPORT void _fail(const char *file, int line)
{
    if (t.promise) {
        fprintf(stderr, "torture: %s:%d: does not hold%s\n", file, line, strike_hit() ? " after the fault" : "");
        _exit(1);
    }
    if (strike_hit()) {
        fprintf(stderr, "strike: %s:%d: the test noticed\n", file, line);
        _exit(STRIKE_NOTICED);
    }
    union {
        void *p;
        void (*fn)(const char *, int);
    } real = {.p = dlsym(RTLD_NEXT, "_fail")};
    if (real.fn != NULL)
        real.fn(file, line);
    abort();
}

/* PUNCH_TEST=NAME: this test only; "?": their names. */
EXPORT int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *const tests, const size_t n,
                                   CMFixtureFunction setup, CMFixtureFunction teardown)
{
    const char *only = getenv("PUNCH_TEST");
    union {
        void *p;
        int (*fn)(const char *, const struct CMUnitTest *, size_t, CMFixtureFunction, CMFixtureFunction);
    } real = {.p = dlsym(RTLD_NEXT, "_cmocka_run_group_tests")};
    if (only == NULL)
        return real.fn(group, tests, n, setup, teardown);
    int r = 0;
    for (size_t i = 0; i < n; i++)
        if (strcmp(only, "?") == 0)
            puts(tests[i].name);
        else if (strcmp(only, tests[i].name) == 0)
            r = real.fn(group, &tests[i], 1, setup, teardown);
    return r;
}

/* Folders and files that a test will not remove itself any more are named for who started it (PUNCH_FAIL_MADE). */
static void made(const char *path)
{
    const char *list = getenv("PUNCH_FAIL_MADE");
    FILE *f = list != NULL && path != NULL ? fopen(list, "ae") : NULL;
    if (f != NULL) {
        fprintf(f, "%s\n", path);
        fclose(f);
    }
}

EXPORT char *mkdtemp(char *path)
{
    union {
        void *p;
        char *(*fn)(char *);
    } real = {.p = dlsym(RTLD_NEXT, "mkdtemp")};
    char *r = real.fn(path);
    made(r);
    return r;
}
