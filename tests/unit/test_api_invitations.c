/* A gateway is enrolled over HTTPS by a code: once, for one gateway, and for no other's. */
#include "tests/unit/api_fixture.h"

static char site[2 * ID_LEN + 1]; /* acme's Gate */

static int setup(void **state)
{
    char path[64], id[2 * GW_LEN + 1];
    (void)api_setup(state);
    snprintf(path, sizeof path, "/v1/gateways/%s", str_hex(f.gw, GW_LEN, id));
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(str_copy(site, sizeof site, reply_text(&r, "site_id")), 0);
    reply_done(&r);
    return 0;
}

/* Wrong codes delay whoever sends them; the next test is somebody else. */
static void forgive(void)
{
    fixture_sql(&f, "DELETE FROM throttle");
}

static void invite(char ret_code[64], char ret_path[80])
{
    char body[128];
    snprintf(body, sizeof body, "{\"site_id\":\"%s\"}", site);
    struct reply r = post(&f.s, "/v1/gateway-invitations", f.acme, body);
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "state"), "open");
    assert_int_equal(str_copy(ret_code, 64, reply_text(&r, "code")), 0);
    assert_int_equal(str_copy(ret_path, 80, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static const char *const as_text[] = {"-H", "Content-Type: text/plain", NULL};

static struct reply enrol(const char *code, struct bytes text)
{
    return request(&f.s, "POST", "/v1/gateways/enrol", code, text, as_text);
}

static void make_request(uint8_t ret_gw[GW_LEN], struct buf *ret)
{
    buf_init(ret, ENROL_FILE_MAX);
    fixture_request(ret_gw, ret);
}

static void expect_state(const char *path, const char *state)
{
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), state);
    assert_null(json_object_get(r.json, "code"));
    reply_done(&r);
}

static void test_enrolled_by_a_code(void **state)
{
    char code[64], path[80], id[2 * GW_LEN + 1], gateway[64], typed[64];
    uint8_t gw[GW_LEN], root[CRYPTO_POINT];
    struct buf CLEANUP(buf_done) text;
    struct bundle *b = calloc(1, sizeof *b);
    assert_non_null(b);
    make_request(gw, &text);
    invite(code, path);
    expect_state(path, "open");
    for (size_t i = 0; i <= strlen(code); i++) /* as it may be typed */
        typed[i] = code[i] >= 'A' && code[i] <= 'Z' ? (char)(code[i] + 32) : code[i];
    struct reply r = enrol(typed, buf_bytes(&text));
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "text/plain");
    assert_int_equal(bundle_read(BYTES(r.body, r.n), NULL, b, root), 0);
    assert_memory_equal(b->gw, gw, GW_LEN);
    assert_int_equal(b->gen, 1);
    reply_done(&r);
    free(b);
    expect_state(path, "used");
    r = get(&f.s, path, f.acme);
    assert_string_equal(reply_text(&r, "gateway"), str_hex(gw, GW_LEN, id));
    reply_done(&r);
    snprintf(gateway, sizeof gateway, "/v1/gateways/%s", id);
    r = get(&f.s, gateway, f.acme);
    assert_string_equal(reply_text(&r, "site_id"), site);
    assert_string_equal(reply_text(&r, "state"), "never-seen");
    reply_done(&r);

    expect(enrol(code, buf_bytes(&text)), 401, "token-unknown"); /* once */
    uint8_t other[GW_LEN];
    struct buf CLEANUP(buf_done) text2;
    make_request(other, &text2);
    expect(enrol(code, buf_bytes(&text2)), 401, "token-unknown");
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, NULL), 409, "conflict");
    forgive();
}

static void test_whom_an_invitation_serves(void **state)
{
    char code[64], path[80];
    uint8_t gw[GW_LEN];
    struct buf CLEANUP(buf_done) text;
    make_request(gw, &text);
    invite(code, path);
    expect(get(&f.s, path, f.globex), 404, "not-found");
    expect(request(&f.s, "DELETE", path, f.globex, BYTES_NONE, NULL), 404, "not-found");
    expect(enrol(NULL, buf_bytes(&text)), 401, "token-missing");
    expect(request(&f.s, "POST", "/v1/gateways/enrol", code, buf_bytes(&text), as_json), 415, "media-type");
    expect(enrol(code, BYTES_STR("-----BEGIN PUNCH REQUEST-----")), 400, "invalid");
    expect_state(path, "open"); /* none of this used it */
    static const char *const stale[] = {"-H", "If-Match: \"as it never was\"", NULL};
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, stale), 412, "precondition-failed");
    expect_state(path, "open");
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, NULL), 204, NULL);
    expect_state(path, "revoked");
    expect(enrol(code, buf_bytes(&text)), 401, "token-unknown");
    forgive();
    expect(enrol(f.acme, buf_bytes(&text)), 401, "token-unknown"); /* a token is no code */
    forgive();

    struct reply r = get(&f.s, "/v1/gateway-invitations", f.acme);
    assert_true(json_array_size(json_object_get(r.json, "items")) >= 1);
    assert_null(strstr(r.body, code));
    reply_done(&r);
    r = get(&f.s, "/v1/gateway-invitations", f.globex);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
}

static void test_its_end(void **state)
{
    char body[160], code[64], path[80], when[32];
    uint8_t gw[GW_LEN];
    struct buf CLEANUP(buf_done) text;
    make_request(gw, &text);
    snprintf(body, sizeof body, "{\"site_id\":\"%s\",\"until\":\"%s\"}", site,
             str_time(clock_real() + INT64_C(8) * 86400 * 1000000, when));
    expect(post(&f.s, "/v1/gateway-invitations", f.acme, body), 400, "invalid");
    snprintf(body, sizeof body, "{\"site_id\":\"%s\",\"until\":\"2020-01-01T00:00:00Z\"}", site);
    expect(post(&f.s, "/v1/gateway-invitations", f.acme, body), 400, "invalid");
    expect(post(&f.s, "/v1/gateway-invitations", f.globex, body), 400, "invalid"); /* no site of theirs */
    invite(code, path);
    fixture_sql(&f, "UPDATE invitation SET expires = created + 1 WHERE used = 0");
    expect_state(path, "expired");
    expect(enrol(code, buf_bytes(&text)), 401, "token-unknown");
    forgive();
}

/* Whoever saw a gateway's request, which is no secret, cannot take that gateway away with a code of his own. */
static void test_another_gateways_request(void **state)
{
    char code[64], path[80];
    uint8_t gw[GW_LEN];
    struct buf CLEANUP(buf_done) text, CLEANUP(buf_done) bundle;
    struct gateway g;
    bool latest;
    make_request(gw, &text);
    buf_init(&bundle, ENROL_FILE_MAX);
    assert_int_equal(gateway_add(f.c, f.db, "globex", "Dock", buf_bytes(&text), &bundle, &g), 0);
    invite(code, path);
    expect(enrol(code, buf_bytes(&text)), 409, "conflict");
    expect_state(path, "open");
    assert_int_equal(gateway_find(f.db, gw, 1, &g, &latest), 0);
    assert_true(latest);
    assert_string_equal(g.tenant, "globex");

    /* The bundle was lost on its way: another code, the same site, not yet heard. */
    buf_reset(&text);
    fixture_request(gw, &text);
    expect(enrol(code, buf_bytes(&text)), 200, NULL);
    invite(code, path);
    expect(enrol(code, buf_bytes(&text)), 200, NULL);
    assert_int_equal(gateway_get(f.db, "acme", gw, &g), 0);
    assert_int_equal(g.gen, 2);
    const struct status st = {.online = true, .mono = 1};
    assert_int_equal(gateway_put_status(f.db, &g, &st, clock_real()), 0);
    invite(code, path);
    expect(enrol(code, buf_bytes(&text)), 409, "conflict"); /* it works: nobody takes it away */
}

static void test_guessing_is_slowed_down(void **state)
{
    char wrong[] = "00000-00000-00000-00000-00000", code[64], path[80];
    uint8_t gw[GW_LEN];
    int refused = 0;
    struct buf CLEANUP(buf_done) text;
    make_request(gw, &text);
    invite(code, path);
    for (int i = 0; i < 40 && refused == 0; i++) {
        wrong[0] = (char)('0' + i % 10);
        struct reply r = enrol(wrong, buf_bytes(&text));
        if (r.status == 429) {
            assert_problem(&r, 429, "too-many-attempts");
            assert_true(atoi(reply_header(&r, "Retry-After")) >= 1);
            refused = i;
        } else {
            assert_problem(&r, 401, "token-unknown");
        }
        reply_done(&r);
    }
    assert_in_range(refused, 1, 39);
    expect(enrol(code, buf_bytes(&text)), 429, "too-many-attempts"); /* the right one waits, too */
    forgive();
    expect(enrol(code, buf_bytes(&text)), 200, NULL);
}

#define RACERS 8
static void *race(void *arg)
{
    const char *code = arg;
    uint8_t gw[GW_LEN];
    char body[160], auth[128];
    struct buf CLEANUP(buf_done) text;
    buf_init(&text, ENROL_FILE_MAX);
    fixture_request(gw, &text);
    snprintf(body, sizeof body, "%s/race-%p", f.s.dir, (void *)&text);
    assert_int_equal(file_write_volatile(body, buf_bytes(&text), 0600), 0);
    char data[170], url[64];
    snprintf(data, sizeof data, "@%s", body);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s", code);
    snprintf(url, sizeof url, "https://localhost:%u/v1/gateways/enrol", f.s.port);
    const char *const argv[] = {"curl",
                                "-sS",
                                "-i",
                                "--max-time",
                                "60",
                                "--cacert",
                                f.s.ca,
                                "-H",
                                auth,
                                "-H",
                                "Content-Type: text/plain",
                                "--data-binary",
                                data,
                                url,
                                NULL};
    int code_of = -1;
    char *said = run_program(argv, &code_of);
    assert_int_equal(code_of, 0);
    struct reply r = reply_parse(said);
    intptr_t status = r.status;
    reply_done(&r);
    return (void *)status;
}

static void test_once_also_in_a_race(void **state)
{
    char code[64], path[80];
    pthread_t t[RACERS];
    int won = 0;
    invite(code, path);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, race, code), 0);
    for (int i = 0; i < RACERS; i++) {
        void *status = NULL;
        pthread_join(t[i], &status);
        won += (intptr_t)status == 200;
    }
    assert_int_equal(won, 1);
    expect_state(path, "used");
    forgive();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enrolled_by_a_code),
        cmocka_unit_test(test_whom_an_invitation_serves),
        cmocka_unit_test(test_its_end),
        cmocka_unit_test(test_another_gateways_request),
        cmocka_unit_test(test_guessing_is_slowed_down),
        cmocka_unit_test(test_once_also_in_a_race),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
