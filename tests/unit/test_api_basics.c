/* The API as its users meet it: rights, people, credentials, gateways, errors. Punches are in test_api_punches.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api/api_impl.h"
#include "api/http.h"
#include "base/log.h"
#include "base/str.h"
#include "tests/unit/api_fixture.h"

/* Makes a person; its id in hex. */
static void make_person(const char *token, const char *body, char ret_id[33])
{
    struct reply r = post(&f.s, "/v1/people", token, body);
    assert_int_equal(r.status, 201);
    assert_int_equal(strlen(reply_text(&r, "id")), 32);
    strcpy(ret_id, reply_text(&r, "id"));
    reply_done(&r);
}

static void test_health(void **state)
{
    struct reply r = get(&f.s, "/healthz", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "status"), "ok");
    reply_done(&r);
    r = get(&f.s, "/readyz", NULL);
    assert_int_equal(r.status, 503);
    json_t *checks = json_object_get(r.json, "checks");
    assert_string_equal(json_string_value(json_object_get(checks, "store")), "ok");
    assert_string_equal(json_string_value(json_object_get(checks, "keys")), "ok");
    assert_string_equal(json_string_value(json_object_get(checks, "broker")), "not connected");
    reply_done(&r);
}

/* With an id of the right shape. */
static void path_for(const char *pattern, char ret[128])
{
    const char *brace = strchr(pattern, '{');
    if (brace)
        snprintf(ret, 128, "%.*s00112233445566778899aabbccddeeff%s", (int)(brace - pattern), pattern,
                 strchr(brace, '}') + 1);
    else
        snprintf(ret, 128, "%s", pattern);
}

static void test_every_route_wants_its_token(void **state)
{
    size_t n;
    const struct api_route *t = api_routes(&n);
    for (size_t i = 0; i < n; i++) {
        const char *m = t[i].method;
        char p[128];
        if (t[i].scope == SCOPE_OPEN)
            continue;
        path_for(t[i].pattern, p);
        struct reply r = request(&f.s, m, p, NULL, BYTES_NONE, NULL);
        assert_problem(&r, 401, "token-missing");
        assert_string_equal(reply_header(&r, "WWW-Authenticate"), "Bearer realm=\"punchcloud\"");
        reply_done(&r);
        r = request(&f.s, m, p, "pct_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", BYTES_NONE, NULL);
        assert_problem(&r, 401, "token-unknown");
        assert_non_null(strstr(reply_header(&r, "WWW-Authenticate"), "error=\"invalid_token\""));
        reply_done(&r);
        expect(call(m, p, t[i].scope == SCOPE_OPERATOR ? f.acme : f.operator_token, NULL), 403, "forbidden");
    }
}

static void test_tokens(void **state)
{
    struct token t;
    char text[TOKEN_TEXT_MAX];
    static const char *const basic[] = {"-H", "Authorization: Basic YTpi", NULL};
    static const char *const empty[] = {"-H", "Authorization: Bearer ", NULL};
    char lower[128];
    assert_int_equal(token_add(f.c, f.db, "acme", "", clock_real() - 1000000, text, &t), 0);
    struct reply r = get(&f.s, "/v1/people", text);
    assert_problem(&r, 401, "token-expired");
    assert_non_null(strstr(reply_header(&r, "WWW-Authenticate"), "expired"));
    reply_done(&r);
    assert_int_equal(token_add(f.c, f.db, "acme", "", clock_real() + 3600000000, text, &t), 0);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    assert_int_equal(token_revoke(f.c, f.db, t.id), 0);
    expect(call("GET", "/v1/people", text, NULL), 401, "token-unknown");

    expect(request(&f.s, "GET", "/v1/people", NULL, BYTES_NONE, basic), 401, "token-missing");
    expect(request(&f.s, "GET", "/v1/people", NULL, BYTES_NONE, empty), 401, NULL);
    snprintf(lower, sizeof lower, "Authorization: bearer %s", f.acme);
    const char *const scheme[] = {"-H", lower, NULL};
    expect(request(&f.s, "GET", "/v1/people", NULL, BYTES_NONE, scheme), 200, NULL); /* schemes know no case */
    /* a tenant's token does not outgrow its tenant by asking in the query */
    expect(call("GET", "/v1/people?tenant=globex", f.acme, NULL), 400, "bad-parameter");
    r = call("GET", "/v1/gateways?page=2", f.acme, NULL); /* what it says instead */
    assert_non_null(strstr(reply_text(&r, "detail"), "\"page\" here; possible are limit, cursor"));
    reply_done(&r);
}

static void test_unknown_paths(void **state)
{
    static const char *const paths[] = {"/",
                                        "/v1",
                                        "/v1/",
                                        "/v1/people/",
                                        "/v1//people",
                                        "/v1/peopl",
                                        "/v1/people%00x",
                                        "/V1/people",
                                        "/v1/people/1/credentials/2",
                                        "/v1/people/00112233445566778899aabbccddeef",
                                        "/v1/people/..",
                                        "/v1/gateways/xyz",
                                        "/v1/credentials/waiting2"};
    static const char *const as_is[] = {"--path-as-is", NULL};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        expect(request(&f.s, "GET", paths[i], f.acme, BYTES_NONE, as_is), 404, "not-found");
    }
}

static void test_methods(void **state)
{
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"DELETE", "/v1/people", "GET, HEAD, POST"},
        {"PUT", "/v1/people/1", "GET, HEAD, PATCH"},
        {"POST", "/v1/punches", "GET, HEAD"},
        {"GET", "/v1/credentials/1/unassign", "POST"},
        {"POST", "/v1/gateways/1", "GET, HEAD, PATCH"},
        {"PUT", "/v1/sites/1", "GET, HEAD, PATCH, DELETE"},
        {"OPTIONS", "/healthz", "GET, HEAD"},
        {"DELETE", "/v1/credentials/waiting", "GET, HEAD"},
        {"BREW", "/v1/people/1/credentials", "GET, HEAD, POST"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r = request(&f.s, cases[i].method, cases[i].path, f.acme, BYTES_NONE, NULL);
        assert_problem(&r, 405, "method-not-allowed");
        assert_string_equal(reply_header(&r, "Allow"), cases[i].allow);
        reply_done(&r);
    }
}

static void test_head(void **state)
{
    static const char *const paths[] = {"/healthz", "/v1/people", "/v1/gateways", "/v1/credentials/waiting",
                                        "/v1/punches"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct reply r = request(&f.s, "HEAD", paths[i], f.acme, BYTES_NONE, NULL);
        assert_int_equal(r.status, 200);
        assert_int_equal(r.n, 0);
        assert_string_equal(reply_header(&r, "Content-Type"), "application/json");
        assert_true(atoi(reply_header(&r, "Content-Length")) > 10);
        reply_done(&r);
    }
    expect(request(&f.s, "HEAD", "/v1/people", NULL, BYTES_NONE, NULL), 401, NULL);
}

static void test_people(void **state)
{
    char id[33], plain[33];
    struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\":\"Ada \xc3\x84\",\"personnel_number\":\"4711\"}");
    assert_int_equal(r.status, 201);
    strcpy(id, reply_text(&r, "id"));
    assert_string_equal(reply_header(&r, "Location"), path_of("/v1/people/%s", id));
    assert_string_equal(reply_header(&r, "Cache-Control"), "no-store");
    assert_string_equal(reply_text(&r, "name"), "Ada \xc3\x84");
    assert_int_equal(strlen(reply_text(&r, "created")), 27);
    json_t *made = json_incref(r.json);
    reply_done(&r);

    r = get(&f.s, path_of("/v1/people/%s", id), f.acme);
    assert_int_equal(r.status, 200);
    assert_true(json_equal(r.json, made));
    json_decref(made);
    reply_done(&r);
    expect(call("GET", path_of("/v1/people/%s", id), f.globex, NULL), 404, "not-found");

    make_person(f.acme, "{\"name\":\"Bob\"}", plain);
    r = get(&f.s, path_of("/v1/people/%s", plain), f.acme);
    assert_true(json_is_null(json_object_get(r.json, "personnel_number")));
    reply_done(&r);
}

static void test_bad_bodies(void **state)
{
    static char big[HTTP_BODY_MAX + 64];
    struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\":\"A\",\"nam\":\"B\"}");
    assert_problem(&r, 400, "invalid");
    json_t *e = json_array_get(json_object_get(r.json, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(e, "pointer")), "/nam");
    reply_done(&r);
    expect(call("POST", "/v1/people", f.acme, "{\"name\":\"A\",\"name\":\"B\"}"), 400, "bad-json");
    expect(call("POST", "/v1/people", f.acme, "{\"name\":5}"), 400, "invalid");
    expect(call("POST", "/v1/people", f.acme, "{\"name\":\"\"}"), 400, "invalid");
    expect(call("POST", "/v1/people", f.acme, "{\"name\":\"A"), 400, "bad-json");
    expect(call("POST", "/v1/people", f.acme, "[]"), 400, "bad-json");
    expect(call("POST", "/v1/people", f.acme, "{\"name\":\"\xff\"}"), 400, "bad-json");
    expect(request(&f.s, "POST", "/v1/people", f.acme, BYTES_STR("{\"name\":\"A\"}"), NULL), 415, "media-type");
    memset(big, ' ', sizeof big - 1);
    expect(call("POST", "/v1/people", f.acme, big), 413, "too-large");
    /* 200 characters, but more bytes than the store takes */
    size_t n = (size_t)sprintf(big, "{\"name\":\"");
    for (int i = 0; i < 200; i++)
        n += (size_t)sprintf(big + n, "\xe2\x82\xac");
    sprintf(big + n, "\"}");
    expect(call("POST", "/v1/people", f.acme, big), 400, "invalid");
}

static void test_query_is_strict(void **state)
{
    static const char *const bad[] = {
        "/v1/people?limit=0",     "/v1/people?limit=1001",      "/v1/people?limit=-1",
        "/v1/people?limit=abc",   "/v1/people?limit=1&limit=2", "/v1/people?lim=1",
        "/v1/people?limit=",      "/v1/people/1?x=1",           "/v1/gateways?site=5",
        "/v1/people?limit=1%200", "/v1/people?%ff=1",           "/healthz?x=1&a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(call("GET", bad[i], f.acme, NULL), 400, "bad-parameter");
}

/* What is sent in vain may have been meant: so it is not passed over. Which routes read one: test_api_openapi. */
static void test_a_body_is_read_or_refused(void **state)
{
    static const char none[] = "00000000000000000000000000000000";
    expect(call("GET", "/v1/people", f.acme, "{}"), 400, "bad-request");
    expect(call("GET", "/healthz", f.acme, "x"), 400, "bad-request");
    expect(call("DELETE", path_of("/v1/sites/%s", none), f.acme, "{}"), 400, "bad-request");
    expect(call("POST", path_of("/v1/gateways/%.16s/revocation", none), f.acme, "{}"), 400, "bad-request");
    expect(call("GET", "/v1/tenants", f.operator_token, "{}"), 400, "bad-request");
    expect(call("GET", "/v1/people", f.globex, "{}"), 400, "bad-request");
    expect(call("GET", "/v1/tenants", f.acme, "{}"), 403, "forbidden"); /* nor is it said to who may not ask */
}

/* All pages of a list of 37 by 5 are the list, once. */
static void test_people_pages(void **state)
{
    char body[64], id[33], path[512] = "/v1/people?limit=5";
    json_t *seen = json_object();
    for (int i = 0; i < 37; i++) {
        snprintf(body, sizeof body, "{\"name\":\"Person %d\"}", i);
        make_person(f.globex, body, id);
    }
    for (;;) {
        struct reply r = get(&f.s, path, f.globex);
        size_t i;
        json_t *p;
        assert_int_equal(r.status, 200);
        json_t *items = json_object_get(r.json, "items"), *next = json_object_get(r.json, "next");
        json_array_foreach(items, i, p)
        {
            const char *name = json_string_value(json_object_get(p, "name"));
            assert_null(json_object_get(seen, name));
            json_object_set_new(seen, name, json_true());
        }
        assert_true(json_is_null(next) || json_array_size(items) == 5);
        if (json_is_string(next)) {
            expect(call("GET", path_of("/v1/people?cursor=%s", json_string_value(next)), f.acme, NULL), 400,
                   "bad-cursor");
            expect(call("GET", path_of("/v1/punches?cursor=%s", json_string_value(next)), f.globex, NULL), 400,
                   "bad-cursor");
            snprintf(path, sizeof path, "/v1/people?limit=5&cursor=%s", json_string_value(next));
        } else {
            path[0] = '\0';
        }
        reply_done(&r);
        if (!path[0])
            break;
    }
    assert_int_equal(json_object_size(seen), 37);
    json_decref(seen);
    expect(call("GET", "/v1/people?cursor=", f.globex, NULL), 400, "bad-cursor");
    expect(call("GET", "/v1/people?cursor=AAAA", f.globex, NULL), 400, "bad-cursor");
}

static void test_assign(void **state)
{
    char ada[33], bob[33], cred[33];
    make_person(f.acme, "{\"name\":\"Ada\"}", ada);
    make_person(f.acme, "{\"name\":\"Bob\"}", bob);
    const char *of_ada = path_of("/v1/people/%s/credentials", ada), *of_bob = path_of("/v1/people/%s/credentials", bob);
    struct reply r = post(&f.s, of_ada, f.acme,
                          "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"rendering\":\"dec10\","
                          "\"from\":\"2026-01-01\"}");
    assert_int_equal(r.status, 201);
    strcpy(cred, reply_text(&r, "id"));
    assert_string_equal(reply_header(&r, "Location"), path_of("/v1/credentials/%s", cred));
    assert_string_equal(reply_text(&r, "person"), ada);
    assert_string_equal(reply_text(&r, "tech"), "em4100");
    assert_string_equal(reply_text(&r, "number_last4"), "7558");
    assert_string_equal(reply_text(&r, "from"), "2026-01-01T00:00:00.000000Z");
    assert_true(json_is_null(json_object_get(r.json, "until")));
    reply_done(&r);

    /* the same card, for somebody else, at the same time */
    of_bob = path_of("/v1/people/%s/credentials", bob);
    expect(call("POST", of_bob, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\"}"), 409, "conflict");
    /* in another tenant it is another card */
    char eve[33];
    make_person(f.globex, "{\"name\":\"Eve\"}", eve);
    expect(post(&f.s, path_of("/v1/people/%s/credentials", eve), f.globex,
                "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003b51c6\"}"),
           201, NULL);

    expect(call("GET", path_of("/v1/credentials/%s", cred), f.globex, NULL), 404, "not-found");
    expect(call("POST", path_of("/v1/credentials/%s/unassign", cred), f.globex, "{}"), 404, "not-found");
    expect(call("POST", path_of("/v1/people/%s/credentials", ada), f.globex,
                "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"0000000001\"}"),
           404, "not-found");
    expect(call("GET", path_of("/v1/people/%s/credentials", ada), f.globex, NULL), 404, "not-found");

    r = post(&f.s, path_of("/v1/credentials/%s/unassign", cred), f.acme, "{\"until\":\"2026-06-01T00:00:00Z\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "until"), "2026-06-01T00:00:00.000000Z");
    reply_done(&r);
    expect(call("POST", path_of("/v1/credentials/%s/unassign", cred), f.acme, "{\"until\":\"2026-07-01\"}"), 400,
           "invalid");
    /* now the next holder */
    r = post(&f.s, path_of("/v1/people/%s/credentials", bob), f.acme,
             "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"from\":\"2026-06-01\"}");
    assert_int_equal(r.status, 201);
    strcpy(cred, reply_text(&r, "id"));
    reply_done(&r);
    r = get(&f.s, path_of("/v1/credentials/%s", cred), f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "person"), bob);
    reply_done(&r);
    /* without a body: now */
    r = request(&f.s, "POST", path_of("/v1/credentials/%s/unassign", cred), f.acme, BYTES_NONE, NULL);
    assert_int_equal(r.status, 200);
    assert_false(json_is_null(json_object_get(r.json, "until")));
    reply_done(&r);
    r = get(&f.s, path_of("/v1/people/%s/credentials", ada), f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
}

static void test_assign_refuses(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"tech\":\"em4100\"}",
        "{\"tech\":\"em4100\",\"bits\":40}",
        "{\"tech\":\"em9999\",\"bits\":40,\"data\":\"67003B51C6\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51CZ\"}",
        "{\"tech\":\"em4100\",\"bits\":0,\"data\":\"67\"}",
        "{\"tech\":\"em4100\",\"bits\":497,\"data\":\"67\"}",
        "{\"tech\":\"wiegand\",\"bits\":26,\"data\":\"FFFFFFFF\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"number\":\"0003887558\",\"rendering\":\"dec10\"}",
        "{\"number\":\"0003887558\"}",
        "{\"number\":\"0003887558\",\"rendering\":\"roman\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"from\":\"2026-02-01\",\"until\":\"2026-01-01\"}",
        "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\",\"from\":\"soon\"}",
    };
    char ada[33];
    make_person(f.acme, "{\"name\":\"Ada\"}", ada);
    const char *path = path_of("/v1/people/%s/credentials", ada);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(call("POST", path, f.acme, bad[i]), 400, "invalid");
    expect(call("POST", path, f.acme, "{\"number\":\"0000000077\",\"rendering\":\"dec10\"}"), 404, "not-found");
}

/* A lossy number claims the one waiting card that shows so, and its punches with it. */
static void test_waiting_card_is_claimed(void **state)
{
    char ada[33];
    struct fixture_punch p = {"acme", "door", f.gw, fixture_card(0x1100BC614E), 1, clock_real() - 60000000, false};
    make_person(f.acme, "{\"name\":\"Ada\"}", ada);
    fixture_file_one(&f, &p);
    p.gseq = 2;
    p.time += 1000000;
    fixture_file_one(&f, &p);
    struct reply r = get(&f.s, "/v1/credentials/waiting", f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    json_t *w = json_array_get(json_object_get(r.json, "items"), 0);
    assert_int_equal(json_integer_value(json_object_get(w, "count")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(w, "credential"), "number_last4")), "5678");
    assert_true(json_is_null(json_object_get(r.json, "next")));
    reply_done(&r);
    r = get(&f.s, "/v1/credentials/waiting", f.globex);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);

    const char *path = path_of("/v1/people/%s/credentials", ada);
    r = post(&f.s, path, f.acme, "{\"number\":\"0012345678\",\"rendering\":\"dec10\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "number_last4"), "5678");
    assert_int_equal(json_integer_value(json_object_get(r.json, "refiled")), 2);
    reply_done(&r);
    r = get(&f.s, "/v1/credentials/waiting", f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);

    /* two waiting cards that show one number: nobody guesses */
    p.cred = fixture_card(0x2200000005);
    p.gseq = 3;
    fixture_file_one(&f, &p);
    p.cred = fixture_card(0x3300000005);
    p.gseq = 4;
    fixture_file_one(&f, &p);
    expect(call("POST", path, f.acme, "{\"number\":\"0000000005\",\"rendering\":\"dec10\"}"), 409, "conflict");
}

static void file_card(uint64_t number, uint64_t gseq, int64_t time)
{
    struct fixture_punch p = {"globex", "dock", f.gw2, fixture_card(number), gseq, time, false};
    fixture_file_one(&f, &p);
}

/* The last digit of the numbers on the page, and its cursor into path. */
static void inbox_page(char path[1024], char ret_numbers[16])
{
    struct reply r = get(&f.s, path, f.globex);
    size_t i, n = 0;
    json_t *w, *next = json_object_get(r.json, "next");
    assert_int_equal(r.status, 200);
    json_array_foreach(json_object_get(r.json, "items"), i, w)
    {
        const char *end = json_string_value(json_object_get(json_object_get(w, "credential"), "number_last4"));
        ret_numbers[n++] = end[3];
    }
    ret_numbers[n] = '\0';
    if (json_is_string(next))
        snprintf(path, 1024, "/v1/credentials/waiting?limit=3&cursor=%s", json_string_value(next));
    else
        path[0] = '\0';
    reply_done(&r);
}

/* A cursor stands in URLs, which others log. */
static void assert_cursor_hides_cards(const char *url)
{
    uint8_t raw[512];
    char hex[2 * sizeof raw + 1], data[16];
    const char *cursor = strstr(url, "cursor=");
    size_t n;
    assert_non_null(cursor);
    cursor += strlen("cursor=");
    assert_int_equal(str_unb64url(cursor, strlen(cursor), raw, sizeof raw - 1, &n), 0);
    raw[n] = '\0';
    str_hex(raw, n, hex);
    for (unsigned i = 1; i <= 7; i++) {
        snprintf(data, sizeof data, "%010X", i);
        assert_null(strstr((const char *)raw + 1, data)); /* in hex, as positions are written, or as it is */
        assert_null(strstr(hex, data));
    }
}

static void test_inbox_pages(void **state)
{
    int64_t t = clock_real() - 600000000;
    char path[1024] = "/v1/credentials/waiting?limit=3", seen[16];
    for (uint64_t i = 1; i <= 6; i++)
        file_card(i, i, t + (int64_t)i * 1000000);
    file_card(7, 7, t + 4000000); /* at the very time of card 4 */
    inbox_page(path, seen);
    bool four = seen[2] == '4';
    assert_string_equal(seen, four ? "654" : "657");
    assert_cursor_hides_cards(path);
    /* meanwhile one of the rest punches, and one of those seen: neither shifts what follows, nothing comes twice */
    file_card(2, 8, t + 60000000);
    file_card(6, 9, t + 61000000);
    inbox_page(path, seen);
    assert_string_equal(seen, four ? "731" : "431");
    assert_string_equal(path, "");
    strcpy(path, "/v1/credentials/waiting?limit=3");
    inbox_page(path, seen);
    assert_string_equal(seen, "625");
    expect(call("GET", path, f.acme, NULL), 400, "bad-cursor");
    expect(call("GET", "/v1/credentials/waiting?cursor=AAAA", f.globex, NULL), 400, "bad-cursor");
}

static void test_gateways(void **state)
{
    char id[2 * GW_LEN + 1];
    struct reply r = get(&f.s, "/v1/gateways", f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    json_t *g = json_array_get(json_object_get(r.json, "items"), 0);
    str_hex(f.gw, GW_LEN, id);
    assert_string_equal(json_string_value(json_object_get(g, "id")), id);
    assert_string_equal(json_string_value(json_object_get(g, "site")), "Gate");
    assert_int_equal(json_integer_value(json_object_get(g, "generation")), 1);
    assert_null(json_object_get(g, "tenant"));
    assert_true(json_is_null(json_object_get(g, "last_upload")));
    reply_done(&r);

    const char *path = path_of("/v1/gateways/%s", id);
    r = request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"site\":\"North gate\"}"), as_json);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "site"), "North gate");
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_string_equal(reply_text(&r, "site"), "North gate");
    reply_done(&r);
    expect(call("PATCH", path, f.acme, "{\"site\":\"\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme, "{\"site\":\"x\",\"id\":\"y\"}"), 400, "invalid");
    expect(call("PATCH", path, f.acme,
                "{\"site\":\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
                "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
                "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
                "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"}"),
           400, "invalid"); /* 22 characters, 66 bytes */
    expect(call("GET", path, f.globex, NULL), 404, "not-found");
    expect(call("PATCH", path, f.globex, "{\"site\":\"x\"}"), 404, "not-found");
}

/* Seven more of a third customer, two at a time: each once, in order, and none of the others'. */
static void test_gateways_come_in_pages(void **state)
{
    char path[512] = "/v1/gateways?limit=2", text[TOKEN_TEXT_MAX], last[2 * GW_LEN + 1] = "";
    uint8_t gw[GW_LEN];
    struct token token;
    struct tenant t;
    size_t seen = 0, pages = 0;
    assert_int_equal(tenant_add(f.c, f.db, "initech", &t), 0);
    assert_int_equal(token_add(f.c, f.db, "initech", "test", 0, text, &token), 0);
    for (int i = 0; i < 7; i++)
        fixture_gateway(&f, "initech", "Yard", gw);
    for (bool more = true; more; pages++) {
        size_t i;
        json_t *g;
        struct reply r = get(&f.s, path, text);
        assert_int_equal(r.status, 200);
        json_array_foreach(json_object_get(r.json, "items"), i, g)
        {
            const char *id = json_string_value(json_object_get(g, "id"));
            assert_true(strcmp(last, id) < 0);
            assert_int_equal(str_copy(last, sizeof last, id), 0);
            seen++;
        }
        more = json_is_string(json_object_get(r.json, "next"));
        snprintf(path, sizeof path, "/v1/gateways?limit=2&cursor=%s", reply_text(&r, "next"));
        if (more && pages == 0)
            expect(call("GET", path, f.acme, NULL), 400, "bad-cursor");
        reply_done(&r);
    }
    assert_int_equal(seen, 7);
    assert_int_equal(pages, 4);
    expect(call("GET", "/v1/gateways?cursor=abc", text, NULL), 400, "bad-cursor");
}

static void test_status(void **state)
{
    struct reply r = get(&f.s, "/v1/status", f.operator_token);
    assert_int_equal(r.status, 200);
    assert_true(json_integer_value(json_object_get(r.json, "epoch")) > 0);
    assert_int_equal(json_array_size(json_object_get(r.json, "gateways")), 2);
    assert_non_null(json_object_get(json_object_get(r.json, "counters"), "punches"));
    assert_non_null(json_object_get(json_object_get(r.json, "refused"), "signature"));
    reply_done(&r);
}

/* The log says which route, never whose: no name, no id, no token, no number, no query. First of all tests, because the
 * log lets ten lines of one place through in ten seconds. */
static void test_log_tells_no_secrets(void **state)
{
    char path[128], id[33];
    const char *const secrets[] = {id, "Grace", "Hopper", "67003B51C9", f.acme, f.acme + 4, "elsewhere", "pct_"};
    struct buf CLEANUP(buf_done) text;
    buf_init(&text, 1 << 20);
    snprintf(path, sizeof path, "%s/log", f.s.dir);
    fflush(stderr);
    int kept = dup(2), fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(kept >= 0 && fd >= 0);
    dup2(fd, 2);
    make_person(f.acme, "{\"name\":\"Grace Hopper\"}", id);
    struct reply a = get(&f.s, path_of("/v1/people/%s", id), f.acme);
    struct reply b = post(&f.s, path_of("/v1/people/%s/credentials", id), f.acme,
                          "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C9\"}");
    struct reply c = get(&f.s, path_of("/v1/punches?person=%s&site=elsewhere", id), f.acme);
    struct reply d = get(&f.s, path_of("/v1/%s", id), f.acme);
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    close(fd);
    assert_int_equal(a.status + b.status + c.status + d.status, 200 + 201 + 200 + 404);
    reply_done(&a);
    reply_done(&b);
    reply_done(&c);
    reply_done(&d);
    assert_int_equal(file_read(path, &text), 0);
    assert_non_null(strstr(buf_str(&text), "method=GET route=/v1/people/{id} status=200"));
    assert_non_null(strstr(buf_str(&text), "method=GET route=/v1/punches status=200"));
    assert_non_null(strstr(buf_str(&text), "method=GET route=- status=404"));
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (strcasestr(buf_str(&text), secrets[i]))
            fail_msg("the log tells %s: %s", secrets[i], buf_str(&text));
}

static void *write_and_read(void *arg)
{
    intptr_t bad = 0;
    for (int i = 0; i < 8; i++) {
        struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\":\"Many\"}");
        bad += r.status != 201;
        reply_done(&r);
        r = get(&f.s, "/v1/people?limit=1000", f.acme);
        bad += r.status != 200;
        reply_done(&r);
    }
    return (void *)bad;
}

static size_t count_people(const char *name)
{
    struct reply r = get(&f.s, "/v1/people?limit=1000", f.acme);
    size_t n = 0, i;
    json_t *p;
    json_array_foreach(json_object_get(r.json, "items"), i, p)
    {
        n += strcmp(json_string_value(json_object_get(p, "name")), name) == 0;
    }
    reply_done(&r);
    return n;
}

static void test_writers_beside_readers(void **state)
{
    pthread_t t[4];
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_and_read, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        void *bad = NULL;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    assert_int_equal(count_people("Many"), 32);
}

static void *ask_readiness(void *arg)
{
    struct reply r = get(&f.s, "/readyz", NULL);
    atomic_fetch_add((atomic_uint *)arg, 1);
    reply_done(&r);
    return NULL;
}

/* Whoever asks is answered while somebody writes for as long as it takes. */
static void test_readiness_waits_for_no_writer(void **state)
{
    pthread_t t[8];
    atomic_uint answered = 0;
    const struct timespec pause = {.tv_nsec = 100000000};
    assert_int_equal(db_begin(f.db), 0);
    for (size_t i = 0; i < 6; i++) /* until what was found before is too old to be said again unasked */
        nanosleep(&pause, NULL);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask_readiness, &answered), 0);
    for (unsigned i = 0; i < 300 && atomic_load(&answered) < ARRAY_LEN(t); i++)
        nanosleep(&pause, NULL);
    unsigned before = atomic_load(&answered);
    db_rollback(f.db);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    assert_int_equal(before, ARRAY_LEN(t));
}

int main(void)
{
    log_init("punchcloud", LOG_DEBUG);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_tells_no_secrets),
        cmocka_unit_test(test_writers_beside_readers),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_readiness_waits_for_no_writer),
        cmocka_unit_test(test_every_route_wants_its_token),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_unknown_paths),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_people),
        cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_query_is_strict),
        cmocka_unit_test(test_a_body_is_read_or_refused),
        cmocka_unit_test(test_people_pages),
        cmocka_unit_test(test_assign),
        cmocka_unit_test(test_assign_refuses),
        cmocka_unit_test(test_waiting_card_is_claimed),
        cmocka_unit_test(test_inbox_pages),
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_gateways_come_in_pages),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
