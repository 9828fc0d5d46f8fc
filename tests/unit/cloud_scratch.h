/* A folder for an installation, and where its API listens. */
#pragma once

#include <stdbool.h>

struct scratch {
    char dir[64];
    char ca[128];
    unsigned port;
    bool is_api; /* what is answered there is held against docs/openapi.yaml */
};
