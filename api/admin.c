/* The table of subcommands, its parser and its usage text, and the daemon's end of the control socket. */
#include "api/admin.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define JSON_OPT                                            \
    {                                                       \
        .name = "json", .kind = OPT_FLAG, .help = "as JSON" \
    }

#define TENANT_OR_VENDOR                                                         \
    {.name = "tenant", .arg = "NAME", .help = "of this customer"},               \
    {                                                                            \
        .name = "vendor", .kind = OPT_FLAG, .help = "of the vendor's own people" \
    }
#define EMERGENCY_OPT                                                                                        \
    {                                                                                                        \
        .name = "emergency", .arg = "REASON", .help = "past the Owner; its Owners and DPO are told, and why" \
    }

const struct admin_command admin_commands[] = {
    {.group = "init", .help = "make the CA, the keys, the store and the first operator token", .opts = {JSON_OPT}},
    {.group = "run", .help = "take uploads from the broker and serve the API"},
    {.group = "escrow",
     .verb = "adopt",
     .operand = "FOLDER",
     .help = "take a new, empty folder of `escrow` into use, such as a replaced disk",
     .opts = {JSON_OPT},
     .run = admin_escrow_adopted},
    {.group = "tenant",
     .verb = "add",
     .operand = "NAME",
     .help = "add a customer; NAME is [a-z0-9-], at most 32",
     .opts = {JSON_OPT},
     .run = admin_tenant_add},
    {.group = "tenant", .verb = "list", .help = "list customers", .opts = {JSON_OPT}, .run = admin_tenant_list},
    {.group = "tenant",
     .verb = "show",
     .operand = "NAME",
     .help = "a customer in numbers",
     .opts = {JSON_OPT},
     .run = admin_tenant_show},
    {.group = "tenant",
     .verb = "archive",
     .operand = "NAME",
     .help = "shut a customer's people, tokens and support out; its gateways go on",
     .opts = {JSON_OPT},
     .run = admin_tenant_archive},
    {.group = "tenant",
     .verb = "restore",
     .operand = "NAME",
     .help = "let an archived customer in again",
     .opts = {JSON_OPT},
     .run = admin_tenant_restore},
    {.group = "account",
     .verb = "invite",
     .help = "invite somebody; the link is shown once. Where a customer has an Owner, only in an emergency",
     .opts = {TENANT_OR_VENDOR,
              {.name = "login", .required = true, .arg = "LOGIN", .help = "what to log in with"},
              {.name = "name", .required = true, .arg = "NAME", .help = "the human being's"},
              {.name = "mail", .arg = "ADDRESS", .help = "where mail goes"},
              {.name = "role", .arg = "ROLE", .help = "owner, dpo, hr, ...; of the vendor's owner or support"},
              EMERGENCY_OPT,
              JSON_OPT},
     .run = admin_account_invite},
    {.group = "account",
     .verb = "list",
     .help = "list accounts: ids and states, and nobody's name",
     .opts = {TENANT_OR_VENDOR, JSON_OPT},
     .run = admin_account_list},
    {.group = "account",
     .verb = "archive",
     .operand = "LOGIN",
     .help = "end an account: it cannot log in any more",
     .opts = {TENANT_OR_VENDOR, EMERGENCY_OPT, JSON_OPT},
     .run = admin_account_archive},
    {.group = "account",
     .verb = "reset-second-factor",
     .operand = "LOGIN",
     .help = "let somebody enrol a new second factor, who lost the old one",
     .opts = {TENANT_OR_VENDOR, EMERGENCY_OPT, JSON_OPT},
     .run = admin_account_factor},
    {.group = "token",
     .verb = "add",
     .help = "make an API token; it is shown once",
     .opts = {{.name = "tenant", .arg = "NAME", .help = "reads and writes this customer's data"},
              {.name = "operator", .kind = OPT_FLAG, .help = "administers; reaches no people and no punches"},
              {.name = "expires", .arg = "TIME", .help = "90d, 12h, 30min, 60s or never"},
              {.name = "label", .arg = "TEXT", .help = "what it is for"},
              JSON_OPT},
     .run = admin_token_add},
    {.group = "token", .verb = "list", .help = "list tokens", .opts = {JSON_OPT}, .run = admin_token_list},
    {.group = "token",
     .verb = "revoke",
     .operand = "ID",
     .help = "end a token now",
     .opts = {JSON_OPT},
     .run = admin_token_revoke},
    {.group = "gateway",
     .verb = "add",
     .help = "enrol a gateway, or raise its generation",
     .opts = {{.name = "tenant", .required = true, .arg = "NAME", .help = "the customer"},
              {.name = "site", .required = true, .arg = "SITE", .help = "where it stands"},
              {.name = "request", .kind = OPT_FILE, .required = true, .arg = "FILE", .help = "by `punchgate keygen`"},
              {.name = "out", .kind = OPT_OUT, .arg = "FILE", .help = "for the bundle; else standard output"},
              JSON_OPT},
     .run = admin_gateway_add},
    {.group = "gateway",
     .verb = "invite",
     .help = "a code that enrols one gateway at a site, over the API; it is shown once",
     .opts = {{.name = "tenant", .required = true, .arg = "NAME", .help = "the customer"},
              {.name = "site", .required = true, .arg = "SITE", .help = "where it will stand; the site exists"},
              {.name = "expires", .arg = "TIME", .help = "24h unless said, 7d at most"},
              JSON_OPT},
     .run = admin_gateway_invite},
    {.group = "gateway",
     .verb = "revoke",
     .operand = "ID",
     .help = "refuse a gateway from now on",
     .opts = {JSON_OPT},
     .run = admin_gateway_revoke},
    {.group = "gateway",
     .verb = "list",
     .help = "list gateways",
     .opts = {{.name = "tenant", .arg = "NAME", .help = "of this customer only"}, JSON_OPT},
     .run = admin_gateway_list},
    {.group = "audit",
     .verb = "verify",
     .operand = "FILE",
     .help = "prove an exported trail with the public key alone; no installation is needed",
     .opts =
         {{.name = "key", .required = true, .arg = "FILE", .help = "by `punchcloud audit key`, or GET /v1/audit/key"},
          {.name = "checkpoint", .arg = "FILE", .help = "a checkpoint that was kept elsewhere"},
          JSON_OPT}},
    {.group = "audit",
     .verb = "export",
     .help = "a customer's trail as JSON lines, without anything about people",
     .opts = {{.name = "tenant", .required = true, .arg = "NAME", .help = "the customer"},
              {.name = "from", .arg = "N", .help = "begin with event N"},
              {.name = "to", .arg = "N", .help = "end at the first checkpoint of event N or later"},
              {.name = "out", .kind = OPT_OUT, .arg = "FILE", .help = "for the lines; else standard output"}},
     .run = admin_audit_export},
    {.group = "audit",
     .verb = "key",
     .help = "the public key of the trails' checkpoints",
     .opts = {{.name = "out", .kind = OPT_OUT, .arg = "FILE", .help = "for the key; else standard output"}, JSON_OPT},
     .run = admin_audit_key},
    {.group = "status",
     .help = "counters, refusals by reason, gateways",
     .opts = {JSON_OPT},
     .run = admin_status,
     .daemon_only = true},
};
const size_t admin_n_commands = ARRAY_LEN(admin_commands);

static void usage_line(FILE *f, const struct admin_command *c)
{
    fprintf(f, "  punchcloud %s%s%s", c->group, c->verb ? " " : "", c->verb ? c->verb : "");
    if (c->operand)
        fprintf(f, " %s", c->operand);
    for (size_t i = 0; i < ADMIN_OPTS_MAX && c->opts[i].name; i++) {
        const struct admin_opt *o = &c->opts[i];
        fprintf(f, o->required ? " --%s%s%s" : " [--%s%s%s]", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    }
    fprintf(f, "\n      %s\n", c->help);
}

static bool shows(const struct admin_command *c, const char *group, const char *verb)
{
    return !group || (strcmp(c->group, group) == 0 && (!verb || !c->verb || strcmp(c->verb, verb) == 0));
}

bool admin_usage(FILE *f, const char *group, const char *verb)
{
    const struct admin_command *only = NULL;
    size_t shown = 0;
    for (size_t i = 0; i < admin_n_commands; i++) {
        if (shows(&admin_commands[i], group, verb)) {
            only = &admin_commands[i];
            shown++;
        }
    }
    if (shown == 0) /* no such command: show all there are */
        group = NULL;
    fputs("usage:\n", f);
    for (size_t i = 0; i < admin_n_commands; i++)
        if (shows(&admin_commands[i], group, verb))
            usage_line(f, &admin_commands[i]);
    for (size_t i = 0; shown == 1 && i < ADMIN_OPTS_MAX && only->opts[i].name; i++)
        fprintf(f, "        --%-9s %s\n", only->opts[i].name, only->opts[i].help);
    fputs("\n  --config FILE   settings (" SETTINGS_DEFAULT ")\n"
          "  --help, help    this text; with a command: that command's\n"
          "  --version       the version\n"
          "\nexit code: 0 done, 1 failed or bad settings, 2 usage, 3 punchcloud is not running,\n"
          "4 a trail is not what it was, 5 it is, but events in it are damaged\n",
          f);
    return shown > 0;
}

static const struct admin_command *find(int argc, char *const *argv, int *ret_words)
{
    for (size_t i = 0; argc > 0 && i < admin_n_commands; i++) {
        const struct admin_command *c = &admin_commands[i];
        if (strcmp(c->group, argv[0]) != 0)
            continue;
        if (!c->verb || (argc > 1 && strcmp(c->verb, argv[1]) == 0)) {
            *ret_words = c->verb ? 2 : 1;
            return c;
        }
    }
    return NULL;
}

/* "--name value" or "--name=value"; moves *i past what it used. */
static int parse_opt(struct admin_args *a, int argc, char *const *argv, int *i, struct buf *err)
{
    const char *word = argv[*i] + 2, *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    for (size_t k = 0; k < ADMIN_OPTS_MAX && a->cmd->opts[k].name; k++) {
        const struct admin_opt *o = &a->cmd->opts[k];
        if (strlen(o->name) != n || memcmp(o->name, word, n) != 0)
            continue;
        if (a->opts[k]) {
            buf_addf(err, "--%s is given twice\n", o->name);
        } else if (o->kind == OPT_FLAG && eq) {
            buf_addf(err, "--%s takes no value\n", o->name);
        } else if (o->kind != OPT_FLAG && !eq && *i + 1 == argc) {
            buf_addf(err, "--%s needs %s\n", o->name, o->arg);
        } else {
            a->opts[k] = o->kind == OPT_FLAG ? "" : eq ? eq + 1 : argv[++*i];
            return 0;
        }
        return EXIT_USAGE;
    }
    buf_addf(err, "unknown option %.60s\n", argv[*i]);
    return EXIT_USAGE;
}

static void name_missing(const char *group, const char *verb, struct buf *err)
{
    const char *before = " one of ";
    size_t known = 0;
    for (size_t i = 0; i < admin_n_commands; i++)
        known += strcmp(admin_commands[i].group, group) == 0;
    if (known == 0 || verb) {
        buf_addf(err, "unknown command %.40s%s%.40s\n", group, verb ? " " : "", verb ? verb : "");
        return;
    }
    buf_addf(err, "after %s comes", group);
    for (size_t i = 0; i < admin_n_commands; i++) {
        if (strcmp(admin_commands[i].group, group) != 0)
            continue;
        buf_addf(err, "%s%s", before, admin_commands[i].verb);
        before = ", ";
    }
    buf_addf(err, "\n");
}

int admin_parse(int argc, char *const *argv, struct admin_args *ret_args, struct buf *err)
{
    struct admin_args a = {0};
    int i = 0;
    if (!(a.cmd = find(argc, argv, &i))) {
        name_missing(argc > 0 ? argv[0] : "", argc > 1 && argv[1][0] != '-' ? argv[1] : NULL, err);
        return EXIT_USAGE;
    }
    for (; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            int r = parse_opt(&a, argc, argv, &i, err);
            if (r != 0)
                return r;
        } else if (a.operand || !a.cmd->operand) {
            buf_addf(err, "unexpected argument %.60s\n", argv[i]);
            return EXIT_USAGE;
        } else {
            a.operand = argv[i];
        }
    }
    if (a.cmd->operand && !a.operand) {
        buf_addf(err, "%s is missing\n", a.cmd->operand);
        return EXIT_USAGE;
    }
    for (size_t k = 0; k < ADMIN_OPTS_MAX && a.cmd->opts[k].name; k++) {
        if (a.cmd->opts[k].required && !a.opts[k]) {
            buf_addf(err, "--%s is missing\n", a.cmd->opts[k].name);
            return EXIT_USAGE;
        }
    }
    *ret_args = a;
    return 0;
}

const char *admin_opt(const struct admin_call *a, const char *name)
{
    for (size_t k = 0; k < ADMIN_OPTS_MAX && a->args->cmd->opts[k].name; k++)
        if (strcmp(a->args->cmd->opts[k].name, name) == 0)
            return a->args->opts[k];
    return NULL;
}

int admin_execute(struct cloud *c, struct ingest *in, const struct admin_args *args, struct buf *out, struct buf *err)
{
    struct admin_call a = {.cloud = c, .in = in, .args = args, .out = out, .err = err};
    if (!args->cmd->run || (args->cmd->daemon_only && !in)) {
        buf_addf(err, "%s is not possible here\n", args->cmd->group);
        return EXIT_FAILED;
    }
    int r = cloud_db_take(c, &a.db);
    if (r != 0) {
        buf_addf(err, "the store cannot be opened: %s\n", r < 0 ? error_str(r) : "it is busy");
        return EXIT_FAILED;
    }
    int code = args->cmd->run(&a);
    if (out->failed) { /* half a list would pass for all of it */
        buf_addf(err, "punchcloud: the answer is longer than %zu bytes, or memory is short\n", out->max);
        code = EXIT_FAILED;
    }
    admin_note(&a, code);
    cloud_db_give(c, a.db);
    return code;
}

/* ---- the daemon's end ---- */

struct admin_server {
    struct ctl *ctl;
    struct cloud *cloud;
    struct ingest *in;
};

static void on_command(void *arg, struct ctl_conn *conn, int argc, char **argv)
{
    struct admin_server *s = arg;
    struct admin_args args = {0};
    struct buf CLEANUP(buf_wipe) out; /* a fresh token passes through */
    struct buf CLEANUP(buf_done) err;
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&err, 65536);
    int code = admin_parse(argc, argv, &args, &err);
    if (code == 0)
        code = admin_execute(s->cloud, s->in, &args, &out, &err);
    if (args.cmd)
        log_info("admin.command", "command=%s%s%s exit=%d", args.cmd->group, args.cmd->verb ? "-" : "",
                 args.cmd->verb ? args.cmd->verb : "", code);
    if (out.len > 0 && ctl_out_bytes(conn, buf_bytes(&out)) < 0)
        code = EXIT_FAILED;
    if (err.len > 0)
        (void)ctl_err(conn, "%s", buf_str(&err));
    ctl_exit(conn, code);
}

int admin_serve(struct loop *l, struct cloud *c, struct ingest *in, struct admin_server **ret_server)
{
    char path[512];
    int r = cloud_path(c, "punchcloud.sock", path, sizeof path);
    if (r < 0)
        return r;
    struct admin_server *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->cloud = c;
    s->in = in;
    if ((r = ctl_listen(l, path, 0600, on_command, s, &s->ctl)) < 0) {
        free(s);
        return r;
    }
    *ret_server = s;
    return 0;
}

void admin_server_free(struct admin_server *s)
{
    if (!s)
        return;
    ctl_free(s->ctl);
    free(s);
}
