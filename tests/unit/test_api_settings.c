/* A company's settings, and what they do to who works there. */
#include "cloud/settings_of.h"
#include "tests/unit/api_human.h"

static struct human owner, plain;

static int setup(void **state)
{
    (void)api_setup(state);
    owner = human_with("acme", "owner", ROLE_OWNER);
    plain = human_with("acme", "plain", ROLE_DPO);
    struct scope s = fixture_begin(&f, "acme"); /* a session without a second factor */
    plain.session.factor = false;
    assert_int_equal(session_make(&s, &plain.account, &plain.session, plain.cookie), 0);
    return cloud_commit(f.c, f.db);
}

static void patch(const char *body, int status, const char *slug)
{
    expect(as(&owner, "PATCH", "/v1/settings", body), status, slug);
}

static void test_defaults_protect(void **state)
{
    struct reply r = as(&owner, "GET", "/v1/settings", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "second_factor"), "all");
    assert_true(json_is_false(json_object_get(r.json, "presence")));
    assert_int_equal(json_integer_value(json_object_get(r.json, "retention_days")), RETENTION_DAYS_MIN);
    assert_true(json_is_null(json_object_get(r.json, "dpo_contact")));
    reply_done(&r);
}

static void test_the_second_factor(void **state)
{
    expect(as(&plain, "GET", "/v1/people", NULL), 403, "second-factor-needed");
    patch("{\"second_factor\":\"listed\",\"second_factor_permissions\":[\"people.erase\"]}", 200, NULL);
    expect(as(&plain, "GET", "/v1/people", NULL), 200, NULL);
    expect(as(&plain, "GET", "/v1/erasures", NULL), 403, "second-factor-needed");
    patch("{\"second_factor\":\"optional\"}", 200, NULL);
    expect(as(&plain, "GET", "/v1/erasures", NULL), 200, NULL);
    patch("{\"second_factor\":\"all\"}", 200, NULL);
    expect(as(&plain, "GET", "/v1/people", NULL), 403, "second-factor-needed");
}

static void test_values(void **state)
{
    patch("{\"time_zone\":\"Europe/Bucharest\",\"week_start\":7,\"retention_days\":400,\"language\":\"ro\","
          "\"presence\":true,\"session_idle_minutes\":10,\"session_hours\":8,\"dpo_contact\":\"dpo@acme.example\"}",
          200, NULL);
    struct reply r = as(&owner, "GET", "/v1/settings", NULL);
    assert_string_equal(reply_text(&r, "time_zone"), "Europe/Bucharest");
    assert_string_equal(reply_text(&r, "dpo_contact"), "dpo@acme.example");
    assert_string_equal(reply_text(&r, "language"), "ro");
    assert_int_equal(json_integer_value(json_object_get(r.json, "session_hours")), 8);
    reply_done(&r);
    static const char *const bad[] = {
        "{\"time_zone\":\"Mars Colony\"}",
        "{\"time_zone\":\"Mars/Olympus\"}",
        "{\"week_start\":0}",
        "{\"retention_days\":30}",
        "{\"second_factor\":\"sometimes\"}",
        "{\"language\":\"xx\"}",
        "{\"session_idle_minutes\":31}",
        "{\"session_hours\":13}",
        "{\"four_eyes\":[\"people.fly\"]}",
        "{\"four_eyes\":[\"people.export\"]}", /* what is only read asks nobody */
        "{\"four_eyes\":[\"audit.read\"]}",
        "{\"colour\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        patch(bad[i], 400, "invalid");
    patch("{\"dpo_contact\":null}", 200, NULL);
}

static void test_four_eyes_take_two_owners(void **state)
{
    patch("{\"four_eyes\":[\"people.erase\"]}", 409, "last-owner");
}

static void test_who_may(void **state)
{
    expect(as(&plain, "PATCH", "/v1/settings", "{\"presence\":true}"), 403, "forbidden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_protect), cmocka_unit_test(test_the_second_factor),
        cmocka_unit_test(test_values),           cmocka_unit_test(test_four_eyes_take_two_owners),
        cmocka_unit_test(test_who_may),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
