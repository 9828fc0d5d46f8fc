/* A tenant's chain of events: its head, and how an event comes to its end; audit_read.c reads it. A row is its number,
 * its leaf, and two sealed values: the envelope, under the tenant's key (core, tags, commitments), and the details,
 * each under the key of whom it is about. */
#include "cloud/audit.h"

#include <string.h>

#include "base/be.h"
#include "base/str.h"
#include "cloud/audit_impl.h"
#include "cloud/checkpoint.h"
#include "cloud/scope.h"
#include "wire/cbor.h"

#define ENVELOPE_UNIT 64

uint32_t audit_block(uint64_t seq)
{
    return SEAL_AUDIT | ((uint32_t)(seq / AUDIT_BLOCK) & (SEAL_AUDIT - 1));
}

struct seal_place audit_place(const struct scope *s, uint64_t seq, uint8_t n8[8])
{
    be_put(n8, seq, 8);
    return (struct seal_place){.table = "audit", .tenant = s->tenant, .key = {BYTES(n8, 8)}};
}

int audit_seal_key(const struct scope *s, uint8_t ret_key[CRYPTO_KEY])
{
    struct row_keys own;
    int r = keyring_tenant_rows(s->ring, &own);
    if (r == 0)
        memcpy(ret_key, own.seal, CRYPTO_KEY);
    crypto_wipe(&own, sizeof own);
    return r > 0 ? -EBADMSG : r;
}

/* ---- the head ---- */

struct chaining {
    uint8_t head[CRYPTO_HASH];
    bool lost; /* a leaf */
};

static int chain_row(void *arg, const struct audit_row *row)
{
    struct chaining *c = arg;
    c->lost = c->lost || !row->has_leaf;
    return audit_form_chain(c->head, row->leaf);
}

/* The head that the events `from` .. `to` lead to from *c on. */
static int chain(const struct scope *s, uint64_t from, uint64_t to, struct chaining *c)
{
    struct audit_reader *x = NULL;
    uint64_t next;
    int r = audit_reader_new(false, &x);
    if (r == 0)
        r = audit_walk(x, s, from, to, chain_row, c, &next);
    audit_reader_free(x);
    return r;
}

/* The newest signed head of at most that event; that of the chain's beginning when there is none. */
static int base(const struct scope *s, uint64_t seq, struct audit_head *ret)
{
    struct checkpoint p;
    int r = checkpoint_before(s, seq, &p);
    if (r == CLOUD_ABSENT) {
        ret->seq = 0;
        return audit_form_genesis(s->tenant, ret->head);
    }
    if (r == 0) {
        ret->seq = p.seq;
        memcpy(ret->head, p.head, sizeof ret->head);
    }
    return r;
}

/* From what is there: the rows, and what was signed. A lost leaf counts as zeros here, so that the chain goes on; the
 * event that lacks it proves nothing, nor does what follows it up to the next checkpoint. */
static int mend_head(const struct scope *s, uint64_t rows, struct audit_head *ret)
{
    struct audit_head from;
    struct chaining c = {.lost = false};
    int r = base(s, INT64_MAX, &from);
    if (r != 0)
        return r;
    memcpy(c.head, from.head, sizeof c.head);
    if (rows > from.seq)
        r = chain(s, from.seq + 1, rows, &c);
    if (r != 0)
        return r;
    ret->seq = rows > from.seq ? rows : from.seq;
    memcpy(ret->head, c.head, sizeof ret->head);
    return 0;
}

int audit_head(const struct scope *s, struct audit_head *ret)
{
    struct db_stmt *st;
    struct audit_head h = {0};
    uint64_t rows = 0;
    bool good = false;
    int r = scope_stmt(s,
                       "SELECT (SELECT max(seq) FROM audit WHERE tenant_id = ?1), h.seq, h.head FROM (SELECT 1) AS one"
                       " LEFT JOIN audit_head h ON h.tenant_id = ?1",
                       &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW) {
        rows = (uint64_t)db_int(st, 0);
        h.seq = (uint64_t)db_int(st, 1);
        good = db_fixed(st, 2, h.head, sizeof h.head) == 0 && h.seq >= rows && h.seq <= INT64_MAX;
    }
    db_done(st);
    if (r < 0)
        return r;
    if (!good && (rows > 0 || h.seq > 0))
        scope_damaged(s, "audit_head", BYTES_NONE, "computed again");
    r = good ? 0 : mend_head(s, rows, &h);
    if (r == 0)
        *ret = h;
    return r;
}

int audit_head_before(const struct scope *s, uint64_t *from, uint8_t ret_head[CRYPTO_HASH])
{
    struct audit_head known;
    struct chaining c = {.lost = false};
    int r = base(s, *from - 1, &known);
    if (r != 0)
        return r;
    memcpy(c.head, known.head, sizeof c.head);
    if (*from - 1 > known.seq)
        r = chain(s, known.seq + 1, *from - 1, &c);
    if (r != 0)
        return r;
    if (c.lost)
        *from = known.seq + 1;
    memcpy(ret_head, c.lost ? known.head : c.head, sizeof c.head);
    return 0;
}

static int set_head(const struct scope *s, const struct audit_head *h)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO audit_head(tenant_id, seq, head) VALUES(?1, ?2, ?3)"
                       " ON CONFLICT(tenant_id) DO UPDATE SET seq = excluded.seq, head = excluded.head",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)h->seq);
    db_bind_blob(st, 3, BYTES(h->head, sizeof h->head));
    return db_must(st);
}

/* ---- writing ---- */

/* Of a person whose key is no more nobody's: the event says that there was somebody. */
static int make_tag(const struct scope *s, const struct subject *who, uint64_t seq, uint8_t ret_tag[AUDIT_TAG])
{
    struct row_keys keys;
    enum key_kind kind;
    uint8_t salt[AUDIT_SALT];
    int r = keyring_rows(s->ring, who->key, &kind, &keys);
    if (r == KEYRING_ABSENT)
        return crypto_random(ret_tag, AUDIT_TAG);
    if (r == 0)
        r = seal_ref(&keys, audit_block(seq), salt);
    crypto_wipe(&keys, sizeof keys);
    return r == 0 ? audit_form_tag(salt, who->id, ret_tag) : r;
}

static int write_envelope(const struct scope *s, uint64_t seq, const struct audit_raw *w, const struct audit_parts *p,
                          struct buf *ret)
{
    uint8_t plain[SEAL_PLAIN_MAX], key[CRYPTO_KEY], n8[8], tag[AUDIT_TAG];
    struct cbor_w c = CBOR_W(plain, sizeof plain);
    struct seal_place at = audit_place(s, seq, n8);
    int r = audit_seal_key(s, key);
    cbor_put_array(&c, 4);
    cbor_put_bytes(&c, BYTES(w->id, ID_LEN));
    cbor_put_bytes(&c, p->core);
    cbor_put_array(&c, p->n_whose);
    for (size_t i = 0; i < p->n_whose; i++)
        cbor_put_bytes(&c, BYTES(p->whose[i], AUDIT_TAG));
    cbor_put_array(&c, w->n_details);
    for (size_t i = 0; r == 0 && i < w->n_details; i++) {
        if (w->details[i].personal)
            r = make_tag(s, &w->details[i].of, seq, tag);
        cbor_put_array(&c, 2);
        cbor_put_bytes(&c, BYTES(w->details[i].commitment, CRYPTO_HASH));
        cbor_put_bytes(&c, w->details[i].personal ? BYTES(tag, AUDIT_TAG) : BYTES_NONE);
    }
    if (r == 0)
        r = c.bad ? -ENOBUFS : seal_put(key, &at, BYTES(plain, c.len), ENVELOPE_UNIT, ret);
    crypto_wipe(key, sizeof key);
    crypto_wipe(plain, sizeof plain);
    return r;
}

static int insert(const struct scope *s, uint64_t seq, const uint8_t leaf[CRYPTO_HASH], struct bytes sealed,
                  struct bytes details)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "INSERT INTO audit(tenant_id, seq, leaf, sealed, details) VALUES(?1, ?2, ?3, ?4, ?5)", &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)seq);
    db_bind_blob(st, 3, BYTES(leaf, CRYPTO_HASH));
    db_bind_blob(st, 4, sealed);
    db_bind_blob(st, 5, details);
    return db_must(st);
}

static int fill_parts(const struct scope *s, const struct audit_raw *w, uint64_t seq, struct buf *core,
                      struct audit_parts *p)
{
    char time[32];
    int r = buf_add(core, w->core.p, w->core.len);
    if (r == 0)
        r = buf_addf(core, ",\"seq\":%llu,\"time\":\"%s\"}", (unsigned long long)seq, str_time(w->time, time));
    p->core = buf_bytes(core);
    p->n_whose = w->n_subjects;
    for (size_t i = 0; r == 0 && i < w->n_subjects; i++)
        r = make_tag(s, &w->subjects[i], seq, p->whose[i]);
    p->n_details = w->n_details;
    for (size_t i = 0; i < w->n_details; i++)
        memcpy(p->details[i], w->details[i].commitment, CRYPTO_HASH);
    return r;
}

int audit_raw_put(const struct scope *s, const struct audit_raw *w)
{
    struct audit_head h;
    struct audit_parts p;
    uint8_t leaf[CRYPTO_HASH];
    struct buf CLEANUP(buf_done) core, CLEANUP(buf_done) sealed;
    buf_init(&core, AUDIT_CORE_MAX);
    buf_init(&sealed, SEAL_PLAIN_MAX + SEAL_OVERHEAD + ENVELOPE_UNIT);
    int r = audit_head(s, &h);
    if (r != 0)
        return r;
    h.seq++;
    r = fill_parts(s, w, h.seq, &core, &p);
    if (r == 0)
        r = audit_form_leaf(&p, leaf);
    if (r == 0)
        r = audit_form_chain(h.head, leaf);
    if (r == 0)
        r = write_envelope(s, h.seq, w, &p, &sealed);
    if (r == 0)
        r = insert(s, h.seq, leaf, buf_bytes(&sealed), buf_bytes(&w->sealed));
    return r == 0 ? set_head(s, &h) : r;
}

int audit_put(const struct scope *s, const struct audit_event *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < audit_raw_parts(e); i++) {
        struct audit_raw w;
        r = audit_raw_make(s->ring, s->db, s->tenant, e, i, &w);
        if (r != 0)
            break;
        r = audit_raw_put(s, &w);
        audit_raw_done(&w);
    }
    return r;
}
