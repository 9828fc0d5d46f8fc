/* GET /v1/sites/{id}/presence: who is in. Only where the company has said that it wants this. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/presence.h"
#include "cloud/settings_of.h"
#include "cloud/site.h"

#define DAY_US INT64_C(86400000000)

/* False: answered. */
static bool find_site(struct api_call *k, struct site *ret_site, struct tenant_settings *ret_set)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = tenant_settings_get(k->db, k->tenant, ret_set);
    if (r != 0) {
        call_outcome(k, r, "settings");
        return false;
    }
    if (!ret_set->presence) {
        problem_reply(k->r, PROBLEM_PRESENCE_OFF, "presence is off; who may change the settings can put it on");
        return false;
    }
    r = site_get(k->cloud, k->db, k->tenant, id, ret_site);
    if (r != 0)
        call_outcome(k, r, "site");
    return r == 0;
}

/* The site's own, the company's, UTC; false: answered. */
static bool find_zone(struct api_call *k, const struct site *site, struct tenant_settings *set, struct zone **ret_zone)
{
    const char *name = site->time_zone[0] ? site->time_zone : set->time_zone;
    int r = zone_load(name, ret_zone);
    if (r == ZONE_UNKNOWN)
        problem_reply(k->r, PROBLEM_CONFLICT, "this machine knows no time zone \"%s\"; give the site another", name);
    else if (r != 0)
        call_outcome(k, r, "time zone");
    return r == 0;
}

static json_t *present_json(const struct present *x)
{
    return json_pack("{s:{s:o, s:o}, s:o, s:o}", "person", "id", json_hex(x->person.id, ID_LEN), "name",
                     x->person.damaged ? json_null() : jsontext_of(x->person.name), "since", json_time(x->since),
                     "reader", json_text_or_null(x->reader));
}

static void answer(struct api_call *k, const struct site *site, const struct presence *p, const struct call_span *span)
{
    static const char *const no_filters[] = {NULL};
    char next[CURSOR_TEXT_MAX], hex[2 * ID_LEN + 1], day[32];
    const struct present *last = NULL;
    struct shown shown = {0};
    bool more = false, all = call_reaches_site(k, k->route->perm, site->id);
    size_t n = 0;
    json_t *items = json_array();
    for (size_t i = 0; i < p->n && !more; i++) {
        const struct present *x = &p->items[i];
        if ((span->after && memcmp(x->person.id, span->after, ID_LEN) <= 0) ||
            !(all || call_reaches_person(k, k->route->perm, &x->person)))
            continue;
        if ((more = n == span->limit))
            break;
        whole_append(&items, present_json(x));
        shown_add(&shown, x->person.id, x->person.key);
        last = x;
        n++;
    }
    str_time(p->day * DAY_US, day);
    day[10] = '\0';
    if (call_next(k, no_filters, more ? str_hex(last->person.id, ID_LEN, hex) : NULL, next) &&
        call_saw_those(k, "name presence", &shown)) {
        problem_json(k->r, 200,
                     json_pack("{s:s, s:o, s:o}", "day", day, "items", items, "next", json_text_or_null(next)));
        return;
    }
    free(shown.items);
    json_decref(items);
}

void api_presence(struct api_call *k)
{
    struct call_span span;
    struct site site;
    struct tenant_settings set;
    struct zone *z = NULL;
    struct presence p;
    if (!call_span(k, ID_LEN, &span) || !find_site(k, &site, &set) || !find_zone(k, &site, &set, &z))
        return;
    int r = presence_read(k->cloud, k->db, k->tenant, site.id, z, clock_real(), &p);
    zone_free(z);
    if (r != 0) {
        call_outcome(k, r, "presence");
        return;
    }
    answer(k, &site, &p, &span);
    presence_done(&p);
}
