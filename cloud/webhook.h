/* Webhooks: where a customer's own programs are told that something happened. The message is thin (delivery.h); who
 * gets it fetches the rest with a token of his own. */
#pragma once

#include <jansson.h>

#include "cloud/scope.h"

#define WEBHOOKS_MAX 16 /* in a tenant */
#define WEBHOOK_URL_MAX 500
#define WEBHOOK_NAME_MAX 100
#define WEBHOOK_SECRET_MAX 48                  /* with NUL: "pws_" and 43 characters, which are the key as they stand */
#define WEBHOOK_OLD_US (24LL * 3600 * 1000000) /* a secret that was replaced signs for so long beside the new one */

/* What it wants; "support.*" is every type that begins so. */
#define WEBHOOK_CHANGES UINT64_C(1)
const char *webhook_type(size_t i); /* "changes", ...; NULL behind the last */
bool webhook_type_find(const char *name, uint64_t *ret_bit);
/* Whose subscribers get an event of that type; 0: no such type. */
uint64_t webhook_wanted(const char *event);

struct webhook {
    uint8_t id[ID_LEN];
    int64_t created;
    uint64_t wants;
    char url[WEBHOOK_URL_MAX + 1], name[WEBHOOK_NAME_MAX + 1];
    char secret[WEBHOOK_SECRET_MAX];
    char old[WEBHOOK_SECRET_MAX]; /* "": none */
    int64_t old_until;            /* us */
    unsigned failures;            /* in a row */
    int64_t due;                  /* us: not before */
    bool damaged;                 /* its row does not open: nothing is known but the id */
};
struct webhook_list {
    struct webhook *items;
    size_t n;
};

/* NULL, 0: as it is. */
struct webhook_set {
    const char *url, *name;
    uint64_t wants;
};
/* CLOUD_CONFLICT: there are WEBHOOKS_MAX. CLOUD_INVALID. Own transactions, all that change something. */
int webhook_add(struct cloud *c, struct db *db, const char *tenant, const struct webhook_set *set,
                struct webhook *ret_webhook);
/* Another url is tried at once. CLOUD_ABSENT, CLOUD_DAMAGED. */
int webhook_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   const struct webhook_set *set, struct webhook *ret_webhook);
/* A new secret; the one before signs on for WEBHOOK_OLD_US. */
int webhook_rotate(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct webhook *ret_webhook);
/* With its deliveries. */
int webhook_remove(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN]);
int webhook_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                struct webhook *ret_webhook);
int webhook_find(const struct scope *s, const uint8_t id[ID_LEN], struct webhook *ret_webhook);
int webhook_list(struct cloud *c, struct db *db, const char *tenant, struct webhook_list *ret_list);
void webhook_list_done(struct webhook_list *l);

/* "t=1795442700,v1=<hex>[,v1=<hex>]": HMAC-SHA-256 under each secret that holds at `now` over t "." body. */
#define WEBHOOK_SIGNATURE_MAX 192
int webhook_sign(const struct webhook *w, int64_t now, struct bytes body, char ret[WEBHOOK_SIGNATURE_MAX]);
/* How long to wait after so many failures in a row, us: from a minute, doubled each time, to six hours; `random` makes
 * it up to a quarter shorter or longer. */
int64_t webhook_backoff(unsigned failures, uint32_t random);
