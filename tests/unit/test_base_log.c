/* base/log.h: what a line looks like, that a fault that repeats is held back and counted, and that no value can forge
 * a line. stderr is a file in memory while a line is caught. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static int kept, file;
static char text[65536];

static int catch_begin(void **state)
{
    file = memfd_create("log", MFD_CLOEXEC);
    fcntl(file, F_SETFL, O_APPEND); /* its offset has no lock of its own */
    fflush(stderr);
    kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    unsetenv("JOURNAL_STREAM");
    return file >= 0 && kept >= 0 && dup2(file, STDERR_FILENO) >= 0 ? 0 : -1;
}

/* What was logged since the last call. */
static char *caught(void)
{
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    return text;
}

static int catch_end(void **state)
{
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

static size_t lines(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

static void a_line_has_time_level_and_event(void **state)
{
    log_init("punchtest", LOG_INFO);
    log_warn("reader.silent", "reader=%s since=%d", "door", 7);
    const char *line = caught();
    assert_int_equal(lines(line), 1);
    assert_int_equal(line[4], '-');
    assert_int_equal(line[26], 'Z');
    assert_string_equal(line + 27, " punchtest warn reader.silent reader=door since=7\n");
}

static void the_journal_gets_the_level_in_front(void **state)
{
    struct stat st;
    char id[64];

    assert_int_equal(fstat(file, &st), 0);
    snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", id, 1);
    log_init("punchtest", LOG_INFO);
    log_error("spool.full", "bytes=%d", 1);
    log_note("spool.free", "bytes=%d", 2);
    assert_string_equal(caught(), "<3>spool.full bytes=1\n<5>spool.free bytes=2\n");

    setenv("JOURNAL_STREAM", "1:1", 1); /* somebody else's: stderr was redirected since */
    log_init("punchtest", LOG_INFO);
    log_error("spool.full", "bytes=%d", 1);
    assert_non_null(strstr(caught(), "Z punchtest error spool.full"));
}

static void levels_are_filtered(void **state)
{
    enum log_level l = LOG_ERROR;

    assert_int_equal(log_level_parse("debug", &l), 0);
    assert_int_equal(l, LOG_DEBUG);
    assert_int_equal(log_level_parse("warn", &l), 0);
    assert_int_equal(log_level_parse("Warn", &l), -EINVAL);
    assert_int_equal(log_level_parse("", &l), -EINVAL);
    assert_int_equal(l, LOG_WARN);
    log_init("punchtest", l);
    log_error("a", "x=1");
    log_warn("b", "x=1");
    log_note("c", "x=1");
    log_info("d", "x=1");
    log_debug("e", "x=1");
    const char *line = caught();
    assert_int_equal(lines(line), 2);
    assert_non_null(strstr(line, " error a x=1\n"));
    assert_non_null(strstr(line, " warn b x=1\n"));
}

static void one_site(struct log_site *site)
{
    log_write(site, LOG_WARN, "port.gone", "port=%s", "ttyUSB0");
}

static void repetitions_are_held_back_and_counted(void **state)
{
    struct log_site site = {0}, other = {0};

    log_init("punchtest", LOG_INFO);
    for (int i = 0; i < 25; i++)
        one_site(&site);
    const char *line = caught();
    assert_int_equal(lines(line), 10);
    assert_null(strstr(line, "held_back"));
    one_site(&other); /* another place has a limit of its own */
    assert_int_equal(lines(caught()), 1);
    one_site(&site);
    assert_string_equal(caught(), "");

    site.window_start -= 9000; /* as if time had passed */
    one_site(&site);
    assert_string_equal(caught(), "");
    site.window_start -= 1000;
    for (int i = 0; i < 12; i++)
        one_site(&site);
    line = caught();
    assert_int_equal(lines(line), 10);
    assert_non_null(strstr(line, "port=ttyUSB0 held_back=17\n"));
    assert_null(strstr(strstr(line, "held_back") + 1, "held_back"));

    /* the count survives a message that is too long */
    static char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    site.window_start -= 10000;
    log_write(&site, LOG_WARN, "port.gone", "%s", longest);
    line = caught();
    assert_int_equal(lines(line), 1);
    assert_true(strlen(line) <= 1024);
    assert_non_null(strstr(line, "xxx held_back=2\n"));
}

static void no_value_forges_a_line(void **state)
{
    char all[256];

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    log_init("punchtest", LOG_INFO);
    log_warn("bad", "raw=%s", all);
    log_warn("bad", "quoted=%s", log_q(all));
    const char *line = caught();
    assert_int_equal(lines(line), 2);
    for (const char *p = line; *p; p++)
        if (*p != '\n' && (*p < 0x20 || *p > 0x7e))
            fail_msg("byte 0x%02x in a log line", (unsigned)(unsigned char)*p);
}

static void values_are_quoted(void **state)
{
    static const char *const cases[][2] = {
        {"door", "door"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"x\"", "\"say \\\"x\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak", "\"line\\x0abreak\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"T\xc3\xbcr", "\"T\\xc3\\xbcr\""},
        {"\x7f", "\"\\x7f\""},
    };
    char longest[1000];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(log_q(cases[i][0]), cases[i][1]);
    assert_string_equal(log_q(NULL), "-");
    for (int c = 'a'; c < 'a' + 2; c++) {
        memset(longest, c == 'a' ? 'a' : '\n', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        assert_in_range(strlen(log_q(longest)), 190, 204);
    }
    /* four may stand in one line */
    const char *a = log_q("a a"), *b = log_q("b b"), *c = log_q("c c"), *d = log_q("d d");
    assert_string_equal(a, "\"a a\"");
    assert_string_equal(b, "\"b b\"");
    assert_string_equal(c, "\"c c\"");
    assert_string_equal(d, "\"d d\"");
}

static void *writer(void *arg)
{
    const char *letter = arg;
    char word[201];

    memset(word, *letter, 200);
    word[200] = '\0';
    for (int i = 0; i < 50; i++) {
        struct log_site site = {0};
        log_write(&site, LOG_WARN, "mix", "%s", word);
    }
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    static char letters[][2] = {"a", "b", "c", "d"};
    pthread_t t[4];
    size_t n = 0;

    log_init("punchtest", LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, writer, letters[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    for (char *save = NULL, *line = strtok_r(caught(), "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        const char *word = strstr(line, " mix ");
        assert_non_null(word);
        assert_int_equal(strspn(word + 5, (char[]){word[5], '\0'}), 200);
        assert_int_equal(strlen(word + 5), 200);
    }
    assert_int_equal(n, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_event, catch_begin, catch_end),
        cmocka_unit_test_setup_teardown(the_journal_gets_the_level_in_front, catch_begin, catch_end),
        cmocka_unit_test_setup_teardown(levels_are_filtered, catch_begin, catch_end),
        cmocka_unit_test_setup_teardown(repetitions_are_held_back_and_counted, catch_begin, catch_end),
        cmocka_unit_test_setup_teardown(no_value_forges_a_line, catch_begin, catch_end),
        cmocka_unit_test(values_are_quoted),
        cmocka_unit_test_setup_teardown(threads_do_not_mix_lines, catch_begin, catch_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
