/* What a process that holds keys does first: no core dumps (RLIMIT_CORE 0), not dumpable (prctl(2)), umask 077. */
#pragma once

#include "base/error.h"

int harden_process(void);
