/* The mark of an escrow folder; see escrow.h. */
#include "cloud/escrow.h"

#include <dirent.h>
#include <string.h>

#include "base/crypto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/cloud.h"
#include "cloud/keyring.h"
#include "cloud/ring.h"

#define MARK "installation.id" /* no customer's folder: its name has a dot */

int escrow_id(const char *state, char ret_id[ESCROW_ID])
{
    char path[4096];
    uint8_t hash[CRYPTO_HASH];
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 65536);
    int r = file_join(path, sizeof path, state, "pki/ca.crt");
    if (r == 0)
        r = file_read(path, &b);
    if (r == 0)
        r = crypto_sha256(buf_bytes(&b), hash);
    if (r == 0)
        str_hex(hash, (ESCROW_ID - 1) / 2, ret_id);
    return r;
}

/* -ENOENT: no mark, or no folder. */
static int read_mark(const char *folder, struct buf *ret)
{
    char path[4096];
    int r = file_join(path, sizeof path, folder, MARK);
    if (r == 0)
        r = file_read(path, ret);
    while (ret->len > 0 && ret->p[ret->len - 1] == '\n')
        ret->len--;
    return r;
}

static int write_mark(const char *folder, const char *id)
{
    char path[4096], line[ESCROW_ID + 1];
    int n = snprintf(line, sizeof line, "%s\n", id);
    int r = file_join(path, sizeof path, folder, MARK);
    return r == 0 ? file_write(path, BYTES(line, (size_t)n), 0600) : r;
}

bool escrow_marked(const char *folder, const char *id)
{
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 64);
    return read_mark(folder, &b) == 0 && strcmp(buf_str(&b), id) == 0;
}

int escrow_check(const char *folder, const char *id)
{
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 64);
    int r = read_mark(folder, &b);
    if (r == 0 && strcmp(buf_str(&b), id) == 0)
        return 0;
    log_error("escrow.refused", "folder=%s expected=%s found=%s action=\"no key is written there\" hint=%s",
              log_q(folder), id,
              r == 0         ? log_q(buf_str(&b))
              : r == -ENOENT ? "nothing"
                             : log_q(error_str(r)),
              r == 0 ? "\"it is another installation's: mount the right disk, or name another folder\""
                     : "\"mount its disk; only if the folder is new and empty: punchcloud escrow adopt FOLDER\"");
    return r < 0 && r != -ENOENT ? r : -ENOMEDIUM;
}

int escrow_holds(const char *folder)
{
    char sub[4096], path[4096];
    int r = 0;
    DIR *d = opendir(folder);
    if (d == NULL)
        return -errno;
    while (r == 0) {
        /* cppcheck-suppress readdirCalled; d is ours alone */
        const struct dirent *e = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
        if (e == NULL)
            break;
        r = file_join(sub, sizeof sub, folder, e->d_name);
        if (r == 0)
            r = file_join(path, sizeof path, sub, "ring");
        if (r == 0 && file_exists(path))
            r = ESCROW_HOLDS;
    }
    closedir(d);
    return r;
}

int escrow_adopt(const char *folder, const char *id)
{
    if (escrow_marked(folder, id))
        return 0;
    int r = escrow_holds(folder);
    return r == 0 ? write_mark(folder, id) : r;
}

/* Whether some ring there holds a key that the store knows by its random id. */
static int is_known(const char *folder, struct db *db, bool *ret_known)
{
    char dir[4096];
    uint8_t key_id[KEY_ID_LEN];
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT tenant_id, key_id FROM recipient", &s);
    if (r != 0)
        return r;
    while ((r = db_step(s)) == DB_ROW && !*ret_known)
        if (db_fixed(s, 1, key_id, sizeof key_id) == 0 && file_join(dir, sizeof dir, folder, db_text(s, 0)) == 0)
            *ret_known = ring_copy_has(dir, key_id);
    db_done(s);
    return r == DB_ROW ? 0 : r;
}

static int open_folder(const char *folder, struct db *db, const char *id)
{
    bool known = false;
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 64);
    int r = read_mark(folder, &b) == -ENOENT ? is_known(folder, db, &known) : 0;
    if (r == 0 && known)
        r = write_mark(folder, id);
    if (r == 0 && known)
        log_note("escrow.adopted", "folder=%s id=%s", log_q(folder), id);
    return r == 0 ? escrow_check(folder, id) : r;
}

int escrow_open(const struct settings *set, struct db *db, char ret_id[ESCROW_ID])
{
    char *const *folders = set->escrow.items;
    int r = escrow_id(set->state, ret_id);
    if (r < 0) {
        log_error("escrow.id", "state=%s error=%s", log_q(set->state), log_q(error_str(r)));
        return r == -ENOENT ? CLOUD_ESCROW : r;
    }
    for (size_t i = 0; r >= 0 && i < set->escrow.n; i++) {
        int rr = open_folder(folders[i], db, ret_id);
        if (rr != 0)
            r = rr == -ENOMEDIUM ? CLOUD_ESCROW : rr; /* all that are amiss are told at once */
    }
    return r;
}
