/* The document and the program know the same routes, with the same parameters and rights. What the answers look like is
 * held against it by tests/contract. */
#include "api/openapi.h"

#include "api/api_impl.h"
#include "tests/unit/api_fixture.h"

static json_t *doc;

static int setup(void **state)
{
    (void)api_setup(state);
    doc = json_loadb(openapi_json, openapi_json_n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(doc);
    return 0;
}

static int teardown(void **state)
{
    json_decref(doc);
    api_stop(api);
    fixture_done(&f);
    return 0;
}

static json_t *operation_of(const struct api_route *t)
{
    char method[16];
    size_t n = 0;
    for (; t->method[n] && n < sizeof method - 1; n++)
        method[n] = (char)(t->method[n] | 0x20);
    method[n] = '\0';
    return json_object_get(json_object_get(json_object_get(doc, "paths"), t->pattern), method);
}

/* A parameter object, through its $ref. */
static json_t *follow(json_t *p)
{
    static const char prefix[] = "#/components/parameters/";
    const char *ref = text_of(p, "$ref");
    if (strncmp(ref, prefix, sizeof prefix - 1) != 0)
        return p;
    return json_object_get(json_object_get(json_object_get(doc, "components"), "parameters"), ref + sizeof prefix - 1);
}

/* Those of the operation in the query; `want` is what the route takes. */
static size_t count_query(json_t *operation, const char *const *want)
{
    size_t n = 0, i;
    json_t *p;
    json_array_foreach(json_object_get(operation, "parameters"), i, p)
    {
        p = follow(p);
        if (strcmp(text_of(p, "in"), "query") != 0)
            continue;
        bool known = false;
        for (size_t j = 0; want && want[j]; j++)
            known = known || strcmp(want[j], text_of(p, "name")) == 0;
        if (!known)
            fail_msg("the parameter %s is documented, and the program does not know it", text_of(p, "name"));
        n++;
    }
    return n;
}

static void test_every_route_is_documented(void **state)
{
    size_t n;
    const struct api_route *t = api_routes(&n);
    for (size_t i = 0; i < n; i++) {
        json_t *o = operation_of(&t[i]);
        if (!o)
            fail_msg("%s %s is not in docs/openapi.yaml", t[i].method, t[i].pattern);
        size_t q = 0;
        while (t[i].query && t[i].query[q])
            q++;
        if (count_query(o, t[i].query) != q)
            fail_msg("%s %s: not all of its parameters are in docs/openapi.yaml", t[i].method, t[i].pattern);
        if ((json_object_get(o, "requestBody") != NULL) != ((t[i].flags & BODY) != 0))
            fail_msg("%s %s: the document and the program differ on whether it has a body", t[i].method, t[i].pattern);
        json_t *security = json_object_get(o, "security");
        if ((security && json_array_size(security) == 0) != (t[i].scope == SCOPE_OPEN))
            fail_msg("%s %s: the document and the program differ on whether it needs a token", t[i].method,
                     t[i].pattern);
    }
}

static const char *permission_of(const struct api_route *t)
{
    static const char *const scopes[] = {[SCOPE_OPEN] = "open", [SCOPE_SELF] = "self", [SCOPE_OPERATOR] = "operator"};
    return t->scope == SCOPE_TENANT ? perm_name(t->perm) : scopes[t->scope];
}

static void test_every_right_is_documented(void **state)
{
    size_t n;
    const struct api_route *t = api_routes(&n);
    for (size_t i = 0; i < n; i++, t++) {
        json_t *o = operation_of(t);
        const char *reach = t->scope != SCOPE_TENANT ? "" : t->flags & REACHES ? "granted" : "tenant";
        if (strcmp(text_of(o, "x-permission"), permission_of(t)) != 0 || strcmp(text_of(o, "x-reach"), reach) != 0 ||
            json_is_true(json_object_get(o, "x-step-up")) != ((t->flags & STEP_UP) != 0) ||
            json_is_true(json_object_get(o, "x-personal")) != ((t->flags & PERSONAL) != 0))
            fail_msg("%s %s: the document and the program differ on x-permission (%s), x-reach (%s), x-step-up or "
                     "x-personal",
                     t->method, t->pattern, permission_of(t), reach);
        assert_true((t->scope == SCOPE_TENANT) == (t->perm != PERM_NONE));
    }
}

static void test_every_documented_route_exists(void **state)
{
    const char *pattern, *method;
    json_t *item, *o;
    size_t n, documented = 0;
    api_routes(&n);
    json_object_foreach(json_object_get(doc, "paths"), pattern, item)
    {
        json_object_foreach(item, method, o)
        {
            documented += strcmp(method, "parameters") != 0;
        }
    }
    assert_int_equal(documented, n); /* with the test above: the same ones */
}

static void test_it_is_served(void **state)
{
    struct reply r = get(&f.s, "/v1/openapi.json", NULL);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "application/json");
    assert_true(json_equal(r.json, doc));
    assert_string_equal(text_of(json_object_get(r.json, "info"), "version"), PUNCH_VERSION);
    reply_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_documented),
        cmocka_unit_test(test_every_right_is_documented),
        cmocka_unit_test(test_every_documented_route_exists),
        cmocka_unit_test(test_it_is_served),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
