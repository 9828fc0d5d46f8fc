/* /v1/sites: where gateways stand. */
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/site.h"
#include "cloud/zone.h"

static json_t *site_json(const struct site *t)
{
    if (t->damaged)
        return json_damaged(t->id);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "id", json_hex(t->id, ID_LEN), "name", jsontext_of(t->name),
                     "time_zone", json_text_or_null(t->time_zone), "created", json_time(t->created), "archived",
                     json_time_or_null(t->archived, 0));
}

void api_sites_list(struct api_call *k)
{
    struct call_span span;
    struct site_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = site_list(k->cloud, k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of sites");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (call_reaches_site(k, k->route->perm, list.items[i].id))
            whole_append(&items, site_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    site_list_done(&list);
}

enum { F_NAME, F_ZONE, F_ARCHIVED, F_COUNT };

/* POST or PATCH; false: answered. v borrows from *ret_body, which is the caller's. */
bool api_zone_known(struct api_call *k, const char *name)
{
    struct zone *z = NULL;
    int r = time_zone_valid(name) ? zone_load(name, &z) : ZONE_UNKNOWN;
    zone_free(z);
    if (r == ZONE_UNKNOWN)
        call_invalid(k, "time_zone", "\"%.64s\" is no time zone that this machine knows, such as Europe/Berlin", name);
    else if (r != 0)
        call_outcome(k, r, "time zone");
    return r == 0;
}

static bool read_site(struct api_call *k, bool is_new, struct body_value v[F_COUNT], json_t **ret_body)
{
    const struct body_field fields[F_COUNT] = {
        [F_NAME] = {.name = "name", .type = BODY_STRING, .required = is_new, .min = 1, .max = SITE_MAX_LEN},
        [F_ZONE] = {.name = "time_zone", .type = BODY_STRING, .nullable = true, .min = 1, .max = TIME_ZONE_MAX},
        [F_ARCHIVED] = {.name = "archived", .type = BODY_BOOL},
    };
    json_t *body = NULL;
    if (!body_read(k->q, fields, is_new ? F_ARCHIVED : F_COUNT, v, &body, k->r))
        return false;
    if (v[F_NAME].set && !site_name_valid(v[F_NAME].s)) {
        call_invalid(k, "name", "is longer than %d bytes of UTF-8", SITE_MAX_LEN);
    } else if (!v[F_ZONE].s || api_zone_known(k, v[F_ZONE].s)) {
        *ret_body = body;
        return true;
    }
    json_decref(body);
    return false;
}

static void failed(struct api_call *k, int r)
{
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "another site has this name");
    else
        call_outcome(k, r, "site");
}

void api_sites_create(struct api_call *k)
{
    struct body_value v[F_COUNT];
    struct site site;
    json_t *body = NULL;
    if (!read_site(k, true, v, &body))
        return;
    int r = site_add(k->cloud, k->db, k->tenant, v[F_NAME].s, v[F_ZONE].s, &site);
    json_decref(body);
    if (r != 0) {
        failed(k, r);
        return;
    }
    json_t *o = site_json(&site);
    call_tag(k, o, NULL);
    call_created(k, "/v1/sites/", site.id, ID_LEN, o);
}

/* What {id} names, within reach and as its preconditions want it; false: answered. */
static bool named(struct api_call *k, bool damaged_too, uint8_t ret_id[ID_LEN], struct site *ret_site)
{
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = site_get(k->cloud, k->db, k->tenant, ret_id, ret_site);
    if (r != CLOUD_ABSENT && !call_reaches_site(k, k->route->perm, ret_id))
        r = CLOUD_ABSENT;
    if (r != 0 && !(damaged_too && r == CLOUD_DAMAGED)) {
        call_outcome(k, r, "site");
        return false;
    }
    json_t *now = site_json(ret_site);
    bool fits = call_match(k, now, NULL);
    json_decref(now);
    return fits;
}

void api_sites_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct site site;
    if (named(k, false, id, &site))
        call_resource(k, site_json(&site), NULL);
}

/* False: answered. */
static bool archived(struct api_call *k, struct site *site, bool yes)
{
    uint64_t gateways = 0;
    int r = site_archive(k->cloud, k->db, k->tenant, site->id, yes, &gateways);
    if (r == 0)
        r = site_get(k->cloud, k->db, k->tenant, site->id, site);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "%llu gateway%s here; give %s another site or revoke %s first",
                      (unsigned long long)gateways, gateways == 1 ? " stands" : "s stand",
                      gateways == 1 ? "it" : "them", gateways == 1 ? "it" : "them");
    else if (r != 0)
        call_outcome(k, r, "site");
    return r == 0;
}

void api_sites_patch(struct api_call *k)
{
    struct body_value v[F_COUNT];
    uint8_t id[ID_LEN];
    struct site site;
    json_t *body = NULL;
    if (!read_site(k, false, v, &body))
        return;
    if (named(k, true, id, &site)) {
        const char *zone = v[F_ZONE].set && !v[F_ZONE].s ? "" : v[F_ZONE].s;
        int r = site_update(k->cloud, k->db, k->tenant, id, v[F_NAME].s, zone, &site);
        if (r != 0)
            failed(k, r);
        else if (!v[F_ARCHIVED].set || archived(k, &site, v[F_ARCHIVED].i != 0))
            call_resource(k, site_json(&site), NULL);
    }
    json_decref(body);
}

void api_sites_delete(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct site site;
    uint64_t gateways = 0;
    if (!named(k, true, id, &site))
        return;
    int r = site_remove(k->cloud, k->db, k->tenant, id, &gateways);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "%llu gateway%s here, or did when earlier punches were made; archive it",
                      (unsigned long long)gateways, gateways == 1 ? " stands" : "s stand");
    else if (r != 0)
        call_outcome(k, r, "site");
    else
        k->r->status = 204;
}
