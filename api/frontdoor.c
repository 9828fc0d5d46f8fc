#include "api/frontdoor.h"

#include <string.h>

bool frontdoor_is_proxy(const struct address *a, const struct address_net *proxies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (address_in(a, &proxies[i]))
            return true;
    return false;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711": some proxies add the port. */
static int parse_hop(const char *p, size_t n, struct address *ret)
{
    while (n > 0 && blank(p[0])) {
        p++;
        n--;
    }
    while (n > 0 && blank(p[n - 1]))
        n--;
    if (n == 0)
        return -EINVAL;
    const char *colon = memchr(p, ':', n), *end = memchr(p, ']', n);
    if (p[0] == '[')
        return end ? address_parse(p + 1, (size_t)(end - p) - 1, ret) : -EINVAL;
    if (colon && !memchr(colon + 1, ':', n - (size_t)(colon - p) - 1))
        n = (size_t)(colon - p);
    return address_parse(p, n, ret);
}

struct address frontdoor_client(const struct address *peer, const struct address_net *proxies, size_t n_proxies,
                                const char *const *values, size_t n_values)
{
    struct address client = *peer, before;
    for (unsigned hops = 0; n_values > 0; n_values--) {
        const char *start = values[n_values - 1];
        for (size_t n = strlen(start);; n--) {
            size_t at = n;
            while (at > 0 && start[at - 1] != ',')
                at--;
            if (hops++ == FRONTDOOR_HOPS || !frontdoor_is_proxy(&client, proxies, n_proxies) ||
                parse_hop(start + at, n - at, &before) < 0)
                return client;
            client = before;
            if (at == 0)
                break;
            n = at;
        }
    }
    return client;
}
