/* The admin commands: one table, one parser, one implementation, two callers: the running daemon (asked over its
 * control socket) or, when none runs, the command itself under the state lock. What is asked and answered are texts. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/ctl.h"
#include "cloud/cloud.h"
#include "cloud/ingest.h"

/* Exit codes of both programs. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ABSENT = 3, EXIT_TAMPERED = 4, EXIT_DAMAGED = 5 };

#define ADMIN_OPTS_MAX 8
#define ADMIN_ANSWER_MAX (16u << 20)

enum admin_opt_kind {
    OPT_TEXT, /* goes to the daemon as it is */
    OPT_FLAG,
    OPT_FILE, /* the client reads the file; its text goes to the daemon */
    OPT_OUT,  /* stays with the client: the file that the answer is written to */
};
struct admin_opt {
    const char *name; /* without the hyphens */
    enum admin_opt_kind kind;
    bool required;
    const char *arg, *help;
};

struct admin_call;
struct admin_command {
    const char *group, *verb; /* "tenant", "add"; verb NULL: a command of one word */
    const char *operand;      /* "NAME"; NULL: none */
    const char *help;
    struct admin_opt opts[ADMIN_OPTS_MAX];
    /* Exit code. NULL: not an admin command; main.c runs it. */
    int (*run)(struct admin_call *a);
    bool daemon_only; /* asks what only the running daemon knows */
};
extern const struct admin_command admin_commands[];
extern const size_t admin_n_commands;

/* A parsed command line; borrows from argv. */
struct admin_args {
    const struct admin_command *cmd;
    const char *operand;
    const char *opts[ADMIN_OPTS_MAX]; /* by index in cmd->opts; NULL: not given; "" for a flag that is */
};
/* argv begins with the command's words. EXIT_USAGE: the reason is appended to err. */
int admin_parse(int argc, char *const *argv, struct admin_args *ret_args, struct buf *err);

/* The whole usage, or that of one group or command ("tenant", "gateway add"; verb may be NULL). False: there is none,
 * and the whole is shown. */
bool admin_usage(FILE *f, const char *group, const char *verb);

/* Runs a parsed command here. Appends to out and err, returns the exit code. `in` NULL: no daemon. */
int admin_execute(struct cloud *c, struct ingest *in, const struct admin_args *args, struct buf *out, struct buf *err);

/* The daemon's end, on the loop's thread. */
struct admin_server;
int admin_serve(struct loop *l, struct cloud *c, struct ingest *in, struct admin_server **ret_server);
void admin_server_free(struct admin_server *s); /* takes NULL */

/* The command's end: asks the daemon or does it here; prints, returns the exit code. */
int admin_client(const struct settings *set, const struct admin_args *args);

/* What admin_run.c implements. */
struct admin_call {
    struct cloud *cloud;
    struct ingest *in; /* may be NULL */
    struct db *db;
    const struct admin_args *args;
    struct buf *out, *err;
    char about[2 * ID_LEN + 1]; /* what was made, changed or ended, for the trail; an id or a customer's name */
};
const char *admin_opt(const struct admin_call *a, const char *name); /* NULL: not given */
int admin_tenant_add(struct admin_call *a);
int admin_tenant_list(struct admin_call *a);
int admin_tenant_show(struct admin_call *a);
int admin_tenant_archive(struct admin_call *a);
int admin_tenant_restore(struct admin_call *a);
int admin_token_add(struct admin_call *a);
int admin_token_list(struct admin_call *a);
int admin_token_revoke(struct admin_call *a);
int admin_gateway_add(struct admin_call *a);
int admin_gateway_revoke(struct admin_call *a);
int admin_gateway_list(struct admin_call *a);
int admin_gateway_invite(struct admin_call *a);
int admin_status(struct admin_call *a);
/* A line for an outcome that is not 0; returns the exit code. */
int admin_failed(struct admin_call *a, int r, const char *what);
/* Takes rows, which may be NULL for want of memory; columns are members of them. */
int admin_rows(struct admin_call *a, const char *const *columns, size_t n, json_t *rows);

/* Takes what a command did, an object, which may be NULL for want of memory: JSON with --json, else a line for each
 * member. */
int admin_object(struct admin_call *a, json_t *o);
/* False: there is no such customer, and the reason is said. */
bool admin_customer(struct admin_call *a, const char *tenant);

/* admin_account.c */
int admin_account_invite(struct admin_call *a);
int admin_account_list(struct admin_call *a);
int admin_account_archive(struct admin_call *a);
int admin_account_factor(struct admin_call *a);

/* admin_audit.c */
int admin_audit_export(struct admin_call *a);
int admin_audit_key(struct admin_call *a);
int admin_escrow_adopted(struct admin_call *a);
/* Puts what the command did into the trail of the tenant that it was about. */
void admin_note(struct admin_call *a, int code);
