/* Structured log lines to stderr: `event.name key=value key="two words"`, with the syslog level as `<N>`
 * in front when the journal listens (JOURNAL_STREAM). Each call site is limited to 10 lines in 10 s; what was
 * held back is counted in the next line it lets through. A card number never goes into a log line: log a
 * reader's name and a gseq instead.
 */
#pragma once

#include "base/error.h"

enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

struct log_site {
    int64_t window_start; /* CLOCK_MONOTONIC, ms */
    unsigned in_window;
    unsigned held;
};

/* Lines above `max` are dropped. Call before threads start. */
void log_init(const char *ident, enum log_level max);
/* Parses "error", "warn", "note", "info", "debug"; returns -EINVAL otherwise. */
int log_level_parse(const char *s, enum log_level *ret_level);

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* log_at(LOG_WARN, "reader.silent", "reader=%s bus=%s", name, bus): values with blanks go through log_q(). */
#define log_at(level, event, ...)                             \
    do {                                                      \
        static struct log_site log_site_;                     \
        log_write(&log_site_, (level), (event), __VA_ARGS__); \
    } while (0)
#define log_error(event, ...) log_at(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event, __VA_ARGS__)
#define log_note(event, ...) log_at(LOG_NOTE, event, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_DEBUG, event, __VA_ARGS__)

/* `s` quoted for a log value: blanks, quotes, control and non-ASCII bytes escaped; at most 200 characters.
 * The result lives in a per-thread ring of four. NULL gives "-". */
const char *log_q(const char *s);
