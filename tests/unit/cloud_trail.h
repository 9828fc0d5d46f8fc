/* What the tests of the audit trail share: an installation, events put into acme's trail, and the trail read and proven
 * again. */
#pragma once

#include "tests/unit/cloud_fixture.h"

#include "base/file.h"
#include "cloud/audit_form.h"
#include "cloud/audit_move.h"
#include "cloud/people.h"
#include "cloud/schema.h"

static struct fixture fx;
static struct db *db;
static struct scope sc;
static const struct who hr = {
    .is = WHO_BOOTSTRAP, .home = "acme", .has_token = true, .token = {7}, .address = "192.0.2.7"};

static inline int make(void **state)
{
    (void)state;
    fixture_make(&fx);
    db = fx.db;
    sc = fixture_scope(&fx, "acme");
    return 0;
}

static inline int unmake(void **state)
{
    (void)state;
    fixture_done(&fx);
    return 0;
}

static inline void reopen(void)
{
    fixture_close(&fx);
    fixture_open(&fx);
    db = fx.db;
    sc = fixture_scope(&fx, "acme");
}

static inline struct subject somebody(const char *name)
{
    const struct person_set set = {.name = name};
    struct person p;
    struct subject s;
    assert_int_equal(people_create(fx.c, db, "acme", &set, &p), 0);
    memcpy(s.id, p.id, ID_LEN);
    memcpy(s.key, p.key, ID_LEN);
    return s;
}

static inline struct audit_event event(const char *kind, const struct subject *subjects, size_t n)
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

static inline void put(const struct audit_event *e)
{
    struct scope s = fixture_begin(&fx, "acme");
    assert_int_equal(audit_put(&s, e), 0);
    fixture_commit(&fx);
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

static inline int take(void *arg, const struct audit_row *row)
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

static inline void read_all(void)
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

static inline uint64_t length_of(const char *tenant)
{
    struct audit_head h;
    struct scope s = fixture_scope(&fx, tenant);
    assert_int_equal(audit_head(&s, &h), 0);
    return h.seq;
}

static inline void sql(const char *text)
{
    fixture_sql(&fx, text);
}

static inline char *journal_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/state/audit.journal", fx.s.dir);
    return path;
}

static inline struct buf slurp(const char *path)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    assert_int_equal(file_read(path, &b), 0);
    return b;
}

static inline bool holds(const struct buf *b, const void *p, size_t n)
{
    return memmem(b->p, b->len, p, n) != NULL;
}
