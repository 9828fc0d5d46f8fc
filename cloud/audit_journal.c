/* The journal's file; see audit_journal.h. */
#include "cloud/audit_journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/crc32.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/ring.h"

static const char magic[] = "punch1 audit jnl";
#define MAGIC 16
#define ASIDE_MAX (4096 + 32)
_Static_assert(sizeof magic == MAGIC + 1, "the header has room for it");

struct audit_journal {
    char path[4096];
    uint64_t max;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t synced_more;
    int fd;
    uint64_t generation;
    uint64_t end;                 /* of what is written */
    uint64_t synced;              /* of what is durable */
    bool held;                    /* nobody adds */
    bool syncing;                 /* a thread is at it, for all that was written before it began */
    uint64_t written_n, synced_n; /* entries in all files together: written; durable, as long as `losses` is the same */
    uint64_t losses;              /* files that were left behind with entries that may never have been durable */
    bool broken;
};

static void header(uint64_t generation, uint8_t ret[AUDIT_JOURNAL_HEADER])
{
    memcpy(ret, magic, MAGIC); /* NOLINT(bugprone-not-null-terminated-result): no string */
    be_put(ret + MAGIC, generation, 8);
}

/* Bytes of the entry at p, of which n are there; 0: none that is whole. */
static size_t entry_size(const uint8_t *p, size_t n)
{
    if (n < AUDIT_JOURNAL_FRAME)
        return 0;
    size_t len = be_get(p, 4);
    if (len == 0 || len > AUDIT_JOURNAL_ENTRY_MAX || len > n - AUDIT_JOURNAL_FRAME)
        return 0;
    return crc32_of(BYTES(p + AUDIT_JOURNAL_FRAME, len), BYTES_NONE) == be_get(p + 4, 4) ? AUDIT_JOURNAL_FRAME + len
                                                                                         : 0;
}

uint64_t audit_journal_valid(struct bytes image, uint64_t *ret_generation)
{
    if (image.n < AUDIT_JOURNAL_HEADER || memcmp(image.p, magic, MAGIC) != 0)
        return 0;
    size_t at = AUDIT_JOURNAL_HEADER;
    for (size_t n; (n = entry_size(image.p + at, image.n - at)) > 0;)
        at += n;
    *ret_generation = be_get(image.p + MAGIC, 8);
    return at;
}

/* ---- opening ---- */

/* Whether the file that is open is the one that the next start finds. */
static bool has_name(const struct audit_journal *j)
{
    struct stat open, named;
    return j->fd >= 0 && fstat(j->fd, &open) == 0 && lstat(j->path, &named) == 0 && open.st_ino == named.st_ino &&
           open.st_dev == named.st_dev;
}

static int begin_file(struct audit_journal *j, uint64_t generation)
{
    uint8_t head[AUDIT_JOURNAL_HEADER];
    header(generation, head);
    int r = file_write(j->path, BYTES(head, sizeof head), 0600);
    int fd = r == 0 ? open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (r == 0 && fd < 0)
        r = -errno;
    if (r != 0) {
        j->broken = j->broken || !has_name(j); /* nothing may go where nobody finds it */
        return r;
    }
    if (j->broken || j->synced < j->end) {
        j->losses++;
        j->synced_n = j->written_n;
    }
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->generation = generation;
    j->end = j->synced = sizeof head;
    j->broken = false;
    return 0;
}

/* Where what cannot be moved is kept: it may be all that is left of some accesses, so nothing is written over. */
static void name_aside(const struct audit_journal *j, char ret[ASIDE_MAX])
{
    struct stat st;
    for (int64_t us = clock_real();
         snprintf(ret, ASIDE_MAX, "%s.%lld.bad", j->path, (long long)us), lstat(ret, &st) == 0; us++)
        ;
}

static void tell_aside(const struct audit_journal *j, const char *aside)
{
    log_error("audit.journal", "file=%s error=\"damaged, or of another time than the store\" kept=%s", log_q(j->path),
              log_q(aside));
}

/* From here on nothing goes into the old one: what is in it does not come into the trail. It may be aside already, when
 * the new one could not be made then. */
static int set_aside(struct audit_journal *j, uint64_t generation)
{
    char aside[ASIDE_MAX];
    name_aside(j, aside);
    if (rename(j->path, aside) == 0)
        tell_aside(j, aside);
    else if (errno != ENOENT)
        return -errno;
    j->broken = true;
    return begin_file(j, generation);
}

/* A write that was cut off leaves a part of its entry; whole ones behind the break mean that it is none of that. */
static int cut(struct audit_journal *j, struct bytes image, uint64_t valid)
{
    char aside[ASIDE_MAX];
    size_t at = valid;
    int r = 0;
    while (at < image.n && entry_size(image.p + at, image.n - at) == 0)
        at++;
    if (at < image.n) {
        name_aside(j, aside);
        r = file_write(aside, image, 0600);
        if (r == 0)
            tell_aside(j, aside);
    } else {
        log_warn("audit.journal", "file=%s torn_bytes=%llu action=\"cut; nobody was answered for them\"",
                 log_q(j->path), (unsigned long long)(image.n - valid));
    }
    return r == 0 && ftruncate(j->fd, (off_t)valid) != 0 ? -errno : r;
}

static int take_file(struct audit_journal *j, struct bytes image)
{
    uint64_t valid = audit_journal_valid(image, &j->generation);
    if (valid == 0)
        return set_aside(j, 1);
    j->fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return -errno;
    int r = valid < image.n ? cut(j, image, valid) : 0;
    if (r != 0)
        return r;
    if (fdatasync(j->fd) != 0) /* written before a kill, and perhaps never synced */
        return -errno;
    j->end = j->synced = valid;
    return 0;
}

int audit_journal_open(const char *path, uint64_t max, struct audit_journal **ret_journal)
{
    struct buf CLEANUP(buf_done) image = {0};
    struct audit_journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    j->fd = -1;
    j->max = max;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->synced_more, NULL);
    buf_init(&image, (size_t)max + AUDIT_JOURNAL_ENTRY_MAX + AUDIT_JOURNAL_FRAME);
    int r = str_copy(j->path, sizeof j->path, path);
    if (r == 0)
        r = file_read(path, &image);
    if (r == 0)
        r = take_file(j, buf_bytes(&image));
    else if (r == -ENOENT)
        r = begin_file(j, 1);
    if (r != 0) {
        audit_journal_close(j);
        return r;
    }
    *ret_journal = j;
    return 0;
}

void audit_journal_close(struct audit_journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        close(j->fd);
    pthread_cond_destroy(&j->synced_more);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

/* ---- adding; all under the lock ---- */

static int write_entry(struct audit_journal *j, const uint8_t *p, size_t n)
{
    uint64_t at = j->end;
    while (n > 0) {
        ssize_t k = pwrite(j->fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
    j->end = at;
    j->written_n++;
    return 0;
}

/* One thread syncs for all whose entry was written before it began; the others wait for it, and may wake when the file
 * has been begun anew: theirs was durable then, and moved. */
static int wait_durable(struct audit_journal *j, uint64_t entry)
{
    uint64_t losses = j->losses;
    while (j->losses == losses && j->synced_n < entry && !j->broken) {
        if (j->syncing) {
            pthread_cond_wait(&j->synced_more, &j->lock);
            continue;
        }
        uint64_t upto = j->end, upto_n = j->written_n;
        int fd = j->fd;
        j->syncing = true;
        pthread_mutex_unlock(&j->lock);
        int r = fdatasync(fd) == 0 ? 0 : -errno;
        pthread_mutex_lock(&j->lock);
        j->syncing = false;
        if (r == 0) {
            j->synced = upto;
            j->synced_n = upto_n;
        } else {
            j->broken = true; /* the kernel may have dropped what it could not write */
            log_error("audit.journal", "file=%s error=%s action=\"personal data is refused until it begins anew\"",
                      log_q(j->path), log_q(error_str(r)));
        }
        pthread_cond_broadcast(&j->synced_more);
    }
    return j->losses == losses && j->synced_n >= entry ? 0 : -EIO;
}

int audit_journal_add(struct audit_journal *j, struct bytes body, uint64_t *ret_end)
{
    struct buf CLEANUP(buf_done) b = {0};
    uint8_t frame[AUDIT_JOURNAL_FRAME];
    if (body.n == 0 || body.n > AUDIT_JOURNAL_ENTRY_MAX)
        return -EINVAL;
    buf_init(&b, AUDIT_JOURNAL_FRAME + body.n);
    be_put(frame, body.n, 4);
    be_put(frame + 4, crc32_of(BYTES(body.p, body.n), BYTES_NONE), 4);
    int r = buf_add(&b, frame, sizeof frame);
    if (r == 0)
        r = buf_add(&b, body.p, body.n);
    if (r != 0)
        return r;
    pthread_mutex_lock(&j->lock);
    while (j->held)
        pthread_cond_wait(&j->synced_more, &j->lock);
    if (j->broken)
        r = -EIO;
    else if (j->end + b.len > j->max)
        r = AUDIT_JOURNAL_FULL;
    else
        r = write_entry(j, b.p, b.len); /* a part of one is written over by the next, or cut at the next start */
    uint64_t end = j->end;
    FAULT_KILL("audit-written");
    if (r == 0)
        r = wait_durable(j, j->written_n);
    pthread_mutex_unlock(&j->lock);
    FAULT_KILL("audit-synced");
    if (r == 0 && ret_end != NULL)
        *ret_end = end;
    return r;
}

/* ---- moving ---- */

void audit_journal_place(struct audit_journal *j, struct audit_journal_place *ret)
{
    pthread_mutex_lock(&j->lock);
    *ret = (struct audit_journal_place){.generation = j->generation, .end = j->synced, .broken = j->broken};
    pthread_mutex_unlock(&j->lock);
}

static int read_at(int fd, uint64_t at, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = pread(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
    return 0;
}

/* Only who renews the file closes its descriptor, and that is the thread that reads. */
int audit_journal_read(struct audit_journal *j, uint64_t pos, size_t n, audit_journal_fn *fn, void *arg,
                       uint64_t *ret_pos)
{
    struct audit_journal_place place;
    struct buf CLEANUP(buf_wipe) b;
    int r = 0;
    audit_journal_place(j, &place);
    buf_init(&b, AUDIT_JOURNAL_FRAME + AUDIT_JOURNAL_ENTRY_MAX);
    for (; r == 0 && n > 0 && pos + AUDIT_JOURNAL_FRAME <= place.end; n--) {
        uint8_t frame[AUDIT_JOURNAL_FRAME];
        buf_reset(&b);
        r = read_at(j->fd, pos, frame, sizeof frame);
        size_t len = r == 0 ? be_get(frame, 4) : 0;
        if (r == 0 && (len == 0 || len > AUDIT_JOURNAL_ENTRY_MAX || pos + sizeof frame + len > place.end))
            r = AUDIT_JOURNAL_BAD;
        if (r == 0)
            r = buf_reserve(&b, len);
        if (r == 0)
            r = read_at(j->fd, pos + sizeof frame, b.p, len);
        if (r == 0 && crc32_of(BYTES(b.p, len), BYTES_NONE) != be_get(frame + 4, 4))
            r = AUDIT_JOURNAL_BAD;
        if (r == 0)
            r = fn(arg, BYTES(b.p, len));
        if (r == 0)
            pos += sizeof frame + len;
    }
    *ret_pos = pos;
    return r;
}

int audit_journal_hold(struct audit_journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->held = true;
    int r = wait_durable(j, j->written_n);
    pthread_mutex_unlock(&j->lock);
    return r;
}

void audit_journal_go_on(struct audit_journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->held = false;
    pthread_cond_broadcast(&j->synced_more);
    pthread_mutex_unlock(&j->lock);
}

int audit_journal_renew(struct audit_journal *j, uint64_t pos)
{
    pthread_mutex_lock(&j->lock);
    bool moved = pos >= j->synced || j->synced == AUDIT_JOURNAL_HEADER;
    int r = j->syncing || !moved || (j->synced < j->end && !j->broken) ? -EAGAIN : 0;
    if (r == 0) {
        FAULT_KILL("audit-renew");
        r = begin_file(j, j->generation + 1);
        FAULT_KILL("audit-renewed");
    }
    pthread_cond_broadcast(&j->synced_more);
    pthread_mutex_unlock(&j->lock);
    return r;
}

int audit_journal_abandon(struct audit_journal *j, uint64_t generation)
{
    pthread_mutex_lock(&j->lock);
    int r = j->syncing ? -EAGAIN : set_aside(j, j->generation < generation ? generation : j->generation + 1);
    pthread_cond_broadcast(&j->synced_more);
    pthread_mutex_unlock(&j->lock);
    return r;
}
