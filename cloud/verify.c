/* Verification; see verify.h. */
#include "cloud/verify.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/scope.h"

struct verifier {
    uint64_t batch;
    size_t sets;
    struct opened cache[][VERIFIER_WAYS]; /* by the segment id's first byte */
};

int verifier_new(size_t sets, struct verifier **ret_v)
{
    if (sets == 0 || sets > VERIFIER_SETS)
        return -EINVAL;
    struct verifier *v = calloc(1, sizeof *v + sets * sizeof v->cache[0]);
    if (v == NULL)
        return -ENOMEM;
    v->sets = sets;
    v->batch = 1;
    *ret_v = v;
    return 0;
}

void verifier_free(struct verifier *v)
{
    if (v == NULL)
        return;
    for (size_t i = 0; i < v->sets; i++)
        for (size_t j = 0; j < VERIFIER_WAYS; j++)
            seg_reader_free(v->cache[i][j].reader);
    free(v);
}

void verifier_next_batch(struct verifier *v)
{
    v->batch++;
}

int verify_gateway(struct db *db, const uint8_t gw[GW_LEN], uint64_t gen, struct gateway *ret_gateway)
{
    struct gateway g;
    bool latest;
    int r = gateway_find(db, gw, gen, &g, &latest);
    if (r == CLOUD_ABSENT)
        return INGEST_UNKNOWN_GATEWAY;
    if (r != 0)
        return r;
    if (g.revoked != 0)
        return INGEST_REVOKED;
    if (!latest)
        return INGEST_OLD_GENERATION;
    *ret_gateway = g;
    return 0;
}

static struct opened *cached(struct verifier *v, const uint8_t segid[SEGID_LEN], const uint8_t hash[CRYPTO_HASH])
{
    for (size_t i = 0; i < VERIFIER_WAYS; i++) {
        struct opened *o = &v->cache[segid[0] % v->sets][i];
        if (o->batch != 0 && memcmp(o->segid, segid, SEGID_LEN) == 0 && memcmp(o->signed_hash, hash, CRYPTO_HASH) == 0)
            return o;
    }
    return NULL;
}

/* The least recently used of its set; NULL when all of them are in use by this batch. */
static struct opened *victim(struct verifier *v, const uint8_t segid[SEGID_LEN])
{
    struct opened *best = NULL;
    for (size_t i = 0; i < VERIFIER_WAYS; i++) {
        struct opened *o = &v->cache[segid[0] % v->sets][i];
        if (o->batch != v->batch && (best == NULL || o->batch < best->batch))
            best = o;
    }
    return best;
}

static int recipient(const struct scope *s, const uint8_t rkid[RKID_LEN], struct crypto_key **ret_key)
{
    struct db_stmt *st;
    enum key_kind kind;
    uint8_t key_id[KEY_ID_LEN], scalar[CRYPTO_KEY];
    int r = scope_stmt(s, "SELECT key_id FROM recipient WHERE tenant_id = ?1 AND rkid = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(rkid, RKID_LEN));
    r = db_step(st);
    if (r == DB_ROW)
        r = db_fixed(st, 0, key_id, KEY_ID_LEN);
    else if (r == 0)
        r = INGEST_UNKNOWN_KEY;
    db_done(st);
    if (r == 0)
        r = keyring_get(s->ring, key_id, &kind, scalar) == 0 && kind == KEY_RECIPIENT ? 0 : INGEST_UNKNOWN_KEY;
    if (r == 0) {
        r = crypto_key_import(CRYPTO_ECDH, scalar, ret_key);
        crypto_wipe(scalar, sizeof scalar);
        if (r > 0)
            r = -EBADMSG;
    }
    return r;
}

static bool in_ledger(const struct scope *s, const uint8_t segid[SEGID_LEN])
{
    struct db_stmt *st;
    if (scope_stmt(s, "SELECT 1 FROM segment WHERE tenant_id = ?1 AND segid = ?2", &st) != 0)
        return false;
    db_bind_blob(st, 2, BYTES(segid, SEGID_LEN));
    bool known = db_step(st) == DB_ROW;
    db_done(st);
    return known;
}

/* reader stays NULL for a segment that the ledger knows and whose recipient key is gone. */
static int open_segment(struct cloud *c, struct db *db, const struct gateway *g, const struct seg *seg,
                        struct seg_reader **ret_reader)
{
    struct scope s;
    struct crypto_key *key = NULL;
    int r = seg_verify(seg, g->sign_point);
    if (r != 0)
        return r > 0 ? INGEST_BAD_SIGNATURE : r;
    r = scope_init(c, db, g->tenant, &s);
    if (r != 0)
        return r > 0 ? -EBADMSG : r;
    r = recipient(&s, seg->hdr.rkid, &key);
    if (r == INGEST_UNKNOWN_KEY && in_ledger(&s, seg->id))
        return 0;
    if (r == 0) {
        r = seg_reader_new(seg, key, ret_reader);
        if (r > 0)
            r = INGEST_BAD_OPEN;
    }
    crypto_key_free(key);
    return r;
}

static int parse(const uint8_t topic_gw[GW_LEN], struct bytes payload, struct upload *ret_upload, struct seg *ret_seg)
{
    if (payload.n > UPLOAD_MAX)
        return INGEST_BAD_SIZE;
    int r = upload_decode(payload, ret_upload);
    if (r == 0)
        r = seg_parse(ret_upload->seg_signed, ret_seg);
    if (r != 0)
        return r > 0 ? INGEST_BAD_CBOR : r;
    return memcmp(ret_seg->hdr.gw, topic_gw, GW_LEN) == 0 ? 0 : INGEST_BAD_TOPIC;
}

int verify_upload(struct verifier *v, struct cloud *c, struct db *db, const uint8_t topic_gw[GW_LEN],
                  struct bytes payload, struct upload *ret_upload, struct gateway *ret_gateway,
                  const struct opened **ret_opened)
{
    struct seg seg;
    struct gateway g;
    uint8_t hash[CRYPTO_HASH];
    int r = parse(topic_gw, payload, ret_upload, &seg);
    if (r == 0)
        r = verify_gateway(db, seg.hdr.gw, seg.hdr.gen, &g);
    if (r == 0)
        r = crypto_sha256(ret_upload->seg_signed, hash);
    if (r != 0)
        return r;
    struct opened *o = cached(v, seg.id, hash);
    if (o == NULL) {
        struct seg_reader *reader = NULL;
        o = victim(v, seg.id);
        if (o == NULL)
            return -EAGAIN;
        r = open_segment(c, db, &g, &seg, &reader);
        if (r != 0)
            return r;
        seg_reader_free(o->reader);
        *o = (struct opened){.hdr = seg.hdr, .reader = reader};
        memcpy(o->segid, seg.id, SEGID_LEN);
        memcpy(o->signed_hash, hash, CRYPTO_HASH);
        memcpy(o->tenant, g.tenant, sizeof o->tenant);
    }
    o->batch = v->batch;
    *ret_gateway = g;
    *ret_opened = o;
    return 0;
}

int verify_status(struct db *db, const uint8_t topic_gw[GW_LEN], struct bytes payload, struct status *ret_status,
                  struct gateway *ret_gateway)
{
    struct status st;
    if (payload.n > STATUS_MSG_MAX)
        return INGEST_BAD_SIZE;
    int r = status_decode(payload, NULL, &st);
    if (r != 0)
        return r > 0 ? INGEST_BAD_CBOR : r;
    if (memcmp(st.gw, topic_gw, GW_LEN) != 0)
        return INGEST_BAD_TOPIC;
    r = verify_gateway(db, st.gw, st.gen, ret_gateway);
    if (r == 0) {
        r = status_decode(payload, ret_gateway->sign_point, ret_status);
        if (r > 0)
            r = INGEST_BAD_SIGNATURE;
    }
    return r;
}
