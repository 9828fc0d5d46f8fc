/* Four eyes: what is kept of a request, how much of it, for whom, and for how long; and who tries to get around. */
#include "cloud/approval.h"
#include "cloud/settings_of.h"
#include "tests/unit/api_human.h"

#define TABLE_ROWS 1300

static struct human ada, bob, carl;

static int setup(void **state)
{
    (void)api_setup(state);
    ada = human_with("acme", "ada", ROLE_OWNER);
    bob = human_with("acme", "bob", ROLE_OWNER);
    carl = human_with("acme", "carl", ROLE_OWNER);
    return 0;
}

static void want(uint64_t perms)
{
    struct tenant_settings set;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    set.four_eyes = perms;
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
}

/* as() of another type, with one more header (NULL: none). */
static struct reply send_as(const struct human *h, const char *method, const char *path, struct bytes body,
                            const char *type, const char *more)
{
    char cookie[128], csrf[SESSION_TEXT], header[96], content[64];
    assert_int_equal(session_csrf(h->cookie, csrf), 0);
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", h->cookie);
    snprintf(header, sizeof header, "Punch-CSRF: %s", csrf);
    snprintf(content, sizeof content, "Content-Type: %s", type);
    const char *const extra[] = {"-H", cookie, "-H", header, "-H", content, more ? "-H" : NULL, more, NULL};
    return request(&f.s, method, path, NULL, body, extra);
}

/* Takes the reply. */
static void asked(struct reply *r, char ret_path[64], char ret_decision[96])
{
    if (r->status != 202)
        print_error("%d %s\n", r->status, r->body);
    assert_int_equal(r->status, 202);
    assert_string_equal(reply_text(r, "state"), "waiting");
    assert_int_equal(str_copy(ret_path, 64, reply_header(r, "Location")), 0);
    snprintf(ret_decision, 96, "%s/decision", ret_path);
    reply_done(r);
}

static void ask(const struct human *h, const char *method, const char *path, const char *body, char ret_path[64],
                char ret_decision[96])
{
    struct reply r = as(h, method, path, body);
    asked(&r, ret_path, ret_decision);
}

/* What became of it: the status of the request's answer. */
static int approve(const struct human *h, const char *decision)
{
    struct reply r = as(h, "POST", decision, "{\"approve\":true}");
    if (r.status != 200)
        print_error("%d %s\n", r.status, r.body);
    assert_int_equal(r.status, 200);
    int status = (int)json_integer_value(json_object_get(json_object_get(r.json, "outcome"), "status"));
    reply_done(&r);
    return status;
}

static void id_of(const char *path, uint8_t ret[ID_LEN])
{
    assert_int_equal(str_unhex(path + strlen("/v1/approvals/"), ret, ID_LEN), 0);
}

static int64_t count(const char *sql, const uint8_t *id)
{
    struct db_stmt *st;
    assert_int_equal(db_stmt(f.db, sql, &st), 0);
    if (id)
        db_bind_blob(st, 1, BYTES(id, ID_LEN));
    assert_int_equal(db_step(st), DB_ROW);
    int64_t n = db_int(st, 0);
    db_done(st);
    return n;
}

/* ---- what is kept ---- */

static struct bytes table(struct buf *b)
{
    buf_init(b, 4u << 20);
    buf_addf(b, "personnel_number,name\n");
    for (int i = 0; i < TABLE_ROWS; i++)
        buf_addf(b, "T%05d,A name that is long enough to fill some parts %d\n", i, i);
    assert_false(b->failed);
    return buf_bytes(b);
}

static void expect_shown(const char *path, struct bytes sent)
{
    char body[96];
    struct reply r = as(&bob, "GET", path, NULL);
    json_t *q = json_object_get(r.json, "request");
    assert_string_equal(json_string_value(json_object_get(json_object_get(q, "query"), "mode")), "apply");
    assert_string_equal(json_string_value(json_object_get(q, "type")), "text/csv");
    assert_int_equal(json_integer_value(json_object_get(q, "bytes")), sent.n);
    assert_true(json_is_null(json_object_get(q, "body")));
    reply_done(&r);
    snprintf(body, sizeof body, "%s/body", path);
    r = as(&bob, "GET", body, NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "text/csv");
    assert_int_equal(r.n, sent.n);
    assert_memory_equal(r.body, sent.p, sent.n);
    reply_done(&r);
}

static void test_a_table_waits_as_it_was_sent(void **state)
{
    char path[64], decision[96];
    struct buf b;
    struct bytes sent = table(&b);
    want(PERM_BIT(PERM_PEOPLE_CHANGE));
    struct reply r = send_as(&ada, "POST", "/v1/imports?mode=preview", sent, "text/csv", NULL);
    assert_int_equal(r.status, 201); /* it changes nothing */
    reply_done(&r);
    r = send_as(&ada, "POST", "/v1/imports?mode=apply", sent, "text/csv", NULL);
    asked(&r, path, decision);
    expect(as(&bob, "GET", "/v1/people?personnel_number=T00001", NULL), 200, NULL);
    expect_shown(path, sent);
    assert_int_equal(approve(&bob, decision), 201);
    r = as(&bob, "GET", "/v1/people?personnel_number=T01299", NULL);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    assert_int_equal(count("SELECT count(*) FROM approval_part", NULL), 0);
    buf_done(&b);
}

/* A table may hand out cards: that may want them, too. */
static void test_a_table_of_cards_wants_what_cards_want(void **state)
{
    char path[64], decision[96];
    struct bytes csv = BYTES_STR("personnel_number,name,card,card_rendering\nC1,Cora,0123456789,hex10\n");
    want(PERM_BIT(PERM_CREDENTIALS_CHANGE));
    struct reply r = send_as(&ada, "POST", "/v1/imports?mode=apply", csv, "text/csv", NULL);
    asked(&r, path, decision);
    assert_int_equal(approve(&bob, decision), 201);
}

static void test_a_rehearsal_waits_for_nobody(void **state)
{
    char erasure[96], person[96], id[2 * ID_LEN + 1], path[64], decision[96];
    struct human gone;
    gone = human_make("acme", "gone");
    str_hex(gone.account.person, ID_LEN, id);
    snprintf(erasure, sizeof erasure, "/v1/people/%s/erasure", id);
    snprintf(person, sizeof person, "/v1/people/%s", id);
    want(PERM_BIT(PERM_PEOPLE_ERASE));
    struct reply r = as(&ada, "POST", erasure, "{\"dry_run\":true}");
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_text(&r, "state"), "planned");
    reply_done(&r);
    /* which is no way around */
    ask(&ada, "POST", erasure, "{\"dry_run\":true,\"dry_run\":false}", path, decision);
    expect(as(&bob, "GET", person, NULL), 200, NULL);
    assert_int_equal(approve(&bob, decision), 400);
}

/* It may have come to be something else meanwhile. */
static void test_preconditions_are_kept(void **state)
{
    char path[64], decision[96], site[96], tag[128], none[160];
    want(0);
    struct reply r = as(&ada, "POST", "/v1/sites", "{\"name\":\"Old\"}");
    assert_int_equal(r.status, 201);
    assert_int_equal(str_copy(site, sizeof site, reply_header(&r, "Location")), 0);
    snprintf(tag, sizeof tag, "If-Match: %.90s", reply_header(&r, "ETag"));
    snprintf(none, sizeof none, "If-None-Match: %.90s", reply_header(&r, "ETag"));
    reply_done(&r);
    want(PERM_BIT(PERM_SITES_CHANGE));
    r = send_as(&ada, "PATCH", site, BYTES_STR("{\"name\":\"Never\"}"), "application/json", none);
    asked(&r, path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 412, "precondition-failed");
    want(0);
    expect(as(&ada, "PATCH", site, "{\"name\":\"Older\"}"), 200, NULL);
    want(PERM_BIT(PERM_SITES_CHANGE));
    r = send_as(&ada, "PATCH", site, BYTES_STR("{\"name\":\"Never\"}"), "application/json", tag);
    asked(&r, path, decision);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 412, "precondition-failed");
    r = as(&bob, "GET", path, NULL);
    assert_string_equal(reply_text(&r, "state"), "waiting");
    reply_done(&r);
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

static void test_an_idempotency_key_asks_once(void **state)
{
    char path[64], again[64], decision[96];
    const char *key = "Idempotency-Key: 5f0c";
    struct bytes body = BYTES_STR("{\"name\":\"Once\"}");
    want(PERM_BIT(PERM_SITES_CHANGE));
    struct reply r = send_as(&ada, "POST", "/v1/sites", body, "application/json", key);
    asked(&r, path, decision);
    r = send_as(&ada, "POST", "/v1/sites", body, "application/json", key);
    assert_string_equal(reply_header(&r, "Idempotency-Replayed"), "true");
    asked(&r, again, decision);
    assert_string_equal(again, path);
    assert_int_equal(approve(&bob, decision), 201);
    r = send_as(&ada, "POST", "/v1/sites", body, "application/json", key);
    assert_int_equal(r.status, 202);
    assert_string_equal(reply_text(&r, "state"), "approved");
    reply_done(&r);
}

/* Nothing of whom it was about, nor when to the second, is readable in the store; and nothing stays for ever. */
static void test_the_store_tells_little_and_forgets(void **state)
{
    char path[64], decision[96], person[96], hex[2 * ID_LEN + 1];
    uint8_t id[ID_LEN];
    struct approval a;
    struct scope s;
    snprintf(person, sizeof person, "/v1/people/%s", str_hex(bob.account.person, ID_LEN, hex));
    want(PERM_BIT(PERM_PEOPLE_CHANGE));
    ask(&ada, "PATCH", person, "{\"phone\":\"+40 21 555\"}", path, decision);
    id_of(path, id);
    assert_int_equal(count("SELECT count(*) FROM approval_part WHERE id = ?1", id), 1);
    assert_int_equal(approve(&bob, decision), 200);
    assert_int_equal(count("SELECT count(*) FROM approval_part WHERE id = ?1", id), 0);
    assert_int_equal(count("SELECT count(*) FROM approval WHERE id = ?1 AND key_id = zeroblob(16) AND units = 0"
                           " AND day < 100000 AND instr(CAST(sealed AS TEXT), '/v1/') = 0",
                           id),
                     1);
    assert_int_equal(count("SELECT count(*) FROM pragma_table_info('approval') WHERE name IN ('location', 'requested',"
                           " 'decided')",
                           NULL),
                     0);
    struct reply r = as(&ada, "GET", path, NULL);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    assert_int_equal(scope_init(f.c, f.db, "acme", &s), 0);
    assert_int_equal(approval_get(&s, id, clock_real(), &a), 0);
    assert_true(a.decided >= a.requested && a.requested > 0);
    assert_int_equal(approval_sweep(f.c, f.db, clock_real() + 91 * DAY_US), 0);
    assert_int_equal(approval_get(&s, id, clock_real(), &a), 0);
    assert_int_equal(approval_sweep(f.c, f.db, clock_real() + (APPROVAL_KEPT_DAYS + 1) * DAY_US), 0);
    assert_int_equal(approval_get(&s, id, clock_real(), &a), CLOUD_ABSENT);
}

/* Whoever is meant may stand behind an id that is not the person's. */
static void test_a_request_belongs_to_whom_it_is_about(void **state)
{
    char path[64], decision[96];
    uint8_t id[ID_LEN];
    struct human eve = human_make("acme", "eve");
    want(PERM_BIT(PERM_ACCOUNTS_CHANGE));
    ask(&ada, "PATCH", path_of("/v1/accounts/%s", str_hex(eve.account.id, ID_LEN, (char[2 * ID_LEN + 1]){0})),
        "{\"mail\":\"eve@example.org\"}", path, decision);
    id_of(path, id);
    assert_int_equal(count("SELECT count(*) FROM approval_part WHERE id = ?1", id), 1);
    want(0);
    expect(as(&ada, "POST",
              path_of("/v1/people/%s/erasure", str_hex(eve.account.person, ID_LEN, (char[2 * ID_LEN + 1]){0})),
              "{\"dry_run\":false}"),
           200, NULL);
    assert_int_equal(count("SELECT count(*) FROM approval_part WHERE id = ?1", id), 0);
    assert_int_equal(count("SELECT count(*) FROM approval WHERE id = ?1", id), 0);
}

/* Who leads the same team can approve, though he reaches nobody else. */
static void test_who_reaches_whom_it_is_about_decides(void **state)
{
    char path[64], decision[96], correction[96], body[256], person[2 * ID_LEN + 1];
    struct human lead = human_make("acme", "lead"), deputy = human_make("acme", "deputy"),
                 other = human_make("acme", "other");
    struct grant_reach reach = {.kind = REACH_PERSON};
    memcpy(reach.id, carl.account.person, ID_LEN);
    (void)human_grant(&lead, ROLE_TEAM_LEAD, &reach, 0);
    (void)human_grant(&deputy, ROLE_TEAM_LEAD, &reach, 0);
    memcpy(reach.id, bob.account.person, ID_LEN);
    (void)human_grant(&other, ROLE_TEAM_LEAD, &reach, 0);
    want(PERM_BIT(PERM_CORRECTIONS_APPROVE));
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-02T07:00:00Z\",\"direction\":\"in\","
             "\"reason\":\"forgot\"}",
             str_hex(carl.account.person, ID_LEN, person));
    struct reply r = as(&ada, "POST", "/v1/corrections", body);
    assert_int_equal(r.status, 201);
    snprintf(correction, sizeof correction, "/v1/corrections/%s/decision", reply_text(&r, "id"));
    reply_done(&r);
    ask(&lead, "POST", correction, "{\"decision\":\"approved\",\"reason\":\"seen\"}", path, decision);
    expect(as(&other, "POST", decision, "{\"approve\":true}"), 404, "not-found");
    assert_int_equal(approve(&deputy, decision), 200);
}

static void test_nobody_fills_the_store(void **state)
{
    struct scope s = fixture_begin(&f, "acme");
    struct approval a = {.perm = PERM_SITES_CHANGE, .requested = clock_real()};
    const size_t n = (size_t)APPROVAL_UNIT * 100;
    uint8_t *much = calloc(1, n);
    struct approval_asked q = {.method = "POST", .path = "/v1/sites", .body = BYTES(much, n)};
    char path[64], decision[96];
    assert_non_null(much);
    memset(much, 'x', n);
    assert_int_equal(str_copy(a.home, sizeof a.home, "acme"), 0);
    memcpy(a.account, carl.account.id, ID_LEN);
    for (unsigned i = 0; i < 2; i++) {
        a.id[0] = (uint8_t)i;
        assert_int_equal(approval_ask(&s, &a, &q), 0); /* 101 units */
    }
    a.id[0] = 9;
    assert_int_equal(approval_ask(&s, &a, &q), APPROVAL_FULL);
    q.body.n = (size_t)APPROVAL_UNIT * 53;
    assert_int_equal(approval_ask(&s, &a, &q), 0); /* the last 54 of 256 */
    fixture_commit(&f);
    /* all of it is there to be read, in pieces */
    struct reply r = as(&ada, "GET", "/v1/approvals/00000000000000000000000000000000/body", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "application/octet-stream");
    assert_int_equal(r.n, n);
    assert_memory_equal(r.body, much, n);
    reply_done(&r);
    free(much);
    want(PERM_BIT(PERM_SITES_CHANGE));
    expect(as(&carl, "POST", "/v1/sites", "{\"name\":\"One more\"}"), 409, "approvals-full");
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Hers\"}", path, decision); /* is not in her way */
    expect(as(&carl, "POST", "/v1/approvals/09000000000000000000000000000000/decision", "{\"approve\":false}"), 200,
           NULL);
    ask(&carl, "POST", "/v1/sites", "{\"name\":\"One more\"}", path, decision);
    expect(as(&carl, "POST", decision, "{\"approve\":false}"), 200, NULL);
    assert_int_equal(approval_sweep(f.c, f.db, clock_real() + APPROVAL_US + 1), 0);
    assert_int_equal(count("SELECT count(*) FROM approval_part", NULL), 0);
}

/* ---- what only the answer said ---- */

static void take(const struct human *h, const char *path, int status, const char *member)
{
    char answer[96];
    snprintf(answer, sizeof answer, "%s/answer", path);
    struct reply r = as(h, "POST", answer, NULL);
    if (r.status != status)
        print_error("%d %s\n", r.status, r.body);
    assert_int_equal(r.status, status);
    if (member)
        assert_true(strlen(reply_text(&r, member)) > 20);
    reply_done(&r);
}

static void test_who_asked_takes_the_link_once(void **state)
{
    char path[64], decision[96];
    want(PERM_BIT(PERM_SITES_CHANGE));
    ask(&ada, "POST", "/v1/accounts", "{\"login\":\"newcomer\",\"name\":\"New Comer\"}", path, decision);
    take(&ada, path, 410, NULL);
    assert_int_equal(approve(&bob, decision), 201);
    struct reply r = as(&bob, "GET", path, NULL); /* who approved learns nothing */
    assert_true(json_is_true(json_object_get(r.json, "answer")));
    assert_null(strstr(r.body, "invitation="));
    reply_done(&r);
    take(&bob, path, 403, NULL);
    take(&carl, path, 403, NULL);
    take(&ada, path, 200, "link");
    take(&ada, path, 410, NULL);
    /* and so with a new password, and a gateway's code */
    char reset[96], body[96], id[2 * ID_LEN + 1];
    snprintf(reset, sizeof reset, "/v1/accounts/%s/password-reset", str_hex(carl.account.id, ID_LEN, id));
    ask(&ada, "POST", reset, NULL, path, decision);
    assert_int_equal(approve(&bob, decision), 200);
    take(&ada, path, 200, "link");
    r = as(&ada, "GET", "/v1/sites?limit=1", NULL);
    snprintf(body, sizeof body, "{\"site_id\":\"%s\"}",
             json_string_value(json_object_get(json_array_get(json_object_get(r.json, "items"), 0), "id")));
    reply_done(&r);
    want(PERM_BIT(PERM_GATEWAYS_CHANGE));
    ask(&ada, "POST", "/v1/gateway-invitations", body, path, decision);
    assert_int_equal(approve(&bob, decision), 201);
    take(&ada, path, 200, "code");
}

/* Nor does it say that something was done when it was asked for. */
static void test_the_trail_tells_asking_from_doing(void **state)
{
    static const char *const expected[] = {"asked", "decision", "approved_by"};
    char path[64], decision[96], now[32], since[64];
    snprintf(since, sizeof since, "/v1/audit?from=%s", str_time(clock_real(), now));
    want(PERM_BIT(PERM_SITES_CHANGE));
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Traced\"}", path, decision);
    assert_int_equal(approve(&bob, decision), 201);
    struct reply r = as(&ada, "GET", since, NULL);
    json_t *items = json_object_get(r.json, "items");
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(items) && found < ARRAY_LEN(expected); i++)
        found += json_object_get(json_object_get(json_array_get(items, i), "detail"), expected[found]) != NULL;
    assert_int_equal(found, ARRAY_LEN(expected));
    reply_done(&r);
}

static void test_an_answer_nobody_takes_is_forgotten(void **state)
{
    char path[64], decision[96];
    uint8_t id[ID_LEN];
    want(PERM_BIT(PERM_SITES_CHANGE));
    ask(&ada, "POST", "/v1/accounts", "{\"login\":\"tardy\",\"name\":\"Tardy\"}", path, decision);
    assert_int_equal(approve(&bob, decision), 201);
    id_of(path, id);
    assert_int_equal(approval_sweep(f.c, f.db, clock_real() + APPROVAL_US - DAY_US), 0);
    assert_int_equal(count("SELECT units FROM approval WHERE id = ?1", id), 1);
    assert_int_equal(approval_sweep(f.c, f.db, clock_real() + APPROVAL_US + 1), 0);
    take(&ada, path, 410, NULL);
}

/* ---- ways around ---- */

/* A token may less than its account, and what it asked for ends with it. */
static void test_a_token_asks_for_itself(void **state)
{
    char path[64], decision[96], text[TOKEN_TEXT_MAX];
    struct token t = {.label = "", .perms = PERM_BIT(PERM_PEOPLE_CHANGE), .expires = clock_real() + DAY_US};
    struct bytes csv = BYTES_STR("personnel_number,name,card,card_rendering\nC2,Cory,0123456780,hex10\n");
    assert_int_equal(str_copy(t.label, sizeof t.label, "robot"), 0);
    memcpy(t.account, ada.account.id, ID_LEN);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(token_make(&s, &t, text, &t), 0);
    fixture_commit(&f);
    want(PERM_BIT(PERM_PEOPLE_CHANGE));
    const char *const type[] = {"-H", "Content-Type: text/csv", NULL};
    struct reply r = request(&f.s, "POST", "/v1/imports?mode=apply", text, csv, type);
    asked(&r, path, decision);
    r = request(&f.s, "POST", decision, text, BYTES_STR("{\"approve\":true}"), NULL);
    assert_int_equal(r.status, 403); /* decides nothing */
    reply_done(&r);
    assert_int_equal(approve(&bob, decision), 400); /* it may hand out no cards, though Ada may */
    r = post(&f.s, "/v1/people", text, "{\"name\":\"Robot's\"}");
    asked(&r, path, decision);
    assert_int_equal(token_revoke(f.c, f.db, t.id), 0);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 409, "conflict");
    expect(as(&bob, "POST", decision, "{\"approve\":false}"), 200, NULL);
}

static char racing[96];

static void *race(void *arg)
{
    struct reply r = as(arg, "POST", racing, "{\"approve\":true}");
    int status = r.status;
    reply_done(&r);
    return (void *)(intptr_t)status;
}

static void test_two_decide_at_once(void **state)
{
    char path[64], decision[96];
    want(PERM_BIT(PERM_SITES_CHANGE));
    ask(&ada, "POST", "/v1/sites", "{\"name\":\"Raced\"}", path, decision);
    memcpy(racing, decision, sizeof racing);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, race, &carl), 0);
    int64_t mine = (int64_t)(intptr_t)race(&bob);
    void *theirs;
    assert_int_equal(pthread_join(other, &theirs), 0);
    assert_int_equal(mine + (int64_t)(intptr_t)theirs, 200 + 409);
    assert_int_equal(count("SELECT count(*) FROM site WHERE name = 'Raced'", NULL), 1);
}

/* Rights are looked at when it is done, not when it was asked for. */
static void test_a_role_that_shrank_meanwhile(void **state)
{
    char path[64], decision[96];
    struct human dora;
    struct role own = {.kind = ROLE_OWN, .perms = PERM_BIT(PERM_SITES_CHANGE)};
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .reason = "test"};
    dora = human_make("acme", "dora");
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(str_copy(own.name, sizeof own.name, "Builder"), 0);
    assert_int_equal(crypto_random(own.id, ID_LEN), 0);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    memcpy(g.account, dora.account.id, ID_LEN);
    memcpy(g.role, own.id, ID_LEN);
    g.starts = g.created;
    assert_int_equal(granted_add(&s, &g), 0);
    fixture_commit(&f);
    want(PERM_BIT(PERM_SITES_CHANGE));
    ask(&dora, "POST", "/v1/sites", "{\"name\":\"Dora's\"}", path, decision);
    (void)fixture_begin(&f, "acme");
    own.perms = PERM_BIT(PERM_SITES_READ);
    assert_int_equal(role_put(f.db, "acme", &own), 0);
    fixture_commit(&f);
    expect(as(&bob, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
    expect(as(&dora, "POST", decision, "{\"approve\":true}"), 403, "forbidden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_waits_as_it_was_sent),
        cmocka_unit_test(test_a_table_of_cards_wants_what_cards_want),
        cmocka_unit_test(test_a_rehearsal_waits_for_nobody),
        cmocka_unit_test(test_preconditions_are_kept),
        cmocka_unit_test(test_an_idempotency_key_asks_once),
        cmocka_unit_test(test_the_store_tells_little_and_forgets),
        cmocka_unit_test(test_a_request_belongs_to_whom_it_is_about),
        cmocka_unit_test(test_who_reaches_whom_it_is_about_decides),
        cmocka_unit_test(test_nobody_fills_the_store),
        cmocka_unit_test(test_who_asked_takes_the_link_once),
        cmocka_unit_test(test_the_trail_tells_asking_from_doing),
        cmocka_unit_test(test_an_answer_nobody_takes_is_forgotten),
        cmocka_unit_test(test_a_token_asks_for_itself),
        cmocka_unit_test(test_two_decide_at_once),
        cmocka_unit_test(test_a_role_that_shrank_meanwhile),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
