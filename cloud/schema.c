/* The schema. Nothing personal stands in the clear: what is not `sealed` here is random, keyed, or about machines.
 * `WITHOUT ROWID` keeps SQLite to the primary key alone, so that not even insertion order is kept in a rowid.
 */
#include "cloud/schema.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/cloud.h"
#include "cloud/role.h"
#include "cloud/rows.h"
#include "cloud/schema_6.h"

static const char *const version_1 =
    "CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"

    /* overflow: key id that waiting credentials beyond the limit share */
    "CREATE TABLE tenant(tenant_id TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL, overflow BLOB) WITHOUT ROWID;"

    "CREATE TABLE recipient(tenant_id TEXT NOT NULL, rkid BLOB NOT NULL, key_id BLOB NOT NULL, point BLOB NOT NULL,"
    " created INTEGER NOT NULL, PRIMARY KEY(tenant_id, rkid)) WITHOUT ROWID;"

    "CREATE TABLE gateway(tenant_id TEXT NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL, site TEXT NOT NULL,"
    " sign_point BLOB NOT NULL, serial TEXT NOT NULL, added INTEGER NOT NULL, revoked INTEGER NOT NULL,"
    " last_upload INTEGER NOT NULL, PRIMARY KEY(tenant_id, gw, gen)) WITHOUT ROWID;"
    /* ingest knows (gw, gen) before it knows the tenant */
    "CREATE UNIQUE INDEX gateway_gen ON gateway(gw, gen);"

    "CREATE TABLE gateway_status(tenant_id TEXT NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL, conn BLOB NOT NULL,"
    " boot BLOB NOT NULL, mono INTEGER NOT NULL, online INTEGER NOT NULL, rkids BLOB NOT NULL, counts BLOB NOT NULL,"
    " received INTEGER NOT NULL, PRIMARY KEY(tenant_id, gw, gen)) WITHOUT ROWID;"

    /* tenant_id NULL: the operator's */
    "CREATE TABLE token(id BLOB NOT NULL PRIMARY KEY, hash BLOB NOT NULL UNIQUE, tenant_id TEXT, label TEXT NOT NULL,"
    " created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE person(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX person_key ON person(tenant_id, key_id);"

    "CREATE TABLE credential(tenant_id TEXT NOT NULL, id BLOB NOT NULL, cidx BLOB NOT NULL, key_id BLOB NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX credential_cidx ON credential(tenant_id, cidx);"
    "CREATE INDEX credential_key ON credential(tenant_id, key_id);"

    "CREATE TABLE waiting(tenant_id TEXT NOT NULL, cidx BLOB NOT NULL, key_id BLOB NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, cidx)) WITHOUT ROWID;"
    "CREATE INDEX waiting_key ON waiting(tenant_id, key_id);"

    "CREATE TABLE punch(tenant_id TEXT NOT NULL, day INTEGER NOT NULL, ref BLOB NOT NULL, pid BLOB NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, day, ref, pid)) WITHOUT ROWID;"

    /* why: 1 no clock record of its boot yet, 2 its day cannot be */
    "CREATE TABLE pending(tenant_id TEXT NOT NULL, ref BLOB NOT NULL, pid BLOB NOT NULL, gw BLOB NOT NULL,"
    " gen INTEGER NOT NULL, boot BLOB NOT NULL, why INTEGER NOT NULL, day INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, ref, pid)) WITHOUT ROWID;"
    "CREATE INDEX pending_boot ON pending(tenant_id, gw, gen, boot, why);"

    /* ack: the segment's ack key, sealed; it answers replays after the recipient key is gone */
    "CREATE TABLE segment(tenant_id TEXT NOT NULL, segid BLOB NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL,"
    " segno INTEGER NOT NULL, prev BLOB NOT NULL, prevlen INTEGER NOT NULL, boot BLOB NOT NULL, next INTEGER NOT NULL,"
    " ack BLOB NOT NULL, fork INTEGER NOT NULL, received INTEGER NOT NULL, PRIMARY KEY(tenant_id, segid)) WITHOUT "
    "ROWID;"
    "CREATE INDEX segment_prev ON segment(tenant_id, gw, gen, prev);"
    "CREATE INDEX segment_boot ON segment(tenant_id, gw, gen, boot);"

    /* state-2 clock records only */
    "CREATE TABLE clock(tenant_id TEXT NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL, boot BLOB NOT NULL,"
    " mono INTEGER NOT NULL, real INTEGER NOT NULL, uncertainty INTEGER NOT NULL, src INTEGER NOT NULL,"
    " PRIMARY KEY(tenant_id, gw, gen, boot, mono)) WITHOUT ROWID;"

    /* repeats that are filed and wait for the punch they repeat, by its gseq */
    "CREATE TABLE unfolded(tenant_id TEXT NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL, gseq INTEGER NOT NULL,"
    " PRIMARY KEY(tenant_id, gw, gen, gseq)) WITHOUT ROWID;"

    "CREATE TABLE event(tenant_id TEXT NOT NULL, gw BLOB NOT NULL, gen INTEGER NOT NULL, gseq INTEGER NOT NULL,"
    " segid BLOB NOT NULL, idx INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, gw, gen, gseq, segid, idx)) WITHOUT ROWID;"

    "CREATE TABLE oddity(tenant_id TEXT NOT NULL, segid BLOB NOT NULL, idx INTEGER NOT NULL, why INTEGER NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, segid, idx)) WITHOUT ROWID;"

    /* records that their gateway reported as damaged in its spool */
    "CREATE TABLE void(tenant_id TEXT NOT NULL, segid BLOB NOT NULL, idx INTEGER NOT NULL, gw BLOB NOT NULL,"
    " gen INTEGER NOT NULL, PRIMARY KEY(tenant_id, segid, idx, gw, gen)) WITHOUT ROWID;";

static const char *const version_2 =
    /* requests with an Idempotency-Key: the key and what was asked are keyed hashes; tenant_id '' is the operator's */
    "CREATE TABLE idempotency(tenant_id TEXT NOT NULL, key BLOB NOT NULL, fingerprint BLOB NOT NULL,"
    " status INTEGER NOT NULL, location TEXT NOT NULL, created INTEGER NOT NULL,"
    " PRIMARY KEY(tenant_id, key)) WITHOUT ROWID;"
    "CREATE INDEX idempotency_created ON idempotency(tenant_id, created);";

static const char *const version_3 =
    /* changes: the number of the tenant's last change; NULL: a store of before, see changes_upgrade() */
    "ALTER TABLE tenant ADD COLUMN changes INTEGER;"
    "CREATE TABLE change(tenant_id TEXT NOT NULL, seq INTEGER NOT NULL, mark BLOB NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, seq)) WITHOUT ROWID;";

static const char *const version_4 =
    "CREATE TABLE site(tenant_id TEXT NOT NULL, id BLOB NOT NULL, name TEXT NOT NULL, time_zone TEXT NOT NULL,"
    " created INTEGER NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX site_name ON site(tenant_id, name);"
    "ALTER TABLE gateway ADD COLUMN site_id BLOB;"
    "CREATE INDEX gateway_site ON gateway(tenant_id, site_id);"

    /* days only: a punch's time stays sealed in it */
    "CREATE TABLE reader(tenant_id TEXT NOT NULL, id BLOB NOT NULL, gw BLOB NOT NULL, first_day INTEGER NOT NULL,"
    " last_day INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;";

struct old_site {
    char tenant[TENANT_MAX + 1];
    char name[SITE_MAX_LEN + 1];
};

static int old_site(struct db_stmt *s, void *arg, void *item)
{
    struct old_site *o = item;
    return str_copy(o->tenant, sizeof o->tenant, db_text(s, 0)) == 0 &&
                   str_copy(o->name, sizeof o->name, db_text(s, 1)) == 0
               ? 0
               : -EBADMSG;
}

/* The table as it was in version 4, which is why site.c does not do it. */
static int insert_site(struct db *db, const struct old_site *o, const uint8_t id[ID_LEN])
{
    struct db_stmt *s;
    int r = db_stmt(db, "INSERT INTO site(tenant_id, id, name, time_zone, created) VALUES(?1, ?2, ?3, '', ?4)", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, o->tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    db_bind_text(s, 3, o->name);
    db_bind_int(s, 4, clock_real());
    return db_must(s);
}

static int move_site(struct db *db, const struct old_site *o)
{
    struct db_stmt *s;
    uint8_t id[ID_LEN];
    int r = crypto_random(id, ID_LEN);
    if (r == 0)
        r = insert_site(db, o, id);
    if (r == 0)
        r = db_stmt(db, "UPDATE gateway SET site_id = ?3 WHERE tenant_id = ?1 AND site = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, o->tenant);
    db_bind_text(s, 2, o->name);
    db_bind_blob(s, 3, BYTES(id, ID_LEN));
    return db_must(s);
}

/* Until version 3 each generation of a gateway held its site as a text. */
static int make_sites(struct db *db)
{
    struct db_stmt *s;
    struct rows l = {0};
    int r = db_stmt(db, "SELECT DISTINCT tenant_id, site FROM gateway ORDER BY tenant_id, site", &s);
    if (r == 0)
        r = rows_collect(s, 0, sizeof(struct old_site), old_site, NULL, &l);
    const struct old_site *o = l.items;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = move_site(db, &o[i]);
    free(l.items);
    return r != 0 ? r : db_script(db, "ALTER TABLE gateway DROP COLUMN site");
}

static const char *const version_5 =
    /* key_gen: the keyring's generation that the store goes with; see cloud/erasure.h */
    "ALTER TABLE tenant ADD COLUMN key_gen INTEGER NOT NULL DEFAULT 1;"
    "CREATE TABLE erasure(tenant_id TEXT NOT NULL, id BLOB NOT NULL, person BLOB NOT NULL,"
    " generation INTEGER NOT NULL, requested INTEGER NOT NULL, done INTEGER NOT NULL, punches INTEGER NOT NULL, "
    "pending INTEGER NOT NULL, waiting INTEGER NOT NULL,"
    " credentials INTEGER NOT NULL, oddities INTEGER NOT NULL, keys INTEGER NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    /* waiting keys that a card has no more: rows in old backups may be under them */
    "CREATE TABLE retired(tenant_id TEXT NOT NULL, cidx BLOB NOT NULL, key_id BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, cidx, key_id)) WITHOUT ROWID;";

static int make_6(struct db *db)
{
    int r = 0;
    for (size_t i = 0; r == 0 && schema_6[i] != NULL; i++)
        r = db_script(db, schema_6[i]);
    return r != 0 ? r : role_ship_all(db);
}

/* Each step makes its version of the one before. None is changed once a release had it: add the next. */
static const struct {
    const char *script;
    int (*then)(struct db *db); /* what SQL alone does not say; may be NULL */
} versions[SCHEMA_VERSION] = {
    {version_1, NULL}, {version_2, NULL}, {version_3, NULL}, {version_4, make_sites}, {version_5, NULL}, {"", make_6},
};

/* What SQLite is to think of every index (sqlite_stat1, https://sqlite.org/fileformat2.html#stat1tab): many rows, of
 * which a tenant has many and a whole key one or a few. Knowing nothing it looks for a card, or for what a person has,
 * among all rows of the tenant: the primary key begins with the tenant, too, and needs no second look-up. Said once and
 * for all, not measured by ANALYZE, so that a store of ten cards is asked as one of ten thousand is. */
static const char *const statistics =
    "ANALYZE sqlite_schema; DELETE FROM sqlite_stat1;"
    "INSERT INTO sqlite_stat1(tbl, idx, stat)"
    " SELECT t.name, iif(i.origin = 'pk' AND t.wr, t.name, i.name), '1000000' ||"
    "  (SELECT group_concat(' ' || iif(c.seqno = (SELECT max(seqno) FROM pragma_index_info(i.name)),"
    "    iif(i.\"unique\", 1, 10), iif(c.seqno = 0, 100000, 1000)), '') FROM pragma_index_info(i.name) c)"
    " FROM pragma_table_list t, pragma_index_list(t.name) i WHERE t.schema = 'main' AND t.type = 'table';"
    "ANALYZE sqlite_schema;"; /* has this connection read them */

int schema_apply(struct db *db, int from, int to)
{
    int r = 0;
    for (int v = from; r == 0 && v < to; v++) {
        r = db_script(db, versions[v].script);
        if (r == 0 && versions[v].then != NULL)
            r = versions[v].then(db);
    }
    if (r == 0)
        r = db_script(db, statistics);
    return r != 0 ? r : meta_put(db, "schema", to);
}

int schema_upgrade(struct db *db)
{
    int64_t v;
    int r = meta_get(db, "schema", &v);
    if (r == 0 && v == SCHEMA_VERSION)
        return 0;
    if (r == 0 && v > SCHEMA_VERSION) {
        log_error("store.newer", "version=%lld known=%d hint=\"a later punchcloud made it: run that one\"",
                  (long long)v, SCHEMA_VERSION);
        return CLOUD_NEWER;
    }
    if (r == CLOUD_ABSENT || (r == 0 && v < 1))
        return -EBADMSG;
    if (r == 0 && (r = db_begin(db)) == 0) {
        r = schema_apply(db, (int)v, SCHEMA_VERSION);
        if (r == 0)
            r = db_commit(db);
        else
            db_rollback(db);
    }
    if (r == 0)
        log_note("store.upgraded", "from=%lld to=%d", (long long)v, SCHEMA_VERSION);
    return r > 0 ? -EBUSY : r;
}

int meta_get(struct db *db, const char *name, int64_t *ret_v)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT value FROM meta WHERE name = ?1", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, name);
    r = db_step(s);
    if (r == DB_ROW) {
        *ret_v = db_int(s, 0);
        r = 0;
    } else if (r == 0) {
        r = CLOUD_ABSENT;
    }
    db_done(s);
    return r;
}

int meta_put(struct db *db, const char *name, int64_t v)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO meta(name, value) VALUES(?1, ?2)"
                    " ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, name);
    db_bind_int(s, 2, v);
    return db_must(s);
}
