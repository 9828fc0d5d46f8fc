/* What is at the front door for who has no account: whom to turn to, and where to report what is wrong with the
 * service. The operator reads the reports. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/outbox.h"
#include "cloud/scope.h"
#include "cloud/security_report.h"
#include "cloud/settings_of.h"
#include "cloud/tenant.h"

/* RFC 9116, 2.5.5: less than a year; the file is made for each request, so it never runs out. */
#define SECURITY_TXT_DAYS 180

void api_security_txt(struct api_call *k)
{
    const struct settings *set = cloud_settings(k->cloud);
    char *const *uris = set->contact.security.items;
    char expires[32];
    if (set->contact.security.n == 0) {
        problem_reply(k->r, PROBLEM_NOT_FOUND, "no contact is set; POST /v1/security-reports takes reports");
        return;
    }
    k->r->status = 200;
    k->r->type = "text/plain; charset=utf-8";
    for (size_t i = 0; i < set->contact.security.n; i++)
        buf_addf(&k->r->body, "Contact: %s\n", uris[i]);
    buf_addf(&k->r->body, "Expires: %s\n", str_time((day_of(clock_real()) + SECURITY_TXT_DAYS) * DAY_US, expires));
    buf_addf(&k->r->body, "Preferred-Languages: %s\n", set->contact.languages);
    if (set->contact.canonical)
        buf_addf(&k->r->body, "Canonical: %s\n", set->contact.canonical);
}

/* "" also for a customer that does not exist: whether it does is nobody's business. */
static int dpo_of(struct api_call *k, const char *tenant, char ret[DPO_CONTACT_MAX + 1])
{
    struct scope s;
    uint64_t key_gen;
    ret[0] = '\0';
    if (!tenant || !tenant_is_customer(tenant))
        return 0;
    int r = cloud_db_take(k->cloud, &k->db);
    if (r == 0)
        r = scope_fenced(k->cloud, k->db, tenant, &s, &key_gen);
    if (r == 0)
        r = tenant_dpo_contact(&s, ret);
    return r == CLOUD_ABSENT ? 0 : r;
}

void api_contact(struct api_call *k)
{
    const struct settings *set = cloud_settings(k->cloud);
    char *const *uris = set->contact.security.items;
    char dpo[DPO_CONTACT_MAX + 1];
    int r = dpo_of(k, call_query(k, "tenant"), dpo);
    if (r != 0) {
        call_outcome(k, r, "contact");
        return;
    }
    json_t *security = json_array();
    for (size_t i = 0; i < set->contact.security.n; i++)
        whole_append(&security, jsontext_of(uris[i]));
    problem_json(k->r, 200,
                 json_pack("{s:o, s:{s:o, s:o}}", "data_protection", json_text_or_null(dpo), "operator",
                           "data_protection", json_text_or_null(set->contact.dpo ? set->contact.dpo : ""), "security",
                           security));
}

/* ---- reports ---- */

enum { F_URL, F_COMPANY, F_USER, F_INFORMATION, F_DEVICE, F_SYSTEM, F_STEPS, F_REPORTER, F_COUNT };

static const struct body_field report_fields[F_COUNT] = {
    [F_URL] = {.name = "url", .type = BODY_STRING, .max = 500},
    [F_COMPANY] = {.name = "company", .type = BODY_STRING, .max = 200},
    [F_USER] = {.name = "user", .type = BODY_STRING, .max = 200},
    [F_INFORMATION] = {.name = "information", .type = BODY_STRING, .required = true, .min = 1, .max = 500},
    [F_DEVICE] = {.name = "device", .type = BODY_STRING, .max = 200},
    [F_SYSTEM] = {.name = "operating_system", .type = BODY_STRING, .max = 200},
    [F_STEPS] = {.name = "steps", .type = BODY_STRINGS, .required = true, .min = 1, .max = 20},
    [F_REPORTER] = {.name = "reporter", .type = BODY_STRING, .max = 200},
};

/* The vendor's, whoever asks. */
static int vendor_scope(struct api_call *k, struct scope *ret)
{
    uint64_t key_gen;
    return scope_fenced(k->cloud, k->db, VENDOR_TENANT, ret, &key_gen);
}

/* To each contact that is a mail address, without a word of the report. A mail that cannot be queued takes nothing
 * away from the report, which is in the list. */
static int tell(const struct scope *s, const char *id)
{
    const struct settings *set = cloud_settings(s->c);
    char *const *uris = set->contact.security.items;
    char lang[3], when[MAIL_TIME];
    int r = 0;
    snprintf(lang, sizeof lang, "%s", set->contact.languages);
    const struct mail_arg args[] = {{"report", id}, {"time", mail_time(clock_real(), when)}};
    for (size_t i = 0; r == 0 && i < set->contact.security.n; i++) {
        if (strncmp(uris[i], "mailto:", 7) != 0 || !mail_address_valid(uris[i] + 7))
            continue;
        const struct mail m = {
            .to = uris[i] + 7, .lang = lang, .template = MAIL_SECURITY, .args = args, .n_args = ARRAY_LEN(args)};
        r = outbox_mail(s, &m);
        if (r == -EAGAIN) {
            log_warn("mail.unqueued", "tenant=%s template=%s reason=\"too many wait\"", s->tenant, "security");
            r = 0;
        }
    }
    return r;
}

static int add(struct api_call *k, const json_t *told, uint8_t ret_id[ID_LEN])
{
    struct scope s;
    char hex[2 * ID_LEN + 1];
    int r = vendor_scope(k, &s);
    if (r == 0)
        r = security_report_add(&s, told, clock_real(), ret_id);
    if (r == 0)
        r = tell(&s, str_hex(ret_id, ID_LEN, hex));
    if (r != 0)
        return r;
    const struct audit_event e = {.kind = "security.report",
                                  .outcome = AUDIT_DONE,
                                  .who = &k->who,
                                  .method = k->route->method,
                                  .route = k->route->pattern,
                                  .resource = hex};
    return audit_put(&s, &e);
}

static void received(struct api_call *k, int r, const uint8_t id[ID_LEN])
{
    char hex[2 * ID_LEN + 1];
    if (r == CLOUD_INVALID) {
        call_invalid(k, "", "is longer than %d bytes altogether", SECURITY_REPORT_BYTES);
    } else if (r == CLOUD_CONFLICT) {
        log_warn("security.full", "reports=%d action=refused", SECURITY_REPORTS_MAX);
        http_header(k->r, "Retry-After", "3600");
        problem_reply(k->r, PROBLEM_UNAVAILABLE, "no more reports can be kept; write to the contact instead");
    } else if (r != 0) {
        call_outcome(k, r, "report");
    } else {
        log_note("security.report", "id=%s", str_hex(id, ID_LEN, hex));
        problem_json(k->r, 202, json_pack("{s:o}", "reference", json_hex(id, ID_LEN)));
    }
}

/* Anybody's, so there is no Idempotency-Key: keys belong to a customer. */
void api_security_reports_create(struct api_call *k)
{
    struct body_value v[F_COUNT];
    uint8_t id[ID_LEN];
    json_t *told = NULL;
    if (!api_limit_report(k) || !body_read(k->q, report_fields, F_COUNT, v, &told, k->r))
        return;
    int r = cloud_db_take(k->cloud, &k->db);
    if (r == 0)
        r = cloud_begin(k->cloud, k->db);
    if (r == 0) {
        r = add(k, told, id);
        r = cloud_end(k->cloud, k->db, r);
    }
    json_decref(told);
    received(k, r, id);
}

static json_t *report_json(const struct security_report *x)
{
    return json_pack("{s:o, s:s, s:o, s:o}", "id", json_hex(x->id, ID_LEN), "state", security_state_name(x->state),
                     "created", json_time(x->created), "changed", json_time(x->changed));
}

void api_security_reports_list(struct api_call *k)
{
    struct call_span span;
    struct security_report_list l = {0};
    struct scope s;
    k->tenant = VENDOR_TENANT;
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = vendor_scope(k, &s);
    if (r == 0)
        r = security_report_list(&s, span.after, span.limit, &l);
    if (r != 0) {
        call_outcome(k, r, "list of reports");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++)
        whole_append(&items, report_json(&l.items[i]));
    call_page_by_id(k, items, l.more ? l.items[l.n - 1].id : NULL, ID_LEN);
    free(l.items);
}

/* The whole report. False: answered. */
static bool load(struct api_call *k, struct scope *ret_scope, uint8_t ret_id[ID_LEN], json_t **ret)
{
    struct security_report x;
    k->tenant = VENDOR_TENANT;
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = vendor_scope(k, ret_scope);
    if (r == 0)
        r = security_report_get(ret_scope, ret_id, &x);
    if (r != 0) {
        call_outcome(k, r, "report");
        return false;
    }
    json_t *o = report_json(&x);
    whole_set(&o, "report", x.damaged ? json_null() : x.told);
    *ret = o;
    return true;
}

void api_security_reports_get(struct api_call *k)
{
    struct scope s;
    uint8_t id[ID_LEN];
    json_t *o = NULL;
    if (!load(k, &s, id, &o))
        return;
    if (call_saw(k, "report", NULL, 0))
        call_resource(k, o, NULL);
    else
        json_decref(o);
}

void api_security_reports_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "state", .type = BODY_STRING, .required = true, .min = 1, .max = 10}};
    struct body_value v[1];
    struct scope s;
    uint8_t id[ID_LEN];
    enum security_state state;
    json_t *body = NULL, *o = NULL;
    if (!load(k, &s, id, &o))
        return;
    bool ok = call_match(k, o, NULL) && body_read(k->q, fields, 1, v, &body, k->r);
    json_decref(o);
    if (!ok)
        return;
    ok = security_state_find(v[0].s, &state);
    json_decref(body);
    if (!ok) {
        call_invalid(k, "state", "is new, open or closed");
        return;
    }
    int r = security_report_move(&s, id, state, clock_real());
    if (r != 0)
        call_outcome(k, r, "report");
    else if (load(k, &s, id, &o)) {
        if (call_saw(k, "report", NULL, 0))
            call_resource(k, o, NULL);
        else
            json_decref(o);
    }
}
