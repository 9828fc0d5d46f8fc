/* /v1/settings: what a company has set for itself. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/granted.h"
#include "cloud/scope.h"
#include "cloud/settings_of.h"

struct all {
    struct tenant_settings set;
    char contact[DPO_CONTACT_MAX + 1];
};

static json_t *settings_json(const struct all *a)
{
    const struct tenant_settings *t = &a->set;
    bool all = t->second_factor == SECOND_FACTOR_ALL;
    return json_pack("{s:s, s:i, s:i, s:s, s:o, s:o, s:b, s:s, s:i, s:i, s:o}", "time_zone", t->time_zone, "week_start",
                     (int)t->week_start, "retention_days", (int)t->retention_days, "second_factor",
                     all                     ? "all"
                     : t->second_factor == 0 ? "optional"
                                             : "listed",
                     "second_factor_permissions", json_perms(all ? 0 : t->second_factor), "four_eyes",
                     json_perms(t->four_eyes), "presence", t->presence, "language", t->language, "session_idle_minutes",
                     (int)t->session_idle, "session_hours", (int)t->session_life, "dpo_contact",
                     json_text_or_null(a->contact));
}

/* As they are, if the preconditions want them so; false: answered. */
static bool load(struct api_call *k, struct scope *ret_scope, struct all *ret)
{
    int r = scope_init(k->cloud, k->db, k->tenant, ret_scope);
    if (r == 0)
        r = tenant_settings_get(k->db, k->tenant, &ret->set);
    if (r == 0)
        r = tenant_dpo_contact(ret_scope, ret->contact);
    if (r != 0) {
        call_outcome(k, r, "settings");
        return false;
    }
    json_t *now = settings_json(ret);
    bool fits = call_match(k, now, NULL);
    json_decref(now);
    return fits;
}

void api_settings_get(struct api_call *k)
{
    struct scope s;
    struct all a = {0};
    if (load(k, &s, &a))
        call_resource(k, settings_json(&a), NULL);
}

enum {
    F_ZONE,
    F_WEEK,
    F_RETENTION,
    F_FACTOR,
    F_FACTOR_PERMS,
    F_EYES,
    F_PRESENCE,
    F_LANGUAGE,
    F_IDLE,
    F_LIFE,
    F_CONTACT,
    F_COUNT
};

/* "optional", "all" or "listed" with a list; false: answered. */
static bool take_factor(struct api_call *k, const struct body_value *v, struct tenant_settings *t)
{
    const char *mode = v[F_FACTOR].set ? v[F_FACTOR].s : t->second_factor == SECOND_FACTOR_ALL ? "all" : "listed";
    uint64_t perms = t->second_factor == SECOND_FACTOR_ALL ? 0 : t->second_factor;
    if (v[F_FACTOR_PERMS].set &&
        !call_perms(k, "second_factor_permissions", v[F_FACTOR_PERMS].list, role_perms_of_tenant(k->tenant), &perms))
        return false;
    if (strcmp(mode, "all") == 0)
        t->second_factor = SECOND_FACTOR_ALL;
    else if (strcmp(mode, "optional") == 0)
        t->second_factor = 0;
    else if (strcmp(mode, "listed") == 0)
        t->second_factor = perms;
    else {
        call_invalid(k, "second_factor", "is not optional, all or listed");
        return false;
    }
    return true;
}

static bool take(struct api_call *k, const struct body_value *v, struct all *a)
{
    struct tenant_settings *t = &a->set;
    if (v[F_ZONE].set && !api_zone_known(k, v[F_ZONE].s))
        return false;
    if (v[F_ZONE].set) /* what is known is not too long */
        str_copy(t->time_zone, sizeof t->time_zone, v[F_ZONE].s);
    if (v[F_LANGUAGE].set &&
        (!language_known(v[F_LANGUAGE].s) || str_copy(t->language, sizeof t->language, v[F_LANGUAGE].s))) {
        call_invalid(k, "language", "is not en, de or ro");
        return false;
    }
    if (v[F_CONTACT].set && str_copy(a->contact, sizeof a->contact, v[F_CONTACT].null ? "" : v[F_CONTACT].s) != 0) {
        call_invalid(k, "dpo_contact", "is longer than %d bytes of UTF-8", DPO_CONTACT_MAX);
        return false;
    }
    t->week_start = v[F_WEEK].set ? (unsigned)v[F_WEEK].i : t->week_start;
    t->retention_days = v[F_RETENTION].set ? (unsigned)v[F_RETENTION].i : t->retention_days;
    t->presence = v[F_PRESENCE].set ? v[F_PRESENCE].i != 0 : t->presence;
    t->session_idle = v[F_IDLE].set ? (unsigned)v[F_IDLE].i : t->session_idle;
    t->session_life = v[F_LIFE].set ? (unsigned)v[F_LIFE].i : t->session_life;
    return take_factor(k, v, t) &&
           (!v[F_EYES].set ||
            call_perms(k, "four_eyes", v[F_EYES].list, role_perms_of_tenant(k->tenant) & api_askable(), &t->four_eyes));
}

static bool read_settings(struct api_call *k, struct all *a)
{
    static const struct body_field fields[F_COUNT] = {
        [F_ZONE] = {.name = "time_zone", .type = BODY_STRING, .min = 1, .max = TIME_ZONE_MAX},
        [F_WEEK] = {.name = "week_start", .type = BODY_UINT, .min = 1, .max = 7},
        [F_RETENTION] = {.name = "retention_days",
                         .type = BODY_UINT,
                         .min = RETENTION_DAYS_MIN,
                         .max = RETENTION_DAYS_MAX},
        [F_FACTOR] = {.name = "second_factor", .type = BODY_STRING, .min = 1, .max = 16},
        [F_FACTOR_PERMS] = {.name = "second_factor_permissions", .type = BODY_STRINGS, .max = PERM_COUNT},
        [F_EYES] = {.name = "four_eyes", .type = BODY_STRINGS, .max = PERM_COUNT},
        [F_PRESENCE] = {.name = "presence", .type = BODY_BOOL},
        [F_LANGUAGE] = {.name = "language", .type = BODY_STRING, .min = 2, .max = 2},
        [F_IDLE] = {.name = "session_idle_minutes",
                    .type = BODY_UINT,
                    .min = SESSION_IDLE_MIN,
                    .max = SESSION_IDLE_MAX},
        [F_LIFE] = {.name = "session_hours", .type = BODY_UINT, .min = SESSION_LIFE_MIN, .max = SESSION_LIFE_MAX},
        [F_CONTACT] = {.name = "dpo_contact", .type = BODY_STRING, .nullable = true, .min = 1, .max = DPO_CONTACT_MAX},
    };
    struct body_value v[F_COUNT] = {{0}};
    json_t *body = NULL;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    bool ok = take(k, v, a);
    json_decref(body);
    return ok;
}

/* Who wants four eyes needs two pairs: nobody could take it back alone. */
static bool enough_owners(struct api_call *k, const struct scope *s, const struct all *a)
{
    uint64_t owners = 0;
    int r = a->set.four_eyes ? granted_owners(s, clock_real(), NULL, NULL, &owners) : 0;
    if (r != 0)
        call_outcome(k, r, "settings");
    else if (a->set.four_eyes && owners < 2)
        problem_reply(k->r, PROBLEM_LAST_OWNER, "four eyes take two Owners, and there %s",
                      owners ? "is one" : "is none");
    else
        return true;
    return false;
}

void api_settings_patch(struct api_call *k)
{
    struct scope s;
    struct all a = {0};
    if (!load(k, &s, &a) || !read_settings(k, &a) || !enough_owners(k, &s, &a))
        return;
    int r = tenant_settings_put(&s, &a.set, a.contact);
    if (r != 0) {
        call_outcome(k, r, "settings");
        return;
    }
    call_location(k, "/v1/settings", "");
    call_resource(k, settings_json(&a), NULL);
}
