/* The worker of one serial line or one Modbus TCP host. One thread a bus, because libmodbus waits for its replies,
 * and because a line has room for one conversation at a time: locking by unit number is what peers got wrong.
 *
 * A round: take the answers, open the line if it is time to, give one due reader its turn (the one whose last turn
 * is longest ago), wait for the next thing. A broken line is closed at once, so that a re-plugged adapter can come
 * back under its old name, and opened again with back-off.
 *
 * The worker has nobody to return errors to, so it logs, as daemons do.
 */
#include "readers/bus.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/wait.h"

#define REOPEN_MIN_MS 100
#define REOPEN_MAX_MS 2000 /* the wait of somebody who just plugged it in again */
#define FEED_MAX 256

struct bus_reader {
    const struct driver *driver;
    void *self;
    int64_t due;
    uint64_t turn; /* number of its last turn */
};

struct bus_answer {
    unsigned slot;
    uint64_t token;
    enum answer a;
};

struct bus {
    const char *name, *where;
    struct link *link;
    struct outbox out;
    struct queue *answers;
    struct bus_reader readers[BUS_READERS_MAX];
    unsigned n;
    uint64_t turns;
    bool open;
    int last_error; /* of opening, so that a lasting one is logged once */
    int64_t reopen_at, reopen_ms;
    atomic_bool stopping;
    int stop_fd;
    pthread_t thread;
    bool started;
};

void outbox_send(const struct outbox *o, const struct sight *s)
{
    while (!atomic_load(o->stopping))
        if (queue_push_wait(o->sights, s, 100) != QUEUE_FULL)
            return; /* in, or the daemon has closed its queue and wants no more */
}

/* ---- the line ---- */

static void reopen_later(struct bus *b, int64_t now)
{
    b->reopen_at = now + b->reopen_ms;
    b->reopen_ms = b->reopen_ms * 2 < REOPEN_MAX_MS ? b->reopen_ms * 2 : REOPEN_MAX_MS;
}

static void line_close(struct bus *b, int64_t now, int why)
{
    b->link->ops->close(b->link);
    b->open = false;
    reopen_later(b, now);
    if (why != -ECANCELED)
        log_warn("bus.lost", "bus=%s at=%s link=%s error=%s action=\"opening it again\"", log_q(b->name),
                 log_q(b->where), log_q(b->link->ops->name), log_q(error_str(why)));
    for (unsigned i = 0; i < b->n; i++)
        b->readers[i].driver->offline(b->readers[i].self);
}

static void line_open(struct bus *b, int64_t now)
{
    int r = b->link->ops->open(b->link);

    if (r == 0) {
        b->open = true;
        b->last_error = 0;
        log_info("bus.open", "bus=%s at=%s link=%s", log_q(b->name), log_q(b->where), log_q(b->link->ops->name));
        for (unsigned i = 0; i < b->n; i++) {
            b->readers[i].driver->online(b->readers[i].self);
            b->readers[i].due = now;
        }
        return;
    }
    if (r != b->last_error && r != -ECANCELED)
        log_warn("bus.closed", "bus=%s at=%s link=%s error=%s action=\"trying again for ever\"", log_q(b->name),
                 log_q(b->where), log_q(b->link->ops->name), r == LINK_ABSENT ? "absent" : log_q(error_str(r)));
    b->last_error = r;
    reopen_later(b, clock_ms());
}

/* ---- a turn ---- */

static struct bus_reader *next_reader(struct bus *b, int64_t now)
{
    struct bus_reader *best = NULL;

    for (unsigned i = 0; i < b->n; i++) {
        struct bus_reader *r = &b->readers[i];
        if (r->due <= now && (!best || r->turn < best->turn))
            best = r;
    }
    return best;
}

static void take_turn(struct bus *b, int64_t now)
{
    struct bus_reader *r = next_reader(b, now);

    if (!r)
        return;
    r->turn = ++b->turns;
    int e = r->driver->step(r->self, now, &r->due);
    if (e < 0)
        line_close(b, clock_ms(), e);
    else if (b->link->ops->ask)
        b->reopen_ms = REOPEN_MIN_MS; /* the line works */
}

static void feed(struct bus *b)
{
    uint8_t data[FEED_MAX];
    ssize_t n = read(b->link->ops->fd(b->link), data, sizeof(data));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        line_close(b, clock_ms(), n == 0 ? -EIO : -errno); /* end of file is a pulled plug */
        return;
    }
    b->reopen_ms = REOPEN_MIN_MS; /* the line works; that it could be opened says little */
    for (unsigned i = 0; i < b->n; i++) {
        if (!b->readers[i].driver->feed)
            continue;
        b->readers[i].driver->feed(b->readers[i].self, BYTES(data, (size_t)n));
        b->readers[i].due = clock_ms();
    }
    explicit_bzero(data, sizeof(data));
}

static void take_answers(struct bus *b)
{
    struct bus_answer a;

    while (queue_pop(b->answers, &a) == 0) {
        struct bus_reader *r = &b->readers[a.slot];
        if (!r->driver->answer)
            continue;
        r->driver->answer(r->self, a.token, a.a);
        r->due = 0;
    }
}

static int64_t next_due(const struct bus *b)
{
    int64_t due = DRIVER_NEVER;

    if (!b->open)
        return b->reopen_at;
    for (unsigned i = 0; i < b->n; i++)
        if (b->readers[i].due < due)
            due = b->readers[i].due;
    return due;
}

/* Waits for bytes, an answer, a stop or the next due time. */
static void wait_next(struct bus *b, int64_t now)
{
    bool speaks = b->link->ops->ask == NULL;
    int64_t due = next_due(b), ms = due <= now ? 0 : due - now;
    struct pollfd p[3] = {{.fd = b->stop_fd, .events = POLLIN},
                          {.fd = queue_fd(b->answers), .events = POLLIN},
                          {.fd = b->open ? b->link->ops->fd(b->link) : -1, .events = POLLRDHUP}};

    if (speaks)
        p[2].events = POLLIN | POLLRDHUP;
    if (poll(p, 3, ms > 60000 ? 60000 : (int)ms) <= 0)
        return;
    if (p[2].revents & POLLIN)
        feed(b);
    else if (p[2].revents)
        line_close(b, clock_ms(), -EIO);
}

/* Whether the line had nothing to read while we waited: a driver's inter-byte time-out may only run out then. */
static bool input_waits(const struct bus *b)
{
    struct pollfd p = {.fd = b->link->ops->fd(b->link), .events = POLLIN};
    return b->link->ops->ask == NULL && poll(&p, 1, 0) > 0;
}

static void *run(void *arg)
{
    struct bus *b = arg;

    while (!atomic_load(&b->stopping)) {
        int64_t now = clock_ms();
        take_answers(b);
        if (!b->open && now >= b->reopen_at)
            line_open(b, now);
        if (b->open && !input_waits(b))
            take_turn(b, now);
        if (!atomic_load(&b->stopping))
            wait_next(b, clock_ms());
    }
    if (b->open)
        line_close(b, 0, -ECANCELED);
    return NULL;
}

/* ---- from other threads ---- */

int bus_new(const char *name, const char *where, struct queue *sights, struct bus **ret_bus)
{
    struct bus *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->name = name;
    b->where = where;
    b->out = (struct outbox){.sights = sights, .stopping = &b->stopping};
    b->reopen_ms = REOPEN_MIN_MS;
    b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = b->stop_fd < 0 ? -errno : queue_new(sizeof(struct bus_answer), (size_t)2 * BUS_READERS_MAX, &b->answers);
    if (r < 0) {
        bus_free(b);
        return r;
    }
    *ret_bus = b;
    return 0;
}

int bus_stop_fd(const struct bus *b)
{
    return b->stop_fd;
}

void bus_set_link(struct bus *b, struct link *l)
{
    b->link = l;
}

int bus_add(struct bus *b, const struct driver *d, const struct driver_env *env, unsigned *ret_slot)
{
    struct driver_env full = *env;
    struct bus_reader *r = &b->readers[b->n];

    ASSERT(b->link && !b->started);
    if (b->n == BUS_READERS_MAX)
        return -ENOSPC;
    full.link = b->link;
    full.out = &b->out;
    int e = d->create(&full, &r->self);
    if (e < 0)
        return e;
    r->driver = d;
    *ret_slot = b->n++;
    return 0;
}

int bus_start(struct bus *b)
{
    int r = pthread_create(&b->thread, NULL, run, b);
    if (r != 0)
        return -r;
    b->started = true;
    return 0;
}

int bus_answer(struct bus *b, unsigned slot, uint64_t token, enum answer a)
{
    struct bus_answer item = {.slot = slot, .token = token, .a = a};

    ASSERT(slot < b->n);
    return queue_push(b->answers, &item) == QUEUE_FULL ? BUS_FULL : 0;
}

void bus_ask_stop(struct bus *b)
{
    uint64_t one = 1;

    atomic_store(&b->stopping, true);
    /* Cannot fail: the counter has room for it. */
    if (write(b->stop_fd, &one, sizeof(one)) < 0)
        return;
}

void bus_free(struct bus *b)
{
    if (!b)
        return;
    if (b->started) {
        bus_ask_stop(b);
        pthread_join(b->thread, NULL);
    }
    for (unsigned i = 0; i < b->n; i++)
        b->readers[i].driver->destroy(b->readers[i].self);
    if (b->link)
        b->link->ops->free(b->link);
    queue_free(b->answers);
    error_closep(&b->stop_fd);
    free(b);
}
