/* systemd's notifications, the one file that includes libsystemd. */
#include "base/notify.h"

#include <systemd/sd-daemon.h>

void notify_ready(const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
    sd_notifyf(0, "STATUS=%s", status);
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

unsigned notify_watchdog_ms(void)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return 0;
    return usec / 2000 > UINT32_MAX ? UINT32_MAX : (unsigned)(usec / 2000);
}

void notify_watchdog(void)
{
    sd_notify(0, "WATCHDOG=1");
}
