/* Modbus links against a peer in a thread, over a real pty pair and a real TCP connection: what is taken as the reply,
 * and everything that must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/modbus.h"
#include "readers/wait.h"

/* ---- the peer ---- */

enum mode {
    M_OK,
    M_SILENT,
    M_LATE,        /* answers after `delay_ms` */
    M_WRONG_UNIT,  /* answers as the next unit */
    M_UNIT_FIRST,  /* another unit's frame, then the answer */
    M_TRUNCATED,   /* without its last two bytes */
    M_DAMAGED,     /* CRC wrong; on TCP another transaction number */
    M_WRONG_FC,    /* the other kind of register */
    M_WRONG_COUNT, /* one register less */
    M_WRONG_ECHO,  /* a write answered with another value */
    M_EXCEPTION,
    M_DRIP,        /* a byte every two milliseconds */
    M_DRIP_EVER,   /* so slowly that no time-out between bytes would end it */
    M_NOISE_FIRST, /* bytes before the next request comes */
    M_PROTOCOL,    /* TCP: protocol number not 0 */
    M_LENGTH,      /* TCP: length says more than there is */
    M_HANG_UP,
    M_FLOOD, /* frames that answer something else, without end */
};

struct peer {
    bool tcp;
    int fd, listen_fd;
    char path[64];
    atomic_int mode, delay_ms;
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock;
    uint8_t request[16];
    size_t request_len;
    int64_t replied_at, least_gap;
    struct link *link;
    int stop_fd;
    struct reader_stats stats;
};

static uint16_t crc16(const uint8_t *p, size_t n)
{
    uint16_t crc = 0xFFFF;
    for (size_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc ^ p[i]);
        for (int b = 0; b < 8; b++)
            crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1);
    }
    return crc;
}

/* Every register holds three times its address plus one; a coil is set when its address is odd. */
static uint16_t value_at(unsigned addr)
{
    return (uint16_t)(3 * addr + 1);
}

static size_t make_reply(const uint8_t *pdu, int mode, uint8_t *ret)
{
    unsigned addr = (unsigned)(pdu[1] << 8 | pdu[2]), n = (unsigned)(pdu[3] << 8 | pdu[4]);

    if (mode == M_EXCEPTION) {
        ret[0] = pdu[0] | 0x80;
        ret[1] = 6;
        return 2;
    }
    if (pdu[0] == 5 || pdu[0] == 6) {
        memcpy(ret, pdu, 5);
        ret[4] = (uint8_t)(ret[4] ^ (mode == M_WRONG_ECHO));
        return 5;
    }
    ret[0] = pdu[0];
    if (mode == M_WRONG_FC)
        ret[0] = pdu[0] == 3 ? 4 : 3;
    if (mode == M_WRONG_COUNT)
        n--;
    if (pdu[0] <= 2) {
        ret[1] = (uint8_t)((n + 7) / 8);
        memset(ret + 2, 0, ret[1]);
        for (unsigned i = 0; i < n; i++)
            ret[2 + i / 8] = (uint8_t)(ret[2 + i / 8] | ((addr + i) & 1) << i % 8);
        return 2u + ret[1];
    }
    ret[1] = (uint8_t)(2 * n);
    for (unsigned i = 0; i < n; i++) {
        ret[2 + 2 * i] = (uint8_t)(value_at(addr + i) >> 8);
        ret[3 + 2 * i] = (uint8_t)value_at(addr + i);
    }
    return 2 + 2 * n;
}

static void send_all(struct peer *p, const uint8_t *adu, size_t n, int mode)
{
    size_t step = mode == M_DRIP || mode == M_DRIP_EVER ? 1 : n;

    for (size_t i = 0; i < n && !atomic_load(&p->stop); i += step) {
        if (write(p->fd, adu + i, step) < 0)
            return;
        if (step == 1)
            usleep(mode == M_DRIP ? 2000 : 60000);
    }
}

static void answer_rtu(struct peer *p, const uint8_t *req, int mode)
{
    uint8_t adu[300];
    size_t n = 1 + make_reply(req + 1, mode, adu + 1);

    adu[0] = (uint8_t)(req[0] + (mode == M_WRONG_UNIT));
    uint16_t crc = crc16(adu, n);
    adu[n++] = (uint8_t)crc;
    adu[n++] = (uint8_t)(crc >> 8);
    if (mode == M_DAMAGED)
        adu[n - 1] = (uint8_t)~adu[n - 1];
    if (mode == M_UNIT_FIRST) {
        uint8_t other[] = {(uint8_t)(req[0] + 1), 3, 2, 0, 0, 0, 0};
        crc = crc16(other, 5);
        other[5] = (uint8_t)crc;
        other[6] = (uint8_t)(crc >> 8);
        send_all(p, other, sizeof(other), mode);
    }
    send_all(p, adu, mode == M_TRUNCATED ? n - 2 : n, mode);
}

static void answer_tcp(struct peer *p, const uint8_t *req, int mode)
{
    uint8_t adu[300];
    size_t n = make_reply(req + 7, mode, adu + 7);

    memcpy(adu, req, 7);
    adu[4] = (uint8_t)((n + 1) >> 8);
    adu[5] = (uint8_t)(n + 1 + (mode == M_LENGTH));
    adu[0] = (uint8_t)(adu[0] ^ (mode == M_DAMAGED ? 0x40 : 0));
    adu[2] = mode == M_PROTOCOL;
    adu[6] = (uint8_t)(adu[6] + (mode == M_WRONG_UNIT));
    send_all(p, adu, mode == M_TRUNCATED ? n + 5 : n + 7, mode);
}

static void serve_one(struct peer *p, const uint8_t *req, size_t n, int64_t came_at)
{
    int mode = atomic_load(&p->mode);

    pthread_mutex_lock(&p->lock);
    memcpy(p->request, req, n);
    p->request_len = n;
    if (p->replied_at && came_at - p->replied_at < p->least_gap)
        p->least_gap = came_at - p->replied_at;
    pthread_mutex_unlock(&p->lock);
    if (mode == M_SILENT)
        return;
    if (mode == M_LATE)
        usleep((unsigned)atomic_load(&p->delay_ms) * 1000);
    if (mode == M_HANG_UP) {
        close(p->fd);
        p->fd = -1;
        return;
    }
    while (mode == M_FLOOD && atomic_load(&p->mode) == M_FLOOD && !atomic_load(&p->stop))
        (p->tcp ? answer_tcp : answer_rtu)(p, req, p->tcp ? M_DAMAGED : M_WRONG_UNIT);
    if (mode == M_FLOOD)
        return;
    p->replied_at = wait_now_us();
    (p->tcp ? answer_tcp : answer_rtu)(p, req, mode);
    if (mode == M_NOISE_FIRST)
        (void)!write(p->fd, "\x01\x03\x02\xFF", 4);
}

static void *serve(void *arg)
{
    struct peer *p = arg;
    size_t want = p->tcp ? 12 : 8, n = 0;
    uint8_t req[16];

    while (!atomic_load(&p->stop)) {
        struct pollfd pfd[2] = {{.fd = p->fd, .events = POLLIN}, {.fd = p->listen_fd, .events = POLLIN}};
        if (poll(pfd, 2, 20) <= 0)
            continue;
        if (pfd[1].revents) {
            if (p->fd >= 0)
                close(p->fd);
            p->fd = accept(p->listen_fd, NULL, NULL);
            n = 0;
            continue;
        }
        int64_t came_at = wait_now_us();
        ssize_t got = read(p->fd, req + n, want - n);
        if (got <= 0) {
            usleep(1000);
            continue;
        }
        n += (size_t)got;
        if (n < want)
            continue;
        n = 0;
        serve_one(p, req, want, came_at);
    }
    return NULL;
}

static void peer_start(struct peer *p)
{
    pthread_mutex_init(&p->lock, NULL);
    p->least_gap = INT64_MAX;
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
    assert_int_equal(p->link->ops->open(p->link), 0);
}

static struct peer *peer_new(bool tcp)
{
    struct peer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    log_init("test", LOG_ERROR);
    p->tcp = tcp;
    p->fd = p->listen_fd = -1;
    p->stop_fd = eventfd(0, EFD_NONBLOCK);
    return p;
}

static struct peer *peer_rtu(uint64_t baud)
{
    struct peer *p = peer_new(false);
    struct port_settings port = {.serial = p->path, .baud = baud, .rs485 = true};
    int slave;

    assert_int_equal(openpty(&p->fd, &slave, p->path, NULL, NULL), 0);
    struct termios t;
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    tcsetattr(slave, TCSANOW, &t);
    assert_int_equal(modbus_rtu_link_new(&port, p->stop_fd, &p->link), 0);
    peer_start(p);
    close(slave);
    return p;
}

static struct peer *peer_tcp(const char *host)
{
    struct peer *p = peer_new(true);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    char where[64];

    p->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(p->listen_fd, 4), 0);
    assert_int_equal(getsockname(p->listen_fd, (struct sockaddr *)&a, &len), 0);
    snprintf(where, sizeof(where), "%s:%u", host, ntohs(a.sin_port));
    assert_int_equal(modbus_tcp_link_new(where, p->stop_fd, &p->link), 0);
    peer_start(p);
    return p;
}

static void peer_free(struct peer *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    p->link->ops->free(p->link);
    if (p->fd >= 0)
        close(p->fd);
    if (p->listen_fd >= 0)
        close(p->listen_fd);
    close(p->stop_fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static int setup_rtu(void **state)
{
    *state = peer_rtu(19200);
    return 0;
}

static int setup_tcp(void **state)
{
    *state = peer_tcp("127.0.0.1");
    return 0;
}

static int teardown(void **state)
{
    peer_free(*state);
    return 0;
}

/* ---- asking ---- */

#define SHORT_MS 150

static int ask(struct peer *p, uint8_t unit, enum ask_fc fc, uint16_t addr, uint16_t n, struct reply *ret)
{
    struct ask a = {.unit = unit, .fc = fc, .addr = addr, .n = n, .timeout_ms = SHORT_MS, .stats = &p->stats};
    return p->link->ops->ask(p->link, &a, ret);
}

/* A read that has to work, with the values of these very registers. */
static void good_read(struct peer *p, uint16_t addr)
{
    struct reply rep;

    assert_int_equal(ask(p, 1, ASK_HOLDING, addr, 3, &rep), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rep.v[i], value_at(addr + i));
}

static void sent(struct peer *p, const char *bytes, size_t n)
{
    pthread_mutex_lock(&p->lock);
    assert_int_equal(p->request_len, n);
    assert_memory_equal(p->request, bytes, n);
    pthread_mutex_unlock(&p->lock);
}

static void reads_and_writes(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    good_read(p, 1000);
    assert_int_equal(ask(p, 1, ASK_INPUT, 7, ASK_MAX, &rep), 0);
    assert_int_equal(rep.v[ASK_MAX - 1], value_at(7 + ASK_MAX - 1));
    assert_int_equal(ask(p, 1, ASK_COILS, 1015, 11, &rep), 0);
    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(rep.v[i], (1015 + i) & 1);
    assert_int_equal(ask(p, 247, ASK_DISCRETE, 2, 1, &rep), 0);
    assert_int_equal(rep.v[0], 0);
    assert_int_equal(ask(p, 1, ASK_WRITE_COIL, 1016, 0, &rep), 0);
    assert_int_equal(ask(p, 1, ASK_WRITE_COIL, 1016, 1, &rep), 0);
    assert_int_equal(ask(p, 1, ASK_WRITE_HOLDING, 1000, 65535, &rep), 0);
    assert_int_equal(atomic_load(&p->stats.bad), 0);
    assert_int_equal(atomic_load(&p->stats.late), 0);
}

/* Facts 5.1: requests published with their CRC. */
static void published_rtu_requests(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    ask(p, 2, ASK_HOLDING, 0, 1, &rep);
    sent(p, "\x02\x03\x00\x00\x00\x01\x84\x39", 8);
    ask(p, 1, ASK_INPUT, 0, 10, &rep);
    sent(p, "\x01\x04\x00\x00\x00\x0A\x70\x0D", 8);
    ask(p, 1, ASK_HOLDING, 0x1E, 5, &rep);
    sent(p, "\x01\x03\x00\x1E\x00\x05\xE5\xCF", 8);
    ask(p, 2, ASK_WRITE_HOLDING, 0, 3, &rep);
    sent(p, "\x02\x06\x00\x00\x00\x03\xC9\xF8", 8);
    ask(p, 2, ASK_WRITE_HOLDING, 1, 0xA002, &rep);
    sent(p, "\x02\x06\x00\x01\xA0\x02\x21\xF8", 8);
}

static void tcp_requests_are_numbered(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    ask(p, 1, ASK_HOLDING, 2, 1, &rep);
    sent(p, "\x00\x01\x00\x00\x00\x06\x01\x03\x00\x02\x00\x01", 12);
    ask(p, 255, ASK_WRITE_COIL, 1016, 1, &rep);
    sent(p, "\x00\x02\x00\x00\x00\x06\xFF\x05\x03\xF8\xFF\x00", 12);
    for (int i = 0; i < 300; i++)
        good_read(p, (uint16_t)i); /* beyond one byte */
}

static void silence_keeps_its_time_out(void **state)
{
    struct peer *p = *state;
    struct reply rep = {.exception = 99};

    atomic_store(&p->mode, M_SILENT);
    int64_t from = clock_ms();
    assert_int_equal(ask(p, 1, ASK_HOLDING, 0, 1, &rep), ASK_TIMEOUT);
    assert_true(clock_ms() - from >= SHORT_MS);
    assert_int_equal(rep.exception, 99); /* untouched */
    assert_int_equal(atomic_load(&p->stats.bad), 0);
    atomic_store(&p->mode, M_OK);
    good_read(p, 5);
}

/* The classic fault: the reply to the request we gave up must not pass as the reply to the next. */
static void a_late_reply_is_dropped_and_counted(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    for (uint16_t i = 1; i <= 3; i++) {
        atomic_store(&p->delay_ms, SHORT_MS + 60);
        atomic_store(&p->mode, M_LATE);
        assert_int_equal(ask(p, 1, ASK_HOLDING, (uint16_t)(100 * i), 3, &rep), ASK_TIMEOUT);
        atomic_store(&p->mode, M_OK);
        good_read(p, (uint16_t)(100 * i + 50));
        assert_int_equal(atomic_load(&p->stats.late), i);
    }
}

/* The device thought dead does not get the line for its late reply, and it is told by its unit. */
static void a_late_reply_of_a_probe_is_told_by_its_unit(void **state)
{
    struct peer *p = *state;
    struct reply rep;
    struct ask probe = {
        .unit = 9, .fc = ASK_HOLDING, .addr = 70, .n = 3, .timeout_ms = SHORT_MS, .probe = true, .stats = &p->stats};

    atomic_store(&p->delay_ms, SHORT_MS + 30);
    atomic_store(&p->mode, M_LATE);
    int64_t from = clock_ms();
    assert_int_equal(p->link->ops->ask(p->link, &probe, &rep), ASK_TIMEOUT);
    assert_true(clock_ms() - from < 2 * SHORT_MS);
    atomic_store(&p->mode, M_OK);
    good_read(p, 50);
    assert_int_equal(atomic_load(&p->stats.late), 1);
}

static void bad(struct peer *p, int mode, enum ask_fc fc, int want)
{
    struct reply rep;
    uint64_t before = atomic_load(&p->stats.bad);

    atomic_store(&p->mode, mode);
    int r = ask(p, 1, fc, 200, 3, &rep);
    if (r != want)
        fail_msg("mode %d function %d: %d instead of %d", mode, (int)fc, r, want);
    assert_int_equal(atomic_load(&p->stats.bad), before + 1);
    atomic_store(&p->mode, M_OK);
    if (r < 0) {
        p->link->ops->close(p->link);
        assert_int_equal(p->link->ops->open(p->link), 0);
    }
    good_read(p, 300);
}

static void replies_that_do_not_fit_rtu(void **state)
{
    struct peer *p = *state;

    /* Another unit's frame is skipped: the right one might follow, and here none does. */
    bad(p, M_WRONG_UNIT, ASK_HOLDING, ASK_TIMEOUT);
    bad(p, M_TRUNCATED, ASK_HOLDING, ASK_BAD);
    bad(p, M_DAMAGED, ASK_HOLDING, ASK_BAD);
    bad(p, M_DAMAGED, ASK_WRITE_HOLDING, ASK_BAD);
    bad(p, M_WRONG_FC, ASK_HOLDING, ASK_BAD);
    bad(p, M_WRONG_COUNT, ASK_HOLDING, ASK_BAD);
    bad(p, M_WRONG_ECHO, ASK_WRITE_HOLDING, ASK_BAD);
    bad(p, M_WRONG_ECHO, ASK_WRITE_COIL, ASK_BAD);
    bad(p, M_UNIT_FIRST, ASK_HOLDING, 0);
}

static void replies_that_do_not_fit_tcp(void **state)
{
    struct peer *p = *state;

    bad(p, M_WRONG_UNIT, ASK_HOLDING, ASK_BAD);
    bad(p, M_DAMAGED, ASK_HOLDING, ASK_TIMEOUT); /* another transaction: skipped */
    bad(p, M_WRONG_FC, ASK_HOLDING, ASK_BAD);
    bad(p, M_WRONG_COUNT, ASK_HOLDING, ASK_BAD);
    bad(p, M_WRONG_ECHO, ASK_WRITE_HOLDING, ASK_BAD);
    /* These leave the stream out of step: a new connection. */
    bad(p, M_TRUNCATED, ASK_HOLDING, -EPROTO);
    bad(p, M_PROTOCOL, ASK_HOLDING, -EPROTO);
    bad(p, M_LENGTH, ASK_HOLDING, -EPROTO);
}

static void exception_code_is_handed_on(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    atomic_store(&p->mode, M_EXCEPTION);
    assert_int_equal(ask(p, 1, ASK_HOLDING, 0, 1, &rep), ASK_EXCEPTION);
    assert_int_equal(rep.exception, 6);
    assert_int_equal(ask(p, 1, ASK_WRITE_COIL, 0, 1, &rep), ASK_EXCEPTION);
    atomic_store(&p->mode, M_OK);
    good_read(p, 0);
}

static void slow_bytes(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    atomic_store(&p->mode, M_DRIP);
    good_read(p, 10);
    /* Bytes that keep coming do not keep us: the whole reply has its time-out. */
    atomic_store(&p->mode, M_DRIP_EVER);
    int64_t from = clock_ms();
    assert_int_not_equal(ask(p, 1, ASK_HOLDING, 10, 100, &rep), 0);
    assert_true(clock_ms() - from < 1500); /* 205 bytes at 60 ms would take 12 s */
    atomic_store(&p->mode, M_OK);
}

static void noise_between_frames_rtu(void **state)
{
    struct peer *p = *state;

    atomic_store(&p->mode, M_NOISE_FIRST);
    for (uint16_t i = 0; i < 5; i++) {
        good_read(p, i);
        usleep(5000);
    }
    assert_true(atomic_load(&p->stats.bad) >= 4);
}

static void silence_between_frames(void **state)
{
    static const struct {
        uint64_t baud;
        int64_t gap_us;
    } lines[] = {{1200, 29166}, {9600, 3645}, {19200, 1822}, {38400, 1750}, {115200, 1750}};

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct peer *p = peer_rtu(lines[i].baud);
        for (uint16_t k = 0; k < 8; k++)
            good_read(p, k);
        pthread_mutex_lock(&p->lock);
        assert_true(p->least_gap >= lines[i].gap_us && p->least_gap < INT64_MAX);
        pthread_mutex_unlock(&p->lock);
        peer_free(p);
    }
}

static void hang_up(void **state)
{
    struct peer *p = *state;
    struct reply rep;

    good_read(p, 1);
    atomic_store(&p->mode, M_HANG_UP);
    assert_true(ask(p, 1, ASK_HOLDING, 0, 1, &rep) < 0);
    p->link->ops->close(p->link);
    assert_int_equal(p->link->ops->fd(p->link), -1);
    assert_int_equal(ask(p, 1, ASK_HOLDING, 0, 1, &rep), -ENOTCONN);
    if (p->tcp) {
        atomic_store(&p->mode, M_OK);
        assert_int_equal(p->link->ops->open(p->link), 0);
        good_read(p, 1);
    } else {
        assert_int_equal(p->link->ops->open(p->link), LINK_ABSENT); /* the pty went with its master */
    }
}

static void a_silent_connection_is_given_up(void **state)
{
    struct peer *p = *state;
    struct reply rep;
    int r = ASK_TIMEOUT, n = 0;

    atomic_store(&p->mode, M_SILENT);
    for (; r == ASK_TIMEOUT && n < 20; n++)
        r = ask(p, 1, ASK_HOLDING, 0, 1, &rep);
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(n > 2 && n < 10);
}

static void *calm_down(void *arg)
{
    struct peer *p = arg;
    for (int i = 0; i < 300 && atomic_load(&p->mode) == M_FLOOD; i++)
        usleep(10000);
    atomic_store(&p->mode, M_OK); /* the test's own end, should the link not find one */
    return NULL;
}

static void a_flood_keeps_the_time_out(void **state)
{
    struct peer *p = *state;
    struct reply rep;
    pthread_t t;

    if (!p->tcp) /* what nobody reads must not hold up the peer */
        assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
    atomic_store(&p->mode, M_FLOOD);
    assert_int_equal(pthread_create(&t, NULL, calm_down, p), 0);
    int r = ask(p, 1, ASK_HOLDING, 0, 1, &rep);
    assert_true(r == ASK_TIMEOUT || r == ASK_BAD); /* the last frame may be cut by the time-out */
    assert_int_equal(atomic_load(&p->mode), M_FLOOD);
    assert_true(atomic_load(&p->stats.bad) > 1);
    atomic_store(&p->mode, M_OK);
    pthread_join(t, NULL);
}

static void *stop_soon(void *arg)
{
    uint64_t one = 1;
    usleep(50000);
    (void)!write(*(int *)arg, &one, sizeof(one));
    return NULL;
}

static void a_stop_ends_the_wait(void **state)
{
    struct peer *p = *state;
    struct reply rep;
    struct ask a = {.unit = 1, .fc = ASK_HOLDING, .n = 1, .timeout_ms = 60000, .stats = &p->stats};
    pthread_t t;

    atomic_store(&p->mode, M_SILENT);
    assert_int_equal(pthread_create(&t, NULL, stop_soon, &p->stop_fd), 0);
    int64_t from = clock_ms();
    assert_int_equal(p->link->ops->ask(p->link, &a, &rep), -ECANCELED);
    assert_true(clock_ms() - from < 5000);
    pthread_join(t, NULL);
}

static void opening_tcp(void **state)
{
    struct peer *p = peer_tcp("localhost"); /* through the resolver */
    struct link *l = NULL;
    char where[32];

    good_read(p, 3);
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(a.sin_port)); /* bound, but nobody listens */
    assert_int_equal(modbus_tcp_link_new(where, p->stop_fd, &l), 0);
    assert_int_equal(l->ops->open(l), LINK_ABSENT);
    l->ops->free(l);
    close(fd);
    assert_int_equal(modbus_tcp_link_new("host:port", p->stop_fd, &l), -EINVAL);
    peer_free(p);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define RTU(f)                                    \
    {                                             \
#f " (rtu)", f, setup_rtu, teardown, NULL \
    }
#define TCP(f)                                    \
    {                                             \
#f " (tcp)", f, setup_tcp, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        RTU(reads_and_writes),
        TCP(reads_and_writes),
        RTU(published_rtu_requests),
        TCP(tcp_requests_are_numbered),
        RTU(silence_keeps_its_time_out),
        TCP(silence_keeps_its_time_out),
        RTU(a_late_reply_is_dropped_and_counted),
        TCP(a_late_reply_is_dropped_and_counted),
        RTU(a_late_reply_of_a_probe_is_told_by_its_unit),
        RTU(replies_that_do_not_fit_rtu),
        TCP(replies_that_do_not_fit_tcp),
        RTU(exception_code_is_handed_on),
        TCP(exception_code_is_handed_on),
        RTU(slow_bytes),
        TCP(slow_bytes),
        RTU(noise_between_frames_rtu),
        cmocka_unit_test(silence_between_frames),
        RTU(hang_up),
        TCP(hang_up),
        TCP(a_silent_connection_is_given_up),
        RTU(a_flood_keeps_the_time_out),
        TCP(a_flood_keeps_the_time_out),
        RTU(a_stop_ends_the_wait),
        TCP(a_stop_ends_the_wait),
        cmocka_unit_test(opening_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
