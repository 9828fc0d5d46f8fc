/* JSON made while memory runs short at each point in turn: all of it, or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/whole.h"

#define N 20

static unsigned left;

static void *until_short(size_t n)
{
    if (left == 0)
        return NULL;
    left--;
    return malloc(n);
}

static json_t *make_list(void)
{
    json_t *list = json_array();
    for (int i = 0; i < N; i++)
        whole_append(&list, json_pack("{s:i}", "n", i));
    return list;
}

static json_t *make_object(void)
{
    json_t *o = json_object();
    for (int i = 0; i < N; i++)
        whole_set(&o, (char[]){(char)('a' + i), '\0'}, json_integer(i));
    return o;
}

static void whole_or_not_there(json_t *(*make)(void), size_t (*size)(const json_t *))
{
    json_malloc_t get;
    json_free_t put;
    json_t *made = NULL;
    json_get_alloc_funcs(&get, &put);
    json_set_alloc_funcs(until_short, free);
    for (unsigned room = 0; !made; room++) {
        assert_in_range(room, 0, 1000);
        left = room;
        made = make();
    }
    assert_int_equal(size(made), N);
    json_decref(made);
    json_set_alloc_funcs(get, put);
}

static void test_list(void **state)
{
    whole_or_not_there(make_list, json_array_size);
}

static void test_object(void **state)
{
    whole_or_not_there(make_object, json_object_size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_object)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
