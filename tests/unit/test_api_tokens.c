/* Tokens of accounts, as their holders and who looks after accounts meet them. */
#include "api/api.h"

#include "tests/unit/cloud_human.h"

static struct fixture f;
static struct api *api;
static struct db *db;
static struct human owner, hr, stranger;

#define DAY INT64_C(86400000000)

static int setup(void **state)
{
    fixture_make(&f);
    assert_int_equal(api_start(f.c, NULL, &api), 0);
    f.s.port = api_port(api);
    assert_int_equal(cloud_db_take(f.c, &db), 0);
    human_make(&f, db, "acme", "owner", &owner);
    human_make(&f, db, "acme", "hr", &hr);
    human_make(&f, db, "globex", "stranger", &stranger);
    (void)human_grant(&f, db, &owner, ROLE_OWNER, NULL, 0);
    (void)human_grant(&f, db, &hr, ROLE_HR, NULL, 0);
    (void)human_grant(&f, db, &stranger, ROLE_OWNER, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    cloud_db_give(f.c, db);
    api_stop(api);
    fixture_done(&f);
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

static void expect(const struct human *h, const char *method, const char *path, const char *text, int status,
                   const char *slug)
{
    human_expect(&f, h, method, path, text, status, slug);
}

/* Makes one; its secret and its path. */
static void make(const struct human *h, const char *permissions, char ret_text[TOKEN_TEXT_MAX], char ret_path[64])
{
    struct reply r = human_send(&f, h, "POST", "/v1/tokens", body(permissions, 30, ""));
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(ret_text, TOKEN_TEXT_MAX, reply_text(&r, "token")), 0);
    assert_int_equal(str_copy(ret_path, 64, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static void test_a_token_does_what_it_was_made_for(void **state)
{
    char text[TOKEN_TEXT_MAX], path[64], revocation[96];
    make(&hr, "\"people.read\"", text, path);
    struct reply r = get(&f.s, "/v1/people", text);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    r = get(&f.s, "/v1/credentials/waiting", text);
    assert_problem(&r, 403, "forbidden");
    reply_done(&r);
    r = get(&f.s, "/v1/tokens", text); /* what is one's own is not in its hands */
    assert_problem(&r, 403, "forbidden");
    reply_done(&r);
    r = human_send(&f, &hr, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    assert_null(json_object_get(r.json, "token"));
    assert_null(strstr(r.body, text));
    reply_done(&r);
    snprintf(revocation, sizeof revocation, "%s/revocation", path);
    expect(&stranger, "GET", path, NULL, 404, "not-found");
    expect(&stranger, "POST", revocation, NULL, 404, "not-found");
    expect(&hr, "POST", revocation, NULL, 200, NULL);
    expect(&hr, "POST", revocation, NULL, 200, NULL);
    r = get(&f.s, "/v1/people", text);
    assert_problem(&r, 401, "token-unknown");
    reply_done(&r);
}

static void test_limits(void **state)
{
    expect(&hr, "POST", "/v1/tokens", body("\"gateways.read\"", 30, ""), 400, "invalid"); /* he may not himself */
    expect(&hr, "POST", "/v1/tokens", body("\"people.read\"", 400, ""), 400, "invalid");
    expect(&hr, "POST", "/v1/tokens", body("\"people.read\"", -1, ""), 400, "invalid");
    expect(&hr, "POST", "/v1/tokens", body("", 30, ""), 400, "invalid");
    expect(&hr, "POST", "/v1/tokens", body("\"people.read\"", 30, ",\"ranges\":[\"10.0.0.1/8\"]"), 400, "invalid");
    expect(&hr, "POST", "/v1/tokens", body("\"people.read\"", 30, ",\"ranges\":[\"10.0.0.0/8\",\"::/0\"]"), 201, NULL);
}

static void test_who_looks_after_accounts_sees_and_ends_them(void **state)
{
    char text[TOKEN_TEXT_MAX], path[64], revocation[96];
    make(&hr, "\"people.read\"", text, path);
    snprintf(revocation, sizeof revocation, "%s/revocation", path);
    expect(&hr, "GET", "/v1/tokens?all=true", NULL, 403, "forbidden");
    struct reply r = human_send(&f, &owner, "GET", "/v1/tokens", NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
    r = human_send(&f, &owner, "GET", "/v1/tokens?all=true", NULL);
    assert_true(json_array_size(json_object_get(r.json, "items")) >= 1);
    assert_null(strstr(r.body, "pct_"));
    reply_done(&r);
    expect(&owner, "POST", revocation, NULL, 200, NULL);
    r = get(&f.s, "/v1/people", text);
    assert_problem(&r, 401, "token-unknown");
    reply_done(&r);
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
    struct scope s = human_begin(&f, db, "acme");
    late.session.stepped = 0;
    assert_int_equal(session_make(&s, &late.account, &late.session, late.cookie), 0);
    assert_int_equal(cloud_commit(f.c, db), 0);
    expect(&late, "POST", "/v1/tokens", body("\"people.read\"", 30, ""), 403, "step-up-needed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_does_what_it_was_made_for),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_who_looks_after_accounts_sees_and_ends_them),
        cmocka_unit_test(test_the_secret_is_shown_once),
        cmocka_unit_test(test_it_takes_a_fresh_password),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
