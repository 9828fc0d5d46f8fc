/* Logging in as a person at a browser does: invitations, passwords, second factors, sessions, through curl. What an
 * attacker would try is in test_api_sessions_guessed.c. */
#include "cloud/link.h"
#include "cloud/password.h"
#include "cloud/session.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_browser.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
