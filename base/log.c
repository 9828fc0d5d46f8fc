/* Log lines are built in one buffer and written by one write(2), so that threads do not mix them. The rate limit is
 * per call site: a fault that repeats must not fill an SD card. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define LINE_MAX_BYTES 1024
#define SITE_LINES 10
#define SITE_WINDOW_MS 10000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level max_level = LOG_INFO;
static char ident[32] = "punch";
static bool journal;

/* sd_notify's sibling: the journal names stderr's device and inode (systemd.exec(5), JOURNAL_STREAM). */
static bool stderr_is_journal(void)
{
    const char *s = getenv("JOURNAL_STREAM"); /* NOLINT(concurrency-mt-unsafe): before threads start */
    struct stat st;
    unsigned long long dev;
    unsigned long long ino;
    if (s == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    if (sscanf(s, "%llu:%llu", &dev, &ino) != 2) /* NOLINT(cert-err34-c): a mismatch only changes the prefix */
        return false;
    return dev == (unsigned long long)st.st_dev && ino == (unsigned long long)st.st_ino;
}

void log_init(const char *name, enum log_level max)
{
    (void)str_copy(ident, sizeof ident, name);
    max_level = max;
    journal = stderr_is_journal();
}

int log_level_parse(const char *s, enum log_level *ret_level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"note", LOG_NOTE}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(s, names[i].name) == 0) {
            *ret_level = names[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

/* False when the line is to be held back; *ret_held lines were held back before this one. */
static bool site_admits(struct log_site *site, unsigned *ret_held)
{
    int64_t now = clock_ms();
    *ret_held = 0;
    if (site->in_window == 0 || now - site->window_start >= SITE_WINDOW_MS) {
        site->window_start = now;
        site->in_window = 0;
        *ret_held = site->held;
        site->held = 0;
    }
    if (site->in_window >= SITE_LINES) {
        site->held++;
        return false;
    }
    site->in_window++;
    return true;
}

/* Where the text ends after a snprintf of `n` characters at `at`, cut at `size`. */
static size_t end_of(size_t at, size_t size, int n)
{
    size_t room = size - at - 1;
    return n < 0 ? at : at + ((size_t)n < room ? (size_t)n : room);
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = {"", "", "", "error", "warn", "note", "info", "debug"};
    enum { BODY = LINE_MAX_BYTES - 32 }; /* a long message must not push out the count behind it */
    char line[LINE_MAX_BYTES];
    char when[32];
    unsigned held;
    size_t n = 0;
    va_list ap;

    if (level > max_level)
        return;
    pthread_mutex_lock(&lock);
    bool admitted = site_admits(site, &held);
    pthread_mutex_unlock(&lock);
    if (!admitted)
        return;

    if (journal)
        n = end_of(n, BODY, snprintf(line, BODY, "<%d>%s ", (int)level, event));
    else
        n = end_of(n, BODY,
                   snprintf(line, BODY, "%s %s %s %s ", str_time(clock_real(), when), ident, names[level], event));
    va_start(ap, fmt);
    n = end_of(n, BODY, vsnprintf(line + n, BODY - n, fmt, ap));
    va_end(ap);
    if (held > 0)
        n = end_of(n, sizeof line - 1, snprintf(line + n, sizeof line - 1 - n, " held_back=%u", held));
    for (size_t i = 0; i < n; i++) /* a value that went round log_q() forges no line and steers no terminal */
        if (line[i] < 0x20 || line[i] > 0x7e)
            line[i] = '?';
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* nowhere to tell */
}

const char *log_q(const char *s)
{
    static _Thread_local char ring[4][208];
    static _Thread_local unsigned next;
    char *out = ring[next++ % 4];
    size_t n = 0;
    bool plain = true;

    if (s == NULL)
        return "-";
    for (const char *p = s; *p != '\0'; p++)
        plain = plain && *p > 0x20 && *p < 0x7f && *p != '"' && *p != '\\' && *p != '=';
    plain = plain && *s != '\0';
    if (!plain)
        out[n++] = '"';
    for (const unsigned char *p = (const unsigned char *)s; *p != '\0' && n < 198; p++) {
        if (*p == '"' || *p == '\\') {
            out[n++] = '\\';
            out[n++] = (char)*p;
        } else if (*p >= 0x20 && *p < 0x7f) {
            out[n++] = (char)*p;
        } else {
            static const char digits[] = "0123456789abcdef";
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = digits[*p >> 4];
            out[n++] = digits[*p & 15];
        }
    }
    if (!plain)
        out[n++] = '"';
    out[n] = '\0';
    return out;
}
