/* The export holds everything: each column of the store is tagged, and what is planted in every personal one is found
 * where the tag says. And it is made piece by piece. */
#include "api/api_impl.h"

#include "cloud/account.h"
#include "cloud/archive.h"
#include "cloud/correction.h"
#include "cloud/dsr.h"
#include "cloud/outbox.h"
#include "cloud/people_impl.h"
#include "cloud/schema.h"
#include "cloud/session.h"
#include "cloud/unit.h"
#include "tests/unit/api_fixture.h"

#define MANY 2600

static struct account account; /* ada's */
static struct session session;
static struct person ada, many;
static struct credential card_of_ada;
static struct unit unit;
static struct correction correction;
static struct dsr asked;
static char gw_hex[2 * GW_LEN + 1];
static const struct cred card = {.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0x00, 0x3b, 0x51, 0xc6}};
static int64_t base; /* of the planted times: some 60 days ago */

/* ---- planting ---- */

static void file(struct db *db, struct filed *x, struct record *rec)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n = 0;
    assert_int_equal(record_encode(rec, plain, &n), 0);
    assert_int_equal(filed_init(x, BYTES(plain, n), rec), 0);
    memset(x->segid, 0xab, sizeof x->segid);
    memcpy(x->gw, f.gw, GW_LEN);
    x->gen = 3;
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(holder_file(&s, x), 0);
    filed_done(x);
}

static struct record punch_record(const struct cred *c, uint64_t gseq, int64_t real)
{
    struct record r = {
        .kind = RECORD_PUNCH, .gseq = gseq, .real = real, .mono = 5000 + gseq, .ck = ck_make(CLOCK_FREE, 1024)};
    r.punch.cred = *c;
    r.punch.dir = 16 + 5;
    r.punch.rendering = RENDER_DEC10;
    strcpy(r.punch.reader, "door-17");
    return r;
}

static void plant_ada(struct db *db)
{
    struct record rec = punch_record(&card, 812, base - 2000000);
    struct filed x = {
        .index = 12,
        .time = base,
        .uncertainty = 2048,
        .flags = FILED_ESTIMATED,
        .received = base + 1000,
        .n_repeats = 2,
        .repeats = {{814, base + 31, 77, ck_make(CLOCK_SYNC, 16), base + 32}, {815, base + 41, 78, 0, base + 42}}};
    file(f.db, &x, &rec);
    rec = punch_record(&card, 813, base + 555);
    x = (struct filed){.index = 13, .flags = FILED_IMPOSSIBLE, .received = base + 2000};
    file(f.db, &x, &rec);
}

static void plant_mail(struct db *db)
{
    static char server[] = "127.0.0.1:1";
    static const struct mail_arg args[] = {
        {"name", "Ada Löwe"}, {"company", "acme"}, {"link", "https://example.com/#x"}, {"until", "tomorrow"}};
    const struct mail m = {.key = ada.key,
                           .to = "ada.loewe@example.com",
                           .lang = "de",
                           .template = MAIL_INVITATION,
                           .args = args,
                           .n_args = ARRAY_LEN(args)};
    f.set.mail.server = server; /* nobody sends in here */
    struct scope s = fixture_scope(&f, "acme");
    assert_int_equal(outbox_mail(&s, &m), 0);
}

static void plant_account(struct db *db)
{
    char cookie[SESSION_TEXT];
    struct scope s = fixture_scope(&f, "acme");
    account = (struct account){
        .state = ACCOUNT_ACTIVE, .created = base + 5, .login = "ada", .language = "de", .mail = "ada@example.com"};
    assert_int_equal(crypto_random(account.id, ID_LEN), 0);
    memcpy(account.person, ada.id, ID_LEN);
    memcpy(account.key, ada.key, ID_LEN);
    session =
        (struct session){.idle = SESSION_IDLE_US, .life = SESSION_LIFE_US, .address = "203.0.113.7", .agent = "Lynx"};
    assert_int_equal(account_put(&s, &account), 0);
    assert_int_equal(session_make(&s, &account, &session, cookie), 0);
}

/* Over 30 days, some at one time; every hundredth pending. */
static void plant_many(struct db *db)
{
    struct cred c = fixture_card(0x5500000001);
    for (uint64_t i = 0; i < MANY; i++) {
        struct record rec = punch_record(&c, 1000 + i, base);
        int64_t t = base + (int64_t)(i / 2) * (30 * INT64_C(86400000000) / (MANY / 2));
        struct filed x = {.index = 1000 + i, .time = t, .received = t};
        if (i % 100 == 0)
            x = (struct filed){.index = 1000 + i, .flags = FILED_UNTIMED, .received = t};
        file(f.db, &x, &rec);
    }
}

static const uint8_t asker[ID_LEN] = {1, 2, 3}, decider[ID_LEN] = {4, 5, 6};

/* Once the punches are there. */
static void plant_said(struct db *db)
{
    correction = (struct correction){
        .kind = CORRECTION_CHANGE, .index = 12, .has_time = true, .time = base - 9, .has_dir = true, .dir = DIR_OUT};
    memset(correction.segid, 0xab, SEGID_LEN);
    memcpy(correction.by, asker, ID_LEN);
    strcpy(correction.reason, "Clock was wrong");
    assert_int_equal(correction_request(f.c, f.db, "acme", ada.id, &correction), 0);
    assert_int_equal(correction_decide(f.c, f.db, "acme", correction.id, true, decider, "Seen", &correction), 0);
    assert_int_equal(dsr_make(f.c, f.db, "acme", ada.id, DSR_RECTIFICATION, "With an e", &asked), 0);
    assert_int_equal(dsr_decide(f.c, f.db, "acme", asked.id, true, decider, "Done", &asked), 0);
}

static void plant_person(struct db *db)
{
    const struct person_set set = {.name = "Ada Löwe",
                                   .personnel_number = "ref-4711",
                                   .given_name = "Ada",
                                   .family_name = "Löwe",
                                   .email = "ada@acme.test",
                                   .phone = "+49 30 1",
                                   .unit = unit.id,
                                   .has_from = true,
                                   .from = 1000000,
                                   .has_until = true,
                                   .until = INT64_C(4000000000000000)};
    assert_int_equal(unit_create(f.c, f.db, "acme", &(struct unit_set){.name = "Analytics"}, &unit), 0);
    assert_int_equal(people_create(f.c, f.db, "acme", &set, &ada), 0);
}

static int setup(void **state)
{
    struct credential made;
    struct cred c = fixture_card(0x5500000001);
    fixture_make(&f);
    str_hex(f.gw, GW_LEN, gw_hex);
    base = clock_real() - 60 * INT64_C(86400000000);
    assert_int_equal(db_script(f.db, "UPDATE tenant SET created = created - 61 * 86400000000;"), 0);
    plant_person(f.db);
    assert_int_equal(people_create(f.c, f.db, "acme", &(struct person_set){.name = "Many Punches"}, &many), 0);
    assert_int_equal(credential_assign(f.c, f.db, "acme", ada.id, &card, RENDER_DEC10, base - 77, base + 9000000,
                                       &card_of_ada, NULL),
                     0);
    assert_int_equal(archive_person(f.c, f.db, "acme", ada.id, true, &ada), 0);
    assert_int_equal(credential_assign(f.c, f.db, "acme", many.id, &c, RENDER_HEX, TIME_MIN, TIME_MAX, &made, NULL), 0);
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    plant_ada(f.db);
    plant_mail(f.db);
    plant_account(f.db);
    plant_many(f.db);
    fixture_commit(&f);
    plant_said(f.db);
    api_begin();
    return 0;
}

static struct reply export_of(const struct person *p, const char *token)
{
    char path[128], id[2 * ID_LEN + 1];
    snprintf(path, sizeof path, "/v1/people/%s/export", str_hex(p->id, ID_LEN, id));
    return get(&f.s, path, token);
}

/* ---- the tags ---- */

static bool word_in(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

static size_t tags_of(const char *table, const char *column)
{
    size_t n = 0;
    for (const struct schema_columns *t = schema_columns; t->table; t++)
        n += strcmp(t->table, table) == 0 && word_in(t->columns, column);
    return n;
}

/* SQLite itself says which columns there are. */
static void test_every_column_is_tagged(void **state)
{
    struct db_stmt *st;
    size_t there = 0, tagged = 0;
    int r;
    assert_int_equal(db_stmt(f.db,
                             "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
                             " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
                             &st),
                     0);
    while ((r = db_step(st)) == DB_ROW) {
        there++;
        if (tags_of(db_text(st, 0), db_text(st, 1)) != 1)
            fail_msg("cloud/schema_columns.c: %s.%s is tagged %zu times", db_text(st, 0), db_text(st, 1),
                     tags_of(db_text(st, 0), db_text(st, 1)));
    }
    assert_int_equal(r, 0);
    db_done(st);
    for (const struct schema_columns *t = schema_columns; t->table; t++) {
        assert_int_equal(t->is == COLUMN_PERSONAL, t->pointers != NULL);
        tagged++;
        for (const char *p = t->columns; (p = strchr(p, ' ')); p++)
            tagged++;
    }
    assert_int_equal(tagged, there); /* and nothing that is no more */
    assert_true(there > 50);
}

/* ---- what was planted is there ---- */

static const char *time_text(int64_t us)
{
    static char text[32];
    return str_time(us, text);
}

/* What stands at a pointer, as JSON text, or "" for nothing. */
static const char *at(const json_t *doc, const char *pointer)
{
    static char text[512];
    char part[64];
    const json_t *v = doc;
    for (const char *p = pointer; *p == '/';) {
        size_t n = strcspn(++p, "/ ");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(part)) : json_object_get(v, part);
        p += n;
    }
    char *s = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(text, sizeof text, "%s", s ? s : "");
    free(s);
    return text;
}

struct planted {
    const char *pointer;
    char want[128];
};
static struct planted planted[160];
static size_t n_planted;

static void plant(const char *pointer, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void plant(const char *pointer, const char *fmt, ...)
{
    struct planted *p = &planted[n_planted++];
    assert_true(n_planted <= ARRAY_LEN(planted));
    p->pointer = pointer;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->want, sizeof p->want, fmt, ap);
    va_end(ap);
}

static void expect_person(void)
{
    char id[2 * ID_LEN + 1];
    plant("/person/id", "\"%s\"", str_hex(ada.id, ID_LEN, id));
    plant("/person/name", "\"Ada Löwe\"");
    plant("/person/personnel_number", "\"ref-4711\"");
    plant("/person/given_name", "\"Ada\"");
    plant("/person/family_name", "\"Löwe\"");
    plant("/person/email", "\"ada@acme.test\"");
    plant("/person/phone", "\"+49 30 1\"");
    plant("/person/unit", "\"%s\"", str_hex(unit.id, ID_LEN, id));
    plant("/person/valid_from", "\"%s\"", time_text(1000000));
    plant("/person/valid_until", "\"%s\"", time_text(INT64_C(4000000000000000)));
    plant("/person/archived", "\"%s\"", time_text(ada.archived));
    plant("/person/created", "\"%s\"", time_text(ada.created));
    plant("/credentials/0/person", "\"%s\"", str_hex(ada.id, ID_LEN, id));
    plant("/credentials/0/id", "\"%s\"", str_hex(card_of_ada.id, ID_LEN, id));
    plant("/credentials/0/tech", "\"em4100\"");
    plant("/credentials/0/bits", "40");
    plant("/credentials/0/data", "\"67003B51C6\"");
    plant("/credentials/0/number", "\"0003887558\"");
    plant("/credentials/0/numbers/hex10", "\"67003B51C6\"");
    plant("/credentials/0/rendering", "\"dec10\"");
    plant("/credentials/0/from", "\"%s\"", time_text(base - 77));
    plant("/credentials/0/until", "\"%s\"", time_text(base + 9000000));
    plant("/credentials/0/created", "\"%s\"", time_text(card_of_ada.created));
}

static void expect_mail(void)
{
    plant("/mail/0/to", "\"ada.loewe@example.com\"");
    plant("/mail/0/template", "\"invitation\"");
}

static void expect_account(void)
{
    char id[2 * ID_LEN + 1];
    plant("/account/id", "\"%s\"", str_hex(account.id, ID_LEN, id));
    plant("/account/login", "\"ada\"");
    plant("/account/mail", "\"ada@example.com\"");
    plant("/account/language", "\"de\"");
    plant("/account/created", "\"%s\"", time_text(base + 5));
    plant("/account/sessions/0/id", "\"%s\"", str_hex(session.id, ID_LEN, id));
    plant("/account/sessions/0/created", "\"%s\"", time_text(session.created));
    plant("/account/sessions/0/seen", "\"%s\"", time_text(session.seen));
    plant("/account/sessions/0/address", "\"203.0.113.7\"");
    plant("/account/sessions/0/agent", "\"Lynx\"");
}

static void expect_said(void)
{
    char id[2 * ID_LEN + 1];
    plant("/corrections/0/id", "\"%s\"", str_hex(correction.id, ID_LEN, id));
    plant("/corrections/0/kind", "\"change\"");
    plant("/corrections/0/state", "\"approved\"");
    plant("/corrections/0/punch", "\"abababababababababababababababab-12\"");
    plant("/corrections/0/original/time", "\"%s\"", time_text(base));
    plant("/corrections/0/original/direction", "\"function\"");
    plant("/corrections/0/time", "\"%s\"", time_text(base - 9));
    plant("/corrections/0/direction", "\"out\"");
    plant("/corrections/0/site", "null");
    plant("/corrections/0/reason", "\"Clock was wrong\"");
    plant("/corrections/0/requested_by", "\"%s\"", str_hex(asker, ID_LEN, id));
    plant("/corrections/0/requested", "\"%s\"", time_text(correction.requested));
    plant("/corrections/0/decided_by", "\"%s\"", str_hex(decider, ID_LEN, id));
    plant("/corrections/0/decided", "\"%s\"", time_text(correction.decided));
    plant("/corrections/0/decision_reason", "\"Seen\"");
    plant("/requests/0/id", "\"%s\"", str_hex(asked.id, ID_LEN, id));
    plant("/requests/0/kind", "\"rectification\"");
    plant("/requests/0/state", "\"granted\"");
    plant("/requests/0/requested", "\"%s\"", time_text(asked.requested));
    plant("/requests/0/text", "\"With an e\"");
    plant("/requests/0/decided_by", "\"%s\"", str_hex(decider, ID_LEN, id));
    plant("/requests/0/decided", "\"%s\"", time_text(asked.decided));
    plant("/requests/0/answer", "\"Done\"");
}

static void expect_filed(void)
{
    plant("/punches/1/id", "\"abababababababababababababababab-12\"");
    plant("/punches/1/gateway", "\"%s\"", gw_hex);
    plant("/punches/1/generation", "3");
    plant("/punches/1/gseq", "812");
    plant("/punches/1/reader", "\"door-17\"");
    plant("/punches/1/direction", "\"function\"");
    plant("/punches/1/function", "5");
    plant("/punches/1/credential/tech", "\"em4100\"");
    plant("/punches/1/credential/bits", "40");
    plant("/punches/1/credential/data", "\"67003B51C6\"");
    plant("/punches/1/credential/rendering", "\"dec10\"");
    plant("/punches/1/time", "\"%s\"", time_text(base));
    plant("/punches/1/uncertainty_us", "2048");
    plant("/punches/1/estimated", "true");
    plant("/punches/1/received", "\"%s\"", time_text(base + 1000));
    plant("/punches/1/original/real_us", "%lld", (long long)base - 2000000);
    plant("/punches/1/original/mono_us", "5812");
    plant("/punches/1/original/clock", "\"free\"");
    plant("/punches/1/original/uncertainty_us", "1024");
    plant("/punches/1/repeat/gseq", "814");
    plant("/punches/1/repeat/real_us", "%lld", (long long)base + 31);
    plant("/punches/1/repeat/mono_us", "77");
    plant("/punches/1/repeat/clock", "\"synchronised\"");
    plant("/punches/1/repeat/received", "\"%s\"", time_text(base + 32));
    plant("/punches/1/repeat/others/0/gseq", "815");
}

static void expect_pending(void)
{
    plant("/punches/0/id", "\"abababababababababababababababab-13\"");
    plant("/punches/0/gateway", "\"%s\"", gw_hex);
    plant("/punches/0/gseq", "813");
    plant("/punches/0/reader", "\"door-17\"");
    plant("/punches/0/direction", "\"function\"");
    plant("/punches/0/credential/data", "\"67003B51C6\"");
    plant("/punches/0/impossible", "true");
    plant("/punches/0/received", "\"%s\"", time_text(base + 2000));
    plant("/punches/0/original/real_us", "%lld", (long long)base + 555);
    plant("/punches/0/original/mono_us", "5813");
}

static void check_pointer(const json_t *doc, const struct schema_columns *t, const char *pointer, size_t n)
{
    for (size_t i = 0; i < n_planted; i++) {
        if (strlen(planted[i].pointer) != n || memcmp(planted[i].pointer, pointer, n) != 0)
            continue;
        assert_string_equal(at(doc, planted[i].pointer), planted[i].want);
        return;
    }
    fail_msg("%s.%s: nothing is planted for %.*s: this test must", t->table, t->columns, (int)n, pointer);
}

static void test_what_is_planted_is_found(void **state)
{
    struct reply r = export_of(&ada, f.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "application/json");
    assert_non_null(r.json);
    expect_person();
    expect_mail();
    expect_account();
    expect_said();
    expect_filed();
    expect_pending();
    for (const struct schema_columns *t = schema_columns; t->table; t++) {
        for (const char *p = t->pointers; p && *p; p += *p == ' ') {
            size_t n = strcspn(p, " ");
            check_pointer(r.json, t, p, n);
            p += n;
        }
    }
    assert_int_equal(json_array_size(json_object_get(r.json, "punches")), 2);
    assert_int_equal(json_array_size(json_object_get(r.json, "credentials")), 1);
    assert_string_equal(at(r.json, "/responsible/tenant"), "\"acme\"");
    assert_string_equal(at(r.json, "/format/version"), "1");
    assert_true(strlen(at(r.json, "/made")) == 29);
    assert_string_equal(at(r.json, "/credentials/0/numbers/3+5"), "\"059,20934\"");
    reply_done(&r);
}

/* ---- many, in pieces ---- */

static void test_many_each_once(void **state)
{
    struct reply r = export_of(&many, f.acme);
    json_t *p, *seen = json_object();
    size_t i, pending = 0;
    const char *before = "";
    assert_int_equal(r.status, 200);
    assert_non_null(r.json);
    json_array_foreach(json_object_get(r.json, "punches"), i, p)
    {
        const char *id = json_string_value(json_object_get(p, "id"));
        const char *time = json_string_value(json_object_get(p, "time"));
        assert_null(json_object_get(seen, id));
        json_object_set_new(seen, id, json_true());
        if (!time) {
            assert_int_equal(i, pending); /* they come first */
            pending++;
            continue;
        }
        assert_true(strcmp(before, time) <= 0);
        before = time;
    }
    assert_int_equal(json_object_size(seen), MANY);
    assert_int_equal(pending, MANY / 100);
    json_decref(seen);
    reply_done(&r);
}

static bool snapshot_is_held(struct db *db)
{
    struct db_stmt *st;
    assert_int_equal(db_stmt(f.db, "PRAGMA wal_checkpoint(TRUNCATE)", &st), 0);
    assert_int_equal(db_step(st), DB_ROW);
    bool busy = db_int(st, 0) != 0;
    db_done(st);
    return busy;
}

/* As the listener drives it, between whose pieces a client may take its time. */
static int drive(const struct person *p, struct db *db, const char *sql_between, size_t *ret_pieces)
{
    struct http_request q = {.method = "GET"};
    struct http_reply r = {0};
    size_t n_routes;
    struct api_call k = {.api = api, .cloud = f.c, .q = &q, .r = &r, .route = api_routes(&n_routes), .tenant = "acme"};
    int more = 0;
    buf_init(&r.body, HTTP_REPLY_MAX);
    k.who.is = WHO_BOOTSTRAP;
    assert_true(rights_add(&k.who.rights, PERM_ALL & ~PERM_VENDORS, REACH_TENANT, NULL));
    assert_int_equal(cloud_db_take(f.c, &k.db), 0);
    str_hex(p->id, ID_LEN, k.param);
    api_people_export(&k);
    cloud_db_give(f.c, k.db);
    assert_int_equal(r.status, 200);
    for (*ret_pieces = 1; more == 0; (*ret_pieces)++) {
        assert_false(r.body.failed);
        assert_true(r.body.len < 1 << 20); /* bounded, whatever there is */
        assert_false(snapshot_is_held(f.db));
        if (sql_between && *ret_pieces == 2)
            fixture_sql(&f, sql_between);
        buf_reset(&r.body);
        more = r.more(r.more_arg, &r.body);
    }
    r.more_done(r.more_arg);
    buf_wipe(&r.body);
    return more;
}

static void test_pieces(void **state)
{
    size_t pieces = 0;
    assert_int_equal(drive(&many, f.db, NULL, &pieces), HTTP_LAST);
    assert_true(pieces > MANY / 500);
}

static void test_strangers(void **state)
{
    expect(export_of(&ada, f.globex), 404, "not-found");
    struct person nobody = {.id = {1}};
    expect(export_of(&nobody, f.acme), 404, "not-found");
}

/* Last: the person goes while the export is sent. It must not end as if it were whole. */
static void test_person_gone_meanwhile(void **state)
{
    char sql[128], hex[2 * ID_LEN + 1];
    size_t pieces = 0;
    snprintf(sql, sizeof sql, "DELETE FROM person WHERE id = x'%s';", str_hex(many.id, ID_LEN, hex));
    assert_true(drive(&many, f.db, sql, &pieces) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_column_is_tagged),
        cmocka_unit_test(test_what_is_planted_is_found),
        cmocka_unit_test(test_many_each_once),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_person_gone_meanwhile),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
