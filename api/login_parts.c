/* What the handlers around logging in share; see login_impl.h. */
#include <stdio.h>
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "cloud/outbox.h"
#include "cloud/people_impl.h"
#include "cloud/settings_of.h"

/* ---- proofs ---- */

struct password_cost login_cost(const struct cloud *c)
{
    const struct settings *set = cloud_settings(c);
    return (struct password_cost){.memory_kib = (uint32_t)(set->passwords.memory / 1024),
                                  .passes = (uint32_t)set->passwords.passes,
                                  .lanes = (uint32_t)set->passwords.lanes};
}

static int tag_of(const struct password_hash *h, uint8_t ret[8])
{
    uint8_t hash[CRYPTO_HASH];
    int r = crypto_sha256(BYTES(h, sizeof *h), hash);
    if (r == 0)
        memcpy(ret, hash, 8);
    return r;
}

static struct proof proof_of(const struct api_call *k)
{
    struct proof p;
    memcpy(&p, k->q->carry, sizeof p);
    return p;
}

static void keep(const struct api_call *k, const struct proof *p)
{
    memcpy(k->q->carry, p, sizeof *p);
}

static int keep_hash(const struct api_call *k, const char *password)
{
    struct proof p = proof_of(k);
    struct password_hash h;
    struct password_cost cost = login_cost(k->cloud);
    int r = password_make(&cost, password, &h);
    if (r == 0) {
        p.made = 1;
        memcpy(p.salt, h.salt, sizeof p.salt);
        memcpy(p.hash, h.hash, sizeof p.hash);
        keep(k, &p);
    }
    crypto_wipe(&h, sizeof h);
    crypto_wipe(&p, sizeof p);
    return r;
}

int login_prove(struct api_call *k, const struct account *a, const char *password)
{
    struct password_cost cost = login_cost(k->cloud);
    bool real = a && a->state == ACCOUNT_ACTIVE && a->has_password;
    const struct password_hash none = {.cost = cost};
    const struct password_hash *h = real ? &a->password : &none;
    struct proof p = {0};
    int r = password_check(h, password);
    if (r != 0 && r != PASSWORD_WRONG)
        return r;
    p.right = real && r == 0;
    r = tag_of(h, p.tag);
    if (r != 0)
        return r;
    keep(k, &p);
    return p.right && password_aged(h, &cost) ? keep_hash(k, password) : 0;
}

int login_hash(struct api_call *k, const char *password)
{
    return keep_hash(k, password);
}

bool login_proven(const struct api_call *k, const struct account *a)
{
    struct proof p = proof_of(k);
    uint8_t tag[8];
    bool right = p.right && a->state == ACCOUNT_ACTIVE && a->has_password && tag_of(&a->password, tag) == 0 &&
                 crypto_equal(tag, p.tag, sizeof tag);
    crypto_wipe(&p, sizeof p);
    return right;
}

void login_take_hash(const struct api_call *k, struct account *a)
{
    struct proof p = proof_of(k);
    if (p.made) {
        a->has_password = true;
        memset(&a->password, 0, sizeof a->password); /* tag_of() hashes padding, too, if ever there is some */
        a->password.cost = login_cost(k->cloud);
        memcpy(a->password.salt, p.salt, sizeof p.salt);
        memcpy(a->password.hash, p.hash, sizeof p.hash);
    }
    crypto_wipe(&p, sizeof p);
}

int login_code(struct account *a, const char *code, int64_t now)
{
    uint8_t hash[RECOVERY_HASH];
    int r = a->has_totp ? totp_check(a->totp, code, now, a->totp_step, &a->totp_step) : TOTP_WRONG;
    if (r != TOTP_WRONG || !a->has_totp)
        return r;
    r = recovery_hash(code, hash);
    if (r != 0)
        return r == RECOVERY_BAD ? TOTP_WRONG : r;
    for (size_t i = 0; i < a->n_recovery; i++) {
        if (!crypto_equal(hash, a->recovery[i], sizeof hash))
            continue;
        memcpy(a->recovery[i], a->recovery[--a->n_recovery], RECOVERY_HASH);
        return 0;
    }
    return TOTP_WRONG;
}

/* ---- replies ---- */

bool login_open(struct api_call *k)
{
    int r = k->db ? 0 : cloud_db_take(k->cloud, &k->db);
    if (r != 0)
        call_outcome(k, r, "store");
    return r == 0;
}

bool login_waits(struct api_call *k, const struct attempt *a)
{
    unsigned s = 0;
    int r = attempt_wait(k->db, a, clock_real(), &s);
    if (r != 0) {
        call_outcome(k, r, "store");
        return true;
    }
    if (s == 0)
        return false;
    k->refusal = "login.delayed";
    problem_reply(k->r, PROBLEM_ATTEMPTS, "wait for %u s before the next attempt", s);
    http_header(k->r, "Retry-After", "%u", s);
    return true;
}

void login_refuse(struct api_call *k, enum problem p, const char *detail)
{
    http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\""); /* RFC 9110 section 15.5.2 wants one */
    problem_reply(k->r, p, "%s", detail);
}

void login_missed(struct api_call *k, const char *tenant, const char *kind)
{
    k->refusal = kind;
    str_copy(k->refused_in, sizeof k->refused_in, tenant);
}

void login_failed(struct api_call *k, const struct scope *s, const struct account *a, const struct attempt *at,
                  const char *kind)
{
    bool alarm = false, sent;
    int64_t now = clock_real();
    int r = attempt_failed(k->db, at, now, &alarm);
    if (r == 0 && alarm && s && a && a->state == ACCOUNT_ACTIVE) {
        unsigned wait = 0;
        attempt_wait(k->db, at, now, &wait);
        r = login_mail(s, a, LOGIN_MAIL_LOCKED, NULL, now + (int64_t)wait * 1000000, &sent);
        r = r > 0 ? 0 : r; /* a mail that cannot be written leaves the attempt counted */
    }
    if (r == 0 && s && a)
        r = login_audit(k, s, a, kind, AUDIT_FAILED);
    if (!login_end(k, r, "login"))
        return;
    /* nothing delays who tries one login after the other but the address: those are counted */
    k->failed = a != NULL;
    if (!a)
        login_missed(k, s ? s->tenant : "", kind);
    login_refuse(k, PROBLEM_LOGIN, "login, password or code is wrong");
}

void login_set_cookie(struct api_call *k, const char *cookie)
{
    http_header(k->r, "Set-Cookie", "%s=%s; Path=/; Secure; HttpOnly; SameSite=Strict%s", SESSION_COOKIE,
                cookie ? cookie : "", cookie ? "" : "; Max-Age=0");
}

void login_set_device(struct api_call *k, const struct account *a, const char *tenant)
{
    char device[DEVICE_TEXT];
    if (device_make(k->cloud, k->db, tenant, a->login, device) == 0)
        http_header(k->r, "Set-Cookie", "%s=%s; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=%lld", DEVICE_COOKIE,
                    device, (long long)DEVICE_LIFE_S);
}

json_t *login_session_json(const struct api_call *k, const struct account *a, const struct session *t,
                           const char *cookie)
{
    char csrf[SESSION_TEXT];
    struct tenant_settings set;
    if (session_csrf(cookie, csrf) != 0 || tenant_settings_get(k->db, t->tenant, &set) != 0)
        return NULL;
    bool enrol = set.second_factor == SECOND_FACTOR_ALL && !t->factor;
    return json_pack("{s:s, s:o, s:o, s:s, s:s, s:s, s:b, s:o}", "tenant", t->tenant, "account",
                     json_hex(a->id, ID_LEN), "person", json_hex(a->person, ID_LEN), "login", a->login, "language",
                     a->language, "csrf", csrf, "second_factor_needed", enrol, "session", api_session_json(t));
}

static void copy_agent(const char *agent, char ret[SESSION_AGENT_MAX + 1])
{
    size_t n = 0;
    for (; agent && *agent && n < SESSION_AGENT_MAX; agent++)
        ret[n++] = *agent >= 0x20 && *agent < 0x7f ? *agent : '?';
    ret[n] = '\0';
}

int login_begin(struct api_call *k, const struct scope *s, const struct account *a, bool factor, int64_t stepped)
{
    char cookie[SESSION_TEXT];
    struct tenant_settings set;
    int r = tenant_settings_get(k->db, s->tenant, &set);
    if (r != 0)
        return r;
    struct session t = {.factor = factor,
                        .stepped = stepped,
                        .idle = set.session_idle * INT64_C(60000000),
                        .life = set.session_life * INT64_C(3600000000)};
    str_copy(t.address, sizeof t.address, k->q->address ? k->q->address : "");
    copy_agent(k->q->user_agent, t.agent);
    r = session_make(s, a, &t, cookie);
    if (r == 0) {
        login_set_cookie(k, cookie);
        login_set_device(k, a, s->tenant);
        problem_json(k->r, 201, login_session_json(k, a, &t, cookie));
    }
    crypto_wipe(cookie, sizeof cookie);
    return r;
}

bool login_end(struct api_call *k, int r, const char *what)
{
    FAULT_KILL("login-before-commit");
    if (r == 0 && !k->r->body.failed)
        r = cloud_commit(k->cloud, k->db);
    else
        cloud_rollback(k->cloud, k->db);
    FAULT_KILL("login-after-commit");
    if (r == 0)
        return true;
    k->r->n_headers = k->r->header_used = 0;
    call_outcome(k, r, what);
    return false;
}

/* ---- trail and mail ---- */

int login_audit(struct api_call *k, const struct scope *s, const struct account *a, const char *kind,
                enum audit_outcome outcome)
{
    struct who who = k->who;
    struct subject of = {{0}, {0}};
    if (who.is == WHO_NOBODY) {
        str_copy(who.home, sizeof who.home, s->tenant);
        str_copy(who.address, sizeof who.address, k->q->address ? k->q->address : "");
        if (a && outcome == AUDIT_DONE) {
            who.is = WHO_ACCOUNT;
            memcpy(who.account, a->id, ID_LEN);
            memcpy(who.person, a->person, ID_LEN);
        }
    }
    if (a) {
        memcpy(of.id, a->person, ID_LEN);
        memcpy(of.key, a->key, KEY_ID_LEN);
    }
    const struct audit_event e = {.kind = kind,
                                  .outcome = outcome,
                                  .who = &who,
                                  .method = k->route->method,
                                  .route = k->route->pattern,
                                  .subjects = a ? &of : NULL,
                                  .n_subjects = a ? 1 : 0};
    return audit_put(s, &e);
}

int login_mail(const struct scope *s, const struct account *a, enum login_mail what, const char *link, int64_t until,
               bool *ret_sent)
{
    static const enum mail_template templates[] = {MAIL_INVITATION, MAIL_RESET, MAIL_LOCKED};
    char url[512] = "", when[MAIL_TIME], over[MAIL_TIME];
    struct person p = {0};
    *ret_sent = false;
    if (!a->mail[0] || !outbox_mails(s->c))
        return 0;
    int r = people_find(s, a->person, &p);
    if (r != 0 && r != CLOUD_DAMAGED)
        return r;
    if (link)
        link_url(s->c, what == LOGIN_MAIL_INVITATION ? LINK_INVITATION : LINK_RESET, link, url, sizeof url);
    const struct mail_arg args[] = {
        {"name", p.name},
        {"company", s->tenant},
        {"until", mail_time(until, over)},
        link ? (struct mail_arg){"link", url} : (struct mail_arg){"time", mail_time(clock_real(), when)},
    };
    const struct mail m = {.key = a->key,
                           .to = a->mail,
                           .lang = a->language,
                           .template = templates[what],
                           .args = args,
                           .n_args = ARRAY_LEN(args)};
    r = outbox_mail(s, &m);
    *ret_sent = r == 0;
    crypto_wipe(url, sizeof url);
    return r == -EAGAIN ? 0 : r;
}

bool login_password_fits(struct api_call *k, const struct scope *s, const struct account *a, const char *password,
                         const char *member)
{
    struct person p = {0};
    int r = people_find(s, a->person, &p);
    if (r != 0 && r != CLOUD_DAMAGED) {
        call_outcome(k, r, "account");
        return false;
    }
    const char *const whole[] = {a->login, s->tenant, NULL};
    const char *const words[] = {a->login, a->mail, s->tenant, p.name, p.given_name, p.family_name, NULL};
    r = password_judge(password, whole, words);
    if (r != 0)
        call_invalid(k, member, "%s", password_fault_text(r));
    return r == 0;
}
