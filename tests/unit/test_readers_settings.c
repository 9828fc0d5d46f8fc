/* What is said about buses and readers that cannot be, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "readers/port.h"
#include "readers/registry.h"

#define PROFILES SOURCE_DIR "/config/profiles"

struct both {
    struct conf_list buses, readers;
};
static const struct conf_key keys[] = {
    {.name = "buses", .type = CONF_LIST, .off = offsetof(struct both, buses), .sub = &bus_table, .help = "x"},
    {.name = "readers", .type = CONF_LIST, .off = offsetof(struct both, readers), .sub = &reader_table, .help = "x"},
};
static const struct conf_table table = {
    .what = "a test", .size = sizeof(struct both), .keys = keys, .n = ARRAY_LEN(keys)};

#define LINE "buses:\n- {name: line, serial: /dev/ttyS7}\n- {name: host, tcp: \"h:502\"}\nreaders:\n"
#define H "feedback: host"
#define M "driver: modbus, profile: inveo-rfid-ind"

/* `at`: the last place of these words is where the mistake has to be told; NULL: anywhere. */
static const struct {
    const char *text, *at, *says;
} cases[] = {
    {LINE "- {name: a, bus: line, driver: ascii125, layout: B, number: 3+5, direction: in, hold: 0}\n", NULL, NULL},
    {LINE "- {name: a, bus: host, " M ", unit: 0}\n- {name: b, bus: host, " M ", unit: 255}\n", NULL, NULL},
    {LINE "- {name: a, bus: lime, driver: ascii125}\n", "lime", "there is no bus \"lime\""},
    {LINE "- {name: a, bus: host, driver: ascii125}\n", "host", "bus \"host\" is Modbus TCP; an ascii125 reader wants"},
    {LINE "- {name: a, bus: line, driver: ascii125}\n- {name: b, bus: line, driver: ascii125}\n", "line",
     "bus \"line\" has a reader already, \"a\""},
    {LINE "- {name: a, bus: line, " M "}\n- {name: b, bus: line, driver: ascii125}\n", "ascii125",
     "bus \"line\" has a modbus reader, \"a\": one line speaks one language"},
    {LINE "- {name: a, bus: line, " M ", unit: 3}\n- {name: b, bus: line, " M ", unit: 3}\n", "3",
     "unit 3 of bus \"line\" is reader \"a\" already"},
    {LINE "- {name: a, bus: line, " M ", unit: 0}\n", "0", "unit 0: on a serial line"},
    {LINE "- {name: a, bus: line, " M ", unit: 248}\n", "248", "unit 248: on a serial line"},
    {LINE "- {name: a, bus: line, " M ", unit: 256}\n", "256", ""},
    {LINE "- {name: x, bus: line, " M "}\n- {name: x, bus: host, " M "}\n", "x, bus", "there is another reader \"x\""},
    {LINE "- {name: a, bus: line, driver: modbus}\n", "a, bus", "reader \"a\" lacks the key \"profile\""},
    {LINE "- {name: a, bus: line, driver: ascii125, profile: x}\n", "x", "an ascii125 reader has no profile"},
    {LINE "- {name: a, bus: line, driver: modbus, profile: nosuch}\n", "nosuch",
     "profile \"nosuch\" cannot be read in " PROFILES ": "},
    {LINE "- {name: a, bus: line, driver: modbus, profile: /nosuch}\n", "/nosuch",
     "profile \"/nosuch\" cannot be read: "},
    {LINE "- {name: abcdefghijklmnopqrstuvwxy, bus: line, driver: ascii125}\n", "abcd", ""},
    {LINE "- {name: a, bus: line, driver: ascii126}\n", "ascii126",
     "\"ascii126\" is unknown for \"driver\"; did you mean \"ascii125\""},
    {LINE "- {name: a, bus: line, " M ", hodl: 2s}\n", "hodl",
     "unknown key \"hodl\" in a reader; did you mean \"hold\""},
    {LINE "- {name: a, bus: line, " M ", hold: 2}\n", "2", ""},
    {LINE "- {name: a, bus: line, driver: ascii125, layout: E, reverse: nibbles, number: 5+5}\n", NULL, NULL},
    {LINE "- {name: a, bus: line, driver: ascii125, layout: F}\n", "F}", ""},
    {LINE "- {name: a, bus: line, driver: ascii125, reverse: yes}\n", "yes", ""},
    {LINE "- {name: a, bus: line, driver: ascii125, number: 5+3}\n", "5+3", ""},
    {LINE "- {name: a, bus: line, " M ", reverse: bytes}\n", "bytes}", "only ascii125 readers are turned round here"},
    {LINE "- {name: a, bus: line, " M ", poll: 1ms}\n", "1ms", ""},
    {LINE "- {name: a, bus: line, " M ", timeout: 1501ms}\n", "1501ms", ""},
    {LINE "- {name: a, bus: line, driver: ascii125, feedback: none}\n", NULL, NULL},
    {LINE "- {name: a, bus: line, driver: ascii125, feedback: host}\n", "host}",
     "\"feedback: host\" wants at least one"},
    {LINE "- {name: a, bus: line, driver: ascii125, green: \"gpiochip0:1\"}\n", "\"gpiochip0",
     "\"green\" is for \"feedback: host\"; this reader has \"feedback: reader\""},
    {LINE "- {name: a, bus: line, driver: ascii125, " H ", buzzer: gpio17}\n", "gpio17",
     "\"gpio17\" is no place of a light: write"},
    {LINE "- {name: a, bus: line, driver: ascii125, " H ", green: \"g:1\", red: \"g:1:low\"}\n", "\"g:1:low",
     "\"g:1:low\" is the green of reader \"a\" already"},
    {LINE "- {name: a, bus: host, " M ", " H ", green: /l}\n- {name: b, bus: line, " M ", " H ", red: /l}\n", "/l",
     "\"/l\" is the green of reader \"a\" already"},
    {LINE "- {name: a, bus: host, " M ", " H ", red: \"g:1\"}\n- {name: b, bus: line, " M ", " H
          ", red: \"g:1:low\"}\n",
     "\"g:1:low", "reader \"a\" has the same line as \"g:1\": either both are low"},
    {LINE "- {name: a, bus: host, " M ", " H ", green: /l, red: /m}\n"
          "- {name: b, bus: line, " M ", " H ", green: /l, red: /m, buzzer: \"g:1:low\"}\n",
     NULL, NULL},
    {"buses: [{name: x}]\n", "x}", "bus \"x\" wants one of serial, usb and tcp; it has none"},
    {"buses: [{name: x, serial: /dev/a, tcp: \"h:1\"}]\n", "x, ",
     "bus \"x\" wants one of serial, usb and tcp; it has several"},
    {"buses: [{name: x, usb: \"0403:6001\"}]\n", NULL, NULL},
    {"buses: [{name: x, usb: \"0403:6001:A50 1\"}]\n", NULL, NULL},
    {"buses: [{name: x, usb: \"0403:6001:\"}]\n", "\"0403", "\"0403:6001:\" is no USB identity"},
    {"buses: [{name: x, usb: \"403:6001\"}]\n", NULL, "is no USB identity"},
    {"buses: [{name: x, usb: \"04o3:6001\"}]\n", NULL, "is no USB identity"},
    {"buses: [{name: x, tcp: \"h\"}]\n", "\"h", "\"h\" is no address"},
    {"buses: [{name: x, tcp: \"h:0\"}]\n", NULL, "is no address"},
    {"buses: [{name: x, tcp: \":502\"}]\n", NULL, "is no address"},
    {"buses: [{name: x, tcp: \"::1:502\"}]\n", NULL, "is no address"},
    {"buses: [{name: x, tcp: \"[::1]:502\"}]\n", NULL, NULL},
    {"buses: [{name: x, serial: /dev/a, baud: 9601}]\n", "9601", "9601 Bd is no speed of a serial line"},
    {"buses: [{name: x, serial: /dev/a, frame: 7E1}]\n", "7E1", ""},
    {"buses: [{name: x, serial: /dev/a}, {name: x, serial: /dev/b}]\n", "x, ", "there is another bus \"x\" already"},
    {"buses: [{name: x, serial: /dev/a}, {name: y, serial: /dev/a}]\n", "/dev/a", "bus \"x\" has the same device"},
    {"buses: [{name: x, tcp: \"h:1\"}, {name: y, tcp: \"h:1\"}]\n", NULL, "bus \"x\" has the same device"},
    {"buses: [{name: x, tcp: \"h:1\"}, {name: y, tcp: \"h:2\"}]\n", NULL, NULL},
};

/* "t:line:column: says" */
static void expect(const char *text, const char *words, const char *says, char ret[512])
{
    const char *at = NULL;
    unsigned line = 1, col = 1;

    for (const char *p = text; words && (p = strstr(p, words)) != NULL; p++)
        at = p;
    for (const char *p = text; p < at; p++) {
        col = *p == '\n' ? 1 : col + 1;
        line += *p == '\n';
    }
    if (at)
        snprintf(ret, 512, "t:%u:%u: %s", line, col, says);
    else
        snprintf(ret, 512, "%s", says);
}

static void mistakes_are_told_at_their_place(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct both b;
        struct conf *c = NULL;
        int r = conf_parse("t", BYTES_STR(cases[i].text), &table, &b, &c);
        assert_true(r >= 0);
        int n = r == 0 ? readers_check(c, &b.buses, &b.readers, PROFILES) : 0;
        const char *text = conf_text(c);
        assert_int_equal(n > 0 || r == CONF_BAD, text[0] != '\0');
        if (!cases[i].says && text[0])
            fail_msg("%s\nsays\n%s", cases[i].text, text);
        char want[512] = "";
        if (cases[i].says)
            expect(cases[i].text, cases[i].at, cases[i].says, want);
        if (!strstr(text, want))
            fail_msg("%s\nsays\n%sinstead of \"%s\"", cases[i].text, text, want);
        conf_free(c);
    }
}

static void a_wrong_profile_is_quoted_with_its_own_place(void **state)
{
    char path[] = "/tmp/profile-XXXXXX", text[512];
    int fd = mkstemp(path);
    struct both b;
    struct conf *c = NULL;

    assert_true(fd >= 0);
    close(fd);
    static const char profile[] = "title: T\ntechnology: em4100\nflag: coil x\nclear: coil 1 = 0\n"
                                  "read: {registers: holding 1..3, id: holding 1, max: 5}\n";
    assert_int_equal(file_write(path, BYTES_STR(profile), 0600), 0);
    snprintf(text, sizeof(text), LINE "- {name: a, bus: line, driver: modbus, profile: %s}\n", path);
    assert_int_equal(conf_parse("t", BYTES_STR(text), &table, &b, &c), 0);
    assert_int_equal(readers_check(c, &b.buses, &b.readers, PROFILES), 1);
    snprintf(text, sizeof(text), "%s:3:7: \"coil x\" is no place", path);
    assert_non_null(strstr(conf_text(c), ": profile \""));
    assert_non_null(strstr(conf_text(c), text));
    assert_non_null(strstr(conf_text(c), "flag: coil x\n"));
    conf_free(c);
    unlink(path);
}

static void defaults_are_what_the_manual_says(void **state)
{
    struct both b;
    struct conf *c = NULL;

    assert_int_equal(conf_parse("t", BYTES_STR(LINE "- {name: a, bus: line, " M "}\n"), &table, &b, &c), 0);
    const struct bus_settings *bus = b.buses.items;
    const struct reader_settings *r = b.readers.items;
    assert_int_equal(bus[0].baud, 9600);
    assert_int_equal(bus[0].frame, PORT_8N1);
    assert_int_equal(r->unit, 1);
    assert_int_equal(r->poll_ms, 50);
    assert_int_equal(r->timeout_ms, 300);
    assert_int_equal(r->hold_ms, 2000);
    assert_int_equal(r->number, RENDER_HEX);
    assert_int_equal(r->direction, DIR_UNKNOWN);
    assert_int_equal(r->feedback, FEEDBACK_READER);
    conf_free(c);
}

/* The words in the tables are indexes into what the wire knows by the same names. */
static void words_agree_with_the_wire(void **state)
{
    struct both b;
    struct conf *c = NULL;
    uint8_t v;

    for (unsigned i = RENDER_HEX; i <= RENDER_DEC13; i++) {
        char text[256];
        snprintf(text, sizeof(text), LINE "- {name: a, bus: line, driver: ascii125, number: %s}\n", rendering_name(i));
        assert_int_equal(conf_parse("t", BYTES_STR(text), &table, &b, &c), 0);
        assert_int_equal(rendering_parse(rendering_name(i), &v), 0);
        assert_int_equal(((struct reader_settings *)b.readers.items)->number, v);
        conf_free(c);
    }
    assert_null(rendering_names[RENDER_DEC13 + 1]);
    for (unsigned i = DIR_UNKNOWN; i <= DIR_BREAK_IN; i++) {
        char text[256];
        snprintf(text, sizeof(text), LINE "- {name: a, bus: line, driver: ascii125, direction: %s}\n", dir_name(i));
        assert_int_equal(conf_parse("t", BYTES_STR(text), &table, &b, &c), 0);
        assert_int_equal(((struct reader_settings *)b.readers.items)->direction, i);
        conf_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_at_their_place),
        cmocka_unit_test(a_wrong_profile_is_quoted_with_its_own_place),
        cmocka_unit_test(defaults_are_what_the_manual_says),
        cmocka_unit_test(words_agree_with_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
