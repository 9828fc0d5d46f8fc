/* Making and reading checkpoints; see checkpoint.h. */
#include "cloud/checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/csr.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit.h"
#include "cloud/outbox.h"
#include "cloud/tell.h"
#include "cloud/tenant.h"

#define HOUR_US (3600 * 1000000LL)

/* ---- the key ---- */

static int make_key(const char *path, struct crypto_key **ret_key)
{
    struct buf CLEANUP(buf_wipe) pem;
    struct crypto_key *key = NULL;
    buf_init(&pem, 4096);
    int r = crypto_key_new(CRYPTO_ECDSA, &key);
    if (r == 0)
        r = csr_key_pem(key, &pem);
    if (r == 0)
        r = file_write(path, buf_bytes(&pem), 0600);
    if (r != 0)
        crypto_key_free(key);
    else
        *ret_key = key;
    return r;
}

int checkpoint_key(const struct cloud *c, struct crypto_key **ret_key)
{
    char path[4096];
    struct buf CLEANUP(buf_wipe) pem;
    buf_init(&pem, 4096);
    int r = cloud_path(c, "pki/audit.key", path, sizeof path);
    if (r == 0)
        r = file_read(path, &pem);
    if (r == -ENOENT)
        return make_key(path, ret_key);
    if (r == 0)
        r = csr_key_parse(buf_bytes(&pem), ret_key);
    if (r > 0)
        log_error("audit.key", "file=%s error=\"not a P-256 key\"", log_q(path));
    return r > 0 ? -EBADMSG : r;
}

static int our_point(const struct cloud *c, uint8_t ret_point[CRYPTO_POINT])
{
    struct crypto_key *key = NULL;
    int r = checkpoint_key(c, &key);
    if (r == 0)
        r = crypto_key_point(key, ret_point);
    crypto_key_free(key);
    return r;
}

int checkpoint_key_pem(const struct cloud *c, struct buf *ret_pem, uint8_t ret_kid[KID_LEN])
{
    uint8_t point[CRYPTO_POINT];
    int r = our_point(c, point);
    if (r == 0)
        r = cose_kid(point, ret_kid);
    return r == 0 ? csr_public_pem(point, ret_pem) : r;
}

/* ---- rows ---- */

/* The next one that reads, as db_step(): what is damaged proves nothing, and its neighbours stand by themselves. */
static int next_row(const struct scope *s, struct db_stmt *st, struct checkpoint_text *ret)
{
    int r;
    while ((r = db_step(st)) == DB_ROW) {
        uint8_t n8[8];
        struct bytes message = db_blob(st, 0);
        r = checkpoint_read(message, NULL, &ret->said);
        if (r == 0) {
            str_b64url(message.p, message.n, ret->text); /* checkpoint_read() bounds it */
            return DB_ROW;
        }
        if (r < 0 && r != -EBADMSG)
            return r;
        be_put(n8, (uint64_t)db_int(st, 1), sizeof n8);
        scope_damaged(s, "audit_checkpoint", BYTES(n8, sizeof n8), PASSED_OVER);
    }
    return r;
}

int checkpoint_last(const struct scope *s, struct checkpoint_text *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT message, seq FROM audit_checkpoint WHERE tenant_id = ?1 ORDER BY seq DESC", &st);
    if (r != 0)
        return r;
    r = next_row(s, st, ret);
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

int checkpoint_before(const struct scope *s, uint64_t seq, struct checkpoint *ret)
{
    struct db_stmt *st;
    struct checkpoint p;
    uint8_t point[CRYPTO_POINT];
    int found = CHECKPOINT_BAD, r = our_point(s->c, point);
    if (r == 0)
        r = scope_stmt(s, "SELECT message FROM audit_checkpoint WHERE tenant_id = ?1 AND seq <= ?2 ORDER BY seq DESC",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)seq);
    while (found > 0 && (r = db_step(st)) == DB_ROW) {
        found = checkpoint_read(db_blob(st, 0), point, &p);
        if (found == 0 && (p.seq > seq || strcmp(p.tenant, s->tenant) != 0)) /* of another row */
            found = CHECKPOINT_BAD;
    }
    db_done(st);
    if (found == 0)
        *ret = p;
    return found <= 0 ? found : r == 0 ? CLOUD_ABSENT : r;
}

int checkpoint_each(const struct scope *s, uint64_t from, uint64_t to, size_t limit, checkpoint_fn *fn, void *arg)
{
    struct db_stmt *st;
    struct checkpoint_text p;
    int r = scope_stmt(s,
                       "SELECT message, seq FROM audit_checkpoint WHERE tenant_id = ?1 AND seq >= ?2 AND seq <= ?3"
                       " ORDER BY seq",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)from);
    db_bind_int(st, 3, (int64_t)to);
    for (r = 0; r == 0 && limit > 0 && (r = next_row(s, st, &p)) == DB_ROW; limit--)
        r = fn(arg, &p);
    db_done(st);
    return r;
}

static int insert(const struct scope *s, uint64_t seq, struct bytes message)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO audit_checkpoint(tenant_id, seq, message) VALUES(?1, ?2, ?3)"
                       " ON CONFLICT(tenant_id, seq) DO UPDATE SET message = excluded.message",
                       &st);
    if (r != 0)
        return r;
    db_bind_int(st, 2, (int64_t)seq);
    db_bind_blob(st, 3, message);
    return db_must(st);
}

/* ---- telling: what was sent away proves the trail to whom it was sent ---- */

static int push(const struct scope *s, const struct checkpoint_text *t)
{
    json_t *o = json_pack("{s:I, s:s}", "seq", (json_int_t)t->said.seq, "checkpoint", t->text);
    int r = o != NULL ? outbox_event(s, "audit.checkpoint", o) : -ENOMEM;
    json_decref(o);
    return r;
}

/* The first one of a day goes by mail, to who may read the trail. */
static int mail(const struct scope *s, const struct checkpoint_text *t, int64_t before)
{
    char events[24], when[MAIL_TIME];
    const struct mail_arg args[] = {
        {"time", mail_time(t->said.time, when)}, {"events", events}, {"checkpoint", t->text}};
    if (day_of(t->said.time) == day_of(before) || !outbox_mails(s->c))
        return 0;
    snprintf(events, sizeof events, "%llu", (unsigned long long)t->said.seq);
    return tell_holders(s, PERM_AUDIT_READ, NULL, MAIL_CHECKPOINT, args, ARRAY_LEN(args));
}

/* ---- making ---- */

/* 0: there is none. */
static int last_time(const struct scope *s, int64_t *ret_time)
{
    struct checkpoint_text last;
    int r = checkpoint_last(s, &last);
    if (r == 0)
        *ret_time = last.said.time;
    return r == CLOUD_ABSENT ? 0 : r;
}

static int sign(const struct scope *s, struct crypto_key *key, const struct audit_head *h, struct checkpoint_text *ret)
{
    struct checkpoint_text t = {.said = {.seq = h->seq, .time = clock_real(), .epoch = cloud_epoch(s->c)}};
    struct buf CLEANUP(buf_done) message;
    buf_init(&message, CHECKPOINT_MAX);
    memcpy(t.said.head, h->head, sizeof t.said.head);
    int r = str_copy(t.said.tenant, sizeof t.said.tenant, s->tenant);
    if (r == 0)
        r = checkpoint_sign(&t.said, key, &message);
    int64_t before = 0;
    if (r == 0)
        r = last_time(s, &before);
    if (r == 0)
        r = insert(s, h->seq, buf_bytes(&message));
    if (r != 0)
        return r;
    str_b64url(message.p, message.len, t.text);
    r = push(s, &t);
    if (r == 0)
        r = mail(s, &t, before);
    if (r == 0)
        *ret = t;
    return r;
}

/* Says whether the last one still says it all. */
static int look(const struct scope *s, const struct audit_head *h, struct checkpoint_text *ret, bool *ret_same)
{
    int r = checkpoint_last(s, ret);
    *ret_same = r == 0 && ret->said.seq == h->seq && ret->said.epoch == cloud_epoch(s->c) &&
                memcmp(ret->said.head, h->head, sizeof h->head) == 0;
    return r == CLOUD_ABSENT ? 0 : r;
}

/* In the transaction. Past the fence of an erasure: nothing here is under a person's key. */
static int make(struct cloud *c, struct db *db, const char *tenant, bool fresh, struct crypto_key *key,
                struct checkpoint_text *ret)
{
    struct scope s;
    struct audit_head h = {0};
    uint64_t key_gen;
    bool same = false;
    int r = scope_fenced(c, db, tenant, &s, &key_gen);
    if (r == 0)
        r = audit_head(&s, &h);
    if (r == 0 && !fresh)
        r = look(&s, &h, ret, &same);
    return r == 0 && !same ? sign(&s, key, &h, ret) : r;
}

int checkpoint_make(struct cloud *c, struct db *db, const char *tenant, bool fresh, struct checkpoint_text *ret)
{
    struct crypto_key *key = NULL;
    struct checkpoint_text t;
    int r = checkpoint_key(c, &key);
    if (r == 0)
        r = cloud_begin(c, db);
    if (r == 0) {
        r = make(c, db, tenant, fresh, key, &t);
        r = cloud_end(c, db, r);
    }
    crypto_key_free(key);
    if (r == 0)
        *ret = t;
    return r;
}

/* By reading alone: most of the time there is nothing to do. */
static int is_due(struct cloud *c, struct db *db, const char *tenant, bool all, bool *ret_due)
{
    struct scope s;
    struct audit_head h;
    struct checkpoint_text last;
    uint64_t key_gen;
    bool same = true;
    int r = scope_fenced(c, db, tenant, &s, &key_gen);
    if (r == 0)
        r = audit_head(&s, &h);
    if (r == 0)
        r = look(&s, &h, &last, &same);
    if (r != 0)
        return r;
    r = checkpoint_last(&s, &last);
    int64_t age = r == 0 ? clock_real() - last.said.time : HOUR_US;
    *ret_due = !same && h.seq > 0 && (all || age >= HOUR_US || age < 0 || last.said.epoch != cloud_epoch(c));
    return r == CLOUD_ABSENT ? 0 : r;
}

int checkpoint_due(struct cloud *c, struct db *db, bool all)
{
    struct tenant_list l;
    struct checkpoint_text made;
    int first = 0, r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; i < l.n; i++) {
        bool due = false;
        r = is_due(c, db, l.items[i].id, all, &due);
        if (r == 0 && due)
            r = checkpoint_make(c, db, l.items[i].id, false, &made);
        first = first != 0 ? first : r; /* one tenant's trouble is not another's */
    }
    tenant_list_done(&l);
    return first;
}
