/* Opening and closing an installation; see cloud.h. init.c makes one. */
#include "cloud/cloud.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/audit_move.h"
#include "cloud/changes.h"
#include "cloud/damage.h"
#include "cloud/erasure.h"
#include "cloud/escrow.h"
#include "cloud/import.h"
#include "cloud/people.h"
#include "cloud/schema.h"
#include "cloud/scope.h"
#include "cloud/session_seen.h"
#include "cloud/tenant.h"
#include "cloud/used.h"

#define POOL_MAX 32 /* idle connections kept; more are opened and closed as needed */

struct ring_of {
    char tenant[TENANT_MAX + 1];
    struct keyring *ring;
};

struct cloud {
    const struct settings *set;
    int lock_fd;
    uint64_t epoch;
    char installation[ESCROW_ID];
    struct db_gate *gate;
    struct damage damage;
    struct used *used;
    struct seen *seen;
    struct audit_mover *audit;

    pthread_mutex_t listen_lock; /* of the next two */
    void (*on_commit)(void *arg);
    void *on_commit_arg;

    pthread_mutex_t lock; /* of what follows */
    size_t n_pool;
    struct db *pool[POOL_MAX];
    size_t n_rings, cap_rings;
    struct ring_of **rings; /* pointers: a borrowed keyring stays where it is */
};

const struct settings *cloud_settings(const struct cloud *c)
{
    return c->set;
}

struct seen *cloud_seen(struct cloud *c)
{
    return c->seen;
}

uint64_t cloud_epoch(const struct cloud *c)
{
    return c->epoch;
}

struct used *cloud_used(struct cloud *c)
{
    return c->used;
}

int cloud_path(const struct cloud *c, const char *name, char *ret, size_t size)
{
    return file_join(ret, size, c->set->state, name);
}

struct audit_mover *cloud_audit(struct cloud *c)
{
    return c->audit;
}

/* ---- connections ---- */

int cloud_db_take(struct cloud *c, struct db **ret_db)
{
    char path[4096];
    struct db *db = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->n_pool > 0)
        db = c->pool[--c->n_pool];
    pthread_mutex_unlock(&c->lock);
    int r = 0;
    if (db == NULL) {
        r = cloud_path(c, "store.db", path, sizeof path);
        if (r == 0)
            r = db_open(path, false, c->gate, &db);
    }
    if (r == 0)
        *ret_db = db;
    return r;
}

void cloud_db_give(struct cloud *c, struct db *db)
{
    if (db == NULL)
        return;
    do
        cloud_rollback(c, db);
    while (db_depth(db) > 0);
    pthread_mutex_lock(&c->lock);
    if (c->n_pool < POOL_MAX) {
        c->pool[c->n_pool++] = db;
        db = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    db_close(db);
}

/* ---- rings ---- */

/* "<folder>/<tenant>" of ours and of each escrow folder. */
struct ring_paths {
    char dir[4096];
    size_t n;
    char *escrow[16];
};

static void ring_paths_done(struct ring_paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->escrow[i]);
}

static int ring_paths(const struct cloud *c, const char *tenant, struct ring_paths *ret)
{
    int n = snprintf(ret->dir, sizeof ret->dir, "%s/keyring/%s", c->set->state, tenant);
    if (n < 0 || (size_t)n >= sizeof ret->dir)
        return -ENAMETOOLONG;
    char *const *folders = c->set->escrow.items;
    for (ret->n = 0; ret->n < c->set->escrow.n; ret->n++) {
        if (ret->n == ARRAY_LEN(ret->escrow))
            return -E2BIG;
        if (asprintf(&ret->escrow[ret->n], "%s/%s", folders[ret->n], tenant) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int ring_remember(struct cloud *c, const char *tenant, struct keyring *ring)
{
    struct ring_of *e = calloc(1, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    str_copy(e->tenant, sizeof e->tenant, tenant);
    e->ring = ring;
    int r = 0;
    pthread_mutex_lock(&c->lock);
    if (c->n_rings == c->cap_rings) {
        size_t cap = c->cap_rings == 0 ? 8 : c->cap_rings * 2;
        struct ring_of **p = realloc(c->rings, cap * sizeof(struct ring_of *));
        if (p == NULL) {
            r = -ENOMEM;
        } else {
            c->rings = p;
            c->cap_rings = cap;
        }
    }
    if (r == 0)
        c->rings[c->n_rings++] = e;
    pthread_mutex_unlock(&c->lock);
    if (r != 0)
        free(e);
    return r;
}

static int ring_open(struct cloud *c, const char *tenant, struct keyring **ret_ring)
{
    struct ring_paths p = {0};
    struct keyring *ring = NULL;
    int r = ring_paths(c, tenant, &p);
    if (r == 0) {
        const char *escrow[ARRAY_LEN(p.escrow)];
        for (size_t i = 0; i < p.n; i++)
            escrow[i] = p.escrow[i];
        r = keyring_open(p.dir, escrow, p.n, c->installation, &ring);
    }
    if (r == 0)
        r = ring_remember(c, tenant, ring);
    if (r != 0) {
        keyring_close(ring);
        log_error("keyring.open", "tenant=%s folder=%s error=%s hint=%s", tenant, log_q(p.dir),
                  log_q(r < 0 ? error_str(r) : "no usable copy"),
                  r < 0 ? "-" : "\"put ring, kek and tombstones of one time there, from an escrow folder\"");
        r = r < 0 ? r : CLOUD_KEYS;
    }
    ring_paths_done(&p);
    if (r == 0)
        *ret_ring = ring;
    return r;
}

int cloud_keyring(struct cloud *c, const char *tenant, struct keyring **ret_ring)
{
    int r = CLOUD_ABSENT;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n_rings && r != 0; i++) {
        if (strcmp(c->rings[i]->tenant, tenant) != 0)
            continue;
        *ret_ring = c->rings[i]->ring;
        r = 0;
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

int cloud_ring_create(struct cloud *c, const char *tenant, struct keyring **ret_ring)
{
    struct ring_paths p = {0};
    if (cloud_keyring(c, tenant, ret_ring) == 0)
        return 0;
    int r = ring_paths(c, tenant, &p);
    if (r == 0) {
        const char *escrow[ARRAY_LEN(p.escrow)];
        for (size_t i = 0; i < p.n; i++)
            escrow[i] = p.escrow[i];
        r = keyring_create(p.dir, escrow, p.n, c->installation);
    }
    ring_paths_done(&p);
    return r == 0 || r == -EEXIST ? ring_open(c, tenant, ret_ring) : r;
}

/* One more ring may be added meanwhile, but only by the holder of the write transaction, which is the caller. */
static struct keyring *ring_at(struct cloud *c, size_t i)
{
    pthread_mutex_lock(&c->lock);
    struct keyring *k = i < c->n_rings ? c->rings[i]->ring : NULL;
    pthread_mutex_unlock(&c->lock);
    return k;
}

/* ---- transactions ---- */

int cloud_begin(struct cloud *c, struct db *db)
{
    int r = db_begin(db);
    return r == DB_BUSY ? -EBUSY : r > 0 ? -EIO : r;
}

/* All keys first: an erasure is journalled only when nothing else can fail but the store. */
static int sync_rings(struct cloud *c, struct keyring **ret_due)
{
    struct keyring *k;
    for (size_t i = 0; (k = ring_at(c, i)) != NULL; i++) {
        int r = keyring_sync(k);
        if (r != 0)
            return r;
        if (keyring_due(k))
            *ret_due = k; /* a transaction that erases is one tenant's */
    }
    return *ret_due == NULL ? 0 : keyring_turn(*ret_due);
}

void cloud_listen(struct cloud *c, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&c->listen_lock);
    c->on_commit = fn;
    c->on_commit_arg = arg;
    pthread_mutex_unlock(&c->listen_lock);
}

static void tell_listener(struct cloud *c)
{
    pthread_mutex_lock(&c->listen_lock);
    if (c->on_commit != NULL)
        c->on_commit(c->on_commit_arg);
    pthread_mutex_unlock(&c->listen_lock);
}

static int commit_outermost(struct cloud *c, struct db *db)
{
    struct keyring *due = NULL;
    int r = sync_rings(c, &due);
    if (r != 0) {
        cloud_rollback(c, db);
        return r;
    }
    if (due == NULL)
        return db_commit(db);
    FAULT_KILL("erase");
    r = db_commit(db);
    FAULT_KILL("erase");
    if (r == 0)
        keyring_turned(due); /* logs; erasure_resume() goes on with it */
    return r;
}

int cloud_commit(struct cloud *c, struct db *db)
{
    if (!db_writing(db) || db_depth(db) != 1) /* an inner commit leaves the keys staged */
        return db_commit(db);
    int r = commit_outermost(c, db);
    if (r == 0)
        tell_listener(c);
    return r;
}

void cloud_heal(struct cloud *c)
{
    struct keyring *k;
    for (size_t i = 0; (k = ring_at(c, i)) != NULL; i++)
        keyring_heal(k);
}

void cloud_rollback(struct cloud *c, struct db *db)
{
    struct keyring *k;
    if (db_writing(db))
        for (size_t i = 0; (k = ring_at(c, i)) != NULL; i++)
            keyring_abort(k);
    db_rollback(db);
}

void scope_damaged(const struct scope *s, const char *table, struct bytes row, const char *action)
{
    if (s->damaged != NULL)
        *s->damaged = true;
    damage_note(&s->c->damage, s->tenant, table, row, action);
}

size_t cloud_damaged(struct cloud *c)
{
    return damage_count(&c->damage);
}

/* ---- opening ---- */

static int open_rings(struct cloud *c, struct db *db)
{
    struct tenant_list l;
    struct keyring *ring;
    int r = tenant_list(db, &l);
    if (r != 0)
        return r;
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = ring_open(c, l.items[i].id, &ring);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = changes_upgrade(c, db, l.items[i].id);
    tenant_list_done(&l);
    if (r == 0 && erasure_resume(c, db, true) == CLOUD_EPOCH) /* any other trouble is one tenant's, which is fenced */
        r = CLOUD_EPOCH;
    if (r == 0)
        r = people_upgrade(c, db);
    return r == 0 ? import_resume(c, db) : r;
}

/* Beside the keyring stands the epoch that the store must have: a store from another time would take back what its
 * acks said (design section 5). */
static int check_epoch(struct cloud *c, struct db *db)
{
    char path[4096];
    struct buf b;
    int64_t in_store;
    uint64_t beside;
    buf_init(&b, 64);
    int r = meta_get(db, "epoch", &in_store);
    if (r == 0)
        r = cloud_path(c, "keyring/epoch", path, sizeof path);
    if (r == 0)
        r = file_read(path, &b);
    if (r == 0) {
        while (b.len > 0 && b.p[b.len - 1] == '\n')
            b.len--;
        if (str_u64(buf_str(&b), 1, INT64_MAX, &beside) != 0 || beside != (uint64_t)in_store)
            r = CLOUD_EPOCH;
        else
            c->epoch = beside;
    } else if (r == CLOUD_ABSENT || r == -ENOENT) {
        r = CLOUD_EPOCH;
    }
    buf_done(&b);
    return r;
}

int cloud_open(const struct settings *set, struct cloud **ret_cloud)
{
    char path[4096];
    struct db *db = NULL;
    struct cloud *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->set = set;
    c->lock_fd = -1;
    damage_init(&c->damage);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->listen_lock, NULL);
    int r = db_gate_new(&c->gate);
    if (r == 0)
        r = used_new(&c->used);
    if (r == 0)
        r = seen_new(&c->seen);
    if (r == 0)
        r = cloud_path(c, "store.db", path, sizeof path);
    if (r == 0 && !file_exists(path))
        r = -ENOENT;
    if (r == 0)
        r = cloud_path(c, "lock", path, sizeof path);
    if (r == 0)
        r = file_lock(path, &c->lock_fd);
    if (r == FILE_LOCKED)
        r = CLOUD_RUNNING;
    if (r == 0)
        r = cloud_db_take(c, &db);
    if (r == 0)
        r = check_epoch(c, db);
    if (r == 0)
        r = schema_upgrade(db);
    if (r == 0)
        r = escrow_open(set, db, c->installation);
    if (r == 0)
        r = open_rings(c, db);
    if (r == 0)
        r = tenant_ensure_vendor(c, db);
    cloud_db_give(c, db);
    if (r == 0)
        r = audit_mover_start(c, &c->audit);
    if (r != 0) {
        cloud_close(c);
        return r;
    }
    *ret_cloud = c;
    return 0;
}

void cloud_close(struct cloud *c)
{
    if (c == NULL)
        return;
    audit_mover_stop(c->audit);
    c->audit = NULL;
    for (size_t i = 0; i < c->n_pool; i++)
        db_close(c->pool[i]);
    for (size_t i = 0; i < c->n_rings; i++) {
        keyring_close(c->rings[i]->ring);
        free(c->rings[i]);
    }
    free(c->rings);
    db_gate_free(c->gate);
    seen_free(c->seen);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->listen_lock);
    damage_done(&c->damage);
    used_free(c->used);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    free(c);
}

bool cloud_answers(struct cloud *c)
{
    struct db *db = NULL;
    int64_t epoch;
    if (cloud_db_take(c, &db) != 0)
        return false;
    bool ok = meta_get(db, "epoch", &epoch) == 0 && (uint64_t)epoch == c->epoch;
    cloud_db_give(c, db);
    return ok;
}

bool cloud_scrubs(struct cloud *c)
{
    return db_scrubbing(c->gate);
}

bool cloud_ready(struct cloud *c)
{
    struct keyring *k;
    bool ok = cloud_answers(c);
    for (size_t i = 0; ok && (k = ring_at(c, i)) != NULL; i++)
        ok = keyring_escrow_ok(k);
    return ok;
}

void cloud_rings(struct cloud *c, struct cloud_rings *ret)
{
    struct keyring *k;
    *ret = (struct cloud_rings){0};
    for (; (k = ring_at(c, ret->rings)) != NULL; ret->rings++) {
        ret->keys += keyring_count(k);
        ret->generations += keyring_generation(k);
        ret->escrow_bad += keyring_escrow_ok(k) ? 0 : 1;
    }
}

/* ---- days ---- */
