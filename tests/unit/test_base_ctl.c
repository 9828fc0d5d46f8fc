/* base/ctl.h, both ends: the daemon's loop runs in a thread of its own, the tests are its clients, by ctl_call() or by
 * a bare socket that behaves badly. What the daemon noticed it tells over the socket, too. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ctl.h"

#define BIG (10u << 20)

/* Everything below `path` belongs to the daemon's thread while it runs. */
struct daemon {
    char dir[32], path[64];
    pthread_t thread;
    bool joined;
    struct loop *loop;
    struct ctl *ctl;
    struct ctl_conn *kept; /* by "keep", for "finish" */
    unsigned closed;       /* calls of on_close */
    int flood;             /* what ctl_out() said to the flood */
};

static void on_close(void *arg, struct ctl_conn *c)
{
    struct daemon *d = arg;
    d->closed++;
}

static void cmd_args(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_out(c, "%d", argc);
    for (int i = 0; i < argc; i++)
        ctl_out(c, "[%s]", argv[i]);
    ctl_exit(c, 0);
}

static void cmd_both(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_out(c, "out");
    ctl_err(c, "err");
    ctl_out(c, "%s", "");
    ctl_exit(c, atoi(argv[1]));
}

static void cmd_big(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    char *text = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)('a' + i % 23);
    ctl_out_bytes(c, BYTES(text, BIG));
    free(text);
    ctl_exit(c, 0);
}

static void cmd_stream(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_on_close(c, on_close, d);
    ctl_out(c, "hello");
}

/* Talks to somebody who does not listen; bounded, so that a missing limit fails the test instead of the machine. */
static void cmd_flood(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    static const char line[1000];

    ctl_on_close(c, on_close, d);
    for (unsigned i = 0; i < 64000 && d->flood == 0; i++)
        d->flood = ctl_out_bytes(c, BYTES(line, sizeof line));
    if (ctl_out(c, "more") != d->flood) /* a closed connection stays closed, and is still there */
        d->flood = 0;
}

static void cmd_keep(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    d->kept = c;
    ctl_out(c, "kept");
}

static void cmd_finish(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    int r = ctl_out(d->kept, "late");
    ctl_exit(d->kept, 0);
    d->kept = NULL;
    ctl_out(c, "%s", r == 0 ? "alive" : r == -EPIPE ? "gone" : "?");
    ctl_exit(c, 0);
}

static void cmd_told(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_out(c, "closed %u flood %d", d->closed, d->flood == -EPIPE);
    ctl_exit(c, 0);
}

static void cmd_vanish(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_out(c, "half an ans");
    loop_stop(d->loop, 0);
}

static void cmd_stop(struct daemon *d, struct ctl_conn *c, int argc, char **argv)
{
    ctl_exit(c, 0);
    loop_stop(d->loop, 0);
}

static void handler(void *arg, struct ctl_conn *c, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(struct daemon *d, struct ctl_conn *c, int argc, char **argv);
    } cmds[] = {{"both", cmd_both},   {"big", cmd_big},       {"stream", cmd_stream},
                {"flood", cmd_flood}, {"keep", cmd_keep},     {"finish", cmd_finish},
                {"told", cmd_told},   {"vanish", cmd_vanish}, {"stop", cmd_stop}};

    for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
        if (strcmp(argv[0], cmds[i].name) == 0) {
            cmds[i].fn(arg, c, argc, argv);
            return;
        }
    }
    cmd_args(arg, c, argc, argv);
}

static void *daemon_thread(void *arg)
{
    struct daemon *d = arg;
    loop_run(d->loop);
    ctl_free(d->ctl);
    loop_free(d->loop);
    return NULL;
}

/* What ctl_call() printed, and its code; a negative errno as it is, CTL_ABSENT as 1000. */
struct said {
    int code;
    size_t n;
    char *out, err[256];
};

static int redirect(int fd, int *ret_kept)
{
    int f = memfd_create("said", MFD_CLOEXEC);
    assert_true(f >= 0);
    fflush(NULL);
    *ret_kept = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    assert_true(*ret_kept >= 0 && dup2(f, fd) == fd);
    return f;
}

static size_t restore(int fd, int kept, int f, char **ret_text)
{
    struct stat st;
    fflush(NULL);
    assert_int_equal(dup2(kept, fd), fd);
    close(kept);
    assert_int_equal(fstat(f, &st), 0);
    *ret_text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(*ret_text);
    assert_int_equal(pread(f, *ret_text, (size_t)st.st_size, 0), st.st_size);
    close(f);
    return (size_t)st.st_size;
}

static struct said call_n(const struct daemon *d, int argc, char **argv)
{
    struct said s = {.code = -1};
    int kept_out, kept_err;
    char *err = NULL;

    int out_fd = redirect(STDOUT_FILENO, &kept_out), err_fd = redirect(STDERR_FILENO, &kept_err);
    int r = ctl_call(d->path, argc, argv, &s.code);
    restore(STDERR_FILENO, kept_err, err_fd, &err);
    s.n = restore(STDOUT_FILENO, kept_out, out_fd, &s.out);
    snprintf(s.err, sizeof s.err, "%s", err);
    free(err);
    if (r != 0)
        s.code = r == CTL_ABSENT ? 1000 : r;
    return s;
}

static void expect(const struct daemon *d, const char *command, int code, const char *out, const char *err)
{
    char text[256], *argv[CTL_ARGS_MAX], *save = NULL;
    int argc = 0;

    snprintf(text, sizeof text, "%s", command);
    for (char *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
        argv[argc++] = s;
    struct said s = call_n(d, argc, argv);
    assert_string_equal(s.out, out);
    assert_string_equal(s.err, err);
    assert_int_equal(s.code, code);
    free(s.out);
}

/* Asks until the daemon's loop has got so far. */
static void expect_soon(const struct daemon *d, const char *command, const char *out)
{
    char *argv[] = {strdup(command)};
    bool same = false;

    for (int i = 0; i < 500 && !same; i++) {
        struct said s = call_n(d, 1, argv);
        same = strcmp(s.out, out) == 0;
        free(s.out);
        if (!same)
            usleep(10000);
    }
    free(argv[0]);
    if (!same)
        fail_msg("%s never said: %s", command, out);
}

static int bare(const struct daemon *d)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(addr.sun_path, d->path, strlen(d->path));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void expect_packet(int fd, const char *text, size_t n)
{
    char p[512];
    assert_int_equal(recv(fd, p, sizeof p, 0), n);
    assert_memory_equal(p, text, n);
}

static int start(void **state)
{
    struct daemon *d = calloc(1, sizeof *d);
    assert_non_null(d);
    snprintf(d->dir, sizeof d->dir, "/tmp/test_ctl.XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof d->path, "%s/sock", d->dir);
    assert_int_equal(loop_new(&d->loop), 0);
    assert_int_equal(ctl_listen(d->loop, d->path, 0620, handler, d, &d->ctl), 0);
    assert_int_equal(pthread_create(&d->thread, NULL, daemon_thread, d), 0);
    *state = d;
    return 0;
}

static int stop(void **state)
{
    struct daemon *d = *state;
    struct said s = call_n(d, 1, (char *[]){(char[]){"stop"}});
    if (s.code != 0) { /* one fault is no reason to wait for ever (tests/fault) */
        free(s.out);
        s = call_n(d, 1, (char *[]){(char[]){"stop"}});
    }
    free(s.out);
    if (!d->joined)
        pthread_join(d->thread, NULL);
    assert_int_not_equal(access(d->path, F_OK), 0); /* the socket is gone with its daemon */
    assert_int_equal(rmdir(d->dir), 0);
    free(d);
    return s.code == 0 || s.code == 1000 ? 0 : -1;
}

static void passes_arguments_and_answers(void **state)
{
    struct daemon *d = *state;
    struct stat st;

    expect(d, "a bc Tür", 0, "3[a][bc][Tür]", "");
    expect(d, "both 0", 0, "out", "err");
    expect(d, "both 3", 3, "out", "err");
    expect(d, "both 255", 255, "out", "err");
    struct said s = call_n(d, 4, (char *[]){(char[]){""}, (char[]){"x y\n"}, (char[]){""}, (char[]){""}});
    assert_string_equal(s.out, "4[][x y\n][][]");
    free(s.out);
    assert_int_equal(stat(d->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0620);
}

static void bounds_the_request(void **state)
{
    struct daemon *d = *state;
    char *argv[CTL_ARGS_MAX + 1], *big = malloc(CTL_REQUEST_MAX + 2);
    char word[] = "a";
    int code = 7;

    assert_non_null(big);
    memset(big, 'x', CTL_REQUEST_MAX + 2);
    for (int i = 0; i <= CTL_ARGS_MAX; i++)
        argv[i] = word;
    struct said s = call_n(d, CTL_ARGS_MAX, argv);
    assert_memory_equal(s.out, "32[a]", 5);
    free(s.out);
    assert_int_equal(ctl_call(d->path, CTL_ARGS_MAX + 1, argv, &code), -E2BIG);
    assert_int_equal(ctl_call(d->path, 0, argv, &code), -EINVAL);
    word[0] = '\0';
    assert_int_equal(ctl_call(d->path, 1, argv, &code), -EINVAL);
    argv[0] = big;
    big[CTL_REQUEST_MAX] = '\0';
    assert_int_equal(ctl_call(d->path, 1, argv, &code), -E2BIG);
    assert_int_equal(code, 7);
    big[CTL_REQUEST_MAX - 1] = '\0';
    s = call_n(d, 1, argv);
    assert_int_equal(s.code, 0);
    assert_int_equal(s.n, CTL_REQUEST_MAX - 1 + 3);
    free(s.out);

    /* the same from a client that is not ours */
    int fd = bare(d), size = 1 << 20;
    char many[2 * (CTL_ARGS_MAX + 1)] = {0};
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    memset(big, 'x', CTL_REQUEST_MAX + 1);
    assert_int_equal(send(fd, big, CTL_REQUEST_MAX + 1, 0), CTL_REQUEST_MAX + 1);
    expect_packet(fd, "ea request has at most 131072 bytes\n", 36);
    expect_packet(fd, "x\2", 2);
    expect_packet(fd, "", 0);
    close(fd);
    fd = bare(d);
    assert_int_equal(send(fd, many, CTL_ARGS_MAX, 0), CTL_ARGS_MAX); /* 32 NULs part 33 empty arguments */
    expect_packet(fd, "emore than 32 arguments\n", 24);
    expect_packet(fd, "x\2", 2);
    close(fd);
    fd = bare(d);
    assert_int_equal(send(fd, "", 0, 0), 0);
    expect_packet(fd, "", 0);
    close(fd);
    free(big);
}

static void carries_a_large_answer(void **state)
{
    struct daemon *d = *state;
    struct said s = call_n(d, 1, (char *[]){(char[]){"big"}});

    assert_int_equal(s.code, 0);
    assert_int_equal(s.n, BIG);
    for (size_t i = 0; i < BIG; i++)
        if (s.out[i] != (char)('a' + i % 23))
            fail_msg("byte %zu is wrong", i);
    free(s.out);

    /* a client that only begins to read when the daemon has long said everything */
    int fd = bare(d);
    size_t n = 0;
    uint8_t p[65536];
    assert_int_equal(send(fd, "big", 3, 0), 3);
    expect(d, "told", 0, "closed 0 flood 0", "");
    for (;;) {
        ssize_t got = recv(fd, p, sizeof p, 0);
        assert_true(got >= 2);
        if (p[0] == 'x')
            break;
        n += (size_t)got - 1;
    }
    assert_int_equal(n, BIG);
    close(fd);
}

static void drops_who_does_not_read(void **state)
{
    struct daemon *d = *state;
    int fd = bare(d);

    assert_int_equal(send(fd, "flood", 5, 0), 5);
    expect_soon(d, "told", "closed 1 flood 1");
    close(fd);
    expect(d, "told", 0, "closed 1 flood 1", "");
}

static void notices_who_leaves(void **state)
{
    struct daemon *d = *state;
    int fd = bare(d);

    assert_int_equal(send(fd, "stream", 6, 0), 6);
    expect_packet(fd, "ohello", 6);
    expect(d, "told", 0, "closed 0 flood 0", "");
    close(fd);
    expect_soon(d, "told", "closed 1 flood 0");

    fd = bare(d); /* a second word from a client ends the talk */
    assert_int_equal(send(fd, "stream", 6, 0), 6);
    expect_packet(fd, "ohello", 6);
    assert_int_equal(send(fd, "again", 5, 0), 5);
    expect_soon(d, "told", "closed 2 flood 0");
    close(fd);
    fd = bare(d); /* one that leaves without a word */
    close(fd);
    expect(d, "told", 0, "closed 2 flood 0", "");
}

static void hands_the_answer_over(void **state)
{
    struct daemon *d = *state;
    struct buf b;
    int code = -1;

    buf_init(&b, 64);
    buf_addf(&b, "it said: ");
    assert_int_equal(ctl_ask(d->path, 2, (char *[]){(char[]){"a"}, (char[]){"b c"}}, &b, &code), 0);
    assert_int_equal(code, 0);
    assert_string_equal(buf_str(&b), "it said: 2[a][b c]");
    code = 7;
    assert_int_equal(ctl_ask(d->path, 1, (char *[]){(char[]){"big"}}, &b, &code), -ENOBUFS);
    assert_int_equal(code, 7);
    buf_done(&b);
    expect(d, "a", 0, "1[a]", ""); /* that we left in the middle hurts nobody */
}

static void answers_later(void **state)
{
    struct daemon *d = *state;
    int fd = bare(d);

    assert_int_equal(send(fd, "keep", 4, 0), 4);
    expect_packet(fd, "okept", 5);
    expect(d, "finish", 0, "alive", "");
    expect_packet(fd, "olate", 5);
    expect_packet(fd, "x\0", 2);
    expect_packet(fd, "", 0);
    close(fd);

    /* the client left long ago: the handler's pointer is good until it says ctl_exit() */
    fd = bare(d);
    assert_int_equal(send(fd, "keep", 4, 0), 4);
    expect_packet(fd, "okept", 5);
    close(fd);
    expect(d, "a", 0, "1[a]", "");
    expect(d, "finish", 0, "gone", "");
}

static void takes_sixteen(void **state)
{
    struct daemon *d = *state;
    int fds[16];

    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = bare(d);
        assert_int_equal(send(fds[i], "stream", 6, 0), 6);
        expect_packet(fds[i], "ohello", 6);
    }
    for (int i = 0; i < 20; i++)
        expect(d, "a", 1, "", "the daemon is talking to too many others; try again\n");
    close(fds[0]);
    expect_soon(d, "told", "closed 1 flood 0");
    for (size_t i = 1; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    expect_soon(d, "told", "closed 16 flood 0");
}

static void says_when_the_daemon_dies(void **state)
{
    struct daemon *d = *state;

    expect(d, "vanish", -ECONNRESET, "half an ans", "");
    pthread_join(d->thread, NULL);
    d->joined = true;
    expect(d, "a", 1000, "", "");
}

static void listens_in_a_clean_place(void **state)
{
    struct daemon *d = *state;
    struct loop *l;
    struct ctl *ctl = NULL;
    char other[64], longest[200];

    assert_int_equal(loop_new(&l), 0);
    assert_int_equal(ctl_listen(l, d->path, 0600, handler, d, &ctl), -EADDRINUSE);
    expect(d, "a", 0, "1[a]", "");
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(ctl_listen(l, longest, 0600, handler, d, &ctl), -ENAMETOOLONG);
    snprintf(other, sizeof other, "%s/none/sock", d->dir);
    assert_int_equal(ctl_listen(l, other, 0600, handler, d, &ctl), -ENOENT);
    snprintf(other, sizeof other, "%s/file", d->dir);
    close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(ctl_listen(l, other, 0600, handler, d, &ctl), -EEXIST);
    assert_int_equal(unlink(other), 0);
    assert_null(ctl);

    /* what a killed daemon left */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct daemon at = {0};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    memcpy(addr.sun_path, other, strlen(other));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd);
    snprintf(at.path, sizeof at.path, "%s", other);
    expect(&at, "a", 1000, "", "");
    assert_int_equal(ctl_listen(l, other, 0600, handler, d, &ctl), 0);

    /* a successor's file is not ours to remove */
    assert_int_equal(unlink(other), 0);
    close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ctl_free(ctl);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(unlink(other), 0);
    loop_free(l);
    ctl_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_arguments_and_answers, start, stop),
        cmocka_unit_test_setup_teardown(bounds_the_request, start, stop),
        cmocka_unit_test_setup_teardown(carries_a_large_answer, start, stop),
        cmocka_unit_test_setup_teardown(drops_who_does_not_read, start, stop),
        cmocka_unit_test_setup_teardown(notices_who_leaves, start, stop),
        cmocka_unit_test_setup_teardown(hands_the_answer_over, start, stop),
        cmocka_unit_test_setup_teardown(answers_later, start, stop),
        cmocka_unit_test_setup_teardown(takes_sixteen, start, stop),
        cmocka_unit_test_setup_teardown(says_when_the_daemon_dies, start, stop),
        cmocka_unit_test_setup_teardown(listens_in_a_clean_place, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
