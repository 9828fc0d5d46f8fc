/* What a program tells Prometheus: the text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/) and the one rule about who may ask: this machine
 * only. Who wants it elsewhere puts a proxy with TLS and a password in front. Nobody's cards, names or times of
 * presence ever stand in a metric. */
#pragma once

#include "base/buf.h"
#include "base/conf.h"

/* `metrics:` of both programs' configurations. */
struct metrics_settings {
    char *listen; /* "127.0.0.1:9464"; NULL: no metrics */
};
extern const struct conf_table metrics_table;

/* Parses address:port; the address stands in digits (a name may point elsewhere tomorrow) and is of loopback:
 * 127.0.0.0/8 or [::1]. Else -EINVAL. */
struct sockaddr_storage; /* of <sys/socket.h>, whose names not everybody wants */
int metrics_address(const char *listen, struct sockaddr_storage *ret, unsigned *ret_n);

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };
/* HELP and TYPE; its samples follow, all of them before the next family. */
void metrics_family(struct buf *b, enum metrics_type type, const char *name, const char *help);

/* Up to three labels; a NULL name ends them. Values may be any UTF-8 text. */
struct metrics_label {
    const char *name, *value;
};
#define METRICS_LABELS 3
void metrics_value(struct buf *b, const char *name, const struct metrics_label l[METRICS_LABELS], uint64_t v);
/* Microseconds, shown as seconds; UINT64_MAX: +Inf. */
void metrics_seconds(struct buf *b, const char *name, const struct metrics_label l[METRICS_LABELS], uint64_t us);

/* How long something takes. One thread's. */
#define METRICS_BUCKETS 11
struct metrics_times {
    uint64_t bucket[METRICS_BUCKETS + 1]; /* not cumulative; the last one: longer than all bounds */
    uint64_t sum_us;
};
void metrics_took(struct metrics_times *t, uint64_t us);
void metrics_histogram(struct buf *b, const char *name, const struct metrics_times *t);
