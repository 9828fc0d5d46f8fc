/* The daemon's settings: one table of keys (base/conf.h) from which `run`, `check` and the example file are made. The
 * tables of buses and readers belong to readers/. */
#pragma once

#include "base/metrics.h"
#include "readers/registry.h"

#define SETTINGS_DEFAULT "/etc/punchgate.yaml"
#define SETTINGS_PATH_MAX 512

struct spool_settings {
    uint64_t budget, keep_ms, keep_size;
};
struct uplink_settings {
    uint64_t backoff_min_ms, backoff_max_ms, keepalive_ms, ack_timeout_ms;
};

struct settings {
    char *state;
    char *runtime;
    int log; /* index into error, warn, note, info, debug: see settings_log_level */
    char *profiles;
    struct spool_settings spool;
    struct uplink_settings uplink;
    struct metrics_settings metrics;
    struct conf_list buses;   /* of struct bus_settings */
    struct conf_list readers; /* of struct reader_settings */
};

extern const struct conf_table settings_table;

/* Loads and checks everything, readers too. 0, CONF_BAD (the text of all mistakes went to standard error) or a
 * negative errno (said on standard error). *ret_conf owns the strings. */
int settings_load(const char *path, struct settings *ret, struct conf **ret_conf);
int settings_log_level(const struct settings *s); /* enum log_level */
