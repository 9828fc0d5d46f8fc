/* Request bodies, problems and cursors: what a hostile client can write into them. */
#include "api/body.h"
#include "cloud/jsontext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/cursor.h"

static const struct body_field fields[] = {
    {.name = "name", .type = BODY_STRING, .required = true, .min = 1, .max = 5},
    {.name = "n", .type = BODY_UINT, .min = 1, .max = 9},
    {.name = "at", .type = BODY_TIME},
    {.name = "tags", .type = BODY_STRINGS, .min = 1, .max = 2},
};
#define N ARRAY_LEN(fields)

/* Reads a body; returns the reply's JSON when it is refused, NULL when it is taken. */
static json_t *refused(const char *type, struct bytes body, size_t n, unsigned *ret_status)
{
    struct http_request q = {.method = "POST", .path = "/", .content_type = type, .body = body};
    struct http_reply r = {0};
    struct body_value v[N];
    json_t *o = NULL, *problem = NULL;
    buf_init(&r.body, HTTP_REPLY_MAX);
    if (body_read(&q, n ? fields : fields + 1, n ? n : N - 1, v, &o, &r)) {
        json_decref(o);
    } else {
        assert_false(r.body.failed);
        problem = json_loadb((const char *)r.body.p, r.body.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(problem);
        assert_string_equal(r.type, "application/problem+json");
        *ret_status = r.status;
    }
    buf_done(&r.body);
    return problem;
}

static void expect_syntax(const char *body, size_t n, const char *in_detail)
{
    unsigned status = 0;
    json_t *p = refused("application/json", BYTES(body, n), N, &status);
    assert_non_null(p);
    assert_int_equal(status, 400);
    assert_string_equal(json_string_value(json_object_get(p, "type")), "urn:punchline:problem:bad-json");
    const char *detail = json_string_value(json_object_get(p, "detail"));
    if (!strstr(detail, in_detail))
        fail_msg("%s lacks %s", detail, in_detail);
    json_decref(p);
}

static void expect_member(const char *body, const char *pointer, const char *in_detail)
{
    unsigned status = 0;
    json_t *p = refused("application/json", BYTES_STR(body), N, &status), *e;
    size_t i;
    bool found = false;
    assert_non_null(p);
    assert_int_equal(status, 400);
    json_array_foreach(json_object_get(p, "errors"), i, e)
    {
        found |= strcmp(json_string_value(json_object_get(e, "pointer")), pointer) == 0 &&
                 strstr(json_string_value(json_object_get(e, "detail")), in_detail);
    }
    if (!found)
        fail_msg("%s: no %s with %s", json_dumps(p, 0), pointer, in_detail);
    json_decref(p);
}

static void test_taken(void **state)
{
    static const char *const good[] = {
        "{\"name\":\"a\"}",
        "{\"name\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\",\"n\":9}", /* five characters */
        "  {\"n\": 1, \"name\": \"abcde\", \"at\": \"2026-11-23T07:15:00+01:00\"}\n",
        "{\"name\":\"\\u00e4[{\"}",
        "{\"name\":\"a\",\"tags\":[\"people.read\",\"x\"]}",
    };
    unsigned status = 0;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_null(refused("application/json", BYTES_STR(good[i]), N, &status));
    assert_null(refused("application/json; charset=utf-8", BYTES_STR(good[0]), N, &status));
    assert_null(refused("Application/JSON;charset=\"UTF-8\"", BYTES_STR(good[0]), N, &status));
    assert_null(refused(NULL, BYTES_NONE, 0, &status)); /* nothing is required: an empty body will do */
}

static void test_type(void **state)
{
    static const char *const types[] = {
        NULL,          "text/plain", "application/jsonx",          "application/json; charset=latin1",
        "application", "",           "application/json,text/plain"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        unsigned status = 0;
        json_t *p = refused(types[i], BYTES_STR("{\"name\":\"a\"}"), N, &status);
        assert_non_null(p);
        assert_int_equal(status, 415);
        json_decref(p);
    }
}

static void test_syntax(void **state)
{
    char deep[64];
    expect_syntax("", 0, "");
    expect_syntax("{", 1, "line 1");
    expect_syntax("[]", 2, "must be a JSON object");
    expect_syntax("1", 1, "");
    expect_syntax("{\"name\":\"a\"} x", 14, "");
    expect_syntax("{\"name\":\"a\",\"name\":\"b\"}", 23, "duplicate");
    expect_syntax("{\"name\":\"\xff\"}", 12, "");         /* not UTF-8 */
    expect_syntax("{\"name\":\"\xc0\x80\"}", 13, "");     /* overlong NUL */
    expect_syntax("{\"name\":\"\xed\xa0\x80\"}", 14, ""); /* surrogate */
    expect_syntax("{\"name\":\"\\ud800\"}", 17, "");
    expect_syntax("{\"name\":\"\\u0000\"}", 17, "");
    expect_syntax("{\"name\":\"a\0b\"}", 14, "");
    expect_syntax("{\"n\":99999999999999999999}", 26, "");
    memset(deep, '[', sizeof deep);
    expect_syntax(deep, 9, "nested deeper");
    assert_int_equal(jsontext_depth(BYTES_STR("{\"a\":\"[[[\\\"[[\",\"b\":[{}]}]]")), 3);
    assert_int_equal(jsontext_depth(BYTES_STR("\"\\")), 0);
}

static void test_members(void **state)
{
    expect_member("{}", "/name", "required");
    expect_member("{\"name\":\"\"}", "/name", "0 characters");
    expect_member("{\"name\":\"  \"}", "/name", "blanks");
    expect_member("{\"name\":\"abcdef\"}", "/name", "6 characters");
    expect_member("{\"name\":7}", "/name", "must be a string");
    expect_member("{\"name\":null}", "/name", "must be a string");
    expect_member("{\"name\":\"a\\nb\"}", "/name", "control");
    expect_member("{\"name\":\"a\xc2\x85\"}", "/name", "control");
    expect_member("{\"name\":\"a\",\"nmae\":\"b\"}", "/nmae", "not a member");
    expect_member("{\"name\":\"a\",\"x/y~z\":1}", "/x~1y~0z", "not a member");
    expect_member("{\"name\":\"a\",\"n\":0}", "/n", "is 0; 1 to 9");
    expect_member("{\"name\":\"a\",\"n\":10}", "/n", "is 10");
    expect_member("{\"name\":\"a\",\"n\":\"5\"}", "/n", "whole number");
    expect_member("{\"name\":\"a\",\"n\":5.0}", "/n", "whole number");
    expect_member("{\"name\":\"a\",\"n\":true}", "/n", "whole number");
    expect_member("{\"name\":\"a\",\"at\":\"yesterday\"}", "/at", "RFC 3339");
    expect_member("{\"name\":\"a\",\"at\":5}", "/at", "RFC 3339");
    expect_member("{\"name\":\"a\",\"tags\":\"x\"}", "/tags", "array of strings");
    expect_member("{\"name\":\"a\",\"tags\":[]}", "/tags", "0 items; 1 to 2");
    expect_member("{\"name\":\"a\",\"tags\":[\"x\",\"y\",\"z\"]}", "/tags", "3 items");
    expect_member("{\"name\":\"a\",\"tags\":[\"x\",7]}", "/tags", "must hold strings");
    expect_member("{\"name\":\"a\",\"tags\":[\"\"]}", "/tags", "must hold strings");
    expect_member("{\"name\":\"a\",\"tags\":[\"a\\tb\"]}", "/tags", "must hold strings");
    /* all at once, not the first only */
    expect_member("{\"name\":7,\"n\":0,\"zz\":1}", "/name", "string");
    expect_member("{\"name\":7,\"n\":0,\"zz\":1}", "/n", "is 0");
    expect_member("{\"name\":7,\"n\":0,\"zz\":1}", "/zz", "not a member");
}

static void test_many_members_are_bounded(void **state)
{
    struct buf CLEANUP(buf_done) b;
    unsigned status = 0;
    buf_init(&b, HTTP_BODY_MAX);
    buf_addf(&b, "{\"name\":\"a\"");
    for (int i = 0; i < 3000; i++)
        buf_addf(&b, ",\"m%d\":1", i);
    buf_addf(&b, "}");
    json_t *p = refused("application/json", buf_bytes(&b), N, &status);
    assert_non_null(p);
    assert_true(json_array_size(json_object_get(p, "errors")) <= 16);
    json_decref(p);
}

static unsigned sound;

static void *one_fails(size_t n)
{
    return sound-- == 0 ? NULL : malloc(n);
}

static void test_wrong_is_refused_without_memory(void **state)
{
    struct http_request q = {
        .method = "POST", .path = "/", .content_type = "application/json", .body = BYTES_STR("{\"name\":5}")};
    struct http_reply r = {0};
    struct body_value v[N];
    json_t *o = NULL;
    json_malloc_t get;
    json_free_t put;
    buf_init(&r.body, HTTP_REPLY_MAX);
    json_get_alloc_funcs(&get, &put);
    json_set_alloc_funcs(one_fails, free);
    for (unsigned i = 0; i < 60; i++) {
        sound = i;
        assert_false(body_read(&q, fields, N, v, &o, &r));
        assert_true(r.status >= 400);
    }
    json_set_alloc_funcs(get, put);
    buf_done(&r.body);
}

static void test_problem_quotes_any_bytes(void **state)
{
    struct http_reply r = {0};
    buf_init(&r.body, HTTP_REPLY_MAX);
    problem_reply(&r, PROBLEM_BAD_PARAMETER, "site is \"%s\"", "\xff\x80z");
    json_t *p = json_loadb((const char *)r.body.p, r.body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(p, "detail"));
    assert_non_null(detail);
    assert_string_equal(detail, "site is \"??z\"");
    json_decref(p);
    buf_done(&r.body);
}

/* ---- cursors ---- */

static const uint8_t key[CRYPTO_KEY] = {1}, other_key[CRYPTO_KEY] = {2};

static struct cursor_binding bound(const char *a, const char *b)
{
    const char *parts[] = {a, b};
    struct cursor_binding x;
    assert_int_equal(cursor_bind(parts, 2, &x), 0);
    return x;
}

static void test_cursor(void **state)
{
    char text[CURSOR_TEXT_MAX], full[CURSOR_POS_MAX];
    uint8_t pos[CURSOR_POS_MAX];
    size_t n = 0;
    struct cursor_binding b = bound("/v1/punches", "acme");
    assert_int_equal(cursor_make(key, &b, BYTES_STR("t5 abc"), text), 0);
    assert_int_equal(cursor_open(key, &b, text, pos, &n), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(pos, "t5 abc", 6);
    memset(full, 'x', sizeof full);
    assert_int_equal(cursor_make(key, &b, BYTES(full, sizeof full), text), 0);
    assert_int_equal(strlen(text), CURSOR_TEXT_MAX - 1);
    assert_int_equal(cursor_open(key, &b, text, pos, &n), 0);
    assert_int_equal(n, CURSOR_POS_MAX);
    assert_int_equal(cursor_make(key, &b, BYTES(full, sizeof full + 1), text), -EINVAL);
}

static void test_cursor_is_bound(void **state)
{
    char text[CURSOR_TEXT_MAX];
    uint8_t pos[CURSOR_POS_MAX];
    size_t n = 0;
    struct cursor_binding b = bound("/v1/punches", "acme"),
                          others[] = {bound("/v1/people", "acme"),  bound("/v1/punches", "acm"),
                                      bound("/v1/punches", NULL),   bound("/v1/punches", ""),
                                      bound("/v1/punchesacme", ""), bound("/v1/punch", "esacme")};
    assert_int_equal(cursor_make(key, &b, BYTES_STR("t5 abc"), text), 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(cursor_open(key, &others[i], text, pos, &n), CURSOR_BAD);
    assert_int_equal(cursor_open(other_key, &b, text, pos, &n), CURSOR_BAD);
    b = bound("x", NULL);
    struct cursor_binding empty = bound("x", "");
    assert_memory_not_equal(b.hash, empty.hash, sizeof b.hash);
}

static void test_cursor_tampered(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ %";
    char text[CURSOR_TEXT_MAX], bad[CURSOR_TEXT_MAX + 2];
    uint8_t pos[CURSOR_POS_MAX];
    size_t n = 0;
    struct cursor_binding b = bound("/v1/punches", "acme");
    assert_int_equal(cursor_make(key, &b, BYTES_STR("t5 abc"), text), 0);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        for (const char *d = digits; *d; d++) {
            strcpy(bad, text);
            bad[i] = *d;
            if (*d != text[i])
                assert_int_equal(cursor_open(key, &b, bad, pos, &n), CURSOR_BAD);
        }
        memcpy(bad, text, i); /* cut short */
        bad[i] = '\0';
        assert_int_equal(cursor_open(key, &b, bad, pos, &n), CURSOR_BAD);
    }
    strcpy(bad, text);
    strcat(bad, "A");
    assert_int_equal(cursor_open(key, &b, bad, pos, &n), CURSOR_BAD);
    char *huge = malloc(100001);
    memset(huge, 'A', 100000);
    huge[100000] = '\0';
    assert_int_equal(cursor_open(key, &b, huge, pos, &n), CURSOR_BAD);
    free(huge);
}

static int setup(void **state)
{
    return crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_type),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_many_members_are_bounded),
        cmocka_unit_test(test_wrong_is_refused_without_memory),
        cmocka_unit_test(test_problem_quotes_any_bytes),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_cursor_is_bound),
        cmocka_unit_test(test_cursor_tampered),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
