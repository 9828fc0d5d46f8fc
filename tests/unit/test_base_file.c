/* base/file.h, and the small neighbours that have no file of their own: error.h, clock.h, harden.h, memory.h, notify.h.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/harden.h"
#include "base/memory.h"
#include "base/notify.h"

struct place {
    char dir[32], path[64];
};

static int enter(void **state)
{
    static struct place p;
    snprintf(p.dir, sizeof p.dir, "/tmp/test_file.XXXXXX");
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/file", p.dir);
    *state = &p;
    return 0;
}

/* Removes the files, and fails when something else (a temporary one) was left. */
static int leave(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    return rmdir(p->dir);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void expect_content(const char *path, const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(file_read(path, &b), 0);
    assert_string_equal(buf_str(&b), text);
    buf_done(&b);
}

static void writes_and_replaces(void **state)
{
    struct place *p = *state;
    mode_t mask = umask(077);

    assert_false(file_exists(p->path));
    assert_int_equal(file_write(p->path, BYTES_STR("one"), 0644), 0);
    assert_true(file_exists(p->path));
    assert_int_equal(mode_of(p->path), 0644); /* whatever the umask */
    expect_content(p->path, "one");

    /* who has the old file open keeps the old text: it was replaced, not overwritten */
    int fd = open(p->path, O_RDONLY | O_CLOEXEC);
    char old[4] = "";
    assert_int_equal(file_write(p->path, BYTES_STR("longer"), 0600), 0);
    assert_int_equal(read(fd, old, 3), 3);
    assert_string_equal(old, "one");
    close(fd);
    expect_content(p->path, "longer");
    assert_int_equal(mode_of(p->path), 0600);

    assert_int_equal(file_write_volatile(p->path, BYTES_NONE, 0640), 0);
    expect_content(p->path, "");
    assert_int_equal(mode_of(p->path), 0640);
    umask(mask);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct place *p = *state;
    struct rlimit all, few;
    char gone[64];

    snprintf(gone, sizeof gone, "%s/none/file", p->dir);
    assert_int_equal(file_write(gone, BYTES_STR("x"), 0600), -ENOENT);
    assert_int_equal(file_write(p->path, BYTES_STR("precious"), 0600), 0);

    /* a disk that is full in the middle of the write */
    static uint8_t big[65536];
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    few = all;
    few.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    int r = file_write(p->path, BYTES(big, sizeof big), 0600);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(r, -EFBIG);
    expect_content(p->path, "precious"); /* and leave() sees that no temporary file stayed */

    /* a folder in the way */
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(file_write(p->path, BYTES_STR("x"), 0600), -EISDIR);
    assert_int_equal(rmdir(p->path), 0);
}

static void reads_within_bounds(void **state)
{
    struct place *p = *state;
    struct buf b;
    static uint8_t big[10000];

    buf_init(&b, 10002);
    assert_int_equal(file_read(p->path, &b), -ENOENT);
    assert_int_equal(file_read(p->dir, &b), -EISDIR);
    memset(big, 'z', sizeof big);
    assert_int_equal(file_write(p->path, BYTES(big, sizeof big), 0600), 0);
    assert_int_equal(buf_add(&b, "ab", 2), 0);
    assert_int_equal(file_read(p->path, &b), 0); /* appended, to the last byte of its max */
    assert_int_equal(b.len, 10002);
    assert_memory_equal(b.p, "abzz", 4);
    buf_reset(&b);
    assert_int_equal(buf_add(&b, "z", 1), 0);
    b.max = 10000;
    assert_int_equal(file_read(p->path, &b), -ENOBUFS);
    assert_int_equal(b.len, 1); /* what was there before is there */
    buf_done(&b);
}

static void makes_folders(void **state)
{
    struct place *p = *state;
    char a[64], abc[64];
    mode_t mask = umask(077);

    snprintf(a, sizeof a, "%s/a", p->dir);
    snprintf(abc, sizeof abc, "%s/a//b/c/", p->dir);
    assert_int_equal(file_mkdir(abc, 0750), 0);
    assert_int_equal(mode_of(abc), 0750);
    assert_int_equal(mode_of(a), 0755);
    assert_int_equal(file_mkdir(abc, 0700), 0); /* there already: not ours to change */
    assert_int_equal(mode_of(abc), 0750);
    assert_int_equal(file_mkdir("", 0700), -EINVAL);
    assert_int_equal(file_write(p->path, BYTES_NONE, 0600), 0);
    assert_int_equal(file_mkdir(p->path, 0700), -ENOTDIR);
    assert_int_equal(file_sync_dir(a), 0);
    assert_int_equal(file_sync_dir(p->path), -ENOTDIR);
    umask(mask);
    for (size_t n = strlen(abc); n > strlen(a) - 2; n--) {
        if (abc[n] && abc[n] != '/')
            continue;
        abc[n] = '\0';
        rmdir(abc);
    }
    assert_false(file_exists(a));
}

static void joins_paths(void **state)
{
    char out[10] = "old";

    assert_int_equal(file_join(out, sizeof out, "/a/b", "c"), 0);
    assert_string_equal(out, "/a/b/c");
    assert_int_equal(file_join(out, sizeof out, "/", "c"), 0);
    assert_string_equal(out, "/c");
    assert_int_equal(file_join(out, sizeof out, "", "c"), 0);
    assert_string_equal(out, "c");
    assert_int_equal(file_join(out, sizeof out, "/abcd", "efg"), 0);
    assert_string_equal(out, "/abcd/efg");
    assert_int_equal(file_join(out, sizeof out, "/abcd", "efgh"), -ENAMETOOLONG);
    assert_string_equal(out, "/abcd/efg");
}

static void locks_once(void **state)
{
    struct place *p = *state;
    int fd = -1, second = -1;

    assert_int_equal(file_lock(p->path, &fd), 0);
    assert_int_equal(file_lock(p->path, &second), FILE_LOCKED);
    assert_int_equal(second, -1);
    pid_t child = fork(); /* another process does not get it either, until we let go */
    if (child == 0)
        _exit(file_lock(p->path, &second) == FILE_LOCKED ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    error_closep(&fd);
    assert_int_equal(fd, -1);
    error_closep(&fd);
    assert_int_equal(file_lock(p->path, &fd), 0);
    error_closep(&fd);
    assert_int_equal(file_lock(p->dir, &fd), -EISDIR);
}

static void clocks_agree(void **state)
{
    int64_t real = 0, before = clock_real(), ms = clock_ms();
    uint64_t mono = 0, m0 = clock_mono();

    usleep(2000);
    clock_both(&real, &mono);
    assert_true(real >= before && real <= clock_real());
    assert_true(mono >= m0 + 1000 && mono <= clock_mono());
    assert_true(clock_ms() >= ms + 1);
    assert_true(real > 1600000000000000);

    uint8_t id[16] = {0}, again[16] = {0}, none[16] = {0};
    assert_int_equal(clock_boot_id(id), 0);
    assert_int_equal(clock_boot_id(again), 0);
    assert_memory_equal(id, again, 16);
    assert_true(memcmp(id, none, 16) != 0);
    setenv("PUNCH_BOOT_ID", "000102030405060708090a0b0c0d0e0f", 1);
    assert_int_equal(clock_boot_id(id), 0);
    assert_memory_equal(id, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
    setenv("PUNCH_BOOT_ID", "nonsense", 1);
    assert_int_equal(clock_boot_id(again), -EINVAL);
    unsetenv("PUNCH_BOOT_ID");

    bool synced;
    uint64_t error = 0;
    assert_int_equal(clock_sync(&synced, &error), 0);
}

static void a_hardened_process_cannot_be_read(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit core;
        bool good = harden_process() == 0 && prctl(PR_GET_DUMPABLE) == 0 && getrlimit(RLIMIT_CORE, &core) == 0 &&
                    core.rlim_cur == 0 && core.rlim_max == 0 && umask(0) == 077;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void an_assertion_says_where_and_dies(void **state)
{
    int fds[2], status;
    char text[256] = "";

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        prctl(PR_SET_DUMPABLE, 0);
        signal(SIGABRT, SIG_DFL);
        ASSERT(1 + 1 == 2);
        ASSERT(child == 1);
        _exit(0);
    }
    close(fds[1]);
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "child == 1"));
    assert_non_null(strstr(text, "test_base_file.c:"));
    assert_string_equal(error_str(-ENOENT), "No such file or directory");
    assert_true(strlen(error_str(-9999)) > 0);

    char *heap = malloc(3);
    error_freep(&heap);
    assert_null(heap);
    error_freep(&heap);
}

static void notifies_the_service_manager(void **state)
{
    struct place *p = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char text[256];

    unsetenv("NOTIFY_SOCKET");
    notify_ready("nobody listens");
    notify_watchdog();
    assert_int_equal(notify_watchdog_ms(), 0);

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(addr.sun_path, p->path, strlen(p->path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    setenv("NOTIFY_SOCKET", p->path, 1);
    static const char *const wants[] = {"READY=1", "STATUS=busy", "STOPPING=1", "WATCHDOG=1"};
    notify_ready("up");
    notify_status("busy");
    notify_stopping();
    notify_watchdog();
    for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        assert_non_null(strstr(text, wants[i]));
    }
    setenv("WATCHDOG_USEC", "30000000", 1);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_ms(), 15000);
    setenv("WATCHDOG_PID", "1", 1); /* another process' */
    assert_int_equal(notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

static void test_volatile(void **state)
{
    (void)state;
    assert_true(file_volatile("/dev/shm")); /* POSIX shared memory is a tmpfs on Linux */
    assert_true(file_volatile("/dev/shm/not-there/yet"));
    assert_false(file_volatile("/proc/self"));
}

/* What is given back must be what nobody wrote: changed data, also of the loader's tables, stays. */
static void memory_release_keeps_data(void **state)
{
    static int changed = 1;
    static char text[] = "as it was";
    char *heap = malloc(100000);
    (void)state;
    assert_non_null(heap);
    memset(heap, 'x', 100000);
    changed++;
    text[0] = 'A';
    memory_one_heap();
    memory_release();
    memory_release();
    assert_int_equal(changed, 2);
    assert_string_equal(text, "As it was");
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(heap[i], 'x');
    free(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_release_keeps_data),
        cmocka_unit_test_setup_teardown(writes_and_replaces, enter, leave),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_the_old_file, enter, leave),
        cmocka_unit_test_setup_teardown(reads_within_bounds, enter, leave),
        cmocka_unit_test_setup_teardown(makes_folders, enter, leave),
        cmocka_unit_test(test_volatile),
        cmocka_unit_test(joins_paths),
        cmocka_unit_test_setup_teardown(locks_once, enter, leave),
        cmocka_unit_test(clocks_agree),
        cmocka_unit_test(a_hardened_process_cannot_be_read),
        cmocka_unit_test(an_assertion_says_where_and_dies),
        cmocka_unit_test_setup_teardown(notifies_the_service_manager, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
