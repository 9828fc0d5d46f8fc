/* Sites, readers and tenants, as users of the API meet them. */
#include "cloud/reader.h"
#include "tests/unit/api_human.h"

static struct reply send_if(const char *method, const char *path, const char *body, const char *tag)
{
    char header[160];
    const char *const extra[] = {"-H", header, "-H", "Content-Type: application/json", NULL};
    snprintf(header, sizeof header, "If-Match: %s", tag);
    return request(&f.s, method, path, f.acme, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

static void keep(char *ret, size_t size, const char *s)
{
    assert_int_equal(str_copy(ret, size, s), 0);
}

/* The member `name` of the item of a list whose `key` is `value`; NULL: no such item. */
static json_t *item_of(const struct reply *r, const char *key, const char *value)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(r->json, "items"), i, o)
    {
        if (strcmp(json_string_value(json_object_get(o, key)), value) == 0)
            return o;
    }
    return NULL;
}

static void gateway_path(char ret[64])
{
    char id[2 * GW_LEN + 1];
    snprintf(ret, 64, "/v1/gateways/%s", str_hex(f.gw, GW_LEN, id));
}

/* ---- sites ---- */

static void test_a_site_lives_and_goes(void **state)
{
    char path[64], tag[64];
    struct reply r = call("POST", "/v1/sites", f.acme, "{\"name\":\"Annex\",\"time_zone\":\"Europe/Berlin\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "time_zone"), "Europe/Berlin");
    keep(path, sizeof path, reply_header(&r, "Location"));
    keep(tag, sizeof tag, reply_header(&r, "ETag"));
    reply_done(&r);
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
    expect(call("POST", "/v1/sites", f.acme, "{\"name\":\"Annex\"}"), 409, "conflict");
    r = call("POST", "/v1/sites", f.globex, "{\"name\":\"Annex\"}"); /* a name is unique within one customer's data */
    assert_int_equal(r.status, 201);
    assert_true(json_is_null(json_object_get(r.json, "time_zone")));
    reply_done(&r);

    r = call("PATCH", path, f.acme, "{\"time_zone\":null}");
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(json_object_get(r.json, "time_zone")));
    assert_string_equal(reply_text(&r, "name"), "Annex");
    reply_done(&r);
    expect(send_if("DELETE", path, NULL, tag), 412, "precondition-failed");
    expect(call("PATCH", path, f.acme, "{\"name\":\"Gate\"}"), 409, "conflict"); /* the gateway's */
    expect(call("DELETE", path, f.globex, NULL), 404, "not-found");
    r = call("DELETE", path, f.acme, NULL);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.n, 0);
    reply_done(&r);
    expect(call("GET", path, f.acme, NULL), 404, "not-found");
    expect(call("DELETE", path, f.acme, NULL), 404, "not-found");
}

static void test_time_zones(void **state)
{
    static const char *const right[] = {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"};
    static const char *const wrong[] = {"",  "/etc/passwd", "../UTC", "Europe/",         "Europe//Berlin",
                                        "5", "Mitte ",      "Köln",   "Europe/Bucharst", "Europe"};
    char body[128], path[64];
    struct reply r = call("POST", "/v1/sites", f.acme, "{\"name\":\"Zoned\"}");
    keep(path, sizeof path, reply_header(&r, "Location"));
    reply_done(&r);
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        snprintf(body, sizeof body, "{\"time_zone\":\"%s\"}", right[i]);
        r = call("PATCH", path, f.acme, body);
        assert_string_equal(reply_text(&r, "time_zone"), right[i]);
        reply_done(&r);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(body, sizeof body, "{\"time_zone\":\"%s\"}", wrong[i]);
        expect(call("PATCH", path, f.acme, body), 400, "invalid");
    }
}

static void test_another_name_is_seen_everywhere(void **state)
{
    char gateway[64], site[80];
    const int64_t day = 86400 * INT64_C(1000000), when = clock_real() / day * day;
    const struct fixture_punch p = {
        .tenant = "acme", .reader = "door", .gw = f.gw, .cred = fixture_card(1), .gseq = 1, .time = when};
    fixture_file_one(&f, &p);
    gateway_path(gateway);
    struct reply r = call("GET", gateway, f.acme, NULL);
    assert_string_equal(reply_text(&r, "site"), "Gate");
    snprintf(site, sizeof site, "/v1/sites/%s", reply_text(&r, "site_id"));
    reply_done(&r);
    r = call("GET", site, f.acme, NULL);
    assert_string_equal(reply_text(&r, "name"), "Gate");
    reply_done(&r);
    expect(call("PATCH", site, f.acme, "{\"name\":\"Main gate\"}"), 200, NULL);
    r = call("GET", gateway, f.acme, NULL);
    assert_string_equal(reply_text(&r, "site"), "Main gate");
    reply_done(&r);
    r = call("GET", "/v1/punches?site=Main%20gate", f.acme, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    r = call("GET", "/v1/punches?site=Gate", f.acme, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
    r = call("DELETE", site, f.acme, NULL);
    assert_problem(&r, 409, "conflict");
    assert_non_null(strstr(reply_text(&r, "detail"), "1 gateway stands here"));
    reply_done(&r);

    /* a gateway goes to a site by its name; one that is new is made */
    r = call("PATCH", gateway, f.acme, "{\"site\":\"Yard\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "site"), "Yard");
    reply_done(&r);
    r = call("GET", "/v1/sites?limit=1000", f.acme, NULL);
    assert_non_null(item_of(&r, "name", "Yard"));
    assert_non_null(item_of(&r, "name", "Main gate"));
    reply_done(&r);
    expect(call("DELETE", site, f.acme, NULL), 204, NULL); /* nobody stands there any more */
}

static void test_a_site_is_archived_when_nothing_stands_there(void **state)
{
    char id[2 * GW_LEN + 1], gateway[64], site[80];
    uint8_t gw[GW_LEN];
    fixture_gateway(&f, "acme", "Old mill", gw);
    snprintf(gateway, sizeof gateway, "/v1/gateways/%s", str_hex(gw, GW_LEN, id));
    struct reply r = call("GET", gateway, f.acme, NULL);
    snprintf(site, sizeof site, "/v1/sites/%s", reply_text(&r, "site_id"));
    reply_done(&r);
    r = call("PATCH", site, f.acme, "{\"archived\":true}");
    assert_problem(&r, 409, "conflict");
    assert_non_null(strstr(reply_text(&r, "detail"), "1 gateway stands here"));
    reply_done(&r);

    assert_int_equal(gateway_revoke(f.c, f.db, gw), 0); /* it never stood anywhere else: the site cannot go */
    expect(call("DELETE", site, f.acme, NULL), 409, "conflict");
    r = call("PATCH", site, f.acme, "{\"archived\":true,\"name\":\"Mill, closed\"}");
    assert_int_equal(r.status, 200);
    assert_string_not_equal(reply_text(&r, "archived"), "");
    reply_done(&r);
    r = call("GET", gateway, f.acme, NULL);
    assert_string_equal(reply_text(&r, "site"), "Mill, closed"); /* still the name of where it stood */
    reply_done(&r);

    /* what stands there again brings it back */
    fixture_gateway(&f, "acme", "Mill, closed", gw);
    r = call("GET", site, f.acme, NULL);
    assert_true(json_is_null(json_object_get(r.json, "archived")));
    reply_done(&r);
    expect(call("PATCH", site, f.acme, "{\"archived\":true}"), 409, "conflict");
    expect(call("PATCH", site, f.globex, "{\"archived\":true}"), 404, "not-found");
    expect(call("POST", "/v1/sites", f.acme, "{\"name\":\"x\",\"archived\":true}"), 400, "invalid");
}

static void test_sites_come_in_pages(void **state)
{
    char body[64], path[1024] = "/v1/sites?limit=4";
    size_t seen = 0, pages = 0;
    for (int i = 0; i < 10; i++) {
        snprintf(body, sizeof body, "{\"name\":\"Page %d\"}", i);
        expect(call("POST", "/v1/sites", f.globex, body), 201, NULL);
    }
    for (bool more = true; more; pages++) {
        size_t i;
        json_t *o;
        struct reply r = call("GET", path, f.globex, NULL);
        assert_int_equal(r.status, 200);
        json_array_foreach(json_object_get(r.json, "items"), i, o)
        {
            seen += str_starts(json_string_value(json_object_get(o, "name")), "Page ");
        }
        more = json_is_string(json_object_get(r.json, "next"));
        snprintf(path, sizeof path, "/v1/sites?limit=4&cursor=%s", reply_text(&r, "next"));
        reply_done(&r);
    }
    assert_int_equal(seen, 10);
    assert_in_range(pages, 3, 4);
    expect(call("GET", "/v1/sites?cursor=abc", f.acme, NULL), 400, "bad-cursor");
}

/* ---- readers ---- */

static void see(const char *tenant, const uint8_t gw[GW_LEN], const char *name, int64_t day)
{
    struct scope s = fixture_begin(&f, tenant);
    assert_int_equal(reader_seen(&s, gw, name, day), 0);
    fixture_commit(&f);
}

static void test_readers(void **state)
{
    char path[80], tag[64], gw[2 * GW_LEN + 1];
    see("acme", f.gw, "front", 20780);
    see("acme", f.gw, "front", 20779); /* a late punch */
    see("acme", f.gw, "front", 20782);
    see("acme", f.gw, "back", 20780);
    see("globex", f.gw2, "front", 20780);
    struct reply r = call("GET", "/v1/readers", f.acme, NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
    json_t *o = item_of(&r, "name", "front");
    assert_string_equal(json_string_value(json_object_get(o, "gateway")), str_hex(f.gw, GW_LEN, gw));
    assert_string_equal(json_string_value(json_object_get(o, "first_day")), "2026-11-22");
    assert_string_equal(json_string_value(json_object_get(o, "last_day")), "2026-11-25");
    assert_true(json_is_null(json_object_get(o, "label")));
    snprintf(path, sizeof path, "/v1/readers/%s", json_string_value(json_object_get(o, "id")));
    reply_done(&r);

    r = call("GET", path, f.acme, NULL);
    assert_string_equal(reply_text(&r, "name"), "front");
    keep(tag, sizeof tag, reply_header(&r, "ETag"));
    reply_done(&r);
    see("acme", f.gw, "front", 20790); /* that it punches keeps nobody from giving it a label */
    r = send_if("PATCH", path, "{\"label\":\"Turnstile\"}", tag);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "label"), "Turnstile");
    assert_string_equal(reply_text(&r, "name"), "front");
    reply_done(&r);
    expect(send_if("PATCH", path, "{\"label\":\"Lost\"}", tag), 412, "precondition-failed");
    see("acme", f.gw, "front", 20791);
    r = call("GET", path, f.acme, NULL);
    assert_string_equal(reply_text(&r, "label"), "Turnstile"); /* which it keeps */
    assert_string_equal(reply_text(&r, "last_day"), "2026-12-04");
    reply_done(&r);
    r = call("PATCH", path, f.acme, "{\"label\":null}");
    assert_true(json_is_null(json_object_get(r.json, "label")));
    reply_done(&r);
    expect(call("PATCH", path, f.acme, "{\"name\":\"x\"}"), 400, "invalid"); /* its gateway's to say */
    expect(call("PATCH", path, f.globex, "{\"label\":\"x\"}"), 404, "not-found");
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
}

/* The directions of the punches that a reader of this name made, in the order of their times. */
static void directions_at(const char *reader, char *ret, size_t size)
{
    char path[160], from[32], to[32];
    const int64_t now = clock_real();
    size_t i;
    json_t *o;
    snprintf(path, sizeof path, "/v1/punches?reader=%s&from=%s&to=%s", reader,
             str_time(now - INT64_C(86400000000), from), str_time(now + INT64_C(3600000000), to));
    struct reply r = call("GET", path, f.acme, NULL);
    assert_int_equal(r.status, 200);
    ret[0] = '\0';
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        size_t n = strlen(ret);
        snprintf(ret + n, size - n, "%s ", json_string_value(json_object_get(o, "direction")));
    }
    reply_done(&r);
}

static void test_a_reader_has_a_direction(void **state)
{
    char path[80], got[64];
    const int64_t now = clock_real();
    struct fixture_punch p = {.tenant = "acme", .reader = "lift", .gw = f.gw, .cred = fixture_card(7), .time = now};
    p.gseq = 50;
    fixture_file_one_dir(&f, &p, DIR_UNKNOWN);
    p.gseq = 51; /* says "in" itself */
    p.time += 1000;
    fixture_file_one(&f, &p);
    see("acme", f.gw, "lift", now / INT64_C(86400000000));
    struct reply r = call("GET", "/v1/readers?limit=1000", f.acme, NULL);
    json_t *o = item_of(&r, "name", "lift");
    assert_string_equal(json_string_value(json_object_get(o, "direction")), "both");
    assert_string_equal(json_string_value(json_object_get(o, "mode")), "attendance");
    snprintf(path, sizeof path, "/v1/readers/%s", json_string_value(json_object_get(o, "id")));
    reply_done(&r);
    directions_at("lift", got, sizeof got);
    assert_string_equal(got, "unknown in ");

    r = call("PATCH", path, f.acme, "{\"direction\":\"out\",\"mode\":\"access\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "direction"), "out");
    assert_string_equal(reply_text(&r, "mode"), "access");
    reply_done(&r);
    directions_at("lift", got, sizeof got);
    assert_string_equal(got, "out in ");                       /* what the punch says itself counts */
    see("acme", f.gw, "lift", now / INT64_C(86400000000) + 1); /* another punch leaves the settings as they are */
    r = call("PATCH", path, f.acme, "{\"direction\":\"both\"}");
    assert_string_equal(reply_text(&r, "direction"), "both");
    assert_string_equal(reply_text(&r, "mode"), "access");
    reply_done(&r);
    directions_at("lift", got, sizeof got);
    assert_string_equal(got, "unknown in ");
    expect(call("PATCH", path, f.acme, "{\"direction\":\"up\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"mode\":null}"), 400, "invalid");
}

/* ---- tenants ---- */

static void test_tenants(void **state)
{
    struct reply r = call("POST", "/v1/tenants", f.operator_token, "{\"id\":\"initech\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Location"), "/v1/tenants/initech");
    assert_string_equal(reply_text(&r, "id"), "initech");
    assert_int_equal(json_integer_value(json_object_get(r.json, "gateways")), 0);
    reply_done(&r);
    expect(call("POST", "/v1/tenants", f.operator_token, "{\"id\":\"initech\"}"), 409, "conflict");
    expect(call("POST", "/v1/tenants", f.operator_token, "{\"id\":\"In_itech\"}"), 400, "invalid");
    expect(call("GET", "/v1/tenants/nobody", f.operator_token, NULL), 404, "not-found");
    r = call("GET", "/v1/tenants/acme", f.operator_token, NULL);
    assert_int_equal(json_integer_value(json_object_get(r.json, "gateways")), 3);
    assert_string_not_equal(reply_header(&r, "ETag"), "");
    reply_done(&r);

    r = call("GET", "/v1/tenants?limit=2", f.operator_token, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
    char path[1024];
    snprintf(path, sizeof path, "/v1/tenants?limit=2&cursor=%s", reply_text(&r, "next"));
    reply_done(&r);
    r = call("GET", path, f.operator_token, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    assert_non_null(item_of(&r, "id", "initech"));
    assert_true(json_is_null(json_object_get(r.json, "next")));
    reply_done(&r);
}

/* Whoever is of an archived customer is shut out; nothing of it is lost. */
static void test_archived_tenant(void **state)
{
    struct human h = human_with("globex", "greta", ROLE_OWNER);
    struct reply r;
    expect(as(&h, "GET", "/v1/people", NULL), 200, NULL);
    expect(call("GET", "/v1/people", f.globex, NULL), 200, NULL);
    expect(call("PATCH", "/v1/tenants/globex", f.operator_token, "{}"), 400, "invalid");
    expect(call("PATCH", "/v1/tenants/nobody", f.operator_token, "{\"archived\":true}"), 404, "not-found");
    expect(call("PATCH", "/v1/tenants/_vendor", f.operator_token, "{\"archived\":true}"), 404, "not-found");
    expect(call("PATCH", "/v1/tenants/globex", f.globex, "{\"archived\":true}"), 403, "forbidden");

    for (int i = 0; i < 2; i++) { /* twice is once */
        r = call("PATCH", "/v1/tenants/globex", f.operator_token, "{\"archived\":true}");
        assert_int_equal(r.status, 200);
        assert_true(json_is_string(json_object_get(r.json, "archived")));
        reply_done(&r);
    }
    expect(as(&h, "GET", "/v1/people", NULL), 403, "forbidden");
    expect(as(&h, "GET", "/v1/me", NULL), 403, "forbidden");
    expect(call("GET", "/v1/people", f.globex, NULL), 403, "forbidden");
    expect(call("GET", "/v1/people", f.acme, NULL), 200, NULL); /* others notice nothing */
    expect(call("GET", "/v1/tenants/globex", f.operator_token, NULL), 200, NULL);

    r = call("PATCH", "/v1/tenants/globex", f.operator_token, "{\"archived\":false}");
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(json_object_get(r.json, "archived")));
    reply_done(&r);
    expect(as(&h, "GET", "/v1/people", NULL), 200, NULL);
    expect(call("GET", "/v1/people", f.globex, NULL), 200, NULL);
}

/* A tenant that was made under a key is there, with its keys, and made once; the operator's keys are nobody else's. */
static void test_tenant_is_made_once(void **state)
{
    static const char *const extra[] = {"-H", "Idempotency-Key: t1", "-H", "Content-Type: application/json", NULL};
    const struct bytes body = BYTES_STR("{\"id\":\"hooli\"}"), person = BYTES_STR("{\"name\":\"x\"}");
    struct reply r = request(&f.s, "POST", "/v1/people", f.acme, person, extra);
    assert_int_equal(r.status, 201);
    reply_done(&r);
    for (int i = 0; i < 2; i++) {
        r = request(&f.s, "POST", "/v1/tenants", f.operator_token, body, extra);
        assert_int_equal(r.status, 201); /* unkeyed, the second is 409 */
        assert_string_equal(reply_header(&r, "Location"), "/v1/tenants/hooli");
        assert_string_equal(reply_header(&r, "Idempotency-Replayed"), i == 1 ? "true" : "");
        reply_done(&r);
    }
    struct token t;
    char token[TOKEN_TEXT_MAX];
    assert_int_equal(token_add(f.c, f.db, "hooli", "test", 0, token, &t), 0);
    r = post(&f.s, "/v1/people", token, "{\"name\":\"First\"}");
    assert_int_equal(r.status, 201);
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_site_lives_and_goes),
        cmocka_unit_test(test_time_zones),
        cmocka_unit_test(test_another_name_is_seen_everywhere),
        cmocka_unit_test(test_a_site_is_archived_when_nothing_stands_there),
        cmocka_unit_test(test_sites_come_in_pages),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_a_reader_has_a_direction),
        cmocka_unit_test(test_tenants),
        cmocka_unit_test(test_archived_tenant),
        cmocka_unit_test(test_tenant_is_made_once),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
