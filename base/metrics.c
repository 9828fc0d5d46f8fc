#include "base/metrics.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

/* ---- settings ---- */

static const struct conf_key keys[] = {
    {.name = "listen",
     .type = CONF_STRING,
     .off = offsetof(struct metrics_settings, listen),
     .max = 64,
     .help = "Loopback address and port where /metrics is served in plain HTTP; off when absent.",
     .example = "127.0.0.1:9464"},
};

static void check(struct conf *c, void *object)
{
    struct metrics_settings *s = object;
    struct sockaddr_storage a;
    unsigned n;
    if (s->listen && metrics_address(s->listen, &a, &n) != 0)
        conf_mistake(c, &s->listen,
                     "write a loopback address and a port, such as 127.0.0.1:9464 or [::1]:9464; metrics have no TLS");
}

const struct conf_table metrics_table = {
    .what = "metrics", .size = sizeof(struct metrics_settings), .keys = keys, .n = ARRAY_LEN(keys), .check = check};

int metrics_address(const char *listen, struct sockaddr_storage *ret, unsigned *ret_n)
{
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const char *colon = strrchr(listen, ':');
    uint64_t port;
    if (!colon || str_u64(colon + 1, 1, 65535, &port) != 0)
        return -EINVAL;
    size_t n = (size_t)(colon - listen);
    bool brackets = n >= 2 && listen[0] == '[' && listen[n - 1] == ']';
    if (brackets) {
        listen++;
        n -= 2;
    }
    if (n >= sizeof(host))
        return -EINVAL;
    memcpy(host, listen, n);
    host[n] = '\0';
    if (!brackets && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        if (ntohl(v4.sin_addr.s_addr) >> 24 != 127)
            return -EINVAL;
        v4.sin_port = htons((uint16_t)port);
        memset(ret, 0, sizeof(*ret));
        memcpy(ret, &v4, sizeof(v4));
        *ret_n = sizeof(v4);
        return 0;
    }
    if (!brackets || inet_pton(AF_INET6, host, &v6.sin6_addr) != 1 || !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr))
        return -EINVAL;
    v6.sin6_port = htons((uint16_t)port);
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &v6, sizeof(v6));
    *ret_n = sizeof(v6);
    return 0;
}

/* ---- text ---- */

/* Backslash and newline are escaped in a help text, in a label's value the quote, too. */
static void escaped(struct buf *b, const char *s, bool quote)
{
    for (size_t n; *s; s += n) {
        n = strcspn(s, quote ? "\\\n\"" : "\\\n");
        buf_add(b, s, n);
        if (!s[n])
            break;
        buf_addf(b, "\\%c", s[n] == '\n' ? 'n' : s[n]);
        n++;
    }
}

void metrics_family(struct buf *b, enum metrics_type type, const char *name, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buf_addf(b, "# HELP %s ", name);
    escaped(b, help, false);
    buf_addf(b, "\n# TYPE %s %s\n", name, types[type]);
}

static void head(struct buf *b, const char *name, const struct metrics_label l[METRICS_LABELS])
{
    buf_addf(b, "%s", name);
    for (size_t i = 0; l && i < METRICS_LABELS && l[i].name; i++) {
        buf_addf(b, "%s%s=\"", i == 0 ? "{" : ",", l[i].name);
        escaped(b, l[i].value, true);
        buf_addf(b, "\"");
    }
    buf_addf(b, l && l[0].name ? "} " : " ");
}

void metrics_value(struct buf *b, const char *name, const struct metrics_label l[METRICS_LABELS], uint64_t v)
{
    head(b, name, l);
    buf_addf(b, "%" PRIu64 "\n", v);
}

void metrics_seconds(struct buf *b, const char *name, const struct metrics_label l[METRICS_LABELS], uint64_t us)
{
    head(b, name, l);
    if (us == UINT64_MAX)
        buf_addf(b, "+Inf\n");
    else
        buf_addf(b, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

/* ---- histogram ---- */

static const struct {
    uint64_t us;
    const char *le; /* in seconds */
} bounds[METRICS_BUCKETS] = {
    {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"},
    {100000, "0.1"}, {250000, "0.25"}, {500000, "0.5"}, {1000000, "1"},  {2500000, "2.5"},
};

void metrics_took(struct metrics_times *t, uint64_t us)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && us > bounds[i].us)
        i++;
    t->bucket[i]++;
    t->sum_us += us;
}

void metrics_histogram(struct buf *b, const char *name, const struct metrics_times *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        n += t->bucket[i];
        buf_addf(b, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, i < METRICS_BUCKETS ? bounds[i].le : "+Inf", n);
    }
    buf_addf(b, "%s_sum %" PRIu64 ".%06" PRIu64 "\n%s_count %" PRIu64 "\n", name, t->sum_us / 1000000,
             t->sum_us % 1000000, name, n);
}
