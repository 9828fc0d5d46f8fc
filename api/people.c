/* /v1/people: the data subjects. Who is outside of the caller's reach does not exist. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/archive.h"
#include "cloud/people.h"
#include "cloud/scope.h"
#include "cloud/unit.h"

/* Classes of fields, as the audit trail names them. */
#define SEEN "person"

json_t *api_person_json(const struct person *p)
{
    if (p->damaged)
        return json_damaged(p->id);
    json_t *o = json_pack("{s:o, s:o, s:o, s:o}", "id", json_hex(p->id, ID_LEN), "personnel_number",
                          json_text_or_null(p->personnel_number), "name", jsontext_of(p->name), "given_name",
                          json_text_or_null(p->given_name));
    whole_set(&o, "family_name", json_text_or_null(p->family_name));
    whole_set(&o, "email", json_text_or_null(p->email));
    whole_set(&o, "phone", json_text_or_null(p->phone));
    whole_set(&o, "unit", p->has_unit ? json_hex(p->unit, ID_LEN) : json_null());
    whole_set(&o, "valid_from", json_time_or_null(p->from, TIME_MIN));
    whole_set(&o, "valid_until", json_time_or_null(p->until, TIME_MAX));
    whole_set(&o, "archived", json_time_or_null(p->archived, 0));
    whole_set(&o, "created", json_time(p->created));
    return o;
}

struct subject api_subject(const struct person *p)
{
    struct subject s;
    memcpy(s.id, p->id, ID_LEN);
    memcpy(s.key, p->key, ID_LEN);
    return s;
}

bool api_person_of(struct api_call *k, enum perm perm, const uint8_t id[ID_LEN], bool damaged_too,
                   struct person *ret_person)
{
    int r = people_get(k->cloud, k->db, k->tenant, id, ret_person);
    if ((r == 0 || r == CLOUD_DAMAGED) && !call_reaches_person(k, perm, ret_person))
        r = CLOUD_ABSENT;
    if (r == 0 || (r == CLOUD_DAMAGED && damaged_too))
        return true;
    call_outcome(k, r, "person");
    return false;
}

/* ---- lists ---- */

struct filter {
    struct api_call *k;
    bool everywhere, archived, has_unit;
    uint8_t unit[ID_LEN];
};

static bool fits(void *arg, const struct person *p)
{
    const struct filter *f = arg;
    if (p->damaged)
        return f->everywhere && !f->has_unit && !f->archived;
    if ((p->archived != 0) != f->archived)
        return false;
    if (f->has_unit && (!p->has_unit || memcmp(p->unit, f->unit, ID_LEN) != 0))
        return false;
    return f->everywhere || call_reaches_person(f->k, PERM_PEOPLE_READ, p);
}

static bool saw_list(struct api_call *k, const struct person_list *l)
{
    struct subject *all = calloc(l->n + 1, sizeof *all);
    for (size_t i = 0; all && i < l->n; i++)
        all[i] = api_subject(&l->items[i]);
    bool ok = all != NULL && call_saw(k, SEEN, all, l->n);
    if (!all)
        call_outcome(k, -ENOMEM, "list of people");
    free(all);
    return ok;
}

static int find_list(struct api_call *k, const struct call_span *span, struct filter *f, struct person_list *ret)
{
    const char *number = call_query(k, "personnel_number");
    if (!number)
        return people_list(k->cloud, k->db, k->tenant, span->after, span->limit, fits, f, ret);
    struct person p;
    int r = people_by_number(k->cloud, k->db, k->tenant, number, &p);
    bool one = r == 0 && !span->after && fits(f, &p);
    if (r != 0 && r != CLOUD_ABSENT && r != CLOUD_DAMAGED)
        return r;
    ret->items = calloc(1, sizeof p);
    if (!ret->items)
        return -ENOMEM;
    ret->items[0] = one ? p : (struct person){0};
    ret->n = one;
    return 0;
}

void api_people_list(struct api_call *k)
{
    static const char *const filters[] = {"personnel_number", "unit", "archived", NULL};
    struct call_span span;
    struct person_list list = {0};
    struct filter f = {.k = k, .everywhere = call_everywhere(k, PERM_PEOPLE_READ)};
    if (!call_span_of(k, filters, ID_LEN, &span) || !call_query_id(k, "unit", f.unit, ID_LEN, &f.has_unit) ||
        !call_query_bool(k, "archived", &f.archived))
        return;
    int r = find_list(k, &span, &f, &list);
    if (r != 0) {
        call_outcome(k, r, "list of people");
        return;
    }
    if (saw_list(k, &list)) {
        json_t *items = json_array();
        for (size_t i = 0; i < list.n; i++)
            whole_append(&items, api_person_json(&list.items[i]));
        call_page_of(k, filters, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    }
    person_list_done(&list);
}

/* ---- one ---- */

enum { F_NAME, F_NUMBER, F_GIVEN, F_FAMILY, F_EMAIL, F_PHONE, F_UNIT, F_FROM, F_UNTIL, F_ARCHIVED, F_COUNT };

static const struct {
    int field;
    size_t max;
} texts[] = {{F_NAME, NAME_MAX_LEN},       {F_NUMBER, PERSONNEL_NUMBER_MAX_LEN},
             {F_GIVEN, PART_NAME_MAX_LEN}, {F_FAMILY, PART_NAME_MAX_LEN},
             {F_EMAIL, EMAIL_MAX_LEN},     {F_PHONE, PHONE_MAX_LEN}};

/* body_read() counts characters, the store holds bytes. */
static bool texts_fit(struct api_call *k, const struct body_field *fields, const struct body_value *v)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (v[texts[i].field].s && strlen(v[texts[i].field].s) > texts[i].max) {
            call_invalid(k, fields[texts[i].field].name, "is longer than %zu bytes of UTF-8", texts[i].max);
            return false;
        }
    }
    return true;
}

/* What was read of a body; what the pointers of `set` point at. */
struct wanted {
    struct person_set set;
    uint8_t unit[ID_LEN];
    bool has_archived, archived;
    json_t *body;
};

/* Null is none. */
static const char *text_of(const struct body_value *v)
{
    return v->set && !v->s ? "" : v->s;
}

/* One may be put only where one's right to change people reaches. */
static bool unit_known(struct api_call *k, const struct body_value *v, struct wanted *w)
{
    struct unit u;
    if (!v->set)
        return true;
    w->set.unit = w->unit;
    if (!v->s)
        return true;
    int r = str_unhex(v->s, w->unit, ID_LEN) == 0 ? unit_get(k->cloud, k->db, k->tenant, w->unit, &u) : CLOUD_ABSENT;
    if (r == CLOUD_ABSENT || (r == 0 && u.archived != 0)) {
        call_invalid(k, "unit", r == 0 ? "is archived" : "is not the id of a unit");
        return false;
    }
    if (r != 0)
        call_outcome(k, r, "unit");
    return r == 0;
}

static bool settle(struct api_call *k, const struct body_field *fields, const struct body_value *v, struct wanted *w)
{
    if (!texts_fit(k, fields, v) || !unit_known(k, &v[F_UNIT], w))
        return false;
    w->set.name = v[F_NAME].s;
    w->set.personnel_number = text_of(&v[F_NUMBER]);
    w->set.given_name = text_of(&v[F_GIVEN]);
    w->set.family_name = text_of(&v[F_FAMILY]);
    w->set.email = text_of(&v[F_EMAIL]);
    w->set.phone = text_of(&v[F_PHONE]);
    w->set.has_from = v[F_FROM].set;
    w->set.from = v[F_FROM].null ? TIME_MIN : v[F_FROM].i;
    w->set.has_until = v[F_UNTIL].set;
    w->set.until = v[F_UNTIL].null ? TIME_MAX : v[F_UNTIL].i;
    w->has_archived = v[F_ARCHIVED].set;
    w->archived = v[F_ARCHIVED].i != 0;
    return true;
}

/* False: answered. */
static bool read_person(struct api_call *k, bool is_new, struct wanted *w)
{
    const struct body_field fields[F_COUNT] = {
        [F_NAME] = {.name = "name", .type = BODY_STRING, .required = is_new, .min = 1, .max = NAME_MAX_LEN},
        [F_NUMBER] = {.name = "personnel_number",
                      .type = BODY_STRING,
                      .nullable = true,
                      .min = 1,
                      .max = PERSONNEL_NUMBER_MAX_LEN},
        [F_GIVEN] = {.name = "given_name", .type = BODY_STRING, .nullable = true, .min = 1, .max = PART_NAME_MAX_LEN},
        [F_FAMILY] = {.name = "family_name", .type = BODY_STRING, .nullable = true, .min = 1, .max = PART_NAME_MAX_LEN},
        [F_EMAIL] = {.name = "email", .type = BODY_STRING, .nullable = true, .min = 3, .max = EMAIL_MAX_LEN},
        [F_PHONE] = {.name = "phone", .type = BODY_STRING, .nullable = true, .min = 1, .max = PHONE_MAX_LEN},
        [F_UNIT] = {.name = "unit", .type = BODY_STRING, .nullable = true, .min = 1, .max = (int64_t)ID_LEN * 2},
        [F_FROM] = {.name = "valid_from", .type = BODY_TIME, .nullable = true},
        [F_UNTIL] = {.name = "valid_until", .type = BODY_TIME, .nullable = true},
        [F_ARCHIVED] = {.name = "archived", .type = BODY_BOOL},
    };
    struct body_value v[F_COUNT] = {{0}};
    size_t n = is_new ? F_ARCHIVED : F_COUNT;
    *w = (struct wanted){0};
    if (!body_read(k->q, fields, n, v, &w->body, k->r))
        return false;
    if (settle(k, fields, v, w))
        return true;
    json_decref(w->body);
    return false;
}

static void failed(struct api_call *k, int r)
{
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "another person has this personnel number");
    else if (r == ARCHIVE_OWNER)
        problem_reply(k->r, PROBLEM_LAST_OWNER, "this is the last Owner; make another one first");
    else if (r == CLOUD_INVALID)
        problem_reply(k->r, PROBLEM_INVALID, "an email has one @, and valid_until is after valid_from");
    else
        call_outcome(k, r, "person");
}

static bool changed(struct api_call *k, const struct person *p, json_t *old, json_t *now)
{
    struct subject subject = api_subject(p);
    bool ok = call_changed(k, &subject, old, now);
    json_decref(old);
    return ok;
}

void api_people_create(struct api_call *k)
{
    struct wanted w;
    struct person p;
    if (!read_person(k, true, &w))
        return;
    int r = people_create(k->cloud, k->db, k->tenant, &w.set, &p);
    json_decref(w.body);
    /* Who may change the people of one unit makes them there. */
    if (r == 0 && !call_reaches_person(k, PERM_PEOPLE_CHANGE, &p)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      "your permission people.change does not reach there; give a unit of yours");
        return;
    }
    if (r != 0) {
        failed(k, r);
        return;
    }
    json_t *o = api_person_json(&p);
    if (!changed(k, &p, NULL, o)) {
        json_decref(o);
        return;
    }
    call_tag(k, o, NULL);
    call_created(k, "/v1/people/", p.id, ID_LEN, o);
}

void api_people_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct person p;
    if (!call_id(k, id, ID_LEN) || !api_person_of(k, PERM_PEOPLE_READ, id, false, &p))
        return;
    struct subject subject = api_subject(&p);
    if (call_saw(k, SEEN, &subject, 1))
        call_resource(k, api_person_json(&p), NULL);
}

/* With the person the account ends: nobody puts out who may more than he does. */
static bool may_archive(struct api_call *k, const struct person *p)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    bool covers = true;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = account_by_key(&s, p->key, &a);
    if (r == 0)
        r = api_covers(k, a.id, &covers);
    if (r != 0 && r != CLOUD_ABSENT && r != CLOUD_DAMAGED)
        call_outcome(k, r, "account");
    else if (!covers)
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      "this person's account may more than you; one who may as much can do this");
    else
        return true;
    return false;
}

static bool reaches_its_unit(struct api_call *k, const struct person *p)
{
    return !p->has_unit || call_reaches_unit(k, PERM_PEOPLE_CHANGE, p->unit);
}

/* A unit's people are seen by who leads it: so somebody comes to one, and leaves one, by who may change the people of
 * both, and of nobody by name only. */
static bool may_move(struct api_call *k, const struct person *before, const struct person *after)
{
    bool stays =
        before->has_unit == after->has_unit && (!before->has_unit || !memcmp(before->unit, after->unit, ID_LEN));
    return stays || (reaches_its_unit(k, before) && reaches_its_unit(k, after));
}

/* What is not given stays; what is null goes. `old` is stolen. */
static void patch(struct api_call *k, struct person *p, const struct wanted *w, json_t *old)
{
    const struct person before = *p;
    const bool ends = w->set.has_until && w->set.until != TIME_MAX && w->set.until != before.until;
    struct scope s;
    if ((ends || (w->has_archived && w->archived && p->archived == 0)) && !may_archive(k, p)) {
        json_decref(old);
        return;
    }
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0 && ends)
        r = archive_may_end(&s, p);
    if (r == 0)
        r = people_update(k->cloud, k->db, k->tenant, p->id, &w->set, p);
    if (r == 0)
        r = archive_ends(&s, p, before.until);
    if (r == 0 && w->has_archived)
        r = archive_person(k->cloud, k->db, k->tenant, p->id, w->archived, p);
    if (r == 0 && !(call_reaches_person(k, PERM_PEOPLE_CHANGE, p) && may_move(k, &before, p))) {
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      "your permission people.change does not reach the unit that this person comes to, or leaves");
        json_decref(old);
        return;
    }
    if (r != 0) {
        failed(k, r);
        json_decref(old);
        return;
    }
    json_t *now = api_person_json(p);
    if (changed(k, p, old, now))
        call_resource(k, now, NULL);
    else
        json_decref(now);
}

void api_people_patch(struct api_call *k)
{
    struct wanted w;
    uint8_t id[ID_LEN];
    struct person p;
    if (!call_id(k, id, ID_LEN) || !read_person(k, false, &w))
        return;
    if (api_person_of(k, PERM_PEOPLE_CHANGE, id, false, &p)) {
        json_t *old = api_person_json(&p);
        if (call_match(k, old, NULL))
            patch(k, &p, &w, old);
        else
            json_decref(old);
    }
    json_decref(w.body);
}
