/* What is damaged in the trail, or was cut out of it: everything else is told and proven still, what is gone is said,
 * and nobody hides an event by calling it damaged. */
#include "tests/unit/cloud_trail.h"

#include "base/csr.h"
#include "cloud/audit_check.h"
#include "cloud/audit_lines.h"
#include "cloud/checkpoint.h"

#define EVENTS 6

static uint64_t damaged[AUDIT_DAMAGED_NAMED];

/* Events 1 .. 6 (the first is the recipient key's): of Anna and with a change of hers. */
static int make_events(void **state)
{
    make(state);
    const struct subject anna = somebody("Anna");
    struct audit_event e = event("people.change", &anna, 1);
    e.new = json_pack("{s:s}", "name", "Anna-Newname");
    while (length_of("acme") < EVENTS)
        put(&e);
    json_decref(e.new);
    return 0;
}

static struct buf exported(uint64_t from)
{
    struct audit_lines x;
    struct buf b;
    int r = 0, pieces = 0;
    buf_init(&b, 16 << 20);
    assert_int_equal(audit_lines_begin(fx.c, db, "acme", from, 0, true, &x, &b), 0);
    for (; r == 0 && pieces < 100; pieces++)
        r = audit_lines_more(&x, db, NULL, NULL, &b);
    assert_int_equal(r, AUDIT_LINES_END);
    return b;
}

/* NULL: proven; else what is wrong. The damaged ones into `damaged`. */
static const char *verify(const struct buf *b, const struct checkpoint *newer, struct audit_proof *ret)
{
    static char why[1024];
    struct audit_key key;
    struct audit_check *k = NULL;
    uint8_t point[CRYPTO_POINT];
    int r = 0;
    audit_key(fx.c, &key);
    assert_int_equal(csr_public_parse(BYTES_STR(key.pem), point), 0);
    assert_int_equal(audit_check_new(point, newer, &k), 0);
    for (const char *at = (const char *)b->p, *end = at + b->len, *nl; r == 0 && at < end; at = nl + 1) {
        nl = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(nl);
        r = audit_check_line(k, at, (size_t)(nl - at));
    }
    if (r == 0)
        r = audit_check_end(k);
    assert_true(r >= 0);
    snprintf(why, sizeof why, "%s", audit_check_why(k));
    audit_check_proof(k, ret);
    memcpy(damaged, ret->damaged, (ret->n_damaged < EVENTS ? ret->n_damaged : EVENTS) * sizeof damaged[0]);
    audit_check_free(k);
    return r == 0 ? NULL : why;
}

static void proven_but(uint64_t from, uint64_t seq)
{
    struct audit_proof p;
    struct buf CLEANUP(buf_done) b = exported(from);
    const char *why = verify(&b, NULL, &p);
    if (why)
        print_error("%s\n", why);
    assert_null(why);
    assert_int_equal(p.seq, length_of("acme"));
    assert_int_equal(p.n_damaged, seq > 0);
    if (seq > 0)
        assert_int_equal(damaged[0], seq);
}

static void refused(uint64_t from, const char *what)
{
    struct audit_proof p;
    struct buf CLEANUP(buf_done) b = exported(from);
    const char *why = verify(&b, NULL, &p);
    assert_non_null(why);
    if (!strstr(why, what))
        print_error("expected \"%s\", got: %s\n", what, why);
    assert_non_null(strstr(why, what));
}

static void kept(struct checkpoint *ret)
{
    struct checkpoint_text p;
    assert_int_equal(checkpoint_make(fx.c, db, "acme", false, &p), 0);
    *ret = p.said;
}

#define SPOIL(column) column " = substr(" column ", 1, 20) || X'5a5a5a5a' || substr(" column ", 25)"
#define OF(seq) " WHERE tenant_id = 'acme' AND seq = " #seq ";"

static size_t count(const struct buf *b, const char *what)
{
    size_t n = 0;
    for (const uint8_t *p = b->p; (p = memmem(p, b->len - (size_t)(p - b->p), what, strlen(what))) != NULL; p++)
        n++;
    return n;
}

/* ---- damaged ---- */

static void a_damaged_event_keeps_its_place(void **state)
{
    (void)state;
    sql("UPDATE audit SET " SPOIL("sealed") OF(3));
    proven_but(1, 3);
    struct buf CLEANUP(buf_done) b = exported(1);
    assert_int_equal(count(&b, "{\"damaged\":true,\"leaf\":\""), 1);
    assert_int_equal(count(&b, "Anna-Newname"), EVENTS - 2);
    proven_but(4, 0); /* its leaf leads to what comes behind it */
    sql("UPDATE audit SET sealed = X''" OF(3));
    proven_but(1, 3);
}

static void a_damaged_detail_leaves_its_event(void **state)
{
    (void)state;
    sql("UPDATE audit SET " SPOIL("details") OF(3));
    proven_but(1, 3);
    struct buf CLEANUP(buf_done) b = exported(1);
    assert_int_equal(count(&b, "\"damaged\":true,\"details\":["), 1);
    assert_int_equal(count(&b, "\"kind\":\"people.change\""), EVENTS - 1);
    sql("UPDATE audit SET details = X''" OF(3));
    proven_but(1, 3);
}

/* The row gives its leaf as long as it opens, and the leaf's own column when it does not. */
static void a_leaf_is_there_twice(void **state)
{
    (void)state;
    sql("UPDATE audit SET " SPOIL("leaf") OF(3));
    proven_but(1, 0);
    proven_but(5, 0);
    sql("UPDATE audit SET leaf = X'00'" OF(4));
    proven_but(1, 0);
    proven_but(5, 0);
}

/* Then nothing is proven up to the next checkpoint, and all behind that is. */
static void a_lost_leaf_is_said(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct checkpoint p;
    kept(&p);
    assert_int_equal(p.seq, EVENTS);
    put(&e);
    sql("UPDATE audit SET sealed = X'', leaf = X''" OF(3));
    refused(1, "event 3 is lost with its leaf");
    refused(5, "event 3 is lost with its leaf"); /* it begins in front of it: there is no head behind it */
    proven_but(EVENTS + 1, 0);
    sql("DELETE FROM audit" OF(3));
    refused(1, "event 3 is lost with its leaf");
    proven_but(EVENTS + 1, 0);
    sql("INSERT INTO audit SELECT tenant_id, 3, leaf, X'', X'' FROM audit" OF(4)); /* another one's */
    refused(1, "the checkpoint says otherwise");
}

/* A damaged one may be of any time, so a search for another finds that one still. */
static void a_search_by_time_passes_nothing_over(void **state)
{
    (void)state;
    uint64_t from = 0;
    sql("UPDATE audit SET sealed = X'' WHERE tenant_id = 'acme' AND seq IN (1, 3, 4, 5);");
    assert_int_equal(audit_from(&sc, clock_real() - INT64_C(3600000000), &from), 0);
    assert_int_equal(from, 1);
    assert_int_equal(audit_from(&sc, clock_real() + INT64_C(3600000000), &from), 0);
    assert_int_equal(from, EVENTS + 1);
}

static void one_that_does_not_read_stops_no_checkpoint(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct checkpoint_text p;
    assert_int_equal(checkpoint_make(fx.c, db, "acme", true, &p), 0);
    sql("UPDATE audit_checkpoint SET message = X'00' WHERE tenant_id = 'acme'");
    reopen();
    put(&e);
    assert_int_equal(checkpoint_due(fx.c, db, true), 0);
    assert_int_equal(checkpoint_last(&sc, &p), 0);
    assert_int_equal(p.said.seq, length_of("acme"));
    proven_but(1, 0);
    proven_but(3, 0);
}

/* The head is where the events lead to: without it the chain goes on all the same, and no access is left out of it. */
static void the_head_is_found_again(void **state)
{
    (void)state;
    static const char *const ways[] = {"UPDATE audit_head SET head = X'00' WHERE tenant_id = 'acme'",
                                       "DELETE FROM audit_head WHERE tenant_id = 'acme'",
                                       "UPDATE audit_head SET seq = 2 WHERE tenant_id = 'acme'"};
    struct audit_event e = event("people.read", NULL, 0);
    struct audit_counts counts;
    struct checkpoint p;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        uint64_t globex = length_of("globex"), acme = length_of("acme");
        sql(ways[i]);
        assert_int_equal(length_of("acme"), acme);
        assert_int_equal(audit_note(fx.c, db, "globex", &e), 0);
        assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
        assert_int_equal(audit_settle(fx.c, 10000), 0);
        put(&e);
        assert_int_equal(length_of("globex"), globex + 1);
        assert_int_equal(length_of("acme"), acme + 2);
        proven_but(1, 0);
        sql(ways[i]);
        proven_but(acme, 0);
        kept(&p); /* the next time it is a checkpoint that leads to it */
    }
    audit_counts(fx.c, &counts);
    assert_int_equal(counts.lost, 0);
}

/* Even together with an event whose leaf is lost. */
static void a_chain_goes_on_whatever_is_lost(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct checkpoint p;
    sql("DELETE FROM audit" OF(3));
    sql("DELETE FROM audit_head WHERE tenant_id = 'acme'");
    put(&e);
    kept(&p);
    put(&e);
    refused(1, "event 3 is lost with its leaf");
    proven_but(p.seq + 1, 0);
}

/* ---- cut, put back, called damaged ---- */

/* With the checkpoints that covered them: an export comes to its end, and what was kept elsewhere is missed. */
static void the_last_ones_are_missed(void **state)
{
    (void)state;
    struct checkpoint p;
    struct audit_proof proof;
    kept(&p);
    sql("DELETE FROM audit WHERE tenant_id = 'acme' AND seq > 4; DELETE FROM audit_checkpoint;");
    refused(1, "event 5 is lost with its leaf"); /* the head knows of them */
    sql("DELETE FROM audit_head WHERE tenant_id = 'acme'");
    refused(1, "event 5 is lost with its leaf"); /* and so does the checkpoint that this export made */
    sql("DELETE FROM audit_checkpoint; DELETE FROM audit_head WHERE tenant_id = 'acme'");
    struct buf CLEANUP(buf_done) b = exported(1);
    assert_null(verify(&b, NULL, &proof));
    assert_int_equal(proof.seq, 4);
    const char *why = verify(&b, &p, &proof);
    assert_non_null(why);
    assert_non_null(strstr(why, "it was cut"));
}

/* An older store in the place of this one, to which the same number of events was added. */
static void what_was_put_back_and_written_again_is_noticed(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct checkpoint p;
    struct audit_proof proof;
    sql("CREATE TABLE old_audit AS SELECT * FROM audit; CREATE TABLE old_head AS SELECT * FROM audit_head;");
    put(&e);
    kept(&p);
    sql("DELETE FROM audit; INSERT INTO audit SELECT * FROM old_audit; DELETE FROM audit_head;"
        "INSERT INTO audit_head SELECT * FROM old_head; DELETE FROM audit_checkpoint;");
    e.kind = "people.list";
    put(&e);
    put(&e);
    struct buf CLEANUP(buf_done) b = exported(1);
    assert_null(verify(&b, NULL, &proof));
    const char *why = verify(&b, &p, &proof);
    assert_non_null(why);
    assert_non_null(strstr(why, "one of them was changed"));
}

static void rows_that_changed_places_do_not_open(void **state)
{
    (void)state;
    sql("UPDATE audit SET seq = 100" OF(3));
    sql("UPDATE audit SET seq = 3" OF(4));
    sql("UPDATE audit SET seq = 4" OF(100));
    refused(1, "the checkpoint says otherwise");
}

/* Line `at` of an export with something else in its place. */
static void replace(struct buf *b, size_t at, const char *line)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    const char *p = buf_str(b);
    for (size_t i = 0; *p; i++) {
        const char *end = strchr(p, '\n');
        assert_non_null(end);
        assert_int_equal(i == at ? buf_addf(&out, "%s\n", line) : buf_add(&out, p, (size_t)(end + 1 - p)), 0);
        p = end + 1;
    }
    buf_done(b);
    *b = out;
}

/* Who has the export can withhold what an event says; not that it was there, nor without being counted. */
static void nobody_hides_an_event_as_damaged(void **state)
{
    (void)state;
    struct audit_proof p;
    char line[256], hex[2 * CRYPTO_HASH + 1];
    struct buf CLEANUP(buf_done) b = exported(1), CLEANUP(buf_done) other = exported(1);
    read_all();
    const char *leaf = str_hex(told.rows[2].leaf, CRYPTO_HASH, hex); /* `told` leaves out event 1 */
    snprintf(line, sizeof line, "{\"damaged\":true,\"leaf\":\"%s\",\"seq\":4}", leaf);
    replace(&b, 4, line);
    assert_null(verify(&b, NULL, &p));
    assert_int_equal(p.n_damaged, 1);
    assert_int_equal(damaged[0], 4);
    static const char *const bad[][2] = {
        {"{\"damaged\":true,\"leaf\":null,\"seq\":4}", "is lost with its leaf"},
        {"{\"damaged\":true,\"seq\":4}", "is lost with its leaf"},
        {"{\"damaged\":false,\"leaf\":\"%s\",\"seq\":4}", "neither an event nor a checkpoint"},
        {"{\"leaf\":\"%s\",\"seq\":4}", "neither an event nor a checkpoint"},
        {"{\"damaged\":true,\"leaf\":\"%s\",\"seq\":5}", "event 4 is missing"},
        {"{\"damaged\":true,\"leaf\":\"%s\",\"seq\":3}", "a second time"},
        {"{\"core\":{\"seq\":4},\"damaged\":true,\"details\":[],\"leaf\":\"%s\",\"whose\":[]}", "event 4 was changed"},
        {"{\"damaged\":true,\"leaf\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"seq\":4}",
         "the checkpoint says otherwise"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *at = strstr(bad[i][0], "%s");
        snprintf(line, sizeof line, "%.*s%s%s", at ? (int)(at - bad[i][0]) : (int)strlen(bad[i][0]), bad[i][0],
                 at ? leaf : "", at ? at + 2 : "");
        replace(&other, 4, line);
        const char *why = verify(&other, NULL, &p);
        assert_non_null(why);
        if (!strstr(why, bad[i][1]))
            print_error("%s: %s\n", line, why);
        assert_non_null(strstr(why, bad[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_damaged_event_keeps_its_place, make_events, unmake),
        cmocka_unit_test_setup_teardown(a_damaged_detail_leaves_its_event, make_events, unmake),
        cmocka_unit_test_setup_teardown(a_leaf_is_there_twice, make_events, unmake),
        cmocka_unit_test_setup_teardown(a_lost_leaf_is_said, make_events, unmake),
        cmocka_unit_test_setup_teardown(a_search_by_time_passes_nothing_over, make_events, unmake),
        cmocka_unit_test_setup_teardown(one_that_does_not_read_stops_no_checkpoint, make_events, unmake),
        cmocka_unit_test_setup_teardown(the_head_is_found_again, make_events, unmake),
        cmocka_unit_test_setup_teardown(a_chain_goes_on_whatever_is_lost, make_events, unmake),
        cmocka_unit_test_setup_teardown(the_last_ones_are_missed, make_events, unmake),
        cmocka_unit_test_setup_teardown(what_was_put_back_and_written_again_is_noticed, make_events, unmake),
        cmocka_unit_test_setup_teardown(rows_that_changed_places_do_not_open, make_events, unmake),
        cmocka_unit_test_setup_teardown(nobody_hides_an_event_as_damaged, make_events, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
