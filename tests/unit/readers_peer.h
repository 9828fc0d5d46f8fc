/* A Modbus device in a thread, over a real pty pair or a real TCP connection. */
#pragma once

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

static inline uint16_t crc16(const uint8_t *p, size_t n)
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
static inline uint16_t value_at(unsigned addr)
{
    return (uint16_t)(3 * addr + 1);
}

static inline size_t make_reply(const uint8_t *pdu, int mode, uint8_t *ret)
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

static inline void send_all(struct peer *p, const uint8_t *adu, size_t n, int mode)
{
    size_t step = mode == M_DRIP || mode == M_DRIP_EVER ? 1 : n;

    for (size_t i = 0; i < n && !atomic_load(&p->stop); i += step) {
        if (write(p->fd, adu + i, step) < 0)
            return;
        if (step == 1)
            usleep(mode == M_DRIP ? 2000 : 60000);
    }
}

static inline void answer_rtu(struct peer *p, const uint8_t *req, int mode)
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

static inline void answer_tcp(struct peer *p, const uint8_t *req, int mode)
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

static inline void serve_one(struct peer *p, const uint8_t *req, size_t n, int64_t came_at)
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

static inline void *serve(void *arg)
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

static inline void peer_start(struct peer *p)
{
    pthread_mutex_init(&p->lock, NULL);
    p->least_gap = INT64_MAX;
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
    assert_int_equal(p->link->ops->open(p->link), 0);
}

static inline struct peer *peer_new(bool tcp)
{
    struct peer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    log_init("test", LOG_ERROR);
    p->tcp = tcp;
    p->fd = p->listen_fd = -1;
    p->stop_fd = eventfd(0, EFD_NONBLOCK);
    return p;
}

static inline struct peer *peer_rtu(uint64_t baud)
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

static inline struct peer *peer_tcp(const char *host)
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

static inline void peer_free(struct peer *p)
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

static inline int setup_rtu(void **state)
{
    *state = peer_rtu(19200);
    return 0;
}

static inline int setup_tcp(void **state)
{
    *state = peer_tcp("127.0.0.1");
    return 0;
}

static inline int teardown(void **state)
{
    peer_free(*state);
    return 0;
}

/* ---- asking ---- */

#define SHORT_MS 150

static inline int ask(struct peer *p, uint8_t unit, enum ask_fc fc, uint16_t addr, uint16_t n, struct reply *ret)
{
    struct ask a = {.unit = unit, .fc = fc, .addr = addr, .n = n, .timeout_ms = SHORT_MS, .stats = &p->stats};
    return p->link->ops->ask(p->link, &a, ret);
}

/* A read that has to work, with the values of these very registers. */
static inline void good_read(struct peer *p, uint16_t addr)
{
    struct reply rep;

    assert_int_equal(ask(p, 1, ASK_HOLDING, addr, 3, &rep), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rep.v[i], value_at(addr + i));
}

static inline void sent(struct peer *p, const char *bytes, size_t n)
{
    pthread_mutex_lock(&p->lock);
    assert_int_equal(p->request_len, n);
    assert_memory_equal(p->request, bytes, n);
    pthread_mutex_unlock(&p->lock);
}

#define RTU(f)                                    \
    {                                             \
#f " (rtu)", f, setup_rtu, teardown, NULL \
    }
#define TCP(f)                                    \
    {                                             \
#f " (tcp)", f, setup_tcp, teardown, NULL \
    }
