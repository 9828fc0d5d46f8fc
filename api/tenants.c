/* /v1/tenants: the operator's customers. How many people one has is the customer's business, not the operator's. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/tenant.h"

static const char *const live[] = {"gateways", NULL};

/* NULL: the store failed, and the reply is made. */
static json_t *tenant_json(struct api_call *k, const struct tenant *t)
{
    uint64_t gateways = 0;
    int r = tenant_gateways(k->db, t->id, &gateways);
    if (r != 0) {
        call_outcome(k, r, "tenant");
        return NULL;
    }
    return json_pack("{s:s, s:I, s:o, s:o}", "id", t->id, "gateways", (json_int_t)gateways, "created",
                     json_time(t->created), "archived", json_time_or_null(t->archived, 0));
}

/* Those behind `after` by name; *ret_last: where the next page begins, NULL when there is none. */
static bool page(struct api_call *k, const struct tenant_list *list, const char *after, size_t limit, json_t **items,
                 const char **ret_last)
{
    const char *last = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct tenant *t = &list->items[i];
        if (!tenant_is_customer(t->id) || strcmp(t->id, after) <= 0)
            continue;
        if (json_array_size(*items) == limit) {
            *ret_last = last;
            return true;
        }
        json_t *o = tenant_json(k, t);
        if (!o)
            return false;
        whole_append(items, o);
        last = t->id;
    }
    *ret_last = NULL;
    return true;
}

void api_tenants_list(struct api_call *k)
{
    size_t limit = 0;
    char pos[CURSOR_POS_MAX + 1];
    const char *last = NULL;
    struct tenant_list list = {0};
    if (!call_limit(k, &limit) || !call_cursor(k, NULL, pos))
        return;
    int r = tenant_list(k->db, &list);
    if (r != 0) {
        call_outcome(k, r, "list of tenants");
        return;
    }
    json_t *items = json_array();
    if (page(k, &list, pos, limit, &items, &last))
        call_page(k, NULL, items, last);
    else
        json_decref(items);
    tenant_list_done(&list);
}

/* NULL: answered. */
static json_t *named(struct api_call *k, struct tenant *ret)
{
    int r = tenant_is_customer(k->param) ? tenant_get(k->db, k->param, ret) : CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "tenant");
    return r == 0 ? tenant_json(k, ret) : NULL;
}

void api_tenants_get(struct api_call *k)
{
    struct tenant t;
    json_t *o = named(k, &t);
    if (o)
        call_resource(k, o, live);
}

void api_tenants_patch(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "archived", .type = BODY_BOOL, .required = true}};
    struct body_value v[ARRAY_LEN(fields)];
    struct tenant t;
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    json_decref(body);
    json_t *before = named(k, &t);
    bool fits = before && call_match(k, before, live);
    json_decref(before);
    if (!fits)
        return;
    int r = tenant_archive(k->db, t.id, v[0].i != 0, clock_real());
    json_t *o = r == 0 ? named(k, &t) : NULL;
    if (r != 0)
        call_outcome(k, r, "tenant");
    else if (o)
        call_resource(k, o, live);
}

void api_tenants_create(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "id", .type = BODY_STRING, .required = true, .min = 1, .max = TENANT_MAX}};
    struct body_value v[ARRAY_LEN(fields)];
    struct tenant t;
    json_t *body = NULL, *o;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    int r = tenant_add(k->cloud, k->db, v[0].s, &t);
    json_decref(body);
    if (r == CLOUD_INVALID) {
        call_invalid(k, "id", "consists of a-z, 0-9 and inner hyphens");
    } else if (r != 0) {
        call_outcome(k, r, "tenant");
    } else if ((o = tenant_json(k, &t))) {
        call_tag(k, o, live);
        call_location(k, "/v1/tenants/", t.id);
        http_header(k->r, "Location", "%s", k->location);
        problem_json(k->r, 201, o);
    }
}
