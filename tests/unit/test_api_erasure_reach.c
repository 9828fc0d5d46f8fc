/* How far an erasure reaches: one person, planted in everything that knows people, is in none of it afterwards. Whoever
 * adds a table that knows people plants the person here as well. */
#include <glob.h>
#include <sqlite3.h>

#include "cloud/approval.h"
#include "cloud/audit_move.h"
#include "cloud/checkpoint.h"
#include "cloud/correction.h"
#include "cloud/dsr.h"
#include "cloud/erasure.h"
#include "cloud/link.h"
#include "cloud/outbox.h"
#include "cloud/settings_of.h"
#include "cloud/throttle.h"
#include "tests/unit/api_human.h"

#define MARK "Zwetschgenknoedel" /* stands in every text that is hers */

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};
static struct human boss, eve;
static char person_hex[2 * ID_LEN + 1];

/* ---- planting ---- */

static void ask(const struct human *h, const char *method, const char *path, const char *body, int status)
{
    expect(as(h, method, path, body), status, NULL);
}

static void plant_account(void)
{
    char text[LINK_TEXT], secret[TOKEN_TEXT_MAX];
    int64_t expires;
    struct token made, t = {.expires = clock_real() + DAY_US, .has_account = true, .label = "of eve"};
    const struct grant_reach her = {.kind = REACH_PERSON};
    struct grant_reach reach = her;
    eve = human_make("acme", MARK);
    memcpy(reach.id, eve.account.person, ID_LEN);
    str_hex(eve.account.person, ID_LEN, person_hex);
    (void)human_grant(&eve, ROLE_EMPLOYEE, NULL, 0);
    (void)human_grant(&boss, ROLE_HR, &reach, 0);
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(link_make(&s, eve.account.id, LINK_RESET, clock_real(), text, &expires), 0);
    memcpy(t.account, eve.account.id, ID_LEN);
    assert_int_equal(token_make(&s, &t, secret, &made), 0);
    fixture_commit(&f);
}

static void plant_failures(void)
{
    struct attempt a;
    bool alarm;
    assert_int_equal(attempt_init(f.c, f.db, ATTEMPT_PASSWORD, "acme", MARK, NULL, "192.0.2.7", &a), 0);
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    assert_int_equal(attempt_failed(f.db, &a, clock_real(), &alarm), 0);
    fixture_commit(&f);
}

static void plant_mail(void)
{
    static char server[] = "localhost:1", from[] = "punch@example.com";
    static const struct mail_arg args[] = {{"name", MARK}, {"company", "acme"}, {"link", MARK}, {"until", "tomorrow"}};
    const struct mail m = {.key = eve.account.key,
                           .to = MARK "@example.org",
                           .lang = "en",
                           .template = MAIL_INVITATION,
                           .args = args,
                           .n_args = ARRAY_LEN(args)};
    f.set.mail.server = server;
    f.set.mail.from = from;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(outbox_mail(&s, &m), 0);
    fixture_commit(&f);
}

static void plant_requests(void)
{
    struct correction add = {.kind = CORRECTION_ADD, .has_time = true, .time = clock_real(), .reason = MARK}, done;
    struct dsr d;
    assert_int_equal(correction_request(f.c, f.db, "acme", eve.account.person, &add), 0);
    assert_int_equal(correction_decide(f.c, f.db, "acme", add.id, true, boss.account.id, MARK, &done), 0);
    assert_int_equal(dsr_make(f.c, f.db, "acme", eve.account.person, DSR_RECTIFICATION, MARK, &d), 0);
}

/* What waits for a second pair of eyes, by its path and by its body. */
static void plant_approvals(void)
{
    char path[96], body[256];
    struct tenant_settings set;
    assert_int_equal(tenant_settings_get(f.db, "acme", &set), 0);
    struct scope s = fixture_begin(&f, "acme");
    set.four_eyes = PERM_BIT(PERM_PEOPLE_CHANGE) | PERM_BIT(PERM_CORRECTIONS_REQUEST);
    assert_int_equal(tenant_settings_put(&s, &set, ""), 0);
    fixture_commit(&f);
    snprintf(path, sizeof path, "/v1/people/%s", person_hex);
    ask(&boss, "PATCH", path, "{\"name\":\"" MARK " the Second\"}", 202);
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-20T08:00:00Z\",\"reason\":\"%s\"}", person_hex,
             MARK);
    ask(&boss, "POST", "/v1/corrections", body, 202);
}

/* Read and changed, so that the trail tells of her; some of it still in the journal. */
static void plant_events(void)
{
    char path[96];
    struct checkpoint_text p;
    snprintf(path, sizeof path, "/v1/people/%s", person_hex);
    ask(&boss, "PATCH", path, "{\"name\":\"" MARK "\",\"email\":\"" MARK "@example.org\"}", 200);
    ask(&boss, "GET", path, NULL, 200);
    assert_int_equal(audit_settle(f.c, 10000), 0);
    assert_int_equal(checkpoint_make(f.c, f.db, "acme", true, &p), 0);
    ask(&boss, "GET", path, NULL, 200);
}

static void plant(void)
{
    const struct cred card = fixture_card(0x1122334455);
    struct credential c;
    boss = human_with("acme", "boss", ROLE_OWNER);
    plant_account();
    assert_int_equal(
        credential_assign(f.c, f.db, "acme", eve.account.person, &card, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL), 0);
    plant_failures();
    plant_requests();
    plant_events();
    plant_approvals();
    plant_mail();
}

/* ---- searching ---- */

/* Raw, and as text. */
static bool names(struct bytes value, const uint8_t id[ID_LEN])
{
    char hex[2 * ID_LEN + 1];
    str_hex(id, ID_LEN, hex);
    return value.n > 0 && (memmem(value.p, value.n, id, ID_LEN) || memmem(value.p, value.n, hex, strlen(hex)));
}

static size_t search_column(sqlite3 *h, const char *table, const char *column, const uint8_t id[ID_LEN])
{
    char sql[256];
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    snprintf(sql, sizeof sql, "SELECT CAST(%s AS BLOB) FROM %s", column, table);
    assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const void *p = sqlite3_column_blob(st, 0);
        n += names(BYTES(p, (size_t)sqlite3_column_bytes(st, 0)), id);
    }
    sqlite3_finalize(st);
    return n;
}

static sqlite3 *open_store(void)
{
    char path[128];
    sqlite3 *h = NULL;
    snprintf(path, sizeof path, "%s/state/store.db", f.s.dir);
    assert_int_equal(sqlite3_open_v2(path, &h, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    return h;
}

/* Each "table.column" that names her, in the order of their names. */
static void search_store(const uint8_t id[ID_LEN], char *ret, size_t size)
{
    static const char sql[] = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
                              " WHERE m.type = 'table' ORDER BY m.name, c.name";
    sqlite3 *h = open_store();
    sqlite3_stmt *st = NULL;
    size_t used = 0;
    ret[0] = '\0';
    assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(st, 0),
                   *column = (const char *)sqlite3_column_text(st, 1);
        if (search_column(h, table, column, id) > 0)
            used += (size_t)snprintf(ret + used, size - used, "%s.%s ", table, column);
        assert_true(used < size);
    }
    sqlite3_finalize(st);
    sqlite3_close(h);
}

static size_t search_file(const char *path, const void *p, size_t n)
{
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, (size_t)256 << 20);
    return file_read(path, &b) == 0 && b.len >= n && memmem(b.p, b.len, p, n) != NULL;
}

/* Files below state and escrow that hold these bytes. */
static size_t search_files(const void *p, size_t n)
{
    static const char *const patterns[] = {"state/*", "state/*/*", "state/*/*/*", "escrow/*", "escrow/*/*"};
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        char pattern[160];
        glob_t g;
        snprintf(pattern, sizeof pattern, "%s/%s", f.s.dir, patterns[i]);
        if (glob(pattern, 0, NULL, &g) != 0) /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */
            continue;
        for (size_t k = 0; k < g.gl_pathc; k++)
            found += search_file(g.gl_pathv[k], p, n);
        globfree(&g);
    }
    return found;
}

/* Sealed rows under her key, of every table. */
#define PIECE 24
struct pieces {
    size_t n;
    uint8_t p[64][PIECE];
};

static void remember(struct pieces *x, sqlite3 *h, const char *sql, const uint8_t id[ID_LEN])
{
    sqlite3_stmt *st = NULL;
    size_t before = x->n;
    assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_blob(st, 1, id, ID_LEN, SQLITE_STATIC), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW && x->n < ARRAY_LEN(x->p)) {
        const uint8_t *p = sqlite3_column_blob(st, 0);
        size_t n = (size_t)sqlite3_column_bytes(st, 0);
        assert_true(n > PIECE);
        memcpy(x->p[x->n++], p + n - PIECE, PIECE);
    }
    sqlite3_finalize(st);
    if (x->n == before)
        print_error("not planted: %s\n", sql);
    assert_true(x->n > before);
}

static void remember_all(struct pieces *x)
{
    static const char *const by_key[] = {"person", "account", "credential", "correction", "correction_decision",
                                         "dsr",    "mail",    "approval"};
    char sql[128];
    sqlite3 *h = open_store();
    for (size_t i = 0; i < ARRAY_LEN(by_key); i++) {
        snprintf(sql, sizeof sql, "SELECT sealed FROM %s WHERE key_id = ?1", by_key[i]);
        remember(x, h, sql, eve.account.key);
    }
    remember(x, h, "SELECT sealed FROM session WHERE account = ?1", eve.account.id);
    remember(x, h, "SELECT sealed FROM granted WHERE account = ?1", eve.account.id);
    remember(x, h, "SELECT sealed FROM granted WHERE reach_id = ?1", eve.account.person);
    remember(x, h, "SELECT hash FROM link WHERE account = ?1", eve.account.id);
    remember(x, h, "SELECT hash FROM token WHERE account = ?1", eve.account.id);
    sqlite3_close(h);
}

static void nothing_is_left_of_a_person(void **state)
{
    (void)state;
    struct pieces x = {0};
    struct erasure e;
    char where[1024];
    plant();
    remember_all(&x);
    for (size_t i = 0; i < x.n; i++)
        assert_true(search_files(x.p[i], PIECE) > 0); /* the search finds what is there */
    assert_int_equal(search_files(MARK, strlen(MARK)), 0);
    assert_true(search_files(eve.account.key, KEY_ID_LEN) > 1);
    search_store(eve.account.key, where, sizeof where);
    assert_non_null(strstr(where, "approval.key_id ")); /* this one, too */

    assert_int_equal(erasure_make(f.c, f.db, "acme", eve.account.person, &asked, &e), 0);
    assert_true(e.done != 0);
    assert_int_equal(audit_settle(f.c, 10000), 0);
    search_store(eve.account.key, where, sizeof where);
    assert_string_equal(where, "");
    search_store(eve.account.id, where, sizeof where);
    assert_string_equal(where, "");
    search_store(eve.account.person, where, sizeof where);
    assert_string_equal(where, "erasure.person "); /* what the customer's own programs delete theirs by */
    for (size_t i = 0; i < x.n; i++)
        if (search_files(x.p[i], PIECE) > 0)
            fail_msg("a sealed value of hers, number %zu of %zu, is still in a file", i, x.n);
    assert_int_equal(search_files(eve.account.key, KEY_ID_LEN), 0);
    assert_int_equal(search_files(MARK, strlen(MARK)), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)api_setup(state);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    api_stop(api);
    fixture_done(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(nothing_is_left_of_a_person, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
