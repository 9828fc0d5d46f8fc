/* Who is in, as a receptionist asks: only where the company wants it, by the site's own day. */
#include "cloud/correction.h"
#include "cloud/credential.h"
#include "cloud/people.h"
#include "cloud/presence.h"
#include "cloud/reader.h"
#include "cloud/settings_of.h"
#include "cloud/site.h"
#include "tests/unit/api_fixture.h"

#define HOUR INT64_C(3600000000)

static struct person people[3];
static uint8_t site[ID_LEN];
static uint64_t gseq;

static struct cred card_of(int i)
{
    return fixture_card((UINT64_C(1) << 32) + (uint64_t)i);
}

static int setup(void **state)
{
    static const char *const names[] = {"Ada", "Grace", "Hedy"};
    fixture_make(&f);
    fixture_sql(&f, "UPDATE tenant SET created = created - 400 * 86400000000");
    for (int i = 0; i < 3; i++) {
        struct cred c = card_of(i);
        struct credential got;
        const struct person_set set = {.name = names[i]};
        assert_int_equal(people_create(f.c, f.db, "acme", &set, &people[i]), 0);
        assert_int_equal(
            credential_assign(f.c, f.db, "acme", people[i].id, &c, RENDER_HEX10, TIME_MIN, TIME_MAX, &got, NULL), 0);
    }
    assert_int_equal(site_by_name(f.db, "acme", "Gate", site), 0);
    api_begin();
    return 0;
}

static void punch(int i, const char *reader, int64_t time, uint8_t dir)
{
    const struct fixture_punch p = {
        .tenant = "acme", .reader = reader, .gw = f.gw, .cred = card_of(i), .gseq = ++gseq, .time = time};
    fixture_file_one_dir(&f, &p, dir);
}

static void set_up_reader(const char *name, enum reader_direction direction, enum reader_mode mode)
{
    struct reader_list l;
    const struct reader_set set = {.direction = &direction, .mode = &mode};
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(reader_seen(&s, f.gw, name, 20000), 0);
    fixture_commit(&f);
    assert_int_equal(reader_list(f.c, f.db, "acme", NULL, 0, &l), 0);
    for (size_t i = 0; i < l.n; i++)
        if (strcmp(l.items[i].name, name) == 0)
            assert_int_equal(reader_update(f.c, f.db, "acme", l.items[i].id, &set), 0);
    reader_list_done(&l);
}

/* Initials of who is in at that moment, in the order of their names. */
static const char *in_at(const char *zone, int64_t now)
{
    static char who[8];
    struct zone *z = NULL;
    struct presence p;
    size_t n = 0;
    assert_int_equal(zone_load(zone, &z), 0);
    assert_int_equal(presence_read(f.c, f.db, "acme", site, z, now, &p), 0);
    for (int i = 0; i < 3; i++)
        for (size_t j = 0; j < p.n; j++)
            if (memcmp(p.items[j].person.id, people[i].id, ID_LEN) == 0)
                who[n++] = people[i].name[0];
    who[n] = '\0';
    presence_done(&p);
    zone_free(z);
    return who;
}

static int64_t at(const char *text)
{
    int64_t us = 0;
    assert_int_equal(str_untime(text, &us), 0);
    return us;
}

static void test_by_direction(void **state)
{
    const int64_t t = at("2026-06-10T08:00:00Z");
    punch(0, "door", t, DIR_IN);
    punch(1, "door", t + HOUR, DIR_IN);
    punch(0, "door", t + 2 * HOUR, DIR_OUT);
    assert_string_equal(in_at("", t + 3 * HOUR), "G");
    punch(0, "door", t + 3 * HOUR, DIR_BREAK_IN);
    punch(1, "door", t + 3 * HOUR, DIR_BREAK_OUT);
    assert_string_equal(in_at("", t + 3 * HOUR), "A");
    assert_string_equal(in_at("", t + 24 * HOUR), ""); /* at midnight everybody is out */
}

/* Asked for and approved. */
static void correct(struct correction c)
{
    static const uint8_t account[ID_LEN] = {7};
    strcpy(c.reason, "So it was");
    assert_int_equal(correction_request(f.c, f.db, "acme", people[0].id, &c), 0);
    assert_int_equal(correction_decide(f.c, f.db, "acme", c.id, true, account, "Seen", &c), 0);
}

static void test_corrected(void **state)
{
    const int64_t t = at("2026-06-20T08:00:00Z");
    struct correction add = {.kind = CORRECTION_ADD, .has_time = true, .time = t, .has_dir = true, .dir = DIR_IN};
    correct(add);
    assert_string_equal(in_at("", t + HOUR), ""); /* somewhere, nobody says where */
    add.has_site = true;
    memcpy(add.site, site, ID_LEN);
    correct(add);
    assert_string_equal(in_at("", t + HOUR), "A");
    punch(0, "door", t + HOUR, DIR_OUT);
    assert_string_equal(in_at("", t + 2 * HOUR), "");
    struct correction none = {.kind = CORRECTION_VOID};
    memset(none.segid, 0xab, SEGID_LEN);
    memcpy(none.segid, f.gw, GW_LEN);
    none.index = gseq;
    correct(none);
    assert_string_equal(in_at("", t + 2 * HOUR), "A");
}

/* Whatever day a reader saw it on: what counts is when it was. */
static void test_moved_from_another_day(void **state)
{
    const int64_t day = DAY_US, t = (clock_real() / day - 2) * day + 8 * HOUR;
    punch(0, "door", t, DIR_IN);
    struct correction change = {.kind = CORRECTION_CHANGE, .has_time = true, .time = t + day};
    memset(change.segid, 0xab, SEGID_LEN);
    memcpy(change.segid, f.gw, GW_LEN);
    change.index = gseq;
    assert_string_equal(in_at("", t + HOUR), "A");
    assert_string_equal(in_at("", t + day + HOUR), "");
    correct(change);
    assert_string_equal(in_at("", t + HOUR), "");
    assert_string_equal(in_at("", t + day + HOUR), "A");
    change.time = t + day + 2 * HOUR; /* and later on that day, as is said afterwards */
    change.has_dir = true;
    change.dir = DIR_OUT;
    correct(change);
    assert_string_equal(in_at("", t + day + HOUR), "");
    assert_string_equal(in_at("", t + day + 3 * HOUR), "");
    change.time = t + 2 * HOUR; /* and back */
    change.dir = DIR_IN;
    correct(change);
    assert_string_equal(in_at("", t + 3 * HOUR), "A");
    assert_string_equal(in_at("", t + day + 3 * HOUR), "");
}

static void test_by_the_readers_setting(void **state)
{
    const int64_t t = at("2026-06-11T08:00:00Z");
    set_up_reader("entry", READER_IN, READER_ATTENDANCE);
    set_up_reader("exit", READER_OUT, READER_ATTENDANCE);
    set_up_reader("store room", READER_IN, READER_ACCESS);
    punch(0, "entry", t, DIR_UNKNOWN);
    punch(1, "turnstile", t, DIR_UNKNOWN);
    punch(2, "store room", t, DIR_UNKNOWN);
    assert_string_equal(in_at("", t + 5 * HOUR), "AG");
    punch(1, "turnstile", t + HOUR, DIR_UNKNOWN); /* of both ways: the other one than before */
    punch(0, "entry", t + HOUR, DIR_UNKNOWN);     /* in again is in */
    assert_string_equal(in_at("", t + 5 * HOUR), "A");
    punch(0, "exit", t + 2 * HOUR, DIR_UNKNOWN);
    punch(1, "turnstile", t + 2 * HOUR, DIR_UNKNOWN);
    assert_string_equal(in_at("", t + 5 * HOUR), "G");
    punch(0, "exit", t + 3 * HOUR, DIR_IN); /* what the punch says itself counts */
    assert_string_equal(in_at("", t + 5 * HOUR), "AG");
}

/* The day is the site's own: in Auckland it begins 12 or 13 hours before UTC's. */
static void test_days_are_the_sites(void **state)
{
    punch(0, "door", at("2026-07-01T11:30:00Z"), DIR_IN); /* 23:30 of June's last day there + 1 */
    assert_string_equal(in_at("Pacific/Auckland", at("2026-07-01T11:59:00Z")), "A");
    assert_string_equal(in_at("Pacific/Auckland", at("2026-07-01T12:00:00Z")), "");
    assert_string_equal(in_at("", at("2026-07-01T23:59:59Z")), "A");
    punch(1, "door", at("2026-07-01T12:10:00Z"), DIR_IN); /* a night shift begins */
    assert_string_equal(in_at("Pacific/Auckland", at("2026-07-02T11:00:00Z")), "G");
    /* the day of 25 hours: both hours of two o'clock are its own */
    punch(2, "door", at("2026-10-24T22:00:00Z"), DIR_IN);
    assert_string_equal(in_at("Europe/Berlin", at("2026-10-24T21:59:59Z")), "");
    assert_string_equal(in_at("Europe/Berlin", at("2026-10-25T22:59:59Z")), "H");
    assert_string_equal(in_at("Europe/Berlin", at("2026-10-25T23:00:00Z")), "");
    /* and of 23 */
    punch(2, "door", at("2026-03-28T23:00:00Z"), DIR_IN);
    assert_string_equal(in_at("Europe/Berlin", at("2026-03-29T21:59:59Z")), "H");
    assert_string_equal(in_at("Europe/Berlin", at("2026-03-29T22:00:00Z")), "");
}

static void put_on(bool on)
{
    struct tenant_settings set;
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    assert_false(set.presence && on); /* off is what a company begins with */
    set.presence = on;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
}

static void test_over_https(void **state)
{
    char path[128], id[2 * ID_LEN + 1];
    snprintf(path, sizeof path, "/v1/sites/%s/presence", str_hex(site, ID_LEN, id));
    expect(get(&f.s, path, f.acme), 403, "presence-off");
    put_on(true);
    const int64_t now = clock_real();
    for (int i = 0; i < 3; i++)
        punch(i, "door", now - 1000000 + i, DIR_IN);
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items");
    if (json_array_size(items) != 3) /* midnight fell between the punches and the question */
        assert_true(clock_real() / (24 * HOUR) != (now - 1000000) / (24 * HOUR));
    for (size_t i = 0; i < json_array_size(items); i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(items, i), "reader")), "door");
    reply_done(&r);
    size_t seen = 0;
    char next[1024] = "?limit=1", page[1200];
    for (int i = 0; i < 5 && next[0]; i++) {
        snprintf(page, sizeof page, "%s%s", path, next);
        r = get(&f.s, page, f.acme);
        assert_int_equal(r.status, 200);
        seen += json_array_size(json_object_get(r.json, "items"));
        next[0] = '\0';
        if (json_is_string(json_object_get(r.json, "next")))
            snprintf(next, sizeof next, "?limit=1&cursor=%s", reply_text(&r, "next"));
        reply_done(&r);
    }
    assert_true(seen == 3 || seen == 0);
    expect(get(&f.s, path, f.globex), 403, "presence-off"); /* theirs is theirs */
    struct db *db = NULL; /* as of a store that comes from a machine that knows more */
    assert_int_equal(cloud_db_take(f.c, &db), 0);
    assert_int_equal(db_script(db, "UPDATE site SET time_zone = 'Mars/Olympus'"), 0);
    cloud_db_give(f.c, db);
    expect(get(&f.s, path, f.acme), 409, "conflict");
    put_on(false);
    expect(get(&f.s, path, f.acme), 403, "presence-off");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_direction),           cmocka_unit_test(test_corrected),
        cmocka_unit_test(test_moved_from_another_day), cmocka_unit_test(test_by_the_readers_setting),
        cmocka_unit_test(test_days_are_the_sites),     cmocka_unit_test(test_over_https),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
