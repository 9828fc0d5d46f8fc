/* What a light or buzzer beside a reader shows, as an explicit state machine. It is driven by a clock that is passed in
 * (milliseconds, clock_ms()), drives nothing itself and never waits: readers/lights.c asks it what is due.
 *
 *   ready     punches are taken and can be stored. Green flashes shortly every 2 s. Flashing is the point: a light that
 *             stands still, lit or dark, belongs to a daemon that is dead, whatever its driver left behind.
 *   trouble   a reader of this light is down, or no punch can be stored (spool full or broken). Red blinks. A gateway
 *             without a network is not in trouble: it stores. One that is not enrolled does not run: all is dark.
 *   accepted  the punch is committed and synced. Green for a second, one beep.
 *   refused   it is not. Red and the buzzer, three times.
 *
 * The last two pass, and are shown for EVENT_MS. A new acceptance starts anew, with a gap, so that two people within a
 * second see two. A refusal that is shown is not begun again: a card held at a reader that repeats itself is refused at
 * each repeat. It goes before an acceptance, which then waits for its end: on a light that is shared nobody shall take
 * another one's green for his own.
 */
#pragma once

#include "base/error.h"

enum light_role { LIGHT_GREEN, LIGHT_RED, LIGHT_BUZZER };
#define LIGHT_ROLES 3
enum light_show { LIGHT_READY, LIGHT_TROUBLE, LIGHT_ACCEPTED, LIGHT_REFUSED };
#define LIGHT_EVENT_MS 1000
#define LIGHT_NEVER INT64_MAX

struct light {
    enum light_role role;
    enum light_show base; /* ready or trouble */
    enum light_show shown;
    bool accept_next; /* after the refusal that is shown */
    int64_t since;    /* it is shown */
};

const char *light_role_name(enum light_role r);

void light_init(struct light *l, enum light_role role, int64_t now); /* in trouble until told otherwise */
void light_base(struct light *l, bool ready, int64_t now);
/* `again`: it is the punch that was accepted before, seen again. It is shown again, because silence would be taken for
 * a refusal; but a card held at a reader that repeats itself does not restart what is being shown. */
void light_accepted(struct light *l, bool again, int64_t now);
void light_refused(struct light *l, int64_t now);
/* Lit at `now`? *ret_until: when to look again, LIGHT_NEVER when only news can change it. */
bool light_step(struct light *l, int64_t now, int64_t *ret_until);
