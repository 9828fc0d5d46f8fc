/* What fails, and that nothing is lost or doubled by it: escrow away, a full disk, SIGKILL at any moment, writers
 * beside each other. Run with --child DIR it is the process that is killed: messages come on its standard input, acks
 * leave on its standard output. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/cloud_gateway.h"

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

/* ---- escrow ---- */

static void no_ack_under_a_key_that_escrow_lacks(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct person p;
    tgw_punch(g, 1, clock_real());
    send_all(x, g);
    fixture_unmount(x, 1);
    tgw_punch(g, 1, clock_real()); /* its waiting key is in escrow */
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2);
    tgw_punch(g, 2, clock_real()); /* a new card needs a new key */
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), -1);
    assert_int_equal(counted(x, INGEST_COMMIT_FAILURES), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    assert_true(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &p) < 0);
    assert_false(cloud_ready(x->c));
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2); /* what is committed is still acknowledged */

    fixture_mount(x, 1);
    assert_int_equal(send_seg(x, g, g->seg, 2, 1), 3);
    assert_true(cloud_ready(x->c));
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &p), 0);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    /* our own copy is lost: escrow has every key that was acknowledged under */
    char own[128];
    snprintf(own, sizeof own, "%s/keyring/%s", x->state, TENANT);
    fixture_close(x);
    tmp_remove(own);
    fixture_open(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    tgw_free(g);
}

/* Noticed without a new key; a new disk is taken into use on somebody's word only, and then gets all keys. */
static void a_new_disk_is_adopted(void **state)
{
    struct fixture *x = *state;
    char id[ESCROW_ID];
    struct tenant t;
    assert_true(cloud_ready(x->c));
    fixture_unmount(x, 1);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_false(cloud_ready(x->c));
    assert_true(tenant_add(x->c, x->db, "zeta", &t) < 0);
    assert_int_equal(rmdir(x->escrow[1]), 0); /* nothing came there */
    assert_int_equal(mkdir(x->escrow[1], 0700), 0);

    assert_int_equal(escrow_id(x->state, id), 0);
    assert_int_equal(escrow_adopt(x->escrow[1], id), 0);
    assert_int_equal(ingest_sweep(x->in, clock_real()), 0);
    assert_true(cloud_ready(x->c));
    assert_int_equal(tenant_add(x->c, x->db, "zeta", &t), 0);
    fixture_close(x);
    tmp_remove(x->escrow[0]);
    x->set.escrow = (struct conf_list){.items = x->escrow + 1, .n = 1};
    const char *const tenants[] = {TENANT, "zeta"};
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++) {
        char own[128];
        snprintf(own, sizeof own, "%s/keyring/%s", x->state, tenants[i]);
        tmp_remove(own);
    }
    fixture_open(x);
}

/* ---- a full disk ---- */

/* Files may not grow beyond what they are: writes fail as on a full disk. Only the soft limit, to be raised again. */
static void disk_full(struct fixture *x, rlim_t extra)
{
    struct rlimit l;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/store.db-wal", x->state);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = (rlim_t)st.st_size + extra;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void disk_free(void)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void full_disk_loses_and_doubles_nothing(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned i = 0; i < 200; i++)
        tgw_punch(g, i % 7, clock_real() + i);
    uint64_t next = 0;
    unsigned failures = 0;
    for (rlim_t extra = 0; next < 200; extra = (extra + 5000) % 60000) {
        size_t n = next + 11 <= 200 ? 11 : 200 - next;
        disk_full(x, extra);
        int64_t r = send_seg(x, g, g->seg, next, n);
        disk_free();
        if (r < 0) {
            failures++;
            assert_int_equal(ask_n(x, PUNCH_ALL, NULL), next);
            r = send_seg(x, g, g->seg, next, n);
        }
        assert_int_equal(r, (int64_t)(next + n));
        next = (uint64_t)r;
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_true(failures > 0);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 200);
    fixture_restart(x);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 200);
    tgw_free(g);
}

/* ---- too many unknown cards ---- */

static void beyond_the_limit_waiting_cards_share_a_key(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct keyring *ring;
    struct person p;
    struct credential c;
    struct cred cred = card(3);
    uint64_t n;
    int64_t now = clock_real();
    /* as if so many had been seen */
    assert_int_equal(db_script(x->db, "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 10000)"
                                      "INSERT INTO waiting(tenant_id, cidx, key_id, sealed)"
                                      " SELECT 'acme', randomblob(16), randomblob(16), x'00' FROM i"),
                     0);
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    size_t keys = keyring_count(ring);
    for (unsigned i = 0; i < 20; i++)
        tgw_punch(g, i % 5, now + i);
    send_all(x, g);
    assert_int_equal(keyring_count(ring), keys + 1);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 20);
    /* a claim takes its own card's punches and no other's */
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &p), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p.id, &cred, RENDER_HEX, now + 5, TIME_MAX, &c, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, p.id), 3);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 17);
    tgw_free(g);
}

/* ---- SIGKILL ---- */

static bool transfer(int fd, void *p, size_t n, bool in)
{
    for (size_t at = 0; at < n;) {
        ssize_t r = in ? read(fd, (char *)p + at, n - at) : write(fd, (char *)p + at, n - at);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        at += (size_t)r;
    }
    return true;
}

static void child_ack(void *arg, const char *topic, struct bytes payload)
{
    uint32_t n = (uint32_t)payload.n;
    uint8_t copy[ACK_MSG_MAX];
    memcpy(copy, payload.p, payload.n);
    if (!transfer(1, &n, sizeof n, false) || !transfer(1, copy, n, false))
        _exit(3);
}

static int child(const char *dir)
{
    static uint8_t msg[UPLOAD_MAX];
    char state[96], e0[96], e1[96], topic[TOPIC_MAX];
    char *escrow[] = {e0, e1};
    struct settings set = {
        .state = state, .escrow = {.items = escrow, .n = 2}, .ingest = {.queue = 16, .batch_ms = 50}};
    struct cloud *c;
    struct ingest *in;
    uint32_t n;
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(e0, sizeof e0, "%s/escrow0", dir);
    snprintf(e1, sizeof e1, "%s/escrow1", dir);
    if (crypto_init() != 0 || cloud_open(&set, &c) != 0 || ingest_new(c, child_ack, NULL, &in) != 0)
        return 2;
    while (transfer(0, topic, sizeof topic, true) && transfer(0, &n, sizeof n, true) && n <= sizeof msg &&
           transfer(0, msg, n, true)) {
        ingest_put(in, topic, BYTES(msg, n));
        ingest_step(in, 0);
    }
    ingest_free(in);
    cloud_close(c);
    return 0;
}

struct process {
    pid_t pid;
    int in, out;
};

static struct process start(const char *dir)
{
    struct process p;
    int to[2], from[2];
    char self[] = "/proc/self/exe", arg[] = "--child", where[64];
    char *argv[] = {self, arg, where, NULL};
    posix_spawn_file_actions_t fa;
    snprintf(where, sizeof where, "%s", dir);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, to[0], 0);
    posix_spawn_file_actions_adddup2(&fa, from[1], 1);
    assert_int_equal(posix_spawn(&p.pid, self, &fa, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(to[0]);
    close(from[1]);
    p.in = to[1];
    p.out = from[0];
    return p;
}

static int finish(struct process *p, bool kill_it)
{
    int status;
    if (kill_it)
        kill(p->pid, SIGKILL);
    close(p->in);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    close(p->out);
    return status;
}

/* Strikes a moment after so many acks, however fast this machine is. */
struct killer {
    pid_t pid;
    unsigned after_acks;
    useconds_t and_us;
    atomic_uint acks;
    atomic_bool ended; /* nothing is left to send */
};

static void *strike(void *arg)
{
    struct killer *k = arg;
    while (!atomic_load(&k->ended) && atomic_load(&k->acks) < k->after_acks)
        usleep(100);
    usleep(k->and_us);
    kill(k->pid, SIGKILL);
    return NULL;
}

/* Sends from `next` on until it is struck down; returns how far it was acknowledged. */
static uint64_t feed(struct process *p, const struct tgw *g, uint64_t next, struct killer *k)
{
    char topic[TOPIC_MAX] = "";
    struct buf b;
    topic_make(g->id, TOPIC_UP, topic);
    buf_init(&b, UPLOAD_MAX);
    while (next < g->seg->n) {
        size_t left = g->seg->n - next, n = left < 9 ? left : 9;
        uint8_t msg[ACK_MSG_MAX];
        struct ack a;
        buf_reset(&b);
        tgw_upload(g->seg, next, n, &b);
        uint32_t len = (uint32_t)b.len;
        if (!transfer(p->in, topic, sizeof topic, false) || !transfer(p->in, &len, sizeof len, false) ||
            !transfer(p->in, b.p, b.len, false) || !transfer(p->out, &len, sizeof len, true) ||
            !transfer(p->out, msg, len, true))
            break;
        assert_int_equal(ack_decode(BYTES(msg, len), &a), 0);
        assert_int_equal(ack_check(seg_writer_ack_key(g->seg->w), &a.items[0]), 0);
        assert_true(a.items[0].next >= next); /* what was acknowledged once stays so */
        next = a.items[0].next;
        atomic_fetch_add(&k->acks, 1);
    }
    atomic_store(&k->ended, true);
    buf_done(&b);
    return next;
}

static void killed_at_any_moment(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    uint64_t next = 0;
    uint32_t seed = (uint32_t)clock_real();
    unsigned killed = 0;
    print_message("seed %u\n", seed);
    srand(seed);
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < RECS_MAX; i++)
        tgw_punch(g, i % 50, clock_real() + i);
    fixture_close(x);
    for (int round = 0; round < 200 && next < RECS_MAX; round++) {
        struct process p = start(x->dir);
        struct killer k = {.pid = p.pid, .after_acks = (unsigned)(rand() % 12), .and_us = (useconds_t)(rand() % 5000)};
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, strike, &k), 0);
        next = feed(&p, g, next, &k);
        pthread_join(t, NULL);
        int status = finish(&p, true);
        killed += next < RECS_MAX && WIFSIGNALED(status);
    }
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(next, RECS_MAX);
    assert_true(killed > 5);
    fixture_open(x);

    struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .limit = 1000};
    struct punch_pos pos;
    struct punch_list l;
    uint64_t n = 0;
    q.from = clock_real() - HOUR;
    q.to = q.from + 2 * HOUR;
    do {
        assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
        for (size_t i = 0; i < l.n; i++)
            assert_int_equal(l.items[i].index, n++); /* each once, in order */
        pos = l.next;
        q.after = &pos;
        bool more = l.more;
        punch_list_done(&l);
        if (!more)
            break;
    } while (n <= RECS_MAX);
    assert_int_equal(n, RECS_MAX);
    tgw_free(g);
}

/* ---- side by side ---- */

struct office {
    struct fixture *x;
    atomic_bool stop;
    unsigned made;
    uint64_t claimed;
    int failed;
};

/* The HTTP half: people, assignments, queries, on a connection of its own. */
static void *office_work(void *arg)
{
    struct office *o = arg;
    struct cloud *c = o->x->c;
    struct db *db;
    o->failed = cloud_db_take(c, &db);
    for (unsigned i = 0; i < 20 && o->failed == 0; i++) {
        struct person p;
        struct credential got;
        struct cred cred = card(i);
        struct punch_list l;
        uint64_t n = 0;
        int64_t now = clock_real();
        struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .limit = 100};
        q.from = now - HOUR;
        q.to = now + HOUR;
        o->failed = people_create(c, db, TENANT, &(struct person_set){.name = "Somebody"}, &p);
        if (o->failed == 0)
            o->failed = credential_assign(c, db, TENANT, p.id, &cred, RENDER_HEX, TIME_MIN, TIME_MAX, &got, &n);
        if (o->failed == 0)
            o->failed = query_punches(c, db, &q, &l);
        if (o->failed == 0)
            punch_list_done(&l);
        o->made++;
        o->claimed += n;
    }
    cloud_db_give(c, db);
    return NULL;
}

static void api_and_ingest_side_by_side(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct office o = {.x = x};
    pthread_t t;
    for (unsigned i = 0; i < 600; i++)
        tgw_punch(g, i % 30, clock_real() + i);
    assert_int_equal(pthread_create(&t, NULL, office_work, &o), 0);
    for (uint64_t next = 0; next < 600; next += 10)
        assert_int_equal(send_seg(x, g, g->seg, next, 10), (int64_t)next + 10);
    pthread_join(t, NULL);
    assert_int_equal(o.failed, 0);
    assert_int_equal(o.made, 20);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 400); /* cards 0..19 of 30 */
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 200);
    struct waiting_list l;
    assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, 100, &l), 0);
    assert_int_equal(l.n, 10);
    for (size_t i = 0; i < l.n; i++)
        assert_int_equal(l.items[i].count, 20);
    waiting_list_done(&l);
    tgw_free(g);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0)
        return child(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_ack_under_a_key_that_escrow_lacks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_disk_is_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_loses_and_doubles_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(beyond_the_limit_waiting_cards_share_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(api_and_ingest_side_by_side, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
