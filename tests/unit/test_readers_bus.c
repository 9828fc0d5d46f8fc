/* The serial port on a pty, and the bus worker: opening for ever, fair turns, answers, stopping in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/ascii125.h"
#include "readers/bus.h"
#include "readers/port.h"

/* ---- a pty whose name stays, as udev keeps it ---- */

struct line {
    char dir[32], path[64];
    int master;
};

static void line_plug(struct line *l)
{
    l->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(l->master >= 0);
    assert_int_equal(grantpt(l->master), 0);
    assert_int_equal(unlockpt(l->master), 0);
    unlink(l->path);
    char name[64];
    assert_int_equal(ptsname_r(l->master, name, sizeof(name)), 0);
    assert_int_equal(symlink(name, l->path), 0);
}

static void line_unplug(struct line *l)
{
    unlink(l->path); /* before its number can be somebody else's */
    close(l->master);
}

static void line_new(struct line *l)
{
    *l = (struct line){.dir = "/tmp/readers-XXXXXX"};
    assert_non_null(mkdtemp(l->dir));
    snprintf(l->path, sizeof(l->path), "%s/tty", l->dir);
    line_plug(l);
}

static void line_free(struct line *l)
{
    line_unplug(l);
    rmdir(l->dir);
}

/* ---- port ---- */

static void port_is_raw_both_ways(void **state)
{
    struct line l;
    int fd = -1;
    enum port_rs485 rs485 = PORT_RS485_ON;
    uint8_t all[256], got[256];

    line_new(&l);
    struct port_settings s = {.serial = l.path, .baud = 19200, .frame = PORT_8E1, .rs485 = true};
    assert_int_equal(port_open(&s, &fd, &rs485), 0);
    assert_int_equal(rs485, PORT_RS485_UNKNOWN); /* a pty has no transmitter: skipped, and said so */
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    assert_int_equal(write(l.master, all, 256), 256);
    assert_int_equal(read(fd, got, 256), 256);
    assert_memory_equal(got, all, 256);
    assert_int_equal(write(fd, all, 256), 256);
    assert_int_equal(read(l.master, got, 256), 256);
    assert_memory_equal(got, all, 256);
    assert_int_equal(read(fd, got, 1), -1); /* nothing there is not the end */
    assert_int_equal(errno, EAGAIN);

    struct termios t;
    assert_int_equal(tcgetattr(fd, &t), 0);
    assert_int_equal(cfgetispeed(&t), B19200);
    assert_int_equal(cfgetospeed(&t), B19200);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    line_free(&l);
}

/* What was sent while nobody listened is not a read of now. */
static void port_forgets_what_came_before(void **state)
{
    struct line l;
    int fd = -1;
    enum port_rs485 rs485;
    char c;

    line_new(&l);
    struct port_settings s = {.serial = l.path, .baud = 9600};
    int keep = open(l.path, O_RDWR | O_NOCTTY);
    struct termios t;
    tcgetattr(keep, &t);
    cfmakeraw(&t);
    tcsetattr(keep, TCSANOW, &t);
    assert_int_equal(write(l.master, "stale", 5), 5);
    assert_int_equal(port_open(&s, &fd, &rs485), 0);
    assert_int_equal(rs485, PORT_RS485_NOT_ASKED);
    assert_int_equal(read(fd, &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    /* Closed and opened again, as a gateway does that is started anew after a kill. */
    close(fd);
    assert_int_equal(port_open(&s, &fd, &rs485), 0);
    close(fd);
    close(keep);
    line_free(&l);
}

static void port_that_is_none(void **state)
{
    int fd = -1;
    enum port_rs485 rs485;
    char file[] = "/tmp/readers-XXXXXX";

    struct port_settings s = {.serial = "/dev/no-such-line", .baud = 9600};
    assert_int_equal(port_open(&s, &fd, &rs485), LINK_ABSENT);
    int f = mkstemp(file);
    s.serial = file;
    assert_int_equal(port_open(&s, &fd, &rs485), -ENOTTY);
    close(f);
    unlink(file);
    s.serial = "/tmp";
    assert_int_equal(port_open(&s, &fd, &rs485), -EISDIR);
    s = (struct port_settings){.usb = "fffe:fffe:none", .baud = 9600};
    assert_int_equal(port_open(&s, &fd, &rs485), LINK_ABSENT);
    assert_int_equal(fd, -1);
}

static void port_times(void **state)
{
    assert_int_equal(port_char_ns(9600, PORT_8N1), 1041666);
    assert_int_equal(port_char_ns(19200, PORT_8E1), 572916);
    assert_true(port_baud_known(115200));
    assert_false(port_baud_known(0));
    int v, p;
    const char *serial = NULL;
    assert_int_equal(port_usb_parse("0403:6001:A50:1", &v, &p, &serial), 0);
    assert_int_equal(v, 0x0403);
    assert_int_equal(p, 0x6001);
    assert_string_equal(serial, "A50:1");
    assert_int_equal(port_usb_parse("1a86:7523", &v, &p, &serial), 0);
    assert_null(serial);
}

/* ---- a bus with drivers and a link of the test's own ---- */

struct fake_link {
    struct link link;
    atomic_int open_result;
    atomic_uint opened, closed;
    int pair[2]; /* [0] is the link's end */
};

static int fake_open(struct link *l)
{
    struct fake_link *f = (struct fake_link *)l;
    int r = atomic_load(&f->open_result);

    atomic_fetch_add(&f->opened, 1);
    return r;
}

static void fake_close(struct link *l)
{
    atomic_fetch_add(&((struct fake_link *)l)->closed, 1);
}

static void fake_free(struct link *l)
{
}

static int fake_fd(const struct link *l)
{
    return ((const struct fake_link *)l)->pair[0];
}

static int fake_ask(struct link *l, const struct ask *a, struct reply *ret)
{
    return 0;
}

static const struct link_ops asked_ops = {
    .name = "fake", .open = fake_open, .close = fake_close, .free = fake_free, .fd = fake_fd, .ask = fake_ask};
static const struct link_ops speaking_ops = {
    .name = "fake", .open = fake_open, .close = fake_close, .free = fake_free, .fd = fake_fd};

/* A reader that wants its next turn after `pause` and counts what it is told. */
struct fake_reader {
    struct driver_env env;
    _Atomic int64_t pause;
    atomic_int fail, answers, online, offline;
    _Atomic uint64_t turns, token;
    atomic_bool flood;  /* a sight with each turn */
    atomic_bool broken; /* no turn brings anything but an error */
};
static struct fake_reader fakes[4];

static int fr_create(const struct driver_env *env, void **ret_self)
{
    fakes[env->reader].env = *env;
    *ret_self = &fakes[env->reader];
    return 0;
}

static void fr_destroy(void *self)
{
}

static void fr_online(void *self)
{
    atomic_fetch_add(&((struct fake_reader *)self)->online, 1);
}

static void fr_offline(void *self)
{
    atomic_fetch_add(&((struct fake_reader *)self)->offline, 1);
}

static int fr_step(void *self, int64_t now, int64_t *ret_due)
{
    struct fake_reader *f = self;
    struct sight s = {.kind = SIGHT_CARD, .reader = f->env.reader};

    atomic_fetch_add(&f->turns, 1);
    if (atomic_load(&f->flood))
        outbox_send(f->env.out, &s);
    int64_t pause = atomic_load(&f->pause);
    *ret_due = pause == DRIVER_NEVER ? DRIVER_NEVER : now + pause;
    usleep(200);
    return atomic_load(&f->broken) ? -EIO : atomic_exchange(&f->fail, 0);
}

static void fr_answer(void *self, uint64_t token, enum answer a)
{
    struct fake_reader *f = self;
    atomic_store(&f->token, token);
    atomic_fetch_add(&f->answers, 1);
}

static const struct driver fake_driver = {.name = "fake",
                                          .acked = true,
                                          .create = fr_create,
                                          .destroy = fr_destroy,
                                          .online = fr_online,
                                          .offline = fr_offline,
                                          .step = fr_step,
                                          .answer = fr_answer};

struct rig {
    struct fake_link link;
    struct queue *q;
    struct bus *bus;
    struct reader_settings settings;
    struct reader_stats stats;
};

static struct rig *rig_new(const struct link_ops *ops)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    log_init("test", LOG_ERROR);
    memset(fakes, 0, sizeof(fakes));
    r->link.link.ops = ops;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, r->link.pair), 0);
    assert_int_equal(queue_new(sizeof(struct sight), 8, &r->q), 0);
    assert_int_equal(bus_new("test", "test line", r->q, &r->bus), 0);
    bus_set_link(r->bus, &r->link.link);
    return r;
}

static void rig_add(struct rig *r, const struct driver *d, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct driver_env env = {.settings = &r->settings, .stats = &r->stats, .reader = i};
        unsigned slot;
        assert_int_equal(bus_add(r->bus, d, &env, &slot), 0);
        assert_int_equal(slot, i);
    }
    assert_int_equal(bus_start(r->bus), 0);
}

static void rig_free(struct rig *r)
{
    int64_t from = clock_ms();
    bus_free(r->bus);
    assert_true(clock_ms() - from < 2000);
    queue_free(r->q);
    close(r->link.pair[0]);
    if (r->link.pair[1] >= 0)
        close(r->link.pair[1]);
    free(r);
}

#define UNTIL(what)                            \
    do {                                       \
        int64_t until_ = clock_ms() + 10000;   \
        while (!(what) && clock_ms() < until_) \
            usleep(1000);                      \
        assert_true(what);                     \
    } while (0)

static void turns_are_fair(void **state)
{
    struct rig *r = rig_new(&asked_ops);

    atomic_store(&fakes[3].pause, DRIVER_NEVER); /* wants no turn after its first */
    rig_add(r, &fake_driver, 4);
    UNTIL(atomic_load(&fakes[0].turns) >= 200);
    bus_ask_stop(r->bus);
    bus_free(r->bus);
    r->bus = NULL;
    for (int i = 1; i < 3; i++) {
        int64_t d = (int64_t)(fakes[i].turns - fakes[0].turns);
        assert_true(d >= -1 && d <= 1);
    }
    assert_int_equal(fakes[3].turns, 1);
    rig_free(r);
}

static void an_answer_brings_a_turn(void **state)
{
    struct rig *r = rig_new(&asked_ops);

    atomic_store(&fakes[0].pause, DRIVER_NEVER);
    atomic_store(&fakes[1].pause, DRIVER_NEVER);
    rig_add(r, &fake_driver, 2);
    UNTIL(atomic_load(&fakes[0].turns) == 1 && atomic_load(&fakes[1].turns) == 1);
    for (uint64_t t = 1; t <= 50; t++) {
        assert_int_equal(bus_answer(r->bus, 1, t, ANSWER_STORED), 0);
        UNTIL(atomic_load(&fakes[1].turns) == 1 + t);
        assert_int_equal(atomic_load(&fakes[1].token), t);
    }
    assert_int_equal(atomic_load(&fakes[0].turns), 1);
    assert_int_equal(atomic_load(&fakes[0].answers), 0);
    rig_free(r);
}

static void an_absent_line_is_tried_for_ever(void **state)
{
    struct rig *r = rig_new(&asked_ops);

    atomic_store(&r->link.open_result, LINK_ABSENT);
    rig_add(r, &fake_driver, 1);
    UNTIL(atomic_load(&r->link.opened) >= 3);
    assert_int_equal(atomic_load(&fakes[0].turns), 0);
    atomic_store(&r->link.open_result, -EACCES);
    unsigned n = atomic_load(&r->link.opened);
    UNTIL(atomic_load(&r->link.opened) > n);
    atomic_store(&r->link.open_result, 0);
    UNTIL(atomic_load(&fakes[0].turns) > 3);
    assert_int_equal(atomic_load(&fakes[0].online), 1);
    assert_int_equal(atomic_load(&fakes[0].offline), 0);
    rig_free(r);
}

static void a_broken_line_is_closed_at_once_and_opened_again(void **state)
{
    struct rig *r = rig_new(&asked_ops);

    rig_add(r, &fake_driver, 2);
    for (int i = 1; i <= 3; i++) {
        UNTIL(atomic_load(&fakes[1].turns) > 0 && atomic_load(&fakes[0].online) == i);
        atomic_store(&fakes[0].fail, -EIO);
        UNTIL(atomic_load(&r->link.closed) == (unsigned)i);
        UNTIL(atomic_load(&fakes[0].online) == i + 1);
        assert_int_equal(atomic_load(&fakes[1].offline), i); /* everybody on the line is told */
    }
    rig_free(r);
}

/* Such as a host that takes every connection and ends it: not ten times a second for ever. */
static void a_line_that_breaks_each_time_is_opened_ever_more_rarely(void **state)
{
    static const struct link_ops *const ops[] = {&asked_ops, &speaking_ops};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        struct rig *r = rig_new(ops[i]);
        close(r->link.pair[1]);
        r->link.pair[1] = -1;
        atomic_store(&fakes[0].broken, ops[i]->ask != NULL);
        int64_t from = clock_ms(); /* before the worker's first try, which may come before we go on */
        rig_add(r, &fake_driver, 1);
        UNTIL(atomic_load(&fakes[0].offline) == 5);
        assert_true(clock_ms() - from >= 100 + 200 + 400 + 800);
        rig_free(r);
    }
}

/* The daemon does not take its sights: the worker waits, and still stops in time. */
static void a_full_queue_holds_the_worker_but_not_the_stop(void **state)
{
    struct rig *r = rig_new(&asked_ops);

    atomic_store(&fakes[0].flood, true);
    rig_add(r, &fake_driver, 1);
    UNTIL(queue_len(r->q) == 8 && atomic_load(&fakes[0].turns) == 9);
    usleep(150000);
    assert_int_equal(atomic_load(&fakes[0].turns), 9);
    struct sight s;
    assert_int_equal(queue_pop(r->q, &s), 0);
    UNTIL(atomic_load(&fakes[0].turns) == 10);
    rig_free(r);
}

static unsigned cards(struct rig *r, unsigned wait_ms)
{
    struct sight s;
    unsigned n = 0;
    while (queue_pop_wait(r->q, &s, wait_ms) == 0)
        n += s.kind == SIGHT_CARD;
    return n;
}

static void bytes_to_cards(void **state)
{
    static const char frame[] = "\x02"
                                "67003B51C6CB"
                                "\x03";
    struct rig *r = rig_new(&speaking_ops);
    int wire = r->link.pair[1];

    rig_add(r, &ascii125_driver, 1);
    struct sight s;
    assert_int_equal(queue_pop_wait(r->q, &s, 10000), 0);
    assert_int_equal(s.kind, SIGHT_UP);
    assert_int_equal(write(wire, frame, 14), 14);
    assert_int_equal(queue_pop_wait(r->q, &s, 10000), 0);
    assert_int_equal(s.kind, SIGHT_CARD);
    assert_memory_equal(s.cred.data, "\x67\x00\x3B\x51\xC6", 5);

    /* Cut by pauses below the time-out: one card. */
    for (size_t i = 0; i < 14; i++) {
        assert_int_equal(write(wire, frame + i, 1), 1);
        usleep(2000);
    }
    assert_int_equal(cards(r, 200), 1);
    /* Cut by one above it: none, and counted. */
    uint64_t before = atomic_load(&r->stats.bad);
    assert_int_equal(write(wire, frame, 7), 7);
    usleep(200000);
    assert_int_equal(write(wire, frame + 7, 7), 7);
    assert_int_equal(cards(r, 200), 0);
    assert_int_equal(atomic_load(&r->stats.bad), before + 2);
    assert_int_equal(atomic_load(&r->stats.reads), 2);

    /* The end of the line closes it. */
    close(wire);
    r->link.pair[1] = -1;
    UNTIL(atomic_load(&r->link.closed) >= 1);
    assert_int_equal(queue_pop_wait(r->q, &s, 10000), 0);
    assert_int_equal(s.kind, SIGHT_DOWN);
    rig_free(r);
}

/* Our own pause is not the line's: bytes that waited for us belong together. */
static void a_blocked_worker_cuts_no_frame(void **state)
{
    static const char frame[] = "\x02"
                                "67003B51C6CB"
                                "\x03";
    struct rig *r = rig_new(&speaking_ops);
    int wire = r->link.pair[1];
    char burst[14 * 12 + 7];

    rig_add(r, &ascii125_driver, 1);
    for (int i = 0; i < 12; i++)
        memcpy(burst + 14 * i, frame, 14);
    memcpy(burst + 14 * 12, frame, 7); /* half a frame behind what fills the queue */
    assert_int_equal(write(wire, burst, sizeof(burst)), (ssize_t)sizeof(burst));
    UNTIL(queue_len(r->q) == 8);
    assert_int_equal(write(wire, frame + 7, 7), 7);
    usleep(300000);
    assert_int_equal(cards(r, 300), 13);
    assert_int_equal(atomic_load(&r->stats.bad), 0);
    rig_free(r);
}

static void a_replugged_adapter_comes_back(void **state)
{
    struct line l;
    struct queue *q = NULL;
    struct bus *b = NULL;
    struct link *link = NULL;
    struct reader_settings settings = {0};
    struct reader_stats stats = {0};
    struct driver_env env = {.settings = &settings, .stats = &stats};
    unsigned slot;
    struct sight s;

    line_new(&l);
    struct port_settings port = {.serial = l.path, .baud = 9600};
    assert_int_equal(queue_new(sizeof(struct sight), 8, &q), 0);
    assert_int_equal(bus_new("test", "test line", q, &b), 0);
    assert_int_equal(port_link_new(&port, &link), 0);
    bus_set_link(b, link);
    assert_int_equal(bus_add(b, &ascii125_driver, &env, &slot), 0);
    assert_int_equal(bus_start(b), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(queue_pop_wait(q, &s, 10000), 0);
        assert_int_equal(s.kind, SIGHT_UP);
        assert_int_equal(write(l.master,
                               "\x02"
                               "67003B51C6CB"
                               "\x03",
                               14),
                         14);
        assert_int_equal(queue_pop_wait(q, &s, 10000), 0);
        assert_int_equal(s.kind, SIGHT_CARD);
        line_unplug(&l);
        assert_int_equal(queue_pop_wait(q, &s, 10000), 0);
        assert_int_equal(s.kind, SIGHT_DOWN);
        line_plug(&l);
    }
    bus_free(b);
    queue_free(q);
    line_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_is_raw_both_ways),
        cmocka_unit_test(port_forgets_what_came_before),
        cmocka_unit_test(port_that_is_none),
        cmocka_unit_test(port_times),
        cmocka_unit_test(turns_are_fair),
        cmocka_unit_test(an_answer_brings_a_turn),
        cmocka_unit_test(an_absent_line_is_tried_for_ever),
        cmocka_unit_test(a_broken_line_is_closed_at_once_and_opened_again),
        cmocka_unit_test(a_line_that_breaks_each_time_is_opened_ever_more_rarely),
        cmocka_unit_test(a_full_queue_holds_the_worker_but_not_the_stop),
        cmocka_unit_test(bytes_to_cards),
        cmocka_unit_test(a_blocked_worker_cuts_no_frame),
        cmocka_unit_test(a_replugged_adapter_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
