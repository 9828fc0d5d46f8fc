/* Requests, failures and back-off of devices that are asked; see asked.h. */
#include "readers/asked.h"

#include "base/clock.h"
#include "base/log.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 5000
#define BUSY_MS 20   /* exceptions 5 and 6: the device asks for time */
#define BUSY_MAX 100 /* and gets so much of it, at least two seconds */

int64_t asked_poll_ms(const struct asked *a)
{
    return (int64_t)a->env.settings->poll_ms;
}

void asked_tell(const struct asked *a, enum sight_kind kind, uint64_t token, const struct cred *cred)
{
    struct sight s = {.kind = kind, .reader = a->env.reader, .token = token};

    if (cred)
        s.cred = *cred;
    if (kind == SIGHT_CARD)
        atomic_fetch_add(&a->env.stats->reads, 1);
    clock_both(&s.real, &s.mono);
    outbox_send(a->env.out, &s);
}

int asked_read(struct asked *a, enum ask_fc fc, unsigned addr, unsigned n, struct reply *ret)
{
    struct ask ask = {.unit = (uint8_t)a->env.settings->unit,
                      .fc = fc,
                      .addr = (uint16_t)addr,
                      .n = (uint16_t)n,
                      .timeout_ms = (unsigned)a->env.settings->timeout_ms,
                      .probe = a->failures >= ASKED_DOWN_AFTER || !atomic_load(&a->env.stats->up),
                      .stats = a->env.stats};
    return a->env.link->ops->ask(a->env.link, &ask, ret);
}

int asked_write(struct asked *a, const struct profile_write *w, struct reply *ret)
{
    return asked_read(a, w->at.fc == ASK_COILS ? ASK_WRITE_COIL : ASK_WRITE_HOLDING, w->at.addr, w->value, ret);
}

void asked_up(struct asked *a)
{
    a->failures = a->busy = 0;
    if (atomic_exchange(&a->env.stats->up, true))
        return;
    log_info("reader.up", "reader=%s", log_q(a->env.settings->name));
    asked_tell(a, SIGHT_UP, 0, NULL);
}

void asked_down(struct asked *a)
{
    if (atomic_exchange(&a->env.stats->up, false))
        asked_tell(a, SIGHT_DOWN, 0, NULL);
}

/* A device that does not answer is asked ever more rarely, so that the others on its bus keep their pace. One that
 * answered a moment ago is asked again at once: a lost reply is no news. */
static int64_t backoff(const struct asked *a, int64_t now)
{
    unsigned quick = atomic_load(&a->env.stats->up) ? ASKED_DOWN_AFTER - 1 : 0;
    int64_t ms = BACKOFF_MIN_MS;

    if (a->failures <= quick)
        return now + asked_poll_ms(a);
    for (unsigned i = quick + 1; i < a->failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return now + (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
}

/* A request that brought no good reply; when the device is asked next. */
static int64_t on_failure(struct asked *a, int64_t now, const char *state)
{
    if (++a->failures == ASKED_DOWN_AFTER) {
        log_warn("reader.silent", "reader=%s state=%s action=\"probing it rarely\"", log_q(a->env.settings->name),
                 log_q(state));
        asked_down(a);
    }
    return backoff(a, now);
}

/* Modbus application protocol 7: 5 (acknowledge: accepted, not done yet) and 6 (busy) ask for time and are no failure
 * until nothing else comes. 10 and 11 come from a gateway whose device is silent. 4 is a device failure; the others
 * mean that the profile does not fit the device. */
static int64_t on_exception(struct asked *a, int64_t now, uint8_t code, const char *state)
{
    atomic_fetch_add(&a->env.stats->exceptions, 1);
    if ((code == 5 || code == 6) && a->busy < BUSY_MAX) {
        a->busy++;
        a->failures = 0;
        return now + (asked_poll_ms(a) > BUSY_MS ? asked_poll_ms(a) : BUSY_MS);
    }
    log_warn("reader.exception", "reader=%s code=%u state=%s hint=%s", log_q(a->env.settings->name), code, log_q(state),
             code < 4 ? "\"does the profile fit this device?\"" : "-");
    return on_failure(a, now, state);
}

int asked_failed(struct asked *a, int64_t now, int outcome, const struct reply *rep, const char *state,
                 int64_t *ret_due)
{
    if (outcome < 0)
        return outcome;
    if (outcome == ASK_TIMEOUT)
        atomic_fetch_add(&a->env.stats->timeouts, 1);
    *ret_due = outcome == ASK_EXCEPTION ? on_exception(a, now, rep->exception, state) : on_failure(a, now, state);
    return 0;
}
