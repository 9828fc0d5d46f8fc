/* Whose keys an escrow folder holds. It is often a mount point: with its disk away it is an empty folder of another
 * disk, where a key can be written and is lost with the disk that it was to outlive. So each holds a file,
 * installation.id, which names the one installation that keeps keys there, and a folder that does not name ours gets
 * no key. The id is that of the installation's CA, which lasts as long as the installation and comes back with pki/.
 */
#pragma once

#include "cloud/db.h"
#include "cloud/settings.h"

#define ESCROW_ID 17 /* text, with NUL */

/* Of the installation in that state folder. -ENOENT: there is none. */
int escrow_id(const char *state, char ret_id[ESCROW_ID]);
/* The folder names `id`. */
bool escrow_marked(const char *folder, const char *id);
/* 0, or logs what is there instead, what was expected and what to do. -ENOMEDIUM: no mark, or another's. */
int escrow_check(const char *folder, const char *id);

/* Marks a folder that holds nobody's keys, on somebody's word: `init` and `escrow adopt`. ESCROW_HOLDS: it holds keys
 * and does not name us. -ENOENT: there is no such folder. */
enum { ESCROW_HOLDS = 1 };
int escrow_adopt(const char *folder, const char *id);
/* ESCROW_HOLDS: some customer's ring is in it. */
int escrow_holds(const char *folder);

/* Checks every folder of the settings; CLOUD_ESCROW, logged. One without a mark whose keys the store knows is ours: it
 * is from before there were marks, and gets one. */
int escrow_open(const struct settings *set, struct db *db, char ret_id[ESCROW_ID]);
