/* Problem details. Type URIs are URNs: they name the kind of problem and are not meant to be fetched; docs/API.md lists
 * them. */
#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/whole.h"
#include "cloud/jsontext.h"

static const struct {
    unsigned status;
    const char *slug, *title;
} problems[PROBLEM_COUNT] = {
    [PROBLEM_BAD_REQUEST] = {400, "bad-request", "The request cannot be understood"},
    [PROBLEM_BAD_PARAMETER] = {400, "bad-parameter", "A query parameter is wrong"},
    [PROBLEM_BAD_CURSOR] = {400, "bad-cursor", "The cursor is not valid here"},
    [PROBLEM_BAD_JSON] = {400, "bad-json", "The body is not the JSON that is expected"},
    [PROBLEM_INVALID] = {400, "invalid", "Some members of the body are wrong"},
    [PROBLEM_TOKEN_MISSING] = {401, "token-missing", "A token is needed"},
    [PROBLEM_TOKEN_UNKNOWN] = {401, "token-unknown", "The token is not known"},
    [PROBLEM_TOKEN_EXPIRED] = {401, "token-expired", "The token has expired"},
    [PROBLEM_SESSION] = {401, "session-over", "There is no such session, or it is over"},
    [PROBLEM_LOGIN] = {401, "login-failed", "Login, password or code is wrong"},
    [PROBLEM_CSRF] = {403, "csrf", "The request does not show that it comes from the own page"},
    [PROBLEM_FORBIDDEN] = {403, "forbidden", "This right was not granted"},
    [PROBLEM_PRESENCE_OFF] = {403, "presence-off", "The company does not use presence"},
    [PROBLEM_STEP_UP] = {403, "step-up-needed", "Password and code have to be given anew"},
    [PROBLEM_SECOND_FACTOR] = {403, "second-factor-needed", "The account needs a second factor for this"},
    [PROBLEM_NOT_FOUND] = {404, "not-found", "There is no such resource"},
    [PROBLEM_METHOD] = {405, "method-not-allowed", "The method does not fit the resource"},
    [PROBLEM_CONFLICT] = {409, "conflict", "The request conflicts with what is stored"},
    [PROBLEM_LAST_OWNER] = {409, "last-owner", "Too few Owners would be left"},
    [PROBLEM_LINK] = {410, "link-used", "The link is unknown, used or expired"},
    [PROBLEM_REVIEW_OWED] = {409, "review-owed", "A review of the last break-glass is owed"},
    [PROBLEM_APPROVALS_FULL] = {409, "approvals-full", "Too much waits for a second pair of eyes"},
    [PROBLEM_CONFIDENTIALITY] = {403, "confidentiality-needed", "The statement of confidentiality is not signed"},
    [PROBLEM_GONE] = {410, "gone", "The resource was there and has been removed"},
    [PROBLEM_PRECONDITION] = {412, "precondition-failed", "The resource is not in the state that the request names"},
    [PROBLEM_FEED_RESTARTED] = {410, "feed-restarted", "The changes feed has begun again"},
    [PROBLEM_TOO_LARGE] = {413, "too-large", "The body is too large"},
    [PROBLEM_MEDIA_TYPE] = {415, "media-type", "The body's type is not supported"},
    [PROBLEM_IDEMPOTENCY] = {422, "idempotency-mismatch", "The Idempotency-Key belongs to another request"},
    [PROBLEM_ATTEMPTS] = {429, "too-many-attempts", "Too many attempts failed; the next one has to wait"},
    [PROBLEM_TOO_MANY] = {429, "too-many-requests", "More was asked for than is allowed"},
    [PROBLEM_INTERNAL] = {500, "internal", "The service failed"},
    [PROBLEM_DAMAGED] = {500, "damaged", "What is stored does not open"},
    [PROBLEM_UNAVAILABLE] = {503, "unavailable", "The service is not ready"},
};

static void dump(struct http_reply *ret, unsigned status, const char *type, json_t *body)
{
    buf_reset(&ret->body);
    ret->status = status;
    ret->type = type;
    jsontext_put(&ret->body, body);
    buf_add(&ret->body, "\n", 1);
}

void problem_json(struct http_reply *ret, unsigned status, json_t *body)
{
    dump(ret, status, "application/json", body);
}

static void reply(struct http_reply *ret, enum problem p, json_t *errors, const char *fmt, va_list ap)
{
    char detail[512], type[64];
    vsnprintf(detail, sizeof detail, fmt, ap);
    snprintf(type, sizeof type, "urn:punchline:problem:%s", problems[p].slug);
    json_t *o = json_pack("{s:s, s:s, s:i, s:o}", "type", type, "title", problems[p].title, "status",
                          (int)problems[p].status, "detail", jsontext_of(detail));
    if (errors)
        whole_set(&o, "errors", errors);
    dump(ret, problems[p].status, "application/problem+json", o);
}

void problem_reply(struct http_reply *ret, enum problem p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply(ret, p, NULL, fmt, ap);
    va_end(ap);
}

void problem_reply_errors(struct http_reply *ret, enum problem p, json_t *errors, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply(ret, p, errors, fmt, ap);
    va_end(ap);
}

/* RFC 6901 section 3: ~ is ~0, / is ~1. A name longer than 100 bytes is cut: it is the client's own. */
static void make_pointer(const char *name, char ret[256])
{
    char *w = ret;
    *w++ = '/';
    for (size_t i = 0; i < 100 && name[i]; i++) {
        if (name[i] == '~' || name[i] == '/') {
            *w++ = '~';
            *w++ = name[i] == '~' ? '0' : '1';
        } else {
            *w++ = name[i];
        }
    }
    *w = '\0';
}

void problem_error(json_t **errors, const char *name, const char *fmt, ...)
{
    char pointer[256] = "", detail[384];
    if (*name)
        make_pointer(name, pointer);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    whole_append(errors, json_pack("{s:o, s:o}", "pointer", jsontext_of(pointer), "detail", jsontext_of(detail)));
}
