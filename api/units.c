/* /v1/units: departments and teams. A unit is reached by its own name, or by its site's. */
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/unit.h"

static json_t *unit_json(const struct unit *u)
{
    if (u->damaged)
        return json_damaged(u->id);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "id", json_hex(u->id, ID_LEN), "name", jsontext_of(u->name), "site",
                     u->has_site ? json_hex(u->site, ID_LEN) : json_null(), "archived",
                     json_time_or_null(u->archived, 0), "created", json_time(u->created));
}

static bool reached(struct api_call *k, enum perm p, const struct unit *u)
{
    return call_reaches_unit(k, p, u->id) || (u->has_site && call_reaches_site(k, p, u->site));
}

struct filter {
    struct api_call *k;
    bool archived;
};

static bool fits(void *arg, const struct unit *u)
{
    const struct filter *f = arg;
    return (u->archived != 0) == f->archived && reached(f->k, PERM_SITES_READ, u);
}

void api_units_list(struct api_call *k)
{
    static const char *const filters[] = {"archived", NULL};
    struct call_span span;
    struct unit_list list = {0};
    struct filter f = {.k = k};
    if (!call_span_of(k, filters, ID_LEN, &span) || !call_query_bool(k, "archived", &f.archived))
        return;
    int r = unit_list(k->cloud, k->db, k->tenant, span.after, span.limit, fits, &f, &list);
    if (r != 0) {
        call_outcome(k, r, "list of units");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, unit_json(&list.items[i]));
    call_page_of(k, filters, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    unit_list_done(&list);
}

/* What was read of a body; what the pointers of `set` point at. */
struct wanted {
    struct unit_set set;
    uint8_t site[ID_LEN];
    bool archived;
    json_t *body;
};

/* POST or PATCH; false: answered. */
static bool read_unit(struct api_call *k, bool is_new, struct wanted *w)
{
    enum { F_NAME, F_SITE, F_ARCHIVED, F_COUNT };
    const struct body_field fields[F_COUNT] = {
        [F_NAME] = {.name = "name", .type = BODY_STRING, .required = is_new, .min = 1, .max = UNIT_NAME_MAX_LEN},
        [F_SITE] = {.name = "site", .type = BODY_STRING, .nullable = true, .min = 1, .max = (int64_t)ID_LEN * 2},
        [F_ARCHIVED] = {.name = "archived", .type = BODY_BOOL},
    };
    struct body_value v[F_COUNT] = {{0}};
    *w = (struct wanted){0};
    if (!body_read(k->q, fields, is_new ? F_ARCHIVED : F_COUNT, v, &w->body, k->r))
        return false;
    if (v[F_NAME].set && strlen(v[F_NAME].s) > UNIT_NAME_MAX_LEN) {
        call_invalid(k, "name", "is longer than %d bytes of UTF-8", UNIT_NAME_MAX_LEN);
    } else if (v[F_SITE].s && str_unhex(v[F_SITE].s, w->site, ID_LEN) < 0) {
        call_invalid(k, "site", "is not the id of a site");
    } else {
        w->archived = v[F_ARCHIVED].i != 0;
        w->set = (struct unit_set){.name = v[F_NAME].s,
                                   .site = v[F_SITE].set ? w->site : NULL,
                                   .archived = v[F_ARCHIVED].set ? &w->archived : NULL};
        return true;
    }
    json_decref(w->body);
    return false;
}

static bool may_move(struct api_call *k, const struct unit *before, const struct unit *after)
{
    bool stays = before->has_site == after->has_site && memcmp(before->site, after->site, ID_LEN) == 0;
    return stays || ((!before->has_site || call_reaches_site(k, PERM_SITES_CHANGE, before->site)) &&
                     (!after->has_site || call_reaches_site(k, PERM_SITES_CHANGE, after->site)));
}

/* The unit as it became, or why it did not; `before`: or NULL, for a new one. Who has a site's people has those of the
 * units there: so a unit comes to a site, and leaves one, by who may change both. */
static void answer(struct api_call *k, int r, const struct unit *u, const struct unit *before)
{
    static const struct unit nowhere = {0};
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "another unit has this name");
    } else if (r == CLOUD_ABSENT) {
        call_invalid(k, "site", "is not the id of a site");
    } else if (r != 0) {
        call_outcome(k, r, "unit");
    } else if (!reached(k, PERM_SITES_CHANGE, u) || !may_move(k, before ? before : &nowhere, u)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      "your permission sites.change does not reach the site that it comes to, or leaves");
    } else if (!before) {
        json_t *o = unit_json(u);
        call_tag(k, o, NULL);
        call_created(k, "/v1/units/", u->id, ID_LEN, o);
    } else {
        call_resource(k, unit_json(u), NULL);
    }
}

void api_units_create(struct api_call *k)
{
    struct wanted w;
    struct unit u;
    if (!read_unit(k, true, &w))
        return;
    int r = unit_create(k->cloud, k->db, k->tenant, &w.set, &u);
    json_decref(w.body);
    answer(k, r, &u, NULL);
}

/* What {id} names, as its preconditions want it; false: answered. */
static bool named(struct api_call *k, enum perm p, uint8_t ret_id[ID_LEN], struct unit *ret_unit)
{
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = unit_get(k->cloud, k->db, k->tenant, ret_id, ret_unit);
    if ((r == 0 || r == CLOUD_DAMAGED) && !reached(k, p, ret_unit))
        r = CLOUD_ABSENT;
    if (r != 0) {
        call_outcome(k, r, "unit");
        return false;
    }
    json_t *now = unit_json(ret_unit);
    bool fits_them = call_match(k, now, NULL);
    json_decref(now);
    return fits_them;
}

void api_units_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct unit u;
    if (named(k, PERM_SITES_READ, id, &u))
        call_resource(k, unit_json(&u), NULL);
}

void api_units_patch(struct api_call *k)
{
    struct wanted w;
    uint8_t id[ID_LEN];
    struct unit before, u;
    if (!read_unit(k, false, &w))
        return;
    if (named(k, PERM_SITES_CHANGE, id, &before)) {
        int r = unit_update(k->cloud, k->db, k->tenant, id, &w.set, &u);
        answer(k, r, &u, &before);
    }
    json_decref(w.body);
}
