/* Reads a profile along its table, then what a table cannot say: places such as "coil 1016", and that they fit
 * together. Not here: asking the device, which is latched.c. */
#include "readers/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

/* The file as it is written. */
struct profile_file {
    char *title, *tech, *flag, *reset, *clear;
    struct {
        char *registers, *flag, *length, *id;
        uint64_t max;
        int order;
    } read;
    struct conf_list init;
    struct profile out; /* made from the above by check() */
};

static const char *const orders[] = {"high-first", "low-first", NULL};

static const struct {
    const char *word;
    enum ask_fc fc;
} kinds[] = {{"coil", ASK_COILS}, {"discrete", ASK_DISCRETE}, {"holding", ASK_HOLDING}, {"input", ASK_INPUT}};

static const char *kind_word(enum ask_fc fc)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].fc == fc)
            return kinds[i].word;
    return "?";
}

/* "coil 1016" or, with a range, "holding 1000..1011". */
static int parse_at(const char *s, struct profile_at *ret_at, uint16_t *ret_last)
{
    char word[16], first[8], last[8] = "";
    int used = 0;
    uint64_t from = 0, to = 0;

    if (sscanf(s, "%15[a-z] %7[0-9]%n", word, first, &used) != 2)
        return -EINVAL;
    if (s[used] == '.') {
        int more = 0;
        if (!ret_last || sscanf(s + used, "..%7[0-9]%n", last, &more) != 1)
            return -EINVAL;
        used += more;
    } else if (ret_last) {
        return -EINVAL;
    }
    if (s[used] != '\0' || str_u64(first, 0, 65535, &from) < 0)
        return -EINVAL;
    if (ret_last && (str_u64(last, 0, 65535, &to) < 0 || to < from))
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(word, kinds[i].word) != 0)
            continue;
        *ret_at = (struct profile_at){.fc = kinds[i].fc, .addr = (uint16_t)from};
        if (ret_last)
            *ret_last = (uint16_t)to;
        return 0;
    }
    return -EINVAL;
}

/* "coil 1016 = 0" */
static int parse_write(const char *s, struct profile_write *ret_write)
{
    char at[32];
    const char *eq = strstr(s, " = ");
    struct profile_write w;
    uint64_t value;

    if (!eq || (size_t)(eq - s) >= sizeof(at))
        return -EINVAL;
    memcpy(at, s, (size_t)(eq - s));
    at[eq - s] = '\0';
    if (parse_at(at, &w.at, NULL) < 0 || (w.at.fc != ASK_COILS && w.at.fc != ASK_HOLDING))
        return -EINVAL;
    if (str_u64(eq + 3, 0, w.at.fc == ASK_COILS ? 1 : 65535, &value) < 0)
        return -EINVAL;
    w.value = (uint16_t)value;
    *ret_write = w;
    return 0;
}

static bool is_bit(enum ask_fc fc)
{
    return fc == ASK_COILS || fc == ASK_DISCRETE;
}

/* False, and reported, when `text` is no place; absent places stay zero. */
static bool take_at(struct conf *c, char *const *field, struct profile_at *ret_at)
{
    if (!*field || parse_at(*field, ret_at, NULL) == 0)
        return true;
    conf_mistake(c, field, "\"%s\" is no place: write coil, discrete, holding or input and an address from 0 to 65535",
                 *field);
    return false;
}

static void check_flags(struct conf *c, struct profile_file *f, struct profile *p)
{
    if (!take_at(c, &f->flag, &p->flag) || !take_at(c, &f->reset, &p->reset))
        return;
    if (!is_bit(p->flag.fc))
        conf_mistake(c, &f->flag, "the flag is a coil or a discrete input, not a %s register", kind_word(p->flag.fc));
    if (!p->reset.fc)
        return;
    unsigned low = p->reset.addr < p->flag.addr ? p->reset.addr : p->flag.addr;
    unsigned high = p->reset.addr < p->flag.addr ? p->flag.addr : p->reset.addr;
    if (p->reset.fc != p->flag.fc || high - low >= ASK_MAX)
        conf_mistake(c, &f->reset, "the reset flag has to come in one request with the flag: a %s within %d of it",
                     kind_word(p->flag.fc), ASK_MAX - 1);
    else if (p->reset.fc != ASK_COILS)
        conf_mistake(c, &f->reset, "the reset flag is cleared once it was seen, so it has to be a coil");
}

static void check_inside(struct conf *c, const struct profile *p, char *const *field, const struct profile_at *at,
                         enum ask_fc block, unsigned n)
{
    if (!at->fc)
        return;
    unsigned last = (unsigned)p->read.from + p->read.n - 1;
    if (at->fc != block || at->addr < p->read.from || (unsigned)at->addr + n - 1 > last)
        conf_mistake(c, field, "this has to lie in the registers that are read at once, %s %u..%u%s", kind_word(block),
                     p->read.from, last, n > 1 ? ", to its last byte" : "");
}

static void check_read(struct conf *c, struct profile_file *f, struct profile *p)
{
    struct profile_at block = {0};
    uint16_t last = 0;

    if (parse_at(f->read.registers, &block, &last) < 0 || is_bit(block.fc)) {
        conf_mistake(c, &f->read.registers, "\"%s\" is no range of registers: write such as holding 1000..1011",
                     f->read.registers);
        return;
    }
    if (last - block.addr >= ASK_MAX) {
        conf_mistake(c, &f->read.registers, "a request reads at most %d registers", ASK_MAX);
        return;
    }
    p->read.from = block.addr;
    p->read.n = (uint16_t)(last - block.addr + 1);
    p->read.max = (uint16_t)f->read.max;
    p->read.order = (enum profile_order)f->read.order;
    if (!take_at(c, &f->read.flag, &p->read.flag) || !take_at(c, &f->read.length, &p->read.length) ||
        !take_at(c, &f->read.id, &p->read.id))
        return;
    check_inside(c, p, &f->read.flag, &p->read.flag, block.fc, 1);
    check_inside(c, p, &f->read.length, &p->read.length, block.fc, 1);
    check_inside(c, p, &f->read.id, &p->read.id, block.fc, (p->read.max + 1u) / 2);
}

static void check_writes(struct conf *c, struct profile_file *f, struct profile *p)
{
    static const char help[] = "is no write: say such as coil 1016 = 0, or holding 5 = 300";

    if (parse_write(f->clear, &p->clear) < 0)
        conf_mistake(c, &f->clear, "\"%s\" %s", f->clear, help);
    char **init = f->init.items;
    for (size_t i = 0; i < f->init.n; i++, p->n_init++)
        if (parse_write(init[i], &p->init[i]) < 0)
            conf_mistake(c, &init[i], "\"%s\" %s", init[i], help);
}

static void check(struct conf *c, void *object)
{
    struct profile_file *f = object;
    struct profile *p = &f->out;

    (void)str_copy(p->title, sizeof(p->title), f->title); /* the table bounds its length */
    if (tech_parse(f->tech, &p->tech) < 0)
        conf_mistake(c, &f->tech, "\"%s\" is no technology we know: em4100, iso14443, iso15693, wiegand, uhf, text",
                     f->tech);
    check_flags(c, f, p);
    check_read(c, f, p);
    check_writes(c, f, p);
}

#define OFF(field) offsetof(struct profile_file, field)
#define READ_OFF(field) (offsetof(struct profile_file, read.field) - offsetof(struct profile_file, read))

static const struct conf_key read_keys[] = {
    {.name = "registers",
     .type = CONF_STRING,
     .off = READ_OFF(registers),
     .required = true,
     .help = "The registers read in one request, so that they belong together.",
     .example = "holding 1000..1011"},
    {.name = "flag",
     .type = CONF_STRING,
     .off = READ_OFF(flag),
     .help = "The flag once more, among these registers; a read without it set is not one.",
     .example = "holding 1000"},
    {.name = "length",
     .type = CONF_STRING,
     .off = READ_OFF(length),
     .help = "Register with the number of bytes; without one every number has `max` bytes.",
     .example = "holding 1001"},
    {.name = "id",
     .type = CONF_STRING,
     .off = READ_OFF(id),
     .required = true,
     .help = "First register of the number, two bytes a register.",
     .example = "holding 1002"},
    {.name = "max",
     .type = CONF_UINT,
     .off = READ_OFF(max),
     .min = 1,
     .max = CRED_MAX,
     .required = true,
     .help = "Most bytes a number can have.",
     .example = "20"},
    {.name = "order",
     .type = CONF_ENUM,
     .off = READ_OFF(order),
     .def = "high-first",
     .names = orders,
     .help = "Which byte of a register comes first in the number."},
};
static const struct conf_table read_table = {.what = "the read of a profile",
                                             .size = sizeof(((struct profile_file *)0)->read),
                                             .keys = read_keys,
                                             .n = ARRAY_LEN(read_keys)};

static const struct conf_key keys[] = {
    {.name = "title",
     .type = CONF_STRING,
     .off = OFF(title),
     .min = 1,
     .max = 60,
     .required = true,
     .help = "What the device is called.",
     .example = "Inveo RFID IND Modbus"},
    {.name = "technology",
     .type = CONF_STRING,
     .off = OFF(tech),
     .required = true,
     .help = "em4100, iso14443, iso15693, wiegand, uhf or text.",
     .example = "iso14443"},
    {.name = "flag",
     .type = CONF_STRING,
     .off = OFF(flag),
     .required = true,
     .help = "Bit that is 1 while a read waits; the device reads no further card until it is cleared.",
     .example = "coil 1016"},
    {.name = "reset",
     .type = CONF_STRING,
     .off = OFF(reset),
     .help = "Coil that is 1 after the device started; the init writes are repeated, then it is cleared.",
     .example = "coil 1017"},
    {.name = "read", .type = CONF_MAP, .off = OFF(read), .sub = &read_table, .help = "Where the number is."},
    {.name = "clear",
     .type = CONF_STRING,
     .off = OFF(clear),
     .required = true,
     .help = "The write that clears the flag, made once the punch is stored.",
     .example = "coil 1016 = 0"},
    {.name = "init",
     .type = CONF_STRINGS,
     .off = OFF(init),
     .max = PROFILE_INIT_MAX,
     .help = "Writes after connecting and after a restart of the device.",
     .example = "[coil 1000 = 0]"},
};
const struct conf_table profile_table = {
    .what = "a profile", .size = sizeof(struct profile_file), .keys = keys, .n = ARRAY_LEN(keys), .check = check};

static int take(int r, struct conf *c, const struct profile_file *f, struct profile *ret_profile, char **ret_text)
{
    if (r < 0)
        return r;
    if (r == 0) {
        *ret_profile = f->out;
        conf_free(c);
        return 0;
    }
    char *text = strdup(conf_text(c));
    conf_free(c);
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    return PROFILE_BAD;
}

int profile_parse(const char *name, struct bytes text, struct profile *ret_profile, char **ret_text)
{
    struct profile_file f;
    struct conf *c = NULL;
    int r = conf_parse(name, text, &profile_table, &f, &c);
    return take(r, c, &f, ret_profile, ret_text);
}

int profile_load(const char *dir, const char *name, struct profile *ret_profile, char **ret_text)
{
    struct profile_file f;
    struct conf *c = NULL;
    char path[4096];
    int n = strchr(name, '/') ? snprintf(path, sizeof(path), "%s", name)
                              : snprintf(path, sizeof(path), "%s/%s.yaml", dir, name);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    int r = conf_load(path, &profile_table, &f, &c);
    return take(r, c, &f, ret_profile, ret_text);
}

int profile_cred(const struct profile *p, const uint16_t *v, struct cred *ret_cred)
{
    struct cred c = {.tech = p->tech};
    uint8_t any = 0;
    size_t n = p->read.max;

    if (p->read.flag.fc && v[p->read.flag.addr - p->read.from] == 0)
        return PROFILE_NONE;
    if (p->read.length.fc)
        n = v[p->read.length.addr - p->read.from];
    if (n == 0 || n > p->read.max)
        return PROFILE_BAD;
    for (size_t i = 0; i < n; i++) {
        uint16_t reg = v[p->read.id.addr - p->read.from + i / 2];
        bool high = (i % 2 == 0) == (p->read.order == PROFILE_HIGH_FIRST);
        c.data[i] = (uint8_t)(high ? reg >> 8 : reg);
        any |= c.data[i];
    }
    if (any == 0)
        return PROFILE_BAD;
    c.bits = (uint16_t)(8 * n);
    *ret_cred = c;
    return 0;
}
