/* /v1/accounts: who has an account, and what is held about it. */
#include <stdlib.h>
#include <string.h>

#include "api/login_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/archive.h"
#include "cloud/granted.h"
#include "cloud/people.h"
#include "cloud/settings_of.h"

json_t *api_account_json(const struct account *a)
{
    if (a->damaged)
        return json_damaged(a->id);
    return json_pack("{s:o, s:o, s:s, s:o, s:s, s:s, s:b, s:i, s:o}", "id", json_hex(a->id, ID_LEN), "person",
                     json_hex(a->person, ID_LEN), "login", a->login, "mail", json_text_or_null(a->mail), "language",
                     a->language, "state", account_state_name(a->state), "second_factor", a->has_totp, "recovery_codes",
                     (int)a->n_recovery, "created", json_time(a->created));
}

json_t *api_session_json(const struct session *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", json_hex(t->id, ID_LEN), "created",
                     json_time(t->created), "seen", json_time(t->seen), "until", json_time(session_until(t)), "address",
                     json_text_or_null(t->address), "agent", json_text_or_null(t->agent), "second_factor", t->factor);
}

json_t *api_sessions_json(const struct session_list *l)
{
    json_t *items = json_array();
    for (size_t i = 0; i < l->n; i++)
        whole_append(&items, api_session_json(&l->items[i]));
    return items;
}

int api_account_export(const struct scope *s, const uint8_t key[KEY_ID_LEN], json_t **ret)
{
    struct account CLEANUP(account_wipe) a = {0};
    struct session_list l = {0};
    int r = account_by_key(s, key, &a);
    if (r == CLOUD_ABSENT) {
        *ret = json_null();
        return 0;
    }
    if (r == 0)
        r = session_list(s, &a, clock_real(), &l);
    if (r != 0 && r != CLOUD_DAMAGED)
        return r;
    json_t *o = api_account_json(&a);
    if (r == 0)
        whole_set(&o, "sessions", api_sessions_json(&l));
    session_list_done(&l);
    *ret = o;
    return o ? 0 : -ENOMEM;
}

/* ---- list, read ---- */

static struct subject subject_of(const struct account *a)
{
    struct subject s;
    memcpy(s.id, a->person, ID_LEN);
    memcpy(s.key, a->key, KEY_ID_LEN);
    return s;
}

void api_accounts_list(struct api_call *k)
{
    struct call_span span;
    struct account_list l = {0};
    struct scope s;
    if (!call_span(k, ID_LEN, &span))
        return;
    int r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = account_list(&s, span.after, span.limit, &l);
    struct subject *of = r == 0 ? calloc(l.n + 1, sizeof *of) : NULL;
    if (!of) {
        account_list_done(&l);
        call_outcome(k, r ? r : -ENOMEM, "list of accounts");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++) {
        of[i] = subject_of(&l.items[i]);
        whole_append(&items, api_account_json(&l.items[i]));
    }
    if (call_saw(k, "login mail", of, l.n))
        call_page_by_id(k, items, l.more ? l.items[l.n - 1].id : NULL, ID_LEN);
    else
        json_decref(items);
    free(of);
    account_list_done(&l);
}

/* Of the {id}. False: the reply is made. */
static bool find(struct api_call *k, struct scope *ret_s, struct account *ret_a)
{
    uint8_t id[ID_LEN];
    if (!call_id(k, id, ID_LEN))
        return false;
    int r = scope_init(k->cloud, k->db, k->tenant, ret_s);
    if (r == 0)
        r = account_find(ret_s, id, ret_a);
    if (r != 0)
        call_outcome(k, r, "account");
    return r == 0;
}

void api_accounts_get(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!find(k, &s, &a))
        return;
    struct subject of = subject_of(&a);
    if (call_saw(k, "login mail", &of, 1))
        call_resource(k, api_account_json(&a), NULL);
}

/* ---- invite ---- */

/* Makes the link of an invited account, and mails it or puts it into the reply. */
static int send_link(struct api_call *k, const struct scope *s, const struct account *a, enum link_kind kind,
                     json_t **o)
{
    const enum login_mail what = kind == LINK_INVITATION ? LOGIN_MAIL_INVITATION : LOGIN_MAIL_RESET;
    char text[LINK_TEXT], url[512];
    int64_t expires;
    bool sent = false;
    int r = link_make(s, a->id, kind, clock_real(), text, &expires);
    if (r == 0)
        r = login_mail(s, a, what, text, expires, &sent);
    if (r == 0) {
        link_url(k->cloud, kind, text, url, sizeof url);
        if (sent)
            whole_set(o, "link", json_null());
        else
            call_once(k, o, "link", url);
        whole_set(o, "expires", json_time(expires));
    }
    crypto_wipe(text, sizeof text);
    crypto_wipe(url, sizeof url);
    return r;
}

/* v: login mail language person name. The person is named, or made. */
static int person_for(struct api_call *k, const struct body_value v[5], struct person *ret)
{
    uint8_t id[ID_LEN];
    if (!v[3].set)
        return people_create(k->cloud, k->db, k->tenant, &(struct person_set){.name = v[4].s, .email = v[1].s}, ret);
    return str_unhex(v[3].s, id, ID_LEN) != 0 ? CLOUD_ABSENT : people_get(k->cloud, k->db, k->tenant, id, ret);
}

static int invite(struct api_call *k, const struct body_value v[5], struct account *a)
{
    struct scope s;
    struct person p;
    struct tenant_settings set;
    int r = person_for(k, v, &p);
    if (r == 0)
        r = scope_init(k->cloud, k->db, k->tenant, &s);
    if (r == 0)
        r = tenant_settings_get(k->db, k->tenant, &set);
    if (r == 0)
        r = crypto_random(a->id, ID_LEN);
    if (r != 0)
        return r;
    memcpy(a->person, p.id, ID_LEN);
    memcpy(a->key, p.key, KEY_ID_LEN);
    a->state = ACCOUNT_INVITED;
    a->created = clock_real();
    if (!a->language[0])
        str_copy(a->language, sizeof a->language, set.language);
    struct subject of = subject_of(a);
    call_location_of(k, "/v1/accounts/", a->id, ID_LEN);
    r = account_put(&s, a);
    json_t *o = api_account_json(a);
    if (r == 0 && call_changed(k, &of, NULL, o)) {
        r = send_link(k, &s, a, LINK_INVITATION, &o);
        if (r == 0)
            call_created(k, "/v1/accounts/", a->id, ID_LEN, json_incref(o));
    }
    json_decref(o);
    return r;
}

void api_accounts_invite(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "login", .type = BODY_STRING, .required = true, .min = 1, .max = LOGIN_MAX},
        {.name = "mail", .type = BODY_STRING, .min = 3, .max = ACCOUNT_MAIL_MAX},
        {.name = "language", .type = BODY_STRING, .min = 2, .max = 2},
        {.name = "person", .type = BODY_STRING, .min = INT64_C(2) * ID_LEN, .max = INT64_C(2) * ID_LEN},
        {.name = "name", .type = BODY_STRING, .min = 1, .max = NAME_MAX_LEN},
    };
    struct body_value v[ARRAY_LEN(fields)];
    struct account CLEANUP(account_wipe) a = {0};
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    if (!login_canonical(v[0].s, a.login)) {
        call_invalid(k, "login", "has letters of ASCII, digits and . _ @ + - only");
    } else if (v[3].set == v[4].set) {
        call_invalid(k, "person", "say whose account it is: person, or name for somebody new");
    } else if (api_account_texts(k, &v[1], &v[2], &a)) {
        int r = invite(k, v, &a);
        if (r != 0)
            call_outcome(k, r, r == CLOUD_ABSENT ? "person" : "account");
    }
    json_decref(body);
}

/* ---- change ---- */

/* Whoever decides where the mail of an account goes can become its owner: so nobody does who may less than that one, or
 * will when that one's grants begin, or for a shorter time. */
static bool may_take_over(struct api_call *k, const struct account *a)
{
    bool covers = false;
    int r = api_covers(k, a->id, &covers);
    if (r != 0)
        call_outcome(k, r, "account");
    else if (!covers)
        problem_reply(k->r, PROBLEM_FORBIDDEN, "this account may more than you; one who may as much can do this");
    return r == 0 && covers;
}

static void patch(struct api_call *k, const struct body_value v[3])
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    int r = 0;
    if (!find(k, &s, &a) || !may_take_over(k, &a))
        return;
    json_t *old = api_account_json(&a);
    bool fits = call_match(k, old, NULL) && api_account_texts(k, &v[0], &v[1], &a);
    if (fits && v[2].set && v[2].i && a.state != ACCOUNT_ARCHIVED)
        r = archive_account(&s, &a);
    else if (fits && v[2].set && !v[2].i && a.state == ACCOUNT_ARCHIVED)
        a.state = a.has_password ? ACCOUNT_ACTIVE : ACCOUNT_INVITED;
    if (fits && r == ARCHIVE_OWNER)
        problem_reply(k->r, PROBLEM_LAST_OWNER, "this is the last Owner; make another one first");
    fits = fits && r != ARCHIVE_OWNER;
    if (fits && r == 0)
        r = account_put(&s, &a);
    json_t *now = api_account_json(&a);
    struct subject of = subject_of(&a);
    if (fits && r != 0)
        call_outcome(k, r, "account");
    else if (fits && call_changed(k, &of, old, now))
        call_resource(k, json_incref(now), NULL);
    json_decref(old);
    json_decref(now);
}

void api_accounts_patch(struct api_call *k)
{
    static const struct body_field fields[] = {
        {.name = "mail", .type = BODY_STRING, .nullable = true, .min = 3, .max = ACCOUNT_MAIL_MAX},
        {.name = "language", .type = BODY_STRING, .min = 2, .max = 2},
        {.name = "archived", .type = BODY_BOOL},
    };
    struct body_value v[ARRAY_LEN(fields)];
    json_t *body = NULL;
    if (body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        patch(k, v);
    json_decref(body);
}

static void link_for(struct api_call *k, enum link_kind kind)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!find(k, &s, &a) || !may_take_over(k, &a))
        return;
    if (a.state != (kind == LINK_INVITATION ? ACCOUNT_INVITED : ACCOUNT_ACTIVE)) {
        problem_reply(k->r, PROBLEM_CONFLICT, "the account is %s", account_state_name(a.state));
        return;
    }
    struct subject of = subject_of(&a);
    json_t *o = json_object();
    int r = send_link(k, &s, &a, kind, &o);
    if (r != 0)
        call_outcome(k, r, "account");
    else if (call_changed(k, &of, NULL, NULL))
        problem_json(k->r, 200, json_incref(o));
    json_decref(o);
}

void api_accounts_invitation(struct api_call *k)
{
    link_for(k, LINK_INVITATION);
}

void api_accounts_reset(struct api_call *k)
{
    link_for(k, LINK_RESET);
}

/* ---- its sessions ---- */

void api_account_sessions(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    struct session_list l = {0};
    if (!find(k, &s, &a))
        return;
    int r = session_list(&s, &a, clock_real(), &l);
    if (r != 0) {
        call_outcome(k, r, "sessions");
        return;
    }
    struct subject of = subject_of(&a);
    if (call_saw(k, "sessions", &of, 1))
        call_page(k, NULL, api_sessions_json(&l), NULL);
    session_list_done(&l);
}

/* A laptop is lost, somebody leaves. It takes away and gives nothing, so no password is asked for again. */
void api_account_sessions_end(struct api_call *k)
{
    struct scope s;
    uint8_t id[ID_LEN];
    struct account CLEANUP(account_wipe) a = {0};
    if (!call_id2(k, id, ID_LEN) || !find(k, &s, &a) || !may_take_over(k, &a))
        return;
    struct subject of = subject_of(&a);
    int r = session_end(&s, a.id, id);
    if (r != 0)
        call_outcome(k, r, "session");
    else if (call_changed(k, &of, NULL, NULL))
        k->r->status = 204;
}

void api_accounts_factor(struct api_call *k)
{
    struct scope s;
    struct account CLEANUP(account_wipe) a = {0};
    if (!find(k, &s, &a) || !may_take_over(k, &a))
        return;
    if (k->who.is == WHO_ACCOUNT && memcmp(a.id, k->who.account, ID_LEN) == 0) {
        problem_reply(k->r, PROBLEM_FORBIDDEN, "one's own is switched off by DELETE /v1/me/second-factor, if at all");
        return;
    }
    struct subject of = subject_of(&a);
    int r = a.has_totp ? 0 : CLOUD_ABSENT;
    account_drop_factor(&a);
    if (r == 0)
        r = account_put(&s, &a);
    if (r == 0)
        r = session_end_all(&s, a.id, NULL);
    if (r != 0)
        call_outcome(k, r, "second factor");
    else if (call_changed(k, &of, NULL, NULL))
        k->r->status = 204;
}
