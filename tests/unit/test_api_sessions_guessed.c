/* Logging in as an attacker would try it: what answers tell, what guesses cost, and what is left in the trail. */
#include "cloud/audit.h"
#include "cloud/audit_move.h"
#include "cloud/password.h"
#include "tests/unit/api_browser.h"

/* Unknown company, unknown login, login that cannot be, invited, archived, wrong password: one answer, one hash each.
 */
static void test_unknown_logins(void **state)
{
    struct user u, invited;
    struct browser b = {{0}, {0}, {0}};
    user_make(&u, "known");
    invite(&invited, "invited");
    static const char *const tries[][2] = {{"acme", "known"},     {"acme", "unknown"},     {"acme", "invited"},
                                           {"nowhere", "known"},  {"globex", "known"},     {"acme", "k n o w n"},
                                           {"_vendor", "known"},  {"acme", "kn\\u00f6wn"}, {"../acme", "known"},
                                           {"acme", "' OR 1=1--"}};
    char first[512] = "";
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        uint64_t before = password_runs();
        struct reply r = log_in(&b, tries[i][0], tries[i][1], PASSWORD_2);
        assert_problem(&r, 401, "login-failed");
        assert_int_equal(password_runs() - before, 1);
        if (i == 0)
            snprintf(first, sizeof first, "%s", r.body);
        assert_string_equal(r.body, first);
        assert_string_equal(b.session, "");
        reply_done(&r);
        forget_delays();
    }
    assert_int_equal(tenant_archive(f.db, "acme", true, clock_real()), 0); /* now it is as unknown as any */
    struct reply shut = log_in(&b, "acme", "known", PASSWORD_1);
    assert_int_equal(shut.status, 401);
    assert_string_equal(shut.body, first);
    reply_done(&shut);
    assert_int_equal(tenant_archive(f.db, "acme", false, clock_real()), 0);
    forget_delays();
    static const char *const resets[] = {"{\"tenant\":\"acme\",\"login\":\"known\"}",
                                         "{\"tenant\":\"acme\",\"login\":\"unknown\"}",
                                         "{\"tenant\":\"nowhere\",\"login\":\"known\"}"};
    for (size_t i = 0; i < ARRAY_LEN(resets); i++) {
        struct reply r = post(&f.s, "/v1/password-resets", NULL, resets[i]);
        assert_int_equal(r.status, 202);
        if (i == 0)
            snprintf(first, sizeof first, "%s", r.body);
        assert_string_equal(r.body, first);
        reply_done(&r);
    }
    forget_delays();
}

/* How often that is in a trail; subjects: of how many people. */
struct events {
    const char *kind, *outcome;
    size_t n, subjects;
};

static int count_event(void *arg, const struct audit_row *row)
{
    struct events *x = arg;
    json_t *o = json_loads(row->core, 0, NULL);
    if (strcmp(json_string_value(json_object_get(o, "kind")), x->kind) == 0 &&
        strcmp(json_string_value(json_object_get(o, "outcome")), x->outcome) == 0) {
        x->n++;
        x->subjects += row->n_whose;
    }
    json_decref(o);
    return 0;
}

static struct events events(const char *tenant, const char *kind, const char *outcome)
{
    struct events x = {.kind = kind, .outcome = outcome};
    struct audit_reader *reader;
    uint64_t next;
    assert_int_equal(audit_settle(f.c, 10000), 0);
    struct scope s = fixture_scope(&f, tenant);
    assert_int_equal(audit_reader_new(false, &reader), 0);
    assert_int_equal(audit_each(reader, &s, 1, 1 << 20, count_event, &x, &next), 0);
    audit_reader_free(reader);
    return x;
}

static void assert_more(const char *tenant, const char *kind, const char *outcome, struct events before, size_t n)
{
    struct events now = events(tenant, kind, outcome);
    if (now.n != before.n + n)
        print_error("%s %s %s: %zu more\n", tenant, kind, outcome, now.n - before.n);
    assert_int_equal(now.n, before.n + n);
}

/* Each way in and out leaves an event, in the trail of the company it was about. */
static void test_logins_are_in_the_trail(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, c = {{0}, {0}, {0}};
    char secret[TOTP_DIGITS + 1];
    uint8_t key[TOTP_SECRET];
    struct events failed = events("acme", "login", "failed"), done = events("acme", "login", "done"),
                  accepted = events("acme", "account.accepted", "done"), stepped = events("acme", "step-up", "done"),
                  not_stepped = events("acme", "step-up", "failed"), self = events("acme", "self", "done"),
                  codes = events("acme", "login.second-factor", "failed"), links = events("_vendor", "link", "failed"),
                  nowhere = events("_vendor", "login", "failed"), refused = events("_vendor", "open", "refused");
    user_make(&u, "trailed");
    assert_more("acme", "account.accepted", "done", accepted, 1);
    expect(log_in(&b, "acme", "trailed", PASSWORD_2), 401, "login-failed");
    expect(log_in(&b, "acme", "trailed", PASSWORD_2), 401, "login-failed");
    assert_more("acme", "login", "failed", failed, 2);
    assert_int_equal(events("acme", "login", "failed").subjects, failed.subjects + 2);
    expect(log_in(&b, "acme", "trailed", PASSWORD_1), 201, NULL);
    assert_more("acme", "login", "done", done, 1);
    expect(send_as(&b, "POST", "/v1/session/step-up", "{\"password\":\"" PASSWORD_2 "\"}"), 401, "login-failed");
    assert_more("acme", "step-up", "failed", not_stepped, 1);
    expect(send_as(&b, "POST", "/v1/session/step-up", "{\"password\":\"" PASSWORD_1 "\"}"), 204, NULL);
    assert_more("acme", "step-up", "done", stepped, 1);
    expect(send_as(&b, "DELETE", "/v1/session", NULL), 204, NULL);
    assert_more("acme", "self", "done", self, 1);
    assert_int_equal(events("acme", "self", "done").subjects, self.subjects + 1);

    json_decref(enrol(&u, &b));
    secret_of(&u, key, false);
    code_of(key, 1, secret);
    expect(log_in(&c, "acme", "trailed", PASSWORD_1), 200, NULL);
    expect(give_code(&c, strcmp(secret, "000000") == 0 ? "000001" : "000000"), 401, "login-failed");
    assert_more("acme", "login.second-factor", "failed", codes, 1);
    assert_int_equal(events("acme", "login.second-factor", "failed").subjects, codes.subjects + 1);

    expect(accept_link("/v1/invitations/accept", u.link, PASSWORD_1), 410, NULL);
    assert_more("_vendor", "link", "failed", links, 1);
    assert_more("_vendor", "open", "refused", refused, 0); /* none of them twice */
    assert_more("_vendor", "login", "failed", nowhere, 0);
    forget_delays();
}

/* Those of nobody we know are counted: the first of a minute is told, the others are one more. */
static void test_a_flood_of_logins_does_not_fill_the_trail(void **state)
{
    struct browser b = {{0}, {0}, {0}};
    struct events ours = events("globex", "login", "failed"), theirs = events("_vendor", "login", "failed"),
                  delayed = events("globex", "login.delayed", "refused");
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "nobody-%d", i);
        expect(log_in(&b, "globex", name, PASSWORD_1), 401, "login-failed");
        expect(log_in(&b, "nowhere-at-all", name, PASSWORD_1), 401, "login-failed");
        if (i % 6 == 5)
            forget_delays();
    }
    assert_more("globex", "login", "failed", ours, 1);
    assert_more("_vendor", "login", "failed", theirs, 1);
    for (int i = 0; i < 12; i++) {
        struct reply r = log_in(&b, "globex", "one", PASSWORD_1);
        reply_done(&r);
    }
    assert_more("globex", "login.delayed", "refused", delayed, 1);
    forget_delays();
}

/* Whatever a hash cost when it was made, it is good, and of today's cost after the next login. */
static void test_a_hash_is_made_anew_at_todays_cost(void **state)
{
    const struct password_cost old = {.memory_kib = 1024, .passes = 1, .lanes = 1};
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    struct account a;
    user_make(&u, "veteran");
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, "veteran", &a), 0);
    const struct password_cost today = a.password.cost;
    assert_int_equal(password_make(&old, PASSWORD_1, &a.password), 0);
    assert_int_equal(account_put(&s, &a), 0);
    fixture_commit(&f);
    for (uint64_t hashes = 2; hashes >= 1; hashes--) {
        uint64_t before = password_runs();
        expect(log_in(&b, "acme", "veteran", PASSWORD_1), 201, NULL);
        assert_int_equal(password_runs() - before, hashes);
    }
    s = fixture_begin(&f, "acme");
    assert_int_equal(account_by_login(&s, "veteran", &a), 0);
    fixture_commit(&f);
    assert_false(password_aged(&a.password, &today));
    expect(log_in(&b, "acme", "veteran", PASSWORD_2), 401, "login-failed");
    forget_delays();
}

static void test_delays(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}}, known = {{0}, {0}, {0}};
    char path[80];
    int refused = 0;
    user_make(&u, "delayed");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 201, NULL);
    for (int i = 0; i < 12 && refused < 3; i++) {
        uint64_t before = password_runs();
        struct reply r = log_in(&b, "acme", "delayed", PASSWORD_2);
        if (r.status == 429) {
            refused++;
            assert_problem(&r, 429, "too-many-attempts");
            assert_true(atoi(reply_header(&r, "Retry-After")) >= 1);
            assert_int_equal(password_runs(), before); /* before any hash */
        }
        reply_done(&r);
    }
    assert_int_equal(refused, 3);
    /* the right password does not help a stranger, but a browser that is known is not delayed */
    expect(log_in(&b, "acme", "delayed", PASSWORD_1), 429, "too-many-attempts");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 201, NULL);
    /* whom strangers keep out of a new browser, for as long as they go on, gets in by a link */
    snprintf(path, sizeof path, "/v1/accounts/%s/password-reset", u.id);
    struct reply r = request(&f.s, "POST", path, f.acme, BYTES_NONE, NULL);
    expect(accept_by(&b, "/v1/password-resets/accept", link_in(&r), PASSWORD_2), 200, NULL);
    reply_done(&r);
    assert_string_not_equal(b.device, "");
    expect(log_in(&known, "acme", "delayed", PASSWORD_1), 401, "login-failed");
    expect(log_in(&b, "acme", "delayed", PASSWORD_2), 201, NULL);
    forget_delays();
}

/* Codes are counted across sessions: a new half session gives no new guesses. */
static void test_guessing_codes(void **state)
{
    struct user u;
    struct browser b = {{0}, {0}, {0}};
    int guesses = 0;
    user_make(&u, "guessed");
    json_decref(enrol(&u, &b));
    int64_t began = clock_ms();
    for (int i = 0; i < 12; i++) {
        struct browser c = {{0}, {0}, {0}};
        expect(log_in(&c, "acme", "guessed", PASSWORD_1), 200, NULL);
        struct reply r = give_code(&c, "000000");
        guesses += r.status == 401;
        assert_true(r.status == 401 || r.status == 429);
        reply_done(&r);
    }
    /* from the fifth on, each waits twice as long as the one before, however slow the machine is */
    assert_true(guesses >= 4 && ((1 << (guesses - 4)) / 2 - 1) * 1000 <= clock_ms() - began);
    forget_delays();
}

static void test_strange_bodies(void **state)
{
    struct browser b = {{0}, {0}, {0}};
    static char huge[70000];
    memset(huge, 'x', sizeof huge - 1);
    uint64_t before = password_runs();
    expect(post(&f.s, "/v1/sessions", NULL, "{\"tenant\":\"acme\",\"login\":\"a\\u0000b\",\"password\":\"x\"}"), 400,
           "bad-json");
    expect(post(&f.s, "/v1/sessions", NULL, "{\"tenant\":\"acme\",\"login\":[],\"password\":\"x\"}"), 400, "invalid");
    expect(post(&f.s, "/v1/sessions", NULL, "{}"), 400, "invalid");
    expect(post(&f.s, "/v1/sessions", NULL, huge), 413, "too-large");
    huge[60000] = '\0';
    char *body = malloc(61000);
    assert_non_null(body);
    snprintf(body, 61000, "{\"tenant\":\"acme\",\"login\":\"a\",\"password\":\"%.60000s\"}", huge);
    expect(post(&f.s, "/v1/sessions", NULL, body), 400, "invalid");
    free(body);
    assert_int_equal(password_runs(), before);
    /* what another site can have a browser send without asking first */
    const char *const form[] = {"-H", "Content-Type: text/plain", NULL};
    expect(request(&f.s, "POST", "/v1/sessions", NULL, BYTES_STR("{}"), form), 415, "media-type");
    expect(give_code(&b, "123456"), 401, "session-over");
}

/* Two hundred logins at once: others are answered meanwhile, and of those that find no room none is kept. */
static void *flood(void *arg)
{
    char url[80], *text;
    int code = 0;
    const char *argv[] = {"curl",
                          "-sS",
                          "-Z",
                          "--parallel-max",
                          "50",
                          "--max-time",
                          "60",
                          "-o",
                          "/dev/stdout",
                          "--cacert",
                          f.s.ca,
                          "-H",
                          "Content-Type: application/json",
                          "-d",
                          "{\"tenant\":\"acme\",\"login\":\"flooded\",\"password\":\"x\"}",
                          url,
                          NULL};
    snprintf(url, sizeof url, "https://localhost:%u/v1/sessions#[1-200]", f.s.port);
    text = run_program(argv, &code);
    size_t *answers = arg;
    for (const char *p = text; (p = strstr(p, "urn:punchline:problem:")); p++)
        ++*answers;
    free(text);
    return NULL;
}

static void test_flood(void **state)
{
    pthread_t thread;
    size_t answers = 0;
    uint64_t before = password_runs();
    assert_int_equal(pthread_create(&thread, NULL, flood, &answers), 0);
    for (int i = 0; i < 10; i++)
        expect(get(&f.s, "/v1/people", f.acme), 200, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(answers, 200); /* each was refused in one way or another */
    assert_in_range(password_runs() - before, 1, 30);
    forget_delays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: what they count has not been told in this minute */
        cmocka_unit_test(test_logins_are_in_the_trail),
        cmocka_unit_test(test_a_flood_of_logins_does_not_fill_the_trail),
        cmocka_unit_test(test_unknown_logins),
        cmocka_unit_test(test_a_hash_is_made_anew_at_todays_cost),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_guessing_codes),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_strange_bodies),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
