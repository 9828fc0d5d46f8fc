/* Request bodies: one strict JSON object against a table of fields. Every mistake is reported, not the first only. */
#pragma once

#include "api/problem.h"

#define BODY_FIELDS_MAX 16
#define BODY_DEPTH_MAX 8
#define BODY_STRINGS_EACH 200

enum body_type {
    BODY_STRING,  /* min..max characters, no control characters */
    BODY_UINT,    /* min..max */
    BODY_TIME,    /* RFC 3339, microseconds in `i` */
    BODY_BOOL,    /* `i` is 0 or 1 */
    BODY_STRINGS, /* min..max strings, each as with BODY_STRING and at most BODY_STRINGS_EACH characters, in `list` */
};
struct body_field {
    const char *name;
    enum body_type type;
    bool required, nullable; /* nullable: JSON null is set with s NULL, and `null` */
    int64_t min, max;
};
struct body_value {
    bool set, null;
    const char *s;      /* BODY_STRING; borrowed from the body */
    int64_t i;          /* BODY_UINT, BODY_TIME, BODY_BOOL */
    const json_t *list; /* BODY_STRINGS; borrowed as well */
};

/* Checks type, size and syntax, then reads `n` fields. False: *ret holds the problem. An empty body counts as {} when
 * no field is required. *ret_json is the caller's to json_decref() and owns the strings. */
bool body_read(const struct http_request *q, const struct body_field *fields, size_t n, struct body_value *ret_values,
               json_t **ret_json, struct http_reply *ret);
