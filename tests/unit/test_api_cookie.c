/* Requests with the cookie of a session: what it opens, and what it takes beside it. */
#include "cloud/people.h"
#include "cloud/session.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_fixture.h"

static struct account ada;
static struct scope s;

static int setup(void **state)
{
    struct person p;
    struct tenant_settings set;
    fixture_make(&f);
    assert_int_equal(scope_init(f.c, f.db, "acme", &s), 0);
    assert_int_equal(people_create(f.c, f.db, "acme", &(struct person_set){.name = "Ada"}, &p), 0);
    ada = (struct account){.state = ACCOUNT_ACTIVE, .login = "ada", .language = "en"};
    assert_int_equal(crypto_random(ada.id, ID_LEN), 0);
    memcpy(ada.person, p.id, ID_LEN);
    memcpy(ada.key, p.key, ID_LEN);
    assert_int_equal(account_put(&s, &ada), 0);
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    assert_true(set.second_factor == SECOND_FACTOR_ALL); /* where nobody has said otherwise */
    api_begin();
    return 0;
}

static void begin(bool half, bool factor, char cookie[SESSION_TEXT])
{
    struct session t = {.half = half, .factor = factor, .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US};
    assert_int_equal(session_make(&s, &ada, &t, cookie), 0);
}

static struct reply with_cookie(const char *method, const char *path, const char *token, const char *cookie,
                                const char *csrf)
{
    char c[128], h[128];
    const char *extra[] = {"-H", c, "-H", "Content-Type: application/json", "-H", h, NULL};
    snprintf(c, sizeof c, "Cookie: theme=dark; " SESSION_COOKIE "=%s", cookie);
    snprintf(h, sizeof h, "Punch-CSRF: %s", csrf ? csrf : "");
    if (!csrf)
        extra[4] = NULL;
    return request(&f.s, method, path, token, strcmp(method, "POST") ? BYTES_NONE : BYTES_STR("{\"name\":\"Eve\"}"),
                   extra);
}

static void test_cookie(void **state)
{
    char cookie[SESSION_TEXT], half[SESSION_TEXT], plain[SESSION_TEXT], csrf[SESSION_TEXT], wrong[SESSION_TEXT];
    begin(false, true, cookie);
    begin(true, false, half);
    begin(false, false, plain);
    assert_int_equal(session_csrf(cookie, csrf), 0);
    assert_int_equal(session_csrf(plain, wrong), 0);
    /* nothing was granted to her */
    expect(with_cookie("GET", "/v1/people", NULL, cookie, NULL), 403, "forbidden");
    expect(with_cookie("POST", "/v1/people", NULL, cookie, csrf), 403, "forbidden");
    expect(with_cookie("POST", "/v1/people", NULL, cookie, NULL), 403, "csrf");
    expect(with_cookie("POST", "/v1/people", NULL, cookie, ""), 403, "csrf");
    expect(with_cookie("POST", "/v1/people", NULL, cookie, wrong), 403, "csrf");
    expect(with_cookie("GET", "/v1/status", NULL, cookie, NULL), 403, "forbidden");
    /* the password alone is no session */
    expect(with_cookie("GET", "/v1/people", NULL, half, NULL), 401, "session-over");
    cookie[2] ^= 1;
    expect(with_cookie("GET", "/v1/people", NULL, cookie, NULL), 401, "session-over");
    cookie[2] ^= 1;
    expect(with_cookie("GET", "/v1/people", NULL, "", NULL), 401, "session-over");
    /* a token counts, whatever cookie comes with it */
    expect(with_cookie("GET", "/v1/people", f.acme, half, NULL), 200, NULL);
    expect(with_cookie("GET", "/v1/people", "pct_x", cookie, NULL), 401, "token-unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cookie)};
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
