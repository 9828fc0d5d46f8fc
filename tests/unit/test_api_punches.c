/* GET /v1/punches: pages, filters, windows, cursors. */
#include "tests/unit/api_fixture.h"

#define PUNCHES 2500
#define DAY INT64_C(86400000000)

static int64_t base; /* time of the first punch */

/* 2,500 punches of 50 cards, two a second, some at one time, over 20 minutes; then three pending ones. */
static void file_all(void)
{
    base = clock_real() / 1000000 * 1000000 - 3600000000;
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (uint64_t i = 0; i < PUNCHES; i++) {
        struct fixture_punch p = {"acme", i % 5 ? "door" : "dock",          f.gw, fixture_card(0x4400000000 + i % 50),
                                  i + 1,  base + (int64_t)(i / 2) * 500000, false};
        fixture_file(&f, &p);
    }
    for (uint64_t i = 0; i < 3; i++) {
        struct fixture_punch p = {
            "acme", "door", f.gw, fixture_card(0x4400000000 + i), PUNCHES + 1 + i, base + (int64_t)i, true};
        fixture_file(&f, &p);
    }
    struct fixture_punch other = {"globex", "door", f.gw2, fixture_card(0x4400000000), 1, base, false};
    fixture_file(&f, &other);
    fixture_commit(&f);
}

static int setup(void **state)
{
    fixture_make(&f);
    file_all();
    api_begin();
    return 0;
}

/* Follows the pages of `path`; returns all items. */
static json_t *all_pages(const char *path, const char *token, size_t limit, size_t *ret_pages)
{
    json_t *all = json_array();
    char url[1024];
    const char *mark = strchr(path, '?') ? "&" : "?";
    snprintf(url, sizeof url, "%s%slimit=%zu", path, mark, limit);
    *ret_pages = 0;
    for (bool more = true; more; (*ret_pages)++) {
        struct reply r = get(&f.s, url, token);
        if (r.status != 200)
            print_error("%s: %s\n", url, r.body);
        assert_int_equal(r.status, 200);
        json_t *items = json_object_get(r.json, "items"), *next = json_object_get(r.json, "next");
        json_array_extend(all, items);
        more = json_is_string(next);
        if (more) {
            assert_int_equal(json_array_size(items), limit);
            snprintf(url, sizeof url, "%s%slimit=%zu&cursor=%s", path, mark, limit, json_string_value(next));
        } else {
            assert_true(json_is_null(next));
        }
        reply_done(&r);
    }
    return all;
}

static void test_pages_without_gap_or_double(void **state)
{
    size_t pages = 0, i;
    json_t *p, *all = all_pages("/v1/punches?state=unassigned", f.acme, 100, &pages);
    char before[32] = "";
    assert_int_equal(json_array_size(all), PUNCHES);
    assert_int_equal(pages, PUNCHES / 100);
    json_array_foreach(all, i, p)
    {
        assert_int_equal(json_integer_value(json_object_get(p, "gseq")), i + 1);
        assert_true(strcmp(before, text_of(p, "time")) <= 0);
        strcpy(before, text_of(p, "time"));
    }
    json_decref(all);
}

/* Punches that arrive while somebody turns pages neither shift a page nor double an item. */
static void test_pages_while_more_arrives(void **state)
{
    struct reply r = get(&f.s, "/v1/punches?state=unassigned&limit=1000&reader=door", f.acme);
    char url[1024];
    size_t seen = json_array_size(json_object_get(r.json, "items"));
    int64_t last = json_integer_value(json_object_get(json_array_get(json_object_get(r.json, "items"), 999), "gseq"));
    assert_int_equal(seen, 1000);
    snprintf(url, sizeof url, "/v1/punches?state=unassigned&limit=1000&reader=door&cursor=%s", reply_text(&r, "next"));
    reply_done(&r);
    struct fixture_punch early = {"acme", "door", f.gw, fixture_card(0x4400000060), 9001, base - 1000000, false};
    fixture_file_one(&f, &early);
    r = get(&f.s, url, f.acme);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items");
    assert_int_equal(json_array_size(items), 1000);
    assert_true(json_integer_value(json_object_get(json_array_get(items, 0), "gseq")) > last);
    reply_done(&r);
}

static void test_item(void **state)
{
    char time[32], path[256];
    str_time(base, time);
    snprintf(path, sizeof path, "/v1/punches?from=%s&limit=1&reader=dock", time);
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    json_t *p = json_array_get(json_object_get(r.json, "items"), 0), *o = json_object_get(p, "original");
    char id[80], hex[2 * SEGID_LEN + 1];
    uint8_t segid[SEGID_LEN];
    memset(segid, 0xab, sizeof segid);
    memcpy(segid, f.gw, GW_LEN);
    snprintf(id, sizeof id, "%s-1", str_hex(segid, SEGID_LEN, hex));
    assert_string_equal(text_of(p, "id"), id);
    assert_string_equal(text_of(p, "state"), "unassigned");
    assert_true(json_is_null(json_object_get(p, "person")));
    assert_string_equal(text_of(json_object_get(p, "credential"), "tech"), "em4100");
    assert_string_equal(text_of(json_object_get(p, "credential"), "number_last4"), "0000");
    assert_null(json_object_get(json_object_get(p, "credential"), "data"));
    assert_null(json_object_get(json_object_get(p, "credential"), "number"));
    assert_string_equal(text_of(p, "gateway"), str_hex(f.gw, GW_LEN, hex));
    assert_string_equal(text_of(p, "site"), "Gate");
    assert_string_equal(text_of(p, "reader"), "dock");
    assert_string_equal(text_of(p, "direction"), "in");
    assert_string_equal(text_of(p, "time"), time);
    assert_int_equal(json_integer_value(json_object_get(p, "uncertainty_us")), 2000);
    assert_true(json_is_null(json_object_get(p, "repeat")));
    assert_int_equal(json_integer_value(json_object_get(o, "real_us")), base - 5000000);
    assert_int_equal(json_integer_value(json_object_get(o, "mono_us")), 1000);
    assert_string_equal(text_of(o, "clock"), "free");
    assert_true(json_integer_value(json_object_get(o, "uncertainty_us")) >= 1000);
    assert_string_equal(text_of(p, "received"), str_time(base + 1000, time));
    reply_done(&r);
}

static size_t count(const char *path)
{
    size_t pages;
    json_t *all = all_pages(path, f.acme, 1000, &pages);
    size_t n = json_array_size(all);
    json_decref(all);
    return n;
}

static void test_filters(void **state)
{
    char from[32], to[32], path[256];
    assert_int_equal(count("/v1/punches?reader=dock"), PUNCHES / 5);
    assert_int_equal(count("/v1/punches?reader=none"), 0);
    assert_int_equal(count("/v1/punches?site=Gate&reader=dock"), PUNCHES / 5);
    assert_int_equal(count("/v1/punches?site=Dock"), 0); /* globex's */
    assert_int_equal(count("/v1/punches?state=assigned"), 0);
    snprintf(path, sizeof path, "/v1/punches?from=%s&to=%s", str_time(base + 1000000, from),
             str_time(base + 2000000, to));
    assert_int_equal(count(path), 4); /* [from, to) */
    size_t pages;
    json_t *pending = all_pages("/v1/punches?state=pending", f.acme, 2, &pages), *p;
    assert_int_equal(pages, 2);
    assert_int_equal(json_array_size(pending), 3);
    for (size_t i = 0; i < 3; i++) {
        p = json_array_get(pending, i);
        assert_int_equal(json_integer_value(json_object_get(p, "gseq")), PUNCHES + 1 + i);
        assert_true(json_is_null(json_object_get(p, "time")));
        assert_true(json_is_null(json_object_get(p, "uncertainty_us")));
        assert_string_equal(text_of(p, "state"), "pending");
    }
    json_decref(pending);
    json_t *other = all_pages("/v1/punches", f.globex, 1000, &pages);
    assert_int_equal(json_array_size(other), 1);
    json_decref(other);
}

static void test_person(void **state)
{
    char path[256], id[33];
    struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\":\"Ad\u00e9 \\\"the\\\\first\\\"\"}");
    strcpy(id, reply_text(&r, "id"));
    reply_done(&r);
    snprintf(path, sizeof path, "/v1/people/%s/credentials", id);
    r = post(&f.s, path, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"4400000007\"}");
    assert_int_equal(r.status, 201);
    assert_int_equal(json_integer_value(json_object_get(r.json, "refiled")), PUNCHES / 50);
    reply_done(&r);
    snprintf(path, sizeof path, "/v1/punches?person=%s", id);
    size_t pages;
    json_t *all = all_pages(path, f.acme, 20, &pages);
    assert_int_equal(json_array_size(all), PUNCHES / 50);
    json_t *who = json_object_get(json_array_get(all, 0), "person");
    assert_string_equal(text_of(who, "id"), id);
    assert_string_equal(text_of(who, "name"), "Ad\xc3\xa9 \"the\\first\""); /* what text has to escape */
    assert_string_equal(text_of(json_array_get(all, 0), "state"), "assigned");
    json_decref(all);
    assert_int_equal(count("/v1/punches?state=assigned"), PUNCHES / 50);
    expect(get(&f.s, path, f.globex), 404, "not-found");
    expect(get(&f.s, "/v1/punches?person=00112233445566778899aabbccddeeff", f.acme), 404, "not-found");
    expect(get(&f.s, "/v1/punches?person=ada", f.acme), 400, "bad-parameter");
}

static void test_windows(void **state)
{
    static const char *const bad[] = {
        "/v1/punches?from=2026-01-01&to=2026-02-02",
        "/v1/punches?from=2026-02-02&to=2026-02-01",
        "/v1/punches?from=2020-01-01",
        "/v1/punches?from=yesterday",
        "/v1/punches?to=2026-13-01",
        "/v1/punches?from=2026-11-23T07:15:00+01:00",
        "/v1/punches?state=lost",
        "/v1/punches?limit=1001",
        "/v1/punches?from=",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(get(&f.s, bad[i], f.acme), 400, "bad-parameter");
    struct reply r = get(&f.s, "/v1/punches?from=2026-11-23T07:15:00+01:00", f.acme);
    assert_non_null(strstr(reply_text(&r, "detail"), "from is \"2026-11-23T07:15:00 01:00\""));
    assert_non_null(strstr(reply_text(&r, "detail"), "%2B"));
    reply_done(&r);
    assert_int_equal(count("/v1/punches?from=2026-01-01&to=2026-02-01"), 0); /* 31 days are one request */
    assert_int_equal(count("/v1/punches?from=2099-01-01"), 0);
    assert_int_equal(count("/v1/punches?to=2001-01-01"), 0);
}

static void test_cursor_belongs_to_its_list(void **state)
{
    struct reply r = get(&f.s, "/v1/punches?state=unassigned&limit=10", f.acme);
    char cursor[512], url[1024];
    assert_int_equal(r.status, 200);
    strcpy(cursor, reply_text(&r, "next"));
    reply_done(&r);
    assert_true(strlen(cursor) > 20);
    static const char *const others[] = {"?cursor=%s", "?state=all&cursor=%s",
                                         "?state=unassigned&reader=door&cursor=%s", "?state=unassigned&site=&cursor=%s",
                                         "?state=unassigned&from=2026-11-01&cursor=%s"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        size_t n = (size_t)snprintf(url, sizeof url, "/v1/punches");
        const char *at = strstr(others[i], "%s");
        snprintf(url + n, sizeof url - n, "%.*s%s", (int)(at - others[i]), others[i], cursor);
        expect(get(&f.s, url, f.acme), 400, "bad-cursor");
    }
    snprintf(url, sizeof url, "/v1/punches?state=unassigned&cursor=%s", cursor);
    expect(get(&f.s, url, f.globex), 400, "bad-cursor");
    expect(get(&f.s, url, f.acme), 200, NULL); /* another limit is another size of page, not another list */
    for (size_t i = 0; i < strlen(cursor); i += 7) {
        snprintf(url, sizeof url, "/v1/punches?state=unassigned&cursor=%s", cursor);
        char *c = url + strlen(url) - strlen(cursor) + i;
        *c = *c == 'A' ? 'B' : 'A';
        expect(get(&f.s, url, f.acme), 400, "bad-cursor");
    }
    /* a restart in between */
    api_stop(api);
    api_begin();
    snprintf(url, sizeof url, "/v1/punches?state=unassigned&cursor=%s", cursor);
    expect(get(&f.s, url, f.acme), 200, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_without_gap_or_double),
        cmocka_unit_test(test_item),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_pages_while_more_arrives),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_cursor_belongs_to_its_list),
        cmocka_unit_test(test_person),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
