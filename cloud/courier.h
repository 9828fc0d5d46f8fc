/* One message over the network and no more: a mail to the SMTP server, or a POST to a webhook. The only file with
 * libcurl. TLS always, the certificate checked; no proxy, no .netrc, no redirect, nothing kept between two messages.
 *
 * Names are resolved here. A webhook's must lead to public addresses only (address.h; `webhooks.allow` makes
 * exceptions), every one of them, and the connection goes to one of those that were looked at: each socket is compared
 * with them before it exists, so that a name that leads elsewhere a moment later gets nothing.
 */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"
#include "cloud/settings.h"

/* Before there are threads. */
int courier_init(void);

/* Text of everything that is wrong with a webhook's address as it stands, for people; NULL: nothing. It is https, has a
 * name or a public address, no user, no fragment, and port 443 or one from 1024 on: below those are services that are
 * not meant to be talked to by HTTPS. `ret` has room for COURIER_ERROR. */
#define COURIER_ERROR 200
const char *courier_refuses(const struct settings *set, const char *url, char ret[COURIER_ERROR]);

struct courier_result {
    unsigned status; /* of the server: HTTP's or SMTP's; 0: none came */
    bool final;      /* trying again is of no use: the server said so of this very message */
    char error[COURIER_ERROR + 1];
};
/* 0: it was taken. COURIER_FAILED: *ret_result tells why. Negative: our own trouble. `stop` ends it within a second or
 * two. */
enum { COURIER_FAILED = 1 };

struct courier_mail {
    const char *to;
    struct bytes message; /* RFC 5322 */
};
int courier_mail(const struct settings *set, const struct courier_mail *m, const atomic_bool *stop,
                 struct courier_result *ret_result);

struct courier_post {
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated, beside Content-Type: application/json */
    struct bytes body;
};
/* Any 2xx is success; what the answer says is not read beyond 64 KiB, and not kept. */
int courier_post(const struct settings *set, const struct courier_post *p, const atomic_bool *stop,
                 struct courier_result *ret_result);
