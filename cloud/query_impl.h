/* From a filed punch to a row of an answer, for query.c and feed.c. */
#pragma once

#include "cloud/filed.h"
#include "cloud/gateway.h"
#include "cloud/reader.h"

/* What rows share, looked up once a request: sites by gateway and generation; the people opened last, each in the slot
 * of its key id's first byte. All of one state of the store, so inside a read transaction. */
#define PEOPLE_SLOTS 32
struct sites {
    const struct scope *s;
    bool corrected;               /* the tenant has corrections */
    struct gateway_list gateways; /* newest generations; older ones are added as they come */
    struct directions directions;
    struct known {
        bool known;
        uint8_t key_id[KEY_ID_LEN];
        uint8_t id[ID_LEN];
        char name[NAME_MAX_LEN + 1];
    } people[PEOPLE_SLOTS];
};
int sites_init(struct sites *x, const struct scope *s);
void sites_done(struct sites *x);
const char *sites_of(struct sites *x, const uint8_t gw[GW_LEN], uint64_t gen); /* "" when there is none */
const struct gateway *sites_gateway(struct sites *x, const uint8_t gw[GW_LEN], uint64_t gen); /* NULL: none */
const uint8_t *sites_id(struct sites *x, const struct filed *f); /* the site's; NULL: none */
/* CLOUD_ABSENT: the key's person is gone, or the key is nobody's. */
int sites_person(struct sites *x, const uint8_t key_id[KEY_ID_LEN], const struct known **ret);

/* ret_row is all zeros before. */
int query_row(struct sites *x, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, const struct filed *f,
              struct punch_row *ret_row);
