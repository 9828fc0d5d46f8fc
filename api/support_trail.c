/* What was done under an access, for the customer while it lasts and afterwards: /events and /summary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/support.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/people_impl.h"
#include "cloud/support_trail.h"

#define PEOPLE_SHOWN 1000
#define FIELDS "access"

struct page {
    bool names_people; /* to the customer, not to the vendor's people */
    json_t *items;
    struct shown shown;
};

static int add_event(void *arg, const json_t *core, const struct audit_row *row)
{
    static const char *const members[] = {"time", "kind", "outcome", "route", "fields", "count", "resource"};
    struct page *g = arg;
    json_t *o = json_pack("{s:I}", "seq", (json_int_t)row->seq), *whose = json_array();
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_t *v = json_object_get(core, members[i]);
        whole_set(&o, members[i], v ? json_incref(v) : json_null());
    }
    for (size_t i = 0; i < row->n_whose && g->names_people; i++) {
        if (!row->whose[i].known)
            continue; /* erased */
        shown_add(&g->shown, row->whose[i].who.id, row->whose[i].who.key);
        whole_append(&whose, json_hex(row->whose[i].who.id, ID_LEN));
    }
    whole_set(&o, "people", whose);
    whole_append(&g->items, o);
    return g->items ? 0 : -ENOMEM;
}

static const char *const no_filters[] = {NULL};

static void events(struct api_call *k, enum support_kind kind)
{
    struct scope s;
    struct support p;
    struct page g = {.names_people = !support_of_vendor(k)};
    char pos[CURSOR_POS_MAX + 1], after[24] = "";
    size_t limit = 0;
    uint64_t from = 0, next = 0;
    if (!support_named(k, kind, &s, &p) || !call_limit(k, &limit) || !call_cursor(k, no_filters, pos))
        return;
    if (pos[0] && str_u64(pos, 1, INT64_MAX, &from) < 0) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR, "this cursor is of another version; begin again without a cursor");
        return;
    }
    g.items = json_array();
    int r = support_events(&s, &p, from, limit, add_event, &g, &next);
    if (r != 0) {
        call_outcome(k, r, "trail");
        json_decref(g.items);
        g.items = NULL;
        free(g.shown.items);
        return;
    }
    snprintf(after, sizeof after, "%llu", (unsigned long long)next);
    if (call_saw_those(k, FIELDS, &g.shown))
        call_page(k, no_filters, g.items, next != 0 ? after : NULL);
    else
        json_decref(g.items);
}

void api_support_events(struct api_call *k)
{
    events(k, SUPPORT_REQUEST);
}

void api_breakglass_events(struct api_call *k)
{
    events(k, SUPPORT_BREAK_GLASS);
}

/* Whose data it was; the vendor's people see only how many. */
static json_t *people(struct api_call *k, const struct scope *s, const struct support_summary *y)
{
    json_t *list = json_array();
    for (size_t i = 0; i < y->n_people && i < PEOPLE_SHOWN && !support_of_vendor(k); i++) {
        struct person person = {0};
        int r = people_find(s, y->people[i].id, &person);
        whole_append(&list, json_pack("{s:o, s:o}", "id", json_hex(y->people[i].id, ID_LEN), "name",
                                      r == 0 ? jsontext_of(person.name) : json_null()));
        crypto_wipe(&person, sizeof person);
    }
    return list;
}

static json_t *summary_json(struct api_call *k, const struct scope *s, const struct support *p,
                            struct support_summary *y)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:O, s:O, s:o, s:o, s:o, s:I, s:I}", "id",
                     json_hex(p->id, ID_LEN), "state", support_state_name(support_state_at(p, clock_real())), "from",
                     p->perms != 0 ? json_time(p->starts) : json_null(), "ended", json_time_or_null(p->ended, 0),
                     "reads", (json_int_t)y->reads, "changes", (json_int_t)y->changes, "refused",
                     (json_int_t)y->refused, "kinds", y->kinds, "fields", y->fields, "first",
                     json_text_or_null(y->first), "last", json_text_or_null(y->last), "people", people(k, s, y),
                     "people_count", (json_int_t)y->n_people, "erased_since", (json_int_t)y->forgotten);
}

static void summary(struct api_call *k, enum support_kind kind)
{
    struct scope s;
    struct support p;
    struct support_summary y;
    struct shown shown = {0};
    if (!support_named(k, kind, &s, &p))
        return;
    int r = support_summary(&s, &p, &y);
    if (r != 0) {
        call_outcome(k, r, "trail");
        return;
    }
    for (size_t i = 0; i < y.n_people && !support_of_vendor(k); i++)
        shown_add(&shown, y.people[i].id, y.people[i].key);
    json_t *o = summary_json(k, &s, &p, &y);
    support_summary_done(&y);
    if (call_saw_those(k, "name " FIELDS, &shown))
        problem_json(k->r, 200, o);
    else
        json_decref(o);
}

void api_support_summary(struct api_call *k)
{
    summary(k, SUPPORT_REQUEST);
}

void api_breakglass_summary(struct api_call *k)
{
    summary(k, SUPPORT_BREAK_GLASS);
}
