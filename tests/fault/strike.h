/* Makes one fallible call fail, once. The rooms' archives are copied with the calls below renamed from x to fail_x
 * (CMakeLists.txt, from the FAIL lines here): so only what our own code calls is counted, not what cmocka, the test or
 * a library calls; AddressSanitizer keeps its own malloc; and the objects are the production ones.
 *
 *   PUNCH_FAIL_LOG=FILE     a line for each place that calls: kind (alloc, io, lmdb, sqlite, other), name, and the
 * return addresses above it that are the program's; with PUNCH_FAIL_PLACE only for the call that failed
 *   PUNCH_FAIL_PLACE=LINE   at this place a call fails
 *   PUNCH_FAIL_AT=N         there the N-th of this process, not the first
 *   PUNCH_FAIL_PICK=K       in which way, where there are several
 *   PUNCH_FAIL_MADE=FILE    where to name the scratch folders that were made
 *   PUNCH_TEST=NAME         only this test of a cmocka program; "?" names them all
 *
 * jansson's allocations count as ours: json_pack() and its like fail in the middle. */
#pragma once

#include "base/error.h"

enum strike_kind { STRIKE_ALLOC, STRIKE_IO, STRIKE_LMDB, STRIKE_SQLITE, STRIKE_OTHER, STRIKE_KINDS };

/* True: this call is the one to fail. */
bool strike_now(enum strike_kind kind, const char *name);
bool strike_hit(void);    /* the call to fail was made */
#define STRIKE_NOTICED 99 /* exit code: the test noticed the fault and ended there */
/* One of 0..n-1 by PUNCH_FAIL_PICK. */
unsigned strike_pick(unsigned n);
/* Sets errno to one of these and gives -1. */
int strike_errno(int a, int b);
/* Calls made while off neither count nor fail: a scenario's own preparations, and its look at what came of it. */
void strike_off(bool off);
/* cmocka's assertions are promises now: a scenario may use them outside of a cmocka test, and ends with 1. */
void strike_promise(void);

#define FAIL(kind, type, name, params, args, failed)           \
    type fail_##name params;                                   \
    type fail_##name params                                    \
    {                                                          \
        return strike_now(kind, #name) ? (failed) : name args; \
    }
