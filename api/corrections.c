/* /v1/corrections: what somebody says in the place of what a reader saw, and who allowed it. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/correction.h"
#include "cloud/credential.h"
#include "cloud/site.h"

/* How far the clock of who asks may be ahead of ours. */
#define AHEAD_US (INT64_C(5) * 60 * 1000000)

static const uint8_t nobody[ID_LEN];

static json_t *id_or_null(const uint8_t id[ID_LEN])
{
    return memcmp(id, nobody, ID_LEN) == 0 ? json_null() : json_hex(id, ID_LEN);
}

static json_t *direction(bool has, uint8_t dir)
{
    const char *name = dir_name(dir);
    return !has ? json_null() : json_string(name ? name : "unknown");
}

/* person NULL: not known any more. */
json_t *api_correction_json(const struct correction *c, const uint8_t *person)
{
    if (c->damaged)
        return json_damaged(c->id);
    bool of_punch = c->kind != CORRECTION_ADD;
    json_t *o = json_pack("{s:o, s:o, s:s, s:s}", "id", json_hex(c->id, ID_LEN), "person",
                          person ? json_hex(person, ID_LEN) : json_null(), "kind", correction_kind_name(c->kind),
                          "state", correction_state_name(c->state));
    whole_set(&o, "punch", of_punch ? api_punch_id(c->segid, c->index) : json_null());
    whole_set(&o, "original",
              of_punch
                  ? json_pack("{s:o, s:o}", "time", json_time(c->was_time), "direction", direction(true, c->was_dir))
                  : json_null());
    whole_set(&o, "site", c->has_site ? json_hex(c->site, ID_LEN) : json_null());
    whole_set(&o, "time", c->has_time ? json_time(c->time) : json_null());
    whole_set(&o, "direction", direction(c->has_dir, c->dir));
    whole_set(&o, "reason", jsontext_of(c->reason));
    whole_set(&o, "requested_by", id_or_null(c->by));
    whole_set(&o, "requested", json_time(c->requested));
    whole_set(&o, "decided_by", id_or_null(c->decider));
    whole_set(&o, "decided", json_time_or_null(c->decided, 0));
    whole_set(&o, "decision_reason", json_text_or_null(c->answer));
    return o;
}

void api_author(const struct api_call *k, uint8_t ret_id[ID_LEN])
{
    _Static_assert(TOKEN_ID_LEN <= ID_LEN, "a token's id fits");
    memset(ret_id, 0, ID_LEN);
    if (k->who.is == WHO_ACCOUNT)
        memcpy(ret_id, k->who.account, ID_LEN);
    else if (k->who.has_token)
        memcpy(ret_id, k->who.token, TOKEN_ID_LEN);
}

/* ---- lists ---- */

struct filter {
    struct api_call *k;
    bool everywhere, has_state, has_from, has_to;
    enum correction_state state;
    int64_t from, to;
};

static bool fits(void *arg, const struct correction *c)
{
    const struct filter *f = arg;
    struct person p;
    int64_t when = c->has_time ? c->time : c->was_time;
    if (c->damaged)
        return f->everywhere && !f->has_state;
    if ((f->has_state && c->state != f->state) || (f->has_from && when < f->from) || (f->has_to && when >= f->to))
        return false;
    if (f->everywhere)
        return true;
    int r = call_sure(f->k, people_get_by_key(f->k->cloud, f->k->db, f->k->tenant, c->key, &p));
    return (r == 0 || r == CLOUD_DAMAGED) && call_reaches_person(f->k, PERM_PUNCHES_READ, &p);
}

static const char *const filters[] = {"person", "state", "from", "to", NULL};

static bool read_filter(struct api_call *k, struct filter *f)
{
    const char *state = call_query(k, "state");
    f->has_state = state != NULL;
    if (state && !correction_state_parse(state, &f->state)) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "state is \"%.40s\"; use requested, approved or rejected", state);
        return false;
    }
    return call_time(k, "from", &f->has_from, &f->from) && call_time(k, "to", &f->has_to, &f->to);
}

/* Answers with the list and says whom it shows. */
static void show(struct api_call *k, const struct correction_list *l)
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
        whole_append(&items, api_correction_json(&l->items[i], known ? p.id : NULL));
    }
    if (r < 0) {
        json_decref(items);
        call_outcome(k, r, "list of corrections");
    } else if (call_saw(k, "correction", all, n)) {
        call_page_of(k, filters, items, l->more ? l->items[l->n - 1].id : NULL, ID_LEN);
    } else {
        json_decref(items);
    }
    free(all);
}

void api_corrections_list(struct api_call *k)
{
    struct call_span span;
    struct correction_list list = {0};
    struct filter f = {.k = k, .everywhere = call_everywhere(k, PERM_PUNCHES_READ)};
    struct person p;
    uint8_t person[ID_LEN];
    bool has_person = false;
    if (!call_span_of(k, filters, ID_LEN, &span) || !call_query_id(k, "person", person, ID_LEN, &has_person) ||
        !read_filter(k, &f) || (has_person && !api_person_of(k, PERM_PUNCHES_READ, person, true, &p)))
        return;
    int r =
        correction_list(k->cloud, k->db, k->tenant, has_person ? p.key : NULL, span.after, span.limit, fits, &f, &list);
    if (r != 0)
        call_outcome(k, r, "list of corrections");
    else
        show(k, &list);
    correction_list_done(&list);
}

/* ---- one ---- */

/* What {id} names, with its person, in reach of that permission; false: answered. */
static bool named(struct api_call *k, enum perm perm, struct correction *c, struct person *p)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = correction_get(k->cloud, k->db, k->tenant, id, c);
    if (r == 0) {
        r = people_get_by_key(k->cloud, k->db, k->tenant, c->key, p);
        r = r == CLOUD_DAMAGED ? 0 : r;
    }
    if (r == 0 && !call_reaches_person(k, perm, p))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "correction");
    return r == 0;
}

void api_corrections_get(struct api_call *k)
{
    struct correction c;
    struct person p;
    if (!named(k, PERM_PUNCHES_READ, &c, &p))
        return;
    struct subject subject = api_subject(&p);
    if (call_saw(k, "correction", &subject, 1))
        call_resource(k, api_correction_json(&c, p.id), NULL);
}

/* "<segid>-<index>", as a punch is named. */
static bool punch_named(const char *s, struct correction *c)
{
    char hex[2 * SEGID_LEN + 1] = "";
    if (strlen(s) <= 2 * SEGID_LEN + 1 || s[sizeof hex - 1] != '-')
        return false;
    memcpy(hex, s, sizeof hex - 1);
    return str_unhex(hex, c->segid, SEGID_LEN) == 0 && str_u64(s + sizeof hex, 0, SEG_RECORDS_MAX - 1, &c->index) == 0;
}

static bool site_named(struct api_call *k, const char *s, struct correction *c)
{
    struct site site;
    c->has_site = str_unhex(s, c->site, ID_LEN) == 0 && site_get(k->cloud, k->db, k->tenant, c->site, &site) == 0;
    return c->has_site;
}

enum { F_PERSON, F_KIND, F_PUNCH, F_TIME, F_DIRECTION, F_SITE, F_REASON, F_COUNT };
static const struct body_field request_fields[F_COUNT] = {
    [F_PERSON] = {.name = "person", .type = BODY_STRING, .required = true, .min = 1, .max = (int64_t)ID_LEN * 2},
    [F_KIND] = {.name = "kind", .type = BODY_STRING, .required = true, .min = 1, .max = 20},
    [F_PUNCH] = {.name = "punch", .type = BODY_STRING, .min = 1, .max = 64},
    [F_TIME] = {.name = "time", .type = BODY_TIME},
    [F_DIRECTION] = {.name = "direction", .type = BODY_STRING, .min = 1, .max = 20},
    [F_SITE] = {.name = "site", .type = BODY_STRING, .min = 1, .max = (int64_t)ID_LEN * 2},
    [F_REASON] = {.name = "reason", .type = BODY_STRING, .required = true, .min = 1, .max = REASON_MAX_LEN},
};

/* False: answered. */
static bool read_request(struct api_call *k, const struct body_value v[F_COUNT], struct correction *c)
{
    if (!correction_kind_parse(v[F_KIND].s, &c->kind))
        call_invalid(k, "kind", "is not add, change or void");
    else if ((c->kind == CORRECTION_ADD) == v[F_PUNCH].set)
        call_invalid(k, "punch", c->kind == CORRECTION_ADD ? "is not there yet" : "is required: the id of a punch");
    else if (v[F_PUNCH].set && !punch_named(v[F_PUNCH].s, c))
        call_invalid(k, "punch", "is not the id of a punch");
    else if (v[F_DIRECTION].set && dir_parse(v[F_DIRECTION].s, &c->dir) < 0)
        call_invalid(k, "direction", "is not in, out, break-out, break-in or unknown");
    else if (v[F_SITE].set && c->kind != CORRECTION_ADD)
        call_invalid(k, "site", "is that of the punch");
    else if (v[F_SITE].set && !site_named(k, v[F_SITE].s, c))
        call_invalid(k, "site", "is not the id of a site");
    else if (str_copy(c->reason, sizeof c->reason, v[F_REASON].s) != 0)
        call_invalid(k, "reason", "is longer than %d bytes of UTF-8", REASON_MAX_LEN);
    else if (c->kind == CORRECTION_ADD && !v[F_TIME].set)
        call_invalid(k, "time", "is required");
    else if (v[F_TIME].set && v[F_TIME].i > clock_real() + AHEAD_US)
        call_invalid(k, "time", "is still to come");
    else if (c->kind == CORRECTION_CHANGE && !v[F_TIME].set && !v[F_DIRECTION].set)
        call_invalid(k, "time", "or direction is required");
    else if (c->kind == CORRECTION_VOID && (v[F_TIME].set || v[F_DIRECTION].set))
        call_invalid(k, v[F_TIME].set ? "time" : "direction", "means nothing for a punch that does not count");
    else {
        c->has_time = v[F_TIME].set;
        c->time = v[F_TIME].i;
        c->has_dir = v[F_DIRECTION].set;
        api_author(k, c->by);
        return true;
    }
    return false;
}

/* A correction and its person into the trail, then the answer; o is stolen. */
static bool changed(struct api_call *k, const struct person *p, json_t *o)
{
    struct subject subject = api_subject(p);
    if (call_changed(k, &subject, NULL, o))
        return true;
    json_decref(o);
    return false;
}

static void request(struct api_call *k, const struct body_value v[F_COUNT])
{
    struct correction c = {0};
    struct person p;
    uint8_t person[ID_LEN];
    if (str_unhex(v[F_PERSON].s, person, ID_LEN) < 0) {
        call_invalid(k, "person", "is not the id of a person");
        return;
    }
    if (!api_person_of(k, PERM_CORRECTIONS_REQUEST, person, true, &p) || !read_request(k, v, &c))
        return;
    int r = correction_request(k->cloud, k->db, k->tenant, person, &c);
    if (r != 0) {
        call_outcome(k, r, r == CLOUD_ABSENT ? "punch of this person" : "correction");
        return;
    }
    json_t *o = api_correction_json(&c, person);
    call_location_of(k, "/v1/corrections/", c.id, ID_LEN);
    if (!changed(k, &p, o))
        return;
    call_tag(k, o, NULL);
    call_created(k, "/v1/corrections/", c.id, ID_LEN, o);
}

void api_corrections_request(struct api_call *k)
{
    struct body_value v[F_COUNT];
    json_t *body = NULL;
    if (!body_read(k->q, request_fields, F_COUNT, v, &body, k->r))
        return;
    request(k, v);
    json_decref(body);
}

static bool is_concerned(const struct who *w, const uint8_t author[ID_LEN], const struct correction *c,
                         const struct person *p)
{
    return memcmp(author, c->by, ID_LEN) == 0 || (w->is == WHO_ACCOUNT && memcmp(w->person, p->id, ID_LEN) == 0);
}

static void decide(struct api_call *k, const struct body_value v[2])
{
    struct correction c;
    struct person p;
    uint8_t author[ID_LEN];
    enum correction_state state = CORRECTION_REQUESTED;
    if (!correction_state_parse(v[0].s, &state) || state == CORRECTION_REQUESTED) {
        call_invalid(k, "decision", "is not approved or rejected");
        return;
    }
    if (!named(k, PERM_CORRECTIONS_APPROVE, &c, &p))
        return;
    api_author(k, author);
    if (is_concerned(&k->who, author, &c, &p) || (k->second && is_concerned(k->second, k->second->account, &c, &p))) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "nobody decides on what he asked for, or on his own time");
        return;
    }
    int r = correction_decide(k->cloud, k->db, k->tenant, c.id, state == CORRECTION_APPROVED, author, v[1].s, &c);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "this correction is decided already");
        return;
    }
    if (r != 0) {
        call_outcome(k, r, "correction");
        return;
    }
    json_t *o = api_correction_json(&c, p.id);
    call_location(k, "/v1/corrections/", k->param);
    if (changed(k, &p, o))
        call_resource(k, o, NULL);
}

void api_corrections_decide(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "decision", .type = BODY_STRING, .required = true, .min = 1, .max = 20},
        {.name = "reason", .type = BODY_STRING, .required = true, .min = 1, .max = REASON_MAX_LEN},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    decide(k, v);
    json_decref(body);
}
