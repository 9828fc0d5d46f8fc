/* Corrections of punches, and what hides of a card, as users of the API meet them. */
#include "api/cursor.h"

#include "tests/unit/api_fixture.h"

static char ada[33], second[TOKEN_TEXT_MAX]; /* ada's id; another token of acme's */
static int64_t base;

#define PUNCH "abababababababababababababababab"

static const char *punch_id(uint64_t index)
{
    static char id[64];
    uint8_t segid[SEGID_LEN];
    char hex[2 * SEGID_LEN + 1];
    memset(segid, 0xab, sizeof segid);
    memcpy(segid, f.gw, GW_LEN);
    snprintf(id, sizeof id, "%s-%llu", str_hex(segid, SEGID_LEN, hex), (unsigned long long)index);
    return id;
}

static int setup(void **state)
{
    struct token t;
    char path[80];
    fixture_make(&f);
    assert_int_equal(token_add(f.c, f.db, "acme", "second", 0, second, &t), 0);
    api_begin();
    struct reply r = call("POST", "/v1/people", f.acme, "{\"name\":\"Ada\"}");
    assert_int_equal(str_copy(ada, sizeof ada, reply_text(&r, "id")), 0);
    reply_done(&r);
    snprintf(path, sizeof path, "/v1/people/%s/credentials", ada);
    expect(
        call("POST", path, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"rendering\":\"dec10\"}"),
        201, NULL);
    base = clock_real() - 3600 * INT64_C(1000000);
    for (uint64_t i = 1; i <= 3; i++) {
        struct fixture_punch p = {.tenant = "acme",
                                  .reader = "door",
                                  .gw = f.gw,
                                  .cred = fixture_card(0x67003B51C6),
                                  .gseq = i,
                                  .time = base + (int64_t)i * 1000000};
        fixture_file_one(&f, &p);
    }
    return 0;
}

/* Asks and keeps the id. */
static void ask(const char *rest, char ret_path[64])
{
    char body[512];
    snprintf(body, sizeof body, "{\"person\":\"%s\",%s}", ada, rest);
    struct reply r = call("POST", "/v1/corrections", f.acme, body);
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "state"), "requested");
    assert_int_equal(str_copy(ret_path, 64, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static struct reply decide(const char *path, const char *token, const char *body)
{
    char decision[96];
    snprintf(decision, sizeof decision, "%s/decision", path);
    return call("POST", decision, token, body);
}

/* The item of a punch in the list; its reply is the caller's. */
static json_t *punch_in_list(struct reply *r, const char *id)
{
    size_t i;
    json_t *o;
    *r = call("GET", "/v1/punches", f.acme, NULL);
    assert_int_equal(r->status, 200);
    json_array_foreach(json_object_get(r->json, "items"), i, o)
    {
        if (strcmp(json_string_value(json_object_get(o, "id")), id) == 0)
            return o;
    }
    fail_msg("%s is not in the list", id);
    return NULL;
}

static void test_changed_beside_the_original(void **state)
{
    char path[64], rest[256], was[32], shall[32];
    struct reply r;
    snprintf(rest, sizeof rest,
             "\"kind\":\"change\",\"punch\":\"%s\",\"time\":\"%s\",\"direction\":\"out\",\"reason\":\"Clock\"",
             punch_id(1), str_time(base - 60000000, shall));
    ask(rest, path);
    r = call("GET", path, f.acme, NULL);
    json_t *original = json_object_get(r.json, "original");
    assert_string_equal(json_string_value(json_object_get(original, "time")), str_time(base + 1000000, was));
    assert_string_equal(json_string_value(json_object_get(original, "direction")), "in");
    assert_string_equal(reply_text(&r, "reason"), "Clock");
    assert_true(json_is_null(json_object_get(r.json, "decided")));
    reply_done(&r);
    json_t *p = punch_in_list(&r, punch_id(1)), *c = json_object_get(p, "correction");
    assert_true(json_is_null(c)); /* not yet */
    reply_done(&r);

    expect(decide(path, f.acme, "{\"decision\":\"approved\",\"reason\":\"mine\"}"), 403, "forbidden");
    expect(decide(path, second, "{\"decision\":\"perhaps\",\"reason\":\"x\"}"), 400, "invalid");
    expect(decide(path, second, "{\"decision\":\"approved\"}"), 400, "invalid");
    expect(decide(path, f.globex, "{\"decision\":\"approved\",\"reason\":\"x\"}"), 404, "not-found");
    r = decide(path, second, "{\"decision\":\"approved\",\"reason\":\"Seen\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "approved");
    assert_string_equal(reply_text(&r, "decision_reason"), "Seen");
    assert_string_not_equal(reply_text(&r, "requested_by"), reply_text(&r, "decided_by"));
    reply_done(&r);
    expect(decide(path, second, "{\"decision\":\"rejected\",\"reason\":\"no\"}"), 409, "conflict");

    p = punch_in_list(&r, punch_id(1));
    c = json_object_get(p, "correction");
    assert_string_equal(json_string_value(json_object_get(p, "time")), was);
    assert_string_equal(json_string_value(json_object_get(p, "direction")), "in");
    assert_string_equal(json_string_value(json_object_get(c, "time")), shall);
    assert_string_equal(json_string_value(json_object_get(c, "direction")), "out");
    assert_true(json_is_false(json_object_get(c, "void")));
    reply_done(&r);
}

static void test_rejected_changes_nothing(void **state)
{
    char path[64], rest[256];
    struct reply r;
    snprintf(rest, sizeof rest, "\"kind\":\"void\",\"punch\":\"%s\",\"reason\":\"Was not me\"", punch_id(2));
    ask(rest, path);
    r = decide(path, second, "{\"decision\":\"rejected\",\"reason\":\"On camera\"}");
    assert_string_equal(reply_text(&r, "state"), "rejected");
    reply_done(&r);
    json_t *c = json_object_get(punch_in_list(&r, punch_id(2)), "correction");
    assert_true(json_is_null(c));
    reply_done(&r);
    ask(rest, path); /* asked again, with more luck */
    r = decide(path, second, "{\"decision\":\"approved\",\"reason\":\"Was a guest\"}");
    reply_done(&r);
    c = json_object_get(punch_in_list(&r, punch_id(2)), "correction");
    assert_true(json_is_true(json_object_get(c, "void")));
    reply_done(&r);
}

static size_t listed(const char *query)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/corrections?%s", query);
    struct reply r = call("GET", path, f.acme, NULL);
    assert_int_equal(r.status, 200);
    size_t n = json_array_size(json_object_get(r.json, "items"));
    reply_done(&r);
    return n;
}

static void test_lists(void **state)
{
    char path[64], query[96], bert[33];
    size_t before = listed("limit=1000"), open = listed("state=requested");
    ask("\"kind\":\"add\",\"time\":\"2026-01-02T08:00:00Z\",\"direction\":\"in\",\"reason\":\"Forgot\"", path);
    assert_int_equal(listed("limit=1000"), before + 1);
    assert_int_equal(listed("state=requested"), open + 1);
    assert_int_equal(listed("from=2026-01-02&to=2026-01-03"), 1);
    assert_int_equal(listed("from=2026-01-03&to=2026-01-04"), 0);
    snprintf(query, sizeof query, "person=%s&limit=1000", ada);
    assert_int_equal(listed(query), before + 1);
    struct reply r = call("POST", "/v1/people", f.acme, "{\"name\":\"Bert\"}");
    assert_int_equal(str_copy(bert, sizeof bert, reply_text(&r, "id")), 0);
    reply_done(&r);
    snprintf(query, sizeof query, "person=%s", bert);
    assert_int_equal(listed(query), 0);
    expect(call("GET", "/v1/corrections?state=lost", f.acme, NULL), 400, "bad-parameter");
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
    r = call("GET", "/v1/corrections", f.globex, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);

    /* somebody else's punch is none of his */
    char body[256];
    snprintf(body, sizeof body, "{\"person\":\"%s\",\"kind\":\"void\",\"punch\":\"%s\",\"reason\":\"x\"}", bert,
             punch_id(3));
    expect(call("POST", "/v1/corrections", f.acme, body), 404, "not-found");
}

static void test_what_makes_no_sense(void **state)
{
    static const char *const wrong[] = {
        "\"kind\":\"add\",\"reason\":\"x\"",
        "\"kind\":\"add\",\"time\":\"2026-01-02\"",
        "\"kind\":\"add\",\"time\":\"2026-01-02\",\"reason\":\"x\",\"punch\":\"" PUNCH "-1\"",
        "\"kind\":\"change\",\"punch\":\"" PUNCH "-1\",\"reason\":\"x\"",
        "\"kind\":\"change\",\"time\":\"2026-01-02\",\"reason\":\"x\"",
        "\"kind\":\"void\",\"punch\":\"" PUNCH "-1\",\"time\":\"2026-01-02\",\"reason\":\"x\"",
        "\"kind\":\"void\",\"punch\":\"" PUNCH "\",\"reason\":\"x\"",
        "\"kind\":\"change\",\"punch\":\"" PUNCH "-1\",\"direction\":\"up\",\"reason\":\"x\"",
        "\"kind\":\"less\",\"reason\":\"x\"",
        "\"kind\":\"add\",\"time\":\"2200-01-02\",\"reason\":\"x\"",
        "\"kind\":\"add\",\"time\":\"2026-01-02\",\"reason\":\"  \"",
        "\"kind\":\"add\",\"time\":\"2026-01-02\",\"site\":\"" PUNCH "\",\"reason\":\"x\"",
        "\"kind\":\"void\",\"punch\":\"" PUNCH "-1\",\"site\":\"" PUNCH "\",\"reason\":\"x\"",
    };
    char body[512];
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(body, sizeof body, "{\"person\":\"%s\",%s}", ada, wrong[i]);
        expect(call("POST", "/v1/corrections", f.acme, body), 400, "invalid");
    }
    snprintf(body, sizeof body, "{\"person\":\"%s\",\"kind\":\"void\",\"punch\":\"" PUNCH "-9\",\"reason\":\"x\"}",
             ada);
    expect(call("POST", "/v1/corrections", f.acme, body), 404, "not-found");
}

/* Where an item of that id stands in what a query of punches lists, all of its pages one after the other; -1: nowhere.
 * How many there are in all, and the item (the caller's), where they are asked for. */
static int place_in(const char *query, size_t page, const char *id, size_t *ret_n, json_t **ret_item)
{
    char path[CURSOR_TEXT_MAX + 128], cursor[CURSOR_TEXT_MAX] = "";
    int at = -1;
    size_t n = 0;
    do {
        snprintf(path, sizeof path, "/v1/punches?limit=%zu&%s%s%s", page, query, cursor[0] ? "&cursor=" : "", cursor);
        struct reply r = call("GET", path, f.acme, NULL);
        assert_int_equal(r.status, 200);
        size_t i;
        json_t *o;
        json_array_foreach(json_object_get(r.json, "items"), i, o)
        {
            if (strcmp(json_string_value(json_object_get(o, "id")), id) == 0) {
                assert_int_equal(at, -1);
                at = (int)(n + i);
                if (ret_item)
                    *ret_item = json_incref(o);
            }
        }
        n += json_array_size(json_object_get(r.json, "items"));
        const char *next = json_string_value(json_object_get(r.json, "next"));
        assert_int_equal(str_copy(cursor, sizeof cursor, next ? next : ""), 0);
        reply_done(&r);
    } while (cursor[0]);
    if (ret_n)
        *ret_n = n;
    return at;
}

static void approve(const char *path)
{
    expect(decide(path, second, "{\"decision\":\"approved\",\"reason\":\"Seen\"}"), 200, NULL);
}

static const char *value(const json_t *o, const char *member)
{
    return json_string_value(json_object_get(o, member));
}

static void test_the_feed_tells(void **state)
{
    char path[64], rest[256];
    snprintf(rest, sizeof rest, "\"kind\":\"void\",\"punch\":\"%s\",\"reason\":\"Was a guest\"", punch_id(3));
    ask(rest, path);
    approve(path);
    struct reply r = call("GET", "/v1/changes?limit=1000", f.acme, NULL);
    size_t i, approved = 0, with = 0;
    json_t *o;
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        json_t *c = json_object_get(o, "correction"), *p = json_object_get(o, "punch");
        approved +=
            c && strcmp(value(c, "id"), strrchr(path, '/') + 1) == 0 && strcmp(value(c, "state"), "approved") == 0;
        with += p && strcmp(value(p, "id"), punch_id(3)) == 0 && json_is_object(json_object_get(p, "correction"));
    }
    reply_done(&r);
    assert_true(approved >= 1 && with == 1);
}

/* One that no reader saw stands among those that were seen, is told of as they are, and is corrected as they are. */
static void test_forgotten(void **state)
{
    char path[64], rest[256], id[64], query[128], when[32], site[33];
    size_t n = 0, before = 0;
    json_t *o = NULL;
    struct reply r = call("GET", "/v1/sites", f.acme, NULL);
    str_copy(site, sizeof site, value(json_array_get(json_object_get(r.json, "items"), 0), "id"));
    reply_done(&r);
    snprintf(rest, sizeof rest,
             "\"kind\":\"add\",\"time\":\"%s\",\"direction\":\"out\",\"site\":\"%s\",\"reason\":\"Forgot\"",
             str_time(base + 1500000, when), site);
    ask(rest, path);
    snprintf(id, sizeof id, "%s-0", strrchr(path, '/') + 1);
    assert_int_equal(place_in("state=all", 1000, id, &before, NULL), -1); /* not yet */
    approve(path);
    assert_int_equal(place_in("state=all", 1000, id, &n, &o), 1);
    assert_int_equal(n, before + 1);
    assert_true(json_is_true(json_object_get(o, "added")));
    assert_string_equal(value(o, "state"), "assigned");
    assert_string_equal(value(json_object_get(o, "person"), "name"), "Ada");
    assert_string_equal(value(o, "time"), when);
    assert_string_equal(value(o, "direction"), "out");
    assert_string_equal(value(o, "site"), "Gate");
    assert_true(json_is_null(json_object_get(o, "credential")) && json_is_null(json_object_get(o, "reader")));
    json_decref(o);
    for (size_t page = 1; page <= n; page++)
        assert_int_equal(place_in("state=all", page, id, NULL, NULL), 1);
    assert_int_equal(place_in("state=assigned", 2, id, NULL, NULL), 1);
    assert_int_equal(place_in("site=Gate", 2, id, NULL, NULL), 1);
    assert_int_equal(place_in("site=Elsewhere", 2, id, NULL, NULL), -1);
    assert_int_equal(place_in("reader=door", 2, id, NULL, NULL), -1);
    assert_int_equal(place_in("state=unassigned", 2, id, NULL, NULL), -1);
    assert_int_equal(place_in("state=pending", 2, id, NULL, NULL), -1);
    snprintf(query, sizeof query, "person=%s", ada);
    assert_int_equal(place_in(query, 1, id, NULL, NULL), 1);
    snprintf(query, sizeof query, "to=%s", when); /* up to it, without it */
    assert_int_equal(place_in(query, 1, id, NULL, NULL), -1);
    snprintf(query, sizeof query, "from=%s", when);
    assert_int_equal(place_in(query, 1, id, NULL, NULL), 0);

    snprintf(query, sizeof query, "/v1/people/%s/export", ada);
    r = call("GET", query, f.acme, NULL);
    assert_non_null(strstr(r.body, id));
    reply_done(&r);
    r = call("GET", "/v1/changes?limit=1000", f.acme, NULL);
    json_t *items = json_object_get(r.json, "items"), *last = json_array_get(items, json_array_size(items) - 1);
    assert_string_equal(value(last, "type"), "punch");
    assert_string_equal(value(json_object_get(last, "punch"), "id"), id);
    reply_done(&r);

    snprintf(rest, sizeof rest, "\"kind\":\"void\",\"punch\":\"%s\",\"reason\":\"Was another day\"", id);
    ask(rest, path);
    approve(path);
    assert_int_equal(place_in("state=all", 1000, id, NULL, &o), 1);
    assert_true(json_is_true(json_object_get(json_object_get(o, "correction"), "void")));
    json_decref(o);
    r = call("GET", "/v1/punches", f.globex, NULL);
    assert_null(strstr(r.body, id));
    reply_done(&r);
}

/* A number is only ever written. */
static void test_card_numbers_are_hidden(void **state)
{
    char path[120], id[33];
    snprintf(path, sizeof path, "/v1/people/%s/credentials", ada);
    struct reply r = call("GET", path, f.acme, NULL);
    json_t *c = json_array_get(json_object_get(r.json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(c, "number_last4")), "7558");
    assert_null(strstr(r.body, "0003887558"));
    assert_null(strstr(r.body, "67003B51C6"));
    reply_done(&r);
    struct fixture_punch p = {.tenant = "acme",
                              .reader = "door",
                              .gw = f.gw,
                              .cred = fixture_card(0x1100BC614E),
                              .gseq = 50,
                              .time = clock_real()};
    fixture_file_one(&f, &p);
    r = call("GET", "/v1/credentials/waiting", f.acme, NULL);
    json_t *w = json_array_get(json_object_get(r.json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(w, "credential"), "number_last4")), "5678");
    assert_null(strstr(r.body, "12345678"));
    assert_int_equal(str_copy(id, sizeof id, json_string_value(json_object_get(w, "id"))), 0);
    reply_done(&r);

    char body[96];
    snprintf(body, sizeof body, "{\"waiting\":\"%s\"}", id);
    r = call("POST", path, f.acme, body);
    assert_int_equal(r.status, 201);
    assert_int_equal(json_integer_value(json_object_get(r.json, "refiled")), 1);
    assert_string_equal(reply_text(&r, "rendering"), "dec10");
    reply_done(&r);
    expect(call("POST", path, f.acme, body), 404, "not-found"); /* it waits no more */
    expect(call("POST", path, f.acme, "{\"waiting\":\"00\",\"number\":\"1\"}"), 400, "invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_beside_the_original),
        cmocka_unit_test(test_rejected_changes_nothing),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_what_makes_no_sense),
        cmocka_unit_test(test_the_feed_tells),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_card_numbers_are_hidden),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
