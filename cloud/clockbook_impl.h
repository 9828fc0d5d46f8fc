/* Between clockbook.c and neighbours.c. */
#pragma once

#include "cloud/clockbook.h"

/* The clock record for `mono`: the nearest, or with `latest` the last at or before it if there is one. CLOUD_ABSENT. */
int clockbook_point(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN], uint64_t mono,
                    bool latest, struct clock_point *ret);
/* t = c.real + (mono - c.mono), u = u(c) + 250 ppm of the distance; false: beyond what a time can be. */
bool clockbook_apply(const struct clock_point *c, uint64_t mono, int64_t *ret_time, uint64_t *ret_u);
/* Time and flags, unless the day cannot be: then FILED_IMPOSSIBLE. */
void clockbook_set(const struct gateway *g, struct filed *f, int64_t time, uint64_t u, unsigned flags);

/* Gives every untimed punch of a boot its time by `place`, which must not leave it untimed, and files it. */
typedef int clockbook_placer(void *arg, const struct scope *s, const struct gateway *g, struct filed *f);
int clockbook_place(const struct scope *s, const struct gateway *g, const uint8_t boot[BOOT_LEN],
                    clockbook_placer *place, void *arg, uint64_t *ret_n);
