/* Root's work on another's folder; where the test is not run by root there is nothing to become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/owner.h"

#define NOBODY 65534

struct scratch {
    char dir[32], file[64], absent[64];
};

static void make(struct scratch *s)
{
    strcpy(s->dir, "/tmp/owner-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->file, sizeof(s->file), "%s/file", s->dir);
    snprintf(s->absent, sizeof(s->absent), "%s/absent", s->dir);
}

static void drop(struct scratch *s)
{
    unlink(s->file);
    assert_int_equal(rmdir(s->dir), 0);
}

static void test_nothing_to_do(void **state)
{
    struct scratch s;
    uid_t uid = geteuid();
    (void)state;
    make(&s);
    assert_int_equal(owner_become(s.dir), 0);
    assert_int_equal(owner_become(s.absent), 0);
    assert_int_equal(owner_stay(s.dir), 0);
    assert_int_equal(geteuid(), uid);
    assert_int_equal(owner_return(), 0);
    assert_int_equal(geteuid(), uid);
    drop(&s);
}

static void test_there_and_back(void **state)
{
    struct scratch s;
    struct stat st;
    gid_t groups[64];
    (void)state;
    if (geteuid() != 0)
        skip();
    make(&s);
    assert_int_equal(chown(s.dir, NOBODY, NOBODY), 0);
    assert_int_equal(owner_become(s.dir), 0);
    assert_int_equal(geteuid(), NOBODY);
    assert_int_equal(getegid(), NOBODY);
    int n = getgroups(64, groups);
    for (int i = 0; i < n; i++)
        assert_int_not_equal(groups[i], 0); /* none of root's */
    assert_int_equal(file_write(s.file, BYTES_STR("x"), 0600), 0);
    assert_int_equal(file_write("/etc/owner-test", BYTES_STR("x"), 0600), -EACCES);
    assert_int_equal(owner_return(), 0);
    assert_int_equal(geteuid(), 0);
    assert_int_equal(getegid(), 0);
    assert_int_equal(stat(s.file, &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    assert_int_equal(st.st_gid, NOBODY);
    drop(&s);
}

static void test_for_good(void **state)
{
    struct scratch s;
    (void)state;
    if (geteuid() != 0)
        skip();
    make(&s);
    assert_int_equal(chown(s.dir, NOBODY, NOBODY), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = owner_stay(s.dir) == 0 && getuid() == NOBODY && geteuid() == NOBODY && getegid() == NOBODY &&
                    owner_return() == 0 && geteuid() == NOBODY && seteuid(0) < 0 && setegid(0) < 0;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    drop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
