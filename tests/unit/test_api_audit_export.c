/* The trail taken away: an export is proven by the public key alone, each tampering is found, and what is damaged is
 * named. */
#include "tests/unit/cloud_export.h"

#include "api/admin.h"
#include "api/audit_cli.h"
#include "cloud/audit_lines.h"
#include "cloud/audit_move.h"
#include "cloud/people.h"

#define MANY 100000

static char *edit(const char *line, const char *from, const char *to)
{
    const char *at = strstr(line, from);
    assert_non_null(at);
    char *out = malloc(strlen(line) + strlen(to) + 1);
    assert_non_null(out);
    sprintf(out, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
    return out;
}

static void says(const struct lines *l, const char *what)
{
    const char *why = check(l, NULL);
    assert_non_null(why);
    if (!strstr(why, what))
        print_error("expected \"%s\", got: %s\n", what, why);
    assert_non_null(strstr(why, what));
}

/* Each done to a copy of the lines. l: header, events 1 .. n, checkpoint. */
static void tamper(const struct lines *l, size_t at)
{
    char what[64];
    struct lines t = *l;
    t.line = calloc(l->n + 1, sizeof *t.line);
    assert_non_null(t.line);
    snprintf(what, sizeof what, "event %zu was changed", at);

    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.line[at] = edit(l->line[at], "\"outcome\":\"done\"", "\"outcome\":\"refused\"");
    says(&t, what);
    free(t.line[at]);

    snprintf(what, sizeof what, "event %zu is missing", at);
    memmove(&t.line[at], &l->line[at + 1], (l->n - at - 1) * sizeof *t.line);
    t.n = l->n - 1;
    says(&t, what);

    t.n = l->n;
    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.line[at] = l->line[at + 1];
    t.line[at + 1] = l->line[at];
    says(&t, what);

    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.n = at;
    says(&t, "it was cut");
    t.line[at] = l->line[l->n - 1]; /* with the checkpoint put behind the cut */
    t.n = at + 1;
    says(&t, "events are missing");
    free(t.line);
}

/* The last checkpoint of an export, as one who keeps it has it. */
static void last_checkpoint(const struct lines *l, struct checkpoint *ret)
{
    json_t *last = json_loads(l->line[l->n - 1], 0, NULL);
    assert_int_equal(audit_check_parse(BYTES_STR(text(last, "checkpoint")), point, ret), 0);
    json_decref(last);
}

static void an_export_is_proven_and_each_tampering_found(void **state)
{
    (void)state;
    char *anna = make_person("Anna Ärmel \\\"quoted\\\"");
    free(make_person("Bert"));
    struct reply r = request(&fx.s, "POST", "/v1/audit/checkpoints", fx.acme, BYTES_NONE, NULL);
    assert_int_equal(r.status, 201);
    struct checkpoint early;
    assert_int_equal(audit_check_parse(BYTES_STR(reply_text(&r, "checkpoint")), point, &early), 0);
    assert_int_equal(early.seq, 3);
    reply_done(&r);
    r = get(&fx.s, "/v1/audit/checkpoints", fx.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    struct lines l = export("");
    /* the recipient key's, two people's, the checkpoint's own; one checkpoint behind 3, one at the end */
    assert_int_equal(l.n, 1 + 4 + 2);
    assert_null(check(&l, NULL));
    assert_null(check(&l, &early));
    assert_non_null(strstr(l.line[2], anna));
    assert_non_null(strstr(l.line[2], "Ärmel"));
    tamper(&l, 2);
    lines_done(&l);
    free(anna);
}

/* The leaf of an event's line, made from what the line shows. */
static void leaf_of(const char *line, char ret_said[2 * CRYPTO_HASH + 1], char ret_made[2 * CRYPTO_HASH + 1])
{
    uint8_t salt[AUDIT_SALT], person[ID_LEN], leaf[CRYPTO_HASH], salted[1024];
    json_t *o = json_loads(line, 0, NULL);
    char *core = json_dumps(json_object_get(o, "core"), JSON_COMPACT | JSON_SORT_KEYS);
    struct audit_parts p = {.core = BYTES_STR(core), .n_whose = 1};
    const json_t *w = json_array_get(json_object_get(o, "whose"), 0), *d;
    str_unhex(text(w, "salt"), salt, sizeof salt);
    str_unhex(text(w, "person"), person, sizeof person);
    assert_int_equal(audit_form_tag(salt, person, p.whose[0]), 0);
    json_array_foreach(json_object_get(o, "details"), p.n_details, d)
    {
        size_t n = strlen(text(d, "text"));
        str_unhex(text(d, "salt"), salted, AUDIT_SALT);
        assert_true(n < sizeof salted - AUDIT_SALT);
        memcpy(salted + AUDIT_SALT, text(d, "text"), n);
        assert_int_equal(audit_form_commit(BYTES(salted, AUDIT_SALT + n), p.details[p.n_details]), 0);
    }
    assert_int_equal(audit_form_leaf(&p, leaf), 0);
    str_hex(leaf, sizeof leaf, ret_made);
    assert_int_equal(str_copy(ret_said, 2 * CRYPTO_HASH + 1, text(o, "leaf")), 0);
    free(core);
    json_decref(o);
}

/* Somebody with the store forges an event with all its hashes, but has not the key. */
static void hashes_alone_forge_nothing(void **state)
{
    (void)state;
    char said[2 * CRYPTO_HASH + 1], made[2 * CRYPTO_HASH + 1];
    free(make_person("Anna"));
    struct lines l = export("");
    leaf_of(l.line[2], said, made);
    assert_string_equal(said, made);
    char *changed = edit(l.line[2], "\"outcome\":\"done\"", "\"outcome\":\"failed\"");
    leaf_of(changed, said, made);
    l.line[2] = edit(changed, said, made);
    says(&l, "the checkpoint says otherwise");
    free(l.line[2]);
    free(changed);
    lines_done(&l);
}

static void a_checkpoint_of_another_key_proves_nothing(void **state)
{
    (void)state;
    struct crypto_key *other = NULL;
    struct lines l = export("");
    assert_null(check(&l, NULL));
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &other), 0);
    assert_int_equal(crypto_key_point(other, point), 0);
    says(&l, "not signed by the key given");
    crypto_key_free(other);
    lines_done(&l);
}

/* A whole trail of yesterday is proven, and only a newer checkpoint tells that there is more. */
static void a_newer_checkpoint_tells_what_is_missing(void **state)
{
    (void)state;
    struct checkpoint late;
    struct lines l = export(""), more = export("");
    assert_null(check(&more, NULL));
    last_checkpoint(&more, &late);
    assert_null(check(&l, NULL));
    const char *why = check(&l, &late);
    assert_non_null(why);
    assert_non_null(strstr(why, "it was cut"));
    lines_done(&more);
    lines_done(&l);
}

static int verified(const char *name, const void *p, size_t n, const char *key)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", fx.s.dir, name);
    assert_int_equal(file_write(path, BYTES(p, n), 0600), 0);
    return audit_cli_verify(path, key, NULL, true);
}

static const char *kept(const char *name, const char *text, char ret_path[160])
{
    snprintf(ret_path, 160, "%s/%s", fx.s.dir, name);
    assert_int_equal(file_write(ret_path, BYTES_STR(text), 0600), 0);
    return ret_path;
}

/* Key and checkpoint in each form in which somebody has them: nothing is to be cut out of an answer first. */
static void what_was_kept_verifies_as_it_came(void **state)
{
    (void)state;
    char file[160], key[160], pem[160], mark[160], event[1024];
    free(make_person("Anna"));
    struct reply r = get(&fx.s, "/v1/audit/key", NULL);
    kept("key.json", r.body, key);
    kept("key.pem", reply_text(&r, "pem"), pem);
    reply_done(&r);
    r = get(&fx.s, "/v1/audit/export", fx.acme);
    kept("trail", r.body, file);
    reply_done(&r);
    r = get(&fx.s, "/v1/audit/checkpoints", fx.acme);
    const json_t *item = json_array_get(json_object_get(r.json, "items"), 0);
    char *one = json_dumps(item, 0);
    snprintf(event, sizeof event, "{\"created\":\"\",\"data\":%s,\"id\":\"1\",\"type\":\"audit.checkpoint\"}", one);
    const char *const marks[] = {r.body, one, event, text(item, "checkpoint")};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        assert_int_equal(audit_cli_verify(file, i % 2 ? pem : key, kept("mark", marks[i], mark), true), EXIT_OK);
    free(one);
    reply_done(&r);
    assert_int_equal(audit_cli_verify(file, kept("key.bad", "{\"kid\":\"1\"}", key), NULL, true), EXIT_FAILED);
    assert_int_equal(audit_cli_verify(file, pem, kept("mark", "{\"data\":{}}", mark), true), EXIT_FAILED);
}

/* A list shows it by number and leaf, whatever is asked for, and the export goes on. */
static void a_damaged_event_is_named(void **state)
{
    (void)state;
    struct db *db = NULL;
    char key[160];
    free(make_person("Anna"));
    free(make_person("Bert"));
    struct reply r = get(&fx.s, "/v1/audit/key", NULL);
    snprintf(key, sizeof key, "%s/key.pem", fx.s.dir);
    assert_int_equal(file_write(key, BYTES_STR(reply_text(&r, "pem")), 0600), 0);
    reply_done(&r);
    r = get(&fx.s, "/v1/audit/export", fx.acme);
    assert_int_equal(verified("whole", r.body, strlen(r.body), key), EXIT_OK);
    reply_done(&r);
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(db_script(db, "UPDATE audit SET sealed = X'00' WHERE tenant_id = 'acme' AND seq = 2"), 0);
    cloud_db_give(fx.c, db);
    static const char *const lists[] = {"/v1/audit?limit=3", "/v1/audit?limit=3&kind=nothing",
                                        "/v1/audit?limit=3&from=2026-01-01"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        r = get(&fx.s, lists[i], fx.acme);
        assert_int_equal(r.status, 200);
        const json_t *items = json_object_get(r.json, "items"), *o = json_array_get(items, i == 1 ? 0 : 1);
        assert_int_equal(json_array_size(items), i == 1 ? 1 : 3);
        assert_int_equal(json_integer_value(json_object_get(o, "seq")), 2);
        assert_true(json_is_true(json_object_get(o, "damaged")));
        assert_int_equal(strlen(text(o, "leaf")), 2 * CRYPTO_HASH);
        reply_done(&r);
    }
    r = get(&fx.s, "/v1/audit/export", fx.acme);
    assert_int_equal(verified("damaged", r.body, strlen(r.body), key), EXIT_DAMAGED);
    char *hidden = edit(r.body, "{\"damaged\":true,", "{\"damaged\":false,");
    assert_int_equal(verified("hidden", hidden, strlen(hidden), key), EXIT_TAMPERED);
    free(hidden);
    reply_done(&r);
}

static void after_an_erasure_the_trail_is_proven_and_silent(void **state)
{
    (void)state;
    char path[128], *anna = make_person("Anna Unforgettable");
    free(make_person("Bert"));
    snprintf(path, sizeof path, "/v1/people/%s", anna);
    struct reply r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    struct lines l = export("");
    assert_null(check(&l, NULL));
    struct checkpoint before;
    last_checkpoint(&l, &before);
    lines_done(&l);

    snprintf(path, sizeof path, "/v1/people/%s/erasure", anna);
    r = post(&fx.s, path, fx.acme, "{\"dry_run\":false}");
    assert_int_equal(r.status, 200);
    reply_done(&r);
    l = export("");
    assert_null(check(&l, &before));
    for (size_t i = 0; i < l.n; i++) {
        assert_null(strstr(l.line[i], "Unforgettable"));
        assert_null(strstr(l.line[i], anna));
    }
    lines_done(&l);
    /* nor do the files have it: no name, and no id beside what the erasure itself keeps of it */
    static const char *const files[] = {"store.db", "store.db-wal", "audit.journal"};
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf CLEANUP(buf_done) b;
        buf_init(&b, 64 << 20);
        snprintf(path, sizeof path, "%s/state/%s", fx.s.dir, files[i]);
        if (file_read(path, &b) == 0)
            assert_null(memmem(b.p, b.len, "Unforgettable", 13));
    }
    free(anna);
}

/* ---- many ---- */

static int take_all(struct audit_lines *x, struct db *db, struct buf *b)
{
    int r = 0;
    while (r == 0)
        r = audit_lines_more(x, db, NULL, NULL, b);
    return r == AUDIT_LINES_END ? 0 : r;
}

static void a_trail_of_100000_events(void **state)
{
    (void)state;
    struct db *db = NULL;
    struct scope s;
    struct person p[8];
    struct subject who[8];
    static const struct who hr = {.is = WHO_BOOTSTRAP, .home = "acme"};
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(cloud_begin(fx.c, db), 0);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        const struct person_set set = {.name = "Somebody"};
        assert_int_equal(people_create(fx.c, db, "acme", &set, &p[i]), 0);
        memcpy(who[i].id, p[i].id, ID_LEN);
        memcpy(who[i].key, p[i].key, ID_LEN);
    }
    assert_int_equal(scope_init(fx.c, db, "acme", &s), 0);
    for (size_t i = 0; i < MANY; i++) {
        const struct audit_event e = {.kind = "people.read",
                                      .outcome = AUDIT_DONE,
                                      .who = &hr,
                                      .method = "GET",
                                      .route = "/v1/people/{id}",
                                      .fields = "person",
                                      .subjects = &who[i % ARRAY_LEN(who)],
                                      .n_subjects = 1};
        assert_int_equal(audit_put(&s, &e), 0);
    }
    assert_int_equal(cloud_commit(fx.c, db), 0);

    struct audit_lines x;
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 256 << 20);
    assert_int_equal(audit_lines_begin(fx.c, db, "acme", 1, 0, true, &x, &b), 0);
    assert_int_equal(take_all(&x, db, &b), 0);
    struct lines l = split(buf_str(&b));
    assert_int_equal(l.n, MANY + 3);
    assert_null(check(&l, NULL));
    tamper(&l, 777);
    lines_done(&l);

    /* a part of it, without a word about people */
    buf_reset(&b);
    assert_int_equal(audit_lines_begin(fx.c, db, "acme", 99000, 0, false, &x, &b), 0);
    assert_int_equal(take_all(&x, db, &b), 0);
    assert_null(strstr(buf_str(&b), "\"person\":\""));
    l = split(buf_str(&b));
    assert_int_equal(l.n, 1002 + 2);
    assert_null(check(&l, NULL));
    lines_done(&l);
    cloud_db_give(fx.c, db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_export_is_proven_and_each_tampering_found, make, unmake),
        cmocka_unit_test_setup_teardown(hashes_alone_forge_nothing, make, unmake),
        cmocka_unit_test_setup_teardown(a_checkpoint_of_another_key_proves_nothing, make, unmake),
        cmocka_unit_test_setup_teardown(a_newer_checkpoint_tells_what_is_missing, make, unmake),
        cmocka_unit_test_setup_teardown(what_was_kept_verifies_as_it_came, make, unmake),
        cmocka_unit_test_setup_teardown(a_damaged_event_is_named, make, unmake),
        cmocka_unit_test_setup_teardown(after_an_erasure_the_trail_is_proven_and_silent, make, unmake),
        cmocka_unit_test_setup_teardown(a_trail_of_100000_events, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
