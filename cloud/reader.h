/* Readers, as gateways name them: one row for each name that punched at a gateway, made by the first punch that
 * commits. In the clear it tells the gateway and the days of the first and the last punch; name and label are sealed,
 * and when and by whom a reader was used is sealed in the punches. The id is HMAC(tenant's key, gateway, name)[16]. */
#pragma once

#include "cloud/cloud.h"
#include "wire/punch.h"
#include "wire/segment.h"

struct scope;
/* What a punch means that does not say its direction itself. The punch stays as it is: the setting is applied when it
 * is shown. */
enum reader_direction { READER_BOTH = 0, READER_IN, READER_OUT };
/* Whether its punches say who is in, or only open a door. */
enum reader_mode { READER_ATTENDANCE = 0, READER_ACCESS };
struct reader {
    uint8_t id[ID_LEN];
    uint8_t gw[GW_LEN];
    char name[READER_NAME_MAX + 1];
    char label[LABEL_MAX_LEN + 1]; /* what people call it; "" = none */
    char site[SITE_MAX_LEN + 1];   /* where its gateway stands */
    uint8_t site_id[ID_LEN];
    enum reader_direction direction;
    enum reader_mode mode;
    int64_t first_day, last_day; /* days since 1970-01-01, UTC */
    bool damaged;                /* its row does not open: name and label are not known */
};
struct reader_list {
    struct reader *items;
    size_t n;
    bool more;
};

/* A punch of that day; inside the caller's transaction. Writes only when it tells something new. */
int reader_seen(const struct scope *s, const uint8_t gw[GW_LEN], const char *name, int64_t day);
int reader_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
               struct reader *ret_reader); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* Damaged ones, too, in the order of their ids, beginning after `after` (NULL: from the start), at most limit (0: all).
 */
int reader_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                struct reader_list *ret_list);
void reader_list_done(struct reader_list *l);
/* NULL: as it is. */
struct reader_set {
    const char *name;  /* only to make good a damaged row: the one that its id was made from */
    const char *label; /* "": none */
    const enum reader_direction *direction;
    const enum reader_mode *mode;
};
/* CLOUD_ABSENT; CLOUD_INVALID: label or name; CLOUD_DAMAGED: all members together would make it good. Own transaction.
 */
int reader_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                  const struct reader_set *set);

/* The readers of a tenant whose punches have a direction by setting, for who shows punches. */
struct directions {
    struct directed {
        uint8_t gw[GW_LEN];
        char name[READER_NAME_MAX + 1];
        enum reader_direction direction;
        enum reader_mode mode;
    } * items;
    size_t n;
};
int directions_load(const struct scope *s, struct directions *ret);
void directions_done(struct directions *d);
/* NULL: it has no settings of its own. */
const struct directed *directions_of(const struct directions *d, const uint8_t gw[GW_LEN], const char *name);
