/* Commands that root runs on the folder of a service work as the folder's owner: the service can read what they make,
 * and nothing that the service's user may have put there, such as a link, is followed by root. */
#pragma once

#include "base/error.h"

/* When we are root and `dir` exists and is another user's: that user from now on, with its groups. 0, also when there
 * is nothing to do; negative: we are who we were. Before there are threads. */
int owner_become(const char *dir);
/* Root again, for a file that the caller named; the opposite of owner_become(). */
int owner_return(void);
/* The same for good. */
int owner_stay(const char *dir);
