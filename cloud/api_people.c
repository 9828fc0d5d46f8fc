/* /v1/people: the data subjects. */
#include <string.h>

#include "base/str.h"
#include "base/whole.h"
#include "cloud/api_impl.h"
#include "cloud/people.h"

json_t *api_person_json(const struct person *p)
{
    if (p->damaged)
        return json_damaged(p->id);
    return json_pack("{s:o, s:o, s:o, s:o}", "id", json_hex(p->id, ID_LEN), "name", problem_text(p->name), "reference",
                     json_text_or_null(p->reference), "created", json_time(p->created));
}

void api_people_list(struct api_call *k)
{
    struct call_span span;
    struct person_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = people_list(k->cloud, k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of people");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, api_person_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    person_list_done(&list);
}

/* body_read() counts characters, the store holds bytes. v: name, reference. */
static bool texts_fit(struct api_call *k, const struct body_value v[2])
{
    if (v[0].set && strlen(v[0].s) > NAME_MAX_LEN)
        call_invalid(k, "name", "is longer than %d bytes of UTF-8", NAME_MAX_LEN);
    else if (v[1].s && strlen(v[1].s) > REFERENCE_MAX_LEN)
        call_invalid(k, "reference", "is longer than %d bytes of UTF-8", REFERENCE_MAX_LEN);
    else
        return true;
    return false;
}

void api_people_create(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "name", .type = BODY_STRING, .required = true, .min = 1, .max = NAME_MAX_LEN},
        {.name = "reference", .type = BODY_STRING, .nullable = true, .min = 1, .max = REFERENCE_MAX_LEN},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct person person;
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (texts_fit(k, v)) {
        int r = people_create(k->cloud, k->db, k->tenant, v[0].s, v[1].s, &person);
        json_t *o = r == 0 ? api_person_json(&person) : NULL;
        call_tag(k, o, NULL);
        if (r == 0)
            call_created(k, "/v1/people/", person.id, ID_LEN, o);
        else
            call_outcome(k, r, "person");
    }
    json_decref(body);
}

void api_people_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct person person;
    if (!call_id(k, id, ID_LEN))
        return;
    int r = people_get(k->cloud, k->db, k->tenant, id, &person);
    if (r != 0)
        call_outcome(k, r, "person");
    else
        call_resource(k, api_person_json(&person), NULL);
}

/* What is not given stays; a reference of null goes. */
static void patch(struct api_call *k, const uint8_t id[ID_LEN], const struct body_value v[2])
{
    struct person person;
    int r = people_get(k->cloud, k->db, k->tenant, id, &person);
    if (r == 0) {
        json_t *now = api_person_json(&person);
        bool fits = call_match(k, now, NULL);
        json_decref(now);
        if (!fits)
            return;
        r = people_update(k->cloud, k->db, k->tenant, id, v[0].s, v[1].set && !v[1].s ? "" : v[1].s, &person);
    }
    if (r != 0)
        call_outcome(k, r, "person");
    else
        call_resource(k, api_person_json(&person), NULL);
}

void api_people_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "name", .type = BODY_STRING, .min = 1, .max = NAME_MAX_LEN},
        {.name = "reference", .type = BODY_STRING, .nullable = true, .min = 1, .max = REFERENCE_MAX_LEN},
    };
    struct body_value v[ARRAY_LEN(fields)];
    uint8_t id[ID_LEN];
    json_t *body = NULL;
    if (!call_id(k, id, ID_LEN) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (texts_fit(k, v))
        patch(k, id, v);
    json_decref(body);
}
