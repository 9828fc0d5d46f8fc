/* The clocks. `mono` is not slewed by NTP and goes on while suspended; no clock of the kernel is both, hence the sum.
 */
#include "base/clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

static int64_t now_ns(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);
    ASSERT(r == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_real(void)
{
    return now_ns(CLOCK_REALTIME) / 1000;
}

int64_t clock_ms(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000000;
}

/* BOOTTIME - MONOTONIC moves only across a suspend. Being preempted between the two reads would look like one, so the
 * tightest of a few brackets counts, and a change below a millisecond is noise: without the kept value that noise would
 * let clock_mono() step backwards. */
static int64_t suspended_ns(void)
{
    static _Atomic int64_t kept;
    int64_t best = INT64_MAX;
    int64_t suspended = 0;
    for (int i = 0; i < 5 && best > 20000; i++) {
        int64_t before = now_ns(CLOCK_MONOTONIC);
        int64_t boot = now_ns(CLOCK_BOOTTIME);
        int64_t after = now_ns(CLOCK_MONOTONIC);
        if (after - before < best) {
            best = after - before;
            suspended = boot - before - best / 2;
        }
    }
    int64_t was = atomic_load(&kept);
    if (suspended - was < 1000000)
        return was;
    atomic_store(&kept, suspended);
    return suspended;
}

uint64_t clock_mono(void)
{
    int64_t suspended = suspended_ns();
    return (uint64_t)(now_ns(CLOCK_MONOTONIC_RAW) + suspended) / 1000;
}

void clock_both(int64_t *ret_real, uint64_t *ret_mono)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        uint64_t before = clock_mono();
        int64_t real = clock_real();
        uint64_t after = clock_mono();
        if (i == 0 || after - before < best) {
            best = after - before;
            *ret_real = real;
            *ret_mono = before + (after - before) / 2;
        }
    }
}

int clock_boot_id(uint8_t ret[16])
{
    const char *played = getenv("PUNCH_BOOT_ID"); /* NOLINT(concurrency-mt-unsafe): nothing here calls setenv */
    if (played != NULL)
        return str_unhex(played, ret, 16);
    char text[37];
    char plain[33];
    int fd CLEANUP(error_closep) = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (read(fd, text, 36) != 36)
        return -EIO;
    size_t n = 0;
    for (size_t i = 0; i < 36 && n < 32; i++)
        if (text[i] != '-')
            plain[n++] = text[i];
    plain[n] = '\0';
    return str_unhex(plain, ret, 16);
}

int clock_sync(bool *ret_synced, uint64_t *ret_error_us)
{
    struct timex tx = {0};
    int state = adjtimex(&tx);
    if (state < 0)
        return -errno;
    *ret_synced = state != TIME_ERROR && (tx.status & STA_UNSYNC) == 0;
    long error = tx.esterror < tx.maxerror ? tx.maxerror : tx.esterror;
    *ret_error_us = error < 0 ? 0 : (uint64_t)error;
    return 0;
}
