/* Gateways as an administrator meets them: how they are, their enrolments, and refusing one for good. */
#include "tests/unit/api_fixture.h"

static const char *at(const uint8_t gw[GW_LEN], const char *rest)
{
    static char path[96];
    char id[2 * GW_LEN + 1];
    snprintf(path, sizeof path, "/v1/gateways/%s%s", str_hex(gw, GW_LEN, id), rest);
    return path;
}

static struct reply send(const char *method, const char *path, const char *token)
{
    return request(&f.s, method, path, token, BYTES_NONE, NULL);
}

static void expect_state(const uint8_t gw[GW_LEN], const char *state)
{
    struct reply r = get(&f.s, at(gw, ""), f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), state);
    reply_done(&r);
}

static void add(const char *tenant, const char *site, uint8_t ret_gw[GW_LEN])
{
    fixture_gateway(&f, tenant, site, ret_gw);
}

/* It says of itself, `age` us ago. */
static void says(const uint8_t gw[GW_LEN], bool online, uint64_t mono, int64_t age)
{
    struct gateway g;
    struct status st = {.online = online, .mono = mono, .real = clock_real() - age, .ck = ck_make(CLOCK_FREE, 1000)};
    st.counts[COUNT_SPOOL_UNACKED] = 7;
    assert_int_equal(gateway_get(f.db, "acme", gw, &g), 0);
    assert_int_equal(gateway_put_status(f.db, &g, &st, clock_real() - age), 0);
}

static void test_how_a_gateway_is(void **state)
{
    uint8_t gw[GW_LEN];
    add("acme", "Gate", gw);
    expect_state(gw, "never-seen");
    struct reply r = get(&f.s, at(gw, ""), f.acme);
    assert_true(json_is_null(json_object_get(r.json, "clock")));
    assert_true(json_is_null(json_object_get(r.json, "version")));
    assert_true(json_is_null(json_object_get(r.json, "last_seen")));
    assert_true(strcmp(reply_text(&r, "certificate_expires"), "2027") > 0);
    reply_done(&r);

    says(gw, true, 1000, 0);
    r = get(&f.s, at(gw, ""), f.acme);
    assert_string_equal(reply_text(&r, "state"), "online");
    assert_string_equal(reply_text(&r, "last_seen"), reply_text(&r, "last_status"));
    json_t *clock = json_object_get(r.json, "clock"), *counts = json_object_get(r.json, "counts");
    assert_string_equal(json_string_value(json_object_get(clock, "state")), "free");
    assert_in_range(json_integer_value(json_object_get(clock, "uncertainty_us")), 1000, 2000);
    assert_int_equal(json_integer_value(json_object_get(counts, "spool_unacked")), 7);
    reply_done(&r);
    says(gw, false, 2000, 0); /* it left */
    expect_state(gw, "silent");

    uint8_t lost[GW_LEN];
    add("acme", "Gate", lost);
    says(lost, true, 1000, INT64_C(3600) * 1000000); /* an hour ago it was online, and nothing since */
    expect_state(lost, "silent");
}

static void test_revoked_for_good(void **state)
{
    uint8_t gw[GW_LEN];
    char crl[160];
    struct stat before, after;
    add("acme", "Gate", gw);
    says(gw, true, 1000, 0);
    snprintf(crl, sizeof crl, "%s/state/pki/ca.crl", f.s.dir);
    assert_int_equal(stat(crl, &before), 0);
    expect(send("POST", at(gw, "/revocation"), f.globex), 404, "not-found");
    expect(send("POST", at(gw, "/revocation"), f.operator_token), 403, "forbidden");
    expect_state(gw, "online");
    struct reply r = send("POST", at(gw, "/revocation"), f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "revoked");
    char when[40];
    snprintf(when, sizeof when, "%s", reply_text(&r, "revoked"));
    reply_done(&r);
    assert_int_equal(stat(crl, &after), 0);
    assert_true(after.st_size > before.st_size); /* the broker's list names it */
    r = send("POST", at(gw, "/revocation"), f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "revoked"), when); /* nothing more */
    reply_done(&r);

    struct gateway g;
    bool latest;
    assert_int_equal(gateway_find(f.db, gw, 1, &g, &latest), 0);
    assert_true(g.revoked != 0);
    assert_int_equal(gateway_get(f.db, "acme", f.gw, &g), 0);
    assert_int_equal(g.revoked, 0); /* its neighbour */
}

static void enrol(const char *tenant, const char *site, struct bytes request)
{
    struct gateway g;
    struct buf CLEANUP(buf_done) bundle;
    buf_init(&bundle, ENROL_FILE_MAX);
    assert_int_equal(gateway_add(f.c, f.db, tenant, site, request, &bundle, &g), 0);
}

/* A gateway that went to another customer is not the former one's to revoke, and its later enrolments are not its to
 * see. */
static void test_generations(void **state)
{
    uint8_t gw[GW_LEN];
    struct buf CLEANUP(buf_done) text;
    buf_init(&text, ENROL_FILE_MAX);
    fixture_request(gw, &text);
    enrol("acme", "First", buf_bytes(&text));
    enrol("acme", "Second", buf_bytes(&text));
    struct reply r = get(&f.s, at(gw, "/generations"), f.acme);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items"), *newest = json_array_get(items, 0),
           *old = json_array_get(items, 1);
    assert_int_equal(json_array_size(items), 2);
    assert_true(json_is_true(json_object_get(r.json, "complete")));
    assert_int_equal(json_integer_value(json_object_get(newest, "generation")), 2);
    assert_string_equal(json_string_value(json_object_get(newest, "site")), "Second");
    assert_string_equal(json_string_value(json_object_get(old, "site")), "First");
    assert_string_not_equal(json_string_value(json_object_get(newest, "certificate")),
                            json_string_value(json_object_get(old, "certificate")));
    reply_done(&r);
    expect(get(&f.s, at(gw, "/generations"), f.globex), 404, "not-found");

    enrol("globex", "Third", buf_bytes(&text));
    r = get(&f.s, at(gw, "/generations"), f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
    reply_done(&r);
    r = get(&f.s, at(gw, "/generations"), f.globex);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    expect(send("POST", at(gw, "/revocation"), f.acme), 409, "conflict");
    r = get(&f.s, at(gw, ""), f.globex);
    assert_true(json_is_null(json_object_get(r.json, "revoked")));
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_a_gateway_is),
        cmocka_unit_test(test_revoked_for_good),
        cmocka_unit_test(test_generations),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
