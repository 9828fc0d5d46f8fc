/* Makes the buses, their links and drivers from the settings; the daemon's only way in. Not here: their checks
 * (settings.c) and their work (bus.c and the drivers). */
#include "readers/registry.h"

#include <stdlib.h>
#include <string.h>

#include "readers/bus.h"
#include "readers/modbus.h"
#include "readers/profile.h"
#include "readers/settings.h"

static const struct driver *const drivers[] = {[READER_ASCII125] = &ascii125_driver, [READER_MODBUS] = &latched_driver};

struct entry {
    const struct driver *driver;
    struct bus *bus;
    unsigned slot;
    struct profile profile;
    struct reader_stats stats;
    _Atomic uint64_t answered; /* the last token that was answered: a second answer goes nowhere */
};

struct readers {
    struct queue *sights;
    struct bus *buses[BUSES_MAX];
    size_t n_buses, n;
    struct entry entries[];
};

static int make_link(const struct bus_settings *s, int driver, struct bus *b)
{
    struct port_settings port = {.serial = s->serial,
                                 .usb = s->usb,
                                 .baud = s->baud,
                                 .frame = (enum port_frame)s->frame,
                                 .rs485 = driver == READER_MODBUS};
    struct link *l = NULL;
    int r;

    if (driver == READER_ASCII125)
        r = s->tcp ? -EINVAL : port_link_new(&port, &l);
    else if (s->tcp)
        r = modbus_tcp_link_new(s->tcp, bus_stop_fd(b), &l);
    else
        r = modbus_rtu_link_new(&port, bus_stop_fd(b), &l);
    if (r == 0)
        bus_set_link(b, l);
    return r;
}

/* The driver of a reader that was checked; *ret_profile is filled for a modbus reader. */
static int driver_of(const struct reader_settings *s, const char *dir, struct profile *ret_profile,
                     const struct driver **ret_driver)
{
    char *text = NULL;

    *ret_driver = drivers[s->driver];
    if (s->driver != READER_MODBUS)
        return 0;
    int r = profile_load(dir, s->profile, ret_profile, &text);
    free(text);
    if (r != 0)
        return r < 0 ? r : -EINVAL; /* it was good when it was checked */
    if (ret_profile->presence == PROFILE_LEVEL)
        *ret_driver = &level_driver;
    return 0;
}

static int add_reader(struct readers *rs, struct bus *b, const struct reader_settings *s, unsigned i, const char *dir)
{
    struct entry *e = &rs->entries[i];
    struct driver_env env = {.settings = s, .profile = &e->profile, .stats = &e->stats, .reader = i};

    e->bus = b;
    int r = driver_of(s, dir, &e->profile, &e->driver);
    return r < 0 ? r : bus_add(b, e->driver, &env, &e->slot);
}

/* A bus with the readers that name it; none is made for nobody. */
static int add_bus(struct readers *rs, const struct bus_settings *s, const struct conf_list *readers, const char *dir)
{
    const struct reader_settings *r = readers->items;
    struct bus *b = NULL;
    int e = 0;

    for (unsigned i = 0; i < readers->n && e == 0; i++) {
        if (strcmp(r[i].bus, s->name) != 0)
            continue;
        if (!b) {
            e = bus_new(s->name, s->serial ? s->serial : s->usb ? s->usb : s->tcp, rs->sights, &b);
            if (e < 0)
                return e;
            rs->buses[rs->n_buses++] = b;
            e = make_link(s, r[i].driver, b);
        }
        if (e == 0)
            e = add_reader(rs, b, &r[i], i, dir);
    }
    return e;
}

int readers_start(const struct conf_list *buses, const struct conf_list *readers, const char *profile_dir,
                  struct queue *sights, struct readers **ret)
{
    const struct bus_settings *b = buses->items;
    struct readers *rs = calloc(1, sizeof(*rs) + readers->n * sizeof(rs->entries[0]));
    int r = 0;

    if (!rs)
        return -ENOMEM;
    rs->sights = sights;
    rs->n = readers->n;
    if (buses->n > BUSES_MAX || readers->n > READERS_MAX)
        r = -EINVAL; /* readers_check() would have said so */
    for (size_t i = 0; i < buses->n && r == 0; i++)
        r = add_bus(rs, &b[i], readers, profile_dir);
    for (size_t i = 0; i < rs->n_buses && r == 0; i++)
        r = bus_start(rs->buses[i]);
    if (r < 0) {
        readers_stop(rs);
        return r;
    }
    *ret = rs;
    return 0;
}

void readers_stop(struct readers *rs)
{
    if (!rs)
        return;
    for (size_t i = 0; i < rs->n_buses; i++)
        bus_ask_stop(rs->buses[i]);
    for (size_t i = 0; i < rs->n_buses; i++)
        bus_free(rs->buses[i]);
    free(rs);
}

bool reader_acked(const struct reader_settings *s, const char *profile_dir)
{
    struct profile p;
    const struct driver *d;

    return driver_of(s, profile_dir, &p, &d) == 0 && d->acked;
}

bool readers_acked(const struct readers *rs, unsigned reader)
{
    ASSERT(reader < rs->n);
    return rs->entries[reader].driver->acked;
}

void readers_answer(struct readers *rs, unsigned reader, uint64_t token, enum answer a)
{
    ASSERT(reader < rs->n);
    struct entry *e = &rs->entries[reader];

    if (!e->driver->acked || atomic_exchange(&e->answered, token) == token)
        return;
    /* One question a reader is open at a time, and the queue holds two for each: it is never full. */
    (void)bus_answer(e->bus, e->slot, token, a);
}

const struct reader_stats *readers_stats(const struct readers *rs, unsigned reader)
{
    ASSERT(reader < rs->n);
    return &rs->entries[reader].stats;
}
