/* What a driver is, and the seam below it: a link to the devices of one bus. Both are const structs of function
 * pointers; the tests plug a fake link below a driver, and a fake driver into a bus.
 *
 * A driver belongs to one reader and runs in its bus's thread only. It never waits: "not yet" is the time it hands
 * back for its next turn, and one turn makes at most one request, which is what makes turns fair.
 */
#pragma once

#include "readers/registry.h"

struct profile;

/* One Modbus request by function code. A read asks for `n` values, a write writes the one value `n`; a coil is 0 or 1.
 */
enum ask_fc {
    ASK_COILS = 1,
    ASK_DISCRETE = 2,
    ASK_HOLDING = 3,
    ASK_INPUT = 4,
    ASK_WRITE_COIL = 5,
    ASK_WRITE_HOLDING = 6,
};
#define ASK_MAX 125 /* registers in a read, Modbus application protocol 6.3; bits keep to the same bound here */
struct ask {
    uint8_t unit;
    enum ask_fc fc;
    uint16_t addr, n;
    unsigned timeout_ms;
    bool probe; /* the device is thought dead: after a time-out do not keep the line for its late reply */
    struct reader_stats *stats; /* the asking reader's: bad, late */
};
struct reply {
    uint16_t v[ASK_MAX]; /* n values of a read */
    uint8_t exception;   /* with ASK_EXCEPTION */
};
/* Outcomes of link_ops.ask beside 0. Negative: the line is broken and has to be opened again. */
enum {
    ASK_TIMEOUT = 1,   /* nothing that could be an answer */
    ASK_BAD = 2,       /* an answer, but damaged or not to this request; counted in stats->bad */
    ASK_EXCEPTION = 3, /* counted in stats->exceptions by the driver */
};

struct link;
enum { LINK_ABSENT = 1 }; /* no such device now: try again later */
struct link_ops {
    const char *name;
    int (*open)(struct link *l);     /* 0, LINK_ABSENT, -errno; may wait, but not beyond a stop of its bus */
    void (*close)(struct link *l);   /* takes a closed one */
    void (*free)(struct link *l);    /* closes too */
    int (*fd)(const struct link *l); /* for poll(2); -1 when closed */
    int (*ask)(struct link *l, const struct ask *a, struct reply *ret); /* NULL: its devices speak by themselves */
};
struct link {
    const struct link_ops *ops;
};

/* The way out of a worker. A full queue makes the worker wait (the line's own buffer then fills: we stop reading
 * when we cannot write), but never beyond a stop. */
struct outbox {
    struct queue *sights;
    const atomic_bool *stopping;
};
void outbox_send(const struct outbox *o, const struct sight *s);

struct driver_env {
    const struct reader_settings *settings; /* outlive the driver, all of them */
    const struct profile *profile;
    struct reader_stats *stats;
    struct outbox *out;
    struct link *link;
    unsigned reader; /* index, for sights */
};

#define DRIVER_NEVER INT64_MAX
struct driver {
    const char *name;
    bool acked; /* its device latches a read until it is cleared */
    int (*create)(const struct driver_env *env, void **ret_self);
    void (*destroy)(void *self);
    void (*online)(void *self);  /* the line was opened; a turn follows at once */
    void (*offline)(void *self); /* the line is gone */
    /* Bytes of a device that speaks by itself; NULL for one that is asked. */
    void (*feed)(void *self, struct bytes data);
    /* One turn at `now` (clock_ms()); *ret_due says when the next is wanted. Negative: the line is broken. */
    int (*step)(void *self, int64_t now, int64_t *ret_due);
    /* The daemon's answer to SIGHT_CARD `token`; a turn follows at once. NULL: not interested. */
    void (*answer)(void *self, uint64_t token, enum answer a);
    const char *(*state)(const void *self); /* for people and tests */
};

extern const struct driver ascii125_driver, latched_driver, level_driver;
