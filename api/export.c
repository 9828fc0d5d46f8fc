/* GET /v1/people/{id}/export: everything that is held about a person, as one document.
 *
 * It is made in pieces while the client takes it, each from a short read of the store, so that neither memory nor a
 * snapshot is held however much there is and however slow the client. Pending punches come first: one that is filed
 * meanwhile may then stand in the document twice, under one id, but is never missing. A person who is erased meanwhile
 * ends it: the connection is cut, and what was sent is no whole document. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/correction.h"
#include "cloud/credential.h"
#include "cloud/dsr.h"
#include "cloud/outbox_impl.h"
#include "cloud/people.h"
#include "cloud/query.h"

#define EXPORT_VERSION 1
#define EXPORT_PAGE 500

struct exporting {
    struct cloud *cloud;
    char tenant[TENANT_MAX + 1];
    uint8_t person[ID_LEN];
    enum punch_state state; /* PUNCH_PENDING, then PUNCH_ASSIGNED */
    struct punch_pos after;
    bool has_after, begun; /* begun: a punch stands before */
    bool damaged;          /* something does not open */
};

static void export_free(void *arg)
{
    free(arg);
}

/* ---- the head: all but the punches ---- */

/* The number as every rendering that this card has. */
static json_t *numbers(const struct cred *c)
{
    json_t *o = json_object();
    char text[CRED_TEXT_MAX];
    for (unsigned r = 0; rendering_name(r); r++) {
        if (!cred_renders(c, r))
            continue;
        cred_render(c, r, text);
        whole_set(&o, rendering_name(r), jsontext_of(text));
    }
    return o;
}

static json_t *credentials(const struct credential_list *l)
{
    json_t *items = json_array();
    for (size_t i = 0; i < l->n; i++) {
        const struct credential *c = &l->items[i];
        json_t *o = api_credential_json(c);
        if (!c->damaged) { /* one's own card: all of it */
            char text[CRED_TEXT_MAX], data[2 * CRED_MAX + 1];
            cred_render(&c->cred, c->rendering, text);
            json_object_del(o, "number_last4");
            whole_set(&o, "data", json_string(str_hex_upper(c->cred.data, cred_len(&c->cred), data)));
            whole_set(&o, "number", jsontext_of(text));
            whole_set(&o, "numbers", numbers(&c->cred));
        }
        whole_append(&items, o);
    }
    return items;
}

/* Where the document of the API says what each part means. */
static json_t *classes(void)
{
    static const char *const parts[][2] = {{"/person", "Person"},           {"/credentials", "CredentialExported"},
                                           {"/corrections", "Correction"},  {"/requests", "SubjectRequest"},
                                           {"/account", "AccountExported"}, {"/mail", "MailQueued"},
                                           {"/punches", "PunchExported"}};
    json_t *items = json_array();
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        whole_append(&items, json_pack("{s:s, s:s++}", "pointer", parts[i][0], "schema", "/v1/openapi.json",
                                       "#/components/schemas/", parts[i][1]));
    return items;
}

static void add_member(struct buf *b, const char *name, json_t *value)
{
    buf_addf(b, "%c\"%s\":", b->len ? ',' : '{', name);
    jsontext_put(b, value);
}

/* What is there beside the punches. */
struct exported {
    struct credential_list credentials;
    struct correction_list corrections;
    struct dsr_list requests;
    json_t *account, *mail;
    bool damaged;
};

static void exported_done(struct exported *e)
{
    credential_list_done(&e->credentials);
    correction_list_done(&e->corrections);
    dsr_list_done(&e->requests);
    json_decref(e->account);
    json_decref(e->mail);
}

static int gather(struct api_call *k, const struct person *p, struct exported *e)
{
    struct scope s;
    int r = credential_list(k->cloud, k->db, k->tenant, p->id, &e->credentials);
    if (r == 0)
        r = correction_list(k->cloud, k->db, k->tenant, p->key, NULL, 0, NULL, NULL, &e->corrections);
    if (r == 0)
        r = dsr_list(k->cloud, k->db, k->tenant, p->key, NULL, 0, NULL, NULL, &e->requests);
    if (r == 0)
        r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = api_account_export(&s, p->key, &e->account);
    if (r == 0)
        r = outbox_of(&s, p->key, &e->mail);
    e->damaged = r == 0 && json_is_true(json_object_get(e->account, "damaged"));
    for (size_t i = 0; i < e->credentials.n; i++)
        e->damaged = e->damaged || e->credentials.items[i].damaged;
    for (size_t i = 0; i < e->corrections.n; i++)
        e->damaged = e->damaged || e->corrections.items[i].damaged;
    for (size_t i = 0; i < e->requests.n; i++)
        e->damaged = e->damaged || e->requests.items[i].damaged;
    return r;
}

static void write_head(struct buf *b, const char *tenant, const struct person *p, const struct exported *e)
{
    json_t *corrections = json_array(), *requests = json_array();
    for (size_t i = 0; i < e->corrections.n; i++)
        whole_append(&corrections, api_correction_json(&e->corrections.items[i], p->id));
    for (size_t i = 0; i < e->requests.n; i++)
        whole_append(&requests, api_dsr_json(&e->requests.items[i], p->id));
    add_member(b, "format", json_pack("{s:s, s:i}", "name", "punchline-export", "version", EXPORT_VERSION));
    add_member(b, "made", json_time(clock_real()));
    add_member(b, "responsible", json_pack("{s:s}", "tenant", tenant));
    add_member(b, "classes", classes());
    add_member(b, "person", api_person_json(p));
    add_member(b, "credentials", credentials(&e->credentials));
    add_member(b, "corrections", corrections);
    add_member(b, "requests", requests);
    add_member(b, "account", json_incref(e->account));
    add_member(b, "mail", json_incref(e->mail));
    buf_addf(b, ",\"punches\":[");
}

/* ---- punches ---- */

static int read_page(const struct exporting *x, struct punch_list *ret)
{
    struct db *db = NULL;
    struct punch_query q = {.tenant = x->tenant,
                            .person = x->person,
                            .state = x->state,
                            .limit = EXPORT_PAGE,
                            .after = x->has_after ? &x->after : NULL};
    int r = cloud_db_take(x->cloud, &db);
    if (r == 0)
        r = query_punches(x->cloud, db, &q, ret);
    cloud_db_give(x->cloud, db);
    return r;
}

static int export_more(void *arg, struct buf *ret)
{
    struct exporting *x = arg;
    struct punch_list l = {0};
    int r = read_page(x, &l);
    if (r != 0) {
        log_warn("api.export", "error=%s action=\"cutting the connection\"",
                 r == CLOUD_ABSENT ? "\"the person is no more\"" : log_q(r < 0 ? error_str(r) : "unexpected outcome"));
        return r < 0 ? r : -ENOENT;
    }
    for (size_t i = 0; i < l.n; i++) {
        buf_add(ret, ",", x->begun ? 1 : 0);
        text_punch(ret, &l.items[i], true);
        x->begun = true;
    }
    x->after = l.next;
    x->has_after = l.more;
    x->damaged = x->damaged || l.damaged;
    if (!l.more && x->state == PUNCH_ASSIGNED) {
        buf_addf(ret, "],\"damaged\":%s}\n", x->damaged ? "true" : "false");
        r = HTTP_LAST;
    } else if (!l.more) {
        x->state = PUNCH_ASSIGNED;
    }
    punch_list_done(&l);
    return r;
}

static void start(struct api_call *k, const struct person *p, const struct exported *e, struct exporting *x)
{
    x->cloud = k->cloud;
    str_copy(x->tenant, sizeof x->tenant, k->tenant);
    memcpy(x->person, p->id, ID_LEN);
    x->state = PUNCH_PENDING;
    x->damaged = p->damaged || e->damaged;
    k->r->status = 200;
    k->r->type = "application/json";
    k->r->more = export_more;
    k->r->more_done = export_free;
    k->r->more_arg = x;
}

void api_export_person(struct api_call *k, const struct person *p)
{
    struct exported e = {0};
    struct subject subject = api_subject(p);
    int r = gather(k, p, &e);
    struct exporting *x = r == 0 ? calloc(1, sizeof *x) : NULL;
    if (r == 0 && !x)
        r = -ENOMEM;
    if (r != 0) {
        call_outcome(k, r, "person");
    } else if (call_saw(k, "person credential punch correction request account", &subject, 1)) {
        write_head(&k->r->body, k->tenant, p, &e);
        start(k, p, &e, x);
        x = NULL;
    }
    free(x);
    exported_done(&e);
}

void api_people_export(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct person p;
    if (call_id(k, id, ID_LEN) && api_person_of(k, PERM_PEOPLE_EXPORT, id, true, &p))
        api_export_person(k, &p);
    crypto_wipe(&p, sizeof p);
}
