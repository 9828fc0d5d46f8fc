/* Who may change something and not read it learns that it is done, and no more. */
#include "cloud/reader.h"
#include "cloud/role.h"
#include "cloud/settings_of.h"
#include "cloud/site.h"
#include "tests/unit/api_human.h"

#define CHANGES                                                                                        \
    (PERM_BIT(PERM_PEOPLE_CHANGE) | PERM_BIT(PERM_CREDENTIALS_CHANGE) | PERM_BIT(PERM_SITES_CHANGE) |  \
     PERM_BIT(PERM_GATEWAYS_CHANGE) | PERM_BIT(PERM_READERS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_CHANGE) | \
     PERM_BIT(PERM_SETTINGS_CHANGE) | PERM_BIT(PERM_WEBHOOKS_CHANGE) | PERM_BIT(PERM_GRANTS_CHANGE) |  \
     PERM_BIT(PERM_CORRECTIONS_REQUEST) | PERM_BIT(PERM_CORRECTIONS_APPROVE))

static struct human owner, clerk;
static uint8_t gate[ID_LEN];
static char person[64], outside[64];

static struct granted grant(const struct human *h, const char *name, uint64_t perms, const struct grant_reach *reach)
{
    struct scope s = fixture_begin(&f, h->tenant);
    struct role role = {.kind = ROLE_OWN, .created = clock_real(), .perms = perms};
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .reason = "test"};
    assert_int_equal(str_copy(role.name, sizeof role.name, name), 0);
    assert_int_equal(crypto_random(role.id, ID_LEN), 0);
    assert_int_equal(role_put(f.db, h->tenant, &role), 0);
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    memcpy(g.account, h->account.id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    g.starts = g.created;
    g.reach = reach ? *reach : g.reach;
    assert_int_equal(granted_add(&s, &g), 0);
    fixture_commit(&f);
    return g;
}

static void make_person(const char *name, const uint8_t *unit, char ret_path[64])
{
    struct person p;
    char id[2 * ID_LEN + 1];
    assert_int_equal(people_create(f.c, f.db, "acme", &(struct person_set){.name = name, .unit = unit}, &p), 0);
    snprintf(ret_path, 64, "/v1/people/%s", str_hex(p.id, ID_LEN, id));
}

static int setup(void **state)
{
    (void)api_setup(state);
    assert_int_equal(site_by_name(f.db, "acme", "Gate", gate), 0);
    owner = human_make("acme", "owner");
    clerk = human_make("acme", "clerk");
    (void)human_grant(&owner, ROLE_OWNER, NULL, 0);
    (void)grant(&clerk, "Clerk", CHANGES, NULL);
    make_person("Ada", NULL, person);
    make_person("Bob", NULL, outside);
    return 0;
}

/* The reply says that it is done: 204, or 201 and where. */
static void expect_done(const char *method, const char *path, const char *body, int status, char ret_location[96])
{
    struct reply r = as(&clerk, method, path, body);
    if (r.status != status || r.n != 0)
        print_error("%s %s: %d %s\n", method, path, r.status, r.body);
    assert_int_equal(r.status, status);
    assert_int_equal(r.n, 0);
    if (ret_location)
        assert_int_equal(str_copy(ret_location, 96, reply_header(&r, "Location")), 0);
    reply_done(&r);
}

/* What was changed, to who may read it. */
static void expect_member(const char *path, const char *member, const char *value)
{
    struct reply r = as(&owner, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, member), value);
    reply_done(&r);
}

static void test_people_and_cards(void **state)
{
    char made[96], card[96], path[128];
    expect(as(&clerk, "GET", person, NULL), 403, "forbidden");
    expect_done("PATCH", person, "{\"phone\":\"+49 30 1\"}", 204, NULL);
    expect_member(person, "phone", "+49 30 1");
    expect_done("POST", "/v1/people", "{\"name\":\"New\"}", 201, made);
    expect_member(made, "name", "New");
    snprintf(path, sizeof path, "%s/credentials", person);
    expect_done("POST", path, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"67003B51C6\"}", 201, card);
    snprintf(path, sizeof path, "%s/unassign", card);
    expect_done("POST", path, NULL, 204, NULL);
}

static void test_places(void **state)
{
    char unit[96], site[96], path[128], id[2 * ID_LEN + 1];
    struct reader_list l;
    expect_done("POST", "/v1/units", "{\"name\":\"Stores\"}", 201, unit);
    expect_done("PATCH", unit, "{\"name\":\"Stock\"}", 204, NULL);
    expect_member(unit, "name", "Stock");
    expect_done("POST", "/v1/sites", "{\"name\":\"Annex\"}", 201, site);
    expect_done("PATCH", site, "{\"name\":\"Tower\"}", 204, NULL);
    expect_member(site, "name", "Tower");
    snprintf(path, sizeof path, "/v1/gateways/%s", str_hex(f.gw, GW_LEN, id));
    expect_done("PATCH", path, "{\"site\":\"Gate\"}", 204, NULL);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(reader_seen(&s, f.gw, "door", clock_real() / DAY_US), 0);
    fixture_commit(&f);
    assert_int_equal(reader_list(f.c, f.db, "acme", NULL, 0, &l), 0);
    assert_int_equal(l.n, 1);
    snprintf(path, sizeof path, "/v1/readers/%s", str_hex(l.items[0].id, ID_LEN, id));
    reader_list_done(&l);
    expect_done("PATCH", path, "{\"label\":\"Turnstile\"}", 204, NULL);
    expect_member(path, "label", "Turnstile");
}

static void test_the_company(void **state)
{
    struct human other;
    char path[128], id[2 * ID_LEN + 1];
    other = human_make("acme", "other");
    snprintf(path, sizeof path, "/v1/accounts/%s", str_hex(other.account.id, ID_LEN, id));
    expect_done("PATCH", path, "{\"language\":\"de\"}", 204, NULL);
    expect_member(path, "language", "de");
    expect_done("PATCH", "/v1/settings", "{\"week_start\":7}", 204, NULL);
    struct granted g = grant(&other, "Little", PERM_BIT(PERM_SITES_CHANGE), NULL);
    snprintf(path, sizeof path, "/v1/grants/%s/revocation", str_hex(g.id, ID_LEN, id));
    expect_done("POST", path, NULL, 204, NULL);
    expect_done("POST", "/v1/roles", "{\"name\":\"Porter\",\"permissions\":[\"sites.change\"]}", 201, path);
    expect_done("PATCH", path, "{\"name\":\"Doorman\"}", 204, NULL);
    expect_member(path, "name", "Doorman");
}

/* Nobody else will be shown it: so it goes to who asked, and with it what he sent. */
static void test_what_is_shown_once(void **state)
{
    char hook[96], path[128], id[2 * ID_LEN + 1], body[96];
    struct reply r =
        as(&clerk, "POST", "/v1/webhooks", "{\"url\":\"https://hooks.example.com/x\",\"types\":[\"changes\"]}");
    assert_int_equal(r.status, 201);
    assert_true(*reply_text(&r, "secret"));
    assert_int_equal(str_copy(hook, sizeof hook, reply_header(&r, "Location")), 0);
    reply_done(&r);
    expect_done("PATCH", hook, "{\"name\":\"ERP\"}", 204, NULL);
    snprintf(path, sizeof path, "%s/secret", hook);
    r = as(&clerk, "POST", path, NULL);
    assert_int_equal(r.status, 200);
    assert_true(*reply_text(&r, "secret"));
    assert_null(json_object_get(r.json, "url"));
    reply_done(&r);
    snprintf(path, sizeof path, "%s/ping", hook);
    expect_done("POST", path, NULL, 202, NULL);
    snprintf(body, sizeof body, "{\"site_id\":\"%s\"}", str_hex(gate, ID_LEN, id));
    r = as(&clerk, "POST", "/v1/gateway-invitations", body);
    assert_int_equal(r.status, 201);
    assert_true(*reply_text(&r, "code"));
    reply_done(&r);
}

/* The original of a punch stands in a correction of it. */
static void test_a_correction(void **state)
{
    struct human bob;
    char body[256], made[96], path[128], id[2 * ID_LEN + 1];
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-01-02T08:00:00Z\",\"reason\":\"forgot\"}",
             person + strlen("/v1/people/"));
    expect_done("POST", "/v1/corrections", body, 201, made);
    bob = human_make("acme", "bob");
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-01-02T08:00:00Z\",\"reason\":\"forgot\"}",
             str_hex(bob.account.person, ID_LEN, id));
    struct reply r = as(&owner, "POST", "/v1/corrections", body);
    assert_int_equal(r.status, 201);
    snprintf(path, sizeof path, "/v1/corrections/%s/decision", reply_text(&r, "id"));
    reply_done(&r);
    expect_done("POST", path, "{\"decision\":\"approved\",\"reason\":\"Seen\"}", 204, NULL);
}

/* Reading at one site is not reading everywhere. */
static void test_as_far_as_reading_reaches(void **state)
{
    struct grant_reach reach = {.kind = REACH_PERSON};
    assert_int_equal(str_unhex(person + strlen("/v1/people/"), reach.id, ID_LEN), 0);
    (void)grant(&clerk, "Reader", PERM_BIT(PERM_PEOPLE_READ), &reach);
    struct reply r = as(&clerk, "PATCH", person, "{\"phone\":\"+49 30 2\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "phone"), "+49 30 2");
    reply_done(&r);
    expect_done("PATCH", outside, "{\"phone\":\"+49 30 3\"}", 204, NULL);
    expect_member(outside, "phone", "+49 30 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people_and_cards), cmocka_unit_test(test_places),
        cmocka_unit_test(test_the_company),      cmocka_unit_test(test_what_is_shown_once),
        cmocka_unit_test(test_a_correction),     cmocka_unit_test(test_as_far_as_reading_reaches),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
