/* The queue of mail, for who sends it (sending.c). */
#pragma once

#include "cloud/outbox.h"

#define MAIL_TRIES_US (72LL * 3600 * 1000000)     /* for so long it is tried */
#define MAIL_KEPT_US (30LL * 24 * 3600 * 1000000) /* what failed can be seen for so long */
#define MAIL_WAITING_MAX 5000                     /* in a tenant */

enum mail_state { MAIL_WAITING = 0, MAIL_FAILED = 1 };

struct mail_due {
    char tenant[TENANT_MAX + 1];
    uint8_t id[ID_LEN];
};
/* Up to max of those whose time has come, of each tenant in turn. */
int outbox_due(struct db *db, int64_t now, size_t max, struct mail_due *ret_due, size_t *ret_n);
struct mail_row {
    uint8_t id[ID_LEN];
    int64_t created;
    unsigned tries;
    enum mail_state state;
    char to[MAIL_ADDRESS_MAX + 1];
    enum mail_template template;
    enum mail_lang lang;
    json_t *args; /* the caller's, an object of strings */
};
void mail_row_done(struct mail_row *m);
/* CLOUD_ABSENT: it is gone, or its recipient is. CLOUD_DAMAGED. */
int outbox_get(const struct scope *s, const uint8_t id[ID_LEN], struct mail_row *ret);
int outbox_message(const struct mail_row *m, const char *from, struct buf *ret_message);

/* Each a write transaction of its own. */
int outbox_sent(struct cloud *c, struct db *db, const struct mail_due *m);
int outbox_put_off(struct cloud *c, struct db *db, const struct mail_due *m, int64_t due, enum mail_state state);
/* Forgets what failed long ago. */
int outbox_sweep(struct cloud *c, struct db *db, int64_t now);

/* [{"id", "template", "to", "created", "tries", "state"}]: what waits for this person, or failed. */
int outbox_of(const struct scope *s, const uint8_t key[KEY_ID_LEN], json_t **ret_items);
int outbox_counts(struct db *db, uint64_t *ret_waiting, uint64_t *ret_failed);
