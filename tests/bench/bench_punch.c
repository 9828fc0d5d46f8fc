/* A serial reader on a pty that knows when its punches are stored, and beside it a bare LMDB.
 *
 *   bench_punch LINK SOCKET FOLDER
 *
 * Prints `ready`. Then, by lines on standard input:
 *   latency COUNT RATE   so many punches and so many bare commits in turn, each RATE a second; prints `punch NS`,
 *                        `commit NS` and `commit_cpu NS` (of this thread, for one commit), then `done`
 *   flood COUNT          punches as fast as they are stored; prints `stored COUNT NS`, then `done`
 *
 * A punch's time runs from before the write of its frame into the pty until its line of `tail` is here. That is printed
 * when the transaction is committed and synced, so the time holds: the kernel's line, the worker's read, dedup, seal,
 * commit, and the way of the line through the control socket to this process. A bare commit is one record of the same
 * size, with the spool's flags and map size, in an environment on the same file system; its time is that of
 * mdb_txn_begin() to mdb_txn_commit() alone. Both are in turn, so that neither has the quieter disk. */
#include <fcntl.h>
#include <lmdb.h>
#include <pty.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "daemon/spool_impl.h"
#include "tests/bench/bench.h"
#include "wire/upload.h"

#define MAP_SIZE ((size_t)256 << 20) /* the default budget */
#define IN_FLIGHT 200                /* frames: below the pty's buffer and the gateway's queue */
#define STALLED_S 20

static int line = -1, tail = -1;
static MDB_env *env;
static MDB_dbi dbi;
static uint64_t cards;

static void make_line(const char *link)
{
    int slave;
    struct termios t;
    MUST(openpty(&line, &slave, NULL, NULL, NULL)); /* the slave stays open: the gateway may come and go */
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    tcsetattr(slave, TCSANOW, &t);
    unlink(link);
    MUST(symlink(ttyname(slave), link));
}

static void make_env(const char *dir)
{
    MDB_txn *txn = NULL;
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, TABLES));
    MUST(mdb_env_set_mapsize(env, MAP_SIZE / 4 * 5));
    MUST(mdb_env_open(env, dir, MDB_NOLOCK | MDB_NORDAHEAD, 0600));
    MUST(mdb_txn_begin(env, NULL, 0, &txn));
    MUST(mdb_dbi_open(txn, "rec", MDB_CREATE, &dbi));
    MUST(mdb_txn_commit(txn));
}

static void commit(uint64_t index)
{
    uint8_t key[ROW_KEY_REC], value[REC_EXTRA + RECORD_SEALED_MIN];
    MDB_txn *txn = NULL;
    row_key_rec(0, index, key);
    memset(value, (int)index, sizeof value);
    MDB_val k = {.mv_size = sizeof key, .mv_data = key}, v = {.mv_size = sizeof value, .mv_data = value};
    MUST(mdb_txn_begin(env, NULL, 0, &txn));
    MUST(mdb_put(txn, dbi, &k, &v, MDB_APPEND));
    MUST(mdb_txn_commit(txn));
}

static void make_tail(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = STALLED_S};
    if (tail >= 0)
        close(tail);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    tail = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    setsockopt(tail, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(tail, (struct sockaddr *)&addr, sizeof addr) != 0 || send(tail, "tail", 4, 0) != 4)
        DIE("no tail at %s", path);
    usleep(300000); /* the request is answered with punches only */
}

/* A fresh card in an RDM6300 frame: 02, ten digits, two of check, 03. */
static void punch(void)
{
    uint64_t n = 0x6700000000u + ++cards;
    unsigned check = 0;
    char frame[16];
    for (int i = 0; i < 5; i++)
        check ^= (unsigned)(n >> 8 * i) & 0xff;
    int len = snprintf(frame, sizeof frame, "\x02%010llX%02X\x03", (unsigned long long)n, check);
    if (write(line, frame, (size_t)len) != len)
        DIE("the pty is full");
}

/* Lines of the tail that arrive together. */
static size_t heard(void)
{
    static char p[65537];
    size_t lines = 0;
    ssize_t n = recv(tail, p, sizeof p, 0);
    if (n <= 0 || p[0] != 'o')
        DIE("the tail ended or stalled");
    for (ssize_t i = 1; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

static void latency(uint64_t count, uint64_t rate)
{
    static uint64_t index;
    int64_t half = 500000000 / (int64_t)rate, at = now_ns() + half;
    for (uint64_t i = 0; i < count; i++) {
        sleep_until(at);
        int64_t began = now_ns();
        punch();
        while (heard() == 0)
            ;
        printf("punch %lld\n", (long long)(now_ns() - began));
        sleep_until(at + half);
        int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        began = now_ns();
        commit(index++);
        printf("commit %lld\n", (long long)(now_ns() - began));
        printf("commit_cpu %lld\n", (long long)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu));
        at += 2 * half;
        if (at < now_ns()) /* no burst after a stall */
            at = now_ns() + half;
    }
}

static void flood(uint64_t count)
{
    uint64_t sent = 0, stored = 0;
    int64_t began = now_ns();
    while (stored < count) {
        for (; sent < count && sent - stored < IN_FLIGHT; sent++)
            punch();
        stored += heard();
    }
    printf("stored %llu %lld\n", (unsigned long long)stored, (long long)(now_ns() - began));
}

int main(int argc, char **argv)
{
    char command[64], what[16], a[24], b[24];
    if (argc != 4)
        DIE("usage: bench_punch LINK SOCKET FOLDER");
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_line(argv[1]);
    make_env(argv[3]);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        int n = sscanf(command, "%15s %23s %23s", what, a, b);
        make_tail(argv[2]);
        if (n == 3 && strcmp(what, "latency") == 0)
            latency(number(a), number(b));
        else if (n == 2 && strcmp(what, "flood") == 0)
            flood(number(a));
        else
            DIE("unknown command: %s", command);
        puts("done");
    }
    unlink(argv[1]);
    return 0;
}
