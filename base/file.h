/* Whole small files and folders. Durable means: written beside, fsynced, renamed, the folder fsynced. */
#pragma once

#include "base/buf.h"

/* Appends the whole file to `ret` (within its max); -ENOENT, -ENOBUFS, ... */
int file_read(const char *path, struct buf *ret);
/* Durable replace; `mode` is applied whatever the umask. */
int file_write(const char *path, struct bytes data, unsigned mode);
/* Not durable, for /run. Still atomic. */
int file_write_volatile(const char *path, struct bytes data, unsigned mode);
int file_sync_dir(const char *path);
/* mkdir -p; only the last component gets `mode`, parents 0755. */
int file_mkdir(const char *path, unsigned mode);
bool file_exists(const char *path);
/* True when what is written there is gone with a power cut: tmpfs or ramfs (statfs(2)). False also when it cannot be
 * told; a path that is not there yet is judged by the nearest folder above it. */
bool file_volatile(const char *path);
/* Joins into `ret` (size bytes); -ENAMETOOLONG. */
int file_join(char *ret, size_t size, const char *dir, const char *name);
/* Opens and flock(2)s exclusively; FILE_LOCKED when another process holds it. The descriptor is the lock. */
enum { FILE_LOCKED = 1 };
int file_lock(const char *path, int *ret_fd);
