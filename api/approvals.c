/* /v1/approvals: four eyes. A request whose permission wants them is kept and answered 202 (asked.c); it is done when
 * somebody else who could have asked for it approves, as if both had sent it together (approving.c): what either of
 * them may not, or does not reach, is refused. Here is what waits, and what became of it. */
#include "api/approvals.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/import.h"
#include "cloud/jsontext.h"

bool approval_is_own(const struct api_call *k, const struct approval *a)
{
    return strcmp(a->home, k->who.home) == 0 && memcmp(a->account, k->who.account, ID_LEN) == 0;
}

static json_t *outcome_json(const struct approval *a)
{
    return a->status == 0
               ? json_null()
               : json_pack("{s:i, s:o}", "status", (int)a->status, "location", json_text_or_null(a->location));
}

json_t *approval_json(const struct approval *a)
{
    if (a->damaged)
        return json_damaged(a->id);
    bool decided = a->decided != 0;
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:b}", "id", json_hex(a->id, ID_LEN), "permission",
                     perm_name(a->perm), "requested_by", json_hex(a->account, ID_LEN), "requested",
                     json_time(a->requested), "expires", json_time(a->requested + APPROVAL_US), "state",
                     approval_state_name(a->state), "decided_by", decided ? json_hex(a->decider, ID_LEN) : json_null(),
                     "decided", json_time_or_null(a->decided, 0), "outcome", outcome_json(a), "answer", a->has_answer);
}

/* ---- the request ---- */

static struct http_request request_of(const struct approval_asked *a)
{
    struct http_request q = {.method = a->method,
                             .path = a->path,
                             .content_type = a->type,
                             .if_match = a->if_match,
                             .if_none_match = a->if_none_match,
                             .n_query = a->n_query,
                             .body = a->body,
                             .line = HTTP_LINE_WRITE};
    for (size_t i = 0; i < a->n_query && i < HTTP_QUERY_MAX; i++)
        q.query[i] = (struct http_pair){a->query[i].name, a->query[i].value};
    return q;
}

static int load_body(const struct scope *s, const struct approval *a, size_t n, struct buf *ret)
{
    int r = buf_reserve(ret, n);
    for (uint64_t part = 0; r == 0 && ret->len < n; part += APPROVAL_PARTS)
        r = approval_body(s, a, part, ret);
    return r == CLOUD_ABSENT ? CLOUD_DAMAGED : r;
}

int approval_kept_load(const struct scope *s, const struct approval *a, bool whole, struct approval_kept *ret)
{
    buf_init(&ret->body, IMPORT_BODY_MAX);
    int r = approval_request(s, a, &ret->request);
    size_t n = r == 0 ? ret->request.body_n : 0;
    if (n > 0 && (whole || n <= HTTP_BODY_MAX))
        r = load_body(s, a, n, &ret->body);
    ret->request.asked.body = buf_bytes(&ret->body);
    ret->q = request_of(&ret->request.asked);
    return r;
}

void approval_kept_done(struct approval_kept *x)
{
    buf_wipe(&x->body);
    crypto_wipe(&x->request, sizeof x->request);
}

/* ---- finding ---- */

/* Who asked, and who could decide. */
static bool visible(struct api_call *k, const struct approval *a)
{
    struct person person;
    if (approval_is_own(k, a) || call_everywhere(k, a->perm))
        return true;
    return call_may(k, a->perm) && call_sure(k, people_get_by_key(k->cloud, k->db, k->tenant, a->key, &person)) == 0 &&
           call_reaches_person(k, a->perm, &person);
}

bool approval_named(struct api_call *k, struct scope *ret_scope, struct approval *ret)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = scope_init(k->cloud, k->db, k->tenant, ret_scope);
    if (r == 0)
        r = approval_get(ret_scope, id, clock_real(), ret);
    if (r == 0 && !visible(k, ret))
        r = CLOUD_ABSENT;
    if (r == 0 && ret->damaged)
        r = CLOUD_DAMAGED;
    if (r != 0)
        call_outcome(k, r, "approval");
    return r == 0;
}

void api_approvals_list(struct api_call *k)
{
    struct call_span span;
    struct scope s;
    struct approval_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = approval_list(&s, span.after, span.limit, clock_real(), &list);
    if (r != 0) {
        call_outcome(k, r, "list of approvals");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (visible(k, &list.items[i]))
            whole_append(&items, approval_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    approval_list_done(&list);
}

/* Whom it is about goes on record. False: answered. */
static bool saw(struct api_call *k, const struct approval *a)
{
    struct person person;
    int r = call_sure(k, people_get_by_key(k->cloud, k->db, k->tenant, a->key, &person));
    bool about = r == 0 || r == CLOUD_DAMAGED;
    const struct subject subject = about ? api_subject(&person) : (struct subject){0};
    return call_saw(k, "request", about ? &subject : NULL, about ? 1 : 0);
}

static json_t *request_json(const struct approval_kept *x)
{
    const struct http_request *q = &x->q;
    json_t *body = NULL;
    if (q->body.n == 0 || jsontext_read(q->body, NULL, &body) == -EBADMSG)
        body = json_null();
    json_t *query = json_object();
    for (size_t i = 0; i < q->n_query; i++)
        whole_set(&query, q->query[i].name, jsontext_of(q->query[i].value ? q->query[i].value : ""));
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:o}", "method", q->method, "path", jsontext_of(q->path), "query",
                     query, "type", json_text_or_null(q->content_type ? q->content_type : ""), "bytes",
                     (json_int_t)x->request.body_n, "body", body);
}

void api_approvals_get(struct api_call *k)
{
    struct scope s;
    struct approval a;
    struct approval_kept kept = {0};
    if (!approval_named(k, &s, &a))
        return;
    int r = approval_kept_load(&s, &a, false, &kept);
    if (r != 0 && r != CLOUD_ABSENT) {
        call_outcome(k, r, "approval");
    } else if (saw(k, &a)) {
        json_t *o = approval_json(&a);
        whole_set(&o, "request", r == 0 ? request_json(&kept) : json_null());
        call_resource(k, o, NULL);
    }
    approval_kept_done(&kept);
}

/* ---- its body, which may be larger than a reply ---- */

struct sending {
    struct cloud *cloud;
    char tenant[TENANT_MAX + 1];
    struct approval approval;
    uint64_t part;
    size_t left;
};

static int send_piece(struct sending *x, struct db *db, struct buf *ret)
{
    struct scope s;
    size_t before = ret->len;
    int r = scope_init(x->cloud, db, x->tenant, &s);
    if (r == 0)
        r = approval_body(&s, &x->approval, x->part, ret);
    if (r != 0 || ret->len - before > x->left)
        return r < 0 ? r : -ENOENT;
    x->part += APPROVAL_PARTS;
    x->left -= ret->len - before;
    return x->left == 0 ? HTTP_LAST : 0;
}

/* It may be decided while it is sent: then it is gone. */
static int body_more(void *arg, struct buf *ret)
{
    struct sending *x = arg;
    struct db *db = NULL;
    int r = cloud_db_take(x->cloud, &db);
    if (r == 0)
        r = send_piece(x, db, ret);
    cloud_db_give(x->cloud, db);
    if (r < 0)
        log_warn("api.approval", "error=%s action=\"cutting the connection\"", log_q(error_str(r)));
    return r;
}

/* What a browser does nothing with. */
static const char *type_of(const char *sent)
{
    static const char *const known[] = {"application/json", "text/csv"};
    for (size_t i = 0; sent && i < ARRAY_LEN(known); i++)
        if (strncasecmp(sent, known[i], strlen(known[i])) == 0)
            return known[i];
    return "application/octet-stream";
}

static void send_body(struct api_call *k, const struct approval *a, const struct approval_request *q)
{
    struct sending *x = calloc(1, sizeof *x);
    if (!x) {
        call_outcome(k, -ENOMEM, "approval");
        return;
    }
    *x = (struct sending){.cloud = k->cloud, .approval = *a, .left = q->body_n};
    str_copy(x->tenant, sizeof x->tenant, k->tenant);
    k->r->status = 200;
    k->r->type = type_of(q->asked.type);
    k->r->more = body_more;
    k->r->more_done = free;
    k->r->more_arg = x;
}

void api_approvals_body(struct api_call *k)
{
    struct scope s;
    struct approval a;
    struct approval_request request;
    if (!approval_named(k, &s, &a))
        return;
    int r = approval_request(&s, &a, &request);
    if (r == 0 && request.body_n == 0)
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "body that waits");
    else if (saw(k, &a))
        send_body(k, &a, &request);
    crypto_wipe(&request, sizeof request);
}

/* ---- what only the answer said ---- */

/* For nobody but who asked, who could not see the answer when the request was done. He still has to be one who may. */
void api_approvals_answer(struct api_call *k)
{
    struct scope s;
    struct approval a;
    struct buf CLEANUP(buf_wipe) text;
    buf_init(&text, APPROVAL_ANSWER_MAX);
    if (!approval_named(k, &s, &a))
        return;
    if (!approval_is_own(k, &a) || !call_may(k, a.perm)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "this is for who asked, as long as he holds %s", perm_name(a.perm));
        return;
    }
    int r = approval_answer(&s, &a, &text);
    if (r == CLOUD_ABSENT) {
        problem_reply(k->r, PROBLEM_GONE, "there was nothing, or it was handed out, or it is too late");
    } else if (r != 0) {
        call_outcome(k, r, "answer");
    } else {
        k->r->status = 200;
        k->r->type = "application/json";
        buf_add(&k->r->body, text.p, text.len);
    }
}
