/* base/conf.h: what is accepted, what is refused and with which words, and that the printed example is a file. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"

struct spool {
    uint64_t budget, keep;
};
struct reader {
    char *name;
    int layout;
    uint64_t number, hold;
    bool exclusive;
};
struct gate {
    char *state;
    int log;
    struct spool spool;
    struct conf_list readers, names, lines;
    uint64_t timeout;
};

static const char *const layouts[] = {"hex10", "dec10", "3+5", NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static const struct conf_key spool_keys[] = {
    {.name = "budget",
     .type = CONF_SIZE,
     .off = offsetof(struct spool, budget),
     .min = 1 << 20,
     .max = 1ll << 40,
     .def = "256MiB",
     .help = "Most bytes the spool may take."},
    {.name = "keep",
     .type = CONF_MS,
     .off = offsetof(struct spool, keep),
     .def = "7d",
     .help = "How long acked ones stay."},
};
static const struct conf_table spool_table = {"spool", sizeof(struct spool), spool_keys, ARRAY_LEN(spool_keys), NULL};

static const struct conf_key reader_keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .off = offsetof(struct reader, name),
     .min = 1,
     .max = 24,
     .required = true,
     .help = "Its name, once in the file.",
     .example = "door"},
    {.name = "layout",
     .type = CONF_ENUM,
     .off = offsetof(struct reader, layout),
     .def = "dec10",
     .names = layouts,
     .help = "How the number is written."},
    {.name = "number",
     .type = CONF_UINT,
     .off = offsetof(struct reader, number),
     .min = 1,
     .max = 247,
     .help = "Bus address."},
    {.name = "hold",
     .type = CONF_MS,
     .off = offsetof(struct reader, hold),
     .min = 100,
     .max = 3600000,
     .def = "2s",
     .help = "One card within this time is one punch."},
    {.name = "exclusive",
     .type = CONF_BOOL,
     .off = offsetof(struct reader, exclusive),
     .def = "true",
     .help = "Lock it."},
};
static const struct conf_table reader_table = {"reader", sizeof(struct reader), reader_keys, ARRAY_LEN(reader_keys),
                                               NULL};

static void check_gate(struct conf *c, void *object)
{
    struct gate *g = object;
    struct reader *r = g->readers.items;

    for (size_t i = 0; i < g->readers.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(r[i].name, r[j].name) == 0)
                conf_mistake(c, &r[i].name, "two readers are called \"%s\"", r[i].name);
}

static const struct conf_key gate_keys[] = {
    {.name = "state",
     .type = CONF_STRING,
     .off = offsetof(struct gate, state),
     .def = "/var/lib/punchgate",
     .help = "Where keys and spool live, a folder of mode 0700 that nobody else has any business in whatsoever."},
    {.name = "log",
     .type = CONF_ENUM,
     .off = offsetof(struct gate, log),
     .def = "info",
     .names = levels,
     .help = "Level."},
    {.name = "spool", .type = CONF_MAP, .off = offsetof(struct gate, spool), .sub = &spool_table, .help = "The spool."},
    {.name = "names",
     .type = CONF_STRINGS,
     .off = offsetof(struct gate, names),
     .max = 3,
     .def = "[localhost, 127.0.0.1]",
     .help = "Names.\\ with a backslash"},
    {.name = "lines", .type = CONF_UINTS, .off = offsetof(struct gate, lines), .help = ".lines of the GPIO chip."},
    {.name = "timeout",
     .type = CONF_UINT,
     .off = offsetof(struct gate, timeout),
     .min = 5,
     .help = "Something.",
     .example = "0x10"},
    {.name = "readers",
     .type = CONF_LIST,
     .off = offsetof(struct gate, readers),
     .max = 8,
     .sub = &reader_table,
     .help = "The readers."},
};
static const struct conf_table gate_table = {"punchgate", sizeof(struct gate), gate_keys, ARRAY_LEN(gate_keys),
                                             check_gate};

static struct conf *parse_bytes(struct bytes text, struct gate *g, int want)
{
    struct conf *c = NULL;
    memset(g, 0xa5, sizeof *g);
    int r = conf_parse("gate.yaml", text, &gate_table, g, &c);
    if (r != want && c)
        print_message("%s", conf_text(c));
    assert_int_equal(r, want);
    assert_non_null(c);
    assert_int_equal(conf_text(c)[0] != '\0', want == CONF_BAD);
    return c;
}

static struct conf *parse(const char *text, struct gate *g, int want)
{
    return parse_bytes(BYTES_STR(text), g, want);
}

/* The text is refused, and the whole report is exactly this. */
static void refused(const char *text, const char *report)
{
    struct gate g, zero;
    struct conf *c = parse(text, &g, CONF_BAD);

    assert_string_equal(conf_text(c), report);
    memset(&zero, 0, sizeof zero);
    assert_memory_equal(&g, &zero, sizeof g);
    conf_free(c);
}

/* The text is refused, and among the mistakes is this line. */
static void refused_with(const char *text, const char *part)
{
    struct gate g;
    struct conf *c = parse(text, &g, CONF_BAD);

    if (!strstr(conf_text(c), part))
        fail_msg("wanted %s in:\n%s", part, conf_text(c));
    conf_free(c);
}

static void accepts_everything(void **state)
{
    struct gate g;
    struct conf *c = parse("# a comment\n"
                           "state: \"/srv/gate\"\n"
                           "log: debug\r\n"
                           "spool: {budget: 64MiB, keep: 90min}\n"
                           "names: [a.example, 'b c']\n"
                           "lines: [1, 0x1F, 18446744073709551615]\n"
                           "timeout: 5\n"
                           "readers:\n"
                           "  - name: \"0042\"\n"
                           "    layout: 3+5\n"
                           "    number: 247\n"
                           "    hold: 100ms\n"
                           "    exclusive: false\n"
                           "  - {name: Tür, hold: 1h}\n",
                           &g, 0);
    struct reader *r = g.readers.items;

    assert_string_equal(g.state, "/srv/gate");
    assert_int_equal(g.log, 3);
    assert_int_equal(g.spool.budget, 64 << 20);
    assert_int_equal(g.spool.keep, 5400000);
    assert_int_equal(g.names.n, 2);
    assert_string_equal(((char **)g.names.items)[1], "b c");
    assert_int_equal(g.lines.n, 3);
    assert_true(((uint64_t *)g.lines.items)[1] == 31 && ((uint64_t *)g.lines.items)[2] == UINT64_MAX);
    assert_int_equal(g.readers.n, 2);
    assert_string_equal(r[0].name, "0042");
    assert_true(r[0].layout == 2 && r[0].number == 247 && r[0].hold == 100 && !r[0].exclusive);
    assert_string_equal(r[1].name, "Tür");
    assert_true(r[1].layout == 1 && r[1].number == 0 && r[1].hold == 3600000 && r[1].exclusive);
    conf_free(c);
}

static void fills_defaults(void **state)
{
    static const char *const texts[] = {"",   "# only a comment\n", "---\n", "spool:\nreaders:\nlines: []\n",
                                        "{}", "\xef\xbb\xbf"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct gate g;
        struct conf *c = parse(texts[i], &g, 0);
        assert_string_equal(g.state, "/var/lib/punchgate");
        assert_int_equal(g.log, 2);
        assert_int_equal(g.spool.budget, 256 << 20);
        assert_int_equal(g.spool.keep, 7 * 86400000);
        assert_int_equal(g.names.n, 2);
        assert_string_equal(((char **)g.names.items)[0], "localhost");
        assert_string_equal(((char **)g.names.items)[1], "127.0.0.1");
        assert_true(g.readers.n == 0 && g.readers.items == NULL && g.lines.n == 0 && g.timeout == 0);
        conf_free(c);
    }
}

static void quotes_the_place(void **state)
{
    refused("readers:\n  - name: door\n    hodl: 2s\n",
            "gate.yaml:3:5: unknown key \"hodl\" in reader; did you mean \"hold\"?\n"
            "    3 |     hodl: 2s\n"
            "      |     ^\n");
    refused("\xef\xbb\xbfstat: x\r\nlog: info\r\n",
            "gate.yaml:1:1: unknown key \"stat\" in punchgate; did you mean \"state\"?\n"
            "    1 | stat: x\n"
            "      | ^\n");
    /* columns count characters; a tab in the quote stays one in the caret's line */
    refused("readers: [{name: Tür,\thold: 2}]\n",
            "gate.yaml:1:29: \"2\" lacks its unit: write \"hold\" with ms, s, min, h or d behind the number\n"
            "    1 | readers: [{name: Tür,\thold: 2}]\n"
            "      |                      \t      ^\n");
}

static void tells_every_mistake_in_order(void **state)
{
    refused("zzz: 1\n"
            "log: loud\n"
            "readers:\n"
            "  - hold: 2\n"
            "    number: 248\n"
            "  - name: a\n"
            "    name: b\n"
            "timeout: x\n",
            "gate.yaml:1:1: unknown key \"zzz\" in punchgate\n"
            "    1 | zzz: 1\n"
            "      | ^\n"
            "gate.yaml:2:6: \"loud\" is unknown for \"log\"; one of: error, warn, info, debug\n"
            "    2 | log: loud\n"
            "      |      ^\n"
            "gate.yaml:4:5: reader lacks the key \"name\": text\n"
            "    4 |   - hold: 2\n"
            "      |     ^\n"
            "gate.yaml:4:11: \"2\" lacks its unit: write \"hold\" with ms, s, min, h or d behind the number\n"
            "    4 |   - hold: 2\n"
            "      |           ^\n"
            "gate.yaml:5:13: \"248\" is out of range for \"number\": 1 to 247\n"
            "    5 |     number: 248\n"
            "      |             ^\n"
            "gate.yaml:7:5: \"name\" is given twice in this reader, first in line 6\n"
            "    7 |     name: b\n"
            "      |     ^\n"
            "gate.yaml:8:10: \"x\" is not a whole number, as \"timeout\" wants it\n"
            "    8 | timeout: x\n"
            "      |          ^\n");
}

static void places_what_a_check_finds(void **state)
{
    refused("readers:\n  - name: door\n  - layout: dec10\n    name: door\n",
            "gate.yaml:4:11: two readers are called \"door\"\n"
            "    4 |     name: door\n"
            "      |           ^\n");

    /* after a load that went well: a field that a default filled stands at its object, a foreign address at the top */
    struct gate g;
    int elsewhere = 0;
    struct conf *c = parse("log: info\nspool: {keep: 1d}\nnames: [a, b]\nreaders: [{name: a}]\n", &g, 0);
    struct reader *r = g.readers.items;
    conf_mistake(c, &r[0].hold, "too short");
    conf_mistake(c, &((char **)g.names.items)[1], "who is b?");
    conf_mistake(c, &g.spool.keep, "too long");
    conf_mistake(c, &g.spool.budget, "too large");
    conf_mistake(c, &elsewhere, "too far");
    assert_non_null(strstr(conf_text(c), "gate.yaml:4:11: too short\n"));
    assert_non_null(strstr(conf_text(c), "gate.yaml:3:12: who is b?\n"));
    assert_non_null(strstr(conf_text(c), "gate.yaml:2:15: too long\n"));
    assert_non_null(strstr(conf_text(c), "gate.yaml:2:8: too large\n"));
    assert_non_null(strstr(conf_text(c), "gate.yaml:1:1: too far\n"));
    conf_free(c);
}

static void refuses_wrong_values(void **state)
{
    static const char *const cases[][2] = {
        /* numbers */
        {"timeout: -1", "\"-1\" is not a whole number"},
        {"timeout: 1.5", "is not a whole number"},
        {"timeout: 0x", "is not a whole number"},
        {"timeout: 12 13", "is not a whole number"},
        {"timeout: 010", "begins with a zero"},
        {"timeout: \"7\"", "not quoted text"},
        {"timeout: 4", "\"4\" is out of range for \"timeout\": at least 5"},
        {"timeout: 18446744073709551616", "is out of range"},
        {"lines: [18446744073709551616]", "is too large for \"lines\""},
        {"lines: [1, [2]]", "gate.yaml:1:12: \"lines\" wants a whole number, not a list"},
        {"lines: 1", "\"lines\" wants a list of numbers such as [1, 2], not a single value"},
        /* durations and sizes */
        {"spool: {keep: 7}", "lacks its unit"},
        {"spool: {keep: 99999999999999999999}", "lacks its unit"},
        {"spool: {keep: 7m}", "\"m\" is no unit for \"keep\": write ms, s, min, h or d"},
        {"spool: {keep: 7 s}", "\" s\" is no unit"},
        {"spool: {keep: 7S}", "\"S\" is no unit"},
        {"spool: {keep: 1h30min}", "\"h30min\" is no unit"},
        {"spool: {keep: 1.5h}", "\"1.5h\" is not a duration"},
        {"spool: {keep: -1h}", "\"-1h\" is not a duration"},
        {"spool: {keep: 213503982335d}", "is too large for \"keep\""},
        {"spool: {keep: h}", "is not a duration"},
        {"spool: {keep: \"7\\0d\"}", "\"7\\x00d\" is not a duration"},
        {"spool: {budget: 256MB}", "\"MB\" is no unit for \"budget\": write B, KiB, MiB, GiB or TiB"},
        {"spool: {budget: 256}", "lacks its unit"},
        {"spool: {budget: 1023KiB}", "\"1023KiB\" is out of range for \"budget\": 1MiB to 1TiB"},
        {"spool: {budget: 99999999999TiB}", "is out of range"},
        {"readers: [{name: a, hold: 99ms}]", "\"99ms\" is out of range for \"hold\": 100ms to 1h"},
        {"readers: [{name: a, hold: 0}]", "\"0\" is out of range for \"hold\": 100ms to 1h"},
        /* words */
        {"log: Info", "did you mean \"info\"? One of: error, warn, info, debug"},
        {"log: wran", "did you mean \"warn\"?"},
        {"readers: [{name: a, exclusive: yes}]", "\"yes\" is neither true nor false, as \"exclusive\" wants it"},
        {"readers: [{name: a, exclusive: \"true\"}]", "neither true nor false"},
        /* text */
        {"readers: [{name: \"\"}]", "\"name\" is 0 bytes long; it may have 1 to 24"},
        {"readers: [{name: 1234567890123456789012345}]", "\"name\" is 25 bytes long; it may have 1 to 24"},
        {"readers: [{name: \"a\\nb\"}]", "\"name\" holds a control character"},
        {"readers: [{name: \"a\\0\"}]", "\"name\" holds a control character"},
        {"state: |\n  two\n  lines\n", "\"state\" holds a control character"},
        {"readers: [{name: }]", "\"name\" has no value; it wants text"},
        {"state: ~", "\"state\" has no value"},
        {"state: null", "\"state\" has no value"},
        {"state: {a: b}", "\"state\" wants text, not a group of keys"},
        {"state: [a]", "\"state\" wants text, not a list"},
        /* lists, groups and keys */
        {"names: [a, b, c, d]", "gate.yaml:1:18: \"names\" has 4 items; at most 3 are allowed"},
        {"names: a", "\"names\" wants a list such as [a, b], not a single value"},
        {"names: {a: b}", "\"names\" wants a list such as [a, b], not a group of keys"},
        {"readers: {name: a}", "\"readers\" wants a list, not a group of keys"},
        {"readers: [a]", "reader wants keys and their values (\"key: value\"), not a single value"},
        {"spool: 5", "spool wants keys and their values"},
        {"spool: [5]", "spool wants keys and their values (\"key: value\"), not a list"},
        {"- a\n- b\n", "gate.yaml:1:1: punchgate wants keys and their values"},
        {"just text", "punchgate wants keys and their values"},
        {"? [a, b]\n: c\n", "a key in punchgate is a word, not a list"},
        {"log: info\nlog: info\n", "gate.yaml:2:1: \"log\" is given twice in this punchgate, first in line 1"},
        {"\"lo\\0g\": info", "unknown key \"lo\\x00g\" in punchgate"},
        {"spool:\n  budgett: 1MiB\n", "gate.yaml:2:3: unknown key \"budgett\" in spool; did you mean \"budget\"?"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused_with(cases[i][0], cases[i][1]);
}

static void refuses_what_is_not_our_yaml(void **state)
{
    static const char *const cases[][2] = {
        {"state: a\n---\nstate: b\n", "gate.yaml:2:1: a second document begins here"},
        {"state: &x /a\nlog: info\n", "gate.yaml:1:8: anchors (\"&x\") are not taken here"},
        {"state: &x /a\nnames: [*x, *x]\n", "gate.yaml:2:9: aliases (\"*x\") are not taken here"},
        {"spool: &s {keep: 1d}\n<<: *s\n", "aliases"},
        {"readers: &r [*r]\n", "aliases"},
        {"*nobody : 1\n", "aliases"},
        {"state: !!str /a\n", "gate.yaml:1:8: tags (\"tag:yaml.org,2002:str\") are not taken here"},
        {"state: ! /a\n", "tags (\"!\") are not taken here"},
        {"spool:\n\tkeep: 1d\n", "indent with blanks, not with tabs"},
        {"state: \"abc\nlog: info\n", "(begun in line 1)"},
        {"state: [a, b\nlog: info\n", "this is not YAML"},
        {"state: a\n  log: b\n", "this is not YAML"},
        {"%YAML 9.9\n---\nstate: a\n", "this is not YAML"},
        {"state: a\x01", "gate.yaml:1:9: control character U+0001"},
        {"log: info\nstate: a\xc2\x85", "gate.yaml:2:9: control character U+0085"},
        {"log: info\nstate: T\xfcr\n", "gate.yaml:2:9: byte 0xfc: this is not UTF-8 text"},
        {"state: \xc0\xaf", "byte 0xc0"},
        {"state: \xed\xa0\x80", "byte 0xed"},
        {"state: \xf4\x90\x80\x80", "byte 0xf4"},
        {"state: \xe2\x82", "byte 0xe2"},
        {"\xff\xfes\0", "byte 0xff"}, /* UTF-16 */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused_with(cases[i][0], cases[i][1]);

    struct gate g;
    struct conf *c = parse_bytes(BYTES("log: info\n\0", 11), &g, CONF_BAD);
    assert_non_null(strstr(conf_text(c), "gate.yaml:2:1: control character U+0000"));
    conf_free(c);
}

/* n times `s`, with `head` before it. */
static char *repeat(const char *head, const char *s, size_t n)
{
    size_t len = strlen(s), at = strlen(head);
    char *text = malloc(at + n * len + 1);
    assert_non_null(text);
    memcpy(text, head, at);
    for (size_t i = 0; i < n; i++, at += len)
        memcpy(text + at, s, len);
    text[at] = '\0';
    return text;
}

static void has_bounds(void **state)
{
    char *text = repeat("readers: ", "[", 100000);
    refused_with(text, "this is nested more than 16 deep");
    free(text);

    text = repeat("lines:\n", "- 1\n", 4097);
    refused_with(text, "gate.yaml:4098:3: \"lines\" has 4097 items; at most 4096 are allowed");
    free(text);

    text = repeat("#", "a", (1 << 20) - 1); /* exactly 1 MiB is fine, one more is not */
    struct gate g;
    conf_free(parse(text, &g, 0));
    free(text);
    text = repeat("#", "a", 1 << 20);
    refused_with(text, "gate.yaml:1:1: larger than 1 MiB");
    free(text);

    text = repeat("", "x: 1\n", 1000); /* 50 are told, 950 are counted */
    refused_with(text, "gate.yaml:50:1: unknown key \"x\"");
    refused_with(text, "gate.yaml: 950 more mistakes\n");
    free(text);

    text = repeat("state: {", "\xc3\xa4", 50000); /* one line of 100 kB is quoted around the place only */
    struct conf *c = parse(text, &g, CONF_BAD);
    assert_true(strlen(conf_text(c)) < 2000);
    conf_free(c);
    free(text);

    /* a caret far right stands below its word */
    refused(
        "{state: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, "
        "zzz: 1}\n",
        "gate.yaml:1:108: unknown key \"zzz\" in punchgate\n"
        "    1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, zzz: 1}\n"
        "      |                                                                ^\n");
}

static void asks_for_what_is_required(void **state)
{
    static const struct conf_key inner_keys[] = {
        {.name = "listen", .type = CONF_STRING, .required = true, .off = 0, .help = "Where."}};
    static const struct conf_table inner = {"api", sizeof(char *), inner_keys, 1, NULL};
    static const struct conf_key keys[] = {{.name = "api", .type = CONF_MAP, .sub = &inner, .help = "The API."}};
    static const struct conf_table t = {"cloud", sizeof(char *), keys, 1, NULL};
    static const struct conf_key strict_keys[] = {
        {.name = "api", .type = CONF_MAP, .sub = &inner, .required = true, .help = "The API."},
        {.name = "l", .type = CONF_STRINGS, .min = 1, .required = true, .off = sizeof(char *), .help = "List."}};
    static const struct conf_table strict = {"cloud", sizeof(char *) + sizeof(struct conf_list), strict_keys, 2, NULL};
    struct {
        char *p;
        struct conf_list l;
    } out;
    struct conf *c;

    /* a section that is left out does not leave out what it requires */
    assert_int_equal(conf_parse("c.yaml", BYTES_STR("\n"), &t, &out, &c), CONF_BAD);
    assert_string_equal(conf_text(c), "c.yaml:1:1: api lacks the key \"listen\": text\n    1 | \n      | ^\n");
    conf_free(c);
    assert_int_equal(conf_parse("c.yaml", BYTES_STR("l:\n"), &strict, &out, &c), CONF_BAD);
    assert_non_null(strstr(conf_text(c), "c.yaml:1:1: cloud lacks the key \"api\""));
    assert_non_null(strstr(conf_text(c), "\"l\" has 0 items; at least 1 are allowed"));
    conf_free(c);
}

static void loads_files(void **state)
{
    char dir[] = "/tmp/test_conf.XXXXXX", path[64];
    struct gate g;
    struct conf *c = NULL;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/gate.yaml", dir);
    assert_int_equal(conf_load(path, &gate_table, &g, &c), -ENOENT);
    assert_int_equal(conf_load(dir, &gate_table, &g, &c), -EISDIR);
    assert_null(c);

    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("timeout: 77\n", f);
    fclose(f);
    assert_int_equal(conf_load(path, &gate_table, &g, &c), 0);
    assert_int_equal(g.timeout, 77);
    conf_free(c);

    f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1100; i++)
        fprintf(f, "# %01000d\n", i);
    fclose(f);
    assert_int_equal(conf_load(path, &gate_table, &g, &c), CONF_BAD);
    assert_non_null(strstr(conf_text(c), "/gate.yaml:1:1: larger than 1 MiB"));
    conf_free(c);
    unlink(path);
    rmdir(dir);
}

/* Any text at all gives an answer and no accident: prefixes, and single bytes changed, of a good file. */
static void survives_damage(void **state)
{
    static const char good[] =
        "state: \"/a\"\nspool: {budget: 64MiB}\nnames: [a, 'b']\nreaders:\n  - name: x\n    hold: 2s\n";
    static const char bytes[] = "\0\t\n :-[]{}\"'&*!#|>%@\\x\xff\xc3";
    char text[sizeof good];
    size_t bad = 0;

    for (size_t i = 0; i < sizeof good; i++) {
        for (size_t j = 0; j < sizeof bytes; j++) {
            struct gate g;
            struct conf *c = NULL;
            memcpy(text, good, sizeof good);
            text[i] = bytes[j];
            int r = conf_parse("x", BYTES(text, j == 0 ? i : sizeof good - 1), &gate_table, &g, &c);
            assert_true(r == 0 || r == CONF_BAD);
            bad += strlen(conf_text(c)) > 0;
            conf_free(c);
        }
    }
    assert_true(bad > sizeof good);
}

static char *printed(void (*print)(FILE *f, const struct conf_table *t))
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    print(f, &gate_table);
    fclose(f);
    return text;
}

static void prints_an_example_that_loads(void **state)
{
    char *text = printed(conf_print_example);
    struct gate g;

    struct conf *c = parse(text, &g, 0);
    assert_int_equal(g.readers.n, 1);
    assert_string_equal(((struct reader *)g.readers.items)->name, "door");
    conf_free(c);
    assert_non_null(strstr(text, "\n#log: info\n"));
    assert_non_null(strstr(text, "\n# The readers. At most 8 items.\nreaders:\n"));
    assert_non_null(strstr(text, "# Level. One of: error, warn, info, debug.\n"));
    assert_non_null(strstr(text, "spool:\n  # Most bytes the spool may take. 1MiB to 1TiB.\n  #budget: 256MiB\n"));
    assert_non_null(
        strstr(text, "readers:\n  # Its name, once in the file. 1 to 24 bytes. Required.\n  - name: door\n"));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 102);

    /* with every key switched on it loads as well, and says the same */
    size_t n = 0;
    for (size_t i = 0; text[i]; i++)
        if (text[i] != '#' || text[i + 1] == ' ')
            text[n++] = text[i];
    text[n] = '\0';
    c = parse(text, &g, 0);
    assert_int_equal(g.timeout, 16);
    assert_int_equal(((struct reader *)g.readers.items)->number, 1);
    conf_free(c);
    free(text);
}

static void prints_the_manuals_list(void **state)
{
    char *text = printed(conf_print_mdoc);

    assert_non_null(strstr(
        text, ".It Cm spool.budget Ar size\nMost bytes the spool may take.\n1MiB to 1TiB.\nThe default is 256MiB.\n"));
    assert_non_null(strstr(text, ".It Cm readers[].name Ar text\n"));
    assert_non_null(strstr(text, "\n\\&.lines of the GPIO chip.\n"));
    assert_non_null(strstr(text, "\nNames.\\e with a backslash\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_everything),
        cmocka_unit_test(fills_defaults),
        cmocka_unit_test(quotes_the_place),
        cmocka_unit_test(tells_every_mistake_in_order),
        cmocka_unit_test(places_what_a_check_finds),
        cmocka_unit_test(refuses_wrong_values),
        cmocka_unit_test(refuses_what_is_not_our_yaml),
        cmocka_unit_test(has_bounds),
        cmocka_unit_test(asks_for_what_is_required),
        cmocka_unit_test(loads_files),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(prints_an_example_that_loads),
        cmocka_unit_test(prints_the_manuals_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
