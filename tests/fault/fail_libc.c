/* Memory, threads, files and sockets. What the kernel never fails is left alone: see may_fail(). */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "tests/fault/strike.h"

#define ALLOC(type, name, params, args) FAIL(STRIKE_ALLOC, type, name, params, args, (errno = ENOMEM, (type)NULL))
#define IO(type, name, params, args, a, b) FAIL(STRIKE_IO, type, name, params, args, strike_errno(a, b))

ALLOC(void *, malloc, (size_t n), (n))
ALLOC(void *, calloc, (size_t n, size_t size), (n, size))
ALLOC(void *, realloc, (void *p, size_t n), (p, n))
ALLOC(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
ALLOC(char *, strdup, (const char *s), (s))

int fail_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
int fail_vasprintf(char **ret, const char *fmt, va_list ap)
{
    if (strike_now(STRIKE_ALLOC, "vasprintf"))
        return strike_errno(ENOMEM, ENOMEM); /* *ret is left undefined */
    return vasprintf(ret, fmt, ap);
}

int fail_asprintf(char **ret, const char *fmt, ...) PRINTF_LIKE(2, 3);
int fail_asprintf(char **ret, const char *fmt, ...)
{
    if (strike_now(STRIKE_ALLOC, "asprintf"))
        return strike_errno(ENOMEM, ENOMEM);
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(ret, fmt, ap);
    va_end(ap);
    return n;
}

FAIL(STRIKE_ALLOC, int, pthread_create, (pthread_t * p, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
     (p, a, fn, arg), EAGAIN)
FAIL(STRIKE_ALLOC, int, getaddrinfo,
     (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret),
     (node, service, hints, ret), EAI_MEMORY)
IO(pid_t, fork, (void), (), EAGAIN, ENOMEM)

IO(int, mkdir, (const char *path, mode_t mode), (path, mode), EIO, ENOSPC)
IO(int, mkostemp, (char *path, int flags), (path, flags), EMFILE, ENOSPC)
IO(int, fsync, (int fd), (fd), EIO, ENOSPC)
IO(int, ftruncate, (int fd, off_t n), (fd, n), EIO, EIO)
IO(int, rename, (const char *from, const char *to), (from, to), EIO, ENOSPC)
IO(int, unlink, (const char *path), (path), EIO, EROFS)
IO(int, chmod, (const char *path, mode_t mode), (path, mode), EIO, EROFS)
IO(int, fchmod, (int fd, mode_t mode), (fd, mode), EIO, EROFS)
IO(int, stat, (const char *path, struct stat *ret), (path, ret), EIO, ENOMEM)
IO(int, lstat, (const char *path, struct stat *ret), (path, ret), EIO, ENOMEM)
IO(int, fstat, (int fd, struct stat *ret), (fd, ret), EIO, EIO)
IO(int, access, (const char *path, int mode), (path, mode), EIO, ENOMEM)
IO(int, flock, (int fd, int op), (fd, op), ENOLCK, EINTR)
IO(int, dup2, (int from, int to), (from, to), EMFILE, EIO)

IO(int, eventfd, (unsigned n, int flags), (n, flags), EMFILE, ENOMEM)
IO(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), EMFILE, ENOMEM)
IO(int, timerfd_create, (int clock, int flags), (clock, flags), EMFILE, ENOMEM)
IO(int, epoll_create1, (int flags), (flags), EMFILE, ENOMEM)
IO(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e), ENOMEM, ENOSPC)
IO(int, epoll_wait, (int ep, struct epoll_event *e, int n, int ms), (ep, e, n, ms), EINTR, EINTR)

IO(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, ENOBUFS)
IO(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), EADDRINUSE, ENOMEM)
IO(int, listen, (int fd, int n), (fd, n), EADDRINUSE, EIO)
IO(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), ECONNREFUSED, ENETUNREACH)
IO(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), EMFILE, ECONNABORTED)
IO(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), EPIPE, ENOBUFS)
IO(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), ECONNRESET, EINTR)
IO(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n), (fd, level, name, p, n), ENOMEM, ENOBUFS)
IO(int, tcgetattr, (int fd, struct termios *ret), (fd, ret), EIO, EIO)
IO(int, tcsetattr, (int fd, int when, const struct termios *set), (fd, when, set), EIO, EINTR)

int fail_open(const char *path, int flags, ...);
int fail_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return strike_now(STRIKE_IO, "open") ? strike_errno(EMFILE, EIO) : open(path, flags, mode);
}

/* An eventfd, a timerfd or a signalfd (no type among the inode's) does not fail while it is open, and the code may
 * insist on that. */
static bool may_fail(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) != 0;
}

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t fail_read(int fd, void *p, size_t n);
ssize_t fail_read(int fd, void *p, size_t n)
{
    if (may_fail(fd) && strike_now(STRIKE_IO, "read"))
        return is_file(fd) ? strike_errno(EIO, EINTR) : strike_errno(EIO, EAGAIN);
    return read(fd, p, n);
}

/* A file's disk may also fill up in the middle. */
ssize_t fail_write(int fd, const void *p, size_t n);
ssize_t fail_write(int fd, const void *p, size_t n)
{
    if (may_fail(fd) && strike_now(STRIKE_IO, "write"))
        return strike_pick(3) == 2 && n > 1 ? write(fd, p, n / 2)
               : is_file(fd)                ? strike_errno(EIO, ENOSPC)
                                            : strike_errno(EIO, EAGAIN);
    return write(fd, p, n);
}

ssize_t fail_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t fail_pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (strike_now(STRIKE_IO, "pwrite"))
        return strike_pick(3) == 2 && n > 1 ? pwrite(fd, p, n / 2, at) : strike_errno(EIO, ENOSPC);
    return pwrite(fd, p, n, at);
}
