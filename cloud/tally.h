/* Counts of one batch, merged into ingest's totals after its commit. */
#pragma once

#include "cloud/ingest.h"

struct tally {
    uint64_t n[INGEST_COUNTS];
};
