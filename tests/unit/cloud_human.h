/* People with accounts, for tests: made in the store, logged in, and what they are granted. */
#pragma once

#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "tests/unit/cloud_fixture.h"

struct human {
    char tenant[TENANT_MAX + 1];
    struct account account;
    struct session session;
    char cookie[SESSION_TEXT];
};

static inline struct scope human_begin(struct fixture *f, struct db *db, const char *tenant)
{
    struct scope s;
    assert_int_equal(cloud_begin(f->c, db), 0);
    assert_int_equal(scope_init(f->c, db, tenant, &s), 0);
    return s;
}

/* A person of that name with an active account that has a second factor, logged in by it this very moment. */
static inline void human_make(struct fixture *f, struct db *db, const char *tenant, const char *login, struct human *h)
{
    const struct person_set set = {.name = login};
    struct person p;
    memset(h, 0, sizeof *h);
    struct scope s = human_begin(f, db, tenant);
    assert_int_equal(str_copy(h->tenant, sizeof h->tenant, tenant), 0);
    assert_int_equal(people_create(f->c, db, tenant, &set, &p), 0);
    h->account.state = ACCOUNT_ACTIVE;
    h->account.created = clock_real();
    h->account.has_totp = true;
    assert_int_equal(str_copy(h->account.login, sizeof h->account.login, login), 0);
    assert_int_equal(str_copy(h->account.language, sizeof h->account.language, "en"), 0);
    assert_int_equal(crypto_random(h->account.id, ID_LEN), 0);
    memcpy(h->account.person, p.id, ID_LEN);
    memcpy(h->account.key, p.key, KEY_ID_LEN);
    assert_int_equal(account_put(&s, &h->account), 0);
    h->session =
        (struct session){.factor = true, .stepped = clock_real(), .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US};
    assert_int_equal(session_make(&s, &h->account, &h->session, h->cookie), 0);
    assert_int_equal(cloud_commit(f->c, db), 0);
}

/* A grant of one of the shipped roles; until 0: for good. reach NULL: the tenant. */
static inline struct granted human_grant(struct fixture *f, struct db *db, const struct human *h, enum role_kind kind,
                                         const struct grant_reach *reach, int64_t until)
{
    struct scope s = human_begin(f, db, h->tenant);
    struct role role;
    struct granted g = {.reach = {.kind = REACH_TENANT}, .created = clock_real(), .ends = until, .reason = "test"};
    assert_int_equal(role_of_kind(db, h->tenant, kind, &role), 0);
    assert_int_equal(crypto_random(g.id, ID_LEN), 0);
    memcpy(g.account, h->account.id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    g.starts = g.created;
    if (reach)
        g.reach = *reach;
    assert_int_equal(granted_add(&s, &g), 0);
    assert_int_equal(cloud_commit(f->c, db), 0);
    return g;
}

/* As a page of ours in a browser sends it. */
static inline struct reply human_send(struct fixture *f, const struct human *h, const char *method, const char *path,
                                      const char *body)
{
    char cookie[128], csrf[SESSION_TEXT], header[96];
    assert_int_equal(session_csrf(h->cookie, csrf), 0);
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", h->cookie);
    snprintf(header, sizeof header, "Punch-CSRF: %s", csrf);
    const char *const extra[] = {"-H", cookie, "-H", header, "-H", "Content-Type: application/json", NULL};
    return request(&f->s, method, path, NULL, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

static inline void human_expect(struct fixture *f, const struct human *h, const char *method, const char *path,
                                const char *body, int status, const char *slug)
{
    struct reply r = human_send(f, h, method, path, body);
    if (r.status != status)
        print_error("%s %s: %d %s\n", method, path, r.status, r.body);
    if (slug)
        assert_problem(&r, status, slug);
    assert_int_equal(r.status, status);
    reply_done(&r);
}
