/* docs/openapi.yaml as JSON; cmake/openapi.py makes the .c of it in the build folder. */
#pragma once

#include <stddef.h>

extern const char openapi_json[]; /* NUL-terminated */
extern const size_t openapi_json_n;
