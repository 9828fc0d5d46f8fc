/* The only file of the gateway that knows libmosquitto. Everything below `thread_main` runs in the uplink's thread;
 * the rest on the loop. */
#include "daemon/uplink.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/babble.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "wire/ack.h"

#define OUT_MAX 32u /* twice the window, and room for a status */
#define IN_MAX 128u
#define STOP_MS 2000
#define CONNECT_MS 30000 /* from TCP to CONNACK and SUBACK */
#define POLL_MS 1000
#define UNCONFIRMED_MAX 64 /* libmosquitto keeps what a hostile broker does not confirm */
#define REPORTS_ROUND 16   /* at a time: a flood of forged acks must not hold up a beep */

enum order_kind { ORDER_PUBLISH, ORDER_SESSION, ORDER_STOP };
struct order { /* loop to thread */
    enum order_kind kind;
    enum topic_leaf leaf;
    uint64_t link; /* the connection it belongs to */
    struct buf msg, will;
};

enum report_kind { REPORT_WANT_SESSION, REPORT_UP, REPORT_DOWN, REPORT_ACK };
struct report { /* thread to loop */
    enum report_kind kind;
    uint64_t link;
    struct buf msg;
    char why[96];
};

struct uplink {
    struct uplink_options o;
    struct uplink_calls calls;
    struct queue *orders, *reports;
    struct loop_io *io;
    pthread_t thread;
    bool started;
    uint64_t link, given; /* the loop's: of the last REPORT_UP, and the last that got its session */
    /* the thread's own */
    struct mosquitto *mosq;
    uint64_t my_link;
    bool connected, subscribed, lost, stopping, asserted;
    int ack_mid;
    unsigned unconfirmed;
    struct babble babble;
    char why[96];
    char id[2 * GW_LEN + 1], topic_up[TOPIC_MAX], topic_ack[TOPIC_MAX], topic_status[TOPIC_MAX];
    struct buf online;
    uint64_t rng;
    _Atomic uint64_t connects, failures, published, refused, dropped_acks;
};

static void order_done(struct order *o)
{
    buf_done(&o->msg);
    buf_done(&o->will);
}

/* ---- the thread ---- */

static void report(struct uplink *u, struct report *r)
{
    r->link = u->my_link;
    /* An ack that finds no room is lost like one on the network: acks are cumulative. The others must arrive. */
    if (r->kind == REPORT_ACK) {
        if (queue_push(u->reports, r) != 0) {
            buf_done(&r->msg);
            atomic_fetch_add(&u->dropped_acks, 1);
        }
        return;
    }
    int rc;
    while ((rc = queue_push_wait(u->reports, r, 1000)) == QUEUE_FULL)
        ;
    if (rc != 0)
        u->stopping = true;
}

static void lose(struct uplink *u, const char *why)
{
    if (u->why[0] == '\0')
        snprintf(u->why, sizeof(u->why), "%s", why);
    u->lost = true;
}

static void on_connect(struct mosquitto *m, void *arg, int rc, int flags, const mosquitto_property *props)
{
    struct uplink *u = arg;
    (void)flags;
    (void)props;
    if (rc != 0) {
        lose(u, mosquitto_reason_string(rc));
        return;
    }
    if (u->connected)
        return; /* once is enough */
    u->connected = true;
    if (mosquitto_subscribe_v5(m, &u->ack_mid, u->topic_ack, 1, 0, NULL) != MOSQ_ERR_SUCCESS)
        lose(u, "subscribe");
}

static void on_subscribe(struct mosquitto *m, void *arg, int mid, int n, const int *qos,
                         const mosquitto_property *props)
{
    struct uplink *u = arg;
    (void)props;
    if (mid != u->ack_mid || u->subscribed)
        return;
    if (n < 1 || qos[0] >= 0x80) {
        lose(u, "subscription to acks refused");
        return;
    }
    if (mosquitto_publish_v5(m, NULL, u->topic_status, (int)u->online.len, u->online.p, 1, true, NULL) !=
        MOSQ_ERR_SUCCESS) {
        lose(u, "publish status");
        return;
    }
    u->unconfirmed++;
    u->subscribed = true;
    atomic_fetch_add(&u->connects, 1);
    struct report r = {.kind = REPORT_UP};
    report(u, &r);
}

static void on_disconnect(struct mosquitto *m, void *arg, int rc, const mosquitto_property *props)
{
    (void)m;
    (void)props;
    lose(arg, rc == 0 ? "closed" : rc >= 0x80 ? mosquitto_reason_string(rc) : mosquitto_strerror(rc));
}

static void on_message(struct mosquitto *m, void *arg, const struct mosquitto_message *msg,
                       const mosquitto_property *props)
{
    struct uplink *u = arg;
    (void)m;
    (void)props;
    babble_used(&u->babble, msg->payloadlen > 0 ? (size_t)msg->payloadlen : 0);
    if (strcmp(msg->topic, u->topic_ack) != 0 || msg->payloadlen <= 0 || (size_t)msg->payloadlen > ACK_MSG_MAX) {
        atomic_fetch_add(&u->dropped_acks, 1);
        return;
    }
    struct report r = {.kind = REPORT_ACK};
    buf_init(&r.msg, ACK_MSG_MAX);
    if (buf_add(&r.msg, msg->payload, (size_t)msg->payloadlen) == 0)
        report(u, &r);
    else
        buf_done(&r.msg);
}

static void on_publish(struct mosquitto *m, void *arg, int mid, int reason, const mosquitto_property *props)
{
    struct uplink *u = arg;
    (void)m;
    (void)mid;
    (void)props;
    babble_used(&u->babble, 0);
    u->unconfirmed -= u->unconfirmed > 0;
    if (reason >= 0x80) {
        atomic_fetch_add(&u->refused, 1);
        log_warn("uplink.refused", "reason=%s action=\"sent again later\"", log_q(mosquitto_reason_string(reason)));
    }
}

static int mosq_make(struct uplink *u, const struct buf *will)
{
    struct mosquitto *m = mosquitto_new(u->id, true, u);
    if (!m)
        return MOSQ_ERR_NOMEM;
    u->mosq = m;
    mosquitto_connect_v5_callback_set(m, on_connect);
    mosquitto_subscribe_v5_callback_set(m, on_subscribe);
    mosquitto_disconnect_v5_callback_set(m, on_disconnect);
    mosquitto_message_v5_callback_set(m, on_message);
    mosquitto_publish_v5_callback_set(m, on_publish);
    int rc = mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    if (rc == 0) /* a small packet behind another would wait for the peer's delayed ACK, 40 ms */
        rc = mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
    if (rc == 0)
        rc = mosquitto_tls_set(m, u->o.ca_file, NULL, u->o.cert_file, u->o.key_file, NULL);
    if (rc == 0)
        rc = mosquitto_tls_opts_set(m, 1, NULL, NULL); /* the broker's certificate and name are checked; TLS 1.2 up */
    if (rc == 0)
        rc = mosquitto_will_set_v5(m, u->topic_status, (int)will->len, will->p, 1, true, NULL);
    return rc;
}

static void mosq_drop(struct uplink *u)
{
    if (u->mosq)
        mosquitto_destroy(u->mosq);
    u->mosq = NULL;
    buf_done(&u->online);
}

static void publish(struct uplink *u, const struct order *o)
{
    if (o->link != u->my_link || !u->subscribed || u->lost)
        return;
    const char *topic = o->leaf == TOPIC_STATUS ? u->topic_status : u->topic_up;
    int rc = mosquitto_publish_v5(u->mosq, NULL, topic, (int)o->msg.len, o->msg.p, 1, o->leaf == TOPIC_STATUS, NULL);
    if (rc == MOSQ_ERR_SUCCESS)
        atomic_fetch_add(&u->published, 1);
    else
        lose(u, mosquitto_strerror(rc));
    if (++u->unconfirmed > UNCONFIRMED_MAX)
        lose(u, "the broker confirms nothing");
}

/* Everything the loop asked for; a session that nobody waits for any more is thrown away. */
static void take_orders(struct uplink *u)
{
    struct order o;
    int rc;
    while (!u->stopping && (rc = queue_pop_wait(u->orders, &o, 0)) != QUEUE_EMPTY) {
        if (rc == QUEUE_CLOSED) {
            u->stopping = true;
            break;
        }
        if (o.kind == ORDER_PUBLISH) {
            publish(u, &o);
        } else if (o.kind == ORDER_STOP) {
            u->stopping = true;
            if (o.msg.len > 0) {
                o.link = u->my_link;
                publish(u, &o);
            }
        }
        order_done(&o);
    }
}

static void serve(void *arg)
{
    struct uplink *u = arg;
    int64_t began = clock_ms();
    babble_begin(&u->babble);
    while (!u->lost && !u->stopping) {
        int sock = mosquitto_socket(u->mosq);
        if (sock < 0) {
            lose(u, "socket closed");
            break;
        }
        struct pollfd fds[2] = {{.fd = sock, .events = POLLIN | POLLRDHUP},
                                {.fd = queue_fd(u->orders), .events = POLLIN}};
        if (mosquitto_want_write(u->mosq))
            fds[0].events |= POLLOUT;
        if (poll(fds, 2, POLL_MS) < 0 && errno != EINTR) {
            lose(u, error_str(-errno));
            break;
        }
        int rc = MOSQ_ERR_SUCCESS;
        if (fds[0].revents & (POLLIN | POLLERR | POLLHUP))
            rc = mosquitto_loop_read(u->mosq, 1);
        if (rc == MOSQ_ERR_SUCCESS && (fds[0].revents & POLLOUT))
            rc = mosquitto_loop_write(u->mosq, 1);
        if (rc == MOSQ_ERR_SUCCESS)
            rc = mosquitto_loop_misc(u->mosq);
        if (rc != MOSQ_ERR_SUCCESS)
            lose(u, mosquitto_strerror(rc));
        /* libmosquitto takes a reset inside the TLS handshake for "not yet" and would spin until the keep-alive. */
        if (!u->connected && (fds[0].revents & (POLLERR | POLLHUP | POLLRDHUP)))
            lose(u, "closed during the handshake");
        if (babble_over(&u->babble, sock))
            lose(u, "the broker babbles");
        if (!u->subscribed && clock_ms() > began + CONNECT_MS)
            lose(u, "no answer from the broker");
        take_orders(u);
    }
}

/* It holds no lock where it checks packets, so its handle can still be destroyed after a failed assertion. */
static void serve_guarded(struct uplink *u)
{
    if (guard_call(serve, u) == GUARD_FAILED) {
        u->asserted = true;
        lose(u, "the broker sends what the MQTT library cannot bear");
    }
}

/* Says goodbye: a clean DISCONNECT, so that the will stays unpublished. */
static void farewell(struct uplink *u)
{
    if (!u->subscribed || u->lost)
        return;
    int64_t until = clock_ms() + STOP_MS / 4;
    while (mosquitto_want_write(u->mosq) && clock_ms() < until && mosquitto_loop_write(u->mosq, 1) == 0)
        ;
    mosquitto_disconnect_v5(u->mosq, 0, NULL);
    (void)mosquitto_loop_write(u->mosq, 1);
}

/* Asks the loop for a session and waits for it; false when the process is to stop. */
static bool want_session(struct uplink *u, struct order *ret)
{
    struct report r = {.kind = REPORT_WANT_SESSION};
    report(u, &r);
    while (!u->stopping) {
        struct order o;
        int rc = queue_pop_wait(u->orders, &o, 1000);
        if (rc == QUEUE_CLOSED)
            u->stopping = true;
        else if (rc == QUEUE_EMPTY)
            report(u, &r); /* the answer found no room among a dead connection's uploads */
        if (rc != 0)
            continue;
        if (o.kind == ORDER_SESSION && o.link == u->my_link) {
            *ret = o;
            return true;
        }
        if (o.kind == ORDER_STOP)
            u->stopping = true;
        order_done(&o);
    }
    return false;
}

static void attempt(struct uplink *u)
{
    struct order session;
    u->my_link++;
    u->connected = u->subscribed = u->lost = u->asserted = false;
    u->unconfirmed = 0;
    u->why[0] = '\0';
    if (!want_session(u, &session))
        return;
    u->online = session.msg;
    session.msg = (struct buf){0};
    int rc = session.will.len == 0 || u->online.len == 0 ? MOSQ_ERR_UNKNOWN : mosq_make(u, &session.will);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_connect_bind_v5(u->mosq, u->o.host, u->o.port, (int)u->o.keepalive_s, NULL, NULL);
    order_done(&session);
    if (rc == MOSQ_ERR_SUCCESS)
        serve_guarded(u);
    else
        lose(u, rc == MOSQ_ERR_ERRNO ? error_str(-errno) : mosquitto_strerror(rc));
    if (u->stopping && u->mosq)
        farewell(u);
    if (!u->subscribed)
        atomic_fetch_add(&u->failures, 1);
    if (!u->stopping) {
        struct report r = {.kind = REPORT_DOWN};
        snprintf(r.why, sizeof(r.why), "%s", u->why);
        report(u, &r);
    }
    mosq_drop(u);
}

/* Pauses, but wakes for the order to stop. Orders to publish that come meanwhile belong to a dead connection. */
static void pause_ms(struct uplink *u, uint64_t ms)
{
    int64_t until = clock_ms() + (int64_t)ms;
    int64_t left;
    while (!u->stopping && (left = until - clock_ms()) > 0) {
        struct order o;
        int rc = queue_pop_wait(u->orders, &o, (unsigned)left);
        if (rc == QUEUE_CLOSED)
            u->stopping = true;
        if (rc != 0)
            continue;
        if (o.kind == ORDER_STOP)
            u->stopping = true;
        order_done(&o);
    }
}

static void *thread_main(void *arg)
{
    struct uplink *u = arg;
    uint64_t wait = u->o.backoff_min_ms;
    while (!u->stopping) {
        int64_t began = clock_ms();
        attempt(u);
        /* A connection that held for a while was a good one; one that breaks at once is like none. */
        if (u->subscribed && !u->asserted && clock_ms() - began > (int64_t)u->o.backoff_min_ms)
            wait = u->o.backoff_min_ms;
        u->rng ^= u->rng << 13;
        u->rng ^= u->rng >> 7;
        u->rng ^= u->rng << 17;
        if (!u->stopping)
            pause_ms(u, wait / 2 + u->rng % (wait / 2 + 1));
        wait = 2 * wait < u->o.backoff_max_ms ? 2 * wait : u->o.backoff_max_ms;
    }
    return NULL;
}

/* ---- the loop ---- */

static void give_session(struct uplink *u, uint64_t link)
{
    struct uplink_session s = {0};
    if (link == u->given)
        return; /* asked twice while we were slow; a second one would have another `conn` than the will's */
    u->calls.session(u->calls.arg, &s);
    struct order o = {.kind = ORDER_SESSION, .link = link, .msg = s.online, .will = s.will};
    if (queue_push(u->orders, &o) == 0)
        u->given = link;
    else
        order_done(&o); /* full of a dead connection's uploads; the thread empties it and asks again */
}

static void on_reports(void *arg, uint32_t events)
{
    struct uplink *u = arg;
    struct report r;
    (void)events;
    for (unsigned i = 0; i < REPORTS_ROUND && queue_pop(u->reports, &r) == 0; i++) {
        switch (r.kind) {
        case REPORT_WANT_SESSION:
            give_session(u, r.link);
            break;
        case REPORT_UP:
            u->link = r.link;
            u->calls.up(u->calls.arg);
            break;
        case REPORT_DOWN:
            u->link = 0;
            u->calls.down(u->calls.arg, r.why);
            break;
        case REPORT_ACK:
            if (r.link == u->link)
                u->calls.ack(u->calls.arg, buf_bytes(&r.msg));
            break;
        }
        buf_done(&r.msg);
    }
}

static void release(struct uplink *u)
{
    struct order o;
    struct report r;
    loop_io_free(u->io);
    while (u->orders && queue_pop(u->orders, &o) == 0)
        order_done(&o);
    while (u->reports && queue_pop(u->reports, &r) == 0)
        buf_done(&r.msg);
    queue_free(u->orders);
    queue_free(u->reports);
    mosquitto_lib_cleanup();
    free(u);
}

int uplink_start(struct loop *l, const struct uplink_options *o, const struct uplink_calls *calls, struct uplink **ret)
{
    struct uplink *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->o = *o;
    u->calls = *calls;
    u->rng = o->seed | 1;
    str_hex(o->gw, GW_LEN, u->id);
    topic_make(o->gw, TOPIC_UP, u->topic_up);
    topic_make(o->gw, TOPIC_ACK, u->topic_ack);
    topic_make(o->gw, TOPIC_STATUS, u->topic_status);
    mosquitto_lib_init();
    int r = queue_new(sizeof(struct order), OUT_MAX, &u->orders);
    if (r == 0)
        r = queue_new(sizeof(struct report), IN_MAX, &u->reports);
    if (r == 0)
        r = loop_io_new(l, queue_fd(u->reports), EPOLLIN, on_reports, u, &u->io);
    if (r == 0)
        r = -pthread_create(&u->thread, NULL, thread_main, u);
    if (r != 0) {
        release(u);
        return r;
    }
    *ret = u;
    return 0;
}

int uplink_send(struct uplink *u, enum topic_leaf leaf, struct buf *msg)
{
    struct order o = {.kind = ORDER_PUBLISH, .leaf = leaf, .link = u->link, .msg = *msg};
    if (queue_push(u->orders, &o) != 0)
        return UPLINK_FULL;
    *msg = (struct buf){0};
    return 0;
}

void uplink_counts(const struct uplink *u, struct uplink_counts *ret)
{
    ret->connects = atomic_load(&u->connects);
    ret->failures = atomic_load(&u->failures);
    ret->published = atomic_load(&u->published);
    ret->refused = atomic_load(&u->refused);
    ret->dropped_acks = atomic_load(&u->dropped_acks);
}

int uplink_stop(struct uplink *u, struct buf *last)
{
    if (!u)
        return 0;
    struct order o = {.kind = ORDER_STOP, .leaf = TOPIC_STATUS, .msg = *last};
    *last = (struct buf){0};
    if (queue_push_wait(u->orders, &o, STOP_MS / 4) != 0)
        order_done(&o);
    queue_close(u->orders); /* wakes who waits */
    queue_close(u->reports);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_MS / 1000;
    if (pthread_timedjoin_np(u->thread, NULL, &until) != 0) {
        loop_io_free(u->io);
        u->io = NULL;
        return UPLINK_STUCK;
    }
    release(u);
    return 0;
}
