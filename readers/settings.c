/* The tables of `buses:` and `readers:`, and what a table cannot say. */
#include <stdlib.h>
#include <string.h>

#include "readers/ascii125.h"
#include "readers/dial.h"
#include "readers/light_out.h"
#include "readers/port.h"
#include "readers/profile.h"
#include "readers/settings.h"

static const char *const frames[] = {
    [PORT_8N1] = "8N1", [PORT_8E1] = "8E1", [PORT_8O1] = "8O1", [PORT_8N2] = "8N2", NULL};
static const char *const drivers[] = {[READER_ASCII125] = "ascii125", [READER_MODBUS] = "modbus", NULL};
static const char *const layouts[] = {[ASCII125_AUTO] = "auto",
                                      [ASCII125_A] = "A",
                                      [ASCII125_B] = "B",
                                      [ASCII125_C] = "C",
                                      [ASCII125_D] = "D",
                                      [ASCII125_E] = "E",
                                      NULL};
static const char *const reverses[] = {[ASCII125_AS_IS] = "none",
                                       [ASCII125_BYTES] = "bytes",
                                       [ASCII125_BITS] = "bits",
                                       [ASCII125_NIBBLES] = "nibbles",
                                       NULL};
static const char *const directions[] = {[DIR_UNKNOWN] = "unknown",   [DIR_IN] = "in",
                                         [DIR_OUT] = "out",           [DIR_BREAK_OUT] = "break-out",
                                         [DIR_BREAK_IN] = "break-in", NULL};
static const char *const feedbacks[] = {
    [FEEDBACK_READER] = "reader", [FEEDBACK_HOST] = "host", [FEEDBACK_NONE] = "none", NULL};

/* ---- one bus ---- */

static void check_bus(struct conf *c, void *object)
{
    struct bus_settings *b = object;
    char host[256], port[8];
    const char *serial;
    int vendor, product, ways = !!b->serial + !!b->usb + !!b->tcp;

    if (ways != 1)
        conf_mistake(c, b, "bus \"%s\" wants one of serial, usb and tcp; it has %s", b->name,
                     ways == 0 ? "none" : "several");
    if (b->usb && port_usb_parse(b->usb, &vendor, &product, &serial) < 0)
        conf_mistake(c, &b->usb, "\"%s\" is no USB identity: write vvvv:pppp or vvvv:pppp:serial number, in hex",
                     b->usb);
    if (b->tcp && dial_parse(b->tcp, host, sizeof(host), port, sizeof(port)) < 0)
        conf_mistake(c, &b->tcp, "\"%s\" is no address: write host:port or [v6 address]:port", b->tcp);
    if (!port_baud_known(b->baud))
        conf_mistake(c, &b->baud,
                     "%llu Bd is no speed of a serial line: 1200, 2400, 4800, 9600, 19200, 38400, 57600, "
                     "115200, 230400, 460800 or 921600",
                     (unsigned long long)b->baud);
}

#define BUS(field) offsetof(struct bus_settings, field)
static const struct conf_key bus_keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .off = BUS(name),
     .min = 1,
     .max = 64,
     .required = true,
     .help = "What readers call this bus.",
     .example = "door"},
    {.name = "serial",
     .type = CONF_STRING,
     .off = BUS(serial),
     .min = 1,
     .max = 4095,
     .help = "Device of a serial line; a path in /dev/serial/by-id keeps its name when it is plugged in again.",
     .example = "/dev/ttyAMA0"},
    {.name = "usb",
     .type = CONF_STRING,
     .off = BUS(usb),
     .max = 255,
     .help = "Or a USB adapter by vendor, product and, where there are several, serial number.",
     .example = "\"0403:6001:A50285BI\""},
    {.name = "tcp",
     .type = CONF_STRING,
     .off = BUS(tcp),
     .max = 255,
     .help = "Or host and port of a Modbus TCP server.",
     .example = "\"192.0.2.10:502\""},
    {.name = "baud", .type = CONF_UINT, .off = BUS(baud), .def = "9600", .help = "Speed of a serial line."},
    {.name = "frame",
     .type = CONF_ENUM,
     .off = BUS(frame),
     .def = "8N1",
     .names = frames,
     .help = "Data bits, parity and stop bits of a serial line; Modbus RTU's own default is 8E1."},
};
const struct conf_table bus_table = {.what = "a bus",
                                     .size = sizeof(struct bus_settings),
                                     .keys = bus_keys,
                                     .n = ARRAY_LEN(bus_keys),
                                     .check = check_bus};

/* ---- one reader ---- */

static void check_lights(struct conf *c, const struct reader_settings *r)
{
    struct light_place p;
    unsigned n = 0;

    for (unsigned i = 0; i < LIGHT_ROLES; i++) {
        const char *text = r->lights[i];
        if (!text)
            continue;
        n++;
        if (r->feedback != FEEDBACK_HOST)
            conf_mistake(c, &r->lights[i], "\"%s\" is for \"feedback: host\"; this reader has \"feedback: %s\"",
                         light_role_name((enum light_role)i), feedbacks[r->feedback]);
        if (light_place_parse(text, &p) < 0)
            conf_mistake(
                c, &r->lights[i],
                "\"%s\" is no place of a light: write /sys/class/leds/NAME, or CHIP:LINE or CHIP:LINE:low such "
                "as gpiochip0:17",
                text);
    }
    if (r->feedback == FEEDBACK_HOST && n == 0)
        conf_mistake(c, &r->feedback, "\"feedback: host\" wants at least one of the keys green, red and buzzer");
}

static void check_reader(struct conf *c, void *object)
{
    struct reader_settings *r = object;

    if (r->driver == READER_MODBUS && !r->profile)
        conf_mistake(c, r, "reader \"%s\" lacks the key \"profile\": a modbus reader needs the map of its device",
                     r->name);
    if (r->driver == READER_ASCII125 && r->profile)
        conf_mistake(c, &r->profile, "an ascii125 reader has no profile; the driver \"modbus\" has");
    if (r->driver != READER_ASCII125 && r->reverse != ASCII125_AS_IS)
        conf_mistake(c, &r->reverse,
                     "only ascii125 readers are turned round here; a profile tells the order of its id");
    check_lights(c, r);
}

#define READER(field) offsetof(struct reader_settings, field)
static const struct conf_key reader_keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .off = READER(name),
     .min = 1,
     .max = READER_NAME_MAX,
     .required = true,
     .help = "The reader's name in every punch, 1 to 24 bytes; it should say where it hangs.",
     .example = "gate north"},
    {.name = "bus",
     .type = CONF_STRING,
     .off = READER(bus),
     .required = true,
     .help = "Name of the bus it is connected to.",
     .example = "door"},
    {.name = "driver",
     .type = CONF_ENUM,
     .off = READER(driver),
     .required = true,
     .names = drivers,
     .help = "What it speaks.",
     .example = "ascii125"},
    {.name = "layout",
     .type = CONF_ENUM,
     .off = READER(layout),
     .def = "auto",
     .names = layouts,
     .help = "ascii125: A (RDM6300), B (ID-12LA family), C (EM-18), D (no check digits), E (7941E, binary); auto "
             "finds all but C."},
    {.name = "reverse",
     .type = CONF_ENUM,
     .off = READER(reverse),
     .def = "none",
     .names = reverses,
     .help = "ascii125: what this reader turns round in each number, so that it is turned back: the order of the "
             "bytes, of the bits in each byte, or of the two digits of each byte."},
    {.name = "number",
     .type = CONF_ENUM,
     .off = READER(number),
     .def = "hex",
     .names = rendering_names,
     .help = "How the number is printed on the cards; a hint for display. docs/READERS.md shows them."},
    {.name = "profile",
     .type = CONF_STRING,
     .off = READER(profile),
     .min = 1,
     .max = 1024,
     .help = "modbus: name of a profile, or path of its file.",
     .example = "inveo-rfid-ind"},
    {.name = "unit",
     .type = CONF_UINT,
     .off = READER(unit),
     .min = 0,
     .max = 255,
     .def = "1",
     .help = "modbus: the device's address, 1 to 247 on a serial line."},
    {.name = "poll",
     .type = CONF_MS,
     .off = READER(poll_ms),
     .min = 10,
     .max = 10000,
     .def = "50ms",
     .help = "modbus: pause between two questions to the device."},
    {.name = "timeout",
     .type = CONF_MS,
     .off = READER(timeout_ms),
     .min = 20,
     .max = 1500, /* a stop waits for the request under way, and has two seconds */
     .def = "300ms",
     .help = "modbus: how long the device may take to answer."},
    {.name = "hold",
     .type = CONF_MS,
     .off = READER(hold_ms),
     .min = 0,
     .max = 3600000,
     .def = "2s",
     .help = "The same card on this reader within this time is the same punch."},
    {.name = "direction",
     .type = CONF_ENUM,
     .off = READER(direction),
     .def = "unknown",
     .names = directions,
     .help = "What passing this reader means."},
    {.name = "feedback",
     .type = CONF_ENUM,
     .off = READER(feedback),
     .def = "reader",
     .names = feedbacks,
     .help = "Who shows that a punch is stored: the reader itself as far as it can be told, lights of this machine, or "
             "nobody."},
    {.name = "green",
     .type = CONF_STRING,
     .off = READER(lights[LIGHT_GREEN]),
     .min = 1,
     .max = LIGHT_PLACE_MAX,
     .help =
         "With \"feedback: host\": an LED of the kernel's LED class, or a GPIO line as CHIP:LINE, with :low when it "
         "is lit by a low level. Readers that name the same one share it.",
     .example = "/sys/class/leds/door-green"},
    {.name = "red",
     .type = CONF_STRING,
     .off = READER(lights[LIGHT_RED]),
     .min = 1,
     .max = LIGHT_PLACE_MAX,
     .help = "The same for refused punches and for trouble.",
     .example = "/sys/class/leds/door-red"},
    {.name = "buzzer",
     .type = CONF_STRING,
     .off = READER(lights[LIGHT_BUZZER]),
     .min = 1,
     .max = LIGHT_PLACE_MAX,
     .help = "The same for a buzzer.",
     .example = "\"gpiochip0:22:low\""},
};
const struct conf_table reader_table = {.what = "a reader",
                                        .size = sizeof(struct reader_settings),
                                        .keys = reader_keys,
                                        .n = ARRAY_LEN(reader_keys),
                                        .check = check_reader};

/* ---- all of them together ---- */

struct checking {
    struct conf *c;
    int mistakes;
};

#define MISTAKE(k, field, ...)                      \
    do {                                            \
        conf_mistake((k)->c, (field), __VA_ARGS__); \
        (k)->mistakes++;                            \
    } while (0)

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

const struct bus_settings *settings_bus(const struct conf_list *buses, const char *name)
{
    const struct bus_settings *b = buses->items;

    for (size_t i = 0; i < buses->n; i++)
        if (same(b[i].name, name))
            return &b[i];
    return NULL;
}

static void check_buses(struct checking *k, const struct conf_list *buses)
{
    const struct bus_settings *b = buses->items;

    if (buses->n > BUSES_MAX)
        MISTAKE(k, &b[BUSES_MAX], "at most %d buses", BUSES_MAX);
    for (size_t i = 0; i < buses->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (same(b[i].name, b[j].name))
                MISTAKE(k, &b[i].name, "there is another bus \"%s\" already", b[i].name);
            if (same(b[i].serial, b[j].serial) || same(b[i].usb, b[j].usb) || same(b[i].tcp, b[j].tcp))
                MISTAKE(k,
                        b[i].serial ? &b[i].serial
                        : b[i].usb  ? &b[i].usb
                                    : &b[i].tcp,
                        "bus \"%s\" has the same device; put its readers on one bus", b[j].name);
        }
    }
}

/* Two readers of one bus. */
static void check_pair(struct checking *k, const struct reader_settings *r, const struct reader_settings *other)
{
    if (r->driver != other->driver)
        MISTAKE(k, &r->driver, "bus \"%s\" has a %s reader, \"%s\": one line speaks one language", r->bus,
                drivers[other->driver], other->name);
    else if (r->driver == READER_ASCII125)
        MISTAKE(k, &r->bus,
                "bus \"%s\" has a reader already, \"%s\": ascii125 readers have no address, so one line has "
                "one of them",
                r->bus, other->name);
    else if (r->unit == other->unit)
        MISTAKE(k, &r->unit, "unit %u of bus \"%s\" is reader \"%s\" already", (unsigned)r->unit, r->bus, other->name);
}

static void check_fit(struct checking *k, const struct reader_settings *r, const struct bus_settings *b)
{
    if (r->driver == READER_ASCII125 && b->tcp)
        MISTAKE(k, &r->bus, "bus \"%s\" is Modbus TCP; an ascii125 reader wants a serial line", b->name);
    if (r->driver == READER_MODBUS && !b->tcp && (r->unit < 1 || r->unit > 247))
        MISTAKE(k, &r->unit, "unit %u: on a serial line a device has an address from 1 to 247", (unsigned)r->unit);
}

/* One output shows one thing; two readers may share it. */
static void check_shared(struct checking *k, const struct reader_settings *r, const struct reader_settings *other)
{
    struct light_place a, b;

    for (unsigned i = 0; i < LIGHT_ROLES; i++)
        for (unsigned j = 0; j < (r == other ? i : LIGHT_ROLES); j++) {
            if (!r->lights[i] || !other->lights[j] || light_place_parse(r->lights[i], &a) < 0 ||
                light_place_parse(other->lights[j], &b) < 0 || !light_place_equal(&a, &b))
                continue;
            if (i != j)
                MISTAKE(k, &r->lights[i], "\"%s\" is the %s of reader \"%s\" already", r->lights[i],
                        light_role_name((enum light_role)j), other->name);
            else if (a.low != b.low)
                MISTAKE(k, &r->lights[i], "reader \"%s\" has the same line as \"%s\": either both are low or none",
                        other->name, other->lights[j]);
        }
}

static void check_profile(struct checking *k, const struct reader_settings *r, const char *dir)
{
    struct profile p;
    char *text = NULL;

    if (r->driver != READER_MODBUS || !r->profile)
        return;
    int e = profile_load(dir, r->profile, &p, &text);
    if (e < 0)
        MISTAKE(k, &r->profile, "profile \"%s\" cannot be read%s%s: %s", r->profile,
                strchr(r->profile, '/') ? "" : " in ", strchr(r->profile, '/') ? "" : dir, error_str(e));
    else if (e == PROFILE_BAD)
        MISTAKE(k, &r->profile, "profile \"%s\" is wrong:\n%.*s", r->profile, (int)strlen(text) - 1,
                text); /* without its last newline */
    free(text);
}

int readers_check(struct conf *conf, const struct conf_list *buses, const struct conf_list *readers,
                  const char *profile_dir)
{
    const struct reader_settings *r = readers->items;
    struct checking k = {.c = conf};

    check_buses(&k, buses);
    if (readers->n > READERS_MAX)
        MISTAKE(&k, &r[READERS_MAX], "at most %d readers", READERS_MAX);
    for (size_t i = 0; i < readers->n; i++) {
        const struct bus_settings *b = settings_bus(buses, r[i].bus);
        if (!b)
            MISTAKE(&k, &r[i].bus, "there is no bus \"%s\"", r[i].bus);
        else
            check_fit(&k, &r[i], b);
        check_profile(&k, &r[i], profile_dir);
        check_shared(&k, &r[i], &r[i]);
        for (size_t j = 0; j < i; j++) {
            check_shared(&k, &r[i], &r[j]);
            if (same(r[i].name, r[j].name))
                MISTAKE(&k, &r[i].name, "there is another reader \"%s\" already", r[i].name);
            if (b && same(r[i].bus, r[j].bus))
                check_pair(&k, &r[i], &r[j]);
        }
    }
    return k.mistakes;
}
