/* People with accounts, made in the store: a second factor, a session that begins this very moment, what they are
 * granted; and requests as one of them. How one logs in is tested elsewhere. */
#pragma once

#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "tests/unit/api_fixture.h"

struct human {
    char tenant[TENANT_MAX + 1];
    struct account account;
    struct session session;
    char cookie[SESSION_TEXT];
};

static inline struct human human_make(const char *tenant, const char *login)
{
    struct human h = {
        .account = {.state = ACCOUNT_ACTIVE, .created = clock_real(), .has_totp = true, .language = "en"}};
    struct person p;
    struct scope s = fixture_begin(&f, tenant);
    assert_int_equal(str_copy(h.tenant, sizeof h.tenant, tenant), 0);
    assert_int_equal(people_create(f.c, f.db, tenant, &(struct person_set){.name = login}, &p), 0);
    assert_int_equal(str_copy(h.account.login, sizeof h.account.login, login), 0);
    assert_int_equal(crypto_random(h.account.id, ID_LEN), 0);
    memcpy(h.account.person, p.id, ID_LEN);
    memcpy(h.account.key, p.key, KEY_ID_LEN);
    assert_int_equal(account_put(&s, &h.account), 0);
    h.session =
        (struct session){.factor = true, .stepped = clock_real(), .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US};
    assert_int_equal(session_make(&s, &h.account, &h.session, h.cookie), 0);
    fixture_commit(&f);
    return h;
}

/* A grant of one of the shipped roles; until 0: for good. reach NULL: the tenant. */
static inline struct granted human_grant(const struct human *h, enum role_kind kind, const struct grant_reach *reach,
                                         int64_t until)
{
    struct scope s = fixture_begin(&f, h->tenant);
    struct role role;
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .ends = until, .reason = "test"};
    assert_int_equal(role_of_kind(f.db, h->tenant, kind, &role), 0);
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    memcpy(g.account, h->account.id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    g.starts = g.created;
    if (reach)
        g.reach = *reach;
    assert_int_equal(granted_add(&s, &g), 0);
    fixture_commit(&f);
    return g;
}

/* With that role in the whole tenant. */
static inline struct human human_with(const char *tenant, const char *login, enum role_kind kind)
{
    struct human h = human_make(tenant, login);
    (void)human_grant(&h, kind, NULL, 0);
    return h;
}

/* As a page of ours in a browser sends it. in: Punch-Tenant, or NULL. body NULL: none. */
static inline struct reply as_in(const struct human *h, const char *in, const char *method, const char *path,
                                 const char *body)
{
    char cookie[128], csrf[SESSION_TEXT], proof[96], tenant[128];
    const char *extra[] = {"-H", cookie, "-H", proof, "-H", "Content-Type: application/json", "-H", tenant, NULL};
    assert_int_equal(session_csrf(h->cookie, csrf), 0);
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", h->cookie);
    snprintf(proof, sizeof proof, "Punch-CSRF: %s", csrf);
    snprintf(tenant, sizeof tenant, "Punch-Tenant: %s", in ? in : "");
    if (!in)
        extra[6] = NULL;
    return request(&f.s, method, path, NULL, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

static inline struct reply as(const struct human *h, const char *method, const char *path, const char *body)
{
    return as_in(h, NULL, method, path, body);
}
