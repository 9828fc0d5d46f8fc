/* When which session was seen last, in memory: until session_sweep() has written it down. Thread-safe. */
#pragma once

#include "cloud/cloud.h"

/* Of more sessions at once the rest is not noted: they count as seen when they were noted last. */
#define SEEN_MAX 16384
struct seen;
struct seen_entry {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN];
    int64_t at; /* us */
};

int seen_new(struct seen **ret_seen);
void seen_free(struct seen *s);
void seen_note(struct seen *s, const char *tenant, const uint8_t id[ID_LEN], int64_t at);
int64_t seen_at(struct seen *s, const uint8_t id[ID_LEN]); /* 0: not noted */
/* All of them, the caller's to free(); they stay noted. */
int seen_take(struct seen *s, struct seen_entry **ret_entries, size_t *ret_n);
/* Forgets those that were not seen again since. */
void seen_written(struct seen *s, const struct seen_entry *entries, size_t n);
