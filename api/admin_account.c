/* Accounts from the command line: the first Owner of a customer, the vendor's first administrator, and emergencies.
 * Where a customer has an Owner, this goes past its people: it takes a reason, all who may let support in are told, and
 * the trail says so. What is shown is no more than ids and states; a link is shown to who invited. */
#include <stdlib.h>
#include <string.h>

#include "api/admin.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/account.h"
#include "cloud/archive.h"
#include "cloud/audit.h"
#include "cloud/granted.h"
#include "cloud/link.h"
#include "cloud/people_impl.h"
#include "cloud/session.h"
#include "cloud/settings_of.h"
#include "cloud/tell.h"
#include "cloud/tenant.h"

#define REASON_MAX 200 /* bytes; it stands in the trail */

static int say(struct admin_call *a, const char *text)
{
    buf_addf(a->err, "punchcloud: %s\n", text);
    return EXIT_FAILED;
}

/* --tenant or --vendor; else an exit code, and the reason is said. */
static int tenant_of(struct admin_call *a, const char **ret_tenant)
{
    const char *tenant = admin_opt(a, "tenant");
    bool vendor = admin_opt(a, "vendor") != NULL;
    if ((tenant != NULL) == vendor) {
        (void)say(a, "give --tenant NAME or --vendor");
        return EXIT_USAGE;
    }
    if (tenant && !admin_customer(a, tenant))
        return EXIT_FAILED;
    *ret_tenant = vendor ? VENDOR_TENANT : tenant;
    return EXIT_OK;
}

/* ---- what goes past an Owner ---- */

/* In the transaction: nothing to ask for as long as the tenant has no active Owner. False: the reason is said. */
static bool may(struct admin_call *a, const struct scope *s)
{
    const char *reason = admin_opt(a, "emergency");
    uint64_t owners = 0;
    int r = granted_owners(s, clock_real(), NULL, NULL, &owners);
    if (r != 0) {
        (void)admin_failed(a, r, "Owners");
        return false;
    }
    if (reason && (reason[0] == '\0' || strlen(reason) > REASON_MAX)) {
        (void)say(a, "--emergency takes a reason of 1 to 200 bytes");
        return false;
    }
    if (owners > 0 && !reason) {
        buf_addf(a->err,
                 "punchcloud: %s has an Owner, who looks after accounts. In an emergency give --emergency REASON: its "
                 "Owners and DPO are told\n",
                 s->tenant);
        return false;
    }
    return true;
}

static int note(struct admin_call *a, const struct scope *s, const struct account *of)
{
    const char *reason = admin_opt(a, "emergency");
    char kind[64], id[2 * ID_LEN + 1], when[MAIL_TIME];
    const struct who who = {.is = WHO_OPERATOR, .home = VENDOR_TENANT};
    struct subject subject;
    memcpy(subject.id, of->person, ID_LEN);
    memcpy(subject.key, of->key, ID_LEN);
    snprintf(kind, sizeof kind, "operator.account-%s", a->args->cmd->verb);
    json_t *detail = reason ? json_pack("{s:o}", "emergency", json_string(reason)) : NULL;
    const struct audit_event e = {.kind = kind,
                                  .outcome = AUDIT_DONE,
                                  .who = &who,
                                  .resource = str_hex(of->id, ID_LEN, id),
                                  .subjects = &subject,
                                  .n_subjects = 1,
                                  .detail = detail};
    int r = reason && !detail ? CLOUD_INVALID : audit_put(s, &e); /* a reason that is not UTF-8 */
    json_decref(detail);
    const struct mail_arg args[] = {
        {"what", a->args->cmd->verb}, {"reason", reason ? reason : ""}, {"time", mail_time(clock_real(), when)}};
    return r == 0 && reason ? tell_holders(s, PERM_SUPPORT_APPROVE, NULL, MAIL_EMERGENCY, args, ARRAY_LEN(args)) : r;
}

/* fn says why when it gives anything but 0 that admin_failed() cannot tell from another. What it did is in the trail or
 * it was not done. */
typedef int account_fn(struct admin_call *a, const struct scope *s, struct account *acc, json_t **out);
static int in_transaction(struct admin_call *a, const char *tenant, account_fn *fn, json_t **out)
{
    struct scope s;
    struct account CLEANUP(account_wipe) acc = {0};
    int r = cloud_begin(a->cloud, a->db);
    if (r != 0)
        return r;
    r = scope_init(a->cloud, a->db, tenant, &s);
    if (r == 0 && !may(a, &s))
        r = CLOUD_INVALID;
    if (r == 0)
        r = fn(a, &s, &acc, out);
    if (r == 0)
        r = note(a, &s, &acc);
    return cloud_end(a->cloud, a->db, r);
}

static int change(struct admin_call *a, account_fn *fn)
{
    const char *tenant;
    int code = tenant_of(a, &tenant);
    if (code != EXIT_OK)
        return code;
    json_t *out = json_object();
    size_t said = a->err->len;
    int r = in_transaction(a, tenant, fn, &out);
    if (r == 0)
        return admin_object(a, out);
    json_decref(out);
    return a->err->len > said ? EXIT_FAILED : admin_failed(a, r, "account");
}

/* ---- invite ---- */

/* Which there are to choose from is told when the name is none of them. */
static int role_named(struct admin_call *a, const struct scope *s, const char *name, struct role *ret)
{
    const struct grant_reach all = {.kind = REACH_TENANT};
    char names[256] = "";
    int r = 0;
    for (int k = ROLE_OWN + 1; r == 0 && k < ROLE_KINDS; k++) {
        const char *have = role_kind_name((enum role_kind)k);
        r = role_of_kind(a->db, s->tenant, (enum role_kind)k, ret);
        bool fits = r == 0 && !role_kind_refuses((enum role_kind)k, &all, false, clock_real(), 0);
        if (fits && strcmp(have, name) == 0)
            return 0;
        size_t n = strlen(names);
        if (fits)
            snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", have);
        r = r == CLOUD_ABSENT ? 0 : r;
    }
    if (r == 0)
        buf_addf(a->err, "punchcloud: there is no role \"%.40s\" to grant here; take one of %s\n", name, names);
    return r == 0 ? CLOUD_ABSENT : r;
}

static int grant(struct admin_call *a, const struct scope *s, const struct account *acc, const char *role_name)
{
    struct role role;
    const char *reason = admin_opt(a, "emergency");
    int64_t now = clock_real();
    struct granted g = {.reach = {.kind = REACH_TENANT}, .starts = now, .created = now};
    int r = role_named(a, s, role_name, &role);
    if (r == 0)
        r = crypto_random(g.id, ID_LEN);
    if (r != 0)
        return r;
    memcpy(g.account, acc->id, ID_LEN);
    memcpy(g.role, role.id, ID_LEN);
    str_copy(g.reason, sizeof g.reason, reason ? reason : "by the operator's command line");
    return granted_add(s, &g);
}

/* False: the reason is said. */
static bool texts(struct admin_call *a, struct account *acc)
{
    const char *mail = admin_opt(a, "mail"), *login = admin_opt(a, "login");
    if (!login_canonical(login, acc->login))
        buf_addf(a->err,
                 "punchcloud: \"%.40s\" is not a possible login; use letters, digits and . _ @ + -, at most %d\n",
                 login, LOGIN_MAX);
    else if (mail && (!mail_address_valid(mail) || str_copy(acc->mail, sizeof acc->mail, mail) != 0))
        buf_addf(a->err, "punchcloud: \"%.80s\" is not a possible mail address; write it as somebody@example.com\n",
                 mail);
    else
        return true;
    return false;
}

static int add_link(const struct scope *s, const struct account *acc, json_t **out)
{
    char link[LINK_TEXT], url[512], until[32];
    int64_t expires = 0;
    int r = link_make(s, acc->id, LINK_INVITATION, clock_real(), link, &expires);
    if (r != 0)
        return r;
    link_url(s->c, LINK_INVITATION, link, url, sizeof url);
    whole_set(out, "invitation", json_string(link));
    whole_set(out, "link", json_string(url));
    whole_set(out, "expires", json_string(str_time(expires, until)));
    crypto_wipe(link, sizeof link);
    crypto_wipe(url, sizeof url);
    return 0;
}

static int invite(struct admin_call *a, const struct scope *s, struct account *acc, json_t **out)
{
    struct person p;
    struct tenant_settings set;
    const char *role = admin_opt(a, "role");
    if (!texts(a, acc))
        return CLOUD_INVALID;
    int r = tenant_settings_get(a->db, s->tenant, &set);
    if (r == 0)
        r = people_create(a->cloud, a->db, s->tenant, &(struct person_set){.name = admin_opt(a, "name")}, &p);
    if (r == CLOUD_INVALID)
        (void)say(a, "--name is not a possible name; give 1 to 100 characters of UTF-8");
    if (r == 0)
        r = crypto_random(acc->id, ID_LEN);
    if (r != 0)
        return r;
    memcpy(acc->person, p.id, ID_LEN);
    memcpy(acc->key, p.key, KEY_ID_LEN);
    crypto_wipe(&p, sizeof p);
    acc->state = ACCOUNT_INVITED;
    acc->created = clock_real();
    str_copy(acc->language, sizeof acc->language, set.language);
    str_hex(acc->id, ID_LEN, a->about);
    whole_set(out, "account", json_string(a->about));
    r = account_put(s, acc);
    if (r == CLOUD_CONFLICT)
        buf_addf(a->err, "punchcloud: %s has already an account of the login \"%s\"; choose another\n", s->tenant,
                 acc->login);
    if (r == 0 && role)
        r = grant(a, s, acc, role);
    return r == 0 ? add_link(s, acc, out) : r;
}

int admin_account_invite(struct admin_call *a)
{
    return change(a, invite);
}

/* ---- end and mend ---- */

static int named(struct admin_call *a, const struct scope *s, struct account *acc, json_t **out)
{
    const char *typed = a->args->operand;
    char login[LOGIN_MAX + 1];
    int r = login_canonical(typed, login) ? account_by_login(s, login, acc) : CLOUD_ABSENT;
    if (r == CLOUD_ABSENT)
        buf_addf(a->err,
                 "punchcloud: %s has no account of the login \"%.40s\"; it is what its human being logs in with\n",
                 s->tenant, typed);
    if (r == 0) {
        str_hex(acc->id, ID_LEN, a->about);
        whole_set(out, "account", json_string(a->about));
    }
    return r;
}

static int archive(struct admin_call *a, const struct scope *s, struct account *acc, json_t **out)
{
    int r = named(a, s, acc, out);
    if (r == 0 && (r = archive_account(s, acc)) == ARCHIVE_OWNER)
        (void)say(a, "this is the last Owner, who stays; make another one first");
    return r;
}

int admin_account_archive(struct admin_call *a)
{
    return change(a, archive);
}

/* Whoever was in by the old one is out. */
static int reset_factor(struct admin_call *a, const struct scope *s, struct account *acc, json_t **out)
{
    int r = named(a, s, acc, out);
    if (r == 0)
        r = session_end_all(s, acc->id, NULL);
    acc->has_totp = acc->has_new_totp = false;
    acc->n_recovery = 0;
    return r == 0 ? account_put(s, acc) : r;
}

int admin_account_factor(struct admin_call *a)
{
    return change(a, reset_factor);
}

/* ---- list ---- */

static json_t *account_row(const struct account *acc)
{
    char id[2 * ID_LEN + 1], when[32];
    return json_pack("{s:s, s:s, s:b, s:s?}", "account", str_hex(acc->id, ID_LEN, id), "state",
                     account_state_name(acc->state), "second_factor", acc->has_totp, "created",
                     acc->damaged ? NULL : str_time(acc->created, when));
}

int admin_account_list(struct admin_call *a)
{
    static const char *const columns[] = {"account", "state", "second_factor", "created"};
    struct scope s;
    struct account_list l = {0};
    const char *tenant;
    int code = tenant_of(a, &tenant);
    if (code != EXIT_OK)
        return code;
    int r = scope_init(a->cloud, a->db, tenant, &s);
    if (r == 0)
        r = account_list(&s, NULL, SIZE_MAX, &l);
    if (r != 0)
        return admin_failed(a, r, "accounts");
    json_t *rows = json_array();
    for (size_t i = 0; i < l.n; i++)
        whole_append(&rows, account_row(&l.items[i]));
    account_list_done(&l);
    return admin_rows(a, columns, ARRAY_LEN(columns), rows);
}
