/* /v1/me: what is one's own: the profile, the password, the second factor. */
#include <stdio.h>
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/mail.h"
#include "cloud/people_impl.h"
#include "cloud/qr.h"
#include "cloud/settings_of.h"

#define SVG_MAX 65536

static int own(struct api_call *k, struct scope *ret_s, struct account *ret_a)
{
    int r = scope_init(k->cloud, k->db, k->who.home, ret_s);
    return r == 0 ? account_find(ret_s, k->who.account, ret_a) : r;
}

static struct subject subject_of(const struct account *a)
{
    struct subject s;
    memcpy(s.id, a->person, ID_LEN);
    memcpy(s.key, a->key, KEY_ID_LEN);
    return s;
}

static json_t *profile(const struct scope *s, const struct account *a)
{
    struct person p = {0};
    int r = people_find(s, a->person, &p);
    json_t *o = api_account_json(a);
    whole_set(&o, "tenant", json_string(s->tenant));
    whole_set(&o, "name", r == 0 ? jsontext_of(p.name) : json_null());
    whole_set(&o, "grants", api_own_grants(s, a->id));
    return o;
}

void api_me_get(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = own(k, &s, &a);
    if (r != 0) {
        call_outcome(k, r, "account");
        return;
    }
    struct subject of = subject_of(&a);
    if (call_saw(k, "login mail name", &of, 1))
        call_resource(k, profile(&s, &a), NULL);
}

bool api_account_texts(struct api_call *k, const struct body_value *mail, const struct body_value *language,
                       struct account *a)
{
    if (mail->set && mail->s && !mail_address_valid(mail->s)) {
        call_invalid(k, "mail", "is no address as name@example.com, in ASCII");
        return false;
    }
    if (language->set && !language_known(language->s)) {
        call_invalid(k, "language", "is one of en, de, ro");
        return false;
    }
    if (mail->set)
        str_copy(a->mail, sizeof a->mail, mail->s ? mail->s : "");
    if (language->set)
        str_copy(a->language, sizeof a->language, language->s);
    return true;
}

static void patch(struct api_call *k, const struct body_value v[2])
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = own(k, &s, &a);
    if (r != 0) {
        call_outcome(k, r, "account");
        return;
    }
    json_t *old = profile(&s, &a);
    if (call_match(k, old, NULL) && api_account_texts(k, &v[0], &v[1], &a)) {
        r = account_put(&s, &a);
        json_t *now = profile(&s, &a);
        struct subject of = subject_of(&a);
        if (r != 0)
            call_outcome(k, r, "account");
        else if (call_changed(k, &of, old, now))
            call_resource(k, json_incref(now), NULL);
        json_decref(now);
    }
    json_decref(old);
}

void api_me_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "mail", .type = BODY_STRING, .nullable = true, .min = 3, .max = ACCOUNT_MAIL_MAX},
        {.name = "language", .type = BODY_STRING, .min = 2, .max = 2},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        patch(k, v);
    json_decref(body);
}

/* ---- password ---- */

static void change_password(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct attempt at;
    bool factor = k->who.factor;
    if (!login_begin_self(k, &s, &a))
        return;
    int r = login_attempt(k, &s, &a, &at);
    if (r == 0 && login_waits(k, &at)) {
        cloud_rollback(k->cloud, k->db);
        return;
    }
    if (r == 0 && !login_proven(k, &a)) {
        login_failed(k, &s, &a, &at, "password.change");
        return;
    }
    login_take_hash(k, &a);
    a.changed = clock_real();
    if (r == 0)
        r = account_put(&s, &a);
    if (r == 0)
        r = session_end_all(&s, a.id, NULL);
    if (r == 0)
        r = link_end_all(&s, a.id);
    if (r == 0)
        r = login_audit(k, &s, &a, "password.change", AUDIT_DONE);
    if (r == 0) /* no code was asked for */
        r = login_begin(k, &s, &a, factor, a.has_totp ? k->who.stepped : a.changed);
    login_end(k, r, "account");
}

static void prove_password(struct api_call *k, const char *now, const char *then)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!login_prove_self(k, now, &s, &a))
        return;
    if (strcmp(now, then) == 0) {
        call_invalid(k, "new_password", "is the one that it was");
        return;
    }
    if (!login_password_fits(k, &s, &a, then, "new_password"))
        return;
    int r = login_hash(k, then);
    if (r != 0)
        call_outcome(k, r, "password");
    k->go_on = r == 0;
}

void api_me_password(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "password", .type = BODY_STRING, .required = true, .min = 1, .max = PASSWORD_TYPED_MAX},
        {.name = "new_password", .type = BODY_STRING, .required = true, .min = 1, .max = PASSWORD_TYPED_MAX},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (k->q->line == HTTP_LINE_PASSWORD)
        prove_password(k, v[0].s, v[1].s);
    else
        change_password(k);
    json_decref(body);
}

/* ---- second factor ---- */

static json_t *secret_json(const struct account *a, const char *tenant)
{
    char text[TOTP_BASE32_MAX], issuer[TENANT_MAX + 16], uri[TOTP_URI_MAX];
    struct buf CLEANUP(buf_wipe) svg;
    buf_init(&svg, SVG_MAX);
    snprintf(issuer, sizeof issuer, "Punchline %s", tenant);
    totp_base32(a->new_totp, text);
    json_t *o = NULL;
    if (totp_uri(a->new_totp, issuer, a->login, uri) == 0 && qr_svg(uri, &svg) == 0)
        o = json_pack("{s:s, s:s, s:s}", "secret", text, "uri", uri, "svg", buf_str(&svg));
    crypto_wipe(text, sizeof text);
    crypto_wipe(uri, sizeof uri);
    return o;
}

void api_me_factor_begin(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = own(k, &s, &a);
    if (r == 0 && a.has_totp) {
        problem_reply(k->r, PROBLEM_CONFLICT, "there is a second factor; take it away first");
        return;
    }
    if (r == 0)
        r = totp_draw(a.new_totp);
    a.has_new_totp = true;
    if (r == 0)
        r = account_put(&s, &a);
    if (r == 0)
        problem_json(k->r, 200, secret_json(&a, s.tenant));
    else
        call_outcome(k, r, "account");
}

/* Ten new ones in place of what was left. NULL: memory, or no random bytes. */
static json_t *draw_codes(struct account *a)
{
    char text[RECOVERY_TEXT];
    json_t *codes = json_array();
    a->n_recovery = 0;
    for (size_t i = 0; codes && i < RECOVERY_CODES; i++) {
        if (recovery_draw(text, a->recovery[i]) == 0) {
            a->n_recovery++;
            whole_append(&codes, json_string(text));
        }
    }
    crypto_wipe(text, sizeof text);
    if (codes && a->n_recovery == RECOVERY_CODES)
        return codes;
    json_decref(codes);
    return NULL;
}

static int put_codes(struct api_call *k, const struct scope *s, struct account *a)
{
    json_t *codes = draw_codes(a);
    int r = codes ? account_put(s, a) : -ENOMEM;
    if (r == 0)
        problem_json(k->r, 200, json_pack("{s:O}", "recovery_codes", codes));
    json_decref(codes);
    return r;
}

/* In the transaction of its own: a wrong code is counted. */
static void confirm(struct api_call *k, const char *code)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct attempt at;
    uint64_t step = 0;
    if (!login_begin_self(k, &s, &a))
        return;
    int r = login_attempt(k, &s, &a, &at);
    if (r == 0 && !a.has_new_totp) {
        cloud_rollback(k->cloud, k->db);
        problem_reply(k->r, PROBLEM_CONFLICT, "begin with POST /v1/me/second-factor");
        return;
    }
    if (r == 0 && login_waits(k, &at)) {
        cloud_rollback(k->cloud, k->db);
        return;
    }
    if (r == 0)
        r = totp_check(a.new_totp, code, clock_real(), 0, &step);
    if (r == TOTP_WRONG) {
        login_failed(k, &s, &a, &at, "second-factor.enrol");
        return;
    }
    memcpy(a.totp, a.new_totp, sizeof a.totp);
    crypto_wipe(a.new_totp, sizeof a.new_totp);
    a.has_new_totp = false;
    a.has_totp = true;
    a.totp_step = step;
    if (r == 0)
        r = put_codes(k, &s, &a);
    if (r == 0)
        r = session_end_all(&s, a.id, k->who.session);
    if (r == 0)
        r = session_step(&s, k->who.session, true, clock_real());
    if (r == 0)
        r = login_audit(k, &s, &a, "second-factor.enrol", AUDIT_DONE);
    login_end(k, r, "account");
}

void api_me_factor_confirm(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "code", .type = BODY_STRING, .required = true, .min = TOTP_DIGITS, .max = TOTP_DIGITS},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        confirm(k, v[0].s);
    json_decref(body);
}

void api_me_factor_delete(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct tenant_settings set;
    int r = own(k, &s, &a);
    if (r == 0)
        r = tenant_settings_get(k->db, s.tenant, &set);
    if (r == 0 && set.second_factor != 0) {
        problem_reply(k->r, PROBLEM_SECOND_FACTOR, "the company wants a second factor; it cannot be switched off");
        return;
    }
    if (r == 0 && !a.has_totp)
        r = CLOUD_ABSENT;
    struct subject of = subject_of(&a);
    account_drop_factor(&a);
    if (r == 0)
        r = account_put(&s, &a);
    if (r != 0)
        call_outcome(k, r, "second factor");
    else if (call_changed(k, &of, NULL, NULL))
        k->r->status = 204;
}

void api_me_codes(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = own(k, &s, &a);
    if (r == 0 && !a.has_totp)
        r = CLOUD_ABSENT;
    if (r == 0)
        r = put_codes(k, &s, &a);
    struct subject of = subject_of(&a);
    if (r != 0)
        call_outcome(k, r, "second factor");
    else
        call_changed(k, &of, NULL, NULL);
}
