/* sd_notify(3) without libsystemd, which would bring eight libraries and a megabyte into each daemon for these lines:
 * datagrams to the unix socket that NOTIFY_SOCKET names, a leading @ for one without a file. */
#include "base/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

#define MESSAGE_MAX 512

static void send_state(const char *text)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET"); /* NOLINT(concurrency-mt-unsafe): nobody sets variables */
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n > sizeof addr.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(addr.sun_path, path, n);
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void notify_ready(const char *status)
{
    char text[MESSAGE_MAX];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
    send_state(text);
}

void notify_status(const char *status)
{
    char text[MESSAGE_MAX];
    snprintf(text, sizeof text, "STATUS=%s", status);
    send_state(text);
}

void notify_stopping(void)
{
    send_state("STOPPING=1");
}

/* WATCHDOG_PID: the variables may have been meant for a parent (sd_watchdog_enabled(3)). */
unsigned notify_watchdog_ms(void)
{
    const char *pid_text = getenv("WATCHDOG_PID"), *text = getenv("WATCHDOG_USEC"); /* NOLINT(concurrency-mt-unsafe) */
    uint64_t pid, usec;
    if (!text || str_u64(text, 1, UINT64_MAX, &usec) != 0)
        return 0;
    if (pid_text && (str_u64(pid_text, 1, UINT64_MAX, &pid) != 0 || pid != (uint64_t)getpid()))
        return 0;
    return usec / 2000 > UINT32_MAX ? UINT32_MAX : (unsigned)(usec / 2000);
}

void notify_watchdog(void)
{
    send_state("WATCHDOG=1");
}
