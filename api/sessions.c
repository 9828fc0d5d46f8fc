/* /v1/session, the one that asks, and /v1/sessions, all of its account. */
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/whole.h"

/* The account and the session that ask. False: the reply is made. */
static bool self(struct api_call *k, struct scope *ret_s, struct account *ret_a)
{
    int r = scope_init(k->cloud, k->db, k->who.home, ret_s);
    if (r == 0)
        r = account_find(ret_s, k->who.account, ret_a);
    if (r != 0)
        call_outcome(k, r, "account");
    return r == 0;
}

static struct subject subject_of(const struct account *a)
{
    struct subject of;
    memcpy(of.id, a->person, ID_LEN);
    memcpy(of.key, a->key, KEY_ID_LEN);
    return of;
}

static bool saw_self(struct api_call *k, const struct account *a, const char *fields)
{
    struct subject of = subject_of(a);
    return call_saw(k, fields, &of, 1);
}

void api_session_get(struct api_call *k)
{
    char cookie[SESSION_TEXT] = "";
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct session t;
    if (!self(k, &s, &a))
        return;
    session_cookie(k->q->cookie, SESSION_COOKIE, cookie, sizeof cookie);
    int r = session_check(k->cloud, k->db, cookie, clock_real(), &t);
    if (r != 0)
        call_outcome(k, r, "session");
    else
        problem_json(k->r, 200, login_session_json(k, &a, &t, cookie));
    crypto_wipe(cookie, sizeof cookie);
}

static void end(struct api_call *k, const uint8_t id[ID_LEN])
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!self(k, &s, &a))
        return;
    int r = session_end(&s, a.id, id);
    if (r != 0) {
        call_outcome(k, r, "session");
        return;
    }
    struct subject of = subject_of(&a);
    if (!call_changed(k, &of, NULL, NULL))
        return;
    if (memcmp(id, k->who.session, ID_LEN) == 0)
        login_set_cookie(k, NULL);
    k->r->status = 204;
}

void api_session_delete(struct api_call *k)
{
    end(k, k->who.session);
}

void api_sessions_delete(struct api_call *k)
{
    uint8_t id[ID_LEN];
    if (call_id(k, id, ID_LEN))
        end(k, id);
}

void api_sessions_list(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct session_list l = {0};
    if (!self(k, &s, &a))
        return;
    int r = session_list(&s, &a, clock_real(), &l);
    if (r != 0) {
        call_outcome(k, r, "sessions");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++) {
        json_t *o = api_session_json(&l.items[i]);
        whole_set(&o, "current", json_boolean(memcmp(l.items[i].id, k->who.session, ID_LEN) == 0));
        whole_append(&items, o);
    }
    session_list_done(&l);
    if (saw_self(k, &a, "sessions"))
        call_page(k, NULL, items, NULL);
    else
        json_decref(items);
}

/* ---- step-up ---- */

int login_attempt(struct api_call *k, const struct scope *s, const struct account *a, struct attempt *ret)
{
    char device[DEVICE_TEXT];
    bool has = session_cookie(k->q->cookie, DEVICE_COOKIE, device, sizeof device);
    return attempt_init(k->cloud, k->db, ATTEMPT_FACTOR, s->tenant, a->login, has ? device : NULL,
                        k->q->address ? k->q->address : "", ret);
}

bool login_confirm(struct api_call *k, const struct scope *s, struct account *a, const char *code)
{
    struct attempt at;
    int r = login_attempt(k, s, a, &at);
    if (r != 0) {
        login_end(k, r, "account");
        return false;
    }
    if (login_waits(k, &at)) {
        cloud_rollback(k->cloud, k->db);
        return false;
    }
    bool right = login_proven(k, a);
    r = right && a->has_totp ? login_code(a, code ? code : "", clock_real()) : 0;
    if (!right || r == TOTP_WRONG) {
        login_failed(k, s, a, &at, "step-up");
        return false;
    }
    if (r == 0)
        r = attempt_succeeded(k->db, &at);
    if (r != 0)
        login_end(k, r, "account");
    return r == 0;
}

bool login_prove_self(struct api_call *k, const char *password, struct scope *ret_s, struct account *ret_a)
{
    struct attempt at;
    if (!self(k, ret_s, ret_a))
        return false;
    int r = login_attempt(k, ret_s, ret_a, &at);
    if (r == 0 && login_waits(k, &at))
        return false;
    if (r == 0)
        r = login_prove(k, ret_a, password);
    if (r != 0)
        call_outcome(k, r, "password");
    return r == 0;
}

bool login_begin_self(struct api_call *k, struct scope *ret_s, struct account *ret_a)
{
    int r = cloud_begin(k->cloud, k->db);
    if (r == 0)
        r = scope_init(k->cloud, k->db, k->who.home, ret_s);
    if (r == 0)
        r = account_find(ret_s, k->who.account, ret_a);
    if (r != 0)
        login_end(k, r, "account");
    return r == 0;
}

static void step_up(struct api_call *k, const char *code)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!login_begin_self(k, &s, &a) || !login_confirm(k, &s, &a, code))
        return;
    login_take_hash(k, &a);
    int r = account_put(&s, &a);
    if (r == 0)
        r = session_step(&s, k->who.session, a.has_totp, clock_real());
    if (r == 0)
        r = login_audit(k, &s, &a, "step-up", AUDIT_DONE);
    if (login_end(k, r, "session"))
        k->r->status = 204;
}

void api_session_step_up(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "password", .type = BODY_STRING, .required = true, .min = 1, .max = PASSWORD_TYPED_MAX},
        {.name = "code", .type = BODY_STRING, .min = 1, .max = 40},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (k->q->line == HTTP_LINE_PASSWORD)
        k->go_on = login_prove_self(k, v[0].s, &s, &a);
    else
        step_up(k, v[1].s);
    json_decref(body);
}
