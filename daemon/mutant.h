/* Three ways to break the promise, for the tests that must notice: tests/fault builds punchgate-nosync,
 * punchgate-early-ack and punchgate-any-ack with them. In every other build they are the constant 0 and the compiler
 * leaves nothing of them. This is the only file that knows their names. */
#pragma once

#ifdef PUNCH_MUTANT_NOSYNC
enum { MUTANT_NOSYNC = 1 }; /* the spool commits without syncing */
#else
enum { MUTANT_NOSYNC = 0 };
#endif

#ifdef PUNCH_MUTANT_EARLY_ACK
enum { MUTANT_EARLY_ACK = 1 }; /* readers are answered and `tail` is told before the commit */
#else
enum { MUTANT_EARLY_ACK = 0 };
#endif

#ifdef PUNCH_MUTANT_ANY_ACK
enum { MUTANT_ANY_ACK = 1 }; /* an ack's MAC is not checked */
#else
enum { MUTANT_ANY_ACK = 0 };
#endif
