/* What the admin commands do. Their output is for people, or JSON where asked for; a table and its JSON are made from
 * the same rows. */
#include <stdlib.h>
#include <string.h>

#include "api/admin.h"
#include "api/report.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/account.h"
#include "cloud/granted.h"
#include "cloud/invitation.h"
#include "cloud/scope.h"
#include "cloud/site.h"
#include "cloud/tenant.h"
#include "cloud/token.h"

/* ---- output ---- */

#define COLUMNS_MAX 8
#define CELL_MAX 128

static int add_chunk(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) < 0 ? -1 : 0;
}

static void print_json(struct buf *out, const json_t *j)
{
    json_dump_callback(j, add_chunk, out, JSON_INDENT(2));
    buf_add(out, "\n", 1);
}

static const char *cell(const json_t *row, const char *column, char ret[CELL_MAX])
{
    const json_t *v = json_object_get(row, column);
    if (json_is_string(v))
        snprintf(ret, CELL_MAX, "%s", json_string_value(v));
    else if (json_is_integer(v))
        snprintf(ret, CELL_MAX, "%lld", (long long)json_integer_value(v));
    else
        snprintf(ret, CELL_MAX, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
    return ret;
}

static void print_line(struct buf *out, const char *const *cells, const size_t *width, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%-*s", i + 1 < n ? (int)width[i] + 2 : 0, cells[i]);
    buf_add(out, "\n", 1);
}

/* Columns are members of the rows, at most COLUMNS_MAX. */
static void print_table(struct buf *out, const char *const *columns, size_t n, const json_t *rows)
{
    char text[COLUMNS_MAX][CELL_MAX];
    const char *cells[COLUMNS_MAX];
    size_t width[COLUMNS_MAX], k;
    const json_t *row;
    ASSERT(n <= COLUMNS_MAX);
    for (size_t i = 0; i < n; i++) {
        width[i] = strlen(columns[i]);
        json_array_foreach(rows, k, row)
        {
            size_t w = strlen(cell(row, columns[i], text[0]));
            width[i] = w > width[i] ? w : width[i];
        }
    }
    print_line(out, columns, width, n);
    json_array_foreach(rows, k, row)
    {
        for (size_t i = 0; i < n; i++)
            cells[i] = cell(row, columns[i], text[i]);
        print_line(out, cells, width, n);
    }
}

int admin_failed(struct admin_call *a, int r, const char *what)
{
    static const char *const outcomes[] = {
        [CLOUD_ABSENT] = "there is no such",         [CLOUD_CONFLICT] = "there is already such a",
        [CLOUD_INVALID] = "this is not a possible",  [CLOUD_EPOCH] = "of another time:",
        [CLOUD_RUNNING] = "another process has the", [CLOUD_AMBIGUOUS] = "more than one fits:",
    };
    if (r > 0 && (size_t)r < ARRAY_LEN(outcomes))
        buf_addf(a->err, "punchcloud: %s %s\n", outcomes[r], what);
    else
        buf_addf(a->err, "punchcloud: %s: %s\n", what, r < 0 ? error_str(r) : "unexpected outcome");
    return EXIT_FAILED;
}

int admin_rows(struct admin_call *a, const char *const *columns, size_t n, json_t *rows)
{
    if (!rows)
        return admin_failed(a, -ENOMEM, "list");
    if (admin_opt(a, "json"))
        print_json(a->out, rows);
    else
        print_table(a->out, columns, n, rows);
    json_decref(rows);
    return EXIT_OK;
}

int admin_object(struct admin_call *a, json_t *o)
{
    char text[CELL_MAX];
    const char *key;
    json_t *v;
    if (!o)
        return admin_failed(a, -ENOMEM, "answer");
    if (admin_opt(a, "json"))
        print_json(a->out, o);
    else
        json_object_foreach(o, key, v)
            buf_addf(a->out, "%s: %s\n", key, json_is_string(v) ? json_string_value(v) : cell(o, key, text));
    json_decref(o);
    return EXIT_OK;
}

bool admin_customer(struct admin_call *a, const char *tenant)
{
    struct tenant t;
    int r = tenant_is_customer(tenant) ? tenant_get(a->db, tenant, &t) : CLOUD_ABSENT;
    if (r == CLOUD_ABSENT)
        buf_addf(a->err, "punchcloud: there is no customer \"%.40s\"; `punchcloud tenant list` shows them\n", tenant);
    else if (r != 0)
        (void)admin_failed(a, r, "customer");
    return r == 0;
}

static json_t *time_json(int64_t us)
{
    char text[32];
    return us ? json_string(str_time(us, text)) : json_null();
}

/* ---- tenants ---- */

int admin_tenant_add(struct admin_call *a)
{
    struct tenant t;
    const char *name = a->args->operand;
    int r = tenant_add(a->cloud, a->db, name, &t);
    if (r == CLOUD_INVALID)
        buf_addf(a->err, "punchcloud: \"%.40s\" is not a possible name; use a-z, 0-9 and inner hyphens, at most %d\n",
                 name, TENANT_MAX);
    else if (r == CLOUD_CONFLICT)
        buf_addf(a->err, "punchcloud: there is already a customer %s; `punchcloud tenant show %s`\n", name, name);
    else if (r != 0)
        return admin_failed(a, r, "customer");
    if (r != 0)
        return EXIT_FAILED;
    str_copy(a->about, sizeof a->about, t.id);
    return admin_object(a, json_pack("{s:s}", "tenant", t.id));
}

static int count_accounts(struct admin_call *a, const char *tenant, size_t *ret_n)
{
    struct scope s;
    struct account_list l = {0};
    int r = scope_init(a->cloud, a->db, tenant, &s);
    if (r == 0)
        r = account_list(&s, NULL, SIZE_MAX, &l);
    if (r == 0)
        *ret_n = l.n;
    account_list_done(&l);
    return r;
}

int admin_tenant_show(struct admin_call *a)
{
    const char *name = a->args->operand;
    struct tenant t;
    struct scope s;
    uint64_t owners = 0, gateways = 0;
    size_t accounts = 0;
    if (!admin_customer(a, name))
        return EXIT_FAILED;
    int r = tenant_get(a->db, name, &t);
    if (r == 0)
        r = scope_init(a->cloud, a->db, name, &s);
    if (r == 0)
        r = granted_owners(&s, clock_real(), NULL, NULL, &owners);
    if (r == 0)
        r = count_accounts(a, name, &accounts);
    if (r == 0)
        r = tenant_gateways(a->db, name, &gateways);
    if (r != 0)
        return admin_failed(a, r, "customer");
    return admin_object(a, json_pack("{s:s, s:o, s:o, s:I, s:I, s:I}", "tenant", t.id, "created", time_json(t.created),
                                     "archived", time_json(t.archived), "owners", (json_int_t)owners, "accounts",
                                     (json_int_t)accounts, "gateways", (json_int_t)gateways));
}

static int archive_tenant(struct admin_call *a, bool yes)
{
    const char *name = a->args->operand;
    if (!admin_customer(a, name))
        return EXIT_FAILED;
    int r = cloud_begin(a->cloud, a->db);
    if (r == 0) {
        r = tenant_archive(a->db, name, yes, clock_real());
        if (r == 0)
            r = cloud_commit(a->cloud, a->db);
        else
            cloud_rollback(a->cloud, a->db);
    }
    return r == 0 ? admin_tenant_show(a) : admin_failed(a, r, "customer");
}

int admin_tenant_archive(struct admin_call *a)
{
    return archive_tenant(a, true);
}

int admin_tenant_restore(struct admin_call *a)
{
    return archive_tenant(a, false);
}

int admin_tenant_list(struct admin_call *a)
{
    static const char *const columns[] = {"tenant", "created", "archived"};
    struct tenant_list list = {0};
    int r = tenant_list(a->db, &list);
    if (r != 0)
        return admin_failed(a, r, "list of tenants");
    json_t *rows = json_array();
    for (size_t i = 0; i < list.n; i++)
        if (tenant_is_customer(list.items[i].id))
            whole_append(&rows,
                         json_pack("{s:s, s:o, s:o}", "tenant", list.items[i].id, "created",
                                   time_json(list.items[i].created), "archived", time_json(list.items[i].archived)));
    tenant_list_done(&list);
    return admin_rows(a, columns, ARRAY_LEN(columns), rows);
}

/* ---- tokens ---- */

/* "90d", "12h", "30min", "60s", "never" (0); *ret_us is how long. */
static int parse_span(const char *s, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"s", 1000000}, {"min", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
    char digits[8];
    size_t n = strspn(s, "0123456789");
    uint64_t v = 0;
    if (strcmp(s, "never") == 0) {
        *ret_us = 0;
        return 0;
    }
    if (n == 0 || n >= sizeof digits)
        return -EINVAL;
    memcpy(digits, s, n);
    digits[n] = '\0';
    if (str_u64(digits, 1, 9999999, &v) < 0)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(s + n, units[i].unit) == 0) {
            *ret_us = (int64_t)v * units[i].us;
            return 0;
        }
    }
    return -EINVAL;
}

int admin_token_add(struct admin_call *a)
{
    const char *tenant = admin_opt(a, "tenant"), *expires = admin_opt(a, "expires"), *label = admin_opt(a, "label");
    char text[TOKEN_TEXT_MAX];
    struct token t;
    int64_t span = 0;
    if (!tenant == !admin_opt(a, "operator")) {
        buf_addf(a->err, "punchcloud: give --tenant NAME or --operator\n");
        return EXIT_USAGE;
    }
    if (parse_span(expires ? expires : tenant ? "90d" : "365d", &span) < 0) {
        buf_addf(a->err, "punchcloud: --expires %.20s: use 90d, 12h, 30min, 60s or never\n", expires);
        return EXIT_USAGE;
    }
    if (tenant && (span == 0 || span > TOKEN_LIFE_DAYS * DAY_US)) {
        buf_addf(a->err, "punchcloud: --expires %.20s: a customer's token lives for 365d at most\n", expires);
        return EXIT_USAGE;
    }
    if (label && strlen(label) > LABEL_MAX_LEN) {
        buf_addf(a->err, "punchcloud: --label has at most %d bytes\n", LABEL_MAX_LEN);
        return EXIT_USAGE;
    }
    if (tenant && !admin_customer(a, tenant))
        return EXIT_FAILED;
    int r = token_add(a->cloud, a->db, tenant, label ? label : "", span ? clock_real() + span : 0, text, &t);
    if (r == CLOUD_CONFLICT) {
        buf_addf(
            a->err,
            "punchcloud: %s has an Owner, who makes tokens (POST /v1/tokens) and invites others; there is no other "
            "way in\n",
            tenant);
        return EXIT_FAILED;
    }
    if (r != 0)
        return admin_failed(a, r, "token");
    str_hex(t.id, TOKEN_ID_LEN, a->about);
    r = admin_object(a, json_pack("{s:s, s:s, s:o}", "token", text, "id", a->about, "expires", time_json(t.expires)));
    crypto_wipe(text, sizeof text);
    return r;
}

/* Whoever has an account chose the label of a token himself: it may name him. */
static json_t *token_json(const struct token *t)
{
    char id[2 * TOKEN_ID_LEN + 1];
    const char *state = t->revoked ? "revoked" : t->expires && t->expires <= clock_real() ? "expired" : "valid";
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:s?}", "id", str_hex(t->id, TOKEN_ID_LEN, id), "state", state,
                     "scope",
                     t->is_operator   ? "operator"
                     : t->has_account ? "account"
                                      : "bootstrap",
                     "tenant", t->is_operator ? NULL : t->tenant, "created", time_json(t->created), "expires",
                     time_json(t->expires), "label", t->has_account ? NULL : t->label);
}

int admin_token_list(struct admin_call *a)
{
    static const char *const columns[] = {"id", "state", "scope", "tenant", "created", "expires", "label"};
    struct token_list list = {0};
    int r = token_list(a->db, &list);
    if (r != 0)
        return admin_failed(a, r, "list of tokens");
    json_t *rows = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&rows, token_json(&list.items[i]));
    token_list_done(&list);
    return admin_rows(a, columns, ARRAY_LEN(columns), rows);
}

int admin_token_revoke(struct admin_call *a)
{
    uint8_t id[TOKEN_ID_LEN];
    int r = str_unhex(a->args->operand, id, sizeof id) < 0 ? CLOUD_INVALID : 0;
    if (r == 0) {
        str_hex(id, sizeof id, a->about);
        r = token_revoke(a->cloud, a->db, id);
    }
    if (r == CLOUD_INVALID || r == CLOUD_ABSENT) {
        buf_addf(a->err, "punchcloud: there is no token of the id \"%.40s\"; `punchcloud token list` shows them\n",
                 a->args->operand);
        return EXIT_FAILED;
    }
    return r == 0 ? admin_object(a, json_pack("{s:s}", "revoked", a->about)) : admin_failed(a, r, "token");
}

/* ---- gateways ---- */

static int gateway_refused(struct admin_call *a, int r)
{
    const char *site = admin_opt(a, "site");
    if (r == CLOUD_CONFLICT)
        return admin_failed(a, r,
                            "gateway id, with other keys; nothing was changed: is the request the gateway's own?");
    if (*site == '\0' || strlen(site) > SITE_MAX_LEN)
        return admin_failed(a, r, "site (1 to 64 bytes)");
    return admin_failed(
        a, r, r == CLOUD_INVALID ? "request; make it with `punchgate keygen` and carry it unchanged" : "gateway");
}

int admin_gateway_add(struct admin_call *a)
{
    const char *tenant = admin_opt(a, "tenant");
    struct buf CLEANUP(buf_done) bundle;
    struct gateway g;
    buf_init(&bundle, ENROL_FILE_MAX);
    if (!admin_customer(a, tenant))
        return EXIT_FAILED;
    int r = gateway_add(a->cloud, a->db, tenant, admin_opt(a, "site"), BYTES_STR(admin_opt(a, "request")), &bundle, &g);
    if (r != 0)
        return gateway_refused(a, r);
    str_hex(g.gw, GW_LEN, a->about);
    if (g.before[0] && strcmp(g.before, g.tenant) != 0)
        buf_addf(a->err, "it was tenant %s's before; what it still holds for %s is refused from now on\n", g.before,
                 g.before);
    if (admin_opt(a, "json"))
        return admin_object(a, json_pack("{s:s, s:s, s:s, s:I, s:s}", "gateway", a->about, "tenant", g.tenant, "site",
                                         g.site, "generation", (json_int_t)g.gen, "bundle", buf_str(&bundle)));
    buf_addf(a->err, "gateway %s of tenant %s at %s: generation %llu\n", a->about, g.tenant, g.site,
             (unsigned long long)g.gen);
    r = buf_add(a->out, bundle.p, bundle.len);
    return r == 0 ? EXIT_OK : admin_failed(a, r, "bundle");
}

int admin_gateway_invite(struct admin_call *a)
{
    const char *tenant = admin_opt(a, "tenant"), *site = admin_opt(a, "site"), *expires = admin_opt(a, "expires");
    uint8_t id[ID_LEN];
    char code[INVITATION_CODE];
    struct invitation i;
    int64_t span = 0;
    if (parse_span(expires ? expires : "24h", &span) < 0 || span == 0 || span > INVITATION_LIFE_MAX_US) {
        buf_addf(a->err, "punchcloud: --expires %.20s: use 24h, 30min or 60s; 7d at most\n", expires);
        return EXIT_USAGE;
    }
    if (!admin_customer(a, tenant))
        return EXIT_FAILED;
    int r = site_by_name(a->db, tenant, site, id);
    if (r == 0)
        r = invitation_add(a->cloud, a->db, tenant, id, clock_real() + span, code, &i);
    if (r == CLOUD_ABSENT) {
        buf_addf(
            a->err,
            "punchcloud: %s has no site \"%.64s\"; its people make sites (POST /v1/sites), and so does `punchcloud "
            "gateway add`\n",
            tenant, site);
        return EXIT_FAILED;
    }
    if (r != 0)
        return admin_failed(a, r, "invitation");
    str_hex(i.id, ID_LEN, a->about);
    r = admin_object(a, json_pack("{s:s, s:s, s:s, s:o}", "invitation", a->about, "site", i.site, "code", code,
                                  "expires", time_json(i.expires)));
    crypto_wipe(code, sizeof code);
    return r;
}

int admin_gateway_revoke(struct admin_call *a)
{
    uint8_t gw[GW_LEN];
    int r = str_unhex(a->args->operand, gw, sizeof gw) < 0 ? CLOUD_INVALID : 0;
    if (r == 0) {
        str_hex(gw, sizeof gw, a->about);
        r = gateway_revoke(a->cloud, a->db, gw);
    }
    if (r == CLOUD_INVALID || r == CLOUD_ABSENT) {
        buf_addf(a->err, "punchcloud: there is no gateway of the id \"%.40s\"; `punchcloud gateway list` shows them\n",
                 a->args->operand);
        return EXIT_FAILED;
    }
    if (r != 0 && r != GATEWAY_UNLISTED)
        return admin_failed(a, r, "gateway");
    int code = admin_object(a, json_pack("{s:s}", "revoked", a->about));
    if (r == GATEWAY_UNLISTED) {
        buf_addf(a->err, "punchcloud: its uploads are refused from now on, but pki/ca.crl could not be written (see "
                         "the log), so the broker lets it in; give this command again\n");
        return EXIT_FAILED;
    }
    buf_addf(a->err,
             "its uploads are refused from now on; for the broker to refuse it too, give it the new pki/ca.crl\n"
             "and reload it (systemctl reload mosquitto)\n");
    return code;
}

static const char *const gateway_columns[] = {"id",     "tenant",      "site",        "generation",
                                              "online", "last_status", "last_upload", "revoked"};

int admin_gateway_list(struct admin_call *a)
{
    const char *tenant = admin_opt(a, "tenant");
    struct gateway_list list = {0};
    if (tenant && !admin_customer(a, tenant))
        return EXIT_FAILED;
    int r = gateway_list(a->db, tenant, &list);
    if (r != 0)
        return admin_failed(a, r, "list of gateways");
    json_t *rows = json_array();
    for (size_t i = 0; i < list.n; i++)
        whole_append(&rows, report_gateway(&list.items[i], true));
    gateway_list_done(&list);
    return admin_rows(a, gateway_columns, ARRAY_LEN(gateway_columns), rows);
}

/* ---- status ---- */

static void print_members(struct buf *out, const char *title, json_t *o)
{
    const char *key;
    json_t *v;
    buf_addf(out, "%s\n", title);
    json_object_foreach(o, key, v) buf_addf(out, "  %-22s %lld\n", key, (long long)json_integer_value(v));
}

int admin_status(struct admin_call *a)
{
    json_t *o = NULL;
    int r = report_status(a->cloud, a->db, a->in, &o);
    if (r != 0)
        return admin_failed(a, r, "status");
    if (admin_opt(a, "json")) {
        print_json(a->out, o);
    } else {
        buf_addf(a->out, "punchcloud %s, epoch %lld, store %s, broker %s\n", PUNCH_VERSION,
                 (long long)json_integer_value(json_object_get(o, "epoch")),
                 json_is_true(json_object_get(o, "store_ready")) ? "ready" : "FAILING",
                 json_is_true(json_object_get(o, "broker_connected")) ? "connected" : "NOT CONNECTED");
        print_members(a->out, "counters", json_object_get(o, "counters"));
        print_members(a->out, "refused", json_object_get(o, "refused"));
        print_table(a->out, gateway_columns, ARRAY_LEN(gateway_columns), json_object_get(o, "gateways"));
    }
    json_decref(o);
    return EXIT_OK;
}
