/* Seams for tests, compiled in only with -DPUNCH_FAULT; nothing of them is in a release binary.
 * FAULT_KILL("after-commit"): with PUNCH_FAULT_KILL=after-commit:17 in the environment the 17th pass dies by SIGKILL.
 */
#pragma once

#ifdef PUNCH_FAULT
void fault_kill(const char *point);
#define FAULT_KILL(point) fault_kill(point)
#else
#define FAULT_KILL(point) ((void)0)
#endif
