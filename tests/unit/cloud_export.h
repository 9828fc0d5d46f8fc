/* What the tests of the trail over HTTPS share: a service, a person made, an export taken and verified. */
#pragma once

#include "tests/unit/api_client.h"
#include "tests/unit/cloud_fixture.h"

#include "api/api.h"
#include "cloud/audit_check.h"

static struct fixture fx;
static struct api *api;
static uint8_t point[CRYPTO_POINT];

static inline int make(void **state)
{
    (void)state;
    fixture_make(&fx);
    assert_int_equal(api_start(fx.c, NULL, &api), 0);
    fx.s.port = api_port(api);
    struct reply r = get(&fx.s, "/v1/audit/key", NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(csr_public_parse(BYTES_STR(reply_text(&r, "pem")), point), 0);
    reply_done(&r);
    return 0;
}

static inline int unmake(void **state)
{
    (void)state;
    api_stop(api);
    fixture_done(&fx);
    return 0;
}

struct lines {
    size_t n;
    char **line;
    char *text;
};

static inline struct lines split(const char *text)
{
    struct lines l = {.text = strdup(text)};
    assert_non_null(l.text);
    l.line = calloc(strlen(text) / 2 + 2, sizeof *l.line);
    assert_non_null(l.line);
    for (char *p = l.text; *p;) {
        char *end = strchr(p, '\n');
        assert_non_null(end);
        *end = '\0';
        l.line[l.n++] = p;
        p = end + 1;
    }
    return l;
}

static inline void lines_done(struct lines *l)
{
    free(l->line);
    free(l->text);
}

/* NULL: proven; else what is wrong. */
static inline const char *check(const struct lines *l, const struct checkpoint *newer)
{
    static char why[1024];
    struct audit_check *k = NULL;
    int r = 0;
    assert_int_equal(audit_check_new(point, newer, &k), 0);
    for (size_t i = 0; r == 0 && i < l->n; i++)
        r = audit_check_line(k, l->line[i], strlen(l->line[i]));
    if (r == 0)
        r = audit_check_end(k);
    assert_true(r >= 0);
    snprintf(why, sizeof why, "%s", audit_check_why(k));
    audit_check_free(k);
    return r == 0 ? NULL : why;
}

static inline struct lines export(const char *query)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/audit/export%s", query);
    struct reply r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "application/jsonl");
    struct lines l = split(r.body);
    reply_done(&r);
    return l;
}

static inline const char *text(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    return s ? s : "";
}

static inline char *make_person(const char *name)
{
    char body[128];
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    struct reply r = post(&fx.s, "/v1/people", fx.acme, body);
    assert_int_equal(r.status, 201);
    char *id = strdup(reply_text(&r, "id"));
    reply_done(&r);
    return id;
}
