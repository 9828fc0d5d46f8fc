#include "daemon/enrol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/owner.h"
#include "base/str.h"
#include "daemon/keys.h"
#include "daemon/spool.h"

static int fail(const char *what, int r)
{
    fprintf(stderr, "punchgate: %s: %s\n", what, error_str(r));
    return 1;
}

int enrol_keygen(const struct settings *s, const char *out)
{
    struct buf request CLEANUP(buf_done);
    buf_init(&request, ENROL_FILE_MAX);
    bool again = false;
    int r = owner_become(s->state);
    if (r == 0)
        r = keys_make(s->state, &request);
    if (r == -EEXIST) {
        again = true;
        r = keys_request(s->state, &request);
    }
    if (r == -EUCLEAN) {
        fprintf(stderr, "punchgate: %s/keys: an id without its keys; move keys/ aside and run keygen again\n",
                s->state);
        return 1;
    }
    if (r == 0)
        r = owner_return();
    if (r != 0)
        return fail(s->state, r);
    if (!out) {
        fputs(buf_str(&request), stdout);
    } else if ((r = file_write(out, buf_bytes(&request), 0644)) != 0) { /* public: a request holds no secret */
        return fail(out, r);
    }
    fprintf(stderr, "%s%s%s\n",
            again ? "keys exist already, the same request was written" : "keys made, request written",
            out ? " to " : "", out ? out : "");
    return 0;
}

/* An older generation's spool goes aside now; `run` would do it too, if the power goes in between. */
static int set_old_spool_aside(const struct settings *s, const struct bundle *b)
{
    char dir[KEYS_PATH], name[64], moved[128];
    struct spool_meta m;
    int r = file_join(dir, sizeof(dir), s->state, "spool");
    if (r == 0 && spool_probe(dir) == SPOOL_CORRUPT)
        return 0; /* `run` quarantines it, whatever its generation */
    if (r == 0)
        r = spool_peek(dir, &m);
    if (r != 0 || m.gen >= b->gen)
        return r < 0 ? r : 0; /* there is none, or it is damaged and `run` quarantines it */
    snprintf(name, sizeof(name), "old-spool-%" PRIu64, m.gen);
    r = spool_set_aside(dir, name, moved, sizeof(moved));
    if (r == 0)
        printf("the spool of generation %" PRIu64 " was moved to %s/%s\n", m.gen, s->state, moved);
    return r;
}

static int install(const struct settings *s, struct buf *text, const char *file)
{
    struct bundle *b = calloc(1, sizeof(*b));
    bool raised = false;
    int r = b ? keys_install(s->state, buf_bytes(text), b, &raised) : -ENOMEM;
    int code = 1;
    if (r == KEYS_ABSENT)
        fprintf(stderr, "punchgate: %s: no keys yet, run `punchgate keygen` first\n", s->state);
    else if (r == KEYS_OTHER_GATEWAY)
        fprintf(stderr, "punchgate: %s: this bundle is for another gateway\n", file);
    else if (r == KEYS_OLDER)
        fprintf(stderr, "punchgate: %s: this bundle is older than the one installed\n", file);
    else if (r > 0 && !strstr(buf_str(text), "-----BEGIN PUNCH BUNDLE-----"))
        fprintf(stderr, "punchgate: %s: no bundle; give the file that `punchcloud gateway add --out` wrote\n", file);
    else if (r > 0)
        fprintf(stderr, "punchgate: %s: not a valid bundle of the installation this gateway trusts\n", file);
    if (r == 0)
        r = set_old_spool_aside(s, b);
    if (r < 0)
        fail(s->state, r);
    if (r == 0) {
        code = 0;
        char gw[2 * GW_LEN + 1];
        printf("enrolled: gateway %s, generation %" PRIu64 ", broker %s\n", str_hex(b->gw, GW_LEN, gw), b->gen,
               b->broker);
    }
    free(b);
    return code;
}

int enrol_bundle(const struct settings *s, const char *file)
{
    struct buf text CLEANUP(buf_done);
    char path[KEYS_PATH];
    int lock CLEANUP(error_closep) = -1;
    buf_init(&text, ENROL_FILE_MAX);
    int r = file_read(file, &text);
    if (r != 0)
        return fail(file, r);
    if ((r = owner_become(s->state)) == 0)
        r = file_join(path, sizeof(path), s->state, "lock");
    if (r == 0)
        r = file_lock(path, &lock);
    if (r == FILE_LOCKED) {
        fprintf(stderr, "punchgate: %s: punchgate is running; stop it, enrol, start it again\n", s->state);
        return 1;
    }
    if (r == -ENOENT) {
        fprintf(stderr, "punchgate: %s: no keys yet, run `punchgate keygen` first\n", s->state);
        return 1;
    }
    return r != 0 ? fail(path, r) : install(s, &text, file);
}
