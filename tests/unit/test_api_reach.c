/* What a grant for one site, one unit or one person reaches of gateways, readers, invitations, sites, units and
 * presence: the rest does not exist for who holds it, whatever is asked. */
#include "cloud/credential.h"
#include "cloud/reader.h"
#include "cloud/settings_of.h"
#include "cloud/site.h"
#include "cloud/unit.h"
#include "tests/unit/api_human.h"

static struct human owner, technician, keeper;
static uint64_t gseq;

/* At the gate, which is within reach, and in the yard, which is not. */
enum { GATE, YARD, PLACES };
static struct place {
    uint8_t gw[GW_LEN], site[ID_LEN];
    struct unit unit;
    struct person person;
    char gateway[32], reader[64], site_path[64], unit_path[64], site_id[2 * ID_LEN + 1];
} places[PLACES];

static void find_reader(struct place *p)
{
    struct reader_list l;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(reader_seen(&s, p->gw, "door", clock_real() / DAY_US), 0);
    fixture_commit(&f);
    assert_int_equal(reader_list(f.c, f.db, "acme", NULL, 0, &l), 0);
    for (size_t i = 0; i < l.n; i++) {
        char id[2 * ID_LEN + 1];
        if (memcmp(l.items[i].gw, p->gw, GW_LEN) == 0)
            snprintf(p->reader, sizeof p->reader, "/v1/readers/%s", str_hex(l.items[i].id, ID_LEN, id));
    }
    reader_list_done(&l);
}

static void make_place(struct place *p, const char *site, const char *unit, const char *person, uint64_t card)
{
    char id[2 * ID_LEN + 1];
    struct credential got;
    const struct cred c = fixture_card(card);
    assert_int_equal(site_by_name(f.db, "acme", site, p->site), 0);
    assert_int_equal(unit_create(f.c, f.db, "acme", &(struct unit_set){.name = unit, .site = p->site}, &p->unit), 0);
    const struct person_set set = {.name = person, .unit = p->unit.id};
    assert_int_equal(people_create(f.c, f.db, "acme", &set, &p->person), 0);
    assert_int_equal(
        credential_assign(f.c, f.db, "acme", p->person.id, &c, RENDER_HEX10, TIME_MIN, TIME_MAX, &got, NULL), 0);
    snprintf(p->gateway, sizeof p->gateway, "/v1/gateways/%s", str_hex(p->gw, GW_LEN, id));
    snprintf(p->site_path, sizeof p->site_path, "/v1/sites/%s", str_hex(p->site, ID_LEN, p->site_id));
    snprintf(p->unit_path, sizeof p->unit_path, "/v1/units/%s", str_hex(p->unit.id, ID_LEN, id));
    find_reader(p);
}

static struct grant_reach within(enum reach_kind kind, const uint8_t id[ID_LEN])
{
    struct grant_reach reach = {.kind = kind};
    memcpy(reach.id, id, ID_LEN);
    return reach;
}

static int setup(void **state)
{
    struct tenant_settings set;
    fixture_make(&f);
    memcpy(places[GATE].gw, f.gw, GW_LEN);
    fixture_gateway(&f, "acme", "Yard", places[YARD].gw);
    make_place(&places[GATE], "Gate", "Front", "Ada", 1001);
    make_place(&places[YARD], "Yard", "Back", "Bob", 1002);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    set.presence = true;
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
    const struct grant_reach gate = within(REACH_SITE, places[GATE].site);
    owner = human_with("acme", "owner", ROLE_OWNER);
    technician = human_make("acme", "technician");
    keeper = human_make("acme", "keeper");
    (void)human_grant(&technician, ROLE_TECHNICIAN, &gate, 0);
    (void)human_grant(&keeper, ROLE_OWNER, &gate, 0);
    api_begin();
    return 0;
}

static void expect_as(const struct human *h, const char *method, const char *path, const char *body, int status)
{
    const char *slug = status == 403 ? "forbidden" : status == 404 ? "not-found" : NULL;
    expect(as(h, method, path, body), status, slug);
}

/* What is below a path, too. */
static void expect_below(const struct human *h, const char *method, const char *path, const char *below, int status)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s/%s", path, below);
    expect_as(h, method, whole, NULL, status);
}

/* The one item's member, or that there is only one. */
static void expect_one(const struct human *h, const char *path, const char *member, const char *value)
{
    struct reply r = as(h, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    const json_t *items = json_object_get(r.json, "items");
    if (json_array_size(items) != 1)
        fail_msg("%s: %s", path, r.body);
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), member)), value);
    reply_done(&r);
}

/* As the owner sees it. */
static char *state_of(const char *path)
{
    struct reply r = as(&owner, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    char *text = strdup(r.body);
    reply_done(&r);
    assert_non_null(text);
    return text;
}

/* ---- gateways and readers ---- */

static void test_a_technician_sees_the_gateways_of_his_site(void **state)
{
    const char *yard = places[YARD].gateway;
    expect_one(&technician, "/v1/gateways", "site", "Gate");
    expect_as(&technician, "GET", places[GATE].gateway, NULL, 200);
    expect_below(&technician, "GET", places[GATE].gateway, "generations", 200);
    expect_as(&technician, "GET", yard, NULL, 404);
    expect_below(&technician, "GET", yard, "generations", 404);
    expect_below(&technician, "GET", yard, "events", 404);
}

static void test_he_changes_no_others(void **state)
{
    char *before = state_of(places[YARD].gateway);
    expect_as(&technician, "PATCH", places[YARD].gateway, "{\"site\":\"Gate\"}", 404);
    expect_below(&technician, "POST", places[YARD].gateway, "revocation", 404);
    char *after = state_of(places[YARD].gateway);
    assert_string_equal(before, after);
    free(before);
    free(after);
    /* nor is one brought to where he has no say */
    expect_as(&technician, "PATCH", places[GATE].gateway, "{\"site\":\"Yard\"}", 400);
    expect_as(&technician, "PATCH", places[GATE].gateway, "{\"site\":\"Somewhere\"}", 400);
    expect_one(&technician, "/v1/gateways", "site", "Gate");
}

static void test_readers_are_their_gateways(void **state)
{
    char *before = state_of(places[YARD].reader);
    expect_one(&technician, "/v1/readers", "site", "Gate");
    expect_as(&technician, "GET", places[GATE].reader, NULL, 200);
    expect_as(&technician, "GET", places[YARD].reader, NULL, 404);
    expect_as(&technician, "PATCH", places[GATE].reader, "{\"label\":\"Left\"}", 200);
    expect_as(&technician, "PATCH", places[YARD].reader, "{\"label\":\"Right\"}", 404);
    char *after = state_of(places[YARD].reader);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* ---- invitations ---- */

static void invite(const struct human *h, int where, int status, char ret_path[80])
{
    char body[64];
    snprintf(body, sizeof body, "{\"site_id\":\"%s\"}", places[where].site_id);
    struct reply r = as(h, "POST", "/v1/gateway-invitations", body);
    if (r.status != status)
        print_error("%d %s\n", r.status, r.body);
    assert_int_equal(r.status, status);
    if (status == 201)
        assert_int_equal(str_copy(ret_path, 80, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

static void test_he_invites_to_his_site(void **state)
{
    char own[80] = "", others[80] = "";
    invite(&technician, GATE, 201, own);
    invite(&technician, YARD, 400, NULL);
    invite(&owner, YARD, 201, others);
    expect_one(&technician, "/v1/gateway-invitations", "site", "Gate");
    expect_as(&technician, "GET", others, NULL, 404);
    expect_as(&technician, "DELETE", others, NULL, 404);
    expect_as(&owner, "GET", others, NULL, 200);
    expect_as(&technician, "GET", own, NULL, 200);
    expect_as(&technician, "DELETE", own, NULL, 204);
}

/* ---- sites and units ---- */

static void test_sites(void **state)
{
    expect_one(&technician, "/v1/sites", "name", "Gate");
    expect_as(&technician, "GET", places[YARD].site_path, NULL, 404);
    expect_as(&technician, "PATCH", places[GATE].site_path, "{\"time_zone\":\"Europe/Berlin\"}",
              403); /* holds no such right */
    expect_as(&keeper, "PATCH", places[GATE].site_path, "{\"time_zone\":\"Europe/Berlin\"}", 200);
    expect_as(&keeper, "PATCH", places[YARD].site_path, "{\"time_zone\":\"Europe/Berlin\"}", 404);
    expect_as(&keeper, "DELETE", places[YARD].site_path, NULL, 404);
    expect_as(&keeper, "POST", "/v1/sites", "{\"name\":\"Annex\"}", 403);
    expect_as(&owner, "GET", places[YARD].site_path, NULL, 200);
}

static void test_units(void **state)
{
    char body[128];
    expect_one(&technician, "/v1/units", "name", "Front");
    expect_as(&technician, "GET", places[YARD].unit_path, NULL, 404);
    expect_as(&keeper, "PATCH", places[YARD].unit_path, "{\"name\":\"Mine\"}", 404);
    expect_as(&keeper, "PATCH", places[GATE].unit_path, "{\"name\":\"Front desk\"}", 200);
    snprintf(body, sizeof body, "{\"name\":\"Night watch\",\"site\":\"%s\"}", places[GATE].site_id);
    expect_as(&keeper, "POST", "/v1/units", body, 201);
    snprintf(body, sizeof body, "{\"name\":\"Day watch\",\"site\":\"%s\"}", places[YARD].site_id);
    expect_as(&keeper, "POST", "/v1/units", body, 403);
    expect_as(&keeper, "POST", "/v1/units", "{\"name\":\"Nowhere\"}", 403);
    snprintf(body, sizeof body, "{\"site\":\"%s\"}", places[YARD].site_id);
    expect_as(&keeper, "PATCH", places[GATE].unit_path, body, 403);
}

/* ---- presence ---- */

static void punch(int where, uint64_t card)
{
    fixture_file_one(&f, &(struct fixture_punch){.tenant = "acme",
                                                 .reader = "door",
                                                 .gw = places[where].gw,
                                                 .cred = fixture_card(card),
                                                 .gseq = ++gseq,
                                                 .time = clock_real() - 1000000});
}

/* Of Ada and Bob, as initials, who is in there for who asks. */
static const char *present(const struct human *h, int where)
{
    static char who[3];
    bool ada = false, bob = false;
    char path[96];
    snprintf(path, sizeof path, "%s/presence", places[where].site_path);
    struct reply r = as(h, "GET", path, NULL);
    if (r.status != 200)
        fail_msg("%s: %d %s", path, r.status, r.body);
    const json_t *items = json_object_get(r.json, "items"), *item;
    size_t i;
    json_array_foreach(items, i, item)
    {
        const char *name = json_string_value(json_object_get(json_object_get(item, "person"), "name"));
        ada = ada || strcmp(name, "Ada") == 0;
        bob = bob || strcmp(name, "Bob") == 0;
    }
    assert_int_equal(json_array_size(items), ada + bob);
    reply_done(&r);
    snprintf(who, sizeof who, "%s%s", ada ? "A" : "", bob ? "B" : "");
    return who;
}

/* Whose punches at which place who asks is shown: a bit each, 2 * who + where. */
static unsigned punches_seen(const struct human *h)
{
    static const char *const names[] = {"Ada", "Bob"}, *const sites[] = {"Gate", "Yard"};
    struct reply r = as(h, "GET", "/v1/punches?limit=1000", NULL);
    assert_int_equal(r.status, 200);
    unsigned seen = 0;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(r.json, "items"), i, o)
    {
        const char *who = json_string_value(json_object_get(json_object_get(o, "person"), "name"));
        const char *where = json_string_value(json_object_get(o, "site"));
        for (unsigned n = 0; n < 4; n++)
            if (strcmp(who, names[n / 2]) == 0 && strcmp(where, sites[n % 2]) == 0)
                seen |= 1U << n;
    }
    reply_done(&r);
    return seen;
}

/* An inspector of a site sees what was punched there and the people of its units; a team lead, his people. */
static void test_punches(void **state)
{
    static struct human inspector, lead;
    const struct grant_reach gate = within(REACH_SITE, places[GATE].site);
    const struct grant_reach back = within(REACH_UNIT, places[YARD].unit.id);
    inspector = human_make("acme", "visitor");
    lead = human_make("acme", "lead");
    (void)human_grant(&inspector, ROLE_INSPECTOR, &gate, clock_real() + INT64_C(3600000000));
    (void)human_grant(&lead, ROLE_TEAM_LEAD, &back, 0);
    for (int where = GATE; where < PLACES; where++) {
        punch(where, 1001);
        punch(where, 1002);
    }
    assert_int_equal(punches_seen(&owner), 0xf);
    assert_int_equal(punches_seen(&inspector), 0x7); /* not Bob's in the yard */
    assert_int_equal(punches_seen(&lead), 0xc);      /* Bob's, wherever */
    char path[96], id[2 * ID_LEN + 1];
    snprintf(path, sizeof path, "/v1/punches?person=%s", str_hex(places[GATE].person.id, ID_LEN, id));
    expect_as(&lead, "GET", path, NULL, 404);
    expect_as(&inspector, "GET", path, NULL, 200);
}

static void allow_inspectors(void)
{
    struct role role;
    char path[64], id[2 * ID_LEN + 1];
    assert_int_equal(role_of_kind(f.db, "acme", ROLE_INSPECTOR, &role), 0);
    snprintf(path, sizeof path, "/v1/roles/%s", str_hex(role.id, ID_LEN, id));
    expect_as(&owner, "PATCH", path, "{\"permissions\":[\"presence.read\",\"people.read\",\"sites.read\"]}", 200);
}

/* Whoever is at the site for who may inspect the site; of a unit and of oneself, wherever they are. */
static void test_presence(void **state)
{
    const struct grant_reach gate = within(REACH_SITE, places[GATE].site),
                             front = within(REACH_UNIT, places[GATE].unit.id),
                             herself = within(REACH_PERSON, places[GATE].person.id);
    char path[96];
    struct human inspector = human_make("acme", "inspector");
    struct human foreman = human_make("acme", "foreman");
    struct human ada = human_make("acme", "ada");
    (void)human_grant(&inspector, ROLE_INSPECTOR, &gate, clock_real() + DAY_US);
    (void)human_grant(&foreman, ROLE_TEAM_LEAD, &front, 0);
    (void)human_grant(&ada, ROLE_OWNER, &herself, 0);
    snprintf(path, sizeof path, "%s/presence", places[GATE].site_path);
    expect_as(&inspector, "GET", path, NULL, 403); /* until the company wants it */
    expect_as(&technician, "GET", path, NULL, 403);
    allow_inspectors();
    punch(GATE, 1001);
    punch(GATE, 1002);
    assert_string_equal(present(&owner, GATE), "AB");
    assert_string_equal(present(&inspector, GATE), "AB");
    assert_string_equal(present(&foreman, GATE), "A");
    assert_string_equal(present(&ada, GATE), "A");
    punch(YARD, 1001);
    punch(YARD, 1002);
    assert_string_equal(present(&owner, YARD), "AB");
    assert_string_equal(present(&inspector, YARD), "A"); /* who is of the site, at another */
    assert_string_equal(present(&foreman, YARD), "A");
    assert_string_equal(present(&ada, YARD), "A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_technician_sees_the_gateways_of_his_site),
        cmocka_unit_test(test_he_changes_no_others),
        cmocka_unit_test(test_readers_are_their_gateways),
        cmocka_unit_test(test_he_invites_to_his_site),
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_punches),
        cmocka_unit_test(test_presence),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
