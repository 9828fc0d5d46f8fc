/* /v1/gateway-invitations, and POST /v1/gateways/enrol, which a technician calls with the code of one and no account.
 */
#include <string.h>
#include <strings.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/invitation.h"
#include "cloud/scope.h"
#include "cloud/throttle.h"

static const char *state_of(const struct invitation *i)
{
    return i->used ? "used" : i->revoked ? "revoked" : i->expires <= clock_real() ? "expired" : "open";
}

static json_t *invitation_json(const struct invitation *i)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", json_hex(i->id, ID_LEN), "state",
                     state_of(i), "site", jsontext_of(i->site), "site_id", json_hex(i->site_id, ID_LEN), "created",
                     json_time(i->created), "until", json_time(i->expires), "used", json_time_or_null(i->used, 0),
                     "revoked", json_time_or_null(i->revoked, 0), "gateway",
                     i->used ? json_hex(i->gw, GW_LEN) : json_null());
}

void api_invitations_list(struct api_call *k)
{
    struct call_span span;
    struct invitation_list list = {0};
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = invitation_list(k->db, k->tenant, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of invitations");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (call_reaches_site(k, k->route->perm, list.items[i].site_id))
            whole_append(&items, invitation_json(&list.items[i]));
    call_page_by_id(k, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    invitation_list_done(&list);
}

/* Its site within reach; false: answered. */
static bool named(struct api_call *k, uint8_t ret_id[ID_LEN], struct invitation *ret)
{
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = invitation_get(k->db, k->tenant, ret_id, ret);
    if (r == 0 && !call_reaches_site(k, k->route->perm, ret->site_id))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "invitation");
    return r == 0;
}

void api_invitations_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct invitation i;
    if (named(k, id, &i))
        call_resource(k, invitation_json(&i), NULL);
}

void api_invitations_revoke(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct invitation i;
    if (!named(k, id, &i))
        return;
    json_t *now = invitation_json(&i);
    const bool fits = call_match(k, now, NULL);
    json_decref(now);
    if (!fits)
        return;
    int r = invitation_revoke(k->cloud, k->db, k->tenant, id);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "it was used; revoke the gateway");
    else if (r != 0)
        call_outcome(k, r, "invitation");
    else
        k->r->status = 204;
}

/* The code is shown here and nowhere again: a repeat under the same Idempotency-Key shows the invitation without it. */
static void reply_new(struct api_call *k, const struct invitation *i, const char *code)
{
    json_t *o = invitation_json(i);
    call_tag(k, o, NULL);
    call_once(k, &o, "code", code);
    call_created(k, "/v1/gateway-invitations/", i->id, ID_LEN, o);
}

void api_invitations_create(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "site_id",
                                                .type = BODY_STRING,
                                                .required = true,
                                                .min = 2 * (int64_t)ID_LEN,
                                                .max = 2 * (int64_t)ID_LEN},
                                               {.name = "until", .type = BODY_TIME}};
    struct body_value v[ARRAY_LEN(fields)];
    struct invitation i;
    uint8_t site[ID_LEN];
    char code[INVITATION_CODE];
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    bool known = str_unhex(v[0].s, site, ID_LEN) == 0 && call_reaches_site(k, k->route->perm, site);
    json_decref(body);
    int r = !known ? CLOUD_ABSENT
                   : invitation_add(k->cloud, k->db, k->tenant, site,
                                    v[1].set ? v[1].i : clock_real() + INVITATION_LIFE_US, code, &i);
    if (r == CLOUD_ABSENT)
        call_invalid(k, "site_id", "is no site");
    else if (r == CLOUD_INVALID)
        call_invalid(k, "until", "is not within 7 days from now");
    else if (r != 0)
        call_outcome(k, r, "site");
    else
        reply_new(k, &i, code);
    crypto_wipe(code, sizeof code);
}

/* ---- enrolling ---- */

static void wait_first(struct api_call *k, unsigned seconds)
{
    k->refusal = "login.delayed";
    http_header(k->r, "Retry-After", "%u", seconds);
    problem_reply(k->r, PROBLEM_ATTEMPTS, "wrong codes came from this address; wait %u s", seconds);
}

static void wrong_code(struct api_call *k, const struct attempt *a, int64_t now)
{
    bool alarm;
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0) {
        r = attempt_failed(k->db, a, now, &alarm);
        r = cloud_end(k->cloud, k->db, r);
    }
    if (r != 0) {
        call_outcome(k, r, "invitation");
        return;
    }
    k->refusal = "link";
    http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\", error=\"invalid_token\"");
    problem_reply(k->r, PROBLEM_TOKEN_UNKNOWN, "no open invitation has this code: it may be used, revoked or expired");
}

/* In the transaction. */
static int note(struct api_call *k, const struct gateway *g)
{
    struct scope s;
    struct who who = {.is = WHO_NOBODY};
    char id[2 * GW_LEN + 1];
    const struct audit_event e = {.kind = "gateways.enrol",
                                  .outcome = AUDIT_DONE,
                                  .who = &who,
                                  .method = k->route->method,
                                  .route = k->route->pattern,
                                  .resource = str_hex(g->gw, GW_LEN, id)};
    str_copy(who.home, sizeof who.home, g->tenant);
    str_copy(who.address, sizeof who.address, k->q->address ? k->q->address : "");
    int r = scope_init(k->cloud, k->db, g->tenant, &s);
    return r == 0 ? audit_put(&s, &e) : r;
}

static int use(struct api_call *k, const char *code, int64_t now)
{
    struct invitation i;
    struct gateway g;
    int r = cloud_begin(k->cloud, k->db);
    if (r != 0)
        return r;
    r = invitation_use(k->cloud, k->db, code, k->q->body, now, &k->r->body, &g, &i);
    if (r == 0)
        r = note(k, &g);
    return cloud_end(k->cloud, k->db, r);
}

static void enrol(struct api_call *k, const char *code)
{
    struct attempt a;
    unsigned wait = 0;
    int64_t now = clock_real();
    int r = attempt_init(k->cloud, k->db, ATTEMPT_LINK, "", "", NULL, k->q->address ? k->q->address : "", &a);
    if (r == 0)
        r = attempt_wait(k->db, &a, now, &wait);
    if (r == 0 && wait > 0) {
        wait_first(k, wait);
        return;
    }
    if (r == 0)
        r = use(k, code, now);
    if (r == 0) {
        k->r->status = 200;
        k->r->type = "text/plain";
    } else if (r == INVITATION_BAD) {
        wrong_code(k, &a, now);
    } else if (r == CLOUD_INVALID) {
        problem_reply(k->r, PROBLEM_INVALID, "the body is not what `punchgate keygen` wrote; the code is still good");
    } else if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT,
                      "this gateway is known already; the operator can add it anew, or give it new keys: the code is "
                      "still good");
    } else {
        call_outcome(k, r, "invitation");
    }
}

void api_gateways_enrol(struct api_call *k)
{
    const char *h = k->q->authorization, *type = k->q->content_type;
    if (!h || strncasecmp(h, "Bearer ", 7) != 0) {
        http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\"");
        problem_reply(k->r, PROBLEM_TOKEN_MISSING, "send Authorization: Bearer and the code of the invitation");
        return;
    }
    if (!type || strncasecmp(type, "text/plain", 10) != 0) {
        problem_reply(k->r, PROBLEM_MEDIA_TYPE, "send what `punchgate keygen` wrote as Content-Type: text/plain");
        return;
    }
    int r = cloud_db_take(k->cloud, &k->db);
    if (r != 0)
        call_outcome(k, r, "store");
    else
        enrol(k, h + 7 + strspn(h + 7, " "));
}
