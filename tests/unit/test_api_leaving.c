/* Who leaves: whose time is over neither logs in nor goes on, and holds no card; and who looks after accounts ends a
 * session that somebody else left open. */
#include "cloud/granted.h"
#include "tests/unit/api_human.h"

#define PASSWORD "xK9!leaving#q2zzv7"
#define DAY_LATER (INT64_C(86400) * 1000000)

static struct human owner, helper, boss;

static int setup(void **state)
{
    (void)api_setup(state);
    owner = human_with("acme", "owner", ROLE_OWNER);
    helper = human_with("acme", "helper", ROLE_HR);
    boss = human_make("acme", "boss");
    (void)human_grant(&boss, ROLE_OWNER, NULL, clock_real() + DAY_LATER);
    return 0;
}

static const char *hex(const uint8_t id[ID_LEN])
{
    static char text[4][2 * ID_LEN + 1];
    static unsigned at;
    at = (at + 1) % 4;
    return str_hex(id, ID_LEN, text[at]);
}

/* ---- sessions ---- */

static size_t sessions_of(const struct human *h)
{
    struct reply r = as(&owner, "GET", path_of("/v1/accounts/%s/sessions", hex(h->account.id)), NULL);
    assert_int_equal(r.status, 200);
    size_t n = json_array_size(json_object_get(r.json, "items"));
    reply_done(&r);
    return n;
}

static void test_a_session_is_ended_by_who_looks_after_accounts(void **state)
{
    char path[160];
    struct human lost = human_make("acme", "lost");
    struct human stranger = human_with("globex", "stranger", ROLE_OWNER);
    assert_int_equal(sessions_of(&lost), 1);
    expect(as(&lost, "GET", path_of("/v1/accounts/%s/sessions", hex(owner.account.id)), NULL), 403, "forbidden");
    expect(as(&stranger, "GET", path_of("/v1/accounts/%s/sessions", hex(lost.account.id)), NULL), 404, "not-found");
    snprintf(path, sizeof path, "%s/%s", path_of("/v1/accounts/%s/sessions", hex(lost.account.id)),
             hex(lost.session.id));
    expect(as(&lost, "DELETE", path, NULL), 403, "forbidden");
    expect(as(&stranger, "DELETE", path, NULL), 404, "not-found");
    expect(as(&lost, "GET", "/v1/me", NULL), 200, NULL);
    expect(as(&owner, "DELETE", path, NULL), 204, NULL);
    expect(as(&lost, "GET", "/v1/me", NULL), 401, "session-over");
    expect(as(&owner, "DELETE", path, NULL), 404, "not-found");
    assert_int_equal(sessions_of(&lost), 0);
    /* of another account than the one that is named; and of one that may more than who asks */
    snprintf(path, sizeof path, "%s/%s", path_of("/v1/accounts/%s/sessions", hex(lost.account.id)),
             hex(helper.session.id));
    expect(as(&owner, "DELETE", path, NULL), 404, "not-found");
    snprintf(path, sizeof path, "%s/%s", path_of("/v1/accounts/%s/sessions", hex(owner.account.id)),
             hex(owner.session.id));
    expect(as(&boss, "DELETE", path, NULL), 403, "forbidden");
    expect(as(&owner, "GET", "/v1/me", NULL), 200, NULL);
}

/* ---- whose time is over ---- */

static struct reply log_in(const char *login, const char *password)
{
    char body[256];
    snprintf(body, sizeof body, "{\"tenant\":\"acme\",\"login\":\"%s\",\"password\":\"%s\"}", login, password);
    return post(&f.s, "/v1/sessions", NULL, body);
}

static void ends(const struct human *h, int64_t until)
{
    char body[80], when[32];
    snprintf(body, sizeof body, "{\"valid_until\":\"%s\"}", str_time(until, when));
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(h->account.person)), body), 200, NULL);
}

static void test_nobody_logs_in_whose_time_is_over(void **state)
{
    struct human leaver;
    struct scope s;
    struct token t = {.label = "machine", .perms = PERM_BIT(PERM_SITES_READ), .expires = clock_real() + DAY_LATER};
    char token[TOKEN_TEXT_MAX];
    const struct password_cost cost = {.memory_kib = 19 * 1024, .passes = 2, .lanes = 1};
    leaver = human_make("acme", "leaver");
    (void)human_grant(&leaver, ROLE_TECHNICIAN, NULL, 0);
    s = fixture_begin(&f, "acme");
    leaver.account.has_password = true;
    assert_int_equal(password_make(&cost, PASSWORD, &leaver.account.password), 0);
    assert_int_equal(account_put(&s, &leaver.account), 0);
    memcpy(t.account, leaver.account.id, ID_LEN);
    assert_int_equal(token_make(&s, &t, token, &t), 0);
    fixture_commit(&f);

    ends(&leaver, clock_real() + DAY_LATER); /* not yet */
    struct reply r = log_in("leaver", PASSWORD);
    assert_int_equal(r.status, 200); /* now the code */
    reply_done(&r);
    r = get(&f.s, "/v1/sites", token);
    assert_int_equal(r.status, 200);
    reply_done(&r);

    ends(&leaver, clock_real() - 1000000);
    expect(as(&leaver, "GET", "/v1/me", NULL), 401, "session-over");
    r = get(&f.s, "/v1/sites", token);
    assert_problem(&r, 401, "token-unknown");
    reply_done(&r);
    struct reply right = log_in("leaver", PASSWORD), unknown = log_in("nobody-at-all", PASSWORD);
    assert_problem(&right, 401, "login-failed");
    assert_string_equal(right.body, unknown.body);
    reply_done(&right);
    reply_done(&unknown);

    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(leaver.account.person)), "{\"valid_until\":null}"), 200,
           NULL);
    expect(as(&leaver, "GET", "/v1/me", NULL), 200, NULL); /* it was still there */
}

static void test_an_owner_stays_for_good(void **state)
{
    struct human second;
    const char *soon = "{\"valid_until\":\"2099-01-01T00:00:00Z\"}";
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(owner.account.person)), soon), 409, "last-owner");
    expect(as(&helper, "PATCH", path_of("/v1/people/%s", hex(owner.account.person)), soon), 403, "forbidden");
    second = human_make("acme", "second");
    (void)human_grant(&second, ROLE_OWNER, NULL, 0);
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(second.account.person)), soon), 200, NULL);
    /* who has an end is none of those that stay */
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(owner.account.person)), soon), 409, "last-owner");
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(owner.account.person)), "{\"archived\":true}"), 409,
           "last-owner");
}

/* ---- cards ---- */

static char card_until[40];

/* How many cards the person has or had; the end of the last one. */
static size_t cards(const struct human *h)
{
    struct reply r = as(&owner, "GET", path_of("/v1/people/%s/credentials", hex(h->account.person)), NULL);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items");
    size_t n = json_array_size(items);
    const char *until = n ? json_string_value(json_object_get(json_array_get(items, n - 1), "until")) : NULL;
    snprintf(card_until, sizeof card_until, "%s", until ? until : "");
    reply_done(&r);
    return n;
}

/* Those of the state, of everybody. */
static size_t punches(const char *state)
{
    char path[160], from[32], to[32];
    int64_t now = clock_real();
    snprintf(path, sizeof path, "/v1/punches?from=%s&to=%s&state=%s", str_time(now - DAY_LATER, from),
             str_time(now + DAY_LATER, to), state);
    struct reply r = as(&owner, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    size_t n = json_array_size(json_object_get(r.json, "items"));
    reply_done(&r);
    return n;
}

/* Seconds from the beginning of the test on, which is when nothing can be older than. */
static int64_t at(int seconds)
{
    static int64_t base;
    base = base ? base : clock_real() / 1000000 * 1000000;
    return base + seconds * INT64_C(1000000);
}

static void assert_card_until(int seconds)
{
    char when[32];
    assert_string_equal(card_until, str_time(at(seconds), when));
}

static void hand_out(const struct human *h, const char *data, int from, int status)
{
    char body[160], when[32];
    snprintf(body, sizeof body, "{\"tech\":\"em4100\",\"bits\":40,\"data\":\"%s\",\"from\":\"%s\"}", data,
             str_time(at(from), when));
    expect(as(&owner, "POST", path_of("/v1/people/%s/credentials", hex(h->account.person)), body), status,
           status == 400 ? "invalid" : NULL);
}

static void test_a_card_ends_with_who_holds_it(void **state)
{
    struct human h;
    struct fixture_punch p = {.tenant = "acme", .reader = "door", .gw = f.gw, .cred = fixture_card(0x6700AAAA01)};
    h = human_make("acme", "holder");
    hand_out(&h, "6700AAAA01", 0, 201);
    for (int i = 0; i < 3; i++) {
        p.gseq = (uint64_t)i + 1;
        p.time = at(10 + 20 * i);
        fixture_file_one(&f, &p);
    }
    assert_int_equal(punches("assigned"), 3);

    /* what was punched afterwards is kept, and nobody's */
    ends(&h, at(20));
    assert_int_equal(cards(&h), 1);
    assert_card_until(20);
    assert_int_equal(punches("assigned"), 1);
    assert_int_equal(punches("unassigned"), 2);
    p.gseq = 4;
    p.time = at(70);
    fixture_file_one(&f, &p);
    assert_int_equal(punches("unassigned"), 3);

    /* a later end takes the card along */
    ends(&h, at(40));
    assert_int_equal(cards(&h), 1);
    assert_card_until(40);
    assert_int_equal(punches("assigned"), 2);
    assert_int_equal(punches("unassigned"), 2);

    /* but not from whoever has got it since */
    struct human next = human_make("acme", "next");
    hand_out(&next, "6700AAAA01", 40, 201);
    expect(as(&owner, "PATCH", path_of("/v1/people/%s", hex(h.account.person)), "{\"valid_until\":null}"), 200, NULL);
    assert_int_equal(cards(&h), 1);
    assert_card_until(40);

    /* nor is one handed out for longer */
    ends(&h, at(100));
    hand_out(&h, "6700AAAA02", 50, 201);
    assert_int_equal(cards(&h), 2);
    assert_card_until(100);
    hand_out(&h, "6700AAAA03", 100, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_ended_by_who_looks_after_accounts),
        cmocka_unit_test(test_nobody_logs_in_whose_time_is_over),
        cmocka_unit_test(test_an_owner_stays_for_good),
        cmocka_unit_test(test_a_card_ends_with_who_holds_it),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
