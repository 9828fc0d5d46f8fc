/* Events and clock records; see events.h. */
#include "cloud/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "cloud/holder.h"

#define EVENT_UNIT 256

/* `be` is 8 bytes of the caller's for the index. */
static struct seal_place place(const struct scope *s, const char *table, const uint8_t segid[SEGID_LEN], uint64_t index,
                               uint8_t be[8])
{
    be_put(be, index, 8);
    return (struct seal_place){.table = table, .tenant = s->tenant, .key = {BYTES(segid, SEGID_LEN), BYTES(be, 8)}};
}

int events_seal(const struct scope *s, const char *table, const uint8_t segid[SEGID_LEN], uint64_t index,
                struct bytes plain, struct buf *ret_sealed)
{
    uint8_t key[CRYPTO_KEY], be[8];
    struct seal_place at = place(s, table, segid, index, be);
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = seal_put(key, &at, plain, EVENT_UNIT, ret_sealed);
    crypto_wipe(key, sizeof key);
    return r;
}

static void bind_pos(struct db_stmt *st, const struct event_pos *at)
{
    db_bind_int(st, 3, (int64_t)at->gen);
    db_bind_int(st, 4, (int64_t)at->gseq);
    db_bind_blob(st, 5, BYTES(at->segid, SEGID_LEN));
    db_bind_int(st, 6, (int64_t)at->index);
}

int events_put(const struct scope *s, const uint8_t gw[GW_LEN], const struct event_pos *at, struct bytes plain)
{
    struct db_stmt *st;
    struct buf sealed;
    buf_init(&sealed, 4096);
    int r = events_seal(s, "event", at->segid, at->index, plain, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO event(tenant_id, gw, gen, gseq, segid, idx, sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(gw, GW_LEN));
        bind_pos(st, at);
        db_bind_blob(st, 7, buf_bytes(&sealed));
        r = db_must(st);
    }
    buf_done(&sealed);
    return r;
}

/* ---- reading ---- */

/* Columns gen, gseq, segid, idx, sealed. SEAL_BAD: it does not open, or is not what it should be. */
static int from_row(const struct scope *s, const uint8_t key[CRYPTO_KEY], struct db_stmt *st, struct event_row *ret)
{
    uint8_t id[SEGID_LEN + 8];
    size_t n;
    ret->at.gen = (uint64_t)db_int(st, 0);
    ret->at.gseq = (uint64_t)db_int(st, 1);
    ret->at.index = (uint64_t)db_int(st, 3);
    if (db_fixed(st, 2, ret->at.segid, SEGID_LEN) != 0)
        memset(ret->at.segid, 0, SEGID_LEN); /* nothing was sealed there */
    memcpy(id, ret->at.segid, SEGID_LEN);
    struct seal_place at = place(s, "event", ret->at.segid, ret->at.index, id + SEGID_LEN);
    int r = seal_get(key, &at, db_blob(st, 4), ret->plain, sizeof ret->plain, &n);
    if (r == -EBADMSG)
        r = SEAL_BAD;
    if (r == 0 && (record_decode(BYTES(ret->plain, n), &ret->rec) != 0 || ret->rec.kind == RECORD_PUNCH))
        r = SEAL_BAD;
    if (r == SEAL_BAD)
        scope_damaged(s, "event", BYTES(id, sizeof id), PASSED_OVER);
    return r;
}

static int collect(const struct scope *s, const uint8_t key[CRYPTO_KEY], struct db_stmt *st, size_t limit,
                   struct event_list *l)
{
    int r;
    size_t rows = 0;
    while ((r = db_step(st)) == DB_ROW) {
        if (rows++ == limit) {
            l->more = true;
            return 0;
        }
        struct event_row *row = &l->items[l->n];
        r = from_row(s, key, st, row);
        l->next = row->at;
        if (r == 0)
            l->n++;
        else if (r != SEAL_BAD)
            return r;
    }
    return r;
}

int events_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN],
                const struct event_pos *after, size_t limit, struct event_list *ret_list)
{
    struct scope s;
    struct db_stmt *st;
    struct event_list l = {0};
    uint8_t key[CRYPTO_KEY];
    struct event_pos newest = {.gen = INT64_MAX, .gseq = INT64_MAX, .index = INT64_MAX};
    memset(newest.segid, 0xff, SEGID_LEN);
    if (limit == 0 || limit > EVENTS_LIMIT_MAX)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r != 0)
        return r;
    l.items = calloc(limit, sizeof *l.items);
    r = l.items == NULL ? -ENOMEM : holder_tenant_key(&s, key);
    if (r == 0)
        r = scope_stmt(&s,
                       "SELECT gen, gseq, segid, idx, sealed FROM event WHERE tenant_id = ?1 AND gw = ?2"
                       " AND (gen, gseq, segid, idx) < (?3, ?4, ?5, ?6)"
                       " ORDER BY gen DESC, gseq DESC, segid DESC, idx DESC",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(gw, GW_LEN));
        bind_pos(st, after != NULL ? after : &newest);
        r = collect(&s, key, st, limit, &l);
        db_done(st);
    }
    crypto_wipe(key, sizeof key);
    if (r != 0)
        event_list_done(&l);
    else
        *ret_list = l;
    return r;
}

void event_list_done(struct event_list *l)
{
    free(l->items);
    *l = (struct event_list){0};
}
