/* People with accounts, made in the store of a punchcloud that does not run: a table of some thousand requests has no
 * time to wait for mails and passwords. Everything from the session on is the program's own business.
 *
 * humans CONFIG < [{"tenant", "login", "grants": [{"role": kind, "reach", "reach_id"?}], "tokens": [{"permissions",
 * "seconds"}]}] > [{"account", "person", "cookie", "csrf", "grants": [id], "tokens": [{"id", "token"}]}] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/scope.h"
#include "cloud/session.h"

#define MUST(x)                                                                    \
    do {                                                                           \
        int must_ = (x);                                                           \
        if (must_ != 0) {                                                          \
            fprintf(stderr, "humans: line %d: %s gave %d\n", __LINE__, #x, must_); \
            _exit(1);                                                              \
        }                                                                          \
    } while (0)

static struct cloud *cloud;
static struct db *db;

static const char *text(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    return s ? s : "";
}

static json_t *hex(const uint8_t *id, size_t n)
{
    char s[2 * ID_LEN + 1];
    return json_string(str_hex(id, n, s));
}

static void make_account(const struct scope *s, const char *login, struct account *a)
{
    struct person p;
    MUST(people_create(cloud, db, s->tenant, &(struct person_set){.name = login}, &p));
    *a = (struct account){.state = ACCOUNT_ACTIVE, .has_totp = true, .created = clock_real(), .language = "en"};
    MUST(str_copy(a->login, sizeof a->login, login));
    MUST(crypto_random(a->id, ID_LEN));
    memcpy(a->person, p.id, ID_LEN);
    memcpy(a->key, p.key, KEY_ID_LEN);
    MUST(account_put(s, a));
}

/* Within what its kind allows: an Inspector for a day, an Employee for himself. */
static json_t *make_grant(const struct scope *s, const struct account *a, const json_t *what)
{
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .reason = "test"};
    struct role role = {0};
    int kind = ROLE_OWNER;
    while (kind < ROLE_KINDS && strcmp(role_kind_name((enum role_kind)kind), text(what, "role")) != 0)
        kind++;
    MUST(kind == ROLE_KINDS);
    MUST(role_of_kind(db, s->tenant, (enum role_kind)kind, &role));
    while (g.reach.kind < REACH_PERSON && strcmp(reach_name(g.reach.kind), text(what, "reach")) != 0)
        g.reach.kind++;
    if (*text(what, "reach_id"))
        MUST(str_unhex(text(what, "reach_id"), g.reach.id, ID_LEN));
    else if (g.reach.kind == REACH_PERSON)
        memcpy(g.reach.id, a->person, ID_LEN);
    MUST(crypto_random(g.id, ID_LEN));
    memcpy(g.account, a->id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    g.starts = g.created;
    g.ends = role.kind == ROLE_INSPECTOR ? g.created + DAY_US : 0;
    MUST(granted_add(s, &g));
    return hex(g.id, ID_LEN);
}

static json_t *make_token(const struct scope *s, const struct account *a, json_t *what)
{
    struct token t = {.label = "test"};
    char secret[TOKEN_TEXT_MAX];
    size_t i;
    json_t *name;
    enum perm p;
    memcpy(t.account, a->id, ID_LEN);
    t.expires = clock_real() + json_integer_value(json_object_get(what, "seconds")) * 1000000;
    json_array_foreach(json_object_get(what, "permissions"), i, name)
    {
        MUST(!perm_find(json_string_value(name), &p));
        t.perms |= PERM_BIT(p);
    }
    MUST(token_make(s, &t, secret, &t));
    return json_pack("{s:o, s:s}", "id", hex(t.id, TOKEN_ID_LEN), "token", secret);
}

static json_t *make(json_t *what)
{
    struct scope s;
    struct account a;
    struct session t = {.factor = true, .stepped = clock_real(), .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US};
    char cookie[SESSION_TEXT], csrf[SESSION_TEXT];
    json_t *grants = json_array(), *tokens = json_array(), *x;
    size_t i;
    MUST(cloud_begin(cloud, db));
    MUST(scope_init(cloud, db, text(what, "tenant"), &s));
    make_account(&s, text(what, "login"), &a);
    json_array_foreach(json_object_get(what, "grants"), i, x) json_array_append_new(grants, make_grant(&s, &a, x));
    MUST(session_make(&s, &a, &t, cookie));
    json_array_foreach(json_object_get(what, "tokens"), i, x) json_array_append_new(tokens, make_token(&s, &a, x));
    MUST(cloud_commit(cloud, db));
    MUST(session_csrf(cookie, csrf));
    return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o}", "account", hex(a.id, ID_LEN), "person", hex(a.person, ID_LEN),
                     "cookie", cookie, "csrf", csrf, "grants", grants, "tokens", tokens);
}

int main(int argc, char **argv)
{
    struct settings set;
    struct conf *conf = NULL;
    json_t *asked = json_loadf(stdin, 0, NULL), *made = json_array(), *x;
    size_t i;
    MUST(argc != 2 || !asked);
    MUST(crypto_init());
    MUST(settings_load(argv[1], &set, &conf));
    MUST(cloud_open(&set, &cloud));
    MUST(cloud_db_take(cloud, &db));
    json_array_foreach(asked, i, x) json_array_append_new(made, make(x));
    json_dumpf(made, stdout, JSON_COMPACT);
    json_decref(asked);
    json_decref(made);
    cloud_db_give(cloud, db);
    cloud_close(cloud);
    conf_free(conf);
    return 0;
}
