/* Logging in as a person at a browser does: invitations, passwords, second factors, sessions, through curl. And what an
 * attacker would try. */
#include "cloud/audit.h"
#include "cloud/audit_move.h"
#include "cloud/granted.h"
#include "cloud/link.h"
#include "cloud/password.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_fixture.h"

#define PASSWORD_1 "kestrel-Under-9-Bridges"
#define PASSWORD_2 "marble!Ocean!Seven!7"

/* A browser: its cookies, and what it knows of its session. */
struct browser {
    char session[128], device[128], csrf[64];
};

/* Takes the cookies of an answer. */
static void take_cookies(struct browser *b, const struct reply *r)
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

static struct reply send_as(struct browser *b, const char *method, const char *path, const char *body)
{
    char cookies[320], csrf[96];
    const char *extra[] = {"-H", cookies, "-H", csrf, "-H", "Content-Type: application/json", NULL};
    snprintf(cookies, sizeof cookies, "Cookie: %s; %s", b->session, b->device);
    snprintf(csrf, sizeof csrf, "Punch-CSRF: %s", b->csrf);
    struct reply r = request(&f.s, method, path, NULL, body ? BYTES_STR(body) : BYTES_NONE, extra);
    take_cookies(b, &r);
    return r;
}

static struct reply log_in(struct browser *b, const char *tenant, const char *login, const char *password)
{
    char body[512];
    snprintf(body, sizeof body, "{\"tenant\":\"%s\",\"login\":\"%s\",\"password\":\"%s\"}", tenant, login, password);
    return send_as(b, "POST", "/v1/sessions", body);
}

static struct reply give_code(struct browser *b, const char *code)
{
    char body[96];
    snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    return send_as(b, "POST", "/v1/sessions/second-factor", body);
}

static struct reply accept_by(struct browser *b, const char *path, const char *link, const char *password)
{
    char body[512];
    snprintf(body, sizeof body, "{\"link\":\"%s\",\"password\":\"%s\"}", link, password);
    return send_as(b, "POST", path, body);
}

static struct reply accept_link(const char *path, const char *link, const char *password)
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

static void invite(struct user *u, const char *login)
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

static void user_make(struct user *u, const char *login)
{
    invite(u, login);
    expect(accept_link("/v1/invitations/accept", u->link, PASSWORD_1), 200, NULL);
}

/* What the authenticator shows `ahead` steps from now. */
static void code_of(const uint8_t secret[TOTP_SECRET], int ahead, char ret[TOTP_DIGITS + 1])
{
    assert_int_equal(totp_code(secret, (uint64_t)(clock_real() / 1000000 / TOTP_PERIOD + ahead), ret), 0);
}

static void secret_of(const struct user *u, uint8_t ret[TOTP_SECRET], bool fresh)
{
    struct account a;
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    memcpy(ret, fresh ? a.new_totp : a.totp, TOTP_SECRET);
}

/* The one that was accepted last, however long ago. */
static void used_code(const struct user *u, char ret[TOTP_DIGITS + 1])
{
    struct account a;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    fixture_commit(&f);
    assert_int_equal(totp_code(a.totp, a.totp_step, ret), 0);
}

/* As if the tests took longer: else a code of each step could be given once, and half a minute would go by. */
static void forget_step(const struct user *u)
{
    struct account a;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, u->login, &a), 0);
    a.totp_step = 0;
    assert_int_equal(account_put(&s, &a), 0);
    fixture_commit(&f);
}

static void forget_delays(void)
{
    fixture_sql(&f, "DELETE FROM throttle;");
}

/* Logged in with an authenticator; recovery codes as JSON. */
static json_t *enrol(struct user *u, struct browser *b)
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

/* ---- tests ---- */

static void test_invitation(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    invite(&u, "inv.ited");
    expect(log_in(&b, "acme", "inv.ited", PASSWORD_1), 401, "login-failed");
    expect(accept_link("/v1/invitations/accept", "x", PASSWORD_1), 410, "link-used");
    expect(accept_link("/v1/password-resets/accept", u.link, PASSWORD_1), 410, "link-used");
    expect(accept_link("/v1/invitations/accept", u.link, "short"), 400, "invalid");
    expect(accept_link("/v1/invitations/accept", u.link, "Password2026!"), 400, "invalid");
    expect(accept_link("/v1/invitations/accept", u.link, "xK9!ited#q2zzv7"), 400, "invalid");   /* the login */
    expect(accept_link("/v1/invitations/accept", u.link, "xK9!s0mebody#q2zz"), 400, "invalid"); /* the name */
    expect(accept_link("/v1/invitations/accept", u.link, "xK9!Acme#q2zzvbw"), 400, "invalid");  /* the company */
    expect(accept_link("/v1/invitations/accept", u.link, PASSWORD_1), 200, NULL);
    expect(accept_link("/v1/invitations/accept", u.link, PASSWORD_2), 410, "link-used");
    expect(log_in(&b, "acme", "Inv.Ited", PASSWORD_1), 201, NULL);
    invite(&u, "bo");
    expect(accept_link("/v1/invitations/accept", u.link, "xK9!rainBow#q2zzv"), 400, "invalid"); /* a short login */
    forget_delays();
}

/* A new account may see itself, and nothing else; and without the second factor not even that it may enrol. */
static void test_nothing_but_oneself(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    user_make(&u, "newcomer");
    struct reply r = log_in(&b, "acme", "newcomer", PASSWORD_1);
    assert_int_equal(r.status, 201);
    assert_true(json_is_true(json_object_get(r.json, "second_factor_needed")));
    reply_done(&r);
    expect(send_as(&b, "GET", "/v1/session", NULL), 200, NULL);
    expect(send_as(&b, "GET", "/v1/me", NULL), 200, NULL);
    expect(send_as(&b, "GET", "/v1/sessions", NULL), 403, "second-factor-needed");
    expect(send_as(&b, "PATCH", "/v1/me", "{}"), 403, "second-factor-needed");
    static const char *const others[] = {"/v1/people", "/v1/punches", "/v1/accounts", "/v1/gateways", "/v1/sites"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        expect(send_as(&b, "GET", others[i], NULL), 403, "forbidden");
    expect(send_as(&b, "DELETE", "/v1/session", NULL), 204, NULL);
    expect(send_as(&b, "GET", "/v1/session", NULL), 401, "session-over");
}

static void test_second_factor(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, thief;
    uint8_t secret[TOTP_SECRET];
    char code[TOTP_DIGITS + 1], half[128];
    user_make(&u, "factor");
    json_t *codes = enrol(&u, &b);
    expect(send_as(&b, "GET", "/v1/sessions", NULL), 200, NULL);
    secret_of(&u, secret, false);

    struct browser c = {{0}, {0}, {0}};
    struct reply r = log_in(&c, "acme", "factor", PASSWORD_1);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "second_factor"), "totp");
    assert_null(json_object_get(r.json, "csrf"));
    reply_done(&r);
    snprintf(half, sizeof half, "%s", c.session);
    expect(send_as(&c, "GET", "/v1/me", NULL), 401, "session-over"); /* half a session is none */
    used_code(&u, code);
    expect(give_code(&c, code), 401, "login-failed"); /* that step was used to enrol */
    code_of(secret, 1, code);
    expect(give_code(&c, code), 201, NULL);
    assert_string_not_equal(c.session, half); /* no cookie of before is good for more than before */
    expect(send_as(&c, "GET", "/v1/me", NULL), 200, NULL);
    snprintf(thief.session, sizeof thief.session, "%s", half);
    thief.device[0] = thief.csrf[0] = '\0';
    expect(give_code(&thief, code), 401, "session-over");

    /* the code was seen by somebody who also has the password */
    struct browser d = {{0}, {0}, {0}};
    expect(log_in(&d, "acme", "factor", PASSWORD_1), 200, NULL);
    expect(give_code(&d, code), 401, "login-failed");

    const char *recovery = json_string_value(json_array_get(codes, 3));
    expect(give_code(&d, recovery), 201, NULL);
    expect(log_in(&d, "acme", "factor", PASSWORD_1), 200, NULL);
    expect(give_code(&d, recovery), 401, "login-failed");
    r = send_as(&c, "GET", "/v1/me", NULL);
    assert_int_equal(json_integer_value(json_object_get(r.json, "recovery_codes")), 9);
    reply_done(&r);
    expect(send_as(&c, "DELETE", "/v1/me/second-factor", NULL), 403, "second-factor-needed");
    expect(send_as(&c, "POST", "/v1/me/recovery-codes", NULL), 200, NULL);
    expect(give_code(&d, json_string_value(json_array_get(codes, 4))), 401, "login-failed"); /* replaced */
    json_decref(codes);
    forget_delays();
}

/* One code, given by two at once: one is let in. */
struct racer {
    struct browser b;
    char code[TOTP_DIGITS + 1];
    int status;
};

static void *race(void *arg)
{
    struct racer *x = arg;
    char url[96], cookie[160], out[] = "%{http_code}", body[64], path[128];
    int code = 0;
    snprintf(url, sizeof url, "https://localhost:%u/v1/sessions/second-factor", f.s.port);
    snprintf(cookie, sizeof cookie, "Cookie: %s", x->b.session);
    snprintf(body, sizeof body, "{\"code\":\"%s\"}", x->code);
    snprintf(path, sizeof path, "%s/racers", f.s.dir);
    const char *argv[] = {"curl",     "-sS",  "-o", path,   "-w", out,
                          "--cacert", f.s.ca, "-H", cookie, "-H", "Content-Type: application/json",
                          "-d",       body,   url,  NULL};
    char *text = run_program(argv, &code);
    x->status = atoi(text);
    free(text);
    return NULL;
}

static void test_one_code_once(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    struct racer x[4];
    pthread_t threads[ARRAY_LEN(x)];
    uint8_t secret[TOTP_SECRET];
    int in = 0, out = 0;
    user_make(&u, "racer");
    json_decref(enrol(&u, &b));
    secret_of(&u, secret, false);
    forget_step(&u);
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        memset(&x[i], 0, sizeof x[i]);
        expect(log_in(&x[i].b, "acme", "racer", PASSWORD_1), 200, NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        code_of(secret, 0, x[i].code);
        assert_int_equal(pthread_create(&threads[i], NULL, race, &x[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        pthread_join(threads[i], NULL);
        in += x[i].status == 201;
        out += x[i].status == 401;
    }
    assert_int_equal(in, 1);
    assert_int_equal(out, ARRAY_LEN(x) - 1);
    forget_delays();
}

static void test_sessions(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, c = {{0}, {0}, {0}}, none = {{0}, {0}, {0}};
    char path[80], other[40] = "";
    uint8_t secret[TOTP_SECRET];
    char code[TOTP_DIGITS + 1];
    user_make(&u, "sessions");
    json_decref(enrol(&u, &b));
    secret_of(&u, secret, false);
    expect(log_in(&c, "acme", "sessions", PASSWORD_1), 200, NULL);
    code_of(secret, 1, code);
    expect(give_code(&c, code), 201, NULL);
    struct reply r = send_as(&b, "GET", "/v1/sessions", NULL);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items"), *o;
    size_t i;
    assert_int_equal(json_array_size(items), 2);
    json_array_foreach(items, i, o)
    {
        assert_string_equal(json_string_value(json_object_get(o, "address")), "127.0.0.1");
        if (!json_is_true(json_object_get(o, "current")))
            snprintf(other, sizeof other, "%s", json_string_value(json_object_get(o, "id")));
    }
    reply_done(&r);
    assert_int_equal(strlen(other), 32);
    snprintf(path, sizeof path, "/v1/sessions/%s", other);
    /* without the header it could be another site's doing */
    char csrf[64];
    memcpy(csrf, b.csrf, sizeof csrf);
    b.csrf[0] = '\0';
    expect(send_as(&b, "DELETE", path, NULL), 403, "csrf");
    memcpy(b.csrf, csrf, sizeof csrf);
    expect(send_as(&c, "GET", "/v1/me", NULL), 200, NULL);
    expect(send_as(&b, "DELETE", path, NULL), 204, NULL);
    expect(send_as(&c, "GET", "/v1/me", NULL), 401, "session-over");
    expect(send_as(&b, "DELETE", path, NULL), 404, "not-found");
    expect(send_as(&none, "GET", "/v1/session", NULL), 401, "token-missing");

    /* a new password ends them all, and begins another */
    struct browser old = b;
    expect(send_as(&b, "POST", "/v1/me/password", "{\"password\":\"no\",\"new_password\":\"" PASSWORD_2 "\"}"), 401,
           "login-failed");
    expect(send_as(&b, "POST", "/v1/me/password", "{\"password\":\"" PASSWORD_1 "\",\"new_password\":\"abc\"}"), 400,
           "invalid");
    expect(
        send_as(&b, "POST", "/v1/me/password", "{\"password\":\"" PASSWORD_1 "\",\"new_password\":\"" PASSWORD_1 "\"}"),
        400, "invalid");
    expect(
        send_as(&b, "POST", "/v1/me/password", "{\"password\":\"" PASSWORD_1 "\",\"new_password\":\"" PASSWORD_2 "\"}"),
        201, NULL);
    expect(send_as(&old, "GET", "/v1/me", NULL), 401, "session-over");
    expect(send_as(&b, "GET", "/v1/sessions", NULL), 200, NULL);
    expect(log_in(&c, "acme", "sessions", PASSWORD_1), 401, "login-failed");
    forget_delays();
}

static void test_step_up(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    struct account a;
    struct session t;
    uint8_t secret[TOTP_SECRET];
    char code[TOTP_DIGITS + 1], body[128], wrong[128];
    user_make(&u, "stepper");
    json_decref(enrol(&u, &b));
    secret_of(&u, secret, false);
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"de\"}"), 200, NULL);
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(account_by_login(&s, "stepper", &a), 0);
    assert_int_equal(session_check(f.c, f.db, strchr(b.session, '=') + 1, clock_real(), &t), 0);
    assert_int_equal(session_step(&s, t.id, true, clock_real() - INT64_C(301) * 1000000), 0);
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"ro\"}"), 403, "step-up-needed");
    code_of(secret, 1, code);
    expect(send_as(&b, "POST", "/v1/session/step-up", "{\"password\":\"" PASSWORD_1 "\"}"), 401, "login-failed");
    snprintf(wrong, sizeof wrong, "{\"password\":\"%s\",\"code\":\"%s\"}", PASSWORD_2, code);
    snprintf(body, sizeof body, "{\"password\":\"%s\",\"code\":\"%s\"}", PASSWORD_1, code);
    expect(send_as(&b, "POST", "/v1/session/step-up", wrong), 401, "login-failed");
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"ro\"}"), 403, "step-up-needed");
    expect(send_as(&b, "POST", "/v1/session/step-up", body), 204, NULL);
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"ro\"}"), 200, NULL);
    expect(send_as(&b, "POST", "/v1/session/step-up", body), 401, "login-failed"); /* the code was used */
    forget_delays();
}

/* Makes the session one that was stepped up more than 5 minutes ago. */
static void grow_old(const struct browser *b)
{
    struct session t;
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(session_check(f.c, f.db, strchr(b->session, '=') + 1, clock_real(), &t), 0);
    assert_int_equal(session_step(&s, t.id, true, clock_real() - INT64_C(301) * 1000000), 0);
}

/* Who has the cookie and the password still lacks the code. */
static void test_a_new_password_is_no_step_up(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    static const char change[] = "{\"password\":\"" PASSWORD_1 "\",\"new_password\":\"" PASSWORD_2 "\"}";
    static const char back[] = "{\"password\":\"" PASSWORD_2 "\",\"new_password\":\"" PASSWORD_1 "\"}";
    user_make(&u, "sneaker");
    json_decref(enrol(&u, &b));
    expect(send_as(&b, "POST", "/v1/me/password", change), 201, NULL);
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"de\"}"), 200, NULL); /* the code was given just now */
    grow_old(&b);
    expect(send_as(&b, "POST", "/v1/me/password", back), 201, NULL);
    expect(send_as(&b, "PATCH", "/v1/me", "{\"language\":\"ro\"}"), 403, "step-up-needed");
    expect(send_as(&b, "POST", "/v1/me/recovery-codes", NULL), 403, "step-up-needed");
    forget_delays();
}

static void test_reset(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, c = {{0}, {0}, {0}};
    char path[80], link[64];
    user_make(&u, "resetter");
    json_decref(enrol(&u, &b));
    expect(post(&f.s, "/v1/password-resets", NULL, "{\"tenant\":\"acme\",\"login\":\"resetter\"}"), 202, NULL);
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", u.id);
    struct reply r = request(&f.s, "POST", path, f.acme, BYTES_NONE, NULL);
    assert_int_equal(r.status, 200);
    snprintf(link, sizeof link, "%s", link_in(&r));
    reply_done(&r);
    /* a stranger who asks again, where no mail is sent, does not end the link that somebody was given */
    expect(post(&f.s, "/v1/password-resets", NULL, "{\"tenant\":\"acme\",\"login\":\"resetter\"}"), 202, NULL);
    expect(accept_link("/v1/password-resets/accept", link, "xK9!resetter#q2zzv7"), 400, "invalid");
    expect(accept_link("/v1/password-resets/accept", link, PASSWORD_2), 200, NULL);
    expect(accept_link("/v1/password-resets/accept", link, PASSWORD_1), 410, "link-used");
    expect(send_as(&b, "GET", "/v1/me", NULL), 401, "session-over");
    /* whoever has the mailbox still lacks the second factor */
    expect(log_in(&c, "acme", "resetter", PASSWORD_2), 200, NULL);
    expect(send_as(&c, "GET", "/v1/me", NULL), 401, "session-over");
    snprintf(path, sizeof path, "/v1/accounts/%s/second-factor", u.id);
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, NULL), 204, NULL);
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, NULL), 404, "not-found");
    expect(log_in(&c, "acme", "resetter", PASSWORD_2), 201, NULL);
    forget_delays();
}

/* A mailbox is filled no faster because the login is written otherwise each time. */
static void test_resets_are_counted_by_login(void **state)
{
    static const char *const logins[] = {"mailer", "Mailer", "mAiler", "maIler",
                                         "maiLer", "mailEr", "maileR", "MAILER"};
    char body[96];
    unsigned waits = 0;
    for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
        snprintf(body, sizeof body, "{\"tenant\":\"acme\",\"login\":\"%s\"}", logins[i]);
        struct reply r = post(&f.s, "/v1/password-resets", NULL, body);
        assert_true(r.status == 202 || r.status == 429);
        waits += r.status == 429;
        reply_done(&r);
    }
    assert_true(waits > 0);
    forget_delays();
}

static void set_policy(uint64_t second_factor)
{
    struct tenant_settings set;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    set.second_factor = second_factor;
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
}

/* Where the company leaves it to people, a password is enough, and who has a second factor may do without it again. */
static void test_factor_by_choice(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    user_make(&u, "chooser");
    set_policy(0);
    expect(log_in(&b, "acme", "chooser", PASSWORD_1), 201, NULL);
    expect(send_as(&b, "GET", "/v1/sessions", NULL), 200, NULL);
    expect(send_as(&b, "DELETE", "/v1/me/second-factor", NULL), 404, "not-found");
    expect(send_as(&b, "POST", "/v1/me/second-factor/confirm", "{\"code\":\"123456\"}"), 409, "conflict");
    json_decref(enrol(&u, &b));
    expect(send_as(&b, "POST", "/v1/me/second-factor", NULL), 409, "conflict");
    expect(send_as(&b, "DELETE", "/v1/me/second-factor", NULL), 204, NULL);
    expect(log_in(&b, "acme", "chooser", PASSWORD_1), 201, NULL);
    set_policy(SECOND_FACTOR_ALL);
    expect(send_as(&b, "GET", "/v1/sessions", NULL), 403, "second-factor-needed");
    forget_delays();
}

static void test_accounts(void **state)
{
    struct user u, v;
    struct browser b = {{0}, {0}, {0}};
    char path[80], etag[96], if_match[128];
    invite(&u, "again");
    expect(post(&f.s, "/v1/accounts", f.acme, "{\"login\":\"AGAIN\",\"name\":\"X\"}"), 409, "conflict");
    expect(post(&f.s, "/v1/accounts", f.acme, "{\"login\":\"a b\",\"name\":\"X\"}"), 400, "invalid");
    expect(post(&f.s, "/v1/accounts", f.acme, "{\"login\":\"nobodys\"}"), 400, "invalid");
    expect(post(&f.s, "/v1/accounts", f.acme, "{\"login\":\"nobodys\",\"name\":\"X\",\"mail\":\"x y@z\"}"), 400,
           "invalid");
    expect(
        post(&f.s, "/v1/accounts", f.acme, "{\"login\":\"nobodys\",\"person\":\"00112233445566778899aabbccddeeff\"}"),
        404, "not-found");
    snprintf(path, sizeof path, "/v1/accounts/%s/invitation", u.id);
    struct reply r = request(&f.s, "POST", path, f.acme, BYTES_NONE, NULL);
    assert_int_equal(r.status, 200);
    memcpy(v.link, link_in(&r), sizeof v.link);
    reply_done(&r);
    expect(accept_link("/v1/invitations/accept", u.link, PASSWORD_1), 410, "link-used"); /* the later one counts */
    snprintf(path, sizeof path, "/v1/accounts/%s", u.id);
    expect(get(&f.s, path, f.globex), 404, "not-found");
    r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    snprintf(etag, sizeof etag, "%.95s", reply_header(&r, "ETag"));
    reply_done(&r);
    expect(accept_link("/v1/invitations/accept", v.link, PASSWORD_1), 200, NULL);
    expect(log_in(&b, "acme", "again", PASSWORD_1), 201, NULL);
    snprintf(if_match, sizeof if_match, "If-Match: %s", etag);
    const char *const with_match[] = {"-H", "Content-Type: application/json", "-H", if_match, NULL};
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"archived\":true}"), with_match), 412,
           "precondition-failed");
    r = request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"archived\":true}"), as_json);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "archived");
    reply_done(&r);
    expect(send_as(&b, "GET", "/v1/session", NULL), 401, "session-over");
    expect(log_in(&b, "acme", "again", PASSWORD_1), 401, "login-failed");
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"archived\":false}"), as_json), 200, NULL);
    expect(log_in(&b, "acme", "again", PASSWORD_1), 201, NULL);
    r = get(&f.s, "/v1/accounts?limit=1", f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    r = get(&f.s, "/v1/accounts", f.globex);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
    forget_delays();
}

/* Unknown company, unknown login, login that cannot be, invited, archived, wrong password: one answer, one hash each.
 */
static void test_unknown_logins(void **state)
{
    struct user u, invited;
    struct browser b = {{0}, {0}, {0}};
    user_make(&u, "known");
    invite(&invited, "invited");
    static const char *const tries[][2] = {{"acme", "known"},     {"acme", "unknown"},     {"acme", "invited"},
                                           {"nowhere", "known"},  {"globex", "known"},     {"acme", "k n o w n"},
                                           {"_vendor", "known"},  {"acme", "kn\\u00f6wn"}, {"../acme", "known"},
                                           {"acme", "' OR 1=1--"}};
    char first[512] = "";
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        uint64_t before = password_runs();
        struct reply r = log_in(&b, tries[i][0], tries[i][1], PASSWORD_2);
        assert_problem(&r, 401, "login-failed");
        assert_int_equal(password_runs() - before, 1);
        if (i == 0)
            snprintf(first, sizeof first, "%s", r.body);
        assert_string_equal(r.body, first);
        assert_string_equal(b.session, "");
        reply_done(&r);
        forget_delays();
    }
    static const char *const resets[] = {"{\"tenant\":\"acme\",\"login\":\"known\"}",
                                         "{\"tenant\":\"acme\",\"login\":\"unknown\"}",
                                         "{\"tenant\":\"nowhere\",\"login\":\"known\"}"};
    for (size_t i = 0; i < ARRAY_LEN(resets); i++) {
        struct reply r = post(&f.s, "/v1/password-resets", NULL, resets[i]);
        assert_int_equal(r.status, 202);
        if (i == 0)
            snprintf(first, sizeof first, "%s", r.body);
        assert_string_equal(r.body, first);
        reply_done(&r);
    }
    forget_delays();
}

/* How often that is in a trail; subjects: of how many people. */
struct events {
    const char *kind, *outcome;
    size_t n, subjects;
};

static int count_event(void *arg, const struct audit_row *row)
{
    struct events *x = arg;
    json_t *o = json_loads(row->core, 0, NULL);
    if (strcmp(json_string_value(json_object_get(o, "kind")), x->kind) == 0 &&
        strcmp(json_string_value(json_object_get(o, "outcome")), x->outcome) == 0) {
        x->n++;
        x->subjects += row->n_whose;
    }
    json_decref(o);
    return 0;
}

static struct events events(const char *tenant, const char *kind, const char *outcome)
{
    struct events x = {.kind = kind, .outcome = outcome};
    struct audit_reader *reader;
    uint64_t next;
    assert_int_equal(audit_settle(f.c, 10000), 0);
    struct scope s = fixture_scope(&f, tenant);
    assert_int_equal(audit_reader_new(false, &reader), 0);
    assert_int_equal(audit_each(reader, &s, 1, 1 << 20, count_event, &x, &next), 0);
    audit_reader_free(reader);
    return x;
}

static void assert_more(const char *tenant, const char *kind, const char *outcome, struct events before, size_t n)
{
    struct events now = events(tenant, kind, outcome);
    if (now.n != before.n + n)
        print_error("%s %s %s: %zu more\n", tenant, kind, outcome, now.n - before.n);
    assert_int_equal(now.n, before.n + n);
}

/* Each way in and out leaves an event, in the trail of the company it was about. */
static void test_logins_are_in_the_trail(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, c = {{0}, {0}, {0}};
    char secret[TOTP_DIGITS + 1];
    uint8_t key[TOTP_SECRET];
    struct events failed = events("acme", "login", "failed"), done = events("acme", "login", "done"),
                  accepted = events("acme", "account.accepted", "done"), stepped = events("acme", "step-up", "done"),
                  not_stepped = events("acme", "step-up", "failed"), self = events("acme", "self", "done"),
                  codes = events("acme", "login.second-factor", "failed"), links = events("_vendor", "link", "failed"),
                  nowhere = events("_vendor", "login", "failed"), refused = events("_vendor", "open", "refused");
    user_make(&u, "trailed");
    assert_more("acme", "account.accepted", "done", accepted, 1);
    expect(log_in(&b, "acme", "trailed", PASSWORD_2), 401, "login-failed");
    expect(log_in(&b, "acme", "trailed", PASSWORD_2), 401, "login-failed");
    assert_more("acme", "login", "failed", failed, 2);
    assert_int_equal(events("acme", "login", "failed").subjects, failed.subjects + 2);
    expect(log_in(&b, "acme", "trailed", PASSWORD_1), 201, NULL);
    assert_more("acme", "login", "done", done, 1);
    expect(send_as(&b, "POST", "/v1/session/step-up", "{\"password\":\"" PASSWORD_2 "\"}"), 401, "login-failed");
    assert_more("acme", "step-up", "failed", not_stepped, 1);
    expect(send_as(&b, "POST", "/v1/session/step-up", "{\"password\":\"" PASSWORD_1 "\"}"), 204, NULL);
    assert_more("acme", "step-up", "done", stepped, 1);
    expect(send_as(&b, "DELETE", "/v1/session", NULL), 204, NULL);
    assert_more("acme", "self", "done", self, 1);
    assert_int_equal(events("acme", "self", "done").subjects, self.subjects + 1);

    json_decref(enrol(&u, &b));
    secret_of(&u, key, false);
    code_of(key, 1, secret);
    expect(log_in(&c, "acme", "trailed", PASSWORD_1), 200, NULL);
    expect(give_code(&c, strcmp(secret, "000000") == 0 ? "000001" : "000000"), 401, "login-failed");
    assert_more("acme", "login.second-factor", "failed", codes, 1);
    assert_int_equal(events("acme", "login.second-factor", "failed").subjects, codes.subjects + 1);

    expect(accept_link("/v1/invitations/accept", u.link, PASSWORD_1), 410, NULL);
    assert_more("_vendor", "link", "failed", links, 1);
    assert_more("_vendor", "open", "refused", refused, 0); /* none of them twice */
    assert_more("_vendor", "login", "failed", nowhere, 0);
    forget_delays();
}

/* Those of nobody we know are counted: the first of a minute is told, the others are one more. */
static void test_a_flood_of_logins_does_not_fill_the_trail(void **state)
{
    struct browser b = {{0}, {0}, {0}};
    struct events ours = events("globex", "login", "failed"), theirs = events("_vendor", "login", "failed"),
                  delayed = events("globex", "login.delayed", "refused");
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "nobody-%d", i);
        expect(log_in(&b, "globex", name, PASSWORD_1), 401, "login-failed");
        expect(log_in(&b, "nowhere-at-all", name, PASSWORD_1), 401, "login-failed");
        if (i % 6 == 5)
            forget_delays();
    }
    assert_more("globex", "login", "failed", ours, 1);
    assert_more("_vendor", "login", "failed", theirs, 1);
    for (int i = 0; i < 12; i++) {
        struct reply r = log_in(&b, "globex", "one", PASSWORD_1);
        reply_done(&r);
    }
    assert_more("globex", "login.delayed", "refused", delayed, 1);
    forget_delays();
}

/* Whatever a hash cost when it was made, it is good, and of today's cost after the next login. */
static void test_a_hash_is_made_anew_at_todays_cost(void **state)
{
    const struct password_cost old = {.memory_kib = 1024, .passes = 1, .lanes = 1};
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    struct account a;
    user_make(&u, "veteran");
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, "veteran", &a), 0);
    const struct password_cost today = a.password.cost;
    assert_int_equal(password_make(&old, PASSWORD_1, &a.password), 0);
    assert_int_equal(account_put(&s, &a), 0);
    fixture_commit(&f);
    for (uint64_t hashes = 2; hashes >= 1; hashes--) {
        uint64_t before = password_runs();
        expect(log_in(&b, "acme", "veteran", PASSWORD_1), 201, NULL);
        assert_int_equal(password_runs() - before, hashes);
    }
    s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, "veteran", &a), 0);
    fixture_commit(&f);
    assert_false(password_aged(&a.password, &today));
    expect(log_in(&b, "acme", "veteran", PASSWORD_2), 401, "login-failed");
    forget_delays();
}

static void test_delays(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, known = {{0}, {0}, {0}};
    char path[80];
    int refused = 0;
    user_make(&u, "delayed");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 201, NULL);
    for (int i = 0; i < 12 && refused < 3; i++) {
        uint64_t before = password_runs();
        struct reply r = log_in(&b, "acme", "delayed", PASSWORD_2);
        if (r.status == 429) {
            refused++;
            assert_problem(&r, 429, "too-many-attempts");
            assert_true(atoi(reply_header(&r, "Retry-After")) >= 1);
            assert_int_equal(password_runs(), before); /* before any hash */
        }
        reply_done(&r);
    }
    assert_int_equal(refused, 3);
    /* the right password does not help a stranger, but a browser that is known is not delayed */
    expect(log_in(&b, "acme", "delayed", PASSWORD_1), 429, "too-many-attempts");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 201, NULL);
    /* whom strangers keep out of a new browser, for as long as they go on, gets in by a link */
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", u.id);
    struct reply r = request(&f.s, "POST", path, f.acme, BYTES_NONE, NULL);
    expect(accept_by(&b, "/v1/password-resets/accept", link_in(&r), PASSWORD_2), 200, NULL);
    reply_done(&r);
    assert_string_not_equal(b.device, "");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 401, "login-failed");
    expect(log_in(&b, "acme", "delayed", PASSWORD_2), 201, NULL);
    forget_delays();
}

/* Codes are counted across sessions: a new half session gives no new guesses. */
static void test_guessing_codes(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    int guesses = 0;
    user_make(&u, "guessed");
    json_decref(enrol(&u, &b));
    int64_t began = clock_ms();
    for (int i = 0; i < 12; i++) {
        struct browser c = {{0}, {0}, {0}};
        expect(log_in(&c, "acme", "guessed", PASSWORD_1), 200, NULL);
        struct reply r = give_code(&c, "000000");
        guesses += r.status == 401;
        assert_true(r.status == 401 || r.status == 429);
        reply_done(&r);
    }
    /* from the fifth on, each waits twice as long as the one before, however slow the machine is */
    assert_true(guesses >= 4 && ((1 << (guesses - 4)) / 2 - 1) * 1000 <= clock_ms() - began);
    forget_delays();
}

static void test_strange_bodies(void **state)
{
    struct browser b = {{0}, {0}, {0}};
    static char huge[70000];
    memset(huge, 'x', sizeof huge - 1);
    uint64_t before = password_runs();
    expect(post(&f.s, "/v1/sessions", NULL, "{\"tenant\":\"acme\",\"login\":\"a\\u0000b\",\"password\":\"x\"}"), 400,
           "bad-json");
    expect(post(&f.s, "/v1/sessions", NULL, "{\"tenant\":\"acme\",\"login\":[],\"password\":\"x\"}"), 400, "invalid");
    expect(post(&f.s, "/v1/sessions", NULL, "{}"), 400, "invalid");
    expect(post(&f.s, "/v1/sessions", NULL, huge), 413, "too-large");
    huge[60000] = '\0';
    char *body = malloc(61000);
    assert_non_null(body);
    snprintf(body, 61000, "{\"tenant\":\"acme\",\"login\":\"a\",\"password\":\"%.60000s\"}", huge);
    expect(post(&f.s, "/v1/sessions", NULL, body), 400, "invalid");
    free(body);
    assert_int_equal(password_runs(), before);
    /* what another site can have a browser send without asking first */
    const char *const form[] = {"-H", "Content-Type: text/plain", NULL};
    expect(request(&f.s, "POST", "/v1/sessions", NULL, BYTES_STR("{}"), form), 415, "media-type");
    expect(give_code(&b, "123456"), 401, "session-over");
}

/* Two hundred logins at once: others are answered meanwhile, and of those that find no room none is kept. */
static void *flood(void *arg)
{
    char url[80], *text;
    int code = 0;
    const char *argv[] = {"curl",
                          "-sS",
                          "-Z",
                          "--parallel-max",
                          "50",
                          "--max-time",
                          "60",
                          "-o",
                          "/dev/stdout",
                          "--cacert",
                          f.s.ca,
                          "-H",
                          "Content-Type: application/json",
                          "-d",
                          "{\"tenant\":\"acme\",\"login\":\"flooded\",\"password\":\"x\"}",
                          url,
                          NULL};
    snprintf(url, sizeof url, "https://localhost:%u/v1/sessions#[1-200]", f.s.port);
    text = run_program(argv, &code);
    size_t *answers = arg;
    for (const char *p = text; (p = strstr(p, "urn:punchline:problem:")); p++)
        ++*answers;
    free(text);
    return NULL;
}

static void test_flood(void **state)
{
    pthread_t thread;
    size_t answers = 0;
    uint64_t before = password_runs();
    assert_int_equal(pthread_create(&thread, NULL, flood, &answers), 0);
    for (int i = 0; i < 10; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(answers, 200); /* each was refused in one way or another */
    assert_in_range(password_runs() - before, 1, 30);
    forget_delays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: what they count has not been told in this minute */
        cmocka_unit_test(test_logins_are_in_the_trail),
        cmocka_unit_test(test_a_flood_of_logins_does_not_fill_the_trail),
        cmocka_unit_test(test_invitation),
        cmocka_unit_test(test_nothing_but_oneself),
        cmocka_unit_test(test_second_factor),
        cmocka_unit_test(test_one_code_once),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_step_up),
        cmocka_unit_test(test_a_new_password_is_no_step_up),
        cmocka_unit_test(test_resets_are_counted_by_login),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_factor_by_choice),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_unknown_logins),
        cmocka_unit_test(test_a_hash_is_made_anew_at_todays_cost),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_guessing_codes),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_strange_bodies),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
