/* The front door of the API, as who comes in by it sees it: limits and what answers say of them, addresses behind a
 * proxy, headers that every answer has. */
#include "api/api_impl.h"
#include "cloud/scope.h"
#include "cloud/security_report.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_fixture.h"

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

static struct reply from(const char *path, const char *token, const char *forwarded)
{
    char header[256];
    const char *const extra[] = {"-H", header, NULL};
    snprintf(header, sizeof header, "X-Forwarded-For: %s", forwarded);
    return request(&f.s, "GET", path, token, BYTES_NONE, extra);
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
    api_begin();
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
    api_end();
}

static void test_by_token_and_tenant(void **state)
{
    f.set.limits.source = 0;
    f.set.limits.token = 3;
    f.set.limits.tenant = 0;
    api_begin();
    for (int i = 0; i < 3; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200, NULL);
    expect_too_many(get(&f.s, "/v1/people", f.acme));
    expect_too_many(post(&f.s, "/v1/sites", f.acme, "{\"name\": \"South\"}"));
    expect(get(&f.s, "/v1/people", f.globex), 200, NULL); /* another's */
    expect(get(&f.s, "/v1/people", "pct_wrong"), 401, NULL);
    expect(get(&f.s, "/healthz", NULL), 200, NULL);
    api_end();
    f.set.limits.token = 0;
    f.set.limits.tenant = 2;
    api_begin();
    for (int i = 0; i < 2; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200, NULL);
    expect_too_many(get(&f.s, "/v1/people", f.acme));
    expect(get(&f.s, "/v1/people", f.globex), 200, NULL);
    api_end();
}

/* Whatever it asks for, and with whichever tokens it guesses. */
static void test_by_source(void **state)
{
    f.set.limits.source = 4;
    f.set.limits.token = f.set.limits.tenant = 0;
    api_begin();
    expect(get(&f.s, "/healthz", NULL), 200, NULL);
    expect(get(&f.s, "/nowhere", NULL), 404, NULL);
    expect(get(&f.s, "/v1/people", "pct_wrong"), 401, NULL);
    expect(from("/v1/people", f.acme, "198.51.100.1"), 200, NULL); /* nobody is asked to believe that */
    expect_too_many(from("/v1/people", f.acme, "198.51.100.2"));
    expect_too_many(get(&f.s, "/nowhere", NULL));
    api_end();
}

static void test_by_source_behind_a_proxy(void **state)
{
    char *proxies[] = {(char[]){"127.0.0.0/8"}, (char[]){"::1"}};
    f.set.api.proxies = (struct conf_list){.items = proxies, .n = 2};
    f.set.limits.source = 2;
    api_begin();
    for (int i = 0; i < 2; i++)
        expect(from("/v1/people", f.acme, "203.0.113.9, 198.51.100.1"), 200, NULL);
    expect_too_many(from("/v1/people", f.acme, "203.0.113.77, 198.51.100.1"));
    for (int i = 0; i < 2; i++)
        expect(from("/v1/people", f.acme, i ? "2001:db8::1" : "2001:db8::2"), 200, NULL);
    expect_too_many(from("/v1/people", f.acme, "2001:db8::3")); /* one network */
    expect(from("/v1/people", f.acme, "2001:db8:0:1::3"), 200, NULL);
    api_end();
    f.set.api.proxies = (struct conf_list){0};
}

/* ---- whom to turn to ---- */

static void test_security_txt(void **state)
{
    char *uris[] = {(char[]){"mailto:security@example.org"}, (char[]){"https://example.org/report"}};
    char line[64];
    f.set.limits.source = f.set.limits.token = f.set.limits.tenant = 0;
    api_begin();
    expect(get(&f.s, "/.well-known/security.txt", NULL), 404, "not-found");
    f.set.contact.security = (struct conf_list){.items = uris, .n = 2};
    f.set.contact.canonical = (char[]){"https://example.org/.well-known/security.txt"};
    struct reply r = get(&f.s, "/.well-known/security.txt", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "text/plain; charset=utf-8");
    assert_non_null(strstr(r.body, "Contact: mailto:security@example.org\nContact: https://example.org/report\n"));
    assert_non_null(strstr(r.body, "\nPreferred-Languages: en, de, ro\n"));
    assert_non_null(strstr(r.body, "\nCanonical: https://example.org/.well-known/security.txt\n"));
    const char *expires = strstr(r.body, "\nExpires: ");
    int64_t at = 0, now = clock_real();
    assert_non_null(expires);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(expires + 10, "\n"), expires + 10);
    assert_int_equal(str_untime(line, &at), 0);
    assert_true(at > now + 30 * DAY_US && at < now + 365 * DAY_US); /* RFC 9116, 2.5.5 */
    reply_done(&r);
    api_end();
    f.set.contact.security = (struct conf_list){0};
    f.set.contact.canonical = NULL;
}

static const char *operators_dpo(const struct reply *r)
{
    return json_string_value(json_object_get(json_object_get(r->json, "operator"), "data_protection"));
}

static void test_contact(void **state)
{
    struct tenant_settings t;
    api_begin();
    struct reply r = get(&f.s, "/v1/contact", NULL);
    assert_int_equal(r.status, 200);
    assert_null(operators_dpo(&r));
    reply_done(&r);
    f.set.contact.dpo = (char[]){"privacy@example.org"};
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &t), 0);
    assert_int_equal(tenant_settings_put(&s, &t, "dpo@acme.example"), 0);
    fixture_commit(&f);
    r = get(&f.s, "/v1/contact?tenant=acme", NULL);
    assert_string_equal(operators_dpo(&r), "privacy@example.org");
    assert_string_equal(reply_text(&r, "data_protection"), "dpo@acme.example");
    reply_done(&r);
    /* who has set nothing, who does not exist, and the operator's own are told apart by nothing */
    static const char *const others[] = {"/v1/contact?tenant=globex", "/v1/contact?tenant=nobody",
                                         "/v1/contact?tenant=_vendor", "/v1/contact?tenant="};
    r = get(&f.s, "/v1/contact", NULL);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct reply x = get(&f.s, others[i], NULL);
        assert_int_equal(x.status, 200);
        assert_string_equal(x.body, r.body);
        reply_done(&x);
    }
    reply_done(&r);
    api_end();
    f.set.contact.dpo = NULL;
}

static const char report[] =
    "{\"url\": \"https://punch.example.org/v1/people\", \"company\": \"acme\", \"user\": \"j.doe\","
    " \"information\": \"names of people\", \"device\": \"ThinkPad\", \"operating_system\": \"Debian 12\","
    " \"steps\": [\"Log in.\", \"Look.\"], \"reporter\": \"mailto:zyxwv@example.net\"}";

static struct reply patch(const char *path, const char *token, const char *body)
{
    return request(&f.s, "PATCH", path, token, BYTES_STR(body), as_json);
}

/* True when the store's files hold the text. */
static bool stored(const char *text)
{
    static const char *const files[] = {"store.db", "store.db-wal"};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[256];
        struct buf CLEANUP(buf_done) b;
        buf_init(&b, 64 << 20);
        snprintf(path, sizeof path, "%s/state/%s", f.s.dir, files[i]);
        if (file_read(path, &b) == 0)
            found = found || memmem(b.p, b.len, text, strlen(text));
    }
    return found;
}

static void test_a_report(void **state)
{
    char path[600], etag[600];
    api_begin();
    struct reply r = post(&f.s, "/v1/security-reports", NULL, report);
    assert_int_equal(r.status, 202);
    assert_int_equal(strlen(reply_text(&r, "reference")), 2 * ID_LEN);
    snprintf(path, sizeof path, "/v1/security-reports/%s", reply_text(&r, "reference"));
    reply_done(&r);
    assert_false(stored("zyxwv"));
    assert_true(stored("security_report")); /* so it would have been found */

    expect(get(&f.s, path, NULL), 401, NULL); /* who sent it cannot read it, nor can a customer */
    expect(get(&f.s, path, f.acme), 403, NULL);
    expect(get(&f.s, "/v1/security-reports", f.acme), 403, NULL);
    expect(patch(path, f.acme, "{\"state\": \"closed\"}"), 403, NULL);

    r = get(&f.s, path, f.operator_token);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "new");
    json_t *sent = json_loads(report, 0, NULL);
    assert_true(json_equal(json_object_get(r.json, "report"), sent));
    json_decref(sent);
    snprintf(etag, sizeof etag, "If-Match: %s", reply_header(&r, "ETag"));
    reply_done(&r);

    expect(patch(path, f.operator_token, "{\"state\": \"gone\"}"), 400, NULL);
    r = patch(path, f.operator_token, "{\"state\": \"open\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "open");
    reply_done(&r);
    const char *const old[] = {"-H", "Content-Type: application/json", "-H", etag, NULL};
    expect(request(&f.s, "PATCH", path, f.operator_token, BYTES_STR("{\"state\": \"closed\"}"), old), 412, NULL);
    r = get(&f.s, "/v1/security-reports", f.operator_token);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    expect(get(&f.s, "/v1/security-reports/00000000000000000000000000000000", f.operator_token), 404, NULL);
    api_end();
}

static void test_reports_are_bounded(void **state)
{
    static char big[8192], body[9000];
    api_begin();
    expect(post(&f.s, "/v1/security-reports", NULL, "{\"information\": \"x\"}"), 400, NULL);
    expect(post(&f.s, "/v1/security-reports", NULL, "{\"information\": \"x\", \"steps\": []}"), 400, NULL);
    memset(big, 'x', sizeof big);
    snprintf(body, sizeof body, "{\"information\": \"%.600s\", \"steps\": [\"x\"]}", big);
    expect(post(&f.s, "/v1/security-reports", NULL, body), 400, NULL);
    size_t n = (size_t)snprintf(body, sizeof body, "{\"information\": \"%.500s\", \"steps\": [\"x\"", big);
    for (int i = 0; i < 19; i++)
        n += (size_t)snprintf(body + n, sizeof body - n, ", \"%.200s\"", big);
    snprintf(body + n, sizeof body - n, "]}");
    struct reply r = post(&f.s, "/v1/security-reports", NULL, body);
    assert_problem(&r, 400, "invalid");
    assert_non_null(strstr(r.body, "altogether"));
    reply_done(&r);
    expect(post(&f.s, "/v1/security-reports", NULL, report), 202, NULL);
    r = post(&f.s, "/v1/security-reports", NULL, report); /* the sixth within the hour, good or bad */
    assert_problem(&r, 429, "too-many-requests");
    assert_in_range(atoi(reply_header(&r, "Retry-After")), 60, 3600);
    reply_done(&r);
    api_end();
}

/* As many as may be; those closed for a year make room. */
static void test_reports_are_kept_for_a_while(void **state)
{
    struct security_report x;
    struct security_report_list l;
    json_t *told = json_loads(report, 0, NULL);
    uint8_t id[ID_LEN], closed[ID_LEN];
    const int64_t now = clock_real();
    struct scope s = fixture_begin(&f, VENDOR_TENANT);
    assert_int_equal(security_report_add(&s, told, now, closed), 0);
    assert_int_equal(security_report_move(&s, closed, SECURITY_CLOSED, now), 0);
    int r = 0;
    for (int i = 0; r == 0 && i <= SECURITY_REPORTS_MAX; i++)
        r = security_report_add(&s, told, now + i, id);
    assert_int_equal(r, CLOUD_CONFLICT);
    assert_int_equal(security_report_list(&s, NULL, 10 * SECURITY_REPORTS_MAX, &l), 0);
    assert_int_equal(l.n, SECURITY_REPORTS_MAX);
    free(l.items);
    assert_int_equal(security_report_add(&s, told, now + SECURITY_REPORT_KEPT_US, id), CLOUD_CONFLICT);
    assert_int_equal(security_report_add(&s, told, now + SECURITY_REPORT_KEPT_US + 1, id), 0);
    assert_int_equal(security_report_get(&s, closed, &x), CLOUD_ABSENT);
    cloud_rollback(f.c, f.db);
    json_decref(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_by_token_and_tenant),
        cmocka_unit_test(test_by_source),
        cmocka_unit_test(test_by_source_behind_a_proxy),
        cmocka_unit_test(test_security_txt),
        cmocka_unit_test(test_contact),
        cmocka_unit_test(test_a_report),
        cmocka_unit_test(test_reports_are_bounded),
        cmocka_unit_test(test_reports_are_kept_for_a_while),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
