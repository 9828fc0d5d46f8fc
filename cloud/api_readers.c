/* /v1/readers: what stands at the doors, as far as it has punched. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/whole.h"
#include "cloud/api_impl.h"
#include "cloud/reader.h"

#define DAY_US INT64_C(86400000000)

static const char *const live[] = {"first_day", "last_day", NULL};

static json_t *day_json(int64_t day)
{
    char text[32];
    str_time(day * DAY_US, text);
    text[10] = '\0'; /* 2026-11-23 */
    return json_string(text);
}

static json_t *reader_json(const struct reader *x)
{
    if (x->damaged)
        return json_damaged(x->id);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", json_hex(x->id, ID_LEN), "gateway",
                     json_hex(x->gw, GW_LEN), "name", problem_text(x->name), "label", json_text_or_null(x->label),
                     "site", problem_text(x->site), "first_day", day_json(x->first_day), "last_day",
                     day_json(x->last_day));
}

void api_readers_list(struct api_call *k)
{
    struct call_span span;
    struct reader_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = reader_list(k->cloud, k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of readers");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, reader_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    reader_list_done(&list);
}

/* As it is now; false: answered. */
static bool named(struct api_call *k, const uint8_t id[ID_LEN], struct reader *ret)
{
    int r = reader_get(k->cloud, k->db, k->tenant, id, ret);
    if (r != 0)
        call_outcome(k, r, "reader");
    return r == 0;
}

void api_readers_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct reader x;
    if (call_id(k, id, ID_LEN) && named(k, id, &x))
        call_resource(k, reader_json(&x), live);
}

static void patch(struct api_call *k, const uint8_t id[ID_LEN], const struct body_value *label)
{
    struct reader x;
    if (!named(k, id, &x))
        return;
    json_t *now = reader_json(&x);
    bool fits = call_match(k, now, live);
    json_decref(now);
    if (!fits)
        return;
    int r = label->set ? reader_set_label(k->cloud, k->db, k->tenant, id, label->s ? label->s : "") : 0;
    if (r == CLOUD_INVALID)
        call_invalid(k, "label", "is longer than %d bytes of UTF-8", LABEL_MAX_LEN);
    else if (r != 0)
        call_outcome(k, r, "reader");
    else if (named(k, id, &x))
        call_resource(k, reader_json(&x), live);
}

void api_readers_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "label", .type = BODY_STRING, .nullable = true, .min = 1, .max = LABEL_MAX_LEN}};
    struct body_value v[ARRAY_LEN(fields)];
    uint8_t id[ID_LEN];
    json_t *body = NULL;
    if (!call_id(k, id, ID_LEN) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    patch(k, id, &v[0]);
    json_decref(body);
}
