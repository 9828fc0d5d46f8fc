/* Invitations; see invitation.h. */
#include "cloud/invitation.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/site.h"

#define CODE_CHARS 25
#define GROUP 5
#define KEPT_US (INT64_C(31) * 24 * 3600 * 1000000)

/* Crockford's: none looks like another, and 8 bits of chance give 5 without favour. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int draw(char ret_code[INVITATION_CODE])
{
    uint8_t raw[CODE_CHARS];
    int r = crypto_random(raw, sizeof raw);
    size_t n = 0;
    for (size_t i = 0; r == 0 && i < CODE_CHARS; i++) {
        if (i > 0 && i % GROUP == 0)
            ret_code[n++] = '-';
        ret_code[n++] = alphabet[raw[i] % 32];
    }
    ret_code[n] = '\0';
    crypto_wipe(raw, sizeof raw);
    return r;
}

/* As somebody may have typed it: hyphens and blanks count for nothing, nor does case; O is 0, I and L are 1. */
static bool canonical(const char *code, char ret[CODE_CHARS + 1])
{
    size_t n = 0;
    for (; *code; code++) {
        char c = *code >= 'a' && *code <= 'z' ? (char)(*code - 'a' + 'A') : *code;
        c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
        if (c == '-' || c == ' ')
            continue;
        if (n == CODE_CHARS || strchr(alphabet, c) == NULL)
            return false;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return n == CODE_CHARS;
}

/* INVITATION_BAD: not of the shape of a code. */
static int hash_of(const char *code, uint8_t ret[CRYPTO_HASH])
{
    char text[CODE_CHARS + 1];
    int r = canonical(code, text) ? crypto_sha256(BYTES(text, CODE_CHARS), ret) : INVITATION_BAD;
    crypto_wipe(text, sizeof text);
    return r;
}

/* ---- rows ---- */

#define SELECT                                                                                                     \
    "SELECT i.id, i.site_id, t.name, i.created, i.expires, i.used, i.revoked, i.gw, i.tenant_id FROM invitation i" \
    " LEFT JOIN site t ON t.tenant_id = i.tenant_id AND t.id = i.site_id WHERE "

static int from_row(struct db_stmt *s, void *arg, void *item)
{
    struct invitation *i = item;
    *i = (struct invitation){
        .created = db_int(s, 3), .expires = db_int(s, 4), .used = db_int(s, 5), .revoked = db_int(s, 6)};
    if (str_copy(i->site, sizeof i->site, db_text(s, 2)) != 0)
        i->site[0] = '\0';
    return db_fixed(s, 0, i->id, ID_LEN) != 0 || db_fixed(s, 1, i->site_id, ID_LEN) != 0 ||
                   (i->used != 0 && db_fixed(s, 7, i->gw, GW_LEN) != 0)
               ? -EBADMSG
               : 0;
}

int invitation_get(struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct invitation *ret_invitation)
{
    struct db_stmt *s;
    struct invitation i;
    int r = db_stmt(db, SELECT "i.tenant_id = ?1 AND i.id = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    r = db_step(s);
    r = r == DB_ROW ? from_row(s, NULL, &i) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    if (r == 0)
        *ret_invitation = i;
    return r;
}

int invitation_list(struct db *db, const char *tenant, const uint8_t *after, size_t limit,
                    struct invitation_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db, SELECT "i.tenant_id = ?1 AND i.id > ?2 ORDER BY i.id", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, after != NULL ? BYTES(after, ID_LEN) : BYTES_NONE);
    r = rows_collect(s, limit, sizeof(struct invitation), from_row, NULL, &l);
    if (r == 0)
        *ret_list = (struct invitation_list){.items = l.items, .n = l.n, .more = l.more};
    return r;
}

void invitation_list_done(struct invitation_list *l)
{
    free(l->items);
    *l = (struct invitation_list){0};
}

/* ---- making and revoking ---- */

static int insert(const struct scope *s, const struct invitation *i, const uint8_t hash[CRYPTO_HASH])
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO invitation(tenant_id, id, hash, site_id, created, expires, used, revoked)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, 0)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(i->id, ID_LEN));
    db_bind_blob(st, 3, BYTES(hash, CRYPTO_HASH));
    db_bind_blob(st, 4, BYTES(i->site_id, ID_LEN));
    db_bind_int(st, 5, i->created);
    db_bind_int(st, 6, i->expires);
    return db_must(st);
}

static int add(struct cloud *c, struct db *db, const char *tenant, const char *code, struct invitation *i)
{
    struct scope s;
    struct site site;
    uint8_t hash[CRYPTO_HASH];
    int r = hash_of(code, hash);
    if (r == 0)
        r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = site_get(c, db, tenant, i->site_id, &site);
    if (r == 0)
        r = crypto_random(i->id, ID_LEN);
    if (r == 0)
        r = str_copy(i->site, sizeof i->site, site.name);
    return r != 0 ? r : insert(&s, i, hash);
}

int invitation_add(struct cloud *c, struct db *db, const char *tenant, const uint8_t site[ID_LEN], int64_t expires,
                   char ret_code[INVITATION_CODE], struct invitation *ret_invitation)
{
    struct invitation i = {.created = clock_real(), .expires = expires};
    char code[INVITATION_CODE];
    if (expires <= i.created || expires > i.created + INVITATION_LIFE_MAX_US)
        return CLOUD_INVALID;
    memcpy(i.site_id, site, ID_LEN);
    int r = draw(code);
    if (r == 0)
        r = cloud_begin(c, db);
    if (r == 0) {
        r = add(c, db, tenant, code, &i);
        r = cloud_end(c, db, r);
    }
    if (r == 0) {
        memcpy(ret_code, code, sizeof code);
        *ret_invitation = i;
    }
    crypto_wipe(code, sizeof code);
    return r;
}

int invitation_revoke(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN])
{
    struct db_stmt *s;
    struct invitation i;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = invitation_get(db, tenant, id, &i);
    if (r == 0 && i.used != 0)
        r = CLOUD_CONFLICT;
    if (r == 0)
        r = db_stmt(db, "UPDATE invitation SET revoked = ?3 WHERE tenant_id = ?1 AND id = ?2 AND revoked = 0", &s);
    if (r == 0) {
        db_bind_text(s, 1, tenant);
        db_bind_blob(s, 2, BYTES(id, ID_LEN));
        db_bind_int(s, 3, clock_real());
        r = db_must(s);
    }
    return cloud_end(c, db, r);
}

/* ---- using ---- */

static int find(struct db *db, const char *code, int64_t now, char ret_tenant[TENANT_MAX + 1], struct invitation *ret)
{
    struct db_stmt *s;
    uint8_t hash[CRYPTO_HASH];
    int r = hash_of(code, hash);
    if (r == 0)
        r = db_stmt(db, SELECT "i.hash = ?1 AND i.used = 0 AND i.revoked = 0 AND i.expires > ?2", &s);
    if (r != 0)
        return r;
    db_bind_blob(s, 1, BYTES(hash, CRYPTO_HASH));
    db_bind_int(s, 2, now);
    r = db_step(s);
    if (r == DB_ROW)
        r = str_copy(ret_tenant, TENANT_MAX + 1, db_text(s, 8)) != 0 ? -EBADMSG : from_row(s, NULL, ret);
    else if (r == 0)
        r = INVITATION_BAD;
    db_done(s);
    return r;
}

/* See invitation.h. */
static int may_enrol(struct db *db, const struct invitation *i, const char *tenant, const uint8_t gw[GW_LEN])
{
    struct gateway g;
    uint64_t gen;
    bool latest;
    int r = gateway_newest(db, gw, &gen);
    if (r != 0 || gen == 0)
        return r;
    r = gateway_find(db, gw, gen, &g, &latest);
    if (r != 0)
        return r;
    bool lost = strcmp(g.tenant, tenant) == 0 && memcmp(g.site_id, i->site_id, ID_LEN) == 0 && g.revoked == 0 &&
                gateway_last_seen(&g) == 0;
    return lost ? 0 : CLOUD_CONFLICT;
}

static int note_used(struct db *db, const char *tenant, const struct invitation *i)
{
    struct db_stmt *s;
    int r = db_stmt(db, "UPDATE invitation SET used = ?3, gw = ?4 WHERE tenant_id = ?1 AND id = ?2 AND used = 0", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(i->id, ID_LEN));
    db_bind_int(s, 3, i->used);
    db_bind_blob(s, 4, BYTES(i->gw, GW_LEN));
    r = db_must(s);
    return r == 0 && db_changes(db) != 1 ? -EIO : r;
}

static int use(struct cloud *c, struct db *db, const struct enrol_request *q, struct bytes request, const char *tenant,
               struct invitation *i, struct buf *ret_bundle, struct gateway *ret_gateway)
{
    int r = may_enrol(db, i, tenant, q->gw);
    if (r == 0)
        r = gateway_add(c, db, tenant, i->site, request, ret_bundle, ret_gateway);
    memcpy(i->gw, q->gw, GW_LEN);
    return r != 0 ? r : note_used(db, tenant, i);
}

int invitation_use(struct cloud *c, struct db *db, const char *code, struct bytes request, int64_t now,
                   struct buf *ret_bundle, struct gateway *ret_gateway, struct invitation *ret_invitation)
{
    char tenant[TENANT_MAX + 1];
    struct invitation i;
    int r = find(db, code, now, tenant, &i);
    if (r != 0)
        return r;
    struct enrol_request *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    i.used = now;
    r = enrol_request_read(request, q);
    r = r > 0 ? CLOUD_INVALID : r;
    if (r == 0)
        r = use(c, db, q, request, tenant, &i, ret_bundle, ret_gateway);
    free(q);
    if (r == 0)
        *ret_invitation = i;
    return r;
}

int invitation_sweep(struct cloud *c, struct db *db, int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT 1 FROM invitation WHERE expires < ?1 LIMIT 1", &s);
    if (r != 0)
        return r;
    db_bind_int(s, 1, now - KEPT_US);
    r = db_step(s);
    db_done(s);
    if (r != DB_ROW)
        return r;
    r = cloud_begin(c, db);
    if (r == 0)
        r = db_stmt(db, "DELETE FROM invitation WHERE expires < ?1", &s);
    if (r == 0) {
        db_bind_int(s, 1, now - KEPT_US);
        r = db_must(s);
    }
    return cloud_end(c, db, r);
}
