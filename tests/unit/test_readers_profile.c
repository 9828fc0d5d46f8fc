/* Profiles: the shipped one, what a read of it means, and what is said about a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "readers/profile.h"

#define PROFILES SOURCE_DIR "/config/profiles"

static const char good[] = "title: T\n"
                           "technology: em4100\n"
                           "flag: coil 10\n"
                           "read: {registers: holding 100..104, id: holding 102, max: 5}\n"
                           "clear: holding 100 = 0\n";

static struct profile parse_good(const char *text)
{
    struct profile p;
    char *why = NULL;
    int r = profile_parse("t.yaml", BYTES_STR(text), &p, &why);
    if (r != 0)
        print_error("%s", why);
    free(why);
    assert_int_equal(r, 0);
    return p;
}

static void shipped_inveo(void **state)
{
    struct profile p;
    char *why = NULL;

    assert_int_equal(profile_load(PROFILES, "inveo-rfid-ind", &p, &why), 0);
    assert_string_equal(p.title, "Inveo RFID IND Modbus");
    assert_int_equal(p.tech, TECH_ISO14443);
    assert_int_equal(p.flag.fc, ASK_COILS);
    assert_int_equal(p.flag.addr, 1016);
    assert_int_equal(p.reset.addr, 1017);
    assert_int_equal(p.read.from, 1000);
    assert_int_equal(p.read.n, 12);
    assert_int_equal(p.read.length.addr, 1001);
    assert_int_equal(p.clear.at.fc, ASK_COILS);
    assert_int_equal(p.clear.at.addr, 1016);
    assert_int_equal(p.clear.value, 0);
    assert_int_equal(p.n_init, 0);

    char *path = NULL;
    assert_true(asprintf(&path, "%s/inveo-rfid-ind.yaml", PROFILES) > 0);
    assert_int_equal(profile_load("/nowhere", path, &p, &why), 0); /* a path needs no folder */
    free(path);
    assert_int_equal(profile_load(PROFILES, "no-such-device", &p, &why), -ENOENT);
}

static void number_by_length_register(void **state)
{
    struct profile p;
    char *why = NULL;
    struct cred c = {.tech = 99};
    uint16_t v[12] = {1, 7, 0x04A1, 0xB2C3, 0xD4E5, 0xF6FF};

    assert_int_equal(profile_load(PROFILES, "inveo-rfid-ind", &p, &why), 0);
    assert_int_equal(profile_cred(&p, v, &c), 0);
    assert_int_equal(c.bits, 56);
    assert_memory_equal(c.data, "\x04\xA1\xB2\xC3\xD4\xE5\xF6", 7);
    assert_int_equal(c.data[7], 0); /* not the register's other half */
    assert_true(cred_valid(&c));
    v[1] = 4;
    assert_int_equal(profile_cred(&p, v, &c), 0);
    assert_int_equal(c.bits, 32);
    v[1] = 20;
    assert_int_equal(profile_cred(&p, v, &c), 0);
    assert_int_equal(c.bits, 160);

    struct cred untouched = {.tech = 77};
    v[1] = 21;
    assert_int_equal(profile_cred(&p, v, &untouched), PROFILE_BAD);
    v[1] = 0;
    assert_int_equal(profile_cred(&p, v, &untouched), PROFILE_BAD);
    v[1] = 0xFFFF;
    assert_int_equal(profile_cred(&p, v, &untouched), PROFILE_BAD);
    v[0] = 0;
    assert_int_equal(profile_cred(&p, v, &untouched), PROFILE_NONE);
    uint16_t zero[12] = {1, 4};
    assert_int_equal(profile_cred(&p, zero, &untouched), PROFILE_BAD);
    assert_int_equal(untouched.tech, 77);
}

/* Facts 5.2: Inveo's "Endian 2" stores the bytes 55 AA as AA55. Without a length register every number has max bytes.
 */
static void byte_order_and_fixed_length(void **state)
{
    struct profile p = parse_good(good);
    uint16_t v[5] = {0, 0, 0x55AA, 0x0102, 0x03FF};
    struct cred c;

    assert_int_equal(profile_cred(&p, v, &c), 0);
    assert_int_equal(c.bits, 40);
    assert_memory_equal(c.data, "\x55\xAA\x01\x02\x03", 5);
    p = parse_good("title: T\ntechnology: em4100\nflag: coil 10\nclear: holding 100 = 0\n"
                   "read: {registers: holding 100..104, id: holding 102, max: 5, order: low-first}\n");
    assert_int_equal(profile_cred(&p, v, &c), 0);
    assert_memory_equal(c.data, "\xAA\x55\x02\x01\xFF", 5);
}

/* Facts 5.3: images composed from the maps. */
static void shipped_vrd_485(void **state)
{
    struct profile p;
    char *why = NULL;
    struct cred c = {.tech = 99};

    assert_int_equal(profile_load(PROFILES, "technotrade-vrd-485", &p, &why), 0);
    assert_int_equal(p.presence, PROFILE_LEVEL);
    assert_int_equal(p.absent_polls, 3);
    assert_int_equal(p.read.fc, ASK_HOLDING);
    assert_int_equal(p.read.from, 2);
    assert_int_equal(p.read.n, 2);
    assert_int_equal(profile_cred(&p, (uint16_t[]){0, 0}, &c), PROFILE_NONE);
    assert_int_equal(c.tech, 99);
    assert_int_equal(profile_cred(&p, (uint16_t[]){0xA41E, 0x45C6}, &c), 0);
    assert_int_equal(c.tech, TECH_EM4100);
    assert_int_equal(c.bits, 32);
    assert_memory_equal(c.data, "\xA4\x1E\x45\xC6", 4);
    assert_int_equal(profile_cred(&p, (uint16_t[]){0, 1}, &c), 0); /* leading zeros count */
    assert_memory_equal(c.data, "\0\0\0\1", 4);
    assert_true(cred_valid(&c));
}

static void shipped_ic_10mrw(void **state)
{
    struct profile p;
    char *why = NULL;
    struct cred c = {.tech = 99};

    assert_int_equal(profile_load(PROFILES, "ic-10mrw", &p, &why), 0);
    assert_int_equal(p.presence, PROFILE_LEVEL);
    assert_int_equal(p.read.from, 3);
    assert_int_equal(p.read.n, 7);
    /* Registers 3 to 9; the UIDs 04A1B2C3 and 04A1B2C3D4E5F6. */
    uint16_t none[7] = {0, 1, 2, 3, 4, 5, 6}, ten[7] = {10, 1, 2, 3, 4, 5, 6};
    uint16_t four[7] = {4, 0, 0, 0, 0, 0xA104, 0xC3B2}, seven[7] = {7, 0xF6E5, 0x0004, 0, 0, 0xB2A1, 0xD4C3};
    assert_int_equal(profile_cred(&p, none, &c), PROFILE_NONE);
    for (ten[0] = 1; ten[0] < 100; ten[0]++)
        if (ten[0] != 4 && ten[0] != 7)
            assert_int_equal(profile_cred(&p, ten, &c), PROFILE_BAD);
    ten[0] = 10;
    assert_int_equal(profile_length(&p, ten), 10);
    assert_int_equal(c.tech, 99);
    assert_int_equal(profile_cred(&p, four, &c), 0);
    assert_int_equal(c.tech, TECH_ISO14443);
    assert_int_equal(c.bits, 32);
    assert_memory_equal(c.data, "\x04\xA1\xB2\xC3", 4);
    assert_int_equal(profile_cred(&p, seven, &c), 0);
    assert_int_equal(c.bits, 56);
    assert_memory_equal(c.data, "\x04\xA1\xB2\xC3\xD4\xE5\xF6", 7);
    assert_true(cred_valid(&c));
    four[5] = 0xA108; /* made anew at each approach */
    assert_int_equal(profile_cred(&p, four, &c), PROFILE_UNUSABLE);
    uint16_t zero[7] = {4};
    assert_int_equal(profile_cred(&p, zero, &c), PROFILE_BAD); /* its length says that there is one */
}

/* A flag among the registers tells presence of a level device, too. */
static void level_by_flag(void **state)
{
    struct profile p = parse_good("title: T\ntechnology: em4100\npresence: level\nabsent_polls: 7\n"
                                  "read: {registers: input 5..9, flag: input 5, bytes: [9l 8h 8l]}\n");
    struct cred c;

    assert_int_equal(p.absent_polls, 7);
    assert_int_equal(p.read.fc, ASK_INPUT);
    assert_int_equal(profile_cred(&p, (uint16_t[]){0, 1, 2, 3, 4}, &c), PROFILE_NONE);
    assert_int_equal(profile_cred(&p, (uint16_t[]){1, 1, 2, 0, 0}, &c), PROFILE_BAD);
    assert_int_equal(profile_cred(&p, (uint16_t[]){1, 1, 2, 0x0102, 0x0304}, &c), 0);
    assert_int_equal(c.bits, 24);
    assert_memory_equal(c.data, "\x04\x01\x02", 3);
}

/* docs/READERS.md has the reference of all keys, made from the table. */
static void the_reference_is_the_table(void **state)
{
    char *text = NULL, *doc = NULL;
    size_t n = 0, used = 0;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    conf_print_example(f, &profile_table);
    fclose(f);
    doc = calloc(1, 1 << 20);
    f = fopen(SOURCE_DIR "/docs/READERS.md", "r");
    assert_non_null(doc);
    assert_non_null(f);
    used = fread(doc, 1, (1 << 20) - 1, f);
    fclose(f);
    assert_true(used > 0);
    if (!strstr(doc, text))
        fail_msg("docs/READERS.md should have\n%s", text);
    free(doc);
    free(text);
}

#define BYTES_AT(what) "read: {registers: holding 100..104, bytes: " what

/* A change of one line of `good`, and what has to be said about it. */
static const struct {
    const char *line, *text, *says;
} wrong[] = {
    {"flag:", "flag: coil", "t.yaml:3:7: \"coil\" is no place"},
    {"flag:", "flag: coil 70000", "t.yaml:3:7: \"coil 70000\" is no place"},
    {"flag:", "flag: coil 10 ", NULL},
    {"flag:", "flag: \"coil 10 \"", "t.yaml:3:7: \"coil 10 \" is no place"},
    {"flag:", "flag: coil 10..12", "is no place"},
    {"flag:", "flag: coil -1", "is no place"},
    {"flag:", "flag: bit 10", "write coil, discrete, holding or input"},
    {"flag:", "flag: holding 10", "t.yaml:3:7: the flag is a coil or a discrete input, not a holding register"},
    {"flag:", "flags: coil 10", "unknown key \"flags\""},
    {"flag:", "flag: coil 10\nreset: coil 200", "t.yaml:4:8: the reset flag has to come in one request"},
    {"flag:", "flag: coil 10\nreset: holding 11", "has to come in one request"},
    {"flag:", "flag: discrete 10\nreset: discrete 11", "has to be a coil"},
    {"flag:", "flag: coil 10\nreset: coil 134", NULL},
    {"technology:", "technology: mifare", "t.yaml:2:13: \"mifare\" is no technology we know"},
    {"title:", "title: \"\"", "t.yaml:1:8"},
    {"clear:", "clear: coil 10", "t.yaml:5:8: \"coil 10\" is no write"},
    {"clear:", "clear: coil 10 = 2", "is no write"},
    {"clear:", "clear: input 10 = 0", "is no write"},
    {"clear:", "clear: holding 10 = 65536", "is no write"},
    {"clear:", "clear: coil 10 = 0\ninit: [coil 1 = 1, coil 2]", "t.yaml:6:20: \"coil 2\" is no write"},
    {"clear:", "clear: coil 10 = 0\ninit: [coil 1 = 1, holding 2 = 0]", NULL},
    {"read:", "read: {registers: holding 100, id: holding 102, max: 5}", "is no range of registers"},
    {"read:", "read: {registers: coil 100..104, id: holding 102, max: 5}", "is no range of registers"},
    {"read:", "read: {registers: holding 104..100, id: holding 102, max: 5}", "is no range of registers"},
    {"read:", "read: {registers: holding 100..225, id: holding 102, max: 5}", "at most 125 registers"},
    {"read:", "read: {registers: holding 100..224, id: holding 102, max: 5}", NULL},
    {"read:", "read: {registers: holding 65411..65535, id: holding 65535, max: 2}", NULL},
    {"read:", "read: {registers: holding 65411..65535, id: holding 65535, max: 3}", "to its last byte"},
    {"read:", "read: {registers: holding 100..104, id: holding 103, max: 5}", "holding 100..104, to its last byte"},
    {"read:", "read: {registers: holding 100..104, id: input 102, max: 5}", "has to lie in the registers"},
    {"read:", "read: {registers: holding 100..104, id: holding 102, max: 5, length: holding 99}", "has to lie in"},
    {"read:", "read: {registers: holding 100..104, id: holding 102, max: 5, flag: holding 105}", "has to lie in"},
    {"read:", "read: {registers: holding 100..104, id: holding 102, max: 63}", "t.yaml:4:"},
    {"read:", "read: {registers: holding 100..104, id: holding 102, max: 0}", "t.yaml:4:"},
    {"read:", "read: {registers: holding 100..104, max: 5}", "lacks the key \"id\""},
    {"read:", "read: {registers: holding 100..104, id: holding 102, max: 5, order: middle}", "t.yaml:4:"},
    {"read:", "", "lacks the key \"registers\""},
    {"read:", "read: [", "t.yaml:"},
    {"read:", "read: {registers: holding 100..104, id: holding 102}",
     "t.yaml:4:19: the read of a profile lacks the key \"max\""},
    {"flag:", "absent_polls: 0\nflag: coil 10", "t.yaml:3:15"},
    {"flag:", "", "a profile of presence latched lacks the key \"flag\""},
    {"clear:", "", "a profile of presence latched lacks the key \"clear\""},
    {"flag:", "presence: level", "t.yaml:5:8: clear is for presence latched"},
    {"flag:", "presence: level\nflag: coil 10", "t.yaml:4:7: flag is for presence latched"},
    {"flag:", "presence: level\nreset: coil 10", "t.yaml:4:8: reset is for presence latched"},
    {"flag:", "presence: level\ninit: [coil 1 = 1]", "t.yaml:4:7: init is for presence latched"},
    {"flag:", "presence: sometimes", "t.yaml:3:11"},
    {"read:", BYTES_AT("[100l 100h, 101l 101h 104l]") ", length: holding 100}", NULL},
    {"read:", BYTES_AT("[100l 100h, 101l 101h 104l]") "}", "want the key \"length\""},
    {"read:", BYTES_AT("[100l 100h, 101l 101h]") ", length: holding 100}",
     "t.yaml:4:56: there is a number of 2 bytes already"},
    {"read:", BYTES_AT("[104l]") "}", NULL},
    {"read:", BYTES_AT("[105l]") "}", "t.yaml:4:45: \"105l\" does not say where the bytes are"},
    {"read:", BYTES_AT("[99l]") "}", "of the registers 100..104"},
    {"read:", BYTES_AT("[100l 100l]") "}", "each place once"},
    {"read:", BYTES_AT("[100]") "}", "does not say where"},
    {"read:", BYTES_AT("[100m]") "}", "does not say where"},
    {"read:", BYTES_AT("[100l  100h]") "}", "does not say where"},
    {"read:", BYTES_AT("[\"100l \"]") "}", "does not say where"},
    {"read:", BYTES_AT("[\"\"]") "}", "does not say where"},
    {"read:", BYTES_AT("[100l]") ", id: holding 100}", "\"bytes\" stands instead of id, max and order"},
    {"read:", BYTES_AT("[100l]") ", max: 4}", "\"bytes\" stands instead of id, max and order"},
    {"read:", BYTES_AT("[100l]") ", order: low-first}", "\"bytes\" stands instead of id, max and order"},
    {"read:", BYTES_AT("[100l, 101l, 102l, 103l, 104l]") "}", "t.yaml:4:"},
};

static char *with_line(const char *line, const char *instead)
{
    char *text = NULL;
    const char *at = strstr(good, line), *end = strchr(at, '\n');
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, instead, end) > 0);
    return text;
}

static void mistakes_are_told_at_their_place(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct profile p = {.title = "untouched"};
        char *text = with_line(wrong[i].line, wrong[i].text), *why = NULL;
        int r = profile_parse("t.yaml", BYTES_STR(text), &p, &why);
        if (!wrong[i].says) {
            assert_int_equal(r, 0);
        } else {
            assert_int_equal(r, PROFILE_BAD);
            if (!strstr(why, wrong[i].says))
                fail_msg("%s\nsays\n%sinstead of \"%s\"", text, why, wrong[i].says);
            assert_string_equal(p.title, "untouched");
        }
        free(text);
        free(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_inveo),
        cmocka_unit_test(number_by_length_register),
        cmocka_unit_test(byte_order_and_fixed_length),
        cmocka_unit_test(shipped_vrd_485),
        cmocka_unit_test(shipped_ic_10mrw),
        cmocka_unit_test(level_by_flag),
        cmocka_unit_test(the_reference_is_the_table),
        cmocka_unit_test(mistakes_are_told_at_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
