/* /v1/gateways: what stands where, and when it was last heard. */
#include <string.h>

#include "api/api_impl.h"
#include "api/report.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/gateway.h"
#include "cloud/site.h"

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
        if (call_reaches_site(k, k->route->perm, list.items[i].site_id))
            whole_append(&items, report_gateway(&list.items[i], false));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].gw : NULL, GW_LEN);
    gateway_list_done(&list);
}

/* What it says of itself, and what is noted of its uploads. */
static const char *const live[] = {"state",       "version",     "last_seen", "clock", "online",
                                   "last_status", "last_upload", "counts",    NULL};

bool call_gateway(struct api_call *k, const uint8_t gw[GW_LEN], struct gateway *ret)
{
    int r = gateway_get(k->db, k->tenant, gw, ret);
    if (r == 0 && !call_reaches_site(k, k->route->perm, ret->site_id))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "gateway");
    return r == 0;
}

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
    struct gateway g;
    if (call_id(k, gw, GW_LEN) && call_gateway(k, gw, &g))
        call_resource(k, report_gateway(&g, false), live);
}

static bool is_as_named(struct api_call *k, const uint8_t gw[GW_LEN])
{
    struct gateway g;
    if (!call_gateway(k, gw, &g))
        return false;
    json_t *now = report_gateway(&g, false);
    bool fits = call_match(k, now, live);
    json_decref(now);
    return fits;
}

/* Whose right is for some sites moves gateways between those; it makes no new one. */
static bool may_stand_at(struct api_call *k, const char *site)
{
    uint8_t id[ID_LEN];
    if (call_everywhere(k, k->route->perm))
        return true;
    int r = site_by_name(k->db, k->tenant, site, id);
    if (r == 0 && !call_reaches_site(k, k->route->perm, id))
        r = CLOUD_ABSENT;
    if (r == CLOUD_ABSENT)
        call_invalid(k, "site", "is none of the sites that you may give it");
    else if (r != 0)
        call_outcome(k, r, "site");
    return r == 0;
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
    if (is_as_named(k, gw) && may_stand_at(k, v[0].s)) {
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

/* ---- revoking ---- */

/* Its uploads are refused from the commit on; this is for the broker. It logs what goes wrong, and the next start, or
 * the next revocation, writes the list again. */
static void write_crl(struct api_call *k)
{
    gateway_write_crl(k->cloud, k->db);
}

void api_gateways_revoke(struct api_call *k)
{
    uint8_t gw[GW_LEN];
    char id[2 * GW_LEN + 1];
    if (!call_id(k, gw, GW_LEN) || !is_as_named(k, gw))
        return;
    int r = gateway_revoke_of(k->cloud, k->db, k->tenant, gw);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "it is not this company's any more");
    } else if (r != 0) {
        call_outcome(k, r, "gateway");
    } else {
        k->then = write_crl;
        call_location(k, "/v1/gateways/", str_hex(gw, GW_LEN, id));
        reply_gateway(k, gw);
    }
}

/* ---- its generations ---- */

#define GENERATIONS_MAX 100

static json_t *generation_json(const struct gateway *g)
{
    return json_pack("{s:I, s:o, s:o, s:s, s:o, s:o, s:o}", "generation", (json_int_t)g->gen, "site",
                     jsontext_of(g->site), "site_id", json_hex(g->site_id, ID_LEN), "certificate", g->serial,
                     "certificate_expires", json_time_or_null(g->expires, 0), "added", json_time_or_null(g->added, 0),
                     "revoked", json_time_or_null(g->revoked, 0));
}

void api_gateway_generations(struct api_call *k)
{
    uint8_t gw[GW_LEN];
    struct gateway g;
    struct gateway_list list = {0};
    if (!call_id(k, gw, GW_LEN) || !call_gateway(k, gw, &g))
        return;
    int r = gateway_generations(k->db, k->tenant, gw, GENERATIONS_MAX, &list);
    if (r != 0) {
        call_outcome(k, r, "gateway");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, generation_json(&list.items[i]));
    gateway_list_done(&list);
    problem_json(k->r, 200, json_pack("{s:o, s:b}", "items", items, "complete", !list.more));
}
