#include "readers/light.h"

#define PHASES 8

/* Milliseconds, lit and dark by turns, beginning with lit; a base state repeats its row, an event's row is as long as
 * the event. An event begins and ends dark, so that it stands out from what was shown before. */
static const uint16_t patterns[LIGHT_ROLES][4][PHASES] = {
    [LIGHT_GREEN] = {[LIGHT_READY] = {100, 1900}, [LIGHT_ACCEPTED] = {0, 50, 900, 50}},
    [LIGHT_RED] = {[LIGHT_TROUBLE] = {500, 500}, [LIGHT_REFUSED] = {0, 50, 200, 100, 200, 100, 200, 150}},
    [LIGHT_BUZZER] = {[LIGHT_ACCEPTED] = {0, 50, 150, 800}, [LIGHT_REFUSED] = {0, 50, 200, 100, 200, 100, 200, 150}},
};

const char *light_role_name(enum light_role r)
{
    static const char *const names[] = {[LIGHT_GREEN] = "green", [LIGHT_RED] = "red", [LIGHT_BUZZER] = "buzzer"};
    return names[r];
}

static bool is_event(enum light_show s)
{
    return s == LIGHT_ACCEPTED || s == LIGHT_REFUSED;
}

static void show(struct light *l, enum light_show s, int64_t now)
{
    l->shown = s;
    l->since = now;
}

void light_init(struct light *l, enum light_role role, int64_t now)
{
    *l = (struct light){.role = role, .base = LIGHT_TROUBLE};
    show(l, l->base, now);
}

/* Ends an event that is over. */
static void settle(struct light *l, int64_t now)
{
    if (!is_event(l->shown) || now - l->since < LIGHT_EVENT_MS)
        return;
    show(l, l->accept_next ? LIGHT_ACCEPTED : l->base, now);
    l->accept_next = false;
}

void light_base(struct light *l, bool ready, int64_t now)
{
    enum light_show base = ready ? LIGHT_READY : LIGHT_TROUBLE;

    settle(l, now);
    if (l->base == base)
        return;
    l->base = base;
    if (!is_event(l->shown))
        show(l, base, now);
}

void light_accepted(struct light *l, bool again, int64_t now)
{
    settle(l, now);
    if (l->shown == LIGHT_REFUSED)
        l->accept_next = true;
    else if (!again || l->shown != LIGHT_ACCEPTED)
        show(l, LIGHT_ACCEPTED, now);
}

void light_refused(struct light *l, int64_t now)
{
    settle(l, now);
    if (l->shown != LIGHT_REFUSED)
        show(l, LIGHT_REFUSED, now);
}

bool light_step(struct light *l, int64_t now, int64_t *ret_until)
{
    settle(l, now);
    const uint16_t *p = patterns[l->role][l->shown];
    int64_t period = 0, from = l->since;

    for (unsigned i = 0; i < PHASES; i++)
        period += p[i];
    *ret_until = is_event(l->shown) ? l->since + LIGHT_EVENT_MS : LIGHT_NEVER;
    if (period == 0)
        return false;
    from += (now - from) / period * period;
    for (unsigned i = 0; i < PHASES; i++) {
        if (now - from < p[i]) {
            *ret_until = from + p[i];
            return i % 2 == 0;
        }
        from += p[i];
    }
    ASSERT(false); /* inside a period there is a phase */
    return false;
}
