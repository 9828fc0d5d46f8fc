/* Names to addresses, with a deadline: getaddrinfo(3) knows none, and cannot be called off. */
#pragma once

#include <stdatomic.h>

#include "cloud/address.h"

#define RESOLVE_MAX 16
struct resolved {
    size_t n;
    struct address items[RESOLVE_MAX];
};
/* RESOLVE_NONE: there is no such name, or it has no address now. RESOLVE_LATE: no answer within the time, or *stop, or
 * too many such questions are open. More addresses than fit are left out. */
enum { RESOLVE_NONE = 1, RESOLVE_LATE = 2 };
int resolve(const char *host, const atomic_bool *stop, struct resolved *ret);
