/* An LED of the LED class, by the kernel's `transient` trigger: each time it is lit the kernel is told for how long, so
 * that no LED outlives us, however we die.
 *
 * Documentation/leds/ledtrig-transient.rst: "Use of LED by user space app as a kind of watchdog indicator -- as long as
 * the app is alive, it can keep the LED illuminated, if it dies the LED will be extinguished automatically". Writing
 * `transient` to `trigger` (Documentation/ABI/testing/sysfs-class-led) makes three files: `state` 1 is LED_FULL,
 * `duration` counts milliseconds, `activate` 1 lights the LED and starts the timer, unless it runs already ("extending
 * [...] the timer is not supported"), and `activate` 0 cancels it and darkens the LED. Hence a 0 before each 1.
 * Not `oneshot`: its shots are ignored while one is running and cannot be ended early (ledtrig-oneshot.rst). `timer`,
 * `pattern` and a plain `brightness` stay lit after us.
 *
 * The trigger is a module, ledtrig-transient, on Debian and Raspberry Pi OS; without it the kernel refuses the word
 * (EINVAL). Each write(2) to such a file is one store, whatever the offset, and returns without waiting for hardware.
 */
#include "readers/light_led.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define GRACE_MS 500 /* how much later than told it goes dark when nobody tells it to: a busy loop is no dead one */

struct led {
    struct light_out out;
    struct light_place place;
    int activate, duration;
    bool waits; /* for the right to the files of the trigger, which is set */
};

/* Never creates, never waits, also when the path leads to something that is no LED. */
static int open_file(const struct led *l, const char *name, int *ret_fd)
{
    char path[LIGHT_PLACE_MAX + 16];
    int r = file_join(path, sizeof(path), l->place.path, name);
    if (r < 0)
        return r;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int put(int fd, const char *text)
{
    size_t n = strlen(text);
    ssize_t r = write(fd, text, n);
    if (r < 0)
        return -errno;
    return (size_t)r == n ? 0 : -EIO;
}

static int put_once(const struct led *l, const char *name, const char *text)
{
    int fd CLEANUP(error_closep) = -1;
    int r = open_file(l, name, &fd);
    return r < 0 ? r : put(fd, text);
}

static void close_led(struct light_out *o)
{
    struct led *l = (struct led *)o;
    if (l->activate >= 0) {
        (void)put(l->activate, "0\n");
        (void)put_once(l, "trigger", "none\n");
    }
    error_closep(&l->activate);
    error_closep(&l->duration);
    l->activate = l->duration = -1;
}

/* The files that the trigger brings are root's until udev has given them to our group (70-punchgate.rules). Setting the
 * trigger once more would make new ones, root's again: so the next try, a little later, finds it set. */
static int open_led(struct light_out *o)
{
    struct led *l = (struct led *)o;
    int r = l->waits ? 0 : put_once(l, "trigger", "transient\n");
    l->waits = false;
    if (r < 0)
        return r;
    r = put_once(l, "state", "1\n");
    if (r == 0)
        r = open_file(l, "duration", &l->duration);
    if (r == 0)
        r = open_file(l, "activate", &l->activate);
    if (r < 0)
        close_led(o);
    l->waits = r == -EACCES;
    return r;
}

static int set(struct light_out *o, bool lit, unsigned for_ms)
{
    struct led *l = (struct led *)o;
    char text[16];
    int r = put(l->activate, "0\n");
    if (r < 0 || !lit)
        return r;
    snprintf(text, sizeof(text), "%u\n", for_ms + GRACE_MS);
    r = put(l->duration, text);
    return r < 0 ? r : put(l->activate, "1\n");
}

static void free_led(struct light_out *o)
{
    close_led(o);
    free(o);
}

static const struct light_out_ops led_ops = {
    .name = "led", .open = open_led, .set = set, .close = close_led, .free = free_led};

int light_led_new(const struct light_place *place, struct light_out **ret)
{
    struct led *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->out.ops = &led_ops;
    l->place = *place;
    l->activate = l->duration = -1;
    *ret = &l->out;
    return 0;
}
