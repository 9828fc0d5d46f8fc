/* Support access through the API: asked for by the vendor's people, let in by the customer, used under the header
 * Punch-Tenant, and over when it is over. */
#include "cloud/confidentiality.h"
#include "cloud/support_trail.h"
#include "tests/unit/api_human.h"

#define ASK                                                                                                         \
    "{\"tenant\":\"acme\",\"ticket\":\"T-1\",\"reason\":\"readers are silent\",\"permissions\":[\"gateways.read\"," \
    "\"people.read\"],\"hours\":2}"

static struct human mira, paul, nina, owner, dpo, hr, other;

static void sign(const struct human *a)
{
    expect(as(a, "POST", "/v1/me/confidentiality", "{\"version\":1}"), 200, NULL);
}

static int setup(void **state)
{
    (void)api_setup(state);
    mira = human_with(VENDOR_TENANT, "mira", ROLE_SUPPORT);
    paul = human_with(VENDOR_TENANT, "paul", ROLE_SUPPORT);
    nina = human_with(VENDOR_TENANT, "nina", ROLE_SUPPORT);
    sign(&mira);
    sign(&paul);
    owner = human_with("acme", "owner", ROLE_OWNER);
    dpo = human_with("acme", "dpo", ROLE_DPO);
    hr = human_with("acme", "hr", ROLE_HR);
    other = human_with("globex", "owner", ROLE_OWNER);
    return 0;
}

/* The request's path; the caller's to free. */
static char *ask(const struct human *a, const char *body)
{
    struct reply r = as(a, "POST", "/v1/support-requests", body);
    char *path = NULL;
    if (r.status != 201)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "state"), "requested");
    assert_true(asprintf(&path, "/v1/support-requests/%s", reply_text(&r, "id")) > 0);
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

static void assert_member(const struct human *a, const char *path, const char *member, const char *value)
{
    struct reply r = as(a, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, member), value);
    reply_done(&r);
}

static void test_nothing_before_the_statement_is_signed(void **state)
{
    expect(as(&nina, "POST", "/v1/support-requests", ASK), 403, "confidentiality-needed");
    expect(as(&nina, "GET", "/v1/support-requests", NULL), 403, "confidentiality-needed");
    expect(as_in(&nina, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    struct reply r = as(&nina, "GET", "/v1/me/confidentiality", NULL);
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(json_object_get(r.json, "signed")));
    assert_string_equal(reply_text(&r, "text"), confidentiality_text());
    reply_done(&r);
    expect(as(&nina, "POST", "/v1/me/confidentiality", "{\"version\":2}"), 409, "conflict");
    expect(as(&owner, "GET", "/v1/me/confidentiality", NULL), 404, "not-found");
    sign(&nina);
    sign(&nina); /* its date stays */
    r = as(&nina, "GET", "/v1/me/confidentiality", NULL);
    assert_true(json_is_string(json_object_get(r.json, "signed")));
    reply_done(&r);
    expect(as(&nina, "GET", "/v1/support-requests", NULL), 200, NULL);
}

static void test_from_request_to_end(void **state)
{
    char *path = ask(&mira, ASK);
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden"); /* asked for, not let in */
    assert_member(&owner, path, "ticket", "T-1");
    assert_member(&mira, path, "ticket", "T-1");
    expect(as(&paul, "GET", path, NULL), 404, "not-found"); /* it is not his */
    expect(as(&other, "GET", path, NULL), 404, "not-found");
    on(&other, path, "decision", "{\"approve\":true}", 404, "not-found");
    on(&hr, path, "decision", "{\"approve\":true}", 403, "forbidden");
    on(&mira, path, "decision", "{\"approve\":true}", 403, "forbidden");
    on(&dpo, path, "decision", "{\"approve\":true}", 403, "forbidden"); /* holds no gateways.read */
    on(&dpo, path, "decision", "{\"approve\":true,\"permissions\":[\"people.change\"]}", 400, "invalid");
    on(&owner, path, "decision", "{\"approve\":true,\"permissions\":[\"gateways.read\",\"punches.read\"]}", 400,
       "invalid"); /* wider than asked for */
    on(&owner, path, "decision", "{\"approve\":true,\"hours\":3}", 400, "invalid");
    on(&owner, path, "decision", "{\"approve\":true,\"permissions\":[\"gateways.read\"],\"hours\":1}", 200, NULL);
    on(&owner, path, "decision", "{\"approve\":true}", 409, "conflict"); /* once */
    assert_member(&owner, path, "state", "active");

    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 403, "forbidden"); /* it was narrowed */
    expect(as(&mira, "GET", "/v1/gateways", NULL), 403, "forbidden");          /* at home there are none */
    expect(as_in(&mira, "globex", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&mira, "nobody", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&mira, VENDOR_TENANT, "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&mira, "", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&paul, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");

    on(&other, path, "end", NULL, 404, "not-found");
    on(&mira, path, "end", NULL, 403, "forbidden");
    on(&dpo, path, "end", NULL, 200, NULL); /* who may let in may end, whatever he holds */
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    assert_member(&mira, path, "ended_by", "tenant");
    on(&owner, path, "decision", "{\"approve\":true}", 409, "conflict");
    free(path);
}

static void test_a_header_opens_nothing_for_others(void **state)
{
    expect(as_in(&owner, "globex", "GET", "/v1/gateways", NULL), 403, "forbidden");
    expect(as_in(&owner, VENDOR_TENANT, "GET", "/v1/support-requests", NULL), 403, "forbidden");
    expect(as_in(&owner, "acme", "GET", "/v1/gateways", NULL), 200, NULL);
    const char *const in[] = {"-H", "Punch-Tenant: globex", NULL};
    expect(request(&f.s, "GET", "/v1/gateways", f.acme, BYTES_NONE, in), 403, "forbidden");
    expect(request(&f.s, "GET", "/v1/tenants", f.operator_token, BYTES_NONE, in), 403, "forbidden");
    expect(as(&owner, "POST", "/v1/support-requests", ASK), 403, "forbidden");
}

static void test_what_is_never_let_in(void **state)
{
    static const char *const never[] = {"grants.change",     "accounts.change", "support.approve", "settings.change",
                                        "tenant.terminate",  "webhooks.change", "people.erase",    "support.request",
                                        "breakglass.review", "no.such.thing"};
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"tenant\":\"acme\",\"ticket\":\"T\",\"reason\":\"x\",\"permissions\":[\"gateways.read\",\"%s\"],"
                 "\"hours\":1}",
                 never[i]);
        expect(as(&mira, "POST", "/v1/support-requests", body), 400, "invalid");
    }
    expect(
        as(&mira, "POST", "/v1/support-requests",
           "{\"tenant\":\"acme\",\"ticket\":\"T\",\"reason\":\"x\",\"permissions\":[\"gateways.read\"],\"hours\":9}"),
        400, "invalid");
    expect(
        as(&mira, "POST", "/v1/support-requests",
           "{\"tenant\":\"_vendor\",\"ticket\":\"T\",\"reason\":\"x\",\"permissions\":[\"audit.read\"],\"hours\":1}"),
        404, "not-found");
    expect(as(&mira, "POST", "/v1/support-requests",
              "{\"tenant\":\"acme\",\"ticket\":\"T\",\"reason\":\"x\",\"permissions\":[\"gateways.read\"],\"hours\":1,"
              "\"reach\":\"site\"}"),
           400, "invalid");
}

static void test_denied_withdrawn_and_ended_by_the_vendor(void **state)
{
    char *path = ask(&mira, ASK);
    expect(as(&mira, "POST", "/v1/support-requests", ASK), 409, "conflict"); /* one at a time */
    on(&paul, path, "withdraw", NULL, 404, "not-found");
    on(&dpo, path, "decision", "{\"approve\":false,\"reason\":\"not now\"}", 200, NULL);
    assert_member(&mira, path, "decision", "not now");
    assert_member(&mira, path, "state", "denied");
    free(path);
    path = ask(&mira, ASK);
    on(&mira, path, "withdraw", NULL, 200, NULL);
    assert_member(&owner, path, "state", "withdrawn");
    on(&owner, path, "decision", "{\"approve\":true}", 409, "conflict");
    free(path);
    path = ask(&mira, ASK);
    on(&owner, path, "decision", "{\"approve\":true}", 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 200, NULL);
    on(&mira, path, "withdraw", NULL, 200, NULL);
    assert_member(&owner, path, "ended_by", "vendor");
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 403, "forbidden");
    free(path);
}

static int64_t number(const struct human *a, const char *path, const char *what, const char *member)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", path, what);
    struct reply r = as(a, "GET", full, NULL);
    if (r.status != 200)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, 200);
    int64_t n = json_is_array(json_object_get(r.json, member))
                    ? (int64_t)json_array_size(json_object_get(r.json, member))
                    : json_integer_value(json_object_get(r.json, member));
    reply_done(&r);
    return n;
}

/* What was read waits in the journal for a moment. */
static void await_reads(const struct human *a, const char *path, int64_t n)
{
    for (int i = 0; i < 600 && number(a, path, "summary", "reads") < n; i++)
        usleep(50000);
    assert_int_equal(number(a, path, "summary", "reads"), n);
}

static void sweep(int64_t now, bool back)
{
    assert_int_equal(support_sweep(f.c, f.db, now, back), 0);
}

static uint64_t count_of(const char *sql)
{
    struct db_stmt *st;
    assert_int_equal(db_stmt(f.db, sql, &st), 0);
    assert_int_equal(db_step(st), DB_ROW);
    uint64_t n = (uint64_t)db_int(st, 0);
    db_done(st);
    return n;
}

static void test_it_is_watched_and_summed_up(void **state)
{
    char *path = ask(&mira, ASK);
    assert_int_equal(number(&owner, path, "events", "items"), 0);
    on(&owner, path, "decision", "{\"approve\":true}", 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 200, NULL);
    expect(as(&hr, "GET", "/v1/people", NULL), 200, NULL); /* not under it */
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/punches", NULL), 403, "forbidden");
    await_reads(&owner, path, 2);
    assert_true(number(&owner, path, "summary", "people") >= 3);
    assert_int_equal(number(&mira, path, "summary", "reads"), 2);
    assert_int_equal(number(&mira, path, "summary", "people"), 0); /* whose it was is the customer's to see */
    assert_true(number(&mira, path, "summary", "people_count") >= 3);
    assert_true(number(&owner, path, "events", "items") >= 2);
    expect(as(&other, "GET", path, NULL), 404, "not-found");
    expect(as(&hr, "GET", path, NULL), 403, "forbidden");

    /* a page at a time, and on from there while it lasts */
    char url[512], next[256];
    snprintf(url, sizeof url, "%s/events?limit=1", path);
    struct reply r = as(&owner, "GET", url, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    assert_int_equal(str_copy(next, sizeof next, reply_text(&r, "next")), 0);
    reply_done(&r);
    assert_true(next[0]);
    snprintf(url, sizeof url, "%s/events?cursor=%s", path, next);
    r = as(&owner, "GET", url, NULL);
    assert_true(json_array_size(json_object_get(r.json, "items")) >= 1);
    assert_true(json_is_string(json_object_get(r.json, "next")));
    reply_done(&r);

    /* its end is noticed once, and the summary goes out once, also when nobody came to look for a day */
    const int64_t late = clock_real() + INT64_C(86400) * 1000000;
    sweep(clock_real(), false);
    assert_member(&owner, path, "state", "active");
    sweep(late, false);
    assert_int_equal(count_of("SELECT count(*) FROM support WHERE state = 2"), 0);
    assert_member(&owner, path, "ended_by", "time");
    assert_int_equal(count_of("SELECT count(*) FROM support WHERE state = 3 AND told = 0"), 1);
    sweep(late, false);
    assert_int_equal(count_of("SELECT count(*) FROM support WHERE state = 3 AND told = 0"), 0);
    sweep(late, false);
    expect(as_in(&mira, "acme", "GET", "/v1/people", NULL), 403, "forbidden");
    assert_int_equal(number(&owner, path, "summary", "reads"), 2);
    free(path);

    path = ask(&mira, ASK);
    on(&owner, path, "decision", "{\"approve\":true}", 200, NULL);
    sweep(clock_real(), true); /* the clock was set back */
    assert_member(&owner, path, "ended_by", "clock");
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    free(path);
}

/* Its time goes by in the store. */
static void age(const char *sql)
{
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    assert_int_equal(db_script(f.db, sql), 0);
    fixture_commit(&f);
}

static void test_it_ends_by_itself(void **state)
{
    char *path = ask(&mira, ASK);
    on(&owner, path, "decision", "{\"approve\":true}", 200, NULL);
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 200, NULL);
    age("UPDATE support SET starts = starts - 7200000000, ends = ends - 7200000000 WHERE state = 2");
    expect(as_in(&mira, "acme", "GET", "/v1/gateways", NULL), 403, "forbidden");
    assert_member(&owner, path, "state", "ended");
    on(&owner, path, "end", NULL, 409, "conflict");
    free(path);
    path = ask(&mira, ASK); /* the other one is over, though nobody has noticed */
    on(&mira, path, "withdraw", NULL, 200, NULL);
    free(path);
}

/* A password and a code are needed for the decision, and for the vendor's people a second factor for anything. */
static void test_weak_sessions(void **state)
{
    char *path = ask(&mira, ASK);
    struct human weak = owner, poor = mira;
    struct session t = {.factor = true, .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US};
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(session_make(&s, &weak.account, &t, weak.cookie), 0);
    assert_int_equal(scope_init(f.c, f.db, VENDOR_TENANT, &s), 0);
    t.factor = false;
    t.stepped = clock_real();
    assert_int_equal(session_make(&s, &poor.account, &t, poor.cookie), 0);
    fixture_commit(&f);
    on(&weak, path, "decision", "{\"approve\":true}", 403, "step-up-needed");
    on(&owner, path, "decision", "{\"approve\":true}", 200, NULL);
    expect(as_in(&poor, "acme", "GET", "/v1/gateways", NULL), 403, "second-factor-needed");
    on(&weak, path, "end", NULL, 200, NULL); /* to end it is never late */
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_before_the_statement_is_signed),
        cmocka_unit_test(test_from_request_to_end),
        cmocka_unit_test(test_a_header_opens_nothing_for_others),
        cmocka_unit_test(test_what_is_never_let_in),
        cmocka_unit_test(test_denied_withdrawn_and_ended_by_the_vendor),
        cmocka_unit_test(test_it_is_watched_and_summed_up),
        cmocka_unit_test(test_it_ends_by_itself),
        cmocka_unit_test(test_weak_sessions),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
