/* What somebody may do: roles, grants, account tokens, and what the API makes of them. */
#include "cloud/granted.h"

#include "cloud/scope.h"
#include "cloud/settings_of.h"
#include "cloud/used.h"
#include "tests/unit/api_human.h"

#define HOUR_US (INT64_C(3600) * 1000000)

static struct human ada_, bob_;
#define ada (ada_.account.id)
#define bob (bob_.account.id)

static int setup(void **state)
{
    (void)api_setup(state);
    ada_ = human_make("acme", "ada");
    bob_ = human_make("acme", "bob");
    return 0;
}

static struct scope begin(const char *tenant)
{
    struct scope s = fixture_begin(&f, tenant);
    return s;
}

static void commit(void)
{
    fixture_commit(&f);
}

static struct role shipped(const char *tenant, enum role_kind kind)
{
    struct role role;
    assert_int_equal(role_of_kind(f.db, tenant, kind, &role), 0);
    return role;
}

/* acme's, for an account, from now on. */
static struct granted grant_of(const uint8_t account[ID_LEN], enum role_kind kind)
{
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .reason = "test"};
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    memcpy(g.account, account, ID_LEN);
    memcpy(g.role, shipped("acme", kind).id, ID_LEN);
    g.starts = g.created;
    return g;
}

static void give(const struct granted *g)
{
    struct scope s = begin("acme");
    assert_int_equal(granted_add(&s, g), 0);
    commit();
}

static void take(const struct granted *g)
{
    struct scope s = begin("acme");
    assert_int_equal(granted_revoke(&s, g->id, clock_real()), 0);
    commit();
}

static void make_token(const uint8_t account[ID_LEN], uint64_t perms, const char *ranges, int64_t life,
                       char ret_text[TOKEN_TEXT_MAX], struct token *ret_token)
{
    struct token t = {.expires = clock_real() + life, .perms = perms};
    memcpy(t.account, account, ID_LEN);
    assert_int_equal(str_copy(t.ranges, sizeof t.ranges, ranges), 0);
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(token_make(&s, &t, ret_text, ret_token), 0);
}

static uint64_t may(const uint8_t account[ID_LEN], int64_t now)
{
    struct rights r;
    assert_int_equal(granted_rights(f.db, "acme", account, now, now, &r), 0);
    return rights_all(&r);
}

/* ---- roles ---- */

static void test_each_tenant_has_the_shipped_roles(void **state)
{
    struct role_list l;
    assert_int_equal(role_list(f.db, "acme", &l), 0);
    assert_int_equal(l.n, ROLE_KINDS - 2); /* without a tenant's own, and the vendor's */
    role_list_done(&l);
    assert_true(shipped("acme", ROLE_OWNER).perms == (PERM_ALL & ~PERM_VENDORS));
    uint64_t customers = PERM_BIT(PERM_PUNCHES_READ) | PERM_BIT(PERM_CREDENTIALS_READ) | PERM_BIT(PERM_GATEWAYS_READ);
    assert_true((shipped(VENDOR_TENANT, ROLE_OWNER).perms & PERM_VENDORS) == PERM_VENDORS);
    assert_true((shipped(VENDOR_TENANT, ROLE_OWNER).perms & customers) == 0);
    assert_string_equal(shipped(VENDOR_TENANT, ROLE_OWNER).name, "Vendor administrator");
    assert_true((shipped(VENDOR_TENANT, ROLE_SUPPORT).perms & PERM_BIT(PERM_BREAKGLASS_REVIEW)) == 0);
    struct role none;
    assert_int_equal(role_of_kind(f.db, "acme", ROLE_SUPPORT, &none), CLOUD_ABSENT);
    assert_int_equal(role_of_kind(f.db, VENDOR_TENANT, ROLE_HR, &none), CLOUD_ABSENT);
    assert_true(shipped("acme", ROLE_AUDITOR).perms == PERM_BIT(PERM_AUDIT_READ));
    assert_int_not_equal(memcmp(shipped("acme", ROLE_HR).id, shipped("globex", ROLE_HR).id, ID_LEN), 0);
    uint64_t personal = PERM_BIT(PERM_PEOPLE_READ) | PERM_BIT(PERM_PUNCHES_READ) | PERM_BIT(PERM_CREDENTIALS_READ) |
                        PERM_BIT(PERM_CHANGES_READ) | PERM_BIT(PERM_PRESENCE_READ);
    assert_true((shipped("acme", ROLE_TECHNICIAN).perms & personal) == 0);
}

static void test_what_a_role_cannot_be(void **state)
{
    struct role hr = shipped("acme", ROLE_HR), auditor = shipped("acme", ROLE_AUDITOR), own = {.created = 1};
    (void)begin("acme");
    assert_int_equal(str_copy(own.name, sizeof own.name, "HR"), 0);
    memset(own.id, 7, ID_LEN);
    assert_int_equal(role_put(f.db, "acme", &own), CLOUD_CONFLICT);
    assert_int_equal(str_copy(own.name, sizeof own.name, "Nurse"), 0);
    own.perms = PERM_BIT(PERM_BREAKGLASS_REVIEW); /* the vendor's own */
    assert_int_equal(role_put(f.db, "acme", &own), CLOUD_INVALID);
    auditor.perms |= PERM_BIT(PERM_PEOPLE_READ);
    assert_int_equal(role_put(f.db, "acme", &auditor), CLOUD_INVALID);
    own.perms = PERM_BIT(PERM_PEOPLE_READ);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    hr.archived = 1; /* its name is free again */
    assert_int_equal(role_put(f.db, "acme", &hr), 0);
    assert_int_equal(str_copy(own.name, sizeof own.name, "HR"), 0);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    cloud_rollback(f.c, f.db);
}

static void test_kinds_limit_where_and_how_long(void **state)
{
    const struct grant_reach all = {.kind = REACH_TENANT}, site = {.kind = REACH_SITE}, one = {.kind = REACH_PERSON};
    const int64_t day = 24 * HOUR_US;
    assert_non_null(role_kind_refuses(ROLE_INSPECTOR, &all, false, 0, day));
    assert_non_null(role_kind_refuses(ROLE_INSPECTOR, &site, false, 0, 0));
    assert_non_null(role_kind_refuses(ROLE_INSPECTOR, &site, false, 0, 31 * day + 1));
    assert_null(role_kind_refuses(ROLE_INSPECTOR, &site, false, 0, 31 * day));
    assert_non_null(role_kind_refuses(ROLE_EMPLOYEE, &one, false, 0, 0));
    assert_null(role_kind_refuses(ROLE_EMPLOYEE, &one, true, 0, 0));
    assert_null(role_kind_refuses(ROLE_HR, &all, false, 0, 0));
}

/* ---- grants ---- */

static void test_a_grant_holds_in_its_time_only(void **state)
{
    struct granted g = grant_of(bob, ROLE_AUDITOR);
    g.starts = g.created + HOUR_US;
    g.ends = g.created + 2 * HOUR_US;
    give(&g);
    assert_true(may(bob, g.created) == 0);
    assert_true(may(bob, g.starts) == PERM_BIT(PERM_AUDIT_READ));
    assert_true(may(bob, g.ends) == 0);
    take(&g);
    assert_true(may(bob, g.starts) == 0);

    struct rights r; /* of an hour's grant nothing is left for two */
    struct granted h = grant_of(bob, ROLE_AUDITOR);
    h.ends = h.created + HOUR_US;
    give(&h);
    assert_int_equal(granted_rights(f.db, "acme", bob, h.created, h.ends, &r), 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(granted_rights(f.db, "acme", bob, h.created, h.ends + 1, &r), 0);
    assert_int_equal(r.n, 0);
    assert_int_equal(granted_rights(f.db, "acme", bob, h.created, 0, &r), 0);
    assert_int_equal(r.n, 0);
    take(&h);
}

static void test_grants_stay_where_they_are(void **state)
{
    struct rights r;
    struct granted g = grant_of(bob, ROLE_HR), back = {0};
    give(&g);
    assert_int_equal(granted_rights(f.db, "globex", bob, g.created, g.created, &r), 0);
    assert_int_equal(r.n, 0);
    struct scope s = begin("globex");
    assert_int_equal(granted_get(&s, g.id, &back), CLOUD_ABSENT);
    assert_int_equal(granted_revoke(&s, g.id, g.created), CLOUD_ABSENT);
    assert_int_equal(granted_add(&s, &g), CLOUD_ABSENT); /* globex has no such role */
    cloud_rollback(f.c, f.db);
    s = begin("acme");
    assert_int_equal(granted_get(&s, g.id, &back), 0);
    assert_string_equal(back.reason, "test");
    cloud_rollback(f.c, f.db);
    take(&g);
}

static void test_an_archived_role_gives_nothing(void **state)
{
    struct granted g = grant_of(bob, ROLE_TECHNICIAN);
    struct role role = shipped("acme", ROLE_TECHNICIAN);
    give(&g);
    assert_true(may(bob, clock_real()) == role.perms);
    (void)begin("acme");
    role.archived = 1;
    assert_int_equal(role_put(f.db, "acme", &role), 0);
    assert_true(may(bob, clock_real()) == 0);
    cloud_rollback(f.c, f.db);
    take(&g);
}

static void test_no_more_grants_than_are_looked_at(void **state)
{
    uint8_t carl[ID_LEN] = {0xca};
    struct scope s = begin("acme");
    struct granted g = grant_of(carl, ROLE_AUDITOR);
    for (int i = 0; i < RIGHTS_MAX; i++) {
        g.id[0] = (uint8_t)i;
        g.id[1] = 0xcc;
        assert_int_equal(granted_add(&s, &g), 0);
    }
    g.id[1] = 0xdd;
    assert_int_equal(granted_add(&s, &g), CLOUD_INVALID);
    cloud_rollback(f.c, f.db);
}

/* ---- tokens ---- */

static void test_a_token_may_what_its_account_still_may(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct granted g = grant_of(ada, ROLE_HR);
    make_token(ada, PERM_BIT(PERM_PEOPLE_READ) | PERM_BIT(PERM_AUDIT_READ), "", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 403, "forbidden");
    give(&g);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    expect(get(&f.s, "/v1/credentials/waiting", text), 403, "forbidden"); /* HR may, the token was not made for it */
    expect(get(&f.s, "/v1/gateways", text), 403, "forbidden");
    expect(get(&f.s, "/v1/status", text), 403, "forbidden");
    take(&g);
    expect(get(&f.s, "/v1/people", text), 403, "forbidden");
}

static void test_a_route_that_looks_at_no_reach_wants_the_whole_tenant(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct granted g = grant_of(ada, ROLE_DPO);
    g.reach.kind = REACH_SITE;
    make_token(ada, PERM_ALL, "", HOUR_US, text, &t);
    give(&g);
    expect(get(&f.s, "/v1/erasures", text), 403, "forbidden");
    take(&g);
}

static void test_a_token_cannot_step_up(void **state)
{
    char text[TOKEN_TEXT_MAX], path[96];
    struct token t;
    struct granted g = grant_of(ada, ROLE_DPO);
    make_token(ada, PERM_ALL, "", HOUR_US, text, &t);
    give(&g);
    snprintf(path, sizeof path, "/v1/people/%032d/erasure", 0);
    expect(post(&f.s, path, text, "{\"dry_run\":true}"), 403, "step-up-needed");
    expect(post(&f.s, path, f.acme, "{\"dry_run\":true}"), 404, "not-found"); /* a bootstrap token need not */
    take(&g);
}

static void test_a_token_ends_with_its_account(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct human carl = human_with("acme", "carl", ROLE_HR);
    make_token(carl.account.id, PERM_ALL, "", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    struct scope s = begin("acme");
    carl.account.state = ACCOUNT_ARCHIVED;
    assert_int_equal(account_put(&s, &carl.account), 0);
    commit();
    expect(get(&f.s, "/v1/people", text), 401, "token-unknown");
}

static void test_a_token_needs_the_second_factor_of_its_account(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct human dora = human_with("acme", "dora", ROLE_HR);
    make_token(dora.account.id, PERM_ALL, "", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    struct scope s = begin("acme");
    dora.account.has_totp = false;
    assert_int_equal(account_put(&s, &dora.account), 0);
    commit();
    expect(get(&f.s, "/v1/people", text), 403, "second-factor-needed");
}

static void test_a_token_works_from_its_ranges(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct granted g = grant_of(ada, ROLE_HR);
    give(&g);
    make_token(ada, PERM_ALL, "127.0.0.0/8 ::1", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    make_token(ada, PERM_ALL, "192.0.2.0/24", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 403, "forbidden");
    take(&g);
}

static void test_tokens_end(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    struct scope s;
    struct granted g = grant_of(ada, ROLE_HR);
    give(&g);
    make_token(ada, PERM_ALL, "", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 200, NULL);
    s = begin("acme");
    assert_int_equal(token_end_account(&s, ada), 0);
    commit();
    expect(get(&f.s, "/v1/people", text), 401, "token-unknown");
    make_token(ada, PERM_ALL, "", 2000000, text, &t);
    while (clock_real() <= t.expires)
        usleep(50000);
    expect(get(&f.s, "/v1/people", text), 401, "token-expired");
    take(&g);

    struct token endless = t;
    assert_int_equal(scope_init(f.c, f.db, "acme", &s), 0);
    endless.expires = 0;
    assert_int_equal(token_make(&s, &endless, text, &t), CLOUD_INVALID);
    endless.expires = clock_real() + INT64_C(367) * 24 * HOUR_US;
    assert_int_equal(token_make(&s, &endless, text, &t), CLOUD_INVALID);
}

static void test_when_a_token_was_used(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t, now;
    make_token(bob, PERM_ALL, "", HOUR_US, text, &t);
    expect(get(&f.s, "/v1/people", text), 403, "forbidden");
    assert_int_equal(token_get(f.db, "acme", t.id, &now), 0);
    assert_int_equal(now.used, 0);
    assert_int_equal(used_flush(cloud_used(f.c), f.c, f.db), 0);
    assert_int_equal(token_get(f.db, "acme", t.id, &now), 0);
    assert_int_equal(now.used, day_of(clock_real()));
}

static void test_ranges(void **state)
{
    const struct token t = {.ranges = "192.0.2.0/24 2001:db8::/32"};
    struct address_net net;
    assert_true(token_from(&t, "192.0.2.77"));
    assert_true(token_from(&t, "::ffff:192.0.2.77"));
    assert_true(token_from(&t, "2001:db8:1::1"));
    assert_false(token_from(&t, "192.0.3.1"));
    assert_false(token_from(&t, "2001:db9::1"));
    assert_false(token_from(&t, ""));
    assert_true(token_from(&(struct token){0}, ""));
    assert_true(address_net("10.0.0.0/8", &net) == 0);
    assert_true(address_net("10.1.2.3", &net) == 0);
    assert_true(address_net("::/0", &net) == 0);
    const char *const bad[] = {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "fe80::1%eth0", "x/8"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(address_net(bad[i], &net) == 0);
}

static void test_settings_protect_until_they_are_changed(void **state)
{
    struct tenant_settings set;
    char contact[DPO_CONTACT_MAX + 1] = "?";
    struct scope s = begin("acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    assert_false(set.presence);
    assert_true(settings_second_factor_needed(&set, PERM_PEOPLE_READ));
    set.second_factor = PERM_BIT(PERM_PEOPLE_ERASE);
    assert_int_equal(tenant_settings_put(&s, &set, "dpo@acme.example"), 0);
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    assert_false(settings_second_factor_needed(&set, PERM_PEOPLE_READ));
    assert_true(settings_second_factor_needed(&set, PERM_PEOPLE_ERASE));
    assert_int_equal(tenant_dpo_contact(&s, contact), 0);
    assert_string_equal(contact, "dpo@acme.example");
    set.session_idle = SESSION_IDLE_MAX + 1;
    assert_int_equal(tenant_settings_put(&s, &set, ""), CLOUD_INVALID);
    cloud_rollback(f.c, f.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_tenant_has_the_shipped_roles),
        cmocka_unit_test(test_what_a_role_cannot_be),
        cmocka_unit_test(test_kinds_limit_where_and_how_long),
        cmocka_unit_test(test_a_grant_holds_in_its_time_only),
        cmocka_unit_test(test_grants_stay_where_they_are),
        cmocka_unit_test(test_an_archived_role_gives_nothing),
        cmocka_unit_test(test_no_more_grants_than_are_looked_at),
        cmocka_unit_test(test_a_token_may_what_its_account_still_may),
        cmocka_unit_test(test_a_route_that_looks_at_no_reach_wants_the_whole_tenant),
        cmocka_unit_test(test_a_token_cannot_step_up),
        cmocka_unit_test(test_a_token_ends_with_its_account),
        cmocka_unit_test(test_a_token_needs_the_second_factor_of_its_account),
        cmocka_unit_test(test_a_token_works_from_its_ranges),
        cmocka_unit_test(test_tokens_end),
        cmocka_unit_test(test_when_a_token_was_used),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_settings_protect_until_they_are_changed),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
