/* The broker's thread against peers that are not there, or there and silent: it goes on trying, publishes nothing, and
 * stops when told. A real broker is the end-to-end tests' business. */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/unit/cloud_gateway.h"

#include "cloud/broker.h"
#include "cloud/pki.h"

struct world {
    char dir[64], ca[96], crt[96], key[96];
    int listener;
    uint16_t port;
    unsigned messages;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    assert_int_equal(crypto_init(), 0);
    tmp_dir(w->dir, sizeof w->dir);
    snprintf(w->ca, sizeof w->ca, "%s/ca.crt", w->dir);
    snprintf(w->crt, sizeof w->crt, "%s/cloud.crt", w->dir);
    snprintf(w->key, sizeof w->key, "%s/cloud.key", w->dir);
    assert_int_equal(pki_ca_create(w->dir, "Test CA"), 0);
    assert_int_equal(pki_issue(w->dir, "cloud", "punchcloud", NULL, 0, PKI_CLIENT), 0);
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&a, &n), 0);
    w->port = ntohs(a.sin_port);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    close(w->listener);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

static void on_message(void *arg, const char *topic, struct bytes payload)
{
    struct world *w = arg;
    w->messages++;
}

static struct broker *start(struct world *w)
{
    struct broker_conf conf = {.host = "127.0.0.1",
                               .port = w->port,
                               .ca = w->ca,
                               .crt = w->crt,
                               .key = w->key,
                               .client_id = "punchcloud",
                               .backoff_min = 10,
                               .backoff_max = 50,
                               .on_message = on_message,
                               .arg = w};
    struct broker *b;
    assert_int_equal(broker_start(&conf, &b), 0);
    return b;
}

static int accept_one(struct world *w)
{
    struct pollfd p = {.fd = w->listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
    int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void comes_back_again_and_again(void **state)
{
    struct world *w = *state;
    struct broker *b = start(w); /* nobody listens yet */
    broker_publish(b, "punch/v1/0/0000000000000000/ack", BYTES("x", 1));
    assert_int_equal(listen(w->listener, 4), 0);
    for (int i = 0; i < 5; i++)
        close(accept_one(w)); /* gone in the middle of the handshake */
    int fd = accept_one(w);
    assert_true(write(fd, "HTTP/1.0 400 no\r\n\r\n", 19) == 19); /* not TLS */
    int next = accept_one(w);
    assert_false(broker_connected(b));
    assert_true(broker_stop(b));
    assert_int_equal(w->messages, 0);
    close(fd);
    close(next);
}

static void a_silent_peer_does_not_hold_it(void **state)
{
    struct world *w = *state;
    assert_int_equal(listen(w->listener, 4), 0);
    struct broker *b = start(w);
    int fd = accept_one(w); /* and says nothing */
    assert_false(broker_connected(b));
    assert_true(broker_stop(b));
    close(fd);
}

static void unreadable_keys_are_no_end(void **state)
{
    struct world *w = *state;
    assert_int_equal(listen(w->listener, 4), 0);
    assert_int_equal(unlink(w->key), 0);
    struct broker *b = start(w);
    usleep(100000);
    assert_int_equal(pki_issue(w->dir, "cloud", "punchcloud", NULL, 0, PKI_CLIENT), 0);
    close(accept_one(w)); /* once the key is there it connects */
    assert_true(broker_stop(b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_peer_does_not_hold_it, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_keys_are_no_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
