/* Reports of security problems, which anybody may send: sealed under the key of the vendor's tenant, bounded in size
 * and number, and gone a year after they were closed. */
#pragma once

#include <jansson.h>

#include "cloud/cloud.h"

struct scope;

#define SECURITY_REPORTS_MAX 1000
#define SECURITY_REPORT_KEPT_US (INT64_C(365) * 24 * 3600 * 1000000) /* after it was closed */
/* Of the report as JSON text; a little less than what one sealed value holds. */
#define SECURITY_REPORT_BYTES 4000

enum security_state { SECURITY_NEW = 1, SECURITY_OPEN, SECURITY_CLOSED, SECURITY_STATES };
const char *security_state_name(enum security_state s); /* "new", "open", "closed" */
bool security_state_find(const char *name, enum security_state *ret);

struct security_report {
    uint8_t id[ID_LEN];
    enum security_state state;
    int64_t created, changed; /* us */
    bool damaged;             /* it does not open */
    json_t *told;             /* what was reported; NULL in lists and when damaged. The caller's to json_decref() */
};
struct security_report_list {
    struct security_report *items; /* the caller's to free() */
    size_t n;
    bool more;
};

/* All of them within a scope of VENDOR_TENANT; those that write in the caller's transaction. */

/* CLOUD_INVALID: longer than SECURITY_REPORT_BYTES. CLOUD_CONFLICT: there are as many as may be. */
int security_report_add(const struct scope *s, const json_t *told, int64_t now, uint8_t ret_id[ID_LEN]);
int security_report_get(const struct scope *s, const uint8_t id[ID_LEN],
                        struct security_report *ret); /* CLOUD_ABSENT */
int security_report_list(const struct scope *s, const uint8_t *after, size_t limit, struct security_report_list *ret);
int security_report_move(const struct scope *s, const uint8_t id[ID_LEN], enum security_state state, int64_t now);
