/* /v1/webhooks: where a customer's own programs are told that something happened. A secret is shown when it is made and
 * never again. */
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/courier.h"
#include "cloud/delivery.h"

#define PREFIX "/v1/webhooks/"
#define TYPES_MAX 16

/* When it is tried again is no setting of it. */
static const char *const live[] = {"failures", "next_try", NULL};

static json_t *webhook_json(const struct webhook *w)
{
    if (w->damaged)
        return json_damaged(w->id);
    json_t *wants = json_array();
    for (size_t i = 0; webhook_type(i); i++)
        if (w->wants >> i & 1)
            whole_append(&wants, json_string(webhook_type(i)));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "id", json_hex(w->id, ID_LEN), "name",
                     json_text_or_null(w->name), "url", jsontext_of(w->url), "types", wants, "created",
                     json_time(w->created), "failures", (int)w->failures, "next_try",
                     json_time_or_null(w->failures ? w->due : 0, 0));
}

static json_t *with_secret(struct api_call *k, const struct webhook *w)
{
    json_t *o = webhook_json(w);
    call_once(k, &o, "secret", w->secret);
    return o;
}

static json_t *delivery_json(const struct delivery *d)
{
    return json_pack("{s:o, s:s, s:O, s:o, s:s, s:i, s:o, s:o, s:o}", "id", json_hex(d->id, ID_LEN), "type", d->type,
                     "data", d->data, "created", json_time(d->created), "state", delivery_state_name(d->state), "tries",
                     (int)d->tries, "tried", json_time_or_null(d->tried, 0), "status",
                     d->status ? json_integer(d->status) : json_null(), "error", json_text_or_null(d->error));
}

void api_webhooks_list(struct api_call *k)
{
    struct webhook_list list = {0};
    int r = webhook_list(k->cloud, k->db, k->tenant, &list);
    if (r != 0) {
        call_outcome(k, r, "list of webhooks");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, webhook_json(&list.items[i]));
    webhook_list_done(&list);
    call_slice(k, items);
}

/* ---- what a body says ---- */

static void no_such_type(struct api_call *k, size_t i, const char *given)
{
    struct buf CLEANUP(buf_done) all;
    buf_init(&all, 1024);
    for (size_t j = 0; webhook_type(j); j++)
        buf_addf(&all, "%s%s", j ? ", " : "", webhook_type(j));
    call_invalid(k, "types", "%zu: \"%.40s\" is none of %s", i, given, buf_str(&all));
}

static bool read_types(struct api_call *k, const json_t *list, uint64_t *ret_wants)
{
    const json_t *item;
    size_t i;
    uint64_t wants = 0, bit = 0;
    json_array_foreach(list, i, item)
    {
        if (!webhook_type_find(json_string_value(item), &bit)) {
            no_such_type(k, i, json_string_value(item));
            return false;
        }
        wants |= bit;
    }
    *ret_wants = wants;
    return true;
}

/* POST or PATCH; false: answered. ret_set borrows from *ret_body, which is the caller's. */
static bool read_webhook(struct api_call *k, bool is_new, struct webhook_set *ret_set, json_t **ret_body)
{
    enum { F_URL, F_TYPES, F_NAME, F_COUNT };
    const struct body_field fields[F_COUNT] = {
        [F_URL] = {.name = "url", .type = BODY_STRING, .required = is_new, .min = 1, .max = WEBHOOK_URL_MAX},
        [F_TYPES] = {.name = "types", .type = BODY_STRINGS, .required = is_new, .min = 1, .max = TYPES_MAX},
        [F_NAME] = {.name = "name", .type = BODY_STRING, .nullable = true, .min = 1, .max = WEBHOOK_NAME_MAX},
    };
    struct body_value v[F_COUNT] = {{0}};
    char why[COURIER_ERROR];
    struct webhook_set set = {0};
    json_t *body = NULL;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    if (v[F_NAME].s && strlen(v[F_NAME].s) > WEBHOOK_NAME_MAX) {
        call_invalid(k, "name", "is longer than %d bytes of UTF-8", WEBHOOK_NAME_MAX);
    } else if (v[F_URL].s && courier_refuses(cloud_settings(k->cloud), v[F_URL].s, why)) {
        call_invalid(k, "url", "cannot be used: %s", why);
    } else if (!v[F_TYPES].set || read_types(k, v[F_TYPES].list, &set.wants)) {
        set.url = v[F_URL].s;
        set.name = v[F_NAME].null ? "" : v[F_NAME].s;
        *ret_set = set;
        *ret_body = body;
        return true;
    }
    json_decref(body);
    return false;
}

void api_webhooks_create(struct api_call *k)
{
    struct webhook_set set;
    struct webhook w = {0};
    json_t *body = NULL;
    if (!read_webhook(k, true, &set, &body))
        return;
    int r = webhook_add(k->cloud, k->db, k->tenant, &set, &w);
    json_decref(body);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "there are %d webhooks already, and no more are possible", WEBHOOKS_MAX);
    } else if (r != 0) {
        call_outcome(k, r, "webhook");
    } else {
        json_t *shown = webhook_json(&w); /* the tag is of what is shown from now on */
        call_tag(k, shown, live);
        json_decref(shown);
        call_created(k, PREFIX, w.id, ID_LEN, with_secret(k, &w));
    }
    crypto_wipe(&w, sizeof w);
}

/* What {id} names, as its preconditions want it; false: answered. */
static bool named(struct api_call *k, uint8_t ret_id[ID_LEN], struct webhook *ret_webhook)
{
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = webhook_get(k->cloud, k->db, k->tenant, ret_id, ret_webhook);
    if (r != 0) {
        call_outcome(k, r, "webhook");
        return false;
    }
    json_t *now = webhook_json(ret_webhook);
    bool fits = call_match(k, now, live);
    json_decref(now);
    return fits;
}

void api_webhooks_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct webhook w = {0};
    if (named(k, id, &w))
        call_resource(k, webhook_json(&w), live);
    crypto_wipe(&w, sizeof w);
}

void api_webhooks_patch(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct webhook_set set;
    struct webhook w = {0};
    json_t *body = NULL;
    if (!read_webhook(k, false, &set, &body))
        return;
    if (named(k, id, &w)) {
        int r = webhook_update(k->cloud, k->db, k->tenant, id, &set, &w);
        if (r != 0)
            call_outcome(k, r, "webhook");
        else
            call_resource(k, webhook_json(&w), live);
    }
    crypto_wipe(&w, sizeof w);
    json_decref(body);
}

/* Damaged ones go, too. */
void api_webhooks_delete(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct webhook w = {0};
    if (!call_id(k, id, ID_LEN))
        return;
    int r = webhook_get(k->cloud, k->db, k->tenant, id, &w);
    json_t *now = r == 0 ? webhook_json(&w) : NULL;
    bool fits = r != 0 || call_match(k, now, live);
    json_decref(now);
    crypto_wipe(&w, sizeof w);
    if (!fits)
        return;
    if (r == 0 || r == CLOUD_DAMAGED)
        r = webhook_remove(k->cloud, k->db, k->tenant, id);
    if (r != 0)
        call_outcome(k, r, "webhook");
    else
        k->r->status = 204;
}

void api_webhooks_secret(struct api_call *k)
{
    uint8_t id[ID_LEN];
    char hex[2 * ID_LEN + 1];
    struct webhook w = {0};
    if (!named(k, id, &w))
        return;
    int r = webhook_rotate(k->cloud, k->db, k->tenant, id, &w);
    if (r != 0) {
        call_outcome(k, r, "webhook");
    } else {
        call_location(k, PREFIX, str_hex(id, ID_LEN, hex));
        json_t *o = api_readable(k, k->location) ? webhook_json(&w) : json_pack("{s:o}", "id", json_hex(id, ID_LEN));
        call_once(k, &o, "secret", w.secret);
        problem_json(k->r, 200, o);
    }
    crypto_wipe(&w, sizeof w);
}

/* ---- deliveries ---- */

/* 202: it is on its way. d is done with. */
static void accepted(struct api_call *k, const uint8_t webhook[ID_LEN], struct delivery *d)
{
    char path[sizeof k->location], hook[2 * ID_LEN + 1], id[2 * ID_LEN + 1];
    int n = snprintf(path, sizeof path, PREFIX "%s/deliveries/%s", str_hex(webhook, ID_LEN, hook),
                     str_hex(d->id, ID_LEN, id));
    ASSERT(n > 0 && (size_t)n < sizeof path);
    call_location(k, path, "");
    http_header(k->r, "Location", "%s", k->location);
    problem_json(k->r, 202, delivery_json(d));
    delivery_done(d);
}

void api_webhooks_ping(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct webhook w = {0};
    struct scope s;
    struct delivery d = {0};
    if (!named(k, id, &w))
        return;
    crypto_wipe(&w, sizeof w);
    json_t *data = json_object();
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = data ? delivery_add(&s, id, "ping", data, &d) : -ENOMEM;
    json_decref(data);
    if (r != 0)
        call_outcome(k, r, "webhook");
    else
        accepted(k, id, &d);
}

void api_deliveries_list(struct api_call *k)
{
    struct call_span span;
    uint8_t id[ID_LEN];
    struct delivery_list list = {0};
    if (!call_id(k, id, ID_LEN) || !call_span(k, ID_LEN, &span))
        return;
    int r = delivery_list(k->cloud, k->db, k->tenant, id, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "webhook");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, delivery_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    delivery_list_done(&list);
}

void api_deliveries_get(struct api_call *k)
{
    uint8_t hook[ID_LEN], id[ID_LEN];
    struct scope s;
    struct delivery d = {0};
    if (!call_id(k, hook, ID_LEN) || !call_id2(k, id, ID_LEN))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = delivery_find(&s, hook, id, &d);
    if (r != 0)
        call_outcome(k, r, "delivery");
    else
        call_resource(k, delivery_json(&d), NULL);
    delivery_done(&d);
}

void api_deliveries_again(struct api_call *k)
{
    uint8_t hook[ID_LEN], id[ID_LEN];
    struct scope s;
    struct delivery d = {0};
    if (!call_id(k, hook, ID_LEN) || !call_id2(k, id, ID_LEN))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = delivery_again(&s, hook, id, &d);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "the delivery waits to be sent already");
    else if (r != 0)
        call_outcome(k, r, "delivery");
    else
        accepted(k, hook, &d);
}
