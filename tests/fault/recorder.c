#include "tests/fault/recorder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default"), used))

static struct {
    bool on, keep;
    dev_t dev;
    ino_t ino;
    struct rec_event *log;
    size_t n, cap;
    uint64_t countdown;
    enum rec_fault how;
    bool hit;
} rec;

static void die(const char *what)
{
    perror(what);
    abort();
}

void recorder_watch(const char *path, bool keep_log)
{
    struct stat st;
    if (stat(path, &st) != 0)
        die(path);
    rec.dev = st.st_dev;
    rec.ino = st.st_ino;
    rec.on = true;
    rec.keep = keep_log;
}

void recorder_stop(void)
{
    for (size_t i = 0; i < rec.n; i++)
        free(rec.log[i].data);
    free(rec.log);
    memset(&rec, 0, sizeof(rec));
}

size_t recorder_count(void)
{
    return rec.n;
}

const struct rec_event *recorder_at(size_t i)
{
    return &rec.log[i];
}

void recorder_fail(uint64_t k, enum rec_fault how)
{
    rec.countdown = k;
    rec.how = how;
    rec.hit = false;
}

bool recorder_failed(void)
{
    return rec.hit;
}

static void add(struct rec_event e)
{
    if (!rec.keep)
        return;
    if (rec.n == rec.cap) {
        rec.cap = rec.cap ? rec.cap * 2 : 1024;
        rec.log = realloc(rec.log, rec.cap * sizeof(*rec.log));
        if (!rec.log)
            die("realloc");
    }
    rec.log[rec.n++] = e;
}

void recorder_mark(uint64_t value)
{
    add((struct rec_event){.kind = REC_MARK, .mark = value});
}

static bool watched(int fd)
{
    struct stat st;
    return rec.on && fstat(fd, &st) == 0 && st.st_dev == rec.dev && st.st_ino == rec.ino;
}

/* True: this call is the one to fail. */
static bool strikes(void)
{
    if (rec.countdown == 0 || --rec.countdown > 0)
        return false;
    rec.hit = true;
    return true;
}

/* All writes end here: one piece at one offset; `seek`: the descriptor's own offset moves. */
static ssize_t do_write(int fd, const struct iovec *v, int cnt, off_t off, bool seek)
{
    size_t n = 0, at = 0;
    for (int i = 0; i < cnt; i++)
        n += v[i].iov_len;
    uint8_t *data = malloc(n ? n : 1);
    if (!data)
        die("malloc");
    for (int i = 0; i < cnt; i++) {
        memcpy(data + at, v[i].iov_base, v[i].iov_len);
        at += v[i].iov_len;
    }
    bool strike = strikes();
    size_t todo = !strike || rec.how == REC_FAIL_UNKNOWN ? n : rec.how == REC_FAIL_SHORT ? n / 2 : 0;
    ssize_t done = todo == 0 ? 0 : syscall(SYS_pwrite64, fd, data, todo, off);
    if (done > 0 && seek)
        (void)syscall(SYS_lseek, fd, off + done, SEEK_SET);
    int flags = fcntl(fd, F_GETFL);
    if (done > 0)
        add((struct rec_event){.kind = REC_WRITE,
                               .off = (uint64_t)off,
                               .n = (size_t)done,
                               .data = data,
                               .durable = (flags & (O_DSYNC | O_SYNC)) != 0});
    if (done <= 0 || !rec.keep)
        free(data);
    if (strike && rec.how != REC_FAIL_SHORT) {
        errno = rec.how == REC_FAIL_ENOSPC ? ENOSPC : EIO;
        return -1;
    }
    return done;
}

static int do_sync(long number, int fd)
{
    if (!watched(fd))
        return (int)syscall(number, fd);
    bool strike = strikes();
    if (!strike || rec.how == REC_FAIL_UNKNOWN) {
        if (syscall(number, fd) != 0)
            return -1;
        add((struct rec_event){.kind = REC_SYNC});
    }
    if (strike) {
        errno = EIO;
        return -1;
    }
    return 0;
}

/* libc declares the buffers non-null and const; the names below are libc's own. */
EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    if (!watched(fd))
        return syscall(SYS_pwrite64, fd, p, n, off);
    union {
        const void *c;
        void *v;
    } u = {.c = p};
    struct iovec v = {.iov_base = u.v, .iov_len = n};
    return do_write(fd, &v, 1, off, false);
}

EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off_t off)
{
    return pwrite(fd, p, n, off);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *v, int cnt, off_t off)
{
    if (!watched(fd))
        return syscall(SYS_pwritev, fd, v, (long)cnt, (long)off, 0L);
    return do_write(fd, v, cnt, off, false);
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int cnt)
{
    if (!watched(fd))
        return syscall(SYS_writev, fd, v, (long)cnt);
    return do_write(fd, v, cnt, lseek(fd, 0, SEEK_CUR), true);
}

EXPORT ssize_t write(int fd, const void *p, size_t n)
{
    if (!watched(fd))
        return syscall(SYS_write, fd, p, n);
    union {
        const void *c;
        void *v;
    } u = {.c = p};
    struct iovec v = {.iov_base = u.v, .iov_len = n};
    return do_write(fd, &v, 1, lseek(fd, 0, SEEK_CUR), true);
}

EXPORT int fsync(int fd)
{
    return do_sync(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd)
{
    return do_sync(SYS_fdatasync, fd);
}

/* A writable map would make writes that nobody sees here: the spool must not use one. */
EXPORT int msync(void *p, size_t n, int flags)
{
    if (rec.on) {
        fputs("recorder: msync while watching, this test sees no mapped writes\n", stderr);
        abort();
    }
    return (int)syscall(SYS_msync, p, n, flags);
}

EXPORT int ftruncate(int fd, off_t size)
{
    if (watched(fd))
        add((struct rec_event){.kind = REC_SIZE, .off = (uint64_t)size});
    return (int)syscall(SYS_ftruncate, fd, size);
}
