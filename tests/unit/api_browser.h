/* Who logs in as a person at a browser does: its cookies, the links of mails, passwords and second factors. */
#pragma once

#include "cloud/link.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "tests/unit/api_fixture.h"

#define PASSWORD_1 "kestrel-Under-9-Bridges"
#define PASSWORD_2 "marble!Ocean!Seven!7"

/* A browser: its cookies, and what it knows of its session. */
struct browser {
    char session[128], device[128], csrf[64];
};

/* Takes the cookies of an answer. */
static inline void take_cookies(struct browser *b, const struct reply *r)
{
    for (const char *p = r->head; (p = strstr(p, "\nSet-Cookie: ")); p++) {
        const char *cookie = p + 13;
        char *to = strncmp(cookie, SESSION_COOKIE "=", sizeof SESSION_COOKIE) == 0 ? b->session : b->device;
        snprintf(to, sizeof b->session, "%.*s", (int)strcspn(cookie, ";\r\n"), cookie);
        const char *flags = cookie + strcspn(cookie, ";\r\n");
        assert_int_equal(strncmp(flags, "; Path=/; Secure; HttpOnly; SameSite=Strict", 43), 0);
        assert_null(memmem(flags, strcspn(flags, "\r\n"), "Domain", 6));
    }
    if (*reply_text(r, "csrf"))
        snprintf(b->csrf, sizeof b->csrf, "%s", reply_text(r, "csrf"));
}

static inline struct reply send_as(struct browser *b, const char *method, const char *path, const char *body)
{
    char cookies[320], csrf[96];
    const char *extra[] = {"-H", cookies, "-H", csrf, "-H", "Content-Type: application/json", NULL};
    snprintf(cookies, sizeof cookies, "Cookie: %.127s; %.127s", b->session, b->device);
    snprintf(csrf, sizeof csrf, "Punch-CSRF: %s", b->csrf);
    struct reply r = request(&f.s, method, path, NULL, body ? BYTES_STR(body) : BYTES_NONE, extra);
    take_cookies(b, &r);
    return r;
}

static inline struct reply log_in(struct browser *b, const char *tenant, const char *login, const char *password)
{
    char body[512];
    snprintf(body, sizeof body, "{\"tenant\":\"%s\",\"login\":\"%s\",\"password\":\"%s\"}", tenant, login, password);
    return send_as(b, "POST", "/v1/sessions", body);
}

static inline struct reply give_code(struct browser *b, const char *code)
{
    char body[96];
    snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    return send_as(b, "POST", "/v1/sessions/second-factor", body);
}

static inline struct reply accept_by(struct browser *b, const char *path, const char *link, const char *password)
{
    char body[512];
    snprintf(body, sizeof body, "{\"link\":\"%s\",\"password\":\"%s\"}", link, password);
    return send_as(b, "POST", path, body);
}

static inline struct reply accept_link(const char *path, const char *link, const char *password)
{
    struct browser none = {{0}, {0}, {0}};
    return accept_by(&none, path, link, password);
}

/* What stands behind the = of a link; until the next call. */
static const char *link_in(const struct reply *r)
{
    static char text[64];
    const char *url = reply_text(r, "link");
    assert_non_null(strstr(url, "/#"));
    snprintf(text, sizeof text, "%s", strchr(url, '=') + 1);
    assert_int_equal(strlen(text), 43);
    return text;
}

struct user {
    char id[2 * ID_LEN + 1], login[40], link[64];
};

static inline void invite(struct user *u, const char *login)
{
    char body[256];
    snprintf(u->login, sizeof u->login, "%s", login);
    snprintf(body, sizeof body, "{\"login\":\"%s\",\"name\":\"Somebody New\"}", login);
    struct reply r = post(&f.s, "/v1/accounts", f.acme, body);
    assert_int_equal(r.status, 201);
    snprintf(u->id, sizeof u->id, "%s", reply_text(&r, "id"));
    snprintf(u->link, sizeof u->link, "%s", link_in(&r));
    assert_string_equal(reply_text(&r, "state"), "invited");
    reply_done(&r);
}

static inline void user_make(struct user *u, const char *login)
{
    invite(u, login);
    expect(accept_link("/v1/invitations/accept", u->link, PASSWORD_1), 200, NULL);
}

/* What the authenticator shows `ahead` steps from now. */
static inline void code_of(const uint8_t secret[TOTP_SECRET], int ahead, char ret[TOTP_DIGITS + 1])
{
    assert_int_equal(totp_code(secret, (uint64_t)(clock_real() / 1000000 / TOTP_PERIOD + ahead), ret), 0);
}

static inline void secret_of(const struct user *u, uint8_t ret[TOTP_SECRET], bool fresh)
{
    struct account a;
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    memcpy(ret, fresh ? a.new_totp : a.totp, TOTP_SECRET);
}

/* The one that was accepted last, however long ago. */
static inline void used_code(const struct user *u, char ret[TOTP_DIGITS + 1])
{
    struct account a;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    fixture_commit(&f);
    assert_int_equal(totp_code(a.totp, a.totp_step, ret), 0);
}

/* As if the tests took longer: else a code of each step could be given once, and half a minute would go by. */
static inline void forget_step(const struct user *u)
{
    struct account a;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    a.totp_step = 0;
    assert_int_equal(account_put(&s, &a), 0);
    fixture_commit(&f);
}

static inline void forget_delays(void)
{
    fixture_sql(&f, "DELETE FROM throttle;");
}

/* Logged in with an authenticator; recovery codes as JSON. */
static inline json_t *enrol(struct user *u, struct browser *b)
{
    uint8_t secret[TOTP_SECRET];
    char code[TOTP_DIGITS + 1], body[64], text[TOTP_BASE32_MAX];
    expect(log_in(b, "acme", u->login, PASSWORD_1), 201, NULL);
    struct reply r = send_as(b, "POST", "/v1/me/second-factor", NULL);
    assert_int_equal(r.status, 200);
    secret_of(u, secret, true);
    totp_base32(secret, text);
    assert_string_equal(reply_text(&r, "secret"), text);
    assert_non_null(strstr(reply_text(&r, "uri"), text));
    assert_int_equal(strncmp(reply_text(&r, "svg"), "<svg ", 5), 0);
    reply_done(&r);
    code_of(secret, 0, code);
    snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    r = send_as(b, "POST", "/v1/me/second-factor/confirm", body);
    assert_int_equal(r.status, 200);
    json_t *codes = json_incref(json_object_get(r.json, "recovery_codes"));
    assert_int_equal(json_array_size(codes), 10);
    reply_done(&r);
    return codes;
}
