/* Strict reading of request bodies: what is not asked for is refused by name, so that a misspelt member never passes
 * for an omitted one. */
#include "api/body.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cloud/jsontext.h"

/* "application/json", alone or with charset=utf-8 (RFC 8259 defines no parameter; clients send this one). */
static bool is_json(const char *type)
{
    static const char want[] = "application/json";
    if (!type || strncasecmp(type, want, sizeof want - 1) != 0)
        return false;
    const char *p = type + sizeof want - 1;
    p += strspn(p, " \t");
    if (!*p)
        return true;
    if (*p++ != ';')
        return false;
    p += strspn(p, " \t");
    return !*p || strcasecmp(p, "charset=utf-8") == 0 || strcasecmp(p, "charset=\"utf-8\"") == 0;
}

/* Characters of a UTF-8 text (jansson checked it), or -1 when one is a control character. */
static int64_t count_chars(const char *s)
{
    int64_t n = 0;
    for (; *s; s++) {
        uint8_t c = (uint8_t)*s;
        /* C0, DEL, and C1, which UTF-8 writes as C2 80 .. C2 9F */
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && (uint8_t)s[1] < 0xa0))
            return -1;
        n += (c & 0xc0) != 0x80;
    }
    return n;
}

static void read_string(const struct body_field *f, const char *s, struct body_value *v, json_t **errors)
{
    int64_t n = count_chars(s);
    if (n < 0)
        problem_error(errors, f->name, "must not contain control characters");
    else if (n < f->min || n > f->max)
        problem_error(errors, f->name, "is %lld characters long; %lld to %lld are possible", (long long)n,
                      (long long)f->min, (long long)f->max);
    else if (n > 0 && s[strspn(s, " ")] == '\0')
        problem_error(errors, f->name, "has nothing but blanks");
    else
        *v = (struct body_value){.set = true, .s = s};
}

static void read_strings(const struct body_field *f, const json_t *list, struct body_value *v, json_t **errors)
{
    int64_t n = (int64_t)json_array_size(list);
    if (n < f->min || n > f->max) {
        problem_error(errors, f->name, "has %lld items; %lld to %lld are possible", (long long)n, (long long)f->min,
                      (long long)f->max);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        int64_t chars = s ? count_chars(s) : -1;
        if (chars < 1 || chars > BODY_STRINGS_EACH) {
            problem_error(errors, f->name, "must hold strings of 1 to %d characters", BODY_STRINGS_EACH);
            return;
        }
    }
    *v = (struct body_value){.set = true, .list = list};
}

static const char *const type_wanted[] = {
    [BODY_STRING] = "a string",
    [BODY_UINT] = "a whole number",
    [BODY_TIME] = "a string with an RFC 3339 time",
    [BODY_BOOL] = "true or false",
    [BODY_STRINGS] = "an array of strings",
};

static void read_field(const struct body_field *f, const json_t *j, struct body_value *v, json_t **errors)
{
    if (f->nullable && json_is_null(j)) {
        *v = (struct body_value){.set = true, .null = true};
        return;
    }
    bool fits = f->type == BODY_UINT      ? json_is_integer(j)
                : f->type == BODY_BOOL    ? json_is_boolean(j)
                : f->type == BODY_STRINGS ? json_is_array(j)
                                          : json_is_string(j);
    if (!fits) {
        problem_error(errors, f->name, "must be %s", type_wanted[f->type]);
        return;
    }
    if (f->type == BODY_STRING) {
        read_string(f, json_string_value(j), v, errors);
    } else if (f->type == BODY_STRINGS) {
        read_strings(f, j, v, errors);
    } else if (f->type == BODY_BOOL) {
        *v = (struct body_value){.set = true, .i = json_is_true(j)};
    } else if (f->type == BODY_UINT) {
        int64_t i = json_integer_value(j);
        if (i < f->min || i > f->max)
            problem_error(errors, f->name, "is %lld; %lld to %lld are possible", (long long)i, (long long)f->min,
                          (long long)f->max);
        else
            *v = (struct body_value){.set = true, .i = i};
    } else {
        int64_t t = 0;
        if (str_untime(json_string_value(j), &t) < 0)
            problem_error(errors, f->name, "is not an RFC 3339 time; write it as 2026-11-23T07:15:00Z");
        else
            *v = (struct body_value){.set = true, .i = t};
    }
}

static void check_members(json_t *o, const struct body_field *fields, size_t n, struct body_value *v, json_t **errors)
{
    const char *key;
    json_t *j;
    json_object_foreach(o, key, j)
    {
        size_t i = 0;
        while (i < n && strcmp(fields[i].name, key) != 0)
            i++;
        if (json_array_size(*errors) >= 16) /* enough to work with; a body of 64 KiB could hold thousands */
            return;
        if (i == n)
            problem_error(errors, key, "is not a member of this body");
        else
            read_field(&fields[i], j, &v[i], errors);
    }
    for (size_t i = 0; i < n; i++)
        if (fields[i].required && !json_object_get(o, fields[i].name))
            problem_error(errors, fields[i].name, "is required");
}

static json_t *parse(const struct http_request *q, struct http_reply *ret)
{
    json_error_t e;
    if (jsontext_depth(q->body) > BODY_DEPTH_MAX) {
        problem_reply(ret, PROBLEM_BAD_JSON, "the body is nested deeper than %d levels", BODY_DEPTH_MAX);
        return NULL;
    }
    if (q->body.n == 0) {
        problem_reply(ret, PROBLEM_BAD_JSON, "the body is empty; send a JSON object");
        return NULL;
    }
    json_t *o = NULL;
    int r = jsontext_read(q->body, &e, &o);
    if (r == -ENOMEM) {
        problem_reply(ret, PROBLEM_INTERNAL, "memory is short");
        return NULL;
    }
    if (r != 0) {
        problem_reply(ret, PROBLEM_BAD_JSON, "line %d, column %d: %s", e.line, e.column, e.text);
        return NULL;
    }
    if (!json_is_object(o)) {
        json_decref(o);
        problem_reply(ret, PROBLEM_BAD_JSON, "the body must be a JSON object");
        return NULL;
    }
    return o;
}

bool body_read(const struct http_request *q, const struct body_field *fields, size_t n, struct body_value *ret_values,
               json_t **ret_json, struct http_reply *ret)
{
    ASSERT(n <= BODY_FIELDS_MAX);
    bool required = false;
    for (size_t i = 0; i < n; i++)
        required |= fields[i].required;
    json_t *o;
    if (q->body.n == 0 && !required) {
        if (!(o = json_object())) {
            problem_reply(ret, PROBLEM_INTERNAL, "memory is short");
            return false;
        }
    } else if (!is_json(q->content_type)) {
        problem_reply(ret, PROBLEM_MEDIA_TYPE, "send the body as Content-Type: application/json");
        return false;
    } else if (!(o = parse(q, ret))) {
        return false;
    }
    struct body_value values[BODY_FIELDS_MAX] = {{0}};
    json_t *errors = json_array();
    check_members(o, fields, n, values, &errors);
    if (!errors) {
        json_decref(o);
        problem_reply(ret, PROBLEM_INTERNAL, "memory is short");
        return false;
    }
    size_t wrong = json_array_size(errors);
    if (wrong > 0) {
        problem_reply_errors(ret, PROBLEM_INVALID, errors, "%zu member%s of the body %s wrong", wrong,
                             wrong == 1 ? "" : "s", wrong == 1 ? "is" : "are");
        json_decref(o);
        return false;
    }
    json_decref(errors);
    memcpy(ret_values, values, n * sizeof values[0]);
    *ret_json = o;
    return true;
}
