/* Gateways; see gateway.h. */
#include "cloud/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/csr.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/outbox.h"
#include "cloud/pki.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/site.h"
#include "cloud/tenant.h"
#include "wire/cbor.h"

#define REVOKED_MAX 100000u /* in the list for the broker */

/* ---- rows ---- */

#define COLUMNS                                                                                               \
    "g.tenant_id, g.gw, g.gen, t.name, g.sign_point, g.serial, g.added, g.revoked, g.last_upload, s.online, " \
    "s.received, s.counts, t.id, g.expires, g.version, s.real, s.ck"
#define FROM                                                                        \
    " FROM gateway g JOIN site t ON t.tenant_id = g.tenant_id AND t.id = g.site_id" \
    " LEFT JOIN gateway_status s ON s.tenant_id = g.tenant_id AND s.gw = g.gw AND s.gen = g.gen "

static int counts_from(struct bytes b, uint64_t ret[COUNT_MAX])
{
    struct cbor_r r = cbor_reader(b);
    uint64_t counts[COUNT_MAX] = {0};
    size_t n = cbor_get_array(&r, 0, COUNT_MAX);
    for (size_t i = 0; i < n; i++)
        counts[i] = cbor_get_uint(&r, UINT64_MAX);
    if (!cbor_done(&r))
        return -EBADMSG;
    memcpy(ret, counts, sizeof counts);
    return 0;
}

static int from_row(struct db_stmt *s, void *arg, void *item)
{
    struct gateway *ret = item;
    struct gateway g = {.gen = (uint64_t)db_int(s, 2),
                        .added = db_int(s, 6),
                        .revoked = db_int(s, 7),
                        .last_upload = db_int(s, 8),
                        .has_status = !db_null(s, 9),
                        .expires = db_int(s, 13),
                        .has_clock = !db_null(s, 15),
                        .real = db_int(s, 15),
                        .ck = (uint8_t)db_int(s, 16)};
    if (str_copy(g.version, sizeof g.version, db_text(s, 14)) != 0)
        g.version[0] = '\0'; /* damaged */
    if (str_copy(g.site, sizeof g.site, db_text(s, 3)) != 0)
        g.site[0] = '\0'; /* the site's row is damaged */
    if (str_copy(g.tenant, sizeof g.tenant, db_text(s, 0)) != 0 || db_fixed(s, 1, g.gw, GW_LEN) != 0 ||
        db_fixed(s, 4, g.sign_point, CRYPTO_POINT) != 0 || str_copy(g.serial, sizeof g.serial, db_text(s, 5)) != 0 ||
        db_fixed(s, 12, g.site_id, ID_LEN) != 0)
        return -EBADMSG;
    if (g.has_status) {
        g.online = db_int(s, 9) != 0;
        g.status_received = db_int(s, 10);
        g.has_counts = counts_from(db_blob(s, 11), g.counts) == 0;
    }
    *ret = g;
    return 0;
}

/* The one row of a prepared SELECT. */
static int one(struct db_stmt *s, struct gateway *ret)
{
    int r = db_step(s);
    r = r == DB_ROW ? from_row(s, NULL, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    return r;
}

int gateway_get(struct db *db, const char *tenant, const uint8_t gw[GW_LEN], struct gateway *ret_gateway)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT " COLUMNS FROM "WHERE g.tenant_id = ?1 AND g.gw = ?2 ORDER BY g.gen DESC LIMIT 1", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(gw, GW_LEN));
    return one(s, ret_gateway);
}

int gateway_newest(struct db *db, const uint8_t gw[GW_LEN], uint64_t *ret_gen)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT coalesce(max(gen), 0) FROM gateway WHERE gw = ?1", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(gw, GW_LEN));
    r = db_step(s);
    if (r == DB_ROW)
        *ret_gen = (uint64_t)db_int(s, 0);
    db_done(s);
    return r == DB_ROW ? 0 : r == 0 ? -EIO : r;
}

int gateway_tenant(struct db *db, const uint8_t gw[GW_LEN], char ret_tenant[TENANT_MAX + 1])
{
    return tenant_whose(db, "SELECT tenant_id FROM gateway WHERE gw = ?1 ORDER BY gen DESC LIMIT 1", BYTES(gw, GW_LEN),
                        ret_tenant);
}

int gateway_find(struct db *db, const uint8_t gw[GW_LEN], uint64_t gen, struct gateway *ret_gateway, bool *ret_latest)
{
    struct db_stmt *s;
    uint64_t newest;
    if (gen > INT64_MAX)
        return CLOUD_ABSENT;
    int r = gateway_newest(db, gw, &newest);
    if (r == 0)
        r = db_stmt(db, "SELECT " COLUMNS FROM "WHERE g.gw = ?1 AND g.gen = ?2", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(gw, GW_LEN));
    db_bind_int(s, 2, (int64_t)gen);
    r = one(s, ret_gateway);
    if (r == 0)
        *ret_latest = newest == gen;
    return r;
}

int gateway_page(struct db *db, const char *tenant, const uint8_t *after, size_t limit, struct gateway_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db,
                    "SELECT " COLUMNS FROM "WHERE (?1 IS NULL OR g.tenant_id = ?1) AND g.gen ="
                    " (SELECT max(n.gen) FROM gateway n WHERE n.gw = g.gw AND (?1 IS NULL OR n.tenant_id = ?1))"
                    " AND g.gw > ?2 ORDER BY g.gw",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, after != NULL ? BYTES(after, GW_LEN) : BYTES_NONE);
    r = rows_collect(s, limit, sizeof(struct gateway), from_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct gateway_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

int gateway_list(struct db *db, const char *tenant, struct gateway_list *ret_list)
{
    return gateway_page(db, tenant, NULL, 0, ret_list);
}

int gateway_generations(struct db *db, const char *tenant, const uint8_t gw[GW_LEN], size_t limit,
                        struct gateway_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db, "SELECT " COLUMNS FROM "WHERE g.tenant_id = ?1 AND g.gw = ?2 ORDER BY g.gen DESC", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(gw, GW_LEN));
    r = rows_collect(s, limit, sizeof(struct gateway), from_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct gateway_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

int64_t gateway_last_seen(const struct gateway *g)
{
    return g->has_status && g->status_received > g->last_upload ? g->status_received : g->last_upload;
}

enum gateway_state gateway_state(const struct gateway *g, int64_t now)
{
    if (g->revoked != 0)
        return GATEWAY_REVOKED;
    if (gateway_last_seen(g) == 0)
        return GATEWAY_NEVER_SEEN;
    return g->online && now - gateway_last_seen(g) < GATEWAY_SILENT_US ? GATEWAY_ONLINE : GATEWAY_SILENT;
}

const char *gateway_state_name(enum gateway_state s)
{
    static const char *const names[] = {[GATEWAY_NEVER_SEEN] = "never-seen",
                                        [GATEWAY_ONLINE] = "online",
                                        [GATEWAY_SILENT] = "silent",
                                        [GATEWAY_REVOKED] = "revoked"};
    return names[s];
}

void gateway_list_done(struct gateway_list *l)
{
    free(l->items);
    *l = (struct gateway_list){0};
}

/* ---- adding ---- */

static int insert(struct db *db, const struct gateway *g)
{
    struct db_stmt *s;
    int r = db_stmt(db,
                    "INSERT INTO gateway(tenant_id, gw, gen, site_id, sign_point, serial, added, revoked, last_upload,"
                    " expires) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8)",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, g->tenant);
    db_bind_blob(s, 2, BYTES(g->gw, GW_LEN));
    db_bind_int(s, 3, (int64_t)g->gen);
    db_bind_blob(s, 4, BYTES(g->site_id, ID_LEN));
    db_bind_blob(s, 5, BYTES(g->sign_point, CRYPTO_POINT));
    db_bind_text(s, 6, g->serial);
    db_bind_int(s, 7, g->added);
    db_bind_int(s, 8, g->expires);
    return db_must(s);
}

static int read_text(const char *path, char *ret, size_t size)
{
    struct buf b;
    buf_init(&b, size - 1);
    int r = file_read(path, &b);
    if (r == 0)
        r = str_copy(ret, size, buf_str(&b));
    buf_done(&b);
    return r;
}

static int read_root(struct cloud *c, struct crypto_key **ret_key)
{
    char path[4096];
    struct buf pem;
    buf_init(&pem, 4096);
    int r = cloud_path(c, "pki/root.key", path, sizeof path);
    if (r == 0)
        r = file_read(path, &pem);
    if (r == 0)
        r = csr_key_parse(buf_bytes(&pem), ret_key);
    buf_wipe(&pem);
    return r > 0 ? -EBADMSG : r;
}

/* Certificate for the request's key; PKI_BAD becomes CLOUD_INVALID. */
static int sign_request(struct cloud *c, const struct enrol_request *q, struct bundle *b, struct gateway *g)
{
    char dir[4096], cn[2 * GW_LEN + 1];
    struct buf crt;
    buf_init(&crt, sizeof b->tls_cert - 1);
    str_hex(q->gw, GW_LEN, cn);
    int r = cloud_path(c, "pki", dir, sizeof dir);
    if (r == 0)
        r = pki_sign_csr(dir, cn, BYTES_STR(q->csr), &crt, g->serial, &g->expires);
    if (r == 0)
        r = str_copy(b->tls_cert, sizeof b->tls_cert, buf_str(&crt));
    buf_done(&crt);
    return r == PKI_BAD ? CLOUD_INVALID : r;
}

static int make_bundle(struct cloud *c, struct db *db, const struct gateway *g, struct bundle *b, struct buf *ret)
{
    char path[4096];
    struct crypto_key *root = NULL;
    memcpy(b->gw, g->gw, GW_LEN);
    b->gen = g->gen;
    int r = cloud_path(c, "pki/ca.crt", path, sizeof path);
    if (r == 0)
        r = read_text(path, b->ca, sizeof b->ca);
    if (r == 0)
        r = tenant_recipients(db, g->tenant, BUNDLE_RECIPIENTS_MAX, b->recipients, &b->n_recipients);
    if (r == 0)
        r = str_copy(b->broker, sizeof b->broker, cloud_settings(c)->broker.address);
    if (r == 0)
        r = read_root(c, &root);
    if (r == 0)
        r = bundle_write(b, root, ret);
    crypto_key_free(root);
    return r;
}

/* An id is drawn together with its keys, so other keys under a known id are somebody else's: taking them would cut off
 * the gateway that has it. CLOUD_CONFLICT. */
static int same_keys(struct db *db, struct gateway *g, uint64_t newest)
{
    struct gateway before;
    bool latest;
    int r = newest == 0 ? 0 : gateway_find(db, g->gw, newest, &before, &latest);
    if (r != 0 || newest == 0)
        return r;
    str_copy(g->before, sizeof g->before, before.tenant);
    return memcmp(before.sign_point, g->sign_point, CRYPTO_POINT) == 0 ? 0 : CLOUD_CONFLICT;
}

static int add_in_transaction(struct cloud *c, struct db *db, const struct enrol_request *q, struct gateway *g,
                              struct buf *ret_bundle)
{
    struct tenant t;
    struct bundle *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    uint64_t newest = 0;
    int r = tenant_is_customer(g->tenant) ? tenant_get(db, g->tenant, &t) : CLOUD_ABSENT;
    if (r == 0)
        r = gateway_newest(db, g->gw, &newest);
    if (r == 0)
        r = same_keys(db, g, newest);
    g->gen = newest + 1;
    if (r == 0)
        r = sign_request(c, q, b, g);
    if (r == 0)
        r = site_ensure(db, g->tenant, g->site, g->site_id);
    if (r == 0)
        r = insert(db, g);
    if (r == 0)
        r = make_bundle(c, db, g, b, ret_bundle);
    free(b);
    return r;
}

static int tell_change(struct cloud *c, struct db *db, const struct gateway *g)
{
    struct scope s;
    int r = scope_init(c, db, g->tenant, &s);
    return r != 0 ? r : changes_gateway(&s, g->gw, g->gen);
}

int gateway_add(struct cloud *c, struct db *db, const char *tenant, const char *site, struct bytes request,
                struct buf *ret_bundle, struct gateway *ret_gateway)
{
    struct gateway g = {.added = clock_real()};
    struct enrol_request *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    int r = !site_name_valid(site) ? CLOUD_INVALID : enrol_request_read(request, q);
    if (r > 0)
        r = CLOUD_INVALID;
    if (r == 0 && str_copy(g.tenant, sizeof g.tenant, tenant) != 0)
        r = CLOUD_ABSENT;
    if (r == 0) {
        str_copy(g.site, sizeof g.site, site);
        memcpy(g.gw, q->gw, GW_LEN);
        memcpy(g.sign_point, q->sign_point, CRYPTO_POINT);
        r = cloud_begin(c, db);
    }
    if (r == 0) {
        r = add_in_transaction(c, db, q, &g, ret_bundle);
        if (r == 0)
            r = tell_change(c, db, &g);
        r = cloud_end(c, db, r);
    }
    free(q);
    if (r == 0)
        *ret_gateway = g;
    return r;
}

static int revoked_serials(struct db *db, struct buf *ret)
{
    struct db_stmt *s;
    uint8_t serial[PKI_SERIAL];
    int r = db_stmt(db, "SELECT serial FROM gateway WHERE revoked <> 0 ORDER BY revoked, serial", &s);
    if (r != 0)
        return r;
    while ((r = db_step(s)) == DB_ROW) {
        r = str_unhex(db_text(s, 0), serial, sizeof serial) != 0 ? -EBADMSG : buf_add(ret, serial, sizeof serial);
        if (r != 0)
            break;
    }
    db_done(s);
    return r;
}

static int write_crl(struct cloud *c, struct db *db)
{
    char pki[4096];
    struct buf CLEANUP(buf_done) serials;
    buf_init(&serials, (size_t)REVOKED_MAX * PKI_SERIAL);
    int r = cloud_path(c, "pki", pki, sizeof pki);
    if (r == 0)
        r = revoked_serials(db, &serials);
    return r != 0 ? r : pki_crl_write(pki, serials.p, serials.len / PKI_SERIAL);
}

int gateway_write_crl(struct cloud *c, struct db *db)
{
    int r = cloud_begin(c, db); /* lists are written one after the other, each from what is committed */
    if (r == 0) {
        r = write_crl(c, db);
        cloud_rollback(c, db);
    }
    if (r != 0)
        log_error("gateway.crl", "error=%s hint=\"the broker does not learn of revoked gateways\"",
                  log_q(r < 0 ? error_str(r) : "unexpected"));
    return r;
}

/* A former customer of it has no say. */
static int is_of(struct db *db, const char *tenant, const uint8_t gw[GW_LEN], uint64_t newest)
{
    struct gateway g;
    bool latest;
    int r = gateway_get(db, tenant, gw, &g);
    if (r == 0)
        r = gateway_find(db, gw, newest, &g, &latest);
    return r != 0 ? r : strcmp(g.tenant, tenant) == 0 ? 0 : CLOUD_CONFLICT;
}

/* The customer's programs; an erasure that has to be finished first holds up no revocation. */
static int tell_revoked(struct cloud *c, struct db *db, const uint8_t gw[GW_LEN], uint64_t newest)
{
    struct gateway g;
    struct scope s;
    char hex[2 * GW_LEN + 1];
    bool latest;
    int r = gateway_find(db, gw, newest, &g, &latest);
    if (r == 0)
        r = scope_init(c, db, g.tenant, &s);
    if (r == CLOUD_FENCED)
        return 0;
    json_t *data = r == 0 ? json_pack("{s:s}", "gateway", str_hex(gw, GW_LEN, hex)) : NULL;
    if (r == 0)
        r = data ? outbox_event(&s, "gateway.revoked", data) : -ENOMEM;
    json_decref(data);
    return r;
}

/* tenant NULL: whoever's it is. */
static int revoke(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN])
{
    struct db_stmt *s;
    uint64_t newest = 0;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = gateway_newest(db, gw, &newest);
    if (r == 0 && newest == 0)
        r = CLOUD_ABSENT;
    if (r == 0 && tenant != NULL)
        r = is_of(db, tenant, gw, newest);
    if (r == 0)
        r = db_stmt(db, "UPDATE gateway SET revoked = ?2 WHERE gw = ?1 AND revoked = 0", &s);
    if (r == 0) {
        db_bind_blob(s, 1, BYTES(gw, GW_LEN));
        db_bind_int(s, 2, clock_real());
        r = db_must(s);
    }
    if (r == 0 && db_changes(db) > 0)
        r = tell_revoked(c, db, gw, newest);
    return cloud_end(c, db, r);
}

int gateway_revoke_of(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN])
{
    return revoke(c, db, tenant, gw);
}

int gateway_revoke(struct cloud *c, struct db *db, const uint8_t gw[GW_LEN])
{
    int r = revoke(c, db, NULL, gw);
    FAULT_KILL("revoked");
    if (r == 0 && gateway_write_crl(c, db) != 0) /* never before: the broker would refuse one that is not revoked */
        r = GATEWAY_UNLISTED;
    return r;
}

int gateway_set_site(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN], const char *site)
{
    struct db_stmt *s;
    struct gateway g;
    if (!site_name_valid(site))
        return CLOUD_INVALID;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = gateway_get(db, tenant, gw, &g);
    if (r == 0)
        r = site_ensure(db, tenant, site, g.site_id);
    /* Earlier generations keep the site they were at. */
    if (r == 0)
        r = db_stmt(db, "UPDATE gateway SET site_id = ?4 WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3", &s);
    if (r == 0) {
        db_bind_text(s, 1, tenant);
        db_bind_blob(s, 2, BYTES(gw, GW_LEN));
        db_bind_int(s, 3, (int64_t)g.gen);
        db_bind_blob(s, 4, BYTES(g.site_id, ID_LEN));
        r = db_must(s);
    }
    if (r == 0)
        r = tell_change(c, db, &g);
    return cloud_end(c, db, r);
}

/* ---- what it says of itself ---- */

int gateway_put_version(struct db *db, const struct gateway *g, uint64_t gseq, struct bytes version)
{
    char text[VERSION_MAX_LEN + 1] = "";
    struct db_stmt *s;
    for (size_t i = 0; i < version.n; i++)
        if (version.n > VERSION_MAX_LEN || version.p[i] <= ' ' || version.p[i] > '~')
            return 0; /* none that we would show; the event itself is kept */
    if (version.n > 0)
        memcpy(text, version.p, version.n);
    int r = db_stmt(db,
                    "UPDATE gateway SET version = ?4, version_gseq = ?5"
                    " WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3 AND version_gseq < ?5",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, g->tenant);
    db_bind_blob(s, 2, BYTES(g->gw, GW_LEN));
    db_bind_int(s, 3, (int64_t)g->gen);
    db_bind_text(s, 4, text);
    db_bind_int(s, 5, (int64_t)gseq);
    return db_must(s);
}

/* A status of the same boot with a smaller mono is older news, which a broker may play again; only the will of the
 * connection at hand, signed before what it follows, still says that the gateway is gone. `received` is when the newest
 * was first heard: a retained one that comes again says nothing of the time since. */
#define OLDER " excluded.boot = gateway_status.boot AND excluded.mono < gateway_status.mono"
#define HEARD " excluded.boot = gateway_status.boot AND excluded.mono <= gateway_status.mono"

int gateway_put_status(struct db *db, const struct gateway *g, const struct status *st, int64_t now)
{
    uint8_t mem[COUNT_MAX * 9 + 8];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct db_stmt *s;
    cbor_put_array(&w, COUNT_MAX);
    for (size_t i = 0; i < COUNT_MAX; i++)
        cbor_put_uint(&w, st->counts[i]);
    if (w.bad || st->n_rkids > STATUS_RKIDS_MAX)
        return -EINVAL;
    int r = db_stmt(db,
                    "INSERT INTO gateway_status(tenant_id, gw, gen, conn, boot, mono, online, rkids, counts, received,"
                    " real, ck) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT(tenant_id, gw, "
                    "gen) DO UPDATE SET"
                    " conn = excluded.conn, boot = excluded.boot, online = excluded.online,"
                    " mono = CASE WHEN" OLDER " THEN gateway_status.mono ELSE excluded.mono END,"
                    " rkids = CASE WHEN" OLDER " THEN gateway_status.rkids ELSE excluded.rkids END,"
                    " counts = CASE WHEN" OLDER " THEN gateway_status.counts ELSE excluded.counts END,"
                    " real = CASE WHEN" OLDER " THEN gateway_status.real ELSE excluded.real END,"
                    " ck = CASE WHEN" OLDER " THEN gateway_status.ck ELSE excluded.ck END,"
                    " received = CASE WHEN" HEARD " THEN gateway_status.received ELSE excluded.received END"
                    " WHERE NOT (" OLDER ") OR (excluded.conn = gateway_status.conn AND excluded.online = 0)",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, g->tenant);
    db_bind_blob(s, 2, BYTES(g->gw, GW_LEN));
    db_bind_int(s, 3, (int64_t)g->gen);
    db_bind_blob(s, 4, BYTES(st->conn, sizeof st->conn));
    db_bind_blob(s, 5, BYTES(st->boot, sizeof st->boot));
    db_bind_int(s, 6, (int64_t)st->mono);
    db_bind_int(s, 7, st->online ? 1 : 0);
    db_bind_blob(s, 8, BYTES(st->rkids, st->n_rkids * RKID_LEN));
    db_bind_blob(s, 9, BYTES(mem, w.len));
    db_bind_int(s, 10, now);
    db_bind_int(s, 11, st->real);
    db_bind_int(s, 12, st->ck);
    return db_must(s);
}
