/* Readers on a pty, started, read from and stopped, one call failing: they start or say why not, a card that is shown
 * arrives once the line is up (again), and all memory is given back. */
#include "tests/fault/scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/queue.h"
#include "readers/driver.h"
#include "readers/registry.h"
#include "tests/unit/tmp.h"

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

static struct {
    char text[512], name[64];
    int master;
    struct both settings;
    struct conf *conf;
    struct queue *q;
    struct readers *readers;
} t;

static void plug(void)
{
    t.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(t.master >= 0);
    assert_int_equal(grantpt(t.master) | unlockpt(t.master), 0);
    assert_int_equal(ptsname_r(t.master, t.name, sizeof t.name), 0);
    snprintf(t.text, sizeof t.text,
             "buses:\n- {name: s, serial: %s, baud: 9600}\n- {name: m, tcp: \"127.0.0.1:1\"}\n"
             "readers:\n- {name: s, bus: s, driver: ascii125, layout: A}\n"
             "- {name: m, bus: m, driver: modbus, unit: 1, profile: ic-10mrw}\n",
             t.name);
}

static int settings(void)
{
    int r = conf_parse("t", BYTES_STR(t.text), &table, &t.settings, &t.conf);
    if (r == 0 && readers_check(t.conf, &t.settings.buses, &t.settings.readers, PROFILES) != 0) {
        conf_free(t.conf);
        r = -EIO; /* a profile that could not be read is a mistake in the settings to who reads them */
    } else if (r > 0) {
        print_error("%s", conf_text(t.conf));
        conf_free(t.conf);
    }
    return r;
}

static int start(void)
{
    return readers_start(&t.settings.buses, &t.settings.readers, PROFILES, t.q, &t.readers);
}

/* Shown again until it is seen: what is sent while the line is down is lost, as on the wire. */
static void show_card(void)
{
    static const char frame[] = "\x02"
                                "0000A1B2C3D0" /* the last two: the XOR of the five bytes */
                                "\x03";
    struct sight s = {0};
    bool seen = false;
    for (int64_t end = clock_ms() + 15000; !seen && clock_ms() < end;) {
        if (write(t.master, frame, sizeof frame - 1) < 0)
            assert_int_equal(errno, EAGAIN);
        while (!seen && queue_pop_wait(t.q, &s, 300) == 0)
            seen = s.kind == SIGHT_CARD && s.reader == 0;
    }
    assert_true(seen);
}

int main(void)
{
    strike_promise();
    strike_off(true);
    log_init("torture", 0);
    signal(SIGPIPE, SIG_IGN);
    plug();
    strike_off(false);
    STEP(settings());
    STEP(queue_new(sizeof(struct sight), 64, &t.q));
    STEP(start());
    show_card();
    readers_stop(t.readers);
    queue_free(t.q);
    conf_free(t.conf);
    close(t.master);
    return 0;
}
