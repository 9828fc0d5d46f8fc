/* The clocks of design section 4 and the boot id. All values are microseconds. */
#pragma once

#include "base/error.h"

int64_t clock_real(void);  /* CLOCK_REALTIME since 1970-01-01 UTC */
uint64_t clock_mono(void); /* CLOCK_MONOTONIC_RAW plus the time suspended (CLOCK_BOOTTIME - CLOCK_MONOTONIC) */
/* CLOCK_MONOTONIC in milliseconds, for time-outs only. */
int64_t clock_ms(void);
/* real and mono read bracketing each other; the tightest of three tries. */
void clock_both(int64_t *ret_real, uint64_t *ret_mono);
/* The kernel's boot id (16 bytes), or PUNCH_BOOT_ID (32 hex digits) where a test plays a reboot. */
int clock_boot_id(uint8_t ret[16]);

enum clock_state { CLOCK_NEVER = 0, CLOCK_RTC = 1, CLOCK_SYNC = 2, CLOCK_FREE = 3 };
/* What adjtimex(2) says: *ret_synced = STA_UNSYNC clear, *ret_error_us = the larger of esterror and maxerror. */
int clock_sync(bool *ret_synced, uint64_t *ret_error_us);
