/* Webhooks as an administrator sees them, the queue behind them, the signature and the pauses. What goes over the
 * network is tests/e2e/test_webhooks.py's. */
#include "cloud/courier.h"
#include "cloud/delivery.h"
#include "cloud/outbox.h"
#include "tests/unit/api_fixture.h"

static struct reply send_with(const char *method, const char *path, const char *body, const char *header)
{
    const char *const extra[] = {"-H", "Content-Type: application/json", header ? "-H" : NULL, header, NULL};
    return request(&f.s, method, path, f.acme, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

static void make(const char *body, char ret_path[128])
{
    struct reply r = post(&f.s, "/v1/webhooks", f.acme, body);
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(ret_path, 128, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static void remove_at(const char *path)
{
    expect(request(&f.s, "DELETE", path, f.acme, BYTES_NONE, NULL), 204, NULL);
}

#define BODY \
    "{\"url\": \"https://hooks.example.com:8443/x?y=1\", \"types\": [\"changes\", \"support.*\"], \"name\": \"ERP\"}"

static void a_secret_is_shown_once(void **state)
{
    char path[128], first[64];
    struct reply r = post(&f.s, "/v1/webhooks", f.acme, BODY);
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(path, sizeof path, reply_header(&r, "Location")), 0);
    assert_int_equal(str_copy(first, sizeof first, reply_text(&r, "secret")), 0);
    assert_int_equal(strlen(first), 47);
    assert_true(str_starts(first, "pws_"));
    assert_string_equal(reply_text(&r, "url"), "https://hooks.example.com:8443/x?y=1");
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_null(json_object_get(r.json, "secret"));
    assert_string_equal(reply_text(&r, "name"), "ERP");
    assert_int_equal(json_array_size(json_object_get(r.json, "types")), 2);
    assert_true(json_is_null(json_object_get(r.json, "next_try")));
    reply_done(&r);
    char secret[160];
    snprintf(secret, sizeof secret, "%s/secret", path);
    r = send_with("POST", secret, NULL, "Idempotency-Key: rotate-1");
    assert_int_equal(r.status, 200);
    assert_int_equal(strlen(reply_text(&r, "secret")), 47);
    assert_string_not_equal(reply_text(&r, "secret"), first);
    reply_done(&r);
    r = send_with("POST", secret, NULL, "Idempotency-Key: rotate-1");
    assert_int_equal(r.status, 200);
    assert_null(json_object_get(r.json, "secret"));
    reply_done(&r);
    remove_at(path);
}

static void the_list_comes_in_pages(void **state)
{
    char paths[3][128], second[256];
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        make(BODY, paths[i]);
    struct reply r = get(&f.s, "/v1/webhooks?limit=2", f.acme);
    json_t *items = json_object_get(r.json, "items");
    assert_int_equal(json_array_size(items), 2);
    char *last = strdup(json_string_value(json_object_get(json_array_get(items, 1), "id")));
    assert_non_null(last);
    snprintf(second, sizeof second, "/v1/webhooks?cursor=%s", reply_text(&r, "next"));
    reply_done(&r);
    r = get(&f.s, second, f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    assert_true(json_is_null(json_object_get(r.json, "next")));
    assert_string_not_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(r.json, "items"), 0), "id")), last);
    reply_done(&r);
    remove_at(path_of("/v1/webhooks/%s", last));
    expect(get(&f.s, second, f.acme), 400, "bad-cursor");
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (!strstr(paths[i], last))
            remove_at(paths[i]);
    free(last);
}

static void another_company_sees_nothing(void **state)
{
    static const char *const methods[] = {"GET", "PATCH", "DELETE"};
    char path[128], ping[160];
    make(BODY, path);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        expect(request(&f.s, methods[i], path, f.globex, i == 1 ? BYTES_STR("{}") : BYTES_NONE, as_json), 404,
               "not-found");
    }
    snprintf(ping, sizeof ping, "%s/ping", path);
    expect(request(&f.s, "POST", ping, f.globex, BYTES_NONE, NULL), 404, "not-found");
    struct reply r = get(&f.s, "/v1/webhooks", f.globex);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
    r = get(&f.s, "/v1/webhooks", f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    remove_at(path);
    expect(get(&f.s, path, f.acme), 404, "not-found");
}

static void changes_need_the_tag_they_saw(void **state)
{
    char path[128], tag[96], match[128];
    make(BODY, path);
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(str_copy(tag, sizeof tag, reply_header(&r, "ETag")), 0);
    snprintf(match, sizeof match, "If-Match: %s", tag);
    reply_done(&r);
    r = send_with("PATCH", path, "{\"types\": [\"erasure.done\"], \"name\": null}", match);
    assert_int_equal(r.status, 200);
    assert_true(json_is_null(json_object_get(r.json, "name")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(r.json, "types"), 0)), "erasure.done");
    reply_done(&r);
    expect(send_with("PATCH", path, "{\"name\": \"late\"}", match), 412, "precondition-failed");
    remove_at(path);
}

static void bad_addresses_are_refused_when_they_are_written(void **state)
{
    static const char *const bad[] = {"http://hooks.example.com/",
                                      "https://",
                                      "https:///hooks.example.com/",
                                      "ftp://hooks.example.com/",
                                      "hooks.example.com",
                                      "https://user@hooks.example.com/",
                                      "https://u:p@hooks.example.com/",
                                      "https://@hooks.example.com/",
                                      "https://hooks.example.com/#x",
                                      "https://hooks.example.com/#",
                                      "https://hooks.example.com:22/",
                                      "https://hooks.example.com:80/",
                                      "https://hooks.example.com:99999/",
                                      "https://hooks.example.com./",
                                      "https://127.0.0.1/",
                                      "https://127.1/",
                                      "https://2130706433/",
                                      "https://0x7f000001/",
                                      "https://0177.0.0.1/",
                                      "https://[::1]/",
                                      "https://[::ffff:10.0.0.1]/",
                                      "https://[fe80::1%25eth0]/",
                                      "https://[fd00::1]:8443/",
                                      "https://169.254.169.254/latest/meta-data/",
                                      "https://10.1.2.3/",
                                      "https://192.168.1.1/",
                                      "https://100.64.0.1/",
                                      "https://[64:ff9b::7f00:1]/",
                                      "https://[2002:7f00:1::]/",
                                      "https://h\xc3\xb6oks.example.com/",
                                      "https://hooks.example.com/a b",
                                      "file:///etc/passwd"};
    char body[512], why[COURIER_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(body, sizeof body, "{\"url\": \"%s\", \"types\": [\"changes\"]}", bad[i]);
        struct reply r = post(&f.s, "/v1/webhooks", f.acme, body);
        if (r.status != 400)
            fail_msg("%s: %d", bad[i], r.status);
        assert_problem(&r, 400, "invalid");
        reply_done(&r);
    }
    assert_null(courier_refuses(&f.set, "https://8.8.8.8/x", why));
    assert_null(courier_refuses(&f.set, "https://[2606:4700::1111]:8443/x", why));
    assert_null(courier_refuses(&f.set, "https://xn--hks-sna.example.com/x%20y", why));
}

static void wrong_members_are_named(void **state)
{
    static const char *const bodies[] = {
        "{\"types\": [\"changes\"]}", "{\"url\": \"https://x.example/\"}",
        "{\"url\": \"https://x.example/\", \"types\": []}",
        "{\"url\": \"https://x.example/\", \"types\": [\"punches\"]}",
        "{\"url\": \"https://x.example/\", \"types\": [\"changes\"], \"secret\": \"mine\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct reply r = post(&f.s, "/v1/webhooks", f.acme, bodies[i]);
        assert_problem(&r, 400, "invalid");
        assert_true(json_array_size(json_object_get(r.json, "errors")) > 0);
        reply_done(&r);
    }
    struct reply r = post(&f.s, "/v1/webhooks", f.acme, bodies[3]);
    assert_non_null(strstr(r.body, "\\\"punches\\\" is none of changes, audit.checkpoint, "));
    reply_done(&r);
}

static void there_is_an_end_to_them(void **state)
{
    char paths[WEBHOOKS_MAX][128];
    for (size_t i = 0; i < WEBHOOKS_MAX; i++)
        make(BODY, paths[i]);
    expect(post(&f.s, "/v1/webhooks", f.acme, BODY), 409, "conflict");
    for (size_t i = 0; i < WEBHOOKS_MAX; i++)
        remove_at(paths[i]);
}

/* ---- deliveries ---- */

static void id_of(const char *path, uint8_t ret[ID_LEN])
{
    assert_int_equal(str_unhex(strrchr(path, '/') + 1, ret, ID_LEN), 0);
}

static void emit(const char *type, int n, int expect)
{
    json_t *data = json_pack("{s:i}", "n", n);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(outbox_event(&s, type, data), expect);
    fixture_commit(&f);
    json_decref(data);
}

/* As the sender does: takes the first, and says what became of it. */
static int try_one(const uint8_t id[ID_LEN], enum delivery_state state, int64_t due, int *ret_n)
{
    struct delivery d = {0};
    struct webhook_due w = {.tenant = "acme", .failures = state == DELIVERY_WAITING};
    memcpy(w.id, id, ID_LEN);
    struct scope s = fixture_scope(&f, "acme");
    int r = delivery_head(&s, id, &d);
    if (r == 0) {
        *ret_n = (int)json_integer_value(json_object_get(d.data, "n"));
        d.state = state;
        d.tries++;
        d.tried = clock_real();
        d.status = state == DELIVERY_DONE ? 200 : 500;
        strcpy(d.error, state == DELIVERY_DONE ? "" : "it answered 500");
        assert_int_equal(delivery_tried(f.c, f.db, &w, &d, due), 0);
    }
    delivery_done(&d);
    return r;
}

static size_t due_now(int64_t now)
{
    struct webhook_due due[8];
    size_t n = 0;
    assert_int_equal(delivery_due(f.db, now, ARRAY_LEN(due), due, &n), 0);
    return n;
}

static void events_reach_who_wants_them_in_order(void **state)
{
    char wants[128], other[128], path[256];
    uint8_t id[ID_LEN], id2[ID_LEN];
    int n = 0;
    make(BODY, wants);
    make("{\"url\": \"https://b.example/\", \"types\": [\"erasure.done\"]}", other);
    id_of(wants, id);
    id_of(other, id2);
    for (int i = 1; i <= 3; i++)
        emit("support.requested", i, 0);
    emit("gateway.revoked", 9, 0); /* nobody wants it */
    emit("supportive", 9, -EINVAL);
    emit("nonsense", 9, -EINVAL);
    assert_int_equal(due_now(clock_real()), 1);
    assert_int_equal(try_one(id2, DELIVERY_DONE, 0, &n), CLOUD_ABSENT);
    int64_t later = clock_real() + 60000000;
    assert_int_equal(try_one(id, DELIVERY_WAITING, later, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(due_now(clock_real()), 0);
    assert_int_equal(due_now(later), 1);
    struct reply r = get(&f.s, wants, f.acme);
    assert_int_equal(json_integer_value(json_object_get(r.json, "failures")), 1);
    assert_true(*reply_text(&r, "next_try"));
    reply_done(&r);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), 0);
        assert_int_equal(n, i);
    }
    assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), CLOUD_ABSENT);
    snprintf(path, sizeof path, "%s/deliveries?limit=2", wants);
    r = get(&f.s, path, f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
    json_t *newest = json_array_get(json_object_get(r.json, "items"), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(newest, "data"), "n")), 3);
    assert_string_equal(json_string_value(json_object_get(newest, "state")), "delivered");
    snprintf(path, sizeof path, "%s/deliveries?limit=2&cursor=%s", wants, reply_text(&r, "next"));
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    remove_at(wants);
    remove_at(other);
}

static void a_ping_is_sent_again_on_request(void **state)
{
    char path[128], url[256], delivery[160];
    uint8_t id[ID_LEN];
    int n = 0;
    make(BODY, path);
    id_of(path, id);
    snprintf(url, sizeof url, "%s/ping", path);
    struct reply r = post(&f.s, url, f.acme, "");
    assert_int_equal(r.status, 202);
    assert_int_equal(str_copy(delivery, sizeof delivery, reply_header(&r, "Location")), 0);
    assert_string_equal(reply_text(&r, "state"), "waiting");
    reply_done(&r);
    snprintf(url, sizeof url, "%s/redeliver", delivery);
    expect(post(&f.s, url, f.acme, ""), 409, "conflict");
    assert_int_equal(try_one(id, DELIVERY_FAILED, clock_real() + 60000000, &n), 0);
    r = get(&f.s, delivery, f.acme);
    assert_string_equal(reply_text(&r, "state"), "failed");
    assert_string_equal(reply_text(&r, "error"), "it answered 500");
    assert_int_equal(json_integer_value(json_object_get(r.json, "status")), 500);
    reply_done(&r);
    r = send_with("POST", url, NULL, "Idempotency-Key: again-1");
    assert_int_equal(r.status, 202);
    assert_string_equal(reply_text(&r, "state"), "waiting");
    reply_done(&r);
    assert_int_equal(due_now(clock_real()), 1); /* at once */
    assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), 0);
    r = send_with("POST", url, NULL, "Idempotency-Key: again-1");
    assert_int_equal(r.status, 202);
    assert_string_equal(reply_text(&r, "state"), "delivered");
    assert_string_equal(reply_header(&r, "Location"), delivery);
    assert_int_equal(json_integer_value(json_object_get(r.json, "tries")), 2);
    reply_done(&r);
    remove_at(path);
}

static void a_queue_has_an_end_and_a_history_too(void **state)
{
    char path[128], url[256];
    uint8_t id[ID_LEN];
    int n = 0;
    uint64_t waiting = 0, failed = 0;
    json_t *data = json_pack("{s:i}", "n", 1);
    make(BODY, path);
    id_of(path, id);
    struct scope s = fixture_begin(&f, "acme");
    for (int i = 0; i < DELIVERIES_WAITING_MAX + 5; i++)
        assert_int_equal(outbox_event(&s, "support.ended", data), 0);
    json_decref(data);
    fixture_commit(&f);
    assert_int_equal(delivery_counts(f.db, &waiting, &failed), 0);
    assert_int_equal(waiting, DELIVERIES_WAITING_MAX);
    assert_int_equal(failed, 5);
    for (int i = 0; i < DELIVERIES_KEPT + 20; i++)
        assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), 0);
    snprintf(url, sizeof url, "%s/deliveries?limit=1000", path);
    struct reply r = get(&f.s, url, f.acme);
    size_t done = 0, i;
    json_t *d;
    json_array_foreach(json_object_get(r.json, "items"), i, d) done +=
        strcmp(json_string_value(json_object_get(d, "state")), "waiting") != 0;
    assert_int_equal(json_array_size(json_object_get(r.json, "items")) - done,
                     DELIVERIES_WAITING_MAX - DELIVERIES_KEPT - 20);
    assert_int_equal(done, DELIVERIES_KEPT);
    reply_done(&r);
    remove_at(path);
}

static void the_feed_is_told_once(void **state)
{
    char path[128];
    uint8_t id[ID_LEN];
    size_t told = 99;
    int n = 0;
    int64_t now = clock_real();
    make(BODY, path);
    id_of(path, id);
    assert_int_equal(delivery_changes(f.c, f.db, now, &told), 0);
    assert_int_equal(told, 0); /* what was before it was made is no news */
    expect(post(&f.s, "/v1/people", f.acme, "{\"name\": \"Ada\"}"), 201, NULL);
    assert_int_equal(delivery_changes(f.c, f.db, now, &told), 0);
    assert_int_equal(told, 1);
    struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\": \"Bob\"}");
    reply_done(&r);
    assert_int_equal(delivery_changes(f.c, f.db, now + 10000000, &told), 0);
    assert_int_equal(told, 0); /* one waits */
    assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), 0);
    assert_int_equal(delivery_changes(f.c, f.db, now + 1000000, &told), 0);
    assert_int_equal(told, 0); /* too soon */
    assert_int_equal(delivery_changes(f.c, f.db, now + 10000000, &told), 0);
    assert_int_equal(told, 1); /* and nothing is forgotten */
    assert_int_equal(try_one(id, DELIVERY_DONE, 0, &n), 0);
    assert_int_equal(delivery_changes(f.c, f.db, now + 20000000, &told), 0);
    assert_int_equal(told, 0);
    remove_at(path);
}

static void erasures_and_revocations_are_told(void **state)
{
    char path[128], url[256], person[160], gw[2 * GW_LEN + 1];
    size_t i, erased = 0, revoked = 0;
    json_t *d;
    make("{\"url\": \"https://x.example/\", \"types\": [\"erasure.done\", \"gateway.*\"]}", path);
    struct reply r = post(&f.s, "/v1/people", f.acme, "{\"name\": \"Eve\"}");
    assert_int_equal(str_copy(person, sizeof person - 8, reply_header(&r, "Location")), 0);
    strcat(person, "/erasure");
    reply_done(&r);
    r = post(&f.s, person, f.acme, "{\"dry_run\": false}");
    assert_true(r.status / 100 == 2);
    reply_done(&r);
    snprintf(url, sizeof url, "/v1/gateways/%s/revocation", str_hex(f.gw, GW_LEN, gw));
    r = post(&f.s, url, f.acme, "");
    assert_true(r.status / 100 == 2);
    reply_done(&r);
    snprintf(url, sizeof url, "%s/deliveries", path);
    r = get(&f.s, url, f.acme);
    json_array_foreach(json_object_get(r.json, "items"), i, d)
    {
        const char *type = json_string_value(json_object_get(d, "type"));
        const json_t *data = json_object_get(d, "data");
        erased += strcmp(type, "erasure.done") == 0 && json_object_get(data, "erasure") != NULL;
        revoked += strcmp(type, "gateway.revoked") == 0 &&
                   strcmp(json_string_value(json_object_get(data, "gateway")), gw) == 0;
    }
    assert_int_equal(erased, 1);
    assert_int_equal(revoked, 1);
    reply_done(&r);
    remove_at(path);
}

/* ---- signature and pauses ---- */

static void both_secrets_sign_for_a_day(void **state)
{
    struct webhook w = {.secret = "pws_new", .old = "pws_old", .old_until = INT64_C(1795442700000000) + 1};
    char text[WEBHOOK_SIGNATURE_MAX];
    struct bytes body = BYTES_STR("{\"id\":\"00\"}");
    /* printf '1795442700.{"id":"00"}' | openssl dgst -sha256 -hmac pws_new */
    static const char *const want = "t=1795442700,v1=b7e89ddee83d7328ff8a338da625a3f1872a269153928af40f275450b9d29ec1,"
                                    "v1=d38d380baa6d2264d582747941ea7aefa2f23cf5b5b37e4912b3f0840aaebd25";
    assert_int_equal(webhook_sign(&w, INT64_C(1795442700000000), body, text), 0);
    assert_string_equal(text, want);
    assert_int_equal(webhook_sign(&w, INT64_C(1795442700000001), body, text), 0);
    assert_int_equal(strlen(text), strlen("t=1795442700,v1=") + 64);
    assert_memory_equal(text, want, strlen(text));
}

static void pauses_grow_to_six_hours(void **state)
{
    const int64_t minute = 60000000, most = 360 * minute;
    assert_int_equal(webhook_backoff(1, 500), minute);
    assert_int_equal(webhook_backoff(2, 500), 2 * minute);
    assert_int_equal(webhook_backoff(9, 500), 256 * minute);
    assert_int_equal(webhook_backoff(10, 500), most);
    assert_int_equal(webhook_backoff(1000000, 500), most);
    for (unsigned i = 0; i < 40; i++) {
        int64_t least = webhook_backoff(i, 0), longest = webhook_backoff(i, 1000), mid = webhook_backoff(i, 500);
        assert_true(least == mid - mid / 4 && longest <= mid + mid / 4 && longest > mid);
        assert_int_equal(webhook_backoff(i, 1001), least);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_shown_once),
        cmocka_unit_test(the_list_comes_in_pages),
        cmocka_unit_test(another_company_sees_nothing),
        cmocka_unit_test(changes_need_the_tag_they_saw),
        cmocka_unit_test(bad_addresses_are_refused_when_they_are_written),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(there_is_an_end_to_them),
        cmocka_unit_test(events_reach_who_wants_them_in_order),
        cmocka_unit_test(a_ping_is_sent_again_on_request),
        cmocka_unit_test(a_queue_has_an_end_and_a_history_too),
        cmocka_unit_test(the_feed_is_told_once),
        cmocka_unit_test(erasures_and_revocations_are_told),
        cmocka_unit_test(both_secrets_sign_for_a_day),
        cmocka_unit_test(pauses_grow_to_six_hours),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
