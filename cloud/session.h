/* Sessions: who has logged in, told by the cookie `__Host-punch`: 256 random bits, of which the store has the SHA-256.
 * One ends after some time without a request, hours after its login, with the account or its password, and when
 * somebody ends it. The row says whose account it is and on which day it is over; times and address are sealed under
 * the person's key.
 *
 * The time of the last request is kept in memory and written at most once a minute (session_sweep), so that a request
 * which reads never waits for the store's writer. */
#pragma once

#include "cloud/account.h"

#define SESSION_COOKIE "__Host-punch"
#define SESSION_TEXT 44 /* a cookie's value, with NUL */
#define SESSION_IDLE_US (INT64_C(30) * 60 * 1000000)
#define SESSION_LIFE_US (INT64_C(12) * 3600 * 1000000)
#define SESSION_HALF_US (INT64_C(5) * 60 * 1000000)
#define SESSION_ADDRESS_MAX 47
#define SESSION_AGENT_MAX 120
#define SESSIONS_EACH 32 /* of one account, and as many half ones; the one that was idle longest makes room */

struct session {
    uint8_t id[ID_LEN], account[ID_LEN], person[ID_LEN];
    uint8_t key[KEY_ID_LEN]; /* of the person */
    char tenant[TENANT_MAX + 1];
    bool half;   /* the password was right, the second factor is still to come: good for nothing else */
    bool factor; /* a second factor was asked for */
    int64_t created, seen, stepped;                                      /* us; stepped 0: never */
    int64_t idle, life;                                                  /* us: how long it may be idle, and last */
    char address[SESSION_ADDRESS_MAX + 1], agent[SESSION_AGENT_MAX + 1]; /* at the login */
};
/* When it is over if nothing more comes. */
int64_t session_until(const struct session *s);

/* Inside the caller's transaction. Of *t half, factor, stepped, address and agent count (idle and life, too, unless
 * half); the rest is filled in. */
int session_make(const struct scope *s, const struct account *a, struct session *t, char ret_cookie[SESSION_TEXT]);
/* Whose cookie that is, in whichever tenant. CLOUD_ABSENT: unknown, over or ended, or the account is not active, or the
 * person's time is over. */
int session_check(struct cloud *c, struct db *db, const char *cookie, int64_t now, struct session *ret_session);
/* A request came with it. */
void session_saw(struct cloud *c, const struct session *t, int64_t now);

/* The value of the cookie of that name in a Cookie header (RFC 6265 section 4.2.1); the header may be NULL. False: it
 * is not there, or does not fit. */
bool session_cookie(const char *header, const char *name, char *ret, size_t size);
/* What a request that writes sends as Punch-CSRF: HMAC of the cookie's secret. */
int session_csrf(const char *cookie, char ret[SESSION_TEXT]);
bool session_csrf_fits(const char *cookie, const char *given); /* given may be NULL */

struct session_list {
    struct session *items;
    size_t n;
};
/* Of one account that are not over, halves left out. */
int session_list(const struct scope *s, const struct account *a, int64_t now, struct session_list *ret_list);
void session_list_done(struct session_list *l);
/* Inside the caller's transaction. CLOUD_ABSENT: that account has no such session. */
int session_end(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t id[ID_LEN]);
/* All of an account but `except` (NULL: none). */
int session_end_all(const struct scope *s, const uint8_t account[ID_LEN], const uint8_t *except);
/* Password and code were given again. CLOUD_ABSENT. */
int session_step(const struct scope *s, const uint8_t id[ID_LEN], bool factor, int64_t now);

/* Writes down what was seen, and deletes what is over. Own transactions, none when there is nothing to do. */
int session_sweep(struct cloud *c, struct db *db, int64_t now);
