/* From a filed punch to a row of an answer, for query.c and feed.c. */
#pragma once

#include "cloud/filed.h"
#include "cloud/gateway.h"

/* Sites by gateway and generation, looked up once a request. */
struct sites {
    const struct scope *s;
    struct gateway_list gateways; /* newest generations; older ones are added as they come */
};
int sites_init(struct sites *x, const struct scope *s);
void sites_done(struct sites *x);
const char *sites_of(struct sites *x, const uint8_t gw[GW_LEN], uint64_t gen); /* "" when there is none */

/* ret_row is all zeros before. */
int query_row(struct sites *x, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f,
              struct punch_row *ret_row);
