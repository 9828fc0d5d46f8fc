/* Roles and grants, as people of a company meet them, and as somebody who wants more than he was given. */
#include "tests/unit/api_human.h"

static struct human owner, hr, stranger;

#define HOUR_US (INT64_C(3600) * 1000000)

static int setup(void **state)
{
    (void)api_setup(state);
    owner = human_with("acme", "owner", ROLE_OWNER);
    hr = human_with("acme", "hr", ROLE_HR);
    stranger = human_with("globex", "stranger", ROLE_OWNER);
    return 0;
}

static void hex(const uint8_t id[ID_LEN], char ret[2 * ID_LEN + 1])
{
    str_hex(id, ID_LEN, ret);
}

static void role_id(const char *tenant, enum role_kind kind, char ret[2 * ID_LEN + 1])
{
    struct role role;
    assert_int_equal(role_of_kind(f.db, tenant, kind, &role), 0);
    hex(role.id, ret);
}

static void role_path(const char *tenant, enum role_kind kind, char ret[64])
{
    char id[2 * ID_LEN + 1];
    role_id(tenant, kind, id);
    snprintf(ret, 64, "/v1/roles/%s", id);
}

/* A body for POST /v1/grants; more: further members, each with a comma before it. */
static const char *grant_body(const struct human *to, const char *role, const char *reach, const char *more)
{
    static char body[512];
    char account[2 * ID_LEN + 1];
    hex(to->account.id, account);
    snprintf(body, sizeof body, "{\"account\":\"%s\",\"role\":\"%s\",\"reach\":\"%s\",\"reason\":\"because\"%s}",
             account, role, reach, more);
    return body;
}

static const char *body_of_kind(const struct human *to, enum role_kind kind)
{
    char role[2 * ID_LEN + 1];
    role_id("acme", kind, role);
    return grant_body(to, role, "tenant", "");
}

/* ---- */

static void test_permissions_are_explained(void **state)
{
    struct reply r = get(&f.s, "/v1/permissions", NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), PERM_COUNT);
    reply_done(&r);
}

static void test_a_grant_opens_and_its_revocation_closes(void **state)
{
    char path[96];
    expect(as(&hr, "GET", "/v1/gateways", NULL), 403, "forbidden");
    struct reply r = as(&owner, "POST", "/v1/grants", body_of_kind(&hr, ROLE_TECHNICIAN));
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "state"), "valid");
    expect(as(&owner, "GET", reply_header(&r, "Location"), NULL), 200, NULL);
    expect(as(&stranger, "GET", reply_header(&r, "Location"), NULL), 404, "not-found");
    snprintf(path, sizeof path, "%.80s/revocation", reply_header(&r, "Location"));
    reply_done(&r);
    expect(as(&hr, "GET", "/v1/gateways", NULL), 200, NULL);
    expect(as(&hr, "GET", "/v1/roles", NULL), 403, "forbidden"); /* but what one may oneself, one sees */
    struct reply me = as(&hr, "GET", "/v1/me", NULL);
    const json_t *grants = json_object_get(me.json, "grants");
    assert_int_equal(json_array_size(grants), 2);
    size_t i = strcmp(json_string_value(json_object_get(json_array_get(grants, 0), "role_name")), "HR") == 0;
    const json_t *technician = json_array_get(grants, i);
    assert_string_equal(json_string_value(json_object_get(technician, "role_name")), "Technician");
    assert_int_equal(json_array_size(json_object_get(technician, "permissions")), 5);
    reply_done(&me);
    expect(as(&stranger, "POST", path, NULL), 404, "not-found");
    r = as(&owner, "POST", path, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "revoked");
    reply_done(&r);
    expect(as(&owner, "POST", path, NULL), 200, NULL); /* again */
    expect(as(&hr, "GET", "/v1/gateways", NULL), 403, "forbidden");
}

static void test_a_role_of_ones_own(void **state)
{
    char path[64], id[2 * ID_LEN + 1];
    struct human clerk = human_make("acme", "reception");
    struct reply r = as(&owner, "POST", "/v1/roles", "{\"name\":\"Reception\",\"permissions\":[\"people.read\"]}");
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(id, sizeof id, reply_text(&r, "id")), 0);
    assert_int_equal(str_copy(path, sizeof path, reply_header(&r, "Location")), 0);
    reply_done(&r);
    expect(as(&owner, "POST", "/v1/roles", "{\"name\":\"Reception\",\"permissions\":[]}"), 409, "conflict");
    expect(as(&owner, "POST", "/v1/grants", grant_body(&clerk, id, "tenant", "")), 201, NULL);
    expect(as(&clerk, "GET", "/v1/people", NULL), 200, NULL);
    expect(as(&clerk, "GET", "/v1/sites", NULL), 403, "forbidden");
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"sites.read\"]}"), 200, NULL); /* of who holds it, at once */
    expect(as(&clerk, "GET", "/v1/people", NULL), 403, "forbidden");
    expect(as(&clerk, "GET", "/v1/sites", NULL), 200, NULL);
}

static void test_a_grant_to_come_gives_nothing_yet(void **state)
{
    char role[2 * ID_LEN + 1], more[96], when[32];
    role_id("acme", ROLE_TECHNICIAN, role);
    snprintf(more, sizeof more, ",\"from\":\"%s\"", str_time(clock_real() + HOUR_US, when));
    struct reply r = as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "tenant", more));
    assert_int_equal(r.status, 201);
    assert_string_equal(reply_text(&r, "state"), "planned");
    reply_done(&r);
    expect(as(&hr, "GET", "/v1/gateways", NULL), 403, "forbidden");
}

static void test_what_does_not_fit_is_refused(void **state)
{
    char role[2 * ID_LEN + 1], foreign[2 * ID_LEN + 1], more[128];
    role_id("acme", ROLE_HR, role);
    role_id("globex", ROLE_HR, foreign);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, foreign, "tenant", "")), 400, "invalid");
    expect(as(&owner, "POST", "/v1/grants", grant_body(&stranger, role, "tenant", "")), 400, "invalid");
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "planet", "")), 400, "invalid");
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "site", "")), 400, "invalid");
    snprintf(more, sizeof more, ",\"reach_id\":\"%032d\"", 7);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "site", more)), 400, "invalid");
    hex(stranger.account.person, foreign);
    snprintf(more, sizeof more, ",\"reach_id\":\"%s\"", foreign);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "person", more)), 400, "invalid");
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "tenant", ",\"until\":\"2020-01-01T00:00:00Z\"")),
           400, "invalid");
    role_id("acme", ROLE_INSPECTOR, role);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "tenant", "")), 400, "invalid");
    role_id("acme", ROLE_EMPLOYEE, role);
    hex(owner.account.person, foreign);
    snprintf(more, sizeof more, ",\"reach_id\":\"%s\"", foreign); /* somebody else's person */
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "person", more)), 400, "invalid");
    hex(hr.account.person, foreign);
    snprintf(more, sizeof more, ",\"reach_id\":\"%s\"", foreign);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&hr, role, "person", more)), 201, NULL);
}

/* Somebody who may grant, and holds HR beside it, in one unit's reach or for an hour only. */
static void test_nobody_grants_more_than_he_holds(void **state)
{
    char role[2 * ID_LEN + 1], path[96], body[256], account[2 * ID_LEN + 1];
    struct role own = {.kind = ROLE_OWN, .perms = PERM_BIT(PERM_GRANTS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_READ)};
    struct human clerk = human_make("acme", "clerk");
    (void)fixture_begin(&f, "acme");
    assert_int_equal(str_copy(own.name, sizeof own.name, "Clerk"), 0);
    assert_int_equal(crypto_random(own.id, ID_LEN), 0);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    fixture_commit(&f);
    hex(own.id, role);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&clerk, role, "tenant", "")), 201, NULL);

    /* to himself, by a grant, a new role, or one that he has */
    expect(as(&clerk, "POST", "/v1/grants", body_of_kind(&clerk, ROLE_OWNER)), 403, "forbidden");
    expect(as(&clerk, "POST", "/v1/grants", body_of_kind(&clerk, ROLE_HR)), 403, "forbidden");
    expect(as(&clerk, "POST", "/v1/roles", "{\"name\":\"All\",\"permissions\":[\"people.read\"]}"), 403, "forbidden");
    snprintf(path, sizeof path, "/v1/roles/%s", role);
    expect(as(&clerk, "PATCH", path, "{\"permissions\":[\"grants.change\",\"people.read\"]}"), 403, "forbidden");
    /* what he holds he may give on */
    expect(as(&clerk, "POST", "/v1/grants", grant_body(&hr, role, "tenant", "")), 201, NULL);
    expect(as(&clerk, "PATCH", path, "{\"name\":\"Clerks\"}"), 200, NULL);

    /* nor take what he could not have given */
    struct reply r = as(&owner, "GET", "/v1/grants", NULL);
    json_t *item;
    size_t i;
    hex(owner.account.id, account);
    json_array_foreach(json_object_get(r.json, "items"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "account")), account) != 0)
            continue;
        snprintf(path, sizeof path, "/v1/grants/%s/revocation", json_string_value(json_object_get(item, "id")));
        expect(as(&clerk, "POST", path, NULL), 403, "forbidden");
    }
    reply_done(&r);

    /* for an hour's right: an hour's grant, and no role */
    char when[32], more[96];
    (void)human_grant(&clerk, ROLE_OWNER, NULL, clock_real() + HOUR_US);
    expect(as(&clerk, "POST", "/v1/grants", body_of_kind(&clerk, ROLE_HR)), 403, "forbidden");
    snprintf(body, sizeof body, "{\"name\":\"For good\",\"permissions\":[\"people.read\"]}");
    expect(as(&clerk, "POST", "/v1/roles", body), 403, "forbidden");
    role_id("acme", ROLE_HR, role);
    snprintf(more, sizeof more, ",\"until\":\"%s\"", str_time(clock_real() + HOUR_US / 2, when));
    expect(as(&clerk, "POST", "/v1/grants", grant_body(&hr, role, "tenant", more)), 201, NULL);
}

static void test_the_last_owner_stays(void **state)
{
    char path[96], second[96];
    struct reply r = as(&owner, "GET", "/v1/grants", NULL);
    char role[2 * ID_LEN + 1], account[2 * ID_LEN + 1];
    role_id("acme", ROLE_OWNER, role);
    hex(owner.account.id, account);
    json_t *item;
    size_t i;
    path[0] = '\0';
    json_array_foreach(json_object_get(r.json, "items"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "role")), role) == 0 &&
            strcmp(json_string_value(json_object_get(item, "account")), account) == 0)
            snprintf(path, sizeof path, "/v1/grants/%s/revocation", json_string_value(json_object_get(item, "id")));
    }
    reply_done(&r);
    char erasure[96], person[2 * ID_LEN + 1];
    hex(owner.account.person, person);
    snprintf(erasure, sizeof erasure, "/v1/people/%s/erasure", person);
    expect(as(&owner, "POST", erasure, "{\"dry_run\":false}"), 409, "last-owner");
    expect(as(&owner, "POST", path, NULL), 409, "last-owner"); /* the clerk's of an hour does not count */
    struct human deputy = human_make("acme", "deputy");
    r = as(&owner, "POST", "/v1/grants", body_of_kind(&deputy, ROLE_OWNER));
    assert_int_equal(r.status, 201);
    snprintf(second, sizeof second, "%.80s/revocation", reply_header(&r, "Location"));
    reply_done(&r);

    /* Both at once: one of them stays. */
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(granted_may_go(&s, deputy.account.id, NULL, clock_real()), 0);
    assert_int_equal(granted_may_go(&s, owner.account.id, NULL, clock_real()), 0);
    cloud_rollback(f.c, f.db);
    expect(as(&owner, "POST", second, NULL), 200, NULL);
    expect(as(&owner, "POST", path, NULL), 409, "last-owner");
}

/* Who may see the people of one site, and may change a unit elsewhere, does not fetch it. */
static void test_a_unit_is_moved_by_who_has_both_sites(void **state)
{
    char sites[2][2 * ID_LEN + 1], unit[64], role[2 * ID_LEN + 1], body[128];
    struct grant_reach reach = {.kind = REACH_SITE};
    struct human mover = human_make("acme", "mover");
    for (int i = 0; i < 2; i++) {
        struct reply r = as(&owner, "POST", "/v1/sites", i ? "{\"name\":\"South\"}" : "{\"name\":\"North\"}");
        assert_int_equal(r.status, 201);
        snprintf(sites[i], sizeof sites[i], "%s", reply_text(&r, "id"));
        reply_done(&r);
    }
    snprintf(body, sizeof body, "{\"name\":\"Team\",\"site\":\"%s\"}", sites[0]);
    struct reply r = as(&owner, "POST", "/v1/units", body);
    assert_int_equal(r.status, 201);
    snprintf(unit, sizeof unit, "%.63s", reply_header(&r, "Location"));
    reply_done(&r);
    r = as(&owner, "POST", "/v1/roles", "{\"name\":\"Movers\",\"permissions\":[\"sites.read\",\"sites.change\"]}");
    snprintf(role, sizeof role, "%s", reply_text(&r, "id"));
    reply_done(&r);
    snprintf(body, sizeof body, ",\"reach_id\":\"%s\"", unit + strlen("/v1/units/"));
    expect(as(&owner, "POST", "/v1/grants", grant_body(&mover, role, "unit", body)), 201, NULL);
    assert_int_equal(str_unhex(sites[1], reach.id, ID_LEN), 0);
    (void)human_grant(&mover, ROLE_TEAM_LEAD, &reach, 0);
    snprintf(body, sizeof body, "{\"site\":\"%s\"}", sites[1]);
    expect(as(&mover, "PATCH", unit, body), 403, "forbidden");
    snprintf(body, sizeof body, "{\"name\":\"The team\",\"site\":\"%s\"}", sites[0]);
    expect(as(&mover, "PATCH", unit, body), 200, NULL);
    /* nor does he take it out of the site's hands */
    expect(as(&mover, "PATCH", unit, "{\"site\":null}"), 403, "forbidden");
    snprintf(body, sizeof body, "{\"site\":\"%s\"}", sites[1]);
    expect(as(&owner, "PATCH", unit, body), 200, NULL);
}

/* Neither comes somebody into a unit, or leaves one, by who may change him or that one unit only. */
static void test_a_person_is_moved_by_who_has_both_units(void **state)
{
    char units[2][2 * ID_LEN + 1], person[2 * ID_LEN + 1], path[80], body[128];
    struct human leads[2], keeper, plain;
    struct grant_reach reach = {.kind = REACH_UNIT};
    keeper = human_make("acme", "keeper");
    plain = human_make("acme", "moved");
    hex(plain.account.person, person);
    snprintf(path, sizeof path, "/v1/people/%s", person);
    for (int i = 0; i < 2; i++) {
        leads[i] = human_make("acme", i ? "lead-of-second" : "lead-of-first");
        struct reply r = as(&owner, "POST", "/v1/units", i ? "{\"name\":\"Second\"}" : "{\"name\":\"First\"}");
        assert_int_equal(r.status, 201);
        snprintf(units[i], sizeof units[i], "%s", reply_text(&r, "id"));
        reply_done(&r);
        assert_int_equal(str_unhex(units[i], reach.id, ID_LEN), 0);
        (void)human_grant(&leads[i], ROLE_HR, &reach, 0);
    }
    reach.kind = REACH_PERSON;
    memcpy(reach.id, plain.account.person, ID_LEN);
    (void)human_grant(&keeper, ROLE_HR, &reach, 0);
    snprintf(body, sizeof body, "{\"unit\":\"%s\"}", units[0]);
    expect(as(&keeper, "PATCH", path, "{\"phone\":\"1\"}"), 200, NULL);
    expect(as(&keeper, "PATCH", path, body), 403, "forbidden");
    expect(as(&leads[0], "PATCH", path, body), 404, "not-found");
    expect(as(&owner, "PATCH", path, body), 200, NULL);
    expect(as(&leads[0], "PATCH", path, body), 200, NULL); /* where he is */
    expect(as(&keeper, "PATCH", path, "{\"unit\":null}"), 403, "forbidden");
    snprintf(body, sizeof body, "{\"unit\":\"%s\"}", units[1]);
    expect(as(&leads[0], "PATCH", path, body), 403, "forbidden");
    expect(as(&leads[1], "PATCH", path, body), 404, "not-found");
    assert_int_equal(str_unhex(units[1], reach.id, ID_LEN), 0);
    reach.kind = REACH_UNIT;
    (void)human_grant(&leads[0], ROLE_HR, &reach, 0);
    expect(as(&leads[0], "PATCH", path, body), 200, NULL);
}

/* Who gets somebody's password reset can become that one: also one who may little as yet, or who may longer. */
static void test_nobody_takes_over_who_may_more(void **state)
{
    char path[96], role[2 * ID_LEN + 1], id[2 * ID_LEN + 1], more[64], when[32];
    struct human helper = human_make("acme", "helper");
    struct human plain = human_make("acme", "plain");
    struct human boss = human_make("acme", "boss");
    struct human brief = human_make("acme", "brief");
    struct reply r = as(&owner, "POST", "/v1/roles",
                        "{\"name\":\"Helpers\",\"permissions\":[\"accounts.read\",\"accounts.change\"]}");
    assert_int_equal(r.status, 201);
    snprintf(role, sizeof role, "%s", reply_text(&r, "id"));
    reply_done(&r);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&helper, role, "tenant", "")), 201, NULL);
    hex(plain.account.id, id);
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", id);
    expect(as(&helper, "POST", path, NULL), 200, NULL);

    /* Owner from next week on */
    role_id("acme", ROLE_OWNER, role);
    snprintf(more, sizeof more, ",\"from\":\"%s\"", str_time(clock_real() + 7 * 24 * HOUR_US, when));
    expect(as(&owner, "POST", "/v1/grants", grant_body(&boss, role, "tenant", more)), 201, NULL);
    hex(boss.account.id, id);
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", id);
    expect(as(&helper, "POST", path, NULL), 403, "forbidden");
    snprintf(path, sizeof path, "/v1/accounts/%s/second-factor", id);
    expect(as(&helper, "DELETE", path, NULL), 403, "forbidden");
    snprintf(path, sizeof path, "/v1/accounts/%s", id);
    expect(as(&helper, "PATCH", path, "{\"mail\":\"helper@example.org\"}"), 403, "forbidden");
    expect(as(&owner, "PATCH", path, "{\"mail\":\"boss@example.org\"}"), 200, NULL);

    /* Owner for an hour, and one who is for good */
    (void)human_grant(&brief, ROLE_OWNER, NULL, clock_real() + HOUR_US);
    hex(owner.account.id, id);
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", id);
    expect(as(&brief, "POST", path, NULL), 403, "forbidden");
    hex(brief.account.id, id);
    snprintf(path, sizeof path, "/v1/accounts/%s", id);
    expect(as(&brief, "PATCH", path, "{\"language\":\"de\"}"), 200, NULL); /* himself */
    /* what the company wants of everybody is not switched off by the way round either */
    snprintf(path, sizeof path, "/v1/accounts/%s/second-factor", id);
    expect(as(&brief, "DELETE", path, NULL), 403, "forbidden");
    expect(as(&brief, "DELETE", "/v1/me/second-factor", NULL), 403, "second-factor-needed");
    expect(as(&owner, "DELETE", path, NULL), 204, NULL);
}

static void test_roles_are_edited_within_their_kind(void **state)
{
    char path[64];
    role_path("acme", ROLE_OWNER, path);
    expect(as(&owner, "PATCH", path, "{\"archived\":true}"), 409, "conflict");
    expect(as(&owner, "PATCH", path, "{\"permissions\":[]}"), 409, "conflict");
    role_path("acme", ROLE_AUDITOR, path);
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"people.read\"]}"), 409, "conflict");
    role_path("globex", ROLE_HR, path);
    expect(as(&owner, "PATCH", path, "{\"name\":\"Mine\"}"), 404, "not-found");
    expect(as(&owner, "GET", path, NULL), 404, "not-found");
    role_path("acme", ROLE_DPO, path);
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"people.fly\"]}"), 400, "invalid");
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"support.request\"]}"), 400, "invalid"); /* the vendor's */
    expect(as(&owner, "PATCH", path, "{\"name\":\"HR\"}"), 409, "conflict");
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"people.read\"],\"archived\":true}"), 200, NULL);
    struct reply r = as(&owner, "GET", path, NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "permissions")), 1);
    assert_true(json_is_string(json_object_get(r.json, "archived")));
    reply_done(&r);
}

/* Or who may change roles could disarm whoever watches him. */
static void test_nobody_takes_from_a_role_what_he_does_not_hold(void **state)
{
    struct human reeve;
    char path[64], id[2 * ID_LEN + 1];
    struct role own = {.kind = ROLE_OWN, .perms = PERM_BIT(PERM_GRANTS_CHANGE) | PERM_BIT(PERM_ACCOUNTS_READ)};
    reeve = human_make("acme", "reeve");
    (void)fixture_begin(&f, "acme");
    assert_int_equal(str_copy(own.name, sizeof own.name, "Reeve"), 0);
    assert_int_equal(crypto_random(own.id, ID_LEN), 0);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    assert_int_equal(cloud_commit(f.c, f.db), 0);
    hex(own.id, id);
    expect(as(&owner, "POST", "/v1/grants", grant_body(&reeve, id, "tenant", "")), 201, NULL);
    role_path("acme", ROLE_HR, path);
    expect(as(&reeve, "PATCH", path, "{\"permissions\":[]}"), 403, "forbidden");
    expect(as(&reeve, "PATCH", path, "{\"permissions\":[\"people.read\"]}"), 403, "forbidden");
    expect(as(&reeve, "PATCH", path, "{\"archived\":true}"), 403, "forbidden");
    expect(as(&reeve, "PATCH", path, "{\"name\":\"Nobody\"}"), 403, "forbidden");
    role_path("acme", ROLE_TECHNICIAN, path);
    expect(as(&owner, "PATCH", path, "{\"permissions\":[\"readers.read\"]}"), 200, NULL);
    expect(as(&owner, "PATCH", path, "{\"archived\":true}"), 200, NULL);
    expect(as(&reeve, "PATCH", path, "{\"archived\":false}"), 403, "forbidden");
    snprintf(path, sizeof path, "/v1/roles/%s", id); /* all of it is his */
    expect(as(&reeve, "PATCH", path, "{\"permissions\":[\"grants.change\"]}"), 200, NULL);
}

static void test_with_an_owner_the_bootstrap_tokens_end(void **state)
{
    char text[TOKEN_TEXT_MAX], role[2 * ID_LEN + 1], account[2 * ID_LEN + 1], body[256];
    struct token t;
    struct tenant tenant;
    struct human first;
    assert_int_equal(tenant_add(f.c, f.db, "initech", &tenant), 0);
    assert_int_equal(token_add(f.c, f.db, "initech", "first", 0, text, &t), 0);
    first = human_make("initech", "first");
    role_id("initech", ROLE_OWNER, role);
    hex(first.account.id, account);
    snprintf(body, sizeof body, "{\"account\":\"%s\",\"role\":\"%s\",\"reach\":\"tenant\",\"reason\":\"first\"}",
             account, role);
    struct reply r = post(&f.s, "/v1/grants", text, body);
    assert_int_equal(r.status, 201);
    assert_true(json_is_null(json_object_get(r.json, "granted_by")));
    reply_done(&r);
    expect(get(&f.s, "/v1/people", text), 401, "token-unknown");
    assert_int_equal(token_add(f.c, f.db, "initech", "again", 0, text, &t), CLOUD_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permissions_are_explained),
        cmocka_unit_test(test_a_grant_opens_and_its_revocation_closes),
        cmocka_unit_test(test_a_role_of_ones_own),
        cmocka_unit_test(test_a_grant_to_come_gives_nothing_yet),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_nobody_grants_more_than_he_holds),
        cmocka_unit_test(test_the_last_owner_stays),
        cmocka_unit_test(test_a_unit_is_moved_by_who_has_both_sites),
        cmocka_unit_test(test_a_person_is_moved_by_who_has_both_units),
        cmocka_unit_test(test_nobody_takes_over_who_may_more),
        cmocka_unit_test(test_roles_are_edited_within_their_kind),
        cmocka_unit_test(test_nobody_takes_from_a_role_what_he_does_not_hold),
        cmocka_unit_test(test_with_an_owner_the_bootstrap_tokens_end),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
