/* What a light shows when, and what an LED of the kernel's LED class is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "readers/light.h"
#include "readers/light_out.h"

/* Follows a light from `from` for `ms` by what it says itself; "100+ 1900-" is lit for 100 and dark for 1900. */
static const char *watch(struct light *l, int64_t from, int64_t ms)
{
    static char text[512];
    int64_t now = from, until;
    size_t at = 0;

    text[0] = '\0';
    while (now < from + ms) {
        bool lit = light_step(l, now, &until);
        if (until > from + ms)
            until = from + ms;
        assert_true(until > now);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d%c", at ? " " : "", (int)(until - now),
                               lit ? '+' : '-');
        assert_true(at < sizeof(text) - 8);
        now = until;
    }
    return text;
}

static struct light ready(enum light_role role, int64_t now)
{
    struct light l;
    light_init(&l, role, now);
    light_base(&l, true, now);
    return l;
}

static void in_trouble_until_told_otherwise(void **state)
{
    struct light l;

    light_init(&l, LIGHT_RED, 7000);
    assert_string_equal(watch(&l, 7000, 2000), "500+ 500- 500+ 500-");
    light_base(&l, true, 9300);
    assert_string_equal(watch(&l, 9300, 5000), "5000-");
    light_base(&l, false, 14300);
    assert_string_equal(watch(&l, 14300, 600), "500+ 100-");
    light_init(&l, LIGHT_GREEN, 0);
    assert_string_equal(watch(&l, 0, 3000), "3000-");
    light_init(&l, LIGHT_BUZZER, 0);
    assert_string_equal(watch(&l, 0, 3000), "3000-");
}

/* It must be seen to live: neither lit nor dark for longer than two seconds. */
static void ready_never_stands_still(void **state)
{
    struct light l = ready(LIGHT_GREEN, 500);
    assert_string_equal(watch(&l, 500, 4050), "100+ 1900- 100+ 1900- 50+");
    assert_string_equal(watch(&l, 1000000540, 400), "60+ 340-"); /* from any moment on */
    l = ready(LIGHT_BUZZER, 500);
    assert_string_equal(watch(&l, 500, 9000), "9000-");
}

static void an_event_passes(void **state)
{
    struct light l = ready(LIGHT_GREEN, 0);
    light_accepted(&l, false, 1030);
    assert_string_equal(watch(&l, 1030, 1500), "50- 900+ 50- 100+ 400-");
    light_refused(&l, 10000);
    assert_string_equal(watch(&l, 10000, 1200), "1000- 100+ 100-");
    l = ready(LIGHT_RED, 0);
    light_accepted(&l, false, 1000);
    assert_string_equal(watch(&l, 1000, 2000), "1000- 1000-");
    light_refused(&l, 5000);
    assert_string_equal(watch(&l, 5000, 2000), "50- 200+ 100- 200+ 100- 200+ 150- 1000-");
    l = ready(LIGHT_BUZZER, 0);
    light_accepted(&l, false, 1000);
    assert_string_equal(watch(&l, 1000, 1000), "50- 150+ 800-");
    light_refused(&l, 5000);
    assert_string_equal(watch(&l, 5000, 1000), "50- 200+ 100- 200+ 100- 200+ 150-");
}

static void two_people_within_a_second_see_two(void **state)
{
    struct light l = ready(LIGHT_GREEN, 0);
    light_accepted(&l, false, 0);
    assert_string_equal(watch(&l, 0, 300), "50- 250+");
    light_accepted(&l, false, 300);
    assert_string_equal(watch(&l, 300, 1000), "50- 900+ 50-");
}

static void a_held_card_does_not_flicker(void **state)
{
    struct light l = ready(LIGHT_GREEN, 0);
    light_accepted(&l, false, 0);
    assert_string_equal(watch(&l, 0, 300), "50- 250+");
    light_accepted(&l, true, 300);
    assert_string_equal(watch(&l, 300, 700), "650+ 50-");
    light_accepted(&l, true, 1400); /* but who shows it again is told again */
    assert_string_equal(watch(&l, 1400, 1000), "50- 900+ 50-");
}

/* Refused, and held before a reader that repeats it every 65 ms. */
static void a_held_refused_card_does_not_flicker(void **state)
{
    static const enum light_role roles[] = {LIGHT_RED, LIGHT_BUZZER};
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        struct light l = ready(roles[i], 0);
        int64_t until;
        unsigned lit = 0;
        for (int64_t now = 0; now < 2000; now++) {
            if (now % 65 == 0)
                light_refused(&l, now);
            lit += light_step(&l, now, &until);
        }
        assert_int_equal(lit, 2 * 3 * 200);
    }
}

static void nobody_takes_anothers_green_for_his_own(void **state)
{
    struct light red = ready(LIGHT_RED, 0), green = ready(LIGHT_GREEN, 0);
    light_refused(&red, 0);
    light_refused(&green, 0);
    light_accepted(&red, false, 400);
    light_accepted(&green, false, 400);
    assert_string_equal(watch(&red, 400, 2000), "150+ 100- 200+ 150- 1000- 400-");
    assert_string_equal(watch(&green, 400, 2000), "600- 50- 900+ 50- 100+ 300-");
    light_accepted(&green, false, 9000);
    assert_string_equal(watch(&green, 9000, 100), "50- 50+");
    light_refused(&green, 9100);
    assert_string_equal(watch(&green, 9100, 1100), "1000- 100+"); /* the green it cut short does not come back */
}

static void trouble_waits_for_the_event(void **state)
{
    struct light l = ready(LIGHT_GREEN, 0);
    light_accepted(&l, false, 0);
    light_base(&l, false, 500);
    assert_string_equal(watch(&l, 500, 3000), "450+ 50- 2500-");
    light_accepted(&l, false, 5000);
    light_base(&l, true, 9000); /* nobody looked in between */
    assert_string_equal(watch(&l, 9000, 200), "100+ 100-");
}

/* ---- places ---- */

static void places(void **state)
{
    static const struct {
        const char *text, *path;
        unsigned line;
        bool gpio, low;
    } good[] = {
        {"/sys/class/leds/green:status", "/sys/class/leds/green:status", 0, false, false},
        {"gpiochip0:17", "/dev/gpiochip0", 17, true, false},
        {"gpiochip10:0:low", "/dev/gpiochip10", 0, true, true},
        {"door-board_1:65535", "/dev/door-board_1", 65535, true, false},
    };
    static const char *const bad[] = {"",
                                      "led",
                                      "gpiochip0",
                                      "gpiochip0:",
                                      ":17",
                                      "gpiochip0:x",
                                      "gpiochip0:17:high",
                                      "gpiochip0:17:low ",
                                      "a/b:17",
                                      "../null:1",
                                      "gpiochip0:65536",
                                      "gpiochip0:99999999999999999999",
                                      "gpiochip0:-1",
                                      "gpiochip0::low",
                                      "gpio chip:1",
                                      "/sys/class/leds/green/"};
    struct light_place p, q;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(light_place_parse(good[i].text, &p), 0);
        assert_string_equal(p.path, good[i].path);
        assert_int_equal(p.line, good[i].line);
        assert_true(p.gpio == good[i].gpio && p.low == good[i].low);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (light_place_parse(bad[i], &p) != -EINVAL)
            fail_msg("\"%s\" passes", bad[i]);
    char text[300];
    memset(text, 'x', sizeof(text));
    text[299] = '\0';
    assert_int_equal(light_place_parse(text, &p), -EINVAL);
    text[0] = '/';
    assert_int_equal(light_place_parse(text, &p), -EINVAL);
    assert_int_equal(light_place_parse("g:1", &p), 0);
    assert_int_equal(light_place_parse("g:1:low", &q), 0);
    assert_true(light_place_equal(&p, &q));
    assert_int_equal(light_place_parse("g:2", &q), 0);
    assert_false(light_place_equal(&p, &q));
}

/* ---- an LED ---- */

/* Its folder, with pipes for the files: nothing that is written gets lost or overwritten. */
struct led {
    char dir[32];
    int fd[4];
    struct light_out *out;
};
static const char *const files[] = {"trigger", "state", "duration", "activate"};
enum { TRIGGER, STATE, DURATION, ACTIVATE };

static void led_new(struct led *l)
{
    char path[64];
    struct light_place p;

    strcpy(l->dir, "/tmp/leds-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", l->dir, files[i]);
        assert_int_equal(mkfifo(path, 0600), 0);
        l->fd[i] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(l->fd[i] >= 0);
    }
    assert_int_equal(light_place_parse(l->dir, &p), 0);
    assert_int_equal(light_out_new(&p, &l->out), 0);
}

static void led_free(struct led *l)
{
    char path[64];

    l->out->ops->free(l->out);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        close(l->fd[i]);
        snprintf(path, sizeof(path), "%s/%s", l->dir, files[i]);
        unlink(path);
    }
    rmdir(l->dir);
}

static void told(struct led *l, int file, const char *want)
{
    char text[64] = "";
    ssize_t n = read(l->fd[file], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, want);
}

static void an_led_is_lit_for_a_while_only(void **state)
{
    struct led l;

    led_new(&l);
    assert_int_equal(l.out->ops->open(l.out), 0);
    told(&l, TRIGGER, "transient\n");
    told(&l, STATE, "1\n");
    told(&l, ACTIVATE, "");
    assert_int_equal(l.out->ops->set(l.out, true, 900), 0);
    told(&l, DURATION, "1400\n");
    told(&l, ACTIVATE, "0\n1\n"); /* a running timer is not extended by another 1 */
    assert_int_equal(l.out->ops->set(l.out, false, 0), 0);
    told(&l, DURATION, "");
    told(&l, ACTIVATE, "0\n");
    l.out->ops->close(l.out);
    told(&l, ACTIVATE, "0\n");
    told(&l, TRIGGER, "none\n");
    l.out->ops->close(l.out);
    told(&l, TRIGGER, "");
    led_free(&l);
}

static void an_absent_led_is_an_error(void **state)
{
    struct led l;
    char path[64];

    led_new(&l);
    snprintf(path, sizeof(path), "%s/activate", l.dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(l.out->ops->open(l.out), -ENOENT); /* a kernel without the trigger would say EINVAL before */
    assert_int_equal(access(path, F_OK), -1);           /* and nothing was created */
    led_free(&l);
}

/* As the gateway's own user: the files are there, but not yet his. */
static int open_as_nobody(struct led *l)
{
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    int r = l->out->ops->open(l->out);
    if (root)
        assert_int_equal(seteuid(0), 0);
    return r;
}

static void files_of_the_trigger_come_late(void **state)
{
    struct led l;
    char path[64];

    led_new(&l);
    assert_int_equal(chmod(l.dir, 0755), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", l.dir, files[i]);
        assert_int_equal(chmod(path, i == TRIGGER ? 0666 : 0), 0);
    }
    assert_int_equal(open_as_nobody(&l), -EACCES);
    told(&l, TRIGGER, "transient\n");
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", l.dir, files[i]);
        assert_int_equal(chmod(path, 0666), 0);
    }
    assert_int_equal(open_as_nobody(&l), 0);
    told(&l, TRIGGER, ""); /* once more would make them anew, not his */
    told(&l, STATE, "1\n");
    l.out->ops->close(l.out);
    told(&l, TRIGGER, "none\n");
    assert_int_equal(open_as_nobody(&l), 0);
    told(&l, TRIGGER, "transient\n");
    led_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_trouble_until_told_otherwise),
        cmocka_unit_test(ready_never_stands_still),
        cmocka_unit_test(an_event_passes),
        cmocka_unit_test(two_people_within_a_second_see_two),
        cmocka_unit_test(a_held_card_does_not_flicker),
        cmocka_unit_test(a_held_refused_card_does_not_flicker),
        cmocka_unit_test(nobody_takes_anothers_green_for_his_own),
        cmocka_unit_test(trouble_waits_for_the_event),
        cmocka_unit_test(places),
        cmocka_unit_test(an_led_is_lit_for_a_while_only),
        cmocka_unit_test(an_absent_led_is_an_error),
        cmocka_unit_test(files_of_the_trigger_come_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
