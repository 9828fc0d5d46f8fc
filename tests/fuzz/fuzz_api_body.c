/* A request body against the table of a route: refused with a well-formed problem, or taken within its limits. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"

static const struct body_field fields[] = {
    {.name = "tech", .type = BODY_STRING, .required = true, .min = 1, .max = 20},
    {.name = "bits", .type = BODY_UINT, .min = 1, .max = 496},
    {.name = "data", .type = BODY_STRING, .min = 2, .max = 124},
    {.name = "from", .type = BODY_TIME},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request q = {.method = "POST", .path = "/", .content_type = "application/json", .body = {data, size}};
    struct http_reply r = {0};
    struct body_value v[ARRAY_LEN(fields)];
    json_t *o = NULL;
    buf_init(&r.body, HTTP_REPLY_MAX);
    if (body_read(&q, fields, ARRAY_LEN(fields), v, &o, &r)) {
        ASSERT(v[0].set && strlen(v[0].s) >= 1 && strlen(v[0].s) <= 80);
        ASSERT(!v[1].set || (v[1].i >= 1 && v[1].i <= 496));
        json_decref(o);
    } else {
        json_t *p = json_loadb((const char *)r.body.p, r.body.len, JSON_REJECT_DUPLICATES, NULL);
        ASSERT(p && json_is_string(json_object_get(p, "detail")) && r.status == 400);
        json_decref(p);
    }
    buf_done(&r.body);
    return 0;
}
