/* Parser and driver of the ASCII 125 kHz modules; see ascii125.h. Facts: SparkFun RFID starter kit manual p. 5
 * (layout B), the RDM6300 data sheet's layout A as the arduino12/rdm6300 and mad-tinkerer/python-rdm6300 libraries
 * read it. Check: XOR of the five bytes that the ten digits give; start and end are not in it.
 *
 * These modules repeat a held card every 65 ms; folding that is the daemon's business. They cannot be answered. */
#include "readers/ascii125.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { STX = 0x02, ETX = 0x03, CR = 0x0D, LF = 0x0A };
#define DIGITS 12
#define INTER_BYTE_MS 50 /* a character takes 1 ms at 9600 Bd; USB adapters hold bytes back for up to 16 ms */

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void ascii125_init(struct ascii125 *p, enum ascii125_layout layout)
{
    *p = (struct ascii125){.layout = layout};
}

/* Whether `c` may stand at offset i. */
static bool fits(const struct ascii125 *p, size_t i, uint8_t c)
{
    if (i == 0)
        return c == STX;
    if (i <= DIGITS)
        return digit(c) >= 0;
    if (i == DIGITS + 1)
        return (c == ETX && p->layout != ASCII125_B) || (c == CR && p->layout != ASCII125_A);
    return c == (i == DIGITS + 2 ? LF : ETX);
}

static bool complete(const struct ascii125 *p)
{
    return p->n > DIGITS + 1 && p->buf[p->n - 1] == ETX;
}

/* A frame's credential; false when its check is wrong, or its number is zero: nobody is issued that, but a line held
 * at '0' makes a frame of zeros, whose XOR is right. */
static bool decode(const struct ascii125 *p, struct cred *ret_cred)
{
    struct cred c = {.tech = TECH_EM4100, .bits = 40};
    uint8_t check = 0, any = 0, b[DIGITS / 2];

    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = (uint8_t)((unsigned)digit(p->buf[1 + 2 * i]) << 4 | (unsigned)digit(p->buf[2 + 2 * i]));
        check ^= b[i]; /* 0 in the end: the last byte is the XOR of the others */
        any |= b[i];
    }
    if (check != 0 || any == 0)
        return false;
    memcpy(c.data, b, 5);
    *ret_cred = c;
    return true;
}

static void count_bad(struct ascii125 *p)
{
    p->bad++;
    p->junk = true;
}

/* Drops what cannot begin a frame; a run of it counts once. CR and LF between frames are usual and not counted. */
static void drop_junk(struct ascii125 *p)
{
    size_t i = 0;

    while (i < p->n && p->buf[i] != STX) {
        if (!p->junk && p->buf[i] != CR && p->buf[i] != LF)
            count_bad(p);
        i++;
    }
    memmove(p->buf, p->buf + i, p->n - i);
    p->n -= i;
}

/* The frame is bad: drop its start byte only and look at the rest again, for a good frame may have begun in it. What
 * fitted so far holds no second start byte, so at most the byte just pushed remains, as the start of the next. */
static void rescan(struct ascii125 *p)
{
    count_bad(p);
    memmove(p->buf, p->buf + 1, --p->n);
    drop_junk(p);
}

bool ascii125_push(struct ascii125 *p, uint8_t byte, struct cred *ret_cred)
{
    /* Room is always there: a buffer of fitting bytes is complete, and emptied, at the latest when it is full. */
    p->buf[p->n++] = byte;
    if (p->n == 1) {
        drop_junk(p);
        return false;
    }
    if (!fits(p, p->n - 1, byte)) {
        rescan(p);
        return false;
    }
    if (!complete(p))
        return false;
    if (!decode(p, ret_cred)) {
        rescan(p);
        return false;
    }
    p->n = 0;
    p->junk = false;
    return true;
}

void ascii125_gap(struct ascii125 *p)
{
    if (p->n > 0)
        p->bad++;
    p->n = 0;
    p->junk = false;
}

/* ---- the driver ---- */

struct driver_state {
    struct driver_env env;
    struct ascii125 parser;
    uint64_t token;
    bool fed; /* bytes came since the last turn */
};

static int create(const struct driver_env *env, void **ret_self)
{
    struct driver_state *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->env = *env;
    ascii125_init(&d->parser, (enum ascii125_layout)env->settings->layout);
    *ret_self = d;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

static void tell(struct driver_state *d, enum sight_kind kind, const struct cred *c)
{
    struct sight s = {.kind = kind, .reader = d->env.reader};

    if (c) {
        s.cred = *c;
        s.token = ++d->token;
        atomic_fetch_add(&d->env.stats->reads, 1);
    }
    clock_both(&s.real, &s.mono);
    outbox_send(d->env.out, &s);
}

static void online(void *self)
{
    struct driver_state *d = self;

    ascii125_init(&d->parser, d->parser.layout);
    atomic_store(&d->env.stats->up, true);
    tell(d, SIGHT_UP, NULL);
}

static void offline(void *self)
{
    struct driver_state *d = self;

    atomic_store(&d->env.stats->up, false);
    tell(d, SIGHT_DOWN, NULL);
}

static void report_bad(struct driver_state *d)
{
    atomic_fetch_add(&d->env.stats->bad, d->parser.bad);
    d->parser.bad = 0;
}

static void feed(void *self, struct bytes data)
{
    struct driver_state *d = self;
    struct cred c;

    for (size_t i = 0; i < data.n; i++)
        if (ascii125_push(&d->parser, data.p[i], &c))
            tell(d, SIGHT_CARD, &c);
    report_bad(d);
    d->fed = true;
}

/* The time-out between bytes. A turn comes only when the line had nothing for us to read, so our own pauses (a full
 * queue, a stopped process) never cut a frame in two. */
static int step(void *self, int64_t now, int64_t *ret_due)
{
    struct driver_state *d = self;

    if (d->fed && d->parser.n > 0) {
        d->fed = false;
        *ret_due = now + INTER_BYTE_MS;
        return 0;
    }
    d->fed = false;
    ascii125_gap(&d->parser);
    report_bad(d);
    *ret_due = DRIVER_NEVER;
    return 0;
}

static const char *state(const void *self)
{
    const struct driver_state *d = self;
    return d->parser.n > 0 ? "in a frame" : "listening";
}

const struct driver ascii125_driver = {.name = "ascii125",
                                       .create = create,
                                       .destroy = destroy,
                                       .online = online,
                                       .offline = offline,
                                       .feed = feed,
                                       .step = step,
                                       .state = state};
