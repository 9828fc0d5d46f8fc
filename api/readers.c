/* /v1/readers: what stands at the doors, as far as it has punched. */
#include <stdio.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
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

static const char *const directions[] = {[READER_BOTH] = "both", [READER_IN] = "in", [READER_OUT] = "out"};
static const char *const modes[] = {[READER_ATTENDANCE] = "attendance", [READER_ACCESS] = "access"};

json_t *api_reader_json(const struct reader *x)
{
    if (x->damaged)
        return json_damaged(x->id);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "id", json_hex(x->id, ID_LEN), "gateway",
                     json_hex(x->gw, GW_LEN), "name", jsontext_of(x->name), "label", json_text_or_null(x->label),
                     "site", jsontext_of(x->site), "site_id", json_hex(x->site_id, ID_LEN), "direction",
                     directions[x->direction], "mode", modes[x->mode], "first_day", day_json(x->first_day), "last_day",
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
        if (call_reaches_site(k, k->route->perm, list.items[i].site_id))
            whole_append(&items, api_reader_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    reader_list_done(&list);
}

/* As it is now, within reach; false: answered. */
static bool named(struct api_call *k, bool damaged_too, const uint8_t id[ID_LEN], struct reader *ret)
{
    int r = reader_get(k->cloud, k->db, k->tenant, id, ret);
    if ((r == 0 || r == CLOUD_DAMAGED) && !call_reaches_site(k, k->route->perm, ret->site_id))
        r = CLOUD_ABSENT;
    if (r == 0 || (damaged_too && r == CLOUD_DAMAGED))
        return true;
    call_outcome(k, r, "reader");
    return false;
}

void api_readers_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct reader x;
    if (call_id(k, id, ID_LEN) && named(k, false, id, &x))
        call_resource(k, api_reader_json(&x), live);
}

enum { F_NAME, F_LABEL, F_DIRECTION, F_MODE, F_COUNT };

/* One of `n` words; false: answered. */
static bool read_word(struct api_call *k, const char *member, const struct body_value *v, const char *const *words,
                      size_t n, unsigned *ret)
{
    if (!v->set)
        return true;
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(words[i], v->s) == 0) {
            *ret = i;
            return true;
        }
    }
    call_invalid(k, member, "is \"%.40s\", which is none of its values", v->s);
    return false;
}

static void patch(struct api_call *k, const uint8_t id[ID_LEN], const struct body_value v[F_COUNT])
{
    struct reader x;
    unsigned d = 0, m = 0;
    if (!read_word(k, "direction", &v[F_DIRECTION], directions, ARRAY_LEN(directions), &d) ||
        !read_word(k, "mode", &v[F_MODE], modes, ARRAY_LEN(modes), &m) || !named(k, true, id, &x))
        return;
    json_t *now = api_reader_json(&x);
    bool fits = call_match(k, now, live);
    json_decref(now);
    if (!fits)
        return;
    const enum reader_direction direction = (enum reader_direction)d;
    const enum reader_mode mode = (enum reader_mode)m;
    const struct reader_set set = {
        .name = v[F_NAME].s,
        .label = v[F_LABEL].set && !v[F_LABEL].s ? "" : v[F_LABEL].s,
        .direction = v[F_DIRECTION].set ? &direction : NULL,
        .mode = v[F_MODE].set ? &mode : NULL,
    };
    int r = reader_update(k->cloud, k->db, k->tenant, id, &set);
    if (r == CLOUD_INVALID && set.label && strlen(set.label) > LABEL_MAX_LEN)
        call_invalid(k, "label", "is longer than %d bytes of UTF-8", LABEL_MAX_LEN);
    else if (r == CLOUD_INVALID)
        call_invalid(k, "name", "is not what its gateway calls this reader; that is set in the gateway's own file");
    else if (r != 0)
        call_outcome(k, r, "reader");
    else if (named(k, false, id, &x))
        call_resource(k, api_reader_json(&x), live);
}

void api_readers_patch(struct api_call *k)
{
    static const struct body_field fields[F_COUNT] = {
        [F_NAME] = {.name = "name", .type = BODY_STRING, .min = 1, .max = READER_NAME_MAX},
        [F_LABEL] = {.name = "label", .type = BODY_STRING, .nullable = true, .min = 1, .max = LABEL_MAX_LEN},
        [F_DIRECTION] = {.name = "direction", .type = BODY_STRING, .min = 1, .max = 20},
        [F_MODE] = {.name = "mode", .type = BODY_STRING, .min = 1, .max = 20},
    };
    struct body_value v[F_COUNT];
    uint8_t id[ID_LEN];
    json_t *body = NULL;
    if (!call_id(k, id, ID_LEN) || !body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return;
    patch(k, id, v);
    json_decref(body);
}
