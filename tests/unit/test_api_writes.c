/* Requests that change something: done once however often they are sent, and not over somebody else's change. */
#include <pthread.h>
#include <stdatomic.h>

#include "cloud/once.h"
#include "tests/unit/api_human.h"

#define HOUR INT64_C(3600000000)

/* A request with one header more; body NULL: none. */
static struct reply with(const char *method, const char *path, const char *token, const char *body, const char *header)
{
    const char *const extra[] = {"-H", header, "-H", "Content-Type: application/json", NULL};
    return request(&f.s, method, path, token, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

static struct reply keyed(const char *path, const char *token, const char *body, const char *key)
{
    char header[512];
    snprintf(header, sizeof header, "Idempotency-Key: %s", key);
    return with("POST", path, token, body, header);
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

static void make_person(const char *name, char ret_path[64], char ret_tag[64])
{
    char body[128];
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    struct reply r = post(&f.s, "/v1/people", f.acme, body);
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(ret_path, 64, reply_header(&r, "Location")), 0);
    assert_int_equal(str_copy(ret_tag, 64, reply_header(&r, "ETag")), 0);
    assert_true(strlen(ret_tag) > 16 && ret_tag[0] == '"');
    reply_done(&r);
}

static void sql(const char *script)
{
    fixture_sql(&f, script);
}

static void keep(char *ret, size_t size, const struct reply *r, const char *header)
{
    assert_int_equal(str_copy(ret, size, reply_header(r, header)), 0);
}

/* ---- Idempotency-Key ---- */

static void test_repeat_makes_no_second(void **state)
{
    const char *body = "{\"name\":\"Once\",\"given_name\":\"O\"}";
    char where[64], id[40], renamed[64];
    struct reply r = keyed("/v1/people", f.acme, body, "order-1");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    strcpy(where, reply_header(&r, "Location"));
    strcpy(id, reply_text(&r, "id"));
    reply_done(&r);
    for (int i = 0; i < 2; i++) {
        r = keyed("/v1/people", f.acme, body, "order-1");
        assert_int_equal(r.status, 201);
        assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
        assert_string_equal(reply_header(&r, "Location"), where);
        assert_string_equal(reply_text(&r, "id"), id);
        assert_string_equal(reply_text(&r, "name"), i == 0 ? "Once" : "Once more");
        reply_done(&r);
        /* the second time the answer is the person as it is then */
        snprintf(renamed, sizeof renamed, "%s", where);
        expect(request(&f.s, "PATCH", renamed, f.acme, BYTES_STR("{\"name\":\"Once more\"}"), as_json), 200, NULL);
    }
    assert_int_equal(count_people("Once") + count_people("Once more"), 1);
    /* without the header, each is another */
    expect(post(&f.s, "/v1/people", f.acme, body), 201, NULL);
    assert_int_equal(count_people("Once"), 1);
}

static void test_key_is_of_one_request(void **state)
{
    struct reply r = keyed("/v1/people", f.acme, "{\"name\":\"Mine\"}", "k1");
    char where[64], path[128];
    assert_int_equal(r.status, 201);
    keep(where, sizeof where, &r, "Location");
    snprintf(path, sizeof path, "%s/credentials", where);
    reply_done(&r);
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Other\"}", "k1"), 422, "idempotency-mismatch");
    expect(keyed(path, f.acme, "{\"name\":\"Mine\"}", "k1"), 422, "idempotency-mismatch");
    assert_int_equal(count_people("Other"), 0);
    /* another customer's keys are its own */
    r = keyed("/v1/people", f.globex, "{\"name\":\"Theirs\"}", "k1");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    reply_done(&r);
    /* what was refused was not done: the key is free */
    expect(keyed("/v1/people", f.acme, "{\"name\":\"\"}", "k2"), 400, "invalid");
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Right\"}", "k2"), 201, NULL);
}

static struct reply human_keyed(const struct human *h, const char *path, const char *body, const char *key)
{
    char cookie[128], csrf[SESSION_TEXT], header[96], idempotency[96];
    assert_int_equal(session_csrf(h->cookie, csrf), 0);
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", h->cookie);
    snprintf(header, sizeof header, "Punch-CSRF: %s", csrf);
    snprintf(idempotency, sizeof idempotency, "Idempotency-Key: %s", key);
    const char *const extra[] = {"-H", cookie, "-H", header, "-H", idempotency, "-H", "Content-Type: application/json",
                                 NULL};
    return request(&f.s, "POST", path, NULL, BYTES_STR(body), extra);
}

/* Two people whose programs count their keys from 1: neither is answered with what the other did. */
static void test_key_is_of_one_account(void **state)
{
    char id[40];
    struct human ada = human_make("acme", "ada");
    struct human bob = human_make("acme", "bob");
    struct reply r = human_keyed(&ada, "/v1/me/erasure-request", "{}", "1");
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(id, sizeof id, reply_text(&r, "id")), 0);
    reply_done(&r);
    r = human_keyed(&bob, "/v1/me/erasure-request", "{}", "1");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    assert_string_not_equal(reply_text(&r, "id"), id);
    reply_done(&r);
    r = human_keyed(&ada, "/v1/me/erasure-request", "{}", "1");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    assert_string_equal(reply_text(&r, "id"), id);
    reply_done(&r);
}

/* What it is today is for who may read it: the repeat of a request is no way around that. */
static void test_repeat_reads_nothing(void **state)
{
    struct role role = {.name = "Helpdesk", .perms = PERM_BIT(PERM_ACCOUNTS_CHANGE), .created = clock_real()};
    char where[64];
    struct human clerk = human_make("acme", "clerk");
    struct scope s = fixture_begin(&f, "acme");
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .reason = "test"};
    assert_int_equal(crypto_random(role.id, ID_LEN), 0);
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    assert_int_equal(role_put(f.db, "acme", &role), 0);
    memcpy(g.account, clerk.account.id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    g.starts = g.created;
    assert_int_equal(granted_add(&s, &g), 0);
    fixture_commit(&f);
    const char *body = "{\"login\":\"newcomer\",\"name\":\"Newcomer\"}";
    struct reply r = human_keyed(&clerk, "/v1/accounts", body, "new-1");
    assert_int_equal(r.status, 201);
    keep(where, sizeof where, &r, "Location");
    reply_done(&r);
    expect(as(&clerk, "GET", where, NULL), 403, NULL);
    r = human_keyed(&clerk, "/v1/accounts", body, "new-1");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    assert_string_equal(reply_header(&r, "Location"), where);
    assert_string_equal(reply_text(&r, "login"), "");
    assert_int_equal(r.n, 0);
    reply_done(&r);
}

static void test_key_shape(void **state)
{
    char key[200];
    memset(key, 'x', sizeof key);
    key[128] = '\0';
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Long\"}", key), 201, NULL);
    key[128] = 'x';
    key[129] = '\0';
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Long\"}", key), 400, "bad-request");
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Long\"}", "a b"), 400, "bad-request");
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Long\"}", "\xc3\xa4"), 400, "bad-request");
    expect(with("POST", "/v1/people", f.acme, "{\"name\":\"Long\"}", "Idempotency-Key;"), 400,
           "bad-request"); /* empty */
    assert_int_equal(count_people("Long"), 1);
}

static void test_key_survives_a_restart(void **state)
{
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Kept\"}", "restart"), 201, NULL);
    api_end();
    fixture_close(&f);
    fixture_open(&f);
    api_begin();
    struct reply r = keyed("/v1/people", f.acme, "{\"name\":\"Kept\"}", "restart");
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    reply_done(&r);
    assert_int_equal(count_people("Kept"), 1);
}

/* A day later the key is forgotten: the next minute's sweep, and not before. */
static void test_key_is_kept_a_day(void **state)
{
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Day\"}", "day"), 201, NULL);
    assert_int_equal(once_sweep(f.c, f.db, clock_real() + 23 * HOUR), 0);
    struct reply r = keyed("/v1/people", f.acme, "{\"name\":\"Day\"}", "day");
    assert_string_not_equal(reply_header(&r, "Idempotency-Replayed"), "");
    reply_done(&r);
    assert_int_equal(once_sweep(f.c, f.db, clock_real() + 25 * HOUR), 0);
    r = keyed("/v1/people", f.acme, "{\"name\":\"Day\"}", "day");
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    reply_done(&r);
    assert_int_equal(count_people("Day"), 2);
    /* and where the sweep has not been yet, an old row says nothing */
    sql("UPDATE idempotency SET created = created - 86500000000");
    r = keyed("/v1/people", f.acme, "{\"name\":\"Day\"}", "day");
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    reply_done(&r);
    assert_int_equal(count_people("Day"), 3);
}

/* Eight threads run fn(0 .. 7), and what they returned is added up. The store is held against writers until they had
 * time to come as far as they can: who looks before it may write sees the same as the others. */
static intptr_t all_at_once(void *(*fn)(void *arg))
{
    pthread_t t[8];
    intptr_t sum = 0;
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, fn, (void *)(intptr_t)i), 0);
    sleep(1);
    cloud_rollback(f.c, f.db);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        void *n = NULL;
        pthread_join(t[i], &n);
        sum += (intptr_t)n;
    }
    return sum;
}

static void *create_at_once(void *arg)
{
    intptr_t made = 0;
    struct reply r = keyed("/v1/people", f.acme, "{\"name\":\"Race\"}", "race");
    made = r.status == 201 && !strstr(r.head, "Idempotency-Replayed") ? 1 : r.status == 201 ? 0 : 100;
    reply_done(&r);
    return (void *)made;
}

static void test_two_at_once(void **state)
{
    assert_int_equal(all_at_once(create_at_once), 1);
    assert_int_equal(count_people("Race"), 1);
}

static void test_what_is_gone_is_said_to_be(void **state)
{
    expect(keyed("/v1/people", f.globex, "{\"name\":\"Brief\"}", "gone"), 201, NULL);
    sql("DELETE FROM person WHERE tenant_id = 'globex'");
    struct reply r = keyed("/v1/people", f.globex, "{\"name\":\"Brief\"}", "gone");
    assert_problem(&r, 410, "gone");
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    reply_done(&r);
}

static void test_cards_are_handed_out_once(void **state)
{
    char person[64], tag[64], path[96], card[80];
    const char *body = "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\"}";
    make_person("Holder", person, tag);
    snprintf(path, sizeof path, "%s/credentials", person);
    for (int i = 0; i < 2; i++) {
        struct reply r = keyed(path, f.acme, body, "card");
        assert_int_equal(r.status, 201); /* unkeyed, the second is 409 */
        keep(card, sizeof card, &r, "Location");
        reply_done(&r);
    }
    expect(post(&f.s, path, f.acme, body), 409, "conflict");
    strcat(card, "/unassign");
    char until[64] = "";
    for (int i = 0; i < 2; i++) {
        struct reply r = keyed(card, f.acme, NULL, "back");
        assert_int_equal(r.status, 200);
        assert_string_equal(reply_header(&r, "Location"), "");
        if (i == 1)
            assert_string_equal(reply_text(&r, "until"), until);
        snprintf(until, sizeof until, "%s", reply_text(&r, "until"));
        assert_true(*until);
        reply_done(&r);
    }
}

/* The handler had answered when the commit failed, here because no second copy of the person's key could be written:
 * the client must not learn of a person who is not there, and the key is free. */
static void test_failed_commit_is_no_success(void **state)
{
    char escrow[96], away[96];
    snprintf(escrow, sizeof escrow, "%s/escrow", f.s.dir);
    snprintf(away, sizeof away, "%s/away", f.s.dir);
    assert_int_equal(rename(escrow, away), 0);
    assert_int_equal(file_write(escrow, BYTES_STR("not a folder"), 0600), 0);
    struct reply r = keyed("/v1/people", f.acme, "{\"name\":\"Unkept\"}", "commit");
    assert_int_equal(r.status, 500);
    assert_string_equal(reply_text(&r, "type"), "urn:punchline:problem:internal");
    assert_string_equal(reply_header(&r, "Location"), "");
    assert_string_equal(reply_header(&r, "ETag"), "");
    reply_done(&r);
    assert_int_equal(unlink(escrow), 0);
    assert_int_equal(rename(away, escrow), 0);
    assert_int_equal(count_people("Unkept"), 0);
    r = keyed("/v1/people", f.acme, "{\"name\":\"Unkept\"}", "commit");
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "");
    reply_done(&r);
    assert_int_equal(count_people("Unkept"), 1);
}

/* Neither the key nor anything of the body stands in the store's files. */
static void test_store_keeps_no_words(void **state)
{
    static const char *const files[] = {"store.db", "store.db-wal"};
    expect(keyed("/v1/people", f.acme, "{\"name\":\"Secretive Person\"}", "secret-key-of-a-client"), 201, NULL);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[128];
        struct buf CLEANUP(buf_done) b;
        buf_init(&b, 64u << 20);
        snprintf(path, sizeof path, "%s/state/%s", f.s.dir, files[i]);
        assert_int_equal(file_read(path, &b), 0);
        assert_true(b.len > 0);
        assert_null(memmem(b.p, b.len, "secret-key-of", 13));
        assert_null(memmem(b.p, b.len, "Secretive", 9));
    }
}

/* ---- validators ---- */

static void header_of(char ret[160], const char *name, const char *value)
{
    snprintf(ret, 160, "%s: %s", name, value);
}

static void test_people_are_changed(void **state)
{
    char path[64], tag[64];
    make_person("Before", path, tag);
    struct reply r =
        request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"name\":\"After\",\"personnel_number\":\"9\"}"), as_json);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "name"), "After");
    assert_string_equal(reply_text(&r, "personnel_number"), "9");
    assert_string_not_equal(reply_header(&r, "ETag"), tag);
    reply_done(&r);
    r = request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"personnel_number\":null}"), as_json);
    assert_string_equal(reply_text(&r, "name"), "After"); /* not given: as it was */
    assert_true(json_is_null(json_object_get(r.json, "personnel_number")));
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_string_equal(reply_text(&r, "name"), "After");
    assert_true(json_is_null(json_object_get(r.json, "personnel_number")));
    reply_done(&r);
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"name\":null}"), as_json), 400, "invalid");
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"name\":\"\"}"), as_json), 400, "invalid");
    expect(request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"id\":\"1\"}"), as_json), 400, "invalid");
    expect(request(&f.s, "PATCH", path, f.globex, BYTES_STR("{\"name\":\"x\"}"), as_json), 404, "not-found");
}

static void test_if_match(void **state)
{
    char path[64], tag[64], tag2[64], header[160], list[160];
    make_person("Matched", path, tag);
    const char *const misses[] = {"\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"\"", "W/", "garbage", "\"open", "x, *"};
    for (size_t i = 0; i < ARRAY_LEN(misses); i++) {
        header_of(header, "If-Match", misses[i]);
        expect(with("PATCH", path, f.acme, "{\"name\":\"Lost\"}", header), 412, "precondition-failed");
    }
    snprintf(list, sizeof list, "W/%s", tag); /* weak tags never fit If-Match */
    header_of(header, "If-Match", list);
    expect(with("PATCH", path, f.acme, "{\"name\":\"Lost\"}", header), 412, "precondition-failed");
    assert_int_equal(count_people("Lost"), 0);

    struct reply r = with("PATCH", path, f.acme, "{\"name\":\"Any\"}", "If-Match: *");
    assert_int_equal(r.status, 200);
    keep(tag2, sizeof tag2, &r, "ETag");
    snprintf(list, sizeof list, "\"other\", %s", tag2);
    reply_done(&r);
    header_of(header, "If-Match", tag); /* of the state before */
    expect(with("PATCH", path, f.acme, "{\"name\":\"Lost\"}", header), 412, "precondition-failed");
    header_of(header, "If-Match", list);
    expect(with("PATCH", path, f.acme, "{\"name\":\"Listed\"}", header), 200, NULL);
    assert_int_equal(count_people("Listed"), 1);
}

static void test_if_none_match(void **state)
{
    char path[64], tag[64], header[160], weak[80];
    make_person("Cached", path, tag);
    header_of(header, "If-None-Match", tag);
    struct reply r = with("GET", path, f.acme, NULL, header);
    assert_int_equal(r.status, 304);
    assert_int_equal(r.n, 0);
    assert_string_equal(reply_header(&r, "ETag"), tag);
    reply_done(&r);
    snprintf(weak, sizeof weak, "\"x\" , W/%s", tag); /* compared weakly */
    header_of(header, "If-None-Match", weak);
    expect(with("HEAD", path, f.acme, NULL, header), 304, NULL);
    expect(with("GET", path, f.acme, NULL, "If-None-Match: \"x\""), 200, NULL);
    expect(with("PATCH", path, f.acme, "{\"name\":\"Lost\"}", "If-None-Match: *"), 412, "precondition-failed");
}

static char shared_path[64], shared_header[160];

static void *patch_at_once(void *arg)
{
    char body[64];
    snprintf(body, sizeof body, "{\"name\":\"Writer %d\"}", (int)(intptr_t)arg);
    struct reply r = with("PATCH", shared_path, f.acme, body, shared_header);
    intptr_t won = r.status == 200 ? 1 : r.status == 412 ? 0 : 100;
    reply_done(&r);
    return (void *)won;
}

static void test_one_of_many_writers_wins(void **state)
{
    char tag[64];
    make_person("Contended", shared_path, tag);
    header_of(shared_header, "If-Match", tag);
    assert_int_equal(all_at_once(patch_at_once), 1);
}

/* A gateway is heard all the time: that alone keeps nobody from changing it, and no 304 hides it. */
static void test_live_members(void **state)
{
    char path[64], id[2 * GW_LEN + 1], tag[64], header[160];
    snprintf(path, sizeof path, "/v1/gateways/%s", str_hex(f.gw, GW_LEN, id));
    struct reply r = get(&f.s, path, f.acme);
    keep(tag, sizeof tag, &r, "ETag");
    reply_done(&r);
    header_of(header, "If-None-Match", tag);
    expect(with("GET", path, f.acme, NULL, header), 304, NULL);
    sql("UPDATE gateway SET last_upload = 1795418098000001");
    r = with("GET", path, f.acme, NULL, header);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "last_upload"), "2026-11-23T07:14:58.000001Z");
    reply_done(&r);
    header_of(header, "If-Match", tag);
    expect(with("PATCH", path, f.acme, "{\"site\":\"Yard\"}", header), 200, NULL);
    expect(with("PATCH", path, f.acme, "{\"site\":\"Lost\"}", header), 412, "precondition-failed");
}

static void test_credentials_have_tags(void **state)
{
    char person[64], tag[64], path[96], card[80], header[160];
    make_person("Tagged", person, tag);
    snprintf(path, sizeof path, "%s/credentials", person);
    struct reply r = post(&f.s, path, f.acme, "{\"number\":\"0A00000077\",\"rendering\":\"hex10\"}");
    assert_int_equal(r.status, 201);
    keep(card, sizeof card, &r, "Location");
    keep(tag, sizeof tag, &r, "ETag");
    reply_done(&r);
    r = get(&f.s, card, f.acme);
    assert_string_equal(reply_header(&r, "ETag"), tag);
    reply_done(&r);
    strcat(card, "/unassign");
    expect(with("POST", card, f.acme, NULL, "If-Match: \"x\""), 412, "precondition-failed");
    header_of(header, "If-Match", tag);
    expect(with("POST", card, f.acme, NULL, header), 200, NULL);
    expect(with("POST", card, f.acme, NULL, header), 412, "precondition-failed");
}

/* ---- a write that takes long ---- */

#define POSTS 14
#define AT_ONCE 9 /* one at it and per_address / 2 that wait */

static atomic_uint turned_away;

struct posting {
    const char *token;
    struct reply reply;
};

static void *post_person(void *arg)
{
    struct posting *p = arg;
    p->reply = post(&f.s, "/v1/people", p->token, "{\"name\":\"Patient\"}");
    if (p->reply.status != 201)
        atomic_fetch_add(&turned_away, 1);
    return NULL;
}

/* Many more who write than there are threads, while the store is held as an erasure of a large one holds it: reads are
 * answered, on a connection that is kept, too; what was let in is done once, the rest is told to come again. */
static void test_readers_wait_for_no_writer(void **state)
{
    pthread_t t[POSTS];
    struct posting p[POSTS];
    unsigned made = 0;
    const char *again[20];
    char url[96];
    size_t n = 0;
    const uint64_t per_address = f.set.api.per_address;
    api_stop(api);
    f.set.api.per_address = 16;
    api_begin();
    snprintf(url, sizeof url, "https://localhost:%u/v1/gateways", f.s.port);
    while (n < ARRAY_LEN(again) - 1)
        again[n++] = url; /* one connection after the other request */
    again[n] = NULL;
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        p[i].token = f.acme;
        assert_int_equal(pthread_create(&t[i], NULL, post_person, &p[i]), 0);
    }
    while (atomic_load(&turned_away) < POSTS - AT_ONCE) /* the test's own time-out ends this */
        usleep(10000);
    for (int i = 0; i < 6; i++) {
        expect(get(&f.s, "/v1/gateways", f.acme), 200, NULL);
    }
    struct scratch kept = f.s;
    kept.is_api = false;
    struct reply r = request(&kept, "GET", "/v1/gateways", f.acme, BYTES_NONE, again);
    size_t answers = 1; /* what follows the first stands in its body */
    for (const char *at = r.body; (at = strstr(at, "HTTP/1.1 200")); at++)
        answers++;
    assert_int_equal(answers, ARRAY_LEN(again));
    reply_done(&r);
    expect(get(&f.s, "/v1/people/zz", f.acme), 404, "not-found");
    assert_int_equal(count_people("Patient"), 0);
    cloud_rollback(f.c, f.db);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        pthread_join(t[i], NULL);
        made += p[i].reply.status == 201;
        if (p[i].reply.status != 201) {
            assert_problem(&p[i].reply, 503, "unavailable");
            assert_string_equal(reply_header(&p[i].reply, "Retry-After"), "1");
        }
        reply_done(&p[i].reply);
    }
    assert_int_equal(made, AT_ONCE);
    assert_int_equal(count_people("Patient"), AT_ONCE);
    api_stop(api);
    f.set.api.per_address = per_address;
    api_begin();
}

/* Who has no right does not wait, and whose token is revoked while he waits writes nothing. */
static void test_right_counts_before_and_in_turn(void **state)
{
    pthread_t first, second;
    char text[TOKEN_TEXT_MAX];
    struct token token;
    struct posting stays = {.token = f.acme}, leaves = {.token = text};
    size_t before = count_people("Patient");
    assert_int_equal(token_add(f.c, f.db, "acme", "leaving", 0, text, &token), 0);
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    expect(post(&f.s, "/v1/people", "pct_0", "{\"name\":\"Nobody\"}"), 401, "token-unknown");
    expect(post(&f.s, "/v1/people", f.operator_token, "{\"name\":\"Nobody\"}"), 403, "forbidden");
    assert_int_equal(pthread_create(&first, NULL, post_person, &stays), 0);
    usleep(300000); /* mostly the first is in its turn by then, and the second waits behind it */
    assert_int_equal(pthread_create(&second, NULL, post_person, &leaves), 0);
    usleep(300000);
    assert_int_equal(token_revoke(f.c, f.db, token.id), 0);
    fixture_commit(&f);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    assert_int_equal(stays.reply.status, 201);
    assert_problem(&leaves.reply, 401, "token-unknown");
    assert_int_equal(count_people("Patient"), before + 1);
    reply_done(&stays.reply);
    reply_done(&leaves.reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeat_makes_no_second),
        cmocka_unit_test(test_key_is_of_one_request),
        cmocka_unit_test(test_key_is_of_one_account),
        cmocka_unit_test(test_repeat_reads_nothing),
        cmocka_unit_test(test_key_shape),
        cmocka_unit_test(test_key_survives_a_restart),
        cmocka_unit_test(test_key_is_kept_a_day),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_what_is_gone_is_said_to_be),
        cmocka_unit_test(test_cards_are_handed_out_once),
        cmocka_unit_test(test_failed_commit_is_no_success),
        cmocka_unit_test(test_store_keeps_no_words),
        cmocka_unit_test(test_people_are_changed),
        cmocka_unit_test(test_if_match),
        cmocka_unit_test(test_if_none_match),
        cmocka_unit_test(test_one_of_many_writers_wins),
        cmocka_unit_test(test_live_members),
        cmocka_unit_test(test_credentials_have_tags),
        cmocka_unit_test(test_readers_wait_for_no_writer),
        cmocka_unit_test(test_right_counts_before_and_in_turn),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
