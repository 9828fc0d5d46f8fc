/* Transactions inside transactions, and stores of other versions. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/feed.h"
#include "cloud/schema.h"
#include "cloud/site.h"

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

static size_t people(struct fixture *x)
{
    struct person_list l;
    assert_int_equal(people_list(x->c, x->db, TENANT, NULL, 1000, NULL, NULL, &l), 0);
    size_t n = l.n;
    person_list_done(&l);
    return n;
}

static int add(struct fixture *x, const char *name)
{
    struct person p;
    return people_create(x->c, x->db, TENANT, &(struct person_set){.name = name}, &p);
}

/* Somebody else may write: the gate is free and nothing is held in the file. */
static void assert_writable(struct fixture *x)
{
    struct db *other;
    struct token t;
    char text[TOKEN_TEXT_MAX];
    assert_int_equal(cloud_db_take(x->c, &other), 0);
    alarm(60); /* it would wait for this very thread */
    assert_int_equal(token_add(x->c, other, NULL, "probe", 0, text, &t), 0);
    alarm(0);
    cloud_db_give(x->c, other);
}

static void outermost_commits(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Grace"), 0);
    assert_int_equal(cloud_commit(x->c, x->db), 0);
    assert_true(db_writing(x->db));
    fixture_restart(x); /* gives the connection back with the transaction open */
    assert_int_equal(people(x), 0);
    assert_writable(x);

    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(add(x, "Grace"), 0);
    assert_int_equal(cloud_commit(x->c, x->db), 0);
    fixture_restart(x); /* their keys are on disk, too */
    assert_int_equal(people(x), 2);
}

static void inner_rollback_undoes_all(void **state)
{
    struct fixture *x = *state;
    struct token t;
    char text[TOKEN_TEXT_MAX];
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(token_add(x->c, x->db, "nobody", NULL, 0, text, &t), CLOUD_ABSENT); /* rolls back */
    assert_false(db_writing(x->db));
    assert_writable(x); /* undone at once, not only when the outer one ends */
    assert_int_equal(add(x, "Grace"), -ECANCELED);
    struct db_stmt *st;
    assert_int_equal(db_stmt(x->db, "UPDATE meta SET value = value + 1", &st), 0);
    assert_int_equal(db_run(st), -ECANCELED); /* nothing is left to be part of */
    assert_int_equal(cloud_commit(x->c, x->db), -ECANCELED);
    assert_int_equal(people(x), 0);

    assert_int_equal(add(x, "Grace"), 0); /* the connection is as new */
    fixture_restart(x);
    assert_int_equal(people(x), 1);

    /* two deep, and an outer one that rolls back as well */
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, ""), CLOUD_INVALID); /* before its transaction: harms nothing */
    assert_int_equal(token_add(x->c, x->db, "nobody", NULL, 0, text, &t), CLOUD_ABSENT);
    assert_int_equal(cloud_commit(x->c, x->db), -ECANCELED);
    cloud_rollback(x->c, x->db);
    assert_int_equal(db_depth(x->db), 0);
    assert_int_equal(add(x, "Joan"), 0);
    assert_int_equal(people(x), 2);
}

static int no_item(void *arg, const struct feed_item *item)
{
    return 0;
}

static void reads_join(void **state)
{
    struct fixture *x = *state;
    struct punch_list l;
    struct feed_pos pos = {0};
    bool more;
    const struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .to = DAY_US, .limit = 10};
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
    punch_list_done(&l);
    assert_int_equal(feed_read(x->c, x->db, TENANT, 10, no_item, NULL, &pos, &more), 0);
    assert_int_equal(pos.after, 1);
    assert_int_equal(cloud_commit(x->c, x->db), 0);
    assert_int_equal(people(x), 1);
}

static void version_1_is_upgraded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "North gate"), *beside = tgw_new(x, "North gate"), *far = tgw_new(x, "Yard");
    struct site_list sites;
    struct person p;
    struct credential c;
    struct gateway found;
    const struct cred seven = card(7);
    assert_int_equal(
        people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Ada", .personnel_number = "4711"}, &p), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p.id, &seven, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL),
                     0);
    tgw_punch(g, 7, clock_real());
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 1);

    fixture_back_to(x, 1);
    fixture_open(x);
    assert_int_equal(sql_int(x, "SELECT value FROM meta WHERE name = 'schema'"), SCHEMA_VERSION);
    assert_int_equal(people_get(x->c, x->db, TENANT, p.id, &p), 0);
    assert_string_equal(p.name, "Ada");
    assert_int_equal(people_by_number(x->c, x->db, TENANT, "4711", &p), 0); /* which version 1 had no index for */
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 1);
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &found), 0);
    assert_string_equal(found.site, "North gate");
    assert_int_equal(site_list(x->c, x->db, TENANT, NULL, 10, &sites), 0); /* one for each name */
    assert_int_equal(sites.n, 2);
    site_list_done(&sites);
    assert_int_equal(gateway_get(x->db, TENANT, far->id, &found), 0);
    assert_string_equal(found.site, "Yard");
    tgw_punch(g, 7, clock_real()); /* and it goes on where it was */
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 2);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 2);
    tgw_free(g);
    tgw_free(beside);
    tgw_free(far);
}

static void later_version_is_refused(void **state)
{
    struct fixture *x = *state;
    struct cloud *c = NULL;
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(meta_put(x->db, "schema", SCHEMA_VERSION + 1), 0);
    fixture_close(x);
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_NEWER);
    assert_null(c);
}

/* Found by an index, not among all rows of the tenant, which is what SQLite does that knows nothing about them. */
static void every_index_is_used(void **state)
{
    static const char all[] =
        "SELECT t.name, i.name, (SELECT group_concat(c.name || ' = ?1', ' AND ') FROM pragma_index_info(i.name) c)"
        " FROM pragma_table_list t, pragma_index_list(t.name) i WHERE t.schema = 'main' AND i.origin = 'c'";
    struct fixture *x = *state;
    struct db_stmt *st, *plan;
    unsigned n = 0;
    static char sql[64][512]; /* the cache knows a statement by its address */
    char used[128];
    assert_int_equal(db_stmt(x->db, all, &st), 0);
    for (; db_step(st) == DB_ROW; n++) {
        const char *index = db_text(st, 1);
        assert_true(n < ARRAY_LEN(sql));
        snprintf(sql[n], sizeof sql[n], "EXPLAIN QUERY PLAN SELECT * FROM %s WHERE %s", db_text(st, 0), db_text(st, 2));
        snprintf(used, sizeof used, "INDEX %s (", index);
        assert_int_equal(db_stmt(x->db, sql[n], &plan), 0);
        assert_int_equal(db_step(plan), DB_ROW);
        if (!strstr(db_text(plan, 3), used))
            fail_msg("%s: %s", sql[n], db_text(plan, 3));
        db_done(plan);
    }
    db_done(st);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outermost_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(inner_rollback_undoes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_join, setup, teardown),
        cmocka_unit_test_setup_teardown(version_1_is_upgraded, setup, teardown),
        cmocka_unit_test_setup_teardown(every_index_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(later_version_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
