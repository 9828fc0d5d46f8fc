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
    int presence;
    uint64_t absent_polls;
    struct {
        char *registers, *flag, *length, *id;
        uint64_t max;
        int order;
        struct conf_list bytes;
    } read;
    struct conf_list init;
    struct profile out; /* made from the above by check() */
};

static const char *const presences[] = {[PROFILE_LATCHED] = "latched", [PROFILE_LEVEL] = "level", NULL};

enum { HIGH_FIRST, LOW_FIRST };
static const char *const orders[] = {[HIGH_FIRST] = "high-first", [LOW_FIRST] = "low-first", NULL};

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

/* "8l 8h 9l 9h": registers and halves, which have to lie in the block. */
static int parse_layout(const char *s, const struct profile *p, struct profile_layout *ret_layout)
{
    struct profile_layout l = {.n = 0};

    for (;;) {
        char reg[8], half;
        int used = 0;
        uint64_t at;
        if (l.n == CRED_MAX || sscanf(s, "%7[0-9]%c%n", reg, &half, &used) != 2 || (half != 'l' && half != 'h') ||
            str_u64(reg, p->read.from, p->read.from + p->read.n - 1u, &at) < 0)
            return -EINVAL;
        l.at[l.n] = (uint8_t)(2 * (at - p->read.from) + (half == 'l'));
        if (memchr(l.at, l.at[l.n], l.n))
            return -EINVAL;
        l.n++;
        s += used;
        if (*s == '\0')
            break;
        if (*s++ != ' ')
            return -EINVAL;
    }
    *ret_layout = l;
    return 0;
}

static void check_reset(struct conf *c, struct profile_file *f, const struct profile *p)
{
    unsigned low = p->reset.addr < p->flag.addr ? p->reset.addr : p->flag.addr;
    unsigned high = p->reset.addr < p->flag.addr ? p->flag.addr : p->reset.addr;

    if (p->reset.fc != p->flag.fc || high - low >= ASK_MAX)
        conf_mistake(c, &f->reset, "the reset flag has to come in one request with the flag: a %s within %d of it",
                     kind_word(p->flag.fc), ASK_MAX - 1);
    else if (p->reset.fc != ASK_COILS)
        conf_mistake(c, &f->reset, "the reset flag is cleared once it was seen, so it has to be a coil");
}

static void check_latched(struct conf *c, struct profile_file *f, struct profile *p)
{
    if (!f->flag || !f->clear) {
        conf_mistake(c, f, "a profile of presence latched lacks the key \"%s\"", f->flag ? "clear" : "flag");
        return;
    }
    if (!take_at(c, &f->flag, &p->flag) || !take_at(c, &f->reset, &p->reset))
        return;
    if (!is_bit(p->flag.fc))
        conf_mistake(c, &f->flag, "the flag is a coil or a discrete input, not a %s register", kind_word(p->flag.fc));
    if (p->reset.fc)
        check_reset(c, f, p);
}

/* Nothing is ever written to a level device. */
static void check_level(struct conf *c, struct profile_file *f)
{
    static const char says[] = "is for presence latched; a level device has nothing to be cleared or set up";

    if (f->flag)
        conf_mistake(c, &f->flag, "flag %s", says);
    if (f->reset)
        conf_mistake(c, &f->reset, "reset %s", says);
    if (f->clear)
        conf_mistake(c, &f->clear, "clear %s", says);
    if (f->init.n > 0)
        conf_mistake(c, &f->init, "init %s", says);
}

static bool check_inside(struct conf *c, const struct profile *p, char *const *field, const struct profile_at *at,
                         unsigned n)
{
    if (!at->fc)
        return true;
    unsigned last = (unsigned)p->read.from + p->read.n - 1;
    if (at->fc == p->read.fc && at->addr >= p->read.from && (unsigned)at->addr + n - 1 <= last)
        return true;
    conf_mistake(c, field, "this has to lie in the registers that are read at once, %s %u..%u%s", kind_word(p->read.fc),
                 p->read.from, last, n > 1 ? ", to its last byte" : "");
    return false;
}

/* `id`, `max` and `order` as one layout. */
static void check_id(struct conf *c, struct profile_file *f, struct profile *p)
{
    struct profile_layout *l = &p->read.layouts[0];
    struct profile_at id = {0};

    if (!f->read.id || f->read.max == 0) {
        conf_mistake(c, &f->read, "the read of a profile lacks the key \"%s\"; or else it needs \"bytes\"",
                     f->read.id ? "max" : "id");
        return;
    }
    if (!take_at(c, &f->read.id, &id) || !check_inside(c, p, &f->read.id, &id, ((unsigned)f->read.max + 1) / 2))
        return;
    l->n = (uint8_t)f->read.max;
    for (unsigned i = 0; i < l->n; i++)
        l->at[i] = (uint8_t)(2u * (unsigned)(id.addr - p->read.from) + (f->read.order == HIGH_FIRST ? i : i ^ 1u));
    p->read.n_layouts = 1;
    p->read.shorter = true;
}

static void check_bytes(struct conf *c, struct profile_file *f, struct profile *p)
{
    char **bytes = f->read.bytes.items;

    if (f->read.id || f->read.max != 0 || f->read.order != HIGH_FIRST)
        conf_mistake(c, &f->read.bytes, "\"bytes\" stands instead of id, max and order, not beside them");
    if (f->read.bytes.n > 1 && !f->read.length)
        conf_mistake(c, &f->read.bytes, "numbers of several lengths want the key \"length\" to tell which it is");
    for (size_t i = 0; i < f->read.bytes.n; i++) {
        struct profile_layout *l = &p->read.layouts[i];
        if (parse_layout(bytes[i], p, l) < 0)
            conf_mistake(c, &bytes[i],
                         "\"%s\" does not say where the bytes are: write such as %ul %uh, each place once, at most %d, "
                         "of the registers %u..%u",
                         bytes[i], p->read.from, p->read.from, CRED_MAX, p->read.from,
                         (unsigned)p->read.from + p->read.n - 1);
        for (size_t j = 0; j < i; j++)
            if (l->n > 0 && p->read.layouts[j].n == l->n)
                conf_mistake(c, &bytes[i], "there is a number of %u bytes already", l->n);
    }
    p->read.n_layouts = f->read.bytes.n;
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
    p->read.fc = block.fc;
    p->read.from = block.addr;
    p->read.n = (uint16_t)(last - block.addr + 1);
    if (!take_at(c, &f->read.flag, &p->read.flag) || !take_at(c, &f->read.length, &p->read.length))
        return;
    (void)check_inside(c, p, &f->read.flag, &p->read.flag, 1);
    (void)check_inside(c, p, &f->read.length, &p->read.length, 1);
    if (f->read.bytes.n > 0)
        check_bytes(c, f, p);
    else
        check_id(c, f, p);
}

static void check_writes(struct conf *c, struct profile_file *f, struct profile *p)
{
    static const char help[] = "is no write: say such as coil 1016 = 0, or holding 5 = 300";

    if (f->clear && parse_write(f->clear, &p->clear) < 0)
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
    p->presence = (enum profile_presence)f->presence;
    p->absent_polls = (unsigned)f->absent_polls;
    if (p->presence == PROFILE_LATCHED)
        check_latched(c, f, p);
    else
        check_level(c, f);
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
     .help = "The flag once more, among these registers; while it is 0 there is no read.",
     .example = "holding 1000"},
    {.name = "length",
     .type = CONF_STRING,
     .off = READ_OFF(length),
     .help = "Register with the number of bytes; without one every number has all its bytes.",
     .example = "holding 1001"},
    {.name = "id",
     .type = CONF_STRING,
     .off = READ_OFF(id),
     .help = "First register of the number, two bytes a register.",
     .example = "holding 1002"},
    {.name = "max",
     .type = CONF_UINT,
     .off = READ_OFF(max),
     .min = 1,
     .max = CRED_MAX,
     .help = "With id: most bytes a number can have.",
     .example = "20"},
    {.name = "order",
     .type = CONF_ENUM,
     .off = READ_OFF(order),
     .def = "high-first",
     .names = orders,
     .help = "With id: which byte of a register comes first in the number."},
    {.name = "bytes",
     .type = CONF_STRINGS,
     .off = READ_OFF(bytes),
     .max = PROFILE_LAYOUTS_MAX,
     .help = "Instead of id, where bytes are out of order: for each length the places, register and high or low half.",
     .example = "[1002l 1002h 1003l 1003h]"},
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
    {.name = "presence",
     .type = CONF_ENUM,
     .off = OFF(presence),
     .def = "latched",
     .names = presences,
     .help = "latched: a read waits until it is cleared; level: the number is there while the card is."},
    {.name = "absent_polls",
     .type = CONF_UINT,
     .off = OFF(absent_polls),
     .min = 1,
     .max = 100,
     .def = "3",
     .help = "level: so many good polls in a row without the card, and it is gone."},
    {.name = "flag",
     .type = CONF_STRING,
     .off = OFF(flag),
     .help = "latched: bit that is 1 while a read waits; the device reads no further card until it is cleared.",
     .example = "coil 1016"},
    {.name = "reset",
     .type = CONF_STRING,
     .off = OFF(reset),
     .help = "latched: coil that is 1 after the device started; the init writes are repeated, then it is cleared.",
     .example = "coil 1017"},
    {.name = "read", .type = CONF_MAP, .off = OFF(read), .sub = &read_table, .help = "Where the number is."},
    {.name = "clear",
     .type = CONF_STRING,
     .off = OFF(clear),
     .help = "latched: the write that clears the flag, made once the punch is stored.",
     .example = "coil 1016 = 0"},
    {.name = "init",
     .type = CONF_STRINGS,
     .off = OFF(init),
     .max = PROFILE_INIT_MAX,
     .help = "latched: writes after connecting and after a restart of the device.",
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

unsigned profile_length(const struct profile *p, const uint16_t *v)
{
    return p->read.length.fc ? v[p->read.length.addr - p->read.from] : p->read.layouts[0].n;
}

static const struct profile_layout *layout_for(const struct profile *p, unsigned n)
{
    for (size_t i = 0; i < p->read.n_layouts; i++)
        if (n == p->read.layouts[i].n || (n < p->read.layouts[i].n && p->read.shorter))
            return &p->read.layouts[i];
    return NULL;
}

int profile_cred(const struct profile *p, const uint16_t *v, struct cred *ret_cred)
{
    struct cred c = {.tech = p->tech};
    bool level = p->presence == PROFILE_LEVEL;
    unsigned n = profile_length(p, v);
    uint8_t any = 0;

    if (p->read.flag.fc && v[p->read.flag.addr - p->read.from] == 0)
        return PROFILE_NONE;
    if (n == 0)
        return level ? PROFILE_NONE : PROFILE_BAD;
    const struct profile_layout *l = layout_for(p, n);
    if (!l)
        return PROFILE_BAD;
    for (unsigned i = 0; i < n; i++) {
        uint16_t reg = v[l->at[i] / 2];
        c.data[i] = (uint8_t)(l->at[i] % 2 ? reg : reg >> 8);
        any |= c.data[i];
    }
    if (any == 0) /* only where nothing else tells presence does zero tell absence */
        return level && !p->read.flag.fc && !p->read.length.fc ? PROFILE_NONE : PROFILE_BAD;
    c.bits = (uint16_t)(8 * n);
    if (!cred_usable(&c))
        return PROFILE_UNUSABLE;
    *ret_cred = c;
    return 0;
}
