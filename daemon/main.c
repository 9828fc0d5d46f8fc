/* punchgate: parse, load the settings, run one subcommand. The table below is dispatch and usage in one. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/ctl.h"
#include "base/file.h"
#include "base/harden.h"
#include "base/log.h"
#include "base/owner.h"
#include "daemon/enrol.h"
#include "daemon/gateway.h"
#include "daemon/keys.h"
#include "readers/ascii125.h"
#include "readers/port.h"
#include "readers/settings.h"

enum { EXIT_USAGE = 2, EXIT_NOT_RUNNING = 3 };

struct call {
    const char *name; /* of the subcommand */
    const char *config;
    const char *out;
    bool json;
    const char *arg; /* the bundle's file */
    struct settings settings;
};

enum { TAKES_OUT = 1, TAKES_JSON = 2, TAKES_FILE = 4, NEEDS_CRYPTO = 8 };

static int do_run(struct call *c);
static int do_check(struct call *c);
static int do_keygen(struct call *c);
static int do_enrol(struct call *c);
static int do_ask(struct call *c);

static const struct command {
    const char *name, *args;
    int takes;
    int (*run)(struct call *c);
    const char *help;
} commands[] = {
    {"run", "", 0, do_run, "the daemon: take punches, keep them, send them to the cloud"},
    {"check", "", NEEDS_CRYPTO, do_check, "check the settings, the reader profiles, the keys and the bundle"},
    {"keygen", "[--out REQUEST]", TAKES_OUT | NEEDS_CRYPTO, do_keygen,
     "make this gateway's id and keys, write the request for `punchcloud gateway add`"},
    {"enrol", "BUNDLE", TAKES_FILE | NEEDS_CRYPTO, do_enrol, "verify and install what `punchcloud gateway add` wrote"},
    {"status", "[--json]", TAKES_JSON, do_ask, "ask the daemon how it is"},
    {"tail", "[--json]", TAKES_JSON, do_ask, "follow the punches as they are committed; no card numbers"},
    {"spool", "[--json]", TAKES_JSON, do_ask, "ask the daemon what it keeps, segment by segment"},
};

static int usage(FILE *f, const struct command *only)
{
    fprintf(f, "usage: punchgate %s [options]\n", only ? only->name : "COMMAND");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *k = &commands[i];
        if (!only || only == k)
            fprintf(f, "  %-7s %-16s %s\n", k->name, k->args, k->help);
    }
    fprintf(f, "options: --config FILE (default %s), --help, --version\n", SETTINGS_DEFAULT);
    return f == stdout ? 0 : EXIT_USAGE;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* ---- the subcommands ---- */

static int do_run(struct call *c)
{
    bool stuck = false;
    int r = owner_stay(c->settings.state);
    if (r != 0) {
        fprintf(stderr, "punchgate: working as the owner of %s: %s\n", c->settings.state, error_str(r));
        return 1;
    }
    log_init("punchgate", (enum log_level)settings_log_level(&c->settings));
    int code = gateway_run(&c->settings, &stuck);
    if (stuck)
        _exit(code); /* a thread is caught in a connect and still uses its memory */
    return code;
}

static int do_keygen(struct call *c)
{
    return enrol_keygen(&c->settings, c->out);
}

static int do_enrol(struct call *c)
{
    return enrol_bundle(&c->settings, c->arg);
}

static int do_ask(struct call *c)
{
    char path[SETTINGS_PATH_MAX], name[16], json[] = "--json";
    char *argv[2] = {name, json};
    int code = 1;
    snprintf(name, sizeof(name), "%s", c->name);
    int r = file_join(path, sizeof(path), c->settings.runtime, "punchgate.sock");
    if (r == 0)
        r = ctl_call(path, c->json ? 2 : 1, argv, &code);
    if (r == 0)
        return code;
    if (r == CTL_ABSENT) {
        fprintf(stderr, "punchgate: the daemon is not running (nobody listens at %s)\n", path);
        return EXIT_NOT_RUNNING;
    }
    fprintf(stderr, "punchgate: %s: %s\n", path, error_str(r));
    return 1;
}

/* How the person at a reader learns that the punch is stored. */
static void say_feedback(const struct reader_settings *r, const char *profile_dir)
{
    printf("reader:   %s: %s", r->name,
           reader_acked(r, profile_dir) ? "its read is cleared once the punch is stored"
                                        : "one-way: if it beeps, it beeps by itself, before the punch is stored");
    if (r->feedback == FEEDBACK_HOST)
        fputs("; lights of this machine once it is stored:", stdout);
    for (size_t i = 0; i < LIGHT_ROLES; i++)
        if (r->lights[i])
            printf(" %s %s", light_role_name((enum light_role)i), r->lights[i]);
    puts(r->feedback == FEEDBACK_NONE ? "; feedback: none" : "");
    if (r->driver == READER_ASCII125 && r->layout == ASCII125_D)
        printf("warning:  %s: layout D has no check digits: a digit damaged on the line is another card\n", r->name);
}

/* An absent device is waited for, so it is no mistake. */
static void warn_absent(const struct bus_settings *b)
{
    char path[SETTINGS_PATH_MAX];
    bool absent = b->serial ? !file_exists(b->serial) : b->usb && port_usb_find(b->usb, path, sizeof(path)) != 0;
    if (absent)
        printf("warning:  bus %s: %s is not there now; the daemon waits for it\n", b->name,
               b->serial ? b->serial : b->usb);
}

static void say_readers(const struct settings *s)
{
    const struct bus_settings *b = s->buses.items;
    const struct reader_settings *r = s->readers.items;
    for (size_t i = 0; i < s->buses.n; i++)
        warn_absent(&b[i]);
    for (size_t i = 0; i < s->readers.n; i++)
        say_feedback(&r[i], s->profiles);
}

/* Everything that `run` needs, without touching anything. */
static int do_check(struct call *c)
{
    char problem[KEYS_PATH + 100];
    struct keys *k = calloc(1, sizeof(*k));
    int r = k ? keys_load(c->settings.state, k, problem, sizeof(problem)) : -ENOMEM;
    int code = 1;
    printf("settings: %zu buses, %zu readers\n", c->settings.buses.n, c->settings.readers.n);
    say_readers(&c->settings);
    if (!file_volatile(c->settings.runtime))
        printf(
            "warning:  runtime: %s is on a disk; its hash.key must not outlive a power cut nor lie beside the spool: "
            "put it on a tmpfs such as /run\n",
            c->settings.runtime);
    if (r == KEYS_ABSENT)
        fprintf(stderr, "%s: no keys yet: run `punchgate keygen`, then `punchgate enrol`\n", c->settings.state);
    else if (r == KEYS_BAD)
        fprintf(stderr, "%s\n", problem);
    else if (r != 0)
        fprintf(stderr, "%s: %s\n", c->settings.state, error_str(r));
    else if (!k->enrolled)
        fprintf(stderr, "%s: keys, but no bundle yet: run `punchgate enrol`\n", c->settings.state);
    else
        code = 0;
    if (code == 0)
        printf("bundle:   generation %" PRIu64 ", %zu recipient keys, broker %s\n", k->bundle.gen,
               k->bundle.n_recipients, k->bundle.broker);
    if (r == 0)
        keys_done(k);
    free(k);
    return code;
}

/* ---- parsing ---- */

static int parse(int argc, char **argv, const struct command *k, struct call *ret)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int o;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((o = getopt_long(argc, argv, "c:o:jh", options, NULL)) != -1) {
        if (o == 'h')
            return usage(stdout, k);
        if (o == 'c')
            ret->config = optarg;
        else if (o == 'o' && (k->takes & TAKES_OUT))
            ret->out = optarg;
        else if (o == 'j' && (k->takes & TAKES_JSON))
            ret->json = true;
        else
            return usage(stderr, k);
    }
    if (k->takes & TAKES_FILE && optind < argc)
        ret->arg = argv[optind++];
    if (optind != argc || (k->takes & TAKES_FILE && !ret->arg))
        return usage(stderr, k);
    return -1;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr, NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout, NULL);
    if (strcmp(argv[1], "--version") == 0) {
        puts("punchgate " PUNCH_VERSION);
        return 0;
    }
    const struct command *k = find(argv[1]);
    if (!k)
        return usage(stderr, NULL);
    struct call c = {.name = k->name, .config = SETTINGS_DEFAULT};
    int r = parse(argc - 1, argv + 1, k, &c);
    if (r >= 0)
        return r;
    if ((r = harden_process()) != 0) {
        fprintf(stderr, "punchgate: hardening: %s\n", error_str(r));
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    struct conf *conf = NULL;
    if (settings_load(c.config, &c.settings, &conf) != 0)
        return 1;
    if (k->takes & NEEDS_CRYPTO && (r = crypto_init()) != 0)
        fprintf(stderr, "punchgate: cryptography: %s\n", error_str(r));
    else
        r = k->run(&c);
    conf_free(conf);
    return r < 0 ? 1 : r;
}
