/* The gateway's identity on disk: <state>/keys/{gateway.id, tls.key, sign.key, root.pub, tls.crt, ca.crt} and
 * <state>/bundle. The two certificate files are copies of what the bundle says, for libmosquitto, which wants files. */
#pragma once

#include "wire/enrol.h"

#define KEYS_PATH 320

struct keys {
    uint8_t gw[GW_LEN];
    struct crypto_key *sign;
    bool enrolled;
    struct bundle bundle;
    char host[256];
    uint16_t port;
    char tls_key[KEYS_PATH], tls_crt[KEYS_PATH], ca_crt[KEYS_PATH];
};

/* What is wrong, for people, is in keys_problem(). KEYS_BAD: something is missing, unreadable or does not fit. */
enum { KEYS_BAD = 1, KEYS_ABSENT = 2, KEYS_OTHER_GATEWAY = 3, KEYS_OLDER = 4 };

/* Identity, signing key and, where there is one, the verified bundle. KEYS_ABSENT: no keygen was run. KEYS_BAD with
 * ret_problem saying what. */
int keys_load(const char *state, struct keys *ret, char *ret_problem, size_t size);
void keys_done(struct keys *k);
/* Writes the certificate files if they are not what the bundle says. */
int keys_export(const struct keys *k);

/* Makes the folders, the id and both keys; -EEXIST when there are keys already. */
int keys_make(const char *state, struct buf *ret_request);
/* The request again, from the keys that are there. */
int keys_request(const char *state, struct buf *ret_request);
/* Verifies the bundle's text against the pinned root (or pins its own at the first enrolment), and installs it.
 * KEYS_BAD, KEYS_OTHER_GATEWAY, KEYS_OLDER: nothing was changed. */
int keys_install(const char *state, struct bytes text, struct bundle *ret, bool *ret_raised);
/* "host:port" -> its parts; -EINVAL. */
int keys_broker(const char *broker, char *ret_host, size_t size, uint16_t *ret_port);
