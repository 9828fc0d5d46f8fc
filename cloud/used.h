/* When tokens were last used: a day each, remembered in memory until somebody who writes anyway writes it down, so that
 * no request that reads waits for the store's writer. What a crash loses is noted again at the next use. */
#pragma once

#include "cloud/token.h"

struct used;
int used_new(struct used **ret_used);
void used_free(struct used *u); /* takes NULL */
/* Today, if the token does not say so already. When there is no room for it, a later use is noted. */
void used_note(struct used *u, const struct token *t, int64_t now);
/* Own transaction; none when there is nothing to write. */
int used_flush(struct used *u, struct cloud *c, struct db *db);
