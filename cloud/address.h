/* Internet addresses: which of them belong to the public, and networks as settings name them. IPv4 is held in its
 * IPv6-mapped form, so that one comparison serves both. */
#pragma once

#include "base/error.h"

struct sockaddr;

struct address {
    uint8_t b[16]; /* IPv4: ::ffff:a.b.c.d */
};

struct address_net {
    struct address base;
    unsigned bits; /* 0 .. 128, of the mapped form */
};

/* -EAFNOSUPPORT: neither IPv4 nor IPv6. `n` is how much of *sa is there. */
int address_of(const struct sockaddr *sa, size_t n, struct address *ret_address);
/* "192.0.2.1", "2001:db8::1", with room for 46. */
#define ADDRESS_TEXT 46
char *address_text(const struct address *a, char ret[ADDRESS_TEXT]);

/* n bytes: "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"; no zone, no port, no brackets. -EINVAL */
int address_parse(const char *text, size_t n, struct address *ret_address);
bool address_equal(const struct address *a, const struct address *b);
/* What one client has for himself: all of an IPv4 address, an IPv6 network of 64 bits, within which he takes addresses
 * as he likes. To count by. */
struct address address_share(const struct address *a);

/* "10.0.0.0/8", "fd00::/8", or an address alone. -EINVAL: it is none, or has bits behind its prefix. */
int address_net(const char *text, struct address_net *ret_net);
bool address_in(const struct address *a, const struct address_net *net);

/* NULL: a unicast address that the whole internet may reach. Otherwise what it is instead: "loopback", "private", ...
 * (IANA's registries of special-purpose addresses, RFC 6890 and its updates). Of IPv6 only 2000::/3 is public, without
 * the ranges of tunnels, whose inner address nobody could check; a NAT64 address (RFC 6052) is judged by what is in it.
 */
const char *address_special(const struct address *a);
