/* /v1/tokens: an account's own ones, and those of a company for who looks after its accounts. */
#include <stdio.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/scope.h"

static json_t *ranges_json(const struct token *t)
{
    json_t *a = json_array();
    for (const char *p = t->ranges; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        whole_append(&a, json_stringn(p, n));
        p += n;
    }
    return a;
}

static json_t *day_json(int64_t day)
{
    char text[32];
    return day == 0 ? json_null() : json_stringn(str_time(day * DAY_US, text), 10);
}

static json_t *token_json(const struct token *t)
{
    int64_t now = clock_real();
    const char *state = t->revoked ? "revoked" : t->expires && t->expires <= now ? "expired" : "valid";
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "id", json_hex(t->id, TOKEN_ID_LEN),
                     "account", t->has_account ? json_hex(t->account, ID_LEN) : json_null(), "label",
                     jsontext_of(t->label), "permissions",
                     json_perms(t->has_account ? t->perms : PERM_ALL & ~PERM_VENDORS), "ranges", ranges_json(t),
                     "created", json_time(t->created), "expires", json_time_or_null(t->expires, 0), "revoked",
                     json_time_or_null(t->revoked, 0), "last_used", day_json(t->used), "state", state);
}

static const char *const live[] = {"state", "last_used", NULL};
static const char *const filters[] = {"all", NULL};

void api_tokens_list(struct api_call *k)
{
    struct call_span span;
    struct token_list list = {0};
    bool all = false, more = false;
    if (!call_span_of(k, filters, TOKEN_ID_LEN, &span) || !call_query_bool(k, "all", &all))
        return;
    if (all && !call_everywhere(k, PERM_ACCOUNTS_READ)) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "to see those of others needs the permission accounts.read");
        return;
    }
    int r = token_list_of(k->db, k->tenant, all ? NULL : k->who.account, span.after, span.limit, &list, &more);
    if (r != 0) {
        call_outcome(k, r, "list of tokens");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&items, token_json(&list.items[i]));
    call_page_of(k, filters, items, more ? list.items[list.n - 1].id : NULL, TOKEN_ID_LEN);
    token_list_done(&list);
}

/* What {id} names, one's own or, with the permission, anybody's; false: answered. */
static bool named(struct api_call *k, enum perm others, struct token *ret)
{
    uint8_t id[TOKEN_ID_LEN];
    if (!call_id(k, id, TOKEN_ID_LEN))
        return false;
    int r = token_get(k->db, k->tenant, id, ret);
    bool own = r == 0 && ret->has_account && memcmp(ret->account, k->who.account, ID_LEN) == 0;
    if (r == 0 && !own && !call_everywhere(k, others))
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "token");
    return r == 0;
}

void api_tokens_get(struct api_call *k)
{
    struct token t;
    if (named(k, PERM_ACCOUNTS_READ, &t))
        call_resource(k, token_json(&t), live);
}

static bool read_ranges(struct api_call *k, const json_t *list, char *ret, size_t size)
{
    size_t i, n = 0;
    json_t *j;
    ret[0] = '\0';
    json_array_foreach(list, i, j)
    {
        const char *s = json_string_value(j);
        struct address_net net;
        if (strlen(s) >= TOKEN_RANGE_MAX || address_net(s, &net) != 0) {
            call_invalid(k, "ranges", "\"%.60s\" is not of the form 192.0.2.0/24 or 2001:db8::/32", s);
            return false;
        }
        n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? " " : "", s);
    }
    return true;
}

/* Into *t; false: answered. */
static bool read_token(struct api_call *k, struct token *t)
{
    enum { F_LABEL, F_PERMS, F_EXPIRES, F_RANGES, F_COUNT };
    static const struct body_field fields[F_COUNT] = {
        [F_LABEL] = {.name = "label", .type = BODY_STRING, .required = true, .min = 1, .max = LABEL_MAX_LEN},
        [F_PERMS] = {.name = "permissions", .type = BODY_STRINGS, .required = true, .min = 1, .max = PERM_COUNT},
        [F_EXPIRES] = {.name = "expires", .type = BODY_TIME, .required = true},
        [F_RANGES] = {.name = "ranges", .type = BODY_STRINGS, .min = 1, .max = TOKEN_RANGES},
    };
    struct body_value v[F_COUNT] = {{0}};
    json_t *body = NULL;
    int64_t now = clock_real();
    bool ok = false;
    if (!body_read(k->q, fields, F_COUNT, v, &body, k->r))
        return false;
    t->expires = v[F_EXPIRES].i;
    if (str_copy(t->label, sizeof t->label, v[F_LABEL].s) != 0)
        call_invalid(k, "label", "is longer than %d bytes of UTF-8", LABEL_MAX_LEN);
    else if (t->expires <= now || t->expires - now > (TOKEN_LIFE_DAYS - 1) * DAY_US)
        call_invalid(k, "expires", "is not within a year from now");
    else
        ok = call_perms(k, "permissions", v[F_PERMS].list, rights_all(&k->who.rights), &t->perms) &&
             read_ranges(k, v[F_RANGES].list, t->ranges, sizeof t->ranges);
    json_decref(body);
    return ok;
}

void api_tokens_create(struct api_call *k)
{
    char text[TOKEN_TEXT_MAX] = "";
    struct scope s;
    struct token t = {0};
    memcpy(t.account, k->who.account, ID_LEN);
    if (!read_token(k, &t))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = token_make(&s, &t, text, &t);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT, "you have %d tokens, as many as there may be; revoke one", TOKENS_EACH);
    } else if (r != 0) {
        call_outcome(k, r, "token");
    } else {
        json_t *o = token_json(&t);
        whole_set(&o, "token", json_string(text)); /* this once */
        call_created(k, "/v1/tokens/", t.id, TOKEN_ID_LEN, o);
    }
    crypto_wipe(text, sizeof text);
}

void api_tokens_revoke(struct api_call *k)
{
    struct token t;
    char id[2 * TOKEN_ID_LEN + 1];
    if (!named(k, PERM_ACCOUNTS_CHANGE, &t))
        return;
    int r = t.revoked != 0 ? 0 : token_revoke(k->cloud, k->db, t.id);
    if (r == 0)
        r = token_get(k->db, k->tenant, t.id, &t);
    if (r != 0) {
        call_outcome(k, r, "token");
        return;
    }
    call_location(k, "/v1/tokens/", str_hex(t.id, TOKEN_ID_LEN, id));
    call_resource(k, token_json(&t), live);
}
