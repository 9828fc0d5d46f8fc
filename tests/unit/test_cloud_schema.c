/* Transactions inside transactions, and stores of other versions. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/schema.h"

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
    assert_int_equal(people_list(x->c, x->db, TENANT, NULL, 1000, &l), 0);
    size_t n = l.n;
    person_list_done(&l);
    return n;
}

static int add(struct fixture *x, const char *name)
{
    struct person p;
    return people_create(x->c, x->db, TENANT, name, NULL, &p);
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

static void reads_join(void **state)
{
    struct fixture *x = *state;
    struct punch_list l;
    const struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .to = DAY_US, .limit = 10};
    assert_int_equal(cloud_begin(x->c, x->db), 0);
    assert_int_equal(add(x, "Ada"), 0);
    assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
    punch_list_done(&l);
    assert_int_equal(cloud_commit(x->c, x->db), 0);
    assert_int_equal(people(x), 1);
}

/* "INSERT INTO t(columns) SELECT columns FROM now.t;" for every table of the open store. */
static void copy_script(struct db *db, struct buf *ret)
{
    struct db_stmt *s;
    assert_int_equal(db_stmt(db,
                             "SELECT m.name, (SELECT group_concat(name) FROM pragma_table_info(m.name))"
                             " FROM sqlite_master m WHERE m.type = 'table' AND m.name <> 'meta' ORDER BY m.name",
                             &s),
                     0);
    while (db_step(s) == DB_ROW)
        buf_addf(ret, "INSERT INTO %s(%s) SELECT %s FROM now.%s;\n", db_text(s, 0), db_text(s, 1), db_text(s, 1),
                 db_text(s, 0));
    db_done(s);
}

/* The installation as the version before wrote it: its own script, the rows of today's store. */
static void back_to_version_1(struct fixture *x)
{
    char path[128], old[128];
    struct db_gate *gate;
    struct db *db;
    struct buf CLEANUP(buf_done) script;
    buf_init(&script, 65536);
    int64_t epoch = (int64_t)cloud_epoch(x->c);
    fixture_close(x);
    snprintf(path, sizeof path, "%s/store.db", x->state);
    snprintf(old, sizeof old, "%s/old.db", x->dir);
    assert_int_equal(db_gate_new(&gate), 0);
    assert_int_equal(db_open(old, true, gate, &db), 0);
    assert_int_equal(schema_apply(db, 0, 1), 0);
    assert_int_equal(meta_put(db, "epoch", epoch), 0);
    buf_addf(&script, "ATTACH '%s' AS now;\n", path);
    copy_script(db, &script);
    assert_int_equal(db_script(db, buf_str(&script)), 0);
    db_close(db);
    db_gate_free(gate);
    assert_int_equal(rename(old, path), 0);
}

static void version_1_is_upgraded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "North gate");
    struct person p;
    struct credential c;
    struct gateway found;
    const struct cred seven = card(7);
    assert_int_equal(people_create(x->c, x->db, TENANT, "Ada", "4711", &p), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p.id, &seven, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL),
                     0);
    tgw_punch(g, 7, clock_real());
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 1);

    back_to_version_1(x);
    fixture_open(x);
    assert_int_equal(sql_int(x, "SELECT value FROM meta WHERE name = 'schema'"), SCHEMA_VERSION);
    assert_int_equal(people_get(x->c, x->db, TENANT, p.id, &p), 0);
    assert_string_equal(p.name, "Ada");
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 1);
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &found), 0);
    assert_string_equal(found.site, "North gate");
    tgw_punch(g, 7, clock_real()); /* and it goes on where it was */
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 2);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 2);
    tgw_free(g);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outermost_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(inner_rollback_undoes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_join, setup, teardown),
        cmocka_unit_test_setup_teardown(version_1_is_upgraded, setup, teardown),
        cmocka_unit_test_setup_teardown(later_version_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
