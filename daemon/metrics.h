/* What GET /metrics of punchgate shows, as text for Prometheus; the HELP lines are its documentation. Numbers and
 * the names of readers and lights only: no card, no person, nothing from which a presence could be read beyond the
 * count of punches. */
#pragma once

#include "base/buf.h"

struct gateway;
void metrics_page(struct gateway *g, struct buf *ret);
