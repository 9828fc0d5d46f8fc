/* The ledger; see ledger.h. */
#include "cloud/ledger.h"

#include <string.h>

#include "cloud/holder.h"

#define ACK_UNIT 34 /* the key and its length: no padding needed */

static struct seal_place place(const struct scope *s, const uint8_t segid[SEGID_LEN])
{
    return (struct seal_place){.table = "segment", .tenant = s->tenant, .key = {BYTES(segid, SEGID_LEN)}};
}

static int open_ack(const struct scope *s, const uint8_t segid[SEGID_LEN], struct bytes sealed,
                    uint8_t ret[ACK_KEY_LEN])
{
    uint8_t key[CRYPTO_KEY], plain[ACK_KEY_LEN];
    struct seal_place at = place(s, segid);
    size_t n;
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = seal_get(key, &at, sealed, plain, sizeof plain, &n);
    if (r == 0 && n == ACK_KEY_LEN)
        memcpy(ret, plain, ACK_KEY_LEN);
    else if (r >= 0)
        r = -EBADMSG;
    crypto_wipe(key, sizeof key);
    crypto_wipe(plain, sizeof plain);
    return r;
}

int ledger_get(const struct scope *s, const uint8_t segid[SEGID_LEN], struct ledger *ret)
{
    struct db_stmt *st;
    struct ledger l;
    int r = scope_stmt(s,
                       "SELECT gw, gen, segno, prev, prevlen, boot, next, ack FROM segment"
                       " WHERE tenant_id = ?1 AND segid = ?2",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(segid, SEGID_LEN));
    r = db_step(st);
    if (r == DB_ROW) {
        memcpy(l.segid, segid, SEGID_LEN);
        l.gen = (uint64_t)db_int(st, 1);
        l.segno = (uint64_t)db_int(st, 2);
        l.prevlen = (uint64_t)db_int(st, 4);
        l.next = (uint64_t)db_int(st, 6);
        r = db_fixed(st, 0, l.gw, GW_LEN);
        if (r == 0)
            r = db_fixed(st, 3, l.prev, SEGID_LEN);
        if (r == 0)
            r = db_fixed(st, 5, l.boot, BOOT_LEN);
        if (r == 0)
            r = open_ack(s, segid, db_blob(st, 7), l.ack_key);
    } else if (r == 0) {
        r = CLOUD_ABSENT;
    }
    db_done(st);
    if (r == 0)
        *ret = l;
    return r;
}

/* Two segments that follow the same one: a gateway was set back to an older state (design section 5). */
static int forked(const struct scope *s, const struct seg_hdr *hdr, bool *ret_fork)
{
    struct db_stmt *st;
    int r =
        scope_stmt(s, "SELECT 1 FROM segment WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3 AND prev = ?4 LIMIT 1", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(hdr->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)hdr->gen);
    db_bind_blob(st, 4, BYTES(hdr->prev, SEGID_LEN));
    r = db_step(st);
    db_done(st);
    if (r < 0)
        return r;
    *ret_fork = r == DB_ROW;
    return 0;
}

static int insert(const struct scope *s, const struct ledger *l, struct bytes ack, bool fork, int64_t now)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO segment(tenant_id, segid, gw, gen, segno, prev, prevlen, boot, next, ack, fork,"
                       " received) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(l->segid, SEGID_LEN));
    db_bind_blob(st, 3, BYTES(l->gw, GW_LEN));
    db_bind_int(st, 4, (int64_t)l->gen);
    db_bind_int(st, 5, (int64_t)l->segno);
    db_bind_blob(st, 6, BYTES(l->prev, SEGID_LEN));
    db_bind_int(st, 7, (int64_t)l->prevlen);
    db_bind_blob(st, 8, BYTES(l->boot, BOOT_LEN));
    db_bind_blob(st, 9, ack);
    db_bind_int(st, 10, fork ? 1 : 0);
    db_bind_int(st, 11, now);
    return db_must(st);
}

int ledger_open(const struct scope *s, const uint8_t segid[SEGID_LEN], const struct seg_hdr *hdr,
                const uint8_t ack_key[ACK_KEY_LEN], int64_t now, struct ledger *ret, bool *ret_fork)
{
    struct ledger l = {.gen = hdr->gen, .segno = hdr->segno, .prevlen = hdr->prevlen};
    struct seal_place at = place(s, segid);
    struct buf sealed;
    uint8_t key[CRYPTO_KEY];
    bool fork = false;
    memcpy(l.segid, segid, SEGID_LEN);
    memcpy(l.gw, hdr->gw, GW_LEN);
    memcpy(l.prev, hdr->prev, SEGID_LEN);
    memcpy(l.boot, hdr->boot, BOOT_LEN);
    memcpy(l.ack_key, ack_key, ACK_KEY_LEN);

    buf_init(&sealed, 256);
    int r = holder_tenant_key(s, key);
    if (r == 0)
        r = seal_put(key, &at, BYTES(ack_key, ACK_KEY_LEN), ACK_UNIT, &sealed);
    crypto_wipe(key, sizeof key);
    if (r == 0)
        r = forked(s, hdr, &fork);
    if (r == 0)
        r = insert(s, &l, buf_bytes(&sealed), fork, now);
    buf_done(&sealed);
    if (r == 0) {
        *ret = l;
        *ret_fork = fork;
    }
    return r > 0 ? -EBADMSG : r;
}

int ledger_advance(const struct scope *s, struct ledger *l, uint64_t next)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "UPDATE segment SET next = ?3 WHERE tenant_id = ?1 AND segid = ?2 AND next <= ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(l->segid, SEGID_LEN));
    db_bind_int(st, 3, (int64_t)next);
    r = db_must(st);
    if (r == 0 && db_changes(s->db) != 1)
        r = -EIO; /* within an epoch `next` only grows */
    if (r == 0)
        l->next = next;
    return r;
}
