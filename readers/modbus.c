/* One Modbus request and its reply, over RTU or TCP; see modbus.h. Not here: what the registers mean.
 *
 * libmodbus frames what comes in: it knows each function's reply length, and checks RTU's CRC. We open the line (a pty
 * too, and with a connect that can be given up), and compare the reply with the request ourselves, because
 *   - modbus_read_*() do not compare the unit on TCP, nor the echo of a write, and cannot tell a late reply from a
 *     wrong one; modbus_send_raw_request() leaves every TCP transaction number 0;
 *   - libmodbus keeps no silence between RTU frames;
 *   - modbus_close() would set the line's modes from a structure that only modbus_connect() fills: never called here.
 * With the byte time-out off, libmodbus ends a reply at the response time-out however slowly its bytes drip, since
 * Linux's select(2) counts down. So every wait here is bounded, and a stop is seen after one request at most.
 *
 * Late replies. RTU has no transaction number: the reply to a request we gave up would pass as the reply to the next.
 * So after a time-out we wait for as long again, drop what comes, and count it. A device thought dead is not worth
 * that wait: it is not asked again for a while, and other units' replies are told from its own by the unit number. On
 * TCP the transaction number tells.
 */
#include "readers/modbus.h"

#include <modbus.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "readers/dial.h"
#include "readers/wait.h"

#define MBAP 7 /* transaction, protocol 0, length, unit */
#define PDU 5  /* of every request we make */
#define CONNECT_MS 1000
#define FAST_GAP_US 1750 /* Modbus over serial line 1.02, 2.5.1.1: above 19200 Bd */
#define QUIET_US 20000   /* a USB adapter hands bytes over every 16 ms at worst */
#define SILENT_MAX 5     /* TCP requests in a row without any reply: the connection may be half-open */
#define LATE_WINDOW 1000 /* transaction numbers back: a late reply, not a wrong one */

struct modbus_link {
    struct link link; /* first: a link is cast to it */
    modbus_t *ctx;
    bool tcp;
    struct port_settings port;
    char host[256], service[8];
    int fd, stop_fd;
    int64_t gap_us;    /* silence between RTU frames */
    int64_t char_ns;   /* of a character on the line; 0 on TCP */
    int64_t silent_at; /* RTU: when the last byte went over the line, as far as we know */
    uint16_t transaction;
    unsigned silent;
    uint8_t gave_up; /* RTU: unit of the last time-out, whose reply may still come */
};

static struct modbus_link *of(struct link *l)
{
    return (struct modbus_link *)l;
}

/* libmodbus has errors of its own above the system's. */
static int line_error(int e)
{
    return e > 0 && e < MODBUS_ENOBASE ? -e : -EIO;
}

/* ---- silence and leftovers on an RTU line ---- */

/* Throws away what is there to read. Bytes dropped, or negative when the line is broken. */
static int drop_input(struct modbus_link *m)
{
    uint8_t junk[256];
    int dropped = 0;

    for (;;) {
        ssize_t n = read(m->fd, junk, sizeof(junk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? dropped : -errno;
        if (n == 0)
            return -EIO;
        dropped += (int)n;
        m->silent_at = wait_now_us();
        if (dropped > 65536)
            return dropped; /* a babbling line: the next time goes on */
    }
}

/* Drops input until the line was quiet for a while, at least until `first_us` for the first byte, at most until
 * `last_us`. Bytes dropped, or negative. */
static int drain(struct modbus_link *m, int64_t first_us, int64_t last_us)
{
    int total = 0;

    for (;;) {
        int64_t quiet = wait_now_us() + (m->gap_us > QUIET_US ? m->gap_us : QUIET_US);
        int64_t until = total == 0 ? first_us : quiet < last_us ? quiet : last_us;
        int r = wait_fd(m->fd, POLLIN, m->stop_fd, until);
        if (r <= 0)
            return r < 0 ? r : total;
        r = drop_input(m);
        if (r < 0)
            return r;
        total += r;
        if (wait_now_us() >= last_us)
            return total;
    }
}

static int keep_silence(struct modbus_link *m)
{
    int r = wait_fd(-1, 0, m->stop_fd, m->silent_at + m->gap_us);
    return r < 0 ? r : 0;
}

/* ---- a request ---- */

static void make_pdu(const struct ask *a, uint8_t pdu[PDU])
{
    unsigned n = a->fc == ASK_WRITE_COIL ? (a->n ? 0xFF00u : 0) : a->n;

    pdu[0] = (uint8_t)a->fc;
    pdu[1] = (uint8_t)(a->addr >> 8);
    pdu[2] = (uint8_t)a->addr;
    pdu[3] = (uint8_t)(n >> 8);
    pdu[4] = (uint8_t)n;
}

static int send_tcp(struct modbus_link *m, const struct ask *a, const uint8_t pdu[PDU])
{
    uint16_t t = ++m->transaction;
    uint8_t adu[MBAP + PDU] = {(uint8_t)(t >> 8), (uint8_t)t, 0, 0, 0, PDU + 1, a->unit};

    memcpy(adu + MBAP, pdu, PDU);
    ssize_t n = send(m->fd, adu, sizeof(adu), MSG_NOSIGNAL);
    if (n < 0)
        return -errno;
    return n == (ssize_t)sizeof(adu) ? 0 : -EPIPE; /* twelve bytes that do not fit: nobody reads there */
}

static int send_rtu(struct modbus_link *m, const struct ask *a, const uint8_t pdu[PDU])
{
    uint8_t raw[1 + PDU] = {a->unit};

    memcpy(raw + 1, pdu, PDU);
    int r = drop_input(m); /* noise since the last frame */
    if (r > 0)
        atomic_fetch_add(&a->stats->bad, 1);
    if (r >= 0)
        r = keep_silence(m);
    if (r < 0)
        return r;
    if (modbus_set_slave(m->ctx, a->unit) < 0 || modbus_send_raw_request(m->ctx, raw, sizeof(raw)) < 0)
        return line_error(errno);
    m->silent_at = wait_now_us() + (int64_t)(sizeof(raw) + 2) * m->char_ns / 1000;
    return 0;
}

/* ---- a reply ---- */

static bool is_write(enum ask_fc fc)
{
    return fc == ASK_WRITE_COIL || fc == ASK_WRITE_HOLDING;
}

static unsigned data_bytes(const struct ask *a)
{
    return a->fc == ASK_COILS || a->fc == ASK_DISCRETE ? (a->n + 7u) / 8 : 2u * a->n;
}

/* Compares a reply's PDU of n bytes with the request and takes its values. */
static int take_pdu(const struct ask *a, const uint8_t sent[PDU], const uint8_t *pdu, size_t n, struct reply *ret)
{
    if (n == 2 && pdu[0] == ((unsigned)a->fc | 0x80u) && pdu[1] != 0) {
        ret->exception = pdu[1];
        return ASK_EXCEPTION;
    }
    if (is_write(a->fc))
        return n == PDU && memcmp(pdu, sent, PDU) == 0 ? 0 : ASK_BAD;
    unsigned bytes = data_bytes(a);
    if (n != 2 + (size_t)bytes || pdu[0] != (uint8_t)a->fc || pdu[1] != bytes)
        return ASK_BAD;
    for (unsigned i = 0; i < a->n; i++) {
        if (bytes == 2u * a->n && (a->fc == ASK_HOLDING || a->fc == ASK_INPUT))
            ret->v[i] = (uint16_t)(pdu[2 + 2 * i] << 8 | pdu[3 + 2 * i]);
        else
            ret->v[i] = pdu[2 + i / 8] >> (i % 8) & 1;
    }
    return 0;
}

/* "Not this one": the frame is dropped and we go on waiting. */
#define ANOTHER 100

static int take_tcp(struct modbus_link *m, const struct ask *a, const uint8_t sent[PDU], const uint8_t *adu, size_t n,
                    struct reply *ret)
{
    if (n < MBAP + 2 || adu[2] != 0 || adu[3] != 0 || (size_t)(adu[4] << 8 | adu[5]) + 6 != n)
        return -EPROTO; /* the stream is out of step: only a new connection gets it back */
    uint16_t back = (uint16_t)(m->transaction - (adu[0] << 8 | adu[1]));
    if (back != 0) {
        atomic_fetch_add(back < LATE_WINDOW ? &a->stats->late : &a->stats->bad, 1);
        return ANOTHER;
    }
    return adu[6] == a->unit ? take_pdu(a, sent, adu + MBAP, n - MBAP, ret) : ASK_BAD;
}

static int take_rtu(struct modbus_link *m, const struct ask *a, const uint8_t sent[PDU], const uint8_t *adu, size_t n,
                    struct reply *ret)
{
    /* Of another unit: libmodbus then returns 0, without looking at the CRC. */
    if (n < 5 || adu[0] != a->unit) {
        atomic_fetch_add(adu[0] == m->gave_up ? &a->stats->late : &a->stats->bad, 1);
        return ANOTHER;
    }
    return take_pdu(a, sent, adu + 1, n - 3, ret);
}

/* One frame, whose first byte is there. Like link_ops.ask, or ANOTHER. */
static int receive(struct modbus_link *m, const struct ask *a, const uint8_t sent[PDU], int64_t deadline_us,
                   struct reply *ret)
{
    uint8_t adu[MODBUS_TCP_MAX_ADU_LENGTH] = {0};
    int64_t left = deadline_us - wait_now_us();

    if (left < 1000)
        left = 1000; /* 0 would be refused */
    modbus_set_response_timeout(m->ctx, (uint32_t)(left / 1000000), (uint32_t)(left % 1000000));
    errno = 0;
    int n = modbus_receive_confirmation(m->ctx, adu);
    int e = errno;
    m->silent_at = wait_now_us();
    if (n >= 0)
        return m->tcp ? take_tcp(m, a, sent, adu, (size_t)n, ret) : take_rtu(m, a, sent, adu, (size_t)n, ret);
    if (e == ETIMEDOUT || e == EMBBADCRC || e == EMBBADDATA)
        return m->tcp ? -EPROTO : ASK_BAD; /* cut short, or damaged */
    return line_error(e);
}

static int64_t deadline_of(const struct modbus_link *m, const struct ask *a)
{
    /* Both messages take their time on the line before the device's own time begins. */
    int64_t chars = is_write(a->fc) ? 8 + 8 : 8 + 5 + (int64_t)data_bytes(a);
    return wait_now_us() + (int64_t)a->timeout_ms * 1000 + chars * m->char_ns / 1000;
}

static int await(struct modbus_link *m, const struct ask *a, const uint8_t sent[PDU], int64_t deadline,
                 struct reply *ret)
{
    for (;;) {
        int r = wait_fd(m->fd, POLLIN, m->stop_fd, deadline);
        if (r <= 0)
            return r < 0 ? r : ASK_TIMEOUT;
        r = receive(m, a, sent, deadline, ret);
        if (r != ANOTHER)
            return r;
        if (wait_now_us() >= deadline)
            return ASK_TIMEOUT; /* there is always another: the line babbles */
    }
}

/* After a reply that did not come, or was not good: bring the line back into step. */
static int settle(struct modbus_link *m, const struct ask *a, int r)
{
    int64_t now = wait_now_us(), wait = (int64_t)a->timeout_ms * 1000;

    if (m->tcp) {
        m->silent = r == ASK_TIMEOUT ? m->silent + 1 : 0;
        return m->silent >= SILENT_MAX ? -ETIMEDOUT : r;
    }
    if (r == ASK_TIMEOUT)
        m->gave_up = a->unit;
    if (r == ASK_TIMEOUT && !a->probe) {
        int late = drain(m, now + wait, now + 2 * wait);
        if (late > 0)
            atomic_fetch_add(&a->stats->late, 1);
        return late < 0 ? late : r;
    }
    if (r == ASK_BAD) {
        int junk = drain(m, now + QUIET_US, now + wait);
        return junk < 0 ? junk : r;
    }
    return r;
}

static int link_ask(struct link *l, const struct ask *a, struct reply *ret)
{
    struct modbus_link *m = of(l);
    uint8_t pdu[PDU];
    struct reply rep = {.exception = 0};

    ASSERT(a->n <= ASK_MAX || is_write(a->fc));
    if (m->fd < 0)
        return -ENOTCONN;
    make_pdu(a, pdu);
    int r = m->tcp ? send_tcp(m, a, pdu) : send_rtu(m, a, pdu);
    if (r == 0)
        r = await(m, a, pdu, deadline_of(m, a), &rep);
    if (r == ASK_BAD || r == -EPROTO)
        atomic_fetch_add(&a->stats->bad, 1);
    if (r >= 0)
        r = settle(m, a, r);
    if (r == 0 || r == ASK_EXCEPTION)
        *ret = rep;
    explicit_bzero(&rep, sizeof(rep));
    return r;
}

/* ---- opening ---- */

static void link_close(struct link *l)
{
    struct modbus_link *m = of(l);

    modbus_set_socket(m->ctx, -1);
    error_closep(&m->fd);
    m->fd = -1;
}

/* Gives libmodbus a descriptor of ours. Its select(2) cannot wait for large ones. */
static int adopt(struct modbus_link *m, int fd)
{
    if (fd >= FD_SETSIZE) {
        close(fd);
        return -EMFILE;
    }
    m->fd = fd;
    m->silent = 0;
    m->silent_at = wait_now_us();
    modbus_set_socket(m->ctx, fd);
    return 0;
}

static int link_open_rtu(struct link *l)
{
    struct modbus_link *m = of(l);
    enum port_rs485 rs485 = PORT_RS485_NOT_ASKED;
    int fd = -1, r = port_open(&m->port, &fd, &rs485);

    if (r != 0)
        return r;
    if (rs485 == PORT_RS485_UNKNOWN)
        log_info("bus.rs485", "device=%s hint=\"its driver cannot switch a transmitter, so the adapter has to\"",
                 log_q(m->port.serial ? m->port.serial : m->port.usb));
    return adopt(m, fd);
}

static int link_open_tcp(struct link *l)
{
    struct modbus_link *m = of(l);
    int fd = -1, r = dial(m->host, m->service, CONNECT_MS, m->stop_fd, &fd);

    if (r != 0)
        return r == DIAL_ABSENT ? LINK_ABSENT : r;
    return adopt(m, fd);
}

static void link_free(struct link *l)
{
    struct modbus_link *m = of(l);

    link_close(l);
    modbus_free(m->ctx);
    free(m);
}

static int link_fd(const struct link *l)
{
    return ((const struct modbus_link *)l)->fd;
}

static const struct link_ops rtu_ops = {.name = "modbus rtu",
                                        .open = link_open_rtu,
                                        .close = link_close,
                                        .free = link_free,
                                        .fd = link_fd,
                                        .ask = link_ask};
static const struct link_ops tcp_ops = {.name = "modbus tcp",
                                        .open = link_open_tcp,
                                        .close = link_close,
                                        .free = link_free,
                                        .fd = link_fd,
                                        .ask = link_ask};

/* Takes over ctx. */
static int link_new(modbus_t *ctx, const struct modbus_link *like, struct link **ret_link)
{
    struct modbus_link *m = ctx ? calloc(1, sizeof(*m)) : NULL;

    if (!m) {
        modbus_free(ctx);
        return -ENOMEM;
    }
    *m = *like;
    m->ctx = ctx;
    m->fd = -1;
    modbus_set_socket(ctx, -1);
    modbus_set_error_recovery(ctx, MODBUS_ERROR_RECOVERY_NONE);
    modbus_set_byte_timeout(ctx, 0, 0);
    *ret_link = &m->link;
    return 0;
}

int modbus_rtu_link_new(const struct port_settings *s, int stop_fd, struct link **ret_link)
{
    struct modbus_link like = {.link.ops = &rtu_ops, .port = *s, .stop_fd = stop_fd};

    like.char_ns = (int64_t)port_char_ns(s->baud, s->frame);
    like.gap_us = s->baud > 19200 ? FAST_GAP_US : (7 * like.char_ns / 2 + 999) / 1000;
    /* The device's name is never opened by libmodbus, nor are these modes set. */
    return link_new(modbus_new_rtu("/dev/null", 9600, 'N', 8, 1), &like, ret_link);
}

int modbus_tcp_link_new(const char *where, int stop_fd, struct link **ret_link)
{
    struct modbus_link like = {.link.ops = &tcp_ops, .tcp = true, .stop_fd = stop_fd};
    int r = dial_parse(where, like.host, sizeof(like.host), like.service, sizeof(like.service));

    if (r < 0)
        return r;
    return link_new(modbus_new_tcp("127.0.0.1", 502), &like, ret_link);
}
