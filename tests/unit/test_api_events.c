/* GET /v1/gateways/{id}/events: what the store keeps sealed is shown opened, by name, newest first. */
#include "cloud/events.h"
#include "tests/unit/api_fixture.h"
#include "wire/cbor.h"

#define MANY 250

static char path[128];

static void put(struct db *db, const char *tenant, const uint8_t *gw, uint64_t gen, struct record *rec)
{
    struct event_pos at = {.gen = gen, .gseq = rec->gseq, .index = rec->gseq};
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n = 0;
    memset(at.segid, 0xcd, sizeof at.segid);
    rec->real = INT64_C(1795418098000001);
    rec->mono = 55123456;
    rec->ck = ck_make(CLOCK_FREE, 4096);
    assert_int_equal(record_encode(rec, plain, &n), 0);
    struct scope s = fixture_scope(&f, tenant);
    assert_int_equal(events_put(&s, gw, &at, BYTES(plain, n)), 0);
}

static void put_event(struct db *db, uint64_t gseq, uint64_t code, const struct cbor_w *arg)
{
    struct record rec = {.kind = RECORD_EVENT, .gseq = gseq, .event = {.code = code}};
    if (arg)
        rec.event.arg = BYTES(arg->p, arg->len);
    put(f.db, "acme", f.gw, 1, &rec);
}

static void put_text(struct db *db, uint64_t gseq, uint64_t code, const char *text)
{
    uint8_t mem[64];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    cbor_put_text(&w, text);
    put_event(f.db, gseq, code, &w);
}

static void put_uint(struct db *db, uint64_t gseq, uint64_t code, uint64_t v)
{
    uint8_t mem[16];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    cbor_put_uint(&w, v);
    put_event(f.db, gseq, code, &w);
}

/* One of each, in order 1 .. 11, then a clock record of the next generation. */
static void put_all(struct db *db)
{
    uint8_t mem[64], segid[SEGID_LEN];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct record clock = {.kind = RECORD_CLOCK, .gseq = 1, .clock = {.src = CLOCK_SRC_NTP, .step = -250000}};
    put_text(f.db, 1, EVENT_STARTED, "0.1.0");
    put_uint(f.db, 2, EVENT_SPOOL_FULL, 17);
    put_text(f.db, 3, EVENT_SPOOL_QUARANTINED, "spool.bad-1");
    memset(segid, 0xee, sizeof segid);
    cbor_put_array(&w, 2);
    cbor_put_bytes(&w, BYTES(segid, SEGID_LEN));
    cbor_put_uint(&w, 42);
    put_event(f.db, 4, EVENT_RECORD_DAMAGED, &w);
    put_text(f.db, 5, EVENT_READER_DOWN, "door");
    put_text(f.db, 6, EVENT_READER_UP, "door");
    put_uint(f.db, 7, EVENT_EPOCH, 1763800000);
    put_uint(f.db, 8, 99, 5);                 /* of a later version */
    put_uint(f.db, 9, EVENT_STARTED, 5);      /* not what its code says */
    put_event(f.db, 10, 0, NULL);             /* nothing to say, and no code of ours */
    put_event(f.db, 11, EVENT_STARTED, NULL); /* a sender may leave it out */
    put(f.db, "acme", f.gw, 2, &clock);
    put(f.db, "globex", f.gw2, 1, &clock);
}

static int setup(void **state)
{
    char id[2 * GW_LEN + 1];
    fixture_make(&f);
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    put_all(f.db);
    fixture_commit(&f);
    api_begin();
    snprintf(path, sizeof path, "/v1/gateways/%s/events", str_hex(f.gw, GW_LEN, id));
    return 0;
}

static void expect_event(json_t *items, size_t i, const char *name, const char *arguments)
{
    json_t *e = json_array_get(items, i), *want = json_loads(arguments, 0, NULL);
    char *got = json_dumps(json_object_get(e, "arguments"), JSON_COMPACT);
    if (strcmp(text_of(e, "name"), name) != 0 || !json_equal(json_object_get(e, "arguments"), want))
        fail_msg("item %zu: expected %s %s, got %s %s", i, name, arguments, text_of(e, "name"), got);
    free(got);
    json_decref(want);
}

static void test_events_are_opened(void **state)
{
    struct reply r = get(&f.s, path, f.acme);
    json_t *items = json_object_get(r.json, "items");
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(items), 12);
    expect_event(items, 0, "clock", "{\"source\":\"ntp\",\"step_us\":-250000}");
    expect_event(items, 1, "started", "{}");
    expect_event(items, 2, "unknown", "{}");
    expect_event(items, 3, "started", "{\"cbor\":\"05\"}");
    expect_event(items, 4, "unknown", "{\"cbor\":\"05\"}");
    expect_event(items, 5, "epoch", "{\"epoch\":1763800000}");
    expect_event(items, 6, "reader-up", "{\"reader\":\"door\"}");
    expect_event(items, 7, "reader-down", "{\"reader\":\"door\"}");
    expect_event(items, 8, "record-damaged", "{\"record\":\"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-42\"}");
    expect_event(items, 9, "spool-quarantined", "{\"folder\":\"spool.bad-1\"}");
    expect_event(items, 10, "spool-full", "{\"refused\":17}");
    expect_event(items, 11, "started", "{\"version\":\"0.1.0\"}");
    json_t *e = json_array_get(items, 11), *o = json_object_get(e, "original");
    assert_string_equal(text_of(e, "id"), "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd-1");
    assert_int_equal(json_integer_value(json_object_get(e, "code")), EVENT_STARTED);
    assert_int_equal(json_integer_value(json_object_get(e, "gseq")), 1);
    assert_string_equal(text_of(o, "time"), "2026-11-23T07:14:58.000001Z");
    assert_int_equal(json_integer_value(json_object_get(o, "mono_us")), 55123456);
    assert_string_equal(text_of(o, "clock"), "free");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(items, 0), "generation")), 2);
    reply_done(&r);
}

/* A row that somebody changed in the database is passed over, and the rest is there. */
static void test_damaged_row(void **state)
{
    fixture_sql(&f, "UPDATE event SET sealed = zeroblob(300) WHERE gen = 1 AND gseq = 8;");
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 11);
    reply_done(&r);
}

static void test_strangers(void **state)
{
    expect(get(&f.s, path, f.globex), 404, "not-found");
    expect(get(&f.s, "/v1/gateways/0011223344556677/events", f.acme), 404, "not-found");
}

static void put_many(uint64_t from, size_t n)
{
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (size_t i = 0; i < n; i++) {
        struct record rec = {.kind = RECORD_EVENT, .gseq = from + i, .event = {.code = EVENT_READER_UP}};
        put(f.db, "globex", f.gw2, 2, &rec);
    }
    fixture_commit(&f);
}

/* Newest first, each once, also when events arrive between two pages. */
static void test_pages(void **state)
{
    char url[1024], id[2 * GW_LEN + 1], base[128];
    uint64_t want = MANY;
    put_many(1, MANY);
    snprintf(base, sizeof base, "/v1/gateways/%s/events?limit=40", str_hex(f.gw2, GW_LEN, id));
    strcpy(url, base);
    for (size_t pages = 0; url[0]; pages++) {
        struct reply r = get(&f.s, url, f.globex);
        json_t *e, *next = json_object_get(r.json, "next");
        size_t i;
        assert_int_equal(r.status, 200);
        json_array_foreach(json_object_get(r.json, "items"), i, e)
        {
            if (want > 0)
                assert_int_equal(json_integer_value(json_object_get(e, "gseq")), want--);
            else /* the clock record of generation 1 is the oldest */
                assert_string_equal(text_of(e, "name"), "clock");
        }
        if (json_is_string(next))
            snprintf(url, sizeof url, "%s&cursor=%s", base, json_string_value(next));
        else
            url[0] = '\0';
        reply_done(&r);
        if (pages == 1) { /* and a cursor of one gateway is not one of another */
            put_many(MANY + 1, 5);
            const char *cursor = strstr(url, "cursor=");
            char other[1024];
            snprintf(other, sizeof other, "%s?%s", path, cursor);
            expect(get(&f.s, other, f.acme), 400, "bad-cursor");
        }
    }
    assert_int_equal(want, 0);
}

/* As many as a page may have, each as long as it can be and of what JSON writes longest. */
static void test_longest_page(void **state)
{
    enum { LONG = 980 };
    char text[LONG + 1], id[2 * GW_LEN + 1], url[128];
    uint8_t mem[LONG + 8];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    memset(text, 1, LONG);
    text[LONG] = '\0';
    cbor_put_text(&w, text);
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (uint64_t i = 1; i <= EVENTS_LIMIT_MAX; i++) {
        struct record rec = {.kind = RECORD_EVENT, .gseq = i, .event = {.code = EVENT_READER_UP}};
        rec.event.arg = BYTES(w.p, w.len);
        put(f.db, "globex", f.gw2, 3, &rec);
    }
    fixture_commit(&f);
    snprintf(url, sizeof url, "/v1/gateways/%s/events?limit=%d", str_hex(f.gw2, GW_LEN, id), EVENTS_LIMIT_MAX);
    struct reply r = get(&f.s, url, f.globex);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), EVENTS_LIMIT_MAX);
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_opened), cmocka_unit_test(test_damaged_row),
        cmocka_unit_test(test_strangers),         cmocka_unit_test(test_pages),
        cmocka_unit_test(test_longest_page),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
