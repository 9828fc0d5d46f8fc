/* The lights and buzzers of all readers with `feedback: host`: which reader has which, the patterns (light.h) and the
 * outputs (light_out.h) brought together by one timer of the loop. The same place named by several readers is one
 * light, which is ready only while all of them are.
 *
 * An output that is absent or fails is closed, logged once and counted, and tried again every LIGHTS_RETRY_MS; nothing
 * ever waits for one: what is called from outside only notes what is to be shown, the timer's turn shows it.
 */
#pragma once

#include "base/loop.h"
#include "readers/registry.h"

#define LIGHTS_RETRY_MS 10000
#define LIGHTS_SOON_MS 500 /* the first time: udev may be about to let us in */

struct lights;
/* `readers` (of struct reader_settings, checked) and the loop outlive it. */
int lights_new(struct loop *loop, const struct conf_list *readers, struct lights **ret);
void lights_free(struct lights *l); /* all dark; takes NULL */

/* The reader works, and its punches can be stored. */
void lights_ready(struct lights *l, unsigned reader, bool ready);
/* What a card was answered. STORED only once its punch is committed and synced; `again`: a repeat of one that was. */
void lights_answer(struct lights *l, unsigned reader, enum answer a, bool again);

struct lights_view {
    const char *place;
    const char *role;
    bool working;
    uint64_t failures;
};
size_t lights_count(const struct lights *l);
void lights_at(const struct lights *l, size_t i, struct lights_view *ret);
