/* What reaches whom: a team lead sees the unit, an employee himself, an inspector one site; and what is everybody's own
 * without any grant. */
#include "cloud/unit.h"
#include "tests/unit/api_human.h"

static struct human hr, lead, ada, bert, guest;
static char ada_id[33], bert_id[33];
static struct unit unit;

static void member_of(const struct human *h, const uint8_t *unit_id)
{
    struct person p;
    assert_int_equal(people_update(f.c, f.db, "acme", h->account.person, &(struct person_set){.unit = unit_id}, &p), 0);
}

static void give_card(const struct human *h, uint64_t number)
{
    struct credential c;
    const struct cred cred = fixture_card(number);
    assert_int_equal(
        credential_assign(f.c, f.db, "acme", h->account.person, &cred, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL), 0);
    struct fixture_punch p = {
        .tenant = "acme", .reader = "door", .gw = f.gw, .cred = cred, .gseq = number, .time = clock_real() - 1000000};
    fixture_file_one(&f, &p);
}

static int setup(void **state)
{
    (void)api_setup(state);
    hr = human_with("acme", "hr", ROLE_HR);
    lead = human_make("acme", "lead");
    ada = human_make("acme", "ada");
    bert = human_make("acme", "bert");
    guest = human_make("acme", "guest");
    assert_int_equal(unit_create(f.c, f.db, "acme", &(struct unit_set){.name = "Team"}, &unit), 0);
    member_of(&ada, unit.id);
    member_of(&lead, unit.id);
    give_card(&ada, 1);
    give_card(&bert, 2);
    struct grant_reach of_unit = {.kind = REACH_UNIT}, of_ada = {.kind = REACH_PERSON};
    memcpy(of_unit.id, unit.id, ID_LEN);
    memcpy(of_ada.id, ada.account.person, ID_LEN);
    (void)human_grant(&lead, ROLE_TEAM_LEAD, &of_unit, 0);
    (void)human_grant(&ada, ROLE_EMPLOYEE, &of_ada, 0);
    str_hex(ada.account.person, ID_LEN, ada_id);
    str_hex(bert.account.person, ID_LEN, bert_id);
    return 0;
}

/* The number of items that somebody gets; every person or punch among them is one of those named. */
static size_t count(const struct human *h, const char *path, const char *only, const char * or)
{
    size_t i;
    json_t *o;
    struct reply r = as(h, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        const char *id = json_string_value(json_object_get(o, "id"));
        json_t *whose = json_object_get(o, "person");
        if (json_is_object(whose))
            id = json_string_value(json_object_get(whose, "id"));
        if (only)
            assert_true(strcmp(id, only) == 0 || (or &&strcmp(id, or) == 0));
    }
    reply_done(&r);
    return i;
}

static void test_a_unit_and_no_further(void **state)
{
    char lead_id[33];
    str_hex(lead.account.person, ID_LEN, lead_id);
    assert_int_equal(count(&hr, "/v1/people", NULL, NULL), 5);
    assert_int_equal(count(&lead, "/v1/people", ada_id, lead_id), 2);
    assert_int_equal(count(&lead, "/v1/punches", ada_id, NULL), 1);
    assert_int_equal(count(&hr, "/v1/punches", NULL, NULL), 2);
    expect(as(&lead, "GET", path_of("/v1/people/%s", ada_id), NULL), 200, NULL);
    expect(as(&lead, "GET", path_of("/v1/people/%s", bert_id), NULL), 404, "not-found");
    expect(as(&lead, "GET", path_of("/v1/punches?person=%s", bert_id), NULL), 404, "not-found");
    expect(as(&lead, "GET", path_of("/v1/people?unit=%s", bert_id), NULL), 200, NULL);
    expect(as(&guest, "GET", "/v1/people", NULL), 403, "forbidden");
    expect(as(&guest, "GET", "/v1/punches", NULL), 403, "forbidden");
    /* who leaves the unit leaves the reach */
    member_of(&ada, (const uint8_t[ID_LEN]){0});
    expect(as(&lead, "GET", path_of("/v1/people/%s", ada_id), NULL), 404, "not-found");
    assert_int_equal(count(&lead, "/v1/punches", NULL, NULL), 0);
    member_of(&ada, unit.id);
}

static void test_an_employee_sees_himself(void **state)
{
    assert_int_equal(count(&ada, "/v1/punches", ada_id, NULL), 1);
    expect(as(&ada, "GET", path_of("/v1/punches?person=%s", bert_id), NULL), 404, "not-found");
    expect(as(&ada, "GET", path_of("/v1/people/%s/credentials", ada_id), NULL), 200, NULL);
    expect(as(&ada, "GET", path_of("/v1/people/%s/credentials", bert_id), NULL), 404, "not-found");
    expect(as(&ada, "GET", path_of("/v1/people/%s/export", bert_id), NULL), 404, "not-found");
}

static void test_asked_by_one_decided_by_another(void **state)
{
    char body[256], path[80], decision[100];
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-01-02T08:00:00Z\",\"reason\":\"Forgot\"}", ada_id);
    struct reply r = as(&ada, "POST", "/v1/corrections", body);
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(path, sizeof path, reply_header(&r, "Location")), 0);
    reply_done(&r);
    expect(as(&ada, "GET", path, NULL), 200, NULL);
    snprintf(decision, sizeof decision, "%s/decision", path);
    const char *yes = "{\"decision\":\"approved\",\"reason\":\"Seen\"}";
    expect(as(&ada, "POST", decision, yes), 403, "forbidden"); /* may ask, not approve */
    expect(as(&lead, "POST", decision, yes), 200, NULL);
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-01-02T08:00:00Z\",\"reason\":\"Forgot\"}", bert_id);
    expect(as(&ada, "POST", "/v1/corrections", body), 404, "not-found");
}

/* ---- everybody's own ---- */

static void test_my_export(void **state)
{
    char id[33];
    struct reply r = as(&guest, "GET", "/v1/me/export", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(json_string_value(json_object_get(json_object_get(r.json, "person"), "id")),
                        str_hex(guest.account.person, ID_LEN, id));
    reply_done(&r);
    expect(get(&f.s, "/v1/me/export", f.acme), 403, "forbidden");
    struct human later = guest; /* with a session that was not confirmed of late */
    struct scope s = fixture_begin(&f, "acme");
    later.session.stepped = 0;
    assert_int_equal(session_make(&s, &later.account, &later.session, later.cookie), 0);
    fixture_commit(&f);
    expect(as(&later, "GET", "/v1/me/export", NULL), 403, "step-up-needed");
}

static void test_my_requests(void **state)
{
    static const char *const kinds[] = {"erasure", "restriction", "rectification"};
    char path[96], first[96] = "", decision[120];
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        snprintf(path, sizeof path, "/v1/me/%s-request", kinds[i]);
        if (i == 2)
            expect(as(&guest, "POST", path, "{}"), 400, "invalid");
        struct reply r = as(&guest, "POST", path, "{\"text\":\"Please\"}");
        assert_int_equal(r.status, 201);
        assert_string_equal(reply_text(&r, "kind"), kinds[i]);
        assert_string_equal(reply_text(&r, "state"), "open");
        if (i == 0)
            assert_int_equal(str_copy(first, sizeof first, reply_header(&r, "Location")), 0);
        reply_done(&r);
        expect(as(&guest, "POST", path, "{\"text\":\"Again\"}"), 409, "conflict");
    }
    assert_int_equal(count(&guest, "/v1/me/requests", NULL, NULL), 3);
    assert_int_equal(count(&bert, "/v1/me/requests", NULL, NULL), 0);
    expect(as(&guest, "GET", first, NULL), 200, NULL);
    expect(as(&bert, "GET", first, NULL), 404, "not-found");
    expect(as(&guest, "GET", "/v1/requests", NULL), 403, "forbidden");
    assert_int_equal(count(&hr, "/v1/requests?state=open", NULL, NULL), 3);

    snprintf(decision, sizeof decision, "/v1/requests/%s/decision", first + strlen("/v1/me/requests/"));
    const char *no = "{\"decision\":\"refused\",\"answer\":\"The law wants it kept\"}";
    expect(as(&guest, "POST", decision, no), 403, "forbidden");
    expect(as(&hr, "POST", decision, no), 200, NULL);
    expect(as(&hr, "POST", decision, no), 409, "conflict");
    struct reply r = as(&guest, "GET", first, NULL);
    assert_string_equal(reply_text(&r, "state"), "refused");
    assert_string_equal(reply_text(&r, "answer"), "The law wants it kept");
    reply_done(&r);
    assert_int_equal(count(&hr, "/v1/requests?state=open", NULL, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_unit_and_no_further),
        cmocka_unit_test(test_an_employee_sees_himself),
        cmocka_unit_test(test_asked_by_one_decided_by_another),
        cmocka_unit_test(test_my_export),
        cmocka_unit_test(test_my_requests),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
