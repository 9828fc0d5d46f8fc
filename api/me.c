/* /v1/me: what every account may do without any grant, with the data of its own person; and /v1/requests, where those
 * who answer find what was asked for. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/dsr.h"

json_t *api_dsr_json(const struct dsr *d, const uint8_t *person)
{
    static const uint8_t nobody[ID_LEN];
    if (d->damaged)
        return json_damaged(d->id);
    json_t *o = json_pack("{s:o, s:o, s:s, s:s, s:o}", "id", json_hex(d->id, ID_LEN), "person",
                          person ? json_hex(person, ID_LEN) : json_null(), "kind", dsr_kind_name(d->kind), "state",
                          dsr_state_name(d->state), "requested", json_time(d->requested));
    whole_set(&o, "text", json_text_or_null(d->text));
    whole_set(&o, "decided_by", memcmp(d->decider, nobody, ID_LEN) == 0 ? json_null() : json_hex(d->decider, ID_LEN));
    whole_set(&o, "decided", json_time_or_null(d->decided, 0));
    whole_set(&o, "answer", json_text_or_null(d->answer));
    return o;
}

/* ---- one's own ---- */

/* The caller's person; false: answered. */
static bool myself(struct api_call *k, struct person *ret)
{
    int r = k->who.is != WHO_ACCOUNT ? CLOUD_ABSENT : people_get(k->cloud, k->db, k->who.home, k->who.person, ret);
    if (r != 0 && r != CLOUD_DAMAGED) {
        if (r == CLOUD_ABSENT)
            problem_reply(k->r, PROBLEM_FORBIDDEN, "this is for who has an account of this company");
        else
            call_outcome(k, r, "person");
        return false;
    }
    return true;
}

void api_me_export(struct api_call *k)
{
    struct person p;
    if (myself(k, &p))
        api_export_person(k, &p);
}

static void ask(struct api_call *k, enum dsr_kind kind, bool with_text)
{
    const struct body_field fields[] = {
        {.name = "text", .type = BODY_STRING, .required = with_text, .min = 1, .max = DSR_TEXT_MAX_LEN}};
    struct body_value v[1];
    struct person p;
    struct dsr d;
    json_t *body = NULL;
    if (!myself(k, &p) || !body_read(k->q, fields, 1, v, &body, k->r))
        return;
    int r = dsr_make(k->cloud, k->db, k->tenant, p.id, kind, v[0].s, &d);
    json_decref(body);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "you have asked for this, and it is not answered yet");
        return;
    }
    if (r != 0) {
        call_outcome(k, r, "request");
        return;
    }
    json_t *o = api_dsr_json(&d, p.id);
    struct subject subject = api_subject(&p);
    call_location_of(k, "/v1/me/requests/", d.id, ID_LEN);
    if (!call_changed(k, &subject, NULL, o)) {
        json_decref(o);
        return;
    }
    call_created(k, "/v1/me/requests/", d.id, ID_LEN, o);
}

void api_me_erasure(struct api_call *k)
{
    ask(k, DSR_ERASURE, false);
}

void api_me_restriction(struct api_call *k)
{
    ask(k, DSR_RESTRICTION, false);
}

void api_me_rectification(struct api_call *k)
{
    ask(k, DSR_RECTIFICATION, true);
}

/* Answers with the list and says whom it shows; person NULL: everybody's. */
static void show(struct api_call *k, const char *const *filters, const struct dsr_list *l)
{
    struct subject *all = calloc(l->n + 1, sizeof *all);
    json_t *items = json_array();
    struct person p;
    size_t n = 0;
    int r = all ? 0 : -ENOMEM;
    for (size_t i = 0; r >= 0 && i < l->n; i++) {
        r = people_get_by_key(k->cloud, k->db, k->tenant, l->items[i].key, &p);
        bool known = r == 0 || r == CLOUD_DAMAGED;
        if (known)
            all[n++] = api_subject(&p);
        whole_append(&items, api_dsr_json(&l->items[i], known ? p.id : NULL));
    }
    if (r < 0) {
        json_decref(items);
        call_outcome(k, r, "list of requests");
    } else if (call_saw(k, "request", all, n)) {
        call_page_of(k, filters, items, l->more ? l->items[l->n - 1].id : NULL, ID_LEN);
    } else {
        json_decref(items);
    }
    free(all);
}

void api_me_requests(struct api_call *k)
{
    static const char *const none[] = {NULL};
    struct call_span span;
    struct dsr_list list = {0};
    struct person p;
    if (!myself(k, &p) || !call_span(k, ID_LEN, &span))
        return;
    int r = dsr_list(k->cloud, k->db, k->tenant, p.key, span.after, span.limit, NULL, NULL, &list);
    if (r != 0)
        call_outcome(k, r, "list of requests");
    else
        show(k, none, &list);
    dsr_list_done(&list);
}

void api_me_request(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct person p;
    struct dsr d;
    if (!myself(k, &p) || !call_id(k, id, ID_LEN))
        return;
    int r = dsr_get(k->cloud, k->db, k->tenant, id, &d);
    if (r == 0 && memcmp(d.key, p.key, ID_LEN) != 0)
        r = CLOUD_ABSENT;
    struct subject subject = api_subject(&p);
    if (r != 0)
        call_outcome(k, r, "request");
    else if (call_saw(k, "request", &subject, 1))
        call_resource(k, api_dsr_json(&d, p.id), NULL);
}

/* ---- everybody's ---- */

struct filter {
    struct api_call *k;
    bool everywhere, has_state;
    enum dsr_state state;
};

static bool fits(void *arg, const struct dsr *d)
{
    const struct filter *f = arg;
    struct person p;
    if (f->has_state && (d->damaged || d->state != f->state))
        return false;
    if (f->everywhere)
        return true;
    int r = call_sure(f->k, people_get_by_key(f->k->cloud, f->k->db, f->k->tenant, d->key, &p));
    return (r == 0 || r == CLOUD_DAMAGED) && call_reaches_person(f->k, PERM_PEOPLE_CHANGE, &p);
}

void api_requests_list(struct api_call *k)
{
    static const char *const filters[] = {"state", NULL};
    struct call_span span;
    struct dsr_list list = {0};
    const char *state = call_query(k, "state");
    struct filter f = {.k = k, .everywhere = call_everywhere(k, PERM_PEOPLE_CHANGE), .has_state = state != NULL};
    if (state && !dsr_state_parse(state, &f.state)) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "state is \"%.40s\"; use open, granted or refused", state);
        return;
    }
    if (!call_span_of(k, filters, ID_LEN, &span))
        return;
    int r = dsr_list(k->cloud, k->db, k->tenant, NULL, span.after, span.limit, fits, &f, &list);
    if (r != 0)
        call_outcome(k, r, "list of requests");
    else
        show(k, filters, &list);
    dsr_list_done(&list);
}

static void decide(struct api_call *k, const struct body_value v[2])
{
    uint8_t id[ID_LEN], author[ID_LEN];
    struct dsr d;
    struct person p;
    enum dsr_state state = DSR_OPEN;
    if (!dsr_state_parse(v[0].s, &state) || state == DSR_OPEN) {
        call_invalid(k, "decision", "is not granted or refused");
        return;
    }
    if (!call_id(k, id, ID_LEN))
        return;
    int r = dsr_get(k->cloud, k->db, k->tenant, id, &d);
    if (r == 0 && (r = people_get_by_key(k->cloud, k->db, k->tenant, d.key, &p)) == CLOUD_DAMAGED)
        r = 0;
    if (r == 0 && !call_reaches_person(k, PERM_PEOPLE_CHANGE, &p))
        r = CLOUD_ABSENT;
    api_author(k, author);
    if (r == 0)
        r = dsr_decide(k->cloud, k->db, k->tenant, id, state == DSR_GRANTED, author, v[1].s, &d);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "this request is decided already");
        return;
    }
    if (r != 0) {
        call_outcome(k, r, "request");
        return;
    }
    json_t *o = api_dsr_json(&d, p.id);
    struct subject subject = api_subject(&p);
    if (call_changed(k, &subject, NULL, o))
        problem_json(k->r, 200, o);
    else
        json_decref(o);
}

void api_requests_decide(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "decision", .type = BODY_STRING, .required = true, .min = 1, .max = 20},
        {.name = "answer", .type = BODY_STRING, .required = true, .min = 1, .max = DSR_TEXT_MAX_LEN},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    decide(k, v);
    json_decref(body);
}
