/* Break-glass through the API: two human beings open it, the customer sees and ends it, a third reviews it. */
#include "tests/unit/api_human.h"

#define ASK                                                                                                \
    "{\"tenant\":\"acme\",\"category\":\"availability\",\"reason\":\"no punch arrives\",\"permissions\":[" \
    "\"gateways.read\"],\"minutes\":30}"

static struct human mira, paul, twin, rosa, owner, auditor;

/* Another account of the same human being: its mail comes to the same place. */
static void share_mail(struct human *a, const char *mail)
{
    struct scope s = fixture_begin(&f, a->tenant);
    assert_int_equal(str_copy(a->account.mail, sizeof a->account.mail, mail), 0);
    assert_int_equal(account_put(&s, &a->account), 0);
    fixture_commit(&f);
}

static int setup(void **state)
{
    (void)api_setup(state);
    mira = human_with(VENDOR_TENANT, "mira", ROLE_SUPPORT);
    paul = human_with(VENDOR_TENANT, "paul", ROLE_SUPPORT);
    twin = human_with(VENDOR_TENANT, "mira.2", ROLE_SUPPORT);
    rosa = human_with(VENDOR_TENANT, "rosa", ROLE_OWNER);
    owner = human_with("acme", "owner", ROLE_OWNER);
    auditor = human_with("acme", "auditor", ROLE_AUDITOR);
    share_mail(&mira, "mira@vendor.example");
    share_mail(&twin, "Mira@vendor.example");
    const struct human *const all[] = {&mira, &paul, &twin, &rosa};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        expect(as(all[i], "POST", "/v1/me/confidentiality", "{\"version\":1}"), 200, NULL);
    return 0;
}

static char *ask(const struct human *a)
{
    struct reply r = as(a, "POST", "/v1/break-glass", ASK);
    char *path = NULL;
    if (r.status != 201)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, 201);
    assert_true(asprintf(&path, "/v1/break-glass/%s", reply_text(&r, "id")) > 0);
    reply_done(&r);
    return path;
}

static void on(const struct human *a, const char *path, const char *what, const char *body, int status,
               const char *slug)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", path, what);
    expect(as(a, "POST", full, body), status, slug);
}

static void test_one_human_being_opens_nothing(void **state)
{
    char *path = ask(&mira);
    on(&mira, path, "second", NULL, 403, "forbidden");
    on(&twin, path, "second", NULL, 403, "forbidden");
    on(&owner, path, "second", NULL, 403, "forbidden");
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&twin, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    on(&mira, path, "withdraw", NULL, 200, NULL);
    on(&paul, path, "second", NULL, 409, "conflict");
    free(path);
}

/* The customer reads that nobody's data was seen, and what was tried. */
static void assert_told(const char *path)
{
    char what[160];
    json_int_t refused = 0;
    snprintf(what, sizeof what, "%s/events", path);
    struct reply r = as(&owner, "GET", what, NULL);
    assert_int_equal(r.status, 200);
    assert_true(json_is_array(json_object_get(r.json, "items")));
    reply_done(&r);
    snprintf(what, sizeof what, "%s/summary", path);
    for (int i = 0; i < 600 && refused == 0; i++) { /* it is on its way into the trail */
        r = as(&owner, "GET", what, NULL);
        assert_int_equal(r.status, 200);
        assert_int_equal(json_integer_value(json_object_get(r.json, "people_count")), 0);
        refused = json_integer_value(json_object_get(r.json, "refused"));
        reply_done(&r);
        if (refused == 0)
            usleep(50000);
    }
    assert_int_equal(refused, 1);
    expect(as(&auditor, "GET", what, NULL), 403, "forbidden");
}

static void test_two_open_it_and_a_third_reviews(void **state)
{
    char *path = ask(&mira), *id = strrchr(path, '/') + 1, other[128];
    on(&paul, path, "second", NULL, 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 403, "forbidden");
    expect(as_in(&paul, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden"); /* he watches */
    expect(as(&auditor, "GET", path, NULL), 403, "forbidden");

    /* the customer sees it at once, and no decision was its */
    struct reply r = as(&owner, "GET", "/v1/break-glass", NULL);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items");
    bool found = false;
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *o = json_array_get(items, i);
        found = found || (strcmp(json_string_value(json_object_get(o, "id")), id) == 0 &&
                          strcmp(json_string_value(json_object_get(o, "state")), "active") == 0);
    }
    assert_true(found);
    reply_done(&r);
    snprintf(other, sizeof other, "/v1/support-requests/%s", id);
    on(&owner, other, "decision", "{\"approve\":true}", 404, "not-found");
    expect(as(&owner, "GET", other, NULL), 404, "not-found");

    expect(as(&paul, "POST", "/v1/break-glass", ASK), 409, "review-owed");
    on(&rosa, path, "review", "{\"findings\":\"disk full\"}", 409, "conflict"); /* it goes on */
    on(&owner, path, "end", NULL, 200, NULL);
    assert_told(path);
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as(&paul, "POST", "/v1/break-glass", ASK), 409, "review-owed");
    on(&mira, path, "review", "{\"findings\":\"all well\"}", 403, "forbidden"); /* no right to */
    on(&rosa, path, "review", "{}", 400, "invalid");
    on(&rosa, path, "review", "{\"findings\":\"disk full\"}", 200, NULL);
    on(&rosa, path, "review", "{\"findings\":\"no, all well\"}", 409, "conflict");
    r = as(&owner, "GET", path, NULL);
    assert_string_equal(reply_text(&r, "findings"), "disk full");
    reply_done(&r);
    free(path);
}

/* Who may review all does not review his own. */
static void test_nobody_reviews_his_own(void **state)
{
    char *path = ask(&rosa);
    on(&mira, path, "second", NULL, 200, NULL);
    on(&rosa, path, "withdraw", NULL, 200, NULL);
    on(&rosa, path, "review", "{\"findings\":\"all well\"}", 403, "forbidden");
    struct human third = human_with(VENDOR_TENANT, "tom", ROLE_OWNER);
    on(&third, path, "review", "{\"findings\":\"all well\"}", 403, "confidentiality-needed");
    expect(as(&third, "POST", "/v1/me/confidentiality", "{\"version\":1}"), 200, NULL);
    on(&third, path, "review", "{\"findings\":\"as it was said\"}", 200, NULL);
    free(path);
}

static void test_what_it_is_not_for(void **state)
{
    static const char *const bad[] = {
        "{\"tenant\":\"acme\",\"category\":\"curiosity\",\"reason\":\"x\",\"permissions\":[\"gateways.read\"],"
        "\"minutes\":30}",
        "{\"tenant\":\"acme\",\"category\":\"security\",\"reason\":\"x\",\"permissions\":[\"gateways.read\"],"
        "\"minutes\":61}",
        "{\"tenant\":\"acme\",\"category\":\"security\",\"reason\":\"x\",\"permissions\":[\"grants.change\"],"
        "\"minutes\":30}",
        "{\"tenant\":\"acme\",\"category\":\"security\",\"permissions\":[\"gateways.read\"],\"minutes\":30}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(as(&mira, "POST", "/v1/break-glass", bad[i]), 400, "invalid");
    expect(as(&owner, "POST", "/v1/break-glass", ASK), 403, "forbidden");
}

/* Two are asked for before either is opened: only one is. */
static void test_one_at_a_time(void **state)
{
    char *one = ask(&mira), *two = ask(&paul);
    on(&paul, one, "second", NULL, 200, NULL);
    on(&mira, two, "second", NULL, 409, "review-owed");
    on(&mira, one, "withdraw", NULL, 200, NULL);
    on(&mira, two, "second", NULL, 409, "review-owed");
    on(&rosa, one, "review", "{\"findings\":\"one was enough\"}", 200, NULL);
    on(&paul, two, "withdraw", NULL, 200, NULL);
    free(one);
    free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_human_being_opens_nothing),
        cmocka_unit_test(test_two_open_it_and_a_third_reviews),
        cmocka_unit_test(test_nobody_reviews_his_own),
        cmocka_unit_test(test_what_it_is_not_for),
        cmocka_unit_test(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
