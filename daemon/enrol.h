/* `punchgate keygen` and `punchgate enrol`: the technician's two steps. They return exit codes and speak to people. */
#pragma once

#include "daemon/settings.h"

/* `out`: the file for the request; NULL is standard output. Run again, it writes the same gateway's request again. */
int enrol_keygen(const struct settings *s, const char *out);
int enrol_bundle(const struct settings *s, const char *file);
