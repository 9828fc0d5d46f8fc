/* Delays after failed attempts to log in: they grow, outlive a restart, and end by themselves. A row says of whom only
 * by a keyed hash.
 *
 * A stranger can fail on purpose, so what counts for an account as a whole delays it for half a minute at most. A
 * browser from which somebody logged in before, or used a link that was sent to him, shows a cookie that only we can
 * make, and is counted by itself: what strangers do does not delay it. Who gets as far as the second factor knows the
 * password and is no stranger. */
#pragma once

#include "cloud/scope.h"

#define DEVICE_COOKIE "__Host-punch-device"
#define DEVICE_TEXT 44
#define DEVICE_LIFE_S (INT64_C(366) * 24 * 3600)

#define ATTEMPT_COUNTERS 2
enum attempt_at {
    ATTEMPT_PASSWORD, /* of a login */
    ATTEMPT_FACTOR,   /* the password was right */
    ATTEMPT_RESET,    /* a mail with a link is asked for: each is counted, none is wrong */
    ATTEMPT_LINK,     /* a single-use link; of no login */
};
struct attempt {
    size_t n;
    struct attempt_counter {
        uint8_t id[16]; /* keyed hash of whose */
        unsigned kind;
    } at[ATTEMPT_COUNTERS];
    bool known_device;
};

/* Which counters apply. tenant and login as they were sent, whether or not they exist, and "" for ATTEMPT_LINK; device:
 * the cookie's value, or NULL; address: the client's as text. */
int attempt_init(struct cloud *c, struct db *db, enum attempt_at at, const char *tenant, const char *login,
                 const char *device, const char *address, struct attempt *ret_attempt);
/* How long the next attempt has to wait, in s, rounded up; 0: not at all. */
int attempt_wait(struct db *db, const struct attempt *a, int64_t now, unsigned *ret_s);
/* In the caller's transaction. *ret_alarm: the account's counter has just reached its longest delay. */
int attempt_failed(struct db *db, const struct attempt *a, int64_t now, bool *ret_alarm);
/* The same; an address stays counted: else its owner could forgive himself by logging in. */
int attempt_succeeded(struct db *db, const struct attempt *a);

/* The cookie of a browser that is known for that login. */
int device_make(struct cloud *c, struct db *db, const char *tenant, const char *login, char ret[DEVICE_TEXT]);

/* Deletes what is forgiven. Own transaction, none when there is nothing to do. */
int throttle_sweep(struct cloud *c, struct db *db, int64_t now);
