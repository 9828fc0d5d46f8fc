/* Any bytes as a configuration file, against a table that has every type. What is accepted must keep the table's
 * promises, what is refused must leave a zeroed object and a text. */
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"

struct bus {
    char *name;
    uint64_t baud, timeout;
    int parity;
    bool echo;
    struct conf_list lines;
};
struct root {
    char *state;
    uint64_t budget;
    struct bus main;
    struct conf_list buses, names;
};

static const char *const parities[] = {"none", "even", "odd", NULL};
static const struct conf_key bus_keys[] = {
    {.name = "name", .type = CONF_STRING, .off = offsetof(struct bus, name), .min = 1, .max = 8, .def = "main"},
    {.name = "baud", .type = CONF_UINT, .off = offsetof(struct bus, baud), .min = 300, .max = 115200, .def = "9600"},
    {.name = "timeout", .type = CONF_MS, .off = offsetof(struct bus, timeout), .min = 10, .max = 60000, .def = "1s"},
    {.name = "parity", .type = CONF_ENUM, .off = offsetof(struct bus, parity), .names = parities, .def = "even"},
    {.name = "echo", .type = CONF_BOOL, .off = offsetof(struct bus, echo), .def = "false"},
    {.name = "lines", .type = CONF_UINTS, .off = offsetof(struct bus, lines), .max = 4},
};
static const struct conf_table bus_table = {"bus", sizeof(struct bus), bus_keys, ARRAY_LEN(bus_keys), NULL};
static const struct conf_key root_keys[] = {
    {.name = "state", .type = CONF_STRING, .off = offsetof(struct root, state), .required = true},
    {.name = "budget", .type = CONF_SIZE, .off = offsetof(struct root, budget), .max = 1 << 30, .def = "1MiB"},
    {.name = "main", .type = CONF_MAP, .off = offsetof(struct root, main), .sub = &bus_table},
    {.name = "buses", .type = CONF_LIST, .off = offsetof(struct root, buses), .sub = &bus_table, .max = 8},
    {.name = "names", .type = CONF_STRINGS, .off = offsetof(struct root, names), .def = "[a, b]"},
};

static void check_root(struct conf *c, void *object)
{
    struct root *r = object;
    if (strcmp(r->state, "bad") == 0)
        conf_mistake(c, &r->state, "a bad state");
    for (size_t i = 0; i < r->buses.n; i++)
        if (((struct bus *)r->buses.items)[i].echo)
            conf_mistake(c, &((struct bus *)r->buses.items)[i].echo, "no echo");
}
static const struct conf_table root_table = {"root", sizeof(struct root), root_keys, ARRAY_LEN(root_keys), check_root};

static void check_bus(const struct bus *b)
{
    size_t n = strlen(b->name);
    ASSERT(n >= 1 && n <= 8);
    ASSERT(b->baud >= 300 && b->baud <= 115200 && b->timeout >= 10 && b->timeout <= 60000);
    ASSERT(b->parity >= 0 && b->parity < 3 && b->lines.n <= 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct root zero;
    struct root r;
    struct conf *c;
    int code = conf_parse("fuzz.yaml", BYTES(data, size), &root_table, &r, &c);

    ASSERT(code == 0 || code == CONF_BAD);
    const char *text = conf_text(c);
    ASSERT((text[0] != '\0') == (code == CONF_BAD));
    for (const char *p = text; *p; p++)
        ASSERT((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t');
    if (code == CONF_BAD) {
        ASSERT(memcmp(&r, &zero, sizeof r) == 0);
    } else {
        ASSERT(r.state && r.budget <= 1 << 30 && r.buses.n <= 8);
        check_bus(&r.main);
        for (size_t i = 0; i < r.buses.n; i++)
            check_bus(&((struct bus *)r.buses.items)[i]);
        for (size_t i = 0; i < r.names.n; i++)
            ASSERT(((char **)r.names.items)[i]);
    }
    conf_free(c);
    return 0;
}
