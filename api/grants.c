/* /v1/grants: who may what, where, from when until when, why, and by whom. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/account.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/settings_of.h"
#include "cloud/site.h"
#include "cloud/unit.h"

#define GRANTS_SHOWN 200 /* of one's own, those that are over included */

static json_t *reach_json(const struct grant_reach *reach)
{
    return json_pack("{s:s, s:o}", "kind", reach_name(reach->kind), "id",
                     reach->kind == REACH_TENANT ? json_null() : json_hex(reach->id, ID_LEN));
}

static const char *state_of(const struct granted *g, int64_t now)
{
    return g->revoked != 0                  ? "revoked"
           : g->ends != 0 && g->ends <= now ? "over"
           : g->starts > now                ? "planned"
                                            : "valid";
}

static json_t *by_json(const struct granted *g)
{
    return g->by_account ? json_hex(g->by, ID_LEN) : json_null();
}

static json_t *grant_json(const struct granted *g)
{
    json_t *reason = g->damaged ? json_null() : jsontext_of(g->reason);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "id", json_hex(g->id, ID_LEN),
                     "account", json_hex(g->account, ID_LEN), "role", json_hex(g->role, ID_LEN), "reach",
                     reach_json(&g->reach), "from", json_time(g->starts), "until", json_time_or_null(g->ends, 0),
                     "reason", reason, "granted_by", by_json(g), "created", json_time(g->created), "revoked",
                     json_time_or_null(g->revoked, 0), "state", state_of(g, clock_real()));
}

/* With what the role is called and allows: to look up roles takes a permission. */
static json_t *own_json(const struct scope *s, const struct granted *g)
{
    struct role role;
    if (role_get(s->db, s->tenant, g->role, &role) != 0)
        return NULL;
    json_t *o = grant_json(g);
    whole_set(&o, "role_name", jsontext_of(role.name));
    whole_set(&o, "permissions", json_perms(role.archived ? 0 : role.perms));
    return o;
}

json_t *api_own_grants(const struct scope *s, const uint8_t account[ID_LEN])
{
    struct granted_list list = {0};
    if (granted_list(s, account, NULL, GRANTS_SHOWN, &list) != 0)
        return NULL;
    json_t *items = json_array();
    int64_t now = clock_real();
    for (size_t i = 0; i < list.n; i++)
        if (list.items[i].revoked == 0 && (list.items[i].ends == 0 || list.items[i].ends > now))
            whole_append(&items, own_json(s, &list.items[i]));
    granted_list_done(&list);
    return items;
}

static const char *const live[] = {"state", NULL};

static const char *const filters[] = {"account", NULL};

void api_grants_list(struct api_call *k)
{
    struct call_span span;
    struct scope s;
    struct granted_list list = {0};
    uint8_t account[ID_LEN];
    bool has = false;
    if (!call_span_of(k, filters, ID_LEN, &span) || !call_query_id(k, "account", account, ID_LEN, &has))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = granted_list(&s, has ? account : NULL, span.after, span.limit, &list);
    if (r != 0) {
        call_outcome(k, r, "list of grants");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, grant_json(&list.items[i]));
    call_page_of(k, filters, items, list.more ? list.items[list.n - 1].id : NULL, ID_LEN);
    granted_list_done(&list);
}

/* What {id} names; false: answered. */
static bool named(struct api_call *k, struct scope *ret_scope, struct granted *ret_grant)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = scope_init(k->cloud, k->db, k->tenant, ret_scope);
    if (r == 0)
        r = granted_get(ret_scope, id, ret_grant);
    if (r != 0)
        call_outcome(k, r, "grant");
    return r == 0;
}

void api_grants_get(struct api_call *k)
{
    struct scope s;
    struct granted g;
    if (named(k, &s, &g))
        call_resource(k, grant_json(&g), live);
}

/* ---- who may give and take it ---- */

static bool reaches(struct api_call *k, enum perm p, const struct grant_reach *reach)
{
    struct person person;
    if (call_everywhere(k, p))
        return true;
    switch (reach->kind) {
    case REACH_SITE:
        return call_reaches_site(k, p, reach->id);
    case REACH_UNIT:
        return call_reaches_unit(k, p, reach->id);
    case REACH_PERSON:
        return call_sure(k, people_get(k->cloud, k->db, k->tenant, reach->id, &person)) == 0 &&
               call_reaches_person(k, p, &person);
    case REACH_TENANT:
        break;
    }
    return false;
}

static bool holds(struct api_call *k, const struct grant_reach *reach, uint64_t perms)
{
    for (unsigned i = 0; i < PERM_COUNT; i++)
        if ((perms & PERM_BIT(i)) != 0 && !reaches(k, (enum perm)i, reach))
            return false;
    return true;
}

/* Nobody gives more than he holds, for longer than he holds it, or takes what he could not have given. False:
 * answered. */
static bool may_give(struct api_call *k, const struct granted *g, bool taking)
{
    struct role role;
    struct lasting as;
    int r = role_get(k->db, k->tenant, g->role, &role);
    if (r == 0)
        r = call_lasting(k, taking ? clock_real() : g->ends, &as);
    if (r != 0) {
        call_outcome(k, r, "role");
        return false;
    }
    bool reached = reaches(&as.call, PERM_GRANTS_CHANGE, &g->reach);
    if (reached && holds(&as.call, &g->reach, role.perms))
        return true;
    if (taking && !reached) {
        call_outcome(k, CLOUD_ABSENT, "grant");
        return false;
    }
    problem_reply(k->r, PROBLEM_FORBIDDEN,
                  taking ? "this grant gives more than you hold, or reaches further: who holds it can revoke it"
                         : "nobody grants more than he holds, nor for longer, nor beyond what his own grant reaches");
    return false;
}

/* What an archived role held comes back when it is taken into use again. */
static int may_be(struct api_call *k, const struct granted *g, bool *ret)
{
    struct role role;
    struct lasting as;
    int r = role_get(k->db, k->tenant, g->role, &role);
    if (r == 0)
        r = call_lasting(k, g->ends, &as);
    if (r == 0)
        *ret = holds(&as.call, &g->reach, role.perms);
    return r;
}

int api_covers(struct api_call *k, const uint8_t account[ID_LEN], bool *ret_covers)
{
    struct scope s;
    struct granted_list list = {0};
    bool covers = true;
    int64_t now = clock_real();
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = granted_list(&s, account, NULL, 0, &list);
    for (size_t i = 0; r == 0 && covers && i < list.n; i++)
        if (list.items[i].revoked == 0 && (list.items[i].ends == 0 || list.items[i].ends > now))
            r = may_be(k, &list.items[i], &covers);
    granted_list_done(&list);
    if (r == 0)
        *ret_covers = covers;
    return r;
}

/* ---- making one ---- */

enum { F_ACCOUNT, F_ROLE, F_REACH, F_REACH_ID, F_FROM, F_UNTIL, F_REASON, F_COUNT };

static bool read_reach(struct api_call *k, const struct body_value *kind, const struct body_value *id,
                       struct grant_reach *ret)
{
    struct grant_reach reach = {.kind = REACH_TENANT};
    while (reach.kind <= REACH_PERSON && strcmp(reach_name(reach.kind), kind->s) != 0)
        reach.kind++;
    if (reach.kind > REACH_PERSON)
        call_invalid(k, "reach", "is not tenant, site, unit or person");
    else if ((reach.kind == REACH_TENANT) != (id->s == NULL))
        call_invalid(k, "reach_id", "names the site, unit or person; for the tenant it is left out");
    else if (id->s && str_unhex(id->s, reach.id, ID_LEN) < 0)
        call_invalid(k, "reach_id", "is no id");
    else {
        *ret = reach;
        return true;
    }
    return false;
}

/* Of the body what can be said without the store; false: answered. */
static bool read_grant(struct api_call *k, struct granted *g)
{
    static const struct body_field fields[F_COUNT] = {
        [F_ACCOUNT] = {.name = "account", .type = BODY_STRING, .required = true, .min = 1, .max = (int64_t)ID_LEN * 2},
        [F_ROLE] = {.name = "role", .type = BODY_STRING, .required = true, .min = 1, .max = (int64_t)ID_LEN * 2},
        [F_REACH] = {.name = "reach", .type = BODY_STRING, .required = true, .min = 1, .max = 16},
        [F_REACH_ID] =
            {.name = "reach_id", .type = BODY_STRING, .nullable = true, .min = 1, .max = (int64_t)ID_LEN * 2},
        [F_FROM] = {.name = "from", .type = BODY_TIME},
        [F_UNTIL] = {.name = "until", .type = BODY_TIME, .nullable = true},
        [F_REASON] = {.name = "reason", .type = BODY_STRING, .required = true, .min = 1, .max = GRANT_REASON_MAX},
    };
    struct body_value v[F_COUNT] = {{0}};
    json_t *body = NULL;
    bool ok = false;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    g->starts = v[F_FROM].set ? v[F_FROM].i : g->created;
    g->ends = v[F_UNTIL].set && !v[F_UNTIL].null ? v[F_UNTIL].i : 0;
    if (str_unhex(v[F_ACCOUNT].s, g->account, ID_LEN) < 0)
        call_invalid(k, "account", "is not the id of an account");
    else if (str_unhex(v[F_ROLE].s, g->role, ID_LEN) < 0)
        call_invalid(k, "role", "is not the id of a role");
    else if (g->ends != 0 && (g->ends <= g->starts || g->ends <= g->created))
        call_invalid(k, "until", "is not after the beginning, or over already");
    else if (str_copy(g->reason, sizeof g->reason, v[F_REASON].s) != 0)
        call_invalid(k, "reason", "is longer than %d bytes of UTF-8", GRANT_REASON_MAX);
    else
        ok = read_reach(k, &v[F_REACH], &v[F_REACH_ID], &g->reach);
    json_decref(body);
    return ok;
}

/* The site, unit or person is there. */
static int reach_exists(struct api_call *k, const struct grant_reach *reach)
{
    struct site site;
    struct unit unit;
    struct person person;
    switch (reach->kind) {
    case REACH_SITE:
        return site_get(k->cloud, k->db, k->tenant, reach->id, &site);
    case REACH_UNIT:
        return unit_get(k->cloud, k->db, k->tenant, reach->id, &unit);
    case REACH_PERSON:
        return people_get(k->cloud, k->db, k->tenant, reach->id, &person);
    case REACH_TENANT:
        break;
    }
    return 0;
}

/* What the body names is there and fits together; false: answered. */
static bool sensible(struct api_call *k, const struct scope *s, const struct granted *g)
{
    struct account account = {0};
    struct role role;
    int r = call_sure(k, account_find(s, g->account, &account));
    bool own = r == 0 && g->reach.kind == REACH_PERSON && memcmp(g->reach.id, account.person, ID_LEN) == 0;
    bool archived = r == 0 && account.state == ACCOUNT_ARCHIVED;
    account_wipe(&account);
    if (r != 0 || archived) {
        call_invalid(k, "account", "is not the id of an account in use");
        return false;
    }
    r = call_sure(k, role_get(k->db, k->tenant, g->role, &role));
    if (r != 0 || role.archived != 0) {
        call_invalid(k, "role", "is not the id of a role in use");
        return false;
    }
    if (call_sure(k, reach_exists(k, &g->reach)) != 0) {
        call_invalid(k, "reach_id", "there is no such %s", reach_name(g->reach.kind));
        return false;
    }
    const char *why = role_kind_refuses(role.kind, &g->reach, own, g->starts, g->ends);
    if (why)
        call_invalid(k, "role", "%s", why);
    return why == NULL;
}

void api_grants_create(struct api_call *k)
{
    struct scope s;
    struct granted g = {.created = clock_real(), .by_account = k->who.is == WHO_ACCOUNT};
    memcpy(g.by, k->who.account, ID_LEN);
    if (!read_grant(k, &g))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = crypto_random(g.id, ID_LEN);
    if (r != 0) {
        call_outcome(k, r, "grant");
        return;
    }
    if (!sensible(k, &s, &g) || !may_give(k, &g, false))
        return;
    r = granted_add(&s, &g);
    if (r == CLOUD_INVALID)
        problem_reply(k->r, PROBLEM_CONFLICT, "the account has %d grants, as many as there may be", RIGHTS_MAX);
    else if (r == 0)
        r = granted_settle(&s, g.created);
    if (r == CLOUD_INVALID)
        return;
    if (r != 0) {
        call_outcome(k, r, "grant");
        return;
    }
    json_t *o = grant_json(&g);
    call_tag(k, o, live);
    call_created(k, "/v1/grants/", g.id, ID_LEN, o);
}

/* False: answered. */
static bool revoke(struct api_call *k, const struct scope *s, struct granted *g)
{
    int64_t now = clock_real();
    int r = granted_may_go(s, NULL, g->id, now);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_LAST_OWNER, "make somebody else Owner first");
        return false;
    }
    if (r == 0)
        r = granted_revoke(s, g->id, now);
    if (r == 0)
        r = granted_get(s, g->id, g);
    if (r != 0)
        call_outcome(k, r, "grant");
    return r == 0;
}

void api_grants_revoke(struct api_call *k)
{
    struct scope s;
    struct granted g;
    if (!named(k, &s, &g))
        return;
    bool own = k->who.is == WHO_ACCOUNT && memcmp(g.account, k->who.account, ID_LEN) == 0;
    if (!own && !may_give(k, &g, true))
        return;
    if (g.revoked == 0 && !revoke(k, &s, &g))
        return;
    char id[2 * ID_LEN + 1];
    call_location(k, "/v1/grants/", str_hex(g.id, ID_LEN, id));
    call_resource(k, grant_json(&g), live);
}
