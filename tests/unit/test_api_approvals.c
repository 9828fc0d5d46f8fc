/* Four eyes: what one person asks for is done when another approves. */
#include "api/openapi.h"
#include "cloud/approval.h"
#include "cloud/erasure.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_human.h"

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};
static struct human ada, bob, hr, stranger;

static int setup(void **state)
{
    (void)api_setup(state);
    ada = human_with("acme", "ada", ROLE_OWNER);
    bob = human_with("acme", "bob", ROLE_OWNER);
    hr = human_with("acme", "hr", ROLE_HR);
    stranger = human_with("globex", "stranger", ROLE_OWNER);
    expect(as(&ada, "PATCH", "/v1/settings",
              "{\"four_eyes\":[\"sites.change\",\"people.erase\",\"corrections.approve\"]}"),
           200, NULL);
    return 0;
}

/* The path of what waits for a second pair of eyes, and of its decision. */
static void ask(const struct human *h, const char *method, const char *path, const char *body, char ret_path[64],
                char ret_decision[96])
{
    struct reply r = as(h, method, path, body);
    assert_int_equal(r.status, 202);
    assert_string_equal(reply_text(&r, "state"), "waiting");
    assert_int_equal(str_copy(ret_path, 64, reply_header(&r, "Location")), 0);
    snprintf(ret_decision, 96, "%s/decision", ret_path);
    reply_done(&r);
}

static size_t sites(void)
{
    struct reply r = as(&ada, "GET", "/v1/sites", NULL);
    size_t n = json_array_size(json_object_get(r.json, "items"));
    reply_done(&r);
    return n;
}

static void test_two_do_what_one_may_not_alone(void **state)
{
    char path[64], decision[96];
    size_t before = sites();
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Annex\"}", path, decision);
    assert_int_equal(sites(), before);
    struct reply r = as(&bob, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json_object_get(r.json, "request"), "body"), "name")),
        "Annex");
    reply_done(&r);
    expect(as(&ada, "POST", decision, "{\"approve\":true}"), 403, "forbidden"); /* himself */
    expect(as(&hr, "POST", decision, "{\"approve\":true}"), 404, "not-found");  /* may not change sites */
    expect(as(&stranger, "POST", decision, "{\"approve\":true}"), 404, "not-found");
    r = as(&bob, "POST", decision, "{\"approve\":true}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "approved");
    json_t *outcome = json_object_get(r.json, "outcome");
    assert_int_equal(json_integer_value(json_object_get(outcome, "status")), 201);
    const char *made = json_string_value(json_object_get(outcome, "location"));
    assert_non_null(made);
    expect(as(&ada, "GET", made, NULL), 200, NULL);
    reply_done(&r);
    assert_int_equal(sites(), before + 1);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 409, "conflict");
    r = as(&bob, "GET", path, NULL);
    assert_true(json_is_null(json_object_get(r.json, "request"))); /* forgotten */
    reply_done(&r);
}

static void test_one_denies_or_withdraws(void **state)
{
    char path[64], decision[96];
    size_t before = sites();
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Tower\"}", path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 409, "conflict");
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Tower\"}", path, decision);
    expect(as(&ada, "POST", decision, "{\"approve\":false}"), 200, NULL);
    assert_int_equal(sites(), before);
}

static void test_what_cannot_be_done_goes_on_waiting(void **state)
{
    char path[64], decision[96];
    expect(as(&bob, "GET", "/v1/sites", NULL), 200, NULL);
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Gate\"}", path, decision); /* there is one */
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 409, "conflict");
    struct reply r = as(&bob, "GET", path, NULL);
    assert_string_equal(reply_text(&r, "state"), "waiting");
    reply_done(&r);
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

static void test_both_still_have_to_may(void **state)
{
    char path[64], decision[96];
    struct human carl = human_make("acme", "carl");
    struct granted g = human_grant(&carl, ROLE_OWNER, NULL, 0);
    ask(&carl, "POST", "/v1/sites", "{\"name\":\"Carl's\"}", path, decision);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(granted_revoke(&s, g.id, clock_real()), 0);
    fixture_commit(&f);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    s = fixture_begin(&f, "acme");
    carl.account.state = ACCOUNT_ARCHIVED;
    assert_int_equal(account_put(&s, &carl.account), 0);
    fixture_commit(&f);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 409, "conflict");
}

static void test_an_erasure(void **state)
{
    char path[64], decision[96], erasure[96], person[2 * ID_LEN + 1];
    struct human gone = human_make("acme", "gone");
    str_hex(gone.account.person, ID_LEN, person);
    snprintf(erasure, sizeof erasure, "/v1/people/%s/erasure", person);
    ask(&ada, "POST", erasure, "{\"dry_run\":false}", path, decision);
    snprintf(erasure, sizeof erasure, "/v1/people/%s", person);
    expect(as(&ada, "GET", erasure, NULL), 200, NULL);
    struct reply r = as(&bob, "POST", decision, "{\"approve\":true}");
    assert_int_equal(r.status, 200);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(r.json, "outcome"), "status")), 200);
    reply_done(&r);
    expect(as(&ada, "GET", erasure, NULL), 404, "not-found");
}

static void test_the_settings_want_four_eyes_as_well(void **state)
{
    char path[64], decision[96];
    ask(&ada, "PATCH", "/v1/settings", "{\"four_eyes\":[]}", path, decision);
    expect(as(&ada, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    expect(as(&ada, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

/* Or one person could make a second pair of eyes, or take somebody else's. */
static void test_nobody_makes_himself_a_second_pair(void **state)
{
    char path[64], decision[96], reset[96], id[2 * ID_LEN + 1], role[2 * ID_LEN + 1], body[256];
    struct role owner;
    assert_int_equal(role_of_kind(f.db, "acme", ROLE_OWNER, &owner), 0);
    str_hex(owner.id, ID_LEN, role);
    ask(&ada, "POST", "/v1/accounts", "{\"login\":\"ada2\",\"name\":\"Ada too\"}", path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
    snprintf(body, sizeof body, "{\"account\":\"%s\",\"role\":\"%s\",\"reach\":\"tenant\",\"reason\":\"me\"}",
             str_hex(hr.account.id, ID_LEN, id), role);
    ask(&ada, "POST", "/v1/grants", body, path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
    snprintf(reset, sizeof reset, "/v1/accounts/%s/password-reset", str_hex(bob.account.id, ID_LEN, id));
    ask(&ada, "POST", reset, NULL, path, decision);
    expect(as(&ada, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

static void set_mail(struct human *h, const char *mail)
{
    struct scope s = fixture_begin(&f, h->tenant);
    assert_int_equal(str_copy(h->account.mail, sizeof h->account.mail, mail), 0);
    assert_int_equal(account_put(&s, &h->account), 0);
    fixture_commit(&f);
}

static void test_one_mailbox_is_one_pair(void **state)
{
    char path[64], decision[96];
    set_mail(&ada, "ada@example.org");
    set_mail(&bob, "Ada@example.org");
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Mine\"}", path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    set_mail(&bob, "bob@example.org");
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 200, NULL);
}

/* Nor with somebody else who asks: nobody decides on what he wanted himself. */
static void test_who_wants_a_correction_is_no_second_pair(void **state)
{
    char path[64], decision[96], correction[96], id[2 * ID_LEN + 1], body[256];
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-02T07:00:00Z\",\"direction\":\"in\","
             "\"reason\":\"forgot\"}",
             str_hex(hr.account.person, ID_LEN, id));
    struct reply r = as(&bob, "POST", "/v1/corrections", body);
    assert_int_equal(r.status, 201);
    snprintf(correction, sizeof correction, "/v1/corrections/%s/decision", reply_text(&r, "id"));
    reply_done(&r);
    ask(&ada, "POST", correction, "{\"decision\":\"approved\",\"reason\":\"yes\"}", path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    expect(as(&hr, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

static void test_two_owners_stay(void **state)
{
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(granted_may_go(&s, bob.account.id, NULL, clock_real()), CLOUD_CONFLICT);
    cloud_rollback(f.c, f.db);
}

static void test_a_week_is_enough(void **state)
{
    char path[64], decision[96];
    uint8_t id[ID_LEN];
    struct approval a;
    struct approval_request request;
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Later\"}", path, decision);
    assert_int_equal(str_unhex(path + strlen("/v1/approvals/"), id, ID_LEN), 0);
    struct scope s = fixture_scope(&f, "acme");
    int64_t then = clock_real() + APPROVAL_US + 1;
    assert_int_equal(approval_get(&s, id, then, &a), 0);
    assert_int_equal(a.state, APPROVAL_LAPSED);
    assert_int_equal(approval_request(&s, &a, &request), CLOUD_ABSENT);
    assert_int_equal(approval_sweep(f.c, f.db, then), 0);
    assert_int_equal(approval_get(&s, id, clock_real(), &a), 0);
    assert_int_equal(approval_request(&s, &a, &request), CLOUD_ABSENT);
}

/* Whom a request is about may stand in its body. Who is erased takes it along: nothing opens it any more. */
static void test_a_request_goes_with_the_person_in_its_body(void **state)
{
    struct erasure e;
    struct approval a;
    struct approval_request request;
    struct scope s;
    uint8_t id[ID_LEN];
    char path[64], decision[96], body[256], person[2 * ID_LEN + 1];
    struct human eve = human_make("acme", "eve");
    str_hex(eve.account.person, ID_LEN, person);
    struct tenant_settings set;
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    s = fixture_begin(&f, "acme");
    set.four_eyes |= PERM_BIT(PERM_CORRECTIONS_REQUEST);
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-20T08:00:00Z\",\"reason\":\"forgot\"}", person);
    ask(&ada, "POST", "/v1/corrections", body, path, decision);
    assert_int_equal(str_unhex(path + strlen("/v1/approvals/"), id, ID_LEN), 0);
    assert_int_equal(scope_init(f.c, f.db, "acme", &s), 0);
    assert_int_equal(approval_get(&s, id, clock_real(), &a), 0);
    assert_int_equal(approval_request(&s, &a, &request), 0);
    assert_int_equal(erasure_make(f.c, f.db, "acme", eve.account.person, &asked, &e), 0);
    assert_int_equal(approval_request(&s, &a, &request), CLOUD_ABSENT);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 404, "not-found");
}

/* ---- every route ---- */

/* The body that the document shows, of several the last, "{}" where it shows none, NULL where there is no body. The
 * caller's to free. */
static char *example_of(json_t *operation)
{
    json_t *body = json_object_get(operation, "requestBody"), *named;
    json_t *content = json_object_get(json_object_get(body, "content"), "application/json");
    json_t *example = json_object_get(content, "example");
    const char *name;
    json_object_foreach(json_object_get(content, "examples"), name, named)
    {
        example = json_object_get(named, "value");
    }
    if (!body)
        return NULL;
    char *text = example ? json_dumps(example, JSON_COMPACT) : strdup("{}");
    assert_non_null(text);
    return text;
}

/* Each {parameter} stands for something that there is not: whether it is there is asked when it is done. */
static void path_for(const char *pattern, char ret[160])
{
    size_t n = 0;
    for (const char *p = pattern; *p; p++) {
        assert_true(n + 33 < 160);
        if (*p != '{') {
            ret[n++] = *p;
            continue;
        }
        memset(ret + n, '0', 32);
        n += 32;
        p = strchr(p, '}');
        assert_non_null(p);
    }
    ret[n] = '\0';
}

static void want_all(const char *tenant)
{
    struct tenant_settings set;
    struct scope s = fixture_begin(&f, tenant);
    assert_int_equal(tenant_settings_get(f.db, tenant, &set), 0);
    set.four_eyes = PERM_ALL;
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
}

/* False: it is no route of a permission, or changes nothing. */
static bool may_want(const char *method, json_t *operation)
{
    const char *perm = json_string_value(json_object_get(operation, "x-permission"));
    return strcmp(method, "get") != 0 && perm && strchr(perm, '.');
}

/* Such as end what somebody else was let in for, or prove what is there. */
static bool is_at_once(json_t *operation)
{
    return json_object_get(json_object_get(operation, "responses"), "202") == NULL;
}

static void ask_for(const struct human *vendor, const char *method, const char *pattern, json_t *operation)
{
    char path[160], upper[8] = "";
    enum perm perm;
    assert_true(perm_find(json_string_value(json_object_get(operation, "x-permission")), &perm));
    const struct human *h = (PERM_VENDORS & PERM_BIT(perm)) != 0 ? vendor : &ada;
    char *body = example_of(operation);
    for (size_t i = 0; method[i] && i < sizeof upper - 1; i++)
        upper[i] = (char)(method[i] & ~0x20);
    path_for(pattern, path);
    struct reply r = as(h, upper, path, body);
    if ((r.status == 202) == is_at_once(operation))
        print_error("%s %s: %d %s\n", upper, path, r.status, r.body);
    if (is_at_once(operation)) {
        assert_true(r.status == 404 || r.status == 201);
    } else {
        assert_int_equal(r.status, 202);
        assert_string_equal(reply_text(&r, "permission"), perm_name(perm));
    }
    reply_done(&r);
    free(body);
}

static void test_whatever_changes_something_may_want_them(void **state)
{
    const char *pattern, *method;
    json_t *item, *operation;
    size_t n = 0, at_once = 0;
    struct human vendor = human_with(VENDOR_TENANT, "vera", ROLE_OWNER);
    expect(as(&vendor, "POST", "/v1/me/confidentiality", "{\"version\":1}"), 200, NULL);
    want_all("acme");
    want_all(VENDOR_TENANT);
    json_t *doc = json_loadb(openapi_json, openapi_json_n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(doc);
    json_object_foreach(json_object_get(doc, "paths"), pattern, item)
    {
        json_object_foreach(item, method, operation)
        {
            if (strcmp(method, "parameters") == 0 || !may_want(method, operation))
                continue;
            ask_for(&vendor, method, pattern, operation);
            at_once += is_at_once(operation);
            n++;
        }
    }
    json_decref(doc);
    assert_true(n > 40);
    assert_int_equal(at_once, 6);
    struct reply r = as(&bob, "GET", "/v1/approvals?limit=1000", NULL);
    assert_int_equal(r.status, 200);
    assert_true(json_array_size(json_object_get(r.json, "items")) > 30);
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_do_what_one_may_not_alone),
        cmocka_unit_test(test_one_denies_or_withdraws),
        cmocka_unit_test(test_what_cannot_be_done_goes_on_waiting),
        cmocka_unit_test(test_both_still_have_to_may),
        cmocka_unit_test(test_an_erasure),
        cmocka_unit_test(test_the_settings_want_four_eyes_as_well),
        cmocka_unit_test(test_nobody_makes_himself_a_second_pair),
        cmocka_unit_test(test_one_mailbox_is_one_pair),
        cmocka_unit_test(test_who_wants_a_correction_is_no_second_pair),
        cmocka_unit_test(test_two_owners_stay),
        cmocka_unit_test(test_a_week_is_enough),
        cmocka_unit_test(test_a_request_goes_with_the_person_in_its_body),
        cmocka_unit_test(test_whatever_changes_something_may_want_them),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
