/* /v1/imports: people and cards from a table. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/import.h"

static json_t *import_json(const struct import *m)
{
    json_t *o = json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "id", json_hex(m->id, ID_LEN), "mode",
                          m->preview ? "preview" : "apply", "state", import_state_name(m->state), "rows",
                          (json_int_t)m->total, "done", (json_int_t)m->done, "created", (json_int_t)m->made, "changed",
                          (json_int_t)m->changed, "unchanged", (json_int_t)m->unchanged, "bad", (json_int_t)m->bad);
    whole_set(&o, "started", json_time(m->started));
    whole_set(&o, "ended", json_time_or_null(m->ended, 0));
    return o;
}

static json_t *errors_json(const struct import_errors *e)
{
    json_t *errors = json_array();
    for (size_t i = 0; i < e->n; i++)
        whole_append(&errors, json_pack("{s:I, s:o, s:s}", "line", (json_int_t)e->items[i].line, "column",
                                        json_text_or_null(e->items[i].field), "reason", e->items[i].reason));
    return errors;
}

static json_t *with_errors(struct api_call *k, const struct import *m)
{
    struct import_errors errors = {0};
    int r = import_errors(k->cloud, k->db, k->tenant, m->id, &errors);
    json_t *o = r == 0 ? import_json(m) : NULL;
    if (o)
        whole_set(&o, "errors", errors_json(&errors));
    import_errors_done(&errors);
    if (r != 0)
        call_outcome(k, r, "import");
    return o;
}

/* Whom a slice changed goes into the trail with it. */
static int noted(void *arg, const struct scope *s, const struct person *people, size_t n)
{
    const struct api_call *k = arg;
    struct subject *all = calloc(n, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        all[i] = api_subject(&people[i]);
    json_t *detail = call_second(k);
    const struct audit_event e = {.kind = perm_name(k->route->perm),
                                  .outcome = AUDIT_DONE,
                                  .who = &k->who,
                                  .method = k->route->method,
                                  .route = k->route->pattern,
                                  .fields = "person credential",
                                  .count = n,
                                  .subjects = all,
                                  .n_subjects = n,
                                  .detail = detail};
    int r = k->second && !detail ? -ENOMEM : audit_put(s, &e);
    json_decref(detail);
    free(all);
    return r;
}

/* Whoever waits to write has waited for a slice; a request that is itself within another's transaction lets nobody in.
 */
static bool between(void *arg)
{
    const struct api_call *k = arg;
    return db_depth(k->db) > 0 || http_others(k->q, k->r);
}

static bool is_csv(const char *type)
{
    return type && strncasecmp(type, "text/csv", 8) == 0 && (type[8] == '\0' || type[8] == ';' || type[8] == ' ');
}

/* RFC 7111: what is not said is UTF-8, of which US-ASCII is a part. */
static bool is_utf8(const char *type)
{
    const char *p = strcasestr(type, "charset=");
    p = p ? p + strlen("charset=") : "utf-8";
    p += *p == '"';
    size_t n = strcspn(p, "\"; ");
    return (n == 5 && strncasecmp(p, "utf-8", n) == 0) || (n == 8 && strncasecmp(p, "us-ascii", n) == 0);
}

/* False: answered. */
static bool read_mode(struct api_call *k, bool *ret_preview)
{
    const char *mode = call_query(k, "mode");
    if (!mode || (strcmp(mode, "preview") != 0 && strcmp(mode, "apply") != 0)) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "mode says preview or apply");
        return false;
    }
    *ret_preview = mode[0] == 'p';
    return true;
}

void api_imports_run(struct api_call *k)
{
    struct import m;
    char why[IMPORT_WHY] = "";
    struct import_options o = {
        .cards = call_everywhere(k, PERM_CREDENTIALS_CHANGE), .noted = noted, .between = between, .arg = k};
    if (!read_mode(k, &o.preview))
        return;
    if (!is_csv(k->q->content_type)) {
        problem_reply(k->r, PROBLEM_MEDIA_TYPE, "send the table as Content-Type: text/csv");
        return;
    }
    if (!is_utf8(k->q->content_type)) {
        problem_reply(k->r, PROBLEM_MEDIA_TYPE, "send the table in UTF-8; a spreadsheet calls it \"CSV UTF-8\"");
        return;
    }
    int r = import_run(k->cloud, k->db, k->tenant, k->q->body, &o, &m, why);
    if (r == IMPORT_HEADER) {
        problem_reply(k->r, PROBLEM_INVALID, "the first line must name the columns: %s", why);
        return;
    }
    if (r == -ECANCELED) {
        http_header(k->r, "Retry-After", "10");
        problem_reply(k->r, PROBLEM_UNAVAILABLE,
                      "the service stops; send the table again, the rest of it comes in then");
        return;
    }
    if (r != 0) {
        call_outcome(k, r, "import");
        return;
    }
    json_t *answer = with_errors(k, &m);
    if (answer)
        call_created(k, "/v1/imports/", m.id, ID_LEN, answer);
}

void api_imports_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct import m;
    if (!call_id(k, id, ID_LEN))
        return;
    int r = import_get(k->cloud, k->db, k->tenant, id, &m);
    if (r != 0) {
        call_outcome(k, r, "import");
        return;
    }
    json_t *answer = with_errors(k, &m);
    if (answer)
        call_resource(k, answer, NULL);
}

/* Whose answer is still to come, or was lost, finds it here. */
void api_imports_list(struct api_call *k)
{
    static const char *const no_filters[] = {NULL};
    struct import_list list = {0};
    int r = import_list(k->cloud, k->db, k->tenant, &list);
    if (r != 0) {
        call_outcome(k, r, "list of imports");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, import_json(&list.items[i]));
    import_list_done(&list);
    call_page(k, no_filters, items, NULL);
}
