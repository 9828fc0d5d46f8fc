/* /v1/support-requests and /v1/break-glass: the vendor's people ask, the customer lets them in, watches and ends it.
 * One file for both, since what a customer sees of them is the same. */
#include "api/support.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/outbox.h"
#include "cloud/people_impl.h"
#include "cloud/tell.h"
#include "cloud/tenant.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define MINUTE_US (INT64_C(60) * 1000000)

bool support_of_vendor(const struct api_call *k)
{
    return strcmp(k->tenant, VENDOR_TENANT) == 0;
}

static const char *path_of(enum support_kind kind)
{
    return kind == SUPPORT_BREAK_GLASS ? "/v1/break-glass/" : "/v1/support-requests/";
}

/* ---- showing ---- */

static json_t *account_json(const uint8_t id[ID_LEN])
{
    static const uint8_t nobody[ID_LEN];
    return memcmp(id, nobody, ID_LEN) == 0 ? json_null() : json_hex(id, ID_LEN);
}

json_t *support_json(const struct support *p)
{
    bool emergency = p->kind == SUPPORT_BREAK_GLASS, was_open = p->perms != 0;
    json_t *reach = json_pack("{s:s, s:o}", "kind", reach_name(p->reach), "id",
                              p->reach == REACH_TENANT ? json_null() : json_hex(p->reach_id, ID_LEN));
    json_t *o =
        json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", json_hex(p->id, ID_LEN),
                  "tenant", p->tenant, "state", support_state_name(support_state_at(p, clock_real())), "requested_by",
                  account_json(p->account), "reason", p->damaged ? json_null() : jsontext_of(p->reason), "permissions",
                  json_perms(p->asked), "reach", reach, "granted", was_open ? json_perms(p->perms) : json_null(),
                  "created", json_time(p->created), "from", was_open ? json_time(p->starts) : json_null(), "until",
                  was_open ? json_time(p->ends) : json_null(), "ended", json_time_or_null(p->ended, 0));
    whole_set(&o, "ended_by", json_text_or_null(support_end_name(p->end)));
    if (emergency) {
        whole_set(&o, "minutes", json_integer(p->length / MINUTE_US));
        whole_set(&o, "category", json_string(support_category_name(p->category)));
        whole_set(&o, "seconded_by", account_json(p->second));
        whole_set(&o, "reviewed_by", account_json(p->reviewer));
        whole_set(&o, "reviewed", json_time_or_null(p->reviewed, 0));
        whole_set(&o, "findings", json_text_or_null(p->findings));
    } else {
        whole_set(&o, "hours", json_integer(p->length / HOUR_US));
        whole_set(&o, "ticket", p->damaged ? json_null() : jsontext_of(p->ticket));
        whole_set(&o, "decided_by", account_json(p->decider));
        whole_set(&o, "decided", json_time_or_null(p->starts, 0));
        whole_set(&o, "decision", json_text_or_null(p->decision));
    }
    return o;
}

/* ---- finding ---- */

bool support_customer(struct api_call *k, const char *tenant, struct scope *ret_s)
{
    int r = tenant_is_customer(tenant) ? scope_init(k->cloud, k->db, tenant, ret_s) : CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "customer");
    return r == 0;
}

/* Whose it is sees it, who reviews sees all, and break-glass whoever may be its second. */
static bool concerns(const struct api_call *k, const struct support *p)
{
    const struct rights *r = &k->who.rights;
    return memcmp(p->account, k->who.account, ID_LEN) == 0 || rights_any(r, PERM_BREAKGLASS_REVIEW) ||
           (p->kind == SUPPORT_BREAK_GLASS && rights_any(r, PERM_BREAKGLASS_REQUEST));
}

bool support_named(struct api_call *k, enum support_kind kind, struct scope *ret_s, struct support *ret_p)
{
    uint8_t id[ID_LEN];
    char tenant[TENANT_MAX + 1];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = support_of_vendor(k) ? support_locate(k->db, id, tenant) : str_copy(tenant, sizeof tenant, k->tenant);
    if (r == 0)
        r = scope_init(k->cloud, k->db, tenant, ret_s);
    if (r == 0)
        r = support_get(ret_s, id, ret_p);
    ret_s->tenant = ret_p->tenant;
    if (r == 0 && (ret_p->kind != kind || (support_of_vendor(k) && !concerns(k, ret_p))))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, support_kind_name(kind));
    return r == 0;
}

void support_outcome(struct api_call *k, int r)
{
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "it is not in a state for this any more; read it again");
    else
        call_outcome(k, r, "access");
}

void support_list_page(struct api_call *k, enum support_kind kind)
{
    struct call_span span;
    struct scope s;
    struct support_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    bool own = support_of_vendor(k) && !rights_any(&k->who.rights, PERM_BREAKGLASS_REVIEW) && kind == SUPPORT_REQUEST;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = support_list(&s, kind, own ? k->who.account : NULL, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, support_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    support_list_done(&list);
}

/* ---- telling ---- */

bool support_tell(struct api_call *k, const struct scope *s, const struct support *p, enum mail_template template)
{
    char id[2 * ID_LEN + 1], from[MAIL_TIME], until[MAIL_TIME];
    bool waits = p->state == SUPPORT_REQUESTED;
    int64_t begin = waits ? p->created : p->starts;
    const struct mail_arg ticket = {"ticket", p->ticket[0] ? p->ticket : str_hex(p->id, ID_LEN, id)};
    const struct mail_arg span[] = {
        ticket, {"from", mail_time(begin, from)}, {"until", mail_time(begin + p->length, until)}};
    const struct mail_arg approved[] = {ticket, {"until", mail_time(p->ends, until)}};
    struct scope theirs;
    int r = scope_init(k->cloud, k->db, VENDOR_TENANT, &theirs);
    if (r == 0 && (template == MAIL_SUPPORT_REQUEST || template == MAIL_BREAKGLASS))
        r = tell_holders(s, PERM_SUPPORT_APPROVE, NULL, template, span, ARRAY_LEN(span));
    else if (r == 0)
        r = template == MAIL_SUPPORT_APPROVED
                ? tell_account(&theirs, p->account, p->tenant, template, approved, ARRAY_LEN(approved))
                : tell_account(&theirs, p->account, p->tenant, template, &ticket, 1);
    if (r != 0)
        call_outcome(k, r, "mail");
    return r == 0;
}

static int note(struct api_call *k, const struct scope *s, const struct support *p, const char *kind)
{
    char id[2 * ID_LEN + 1];
    json_t *detail =
        json_pack("{s:s, s:s, s:o, s:I}", "customer", p->tenant, "state", support_state_name(p->state), "permissions",
                  json_perms(p->perms != 0 ? p->perms : p->asked), "minutes", (json_int_t)(p->length / MINUTE_US));
    const struct audit_event e = {.kind = kind,
                                  .outcome = AUDIT_DONE,
                                  .who = &k->who,
                                  .method = k->route->method,
                                  .route = k->route->pattern,
                                  .resource = str_hex(p->id, ID_LEN, id),
                                  .detail = detail};
    int r = detail ? audit_put(s, &e) : -ENOMEM;
    k->noted = k->noted || strcmp(s->tenant, k->tenant) == 0; /* in the trail of who asks once, not twice */
    json_decref(detail);
    json_t *o = json_pack("{s:s}", "id", id);
    if (r == 0 && tenant_is_customer(s->tenant))
        r = o ? outbox_event(s, kind, o) : -ENOMEM;
    json_decref(o);
    return r;
}

void support_answer(struct api_call *k, const struct scope *s, const struct support *p, const char *kind, bool created)
{
    struct scope theirs;
    int r = note(k, s, p, kind);
    if (r == 0)
        r = scope_init(k->cloud, k->db, VENDOR_TENANT, &theirs);
    if (r == 0)
        r = note(k, &theirs, p, kind);
    if (r != 0) {
        call_outcome(k, r, "audit trail");
        return;
    }
    char id[2 * ID_LEN + 1];
    if (created) {
        call_created(k, path_of(p->kind), p->id, ID_LEN, support_json(p));
        return;
    }
    call_location(k, path_of(p->kind), str_hex(p->id, ID_LEN, id));
    problem_json(k->r, 200, support_json(p));
}

/* ---- support requests ---- */

bool support_reach(struct api_call *k, const char *kind, const char *id, struct support *ret)
{
    enum reach_kind reach = REACH_TENANT;
    while (kind && reach <= REACH_PERSON && strcmp(reach_name(reach), kind) != 0)
        reach++;
    if (reach > REACH_PERSON)
        call_invalid(k, "reach", "is not tenant, site, unit or person");
    else if ((reach == REACH_TENANT) != (id == NULL))
        call_invalid(k, "reach_id", "names the site, unit or person; for the tenant it is left out");
    else if (id && str_unhex(id, ret->reach_id, ID_LEN) < 0)
        call_invalid(k, "reach_id", "is no id");
    else {
        ret->reach = reach;
        return true;
    }
    return false;
}

void api_support_list(struct api_call *k)
{
    support_list_page(k, SUPPORT_REQUEST);
}

static const char *const live[] = {"state", NULL};

void api_support_get(struct api_call *k)
{
    struct scope s;
    struct support p;
    if (support_named(k, SUPPORT_REQUEST, &s, &p))
        call_resource(k, support_json(&p), live);
}

static bool read_request(struct api_call *k, struct support *ret, struct scope *ret_s)
{
    enum { F_TENANT, F_TICKET, F_REASON, F_PERMS, F_REACH, F_REACH_ID, F_HOURS, F_COUNT };
    static const struct body_field fields[F_COUNT] = {
        [F_TENANT] = {.name = "tenant", .type = BODY_STRING, .required = true, .min = 1, .max = TENANT_MAX},
        [F_TICKET] = {.name = "ticket", .type = BODY_STRING, .required = true, .min = 1, .max = SUPPORT_TICKET_MAX},
        [F_REASON] = {.name = "reason", .type = BODY_STRING, .required = true, .min = 1, .max = SUPPORT_REASON_MAX},
        [F_PERMS] = {.name = "permissions", .type = BODY_STRINGS, .required = true, .min = 1, .max = PERM_COUNT},
        [F_REACH] = {.name = "reach", .type = BODY_STRING, .min = 1, .max = 16},
        [F_REACH_ID] = {.name = "reach_id", .type = BODY_STRING, .nullable = true, .min = 1, .max = 2LL * ID_LEN},
        [F_HOURS] = {.name = "hours", .type = BODY_UINT, .required = true, .min = 1, .max = SUPPORT_HOURS_MAX},
    };
    struct body_value v[F_COUNT];
    struct support p = {.kind = SUPPORT_REQUEST};
    json_t *body = NULL;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    p.length = v[F_HOURS].i * HOUR_US;
    bool ok = support_customer(k, v[F_TENANT].s, ret_s) && support_reach(k, v[F_REACH].s, v[F_REACH_ID].s, &p) &&
              call_perms(k, "permissions", v[F_PERMS].list, PERM_ALL & ~SUPPORT_NEVER, &p.asked);
    if (ok && str_copy(p.ticket, sizeof p.ticket, v[F_TICKET].s) != 0) {
        call_invalid(k, "ticket", "is longer than %d bytes of UTF-8", SUPPORT_TICKET_MAX);
        ok = false;
    } else if (ok && str_copy(p.reason, sizeof p.reason, v[F_REASON].s) != 0) {
        call_invalid(k, "reason", "is longer than %d bytes of UTF-8", SUPPORT_REASON_MAX);
        ok = false;
    }
    str_copy(p.tenant, sizeof p.tenant, v[F_TENANT].s);
    json_decref(body);
    if (ok)
        *ret = p;
    return ok;
}

void api_support_ask(struct api_call *k)
{
    struct scope s;
    struct support asked, p;
    if (!read_request(k, &asked, &s))
        return;
    s.tenant = asked.tenant;
    memcpy(asked.account, k->who.account, ID_LEN);
    int r = support_ask(&s, &asked, clock_real(), &p);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT,
                      "you have an access to this customer, or asked for one; withdraw that, or let it end");
    else if (r != 0)
        call_outcome(k, r, "support request");
    else if (support_tell(k, &s, &p, MAIL_SUPPORT_REQUEST))
        support_answer(k, &s, &p, "support.requested", true);
}

/* Nobody lets in to more than he holds himself, nor for longer. False: answered. */
static bool holds(struct api_call *k, const struct support *p, uint64_t perms, int64_t through)
{
    struct person person = {0};
    struct lasting as;
    int r = p->reach == REACH_PERSON ? people_get(k->cloud, k->db, k->tenant, p->reach_id, &person) : 0;
    if (r == 0)
        r = call_lasting(k, through, &as);
    bool ok = call_sure(k, r) == 0;
    for (unsigned i = 0; ok && i < PERM_COUNT; i++) {
        enum perm perm = (enum perm)i;
        if ((perms & PERM_BIT(perm)) == 0)
            continue;
        ok = p->reach == REACH_PERSON ? call_reaches_person(&as.call, perm, &person)
             : p->reach == REACH_SITE ? call_reaches_site(&as.call, perm, p->reach_id)
             : p->reach == REACH_UNIT ? call_reaches_unit(&as.call, perm, p->reach_id)
                                      : call_everywhere(&as.call, perm);
    }
    crypto_wipe(&person, sizeof person);
    if (!ok)
        problem_reply(k->r, PROBLEM_FORBIDDEN, "nobody lets in to more than he holds himself, nor for longer");
    return ok;
}

void api_support_decide(struct api_call *k)
{
    enum { F_APPROVE, F_REASON, F_PERMS, F_HOURS, F_COUNT };
    static const struct body_field fields[F_COUNT] = {
        [F_APPROVE] = {.name = "approve", .type = BODY_BOOL, .required = true},
        [F_REASON] = {.name = "reason", .type = BODY_STRING, .min = 1, .max = SUPPORT_REASON_MAX},
        [F_PERMS] = {.name = "permissions", .type = BODY_STRINGS, .min = 1, .max = PERM_COUNT},
        [F_HOURS] = {.name = "hours", .type = BODY_UINT, .min = 1, .max = SUPPORT_HOURS_MAX},
    };
    struct body_value v[F_COUNT];
    struct scope s;
    struct support p;
    json_t *body = NULL;
    if (!support_named(k, SUPPORT_REQUEST, &s, &p) || !body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return;
    char reason[SUPPORT_REASON_MAX + 1] = "";
    bool approve = v[F_APPROVE].i != 0, has_account = k->who.is == WHO_ACCOUNT;
    struct support_decision d = {.approve = approve,
                                 .decider = has_account ? k->who.account : NULL,
                                 .perms = p.asked,
                                 .length = v[F_HOURS].set ? v[F_HOURS].i * HOUR_US : p.length,
                                 .reason = reason};
    bool ok = !v[F_PERMS].set || call_perms(k, "permissions", v[F_PERMS].list, p.asked, &d.perms);
    if (ok && d.length > p.length) {
        call_invalid(k, "hours", "is more than was asked for");
        ok = false;
    } else if (ok && v[F_REASON].s && str_copy(reason, sizeof reason, v[F_REASON].s) != 0) {
        call_invalid(k, "reason", "is longer than %d bytes of UTF-8", SUPPORT_REASON_MAX);
        ok = false;
    }
    json_decref(body);
    if (!ok || (approve && !holds(k, &p, d.perms, clock_real() + d.length)))
        return;
    int r = support_decide(&s, p.id, &d, clock_real(), &p);
    if (r != 0)
        support_outcome(k, r);
    else if (support_tell(k, &s, &p, approve ? MAIL_SUPPORT_APPROVED : MAIL_SUPPORT_DENIED))
        support_answer(k, &s, &p, approve ? "support.approved" : "support.denied", false);
}

static void finish(struct api_call *k, enum support_kind kind, enum support_end how)
{
    struct scope s;
    struct support p;
    if (!support_named(k, kind, &s, &p))
        return;
    if (how == SUPPORT_END_VENDOR && memcmp(p.account, k->who.account, ID_LEN) != 0) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "only who asked for it withdraws it");
        return;
    }
    int r = support_end(&s, p.id, how, clock_real(), &p);
    if (r != 0)
        support_outcome(k, r);
    else
        support_answer(k, &s, &p, p.state == SUPPORT_WITHDRAWN ? "support.withdrawn" : "support.ended", false);
}

void api_support_end(struct api_call *k)
{
    finish(k, SUPPORT_REQUEST, SUPPORT_END_TENANT);
}

void api_support_withdraw(struct api_call *k)
{
    finish(k, SUPPORT_REQUEST, SUPPORT_END_VENDOR);
}

void api_breakglass_end(struct api_call *k)
{
    finish(k, SUPPORT_BREAK_GLASS, SUPPORT_END_TENANT);
}

void api_breakglass_withdraw(struct api_call *k)
{
    finish(k, SUPPORT_BREAK_GLASS, SUPPORT_END_VENDOR);
}
