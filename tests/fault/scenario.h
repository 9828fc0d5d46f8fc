/* What the scenarios torture_<room>.c share: a way through a room that looks at every result, goes on after the one
 * failure and frees everything. Each step that fails says so by a negative errno and works when it is asked again; at
 * the end what was promised is looked at. cmocka's assertions say what has to hold. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fault/strike.h"

/* True: do it again. */
static inline bool refused(int r)
{
    static bool before;
    if (r == 0)
        return false;
    assert_true(strike_hit()); /* nothing fails by itself */
    assert_false(before);      /* nor twice for one fault */
    assert_true(r < 0);        /* and it is not taken for an outcome */
    before = true;
    return true;
}

/* Once, and after the fault once again. */
#define STEP(call)                       \
    do {                                 \
        int step_result = (call);        \
        if (refused(step_result))        \
            assert_int_equal((call), 0); \
    } while (0)
