/* Modbus links against a peer in a thread, over a real pty pair and a real TCP connection: what is taken as the reply,
 * and everything that must not be. */
#include "tests/unit/readers_peer.h"

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

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
