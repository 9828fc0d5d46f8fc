/* Whole small files. Replacing goes by write, fsync, rename, fsync of the folder: after a power cut there is the old
 * file or the new one. */
#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"

int file_read(const char *path, struct buf *ret)
{
    uint8_t chunk[4096];
    size_t before = ret->len;
    int fd CLEANUP(error_closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        int r = n < 0 ? -errno : buf_add(ret, chunk, (size_t)n);
        if (r < 0 || n == 0) {
            explicit_bzero(chunk, sizeof chunk); /* the file may have been a key */
            if (r < 0)
                ret->len = before;
            return r;
        }
    }
}

static int write_all(int fd, struct bytes data)
{
    while (data.n > 0) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data = BYTES(data.p + n, data.n - (size_t)n);
    }
    return 0;
}

static int parent_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return snprintf(ret, PATH_MAX, ".") < 0 ? -EINVAL : 0;
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    if (n >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, path, n);
    ret[n] = '\0';
    return 0;
}

int file_sync_dir(const char *path)
{
    int fd CLEANUP(error_closep) = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int replace(const char *path, struct bytes data, unsigned mode, bool durable)
{
    char tmp[PATH_MAX];
    char dir[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.new.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof tmp)
        return -ENAMETOOLONG;
    int r = parent_of(path, dir);
    if (r < 0)
        return r;
    int fd CLEANUP(error_closep) = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fchmod(fd, (mode_t)mode) < 0 ? -errno : write_all(fd, data);
    if (r == 0 && durable && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(tmp);
        return r;
    }
    return durable ? file_sync_dir(dir) : 0;
}

int file_write(const char *path, struct bytes data, unsigned mode)
{
    return replace(path, data, mode, true);
}

int file_write_volatile(const char *path, struct bytes data, unsigned mode)
{
    return replace(path, data, mode, false);
}

int file_mkdir(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0)
        return -EINVAL;
    if (len >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        bool last = path[i] == '\0' || path[i + 1] == '\0';
        if (mkdir(part, last ? (mode_t)mode : 0755) == 0) {
            if (chmod(part, last ? (mode_t)mode : 0755) < 0)
                return -errno;
        } else if (errno != EEXIST) {
            return -errno;
        }
        if (last)
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

bool file_volatile(const char *path)
{
    char at[PATH_MAX], up[PATH_MAX];
    struct statfs fs;
    if (str_copy(at, sizeof at, path) < 0)
        return false;
    while (statfs(at, &fs) < 0) {
        if (errno != ENOENT || strcmp(at, "/") == 0 || strcmp(at, ".") == 0 || parent_of(at, up) < 0)
            return false;
        memcpy(at, up, sizeof at);
    }
    return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int file_join(char *ret, size_t size, const char *dir, const char *name)
{
    size_t d = strlen(dir);
    size_t n = strlen(name);
    bool slash = d > 0 && dir[d - 1] != '/';
    if (d + slash + n >= size)
        return -ENAMETOOLONG;
    snprintf(ret, size, "%s%s%s", dir, slash ? "/" : "", name);
    return 0;
}

int file_lock(const char *path, int *ret_fd)
{
    int fd CLEANUP(error_closep) = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? FILE_LOCKED : -errno;
    *ret_fd = error_take_fd(&fd);
    return 0;
}
