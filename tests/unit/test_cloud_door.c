/* The front door of the API, as who comes in by it sees it: limits and what answers say of them, addresses behind a
 * proxy, headers that every answer has. */
#include "cloud/api_impl.h"
#include "tests/unit/cloud_fixture.h"

static struct fixture f;
static struct api *api;

static int setup(void **state)
{
    fixture_make(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_done(&f);
    return 0;
}

static void start(void)
{
    assert_int_equal(api_start(f.c, NULL, &api), 0);
    f.s.port = api_port(api);
}

static void stop(void)
{
    api_stop(api);
    api = NULL;
}

static struct reply from(const char *path, const char *token, const char *forwarded)
{
    char header[256];
    const char *const extra[] = {"-H", header, NULL};
    snprintf(header, sizeof header, "X-Forwarded-For: %s", forwarded);
    return request(&f.s, "GET", path, token, BYTES_NONE, extra);
}

static void expect(struct reply r, int status)
{
    if (r.status != status)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, status);
    reply_done(&r);
}

static void expect_too_many(struct reply r)
{
    assert_problem(&r, 429, "too-many-requests");
    assert_in_range(atoi(reply_header(&r, "Retry-After")), 1, 60);
    reply_done(&r);
}

static void test_every_answer(void **state)
{
    static const char *const paths[] = {"/healthz", "/v1/people", "/nowhere"};
    f.set.limits.source = f.set.limits.token = f.set.limits.tenant = 1000;
    start();
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct reply r = get(&f.s, paths[i], NULL);
        assert_string_equal(reply_header(&r, "Strict-Transport-Security"), "max-age=31536000");
        assert_string_equal(reply_header(&r, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(reply_header(&r, "Cache-Control"), "no-store");
        assert_string_equal(reply_header(&r, "Server"), "");
        assert_string_equal(reply_header(&r, "RateLimit-Policy"), "\"source\";q=1000;w=60");
        assert_non_null(strstr(reply_header(&r, "RateLimit"), "\"source\";r=99"));
        reply_done(&r);
    }
    struct reply r = post(&f.s, "/v1/sites", f.acme, "{\"name\": \"North\"}"); /* also one that waited in a line */
    assert_int_equal(r.status, 201);
    assert_non_null(strstr(r.head, "RateLimit: \"token\";r=999;"));
    assert_non_null(strstr(r.head, "RateLimit: \"tenant\";r=999;")); /* counted once */
    assert_non_null(strstr(r.head, "RateLimit: \"source\";r=99"));
    reply_done(&r);
    stop();
}

static void test_by_token_and_tenant(void **state)
{
    f.set.limits.source = 0;
    f.set.limits.token = 3;
    f.set.limits.tenant = 0;
    start();
    for (int i = 0; i < 3; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200);
    expect_too_many(get(&f.s, "/v1/people", f.acme));
    expect_too_many(post(&f.s, "/v1/sites", f.acme, "{\"name\": \"South\"}"));
    expect(get(&f.s, "/v1/people", f.globex), 200); /* another's */
    expect(get(&f.s, "/v1/people", "pct_wrong"), 401);
    expect(get(&f.s, "/healthz", NULL), 200);
    stop();
    f.set.limits.token = 0;
    f.set.limits.tenant = 2;
    start();
    for (int i = 0; i < 2; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200);
    expect_too_many(get(&f.s, "/v1/people", f.acme));
    expect(get(&f.s, "/v1/people", f.globex), 200);
    stop();
}

/* Whatever it asks for, and with whichever tokens it guesses. */
static void test_by_source(void **state)
{
    f.set.limits.source = 4;
    f.set.limits.token = f.set.limits.tenant = 0;
    start();
    expect(get(&f.s, "/healthz", NULL), 200);
    expect(get(&f.s, "/nowhere", NULL), 404);
    expect(get(&f.s, "/v1/people", "pct_wrong"), 401);
    expect(from("/v1/people", f.acme, "198.51.100.1"), 200); /* nobody is asked to believe that */
    expect_too_many(from("/v1/people", f.acme, "198.51.100.2"));
    expect_too_many(get(&f.s, "/nowhere", NULL));
    stop();
}

static void test_by_source_behind_a_proxy(void **state)
{
    char *proxies[] = {(char[]){"127.0.0.0/8"}, (char[]){"::1"}};
    f.set.api.proxies = (struct conf_list){.items = proxies, .n = 2};
    f.set.limits.source = 2;
    start();
    for (int i = 0; i < 2; i++)
        expect(from("/v1/people", f.acme, "203.0.113.9, 198.51.100.1"), 200);
    expect_too_many(from("/v1/people", f.acme, "203.0.113.77, 198.51.100.1"));
    for (int i = 0; i < 2; i++)
        expect(from("/v1/people", f.acme, i ? "2001:db8::1" : "2001:db8::2"), 200);
    expect_too_many(from("/v1/people", f.acme, "2001:db8::3")); /* one network */
    expect(from("/v1/people", f.acme, "2001:db8:0:1::3"), 200);
    stop();
    f.set.api.proxies = (struct conf_list){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_by_token_and_tenant),
        cmocka_unit_test(test_by_source),
        cmocka_unit_test(test_by_source_behind_a_proxy),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
