/* People and units, as users of the API meet them. */
#include "tests/unit/api_human.h"

/* Makes one and keeps its id. */
static void make(const char *at, const char *body, char ret_id[33])
{
    struct reply r = call("POST", at, f.acme, body);
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(ret_id, 33, reply_text(&r, "id")), 0);
    reply_done(&r);
}

static size_t listed(const char *path)
{
    struct reply r = call("GET", path, f.acme, NULL);
    assert_int_equal(r.status, 200);
    size_t n = json_array_size(json_object_get(r.json, "items"));
    reply_done(&r);
    return n;
}

static const char *const members[][2] = {
    {"personnel_number", "P-1"}, {"name", "Ada"},          {"given_name", "Augusta"}, {"family_name", "King"},
    {"email", "ada@acme.test"},  {"phone", "+44 1 234-5"},
};

static void test_all_that_is_known(void **state)
{
    char unit[33], body[1024], path[64], id[33];
    make("/v1/units", "{\"name\":\"Analytics\"}", unit);
    snprintf(body, sizeof body,
             "{\"personnel_number\":\"P-1\",\"name\":\"Ada\",\"given_name\":\"Augusta\",\"family_name\":\"King\","
             "\"email\":\"ada@acme.test\",\"phone\":\"+44 1 234-5\",\"unit\":\"%s\",\"valid_from\":\"2026-01-01\","
             "\"valid_until\":\"2027-01-01\"}",
             unit);
    make("/v1/people", body, id);
    snprintf(path, sizeof path, "/v1/people/%s", id);
    struct reply r = call("GET", path, f.acme, NULL);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        assert_string_equal(reply_text(&r, members[i][0]), members[i][1]);
    assert_string_equal(reply_text(&r, "unit"), unit);
    assert_string_equal(reply_text(&r, "valid_from"), "2026-01-01T00:00:00.000000Z");
    assert_string_equal(reply_text(&r, "valid_until"), "2027-01-01T00:00:00.000000Z");
    assert_true(json_is_null(json_object_get(r.json, "archived")));
    reply_done(&r);

    r = call("PATCH", path, f.acme, "{\"email\":null,\"unit\":null,\"valid_until\":null,\"phone\":\"1\"}");
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(json_object_get(r.json, "email")));
    assert_true(json_is_null(json_object_get(r.json, "unit")));
    assert_true(json_is_null(json_object_get(r.json, "valid_until")));
    assert_string_equal(reply_text(&r, "phone"), "1");
    assert_string_equal(reply_text(&r, "family_name"), "King");
    reply_done(&r);

    expect(call("PATCH", path, f.acme, "{\"email\":\"nobody\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"valid_until\":\"2020-01-01\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"unit\":\"00112233445566778899aabbccddeeff\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"name\":null}"), 400, "invalid");
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
}

static void test_a_personnel_number_is_one_person_s(void **state)
{
    char first[33], second[33], path[80];
    make("/v1/people", "{\"name\":\"One\",\"personnel_number\":\"N 1\"}", first);
    make("/v1/people", "{\"name\":\"Two\",\"personnel_number\":\"n 1\"}", second); /* as it is written */
    expect(call("POST", "/v1/people", f.acme, "{\"name\":\"Three\",\"personnel_number\":\"N 1\"}"), 409, "conflict");
    expect(call("POST", "/v1/people", f.globex, "{\"name\":\"Theirs\",\"personnel_number\":\"N 1\"}"), 201, NULL);
    snprintf(path, sizeof path, "/v1/people/%s", second);
    expect(call("PATCH", path, f.acme, "{\"personnel_number\":\"N 1\"}"), 409, "conflict");

    struct reply r = call("GET", "/v1/people?personnel_number=N%201", f.acme, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(r.json, "items"), 0), "id")),
                        first);
    reply_done(&r);
    assert_int_equal(listed("/v1/people?personnel_number=N%202"), 0);

    /* given up, it is free */
    snprintf(path, sizeof path, "/v1/people/%s", first);
    expect(call("PATCH", path, f.acme, "{\"personnel_number\":null}"), 200, NULL);
    assert_int_equal(listed("/v1/people?personnel_number=N%201"), 0);
    snprintf(path, sizeof path, "/v1/people/%s", second);
    expect(call("PATCH", path, f.acme, "{\"personnel_number\":\"N 1\"}"), 200, NULL);
}

static void test_lists_by_unit(void **state)
{
    char unit[33], other[33], id[33], body[160], path[120];
    make("/v1/units", "{\"name\":\"Day\"}", unit);
    make("/v1/units", "{\"name\":\"Night\"}", other);
    for (int i = 0; i < 5; i++) {
        snprintf(body, sizeof body, "{\"name\":\"Shift %d\",\"unit\":\"%s\"}", i, i < 3 ? unit : other);
        make("/v1/people", body, id);
    }
    snprintf(path, sizeof path, "/v1/people?unit=%s", unit);
    assert_int_equal(listed(path), 3);
    snprintf(path, sizeof path, "/v1/people?unit=%s", other);
    assert_int_equal(listed(path), 2);
    snprintf(path, sizeof path, "/v1/people?unit=%s&limit=1", other);
    size_t seen = 0;
    for (bool more = true; more && seen < 9;) {
        struct reply r = call("GET", path, f.acme, NULL);
        seen += json_array_size(json_object_get(r.json, "items"));
        more = json_is_string(json_object_get(r.json, "next"));
        char next[1200];
        snprintf(next, sizeof next, "/v1/people?unit=%s&limit=1&cursor=%s", other, reply_text(&r, "next"));
        reply_done(&r);
        if (more) { /* a cursor is of the list with its filters */
            char stolen[1200];
            snprintf(stolen, sizeof stolen, "/v1/people?limit=1%s", strstr(next, "&cursor"));
            expect(call("GET", stolen, f.acme, NULL), 400, "bad-cursor");
            r = call("GET", next, f.acme, NULL);
            seen += json_array_size(json_object_get(r.json, "items"));
            more = false;
            reply_done(&r);
        }
    }
    assert_int_equal(seen, 2);
    expect(call("GET", "/v1/people?unit=x", f.acme, NULL), 400, "bad-parameter");
    expect(call("GET", "/v1/people?archived=1", f.acme, NULL), 400, "bad-parameter");
}

static const char *state_of_newest(const char *reader)
{
    static char state[20];
    char path[80];
    snprintf(path, sizeof path, "/v1/punches?reader=%s", reader);
    struct reply r = call("GET", path, f.acme, NULL);
    json_t *items = json_object_get(r.json, "items");
    json_t *last = json_array_get(items, json_array_size(items) - 1);
    assert_int_equal(str_copy(state, sizeof state, json_string_value(json_object_get(last, "state"))), 0);
    reply_done(&r);
    return state;
}

/* Who has left holds no card: what it punches afterwards is nobody's. What was before stays. */
static void test_archived(void **state)
{
    char id[33], path[80], cards[100];
    make("/v1/people", "{\"name\":\"Leaver\",\"personnel_number\":\"L-1\"}", id);
    snprintf(path, sizeof path, "/v1/people/%s", id);
    snprintf(cards, sizeof cards, "%s/credentials", path);
    expect(call("POST", cards, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"00000004d2\"}"), 201, NULL);
    expect(call("POST", cards, f.acme,
                "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"00000004d3\",\"from\":\"2090-01-01\"}"),
           201, NULL);
    struct fixture_punch p = {
        .tenant = "acme", .reader = "exit", .gw = f.gw, .cred = fixture_card(1234), .gseq = 1, .time = clock_real()};
    fixture_file_one(&f, &p);
    assert_string_equal(state_of_newest("exit"), "assigned");
    size_t before = listed("/v1/people?limit=1000");

    struct reply r = call("PATCH", path, f.acme, "{\"archived\":true}");
    assert_int_equal(r.status, 200);
    assert_true(json_is_string(json_object_get(r.json, "archived")));
    reply_done(&r);
    assert_int_equal(listed("/v1/people?limit=1000"), before - 1);
    assert_int_equal(listed("/v1/people?archived=true&personnel_number=L-1"), 1);
    assert_int_equal(listed("/v1/people?personnel_number=L-1"), 0);
    r = call("GET", cards, f.acme, NULL);
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        assert_true(json_is_string(json_object_get(o, "until")));
    }
    assert_int_equal(i, 2);
    reply_done(&r);
    p.gseq = 2;
    p.time = clock_real() + 1000000;
    fixture_file_one(&f, &p);
    assert_string_equal(state_of_newest("exit"), "unassigned");
    char mine[100];
    snprintf(mine, sizeof mine, "/v1/punches?person=%s", id);
    assert_int_equal(listed(mine), 1);
    expect(call("POST", cards, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"00000004d4\"}"), 409, "conflict");

    r = call("PATCH", path, f.acme, "{\"archived\":false}");
    assert_true(json_is_null(json_object_get(r.json, "archived")));
    reply_done(&r);
    assert_int_equal(listed("/v1/people?limit=1000"), before);
}

/* Whoever leaves is out at once; nobody puts out who may more than he does, and the last Owner stays. */
static void test_archived_logs_in_no_more(void **state)
{
    char id[33], path[80];
    static const char archive[] = "{\"archived\":true}";
    struct human owner = human_with("acme", "owner", ROLE_OWNER);
    struct human hr = human_with("acme", "hr", ROLE_HR);
    struct human leaver = human_make("acme", "leaver");
    snprintf(path, sizeof path, "/v1/people/%s", str_hex(owner.account.person, ID_LEN, id));
    expect(as(&hr, "PATCH", path, archive), 403, "forbidden");
    expect(as(&owner, "PATCH", path, archive), 409, "last-owner");
    expect(as(&owner, "GET", "/v1/me", NULL), 200, NULL);

    snprintf(path, sizeof path, "/v1/people/%s", str_hex(leaver.account.person, ID_LEN, id));
    expect(as(&leaver, "GET", "/v1/me", NULL), 200, NULL);
    expect(as(&hr, "PATCH", path, archive), 200, NULL);
    expect(as(&leaver, "GET", "/v1/me", NULL), 401, NULL);
    expect(as(&hr, "PATCH", path, "{\"archived\":false}"), 200, NULL);
    expect(as(&leaver, "GET", "/v1/me", NULL), 401, NULL);
}

static void test_units(void **state)
{
    char unit[33], site[33], path[80], body[120], tag[64], id[33];
    make("/v1/sites", "{\"name\":\"Harbour\"}", site);
    make("/v1/units", "{\"name\":\"Cranes\"}", unit);
    expect(call("POST", "/v1/units", f.acme, "{\"name\":\"Cranes\"}"), 409, "conflict");
    expect(call("POST", "/v1/units", f.acme, "{\"name\":\"Lost\",\"site\":\"00112233445566778899aabbccddeeff\"}"), 400,
           "invalid");
    snprintf(path, sizeof path, "/v1/units/%s", unit);
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
    struct reply r = call("GET", path, f.acme, NULL);
    assert_int_equal(str_copy(tag, sizeof tag, reply_header(&r, "ETag")), 0);
    assert_true(json_is_null(json_object_get(r.json, "site")));
    reply_done(&r);
    snprintf(body, sizeof body, "{\"site\":\"%s\"}", site);
    r = call("PATCH", path, f.acme, body);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "site"), site);
    assert_string_equal(reply_text(&r, "name"), "Cranes");
    reply_done(&r);
    char header[96];
    snprintf(header, sizeof header, "If-Match: %s", tag);
    const char *const stale[] = {"-H", header, "-H", "Content-Type: application/json", NULL};
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"name\":\"Lifts\"}"), stale), 412, "precondition-failed");

    size_t before = listed("/v1/units?limit=1000");
    expect(call("PATCH", path, f.acme, "{\"archived\":true}"), 200, NULL);
    assert_int_equal(listed("/v1/units?limit=1000"), before - 1);
    assert_int_equal(listed("/v1/units?archived=true"), 1);
    snprintf(body, sizeof body, "{\"name\":\"Late\",\"unit\":\"%s\"}", unit);
    expect(call("POST", "/v1/people", f.acme, body), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"archived\":false}"), 200, NULL);
    make("/v1/people", body, id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_is_known),
        cmocka_unit_test(test_a_personnel_number_is_one_person_s),
        cmocka_unit_test(test_lists_by_unit),
        cmocka_unit_test(test_archived),
        cmocka_unit_test(test_archived_logs_in_no_more),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
