/* Refused requests are counted by who and what, so that a flood of them does not fill the trail: the first is noted at
 * once, the others of its minute as one event with their number. Bounded; what finds no room is counted together.
 * Thread-safe. */
#pragma once

#include "cloud/audit.h"

struct audit_refusals;
int audit_refusals_new(struct audit_refusals **ret_refusals);
void audit_refusals_free(struct audit_refusals *r); /* takes NULL */
/* True: it is the first of its kind, and to be noted. now_ms: clock_ms(). */
bool audit_refusals_first(struct audit_refusals *r, const char *tenant, const struct audit_event *e, int64_t now_ms);
/* The first could not be noted: it counts with the others. */
void audit_refusals_again(struct audit_refusals *r, const char *tenant, const struct audit_event *e);
/* Calls fn for each whose minute is over (all: for every one) and that was counted more than once; 0 from fn: told. */
typedef int audit_refusal_fn(void *arg, const char *tenant, const struct audit_event *e);
void audit_refusals_flush(struct audit_refusals *r, int64_t now_ms, bool all, audit_refusal_fn *fn, void *arg);
uint64_t audit_refusals_count(struct audit_refusals *r); /* since the start */
