/* /v1/gateways: what stands where, and when it was last heard. */
#include <string.h>

#include "base/str.h"
#include "base/whole.h"
#include "cloud/api_impl.h"
#include "cloud/gateway.h"
#include "cloud/report.h"

void api_gateways_list(struct api_call *k)
{
    struct call_span span;
    struct gateway_list list = {0};
    if (!call_span(k, GW_LEN, &span))
        return;
    int r = gateway_page(k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of gateways");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, report_gateway(&list.items[i], false));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].gw : NULL, GW_LEN);
    gateway_list_done(&list);
}

/* What it says of itself, and what is noted of its uploads. */
static const char *const live[] = {"online", "last_status", "last_upload", "counts", NULL};

static void reply_gateway(struct api_call *k, const uint8_t gw[GW_LEN])
{
    struct gateway g;
    int r = gateway_get(k->db, k->tenant, gw, &g);
    if (r != 0)
        call_outcome(k, r, "gateway");
    else
        call_resource(k, report_gateway(&g, false), live);
}

void api_gateways_get(struct api_call *k)
{
    uint8_t gw[GW_LEN];
    if (call_id(k, gw, GW_LEN))
        reply_gateway(k, gw);
}

static bool is_as_named(struct api_call *k, const uint8_t gw[GW_LEN])
{
    struct gateway g;
    int r = gateway_get(k->db, k->tenant, gw, &g);
    if (r != 0) {
        call_outcome(k, r, "gateway");
        return false;
    }
    json_t *now = report_gateway(&g, false);
    bool fits = call_match(k, now, live);
    json_decref(now);
    return fits;
}

void api_gateways_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "site", .type = BODY_STRING, .required = true, .min = 1, .max = SITE_MAX_LEN}};
    struct body_value v[ARRAY_LEN(fields)];
    uint8_t gw[GW_LEN];
    json_t *body = NULL;
    if (!call_id(k, gw, GW_LEN) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (is_as_named(k, gw)) {
        int r = gateway_set_site(k->cloud, k->db, k->tenant, gw, v[0].s);
        if (r == CLOUD_INVALID)
            call_invalid(k, "site", "is longer than %d bytes of UTF-8", SITE_MAX_LEN);
        else if (r != 0)
            call_outcome(k, r, "gateway");
        else
            reply_gateway(k, gw);
    }
    json_decref(body);
}
