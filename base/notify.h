/* systemd's notification protocol (sd_notify(3)); every call is a no-op without NOTIFY_SOCKET. */
#pragma once

#include "base/error.h"

void notify_ready(const char *status);
void notify_status(const char *status);
void notify_stopping(void);
/* Half of WATCHDOG_USEC in ms, or 0 when no watchdog is asked for. */
unsigned notify_watchdog_ms(void);
void notify_watchdog(void);
