/* Erasure as the API's users meet it: counted first, then done, then told of, and nobody by mistake. */
#include "cloud/erasure.h"
#include "tests/unit/api_fixture.h"

/* A person with a card and two punches; the person's id in hex. */
static void somebody(uint64_t number, char ret_id[33])
{
    struct cred cred = fixture_card(number);
    char path[128], body[128], data[16];
    snprintf(body, sizeof body, "{\"name\":\"Ada Lovelace\",\"personnel_number\":\"4711-%llu\"}",
             (unsigned long long)number);
    struct reply r = post(&f.s, "/v1/people", f.acme, body);
    assert_int_equal(r.status, 201);
    strcpy(ret_id, reply_text(&r, "id"));
    reply_done(&r);
    snprintf(path, sizeof path, "/v1/people/%s/credentials", ret_id);
    str_hex_upper(cred.data, 5, data);
    snprintf(body, sizeof body, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"%s\"}", data);
    expect(post(&f.s, path, f.acme, body), 201, NULL);
    for (uint64_t i = 1; i <= 2; i++) {
        struct fixture_punch p = {.tenant = "acme",
                                  .reader = "door",
                                  .gw = f.gw,
                                  .cred = cred,
                                  .gseq = number * 10 + i,
                                  .time = clock_real()};
        fixture_file_one(&f, &p);
    }
}

static struct reply erasure(const char *id, const char *token, const char *body)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/people/%s/erasure", id);
    return post(&f.s, path, token, body);
}

static json_int_t count_of(const struct reply *r, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(r->json, "counts"), name));
}

static void get_status(const char *path, int status)
{
    expect(get(&f.s, path, f.acme), status, NULL);
}

static void test_counted_then_done(void **state)
{
    char id[33], path[128], erased[33];
    somebody(1, id);
    snprintf(path, sizeof path, "/v1/people/%s", id);
    struct reply r = erasure(id, f.acme, "{\"dry_run\":true}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "planned");
    assert_true(json_is_null(json_object_get(r.json, "id")));
    assert_int_equal(count_of(&r, "punches"), 2);
    assert_int_equal(count_of(&r, "credentials"), 1);
    assert_int_equal(count_of(&r, "keys"), 1);
    reply_done(&r);
    get_status(path, 200);

    r = erasure(id, f.acme, "{\"dry_run\":false}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "done");
    assert_string_equal(reply_text(&r, "person"), id);
    assert_int_equal(count_of(&r, "punches"), 2);
    strcpy(erased, reply_text(&r, "id"));
    json_t *originals = json_object_get(r.json, "originals"), *waits = json_object_get(originals, "waits_for");
    assert_true(json_is_null(json_object_get(originals, "erased")));
    assert_int_equal(json_array_size(waits), 1); /* it has not said anything yet */
    assert_true(json_is_null(json_object_get(json_array_get(waits, 0), "last_status")));
    reply_done(&r);

    get_status(path, 404);
    r = erasure(id, f.acme, "{\"dry_run\":false}"); /* again: the same report, nothing anew */
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "id"), erased);
    assert_int_equal(count_of(&r, "punches"), 2);
    reply_done(&r);
    expect(erasure(id, f.acme, "{\"dry_run\":true}"), 404, "not-found");
    expect(erasure(id, f.globex, "{\"dry_run\":false}"), 404, "not-found");
    snprintf(path, sizeof path, "/v1/erasures/%s", erased);
    r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "done");
    assert_null(strstr(r.body, "Ada"));
    reply_done(&r);
    expect(get(&f.s, path, f.globex), 404, "not-found");
}

static void test_nobody_by_mistake(void **state)
{
    static const char *const bodies[] = {"{}", "{\"dry_run\":null}", "{\"dry_run\":\"false\"}", "{\"dry_run\":0}",
                                         "{\"dry-run\":true,\"dry_run\":false}"};
    char id[33], path[128];
    somebody(2, id);
    snprintf(path, sizeof path, "/v1/people/%s", id);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        expect(erasure(id, f.acme, bodies[i]), 400, "invalid");
    }
    char erase_path[160];
    snprintf(erase_path, sizeof erase_path, "%s/erasure", path);
    expect(request(&f.s, "POST", erase_path, f.acme, BYTES_NONE, NULL), 415, "media-type");
    expect(erasure(id, f.globex, "{\"dry_run\":false}"), 404, "not-found");
    get_status(path, 200);
}

static void test_the_list_has_pages(void **state)
{
    char id[33], path[256], next[200];
    for (uint64_t i = 0; i < 3; i++) {
        somebody(10 + i, id);
        expect(erasure(id, f.acme, "{\"dry_run\":false}"), 200, NULL);
    }
    struct reply r = get(&f.s, "/v1/erasures?limit=2", f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
    snprintf(next, sizeof next, "%s", reply_text(&r, "next"));
    reply_done(&r);
    snprintf(path, sizeof path, "/v1/erasures?cursor=%s", next);
    r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_true(json_array_size(json_object_get(r.json, "items")) >= 1);
    assert_true(json_is_null(json_object_get(r.json, "next")));
    reply_done(&r);
    get_status("/v1/erasures/00112233445566778899aabbccddeeff", 404);
}

/* Where escrow cannot be written nothing is erased, and the answer says so. */
static void test_no_escrow_no_erasure(void **state)
{
    char id[33], path[128], folder[128], aside[128];
    somebody(20, id);
    snprintf(folder, sizeof folder, "%s/escrow/acme", f.s.dir);
    snprintf(aside, sizeof aside, "%s/aside", f.s.dir);
    assert_int_equal(rename(folder, aside), 0);
    FILE *file = fopen(folder, "w");
    assert_non_null(file);
    fclose(file);
    expect(erasure(id, f.acme, "{\"dry_run\":false}"), 503, "unavailable");
    snprintf(path, sizeof path, "/v1/people/%s", id);
    get_status(path, 200);
    assert_int_equal(remove(folder), 0);
    assert_int_equal(rename(aside, folder), 0);
    expect(erasure(id, f.acme, "{\"dry_run\":false}"), 200, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted_then_done),
        cmocka_unit_test(test_nobody_by_mistake),
        cmocka_unit_test(test_the_list_has_pages),
        cmocka_unit_test(test_no_escrow_no_erasure),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
