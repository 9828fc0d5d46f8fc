/* Counters for Prometheus, in plain HTTP on a loopback address: text format 0.0.4 at /metrics. Nobody proves who they
 * are there, so nothing in it names a person, a card, a gateway or a customer. */
#pragma once

#include "api/api.h"
#include "cloud/sending.h"

struct metrics;
/* Listens where the settings say; *ret_metrics NULL and 0 when they say nowhere. All is borrowed until metrics_stop().
 */
int metrics_start(struct cloud *c, struct ingest *in, struct sending *out, struct api *a, struct metrics **ret_metrics);
void metrics_stop(struct metrics *m); /* takes NULL */
