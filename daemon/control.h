/* The control socket: status, tail and spool, as text or as JSON. No card number passes here: a credential is shown as
 * a keyed tag that tells two sightings apart. */
#pragma once

#include "base/loop.h"
#include "daemon/journal.h"

struct control;
struct gateway;

#define CONTROL_TAILS 16
#define CONTROL_TAG 8

int control_new(struct loop *l, const char *path, struct gateway *g, struct control **ret);
void control_free(struct control *c);
/* A committed punch, for who tails. */
void control_tail(struct control *c, const struct entry *e);
