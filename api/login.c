/* POST /v1/sessions and /v1/sessions/second-factor: how a person gets a session.
 *
 * Whether a login exists shows nowhere: an unknown one costs the same hash, is counted, delayed and answered the same.
 * A delay is looked at before the hash is computed, and again in the transaction that tells the outcome: so of many
 * requests at once no more outcomes are told than of one after the other. */
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/people_impl.h"
#include "cloud/tenant.h"

struct login {
    const char *tenant, *typed, *password;
    char canonical[LOGIN_MAX + 1];
    bool has_scope, has_account;
    struct scope s;
    struct account account;
    struct attempt attempt;
};

static void login_done(struct login *l)
{
    account_wipe(&l->account);
}

/* Who that would be, as the store is now. False: the reply is made. */
static bool look(struct api_call *k, struct login *l)
{
    char device[DEVICE_TEXT];
    bool has_device = session_cookie(k->q->cookie, DEVICE_COOKIE, device, sizeof device);
    bool sound = login_canonical(l->typed, l->canonical);
    int r = attempt_init(k->cloud, k->db, ATTEMPT_PASSWORD, l->tenant, sound ? l->canonical : l->typed,
                         has_device ? device : NULL, k->q->address ? k->q->address : "", &l->attempt);
    if (r == 0) {
        r = tenant_open(k->db, l->tenant); /* who is archived is as unknown as who never was */
        if (r == 0)
            r = scope_init(k->cloud, k->db, l->tenant, &l->s);
        l->has_scope = r == 0;
        if (r == 0) /* a delay is told there */
            str_copy(k->refused_in, sizeof k->refused_in, l->tenant);
        r = r == CLOUD_ABSENT ? 0 : r;
    }
    if (r == 0 && sound && l->has_scope) {
        r = account_by_login(&l->s, l->canonical, &l->account);
        l->has_account = r == 0;
        /* an account outlives its person's time: here it counts as archived, and is not written */
        if (r == 0 && (r = people_here(&l->s, l->account.key, clock_real())) == CLOUD_ABSENT)
            l->account.state = ACCOUNT_ARCHIVED;
        r = r == CLOUD_ABSENT || r == CLOUD_DAMAGED ? 0 : r;
    }
    if (r != 0)
        call_outcome(k, r, "login");
    return r == 0;
}

static void prove(struct api_call *k, struct login *l)
{
    if (!look(k, l) || login_waits(k, &l->attempt))
        return;
    int r = login_prove(k, l->has_account ? &l->account : NULL, l->password);
    if (r != 0)
        call_outcome(k, r, "password");
    k->go_on = r == 0;
}

/* The password was right, and there is a second factor: a session that is good for giving it alone. */
static int begin_half(struct api_call *k, struct login *l)
{
    char cookie[SESSION_TEXT];
    struct session t = {.half = true};
    str_copy(t.address, sizeof t.address, k->q->address ? k->q->address : "");
    int r = session_make(&l->s, &l->account, &t, cookie);
    if (r == 0) {
        login_set_cookie(k, cookie);
        problem_json(k->r, 200,
                     json_pack("{s:s, s:o}", "second_factor", "totp", "until", json_time(session_until(&t))));
    }
    crypto_wipe(cookie, sizeof cookie);
    return r;
}

static void decide(struct api_call *k, struct login *l)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r != 0) {
        call_outcome(k, r, "store");
        return;
    }
    if (!look(k, l) || login_waits(k, &l->attempt)) {
        cloud_rollback(k->cloud, k->db);
        return;
    }
    if (!l->has_account || !login_proven(k, &l->account)) {
        login_failed(k, l->has_scope ? &l->s : NULL, l->has_account ? &l->account : NULL, &l->attempt, "login");
        return;
    }
    login_take_hash(k, &l->account);
    r = account_put(&l->s, &l->account);
    if (r == 0 && l->account.has_totp) {
        r = begin_half(k, l);
    } else if (r == 0) {
        r = attempt_succeeded(k->db, &l->attempt);
        if (r == 0)
            r = login_audit(k, &l->s, &l->account, "login", AUDIT_DONE);
        if (r == 0)
            r = login_begin(k, &l->s, &l->account, false, clock_real());
    }
    login_end(k, r, "login");
}

/* From a browser where that login went well before. */
static bool from_known_device(struct api_call *k, json_t *body, const char *device)
{
    char canonical[LOGIN_MAX + 1];
    const char *tenant = NULL, *typed = NULL;
    struct attempt at = {0};
    return json_unpack(body, "{s:s, s:s}", "tenant", &tenant, "login", &typed) == 0 &&
           login_canonical(typed, canonical) &&
           attempt_init(k->cloud, k->db, ATTEMPT_PASSWORD, tenant, canonical, device,
                        k->q->address ? k->q->address : "", &at) == 0 &&
           at.known_device;
}

static bool with_good_link(struct api_call *k, json_t *body)
{
    const char *text = NULL;
    struct link l;
    int64_t now = clock_real();
    return json_unpack(body, "{s:s}", "link", &text) == 0 &&
           (link_find(k->db, LINK_INVITATION, text, now, &l) == 0 || link_find(k->db, LINK_RESET, text, now, &l) == 0);
}

bool api_login_known(struct api_call *k)
{
    char device[DEVICE_TEXT];
    const bool login = k->route->fn == api_login;
    if ((login && !session_cookie(k->q->cookie, DEVICE_COOKIE, device, sizeof device)) ||
        (!k->db && cloud_db_take(k->cloud, &k->db) != 0))
        return false;
    json_t *body = json_loadb((const char *)k->q->body.p, k->q->body.n, JSON_REJECT_DUPLICATES, NULL);
    bool known = body && (login ? from_known_device(k, body, device) : with_good_link(k, body));
    json_decref(body);
    return known;
}

void api_login(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "tenant", .type = BODY_STRING, .required = true, .min = 1, .max = TENANT_MAX},
        {.name = "login", .type = BODY_STRING, .required = true, .min = 1, .max = LOGIN_MAX},
        {.name = "password", .type = BODY_STRING, .required = true, .min = 1, .max = PASSWORD_TYPED_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (!login_open(k) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    struct login CLEANUP(login_done) l = {.tenant = v[0].s, .typed = v[1].s, .password = v[2].s};
    if (k->q->line == HTTP_LINE_PASSWORD)
        prove(k, &l);
    else
        decide(k, &l);
    json_decref(body);
}

/* ---- the second factor ---- */

/* Both of the account's counters: with the code the password is forgiven, too. */
static int both(struct api_call *k, const struct scope *s, const struct account *a, struct attempt *ret_password,
                struct attempt *ret_factor)
{
    char device[DEVICE_TEXT];
    bool has = session_cookie(k->q->cookie, DEVICE_COOKIE, device, sizeof device);
    const char *address = k->q->address ? k->q->address : "";
    int r = attempt_init(k->cloud, k->db, ATTEMPT_PASSWORD, s->tenant, a->login, has ? device : NULL, address,
                         ret_password);
    return r != 0 ? r
                  : attempt_init(k->cloud, k->db, ATTEMPT_FACTOR, s->tenant, a->login, has ? device : NULL, address,
                                 ret_factor);
}

static int complete(struct api_call *k, const struct scope *s, struct account *a, const struct session *half,
                    const struct attempt *password, const struct attempt *factor)
{
    int r = account_put(s, a);
    if (r == 0)
        r = session_end(s, a->id, half->id);
    if (r == 0)
        r = attempt_succeeded(k->db, password);
    if (r == 0)
        r = attempt_succeeded(k->db, factor);
    if (r == 0)
        r = login_audit(k, s, a, "login", AUDIT_DONE);
    return r != 0 ? r : login_begin(k, s, a, true, clock_real());
}

/* In the transaction. */
static void second(struct api_call *k, const struct session *half, const char *code)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct attempt password, factor;
    int r = scope_init(k->cloud, k->db, half->tenant, &s);
    if (r == 0)
        r = account_find(&s, half->account, &a);
    if (r == 0)
        r = both(k, &s, &a, &password, &factor);
    if (r != 0) {
        login_end(k, r, "account");
        return;
    }
    str_copy(k->refused_in, sizeof k->refused_in, s.tenant);
    if (login_waits(k, &factor)) {
        cloud_rollback(k->cloud, k->db);
        return;
    }
    r = login_code(&a, code, clock_real());
    if (r == TOTP_WRONG) {
        login_failed(k, &s, &a, &factor, "login.second-factor");
        return;
    }
    if (r == 0)
        r = complete(k, &s, &a, half, &password, &factor);
    login_end(k, r, "login");
}

void api_login_second(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "code", .type = BODY_STRING, .required = true, .min = 1, .max = 40},
    };
    struct body_value v[ARRAY_LEN(fields)];
    char cookie[SESSION_TEXT] = "";
    struct session half;
    json_t *body = NULL;
    if (!login_open(k) || !body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    session_cookie(k->q->cookie, SESSION_COOKIE, cookie, sizeof cookie);
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = session_check(k->cloud, k->db, cookie, clock_real(), &half);
    if (r == CLOUD_ABSENT || (r == 0 && !half.half)) {
        cloud_rollback(k->cloud, k->db);
        login_refuse(k, PROBLEM_SESSION, "give login and password first, and the code within five minutes");
    } else if (r != 0) {
        login_end(k, r, "session");
    } else {
        second(k, &half, v[0].s);
    }
    crypto_wipe(cookie, sizeof cookie);
    json_decref(body);
}
