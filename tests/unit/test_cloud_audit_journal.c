/* The audit journal: what is durable in it, what is moved out of it, and what becomes of one that is torn or damaged.
 */
#include "tests/unit/cloud_trail.h"

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cloud/audit_journal.h"

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

/* Where there is always one on its way into the file. */
static void it_begins_anew_while_others_add(void **state)
{
    (void)state;
    enum { THREADS = 6, TIMES = 20 };
    char path[4096];
    struct adding a = {.left = THREADS};
    pthread_t t[THREADS];
    snprintf(path, sizeof path, "%s/journal-busy", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 64 << 20, &a.j), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, &a), 0);
    for (int i = 0; i < TIMES; i++) {
        struct audit_journal_place place;
        assert_int_equal(audit_journal_hold(a.j), 0);
        audit_journal_place(a.j, &place);
        assert_int_equal(audit_journal_renew(a.j, place.end), 0);
        audit_journal_go_on(a.j);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    audit_journal_close(a.j);
    assert_int_equal(a.failed, 0);
}

/* A program that cannot open another file. */
static void no_more_files(bool no)
{
    static struct rlimit before;
    struct rlimit l = before;
    if (no) {
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        l = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* Nothing goes into a file that the next start would not find. */
static void one_that_cannot_be_made_anew_is_left_as_it_is_found(void **state)
{
    (void)state;
    char path[128];
    struct audit_journal *j = NULL;
    struct bodies got = {0};
    uint64_t end = 0, pos = 0;
    snprintf(path, sizeof path, "%s/anew", fx.s.dir);
    assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("one"), &end), 0);
    no_more_files(true);
    assert_int_equal(audit_journal_renew(j, end), -EMFILE);
    assert_int_equal(audit_journal_add(j, BYTES_STR("two"), NULL), 0); /* it has its name still */
    assert_int_equal(audit_journal_abandon(j, 0), -EMFILE);
    assert_int_equal(audit_journal_add(j, BYTES_STR("three"), NULL), -EIO);
    assert_int_equal(audit_journal_abandon(j, 0), -EMFILE);
    no_more_files(false);
    assert_int_equal(audit_journal_abandon(j, 0), 0);
    assert_int_equal(audit_journal_add(j, BYTES_STR("four"), NULL), 0);
    audit_journal_close(j);
    assert_int_equal(audit_journal_open(path, 1 << 20, &j), 0);
    assert_int_equal(audit_journal_read(j, AUDIT_JOURNAL_HEADER, 16, body, &got, &pos), 0);
    audit_journal_close(j);
    assert_int_equal(got.n, 1);
    assert_string_equal(got.text[0], "four");
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

/* ---- damaged ---- */

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

/* ---- on its way into the trail ---- */

/* What was noted before a kill is in the trail after the next start, once, however often the journal is put back. */
static void a_kill_loses_nothing_and_doubles_nothing(void **state)
{
    (void)state;
    const struct subject anna = somebody("Anna");
    struct audit_event e = event("people.read", &anna, 1);
    struct audit_journal_place place;
    struct audit_journal *j = NULL;
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    fixture_close(&fx);
    /* a process that was killed after its answers: entries in the file that nobody moved, and half of one */
    fixture_open(&fx);
    db = fx.db;
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
    fixture_close(&fx); /* moves them, and begins the file anew */

    assert_int_equal(buf_add(&image, "\0\0\1\0torn", 8), 0);
    assert_int_equal(file_write(journal_path(), buf_bytes(&image), 0600), 0);
    for (int again = 0; again < 2; again++) {
        fixture_open(&fx);
        assert_int_equal(audit_settle(fx.c, 10000), 0);
        db = fx.db;
        assert_int_equal(scope_init(fx.c, db, "acme", &sc), 0);
        read_all();
        assert_int_equal(told.n, 5);
        for (size_t i = 0; i < told.n; i++)
            assert_memory_equal(told.rows[i].whose[0].who.id, anna.id, ID_LEN);
        if (again == 0) {
            fixture_close(&fx);
        }
    }
    assert_int_equal(audit_journal_open(journal_path(), 1 << 20, &j), 0);
    audit_journal_place(j, &place);
    assert_int_equal(place.end, AUDIT_JOURNAL_HEADER);
    audit_journal_close(j);
}

static size_t kept_aside(void)
{
    glob_t g;
    char pattern[160];
    snprintf(pattern, sizeof pattern, "%s*.bad", journal_path());
    size_t n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
    globfree(&g);
    return n;
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

/* ---- as fast as it goes ---- */

struct reading {
    atomic_bool stop;
    atomic_int failed;
};

static void *read_on(void *arg)
{
    struct reading *x = arg;
    struct db *own = NULL;
    struct audit_event e = event("people.read", NULL, 0);
    if (cloud_db_take(fx.c, &own) != 0)
        abort();
    while (!atomic_load(&x->stop))
        if (audit_note(fx.c, own, "acme", &e) != 0)
            atomic_fetch_add(&x->failed, 1);
    cloud_db_give(fx.c, own);
    return NULL;
}

static uint64_t generation_on_disk(void)
{
    struct buf CLEANUP(buf_done) image = slurp(journal_path());
    uint64_t generation = 0;
    assert_int_not_equal(audit_journal_valid(buf_bytes(&image), &generation), 0);
    return generation;
}

/* It does not grow until it is full: who reads all the time is never refused, and nothing is lost or doubled. */
static void a_busy_journal_begins_anew(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct reading x = {.failed = 0};
    pthread_t t[THREADS];
    struct audit_counts counts;
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    uint64_t first = generation_on_disk(), before = length_of("acme");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, read_on, &x), 0);
    for (int i = 0; i < 6000 && generation_on_disk() < first + 2; i++)
        usleep(10000);
    uint64_t last = generation_on_disk();
    atomic_store(&x.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_true(last >= first + 2);
    assert_int_equal(x.failed, 0);
    assert_int_equal(audit_settle(fx.c, 30000), 0);
    audit_counts(fx.c, &counts);
    assert_int_equal(counts.lost, 0);
    assert_int_equal(counts.moved, counts.noted);
    assert_int_equal(length_of("acme"), before + counts.noted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_torn_tail_is_cut, make, unmake),
        cmocka_unit_test_setup_teardown(who_wakes_after_the_file_began_anew_is_durable, make, unmake),
        cmocka_unit_test_setup_teardown(a_full_journal_refuses, make, unmake),
        cmocka_unit_test_setup_teardown(it_begins_anew_while_others_add, make, unmake),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_made_anew_is_left_as_it_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(an_empty_journal_begins_anew, make, unmake),
        cmocka_unit_test_setup_teardown(nothing_that_was_durable_is_cut_away, make, unmake),
        cmocka_unit_test_setup_teardown(a_kill_loses_nothing_and_doubles_nothing, make, unmake),
        cmocka_unit_test_setup_teardown(what_stands_before_the_damage_is_in_the_trail, make, unmake),
        cmocka_unit_test_setup_teardown(a_busy_journal_begins_anew, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
