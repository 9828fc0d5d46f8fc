/* A person is erased, and no file holds anything of hers: not the store's free space, no ring; and no old copy of
 * either brings her back. */
#include <fcntl.h>

#include "tests/unit/cloud_erased.h"

/* Store, log of the store, rings and KEKs here and in escrow. */
static void read_files(struct fixture *x, struct buf *ret)
{
    static const char *const files[] = {"state/store.db",          "state/store.db-wal",     "state/store.db-shm",
                                        "state/keyring/acme/ring", "state/keyring/acme/kek", "escrow0/acme/ring",
                                        "escrow0/acme/kek",        "escrow1/acme/ring",      "escrow1/acme/kek"};
    char path[256];
    buf_init(ret, (size_t)256 << 20);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", x->dir, files[i]);
        file_read(path, ret);
    }
}

/* Eight bytes each, from everywhere in sealed rows: random, so that none is anywhere by chance. */
struct slices {
    size_t n;
    uint64_t v[400000];
};

static void slice(struct slices *s, struct bytes b)
{
    for (size_t at = 0; at + 8 <= b.n && s->n < ARRAY_LEN(s->v); at += 8)
        memcpy(&s->v[s->n++], b.p + at, 8);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static size_t search(struct fixture *x, struct slices *s)
{
    struct buf b;
    size_t found = 0;
    read_files(x, &b);
    qsort(s->v, s->n, sizeof s->v[0], by_value);
    for (size_t at = 0; at + 8 <= b.len; at++) {
        uint64_t v;
        memcpy(&v, b.p + at, 8);
        found += bsearch(&v, s->v, s->n, sizeof v, by_value) != NULL;
    }
    buf_done(&b);
    return found;
}

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    assert_int_equal(file_read(from, &b), 0);
    assert_int_equal(file_write(to, buf_bytes(&b), 0600), 0);
    buf_done(&b);
}

static void slice_rows(struct fixture *x, struct slices *ret, const char *sql)
{
    struct db_stmt *s;
    assert_int_equal(db_stmt(x->db, sql, &s), 0);
    while (db_step(s) == DB_ROW)
        slice(ret, db_blob(s, 0));
    db_done(s);
}

/* Rows of many people among each other, moved by claims, so that pages are filled, split and balanced. */
static void nothing_is_left_in_the_files(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    struct slices *s = calloc(1, sizeof *s), *kek = calloc(1, sizeof *kek), *moved = calloc(1, sizeof *moved);
    char path[256];
    struct buf b;
    assert_true(s != NULL && kek != NULL && moved != NULL);
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    for (unsigned i = 0; i < RECS_MAX; i++)
        tgw_punch(g, i % 8, now - (i * 7 % 9) * DAY_US);
    for (uint64_t at = 0; at < RECS_MAX; at += 64)
        assert_int_equal(send_seg(x, g, g->seg, at, 64), (int64_t)at + 64);
    slice_rows(x, moved, "SELECT sealed FROM punch UNION ALL SELECT sealed FROM waiting");
    for (unsigned i = 0; i < 4; i++) {
        give(x, &anna, i, TIME_MIN, TIME_MAX);
        give(x, &bert, 4 + i, TIME_MIN, TIME_MAX);
    }
    buf_init(&b, 64);
    snprintf(path, sizeof path, "%s/keyring/acme/kek", x->state);
    assert_int_equal(file_read(path, &b), 0);
    slice(kek, buf_bytes(&b));
    buf_done(&b);
    assert_true(search(x, kek) == 3 * kek->n && search(x, moved) > 0); /* the search finds what is there */
    erase(x, &bert);
    assert_int_equal(search(x, kek), 0);
    assert_int_equal(search(x, moved), 0); /* as they were before the claims */
    slice_rows(x, s,
               "SELECT sealed FROM punch UNION ALL SELECT sealed FROM credential UNION ALL"
               " SELECT sealed FROM person");
    assert_true(search(x, s) >= s->n);
    erase(x, &anna);
    assert_int_equal(search(x, s), 0);
    free(s);
    free(kek);
    free(moved);
    tgw_free(g);
}

static void put_row(struct db *db, int64_t day, uint8_t k, size_t n, struct slices *ret)
{
    static uint8_t row[5000];
    uint8_t key[16];
    struct db_stmt *s;
    assert_int_equal(crypto_random(row, n), 0);
    assert_int_equal(crypto_random(key, sizeof key), 0);
    assert_int_equal(db_stmt(db, "INSERT INTO t(day, ref, pid, sealed) VALUES(?1, ?2, ?3, ?4)", &s), 0);
    db_bind_int(s, 1, day);
    db_bind_int(s, 2, k);
    db_bind_blob(s, 3, BYTES(key, sizeof key));
    db_bind_blob(s, 4, BYTES(row, n));
    assert_int_equal(db_must(s), 0);
    if (ret != NULL)
        slice(ret, BYTES(row, n));
}

/* What SQLite itself leaves: copies of moved cells in the free space of its pages, whatever secure_delete says. */
static void scrub_clears_between_the_cells(void **state)
{
    struct fixture *x = *state;
    static const size_t sizes[] = {286, 286, 286, 540, 1300, 5000};
    struct db_gate *gate;
    struct db *db;
    char path[160];
    struct slices *s = calloc(1, sizeof *s);
    assert_non_null(s);
    fixture_close(x);
    snprintf(path, sizeof path, "%s/store.db", x->state); /* in the store's place, for the search */
    for (const char *const *e = (const char *const[]){"", "-wal", "-shm", NULL}; *e != NULL; e++) {
        char file[200];
        snprintf(file, sizeof file, "%s%s", path, *e);
        unlink(file);
    }
    assert_int_equal(db_gate_new(&gate), 0);
    assert_int_equal(db_open(path, true, gate, &db), 0);
    assert_int_equal(db_script(db, "CREATE TABLE t(day INTEGER NOT NULL, ref INTEGER NOT NULL, pid BLOB NOT NULL,"
                                   " sealed BLOB NOT NULL, PRIMARY KEY(day, ref, pid)) WITHOUT ROWID"),
                     0);
    for (unsigned batch = 0; batch < 160; batch++) {
        assert_int_equal(db_begin(db), 0);
        for (unsigned i = 0; i < 50; i++) {
            uint8_t k = (uint8_t)(rand() % 100);
            put_row(db, rand() % 40, k, sizes[rand() % 6], k < 20 ? s : NULL);
        }
        assert_int_equal(db_commit(db), 0);
    }
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(db_script(db, "DELETE FROM t WHERE ref < 20"), 0);
    assert_int_equal(db_commit(db), 0);
    assert_true(search(x, s) > 0);
    assert_int_equal(db_scrub(db, 4096), DB_BUSY);
    assert_int_equal(db_scrub(db, 0), 0);
    assert_int_equal(search(x, s), 0);
    db_close(db);
    db_gate_free(gate);
    free(s);
}

/* A store of before the erasure beside the keyring of after it: she is not there, her card brings nothing back. */
static void an_old_store_is_brought_along(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = gateway(x);
    int64_t now = clock_real();
    char store[160], saved[160];
    struct person anna = make(x, "Anna"), bert = make(x, "Bert"), p;
    struct keyring *ring;
    struct credential_list l;
    give(x, &anna, 1, TIME_MIN, TIME_MAX);
    give(x, &bert, 2, TIME_MIN, TIME_MAX);
    tgw_punch(g, 1, now);
    tgw_punch(g, 2, now);
    send_all(x, g);
    snprintf(store, sizeof store, "%s/store.db", x->state);
    snprintf(saved, sizeof saved, "%s/saved.db", x->dir);
    fixture_close(x); /* checkpointed */
    copy_file(store, saved);
    fixture_open(x);
    erase(x, &anna);
    struct person carl = make(x, "Carl");
    erase(x, &carl);
    fixture_close(x);
    copy_file(saved, store);

    fixture_open(x);
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    assert_int_equal(keyring_generation(ring), 3);
    assert_int_equal(people_get(x->c, x->db, TENANT, anna.id, &p), CLOUD_ABSENT);
    assert_int_equal(credential_list(x->c, x->db, TENANT, anna.id, &l), CLOUD_ABSENT);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM person"), 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM credential"), 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM erasure"), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 1);
    tgw_punch(g, 1, now + 1);
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), 3);
    assert_int_equal(counted(x, INGEST_ERASED), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    tgw_free(g);
}

/* An old ring opens nothing beside the KEK of now, and a keyring older than the store is not taken. */
static void an_old_ring_opens_nothing(void **state)
{
    struct fixture *x = *state;
    static const char *const dirs[] = {"state/keyring/acme", "escrow0/acme", "escrow1/acme"};
    char from[200], to[200];
    struct cloud *c = NULL;
    struct person anna = make(x, "Anna"), bert = make(x, "Bert"), p;
    fixture_close(x);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            snprintf(from, sizeof from, "%s/%s/%s", x->dir, dirs[i], k ? "kek" : "ring");
            snprintf(to, sizeof to, "%s/old-%zu-%s", x->dir, i, k ? "kek" : "ring");
            copy_file(from, to);
        }
    fixture_open(x);
    erase(x, &anna);
    fixture_close(x);
    /* one old ring: healed from the others */
    snprintf(from, sizeof from, "%s/old-0-ring", x->dir);
    snprintf(to, sizeof to, "%s/%s/ring", x->dir, dirs[0]);
    copy_file(from, to);
    fixture_open(x);
    assert_int_equal(people_get(x->c, x->db, TENANT, bert.id, &p), 0);
    fixture_close(x);
    /* all of them */
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/old-%zu-ring", x->dir, i);
        snprintf(to, sizeof to, "%s/%s/ring", x->dir, dirs[i]);
        copy_file(from, to);
    }
    assert_true(cloud_open(&x->set, &c) != 0);
    /* with a thief's KEK beside them, and even without the tombstones */
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/old-%zu-kek", x->dir, i);
        snprintf(to, sizeof to, "%s/%s/kek", x->dir, dirs[i]);
        copy_file(from, to);
    }
    assert_true(cloud_open(&x->set, &c) != 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(to, sizeof to, "%s/%s/tombstones", x->dir, dirs[i]);
        assert_int_equal(unlink(to), 0);
    }
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_EPOCH);
    assert_null(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(nothing_is_left_in_the_files),
        T(scrub_clears_between_the_cells),
        T(an_old_store_is_brought_along),
        T(an_old_ring_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
