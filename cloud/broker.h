/* The MQTT side of ingest: one thread that owns libmosquitto. MQTT 5, mutual TLS, clean start, a new handle for each
 * connection, and nothing published while down: what is lost is sent again, because no ack came. */
#pragma once

#include "base/buf.h"

struct broker_conf {
    const char *host;
    uint16_t port;
    const char *ca, *crt, *key; /* paths */
    const char *client_id;
    uint64_t backoff_min, backoff_max; /* ms */
    /* Called in the broker's thread; must not block. */
    void (*on_message)(void *arg, const char *topic, struct bytes payload);
    void (*on_connect)(void *arg);
    void *arg;
};
struct broker;
int broker_start(const struct broker_conf *conf, struct broker **ret_broker); /* copies the conf's strings */
/* Takes NULL. False: its thread hangs in DNS or connect(2), which libmosquitto cannot be called back from; it is left
 * behind with what it uses, for the process to end. */
bool broker_stop(struct broker *b);
/* Queues for publishing with QoS 1; dropped when the queue is full or nobody is connected. Thread-safe. */
void broker_publish(struct broker *b, const char *topic, struct bytes payload);
bool broker_connected(struct broker *b);
