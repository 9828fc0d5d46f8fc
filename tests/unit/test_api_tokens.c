/* Tokens of accounts, as their holders and who looks after accounts meet them. */
#include "cloud/settings_of.h"
#include "tests/unit/api_human.h"

static struct human owner, hr, stranger;

#define DAY INT64_C(86400000000)

static int setup(void **state)
{
    (void)api_setup(state);
    owner = human_with("acme", "owner", ROLE_OWNER);
    hr = human_with("acme", "hr", ROLE_HR);
    stranger = human_with("globex", "stranger", ROLE_OWNER);
    return 0;
}

static const char *body(const char *permissions, int64_t days, const char *more)
{
    static char text[512];
    char when[32];
    snprintf(text, sizeof text, "{\"label\":\"payroll\",\"permissions\":[%s],\"expires\":\"%s\"%s}", permissions,
             str_time(clock_real() + days * DAY, when), more);
    return text;
}

/* Makes one; its secret and its path. */
static void make(const struct human *h, const char *permissions, char ret_text[TOKEN_TEXT_MAX], char ret_path[64])
{
    struct reply r = as(h, "POST", "/v1/tokens", body(permissions, 30, ""));
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(ret_text, TOKEN_TEXT_MAX, reply_text(&r, "token")), 0);
    assert_int_equal(str_copy(ret_path, 64, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static void test_a_token_does_what_it_was_made_for(void **state)
{
    char text[TOKEN_TEXT_MAX], path[64], revocation[96];
    make(&hr, "\"people.read\"", text, path);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    expect(get(&f.s, "/v1/credentials/waiting", text), 403, "forbidden");
    expect(get(&f.s, "/v1/tokens", text), 403, "forbidden"); /* what is one's own is not in its hands */
    struct reply r = as(&hr, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    assert_null(json_object_get(r.json, "token"));
    assert_null(strstr(r.body, text));
    reply_done(&r);
    snprintf(revocation, sizeof revocation, "%s/revocation", path);
    expect(as(&stranger, "GET", path, NULL), 404, "not-found");
    expect(as(&stranger, "POST", revocation, NULL), 404, "not-found");
    expect(as(&hr, "POST", revocation, NULL), 200, NULL);
    expect(as(&hr, "POST", revocation, NULL), 200, NULL);
    expect(get(&f.s, "/v1/people", text), 401, "token-unknown");
}

static void test_limits(void **state)
{
    expect(as(&hr, "POST", "/v1/tokens", body("\"gateways.read\"", 30, "")), 400, "invalid"); /* he may not himself */
    expect(as(&hr, "POST", "/v1/tokens", body("\"people.read\"", 400, "")), 400, "invalid");
    expect(as(&hr, "POST", "/v1/tokens", body("\"people.read\"", -1, "")), 400, "invalid");
    expect(as(&hr, "POST", "/v1/tokens", body("", 30, "")), 400, "invalid");
    expect(as(&hr, "POST", "/v1/tokens", body("\"people.read\"", 30, ",\"ranges\":[\"10.0.0.1/8\"]")), 400, "invalid");
    expect(as(&hr, "POST", "/v1/tokens", body("\"people.read\"", 30, ",\"ranges\":[\"10.0.0.0/8\",\"::/0\"]")), 201,
           NULL);
}

static void test_who_looks_after_accounts_sees_and_ends_them(void **state)
{
    char text[TOKEN_TEXT_MAX], path[64], revocation[96];
    make(&hr, "\"people.read\"", text, path);
    snprintf(revocation, sizeof revocation, "%s/revocation", path);
    expect(as(&hr, "GET", "/v1/tokens?all=true", NULL), 403, "forbidden");
    struct reply r = as(&owner, "GET", "/v1/tokens", NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
    r = as(&owner, "GET", "/v1/tokens?all=true", NULL);
    assert_true(json_array_size(json_object_get(r.json, "items")) >= 1);
    assert_null(strstr(r.body, "pct_"));
    reply_done(&r);
    expect(as(&owner, "POST", revocation, NULL), 200, NULL);
    expect(get(&f.s, "/v1/people", text), 401, "token-unknown");
}

static void test_the_secret_is_shown_once(void **state)
{
    char cookie[128], csrf[SESSION_TEXT], header[96];
    assert_int_equal(session_csrf(hr.cookie, csrf), 0);
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", hr.cookie);
    snprintf(header, sizeof header, "Punch-CSRF: %s", csrf);
    const char *const extra[] = {
        "-H", cookie, "-H", header, "-H", "Idempotency-Key: once", "-H", "Content-Type: application/json", NULL};
    const char *text = body("\"people.read\"", 30, "");
    struct reply r = request(&f.s, "POST", "/v1/tokens", NULL, BYTES_STR(text), extra);
    assert_int_equal(r.status, 201);
    assert_true(*reply_text(&r, "token"));
    reply_done(&r);
    r = request(&f.s, "POST", "/v1/tokens", NULL, BYTES_STR(text), extra);
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    assert_false(*reply_text(&r, "token"));
    reply_done(&r);
}

static void test_it_takes_a_fresh_password(void **state)
{
    struct human late = hr;
    struct scope s = fixture_begin(&f, "acme");
    late.session.stepped = 0;
    assert_int_equal(session_make(&s, &late.account, &late.session, late.cookie), 0);
    fixture_commit(&f);
    expect(as(&late, "POST", "/v1/tokens", body("\"people.read\"", 30, "")), 403, "step-up-needed");
}

/* Where a company wants a second factor for some permissions, a handler that looks at one of these beside its route's
 * does not find it either. */
static void test_what_wants_a_second_factor_is_not_held_without(void **state)
{
    struct human plain = owner;
    struct tenant_settings set;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    set.second_factor = PERM_BIT(PERM_ACCOUNTS_READ);
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    plain.session.factor = false;
    assert_int_equal(session_make(&s, &plain.account, &plain.session, plain.cookie), 0);
    fixture_commit(&f);
    expect(as(&plain, "GET", "/v1/people", NULL), 200, NULL);
    expect(as(&plain, "GET", "/v1/roles", NULL), 403, "second-factor-needed");
    expect(as(&plain, "GET", "/v1/tokens", NULL), 200, NULL);
    expect(as(&plain, "GET", "/v1/tokens?all=true", NULL), 403, "forbidden");
    expect(as(&plain, "POST", "/v1/tokens", body("\"accounts.read\"", 30, "")), 400, "invalid");
    expect(as(&plain, "POST", "/v1/tokens", body("\"people.read\"", 30, "")), 201, NULL);
    expect(as(&owner, "GET", "/v1/tokens?all=true", NULL), 200, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_does_what_it_was_made_for),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_who_looks_after_accounts_sees_and_ends_them),
        cmocka_unit_test(test_the_secret_is_shown_once),
        cmocka_unit_test(test_it_takes_a_fresh_password),
        cmocka_unit_test(test_what_wants_a_second_factor_is_not_held_without),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
