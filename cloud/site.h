/* Sites: where gateways stand. A gateway's generation refers to one by id, so that another name is seen everywhere at
 * once, earlier punches included. Nothing personal. */
#pragma once

#include "cloud/cloud.h"

#define TIME_ZONE_MAX 64

struct site {
    uint8_t id[ID_LEN];
    char name[SITE_MAX_LEN + 1];
    char time_zone[TIME_ZONE_MAX + 1]; /* "" = not said */
    int64_t created;                   /* us */
    int64_t archived;                  /* us, 0 = not: nothing stands there any more, though punches name it */
    bool damaged;                      /* its row cannot be: nothing is known but the id */
};
struct site_list {
    struct site *items;
    size_t n;
    bool more;
};

/* 1 .. SITE_MAX_LEN bytes, no control characters. */
bool site_name_valid(const char *name);
/* The shape of an IANA name ("Europe/Berlin"); whether this machine's zoneinfo has it is not asked: a store may be read
 * where other zones are installed. */
bool time_zone_valid(const char *zone);

/* time_zone NULL or "": not said. CLOUD_ABSENT: no such tenant. CLOUD_CONFLICT: the name is taken. CLOUD_INVALID. Own
 * transaction. */
int site_add(struct cloud *c, struct db *db, const char *tenant, const char *name, const char *time_zone,
             struct site *ret_site);
/* NULL: as it is. A damaged row is made good by name and time zone together; else CLOUD_DAMAGED. CLOUD_ABSENT,
 * CLOUD_CONFLICT, CLOUD_INVALID. Own transaction. */
int site_update(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], const char *name,
                const char *time_zone, struct site *ret_site);
/* CLOUD_ABSENT, CLOUD_DAMAGED. CLOUD_CONFLICT: *ret_gateways that are not revoked stand there now. Own transaction. */
int site_archive(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                 uint64_t *ret_gateways);
/* CLOUD_ABSENT. CLOUD_CONFLICT: *ret_gateways stand there, or stood there in an earlier generation whose punches name
 * the site. Own transaction. */
int site_remove(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], uint64_t *ret_gateways);
int site_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
             struct site *ret_site); /* CLOUD_ABSENT, CLOUD_DAMAGED */
/* Damaged ones, too, in the order of their (random) ids, beginning after `after` (NULL: from the start), at most limit.
 */
int site_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *after, size_t limit,
              struct site_list *ret_list);
void site_list_done(struct site_list *l);

/* CLOUD_ABSENT. */
int site_by_name(struct db *db, const char *tenant, const char *name, uint8_t ret_id[ID_LEN]);
/* The site of this name, made when there is none, no longer archived; inside the caller's transaction. CLOUD_INVALID.
 */
int site_ensure(struct db *db, const char *tenant, const char *name, uint8_t ret_id[ID_LEN]);
