/* punchcloud: parse, set up, run, tear down. Every subcommand stands in the table of admin.c; `init`, `run` and
 * `escrow adopt` are done here, the others by admin_client(). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/admin.h"
#include "api/api.h"
#include "api/audit_cli.h"
#include "api/metrics.h"
#include "base/crypto.h"
#include "base/harden.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/notify.h"
#include "base/owner.h"
#include "cloud/courier.h"
#include "cloud/escrow.h"
#include "cloud/gateway.h"
#include "cloud/sending.h"

/* ---- init ---- */

static void print_made(const struct settings *set, const char *config, const char *token)
{
    char *const *escrow = set->escrow.items;
    printf("Made an installation in %s:\n"
           "  pki/ca.crt              the CA that gateways and API clients trust\n"
           "  pki/api.crt, .key       the HTTPS API at %s\n"
           "  pki/broker.crt, .key    for the MQTT broker at %s, together with pki/ca.crt and pki/ca.crl\n"
           "  pki/cloud.crt, .key     punchcloud's own identity at the broker\n"
           "  pki/root.key            signs what gateways are given; keep a copy of pki/ in a safe\n"
           "  store.db, keyring/      the data and, apart from it, its keys\n",
           set->state, set->api.listen, set->broker.address);
    for (size_t i = 0; i < set->escrow.n; i++)
        printf("  second copy of the keys in %s; best on another disk\n", escrow[i]);
    printf("\noperator token: %s\n"
           "It is shown this once. It administers; it reaches no people and no punches.\n\n",
           token);
    printf("Next:\n"
           "  1. give the broker pki/broker.crt, pki/broker.key, pki/ca.crt, pki/ca.crl (config/mosquitto.conf.in); "
           "start it\n"
           "  2. punchcloud run --config %s\n"
           "  3. punchcloud tenant add NAME --config %s\n"
           "  4. punchcloud account invite --tenant NAME --login LOGIN --name 'FULL NAME' --role owner --config %s\n"
           "     (the Owner accepts the invitation, enrols a second factor, invites others and makes tokens)\n"
           "  5. on each gateway: punchgate keygen --out request.txt; then here:\n"
           "     punchcloud gateway add --tenant NAME --site SITE --request request.txt --out bundle.txt --config %s\n",
           config, config, config, config);
}

/* One object, as the other commands print it. `o` NULL: no memory. */
static int print_json(json_t *o)
{
    bool whole = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(o);
    return whole ? EXIT_OK : EXIT_FAILED;
}

static int cmd_init(const struct settings *set, const char *config, bool json)
{
    char token[64] = "";
    int r = owner_become(set->state);
    if (r == 0)
        r = cloud_init(set, token);
    if (r == CLOUD_CONFLICT) {
        fprintf(stderr, "punchcloud: %s holds an installation already; nothing was changed\n", set->state);
        return EXIT_FAILED;
    }
    if (r == CLOUD_RUNNING) {
        fprintf(stderr, "punchcloud: another process holds %s; nothing was changed\n", set->state);
        return EXIT_FAILED;
    }
    if (r == CLOUD_ESCROW) {
        fprintf(stderr, "punchcloud: an escrow folder holds the keys of an installation (see the line above); if they\n"
                        "are not needed to restore it, empty the folder, or name another in `escrow`\n");
        return EXIT_FAILED;
    }
    if (r != 0) {
        fprintf(stderr, "punchcloud: making the installation in %s failed: %s\n%s", set->state,
                r < 0 ? error_str(r) : "unexpected outcome",
                r == -EACCES ? "It works as the owner of that folder, whose the folders of `escrow` must be, too.\n"
                             : "");
        return EXIT_FAILED;
    }
    int code = EXIT_OK;
    if (json)
        code = print_json(json_pack("{s:s, s:s}", "state", set->state, "operator_token", token));
    else
        print_made(set, config, token);
    crypto_wipe(token, sizeof token);
    return fflush(stdout) == 0 ? code : EXIT_FAILED;
}

/* ---- escrow adopt ---- */

static bool in_list(const struct conf_list *l, const char *text)
{
    char *const *items = l->items;
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(items[i], text) == 0)
            return true;
    return false;
}

/* Neither the daemon nor the state lock is needed: whoever writes keys looks at the mark each time. They are for the
 * trail, and where another folder is to be adopted first there is neither. */
static int cmd_adopt(const struct settings *set, const struct admin_args *args, bool json)
{
    const char *folder = args->operand;
    char id[ESCROW_ID];
    if (!in_list(&set->escrow, folder)) {
        fprintf(stderr, "punchcloud: %s is not one of the folders of `escrow` in the settings\n", folder);
        return EXIT_FAILED;
    }
    int r = owner_become(set->state);
    if (r == 0)
        r = escrow_id(set->state, id);
    if (r != 0) {
        fprintf(stderr, "punchcloud: reading %s/pki/ca.crt: %s\n", set->state, error_str(r));
        return EXIT_FAILED;
    }
    r = escrow_adopt(folder, id);
    if (r == ESCROW_HOLDS)
        fprintf(stderr, "punchcloud: %s holds keys and is not marked as this installation's; nothing was changed\n",
                folder);
    else if (r != 0)
        fprintf(stderr, "punchcloud: marking %s: %s\n", folder, error_str(r));
    else if (admin_client(set, args) != EXIT_OK)
        fprintf(stderr, "punchcloud: it is adopted, but that is not in the audit trail\n");
    if (r == 0 && json)
        return print_json(json_pack("{s:s, s:s}", "adopted", folder, "installation", id));
    if (r == 0)
        printf("%s is an escrow folder of this installation (%s). The keys are copied there within a minute,\n"
               "or when punchcloud starts.\n",
               folder, id);
    return r == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- run ---- */

struct service {
    struct loop *loop;
    struct cloud *cloud;
    struct ingest *ingest;
    struct sending *sending;
    struct api *api;
    struct metrics *metrics;
    struct admin_server *admin;
    struct loop_timer *watchdog;
};

static void on_stop(void *arg)
{
    struct service *s = arg;
    loop_stop(s->loop, 0);
}

static void on_watchdog(void *arg)
{
    struct service *s = arg;
    unsigned ms = notify_watchdog_ms();
    int64_t since = ingest_turned(s->ingest);
    bool store = cloud_answers(s->cloud);
    if ((since <= 2 * (int64_t)ms || cloud_scrubs(s->cloud)) && store)
        notify_watchdog();
    else
        log_error("watchdog.withheld", "ingest_ms=%lld store=%s action=\"systemd starts us anew\"", (long long)since,
                  store ? "answers" : "silent");
    loop_timer_set(s->watchdog, ms);
}

static int open_cloud(struct service *s, const struct settings *set)
{
    int r = cloud_open(set, &s->cloud);
    if (r == -ENOENT)
        log_error("run.absent", "state=%s hint=\"punchcloud init\"", log_q(set->state));
    else if (r == CLOUD_RUNNING)
        log_error("run.locked", "state=%s error=\"another punchcloud has it\"", log_q(set->state));
    else if (r == CLOUD_EPOCH)
        log_error("run.epoch", "state=%s error=\"store and keyring are not of one time\"", log_q(set->state));
    else if (r == CLOUD_KEYS)
        log_error("run.keys", "state=%s error=\"a keyring has no usable copy\"", log_q(set->state));
    else if (r == CLOUD_ESCROW)
        log_error("run.escrow", "state=%s error=\"an escrow folder is not this installation's\"", log_q(set->state));
    else if (r == CLOUD_NEWER)
        log_error("run.newer", "state=%s error=\"a later punchcloud made the store\"", log_q(set->state));
    else if (r == -EACCES)
        log_error(
            "run.open",
            "state=%s error=\"files of another user\" hint=\"as root: chown -R punchcloud:punchcloud the folder\"",
            log_q(set->state));
    else if (r != 0)
        log_error("run.open", "state=%s error=%s", log_q(set->state), log_q(r < 0 ? error_str(r) : "unexpected"));
    return r;
}

/* Killed after a revocation and before its list, or restored, the store may differ from the list on disk. Without it
 * punchcloud still refuses who is revoked, so it runs. */
static void renew_crl(struct service *s)
{
    struct db *db = NULL;
    if (cloud_db_take(s->cloud, &db) == 0)
        gateway_write_crl(s->cloud, db);
    cloud_db_give(s->cloud, db);
}

/* Signals are blocked before the first thread starts, so that they reach the loop only. */
static int start(struct service *s, const struct settings *set)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    int r = loop_new(&s->loop);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(stops); i++)
        r = loop_signal(s->loop, stops[i], on_stop, s);
    if (r == 0)
        r = loop_timer_new(s->loop, on_watchdog, s, &s->watchdog);
    if (r != 0) {
        log_error("run.loop", "error=%s", log_q(error_str(r)));
        return r;
    }
    if ((r = open_cloud(s, set)) != 0)
        return r;
    renew_crl(s);
    if ((r = ingest_start(s->cloud, &s->ingest)) != 0)
        log_error("run.ingest", "error=%s", log_q(r < 0 ? error_str(r) : "unexpected"));
    else if ((r = sending_start(s->cloud, &s->sending)) != 0)
        log_error("run.sending", "error=%s", log_q(r < 0 ? error_str(r) : "unexpected"));
    else if ((r = api_start(s->cloud, s->ingest, &s->api)) != 0)
        log_error("run.api", "listen=%s error=%s", set->api.listen, log_q(r < 0 ? error_str(r) : "unexpected"));
    else if ((r = metrics_start(s->cloud, s->ingest, s->sending, s->api, &s->metrics)) != 0)
        log_error("run.metrics", "listen=%s error=%s", set->metrics.listen, log_q(r < 0 ? error_str(r) : "unexpected"));
    else if ((r = admin_serve(s->loop, s->cloud, s->ingest, &s->admin)) != 0)
        log_error("run.control", "error=%s", log_q(r < 0 ? error_str(r) : "unexpected"));
    else if (notify_watchdog_ms() > 0 && (r = loop_timer_set(s->watchdog, notify_watchdog_ms())) != 0)
        log_error("run.watchdog", "error=%s", log_q(error_str(r)));
    return r;
}

/* The reverse of start(). */
static void stop(struct service *s)
{
    admin_server_free(s->admin);
    metrics_stop(s->metrics);
    api_stop(s->api);
    sending_stop(s->sending);
    ingest_stop(s->ingest);
    cloud_close(s->cloud);
    loop_timer_free(s->watchdog);
    loop_free(s->loop);
}

static int cmd_run(const struct settings *set)
{
    struct service s = {0};
    int r = owner_stay(set->state);
    if (r != 0)
        log_error("run.owner", "state=%s error=%s", log_q(set->state), log_q(error_str(r)));
    else
        r = start(&s, set);
    if (r == 0) {
        log_note("run.ready", "version=%s api=%s port=%u broker=%s epoch=%llu", PUNCH_VERSION, set->api.listen,
                 api_port(s.api), set->broker.address, (unsigned long long)cloud_epoch(s.cloud));
        notify_ready("serving");
        r = loop_run(s.loop);
        notify_stopping();
        log_note("run.stopping", "result=%d", r);
    }
    stop(&s);
    return r == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- audit verify ---- */

static int cmd_verify(const struct admin_args *args)
{
    log_init("punchcloud", LOG_WARN);
    int r = crypto_init();
    if (r < 0) {
        fprintf(stderr, "punchcloud: the crypto library does not start: %s\n", error_str(r));
        return EXIT_FAILED;
    }
    const struct admin_call a = {.args = args};
    return audit_cli_verify(args->operand, admin_opt(&a, "key"), admin_opt(&a, "checkpoint"),
                            admin_opt(&a, "json") != NULL);
}

/* ---- command line ---- */

/* Takes --config, --help and --version out of argv, wherever they stand, and `help` where a command would begin. */
struct globals {
    const char *config;
    bool help, version;
};
static int take_globals(int *argc, char **argv, struct globals *ret)
{
    int n = 0;
    *ret = (struct globals){.config = SETTINGS_DEFAULT};
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 || (n == 0 && strcmp(argv[i], "help") == 0)) {
            ret->help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            ret->version = true;
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            ret->config = argv[i] + 9;
        } else if (strcmp(argv[i], "--config") == 0) {
            if (++i == *argc)
                return EXIT_USAGE;
            ret->config = argv[i];
        } else {
            argv[n++] = argv[i];
        }
    }
    *argc = n;
    return 0;
}

static int load(const char *path, struct settings *ret, struct conf **ret_conf)
{
    int r = settings_load(path, ret, ret_conf);
    if (r == CONF_BAD)
        fputs(conf_text(*ret_conf), stderr);
    else if (r < 0)
        fprintf(stderr, "punchcloud: %s: %s%s\n", path, error_str(r),
                r == -ENOENT ? "; config/punchcloud.yaml is an example, --config names another file" : "");
    return r;
}

static int perform(const struct admin_args *args, const char *config)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_NOTE, LOG_INFO, LOG_DEBUG};
    struct settings set;
    struct conf *conf = NULL;
    int r = load(config, &set, &conf), code = EXIT_FAILED;
    if (r == 0) {
        const struct admin_call a = {.args = args};
        bool run = strcmp(args->cmd->group, "run") == 0, json = admin_opt(&a, "json") != NULL;
        log_init("punchcloud", run ? levels[set.log] : LOG_WARN);
        if ((r = crypto_init()) < 0)
            fprintf(stderr, "punchcloud: the crypto library does not start: %s\n", error_str(r));
        else if (run && (r = courier_init()) < 0)
            fprintf(stderr, "punchcloud: the network library does not start: %s\n", error_str(r));
        else if (run)
            code = cmd_run(&set);
        else if (strcmp(args->cmd->group, "init") == 0)
            code = cmd_init(&set, config, json);
        else if (strcmp(args->cmd->group, "escrow") == 0)
            code = cmd_adopt(&set, args, json);
        else
            code = admin_client(&set, args);
    }
    conf_free(conf);
    return code;
}

static int show_usage(int argc, char *const *argv)
{
    if (admin_usage(stdout, argc > 0 ? argv[0] : NULL, argc > 1 ? argv[1] : NULL))
        return EXIT_OK;
    fprintf(stderr, "punchcloud: unknown command %s\n", argv[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct globals g;
    struct admin_args args;
    struct buf CLEANUP(buf_done) err;
    buf_init(&err, 4096);
    int r = harden_process();
    if (r < 0) {
        fprintf(stderr, "punchcloud: the process cannot be hardened: %s\n", error_str(r));
        return EXIT_FAILED;
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that goes away is an error of that write, not the end of us */
    json_object_seed(0);      /* before there are threads: jansson seeds lazily and not thread-safe */
    argc--, argv++;
    if (take_globals(&argc, argv, &g) != 0) {
        fputs("punchcloud: --config needs FILE\n", stderr);
        return EXIT_USAGE;
    }
    if (g.version) {
        puts("punchcloud " PUNCH_VERSION);
        return EXIT_OK;
    }
    if (g.help)
        return show_usage(argc, argv);
    if (argc == 0) {
        admin_usage(stderr, NULL, NULL);
        return EXIT_USAGE;
    }
    if (admin_parse(argc, argv, &args, &err) != 0) {
        fprintf(stderr, "punchcloud: %s", buf_str(&err));
        fprintf(stderr, "punchcloud help %s shows what is possible\n", argv[0]);
        return EXIT_USAGE;
    }
    if (!args.cmd->run && strcmp(args.cmd->group, "audit") == 0) /* needs no settings */
        return cmd_verify(&args);
    return perform(&args, g.config);
}
