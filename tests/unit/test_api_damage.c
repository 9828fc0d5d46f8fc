/* One row that does not open any more is shown as what it is, and everything else as before: lists, the feed, exports,
 * ingest and erasures go on. */
#include "cloud/events.h"
#include "cloud/people.h"
#include "cloud/reader.h"
#include "cloud/site.h"
#include "tests/unit/api_fixture.h"

static struct person people[3];
static char path[3][64]; /* of the people */
static int64_t now;

static struct cred card_of(int i)
{
    return fixture_card(INT64_C(0x0100000000) + (uint64_t)i);
}

static void punch_at(int i, uint64_t gseq, int64_t time)
{
    fixture_file_one(
        &f, &(struct fixture_punch){
                .tenant = "acme", .reader = "door", .gw = f.gw, .cred = card_of(i), .gseq = gseq, .time = time});
}

static void punch(int i, uint64_t gseq)
{
    punch_at(i, gseq, now - 60000000 + (int64_t)gseq);
}

static void hold(int i, int card, int64_t from, int64_t until)
{
    struct cred cred = card_of(card);
    struct credential c;
    assert_int_equal(credential_assign(f.c, f.db, "acme", people[i].id, &cred, RENDER_HEX10, from, until, &c, NULL), 0);
}

/* Three people with a card and a punch each, a reader and a site. */
static int setup(void **state)
{
    static const char *const names[] = {"Ada", "Grace", "Hedy"};
    struct site site;
    fixture_make(&f);
    now = clock_real();
    /* filed from now on only: the tenant is as old as the test */
    assert_int_equal(db_script(f.db, "UPDATE tenant SET created = created - 86400000000"), 0);
    for (size_t i = 0; i < ARRAY_LEN(people); i++) {
        char id[2 * ID_LEN + 1];
        assert_int_equal(people_create(f.c, f.db, "acme", &(struct person_set){.name = names[i]}, &people[i]), 0);
        snprintf(path[i], sizeof path[i], "/v1/people/%s", str_hex(people[i].id, ID_LEN, id));
        hold((int)i, (int)i, TIME_MIN, TIME_MAX);
    }
    assert_int_equal(site_add(f.c, f.db, "acme", "Yard", NULL, &site), 0);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(reader_seen(&s, f.gw, "door", 20000), 0);
    assert_int_equal(reader_seen(&s, f.gw, "gate", 20000), 0);
    fixture_commit(&f);
    for (int i = 0; i < 3; i++)
        punch(i, (uint64_t)i + 1);
    api_begin();
    return 0;
}

static void sql(const char *script)
{
    fixture_sql(&f, script);
}

/* One bit of what the statement's condition names. */
static void damage(const char *table, const char *where)
{
    char text[512];
    snprintf(text, sizeof text,
             "UPDATE %s SET sealed = substr(sealed, 1, 20) || x'5a5a5a5a' || substr(sealed, 25) WHERE tenant_id = "
             "'acme' AND %s",
             table, where);
    sql(text);
}

static void damage_by_id(const char *table, const char *column, const uint8_t *id)
{
    char hex[2 * ID_LEN + 1], where[96];
    snprintf(where, sizeof where, "%s = x'%s'", column, str_hex(id, ID_LEN, hex));
    damage(table, where);
}

static struct reply ok(const char *p)
{
    struct reply r = get(&f.s, p, f.acme);
    if (r.status != 200)
        print_error("%s: %s\n", p, r.body);
    assert_int_equal(r.status, 200);
    return r;
}

/* How many of a list are there, and how many of those are shown as damaged; *ret_id: the last of those. */
static size_t listed(const char *p, size_t *ret_damaged, char ret_id[40])
{
    struct reply r = ok(p);
    size_t i, n = 0;
    json_t *o;
    *ret_damaged = 0;
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        n++;
        if (json_is_true(json_object_get(o, "damaged"))) {
            ++*ret_damaged;
            assert_int_equal(str_copy(ret_id, 40, json_string_value(json_object_get(o, "id"))), 0);
        }
    }
    reply_done(&r);
    return n;
}

static void expect_damaged(const char *method, const char *p, const char *body)
{
    expect(request(&f.s, method, p, f.acme, body ? BYTES_STR(body) : BYTES_NONE, as_json), 500, "damaged");
}

/* The one item of the whole feed that says so, and how many items there are; read two at a time. */
static size_t feed(char ret_what[40], char ret_id[40])
{
    char p[128] = "/v1/changes?limit=2";
    size_t i, n = 0, damaged = 0;
    for (bool more = true; more;) {
        struct reply r = ok(p);
        json_t *o;
        json_array_foreach(json_object_get(r.json, "items"), i, o)
        {
            n++;
            if (strcmp(json_string_value(json_object_get(o, "type")), "damaged") != 0)
                continue;
            damaged++;
            assert_int_equal(str_copy(ret_what, 40, json_string_value(json_object_get(o, "what"))), 0);
            assert_int_equal(str_copy(ret_id, 40, json_string_value(json_object_get(o, "id"))), 0);
        }
        more = json_is_true(json_object_get(r.json, "more"));
        snprintf(p, sizeof p, "/v1/changes?limit=2&after=%s", reply_text(&r, "next"));
        reply_done(&r);
    }
    assert_true(damaged <= 1);
    if (damaged == 0)
        ret_what[0] = '\0';
    return n;
}

static bool export_damaged(int i, size_t *ret_punches)
{
    char p[96];
    snprintf(p, sizeof p, "%s/export", path[i]);
    struct reply r = ok(p);
    assert_true(json_is_boolean(json_object_get(r.json, "damaged")));
    bool damaged = json_is_true(json_object_get(r.json, "damaged"));
    *ret_punches = json_array_size(json_object_get(r.json, "punches"));
    reply_done(&r);
    return damaged;
}

static struct reply erase(int i)
{
    char p[96];
    snprintf(p, sizeof p, "%s/erasure", path[i]);
    struct reply r = post(&f.s, p, f.acme, "{\"dry_run\":false}");
    assert_int_equal(r.status, 200);
    return r;
}

static void test_sound(void **state)
{
    char id[40], what[40];
    size_t damaged, punches;
    assert_int_equal(listed("/v1/people", &damaged, id), 3);
    assert_int_equal(damaged, 0);
    feed(what, id);
    assert_string_equal(what, "");
    assert_false(export_damaged(0, &punches));
    assert_int_equal(punches, 1);
    assert_int_equal(cloud_damaged(f.c), 0);
}

static void test_person(void **state)
{
    char id[40], what[40], p[160];
    size_t damaged, punches, before = feed(what, id);
    damage_by_id("person", "id", people[1].id);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(listed("/v1/people", &damaged, id), 3);
        assert_int_equal(damaged, 1);
        assert_string_equal(id, path[1] + strlen("/v1/people/"));
        assert_int_equal(cloud_damaged(f.c), 1); /* one row, however often it is met */
    }
    assert_int_equal(listed("/v1/people?limit=1", &damaged, id), 1);
    expect_damaged("GET", path[1], NULL);
    expect_damaged("PATCH", path[1], "{\"name\":\"Grace\"}");
    struct reply r = ok(path[0]);
    assert_string_equal(reply_text(&r, "name"), "Ada");
    reply_done(&r);

    assert_int_equal(feed(what, id), before);
    assert_string_equal(what, "person");
    assert_string_equal(id, path[1] + strlen("/v1/people/"));

    /* the punches are whole, but for the name */
    assert_int_equal(listed("/v1/punches", &damaged, id), 3);
    snprintf(p, sizeof p, "/v1/punches?person=%s", path[1] + strlen("/v1/people/"));
    r = ok(p);
    json_t *o = json_array_get(json_object_get(r.json, "items"), 0);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "person"), "id")),
                        p + strlen("/v1/punches?person="));
    assert_true(json_is_null(json_object_get(json_object_get(o, "person"), "name")));
    reply_done(&r);
    assert_true(export_damaged(1, &punches));
    assert_int_equal(punches, 1);
    assert_false(export_damaged(0, &punches));

    /* and the right to be forgotten stays */
    r = erase(1);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(r.json, "counts"), "punches")), 1);
    reply_done(&r);
    assert_int_equal(listed("/v1/people", &damaged, id), 2);
    assert_int_equal(damaged, 0);
}

static void test_credential(void **state)
{
    char id[40], what[40], p[160];
    size_t damaged, punches;
    snprintf(p, sizeof p, "%s/credentials", path[0]);
    damage_by_id("credential", "key_id", people[0].key);
    assert_int_equal(listed(p, &damaged, id), 1);
    assert_int_equal(damaged, 1);
    snprintf(p, sizeof p, "/v1/credentials/%s", id);
    expect_damaged("GET", p, NULL);
    feed(what, id);
    assert_string_equal(what, "credential");
    assert_string_equal(id, p + strlen("/v1/credentials/"));
    assert_true(export_damaged(0, &punches));
    /* ingest goes on: whose it is cannot be said, so it waits, and the card can be handed out anew */
    punch(0, 11);
    assert_int_equal(listed("/v1/punches?state=unassigned", &damaged, id), 1);
    snprintf(p, sizeof p, "%s/credentials", path[0]);
    struct reply r = post(&f.s, p, f.acme, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"0100000000\"}");
    assert_int_equal(r.status, 201);
    assert_int_equal(json_integer_value(json_object_get(r.json, "refiled")), 1);
    reply_done(&r);
}

/* A card that two had, one after the other; the row of the one is damaged and the other is erased. */
static void test_card_of_two(void **state)
{
    char id[40];
    size_t damaged;
    hold(1, 7, TIME_MIN, now - 30000000);
    hold(0, 7, now - 30000000, TIME_MAX);
    damage_by_id("credential", "key_id", people[1].key);
    punch(7, 11);                    /* the former's, which cannot be known, so it waits */
    punch_at(7, 12, now - 10000000); /* the latter's */
    assert_int_equal(listed("/v1/punches?state=unassigned", &damaged, id), 1);
    struct reply r = erase(0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(r.json, "counts"), "punches")), 2);
    reply_done(&r);
    assert_int_equal(listed("/v1/punches?state=unassigned", &damaged, id), 1);
}

/* Who got the card of one who is erased loses nothing by the damage: what cannot be known as theirs waits. */
static void test_card_of_the_erased(void **state)
{
    char id[40];
    size_t damaged;
    hold(0, 7, TIME_MIN, TIME_MAX);
    struct reply r = erase(0);
    reply_done(&r);
    hold(1, 7, now, TIME_MAX);
    damage_by_id("credential", "key_id", people[1].key);
    punch_at(7, 11, clock_real() + 1000000);
    assert_int_equal(listed("/v1/punches?state=unassigned", &damaged, id), 1);
}

/* Of a damaged card, too, the keys of old backups' rows go with the person. */
static void test_keys_of_a_damaged_card(void **state)
{
    struct db_stmt *st;
    punch(7, 11);
    hold(0, 7, TIME_MIN, TIME_MAX); /* takes it over; its waiting key is used no more */
    damage_by_id("credential", "key_id", people[0].key);
    struct reply r = erase(0);
    json_t *counts = json_object_get(r.json, "counts");
    assert_int_equal(json_integer_value(json_object_get(counts, "punches")), 2);
    assert_int_equal(json_integer_value(json_object_get(counts, "keys")), 2);
    reply_done(&r);
    assert_int_equal(db_stmt(f.db, "SELECT 1 FROM retired", &st), 0);
    assert_int_equal(db_step(st), 0);
    db_done(st);
}

static void put_event(const struct scope *s, uint8_t segment, uint64_t index)
{
    struct record rec = {
        .kind = RECORD_EVENT, .gseq = 100 * segment + index, .ck = ck_make(CLOCK_FREE, 1000), .event = {.code = 1}};
    struct event_pos at = {.gen = 1, .gseq = rec.gseq, .index = index};
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n = 0;
    memset(at.segid, segment, sizeof at.segid);
    assert_int_equal(record_encode(&rec, plain, &n), 0);
    assert_int_equal(events_put(s, f.gw, &at, BYTES(plain, n)), 0);
}

/* Events of two segments share their indexes. */
static void test_event(void **state)
{
    char id[40], gw[2 * GW_LEN + 1], p[96];
    size_t damaged;
    struct scope s = fixture_begin(&f, "acme");
    for (uint8_t segment = 1; segment <= 3; segment++)
        put_event(&s, segment, 0);
    put_event(&s, 3, 1);
    fixture_commit(&f);
    snprintf(p, sizeof p, "/v1/gateways/%s/events", str_hex(f.gw, GW_LEN, gw));
    assert_int_equal(listed(p, &damaged, id), 4);
    damage("event", "segid < x'03'");
    assert_int_equal(listed(p, &damaged, id), 2);
    assert_int_equal(cloud_damaged(f.c), 2);
    sql("UPDATE event SET segid = substr(segid, 1, 8) WHERE idx = 1");
    assert_int_equal(listed(p, &damaged, id), 1);
    assert_int_equal(cloud_damaged(f.c), 3);
}

static void patched(const char *p, const char *body, int status)
{
    expect(request(&f.s, "PATCH", p, f.acme, BYTES_STR(body), as_json), status, NULL);
}

static void test_reader_and_site(void **state)
{
    char id[40], p[128];
    size_t damaged;
    assert_int_equal(listed("/v1/readers", &damaged, id), 2);
    assert_int_equal(damaged, 0);
    damage("reader", "id = (SELECT min(id) FROM reader)");
    assert_int_equal(listed("/v1/readers", &damaged, id), 2);
    assert_int_equal(damaged, 1);
    snprintf(p, sizeof p, "/v1/readers/%s", id);
    expect_damaged("GET", p, NULL);
    expect_damaged("PATCH", p, "{\"label\":\"x\"}");

    sql("UPDATE site SET name = printf('%.100c', 'x') WHERE tenant_id = 'acme' AND name = 'Gate'");
    assert_int_equal(listed("/v1/sites", &damaged, id), 2);
    assert_int_equal(damaged, 1);
    snprintf(p, sizeof p, "/v1/sites/%s", id);
    expect_damaged("GET", p, NULL);
    expect_damaged("PATCH", p, "{\"name\":\"Gate\"}");
    assert_int_equal(listed("/v1/gateways", &damaged, id), 1);
    assert_int_equal(listed("/v1/readers", &damaged, id), 2);
    assert_int_equal(listed("/v1/punches", &damaged, id), 3);

    /* all members together make them good: a reader's name is checked, since its id was made from it */
    patched(p, "{\"name\":\"Gate\",\"time_zone\":null}", 200);
    assert_int_equal(listed("/v1/sites", &damaged, id), 2);
    assert_int_equal(damaged, 0);
    assert_int_equal(listed("/v1/readers", &damaged, id), 2);
    assert_int_equal(damaged, 1);
    snprintf(p, sizeof p, "/v1/readers/%s", id);
    patched(p, "{\"name\":\"cellar\",\"label\":null,\"direction\":\"in\",\"mode\":\"attendance\"}", 400);
    patched(p, "{\"name\":\"door\",\"label\":\"x\",\"direction\":\"in\"}", 500);
    struct reply r =
        request(&f.s, "PATCH", p, f.acme,
                BYTES_STR("{\"name\":\"door\",\"label\":\"x\",\"direction\":\"in\",\"mode\":\"access\"}"), as_json);
    if (r.status == 400) { /* it is the other one */
        reply_done(&r);
        patched(p, "{\"name\":\"gate\",\"label\":\"x\",\"direction\":\"in\",\"mode\":\"access\"}", 200);
    } else {
        assert_int_equal(r.status, 200);
        reply_done(&r);
    }
    assert_int_equal(listed("/v1/readers", &damaged, id), 2);
    assert_int_equal(damaged, 0);
}

static json_int_t punches_counted(void)
{
    struct reply r = ok("/v1/gateways");
    json_t *g = json_array_get(json_object_get(r.json, "items"), 0), *counts = json_object_get(g, "counts");
    assert_true(json_is_true(json_object_get(g, "online")));
    json_int_t n = json_is_null(counts) ? -1 : json_integer_value(json_object_get(counts, "punches"));
    reply_done(&r);
    return n;
}

/* Of a gateway whose counts cannot be read all else is shown. */
static void test_counts(void **state)
{
    sql("INSERT INTO gateway_status(tenant_id, gw, gen, conn, boot, mono, online, rkids, counts, received)"
        " SELECT tenant_id, gw, gen, zeroblob(16), zeroblob(16), 1, 1, x'', x'820007', 1 FROM gateway"
        " WHERE tenant_id = 'acme'");
    assert_int_equal(punches_counted(), 7);
    static const char *const broken[] = {"x'8200'", "x'820007ff'", "x''", "x'a0'"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        char text[96];
        snprintf(text, sizeof text, "UPDATE gateway_status SET counts = %s", broken[i]);
        sql(text);
        assert_int_equal(punches_counted(), -1);
    }
    sql("UPDATE gateway_status SET counts = x'820009'");
    assert_int_equal(punches_counted(), 9);
}

static void test_punch(void **state)
{
    char id[40], what[40];
    size_t damaged, punches, before = feed(what, id);
    damage("punch", "pid = (SELECT pid FROM punch ORDER BY pid LIMIT 1)");
    assert_int_equal(listed("/v1/punches", &damaged, id), 2);
    assert_int_equal(feed(what, id), before - 1);
    size_t hurt = 0;
    for (int i = 0; i < 3; i++) {
        bool bad = export_damaged(i, &punches);
        assert_int_equal(punches, bad ? 0 : 1);
        hurt += bad;
    }
    assert_int_equal(hurt, 1);
    assert_int_equal(cloud_damaged(f.c), 1);
    sql("UPDATE punch SET pid = substr(pid, 1, 8) WHERE pid = (SELECT max(pid) FROM punch)");
    assert_int_equal(listed("/v1/punches", &damaged, id), 1);
    assert_int_equal(cloud_damaged(f.c), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sound, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_person, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_credential, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_card_of_two, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_card_of_the_erased, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_a_damaged_card, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_event, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_reader_and_site, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_counts, setup, api_teardown),
        cmocka_unit_test_setup_teardown(test_punch, setup, api_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
