/* The trail over HTTPS: what requests leave in it, and how it is read. */
#include "tests/unit/cloud_export.h"

#include "cloud/audit_move.h"

static json_t *trail(const char *query)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/audit%s", query);
    struct reply r = get(&fx.s, path, fx.acme);
    if (r.status != 200)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, 200);
    json_t *items = json_incref(json_object_get(r.json, "items"));
    reply_done(&r);
    return items;
}

/* The events with that route and outcome. */
static size_t count(const json_t *items, const char *route, const char *outcome, const json_t **ret_last)
{
    size_t i, n = 0;
    const json_t *v;
    json_array_foreach(items, i, v)
    {
        if (strcmp(text(v, "route"), route) != 0 || strcmp(text(v, "outcome"), outcome) != 0)
            continue;
        *ret_last = v;
        n++;
    }
    return n;
}

static void requests_leave_events(void **state)
{
    (void)state;
    char path[128];
    const json_t *e = NULL;
    char *anna = make_person("Anna Oldname");
    snprintf(path, sizeof path, "/v1/people/%s", anna);
    struct reply r = request(&fx.s, "PATCH", path, fx.acme, BYTES_STR("{\"name\":\"Anna Newname\"}"), as_json);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    r = get(&fx.s, "/v1/punches?limit=5", fx.operator_token); /* refused, and not this company's business */
    assert_int_equal(r.status, 403);
    reply_done(&r);
    r = get(&fx.s, "/v1/people", fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);

    json_t *items = trail("");
    assert_int_equal(count(items, "POST /v1/people", "done", &e), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(e, "whose"), 0)), anna);
    assert_int_equal(count(items, "PATCH /v1/people/{id}", "done", &e), 1);
    char *detail = json_dumps(json_object_get(e, "details"), 0);
    assert_non_null(strstr(detail, "Anna Oldname"));
    assert_non_null(strstr(detail, "Anna Newname"));
    free(detail);
    assert_int_equal(count(items, "GET /v1/people/{id}", "done", &e), 1);
    assert_string_equal(text(e, "kind"), "people.read");
    assert_string_equal(text(json_object_get(e, "actor"), "class"), "bootstrap");
    assert_int_equal(count(items, "GET /v1/people", "done", &e), 1);
    assert_int_equal(json_integer_value(json_object_get(e, "count")), 1);
    assert_int_equal(count(items, "GET /v1/punches", "refused", &e), 0);
    assert_int_equal(count(items, "GET /v1/audit", "done", &e), 0);
    json_decref(items);

    items = trail("?kind=audit.read"); /* that the trail was read is in it by now */
    assert_int_equal(json_array_size(items), 1);
    assert_int_equal(count(items, "GET /v1/audit", "done", &e), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(e, "whose"), 0)), anna);
    json_decref(items);
    items = trail("?kind=people.read&limit=1");
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    items = trail("?actor=nobody");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    items = trail("?from=2100-01-01");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    items = trail("?to=1990-01-01");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    free(anna);
}

/* What a request made is named, whether the handler or the transaction wrote the event. */
static void events_name_what_was_made(void **state)
{
    (void)state;
    const json_t *e = NULL;
    char *anna = make_person("Anna"), body[256];
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-20T07:00:00Z\",\"reason\":\"forgot\"}", anna);
    const char *const made[][2] = {{"/v1/accounts", "{\"login\":\"anna\",\"name\":\"Anna\"}"},
                                   {"/v1/corrections", body},
                                   {"/v1/sites", "{\"name\":\"North gate\"}"}};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        char route[64];
        struct reply r = post(&fx.s, made[i][0], fx.acme, made[i][1]);
        assert_int_equal(r.status, 201);
        snprintf(route, sizeof route, "POST %s", made[i][0]);
        json_t *items = trail("");
        assert_int_equal(count(items, route, "done", &e), 1);
        assert_string_equal(text(e, "resource"), reply_text(&r, "id"));
        json_decref(items);
        reply_done(&r);
    }
    free(anna);
}

static void pages_follow_each_other(void **state)
{
    (void)state;
    char path[1024] = "/v1/audit?limit=2";
    int64_t last = 0;
    for (int i = 0; i < 4; i++)
        free(make_person("Somebody"));
    for (int page = 0; page < 3; page++) {
        struct reply r = get(&fx.s, path, fx.acme);
        size_t i;
        const json_t *v, *items = json_object_get(r.json, "items");
        assert_int_equal(r.status, 200);
        assert_int_equal(json_array_size(items), 2);
        json_array_foreach(items, i, v) assert_int_equal(json_integer_value(json_object_get(v, "seq")), ++last);
        snprintf(path, sizeof path, "/v1/audit?limit=2&cursor=%s", reply_text(&r, "next"));
        reply_done(&r);
    }
}

static void refusals_are_counted(void **state)
{
    (void)state;
    const json_t *e = NULL;
    struct reply r;
    struct audit_counts counts;
    for (int i = 0; i < 5; i++) {
        r = get(&fx.s, "/v1/tenants", fx.acme);
        assert_int_equal(r.status, 403);
        reply_done(&r);
    }
    json_t *items = trail("");
    assert_int_equal(count(items, "GET /v1/tenants", "refused", &e), 1); /* the others when their minute is over */
    json_decref(items);
    audit_counts(fx.c, &counts);
    assert_int_equal(counts.refused, 5);
    api_stop(api);
    fixture_close(&fx); /* ends the minute */
    fixture_open(&fx);
    assert_int_equal(api_start(fx.c, NULL, &api), 0);
    fx.s.port = api_port(api);
    items = trail("");
    assert_int_equal(count(items, "GET /v1/tenants", "refused", &e), 2);
    assert_int_equal(json_integer_value(json_object_get(e, "count")), 4);
    json_decref(items);
}

static size_t reads_of(const char *route)
{
    const json_t *e = NULL;
    json_t *items = trail("");
    size_t n = count(items, route, "done", &e);
    json_decref(items);
    return n;
}

/* However little of an answer one takes: a head, a part, that nothing has changed. */
static void who_asks_otherwise_is_recorded_as_well(void **state)
{
    (void)state;
    char path[64], header[600], *anna = make_person("Anna");
    snprintf(path, sizeof path, "/v1/people/%s", anna);
    struct reply r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    snprintf(header, sizeof header, "If-None-Match: %s", reply_header(&r, "ETag"));
    reply_done(&r);
    assert_int_equal(reads_of("GET /v1/people/{id}"), 1);
    static const struct {
        const char *method, *header;
        unsigned status;
    } ways[] = {{"HEAD", NULL, 200}, {"GET", "", 304}, {"HEAD", "", 304}, {"GET", "Range: bytes=0-0", 200}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const char *const more[] = {"-H", ways[i].header && !ways[i].header[0] ? header : ways[i].header, NULL};
        r = request(&fx.s, ways[i].method, path, fx.acme, BYTES_NONE, ways[i].header ? more : NULL);
        assert_int_equal(r.status, ways[i].status);
        reply_done(&r);
        assert_int_equal(reads_of("GET /v1/people/{id}"), 2 + i);
    }
    free(anna);
}

/* No record, no data. */
static void what_cannot_be_recorded_is_not_shown(void **state)
{
    (void)state;
    free(make_person("Anna"));
    struct audit_event e = {
        .kind = "people.read", .outcome = AUDIT_DONE, .who = &(struct who){.is = WHO_SYSTEM}, .detail = NULL};
    struct db *db = NULL, *other = NULL;
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(cloud_db_take(fx.c, &other), 0);
    assert_int_equal(cloud_begin(fx.c, other), 0); /* keeps the mover out */
    char *large = malloc(32000);
    assert_non_null(large);
    memset(large, 'x', 31999);
    large[31999] = '\0';
    e.new = json_string(large);
    free(large);
    int r = 0;
    for (int i = 0; r == 0 && i < 10000; i++)
        r = audit_note(fx.c, db, "acme", &e);
    assert_int_equal(r, -EAGAIN);
    json_decref(e.new);
    e.new = NULL;
    for (r = 0; r == 0;) /* and what room is left for small ones */
        r = audit_note(fx.c, db, "acme", &e);
    assert_int_equal(r, -EAGAIN);
    struct reply full = get(&fx.s, "/v1/people", fx.acme);
    assert_problem(&full, 503, "unavailable");
    assert_null(strstr(full.body, "Anna"));
    reply_done(&full);
    cloud_rollback(fx.c, other);
    cloud_db_give(fx.c, other);
    cloud_db_give(fx.c, db);
    assert_int_equal(audit_settle(fx.c, 60000), 0);
    for (int i = 0; i < 100; i++) { /* until the file begins anew */
        full = get(&fx.s, "/v1/people", fx.acme);
        int status = full.status;
        reply_done(&full);
        if (status == 200)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    fail_msg("the journal stayed full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_leave_events, make, unmake),
        cmocka_unit_test_setup_teardown(events_name_what_was_made, make, unmake),
        cmocka_unit_test_setup_teardown(pages_follow_each_other, make, unmake),
        cmocka_unit_test_setup_teardown(refusals_are_counted, make, unmake),
        cmocka_unit_test_setup_teardown(who_asks_otherwise_is_recorded_as_well, make, unmake),
        cmocka_unit_test_setup_teardown(what_cannot_be_recorded_is_not_shown, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
