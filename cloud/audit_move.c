/* The journal's way into the chains; see audit_move.h. */
#include "cloud/audit_move.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit_impl.h"
#include "cloud/audit_journal.h"
#include "cloud/audit_refused.h"
#include "cloud/audit_start.h"
#include "cloud/checkpoint.h"
#include "cloud/schema.h"
#include "cloud/scope.h"
#include "wire/cbor.h"

#define BATCH 256 /* entries of one transaction, and those that do not wait for the next tick */
#define TICK_MS 1000
#define GROWN (AUDIT_JOURNAL_MAX / 64) /* begun anew even while it is used */
#define CHECKPOINT_TICKS 60
#define PARTS_MAX 64 /* of one entry that is read */
#define PARTS_MADE 32
#define META_GENERATION "audit_generation"
#define META_POSITION "audit_position"

struct audit_mover {
    struct cloud *cloud;
    struct audit_journal *journal;
    struct audit_refusals *refusals;
    struct audit_key key;
    _Atomic uint64_t noted, moved, lost, fresh; /* fresh: noted since the last tick */
    atomic_bool soon;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake, ticked;
    bool stop, kicked;
    uint64_t generation, position; /* moved up to here */
};

/* ---- noting ---- */

int audit_entry_make(struct keyring *ring, struct db *db, const char *tenant, const struct audit_event *e, size_t first,
                     struct buf *ret, size_t *ret_next)
{
    uint8_t head[64];
    struct cbor_w c = CBOR_W(head, sizeof head);
    size_t left = audit_raw_parts(e) - first, end = first + (left < PARTS_MADE ? left : PARTS_MADE);
    cbor_put_array(&c, 2);
    cbor_put_text(&c, tenant);
    cbor_put_array(&c, end - first);
    int r = c.bad ? -EINVAL : buf_add(ret, head, c.len);
    for (size_t i = first; r == 0 && i < end; i++) {
        struct audit_raw w;
        r = audit_raw_make(ring, db, tenant, e, i, &w);
        if (r != 0)
            break;
        r = audit_raw_encode(ring, tenant, &w, ret);
        audit_raw_done(&w);
    }
    if (r == 0)
        *ret_next = end;
    return r;
}

static void kick(struct audit_mover *m)
{
    pthread_mutex_lock(&m->lock);
    m->kicked = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

static int note(struct audit_mover *m, struct db *db, const char *tenant, const struct audit_event *e)
{
    struct keyring *ring = NULL;
    struct buf CLEANUP(buf_done) entry;
    if (tenant == NULL || tenant[0] == '\0')
        tenant = VENDOR_TENANT;
    buf_init(&entry, AUDIT_JOURNAL_ENTRY_MAX);
    int r = cloud_keyring(m->cloud, tenant, &ring);
    for (size_t part = 0; r == 0 && part < audit_raw_parts(e);) {
        buf_reset(&entry);
        r = audit_entry_make(ring, db, tenant, e, part, &entry, &part);
        if (r == 0)
            r = audit_journal_add(m->journal, buf_bytes(&entry), NULL);
        if (r == AUDIT_JOURNAL_FULL)
            r = -EAGAIN;
        if (r == 0)
            atomic_fetch_add(&m->noted, 1);
        if (r == -EAGAIN || (r == 0 && atomic_fetch_add(&m->fresh, 1) + 1 == BATCH))
            kick(m);
    }
    return r;
}

int audit_note(struct cloud *c, struct db *db, const char *tenant, const struct audit_event *e)
{
    return cloud_audit(c) != NULL ? note(cloud_audit(c), db, tenant, e) : -EAGAIN;
}

void audit_refused(struct cloud *c, struct db *db, const char *tenant, const struct audit_event *e)
{
    struct audit_mover *m = cloud_audit(c);
    if (m == NULL) /* opening or closing: nobody is served */
        return;
    if (audit_refusals_first(m->refusals, tenant, e, clock_ms()) && note(m, db, tenant, e) != 0)
        audit_refusals_again(m->refusals, tenant, e);
}

/* What was counted only, on the thread. */
struct telling {
    struct audit_mover *m;
    struct db *db;
};

static int tell_refusal(void *arg, const char *tenant, const struct audit_event *e)
{
    struct telling *x = arg;
    return note(x->m, x->db, tenant, e);
}

static void tell_refusals(struct audit_mover *m, struct db *db, bool all)
{
    struct telling x = {.m = m, .db = db};
    audit_refusals_flush(m->refusals, clock_ms(), all, tell_refusal, &x);
}

/* ---- moving ---- */

struct moving {
    struct audit_mover *m;
    struct db *db;
    uint64_t taken;
};

/* What does not open cannot be told; it is counted, and nothing waits for it. */
static int lost(struct moving *x, const char *why)
{
    atomic_fetch_add(&x->m->lost, 1);
    log_error("audit.lost", "error=%s action=\"an entry of the journal is left out of the trail\"", log_q(why));
    return 0;
}

static int take_part(struct moving *x, const struct scope *s, struct bytes part)
{
    struct audit_raw w;
    int r = audit_raw_decode(s->ring, s->tenant, part, &w);
    if (r == -EBADMSG)
        return lost(x, "does not open");
    if (r != 0)
        return r;
    r = audit_raw_put(s, &w);
    audit_raw_done(&w);
    return r;
}

/* Past the fence of an erasure: an event holds nothing that would have to go with the person. */
static int take_entry(void *arg, struct bytes body)
{
    struct moving *x = arg;
    struct cbor_r c = cbor_reader(body);
    char tenant[TENANT_MAX + 1] = "";
    struct scope s;
    uint64_t key_gen;
    cbor_get_array(&c, 2, 2);
    struct bytes name = cbor_get_text(&c, 1, TENANT_MAX);
    size_t n = cbor_get_array(&c, 1, PARTS_MAX);
    if (c.bad)
        return lost(x, "not an entry");
    memcpy(tenant, name.p, name.n);
    int r = scope_fenced(x->m->cloud, x->db, tenant, &s, &key_gen);
    if (r == CLOUD_ABSENT)
        return lost(x, "no such tenant");
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct bytes part = cbor_get_any(&c);
        r = c.bad ? lost(x, "not an entry") : take_part(x, &s, part);
        if (c.bad)
            break;
    }
    x->taken += r == 0;
    return r;
}

/* Where the store says that the journal is moved to. */
static int moved_to(struct db *db, const struct audit_journal_place *place, uint64_t *ret_pos)
{
    int64_t generation = 0, position = 0;
    int r = meta_get(db, META_GENERATION, &generation);
    if (r == 0)
        r = meta_get(db, META_POSITION, &position);
    if (r != 0 && r != CLOUD_ABSENT)
        return r;
    *ret_pos = (uint64_t)generation == place->generation ? (uint64_t)position : AUDIT_JOURNAL_HEADER;
    return 0;
}

/* In the transaction. AUDIT_JOURNAL_BAD: what stands at *ret_pos is no entry; what stands before it is moved. */
static int move_entries(struct moving *x, const struct audit_journal_place *place, size_t n, uint64_t *ret_pos)
{
    uint64_t pos = 0;
    x->taken = 0;
    int r = moved_to(x->db, place, &pos);
    if (r != 0)
        return r;
    int read = audit_journal_read(x->m->journal, pos, n, take_entry, x, &pos);
    r = read == AUDIT_JOURNAL_BAD ? 0 : read;
    if (r == 0)
        r = meta_put(x->db, META_GENERATION, (int64_t)place->generation);
    if (r == 0)
        r = meta_put(x->db, META_POSITION, (int64_t)pos);
    if (r == 0)
        *ret_pos = pos;
    FAULT_KILL("audit-move");
    return r == 0 ? read : r;
}

/* Ends the transaction after move_entries(), which returned `moved`. */
static int end_move(struct moving *x, const struct audit_journal_place *place, int moved, uint64_t pos)
{
    struct audit_mover *m = x->m;
    bool bad = moved == AUDIT_JOURNAL_BAD;
    int r = bad ? 0 : moved;
    if (r == 0)
        r = cloud_commit(m->cloud, x->db);
    else
        cloud_rollback(m->cloud, x->db);
    FAULT_KILL("audit-moved");
    if (r != 0)
        return r;
    atomic_fetch_add(&m->moved, x->taken);
    pthread_mutex_lock(&m->lock);
    m->generation = place->generation;
    m->position = pos;
    pthread_mutex_unlock(&m->lock);
    return bad ? AUDIT_JOURNAL_BAD : 0;
}

static int move_some(struct moving *x, const struct audit_journal_place *place)
{
    uint64_t pos = 0;
    int r = cloud_begin(x->m->cloud, x->db);
    if (r != 0)
        return r;
    r = move_entries(x, place, BATCH, &pos);
    return end_move(x, place, r, pos);
}

static int move_all(struct audit_mover *m, struct db *db)
{
    struct moving x = {.m = m, .db = db};
    struct audit_journal_place place;
    int r = 0;
    while (r == 0) {
        audit_journal_place(m->journal, &place);
        if ((m->generation == place.generation ? m->position : AUDIT_JOURNAL_HEADER) >= place.end)
            break;
        r = move_some(&x, &place);
    }
    if (r == AUDIT_JOURNAL_BAD) /* it was whole when it was synced */
        r = audit_journal_abandon(m->journal, 0);
    return r;
}

/* While requests keep coming there is always one on its way into the file, and it would grow until it is full. So they
 * wait, for as long as it takes to move the last few; the store's writer is waited for first. */
static int move_the_end(struct audit_mover *m, struct db *db)
{
    struct moving x = {.m = m, .db = db};
    struct audit_journal_place place;
    uint64_t pos = 0;
    int r = cloud_begin(m->cloud, db);
    if (r != 0)
        return r;
    r = audit_journal_hold(m->journal);
    audit_journal_place(m->journal, &place);
    if (r == 0)
        r = move_entries(&x, &place, SIZE_MAX, &pos);
    r = end_move(&x, &place, r, pos);
    if (r == 0)
        r = audit_journal_renew(m->journal, pos);
    audit_journal_go_on(m->journal);
    return r == AUDIT_JOURNAL_BAD ? 0 : r; /* move_all() meets it again */
}

/* Nothing of it is needed when all is moved. */
static void renew(struct audit_mover *m, struct db *db, bool busy)
{
    struct audit_journal_place place;
    audit_journal_place(m->journal, &place);
    bool all = m->generation == place.generation && m->position >= place.end;
    int r = 0;
    if (place.broken || (all && place.end > AUDIT_JOURNAL_HEADER && !busy))
        r = audit_journal_renew(m->journal, m->generation == place.generation ? m->position : 0);
    else if (place.end >= GROWN)
        r = move_the_end(m, db);
    if (r != 0 && r != -EAGAIN)
        log_error("audit.journal", "error=%s action=\"trying again\"", log_q(error_str(r)));
}

/* ---- the thread ---- */

static void tell(const char *what, int r)
{
    if (r != 0)
        log_warn("audit.behind", "what=%s error=%s action=\"trying again\"", what,
                 log_q(r < 0 ? error_str(r) : "unexpected outcome"));
}

static void tick(struct audit_mover *m, unsigned n)
{
    struct db *db = NULL;
    bool busy = atomic_exchange(&m->fresh, 0) > 0, soon = atomic_exchange(&m->soon, false);
    int r = cloud_db_take(m->cloud, &db);
    if (r == 0)
        r = move_all(m, db);
    tell("moving", r);
    if (r == 0)
        renew(m, db, busy);
    if (r == 0)
        tell_refusals(m, db, false);
    if (r == 0 && (soon || n % CHECKPOINT_TICKS == 0)) {
        r = checkpoint_due(m->cloud, db, soon);
        if (r != 0 && soon)
            atomic_store(&m->soon, true);
        tell("checkpoint", r);
    }
    cloud_db_give(m->cloud, db);
}

static void *run(void *arg)
{
    struct audit_mover *m = arg;
    pthread_mutex_lock(&m->lock);
    for (unsigned n = 1; !m->stop; n++) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_MS / 1000;
        while (!m->stop && !m->kicked && pthread_cond_timedwait(&m->wake, &m->lock, &until) != ETIMEDOUT)
            ;
        m->kicked = false;
        pthread_mutex_unlock(&m->lock);
        tick(m, n);
        pthread_mutex_lock(&m->lock);
        pthread_cond_broadcast(&m->ticked);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

int audit_settle(struct cloud *c, unsigned ms)
{
    struct audit_mover *m = cloud_audit(c);
    struct audit_journal_place place;
    struct timespec until;
    bool done = false;
    int waited = 0;
    audit_journal_place(m->journal, &place);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (ms + 999) / 1000;
    pthread_mutex_lock(&m->lock);
    while (!(done = place.end <= AUDIT_JOURNAL_HEADER || m->generation > place.generation ||
                    (m->generation == place.generation && m->position >= place.end)) &&
           waited == 0) {
        m->kicked = true;
        pthread_cond_signal(&m->wake);
        waited = pthread_cond_timedwait(&m->ticked, &m->lock, &until);
    }
    pthread_mutex_unlock(&m->lock);
    return done ? 0 : -ETIMEDOUT;
}

void audit_soon(struct cloud *c)
{
    struct audit_mover *m = cloud_audit(c);
    if (m != NULL)
        atomic_store(&m->soon, true);
}

void audit_counts(struct cloud *c, struct audit_counts *ret)
{
    struct audit_mover *m = cloud_audit(c);
    struct audit_journal_place place;
    audit_journal_place(m->journal, &place);
    *ret = (struct audit_counts){.noted = atomic_load(&m->noted),
                                 .moved = atomic_load(&m->moved),
                                 .lost = atomic_load(&m->lost),
                                 .refused = audit_refusals_count(m->refusals),
                                 .journal_bytes = place.end};
}

void audit_key(struct cloud *c, struct audit_key *ret)
{
    *ret = cloud_audit(c)->key;
}

/* ---- start and stop ---- */

/* Journal and store may be of two times: one of them was put back. A journal older than the store has nothing that the
 * store lacks; a store older than the journal takes all of the journal again. */
static int agree(struct audit_mover *m, struct db *db)
{
    struct audit_journal_place place;
    int64_t generation = 0;
    uint64_t pos = 0;
    audit_journal_place(m->journal, &place);
    int r = meta_get(db, META_GENERATION, &generation);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    r = moved_to(db, &place, &pos);
    if (r != 0)
        return r;
    if ((uint64_t)generation > place.generation || pos > place.end)
        return audit_journal_abandon(m->journal, (uint64_t)generation + 1);
    return 0;
}

static int prepare(struct audit_mover *m)
{
    char path[4096];
    struct buf CLEANUP(buf_done) pem;
    struct db *db = NULL;
    bool soon = false;
    buf_init(&pem, sizeof m->key.pem - 1);
    int r = cloud_path(m->cloud, "audit.journal", path, sizeof path);
    if (r == 0)
        r = audit_journal_open(path, AUDIT_JOURNAL_MAX, &m->journal);
    if (r == 0)
        r = audit_refusals_new(&m->refusals);
    if (r == 0)
        r = checkpoint_key_pem(m->cloud, &pem, m->key.kid);
    if (r == 0)
        r = str_copy(m->key.pem, sizeof m->key.pem, buf_str(&pem));
    if (r == 0)
        r = cloud_db_take(m->cloud, &db);
    if (r == 0)
        r = agree(m, db);
    if (r == 0)
        r = audit_start(m->cloud, db, m->key.kid, &soon);
    atomic_store(&m->soon, soon);
    cloud_db_give(m->cloud, db);
    return r;
}

static void conds_init(struct audit_mover *m)
{
    pthread_condattr_t a;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &a);
    pthread_cond_init(&m->ticked, &a);
    pthread_condattr_destroy(&a);
}

int audit_mover_start(struct cloud *c, struct audit_mover **ret_mover)
{
    struct audit_mover *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->cloud = c;
    conds_init(m);
    int r = prepare(m);
    if (r == 0)
        r = -pthread_create(&m->thread, NULL, run, m);
    m->running = r == 0;
    if (r != 0)
        audit_mover_stop(m);
    else
        *ret_mover = m;
    return r;
}

void audit_mover_stop(struct audit_mover *m)
{
    struct db *db = NULL;
    if (m == NULL)
        return;
    if (m->running) {
        pthread_mutex_lock(&m->lock);
        m->stop = true;
        pthread_cond_signal(&m->wake);
        pthread_mutex_unlock(&m->lock);
        pthread_join(m->thread, NULL);
        int r = cloud_db_take(m->cloud, &db);
        if (r == 0)
            tell_refusals(m, db, true);
        if (r == 0)
            r = move_all(m, db);
        if (r == 0)
            renew(m, db, false);
        tell("moving", r);
        cloud_db_give(m->cloud, db);
    }
    audit_refusals_free(m->refusals);
    audit_journal_close(m->journal);
    pthread_cond_destroy(&m->wake);
    pthread_cond_destroy(&m->ticked);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
