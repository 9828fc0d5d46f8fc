/* A GPIO line through the libgpiod of this system, played by fake_gpiod.h, and the lights of several readers on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fake_gpiod.h"
#include "readers/light_out.h"
#include "readers/lights.h"

static struct light_out *out_new(const char *text)
{
    struct light_place p;
    struct light_out *o = NULL;

    memset(&fake_line, 0, sizeof(fake_line));
    assert_int_equal(light_place_parse(text, &p), 0);
    assert_int_equal(light_out_new(&p, &o), 0);
    return o;
}

static void a_line_is_taken_dark_and_given_back_dark(void **state)
{
    struct light_out *o = out_new("gpiochip2:17:low");

    fake_line.value = -1;
    assert_int_equal(o->ops->open(o), 0);
    assert_string_equal(fake_line.path, "/dev/gpiochip2");
    assert_string_equal(fake_line.consumer, "punchgate");
    assert_int_equal(fake_line.offset, 17);
    assert_true(fake_line.held && fake_line.low);
    assert_int_equal(fake_line.value, 0);
    assert_int_equal(o->ops->set(o, true, 100), 0);
    assert_int_equal(fake_line.value, 1);
    o->ops->close(o);
    assert_int_equal(fake_line.value, 0);
    assert_false(fake_line.held);
    assert_int_equal(o->ops->open(o), 0);
    assert_int_equal(o->ops->set(o, true, 100), 0);
    o->ops->free(o);
    assert_int_equal(fake_line.value, 0);
    assert_false(fake_line.held);
    assert_int_equal(fake_line.open, 0);
}

static void what_the_kernel_says_is_passed_on(void **state)
{
    struct light_out *o = out_new("gpiochip0:3");

    fake_line.fail = EBUSY;
    assert_int_equal(o->ops->open(o), -EBUSY);
    fake_line.fail = 0;
    assert_int_equal(o->ops->open(o), 0);
    assert_false(fake_line.low);
    fake_line.fail = EIO;
    assert_int_equal(o->ops->set(o, true, 100), -EIO);
    fake_line.fail = 0;
    o->ops->free(o);
    assert_int_equal(fake_line.open, 0);
}

/* ---- several readers, one line ---- */

struct world {
    struct loop *loop;
    struct loop_timer *look;
    struct lights *lights;
    int want; /* value of the line that ends a run */
    bool want_failed;
};

static void look(void *arg)
{
    struct world *w = arg;
    struct lights_view v;

    lights_at(w->lights, 0, &v);
    if (w->want_failed ? v.failures > 0 && !v.working : v.working && fake_line.value == w->want)
        loop_stop(w->loop, 0);
    else
        assert_int_equal(loop_timer_set(w->look, 5), 0);
}

static void run_until(struct world *w, int want)
{
    w->want = want;
    assert_int_equal(loop_timer_set(w->look, 1), 0);
    assert_int_equal(loop_run(w->loop), 0);
}

static void world_new(struct world *w, struct reader_settings *readers, size_t n)
{
    struct conf_list list = {.items = readers, .n = n};

    *w = (struct world){0};
    memset(&fake_line, 0, sizeof(fake_line));
    assert_int_equal(loop_new(&w->loop), 0);
    assert_int_equal(lights_new(w->loop, &list, &w->lights), 0);
    assert_int_equal(loop_timer_new(w->loop, look, w, &w->look), 0);
}

static void world_free(struct world *w)
{
    lights_free(w->lights);
    loop_free(w->loop);
    assert_int_equal(fake_line.open, 0);
}

static void readers_share_a_light(void **state)
{
    struct reader_settings two[2] = {{.lights = {[LIGHT_RED] = (char[]){"gpiochip0:4"}}},
                                     {.lights = {[LIGHT_RED] = (char[]){"gpiochip0:4"}}}};
    struct world w;

    world_new(&w, two, 2);
    assert_int_equal(lights_count(w.lights), 1);
    run_until(&w, 1); /* trouble: nobody said that they are ready */
    lights_ready(w.lights, 1, true);
    run_until(&w, 0);
    run_until(&w, 1); /* one of them is not */
    lights_ready(w.lights, 0, true);
    run_until(&w, 0);
    unsigned sets = fake_line.sets;
    lights_answer(w.lights, 0, ANSWER_STORED, false);
    run_until(&w, 0);
    assert_int_equal(fake_line.sets, sets); /* red has nothing to say about that */
    lights_answer(w.lights, 1, ANSWER_REFUSED, false);
    run_until(&w, 1);
    world_free(&w);
    assert_int_equal(fake_line.value, 0);
}

static void a_failing_light_is_left_alone(void **state)
{
    struct reader_settings one[1] = {{.lights = {[LIGHT_GREEN] = (char[]){"gpiochip0:4"}}}};
    struct lights_view v;
    struct world w;

    world_new(&w, one, 1);
    lights_ready(w.lights, 0, true);
    run_until(&w, 1);
    fake_line.fail = EIO;
    w.want_failed = true;
    lights_answer(w.lights, 0, ANSWER_STORED, false);
    run_until(&w, 1);
    unsigned opens = fake_line.opens;
    for (int i = 0; i < 50; i++) {
        lights_answer(w.lights, 0, ANSWER_STORED, false);
        run_until(&w, 1);
    }
    assert_int_equal(fake_line.opens, opens); /* not for each punch */
    lights_at(w.lights, 0, &v);
    assert_int_equal(v.failures, 1);
    assert_string_equal(v.place, "gpiochip0:4");
    assert_string_equal(v.role, "green");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_taken_dark_and_given_back_dark),
        cmocka_unit_test(what_the_kernel_says_is_passed_on),
        cmocka_unit_test(readers_share_a_light),
        cmocka_unit_test(a_failing_light_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
