/* The audit trail: events in their chain, whose they are, and what is told of them before and after an erasure. */
#include "tests/unit/cloud_trail.h"

#include <unistd.h>

#include "cloud/erasure.h"

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};

static json_t *core(size_t i)
{
    json_t *o = json_loads(told.cores[i], JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    char *again = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(again, told.cores[i]); /* what a reader of the export does */
    free(again);
    return o;
}

static const char *member(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

static void an_event_says_who_did_what_to_whom(void **state)
{
    (void)state;
    const struct subject anna = somebody("Anna"), bert = somebody("Bert");
    const struct subject both[] = {anna, bert};
    struct audit_event e = event("people.read", both, 2);
    json_t *detail = json_pack("{s:s, s:i}", "ticket", "say \"A\\B\"", "limit", 5);
    e.detail = detail;
    e.resource = "Büro\n";
    put(&e);
    json_decref(detail);
    read_all();
    assert_int_equal(told.n, 1);
    json_t *o = core(0);
    assert_string_equal(member(o, "kind"), "people.read");
    assert_string_equal(member(o, "outcome"), "done");
    assert_string_equal(member(o, "route"), "GET /v1/people");
    assert_string_equal(member(json_object_get(o, "actor"), "class"), "bootstrap");
    assert_string_equal(member(json_object_get(o, "actor"), "token"), "0700000000000000");
    assert_string_equal(member(json_object_get(o, "detail"), "ticket"), "say \"A\\B\"");
    assert_int_equal(json_array_size(json_object_get(o, "fields")), 2);
    assert_int_equal(json_integer_value(json_object_get(o, "seq")), 2);
    json_decref(o);
    assert_null(strstr(told.cores[0], hr.address)); /* who comes from where is no part of what outlives them */
    assert_int_equal(told.rows[0].n_whose, 2);
    assert_memory_equal(told.rows[0].whose[0].who.id, anna.id, ID_LEN);
    assert_memory_equal(told.rows[0].whose[1].who.id, bert.id, ID_LEN);
    assert_string_equal(told.texts[0][0], "{\"address\":\"192.0.2.7\",\"person\":null}");
}

static void a_change_shows_both_values_until_the_person_is_erased(void **state)
{
    (void)state;
    const struct subject anna = somebody("Anna"), bert = somebody("Bert");
    struct audit_event e = event("people.change", &anna, 1);
    struct erasure erased;
    struct audit_row before;
    e.old = json_pack("{s:s}", "name", "Anna-Oldname");
    e.new = json_pack("{s:s}", "name", "Anna-Newname");
    put(&e);
    json_decref(e.old);
    json_decref(e.new);
    e = event("people.read", &bert, 1);
    put(&e);
    read_all();
    assert_non_null(strstr(told.texts[0][1], "Anna-Oldname"));
    assert_non_null(strstr(told.texts[0][1], "Anna-Newname"));
    before = told.rows[0];
    uint8_t head[CRYPTO_HASH];
    memcpy(head, told.head, sizeof head);

    assert_int_equal(erasure_make(fx.c, db, "acme", anna.id, &asked, &erased), 0);
    reopen();
    read_all(); /* and every leaf and the head are as they were: take() and read_all() compare */
    assert_int_equal(told.n, 4);
    assert_false(told.rows[0].whose[0].known);
    json_t *begun = core(2), *done = core(3);
    assert_string_equal(member(begun, "kind"), "erasure.begun");
    assert_string_equal(member(done, "kind"), "erasure.done");
    assert_string_equal(member(begun, "resource"), member(done, "resource"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(begun, "detail"), "generation")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(done, "detail"), "generation")), 2);
    assert_int_equal(told.rows[2].n_whose, 1); /* hers, as those of before are: the key was there still */
    assert_memory_equal(told.rows[2].whose[0].tag, before.whose[0].tag, AUDIT_TAG);
    assert_false(told.rows[2].whose[0].known);
    assert_int_equal(told.rows[3].n_whose, 0);
    json_decref(begun);
    json_decref(done);
    assert_memory_equal(told.rows[0].whose[0].tag, before.whose[0].tag, AUDIT_TAG);
    assert_false(told.rows[0].details[1].open);
    assert_memory_equal(told.rows[0].details[1].commitment, before.details[1].commitment, CRYPTO_HASH);
    assert_true(told.rows[1].whose[0].known);
}

/* Tags of one person have nothing in common beyond a block. */
static void a_tag_lasts_for_a_block(void **state)
{
    (void)state;
    const struct subject anna = somebody("Anna");
    struct audit_event e = event("people.read", &anna, 1);
    struct audit_reader *x = NULL;
    uint64_t next;
    struct scope s;
    assert_int_equal(cloud_begin(fx.c, db), 0);
    assert_int_equal(scope_init(fx.c, db, "acme", &s), 0);
    for (int i = 0; i < 257; i++)
        assert_int_equal(audit_put(&s, &e), 0);
    assert_int_equal(cloud_commit(fx.c, db), 0);
    memset(&told, 0, sizeof told);
    assert_int_equal(audit_reader_new(true, &x), 0);
    assert_int_equal(audit_each(x, &sc, 254, 4, take, &told, &next), 0);
    audit_reader_free(x);
    assert_int_equal(told.n, 4); /* 254, 255 | 256, 257 */
    assert_memory_equal(told.rows[0].whose[0].tag, told.rows[1].whose[0].tag, AUDIT_TAG);
    assert_memory_not_equal(told.rows[1].whose[0].tag, told.rows[2].whose[0].tag, AUDIT_TAG);
    assert_memory_equal(told.rows[2].whose[0].tag, told.rows[3].whose[0].tag, AUDIT_TAG);
    for (size_t i = 0; i < told.n; i++)
        assert_true(told.rows[i].whose[0].known);
}

static void many_subjects_are_several_events(void **state)
{
    (void)state;
    struct subject all[130];
    assert_int_equal(cloud_begin(fx.c, db), 0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i] = somebody("Somebody");
    assert_int_equal(cloud_commit(fx.c, db), 0);
    struct audit_event e = event("punches.read", all, ARRAY_LEN(all));
    assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    read_all();
    assert_int_equal(told.n, 3);
    for (size_t i = 0, k = 0; i < told.n; i++) {
        static const char *const parts[] = {"1/3", "2/3", "3/3"};
        json_t *o = core(i);
        assert_string_equal(member(o, "part"), parts[i]);
        json_decref(o);
        for (size_t w = 0; w < told.rows[i].n_whose; w++, k++)
            assert_memory_equal(told.rows[i].whose[w].who.id, all[k].id, ID_LEN);
    }
}

/* A change that does not come to be leaves no event. */
static void an_event_shares_the_fate_of_its_transaction(void **state)
{
    (void)state;
    struct audit_event e = event("people.change", NULL, 0);
    struct scope s;
    assert_int_equal(cloud_begin(fx.c, db), 0);
    assert_int_equal(scope_init(fx.c, db, "acme", &s), 0);
    assert_int_equal(audit_put(&s, &e), 0);
    cloud_rollback(fx.c, db);
    put(&e);
    read_all();
    assert_int_equal(told.n, 1);
}

/* As many as a large company has people: the list of who is in, a piece of an export. */
static void more_subjects_than_an_entry_takes(void **state)
{
    (void)state;
    enum { MANY = 64 * AUDIT_SUBJECTS + 1 };
    struct subject *all = calloc(MANY, sizeof *all);
    assert_non_null(all);
    assert_int_equal(crypto_random(all, MANY * sizeof *all), 0);
    struct audit_event e = event("presence.read", all, MANY);
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    uint64_t before = length_of("acme");
    assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    assert_int_equal(length_of("acme"), before + 65);
    free(all);
}

/* ---- the installation itself ---- */

struct kinds {
    struct audit_key key; /* the resource of `key.audit` has to be its */
    size_t init, restore, audit_key, this_key;
};

static int by_kind(void *arg, const struct audit_row *row)
{
    struct kinds *k = arg;
    char kid[2 * KID_LEN + 1];
    json_t *o = json_loads(row->core, 0, NULL);
    bool key = strcmp(member(o, "kind"), "key.audit") == 0;
    k->init += strcmp(member(o, "kind"), "init") == 0 && strlen(member(o, "resource")) == 16;
    k->restore += strcmp(member(o, "kind"), "restore") == 0;
    k->audit_key += key;
    k->this_key += key && strcmp(member(o, "resource"), str_hex(k->key.kid, KID_LEN, kid)) == 0;
    json_decref(o);
    return 0;
}

static struct kinds kinds_in(const char *tenant)
{
    struct kinds k = {.init = 0};
    struct audit_reader *x = NULL;
    struct scope s;
    uint64_t next = 0;
    audit_key(fx.c, &k.key);
    assert_int_equal(scope_init(fx.c, db, tenant, &s), 0);
    assert_int_equal(audit_reader_new(false, &x), 0);
    assert_int_equal(audit_each(x, &s, 1, SIZE_MAX >> 1, by_kind, &k, &next), 0);
    audit_reader_free(x);
    return k;
}

static void assert_kinds(const char *tenant, size_t init, size_t restore, size_t keys)
{
    struct kinds k = kinds_in(tenant);
    assert_int_equal(k.init, init);
    assert_int_equal(k.restore, restore);
    assert_int_equal(k.audit_key, keys);
    assert_int_equal(k.this_key, keys > 0);
}

static void the_keys_of_the_installation_are_in_the_trail(void **state)
{
    (void)state;
    char path[160], text[32];
    assert_kinds(VENDOR_TENANT, 1, 0, 1);
    assert_kinds("acme", 0, 0, 0); /* which came later */
    reopen();
    assert_kinds(VENDOR_TENANT, 1, 0, 1);
    snprintf(path, sizeof path, "%s/state/pki/audit.key", fx.s.dir);
    assert_int_equal(unlink(path), 0);
    reopen();
    assert_kinds(VENDOR_TENANT, 1, 0, 2);
    assert_kinds("acme", 0, 0, 1);

    /* what a restore leaves */
    int64_t epoch = (int64_t)cloud_epoch(fx.c) + 1;
    snprintf(path, sizeof path, "%s/state/keyring/epoch", fx.s.dir);
    snprintf(text, sizeof text, "%lld\n", (long long)epoch);
    assert_int_equal(file_write(path, BYTES_STR(text), 0600), 0);
    assert_int_equal(cloud_begin(fx.c, db), 0);
    assert_int_equal(meta_put(db, "epoch", epoch), 0);
    assert_int_equal(cloud_commit(fx.c, db), 0);
    reopen();
    assert_kinds(VENDOR_TENANT, 1, 1, 2);
    assert_kinds("acme", 0, 1, 1);
}

/* docs/AUDIT.md, "An example": each value there is what this code makes. */
static void example_line(const char *doc, const char *name, const void *p, size_t n)
{
    char line[160], hex[2 * CRYPTO_HASH + 1];
    snprintf(line, sizeof line, "\n%-11s %s\n", name, str_hex(p, n, hex));
    if (strstr(doc, line) == NULL)
        print_error("not in the document:%s", line);
    assert_non_null(strstr(doc, line));
}

static void the_document_is_right(void **state)
{
    (void)state;
    static const char text[] =
        "{\"actor\":{\"class\":\"operator\"},\"kind\":\"people.read\",\"outcome\":\"done\",\"seq\":1,"
        "\"time\":\"2026-11-23T07:15:00.000000Z\"}";
    static const char detail[] = "{\"address\":\"192.0.2.7\",\"person\":null}";
    struct audit_parts p = {.core = BYTES_STR(text), .n_whose = 1, .n_details = 1};
    uint8_t salt[AUDIT_SALT], person[ID_LEN], salted[AUDIT_SALT + sizeof detail - 1], head[CRYPTO_HASH],
        leaf[CRYPTO_HASH];
    struct buf CLEANUP(buf_done) doc = slurp(SOURCE_DIR "/docs/AUDIT.md");
    assert_int_equal(crypto_init(), 0);
    assert_int_equal(str_unhex("0f0e0d0c0b0a09080706050403020100", salt, sizeof salt), 0);
    assert_int_equal(str_unhex("00112233445566778899aabbccddeeff", person, sizeof person), 0);
    assert_int_equal(str_unhex("000102030405060708090a0b0c0d0e0f", salted, AUDIT_SALT), 0);
    memcpy(salted + AUDIT_SALT, detail, sizeof detail - 1);
    assert_int_equal(audit_form_genesis("acme", head), 0);
    example_line(buf_str(&doc), "genesis", head, sizeof head);
    assert_int_equal(audit_form_tag(salt, person, p.whose[0]), 0);
    example_line(buf_str(&doc), "tag", p.whose[0], AUDIT_TAG);
    assert_int_equal(audit_form_commit(BYTES(salted, sizeof salted), p.details[0]), 0);
    example_line(buf_str(&doc), "commitment", p.details[0], CRYPTO_HASH);
    assert_int_equal(audit_form_leaf(&p, leaf), 0);
    example_line(buf_str(&doc), "leaf", leaf, sizeof leaf);
    assert_int_equal(audit_form_chain(head, leaf), 0);
    example_line(buf_str(&doc), "head(1)", head, sizeof head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_is_right),
        cmocka_unit_test_setup_teardown(an_event_says_who_did_what_to_whom, make, unmake),
        cmocka_unit_test_setup_teardown(a_change_shows_both_values_until_the_person_is_erased, make, unmake),
        cmocka_unit_test_setup_teardown(a_tag_lasts_for_a_block, make, unmake),
        cmocka_unit_test_setup_teardown(many_subjects_are_several_events, make, unmake),
        cmocka_unit_test_setup_teardown(more_subjects_than_an_entry_takes, make, unmake),
        cmocka_unit_test_setup_teardown(an_event_shares_the_fate_of_its_transaction, make, unmake),
        cmocka_unit_test_setup_teardown(the_keys_of_the_installation_are_in_the_trail, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
