/* What every handler needs: parameters out of the request, cursors, and one way to answer the store's outcomes. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/query.h"

#define LIMIT_DEFAULT 100

const char *call_query(const struct api_call *k, const char *name)
{
    for (size_t i = 0; i < k->q->n_query; i++)
        if (strcmp(k->q->query[i].name, name) == 0)
            return k->q->query[i].value;
    return NULL;
}

bool call_limit(struct api_call *k, size_t *ret_limit)
{
    const char *s = call_query(k, "limit");
    uint64_t v = LIMIT_DEFAULT;
    if (s && str_u64(s, 1, QUERY_LIMIT_MAX, &v) < 0) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "limit is \"%.40s\"; use a whole number from 1 to %d", s,
                      QUERY_LIMIT_MAX);
        return false;
    }
    *ret_limit = (size_t)v;
    return true;
}

bool call_time(struct api_call *k, const char *name, bool *ret_has, int64_t *ret_us)
{
    const char *s = call_query(k, name);
    int64_t t = 0;
    if (s && str_untime(s, &t) < 0) {
        /* A + in a query is a blank: the commonest way to get a right time wrong. */
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "%s is \"%.60s\"; use RFC 3339, such as 2026-11-23T07:15:00Z%s",
                      name, s, strchr(s, ' ') ? ", and write the + of an offset as %2B" : "");
        return false;
    }
    *ret_has = s != NULL;
    if (s)
        *ret_us = t;
    return true;
}

static bool read_id(struct api_call *k, const char *text, void *ret, size_t n)
{
    if (str_unhex(text, ret, n) == 0)
        return true;
    problem_reply(k->r, PROBLEM_NOT_FOUND, "there is no such id");
    return false;
}

bool call_id(struct api_call *k, void *ret, size_t n)
{
    return read_id(k, k->param, ret, n);
}

bool call_id2(struct api_call *k, void *ret, size_t n)
{
    return read_id(k, k->param2, ret, n);
}

bool call_query_id(struct api_call *k, const char *name, void *ret, size_t n, bool *ret_has)
{
    const char *s = call_query(k, name);
    if (s && str_unhex(s, ret, n) < 0) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "%s is \"%.80s\"; an id has %zu hex digits", name, s, 2 * n);
        return false;
    }
    *ret_has = s != NULL;
    return true;
}

bool call_query_bool(struct api_call *k, const char *name, bool *ret)
{
    const char *s = call_query(k, name);
    if (s && strcmp(s, "true") != 0 && strcmp(s, "false") != 0) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "%s is \"%.40s\"; use true or false", name, s);
        return false;
    }
    *ret = s && s[0] == 't';
    return true;
}

static int bind(const struct api_call *k, const char *const *filters, struct cursor_binding *ret)
{
    const char *parts[3 + HTTP_QUERY_MAX] = {k->route->pattern, k->tenant, k->param};
    size_t n = 3;
    for (; filters && *filters; filters++)
        parts[n++] = call_query(k, *filters);
    return cursor_bind(parts, n, ret);
}

bool call_cursor(struct api_call *k, const char *const *filters, char ret_pos[CURSOR_POS_MAX + 1])
{
    const char *text = call_query(k, "cursor");
    struct cursor_binding b;
    uint8_t pos[CURSOR_POS_MAX];
    size_t n = 0;
    if (!text) {
        ret_pos[0] = '\0';
        return true;
    }
    int r = bind(k, filters, &b);
    if (r == 0)
        r = cursor_open(api_cursor_key(k->api), &b, text, pos, &n);
    if (r == CURSOR_BAD) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR,
                      "this cursor was not made for this list with these filters; begin again without a cursor");
        return false;
    }
    if (r < 0) {
        call_outcome(k, r, "cursor");
        return false;
    }
    memcpy(ret_pos, pos, n);
    ret_pos[n] = '\0';
    return true;
}

bool call_next(struct api_call *k, const char *const *filters, const char *pos, char ret[CURSOR_TEXT_MAX])
{
    struct cursor_binding b;
    ret[0] = '\0';
    int r = pos ? bind(k, filters, &b) : 0;
    if (r == 0 && pos)
        r = cursor_make(api_cursor_key(k->api), &b, BYTES_STR(pos), ret);
    if (r < 0)
        call_outcome(k, r, "cursor");
    return r >= 0;
}

void call_page(struct api_call *k, const char *const *filters, json_t *items, const char *pos)
{
    char next[CURSOR_TEXT_MAX];
    if (!call_next(k, filters, pos, next)) {
        json_decref(items);
        return;
    }
    problem_json(k->r, 200, json_pack("{s:o, s:o}", "items", items, "next", json_text_or_null(next)));
}

static const char *const no_filters[] = {NULL};

bool call_span_of(struct api_call *k, const char *const *filters, size_t n, struct call_span *ret_span)
{
    struct call_span span = {0};
    ASSERT(n <= ID_LEN);
    char pos[CURSOR_POS_MAX + 1];
    if (!call_limit(k, &span.limit) || !call_cursor(k, filters, pos))
        return false;
    if (pos[0] && str_unhex(pos, span.id, n) < 0) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR, "this cursor is of another version; begin again without a cursor");
        return false;
    }
    *ret_span = span;
    ret_span->after = pos[0] ? ret_span->id : NULL;
    return true;
}

bool call_span(struct api_call *k, size_t n, struct call_span *ret_span)
{
    return call_span_of(k, no_filters, n, ret_span);
}

void call_page_of(struct api_call *k, const char *const *filters, json_t *items, const uint8_t *last, size_t n)
{
    char hex[2 * ID_LEN + 1];
    call_page(k, filters, items, last ? str_hex(last, n, hex) : NULL);
}

void call_page_by_id(struct api_call *k, json_t *items, const uint8_t *last, size_t n)
{
    call_page_of(k, no_filters, items, last, n);
}

/* SIZE_MAX: there is none. */
static size_t index_of(const json_t *items, const char *id)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *s = json_string_value(json_object_get(json_array_get(items, i), "id"));
        if (s && strcmp(s, id) == 0)
            return i;
    }
    return SIZE_MAX;
}

void call_slice(struct api_call *k, json_t *items)
{
    size_t limit = 0, at = SIZE_MAX;
    char pos[CURSOR_POS_MAX + 1];
    json_t *page = NULL;
    if (!call_limit(k, &limit) || !call_cursor(k, no_filters, pos)) {
        json_decref(items);
        return;
    }
    if (pos[0] && (at = index_of(items, pos)) == SIZE_MAX) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR, "where the last page ended is no more; begin again without a cursor");
    } else {
        const size_t begin = pos[0] ? at + 1 : 0, all = json_array_size(items);
        const size_t end = all - begin > limit ? begin + limit : all;
        page = items ? json_array() : NULL;
        for (size_t i = begin; i < end; i++)
            whole_append(&page, json_incref(json_array_get(items, i)));
        const char *last = end < all ? json_string_value(json_object_get(json_array_get(items, end - 1), "id")) : NULL;
        call_page(k, no_filters, page, last);
    }
    json_decref(items);
}

void call_outcome(struct api_call *k, int r, const char *what)
{
    if (r == CLOUD_ABSENT) {
        problem_reply(k->r, PROBLEM_NOT_FOUND, "there is no such %s", what);
    } else if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "the %s exists already, or overlaps with another", what);
    } else if (r == CLOUD_AMBIGUOUS) {
        problem_reply(k->r, PROBLEM_CONFLICT, "more than one %s fits", what);
    } else if (r == CLOUD_INVALID) {
        problem_reply(k->r, PROBLEM_INVALID, "the %s is outside its limits", what);
    } else if (r == CLOUD_DAMAGED) {
        problem_reply(k->r, PROBLEM_DAMAGED, "the %s is there, but its row in the store is damaged and does not open",
                      what);
    } else if (r == CLOUD_FENCED) {
        http_header(k->r, "Retry-After", "5");
        problem_reply(k->r, PROBLEM_UNAVAILABLE, "an erasure has to be finished first; try again");
    } else if (r == -EBUSY || r == -EAGAIN) {
        http_header(k->r, "Retry-After", "1");
        problem_reply(k->r, PROBLEM_UNAVAILABLE, "the store is busy; try again");
    } else {
        const struct api_route *t = k->route; /* none yet where it counts by address */
        log_error("api.failed", "method=%s route=%s what=%s error=%s", t ? t->method : "-", t ? t->pattern : "-", what,
                  log_q(r < 0 ? error_str(r) : "unexpected outcome"));
        problem_reply(k->r, PROBLEM_INTERNAL, "the reason is in the log of punchcloud");
    }
}

void call_invalid(struct api_call *k, const char *member, const char *fmt, ...)
{
    char detail[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    json_t *errors = json_array();
    problem_error(&errors, member, "%s", detail);
    problem_reply_errors(k->r, PROBLEM_INVALID, errors, "1 member of the body is wrong");
}

bool call_perms(struct api_call *k, const char *member, const json_t *names, uint64_t possible, uint64_t *ret_perms)
{
    uint64_t perms = 0;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        enum perm p = PERM_NONE;
        if (!name || !perm_find(name, &p)) {
            call_invalid(k, member, "\"%.60s\" is no permission", name ? name : "");
            return false;
        }
        if ((PERM_BIT(p) & possible) == 0) {
            call_invalid(k, member, "%s is not possible here", name);
            return false;
        }
        perms |= PERM_BIT(p);
    }
    *ret_perms = perms;
    return true;
}

json_t *json_perms(uint64_t perms)
{
    json_t *names = json_array();
    for (unsigned p = 0; p < PERM_COUNT; p++)
        if (perms & PERM_BIT(p))
            whole_append(&names, json_string(perm_name((enum perm)p)));
    return names;
}

void call_once(struct api_call *k, json_t **o, const char *member, const char *text)
{
    whole_set(o, member, json_string(text));
    if (k->once)
        whole_set(&k->once, member, json_string(text));
}

void call_location(struct api_call *k, const char *prefix, const char *id)
{
    int n = snprintf(k->location, sizeof k->location, "%s%s", prefix, id);
    ASSERT(n > 0 && (size_t)n < sizeof k->location);
}

void call_location_of(struct api_call *k, const char *prefix, const void *id, size_t n)
{
    char hex[2 * ID_LEN + 1];
    ASSERT(n <= ID_LEN);
    call_location(k, prefix, str_hex(id, n, hex));
}

void call_created(struct api_call *k, const char *location_prefix, const void *id, size_t n, json_t *body)
{
    call_location_of(k, location_prefix, id, n);
    http_header(k->r, "Location", "%s", k->location);
    problem_json(k->r, 201, body);
}

json_t *json_hex(const void *p, size_t n)
{
    char hex[2 * CRED_MAX + 1];
    ASSERT(n <= CRED_MAX);
    return json_string(str_hex(p, n, hex));
}

json_t *json_time(int64_t us)
{
    char text[32];
    return json_string(str_time(us, text));
}

json_t *json_time_or_null(int64_t us, int64_t null_value)
{
    return us == null_value ? json_null() : json_time(us);
}

json_t *json_text_or_null(const char *s)
{
    return *s ? jsontext_of(s) : json_null();
}

json_t *json_damaged(const uint8_t id[ID_LEN])
{
    return json_pack("{s:o, s:b}", "id", json_hex(id, ID_LEN), "damaged", 1);
}
