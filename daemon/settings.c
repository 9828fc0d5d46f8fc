/* One table of keys. What a table cannot say is checked here (limits that depend on each other) and in
 * readers_check() (a bus that exists, a driver that fits it). */
#include "daemon/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define MiB (INT64_C(1) << 20)
#define MINUTE INT64_C(60000)
#define DAY (INT64_C(24) * 60 * MINUTE)

static const char *const log_names[] = {"error", "warn", "note", "info", "debug", NULL};

#define KEY(f) offsetof(struct settings, f)

static const struct conf_key spool_keys[] = {
    {.name = "budget",
     .type = CONF_SIZE,
     .off = offsetof(struct spool_settings, budget),
     .min = MiB,
     .max = sizeof(void *) < 8 ? 1024 * MiB : 65536 * MiB, /* all of it is mapped */
     .def = "256MiB",
     .help =
         "Room for sealed records; when all of it is unacknowledged, punches are refused and what is there is kept."},
    {.name = "keep",
     .type = CONF_MS,
     .off = offsetof(struct spool_settings, keep_ms),
     .min = 0,
     .max = 366 * DAY,
     .def = "7d",
     .help = "How long records stay after the cloud acknowledged them, so that a restored cloud can have them again."},
    {.name = "keep_size",
     .type = CONF_SIZE,
     .off = offsetof(struct spool_settings, keep_size),
     .min = 0,
     .max = 65536 * MiB,
     .def = "256MiB",
     .help = "The most that acknowledged records may take; the oldest go first."},
};
static const struct conf_key uplink_keys[] = {
    {.name = "backoff_min",
     .type = CONF_MS,
     .off = offsetof(struct uplink_settings, backoff_min_ms),
     .min = 50,
     .max = 60 * MINUTE,
     .def = "1s",
     .help = "First pause after a lost connection; it doubles, with jitter."},
    {.name = "backoff_max",
     .type = CONF_MS,
     .off = offsetof(struct uplink_settings, backoff_max_ms),
     .min = 50,
     .max = 60 * MINUTE,
     .def = "60s",
     .help = "Longest pause between two attempts."},
    {.name = "keepalive",
     .type = CONF_MS,
     .off = offsetof(struct uplink_settings, keepalive_ms),
     .min = 5000,
     .max = 60 * MINUTE,
     .def = "30s",
     .help = "MQTT keep-alive, in whole seconds."},
    {.name = "ack_timeout",
     .type = CONF_MS,
     .off = offsetof(struct uplink_settings, ack_timeout_ms),
     .min = 100,
     .max = 60 * MINUTE,
     .def = "10s",
     .help = "An upload that is not acknowledged within this time is sent again."},
};
static const struct conf_table spool_table = {
    .what = "spool", .size = sizeof(struct spool_settings), .keys = spool_keys, .n = ARRAY_LEN(spool_keys)};
static const struct conf_table uplink_table = {
    .what = "uplink", .size = sizeof(struct uplink_settings), .keys = uplink_keys, .n = ARRAY_LEN(uplink_keys)};

static const struct conf_key keys[] = {
    {.name = "state",
     .type = CONF_STRING,
     .off = KEY(state),
     .min = 1,
     .max = 200,
     .def = "/var/lib/punchgate",
     .help = "Folder of the keys, the bundle and the spool."},
    {.name = "runtime",
     .type = CONF_STRING,
     .off = KEY(runtime),
     .min = 1,
     .max = 80,
     .def = "/run/punchgate",
     .help = "Folder of the control socket and the hash key; it must not survive a power cut (tmpfs)."},
    {.name = "log",
     .type = CONF_ENUM,
     .off = KEY(log),
     .def = "info",
     .names = log_names,
     .help = "The least important lines that are logged: error, warn, note, info or debug."},
    {.name = "profiles",
     .type = CONF_STRING,
     .off = KEY(profiles),
     .min = 1,
     .max = 200,
     .def = "/usr/share/punchgate/profiles",
     .help = "Folder where the profiles of Modbus readers are looked up."},
    {.name = "spool",
     .type = CONF_MAP,
     .off = KEY(spool),
     .sub = &spool_table,
     .help = "What is kept on this machine until, and after, the cloud has it."},
    {.name = "uplink",
     .type = CONF_MAP,
     .off = KEY(uplink),
     .sub = &uplink_table,
     .help = "The way to the broker; its address and certificates come with the bundle."},
    {.name = "metrics",
     .type = CONF_MAP,
     .off = KEY(metrics),
     .sub = &metrics_table,
     .help = "Counters for Prometheus."},
    {.name = "buses",
     .type = CONF_LIST,
     .off = KEY(buses),
     .max = BUSES_MAX,
     .sub = &bus_table,
     .help = "Serial lines and Modbus TCP hosts; each has a worker of its own."},
    {.name = "readers",
     .type = CONF_LIST,
     .off = KEY(readers),
     .max = READERS_MAX,
     .sub = &reader_table,
     .help = "The readers on those buses."},
};

static void check(struct conf *c, void *object)
{
    struct settings *s = object;
    if (s->uplink.backoff_min_ms > s->uplink.backoff_max_ms)
        conf_mistake(c, &s->uplink.backoff_min_ms, "backoff_min is longer than backoff_max");
    const struct reader_settings *r = s->readers.items;
    for (size_t i = 0; i < s->readers.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(r[i].name, r[j].name) == 0) {
                conf_mistake(c, &r[i].name, "two readers are named \"%s\"", r[i].name);
                break;
            }
    const struct bus_settings *b = s->buses.items;
    for (size_t i = 0; i < s->buses.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(b[i].name, b[j].name) == 0) {
                conf_mistake(c, &b[i].name, "two buses are named \"%s\"", b[i].name);
                break;
            }
}

const struct conf_table settings_table = {
    .what = "punchgate.yaml", .size = sizeof(struct settings), .keys = keys, .n = ARRAY_LEN(keys), .check = check};

int settings_load(const char *path, struct settings *ret, struct conf **ret_conf)
{
    struct settings s;
    struct conf *c = NULL;
    int r = conf_load(path, &settings_table, &s, &c);
    if (r < 0) {
        fprintf(stderr, "%s: %s%s\n", path, error_str(r),
                r == -ENOENT ? "; config/punchgate.yaml is an example, --config names another file" : "");
        return r;
    }
    if (r == 0 && readers_check(c, &s.buses, &s.readers, s.profiles) > 0)
        r = CONF_BAD;
    if (r == CONF_BAD) {
        fputs(conf_text(c), stderr);
        conf_free(c);
        return CONF_BAD;
    }
    *ret = s;
    *ret_conf = c;
    return 0;
}

int settings_log_level(const struct settings *s)
{
    enum log_level level = LOG_INFO;
    (void)log_level_parse(log_names[s->log], &level);
    return (int)level;
}
