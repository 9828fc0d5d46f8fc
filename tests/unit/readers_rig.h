/* A driver that asks, over a fake link that can lose requests and replies, with a clock of the test's own. A test says
 * what its device does with a request: `serve`. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/profile.h"

#define HOLD 2000
#define POLL 50

enum trouble {
    NONE,
    LOSE_REQUEST, /* time-out, not done */
    LOSE_REPLY,   /* time-out, done */
    DAMAGE,       /* damaged reply, done */
    EXCEPTION,    /* refused with `code` */
    BREAK         /* the line is gone */
};

struct fake {
    struct link link;
    void (*serve)(struct fake *f, const struct ask *a, struct reply *ret);
    enum trouble trouble; /* of the next request */
    uint8_t code;
    unsigned asked;
    struct ask last;
};

struct rig {
    struct fake *dev;
    const struct driver *driver;
    struct profile profile;
    struct reader_settings settings;
    struct reader_stats stats;
    struct outbox out;
    atomic_bool stopping;
    struct queue *q;
    void *self;
    int64_t now, due;
};

static inline int fake_ask(struct link *l, const struct ask *a, struct reply *ret)
{
    struct fake *f = (struct fake *)l;
    enum trouble t = f->trouble;

    f->trouble = NONE;
    f->asked++;
    f->last = *a;
    if (t == LOSE_REQUEST)
        return ASK_TIMEOUT;
    if (t == BREAK)
        return -EIO;
    if (t == EXCEPTION) {
        ret->exception = f->code;
        return ASK_EXCEPTION;
    }
    f->serve(f, a, ret);
    return t == LOSE_REPLY ? ASK_TIMEOUT : t == DAMAGE ? ASK_BAD : 0;
}

static const struct link_ops fake_ops = {.name = "fake", .ask = fake_ask};

static inline void rig_init(struct rig *r, const struct driver *driver, const char *profile, struct fake *dev)
{
    static char name[] = "gate";
    char *why = NULL;

    log_init("test", LOG_ERROR);
    *r = (struct rig){.dev = dev, .driver = driver};
    dev->link.ops = &fake_ops;
    assert_int_equal(profile_load(SOURCE_DIR "/config/profiles", profile, &r->profile, &why), 0);
    r->settings =
        (struct reader_settings){.name = name, .unit = 7, .poll_ms = POLL, .timeout_ms = 300, .hold_ms = HOLD};
    assert_int_equal(queue_new(sizeof(struct sight), 64, &r->q), 0);
    r->out = (struct outbox){.sights = r->q, .stopping = &r->stopping};
    struct driver_env env = {.settings = &r->settings,
                             .profile = &r->profile,
                             .stats = &r->stats,
                             .out = &r->out,
                             .link = &dev->link,
                             .reader = 3};
    assert_int_equal(driver->create(&env, &r->self), 0);
    r->now = clock_ms();
}

static inline void rig_done(struct rig *r)
{
    r->driver->destroy(r->self);
    queue_free(r->q);
}

/* A turn if one is due; the time then goes on to the next. */
static inline int turn(struct rig *r)
{
    unsigned asked = r->dev->asked;

    if (r->due > r->now)
        r->now = r->due == DRIVER_NEVER ? r->now + POLL : r->due;
    int e = r->driver->step(r->self, r->now, &r->due);
    assert_true(r->dev->asked - asked <= 1); /* what makes turns fair */
    return e;
}

static inline void online(struct rig *r)
{
    r->driver->online(r->self);
    r->due = 0;
}

static inline const char *state_of(struct rig *r)
{
    return r->driver->state(r->self);
}

/* The next sight has to be of this kind. */
static inline struct sight take(struct rig *r, enum sight_kind kind)
{
    struct sight s = {.kind = SIGHT_DOWN};
    assert_int_equal(queue_pop(r->q, &s), 0);
    assert_int_equal(s.kind, kind);
    assert_int_equal(s.reader, 3);
    return s;
}

static inline void no_sight(struct rig *r)
{
    assert_int_equal(queue_len(r->q), 0);
}

static inline void until_sight(struct rig *r)
{
    for (int i = 0; i < 100 && queue_len(r->q) == 0; i++)
        assert_int_equal(turn(r), 0);
    assert_true(queue_len(r->q) > 0);
}
