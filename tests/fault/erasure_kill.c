/* An erasure is killed at each of its steps in turn, and the installation opened again: what was journalled has
 * happened, what was not has not, and in either case everybody else's punches are all readable and ingest goes on.
 * Where the person is gone, neither the KEK nor a row of before is in any file.
 *
 * The parent forks for the erasure; the child kills itself at the Nth pass of FAULT_KILL("erase"). Run with --child DIR
 * N it is the child. Between the killed one and the next look a second one may be killed while it rolls forward. */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "cloud/erasure.h"
#include "cloud/keyring.h"
#include "tests/unit/cloud_gateway.h"

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};

static void settings_of(const char *dir, struct settings *set, char paths[3][96], char *escrow[2])
{
    snprintf(paths[0], 96, "%s/state", dir);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[1 + i], 96, "%s/escrow%d", dir, i);
        escrow[i] = paths[1 + i];
    }
    *set = (struct settings){
        .state = paths[0], .escrow = {.items = escrow, .n = 2}, .ingest = {.queue = 16, .batch_ms = 50}};
}

/* Erases the person unless she is erased already; 0 also then. */
static int child(const char *dir, const char *person)
{
    char paths[3][96], *escrow[2];
    struct settings set;
    struct cloud *c;
    struct db *db;
    struct erasure e;
    uint8_t id[ID_LEN];
    settings_of(dir, &set, paths, escrow);
    if (str_unhex(person, id, ID_LEN) != 0 || crypto_init() != 0 || cloud_open(&set, &c) != 0 ||
        cloud_db_take(c, &db) != 0)
        return 2;
    int r = erasure_make(c, db, TENANT, id, &asked, &e);
    cloud_db_give(c, db);
    cloud_close(c);
    return r == 0 ? 0 : r == CLOUD_ABSENT ? 4 : 3;
}

/* 0: it was not killed. */
static bool run_child(const struct fixture *x, const struct person *p, unsigned at)
{
    char self[] = "/proc/self/exe", arg[] = "--child", dir[64], id[2 * ID_LEN + 1], kill_at[48];
    char *argv[] = {self, arg, dir, id, NULL}, *env[] = {kill_at, NULL};
    pid_t pid;
    int status;
    snprintf(dir, sizeof dir, "%s", x->dir);
    str_hex(p->id, ID_LEN, id);
    snprintf(kill_at, sizeof kill_at, "PUNCH_FAULT_KILL=erase:%u", at);
    assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, env), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 4);
    return false;
}

static bool contains(const char *path, struct bytes needle)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    bool found = file_read(path, &b) == 0 && memmem(b.p, b.len, needle.p, needle.n) != NULL;
    buf_done(&b);
    return found;
}

static struct bytes needle;
static unsigned hits;

static int look(const char *path, const struct stat *st, int type, struct FTW *f)
{
    hits += type == FTW_F && contains(path, needle);
    return 0;
}

static unsigned search(const struct fixture *x, struct bytes what)
{
    needle = what;
    hits = 0;
    assert_int_equal(nftw(x->dir, look, 16, FTW_PHYS), 0);
    return hits;
}

struct building {
    struct fixture *x;
    struct tgw *g;
    struct person anna, bert;
    uint8_t kek[CRYPTO_KEY], row[24];
};

static struct building setup(void)
{
    struct building b = {.x = fixture_new()};
    struct fixture *x = b.x;
    struct credential c;
    struct cred cards[] = {card(1), card(2), card(3)};
    char path[128];
    struct buf kek;
    struct db_stmt *s;
    int64_t now = clock_real();
    b.g = tgw_new(x, "hq");
    age(x);
    for (unsigned i = 0; i < 60; i++)
        tgw_punch(b.g, 1 + i % 3, now - (i % 5) * DAY_US);
    send_all(x, b.g);
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &b.anna), 0);
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Bert"}, &b.bert), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, b.anna.id, &cards[0], 0, TIME_MIN, TIME_MAX, &c, NULL), 0);
    /* given back: what comes after waits, and is under a fresh key after the erasure */
    assert_int_equal(
        credential_assign(x->c, x->db, TENANT, b.anna.id, &cards[2], 0, TIME_MIN, now - 3 * DAY_US, &c, NULL), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, b.bert.id, &cards[1], 0, TIME_MIN, TIME_MAX, &c, NULL), 0);
    assert_int_equal(db_stmt(x->db, "SELECT sealed FROM person WHERE id = ?1", &s), 0);
    db_bind_blob(s, 1, BYTES(b.anna.id, ID_LEN));
    assert_int_equal(db_step(s), DB_ROW);
    memcpy(b.row, db_blob(s, 0).p + 40, sizeof b.row);
    db_done(s);
    snprintf(path, sizeof path, "%s/keyring/%s/kek", x->state, TENANT);
    buf_init(&kek, 64);
    assert_int_equal(file_read(path, &kek), 0);
    memcpy(b.kek, kek.p, CRYPTO_KEY);
    buf_done(&kek);
    fixture_close(x);
    assert_int_equal(search(x, BYTES(b.kek, CRYPTO_KEY)), 3); /* the search finds what is there */
    assert_int_equal(search(x, BYTES(b.row, sizeof b.row)), 1);
    return b;
}

static void teardown(struct building *b)
{
    tgw_free(b->g);
    fixture_done(b->x);
}

struct events {
    size_t begun, done;
};

static int count_event(void *arg, const struct audit_row *row)
{
    struct events *n = arg;
    n->begun += strstr(row->core, "\"kind\":\"erasure.begun\"") != NULL;
    n->done += strstr(row->core, "\"kind\":\"erasure.done\"") != NULL;
    return 0;
}

/* Exactly once each, whichever transaction it was that came through. */
static void check_trail(struct fixture *x, bool gone)
{
    struct events n = {0};
    struct audit_reader *reader;
    struct scope s;
    uint64_t next;
    assert_int_equal(scope_init(x->c, x->db, TENANT, &s), 0);
    assert_int_equal(audit_reader_new(false, &reader), 0);
    assert_int_equal(audit_each(reader, &s, 1, 1000, count_event, &n, &next), 0);
    audit_reader_free(reader);
    assert_int_equal(n.begun, gone);
    assert_int_equal(n.done, gone);
}

/* True: she is gone. */
static bool check(struct building *b)
{
    struct fixture *x = b->x;
    struct person p;
    struct keyring *ring;
    fixture_open(x);
    int r = people_get(x->c, x->db, TENANT, b->anna.id, &p);
    assert_true(r == 0 || r == CLOUD_ABSENT);
    bool gone = r != 0;
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    assert_true(keyring_settled(ring));
    assert_int_equal(keyring_generation(ring), gone ? 2 : 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM erasure"), gone);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM erasure WHERE done = 0"), 0);
    check_trail(x, gone);
    assert_int_equal(ask_n(x, PUNCH_ALL, b->bert.id), 20);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 16);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 36 + (gone ? 0 : 24));
    if (!gone)
        assert_int_equal(ask_n(x, PUNCH_ALL, b->anna.id), 24);
    tgw_punch(b->g, 1, clock_real()); /* hers, late or not; and everybody's goes on */
    tgw_punch(b->g, 2, clock_real());
    tgw_punch(b->g, 4, clock_real()); /* a new key */
    assert_int_equal(send_seg(x, b->g, b->g->seg, 60, 3), 63);
    assert_int_equal(ask_n(x, PUNCH_ALL, b->bert.id), 21);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 36 + 2 + (gone ? 0 : 25));
    fixture_close(x);
    assert_int_equal(search(x, BYTES(b->kek, CRYPTO_KEY)), gone ? 0 : 3);
    assert_int_equal(search(x, BYTES(b->row, sizeof b->row)), gone ? 0 : 1);
    fixture_open(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 36 + 2 + (gone ? 0 : 25));
    fixture_close(x);
    return gone;
}

static void killed_at_every_step(void **state)
{
    bool killed = true, gone_before = false;
    unsigned at = 1, first_gone = 0;
    for (; killed; at++) {
        struct building b = setup();
        killed = run_child(b.x, &b.anna, at);
        bool gone = check(&b);
        assert_true(gone || !gone_before); /* one point decides */
        if (gone && !gone_before)
            first_gone = at;
        gone_before = gone;
        teardown(&b);
    }
    print_message("%u steps, journalled at %u\n", at - 2, first_gone);
    assert_true(at > 25 && first_gone > 5 && first_gone < at - 5);
}

/* Each step of the roll-forward is killed, too, again and again until it gets through. */
static void killed_while_it_rolls_forward(void **state)
{
    unsigned rounds = 0;
    for (unsigned first = 1; first <= 40; first += 3) {
        struct building b = setup();
        bool killed = run_child(b.x, &b.anna, first);
        for (unsigned at = 1 + first % 3; killed && at < 60; at += 2, rounds++)
            killed = run_child(b.x, &b.anna, at);
        assert_false(killed);
        assert_true(check(&b));
        teardown(&b);
    }
    print_message("%u times killed on the way\n", rounds);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return child(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_step),
        cmocka_unit_test(killed_while_it_rolls_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
