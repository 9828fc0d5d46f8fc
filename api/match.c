/* Validators and preconditions (RFC 9110, 8.8 and 13).
 *
 * An entity tag is a keyed hash of the representation, so it is strong: it changes with every change that a GET would
 * show. Some resources have members that live by themselves, such as when a gateway was last heard. Were they all there
 * is, If-Match would fail with every upload, though what the client saw and wants to change is as it was; and a weak
 * tag never fits If-Match (13.1.1). So such a resource's tag has two parts, "settings.all": If-None-Match compares the
 * whole tag, so that a 304 hides nothing, and If-Match compares what stands before the point. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"

#define PART_LEN 16
#define PART_TEXT 22 /* in base64url */
#define TAG_MAX (2 * PART_TEXT + 2)

static int hash_json(const struct api_call *k, const json_t *o, char ret[PART_TEXT + 1])
{
    uint8_t mac[CRYPTO_HASH];
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return -ENOMEM;
    /* the tenant by its NUL: none can run into the representation */
    const struct bytes parts[] = {BYTES_STR("punchcloud etag"), BYTES(k->tenant, strlen(k->tenant) + 1),
                                  BYTES_STR(text)};
    int r = crypto_hmac(BYTES(api_cursor_key(k->api), CRYPTO_KEY), parts, ARRAY_LEN(parts), mac);
    crypto_wipe(text, strlen(text));
    free(text);
    if (r == 0)
        str_b64url(mac, PART_LEN, ret);
    return r;
}

/* Without quotes. */
static int make_tag(const struct api_call *k, const json_t *o, const char *const *live, char ret[TAG_MAX])
{
    if (!live)
        return hash_json(k, o, ret);
    json_t *settings = json_copy((json_t *)(uintptr_t)o); /* shallow; jansson's argument is not const */
    for (; settings && *live; live++)
        json_object_del(settings, *live);
    int r = settings ? hash_json(k, settings, ret) : -ENOMEM;
    json_decref(settings);
    ret[PART_TEXT] = '.';
    return r != 0 ? r : hash_json(k, o, ret + PART_TEXT + 1);
}

bool call_tag_listed(const char *list, const char *tag, size_t n, bool strong)
{
    const char *p = list + strspn(list, " \t,");
    if (p[0] == '*')
        return p[1 + strspn(p + 1, " \t")] == '\0';
    while (*p) {
        bool weak = strncmp(p, "W/", 2) == 0;
        p += weak ? 2 : 0;
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (!end)
            return false;
        size_t len = (size_t)(end - p) - 1;
        if (!(weak && strong) && len >= n && strncmp(p + 1, tag, n) == 0 && (len == n || p[1 + n] == '.'))
            return true;
        p = end + 1 + strspn(end + 1, " \t,");
    }
    return false;
}

static bool is_reading(const struct api_call *k)
{
    return strcmp(k->q->method, "GET") == 0 || strcmp(k->q->method, "HEAD") == 0;
}

bool call_match(struct api_call *k, const json_t *current, const char *const *live)
{
    const struct http_request *q = k->q;
    char tag[TAG_MAX] = "";
    if (!q->if_match && !q->if_none_match)
        return true;
    int r = make_tag(k, current, live, tag);
    if (r != 0) {
        call_outcome(k, r, "validator");
        return false;
    }
    if (q->if_match && !call_tag_listed(q->if_match, tag, PART_TEXT, true)) {
        problem_reply(k->r, PROBLEM_PRECONDITION, "If-Match names another state than the present one; read it again");
        return false;
    }
    if (!q->if_none_match || !call_tag_listed(q->if_none_match, tag, strlen(tag), false))
        return true;
    if (is_reading(k)) {
        http_header(k->r, "ETag", "\"%s\"", tag);
        k->r->status = 304;
    } else {
        problem_reply(k->r, PROBLEM_PRECONDITION, "If-None-Match names the present state");
    }
    return false;
}

void call_tag(struct api_call *k, const json_t *o, const char *const *live)
{
    char tag[TAG_MAX] = "";
    if (o && make_tag(k, o, live, tag) == 0) /* memory: the reply fails by itself, or goes without */
        http_header(k->r, "ETag", "\"%s\"", tag);
}

void call_resource(struct api_call *k, json_t *o, const char *const *live)
{
    if (is_reading(k) && !call_match(k, o, live)) {
        json_decref(o);
        return;
    }
    call_tag(k, o, live);
    problem_json(k->r, 200, o);
}
