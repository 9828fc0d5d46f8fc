/* `punchcloud audit export` and `key`, and what every other command leaves in the trails. */
#include <string.h>

#include "api/admin.h"
#include "base/str.h"
#include "cloud/audit_lines.h"
#include "cloud/audit_move.h"
#include "cloud/gateway.h"
#include "cloud/tenant.h"
#include "cloud/token.h"
#include "cloud/who.h"

#define SETTLE_MS 5000

static int failed(struct admin_call *a, int r)
{
    buf_reset(a->out);
    buf_addf(a->err, "punchcloud: audit trail: %s\n",
             r == -ENOBUFS || r == -ENOMEM ? "too long for one answer; take it in parts, with --from and --to"
                                           : (r < 0 ? error_str(r) : "unexpected outcome"));
    return EXIT_FAILED;
}

static bool number(struct admin_call *a, const char *name, uint64_t *ret)
{
    const char *s = admin_opt(a, name);
    if (s == NULL || str_u64(s, 1, INT64_MAX, ret) == 0)
        return true;
    buf_addf(a->err, "punchcloud: --%s %.20s: the number of an event\n", name, s);
    return false;
}

/* Without a word about people: who runs the host is not to read what the trail says of them. */
int admin_audit_export(struct admin_call *a)
{
    struct audit_lines x;
    uint64_t from = 1, to = 0;
    if (!number(a, "from", &from) || !number(a, "to", &to))
        return EXIT_USAGE;
    const char *tenant = admin_opt(a, "tenant");
    if (strcmp(tenant, VENDOR_TENANT) != 0 && !admin_customer(a, tenant))
        return EXIT_FAILED;
    audit_settle(a->cloud, SETTLE_MS);
    int r = audit_lines_begin(a->cloud, a->db, tenant, from, to, false, &x, a->out);
    while (r == 0)
        r = audit_lines_more(&x, a->db, NULL, NULL, a->out);
    return r == AUDIT_LINES_END ? EXIT_OK : failed(a, r);
}

int admin_audit_key(struct admin_call *a)
{
    struct audit_key key;
    audit_key(a->cloud, &key);
    if (admin_opt(a, "json"))
        return admin_object(a, json_pack("{s:s}", "key", key.pem));
    buf_addf(a->out, "%s", key.pem);
    return EXIT_OK;
}

/* main.c has done it, which takes no store: this leaves it to admin_note(). */
int admin_escrow_adopted(struct admin_call *a)
{
    (void)a;
    return EXIT_OK;
}

/* ---- every command ---- */

/* Whose trail it belongs into; "": the vendor's. */
static int find_tenant(const struct admin_call *a, char ret[TENANT_MAX + 1])
{
    const struct admin_command *cmd = a->args->cmd;
    const char *tenant = admin_opt(a, "tenant"), *operand = a->args->operand;
    uint8_t id[GW_LEN];
    _Static_assert(GW_LEN == TOKEN_ID_LEN, "both are found by so many bytes");
    ret[0] = '\0';
    if (tenant == NULL && strcmp(cmd->group, "tenant") == 0)
        tenant = operand;
    if (tenant != NULL)
        return str_copy(ret, TENANT_MAX + 1, tenant) == 0 ? 0 : CLOUD_INVALID;
    if (operand == NULL || str_unhex(operand, id, sizeof id) != 0)
        return 0;
    int r = strcmp(cmd->group, "gateway") == 0 ? gateway_tenant(a->db, id, ret)
            : strcmp(cmd->group, "token") == 0 ? token_tenant(a->db, id, ret)
                                               : 0;
    return r == CLOUD_ABSENT ? 0 : r;
}

/* Those of accounts put their own event, with its reason, into their transaction. */
static bool needs_no_note(const struct admin_command *cmd)
{
    return cmd->verb == NULL || strcmp(cmd->group, "account") == 0 || strcmp(cmd->verb, "list") == 0 ||
           strcmp(cmd->verb, "show") == 0 || strcmp(cmd->verb, "key") == 0;
}

void admin_note(struct admin_call *a, int code)
{
    static const struct who operator= {.is = WHO_OPERATOR, .home = VENDOR_TENANT};
    const struct admin_command *cmd = a->args->cmd;
    char tenant[TENANT_MAX + 1], kind[64];
    struct tenant known;
    if (needs_no_note(cmd))
        return;
    snprintf(kind, sizeof kind, "cli.%s.%s", cmd->group, cmd->verb);
    int r = find_tenant(a, tenant);
    if (r == 0 && tenant[0] != '\0' && tenant_get(a->db, tenant, &known) != 0)
        tenant[0] = '\0';
    const struct audit_event e = {.kind = kind,
                                  .outcome = code == EXIT_OK ? AUDIT_DONE : AUDIT_FAILED,
                                  .who = &operator,
                                  .resource = a->about[0] ? a->about : NULL };
    if (r == 0)
        r = audit_note(a->cloud, a->db, tenant, &e);
    if (r != 0)
        buf_addf(a->err, "punchcloud: this command is not in the audit trail: %s\n",
                 r < 0 ? error_str(r) : "unexpected outcome");
}
