/* The registry over the simulators of tests/sim, as the daemon uses it: settings in, sights out, answers in; compared
 * with the ledgers that the simulators keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "readers/registry.h"

#define PYTHON "/usr/bin/python3"
#define SIM SOURCE_DIR "/tests/sim/"
#define PROFILES SOURCE_DIR "/config/profiles"

extern char **environ;

/* ---- simulators ---- */

struct sim {
    pid_t pid;
    int in, out;
    char address[128];
};

/* `line` is the command line after the interpreter, split at blanks. */
static void sim_start(struct sim *s, const char *line)
{
    char copy[1024], *argv[40] = {(char *)(uintptr_t)PYTHON, (char *)(uintptr_t) "-B"}, *save = NULL;
    int in[2], out[2], n = 2;
    posix_spawn_file_actions_t fa;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, in[0], 0);
    posix_spawn_file_actions_adddup2(&fa, out[1], 1);
    assert_int_equal(posix_spawn(&s->pid, PYTHON, &fa, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(in[0]);
    close(out[1]);
    s->in = in[1];
    s->out = out[0];
    char text[160] = "";
    for (size_t len = 0; !strchr(text, '\n') && len < sizeof(text) - 1;) {
        ssize_t got = read(s->out, text + len, sizeof(text) - 1 - len);
        if (got <= 0)
            fail_msg("%s did not start", line);
        len += (size_t)got;
    }
    assert_int_equal(sscanf(text, "ready %127s", s->address), 1);
}

static void sim_say(struct sim *s, const char *command)
{
    dprintf(s->in, "%s\n", command);
}

static void sim_end(struct sim *s, int signo)
{
    kill(s->pid, signo);
    waitpid(s->pid, NULL, 0);
    close(s->in);
    close(s->out);
    s->pid = 0;
}

/* ---- ledgers ---- */

struct ledger {
    json_t *lines;
};

static struct ledger ledger_read(const char *path)
{
    struct ledger l = {.lines = json_array()};
    char line[1024];
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f))
        json_array_append_new(l.lines, json_loads(line, 0, NULL));
    if (f)
        fclose(f);
    return l;
}

static const char *text_of(const json_t *line, const char *key)
{
    return json_string_value(json_object_get(line, key));
}

static int number_of(const json_t *line, const char *key)
{
    return (int)json_integer_value(json_object_get(line, key));
}

/* The line of an event with this unit and number; NULL. */
static json_t *ledger_find(const struct ledger *l, const char *event, int unit, int seq)
{
    size_t i;
    json_t *line;

    json_array_foreach(l->lines, i, line)
    {
        if (strcmp(text_of(line, "event"), event) == 0 && number_of(line, "seq") == seq &&
            (unit < 0 || number_of(line, "unit") == unit))
            return line;
    }
    return NULL;
}

static int ledger_count(const struct ledger *l, const char *event, int unit)
{
    int n = 0;

    while (ledger_find(l, event, unit, n + 1))
        n++;
    return n;
}

/* ---- a gateway without its daemon ---- */

struct both {
    struct conf_list buses, readers;
};
static const struct conf_key keys[] = {
    {.name = "buses", .type = CONF_LIST, .off = offsetof(struct both, buses), .sub = &bus_table, .help = "x"},
    {.name = "readers", .type = CONF_LIST, .off = offsetof(struct both, readers), .sub = &reader_table, .help = "x"},
};
static const struct conf_table table = {
    .what = "a test", .size = sizeof(struct both), .keys = keys, .n = ARRAY_LEN(keys)};

#define CARDS_MAX 4000
struct rig {
    char dir[32];
    struct both settings;
    struct conf *conf;
    struct queue *q;
    struct readers *readers;
    unsigned kinds[4][SIGHT_UP + 1];
    char cards[4][CARDS_MAX][2 * CRED_MAX + 1]; /* in order of arrival, as hex */
    unsigned n_cards[4];
    struct cred unacked[4]; /* stored and not yet acknowledged: what the daemon keeps beside the punch */
    bool pending[4];
};

static int rig_new(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    log_init("test", LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    strcpy(r->dir, "/tmp/readers-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    *state = r;
    return 0;
}

static void gateway_start(struct rig *r, const char *text)
{
    int c = conf_parse("t", BYTES_STR(text), &table, &r->settings, &r->conf);
    if (c != 0)
        fail_msg("%s", conf_text(r->conf));
    assert_int_equal(readers_check(r->conf, &r->settings.buses, &r->settings.readers, PROFILES), 0);
    assert_int_equal(queue_new(sizeof(struct sight), 256, &r->q), 0);
    assert_int_equal(readers_start(&r->settings.buses, &r->settings.readers, PROFILES, r->q, &r->readers), 0);
}

static void gateway_stop(struct rig *r)
{
    int64_t from = clock_ms();
    readers_stop(r->readers);
    assert_true(clock_ms() - from < 2000);
    queue_free(r->q);
    conf_free(r->conf);
    r->readers = NULL;
}

static int rig_free(void **state)
{
    struct rig *r = *state;
    DIR *d = opendir(r->dir);
    char path[400];

    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        snprintf(path, sizeof(path), "%s/%s", r->dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    assert_int_equal(rmdir(r->dir), 0);
    free(r);
    return 0;
}

static void on_card(struct rig *r, const struct sight *s)
{
    unsigned i = s->reader;

    if (!r->pending[i] || !cred_equal(&r->unacked[i], &s->cred)) {
        assert_true(r->n_cards[i] < CARDS_MAX);
        str_hex_upper(s->cred.data, cred_len(&s->cred), r->cards[i][r->n_cards[i]++]);
    }
    r->pending[i] = readers_acked(r->readers, i);
    r->unacked[i] = s->cred;
    readers_answer(r->readers, i, s->token, ANSWER_STORED);
    readers_answer(r->readers, i, s->token, ANSWER_STORED); /* twice is once */
}

/* Answers everything for so long, or until `reader` has shown so many cards. */
static void gateway_run(struct rig *r, int ms, unsigned reader, unsigned until)
{
    int64_t end = clock_ms() + ms;
    struct sight s;

    while (clock_ms() < end && r->n_cards[reader] < until) {
        if (queue_pop_wait(r->q, &s, 20) != 0)
            continue;
        r->kinds[s.reader][s.kind]++;
        if (s.kind == SIGHT_IDLE || s.kind == SIGHT_ACKED)
            r->pending[s.reader] = false;
        if (s.kind == SIGHT_CARD)
            on_card(r, &s);
    }
}

#define ALL UINT32_MAX

/* What was cleared was seen; what was seen was presented; in order, each once. */
static void compare(struct rig *r, unsigned reader, const char *ledger_name, int unit)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", r->dir, ledger_name);
    struct ledger l = ledger_read(path);
    int cleared = ledger_count(&l, "cleared", unit), presented = ledger_count(&l, "present", unit);

    assert_true(cleared > 0);
    assert_true((int)r->n_cards[reader] >= cleared && (int)r->n_cards[reader] <= presented);
    for (unsigned i = 0; i < r->n_cards[reader]; i++)
        assert_string_equal(r->cards[reader][i], text_of(ledger_find(&l, "present", unit, (int)i + 1), "card"));
    json_decref(l.lines);
}

/* ---- tests ---- */

static void three_readers_at_once(void **state)
{
    struct rig *r = *state;
    struct sim serial, rtu, tcp;
    char line[1024];

    snprintf(line, sizeof(line),
             SIM "serial125.py --link %s/s --ledger %s/s.l --quit-at-eof --rate 40 --count 60 --garbage 0.2 --bad 0.2 "
                 "--split --paused",
             r->dir, r->dir);
    sim_start(&serial, line);
    snprintf(line, sizeof(line),
             SIM "inveo.py --quit-at-eof --rtu %s/r --ledger %s/r.l --rate 40 --count 30 --units 1,2", r->dir, r->dir);
    sim_start(&rtu, line);
    snprintf(line, sizeof(line),
             SIM "inveo.py --quit-at-eof --tcp 127.0.0.1:0 --ledger %s/t.l --rate 40 --count 30 --id-bytes 7", r->dir);
    sim_start(&tcp, line);
    snprintf(line, sizeof(line),
             "buses:\n- {name: s, serial: %s/s}\n- {name: r, serial: %s/r, baud: 38400, frame: 8E1}\n"
             "- {name: t, tcp: \"%s\"}\nreaders:\n"
             "- {name: s, bus: s, driver: ascii125}\n"
             "- {name: r1, bus: r, driver: modbus, profile: inveo-rfid-ind, unit: 1}\n"
             "- {name: r2, bus: r, driver: modbus, profile: inveo-rfid-ind, unit: 2}\n"
             "- {name: t, bus: t, driver: modbus, profile: inveo-rfid-ind}\n",
             r->dir, r->dir, tcp.address);
    gateway_start(r, line);
    assert_false(readers_acked(r->readers, 0));
    assert_true(readers_acked(r->readers, 1));
    gateway_run(r, 300, 0, 1);
    sim_say(&serial, "resume");
    gateway_run(r, 20000, 0, 60);
    for (unsigned i = 1; i < 4; i++)
        gateway_run(r, 20000, i, 30);
    gateway_run(r, 300, 0, ALL);
    assert_int_equal(r->n_cards[0], 60);
    compare(r, 1, "r.l", 1);
    compare(r, 2, "r.l", 2);
    compare(r, 3, "t.l", 1);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(r->n_cards[i], 30);
        assert_int_equal(r->kinds[i][SIGHT_ACKED], 30);
        assert_int_equal(atomic_load(&readers_stats(r->readers, i)->reads), 30);
    }
    assert_true(atomic_load(&readers_stats(r->readers, 0)->bad) > 0);

    char path[200];
    snprintf(path, sizeof(path), "%s/s.l", r->dir);
    struct ledger l = ledger_read(path);
    for (int i = 0; i < 60; i++)
        assert_string_equal(r->cards[0][i], text_of(ledger_find(&l, "present", -1, i + 1), "card"));
    json_decref(l.lines);
    gateway_stop(r);
    sim_end(&serial, SIGTERM);
    sim_end(&rtu, SIGTERM);
    sim_end(&tcp, SIGTERM);
}

#define MODBUS "driver: modbus, profile: inveo-rfid-ind, poll: 20ms, timeout: 100ms"

/* Every fault the simulator knows, on both kinds of line. */
static void faults(struct rig *r, const char *where, const char *bus_key)
{
    struct sim sim;
    char line[1024];

    snprintf(line, sizeof(line),
             SIM
             "inveo.py --quit-at-eof %s --ledger %s/f.l --rate 100 --drop 7 --drop-clear 4 --delay 11 --delay-ms 150 "
             "--exception 13 --wrong-unit 17 --truncate 19 --corrupt 29",
             where, r->dir);
    sim_start(&sim, line);
    snprintf(line, sizeof(line),
             "buses: [{name: f, %s: \"%s\", baud: 115200}]\nreaders: [{name: f, bus: f, " MODBUS "}]\n", bus_key,
             sim.address);
    gateway_start(r, line);
    gateway_run(r, 30000, 0, 20);
    assert_true(r->n_cards[0] >= 20);
    const struct reader_stats *st = readers_stats(r->readers, 0);
    assert_true(atomic_load(&st->timeouts) > 0);
    assert_true(atomic_load(&st->exceptions) > 0);
    assert_true(atomic_load(&st->bad) > 0);
    compare(r, 0, "f.l", 1);
    gateway_stop(r);
    sim_end(&sim, SIGKILL);
}

static void faults_on_rtu(void **state)
{
    struct rig *r = *state;
    char where[64];

    snprintf(where, sizeof(where), "--rtu %s/f", r->dir);
    faults(r, where, "serial");
}

static void faults_on_tcp(void **state)
{
    faults(*state, "--tcp 127.0.0.1:0", "tcp");
}

/* The device's process is killed between any two of our requests and keeps its latch, as hardware with power does. */
static void a_killed_device_keeps_its_latch(void **state)
{
    struct rig *r = *state;
    struct sim sim;
    char line[1024], text[1024];

    snprintf(line, sizeof(line), SIM "inveo.py --quit-at-eof --rtu %s/k --ledger %s/k.l --rate 100 --resume", r->dir,
             r->dir);
    sim_start(&sim, line);
    snprintf(text, sizeof(text),
             "buses: [{name: k, serial: %s/k, baud: 115200}]\nreaders: [{name: k, bus: k, " MODBUS "}]\n", r->dir);
    gateway_start(r, text);
    for (int i = 0; i < 5; i++) {
        gateway_run(r, 10000, 0, r->n_cards[0] + 5);
        /* The dead pty's number goes to whoever asks next: a link that stayed could lead into another test's line. */
        assert_int_equal(unlink(sim.address), 0);
        sim_end(&sim, SIGKILL);
        gateway_run(r, i == 4 ? 2500 : 50, 0, ALL); /* once for longer than hold */
        sim_start(&sim, line);
    }
    gateway_run(r, 10000, 0, r->n_cards[0] + 5);
    assert_true(r->n_cards[0] >= 30);
    assert_true(r->kinds[0][SIGHT_DOWN] >= 5);
    gateway_stop(r);
    sim_end(&sim, SIGKILL);
    compare(r, 0, "k.l", 1);
}

/* One unit is dead; the other keeps its pace. */
static void a_dead_slave_beside_a_live_one(void **state)
{
    struct rig *r = *state;
    struct sim sim;
    char line[1024];

    snprintf(line, sizeof(line), SIM "inveo.py --quit-at-eof --rtu %s/d --ledger %s/d.l --units 1,2 --dead 2", r->dir,
             r->dir);
    sim_start(&sim, line);
    snprintf(line, sizeof(line),
             "buses: [{name: d, serial: %s/d, baud: 115200}]\n"
             "readers: [{name: a, bus: d, " MODBUS "}, {name: b, bus: d, " MODBUS ", unit: 2}]\n",
             r->dir);
    gateway_start(r, line);
    gateway_run(r, 4000, 0, ALL);
    uint64_t live = atomic_load(&readers_stats(r->readers, 0)->polls);
    uint64_t probes = atomic_load(&readers_stats(r->readers, 1)->timeouts);
    assert_true(probes >= 2 && probes <= 6);
    /* 4 s at 20 ms and some are 160 polls; each probe may take 100 ms of them. */
    assert_true(live > 60);
    assert_false(atomic_load(&readers_stats(r->readers, 1)->up));
    assert_int_equal(r->kinds[0][SIGHT_DOWN], 0);
    assert_int_equal(r->kinds[0][SIGHT_IDLE], 1);
    gateway_stop(r);
    sim_end(&sim, SIGTERM);
}

static void silence_is_down_and_comes_back(void **state)
{
    struct rig *r = *state;
    struct sim sim;
    char line[1024];

    snprintf(line, sizeof(line), SIM "inveo.py --quit-at-eof --tcp 127.0.0.1:0 --ledger %s/q.l", r->dir);
    sim_start(&sim, line);
    snprintf(line, sizeof(line), "buses: [{name: q, tcp: \"%s\"}]\nreaders: [{name: q, bus: q, " MODBUS "}]\n",
             sim.address);
    gateway_start(r, line);
    sim_say(&sim, "present 01020304");
    gateway_run(r, 10000, 0, 1);
    sim_say(&sim, "silence 1.5");
    sim_say(&sim, "present 05060708");
    gateway_run(r, 15000, 0, 2);
    assert_string_equal(r->cards[0][0], "01020304");
    assert_string_equal(r->cards[0][1], "05060708");
    assert_true(r->kinds[0][SIGHT_DOWN] >= 1);
    /* A power failure of the device: seen, and nothing else happens. */
    sim_say(&sim, "reset");
    gateway_run(r, 500, 0, ALL);
    sim_say(&sim, "present 090A0B0C");
    gateway_run(r, 10000, 0, 3);
    assert_string_equal(r->cards[0][2], "090A0B0C");
    gateway_stop(r);
    sim_end(&sim, SIGTERM);
}

static void until_kind(struct rig *r, unsigned reader, enum sight_kind kind, unsigned n)
{
    for (int64_t end = clock_ms() + 20000; clock_ms() < end && r->kinds[reader][kind] < n;)
        gateway_run(r, 20, reader, ALL);
    assert_int_equal(r->kinds[reader][kind], n);
}

/* A VRD-485 and an IC-10MRW on one line, beside a dead one. */
static void level_readers(struct rig *r, const char *where, const char *bus_key)
{
    struct sim sim;
    char line[1024];

    snprintf(line, sizeof(line),
             SIM "level.py --quit-at-eof %s --ledger %s/v.l --device vrd-485,ic-10mrw,vrd-485 --units 1,2,3 --dead 3",
             where, r->dir);
    sim_start(&sim, line);
#define LEVEL "driver: modbus, bus: v, poll: 20ms, timeout: 200ms"
    snprintf(line, sizeof(line),
             "buses: [{name: v, %s: \"%s\", baud: 19200}]\nreaders:\n"
             "- {name: v, unit: 1, " LEVEL ", profile: technotrade-vrd-485}\n"
             "- {name: i, unit: 2, " LEVEL ", profile: ic-10mrw}\n"
             "- {name: dead, unit: 3, " LEVEL ", profile: technotrade-vrd-485}\n",
             bus_key, sim.address);
    gateway_start(r, line);
    assert_false(readers_acked(r->readers, 0));
    sim_say(&sim, "put A41E45C6 1");
    sim_say(&sim, "put 04A1B2C3D4E5F6 2");
    gateway_run(r, 20000, 0, 1);
    gateway_run(r, 20000, 1, 1);
    sim_say(&sim, "put 00000001 1");
    gateway_run(r, 20000, 0, 2);
    until_kind(r, 0, SIGHT_LEFT, 1);
    sim_say(&sim, "take 1");
    until_kind(r, 0, SIGHT_LEFT, 2);
    sim_say(&sim, "put 04A1B2C3D4E5F6000001 2"); /* ten bytes: in the place of the seven, and refused */
    until_kind(r, 1, SIGHT_LEFT, 1);
    sim_say(&sim, "put 04A1B2C3 2");
    gateway_run(r, 20000, 1, 2);
    sim_say(&sim, "drop 3"); /* every third reply: the card is still there */
    uint64_t polls = atomic_load(&readers_stats(r->readers, 1)->polls);
    for (int64_t end = clock_ms() + 20000; clock_ms() < end && readers_stats(r->readers, 1)->polls < polls + 12;)
        gateway_run(r, 20, 1, ALL);
    assert_int_equal(r->kinds[1][SIGHT_LEFT], 1);
    sim_say(&sim, "drop 0");
    sim_say(&sim, "silence 600 2");
    until_kind(r, 1, SIGHT_LEFT, 2);
    until_kind(r, 1, SIGHT_DOWN, 1);

    assert_string_equal(r->cards[0][0], "A41E45C6");
    assert_string_equal(r->cards[0][1], "00000001");
    assert_string_equal(r->cards[1][0], "04A1B2C3D4E5F6");
    assert_string_equal(r->cards[1][1], "04A1B2C3");
    assert_int_equal(r->n_cards[0], 2);
    assert_int_equal(r->n_cards[1], 2);
    assert_int_equal(r->kinds[0][SIGHT_DOWN], 0);
    assert_int_equal(atomic_load(&readers_stats(r->readers, 0)->reads), 2);
    assert_true(atomic_load(&readers_stats(r->readers, 1)->bad) > 0);
    assert_int_equal(atomic_load(&readers_stats(r->readers, 2)->reads), 0);
    assert_false(atomic_load(&readers_stats(r->readers, 2)->up));
    gateway_stop(r);
    sim_end(&sim, SIGTERM);
}

static void level_readers_on_rtu(void **state)
{
    struct rig *r = *state;
    char where[64];

    snprintf(where, sizeof(where), "--rtu %s/v", r->dir);
    level_readers(r, where, "serial");
}

static void level_readers_on_tcp(void **state)
{
    level_readers(*state, "--tcp 127.0.0.1:0", "tcp");
}

/* Nothing is there at all: it starts, and stops in time. */
static void nothing_is_there(void **state)
{
    struct rig *r = *state;

    gateway_start(r, "buses:\n- {name: s, serial: /dev/no-such-line}\n- {name: t, tcp: \"127.0.0.1:1\"}\n"
                     "- {name: u, usb: \"fffe:fffe\"}\n- {name: unused, tcp: \"no-such-host.invalid:502\"}\n"
                     "readers:\n- {name: s, bus: s, driver: ascii125}\n- {name: t, bus: t, " MODBUS "}\n"
                     "- {name: u, bus: u, " MODBUS "}\n");
    gateway_run(r, 500, 0, ALL);
    assert_int_equal(queue_len(r->q), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_false(atomic_load(&readers_stats(r->readers, i)->up));
    readers_answer(r->readers, 1, 1, ANSWER_STORED); /* to a question never asked */
    gateway_stop(r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_new, rig_free)
    const struct CMUnitTest tests[] = {
        T(three_readers_at_once),
        T(faults_on_rtu),
        T(faults_on_tcp),
        T(a_killed_device_keeps_its_latch),
        T(a_dead_slave_beside_a_live_one),
        T(silence_is_down_and_comes_back),
        T(level_readers_on_rtu),
        T(level_readers_on_tcp),
        T(nothing_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
