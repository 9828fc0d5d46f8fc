/* People with accounts for the unit tests: a person, an account, a role and a session with its second factor, made in
 * the store; and requests as one of them. How one logs in is tested elsewhere. */
#pragma once

#include "cloud/account.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "tests/unit/cloud_fixture.h"

struct actor {
    const char *tenant;
    struct account account;
    char cookie[SESSION_TEXT], csrf[SESSION_TEXT];
};

/* role ROLE_OWN: none. */
static inline struct actor actor_make(struct fixture *f, const char *tenant, const char *login, enum role_kind role)
{
    struct actor a = {.tenant = tenant};
    struct person p;
    struct scope s;
    struct role r;
    struct db *db = NULL;
    struct session t = {.factor = true, .idle = SESSION_IDLE_US, .life = SESSION_LIFE_US, .stepped = clock_real()};
    struct granted g = {.reach = {.kind = REACH_TENANT}, .starts = clock_real(), .created = clock_real()};
    assert_int_equal(cloud_db_take(f->c, &db), 0);
    assert_int_equal(cloud_begin(f->c, db), 0);
    assert_int_equal(scope_init(f->c, db, tenant, &s), 0);
    assert_int_equal(people_create(f->c, db, tenant, &(struct person_set){.name = login}, &p), 0);
    a.account = (struct account){.state = ACCOUNT_ACTIVE, .language = "en", .created = clock_real()};
    assert_int_equal(str_copy(a.account.login, sizeof a.account.login, login), 0);
    assert_int_equal(crypto_random(a.account.id, ID_LEN), 0);
    memcpy(a.account.person, p.id, ID_LEN);
    memcpy(a.account.key, p.key, ID_LEN);
    assert_int_equal(account_put(&s, &a.account), 0);
    if (role != ROLE_OWN) {
        assert_int_equal(role_of_kind(db, tenant, role, &r), 0);
        assert_int_equal(crypto_random(g.id, ID_LEN), 0);
        memcpy(g.account, a.account.id, ID_LEN);
        memcpy(g.role, r.id, ID_LEN);
        assert_int_equal(granted_add(&s, &g), 0);
    }
    assert_int_equal(session_make(&s, &a.account, &t, a.cookie), 0);
    assert_int_equal(session_csrf(a.cookie, a.csrf), 0);
    assert_int_equal(cloud_commit(f->c, db), 0);
    cloud_db_give(f->c, db);
    return a;
}

/* `in`: Punch-Tenant, or NULL. body NULL: none. */
static inline struct reply as_actor(struct fixture *f, const struct actor *a, const char *in, const char *method,
                                    const char *path, const char *body)
{
    char cookie[128], csrf[128], tenant[128];
    const char *extra[] = {"-H", cookie, "-H", csrf, "-H", "Content-Type: application/json", "-H", tenant, NULL};
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", a->cookie);
    snprintf(csrf, sizeof csrf, "Punch-CSRF: %s", a->csrf);
    snprintf(tenant, sizeof tenant, "Punch-Tenant: %s", in ? in : "");
    if (!in)
        extra[6] = NULL;
    return request(&f->s, method, path, NULL, body ? BYTES_STR(body) : BYTES_NONE, extra);
}

/* The same where the status alone matters; slug NULL: no problem. */
static inline void expect_actor(struct fixture *f, const struct actor *a, const char *in, const char *method,
                                const char *path, const char *body, int status, const char *slug)
{
    struct reply r = as_actor(f, a, in, method, path, body);
    if (slug)
        assert_problem(&r, status, slug);
    else if (r.status != status)
        print_error("%s %s: %d %s\n", method, path, r.status, r.body);
    assert_int_equal(r.status, status);
    reply_done(&r);
}
