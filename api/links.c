/* Invitations and new passwords: what somebody does who has nothing but a link.
 *
 * A link is used up by the transaction that sets the password, so of two at once one is too late. Whether a login
 * exists shows nowhere: who asks for a new password is told that a mail was sent if there is such an account. */
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/granted.h"
#include "cloud/outbox.h"
#include "cloud/people_impl.h"

/* ---- POST /v1/password-resets ---- */

static int send_reset(struct api_call *k, const char *tenant, const char *typed)
{
    char login[LOGIN_MAX + 1], text[LINK_TEXT];
    struct account CLEANUP(account_wipe) a = {0};
    struct scope s;
    int64_t expires;
    bool sent, known;
    int r = scope_init(k->cloud, k->db, tenant, &s);
    known = r == 0;
    if (r == 0)
        r = login_canonical(typed, login) ? account_by_login(&s, login, &a) : CLOUD_ABSENT;
    if (r == 0)
        r = a.state == ACCOUNT_ACTIVE ? people_here(&s, a.key, clock_real()) : CLOUD_ABSENT;
    /* A link that nobody gets would only end one that somebody was given. */
    bool mails = r == 0 && a.mail[0] && outbox_mails(k->cloud);
    if (mails)
        r = link_make(&s, a.id, LINK_RESET, clock_real(), text, &expires);
    if (r == 0 && mails)
        r = login_mail(&s, &a, LOGIN_MAIL_RESET, text, expires, &sent);
    if (r == 0)
        r = login_audit(k, &s, &a, "password.reset-asked", AUDIT_DONE);
    crypto_wipe(text, sizeof text);
    if (r != CLOUD_ABSENT && r != CLOUD_DAMAGED)
        return r;
    login_missed(k, known ? tenant : "", "password.reset-asked");
    return 0;
}

void api_reset_ask(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "tenant", .type = BODY_STRING, .required = true, .min = 1, .max = TENANT_MAX},
        {.name = "login", .type = BODY_STRING, .required = true, .min = 1, .max = LOGIN_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct attempt at;
    char login[LOGIN_MAX + 1];
    bool alarm;
    json_t *body = NULL;
    if (!login_open(k) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    const char *counted = login_canonical(v[1].s, login) ? login : v[1].s;
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = attempt_init(k->cloud, k->db, ATTEMPT_RESET, v[0].s, counted, NULL, k->q->address ? k->q->address : "",
                         &at);
    if (r == 0 && login_waits(k, &at)) {
        cloud_rollback(k->cloud, k->db);
    } else {
        if (r == 0)
            r = attempt_failed(k->db, &at, clock_real(), &alarm);
        if (r == 0)
            r = send_reset(k, v[0].s, v[1].s);
        if (login_end(k, r, "account"))
            problem_json(k->r, 202, json_pack("{s:s}", "status", "if there is such an account, a mail is on its way"));
    }
    json_decref(body);
}

/* ---- POST /v1/invitations/accept, /v1/password-resets/accept ---- */

/* Nobody knows whose it was: the vendor's trail counts it. */
static void not_usable(struct api_call *k)
{
    login_missed(k, "", "link");
    problem_reply(k->r, PROBLEM_LINK, "the link is unknown, used or expired; ask for a new one");
}

/* Whose link that is, when it is good for something. False: the reply is made, or *ret_wrong. */
static bool whose(struct api_call *k, enum link_kind kind, const char *text, struct scope *ret_s, struct account *ret_a,
                  struct link *ret_link, bool *ret_wrong)
{
    int r = link_find(k->db, kind, text, clock_real(), ret_link);
    if (r == 0)
        r = scope_init(k->cloud, k->db, ret_link->tenant, ret_s);
    if (r == 0)
        r = account_find(ret_s, ret_link->account, ret_a);
    if (r == 0)
        r = people_here(ret_s, ret_a->key, clock_real());
    *ret_wrong =
        r == CLOUD_ABSENT || (r == 0 && ret_a->state != (kind == LINK_INVITATION ? ACCOUNT_INVITED : ACCOUNT_ACTIVE));
    if (r != 0 && !*ret_wrong)
        call_outcome(k, r, "account");
    return r == 0 && !*ret_wrong;
}

static bool attempt(struct api_call *k, struct attempt *ret)
{
    int r = attempt_init(k->cloud, k->db, ATTEMPT_LINK, "", "", NULL, k->q->address ? k->q->address : "", ret);
    if (r != 0)
        call_outcome(k, r, "store");
    return r == 0 && !login_waits(k, ret);
}

static void prepare(struct api_call *k, enum link_kind kind, const char *text, const char *password)
{
    struct account CLEANUP(account_wipe) a = {0};
    struct scope s;
    struct link l;
    struct attempt at;
    bool wrong = false;
    if (!attempt(k, &at))
        return;
    /* A wrong one goes on, too: that it is wrong is counted in the transaction. */
    if (!whose(k, kind, text, &s, &a, &l, &wrong)) {
        k->go_on = wrong;
        return;
    }
    if (!login_password_fits(k, &s, &a, password, "password"))
        return;
    int r = login_hash(k, password);
    if (r != 0)
        call_outcome(k, r, "password");
    k->go_on = r == 0;
}

static int set_password(struct api_call *k, enum link_kind kind, const struct scope *s, struct account *a,
                        const char *text)
{
    int64_t now = clock_real();
    int r = link_use(k->db, kind, text, now);
    if (r != 0)
        return r;
    login_take_hash(k, a);
    a->changed = now;
    a->state = ACCOUNT_ACTIVE;
    r = account_put(s, a);
    if (r == 0)
        r = session_end_all(s, a->id, NULL);
    if (r == 0)
        r = link_end_all(s, a->id);
    if (r == 0 && kind == LINK_INVITATION)
        r = granted_settle(s, now);
    if (r == 0)
        r = login_audit(k, s, a, kind == LINK_INVITATION ? "account.accepted" : "password.reset", AUDIT_DONE);
    return r;
}

static void wrong_link(struct api_call *k, const struct attempt *at)
{
    bool alarm;
    int r = attempt_failed(k->db, at, clock_real(), &alarm);
    if (login_end(k, r, "store"))
        not_usable(k);
}

static void finish(struct api_call *k, enum link_kind kind, const char *text)
{
    struct account CLEANUP(account_wipe) a = {0};
    struct scope s;
    struct link l;
    struct attempt at;
    bool wrong = false;
    struct proof p;
    int r = cloud_begin(k->cloud, k->db);
    if (r != 0) {
        call_outcome(k, r, "store");
        return;
    }
    memcpy(&p, k->q->carry, sizeof p);
    if (!attempt(k, &at)) {
        cloud_rollback(k->cloud, k->db);
    } else if (!whose(k, kind, text, &s, &a, &l, &wrong)) {
        if (wrong)
            wrong_link(k, &at);
        else
            cloud_rollback(k->cloud, k->db);
    } else if (!p.made) { /* it was not good for anything a moment ago, so the password was not looked at */
        cloud_rollback(k->cloud, k->db);
        not_usable(k);
    } else {
        r = set_password(k, kind, &s, &a, text);
        if (r == 0) /* who has the link is no stranger: a way in for whose login strangers keep delayed */
            login_set_device(k, &a, s.tenant);
        problem_json(k->r, 200, json_pack("{s:s, s:s}", "tenant", s.tenant, "login", a.login));
        login_end(k, r, "account");
    }
    crypto_wipe(&p, sizeof p);
}

static void accept(struct api_call *k, enum link_kind kind)
{
    static const struct body_field fields[] = {
        {.name = "link", .type = BODY_STRING, .required = true, .min = 1, .max = 100},
        {.name = "password", .type = BODY_STRING, .required = true, .min = 1, .max = PASSWORD_TYPED_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (!login_open(k) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (k->q->line == HTTP_LINE_PASSWORD)
        prepare(k, kind, v[0].s, v[1].s);
    else
        finish(k, kind, v[0].s);
    json_decref(body);
}

void api_invitation_accept(struct api_call *k)
{
    accept(k, LINK_INVITATION);
}

void api_reset_accept(struct api_call *k)
{
    accept(k, LINK_RESET);
}
