/* Time zones by their IANA name, from the machine's zoneinfo (TZif, RFC 9636). Why not glibc: its localtime_r() knows
 * one zone a process, that of TZ, and setting TZ while other threads look is a race; ours are one a site. */
#pragma once

#include "base/buf.h"

struct zone;
/* ZONE_UNKNOWN: this machine has no such zone, or one that cannot be read. "" is UTC. The name's shape is checked by
 * time_zone_valid() before: it becomes part of a path. */
enum { ZONE_UNKNOWN = 1 };
int zone_load(const char *name, struct zone **ret_zone);
/* The same from the bytes of a file. */
int zone_read(struct bytes file, struct zone **ret_zone);
void zone_free(struct zone *z); /* takes NULL */

int32_t zone_offset(const struct zone *z, int64_t s); /* seconds east of UTC at that Unix time */
int64_t zone_day(const struct zone *z, int64_t us);   /* local days since 1970-01-01 */
/* When the local day begins, in us: at its midnight, or, where the clocks skip that, with its first instant. So days
 * have 23, 24 or 25 hours, and each ends where the next begins. */
int64_t zone_day_start(const struct zone *z, int64_t day);
