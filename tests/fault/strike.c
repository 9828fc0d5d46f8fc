/* The place of a call, and what makes a cmocka test end at its first assertion after the fault. */
#include "tests/fault/strike.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

#define EXPORT __attribute__((visibility("default"), used))
#define FRAMES 24
#define SHOWN 8 /* frames of ours that make a place */
#define LINE 256
#define TEXT_MAX (16 << 20)

/* The log is shared memory: a test may forbid large files, fork, or be killed. */
struct log {
    _Atomic uint64_t used;
    char text[TEXT_MAX];
};

static const char *const kinds[STRIKE_KINDS] = {"alloc", "io", "lmdb", "sqlite", "other"};

static struct {
    pthread_mutex_t lock;
    bool off, hit, promise;
    const char *place; /* where to fail; NULL: name the places */
    uint64_t at, pick, calls, seen[1 << 16];
    struct log *log;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .at = 1};

extern const char __executable_start, etext; /* the linker's */

/* The call, and return addresses inside the program, from its start, so that they are the same in each run. */
static __attribute__((noinline)) size_t place_of(enum strike_kind kind, const char *name, char line[LINE])
{
    void *frames[FRAMES];
    size_t n = (size_t)snprintf(line, LINE, "%s %s", kinds[kind], name), shown = 0;
    uintptr_t first = (uintptr_t)&__executable_start, last = (uintptr_t)&etext;
    int count = backtrace(frames, FRAMES);
    for (int i = 2; i < count && shown < SHOWN; i++) { /* not this one and strike_now() */
        uintptr_t a = (uintptr_t)frames[i];
        if (a < first || a >= last)
            continue;
        n += (size_t)snprintf(line + n, LINE - n, " %lx", (unsigned long)(a - first - 1));
        shown++;
    }
    return n;
}

static bool is_new(const char *line, size_t n)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < ARRAY_LEN(t.seen); i++) {
        uint64_t *at = &t.seen[(hash + i) % ARRAY_LEN(t.seen)];
        if (*at == hash)
            return false;
        if (*at == 0) {
            *at = hash;
            return true;
        }
    }
    abort(); /* more places than the table has room for */
}

static void tell(char line[LINE], size_t n)
{
    line[n] = '\n';
    if (t.log == NULL)
        return;
    uint64_t at = atomic_fetch_add(&t.log->used, n + 1);
    if (at + n >= TEXT_MAX)
        abort();
    memcpy(t.log->text + at, line, n + 1);
}

/* Taking the stack of each call would be slow: see first whether this can be the one. */
static bool can_be(enum strike_kind kind, const char *name)
{
    size_t k = strlen(kinds[kind]), n = strlen(name);
    return t.place == NULL ? t.log != NULL
                           : !t.hit && strncmp(t.place, kinds[kind], k) == 0 && strncmp(t.place + k + 1, name, n) == 0;
}

bool strike_now(enum strike_kind kind, const char *name)
{
    int saved = errno;
    char line[LINE];
    pthread_mutex_lock(&t.lock);
    bool may = !t.off && can_be(kind, name);
    size_t n = may ? place_of(kind, name, line) : 0;
    bool hit = may && t.place != NULL && strcmp(line, t.place) == 0 && ++t.calls == t.at;
    t.hit = t.hit || hit;
    if (hit || (may && t.place == NULL && is_new(line, n)))
        tell(line, n);
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
    if (!strike_now(STRIKE_ALLOC, "json"))
        return malloc(n);
    errno = ENOMEM;
    return NULL;
}

__attribute__((weak)) void json_set_alloc_funcs(void *(*get)(size_t), void (*put)(void *));

static struct log *map_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p = fd >= 0 && ftruncate(fd, sizeof(struct log)) == 0
                  ? mmap(NULL, sizeof(struct log), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                  : MAP_FAILED;
    if (p == MAP_FAILED) {
        perror(path);
        _exit(2);
    }
    close(fd);
    return p;
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("PUNCH_FAIL_AT"), *pick = getenv("PUNCH_FAIL_PICK"), *log = getenv("PUNCH_FAIL_LOG");
    t.place = getenv("PUNCH_FAIL_PLACE");
    if ((at != NULL && str_u64(at, 1, UINT64_MAX, &t.at) != 0) ||
        (pick != NULL && str_u64(pick, 0, UINT64_MAX, &t.pick) != 0)) {
        fputs("fail: PUNCH_FAIL_AT or _PICK is not understood\n", stderr);
        _exit(2);
    }
    if (log != NULL)
        t.log = map_log(log);
    unsetenv("PUNCH_FAIL_LOG"); /* what the test starts is not struck: it may wait for that one's answer */
    unsetenv("PUNCH_FAIL_PLACE");
    if (json_set_alloc_funcs != NULL)
        json_set_alloc_funcs(json_malloc, free);
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

EXPORT int mkstemp(char *path)
{
    union {
        void *p;
        int (*fn)(char *);
    } real = {.p = dlsym(RTLD_NEXT, "mkstemp")};
    int fd = real.fn(path);
    made(path);
    return fd;
}

/* Nobody cuts the power here, and waiting for the disk is most of a run. The libraries' syncs end here, too. */
EXPORT int fsync(int fd)
{
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

EXPORT int fdatasync(int fd)
{
    return fsync(fd);
}
