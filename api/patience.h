/* How long the listener waits for a peer: absolute deadlines of its connections, and the thread that cuts the late
 * ones. libmicrohttpd knows a time of silence only, which every byte starts anew; who sends one byte now and then would
 * hold a connection, and its share of the limits, for ever.
 *
 * A late connection is shut down, not closed: its owner sees the end of it and closes. Whoever owns the descriptor
 * calls patience_leave() before close(2), so that a number that is used anew is never shut down for its predecessor.
 * All functions are thread-safe. */
#pragma once

#include "cloud/address.h"

#define PATIENCE_ENDLESS UINT64_MAX

/* When three quarters of the connections are open, who is waited for has an eighth of the time. */
struct patience;
struct patience_peer;
int patience_new(unsigned connections, struct patience **ret_patience);
void patience_free(struct patience *p); /* takes NULL; no peer is left */

/* `ms` from now. `who`: by whom it is counted; NULL: by nobody. NULL when there are as many as there may be, `each` of
 * one `who` (0: no limit): fd is shut down at once. */
struct patience_peer *patience_join(struct patience *p, int fd, uint64_t ms, const struct address *who, unsigned each);
/* From now on it counts as this one's, NULL: as nobody's. False, and it stays nobody's, when that one has `each`
 * already (0: no limit). Takes a NULL peer. */
bool patience_count(struct patience *p, struct patience_peer *peer, const struct address *who, unsigned each);
/* What comes next has `ms` from now. `waited`: the peer has nothing of ours in hand, it may be cut earlier when room is
 * short. Takes a NULL peer. */
void patience_set(struct patience *p, struct patience_peer *peer, uint64_t ms, bool waited);
/* `ms` more on top of what it has. Takes a NULL peer. */
void patience_add(struct patience *p, struct patience_peer *peer, uint64_t ms);
void patience_leave(struct patience *p, struct patience_peer *peer);
