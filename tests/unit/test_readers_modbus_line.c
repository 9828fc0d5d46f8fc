/* Modbus links on a bad line: slow bytes, noise, a peer that hangs up or never stops, a stop of our own. */
#include "tests/unit/readers_peer.h"

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
    const struct CMUnitTest tests[] = {
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
