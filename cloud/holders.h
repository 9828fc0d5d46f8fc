/* Who held which card, kept between the transactions of one connection: ingest asks for every punch, and the rows
 * behind the answer change when somebody assigns a card.
 *
 * Only that connection's owner may use it. */
#pragma once

#include "cloud/holder.h"

struct holders;
int holders_new(struct holders **ret_holders);
void holders_free(struct holders *h);
/* Inside each transaction, before the first holders_find(): forgets all when another connection has committed since the
 * last call. */
int holders_begin(struct holders *h, struct db *db);
void holders_forget(struct holders *h); /* after its own connection may have written assignments */
/* As assignment_each(), for who held the card at `when`. CLOUD_ABSENT: nobody. h may be NULL: the store is asked. */
int holders_find(struct holders *h, const struct scope *s, const uint8_t cidx[CIDX_LEN], int64_t when,
                 uint8_t ret_key_id[KEY_ID_LEN]);
