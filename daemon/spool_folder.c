/* The spool as a folder among others: is it there, and moving it aside. Nothing here looks inside. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "daemon/spool_impl.h"

static int parent_of(const char *dir, char ret[SPOOL_PATH])
{
    if ((size_t)snprintf(ret, SPOOL_PATH, "%s", dir) >= SPOOL_PATH)
        return -ENAMETOOLONG;
    char *slash = strrchr(ret, '/');
    if (!slash)
        memcpy(ret, ".", 2);
    else
        slash[slash == ret] = '\0'; /* keeps the root's slash */
    return 0;
}

bool spool_present(const char *dir)
{
    char file[SPOOL_PATH + 16];
    snprintf(file, sizeof(file), "%s/data.mdb", dir);
    return file_exists(file);
}

int spool_sync_parent(const char *dir)
{
    char parent[SPOOL_PATH];
    int r = parent_of(dir, parent);
    return r != 0 ? r : file_sync_dir(parent);
}

int spool_set_aside(const char *dir, const char *name, char *ret_name, size_t size)
{
    char parent[SPOOL_PATH], leaf[280], to[SPOOL_PATH + 300];
    int r = parent_of(dir, parent);
    if (r != 0)
        return r;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(leaf, sizeof(leaf), i ? "%.200s.%u" : "%.200s", name, i);
        snprintf(to, sizeof(to), "%s/%s", parent, leaf);
        if (file_exists(to))
            continue;
        if (rename(dir, to) != 0)
            return -errno;
        if (ret_name)
            snprintf(ret_name, size, "%s", leaf);
        return file_sync_dir(parent);
    }
    return -EEXIST;
}
