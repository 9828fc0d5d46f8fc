/* The broker's thread; see broker.h. The only file of the cloud that includes mosquitto.h. All its calls are made in
 * this one thread; others reach it by a bounded queue, whose descriptor is polled beside the socket. */
#include "cloud/broker.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/babble.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "wire/topic.h"

#define KEEPALIVE_S 30
#define OUT_MAX 1024
#define POLL_MS 1000
#define CONNACK_MS 15000 /* from TCP's connection to the broker's yes; libmosquitto would wait for ever */
#define STOP_S 5

struct out {
    char topic[TOPIC_MAX];
    uint8_t *p;
    size_t n;
};

struct broker {
    struct broker_conf conf;
    char *host, *ca, *crt, *key, *id;
    struct queue *out;
    int stop_fd;
    pthread_t thread;
    bool started;
    atomic_bool stop, connected;
    bool up;         /* CONNACK was good; this thread's own */
    size_t unproved; /* published, no PUBACK yet; this thread's own */
    struct babble babble;
};

static const char *const subscriptions[] = {"punch/v1/+/+/up", "punch/v1/+/+/status"};

/* ---- callbacks, inside mosquitto_loop_read() ---- */

static void on_connect(struct mosquitto *m, void *arg, int reason, int flags, const mosquitto_property *props)
{
    struct broker *b = arg;
    if (reason != 0) {
        log_warn("broker.refused", "host=%s port=%u reason=%s", log_q(b->conf.host), b->conf.port,
                 log_q(mosquitto_reason_string(reason)));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(subscriptions); i++)
        if (mosquitto_subscribe_v5(m, NULL, subscriptions[i], 1, 0, NULL) != MOSQ_ERR_SUCCESS)
            log_error("broker.subscribe", "topic=%s", subscriptions[i]);
}

static void on_subscribe(struct mosquitto *m, void *arg, int mid, int n, const int *granted,
                         const mosquitto_property *props)
{
    struct broker *b = arg;
    for (int i = 0; i < n; i++)
        if (granted[i] >= 128) {
            log_error("broker.subscribe", "reason=%s hint=\"check its access list\"",
                      log_q(mosquitto_reason_string(granted[i])));
            return;
        }
    if (!b->up) {
        b->up = true;
        atomic_store(&b->connected, true);
        log_note("broker.connected", "host=%s port=%u", log_q(b->conf.host), b->conf.port);
        if (b->conf.on_connect != NULL)
            b->conf.on_connect(b->conf.arg);
    }
}

static void on_message(struct mosquitto *m, void *arg, const struct mosquitto_message *msg,
                       const mosquitto_property *props)
{
    struct broker *b = arg;
    babble_used(&b->babble, msg->payloadlen > 0 ? (size_t)msg->payloadlen : 0);
    if (msg->payloadlen >= 0)
        b->conf.on_message(b->conf.arg, msg->topic, BYTES(msg->payload, (size_t)msg->payloadlen));
}

static void on_publish(struct mosquitto *m, void *arg, int mid, int reason, const mosquitto_property *props)
{
    struct broker *b = arg;
    babble_used(&b->babble, 0);
    if (b->unproved > 0)
        b->unproved--;
}

/* ---- one connection ---- */

static struct mosquitto *handle_new(struct broker *b)
{
    struct mosquitto *m = mosquitto_new(b->id, true, b);
    if (m == NULL)
        return NULL;
    mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1); /* an ack must not wait for the ACK of what went before */
    mosquitto_connect_v5_callback_set(m, on_connect);
    mosquitto_subscribe_v5_callback_set(m, on_subscribe);
    mosquitto_message_v5_callback_set(m, on_message);
    mosquitto_publish_v5_callback_set(m, on_publish);
    int rc = mosquitto_tls_set(m, b->ca, NULL, b->crt, b->key, NULL);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_tls_opts_set(m, 1, NULL, NULL); /* peer verified; TLS 1.2 and up is the library's floor */
    if (rc != MOSQ_ERR_SUCCESS) {
        log_error("broker.tls", "error=%s", log_q(mosquitto_strerror(rc)));
        mosquitto_destroy(m);
        return NULL;
    }
    return m;
}

static void drop_out(struct broker *b)
{
    struct out o;
    while (queue_pop(b->out, &o) == 0)
        free(o.p);
}

static void publish_out(struct broker *b, struct mosquitto *m)
{
    struct out o;
    while (queue_pop(b->out, &o) == 0) {
        /* The library keeps what has no PUBACK: a broker that gives none must not fill our memory with acks. What is
         * dropped is asked for again, because no ack came. */
        if (b->up && b->unproved < OUT_MAX) {
            int rc = mosquitto_publish_v5(m, NULL, o.topic, (int)o.n, o.p, 1, false, NULL);
            if (rc == MOSQ_ERR_SUCCESS)
                b->unproved++;
            else
                log_warn("broker.publish", "topic=%s error=%s", o.topic, log_q(mosquitto_strerror(rc)));
        }
        free(o.p);
    }
}

/* Until the connection is lost (a mosquitto error) or stop is asked for (MOSQ_ERR_SUCCESS). */
static int serve(struct broker *b, struct mosquitto *m)
{
    int rc = MOSQ_ERR_SUCCESS;
    int64_t began = clock_ms();
    babble_begin(&b->babble);
    while (rc == MOSQ_ERR_SUCCESS && !atomic_load(&b->stop)) {
        int fd = mosquitto_socket(m);
        if (fd < 0 || (!b->up && clock_ms() - began > CONNACK_MS))
            return MOSQ_ERR_CONN_LOST;
        struct pollfd p[3] = {
            {.fd = fd, .events = (short)(POLLIN | POLLRDHUP | (mosquitto_want_write(m) ? POLLOUT : 0))},
            {.fd = queue_fd(b->out), .events = POLLIN},
            {.fd = b->stop_fd, .events = POLLIN},
        };
        if (poll(p, ARRAY_LEN(p), POLL_MS) < 0 && errno != EINTR)
            return MOSQ_ERR_ERRNO;
        if (p[1].revents != 0)
            publish_out(b, m);
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
            rc = mosquitto_loop_read(m, 32);
        if (rc == MOSQ_ERR_SUCCESS && mosquitto_want_write(m))
            rc = mosquitto_loop_write(m, 32);
        if (rc == MOSQ_ERR_SUCCESS)
            rc = mosquitto_loop_misc(m);
        /* libmosquitto takes a reset inside the TLS handshake for "not yet"; it would spin here until the deadline. */
        if (rc == MOSQ_ERR_SUCCESS && !b->up && (p[0].revents & (POLLERR | POLLHUP | POLLRDHUP)))
            rc = MOSQ_ERR_CONN_LOST;
        if (rc == MOSQ_ERR_SUCCESS && babble_over(&b->babble, fd)) {
            log_warn("broker.babbles",
                     "host=%s port=%u reason=\"sends what nobody asked for\" action=\"connecting again\"",
                     log_q(b->conf.host), b->conf.port);
            rc = MOSQ_ERR_OVERSIZE_PACKET;
        }
    }
    if (rc == MOSQ_ERR_SUCCESS) {
        publish_out(b, m); /* the acks of the last batch */
        mosquitto_disconnect_v5(m, 0, NULL);
        mosquitto_loop_write(m, 32);
    }
    return rc;
}

struct session {
    struct broker *b;
    struct mosquitto *m;
    int rc;
};

static void serve_session(void *arg)
{
    struct session *s = arg;
    s->rc = serve(s->b, s->m);
}

/* What libmosquitto cannot bear ends the connection, not us (base/guard.h). */
static int serve_guarded(struct broker *b, struct mosquitto *m)
{
    struct session s = {.b = b, .m = m};
    return guard_call(serve_session, &s) == GUARD_FAILED ? MOSQ_ERR_PROTOCOL : s.rc;
}

static void connect_once(struct broker *b, bool *ret_was_up)
{
    struct mosquitto *m = handle_new(b);
    if (m == NULL)
        return;
    b->up = false;
    b->unproved = 0;
    int rc = mosquitto_connect_bind_v5(m, b->host, b->conf.port, KEEPALIVE_S, NULL, NULL);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = serve_guarded(b, m);
    *ret_was_up = b->up;
    atomic_store(&b->connected, false);
    if (!atomic_load(&b->stop))
        log_warn("broker.away", "host=%s port=%u error=%s action=retrying", log_q(b->conf.host), b->conf.port,
                 log_q(rc == MOSQ_ERR_ERRNO ? error_str(-errno) : mosquitto_strerror(rc)));
    mosquitto_destroy(m);
    drop_out(b);
}

/* Full jitter: anything between the minimum and the present step. */
static void back_off(struct broker *b, uint64_t step)
{
    uint64_t r = 0;
    if (crypto_random(&r, sizeof r) != 0)
        r = step;
    uint64_t span = step > b->conf.backoff_min ? step - b->conf.backoff_min : 0;
    uint64_t ms = b->conf.backoff_min + r % (span + 1);
    struct pollfd p = {.fd = b->stop_fd, .events = POLLIN};
    poll(&p, 1, ms > INT32_MAX ? INT32_MAX : (int)ms);
}

static void *run(void *arg)
{
    struct broker *b = arg;
    uint64_t step = b->conf.backoff_min;
    while (!atomic_load(&b->stop)) {
        bool was_up = false;
        connect_once(b, &was_up);
        if (was_up)
            step = b->conf.backoff_min;
        if (!atomic_load(&b->stop))
            back_off(b, step);
        step = step * 2 < b->conf.backoff_max ? step * 2 : b->conf.backoff_max;
    }
    return NULL;
}

/* ---- from outside ---- */

static void broker_free(struct broker *b)
{
    if (b->out != NULL)
        drop_out(b);
    queue_free(b->out);
    if (b->stop_fd >= 0)
        close(b->stop_fd);
    free(b->host);
    free(b->ca);
    free(b->crt);
    free(b->key);
    free(b->id);
    free(b);
    mosquitto_lib_cleanup();
}

int broker_start(const struct broker_conf *conf, struct broker **ret_broker)
{
    struct broker *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    mosquitto_lib_init();
    b->conf = *conf;
    b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b->host = strdup(conf->host);
    b->ca = strdup(conf->ca);
    b->crt = strdup(conf->crt);
    b->key = strdup(conf->key);
    b->id = strdup(conf->client_id);
    int r = b->stop_fd < 0 ? -errno : queue_new(sizeof(struct out), OUT_MAX, &b->out);
    if (r == 0 && (b->host == NULL || b->ca == NULL || b->crt == NULL || b->key == NULL || b->id == NULL))
        r = -ENOMEM;
    b->conf.host = b->host; /* the caller's strings may go */
    if (r == 0)
        r = -pthread_create(&b->thread, NULL, run, b);
    if (r != 0) {
        broker_free(b);
        return r;
    }
    b->started = true;
    *ret_broker = b;
    return 0;
}

bool broker_stop(struct broker *b)
{
    if (b == NULL)
        return true;
    struct timespec until;
    uint64_t one = 1;
    atomic_store(&b->stop, true);
    if (write(b->stop_fd, &one, sizeof one) < 0)
        log_error("broker.stop", "error=%s", log_q(error_str(-errno)));
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    if (pthread_timedjoin_np(b->thread, NULL, &until) != 0) {
        log_warn("broker.stop", "host=%s reason=\"still connecting\" action=\"left behind\"", log_q(b->conf.host));
        pthread_detach(b->thread);
        return false;
    }
    broker_free(b);
    return true;
}

void broker_publish(struct broker *b, const char *topic, struct bytes payload)
{
    struct out o = {.n = payload.n};
    if (!atomic_load(&b->connected) || str_copy(o.topic, sizeof o.topic, topic) != 0)
        return;
    o.p = malloc(payload.n == 0 ? 1 : payload.n);
    if (o.p == NULL)
        return;
    if (payload.n > 0)
        memcpy(o.p, payload.p, payload.n);
    if (queue_push(b->out, &o) != 0)
        free(o.p);
}

bool broker_connected(struct broker *b)
{
    return atomic_load(&b->connected);
}
