/* The audit trail: events in their chain, whose they are, what is told of them before and after an erasure, and the
 * journal that what is read goes through. */
#include "tests/unit/cloud_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdatomic.h>

#include "cloud/audit_form.h"
#include "cloud/audit_journal.h"
#include "cloud/audit_move.h"
#include "cloud/checkpoint.h"
#include "cloud/erasure.h"
#include "cloud/people.h"
#include "cloud/schema.h"

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};
static struct fixture fx;
static struct db *db;
static struct scope sc;
static const struct who hr = {
    .is = WHO_BOOTSTRAP, .home = "acme", .has_token = true, .token = {7}, .address = "192.0.2.7"};

static int make(void **state)
{
    (void)state;
    fixture_make(&fx);
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(scope_init(fx.c, db, "acme", &sc), 0);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    cloud_db_give(fx.c, db);
    fixture_done(&fx);
    return 0;
}

static void reopen(void)
{
    cloud_db_give(fx.c, db);
    cloud_close(fx.c);
    fx.c = NULL;
    assert_int_equal(cloud_open(&fx.set, &fx.c), 0);
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(scope_init(fx.c, db, "acme", &sc), 0);
}

static struct subject somebody(const char *name)
{
    const struct person_set set = {.name = name};
    struct person p;
    struct subject s;
    assert_int_equal(people_create(fx.c, db, "acme", &set, &p), 0);
    memcpy(s.id, p.id, ID_LEN);
    memcpy(s.key, p.key, ID_LEN);
    return s;
}

static struct audit_event event(const char *kind, const struct subject *subjects, size_t n)
{
    return (struct audit_event){.kind = kind,
                                .outcome = AUDIT_DONE,
                                .who = &hr,
                                .method = "GET",
                                .route = "/v1/people",
                                .fields = "name contact",
                                .subjects = subjects,
                                .n_subjects = n};
}

static void put(const struct audit_event *e)
{
    struct scope s;
    assert_int_equal(cloud_begin(fx.c, db), 0);
    assert_int_equal(scope_init(fx.c, db, "acme", &s), 0);
    assert_int_equal(audit_put(&s, e), 0);
    assert_int_equal(cloud_commit(fx.c, db), 0);
}

/* All events, the chain computed again on the way. */
struct told {
    size_t n, all; /* n: without that of the recipient key, which each trail begins with */
    uint8_t head[CRYPTO_HASH];
    struct audit_row rows[64];
    char cores[64][AUDIT_CORE_MAX + 1];
    char texts[64][AUDIT_DETAILS][1024];
};
static struct told told;

static int take(void *arg, const struct audit_row *row)
{
    struct told *t = arg;
    struct audit_parts p = {.core = BYTES_STR(row->core), .n_whose = row->n_whose, .n_details = row->n_details};
    uint8_t leaf[CRYPTO_HASH], salted[2048];
    assert_true(t->n < ARRAY_LEN(t->rows));
    t->all++;
    for (size_t i = 0; i < row->n_whose; i++) {
        memcpy(p.whose[i], row->whose[i].tag, AUDIT_TAG);
        if (!row->whose[i].known)
            continue;
        assert_int_equal(audit_form_tag(row->whose[i].salt, row->whose[i].who.id, p.whose[i]), 0);
        assert_memory_equal(p.whose[i], row->whose[i].tag, AUDIT_TAG);
    }
    for (size_t i = 0; i < row->n_details; i++) {
        const struct audit_detail *d = &row->details[i];
        memcpy(p.details[i], d->commitment, CRYPTO_HASH);
        t->texts[t->n][i][0] = '\0';
        if (!d->open)
            continue;
        assert_true(strlen(d->text) < sizeof salted - AUDIT_SALT);
        memcpy(salted, d->salt, AUDIT_SALT);
        memcpy(salted + AUDIT_SALT, d->text, strlen(d->text));
        assert_int_equal(audit_form_commit(BYTES(salted, AUDIT_SALT + strlen(d->text)), p.details[i]), 0);
        assert_memory_equal(p.details[i], d->commitment, CRYPTO_HASH);
        assert_int_equal(str_copy(t->texts[t->n][i], sizeof t->texts[0][0], d->text), 0);
    }
    assert_int_equal(audit_form_leaf(&p, leaf), 0);
    assert_memory_equal(leaf, row->leaf, sizeof leaf);
    assert_int_equal(audit_form_chain(t->head, leaf), 0);
    if (strstr(row->core, "\"kind\":\"key.recipient\""))
        return 0;
    assert_int_equal(str_copy(t->cores[t->n], sizeof t->cores[0], row->core), 0);
    t->rows[t->n] = *row;
    t->rows[t->n].core = t->cores[t->n];
    t->n++;
    return 0;
}

static void read_all(void)
{
    struct audit_reader *x = NULL;
    struct audit_head h;
    uint64_t next = 0;
    memset(&told, 0, sizeof told);
    assert_int_equal(audit_form_genesis("acme", told.head), 0);
    assert_int_equal(audit_reader_new(true, &x), 0);
    assert_int_equal(audit_each(x, &sc, 1, SIZE_MAX >> 1, take, &told, &next), 0);
    audit_reader_free(x);
    assert_int_equal(audit_head(&sc, &h), 0);
    assert_int_equal(h.seq, told.all);
    assert_int_equal(next, told.all + 1);
    assert_memory_equal(h.head, told.head, sizeof told.head);
}

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

static char *journal_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/state/audit.journal", fx.s.dir);
    return path;
}

static struct buf slurp(const char *path)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    assert_int_equal(file_read(path, &b), 0);
    return b;
}

static bool holds(const struct buf *b, const void *p, size_t n)
{
    return memmem(b->p, b->len, p, n) != NULL;
}

/* What was noted before a kill is in the trail after the next start, once, however often the journal is put back. */
static void a_kill_loses_nothing_and_doubles_nothing(void **state)
{
    (void)state;
    const struct subject anna = somebody("Anna");
    struct audit_event e = event("people.read", &anna, 1);
    struct audit_journal_place place;
    struct audit_journal *j = NULL;
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    cloud_db_give(fx.c, db);
    cloud_close(fx.c);
    /* a process that was killed after its answers: entries in the file that nobody moved, and half of one */
    fx.c = NULL;
    assert_int_equal(cloud_open(&fx.set, &fx.c), 0);
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    struct db *other = NULL; /* who holds the gate keeps the mover out */
    assert_int_equal(cloud_db_take(fx.c, &other), 0);
    assert_int_equal(cloud_begin(fx.c, other), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    struct buf CLEANUP(buf_done) image = slurp(journal_path());
    assert_false(holds(&image, anna.id, ID_LEN));
    assert_false(holds(&image, "people.read", 11));
    cloud_rollback(fx.c, other);
    cloud_db_give(fx.c, other);
    cloud_db_give(fx.c, db);
    cloud_close(fx.c); /* moves them, and begins the file anew */
    fx.c = NULL;

    assert_int_equal(buf_add(&image, "\0\0\1\0torn", 8), 0);
    assert_int_equal(file_write(journal_path(), buf_bytes(&image), 0600), 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(cloud_open(&fx.set, &fx.c), 0);
        assert_int_equal(audit_settle(fx.c, 10000), 0);
        assert_int_equal(cloud_db_take(fx.c, &db), 0);
        assert_int_equal(scope_init(fx.c, db, "acme", &sc), 0);
        read_all();
        assert_int_equal(told.n, 5);
        for (size_t i = 0; i < told.n; i++)
            assert_memory_equal(told.rows[i].whose[0].who.id, anna.id, ID_LEN);
        if (again == 0) {
            cloud_db_give(fx.c, db);
            cloud_close(fx.c);
            fx.c = NULL;
        }
    }
    assert_int_equal(audit_journal_open(journal_path(), 1 << 20, &j), 0);
    audit_journal_place(j, &place);
    assert_int_equal(place.end, AUDIT_JOURNAL_HEADER);
    audit_journal_close(j);
}

/* ---- the journal alone ---- */

struct bodies {
    size_t n;
    char text[16][16];
};

static int body(void *arg, struct bytes b)
{
    struct bodies *x = arg;
    assert_true(x->n < 16 && b.n < 16);
    memcpy(x->text[x->n], b.p, b.n);
    x->text[x->n++][b.n] = '\0';
    return 0;
}

static void a_torn_tail_is_cut(void **state)
{
    (void)state;
    char path[128];
    struct audit_journal *j = NULL;
    snprintf(path, sizeof path, "%s/journal", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("one"), NULL), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("two"), NULL), 0);
    audit_journal_close(j);
    struct buf CLEANUP(buf_done) image = slurp(path);
    size_t second = AUDIT_JOURNAL_HEADER + AUDIT_JOURNAL_FRAME + 3;
    for (size_t cut = AUDIT_JOURNAL_HEADER; cut <= image.len; cut++) {
        struct bodies got = {0};
        uint64_t pos = 0;
        assert_int_equal(file_write(path, BYTES(image.p, cut), 0600), 0);
        assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
        assert_int_equal(audit_journal_add(j, BYTES_STR("new"), NULL), 0);
        assert_int_equal(audit_journal_read(j, AUDIT_JOURNAL_HEADER, 16, body, &got, &pos), 0);
        size_t whole = cut == image.len ? 2 : cut >= second ? 1 : 0;
        assert_int_equal(got.n, whole + 1);
        assert_string_equal(got.text[got.n - 1], "new");
        audit_journal_close(j);
    }
}

/* What one thread has synced for all is begun anew at once, before the others have woken. */
struct adding {
    struct audit_journal *j;
    _Atomic int failed, left;
};

static void *add_many(void *arg)
{
    struct adding *a = arg;
    for (int i = 0; i < 1000;) {
        int r = audit_journal_add(a->j, BYTES_STR("one"), NULL);
        if (r < 0)
            atomic_fetch_add(&a->failed, 1);
        i += r != AUDIT_JOURNAL_FULL;
    }
    atomic_fetch_sub(&a->left, 1);
    return NULL;
}

static void who_wakes_after_the_file_began_anew_is_durable(void **state)
{
    enum { THREADS = 6 };
    char path[4096];
    struct adding a = {.left = THREADS};
    pthread_t t[THREADS];
    unsigned renewed = 0;
    snprintf(path, sizeof path, "%s/journal-threads", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 1 << 12, &a.j), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, &a), 0);
    while (atomic_load(&a.left) > 0) {
        struct audit_journal_place place;
        audit_journal_place(a.j, &place);
        int r = audit_journal_renew(a.j, place.end);
        renewed += r == 0;
        assert_true(r == 0 || r == -EAGAIN);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    audit_journal_close(a.j);
    assert_int_equal(a.failed, 0);
    assert_true(renewed > 10);
}

static void a_full_journal_refuses(void **state)
{
    (void)state;
    char path[128];
    struct audit_journal *j = NULL;
    uint64_t end = 0;
    snprintf(path, sizeof path, "%s/small", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 64, &j), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("12345678901234567890"), &end), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("12345678901234567890"), NULL), AUDIT_JOURNAL_FULL);
    assert_int_equal(audit_journal_renew(j, end - 1), -EAGAIN);
    assert_int_equal(audit_journal_renew(j, end), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("12345678901234567890"), NULL), 0);
    audit_journal_close(j);
}

/* ---- what is damaged ---- */

static size_t kept_aside(void)
{
    glob_t g;
    char pattern[160];
    snprintf(pattern, sizeof pattern, "%s*.bad", journal_path());
    size_t n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
    globfree(&g);
    return n;
}

static uint64_t length_of(const char *tenant)
{
    struct audit_head h;
    struct scope s;
    assert_int_equal(scope_init(fx.c, db, tenant, &s), 0);
    assert_int_equal(audit_head(&s, &h), 0);
    return h.seq;
}

static void sql(const char *text)
{
    assert_int_equal(cloud_begin(fx.c, db), 0);
    assert_int_equal(db_script(db, text), 0);
    assert_int_equal(cloud_commit(fx.c, db), 0);
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

/* A customer whose chain has no end any more loses what cannot be joined to it; nobody else loses anything. */
static void a_broken_chain_is_its_own(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct audit_counts counts;
    put(&e);
    sql("UPDATE audit_head SET head = X'00' WHERE tenant_id = 'acme'");
    assert_int_equal(audit_note(fx.c, db, "globex", &e), 0);
    assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    assert_int_equal(audit_note(fx.c, db, "globex", &e), 0);
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    assert_int_equal(length_of("globex"), 1 + 2);
    assert_int_equal(kept_aside(), 0);
    audit_counts(fx.c, &counts);
    assert_int_equal(counts.lost, 1);
}

/* One that does not read stops neither the start nor those that come after it. */
static void a_damaged_checkpoint_is_made_again(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct checkpoint_text p;
    put(&e);
    assert_int_equal(checkpoint_make(fx.c, db, "acme", true, &p), 0);
    sql("UPDATE audit_checkpoint SET message = X'00' WHERE tenant_id = 'acme'");
    reopen();
    put(&e);
    assert_int_equal(checkpoint_due(fx.c, db, true), 0);
    assert_int_equal(checkpoint_last(&sc, &p), 0);
    assert_int_equal(p.said.seq, length_of("acme"));
}

/* What stands behind a damaged entry was answered for: it is kept, and so is what was kept before. */
static void nothing_that_was_durable_is_cut_away(void **state)
{
    (void)state;
    char path[128], pattern[160];
    struct audit_journal *j = NULL;
    for (size_t round = 1; round <= 2; round++) {
        struct bodies got = {0};
        uint64_t pos = 0;
        glob_t g;
        snprintf(path, sizeof path, "%s/rotten", fx.s.dir);
        unlink(path);
        assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
        assert_int_equal(audit_journal_add(j, BYTES_STR("one"), NULL), 0);
        assert_int_equal(audit_journal_add(j, BYTES_STR("two"), NULL), 0);
        assert_int_equal(audit_journal_add(j, BYTES_STR("three"), NULL), 0);
        audit_journal_close(j);
        struct buf CLEANUP(buf_done) image = slurp(path);
        size_t second = AUDIT_JOURNAL_HEADER + AUDIT_JOURNAL_FRAME + 3;
        image.p[round == 1 ? second + AUDIT_JOURNAL_FRAME : second] ^= 0x40; /* its body, its length */
        assert_int_equal(file_write(path, buf_bytes(&image), 0600), 0);
        assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
        assert_int_equal(audit_journal_read(j, AUDIT_JOURNAL_HEADER, 16, body, &got, &pos), 0);
        audit_journal_close(j);
        assert_int_equal(got.n, 1);
        snprintf(pattern, sizeof pattern, "%s*.bad", path);
        assert_int_equal(glob(pattern, 0, NULL, &g), 0);
        assert_int_equal(g.gl_pathc, round);
        struct buf CLEANUP(buf_done) kept = slurp(g.gl_pathv[round - 1]);
        assert_true(holds(&kept, "three", 5));
        globfree(&g);
    }
}

/* Damage below a running program: what was moved before it stays moved. */
static void what_stands_before_the_damage_is_in_the_trail(void **state)
{
    (void)state;
    struct audit_event e = event("people.read", NULL, 0);
    struct db *other = NULL; /* who holds the gate keeps the mover out */
    uint8_t bad;
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    uint64_t before = length_of("acme");
    assert_int_equal(cloud_db_take(fx.c, &other), 0);
    assert_int_equal(cloud_begin(fx.c, other), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    int fd = open(journal_path(), O_RDWR | O_CLOEXEC);
    off_t last = lseek(fd, -1, SEEK_END);
    assert_int_equal(pread(fd, &bad, 1, last), 1);
    bad ^= 1;
    assert_int_equal(pwrite(fd, &bad, 1, last), 1);
    close(fd);
    cloud_rollback(fx.c, other);
    cloud_db_give(fx.c, other);
    for (int i = 0; i < 1000 && kept_aside() == 0; i++)
        usleep(10000);
    assert_int_equal(kept_aside(), 1);
    assert_int_equal(length_of("acme"), before + 2);
    assert_int_equal(audit_note(fx.c, db, "acme", &e), 0);
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    assert_int_equal(length_of("acme"), before + 3);
}

/* One that has taken nothing yet has nothing to lose: it can begin anew when its first sync fails. */
static void an_empty_journal_begins_anew(void **state)
{
    (void)state;
    char path[128];
    struct audit_journal *j = NULL;
    snprintf(path, sizeof path, "%s/empty", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
    assert_int_equal(audit_journal_renew(j, 0), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("one"), NULL), 0);
    assert_int_equal(audit_journal_renew(j, 0), -EAGAIN);
    audit_journal_close(j);
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
        cmocka_unit_test_setup_teardown(an_event_shares_the_fate_of_its_transaction, make, unmake),
        cmocka_unit_test_setup_teardown(a_kill_loses_nothing_and_doubles_nothing, make, unmake),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_cut, make, unmake),
        cmocka_unit_test_setup_teardown(who_wakes_after_the_file_began_anew_is_durable, make, unmake),
        cmocka_unit_test_setup_teardown(who_wakes_after_the_file_began_anew_is_durable, make, unmake),
        cmocka_unit_test_setup_teardown(a_full_journal_refuses, make, unmake),
        cmocka_unit_test_setup_teardown(more_subjects_than_an_entry_takes, make, unmake),
        cmocka_unit_test_setup_teardown(a_broken_chain_is_its_own, make, unmake),
        cmocka_unit_test_setup_teardown(a_damaged_checkpoint_is_made_again, make, unmake),
        cmocka_unit_test_setup_teardown(nothing_that_was_durable_is_cut_away, make, unmake),
        cmocka_unit_test_setup_teardown(what_stands_before_the_damage_is_in_the_trail, make, unmake),
        cmocka_unit_test_setup_teardown(an_empty_journal_begins_anew, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
