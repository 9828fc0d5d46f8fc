/* Imports of people and cards, as users of the API meet them. */
#include "cloud/csv.h"
#include "cloud/import.h"
#include "tests/unit/api_fixture.h"

#define ROWS 10000
#define BAD 50
#define HEADER "personnel_number;name;email;unit;valid_from;valid_until;card;card_rendering\r\n"

static const char *const as_csv[] = {"-H", "Content-Type: text/csv; charset=utf-8", NULL};

static int setup(void **state)
{
    (void)api_setup(state);
    expect(post(&f.s, "/v1/units", f.acme, "{\"name\":\"Küche\"}"), 201, NULL);
    return 0;
}

static struct reply import(const char *mode, const char *token, struct bytes csv)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/imports?mode=%s", mode);
    return request(&f.s, "POST", path, token, csv, as_csv);
}

static json_int_t figure(const struct reply *r, const char *name)
{
    return json_integer_value(json_object_get(r->json, name));
}

static void assert_figures(const struct reply *r, json_int_t made, json_int_t changed, json_int_t unchanged,
                           json_int_t bad)
{
    assert_int_equal(r->status, 201);
    assert_string_equal(reply_text(r, "state"), "done");
    assert_int_equal(figure(r, "created"), made);
    assert_int_equal(figure(r, "changed"), changed);
    assert_int_equal(figure(r, "unchanged"), unchanged);
    assert_int_equal(figure(r, "bad"), bad);
}

static json_t *error_at(const struct reply *r, size_t i)
{
    return json_array_get(json_object_get(r->json, "errors"), i);
}

/* ---- a large one ---- */

/* What is wrong with a row, and what is said of it. */
static const struct {
    const char *row, *column, *reason;
} wrong[] = {
    {";No number;;;;;;", "personnel_number", "is empty"},
    {"P-1;Twice;;;;;;", "personnel_number", "before this one"},
    {"B-%d;;;;;;;", "name", "is empty"},
    {"B-%d;Bad mail;nobody;;;;;", "email", "mail address"},
    {"B-%d;Bad unit;;Keller;;;;", "unit", "name of a unit"},
    {"B-%d;Bad date;;;31.12.2026;;;", "valid_from", "is not a date"},
    {"B-%d;Bad time;;;2026-02-01;2026-01-01;;", "valid_until", "not after valid_from"},
    {"B-%d;Bad row;;;;;;;;", "", "more fields"},
    {"B-%d;\"Bad quotes;;;;;;", "", "quotes"},
    {"B-%d;Bad card;;;;;00000004D2;hex10", "card", "before this one"},
};

/* Every 200th row is bad; every tenth good one has a card. */
static void make_table(struct buf *b)
{
    buf_init(b, IMPORT_BODY_MAX);
    buf_addf(b, "\xef\xbb\xbf" HEADER);
    for (int i = 1; i <= ROWS; i++) {
        if (i % (ROWS / BAD) == 0) {
            const char *row = wrong[i / (ROWS / BAD) % 10].row;
            const char *d = strstr(row, "%d");
            if (d)
                buf_addf(b, "%.*s%d%s\r\n", (int)(d - row), row, i, d + 2);
            else
                buf_addf(b, "%s\r\n", row);
        } else if (i % 10 == 1) {
            buf_addf(b, "P-%d;\"Müller; %d\";m%d@acme.test;Küche;2026-01-01;;%010X;hex10\r\n", i, i, i,
                     (unsigned)(1233 + i));
        } else {
            buf_addf(b, "P-%d;Person %d;;;;;;\r\n", i, i);
        }
    }
    assert_false(b->failed);
}

static void assert_bad_rows(const struct reply *r)
{
    assert_int_equal(json_array_size(json_object_get(r->json, "errors")), BAD);
    for (size_t i = 0; i < BAD; i++) {
        json_t *e = error_at(r, i);
        size_t kind = (i + 1) % 10;
        assert_int_equal(json_integer_value(json_object_get(e, "line")), (i + 1) * (ROWS / BAD) + 1);
        assert_string_equal(text_of(e, "column"), wrong[kind].column);
        if (!strstr(text_of(e, "reason"), wrong[kind].reason))
            fail_msg("line %zu: \"%s\", not \"%s\"", (i + 1) * (ROWS / BAD) + 1, text_of(e, "reason"),
                     wrong[kind].reason);
    }
}

static size_t count_people(void)
{
    struct person_list l = {0};
    assert_int_equal(people_list(f.c, f.db, "acme", NULL, SIZE_MAX, NULL, NULL, &l), 0);
    size_t n = l.n;
    person_list_done(&l);
    return n;
}

static void test_ten_thousand(void **state)
{
    struct buf CLEANUP(buf_done) b;
    char path[80];
    make_table(&b);
    struct reply r = import("preview", f.acme, buf_bytes(&b));
    assert_figures(&r, ROWS - BAD, 0, 0, BAD);
    assert_bad_rows(&r);
    assert_int_equal(count_people(), 0);
    reply_done(&r);

    r = import("apply", f.acme, buf_bytes(&b));
    assert_figures(&r, ROWS - BAD, 0, 0, BAD);
    assert_bad_rows(&r);
    assert_int_equal(figure(&r, "rows"), ROWS);
    assert_int_equal(figure(&r, "done"), ROWS);
    assert_int_equal(count_people(), ROWS - BAD);
    assert_int_equal(str_copy(path, sizeof path, reply_header(&r, "Location")), 0);
    json_t *said = json_incref(r.json);
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_true(json_equal(r.json, said));
    json_decref(said);
    reply_done(&r);
    expect(get(&f.s, path, f.globex), 404, "not-found");

    r = import("apply", f.acme, buf_bytes(&b)); /* once more changes nothing */
    assert_figures(&r, 0, 0, ROWS - BAD, BAD);
    assert_bad_rows(&r);
    reply_done(&r);
    assert_int_equal(count_people(), ROWS - BAD);

    r = get(&f.s, "/v1/people?personnel_number=P-11", f.acme);
    json_t *p = json_array_get(json_object_get(r.json, "items"), 0);
    assert_string_equal(text_of(p, "name"), "Müller; 11");
    assert_string_equal(text_of(p, "email"), "m11@acme.test");
    assert_string_equal(text_of(p, "valid_from"), "2026-01-01T00:00:00.000000Z");
    snprintf(path, sizeof path, "/v1/people/%s/credentials", text_of(p, "id"));
    reply_done(&r);
    r = get(&f.s, path, f.acme);
    assert_string_equal(text_of(json_array_get(json_object_get(r.json, "items"), 0), "number_last4"), "04DC");
    reply_done(&r);
}

/* ---- what it means ---- */

static struct reply apply(const char *csv)
{
    return import("apply", f.globex, BYTES_STR(csv));
}

static void becomes_as_the_table_says(void)
{
    struct reply r = apply("personnel_number,name,phone\n1,Ada,123\n2,Bert,\n");
    assert_figures(&r, 2, 0, 0, 0);
    reply_done(&r);
    r = apply("name,personnel_number\nAda K.,1\nBert,2"); /* no phone: it stays; in another order, without an end */
    assert_figures(&r, 0, 1, 1, 0);
    reply_done(&r);
    r = get(&f.s, "/v1/people?personnel_number=1", f.globex);
    json_t *p = json_array_get(json_object_get(r.json, "items"), 0);
    assert_string_equal(text_of(p, "name"), "Ada K.");
    assert_string_equal(text_of(p, "phone"), "123");
    reply_done(&r);
    r = apply("personnel_number,phone\n1,\n"); /* an empty field: it goes */
    assert_figures(&r, 0, 1, 0, 0);
    reply_done(&r);
    r = get(&f.s, "/v1/people?personnel_number=1", f.globex);
    p = json_array_get(json_object_get(r.json, "items"), 0);
    assert_true(json_is_null(json_object_get(p, "phone")));
    reply_done(&r);
}

static void cards(void)
{
    struct reply r = apply("personnel_number,name,card,card_rendering\n1,Ada,0000000A01,hex10\n2,Bert,,\n");
    assert_figures(&r, 0, 1, 1, 0); /* Ada K. is Ada again, with a card; Bert stays as he is */
    reply_done(&r);
}

static void who_holds_a_card(void)
{
    struct reply r = apply("personnel_number,card,card_rendering\n2,0000000A01,hex10\n");
    assert_figures(&r, 0, 0, 0, 1);
    assert_string_equal(text_of(error_at(&r, 0), "column"), "card");
    reply_done(&r);
    r = apply("personnel_number,card,card_rendering,card_until\n1,0000000A01,hex10,2026-01-01\n"); /* taken back */
    assert_figures(&r, 0, 1, 0, 0);
    reply_done(&r);
    const char *next = "personnel_number,card,card_rendering,card_from\n2,0000000A01,hex10,2026-01-01\n";
    r = apply(next);
    assert_figures(&r, 0, 1, 0, 0);
    reply_done(&r);
    r = apply(next);
    assert_figures(&r, 0, 0, 1, 0);
    reply_done(&r);
    /* a lossy number claims what waits, and once claimed it is held */
    struct fixture_punch p = {.tenant = "globex",
                              .reader = "dock",
                              .gw = f.gw2,
                              .cred = fixture_card(0x1100BC614E),
                              .gseq = 1,
                              .time = clock_real()};
    fixture_file_one(&f, &p);
    next = "personnel_number;card;card_rendering\n1;0012345678;dec10\n2;0099999999;dec10\n";
    r = apply(next);
    assert_figures(&r, 0, 1, 0, 1);
    reply_done(&r);
    r = apply(next);
    assert_figures(&r, 0, 0, 1, 1);
    reply_done(&r);
}

static void test_one_table_after_the_other(void **state)
{
    becomes_as_the_table_says();
    cards();
    who_holds_a_card();
}

static void test_what_is_no_table(void **state)
{
    static const char *const no[] = {"", "name\nAda\n", "personnel_number,nick\n1,A\n",
                                     "personnel_number,name,name\n1,A,B\n", "\"personnel_number\n1\n"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        expect(apply(no[i]), 400, "invalid");
    }
    /* which column it is, and which there are */
    struct reply r = apply("personnel_number;Vorname\n1;A\n");
    assert_non_null(strstr(reply_text(&r, "detail"), "column 2, \"Vorname\", is none of personnel_number, name, "));
    reply_done(&r);
    r = apply("personnel_number;n\xe4me\n1;A\n");
    assert_problem(&r, 400, "invalid");
    assert_non_null(strstr(reply_text(&r, "detail"), "CSV UTF-8"));
    reply_done(&r);
    expect(import("perhaps", f.globex, BYTES_STR("personnel_number\n1\n")), 400, "bad-parameter");
    expect(post(&f.s, "/v1/imports?mode=apply", f.globex, "{}"), 415, "media-type");
}

static void test_as_spreadsheets_write(void **state)
{
    static const char *const latin[] = {"-H", "Content-Type: text/csv; charset=windows-1252", NULL};
    static const char *const quoted[] = {"-H", "Content-Type: TEXT/CSV; Charset=\"UTF-8\"; header=present", NULL};
    /* a column and rows that are only there because somebody was there with the cursor */
    struct reply r = apply(
        "\xef\xbb\xbfpersonnel_number;name;\r\n51;\"J\xc3\xb6rg \"\"J\"\"\";\r\n;;\r\n52;Zwei;x\r\n53;Drei\r\n;;\r\n");
    assert_figures(&r, 1, 0, 0, 2);
    assert_int_equal(figure(&r, "rows"), 3);
    assert_int_equal(json_integer_value(json_object_get(error_at(&r, 0), "line")), 4);
    assert_non_null(strstr(text_of(error_at(&r, 0), "reason"), "does not name"));
    assert_int_equal(json_integer_value(json_object_get(error_at(&r, 1), "line")), 5);
    assert_non_null(strstr(text_of(error_at(&r, 1), "reason"), "fewer fields"));
    reply_done(&r);
    r = apply("personnel_number;name\r\n54;J\xf6rg\r\n"); /* Windows-1252 */
    assert_figures(&r, 0, 0, 0, 1);
    assert_non_null(strstr(text_of(error_at(&r, 0), "reason"), "CSV UTF-8"));
    reply_done(&r);
    expect(request(&f.s, "POST", "/v1/imports?mode=apply", f.globex, BYTES_STR("personnel_number,name\n55,A\n"), latin),
           415, "media-type");
    r = request(&f.s, "POST", "/v1/imports?mode=preview", f.globex, BYTES_STR("personnel_number,name\n55,A\n"), quoted);
    assert_figures(&r, 1, 0, 0, 0);
    reply_done(&r);
}

static void test_blanks_around_a_number(void **state)
{
    struct reply r = apply("personnel_number,name\n 61,A\n61 ,A\n\xc2\xa0"
                           "61,A\n61\xc2\xa0,A\n6 1,A\n61,A\n");
    assert_figures(&r, 2, 0, 0, 4);
    assert_string_equal(text_of(error_at(&r, 0), "column"), "personnel_number");
    assert_non_null(strstr(text_of(error_at(&r, 3), "reason"), "ends with a blank"));
    reply_done(&r);
}

/* Who lost the answer, or waits for it, finds the import in the list. */
static void test_list(void **state)
{
    struct reply r = import("preview", f.globex, BYTES_STR("personnel_number,name\n8,Eight\n,Nobody\n"));
    assert_figures(&r, 1, 0, 0, 1);
    char id[40];
    assert_int_equal(str_copy(id, sizeof id, reply_text(&r, "id")), 0);
    reply_done(&r);
    r = get(&f.s, "/v1/imports", f.globex);
    assert_int_equal(r.status, 200);
    json_t *first = json_array_get(json_object_get(r.json, "items"), 0);
    assert_string_equal(text_of(first, "id"), id);
    assert_string_equal(text_of(first, "state"), "done");
    assert_int_equal(json_integer_value(json_object_get(first, "bad")), 1);
    assert_string_not_equal(text_of(json_array_get(json_object_get(r.json, "items"), 1), "id"), id);
    reply_done(&r);
    r = get(&f.s, "/v1/imports", f.acme);
    assert_null(strstr(r.body, id));
    reply_done(&r);
}

/* A run that a killed process left behind says so, and its table comes again. */
static void test_interrupted(void **state)
{
    struct reply r = import("preview", f.globex, BYTES_STR("personnel_number,name\n9,Nine\n"));
    char path[80];
    assert_int_equal(str_copy(path, sizeof path, reply_header(&r, "Location")), 0);
    reply_done(&r);
    fixture_sql(&f, "UPDATE import_run SET state = 1, ended = 0 WHERE tenant_id = 'globex'");
    assert_int_equal(import_resume(f.c, f.db), 0); /* as a start does */
    r = get(&f.s, path, f.globex);
    assert_string_equal(reply_text(&r, "state"), "interrupted");
    reply_done(&r);
}

/* ---- the table itself ---- */

static void test_rows(void **state)
{
    static struct csv_row row;
    struct csv c;
    csv_init(&c, BYTES_STR("a,\"b;\"\"c\"\"\",d\r\n\r\n\"two\nlines\",x\n\"open\nnext,\xff\nlast"));
    assert_int_equal(csv_next(&c, &row), CSV_ROW);
    assert_int_equal(row.n, 3);
    assert_string_equal(row.fields[1], "b;\"c\"");
    assert_int_equal(csv_next(&c, &row), CSV_ROW);
    assert_int_equal(c.line, 3);
    assert_string_equal(row.fields[0], "two\nlines");
    assert_int_equal(csv_next(&c, &row), CSV_BAD_QUOTES);
    assert_int_equal(c.line, 5);
    assert_int_equal(csv_next(&c, &row), CSV_BAD_TEXT);
    assert_int_equal(c.line, 6);
    assert_int_equal(csv_next(&c, &row), CSV_ROW);
    assert_string_equal(row.fields[0], "last");
    assert_int_equal(csv_next(&c, &row), CSV_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test(test_one_table_after_the_other),
        cmocka_unit_test(test_what_is_no_table),
        cmocka_unit_test(test_as_spreadsheets_write),
        cmocka_unit_test(test_blanks_around_a_number),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, setup, api_teardown);
}
