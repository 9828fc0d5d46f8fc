/* The 125 kHz driver with a clock of the test's own: pieces and pauses. */
#include "tests/unit/readers_ascii125.h"

#include <sys/mman.h>
#include <unistd.h>

struct rig {
    struct reader_settings settings;
    struct reader_stats stats;
    struct outbox out;
    atomic_bool stopping;
    void *self;
    int64_t now, due;
};

static void rig_open(struct rig *r, enum ascii125_layout layout)
{
    struct driver_env env = {.settings = &r->settings, .stats = &r->stats, .out = &r->out};

    memset(r, 0, sizeof(*r));
    r->settings.name = (char *)(uintptr_t) "gate";
    r->settings.layout = (int)layout;
    r->out.stopping = &r->stopping;
    assert_int_equal(queue_new(sizeof(struct sight), 64, &r->out.sights), 0);
    assert_int_equal(ascii125_driver.create(&env, &r->self), 0);
    r->now = 1000;
    ascii125_driver.online(r->self);
    assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
}

static void rig_close(struct rig *r)
{
    ascii125_driver.destroy(r->self);
    queue_free(r->out.sights);
}

/* The line was found empty after these bytes. */
static void rig_feed(struct rig *r, const uint8_t *p, size_t n)
{
    ascii125_driver.feed(r->self, BYTES(p, n));
    assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
}

/* Time passes, with the turns that the driver asked for. */
static void rig_wait(struct rig *r, int64_t ms)
{
    int64_t until = r->now + ms;

    while (r->due <= until) {
        r->now = r->due;
        assert_int_equal(ascii125_driver.step(r->self, r->now, &r->due), 0);
        assert_true(r->due > r->now); /* it does not spin */
    }
    r->now = until;
}

/* ---- the log ---- */

static int log_file = -1, real_stderr = -1;

static void logged_from(void)
{
    if (log_file < 0) {
        log_file = memfd_create("log", MFD_CLOEXEC);
        real_stderr = dup(STDERR_FILENO);
        assert_true(log_file >= 0 && real_stderr >= 0);
    }
    assert_true(dup2(log_file, STDERR_FILENO) >= 0);
    assert_int_equal(ftruncate(log_file, 0), 0);
    assert_int_equal(lseek(log_file, 0, SEEK_SET), 0);
}

static void logged_to_here(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
}

/* How often `word` was logged since. */
static unsigned logged(const char *word)
{
    char text[4096];
    unsigned n = 0;
    ssize_t got = pread(log_file, text, sizeof(text) - 1, 0);

    assert_true(got >= 0);
    text[got] = '\0';
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

/* Cards seen since the last look. */
static unsigned rig_cards(struct rig *r, struct seen *ret)
{
    struct sight s;
    unsigned n = 0;

    while (queue_pop(r->out.sights, &s) == 0) {
        if (s.kind != SIGHT_CARD)
            continue;
        n++;
        if (ret)
            saw(ret, &s.cred);
    }
    return n;
}

static void a_pause_ends_a_frame(void **state)
{
    EACH_LAYOUT
    {
        struct frame f = framed(l, "67003B51C6");
        int gap_ms = l == ASCII125_C ? 20 : 50;
        struct rig r;
        rig_open(&r, l);
        rig_wait(&r, gap_ms);
        for (size_t i = 0; i < f.n; i++) { /* as slow as may be */
            rig_feed(&r, f.b + i, 1);
            rig_wait(&r, gap_ms - 1);
        }
        assert_int_equal(rig_cards(&r, NULL), 1);
        assert_int_equal(r.stats.bad, 0);
        rig_feed(&r, f.b, 5);
        assert_string_equal(ascii125_driver.state(r.self), "in a frame");
        rig_wait(&r, gap_ms);
        assert_string_equal(ascii125_driver.state(r.self), "listening");
        assert_int_equal(r.due, DRIVER_NEVER);
        rig_feed(&r, f.b + 5, f.n - 5);
        rig_wait(&r, gap_ms);
        assert_int_equal(rig_cards(&r, NULL), 0);
        assert_true(r.stats.bad >= 1);
        rig_feed(&r, f.b, f.n);
        assert_int_equal(rig_cards(&r, NULL), 1);
        rig_close(&r);
    }
}

/* What an EM-18 sends is no frame to `auto`, however good it is: said once, and only where nothing else came. */
static void bytes_without_frames_are_hinted_at(void **state)
{
    struct frame c = framed(ASCII125_C, "67003B51C6"), a = framed(ASCII125_A, "67003B51C6");

    log_init("test", LOG_WARN);
    for (int framed_first = 0; framed_first < 2; framed_first++) {
        struct rig r;
        rig_open(&r, ASCII125_AUTO);
        if (framed_first)
            rig_feed(&r, a.b, a.n);
        logged_from();
        for (int i = 0; i < 4; i++) {
            rig_feed(&r, c.b, c.n);
            rig_wait(&r, 50);
        }
        assert_int_equal(logged("reader.frames"), 0);
        for (int i = 0; i < 20; i++) {
            rig_feed(&r, c.b, c.n);
            rig_wait(&r, 50);
        }
        logged_to_here();
        assert_int_equal(logged("layout C"), !framed_first);
        assert_int_equal(logged("67003B51C6"), 0);
        rig_close(&r);
    }
    log_init("test", LOG_ERROR);
}

/* A process that was stopped finds both halves waiting: no turn came between, so nothing is cut. */
static void our_own_pauses_cut_nothing(void **state)
{
    struct frame f = framed(ASCII125_C, "67003B51C6");
    struct rig r;

    rig_open(&r, ASCII125_C);
    rig_wait(&r, 20);
    ascii125_driver.feed(r.self, BYTES(f.b, 4));
    r.now += 5000;
    rig_feed(&r, f.b + 4, f.n - 4);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_close(&r);
}

static void without_a_frame_only_pauses_count(void **state)
{
    struct frame f = framed(ASCII125_C, "67003B51C6");
    struct rig r;

    rig_open(&r, ASCII125_C);
    assert_string_equal(ascii125_driver.state(r.self), "waiting for a pause");
    rig_feed(&r, f.b, f.n); /* the line was just opened: who knows what came before */
    rig_wait(&r, 19);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 0);
    rig_wait(&r, 20);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_wait(&r, 20);
    rig_feed(&r, (const uint8_t *)"3", 1); /* a digit too many: nothing is searched for */
    rig_feed(&r, f.b, f.n);
    rig_wait(&r, 19);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 0);
    rig_wait(&r, 20);
    rig_feed(&r, f.b, f.n);
    assert_int_equal(rig_cards(&r, NULL), 1);
    rig_close(&r);
}

/* Random frames, glued or apart, in random pieces: all of them, in order, and nothing else. */
static void any_pieces(void **state)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        enum ascii125_layout l = (enum ascii125_layout)(seed % 6);
        uint64_t x = 0x9E3779B97F4A7C15u * seed;
        uint8_t line[8 * 16];
        char ids[8][21];
        struct seen s = {0};
        struct rig r;
        size_t n = 0;
        rig_open(&r, l);
        rig_wait(&r, 50);
        for (unsigned i = 0; i < 8; i++) {
            static const enum ascii125_layout together[] = {ASCII125_A, ASCII125_D, ASCII125_E};
            enum ascii125_layout of = l == ASCII125_AUTO ? together[random_next(&x) % 3] : l;
            snprintf(ids[i], sizeof(ids[i]), "%02X%08lX", 1 + i, (unsigned long)(random_next(&x) & 0xffffffff));
            struct frame f = framed(of, ids[i]);
            memcpy(line + n, f.b, f.n);
            n += f.n;
        }
        for (size_t at = 0, k; at < n; at += k) {
            k = 1 + random_next(&x) % 20;
            k = k < n - at ? k : n - at;
            rig_feed(&r, line + at, k);
            rig_wait(&r, (int64_t)(random_next(&x) % 20));
        }
        assert_int_equal(rig_cards(&r, &s), 8);
        for (unsigned i = 0; i < 8; i++)
            expect(&s.all[i], ids[i]);
        assert_int_equal(r.stats.bad, 0);
        assert_int_equal(r.stats.reads, 8);
        rig_close(&r);
    }
}

static void what_names_no_card_is_counted(void **state)
{
    struct frame f = framed(ASCII125_E, "08A1B2C3");
    struct rig r;

    rig_open(&r, ASCII125_AUTO);
    rig_feed(&r, f.b, f.n);
    rig_feed(&r, f.b, f.n);
    rig_wait(&r, 50);
    assert_int_equal(rig_cards(&r, NULL), 0);
    assert_int_equal(r.stats.unusable, 2);
    assert_int_equal(r.stats.reads, 0);
    assert_int_equal(r.stats.bad, 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_without_frames_are_hinted_at),
        cmocka_unit_test(a_pause_ends_a_frame),
        cmocka_unit_test(our_own_pauses_cut_nothing),
        cmocka_unit_test(without_a_frame_only_pauses_count),
        cmocka_unit_test(any_pieces),
        cmocka_unit_test(what_names_no_card_is_counted),
    };
    log_init("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
