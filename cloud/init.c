/* `punchcloud init`: everything an installation has before its first tenant. Interrupted, it starts over: it is done
 * when the store holds the epoch. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/csr.h"
#include "base/file.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "cloud/escrow.h"
#include "cloud/pki.h"
#include "cloud/schema.h"
#include "cloud/token.h"

#define CLIENT_CN "punchcloud" /* of our own broker client; the broker's ACL names it */

static int make_folders(const struct settings *set)
{
    char path[4096];
    int r = file_mkdir(set->state, 0700);
    if (r == 0)
        r = file_join(path, sizeof path, set->state, "pki");
    if (r == 0)
        r = file_mkdir(path, 0700);
    if (r == 0)
        r = file_join(path, sizeof path, set->state, "keyring");
    if (r == 0)
        r = file_mkdir(path, 0700);
    char *const *escrow = set->escrow.items;
    for (size_t i = 0; r == 0 && i < set->escrow.n; i++)
        r = file_mkdir(escrow[i], 0700);
    return r;
}

static int make_root(const char *pki)
{
    char path[4096];
    struct crypto_key *key = NULL;
    struct buf pem;
    buf_init(&pem, 4096);
    int r = crypto_key_new(CRYPTO_ECDSA, &key);
    if (r == 0)
        r = csr_key_pem(key, &pem);
    if (r == 0)
        r = file_join(path, sizeof path, pki, "root.key");
    if (r == 0)
        r = file_write(path, buf_bytes(&pem), 0600);
    buf_wipe(&pem);
    crypto_key_free(key);
    return r;
}

static int issue_server(const char *pki, const char *file, const struct conf_list *names)
{
    char *const *items = names->items;
    const char *copy[32];
    if (names->n == 0 || names->n > ARRAY_LEN(copy))
        return CLOUD_INVALID;
    for (size_t i = 0; i < names->n; i++)
        copy[i] = items[i];
    return pki_issue(pki, file, copy[0], copy, names->n, PKI_SERVER);
}

static int make_pki(const struct settings *set)
{
    char pki[4096];
    int r = file_join(pki, sizeof pki, set->state, "pki");
    if (r == 0)
        r = pki_ca_create(pki, "Punchline CA");
    if (r == 0)
        r = make_root(pki);
    if (r == 0)
        r = issue_server(pki, "api", &set->api.names);
    if (r == 0)
        r = issue_server(pki, "broker", &set->broker.names);
    if (r == 0)
        r = pki_issue(pki, "cloud", CLIENT_CN, NULL, 0, PKI_CLIENT);
    if (r == 0)
        r = pki_crl_write(pki, NULL, 0);
    return r;
}

/* The epoch beside the keyring first: the store's commit is what makes the installation. */
static int make_store(const struct settings *set, struct db *db)
{
    char path[4096], text[32];
    int64_t epoch = (int64_t)time(NULL);
    int n = snprintf(text, sizeof text, "%lld\n", (long long)epoch);
    int r = file_join(path, sizeof path, set->state, "keyring/epoch");
    if (r == 0)
        r = file_write(path, BYTES(text, (size_t)n), 0600);
    if (r == 0)
        r = db_begin(db);
    if (r == 0)
        r = schema_apply(db, 0, SCHEMA_VERSION);
    if (r == 0)
        r = meta_put(db, "epoch", epoch);
    if (r == 0)
        r = db_commit(db);
    else
        db_rollback(db);
    if (r == 0) /* SQLite did not make the file and does not sync its name */
        r = file_sync_dir(set->state);
    return r > 0 ? -EIO : r;
}

static bool made_already(struct db *db)
{
    int64_t n = 0;
    struct db_stmt *s;
    if (db_stmt(db, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'", &s) != 0)
        return true; /* something is there that is not ours to overwrite */
    if (db_step(s) == DB_ROW)
        n = db_int(s, 0);
    db_done(s);
    return n != 0;
}

static int no_keys_there(const struct settings *set)
{
    char *const *folders = set->escrow.items;
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->escrow.n; i++)
        if ((r = escrow_holds(folders[i])) == ESCROW_HOLDS)
            log_error("escrow.holds", "folder=%s action=\"nothing is made\"", log_q(folders[i]));
    return r == ESCROW_HOLDS ? CLOUD_ESCROW : r;
}

static int mark_escrow(const struct settings *set)
{
    char *const *folders = set->escrow.items;
    char id[ESCROW_ID];
    int r = escrow_id(set->state, id);
    for (size_t i = 0; r == 0 && i < set->escrow.n; i++)
        r = escrow_adopt(folders[i], id);
    return r;
}

static int make(const struct settings *set)
{
    char path[4096];
    struct db_gate *gate = NULL;
    struct db *db = NULL;
    int r = db_gate_new(&gate);
    if (r == 0)
        r = file_join(path, sizeof path, set->state, "store.db");
    if (r == 0)
        r = db_open(path, true, gate, &db);
    if (r == 0 && made_already(db))
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = no_keys_there(set);
    if (r == 0)
        r = make_pki(set);
    if (r == 0)
        r = mark_escrow(set);
    if (r == 0)
        r = make_store(set, db);
    db_close(db);
    db_gate_free(gate);
    return r;
}

static int first_token(const struct settings *set, char ret_token[64])
{
    struct cloud *c = NULL;
    struct db *db = NULL;
    struct token t;
    int r = cloud_open(set, &c);
    if (r == 0)
        r = cloud_db_take(c, &db);
    if (r == 0)
        r = token_add(c, db, NULL, "init", 0, ret_token, &t);
    if (c != NULL)
        cloud_db_give(c, db);
    cloud_close(c);
    return r;
}

int cloud_init(const struct settings *set, char ret_token[64])
{
    char path[4096];
    int lock = -1;
    if (set->escrow.n == 0)
        return CLOUD_INVALID;
    int r = make_folders(set);
    if (r == 0)
        r = file_join(path, sizeof path, set->state, "lock");
    if (r == 0)
        r = file_lock(path, &lock);
    if (r == FILE_LOCKED)
        r = CLOUD_RUNNING;
    if (r == 0)
        r = make(set);
    if (lock >= 0)
        close(lock);
    return r != 0 ? r : first_token(set, ret_token);
}
