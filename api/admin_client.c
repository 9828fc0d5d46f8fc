/* The command's end: reads the files that an option names, asks the daemon or does the work here, writes the answer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/admin.h"
#include "base/file.h"
#include "base/log.h"
#include "base/owner.h"
#include "base/str.h"

/* A daemon that starts or ends holds the state lock without a socket for a moment. */
#define TRIES 25
#define TRY_MS 200

static int socket_path(const struct settings *set, char *ret, size_t size)
{
    return file_join(ret, size, set->state, "punchcloud.sock");
}

static void explain(const struct settings *set, int r)
{
    if (r == -ENOENT)
        fprintf(stderr, "punchcloud: there is no installation in %s; make one with `punchcloud init`\n", set->state);
    else if (r == CLOUD_RUNNING)
        fprintf(stderr, "punchcloud: another process holds %s and does not answer on its socket\n", set->state);
    else if (r == CLOUD_EPOCH)
        fprintf(stderr, "punchcloud: store and keyring in %s are not of one time; restore both from one backup\n",
                set->state);
    else if (r == CLOUD_KEYS)
        fprintf(
            stderr,
            "punchcloud: a keyring in %s/keyring has no usable copy, there or in escrow (see the lines above); put\n"
            "its ring, kek and tombstones of one time there, from an escrow folder\n",
            set->state);
    else if (r == CLOUD_ESCROW)
        fprintf(stderr, "punchcloud: an escrow folder is not this installation's (see the lines above)\n");
    else if (r == CLOUD_NEWER)
        fprintf(stderr, "punchcloud: the store in %s was made by a later punchcloud; use that one\n", set->state);
    else
        fprintf(stderr, "punchcloud: %s cannot be opened: %s\n", set->state,
                r < 0 ? error_str(r) : "unexpected outcome");
}

/* Back to the form that the daemon parses again: words, options, operand. `argv` has room for CTL_ARGS_MAX. */
static int make_argv(const struct admin_args *a, char (*names)[32], const char **argv)
{
    int n = 0;
    argv[n++] = a->cmd->group;
    if (a->cmd->verb)
        argv[n++] = a->cmd->verb;
    for (size_t k = 0; k < ADMIN_OPTS_MAX && a->cmd->opts[k].name; k++) {
        if (!a->opts[k] || a->cmd->opts[k].kind == OPT_OUT)
            continue;
        snprintf(names[k], sizeof names[k], "--%s", a->cmd->opts[k].name);
        argv[n++] = names[k];
        if (a->cmd->opts[k].kind != OPT_FLAG)
            argv[n++] = a->opts[k];
    }
    if (a->operand)
        argv[n++] = a->operand;
    return n;
}

static int ask(const char *path, const struct admin_args *a, struct buf *out, int *ret_code)
{
    char names[ADMIN_OPTS_MAX][32];
    const char *argv[CTL_ARGS_MAX];
    char *mutable[CTL_ARGS_MAX];
    int argc = make_argv(a, names, argv);
    memcpy(mutable, argv, sizeof mutable[0] * (size_t)argc);
    return ctl_ask(path, argc, mutable, out, ret_code);
}

static int here(const struct settings *set, const struct admin_args *a, struct buf *out, struct cloud **ret_cloud,
                int *ret_code)
{
    struct buf CLEANUP(buf_done) err = {0};
    int r = cloud_open(set, ret_cloud);
    if (r != 0)
        return r;
    buf_init(&err, 65536);
    *ret_code = admin_execute(*ret_cloud, NULL, a, out, &err);
    fputs(buf_str(&err), stderr);
    return 0;
}

/* The daemon, or this process under the lock; whichever is possible first. */
static int perform(const struct settings *set, const struct admin_args *a, struct buf *out)
{
    char path[512];
    int code = EXIT_FAILED, r = socket_path(set, path, sizeof path);
    if (r < 0) {
        fprintf(stderr, "punchcloud: the state folder's path is too long\n");
        return EXIT_FAILED;
    }
    for (int i = 0; i < TRIES; i++) {
        r = ask(path, a, out, &code);
        if (r == 0)
            return code;
        if (r != CTL_ABSENT) {
            fprintf(stderr, "punchcloud: asking the daemon at %s failed: %s\n", path, error_str(r));
            return EXIT_FAILED;
        }
        if (a->cmd->daemon_only) {
            fprintf(stderr, "punchcloud: not running (nobody listens at %s)\n", path);
            return EXIT_ABSENT;
        }
        struct cloud *c = NULL;
        r = here(set, a, out, &c, &code);
        cloud_close(c);
        if (r == 0)
            return code;
        if (r != CLOUD_RUNNING)
            break;
        nanosleep(&(struct timespec){.tv_nsec = TRY_MS * 1000000L}, NULL);
    }
    explain(set, r);
    return EXIT_FAILED;
}

/* An answer that cannot be written to its file is shown, not lost: what it tells is done already. */
static int deliver(const char *path, struct buf *out, int code)
{
    int r = path && code == 0 ? file_write(path, buf_bytes(out), 0600) : 0;
    if (r < 0)
        fprintf(stderr, "punchcloud: %s cannot be written (%s); here is what belongs there\n", path, error_str(r));
    if (path && code == 0 && r == 0)
        return code;
    if (out->len > 0 && (fwrite(out->p, 1, out->len, stdout) != out->len || fflush(stdout) != 0))
        return EXIT_FAILED;
    return r < 0 ? EXIT_FAILED : code;
}

static int read_input(const char *path, struct buf *ret)
{
    int r = file_read(path, ret);
    if (r == 0 && memchr(ret->p, 0, ret->len))
        r = -EINVAL;
    if (r < 0)
        fprintf(stderr, "punchcloud: %s: %s\n", path,
                r == -EINVAL    ? "this is not a text file"
                : r == -ENOBUFS ? "the file is too large"
                                : error_str(r));
    return r;
}

int admin_client(const struct settings *set, const struct admin_args *args)
{
    struct admin_args a = *args;
    const char *out_path = NULL;
    struct buf CLEANUP(buf_done) text;
    struct buf CLEANUP(buf_wipe) out;
    buf_init(&text, 65536);
    buf_init(&out, ADMIN_ANSWER_MAX);
    for (size_t k = 0; k < ADMIN_OPTS_MAX && a.cmd->opts[k].name; k++) {
        if (!a.opts[k])
            continue;
        if (a.cmd->opts[k].kind == OPT_OUT) {
            out_path = a.opts[k];
        } else if (a.cmd->opts[k].kind == OPT_FILE) {
            if (read_input(a.opts[k], &text) < 0)
                return EXIT_FAILED;
            a.opts[k] = buf_str(&text);
        }
    }
    int r = owner_become(set->state), code = EXIT_FAILED;
    if (r == 0) {
        code = perform(set, &a, &out);
        r = owner_return(); /* the answer's file is the caller's */
    }
    if (r != 0)
        fprintf(stderr, "punchcloud: working as the owner of %s: %s\n", set->state, error_str(r));
    return deliver(out_path, &out, code);
}
