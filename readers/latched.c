/* The driver of Modbus readers that latch a read until it is cleared, by a profile. Not here: bytes on a line, which
 * are modbus.c's, and dedup, which is the daemon's.
 *
 *   CHECK   after each (re)connect: did the device start anew? Then it forgot what it had latched
 *   INIT    the profile's init writes, then the reset flag is cleared if it was set
 *   POLL    flag 0: next poll; flag 1: READ
 *   READ    flag, length and number in one request -> SIGHT_CARD -> WAIT
 *   WAIT    nothing is asked until the daemon answered: STORED -> CLEAR, REFUSED -> READ after a second
 *   CLEAR   the write's echo is the device's word -> SIGHT_ACKED; anything else -> SETTLE
 *   SETTLE  what is in the latch? Nothing, or another number: ours was cleared. Our number: the same presentation,
 *           (again) to be cleared without a second sight: surely so while no clear was sent, and for `hold` after one
 *           whose outcome is unknown, or after the read when the line was lost since and the profile has no reset
 *           flag. Later it may as well be a new presentation of the same card, and the daemon, which knows what is
 *           unacknowledged, is asked again.
 *
 * The presentation outlives the connection: after a reconnect it is taken up by SETTLE, once it is stored.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/asked.h"

#define REFUSED_MS 1000
#define UNREADABLE_MAX 3 /* a latched read without a number is looked at so often, then given up */

enum latched_state { CHECK, INIT, POLL, READ, WAIT, CLEAR, SETTLE };
#define TRUST_MS 1000 /* a commit that took longer: look before clearing, the device may have restarted */

struct latched {
    struct asked a;
    enum latched_state state, after_init;
    size_t init_next;
    bool reset_seen; /* the reset flag is to be cleared after the init writes */
    bool idle_told;
    unsigned unreadable; /* READs in a row without a number */
    uint64_t token;
    struct cred cred;   /* of the presentation in WAIT, CLEAR or SETTLE */
    int64_t read_at;    /* when it was read; 0: the line was lost since */
    int64_t same_until; /* until then its number in the latch is the same presentation */
    int64_t not_before; /* READ after a refusal */
    bool giving_up;     /* CLEAR of a read without a number: nobody is told */
};

static const char *name_of(enum latched_state s)
{
    static const char *const names[] = {[CHECK] = "checking",
                                        [INIT] = "init",
                                        [POLL] = "polling",
                                        [READ] = "reading",
                                        [WAIT] = "waiting for the commit",
                                        [CLEAR] = "clearing",
                                        [SETTLE] = "settling a clear"};
    return names[s];
}

static void tell(struct latched *d, enum sight_kind kind)
{
    asked_tell(&d->a, kind, d->token, kind == SIGHT_CARD ? &d->cred : NULL);
}

static int64_t hold_ms(const struct latched *d)
{
    return (int64_t)d->a.env.settings->hold_ms;
}

/* For every outcome of a request but 0. */
static int not_answered(struct latched *d, int64_t now, int r, const struct reply *rep, int64_t *ret_due)
{
    r = asked_failed(&d->a, now, r, rep, name_of(d->state), ret_due);
    if (!atomic_load(&d->a.env.stats->up))
        d->idle_told = false;
    return r;
}

static int step_check(struct latched *d, int64_t now, int64_t *ret_due)
{
    struct reply rep;

    *ret_due = now;
    if (d->a.env.profile->reset.fc) {
        int r = asked_read(&d->a, d->a.env.profile->reset.fc, d->a.env.profile->reset.addr, 1, &rep);
        if (r != 0)
            return not_answered(d, now, r, &rep, ret_due);
        asked_up(&d->a);
        if (rep.v[0]) {
            d->reset_seen = true;
            d->same_until = 0;
        }
    }
    d->state = INIT;
    return 0;
}

static int step_init(struct latched *d, int64_t now, int64_t *ret_due)
{
    const struct profile *p = d->a.env.profile;
    struct profile_write clear_reset = {.at = p->reset, .value = 0};
    const struct profile_write *w = d->init_next < p->n_init ? &p->init[d->init_next] : &clear_reset;
    struct reply rep;

    if (d->init_next >= p->n_init && !d->reset_seen) {
        d->state = d->after_init;
        *ret_due = d->state == WAIT ? DRIVER_NEVER : now;
        return 0;
    }
    int r = asked_write(&d->a, w, &rep);
    if (r != 0)
        return not_answered(d, now, r, &rep, ret_due);
    asked_up(&d->a);
    if (w == &clear_reset)
        d->reset_seen = false;
    else
        d->init_next++;
    *ret_due = now;
    return 0;
}

static void tell_idle(struct latched *d)
{
    if (d->idle_told)
        return;
    d->idle_told = true;
    tell(d, SIGHT_IDLE);
}

static int step_poll(struct latched *d, int64_t now, int64_t *ret_due)
{
    const struct profile *p = d->a.env.profile;
    struct reply rep;
    bool with_reset = p->reset.fc != 0;
    unsigned from = with_reset && p->reset.addr < p->flag.addr ? p->reset.addr : p->flag.addr;
    unsigned last = with_reset && p->reset.addr > p->flag.addr ? p->reset.addr : p->flag.addr;

    atomic_fetch_add(&d->a.env.stats->polls, 1);
    int r = asked_read(&d->a, p->flag.fc, from, last - from + 1, &rep);
    if (r != 0)
        return not_answered(d, now, r, &rep, ret_due);
    asked_up(&d->a);
    *ret_due = now + asked_poll_ms(&d->a);
    if (with_reset && rep.v[p->reset.addr - from]) {
        log_note("reader.restarted", "reader=%s action=\"setting it up again\"", log_q(d->a.env.settings->name));
        d->reset_seen = true;
        d->init_next = 0;
        d->after_init = POLL;
        d->state = INIT;
    } else if (rep.v[p->flag.addr - from]) {
        d->state = READ;
        *ret_due = now;
    } else {
        tell_idle(d);
    }
    return 0;
}

static void present(struct latched *d, int64_t now, const struct cred *c)
{
    d->read_at = now;
    d->same_until = INT64_MAX; /* only a clear, or a restart, can let another one in */
    d->cred = *c;
    d->token++;
    d->idle_told = true; /* a latched read was there instead */
    d->state = WAIT;
    tell(d, SIGHT_CARD);
}

/* The flag is set but there is no number with it, or an id that names no card. Left alone it would lock out everybody
 * who comes later, so it is cleared, counted and logged, the former after a few looks; nobody was told that it was
 * stored. */
static void on_unreadable(struct latched *d, int what)
{
    bool unusable = what == PROFILE_UNUSABLE;

    atomic_fetch_add(unusable ? &d->a.env.stats->unusable : &d->a.env.stats->bad, 1);
    if (++d->unreadable < UNREADABLE_MAX && !unusable)
        return;
    log_warn("reader.unreadable", "reader=%s reason=%s action=\"clearing the read\"", log_q(d->a.env.settings->name),
             unusable ? "\"an id that names no card\"" : "\"no number\"");
    d->giving_up = true;
    d->state = CLEAR;
}

/* READ and SETTLE ask for the same registers. */
static int read_latch(struct latched *d, int64_t now, int64_t *ret_due, int *ret_what, struct cred *ret_cred)
{
    const struct profile *p = d->a.env.profile;
    struct reply rep;

    atomic_fetch_add(&d->a.env.stats->polls, 1);
    int r = asked_read(&d->a, p->read.fc, p->read.from, p->read.n, &rep);
    if (r != 0) {
        r = not_answered(d, now, r, &rep, ret_due);
        return r < 0 ? r : 1;
    }
    asked_up(&d->a);
    *ret_what = profile_cred(p, rep.v, ret_cred);
    explicit_bzero(&rep, sizeof(rep));
    return 0;
}

static int step_read(struct latched *d, int64_t now, int64_t *ret_due)
{
    struct cred c;
    int what, r;

    if (now < d->not_before) {
        *ret_due = d->not_before;
        return 0;
    }
    r = read_latch(d, now, ret_due, &what, &c);
    if (r != 0)
        return r < 0 ? r : 0;
    *ret_due = now + asked_poll_ms(&d->a);
    if (what == 0) {
        d->unreadable = 0;
        present(d, now, &c);
        *ret_due = DRIVER_NEVER;
    } else if (what != PROFILE_NONE) {
        on_unreadable(d, what);
    } else {
        d->state = POLL; /* gone between the poll and now: a restart, or somebody else cleared it */
    }
    return 0;
}

static void cleared(struct latched *d)
{
    bool told = !d->giving_up;

    d->giving_up = false;
    d->unreadable = 0;
    d->state = POLL;
    if (told)
        tell(d, SIGHT_ACKED);
    explicit_bzero(&d->cred, sizeof(d->cred));
}

static int step_clear(struct latched *d, int64_t now, int64_t *ret_due)
{
    struct reply rep;
    int r = asked_write(&d->a, &d->a.env.profile->clear, &rep);

    if (r == 0) {
        asked_up(&d->a);
        cleared(d);
        *ret_due = now + asked_poll_ms(&d->a);
        return 0;
    }
    /* Whatever came instead of the echo, the write may have been done. */
    d->state = d->giving_up ? POLL : SETTLE;
    d->giving_up = false;
    d->same_until = now + hold_ms(d);
    return not_answered(d, now, r, &rep, ret_due);
}

static int step_settle(struct latched *d, int64_t now, int64_t *ret_due)
{
    struct cred c;
    int what, r = read_latch(d, now, ret_due, &what, &c);

    if (r != 0)
        return r < 0 ? r : 0;
    *ret_due = now;
    if (what == PROFILE_BAD || what == PROFILE_UNUSABLE) {
        cleared(d); /* whatever is latched there, ours is stored: the rest is READ's */
        d->state = READ;
    } else if (what == PROFILE_NONE) {
        cleared(d);
        tell_idle(d);
    } else if (!cred_equal(&c, &d->cred)) {
        cleared(d);
        present(d, now, &c);
        *ret_due = DRIVER_NEVER;
    } else if (now <= d->same_until) {
        d->state = CLEAR;
    } else {
        present(d, now, &c);
        *ret_due = DRIVER_NEVER;
    }
    return 0;
}

static int step(void *self, int64_t now, int64_t *ret_due)
{
    struct latched *d = self;

    switch (d->state) {
    case CHECK:
        return step_check(d, now, ret_due);
    case INIT:
        return step_init(d, now, ret_due);
    case POLL:
        return step_poll(d, now, ret_due);
    case READ:
        return step_read(d, now, ret_due);
    case CLEAR:
        return step_clear(d, now, ret_due);
    case SETTLE:
        return step_settle(d, now, ret_due);
    case WAIT:
        break;
    }
    *ret_due = DRIVER_NEVER;
    return 0;
}

static void answer(void *self, uint64_t token, enum answer a)
{
    struct latched *d = self;
    int64_t now = clock_ms();
    enum latched_state next = READ;

    if (token != d->token)
        return;
    if (a == ANSWER_STORED)
        next = now - d->read_at <= TRUST_MS ? CLEAR : SETTLE;
    else
        d->not_before = now + REFUSED_MS;
    if (d->state == WAIT)
        d->state = next;
    else if ((d->state == CHECK || d->state == INIT) && d->after_init == WAIT)
        d->after_init = next; /* it came while a re-opened line was being set up */
}

static void online(void *self)
{
    struct latched *d = self;

    d->a.failures = 0;
    d->idle_told = false;
    d->init_next = 0;
    if (!d->a.env.profile->reset.fc && d->read_at != 0 && d->same_until == INT64_MAX)
        d->same_until = d->read_at + hold_ms(d); /* it cannot tell whether it started anew meanwhile */
    d->read_at = 0;
    if (d->state != CHECK && d->state != INIT)
        d->after_init = d->state;
    if (d->after_init == CLEAR)
        d->after_init = d->giving_up ? POLL : SETTLE;
    d->giving_up = false;
    d->state = CHECK;
}

static void offline(void *self)
{
    struct latched *d = self;

    asked_down(&d->a);
}

static int create(const struct driver_env *env, void **ret_self)
{
    struct latched *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->a.env = *env;
    d->state = CHECK;
    d->after_init = POLL;
    *ret_self = d;
    return 0;
}

static void destroy(void *self)
{
    struct latched *d = self;

    if (d)
        explicit_bzero(&d->cred, sizeof(d->cred));
    free(d);
}

static const char *state(const void *self)
{
    const struct latched *d = self;
    return name_of(d->state);
}

const struct driver latched_driver = {.name = "modbus",
                                      .acked = true,
                                      .create = create,
                                      .destroy = destroy,
                                      .online = online,
                                      .offline = offline,
                                      .step = step,
                                      .answer = answer,
                                      .state = state};
