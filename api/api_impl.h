/* What the files of the API share.
 *   api.c              start and end, health, and the way of a request
 *   routes.c           the table of routes: who may do what
 *   auth.c             who asks, and what they may
 *   cookie.c           the same by the cookie of a session
 *   audit.c            what goes into the audit trail; trail.c hands it out
 *   call.c             parameters, cursors, outcomes: what every handler needs
 *   limit.c            how much one may ask for
 *   match.c            entity tags and preconditions
 *   write.c            the transaction of a request that changes something, and Idempotency-Key
 *   people.c ...       the handlers, a file a resource */
#pragma once

#include "api/api.h"
#include "api/body.h"
#include "api/cursor.h"
#include "api/ratelimit.h"
#include "cloud/audit.h"
#include "cloud/jsontext.h"
#include "cloud/token.h"
#include "cloud/who.h"
#include "wire/punch.h"
#include "wire/segment.h"

enum api_scope {
    SCOPE_OPEN,     /* anybody */
    SCOPE_SELF,     /* who has an account, for what is his own: no permission is asked for */
    SCOPE_TENANT,   /* who has the permission in the tenant */
    SCOPE_OPERATOR, /* the operator: no people, no punches */
};

enum api_flags {
    PERSONAL = 1 << 0, /* its answers show personal data: the handler calls call_saw() before a 2xx */
    STEP_UP = 1 << 1,  /* password and code were asked for a short while ago */
    /* Its handler looks at what the permission reaches (call_reaches_...(), call_everywhere()) and leaves out the rest.
     * Without this the permission is needed in the whole tenant. */
    REACHES = 1 << 2,
    /* Its handler is called on HTTP_LINE_PASSWORD first, in no transaction: it computes the hash, and answers or leaves
     * in q->carry what it found and sets go_on; it is called again then, as the route's effect says. */
    PASSWORD = 1 << 3,
    LONG = 1 << 5, /* it lets others write while it runs (http_others()), and never runs between two steps of another */
    ENROL = 1 << 4, /* also for who still lacks the second factor that the tenant wants */
    /* Its parameter `mode` or the member `dry_run` of its body may say that nothing is to be changed: no second pair of
     * eyes is wanted then. */
    REHEARSES = 1 << 6,
    AT_ONCE = 1 << 7, /* takes somebody's access away, or only proves: it waits for no second pair of eyes */
    BODY = 1 << 8,    /* it reads a body; elsewhere one is refused, so that nobody believes that it was heeded */
    /* Its answer holds what is shown this once: it goes to whoever asked, who may not read the rest, too. */
    ISSUES = 1 << 9,
};

enum api_effect {
    READS,
    /* Its handler runs within one transaction on k->db, committed when it answers 2xx and rolled back otherwise. It
     * holds the writers' gate: a write on another connection would wait for itself. */
    WRITES,
    WRITES_ALONE, /* its handler has transactions of its own, and no Idempotency-Key or one of its own doing */
};

struct api_call;
struct api_route {
    const char *method, *pattern; /* "{...}" stands for one segment, at most two in a pattern */
    enum api_scope scope;
    enum api_effect effect;
    void (*fn)(struct api_call *k);
    const char *const *query; /* parameters it knows, NULL-terminated; NULL: none */
    enum perm perm;           /* of SCOPE_TENANT */
    unsigned flags;           /* enum api_flags */
};

/* Of one request: its source, its token or session, its tenant, and one of its route. */
#define API_LIMITS_MAX 4

/* One request on its way; everything is borrowed and lives for the call. */
struct api_call {
    struct api *api;
    struct cloud *cloud;
    struct db *db; /* NULL for SCOPE_OPEN */
    const struct api_route *route;
    const struct http_request *q;
    struct http_reply *r;
    char param[80];  /* what stood for {...} */
    char param2[80]; /* and for the second one */
    struct who who;
    const struct who *second;         /* who approves what `who` asked for, when it is done with four eyes; else NULL */
    const char *tenant;               /* "" for the operator's token */
    int *unsure;                      /* what call_sure() met, of all copies of the call; 0: nothing */
    bool watching;                    /* asked again for a stream, not by somebody */
    bool probing;                     /* the reply goes to nobody: whether there is one is all that counts */
    bool saw;                         /* call_saw() was called */
    bool noted;                       /* call_changed() was */
    bool asked;                       /* it was not done: it waits for a second pair of eyes */
    const char *decision;             /* on what waits so; NULL: it is about none */
    json_t *once;                     /* of what is done with four eyes: see call_once(); else NULL */
    bool failed;                      /* login_failed() has put what is answered with 401 into the trail */
    const char *refusal;              /* kind of what was refused or failed, to be counted; NULL: by the reply */
    char refused_in[TENANT_MAX + 1];  /* whose trail that is for; "": `tenant` */
    bool go_on;                       /* see PASSWORD */
    void (*then)(struct api_call *k); /* of a route that WRITES: after its commit; the reply stands */
    struct ratelimit_state limits[API_LIMITS_MAX]; /* that it was counted by */
    size_t n_limits;
    char location[96]; /* path of the resource made or changed, for who repeats the request; "" for none */
};

/* All of them; the contract's test holds them against docs/openapi.yaml. */
const struct api_route *api_routes(size_t *ret_n);

const uint8_t *api_cursor_key(const struct api *a);
struct ratelimit *api_limits(const struct api *a);

/* ---- call.c; those that return bool have made the reply when they return false ---- */

/* A query parameter, NULL when absent. */
const char *call_query(const struct api_call *k, const char *name);
bool call_limit(struct api_call *k, size_t *ret_limit); /* ?limit: 1..1000, 100 when absent */
bool call_time(struct api_call *k, const char *name, bool *ret_has, int64_t *ret_us);
/* The {...} as n bytes in hex; 404 when it is not that: no such thing can exist. The second one likewise. */
bool call_id(struct api_call *k, void *ret, size_t n);
bool call_id2(struct api_call *k, void *ret, size_t n);
/* A query parameter of n bytes in hex; 400 when it is not. */
bool call_query_id(struct api_call *k, const char *name, void *ret, size_t n, bool *ret_has);

/* ?cursor for this route, its {...}, tenant and the named query parameters (NULL-terminated), as NUL-terminated text;
 * "" when absent. */
bool call_cursor(struct api_call *k, const char *const *filters, char ret_pos[CURSOR_POS_MAX + 1]);
/* The cursor of the page behind pos; pos NULL: there is none, "". False: the reply is made. */
bool call_next(struct api_call *k, const char *const *filters, const char *pos, char ret[CURSOR_TEXT_MAX]);
/* {"items": items (stolen), "next": cursor or null (pos NULL)}. */
void call_page(struct api_call *k, const char *const *filters, json_t *items, const char *pos);

/* A query parameter that is true or false; false when absent. */
bool call_query_bool(struct api_call *k, const char *name, bool *ret);

/* Lists in the order of ids of n bytes, at most ID_LEN: ?limit and ?cursor, and the page with the id it ends at (NULL:
 * it is the last); `filters` are the query parameters that choose what is in the list. */
struct call_span {
    size_t limit;
    uint8_t id[ID_LEN];
    const uint8_t *after; /* id, or NULL: from the start */
};
bool call_span_of(struct api_call *k, const char *const *filters, size_t n, struct call_span *ret_span);
void call_page_of(struct api_call *k, const char *const *filters, json_t *items, const uint8_t *last, size_t n);
/* Those without filters. */
bool call_span(struct api_call *k, size_t n, struct call_span *ret_span);
void call_page_by_id(struct api_call *k, json_t *items, const uint8_t *last, size_t n);

/* Of a list that is short enough to be there whole, each item with an `id`: the page that is asked for (items stolen).
 */
void call_slice(struct api_call *k, json_t *items);

/* Answers for an outcome of the store that is not 0: 404, 409, 400, or 500 and a line in the log. `what` names the
 * resource: "person". */
void call_outcome(struct api_call *k, int r, const char *what);
/* 400 for one member of the body. */
void call_invalid(struct api_call *k, const char *member, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Names of permissions, as PERM_BIT()s; 400 for the member when one is none, or is none of `possible`. */
bool call_perms(struct api_call *k, const char *member, const json_t *names, uint64_t possible, uint64_t *ret_perms);
json_t *json_perms(uint64_t perms);
/* What a request with an Idempotency-Key is answered with when it is repeated: this resource, as it is then. It is also
 * the one that the trail names, so it is said before call_changed(). */
void call_location(struct api_call *k, const char *prefix, const char *id);
void call_location_of(struct api_call *k, const char *prefix, const void *id, size_t n);
/* Puts into the answer what no other will show, a secret or a link. With four eyes nobody sees that answer, so it is
 * kept for who asked. */
void call_once(struct api_call *k, json_t **o, const char *member, const char *text);
/* 201 with that Location. */
void call_created(struct api_call *k, const char *location_prefix, const void *id, size_t n, json_t *body);

/* ---- auth.c: what the caller may ---- */

/* r, of something looked up to see whether it may be told of. When that did not work (r is not 0, CLOUD_ABSENT or
 * CLOUD_DAMAGED), a list would lack it without a word, and who may would be told that he may not: the answer to the
 * whole request is the failure then, whatever the handler makes of it. */
int call_sure(struct api_call *k, int r);

struct person;

/* Fills k->who and k->tenant and looks at the route's permission. False: the reply is made. */
bool api_authorised(struct api_call *k);
/* cookie.c: the same of a session's cookie; and whether the second factor was given that the tenant wants. */
bool api_by_cookie(struct api_call *k);
bool api_factor_given(struct api_call *k);
/* After k->who was filled with an account: k->tenant, which is another than the account's own when Punch-Tenant names
 * a customer who has let the vendor in, and what the account may there, of `perms`. False: the reply is made. */
bool api_enter(struct api_call *k, uint64_t perms);
/* vendor.c: what is asked of the vendor's people besides: a second factor, and the statement signed. */
bool api_vendor_let_in(struct api_call *k);
/* What the account k->who may in k->tenant now. CLOUD_ABSENT: it is another's, which has not let it in. */
int api_rights_of(struct api_call *k, struct rights *ret);
/* Whether k->who, and k->second, hold the route's permission as far as the route wants it. False: the reply is made. */
bool api_permitted(struct api_call *k);
bool api_permits(struct api_call *k);                                   /* the same without a reply */
bool api_stepped_up(struct api_call *k, const struct api_route *route); /* the same of password and code */
/* asked.c: in the place of the handler of a route that writes. True: the request was kept for somebody else to
 * approve, or could not be; the reply is made. */
bool api_asked(struct api_call *k);
bool api_asked_alone(struct api_call *k); /* the same of a route that WRITES_ALONE, in a transaction of its own */
uint64_t api_askable(void); /* the permissions that may want it, as PERM_BIT()s: what is read is not asked for */
/* api.c: by method and path of k->q, with k->param; NULL: the reply is made. */
const struct api_route *api_find_route(struct api_call *k);
/* In the whole tenant: nothing has to be looked at one by one. */
bool call_everywhere(struct api_call *k, enum perm p);
bool call_may(const struct api_call *k, enum perm p); /* anywhere at all */
/* By the person's unit, its site, or by name. */
bool call_reaches_person(struct api_call *k, enum perm p, const struct person *person);
bool call_reaches_site(struct api_call *k, enum perm p, const uint8_t site[ID_LEN]);
/* By name or by its site. */
bool call_reaches_unit(struct api_call *k, enum perm p, const uint8_t unit[ID_LEN]);

/* The same call with the rights only that last until `through` (0: for good): what outlasts a right is not given by
 * it. */
struct lasting {
    struct api_call call;
    struct who second;
};
int call_lasting(struct api_call *k, int64_t through, struct lasting *ret);

/* ---- audit.c: what was seen and changed ---- */

/* Personal data is about to be shown: whose, and which classes of field ("name contact"). It is on record when this
 * returns true; false: the reply is made. n may be 0: a list that shows nobody. */
bool call_saw(struct api_call *k, const char *fields, const struct subject *subjects, size_t n);
/* The same for people that are met one by one, each once in the trail. key NULL: it is looked up. */
struct shown {
    struct subject *items;
    size_t n, cap;
    bool failed;
};
void shown_add(struct shown *s, const uint8_t id[ID_LEN], const uint8_t *key);
size_t shown_once(struct shown *s); /* drops who is there more than once; how many are left */
bool call_saw_those(struct api_call *k, const char *fields, struct shown *s); /* empties s */
/* A route that WRITES was about this person, and changed these values (borrowed, may be NULL); it goes into the trail
 * with the transaction. Without it the trail says only that the route was used. */
bool call_changed(struct api_call *k, const struct subject *subject, json_t *old, json_t *now);
/* Of what is done with four eyes, for an event's detail: whose the second pair was. NULL: of nothing else, or memory.
 */
json_t *call_second(const struct api_call *k);
/* For api_write(): notes a request whose handler did not. */
int call_noted(struct api_call *k);
/* For dispatch: answered with 401 or 403, or k->refusal is set. */
void api_refused(struct api_call *k);

/* ---- limit.c; false: one too many, and the reply is made ---- */

bool api_limit_source(struct api_call *k); /* before anything else is looked at */
bool api_limit_who(struct api_call *k);    /* who and tenant are known */
bool api_limit_report(struct api_call *k); /* a security report, from anybody */
void api_limit_tell(struct api_call *k);   /* adds to the reply what is left */

/* ---- match.c; `live`: members that change by themselves, NULL-terminated; NULL: none ---- */

/* Answers with one resource (stolen), its tag, or with what its preconditions say. */
void call_resource(struct api_call *k, json_t *o, const char *const *live);
/* Before a change: whether If-Match and If-None-Match fit the resource as it is (borrowed). */
bool call_match(struct api_call *k, const json_t *current, const char *const *live);
void call_tag(struct api_call *k, const json_t *o, const char *const *live); /* adds the ETag header */
/* Whether a list of entity tags, as a client sent it, holds `tag` (without quotes), of which n characters count.
 * `strong`: a weak tag of the list fits nothing. A list that is none fits nothing. */
bool call_tag_listed(const char *list, const char *tag, size_t n, bool strong);

/* ---- write.c, and its way into the routes ---- */

void api_write(struct api_call *k);
/* Answers as GET of that path would; false: there is no reply, as the caller lacks the permission that it takes. */
bool api_get(struct api_call *k, const char *path);
/* Whether the caller may read what is at that path, as far as his right to read reaches; what nobody reads, he may. */
bool api_readable(struct api_call *k, const char *path);

/* Values for replies. */
json_t *json_hex(const void *p, size_t n);
json_t *json_time(int64_t us);
json_t *json_time_or_null(int64_t us, int64_t null_value);
json_t *json_text_or_null(const char *s); /* null for "" */
/* In the place of what is there and does not open: {"id", "damaged": true} */
json_t *json_damaged(const uint8_t id[ID_LEN]);

/* ---- text.c: the same as text, appended. Memory short or the buffer full: its failed is set ---- */

struct cred;
struct punch_row;
void text_raw(struct buf *b, const char *s); /* JSON already */
void text_string(struct buf *b, const char *s);
void text_int(struct buf *b, int64_t v);
#define TEXT_HEX_MAX 32
void text_hex(struct buf *b, const void *p, size_t n); /* at most TEXT_HEX_MAX bytes */
void text_time(struct buf *b, int64_t us);
void text_punch_id(struct buf *b, const uint8_t *segid, uint64_t index);
/* The last four characters of the number, and never more than half of it: some codes have four in all. Who knows a
 * whole number could make the card anew. In mem. */
const char *text_number_end(const struct cred *c, unsigned rendering, char mem[CRED_TEXT_MAX]);
/* whole: with the card's number, for nobody but who holds it. */
void text_punch(struct buf *b, const struct punch_row *p, bool whole);

/* ---- changes.c, for the stream, too ---- */

struct feed_item;
struct feed_pos;
#define POSITION_TEXT 80
void text_change(struct buf *b, const struct feed_item *item);
void change_shown(struct shown *s, const struct feed_item *item); /* whom it shows */
void position_text(const struct api_call *k, const struct feed_pos *pos, char ret[POSITION_TEXT]);
/* What position_text() wrote, or "0", which leaves *ret_pos as it is; false: the reply is made. */
bool call_position(struct api_call *k, const char *text, struct feed_pos *ret_pos);

/* ---- handlers ---- */
void api_health(struct api_call *k);
void api_ready(struct api_call *k);
void api_status(struct api_call *k);
void api_openapi(struct api_call *k);
void api_accounts_list(struct api_call *k);
void api_accounts_invite(struct api_call *k);
void api_accounts_get(struct api_call *k);
void api_accounts_patch(struct api_call *k);
void api_accounts_invitation(struct api_call *k);
void api_accounts_reset(struct api_call *k);
void api_accounts_factor(struct api_call *k);
void api_account_sessions(struct api_call *k);
void api_account_sessions_end(struct api_call *k);
void api_login(struct api_call *k);
/* Of a route that wants a password and no session: it comes from a browser where that login went well before, or with a
 * link that is good. */
bool api_login_known(struct api_call *k);
void api_login_second(struct api_call *k);
void api_session_get(struct api_call *k);
void api_session_delete(struct api_call *k);
void api_session_step_up(struct api_call *k);
void api_sessions_list(struct api_call *k);
void api_sessions_delete(struct api_call *k);
void api_invitation_accept(struct api_call *k);
void api_reset_ask(struct api_call *k);
void api_reset_accept(struct api_call *k);
void api_me_get(struct api_call *k);
void api_me_patch(struct api_call *k);
void api_me_password(struct api_call *k);
void api_me_factor_begin(struct api_call *k);
void api_me_factor_confirm(struct api_call *k);
void api_me_factor_delete(struct api_call *k);
void api_me_codes(struct api_call *k);
void api_people_list(struct api_call *k);
void api_people_create(struct api_call *k);
void api_people_get(struct api_call *k);
void api_people_patch(struct api_call *k);
void api_people_export(struct api_call *k);
void api_credentials_of(struct api_call *k);
void api_credentials_assign(struct api_call *k);
void api_credentials_get(struct api_call *k);
void api_credentials_unassign(struct api_call *k);
void api_credentials_waiting(struct api_call *k);
void api_security_txt(struct api_call *k);
void api_contact(struct api_call *k);
void api_security_reports_create(struct api_call *k);
void api_security_reports_list(struct api_call *k);
void api_security_reports_get(struct api_call *k);
void api_security_reports_patch(struct api_call *k);
void api_erasures_make(struct api_call *k);
void api_erasures_list(struct api_call *k);
void api_erasures_get(struct api_call *k);
void api_gateways_list(struct api_call *k);
void api_gateways_get(struct api_call *k);
void api_gateways_patch(struct api_call *k);
void api_gateways_revoke(struct api_call *k);
void api_gateway_generations(struct api_call *k);
void api_gateway_events(struct api_call *k);
void api_punches_list(struct api_call *k);
void api_readers_list(struct api_call *k);
void api_readers_get(struct api_call *k);
void api_readers_patch(struct api_call *k);
void api_permissions_list(struct api_call *k);
void api_roles_list(struct api_call *k);
void api_roles_create(struct api_call *k);
void api_roles_get(struct api_call *k);
void api_roles_patch(struct api_call *k);
void api_grants_list(struct api_call *k);
void api_grants_create(struct api_call *k);
void api_grants_get(struct api_call *k);
void api_grants_revoke(struct api_call *k);
void api_tokens_list(struct api_call *k);
void api_tokens_create(struct api_call *k);
void api_tokens_get(struct api_call *k);
void api_tokens_revoke(struct api_call *k);
void api_settings_get(struct api_call *k);
void api_settings_patch(struct api_call *k);
void api_approvals_list(struct api_call *k);
void api_approvals_get(struct api_call *k);
void api_approvals_body(struct api_call *k);
void api_approvals_answer(struct api_call *k);
void api_approvals_decide(struct api_call *k);
void api_sites_list(struct api_call *k);
void api_sites_create(struct api_call *k);
void api_sites_get(struct api_call *k);
void api_sites_patch(struct api_call *k);
void api_sites_delete(struct api_call *k);
void api_corrections_list(struct api_call *k);
void api_corrections_request(struct api_call *k);
void api_corrections_get(struct api_call *k);
void api_corrections_decide(struct api_call *k);
void api_imports_run(struct api_call *k);
/* False: answered. */
bool api_zone_known(struct api_call *k, const char *name);
void api_imports_list(struct api_call *k);
void api_imports_get(struct api_call *k);
void api_me_export(struct api_call *k);
void api_me_erasure(struct api_call *k);
void api_me_restriction(struct api_call *k);
void api_me_rectification(struct api_call *k);
void api_me_requests(struct api_call *k);
void api_me_request(struct api_call *k);
void api_requests_list(struct api_call *k);
void api_requests_decide(struct api_call *k);
void api_units_list(struct api_call *k);
void api_units_create(struct api_call *k);
void api_units_get(struct api_call *k);
void api_units_patch(struct api_call *k);
void api_webhooks_list(struct api_call *k);
void api_webhooks_create(struct api_call *k);
void api_webhooks_get(struct api_call *k);
void api_webhooks_patch(struct api_call *k);
void api_webhooks_delete(struct api_call *k);
void api_webhooks_secret(struct api_call *k);
void api_webhooks_ping(struct api_call *k);
void api_deliveries_list(struct api_call *k);
void api_deliveries_get(struct api_call *k);
void api_deliveries_again(struct api_call *k);
void api_tenants_list(struct api_call *k);
void api_tenants_create(struct api_call *k);
void api_tenants_get(struct api_call *k);
void api_tenants_patch(struct api_call *k);

void api_changes_list(struct api_call *k);
void api_stream(struct api_call *k);
void api_presence(struct api_call *k);
void api_invitations_list(struct api_call *k);
void api_invitations_create(struct api_call *k);
void api_invitations_get(struct api_call *k);
void api_invitations_revoke(struct api_call *k);
void api_gateways_enrol(struct api_call *k);

void api_confidentiality_get(struct api_call *k);
void api_confidentiality_sign(struct api_call *k);
void api_support_list(struct api_call *k);
void api_support_ask(struct api_call *k);
void api_support_get(struct api_call *k);
void api_support_decide(struct api_call *k);
void api_support_end(struct api_call *k);
void api_support_withdraw(struct api_call *k);
void api_support_events(struct api_call *k);
void api_support_summary(struct api_call *k);
void api_breakglass_list(struct api_call *k);
void api_breakglass_ask(struct api_call *k);
void api_breakglass_get(struct api_call *k);
void api_breakglass_second(struct api_call *k);
void api_breakglass_end(struct api_call *k);
void api_breakglass_withdraw(struct api_call *k);
void api_breakglass_review(struct api_call *k);
void api_breakglass_events(struct api_call *k);
void api_breakglass_summary(struct api_call *k);
/* ---- trail.c ---- */
void api_audit_list(struct api_call *k);
void api_audit_export(struct api_call *k);
void api_audit_key(struct api_call *k);
void api_audit_checkpoints(struct api_call *k);
void api_audit_checkpoint(struct api_call *k);

struct account;
struct session;
struct session_list;
struct scope;
json_t *api_account_json(const struct account *a);
json_t *api_session_json(const struct session *t);
json_t *api_sessions_json(const struct session_list *l);
/* The account of a person, by the person's key, with its sessions; JSON null where there is none. */
int api_account_export(const struct scope *s, const uint8_t key[ID_LEN], json_t **ret);
/* An account's grants that are not over, for its profile; NULL: memory or store. */
json_t *api_own_grants(const struct scope *s, const uint8_t account[ID_LEN]);
/* Whether who asks holds all that the account's grants give, now or later, as far and as long as they do. */
int api_covers(struct api_call *k, const uint8_t account[ID_LEN], bool *ret_covers);

struct credential;
struct gateway;
struct person;
struct reader;
/* Within the reach of the route's permission; false: the reply is made. */
bool call_gateway(struct api_call *k, const uint8_t gw[GW_LEN], struct gateway *ret);
json_t *api_person_json(const struct person *p);
json_t *api_reader_json(const struct reader *x);
/* Everything that is held about the person, as a document in pieces. */
void api_export_person(struct api_call *k, const struct person *p);
struct correction;
struct dsr;
json_t *api_correction_json(const struct correction *c, const uint8_t *person);
json_t *api_dsr_json(const struct dsr *d, const uint8_t *person);
/* Who asks, as it is kept with what he asks for: the account's id, or the token's of who has none. */
void api_author(const struct api_call *k, uint8_t ret_id[ID_LEN]);
struct subject api_subject(const struct person *p);
/* The person, if the caller's permission reaches them; false: answered, as if there were none. */
bool api_person_of(struct api_call *k, enum perm perm, const uint8_t id[ID_LEN], bool damaged_too,
                   struct person *ret_person);
json_t *api_credential_json(const struct credential *c);
/* The segment's id and the index within it: what never changes about a punch. */
json_t *api_punch_id(const uint8_t *segid, uint64_t index);
/* What the gateway's clock said: {"time", "real_us", "mono_us", "clock", "uncertainty_us"} */
json_t *api_original_json(int64_t real, uint64_t mono, uint8_t ck);
