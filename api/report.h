/* What the installation says about itself, as JSON: for `status`, for `gateway list` and for the API. No personal data.
 */
#pragma once

#include <jansson.h>

#include "cloud/gateway.h"
#include "cloud/ingest.h"

/* Version, epoch, broker, counters, refusals by reason, gateways of all tenants. `in` may be NULL. 0, or what the store
 * returned. */
int report_status(struct cloud *c, struct db *db, struct ingest *in, json_t **ret_json);
json_t *report_gateway(const struct gateway *g, bool with_tenant);
