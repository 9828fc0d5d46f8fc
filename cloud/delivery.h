/* Deliveries: what was, is or will be told to a webhook. Its id begins with its time, so they sort, and stays the same
 * however often it is sent. Each webhook gets its own in order, one at a time: while the first of those that wait does
 * not arrive, the others wait behind it. */
#pragma once

#include "cloud/webhook.h"

#define DELIVERY_TRIES_US (72LL * 3600 * 1000000) /* for so long it is tried */
#define DELIVERIES_WAITING_MAX 1000               /* of a webhook; beyond it they fail at once */
#define DELIVERIES_KEPT 200                       /* of a webhook, beside those that wait */
#define DELIVERY_TYPE_MAX 48
#define DELIVERY_ERROR_MAX 200

enum delivery_state { DELIVERY_WAITING = 0, DELIVERY_DONE = 1, DELIVERY_FAILED = 2 };
const char *delivery_state_name(enum delivery_state s); /* "waiting", "delivered", "failed" */

struct delivery {
    uint8_t id[ID_LEN];
    int64_t created, queued, tried; /* us; tried 0: not yet. queued: when it was made, or was to be sent again */
    enum delivery_state state;
    unsigned tries;
    unsigned status; /* HTTP's, of the last try; 0: there was none */
    char type[DELIVERY_TYPE_MAX + 1];
    char error[DELIVERY_ERROR_MAX + 1]; /* of the last try; "": none */
    json_t *data;                       /* the list's or the caller's */
};
struct delivery_list {
    struct delivery *items;
    size_t n;
    bool more;
};
void delivery_done(struct delivery *d);

/* Newest first, behind `after` (NULL: from the newest). CLOUD_ABSENT: no such webhook. */
int delivery_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t webhook[ID_LEN],
                  const uint8_t *after, size_t limit, struct delivery_list *ret_list);
void delivery_list_done(struct delivery_list *l);
int delivery_find(const struct scope *s, const uint8_t webhook[ID_LEN], const uint8_t id[ID_LEN],
                  struct delivery *ret_delivery); /* CLOUD_ABSENT, CLOUD_DAMAGED */

/* Inside the caller's write transaction. `data` is borrowed. The webhook must be there. */
int delivery_add(const struct scope *s, const uint8_t webhook[ID_LEN], const char *type, json_t *data,
                 struct delivery *ret_delivery); /* NULL: not asked for */
/* Sent again, now. CLOUD_CONFLICT: it waits already. */
int delivery_again(const struct scope *s, const uint8_t webhook[ID_LEN], const uint8_t id[ID_LEN],
                   struct delivery *ret_delivery);

/* What is sent: {"created", "data", "id", "tenant", "type"}; the same bytes each time. */
int delivery_body(const struct delivery *d, const char *tenant, struct buf *ret_body);

/* ---- for who sends them ---- */

struct webhook_due {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN];
    unsigned failures;
};
/* Webhooks, of all tenants, that are due and have something waiting. */
int delivery_due(struct db *db, int64_t now, size_t max, struct webhook_due *ret_due, size_t *ret_n);
/* The first that waits. CLOUD_ABSENT: none. One that does not open is dropped from the queue. */
int delivery_head(const struct scope *s, const uint8_t webhook[ID_LEN], struct delivery *ret_delivery);
/* What became of a try, into the store with all that follows for the webhook: d has state, status and error. */
int delivery_tried(struct cloud *c, struct db *db, const struct webhook_due *w, const struct delivery *d, int64_t due);
/* Tells the webhooks that follow the changes feed, where it moved since; at most every two seconds each, and never
 * while such a message waits. *ret_told: how many. */
int delivery_changes(struct cloud *c, struct db *db, int64_t now, size_t *ret_told);
int delivery_counts(struct db *db, uint64_t *ret_waiting, uint64_t *ret_failed);
