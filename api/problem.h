/* RFC 9457 problem details: every error of the API, made in one place from one table. */
#pragma once

#include <jansson.h>

#include "api/http.h"

enum problem {
    PROBLEM_BAD_REQUEST,
    PROBLEM_BAD_PARAMETER,
    PROBLEM_BAD_CURSOR,
    PROBLEM_BAD_JSON,
    PROBLEM_INVALID,
    PROBLEM_TOKEN_MISSING,
    PROBLEM_TOKEN_UNKNOWN,
    PROBLEM_TOKEN_EXPIRED,
    PROBLEM_SESSION,
    PROBLEM_LOGIN,
    PROBLEM_FORBIDDEN,
    PROBLEM_CSRF,
    PROBLEM_STEP_UP,
    PROBLEM_PRESENCE_OFF,
    PROBLEM_SECOND_FACTOR,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD,
    PROBLEM_CONFLICT,
    PROBLEM_LAST_OWNER,
    PROBLEM_REVIEW_OWED,
    PROBLEM_APPROVALS_FULL,
    PROBLEM_CONFIDENTIALITY,
    PROBLEM_GONE,
    PROBLEM_LINK,
    PROBLEM_PRECONDITION,
    PROBLEM_FEED_RESTARTED,
    PROBLEM_TOO_LARGE,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_IDEMPOTENCY,
    PROBLEM_ATTEMPTS,
    PROBLEM_TOO_MANY,
    PROBLEM_INTERNAL,
    PROBLEM_DAMAGED,
    PROBLEM_UNAVAILABLE,
    PROBLEM_COUNT
};

/* Replaces whatever the reply held. The detail may quote what the client sent: bytes that are not UTF-8 become '?'. */
void problem_reply(struct http_reply *ret, enum problem p, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with `errors`: [{"pointer", "detail"}], stolen; NULL is none. */
void problem_reply_errors(struct http_reply *ret, enum problem p, json_t *errors, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Appends {"pointer": "/name", "detail"} to `errors`, which is NULL then if memory is short (base/whole.h); the name is
 * escaped as RFC 6901 wants. */
void problem_error(json_t **errors, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts `body` (stolen) into the reply as application/json. */
void problem_json(struct http_reply *ret, unsigned status, json_t *body);
