#include "base/owner.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BUFFER 16384 /* of getpwuid_r(3); more than sysconf(3) asks for */

/* `ret` is root's where there is nothing to do. */
static int look(const char *dir, struct stat *ret)
{
    *ret = (struct stat){0};
    if (geteuid() != 0 || stat(dir, ret) == 0)
        return 0;
    return errno == ENOENT ? 0 : -errno;
}

/* A user without a name has its one group. */
static int take_groups(const struct stat *st)
{
    struct passwd p, *found = NULL;
    char *text = malloc(NAME_BUFFER);
    if (!text)
        return -ENOMEM;
    int r = -getpwuid_r(st->st_uid, &p, text, NAME_BUFFER, &found);
    if (r == 0)
        r = (found ? initgroups(found->pw_name, st->st_gid) : setgroups(1, &st->st_gid)) < 0 ? -errno : 0;
    free(text);
    return r;
}

static int become(const char *dir, bool stay)
{
    struct stat st;
    int r = look(dir, &st);
    if (r != 0 || st.st_uid == 0)
        return r;
    r = take_groups(&st);
    uid_t keep = stay ? st.st_uid : (uid_t)-1;
    gid_t keep_group = stay ? st.st_gid : (gid_t)-1;
    if (r == 0 && (setresgid(keep_group, st.st_gid, keep_group) < 0 || setresuid(keep, st.st_uid, keep) < 0))
        r = -errno;
    if (r != 0)
        (void)owner_return();
    return r;
}

int owner_become(const char *dir)
{
    return become(dir, false);
}

int owner_stay(const char *dir)
{
    return become(dir, true);
}

int owner_return(void)
{
    gid_t root = 0;
    if (getuid() != 0)
        return 0;
    return seteuid(0) < 0 || setegid(0) < 0 || setgroups(1, &root) < 0 ? -errno : 0;
}
