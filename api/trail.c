/* /v1/audit: the trail itself. Reading it is recorded as any other reading is; nothing here changes or deletes. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/audit_lines.h"
#include "cloud/audit_move.h"

#define SETTLE_MS 2000
#define LOOK_MAX 5000  /* events that one page looks at */
#define SHOWN_MAX 2048 /* people that one page shows, about */

static const char *const filters[] = {"from", "to", "kind", "actor", NULL};

struct looking {
    const char *kind, *actor;
    bool has_from, has_to;
    int64_t from, to;
    size_t limit;
    json_t *items;
    struct shown shown;
    uint64_t last; /* the last one looked at */
    bool past;     /* whatever follows is later than `to` */
};

/* The trail is the company's: one who may see a part of it may not. False: the reply is made. */
static bool whole_trail(struct api_call *k)
{
    if (call_everywhere(k, PERM_AUDIT_READ))
        return true;
    problem_reply(k->r, PROBLEM_FORBIDDEN, "the trail is of the whole company; audit.read has to reach all of it");
    return false;
}

static bool by_actor(const json_t *core, const char *actor)
{
    const json_t *a = json_object_get(core, "actor");
    const char *class = json_string_value(json_object_get(a, "class")),
               *id = json_string_value(json_object_get(a, "account"));
    return (class && strcmp(class, actor) == 0) || (id && strcasecmp(id, actor) == 0);
}

static bool fits(struct looking *x, const json_t *core)
{
    const char *kind = json_string_value(json_object_get(core, "kind")),
               *time = json_string_value(json_object_get(core, "time"));
    int64_t at = 0;
    if (!kind || !time || str_untime(time, &at) != 0)
        return false;
    /* Events stand in the order of their recording: a minute's grace for what waited in the journal. */
    x->past = x->has_to && x->to < INT64_MAX - 60000000 && at >= x->to + 60000000;
    return (!x->kind || strcmp(kind, x->kind) == 0) && (!x->actor || by_actor(core, x->actor)) &&
           (!x->has_from || at >= x->from) && (!x->has_to || at < x->to);
}

static void add_whose(struct looking *x, json_t **item, const struct audit_row *row)
{
    json_t *whose = json_array();
    for (size_t i = 0; i < row->n_whose; i++) {
        const struct audit_whose *w = &row->whose[i];
        whole_append(&whose, w->known ? json_hex(w->who.id, ID_LEN) : json_null());
        if (w->known)
            shown_add(&x->shown, w->who.id, w->who.key);
    }
    whole_set(item, "whose", whose);
}

static void add_details(json_t **item, const struct audit_row *row)
{
    json_t *details = json_array();
    for (size_t i = 0; i < row->n_details; i++)
        whole_append(&details,
                     row->details[i].open ? json_loads(row->details[i].text, JSON_DECODE_ANY, NULL) : json_null());
    whole_set(item, "details", details);
}

static json_t *item_of(struct looking *x, const struct audit_row *row)
{
    json_t *item = row->core ? json_loads(row->core, 0, NULL) : json_pack("{s:I}", "seq", (json_int_t)row->seq);
    if (item && row->core && !fits(x, item)) { /* a damaged one may be what is asked for */
        json_decref(item);
        return json_null();
    }
    if (row->core) {
        add_whose(x, &item, row);
        add_details(&item, row);
    }
    if (row->damaged)
        whole_set(&item, "damaged", json_true());
    whole_set(&item, "leaf", row->has_leaf ? json_hex(row->leaf, CRYPTO_HASH) : json_null());
    return item;
}

/* Non-zero ends the page. */
static int look(void *arg, const struct audit_row *row)
{
    struct looking *x = arg;
    json_t *item = item_of(x, row);
    x->last = row->seq;
    if (!item)
        return -ENOMEM;
    if (json_is_null(item))
        return x->past ? CLOUD_ABSENT : 0;
    whole_append(&x->items, item);
    return json_array_size(x->items) == x->limit || x->shown.n >= SHOWN_MAX ? CLOUD_ABSENT : 0;
}

static int look_from(struct api_call *k, struct looking *x, const char *pos, bool *ret_more)
{
    struct audit_reader *reader = NULL;
    struct audit_head h = {0};
    struct scope s;
    uint64_t key_gen, from = 1, next = 0;
    int r = scope_fenced(k->cloud, k->db, k->tenant, &s, &key_gen);
    if (r == 0 && pos[0])
        r = str_u64(pos, 1, INT64_MAX, &from);
    else if (r == 0 && x->has_from)
        r = audit_from(&s, x->from, &from);
    if (r == 0)
        r = audit_reader_new(true, &reader);
    if (r == 0)
        r = audit_each(reader, &s, from, LOOK_MAX, look, x, &next);
    audit_reader_free(reader);
    if (r == 0 || r == CLOUD_ABSENT)
        r = audit_head(&s, &h);
    if (r == 0)
        *ret_more = x->last > 0 && x->last < h.seq && !x->past;
    return r;
}

static bool read_filters(struct api_call *k, struct looking *x)
{
    x->kind = call_query(k, "kind");
    x->actor = call_query(k, "actor");
    return call_limit(k, &x->limit) && call_time(k, "from", &x->has_from, &x->from) &&
           call_time(k, "to", &x->has_to, &x->to);
}

void api_audit_list(struct api_call *k)
{
    struct looking x = {0};
    char pos[CURSOR_POS_MAX + 1], next[24];
    bool more = false;
    if (!whole_trail(k) || !read_filters(k, &x) || !call_cursor(k, filters, pos))
        return;
    audit_settle(k->cloud, SETTLE_MS); /* who looks sees what he just did; late, it is on the next page */
    x.items = json_array();
    int r = look_from(k, &x, pos, &more);
    if (r != 0) {
        free(x.shown.items);
        json_decref(x.items);
        call_outcome(k, r < 0 ? r : -EIO, "audit trail");
        return;
    }
    snprintf(next, sizeof next, "%llu", (unsigned long long)x.last + 1);
    if (call_saw_those(k, "audit", &x.shown))
        call_page(k, filters, x.items, more ? next : NULL);
    else
        json_decref(x.items);
}

/* ---- export ---- */

struct exporting {
    struct audit_lines lines;
    struct who who;
    struct shown shown; /* of one piece */
    bool begun;
};

static void export_free(void *arg)
{
    struct exporting *x = arg;
    free(x->shown.items);
    free(x);
}

static int see(void *arg, const struct audit_row *row)
{
    struct exporting *x = arg;
    for (size_t i = 0; i < row->n_whose; i++)
        if (row->whose[i].known)
            shown_add(&x->shown, row->whose[i].who.id, row->whose[i].who.key);
    return x->shown.failed ? -ENOMEM : 0;
}

/* Whose events these are is on record before the piece leaves. */
static int note_piece(struct exporting *x, struct db *db, uint64_t from, uint64_t to)
{
    json_t *detail = json_pack("{s:I, s:I}", "from", (json_int_t)from, "to", (json_int_t)to);
    const struct audit_event e = {.kind = "audit.export",
                                  .outcome = AUDIT_DONE,
                                  .who = &x->who,
                                  .method = "GET",
                                  .route = "/v1/audit/export",
                                  .fields = "audit",
                                  .count = to - from + 1,
                                  .subjects = x->shown.items,
                                  .n_subjects = shown_once(&x->shown),
                                  .detail = detail};
    int r = detail ? audit_note(x->lines.cloud, db, x->lines.tenant, &e) : -ENOMEM;
    json_decref(detail);
    x->shown.n = 0;
    return r;
}

static int export_more(void *arg, struct buf *ret)
{
    struct exporting *x = arg;
    struct db *db = NULL;
    uint64_t from = x->lines.next;
    int r = cloud_db_take(x->lines.cloud, &db);
    if (r == 0)
        r = audit_lines_more(&x->lines, db, see, x, ret);
    if (r >= 0 && x->lines.next > from) {
        int noted = note_piece(x, db, from, x->lines.next - 1);
        r = noted != 0 ? noted : r;
    }
    cloud_db_give(x->lines.cloud, db);
    if (r != 0 && r != AUDIT_LINES_END)
        log_warn("api.export", "error=%s action=\"cutting the connection\"",
                 log_q(r < 0 ? error_str(r) : "unexpected outcome"));
    return r == AUDIT_LINES_END ? HTTP_LAST : r > 0 ? -EIO : r;
}

/* Times to numbers. */
static int find_ends(struct api_call *k, const struct looking *w, uint64_t *ret_from, uint64_t *ret_to)
{
    struct scope s;
    uint64_t key_gen;
    int r = scope_fenced(k->cloud, k->db, k->tenant, &s, &key_gen);
    *ret_from = 1;
    *ret_to = 0;
    if (r == 0 && w->has_from)
        r = audit_from(&s, w->from, ret_from);
    if (r == 0 && w->has_to) /* the margin of a minute, and another behind it */
        r = audit_from(&s, w->to < INT64_MAX - 120000000 ? w->to + 120000000 : INT64_MAX, ret_to);
    return r;
}

void api_audit_export(struct api_call *k)
{
    struct looking w = {0};
    uint64_t from, to;
    if (!whole_trail(k) || !call_time(k, "from", &w.has_from, &w.from) || !call_time(k, "to", &w.has_to, &w.to))
        return;
    audit_settle(k->cloud, SETTLE_MS);
    struct exporting *x = calloc(1, sizeof *x);
    int r = x ? find_ends(k, &w, &from, &to) : -ENOMEM;
    if (r == 0)
        r = audit_lines_begin(k->cloud, k->db, k->tenant, from, to, true, &x->lines, &k->r->body);
    if (r != 0) {
        free(x);
        call_outcome(k, r, "audit trail");
        return;
    }
    if (!call_saw(k, "audit", NULL, 0)) {
        free(x);
        return;
    }
    x->who = k->who;
    k->r->status = 200;
    k->r->type = "application/jsonl";
    k->r->more = export_more;
    k->r->more_done = export_free;
    k->r->more_arg = x;
}

/* ---- key and checkpoints ---- */

void api_audit_key(struct api_call *k)
{
    struct audit_key key;
    audit_key(k->cloud, &key);
    problem_json(
        k->r, 200,
        json_pack("{s:o, s:s, s:s}", "kid", json_hex(key.kid, sizeof key.kid), "algorithm", "ES256", "pem", key.pem));
}

static json_t *checkpoint_json(const struct checkpoint_text *p)
{
    return json_pack("{s:I, s:o, s:o, s:I, s:s}", "seq", (json_int_t)p->said.seq, "time", json_time(p->said.time),
                     "head", json_hex(p->said.head, CRYPTO_HASH), "epoch", (json_int_t)p->said.epoch, "checkpoint",
                     p->text);
}

struct listing {
    size_t limit;
    json_t *items;
    uint64_t last;
};

static int list_one(void *arg, const struct checkpoint_text *p)
{
    struct listing *x = arg;
    if (json_array_size(x->items) == x->limit)
        return CLOUD_ABSENT; /* there is more */
    whole_append(&x->items, checkpoint_json(p));
    x->last = p->said.seq;
    return 0;
}

void api_audit_checkpoints(struct api_call *k)
{
    static const char *const none[] = {NULL};
    struct listing x = {0};
    struct scope s;
    uint64_t key_gen, from = 0;
    char pos[CURSOR_POS_MAX + 1], next[24];
    if (!whole_trail(k) || !call_limit(k, &x.limit) || !call_cursor(k, none, pos))
        return;
    x.items = json_array();
    int r = scope_fenced(k->cloud, k->db, k->tenant, &s, &key_gen);
    if (r == 0 && pos[0])
        r = str_u64(pos, 1, INT64_MAX, &from);
    if (r == 0)
        r = checkpoint_each(&s, from, INT64_MAX, x.limit + 1, list_one, &x);
    if (r != 0 && r != CLOUD_ABSENT) {
        json_decref(x.items);
        call_outcome(k, r, "list of checkpoints");
        return;
    }
    snprintf(next, sizeof next, "%llu", (unsigned long long)x.last + 1);
    call_page(k, none, x.items, r == CLOUD_ABSENT ? next : NULL);
}

void api_audit_checkpoint(struct api_call *k)
{
    struct checkpoint_text p;
    if (!whole_trail(k))
        return;
    int r = checkpoint_make(k->cloud, k->db, k->tenant, true, &p);
    if (r != 0)
        call_outcome(k, r, "checkpoint");
    else
        problem_json(k->r, 201, checkpoint_json(&p));
}
