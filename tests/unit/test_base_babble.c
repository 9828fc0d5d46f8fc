/* A real TCP connection: what was of use may come for ever, what was not has a bound, and what nobody read yet is no
 * babble. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/babble.h"

struct line {
    int ours, theirs;
    struct babble b;
};

static int setup(void **state)
{
    static struct line l;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &n), 0);
    l.theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(l.theirs, (struct sockaddr *)&a, sizeof a), 0);
    assert_true((l.ours = accept(s, NULL, NULL)) >= 0);
    close(s);
    babble_begin(&l.b);
    *state = &l;
    return 0;
}

static int teardown(void **state)
{
    struct line *l = *state;
    close(l->ours);
    close(l->theirs);
    return 0;
}

static void move(struct line *l, size_t n, bool read_it)
{
    static char data[65536];
    while (n > 0) {
        ssize_t k = send(l->theirs, data, n < sizeof data ? n : sizeof data, 0);
        assert_true(k > 0);
        n -= (size_t)k;
        for (ssize_t got = 0, more; read_it && got < k; got += more)
            assert_true((more = recv(l->ours, data, (size_t)(k - got), 0)) > 0);
    }
}

static void test_of_use(void **state)
{
    struct line *l = *state;
    for (int i = 0; i < 1000; i++) {
        move(l, 65536 + 200, true);
        babble_used(&l->b, 65536);
        assert_false(babble_over(&l->b, l->ours));
    }
}

static void test_of_no_use(void **state)
{
    struct line *l = *state;
    move(l, 1000000, true);
    assert_false(babble_over(&l->b, l->ours));
    move(l, 100000, true);
    assert_true(babble_over(&l->b, l->ours));
    babble_used(&l->b, 100000);
    assert_false(babble_over(&l->b, l->ours));
}

static void test_not_read_yet(void **state)
{
    struct line *l = *state;
    move(l, 1000000, true);
    move(l, 100000, false);
    assert_false(babble_over(&l->b, l->ours));
}

static void test_no_tcp(void **state)
{
    struct babble b;
    babble_begin(&b);
    assert_false(babble_over(&b, STDIN_FILENO));
    assert_false(babble_over(&b, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_of_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_of_no_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_read_yet, setup, teardown),
        cmocka_unit_test(test_no_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
