/* The trail over HTTPS and taken away: what requests leave in it, that an export is proven by the public key alone, and
 * that each tampering is found. */
#include "tests/unit/cloud_fixture.h"

#include "api/api.h"
#include "base/csr.h"
#include "cloud/audit_check.h"
#include "cloud/audit_lines.h"
#include "cloud/audit_move.h"
#include "cloud/erasure.h"
#include "cloud/people.h"

#define MANY 100000

static struct fixture fx;
static struct api *api;
static uint8_t point[CRYPTO_POINT];

static int make(void **state)
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

static int unmake(void **state)
{
    (void)state;
    api_stop(api);
    fixture_done(&fx);
    return 0;
}

/* ---- lines ---- */

struct lines {
    size_t n;
    char **line;
    char *text;
};

static struct lines split(const char *text)
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

static void lines_done(struct lines *l)
{
    free(l->line);
    free(l->text);
}

/* NULL: proven; else what is wrong. */
static const char *check(const struct lines *l, const struct checkpoint *newer)
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

static struct lines export(const char *query)
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

static json_t *trail(const char *query)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/audit%s", query);
    struct reply r = get(&fx.s, path, fx.acme);
    if (r.status != 200)
        print_error("%s\n", r.body);
    assert_int_equal(r.status, 200);
    json_t *items = json_incref(json_object_get(r.json, "items"));
    reply_done(&r);
    return items;
}

static const char *text(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    return s ? s : "";
}

/* The events with that route and outcome. */
static size_t count(const json_t *items, const char *route, const char *outcome, const json_t **ret_last)
{
    size_t i, n = 0;
    const json_t *v;
    json_array_foreach(items, i, v)
    {
        if (strcmp(text(v, "route"), route) != 0 || strcmp(text(v, "outcome"), outcome) != 0)
            continue;
        *ret_last = v;
        n++;
    }
    return n;
}

static char *make_person(const char *name)
{
    char body[128];
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    struct reply r = post(&fx.s, "/v1/people", fx.acme, body);
    assert_int_equal(r.status, 201);
    char *id = strdup(reply_text(&r, "id"));
    reply_done(&r);
    return id;
}

/* ---- what requests leave ---- */

static void requests_leave_events(void **state)
{
    (void)state;
    char path[128];
    const json_t *e = NULL;
    char *anna = make_person("Anna Oldname");
    snprintf(path, sizeof path, "/v1/people/%s", anna);
    struct reply r = request(&fx.s, "PATCH", path, fx.acme, BYTES_STR("{\"name\":\"Anna Newname\"}"), as_json);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    r = get(&fx.s, "/v1/punches?limit=5", fx.operator_token); /* refused, and not this company's business */
    assert_int_equal(r.status, 403);
    reply_done(&r);
    r = get(&fx.s, "/v1/people", fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);

    json_t *items = trail("");
    assert_int_equal(count(items, "POST /v1/people", "done", &e), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(e, "whose"), 0)), anna);
    assert_int_equal(count(items, "PATCH /v1/people/{id}", "done", &e), 1);
    char *detail = json_dumps(json_object_get(e, "details"), 0);
    assert_non_null(strstr(detail, "Anna Oldname"));
    assert_non_null(strstr(detail, "Anna Newname"));
    free(detail);
    assert_int_equal(count(items, "GET /v1/people/{id}", "done", &e), 1);
    assert_string_equal(text(e, "kind"), "people.read");
    assert_string_equal(text(json_object_get(e, "actor"), "class"), "bootstrap");
    assert_int_equal(count(items, "GET /v1/people", "done", &e), 1);
    assert_int_equal(json_integer_value(json_object_get(e, "count")), 1);
    assert_int_equal(count(items, "GET /v1/punches", "refused", &e), 0);
    assert_int_equal(count(items, "GET /v1/audit", "done", &e), 0);
    json_decref(items);

    items = trail("?kind=audit.read"); /* that the trail was read is in it by now */
    assert_int_equal(json_array_size(items), 1);
    assert_int_equal(count(items, "GET /v1/audit", "done", &e), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(e, "whose"), 0)), anna);
    json_decref(items);
    items = trail("?kind=people.read&limit=1");
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    items = trail("?actor=nobody");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    items = trail("?from=2100-01-01");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    items = trail("?to=1990-01-01");
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
    free(anna);
}

/* What a request made is named, whether the handler or the transaction wrote the event. */
static void events_name_what_was_made(void **state)
{
    (void)state;
    const json_t *e = NULL;
    char *anna = make_person("Anna"), body[256];
    snprintf(body, sizeof body,
             "{\"person\":\"%s\",\"kind\":\"add\",\"time\":\"2026-11-20T07:00:00Z\",\"reason\":\"forgot\"}", anna);
    const char *const made[][2] = {{"/v1/accounts", "{\"login\":\"anna\",\"name\":\"Anna\"}"},
                                   {"/v1/corrections", body},
                                   {"/v1/sites", "{\"name\":\"North gate\"}"}};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        char route[64];
        struct reply r = post(&fx.s, made[i][0], fx.acme, made[i][1]);
        assert_int_equal(r.status, 201);
        snprintf(route, sizeof route, "POST %s", made[i][0]);
        json_t *items = trail("");
        assert_int_equal(count(items, route, "done", &e), 1);
        assert_string_equal(text(e, "resource"), reply_text(&r, "id"));
        json_decref(items);
        reply_done(&r);
    }
    free(anna);
}

static void pages_follow_each_other(void **state)
{
    (void)state;
    char path[1024] = "/v1/audit?limit=2";
    int64_t last = 0;
    for (int i = 0; i < 4; i++)
        free(make_person("Somebody"));
    for (int page = 0; page < 3; page++) {
        struct reply r = get(&fx.s, path, fx.acme);
        size_t i;
        const json_t *v, *items = json_object_get(r.json, "items");
        assert_int_equal(r.status, 200);
        assert_int_equal(json_array_size(items), 2);
        json_array_foreach(items, i, v) assert_int_equal(json_integer_value(json_object_get(v, "seq")), ++last);
        snprintf(path, sizeof path, "/v1/audit?limit=2&cursor=%s", reply_text(&r, "next"));
        reply_done(&r);
    }
}

static void refusals_are_counted(void **state)
{
    (void)state;
    const json_t *e = NULL;
    struct reply r;
    struct audit_counts counts;
    for (int i = 0; i < 5; i++) {
        r = get(&fx.s, "/v1/tenants", fx.acme);
        assert_int_equal(r.status, 403);
        reply_done(&r);
    }
    json_t *items = trail("");
    assert_int_equal(count(items, "GET /v1/tenants", "refused", &e), 1); /* the others when their minute is over */
    json_decref(items);
    audit_counts(fx.c, &counts);
    assert_int_equal(counts.refused, 5);
    api_stop(api);
    cloud_close(fx.c); /* ends the minute */
    assert_int_equal(cloud_open(&fx.set, &fx.c), 0);
    assert_int_equal(api_start(fx.c, NULL, &api), 0);
    fx.s.port = api_port(api);
    items = trail("");
    assert_int_equal(count(items, "GET /v1/tenants", "refused", &e), 2);
    assert_int_equal(json_integer_value(json_object_get(e, "count")), 4);
    json_decref(items);
}

/* No record, no data. */
static void what_cannot_be_recorded_is_not_shown(void **state)
{
    (void)state;
    free(make_person("Anna"));
    struct audit_event e = {
        .kind = "people.read", .outcome = AUDIT_DONE, .who = &(struct who){.is = WHO_SYSTEM}, .detail = NULL};
    struct db *db = NULL, *other = NULL;
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(cloud_db_take(fx.c, &other), 0);
    assert_int_equal(cloud_begin(fx.c, other), 0); /* keeps the mover out */
    char *large = malloc(32000);
    assert_non_null(large);
    memset(large, 'x', 31999);
    large[31999] = '\0';
    e.new = json_string(large);
    free(large);
    int r = 0;
    for (int i = 0; r == 0 && i < 10000; i++)
        r = audit_note(fx.c, db, "acme", &e);
    assert_int_equal(r, -EAGAIN);
    json_decref(e.new);
    e.new = NULL;
    for (r = 0; r == 0;) /* and what room is left for small ones */
        r = audit_note(fx.c, db, "acme", &e);
    assert_int_equal(r, -EAGAIN);
    struct reply full = get(&fx.s, "/v1/people", fx.acme);
    assert_problem(&full, 503, "unavailable");
    assert_null(strstr(full.body, "Anna"));
    reply_done(&full);
    cloud_rollback(fx.c, other);
    cloud_db_give(fx.c, other);
    cloud_db_give(fx.c, db);
    assert_int_equal(audit_settle(fx.c, 60000), 0);
    for (int i = 0; i < 100; i++) { /* until the file begins anew */
        full = get(&fx.s, "/v1/people", fx.acme);
        int status = full.status;
        reply_done(&full);
        if (status == 200)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    fail_msg("the journal stayed full");
}

/* ---- export and verify ---- */

static char *edit(const char *line, const char *from, const char *to)
{
    const char *at = strstr(line, from);
    assert_non_null(at);
    char *out = malloc(strlen(line) + strlen(to) + 1);
    assert_non_null(out);
    sprintf(out, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
    return out;
}

static void says(const struct lines *l, const char *what)
{
    const char *why = check(l, NULL);
    assert_non_null(why);
    if (!strstr(why, what))
        print_error("expected \"%s\", got: %s\n", what, why);
    assert_non_null(strstr(why, what));
}

/* Each done to a copy of the lines. l: header, events 1 .. n, checkpoint. */
static void tamper(const struct lines *l, size_t at)
{
    char what[64];
    struct lines t = *l;
    t.line = calloc(l->n + 1, sizeof *t.line);
    assert_non_null(t.line);
    snprintf(what, sizeof what, "event %zu was changed", at);

    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.line[at] = edit(l->line[at], "\"outcome\":\"done\"", "\"outcome\":\"refused\"");
    says(&t, what);
    free(t.line[at]);

    snprintf(what, sizeof what, "event %zu is missing", at);
    memmove(&t.line[at], &l->line[at + 1], (l->n - at - 1) * sizeof *t.line);
    t.n = l->n - 1;
    says(&t, what);

    t.n = l->n;
    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.line[at] = l->line[at + 1];
    t.line[at + 1] = l->line[at];
    says(&t, what);

    memcpy(t.line, l->line, l->n * sizeof *t.line);
    t.n = at;
    says(&t, "it was cut");
    t.line[at] = l->line[l->n - 1]; /* with the checkpoint put behind the cut */
    t.n = at + 1;
    says(&t, "events are missing");
    free(t.line);
}

static void an_export_is_proven_and_each_tampering_found(void **state)
{
    (void)state;
    char *anna = make_person("Anna Ärmel \\\"quoted\\\"");
    free(make_person("Bert"));
    struct reply r = request(&fx.s, "POST", "/v1/audit/checkpoints", fx.acme, BYTES_NONE, NULL);
    assert_int_equal(r.status, 201);
    struct checkpoint early;
    assert_int_equal(audit_check_parse(BYTES_STR(reply_text(&r, "checkpoint")), point, &early), 0);
    assert_int_equal(early.seq, 3);
    reply_done(&r);
    r = get(&fx.s, "/v1/audit/checkpoints", fx.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 1);
    reply_done(&r);
    struct lines l = export("");
    /* the recipient key's, two people's, the checkpoint's own; one checkpoint behind 3, one at the end */
    assert_int_equal(l.n, 1 + 4 + 2);
    assert_null(check(&l, NULL));
    assert_null(check(&l, &early));
    assert_non_null(strstr(l.line[2], anna));
    assert_non_null(strstr(l.line[2], "Ärmel"));
    tamper(&l, 2);

    /* somebody with the store forges an event with all its hashes, but has not the key */
    struct lines t = l;
    char *line[8];
    t.line = line;
    memcpy(line, l.line, l.n * sizeof line[0]);
    line[2] = edit(l.line[2], "\"outcome\":\"done\"", "\"outcome\":\"failed\"");
    json_t *o = json_loads(line[2], 0, NULL);
    char *core = json_dumps(json_object_get(o, "core"), JSON_COMPACT | JSON_SORT_KEYS);
    struct audit_parts p = {.core = BYTES_STR(core), .n_whose = 1};
    const json_t *w = json_array_get(json_object_get(o, "whose"), 0), *d;
    uint8_t salt[AUDIT_SALT], person[ID_LEN], leaf[CRYPTO_HASH], salted[1024];
    char hex[2 * CRYPTO_HASH + 1], said[2 * CRYPTO_HASH + 1];
    str_unhex(text(w, "salt"), salt, sizeof salt);
    str_unhex(text(w, "person"), person, sizeof person);
    assert_int_equal(audit_form_tag(salt, person, p.whose[0]), 0);
    json_array_foreach(json_object_get(o, "details"), p.n_details, d)
    {
        str_unhex(text(d, "salt"), salted, AUDIT_SALT);
        strcpy((char *)salted + AUDIT_SALT, text(d, "text"));
        assert_int_equal(audit_form_commit(BYTES(salted, AUDIT_SALT + strlen(text(d, "text"))), p.details[p.n_details]),
                         0);
    }
    assert_int_equal(audit_form_leaf(&p, leaf), 0);
    strcpy(said, text(o, "leaf"));
    char *forged = edit(line[2], said, str_hex(leaf, sizeof leaf, hex));
    free(line[2]);
    line[2] = forged;
    says(&t, "the checkpoint says otherwise");
    free(line[2]);
    free(core);
    json_decref(o);

    /* a checkpoint of another key */
    struct crypto_key *other = NULL;
    uint8_t ours[CRYPTO_POINT];
    memcpy(ours, point, sizeof ours);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &other), 0);
    assert_int_equal(crypto_key_point(other, point), 0);
    says(&l, "not signed by the key given");
    crypto_key_free(other);
    memcpy(point, ours, sizeof point);

    /* a whole trail of yesterday is proven, and only a newer checkpoint tells that there is more */
    struct lines more = export("");
    assert_null(check(&more, NULL));
    struct checkpoint late;
    json_t *last = json_loads(more.line[more.n - 1], 0, NULL);
    assert_int_equal(audit_check_parse(BYTES_STR(text(last, "checkpoint")), point, &late), 0);
    json_decref(last);
    assert_null(check(&l, NULL));
    const char *why = check(&l, &late);
    assert_non_null(why);
    assert_non_null(strstr(why, "it was cut"));
    lines_done(&more);
    lines_done(&l);
    free(anna);
}

static void after_an_erasure_the_trail_is_proven_and_silent(void **state)
{
    (void)state;
    char path[128], *anna = make_person("Anna Unforgettable");
    free(make_person("Bert"));
    snprintf(path, sizeof path, "/v1/people/%s", anna);
    struct reply r = get(&fx.s, path, fx.acme);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    struct lines l = export("");
    assert_null(check(&l, NULL));
    json_t *last = json_loads(l.line[l.n - 1], 0, NULL);
    struct checkpoint before;
    assert_int_equal(audit_check_parse(BYTES_STR(text(last, "checkpoint")), point, &before), 0);
    json_decref(last);
    lines_done(&l);

    snprintf(path, sizeof path, "/v1/people/%s/erasure", anna);
    r = post(&fx.s, path, fx.acme, "{\"dry_run\":false}");
    assert_int_equal(r.status, 200);
    reply_done(&r);
    l = export("");
    assert_null(check(&l, &before));
    for (size_t i = 0; i < l.n; i++) {
        assert_null(strstr(l.line[i], "Unforgettable"));
        assert_null(strstr(l.line[i], anna));
    }
    lines_done(&l);
    /* nor do the files have it: no name, and no id beside what the erasure itself keeps of it */
    static const char *const files[] = {"store.db", "store.db-wal", "audit.journal"};
    assert_int_equal(audit_settle(fx.c, 10000), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf CLEANUP(buf_done) b;
        buf_init(&b, 64 << 20);
        snprintf(path, sizeof path, "%s/state/%s", fx.s.dir, files[i]);
        if (file_read(path, &b) == 0)
            assert_null(memmem(b.p, b.len, "Unforgettable", 13));
    }
    free(anna);
}

/* ---- many ---- */

static int take_all(struct audit_lines *x, struct db *db, struct buf *b)
{
    int r = 0;
    while (r == 0)
        r = audit_lines_more(x, db, NULL, NULL, b);
    return r == AUDIT_LINES_END ? 0 : r;
}

static void a_trail_of_100000_events(void **state)
{
    (void)state;
    struct db *db = NULL;
    struct scope s;
    struct person p[8];
    struct subject who[8];
    static const struct who hr = {.is = WHO_BOOTSTRAP, .home = "acme"};
    assert_int_equal(cloud_db_take(fx.c, &db), 0);
    assert_int_equal(cloud_begin(fx.c, db), 0);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        const struct person_set set = {.name = "Somebody"};
        assert_int_equal(people_create(fx.c, db, "acme", &set, &p[i]), 0);
        memcpy(who[i].id, p[i].id, ID_LEN);
        memcpy(who[i].key, p[i].key, ID_LEN);
    }
    assert_int_equal(scope_init(fx.c, db, "acme", &s), 0);
    for (size_t i = 0; i < MANY; i++) {
        const struct audit_event e = {.kind = "people.read",
                                      .outcome = AUDIT_DONE,
                                      .who = &hr,
                                      .method = "GET",
                                      .route = "/v1/people/{id}",
                                      .fields = "person",
                                      .subjects = &who[i % ARRAY_LEN(who)],
                                      .n_subjects = 1};
        assert_int_equal(audit_put(&s, &e), 0);
    }
    assert_int_equal(cloud_commit(fx.c, db), 0);

    struct audit_lines x;
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 256 << 20);
    assert_int_equal(audit_lines_begin(fx.c, db, "acme", 1, 0, true, &x, &b), 0);
    assert_int_equal(take_all(&x, db, &b), 0);
    struct lines l = split(buf_str(&b));
    assert_int_equal(l.n, MANY + 3);
    assert_null(check(&l, NULL));
    tamper(&l, 777);
    lines_done(&l);

    /* a part of it, without a word about people */
    buf_reset(&b);
    assert_int_equal(audit_lines_begin(fx.c, db, "acme", 99000, 0, false, &x, &b), 0);
    assert_int_equal(take_all(&x, db, &b), 0);
    assert_null(strstr(buf_str(&b), "\"person\":\""));
    l = split(buf_str(&b));
    assert_int_equal(l.n, 1002 + 2);
    assert_null(check(&l, NULL));
    lines_done(&l);
    cloud_db_give(fx.c, db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_leave_events, make, unmake),
        cmocka_unit_test_setup_teardown(events_name_what_was_made, make, unmake),
        cmocka_unit_test_setup_teardown(pages_follow_each_other, make, unmake),
        cmocka_unit_test_setup_teardown(refusals_are_counted, make, unmake),
        cmocka_unit_test_setup_teardown(what_cannot_be_recorded_is_not_shown, make, unmake),
        cmocka_unit_test_setup_teardown(an_export_is_proven_and_each_tampering_found, make, unmake),
        cmocka_unit_test_setup_teardown(after_an_erasure_the_trail_is_proven_and_silent, make, unmake),
        cmocka_unit_test_setup_teardown(a_trail_of_100000_events, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
