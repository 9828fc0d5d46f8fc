/* Who asks, when proxies stand between: X-Forwarded-For is believed as far as it was written by a proxy that the
 * settings name, and no further. Anybody can send that header. */
#pragma once

#include "cloud/address.h"

/* Proxies in front of each other, at most; whoever is behind more counts as the last of these. */
#define FRONTDOOR_HOPS 16

bool frontdoor_is_proxy(const struct address *a, const struct address_net *proxies, size_t n);
/* The rightmost address that is no proxy; the headers' values (there may be several) in the order in which they came.
 * What is no address ends the list: then it is the proxy that passed it on. `peer` for who is no proxy himself. */
struct address frontdoor_client(const struct address *peer, const struct address_net *proxies, size_t n_proxies,
                                const char *const *values, size_t n_values);
