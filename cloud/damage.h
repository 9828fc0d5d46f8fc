/* Rows of the store that do not open, though their keys are there. Each is told once and counted once; of those beyond
 * DAMAGE_MAX nothing more is told. Thread-safe. */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "cloud/cloud.h"

#define DAMAGE_MAX 256
#define DAMAGE_KEY 24

struct damage {
    pthread_mutex_t lock;
    size_t n;
    struct damaged_row {
        const char *table; /* static */
        char tenant[TENANT_MAX + 1];
        uint8_t key[DAMAGE_KEY];
    } rows[DAMAGE_MAX];
};

void damage_init(struct damage *d);
void damage_done(struct damage *d);
/* row: what tells it from others of its table, DAMAGE_KEY bytes of it. action: what is done about it, for the log. */
void damage_note(struct damage *d, const char *tenant, const char *table, struct bytes row, const char *action);
size_t damage_count(struct damage *d);
