/* The driver of Modbus readers that show a card's number while it is in the field, by a profile. Not here: bytes on a
 * line, which are modbus.c's, and `hold`, which is the daemon's.
 *
 * Absent: a number is asked for again at once, and believed when it is the same. The source of no shipped profile
 * promises that a device changes its registers all at once, and half a number is another card's.
 *
 * Present: SIGHT_CARD was sent, once. The same number is no news. Another one (twice): that card left, this one came.
 * None in `absent_polls` replies in a row: it left. A reply that did not come, an exception or a damaged one says
 * nothing about the card.
 *
 * Nothing is written to the device, nobody is told when the punch is stored, and an answer is not waited for: a refused
 * card has to be presented again.
 *
 * Who keeps a presentation together: over single lost replies this driver, however long the card lies there. Once the
 * device is given up (SIGHT_DOWN) or the line lost, nobody sees the card, so it left (SIGHT_LEFT) when it was last
 * seen; back within `hold` of that it is the same presentation to the daemon's dedup, later a new one. After a restart
 * of the daemon nothing is known: a card that still lies there is a new punch. A second punch is better than a lost
 * one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/asked.h"

#define UNREADABLE_LOOKS 2 /* a device that changes its registers one by one may show a length before its bytes */

struct level {
    struct asked a;
    uint64_t token;
    bool present, doubtful;
    struct cred cred;  /* present: of the card in the field */
    struct cred doubt; /* doubtful: a number seen once */
    int64_t seen_real; /* present: when it was last seen */
    uint64_t seen_mono;
    unsigned absent;     /* good replies in a row without it, or without anything; up to absent_polls */
    unsigned unreadable; /* looks at something without a number; from UNREADABLE_LOOKS on that was told */
};

static const char *state(const void *self)
{
    const struct level *d = self;
    return d->present ? "card in the field" : d->doubtful ? "looking twice" : "polling";
}

static void forget_doubt(struct level *d)
{
    d->doubtful = false;
    explicit_bzero(&d->doubt, sizeof(d->doubt));
}

static void left(struct level *d)
{
    struct sight s = {.kind = SIGHT_LEFT,
                      .reader = d->a.env.reader,
                      .token = d->token,
                      .cred = d->cred,
                      .real = d->seen_real,
                      .mono = d->seen_mono};

    if (d->present)
        outbox_send(d->a.env.out, &s);
    d->present = false;
    explicit_bzero(&s.cred, sizeof(s.cred));
    explicit_bzero(&d->cred, sizeof(d->cred));
}

/* The device or its line is gone. */
static void blind(struct level *d)
{
    left(d);
    forget_doubt(d);
    d->unreadable = 0;
}

static void on_number(struct level *d, const struct cred *c, int64_t now, int64_t *ret_due)
{
    d->unreadable = 0;
    if (!d->present || !cred_equal(c, &d->cred)) {
        if (!d->doubtful || !cred_equal(c, &d->doubt)) {
            *ret_due = d->doubtful ? *ret_due : now; /* one that changes with each reply is not chased */
            d->doubtful = true;
            d->doubt = *c;
            return;
        }
        left(d);
        d->present = true;
        d->cred = *c;
        d->token++;
        asked_tell(&d->a, SIGHT_CARD, d->token, &d->cred);
    }
    forget_doubt(d);
    d->absent = 0;
    clock_both(&d->seen_real, &d->seen_mono);
}

/* So many replies in a row that the card that was there is not there any more? */
static bool is_gone(struct level *d)
{
    if (d->absent < d->a.env.profile->absent_polls)
        d->absent++;
    return d->absent == d->a.env.profile->absent_polls;
}

static void on_nothing(struct level *d)
{
    forget_doubt(d);
    if (!is_gone(d))
        return;
    left(d);
    d->unreadable = 0;
}

/* Such as a UID of a length the profile has no map for: refused, never guessed. Or an id that names no card. Told once
 * a presentation. Whatever it is, it is not the card that was there. */
static void on_unreadable(struct level *d, int what, unsigned length, int64_t now, int64_t *ret_due)
{
    bool unusable = what == PROFILE_UNUSABLE;

    forget_doubt(d);
    if (d->present && is_gone(d))
        left(d);
    if (!d->present)
        d->absent = 0;
    if (d->unreadable == UNREADABLE_LOOKS)
        return;
    if (++d->unreadable < UNREADABLE_LOOKS) {
        *ret_due = now;
        return;
    }
    atomic_fetch_add(unusable ? &d->a.env.stats->unusable : &d->a.env.stats->bad, 1);
    log_warn("reader.unreadable", "reader=%s length=%u reason=%s action=refused", log_q(d->a.env.settings->name),
             length, unusable ? "\"an id that names no card\"" : "\"no number of this length in the profile\"");
}

static int step(void *self, int64_t now, int64_t *ret_due)
{
    struct level *d = self;
    const struct profile *p = d->a.env.profile;
    struct reply rep;
    struct cred c;

    atomic_fetch_add(&d->a.env.stats->polls, 1);
    int r = asked_read(&d->a, p->read.fc, p->read.from, p->read.n, &rep);
    if (r != 0) {
        r = asked_failed(&d->a, now, r, &rep, state(d), ret_due);
        if (!atomic_load(&d->a.env.stats->up))
            blind(d);
        return r;
    }
    asked_up(&d->a);
    *ret_due = now + asked_poll_ms(&d->a);
    int what = profile_cred(p, rep.v, &c);
    if (what == 0) {
        on_number(d, &c, now, ret_due);
        explicit_bzero(&c, sizeof(c));
    } else if (what != PROFILE_NONE) {
        on_unreadable(d, what, profile_length(p, rep.v), now, ret_due);
    } else {
        on_nothing(d);
    }
    explicit_bzero(&rep, sizeof(rep));
    return 0;
}

static void online(void *self)
{
    struct level *d = self;
    d->a.failures = 0;
}

static void offline(void *self)
{
    struct level *d = self;

    blind(d);
    asked_down(&d->a);
}

static int create(const struct driver_env *env, void **ret_self)
{
    struct level *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->a.env = *env;
    *ret_self = d;
    return 0;
}

static void destroy(void *self)
{
    struct level *d = self;

    if (d)
        explicit_bzero(d, sizeof(*d));
    free(d);
}

const struct driver level_driver = {.name = "modbus level",
                                    .create = create,
                                    .destroy = destroy,
                                    .online = online,
                                    .offline = offline,
                                    .step = step,
                                    .state = state};
