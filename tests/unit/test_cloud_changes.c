/* The changes feed: what is written when, in which order, and what a reader makes of it. */
#include "cloud/changes.h"

#include "cloud/site.h"
#include "tests/unit/cloud_gateway.h"

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static struct scope scope_of(struct fixture *x)
{
    struct scope s;
    assert_int_equal(scope_init(x->c, x->db, TENANT, &s), 0);
    return s;
}

struct entries {
    size_t n;
    struct change items[4096];
};

static int add_entry(void *arg, const struct change *e)
{
    struct entries *l = arg;
    assert_true(l->n < ARRAY_LEN(l->items));
    l->items[l->n++] = *e;
    return 0;
}

/* All entries behind `after`; their numbers follow each other unless some are of a destroyed key. */
static struct entries *entries_after(struct fixture *x, int64_t after)
{
    struct scope s = scope_of(x);
    struct entries *l = calloc(1, sizeof *l);
    int64_t last = -1, end = -1;
    assert_non_null(l);
    assert_int_equal(changes_each(&s, 0, after, ARRAY_LEN(l->items), add_entry, l, &last), 0);
    assert_int_equal(changes_last(&s, &end), 0);
    assert_int_equal(last, end);
    return l;
}

static int64_t last_of(struct fixture *x)
{
    struct scope s = scope_of(x);
    int64_t n = -1;
    assert_int_equal(changes_last(&s, &n), 0);
    return n;
}

/* The kinds behind `after` as letters, in order: P punch, W pending, p person, c credential, - removed, x erased,
 * g gateway. */
static void assert_kinds(struct fixture *x, int64_t after, const char *expected)
{
    static const char letters[] = "?PWpc-xg";
    char got[256] = "";
    struct entries *l = entries_after(x, after);
    for (size_t i = 0; i < l->n && i < sizeof got - 1; i++) {
        assert_int_equal(l->items[i].seq, after + 1 + (int64_t)i);
        got[i] = letters[l->items[i].kind];
    }
    assert_string_equal(got, expected);
    free(l);
}

static struct person new_person(struct fixture *x, const char *name)
{
    struct person p;
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = name}, &p), 0);
    return p;
}

static void each_change_is_told_in_order(void **state)
{
    struct fixture *x = *state;
    int64_t at = last_of(x), now = clock_real();
    struct tgw *g = tgw_new(x, "hq");
    struct cred one = card(1);
    struct credential c;
    uint64_t n;
    assert_kinds(x, at, "g");
    tgw_punch(g, 1, now);
    tgw_punch(g, 2, now + 1);
    send_all(x, g);
    assert_kinds(x, at, "gPP");
    send_all(x, g); /* a resend changes nothing */
    assert_kinds(x, at, "gPP");

    struct person ada = new_person(x, "Ada");
    assert_kinds(x, at, "gPPp");
    assert_int_equal(credential_assign(x->c, x->db, TENANT, ada.id, &one, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, &n), 0);
    assert_int_equal(n, 1);
    assert_kinds(x, at, "gPPpcP");
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, c.id, now, &c, &n), 0);
    assert_int_equal(n, 1);
    assert_kinds(x, at, "gPPpcPcP");
    assert_int_equal(gateway_set_site(x->c, x->db, TENANT, g->id, "North"), 0);
    assert_kinds(x, at, "gPPpcPcPg");
    struct gateway moved;
    struct site site;
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &moved), 0);
    assert_int_equal(site_update(x->c, x->db, TENANT, moved.site_id, NULL, "Europe/Berlin", &site), 0);
    assert_kinds(x, at, "gPPpcPcPg"); /* no entry shows the time zone */
    assert_int_equal(site_update(x->c, x->db, TENANT, moved.site_id, "South", NULL, &site), 0);
    assert_kinds(x, at, "gPPpcPcPgg");

    assert_int_equal(cloud_begin(x->c, x->db), 0);
    struct scope s = scope_of(x);
    assert_int_equal(changes_erased(&s, ada.id), 0);
    assert_int_equal(cloud_commit(x->c, x->db), 0);
    struct entries *l = entries_after(x, at + 10);
    assert_int_equal(l->n, 1);
    assert_int_equal(l->items[0].kind, CHANGE_ERASED);
    assert_memory_equal(l->items[0].id, ada.id, ID_LEN);
    free(l);

    fixture_restart(x); /* numbers go on after a restart */
    assert_int_equal(last_of(x), at + 11);
    tgw_free(g);
}

static void pending_and_settled(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t at = last_of(x);
    tgw_punch_full(g, "door", 1, 1000, 100 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    send_all(x, g);
    assert_kinds(x, at, "W");
    tgw_clock(g, clock_real(), 200 * SECOND, ck_make(2, 1000));
    send_all(x, g);
    assert_kinds(x, at, "WP");
    tgw_free(g);
}

/* The repeat that came first is a punch of its own until the one it repeats is here. */
static void folded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t at = last_of(x), now = clock_real();
    tgw_punch_full(g, "door", 1, now, 100, ck_make(2, 10), 2);
    tgw_punch_full(g, "door", 1, now - SECOND, 99, ck_make(2, 10), 0);
    send_all(x, g);
    assert_kinds(x, at, "P-P");
    struct entries *l = entries_after(x, at);
    assert_memory_equal(l->items[1].id, seg_writer_id(g->seg->w), SEGID_LEN);
    assert_int_equal(l->items[1].number, 0);
    free(l);
    tgw_punch_full(g, "door", 1, now + SECOND, 101, ck_make(2, 10), 2); /* the usual order: never a punch of its own */
    send_all(x, g);
    assert_kinds(x, at, "P-PP");
    tgw_free(g);
}

/* What failed has taken no number: a gap would be told apart from rows still to come by nobody. */
static void no_number_without_its_change(void **state)
{
    struct fixture *x = *state;
    int64_t at = last_of(x);
    struct scope s = scope_of(x);
    uint8_t id[ID_LEN] = {1};
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(changes_erased(&s, id), 0);
    assert_int_equal(last_of(x), at + 1);
    cloud_rollback(x->c, x->db);
    assert_int_equal(last_of(x), at);
    new_person(x, "Ada");
    assert_kinds(x, at, "p");
}

/* A restore and a failed transaction give a number anew. Whether the two entries are of one key stays hidden. */
static void a_number_that_comes_again(void **state)
{
    struct fixture *x = *state;
    struct scope s = scope_of(x);
    uint8_t id[ID_LEN] = {1}, mark[2][17];
    for (size_t i = 0; i < 2; i++) {
        struct db_stmt *st;
        assert_int_equal(cloud_begin(x->c, x->db), 0);
        assert_int_equal(changes_erased(&s, id), 0);
        assert_int_equal(db_stmt(x->db, "SELECT mark FROM change ORDER BY seq DESC LIMIT 1", &st), 0);
        assert_int_equal(db_step(st), DB_ROW);
        assert_int_equal(db_fixed(st, 0, mark[i], sizeof mark[i]), 0);
        db_done(st);
        cloud_rollback(x->c, x->db);
    }
    assert_memory_not_equal(mark[0], mark[1], sizeof mark[0]);
}

/* Without the keyring an entry is a number and bytes: no two are alike, all are of one size, and no key of a row,
 * person or gateway stands in them. */
static void rows_say_nothing(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    for (unsigned i = 0; i < 20; i++)
        tgw_punch(g, 1, now + i * SECOND);
    send_all(x, g);
    struct person ada = new_person(x, "Ada");
    struct cred one = card(1);
    struct credential c;
    assert_int_equal(credential_assign(x->c, x->db, TENANT, ada.id, &one, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL),
                     0);
    assert_true(last_of(x) >= 43);
    assert_int_equal(sql_int(x, "SELECT count(*) - count(DISTINCT mark) FROM change"), 0);
    assert_int_equal(sql_int(x, "SELECT count(DISTINCT length(sealed)) FROM change"), 1);
    assert_int_equal(
        sql_int(x, "SELECT count(*) FROM change c, punch p WHERE instr(c.sealed, p.pid) OR instr(c.mark, p.ref)"
                   " OR instr(c.sealed, p.ref)"),
        0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM change c, person p WHERE instr(c.sealed, p.id) OR"
                                " instr(c.sealed, p.key_id)"),
                     0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM change c, gateway g WHERE instr(c.sealed, g.gw)"), 0);
    tgw_free(g);
}

/* A store made by the version before is told from its beginning. */
static void upgraded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct cred one = card(1);
    struct credential c;
    int64_t now = clock_real();
    struct person ada = new_person(x, "Ada");
    assert_int_equal(credential_assign(x->c, x->db, TENANT, ada.id, &one, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL),
                     0);
    tgw_punch(g, 1, now);
    tgw_punch(g, 2, now);
    tgw_punch(g, 3, now + 3 * DAY_US);
    send_all(x, g);
    fixture_back_to(x, 2);
    fixture_open(x);
    assert_kinds(x, 0, "gpcPPW");
    fixture_restart(x); /* once */
    assert_int_equal(last_of(x), 6);
    new_person(x, "Grace");
    assert_kinds(x, 6, "p");
    tgw_free(g);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_change_is_told_in_order), T(pending_and_settled), T(folded),   T(no_number_without_its_change),
        T(a_number_that_comes_again),    T(rows_say_nothing),    T(upgraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
