/* No core file and no /proc/PID/mem for others: record keys live in this memory (prctl(2), PR_SET_DUMPABLE). */
#include "base/harden.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

int harden_process(void)
{
    const struct rlimit none = {0, 0};
    umask(077);
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}
