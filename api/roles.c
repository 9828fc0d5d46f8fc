/* /v1/permissions and /v1/roles: what there is to grant, and the bundles it is granted in. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/granted.h"

void api_permissions_list(struct api_call *k)
{
    json_t *items = json_array();
    for (unsigned i = 0; i < PERM_COUNT; i++)
        whole_append(&items, json_pack("{s:s, s:s, s:b}", "name", perm_name((enum perm)i), "help",
                                       perm_help((enum perm)i), "vendor", (PERM_VENDORS & PERM_BIT(i)) != 0));
    problem_json(k->r, 200, json_pack("{s:o}", "items", items));
}

static int of_who(struct api_call *k, const struct who *w, int64_t through, struct who *ret)
{
    *ret = *w;
    if (w->is != WHO_ACCOUNT)
        return 0;
    ret->rights.n = 0;
    if (strcmp(w->home, k->tenant) != 0) /* the vendor's: nothing of theirs is for good */
        return 0;
    return granted_rights(k->db, k->tenant, w->account, clock_real(), through, &ret->rights);
}

int call_lasting(struct api_call *k, int64_t through, struct lasting *ret)
{
    ret->call = *k;
    int r = of_who(k, &k->who, through, &ret->call.who);
    if (r == 0 && k->second) {
        r = of_who(k, k->second, through, &ret->second);
        ret->call.second = &ret->second;
    }
    return r;
}

static json_t *role_json(const struct role *t)
{
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "id", json_hex(t->id, ID_LEN), "name", t->name, "kind",
                     role_kind_name(t->kind), "permissions", json_perms(t->perms), "archived",
                     json_time_or_null(t->archived, 0), "created", json_time(t->created));
}

/* All on one page: there are few. */
void api_roles_list(struct api_call *k)
{
    struct role_list list = {0};
    int r = role_list(k->db, k->tenant, &list);
    if (r != 0) {
        call_outcome(k, r, "list of roles");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, role_json(&list.items[i]));
    role_list_done(&list);
    problem_json(k->r, 200, json_pack("{s:o}", "items", items));
}

/* What {id} names, as its preconditions want it; false: answered. */
static bool named(struct api_call *k, struct role *ret_role)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = role_get(k->db, k->tenant, id, ret_role);
    if (r != 0) {
        call_outcome(k, r, "role");
        return false;
    }
    json_t *now = role_json(ret_role);
    bool fits = call_match(k, now, NULL);
    json_decref(now);
    return fits;
}

void api_roles_get(struct api_call *k)
{
    struct role role;
    if (named(k, &role))
        call_resource(k, role_json(&role), NULL);
}

enum { F_NAME, F_PERMS, F_ARCHIVED, F_COUNT };

/* POST or PATCH into *role; false: answered. */
static bool read_role(struct api_call *k, bool is_new, struct role *role)
{
    const struct body_field fields[F_COUNT] = {
        [F_NAME] = {.name = "name", .type = BODY_STRING, .required = is_new, .min = 1, .max = ROLE_NAME_MAX},
        [F_PERMS] = {.name = "permissions", .type = BODY_STRINGS, .required = is_new, .min = 0, .max = PERM_COUNT},
        [F_ARCHIVED] = {.name = "archived", .type = BODY_BOOL},
    };
    struct body_value v[F_COUNT] = {{0}};
    json_t *body = NULL;
    if (!body_read(k->q, fields, is_new ? F_ARCHIVED : F_COUNT, v, &body, k->r))
        return false;
    bool ok =
        !v[F_PERMS].set || call_perms(k, "permissions", v[F_PERMS].list, role_perms_of_tenant(k->tenant), &role->perms);
    if (ok && v[F_NAME].set && str_copy(role->name, sizeof role->name, v[F_NAME].s) != 0) {
        call_invalid(k, "name", "is longer than %d bytes of UTF-8", ROLE_NAME_MAX);
        ok = false;
    }
    if (v[F_ARCHIVED].set && (v[F_ARCHIVED].i != 0) != (role->archived != 0))
        role->archived = v[F_ARCHIVED].i != 0 ? clock_real() : 0;
    json_decref(body);
    return ok;
}

/* Stores it unless who asks lacks something that it gave or will give: nobody gives what he does not hold, nor takes it
 * from those who do. False: answered. */
static bool put_role(struct api_call *k, const struct role *before, struct role *role)
{
    struct lasting as;
    uint64_t touched = before->perms | role->perms;
    int r = call_lasting(k, 0, &as);
    if (r != 0) {
        call_outcome(k, r, "role");
        return false;
    }
    for (unsigned i = 0; i < PERM_COUNT; i++) {
        if ((touched & PERM_BIT(i)) == 0 || call_everywhere(&as.call, (enum perm)i))
            continue;
        problem_reply(k->r, PROBLEM_FORBIDDEN,
                      "nobody gives or takes what he does not hold, and you do not hold %s for good and everywhere",
                      perm_name((enum perm)i));
        return false;
    }
    r = role_put(k->db, k->tenant, role);
    if (r == CLOUD_CONFLICT)
        problem_reply(k->r, PROBLEM_CONFLICT, "another role has this name");
    else if (r == CLOUD_INVALID && role->kind == ROLE_AUDITOR)
        problem_reply(k->r, PROBLEM_CONFLICT, "an Auditor reads the audit trail and nothing else");
    else if (r == CLOUD_INVALID)
        problem_reply(k->r, PROBLEM_CONFLICT, "there are %d roles, as many as there may be", ROLES_MAX);
    else if (r != 0)
        call_outcome(k, r, "role");
    return r == 0;
}

void api_roles_create(struct api_call *k)
{
    const struct role none = {0};
    struct role role = {.kind = ROLE_OWN, .created = clock_real()};
    if (!read_role(k, true, &role))
        return;
    int r = crypto_random(role.id, ID_LEN);
    if (r != 0) {
        call_outcome(k, r, "role");
        return;
    }
    if (!put_role(k, &none, &role))
        return;
    json_t *o = role_json(&role);
    call_tag(k, o, NULL);
    call_created(k, "/v1/roles/", role.id, ID_LEN, o);
}

void api_roles_patch(struct api_call *k)
{
    struct role before, role;
    if (!named(k, &before))
        return;
    role = before;
    if (!read_role(k, false, &role))
        return;
    if (role.kind == ROLE_OWNER) {
        problem_reply(k->r, PROBLEM_CONFLICT, "Owner holds everything, and stays");
        return;
    }
    if (put_role(k, &before, &role))
        call_resource(k, role_json(&role), NULL);
}
