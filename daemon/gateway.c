/* The gateway's life: what is set up in which order, what happens each second, what is taken down. The order of
 * setting up is the picture of the program: lock, spool, keys, loop, journal, sender, socket, readers, uplink. */
#include "daemon/gateway.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/notify.h"
#include "base/str.h"
#include "daemon/gateway_impl.h"
#include "daemon/metrics.h"
#include "wire/cbor.h"
#include "wire/upload.h"

#define SIGHTS_MAX 256
#define TICK_MS 1000

/* ---- the clocks of a segment's start ---- */

static void start_clock(void *arg, struct record *ret)
{
    struct gateway *g = arg;
    stamp_clock_record(&g->stamp, &g->clock, ret);
}

static void start_stored(void *arg)
{
    struct gateway *g = arg;
    stamp_stored(&g->stamp, &g->clock);
}

/* ---- each second ---- */

/* Marks, acks, closed segments: what nobody waits for is committed at leisure. */
static void flush(struct gateway *g)
{
    bool more = false;
    if (spool_broken(g->spool)) {
        (void)gateway_commit(g, 0);
        return;
    }
    journal_tick(g->journal);
    int r = spool_trim(g->spool, &more);
    if (r == 0 && spool_staged(g->spool))
        r = spool_commit(g->spool);
    if (r != 0) {
        log_error("spool.commit", "error=%s action=\"opening the spool again\"", log_q(error_str(r)));
        (void)gateway_commit(g, 0);
    }
}

/* What the start, a handshake or a drain went through; not amid a drain, which would want it again at once. */
static void give_back(struct gateway *g)
{
    uint64_t sent = sender_counts(g->sender)->records;
    bool draining = sent - g->sent_seen > UPLOAD_RECORDS_MAX;
    g->sent_seen = sent;
    g->release_due = g->release_due || draining;
    if (draining || !g->release_due)
        return;
    g->release_due = false;
    memory_release();
}

static void on_tick(void *arg)
{
    struct gateway *g = arg;
    loop_timer_set(g->tick, TICK_MS);
    gateway_due(g);
    flush(g);
    gateway_lights(g);
    gateway_status_tick(g);
    gateway_send(g);
    give_back(g);
}

static void on_watchdog(void *arg)
{
    struct gateway *g = arg;
    notify_watchdog();
    loop_timer_set(g->watchdog, notify_watchdog_ms());
}

static void on_signal(void *arg)
{
    struct gateway *g = arg;
    loop_stop(g->loop, 0);
}

/* ---- setting up ---- */

static int complain(const char *what, int r)
{
    log_error("start.failed", "what=%s error=%s", log_q(what), log_q(error_str(r)));
    return r;
}

/* Made by root before the folder was ours; what root does in it since is done as its owner (base/owner.h). */
static int not_ours(struct gateway *g)
{
    log_error("start.failed",
              "what=%s error=\"files of another user\" hint=\"as root: chown -R punchgate:punchgate the folder\"",
              log_q(g->s->state));
    return -EACCES;
}

static int take_lock(struct gateway *g)
{
    char path[KEYS_PATH];
    int r = file_join(path, sizeof(path), g->s->state, "lock");
    if (r == 0)
        r = file_lock(path, &g->lock);
    if (r == FILE_LOCKED) {
        log_error("start.failed", "what=%s error=\"another punchgate runs with this state folder\"", log_q(path));
        return -EBUSY;
    }
    if (r == -EACCES)
        return not_ours(g);
    if (r == -ENOENT) {
        log_error("start.failed", "what=%s error=\"no state yet\" hint=\"punchgate keygen, then punchgate enrol\"",
                  log_q(g->s->state));
        return r;
    }
    return r != 0 ? complain(path, r) : 0;
}

static int load_keys(struct gateway *g)
{
    char problem[KEYS_PATH + 100];
    int r = keys_load(g->s->state, &g->keys, problem, sizeof(problem));
    if (r == KEYS_ABSENT || (r == 0 && !g->keys.enrolled)) {
        log_error("start.failed", "what=%s error=\"not enrolled\" hint=\"punchgate keygen, then punchgate enrol\"",
                  log_q(g->s->state));
        return -ENOENT;
    }
    if (r == -EACCES)
        return not_ours(g);
    if (r != 0) {
        log_error("start.failed", "what=%s error=%s", log_q(g->s->state), log_q(problem));
        return -EINVAL;
    }
    r = keys_export(&g->keys);
    return r != 0 ? complain("keys", r) : 0;
}

/* In /run: kept over restarts of the program, gone with a power cut. */
static int load_hash_key(struct gateway *g)
{
    char path[KEYS_PATH];
    struct buf b CLEANUP(buf_wipe);
    buf_init(&b, CRYPTO_KEY + 1);
    int r = file_mkdir(g->s->runtime, 0755);
    if (r == 0)
        r = file_join(path, sizeof(path), g->s->runtime, "hash.key");
    if (r != 0)
        return complain(g->s->runtime, r);
    if (!file_volatile(g->s->runtime))
        log_warn("runtime.disk",
                 "runtime=%s hint=\"hash.key outlives a power cut there, put it on a tmpfs such as /run\"",
                 log_q(g->s->runtime));
    g->hash_key_fresh = file_read(path, &b) != 0 || b.len != CRYPTO_KEY;
    if (!g->hash_key_fresh) {
        memcpy(g->hash_key, b.p, CRYPTO_KEY);
        return 0;
    }
    r = crypto_random(g->hash_key, CRYPTO_KEY);
    if (r == 0)
        r = file_write_volatile(path, BYTES(g->hash_key, CRYPTO_KEY), 0600);
    return r != 0 ? complain(path, r) : 0;
}

/* A corrupt spool is moved aside; its successor counts on from where no predecessor can have been: a million records a
 * second since 1970. */
static int quarantine(struct gateway *g, const char *dir, struct spool_options *o)
{
    char name[64];
    int64_t seconds = clock_real() / 1000000;
    snprintf(name, sizeof(name), "damaged-spool-%" PRId64, seconds);
    int r = spool_set_aside(dir, name, g->quarantined, sizeof(g->quarantined));
    if (r != 0)
        return complain(dir, r);
    log_error("spool.quarantined", "moved_to=%s action=\"beginning a new one\"", log_q(g->quarantined));
    o->first_gseq = (uint64_t)seconds << 20;
    o->first_segno = (uint64_t)seconds;
    return 0;
}

static int open_spool(struct gateway *g, int probed)
{
    char dir[KEYS_PATH], name[64], moved[128];
    struct spool_options o = {.dir = dir,
                              .gen = g->keys.bundle.gen,
                              .budget = g->s->spool.budget,
                              .keep_us = g->s->spool.keep_ms * 1000,
                              .keep_size = g->s->spool.keep_size};
    memcpy(o.gw, g->keys.gw, GW_LEN);
    int r = file_join(dir, sizeof(dir), g->s->state, "spool");
    if (r == 0)
        r = probed == SPOOL_CORRUPT ? SPOOL_CORRUPT : spool_open(&o, &g->spool);
    if (r == SPOOL_NONE) { /* another generation's; enrol sets it aside, unless the power went just then */
        struct spool_meta m = {0};
        (void)spool_peek(dir, &m);
        snprintf(name, sizeof(name), "old-spool-%" PRIu64, m.gen);
        r = spool_set_aside(dir, name, moved, sizeof(moved));
        if (r == 0) {
            log_note("spool.generation", "moved_to=%s action=\"beginning an empty one\"", log_q(moved));
            r = spool_open(&o, &g->spool);
        }
    } else if (r == SPOOL_CORRUPT && (r = quarantine(g, dir, &o)) == 0) {
        r = spool_open(&o, &g->spool);
    }
    if (r == SPOOL_NEWER) {
        log_error("start.failed",
                  "what=%s error=\"the spool is of a later generation than the bundle\" hint=\"enrol again\"",
                  log_q(dir));
        return -EINVAL;
    }
    return r != 0 ? complain(dir, r > 0 ? -EUCLEAN : r) : 0;
}

static int make_parts(struct gateway *g)
{
    int r = clock_boot_id(g->boot);
    struct journal_options jo = {.spool = g->spool,
                                 .recipient = g->keys.bundle.recipients[g->keys.bundle.n_recipients - 1],
                                 .sign = g->keys.sign,
                                 .gen = g->keys.bundle.gen,
                                 .start_clock = start_clock,
                                 .start_stored = start_stored,
                                 .mono = clock_mono,
                                 .arg = g};
    struct intake_options io = {.readers = &g->s->readers,
                                .hash_key = g->hash_key,
                                .key_fresh = g->hash_key_fresh,
                                .boot = g->boot,
                                .spool = g->spool};
    memcpy(jo.gw, g->keys.gw, GW_LEN);
    memcpy(jo.boot, g->boot, BOOT_LEN);
    if (r == 0)
        r = journal_new(&jo, &g->journal);
    if (r == 0)
        r = intake_new(&io, &g->intake);
    if (r == 0)
        r = queue_new(sizeof(struct sight), SIGHTS_MAX, &g->sights);
    if (r == 0)
        r = lights_new(g->loop, &g->s->readers, &g->lights);
    g->batch = calloc(JOURNAL_BATCH, sizeof(*g->batch));
    g->lanes = calloc(g->s->readers.n + 1, sizeof(*g->lanes));
    if (r == 0 && (!g->batch || !g->lanes))
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < g->s->readers.n; i++)
        g->lanes[i].told_up = true; /* one that never comes up is told as down */
    return r != 0 ? complain("memory", r) : 0;
}

static int make_loop(struct gateway *g)
{
    int r = loop_new(&g->loop);
    if (r == 0)
        r = loop_signal(g->loop, SIGTERM, on_signal, g);
    if (r == 0)
        r = loop_signal(g->loop, SIGINT, on_signal, g);
    if (r == 0)
        r = loop_timer_new(g->loop, on_tick, g, &g->tick);
    if (r == 0)
        r = loop_timer_new(g->loop, gateway_send_cb, g, &g->send);
    if (r == 0)
        r = loop_timer_new(g->loop, on_watchdog, g, &g->watchdog);
    return r != 0 ? complain("loop", r) : 0;
}

static void say_started(struct gateway *g)
{
    uint8_t arg[JOURNAL_ARG];
    struct cbor_w w = CBOR_W(arg, sizeof(arg));
    cbor_put_text(&w, PUNCH_VERSION);
    gateway_read_clock(g);
    gateway_event(g, 0, EVENT_STARTED, BYTES(arg, w.len));
    (void)gateway_commit(g, 1);
}

static void on_scrape(void *arg, struct buf *ret)
{
    metrics_page(arg, ret);
}

static int open_doors(struct gateway *g)
{
    char path[KEYS_PATH];
    int r = gateway_link_start(g);
    if (r != 0)
        return complain("uplink", r);
    say_started(g);
    r = file_join(path, sizeof(path), g->s->runtime, "punchgate.sock");
    if (r == 0)
        r = control_new(g->loop, path, g, &g->control);
    if (r != 0)
        return complain(path, r);
    const char *listen = g->s->metrics.listen;
    if (listen && (r = scrape_new(g->loop, listen, on_scrape, g, &g->scrape)) != 0)
        return complain(listen, r);
    r = loop_io_new(g->loop, queue_fd(g->sights), EPOLLIN, gateway_on_sights, g, &g->sights_io);
    if (r == 0)
        r = readers_start(&g->s->buses, &g->s->readers, g->s->profiles, g->sights, &g->readers);
    for (unsigned i = 0; r == 0 && i < g->s->readers.n; i++)
        g->lanes[i].acked = readers_acked(g->readers, i); /* while stopping nobody can be asked any more */
    if (r == 0)
        r = loop_timer_set(g->tick, TICK_MS);
    if (r == 0 && notify_watchdog_ms() > 0)
        r = loop_timer_set(g->watchdog, notify_watchdog_ms());
    return r != 0 ? complain("readers", r) : 0;
}

static int set_up(struct gateway *g)
{
    char dir[KEYS_PATH];
    g->started = clock_real();
    g->started_mono = clock_mono();
    int r = take_lock(g);
    if (r == 0)
        r = file_join(dir, sizeof(dir), g->s->state, "spool");
    /* Before any thread and before the cryptography: it looks at the spool from a child process. */
    int probed = r == 0 ? spool_probe(dir) : 0;
    if (r == 0 && (r = crypto_init()) != 0)
        complain("crypto", r);
    if (r == 0)
        r = load_keys(g);
    if (r == 0)
        r = load_hash_key(g);
    if (r == 0)
        r = open_spool(g, probed);
    if (r == 0)
        r = make_loop(g);
    if (r == 0)
        r = make_parts(g);
    return r != 0 ? r : open_doors(g);
}

/* ---- taking down ---- */

/* Readers first, so that nothing is answered any more; what they queued is stored all the same. */
static bool take_down(struct gateway *g)
{
    bool stuck = false;
    struct buf last = {0};
    notify_stopping();
    if (g->readers) {
        struct readers *r = g->readers;
        loop_io_free(g->sights_io);
        g->sights_io = NULL;
        readers_stop(r);
        g->readers = NULL;
        gateway_drain(g);
    }
    if (g->journal && !spool_broken(g->spool)) {
        journal_close(g->journal);
        int r = spool_commit(g->spool);
        if (r != 0)
            log_warn("stop.commit", "error=%s action=\"acks of the last second are asked for again\"",
                     log_q(error_str(r)));
    }
    if (g->uplink) {
        if (g->link_up)
            gateway_status(g, false, &last);
        stuck = uplink_stop(g->uplink, &last) == UPLINK_STUCK;
        buf_done(&last);
    }
    lights_free(g->lights);
    scrape_free(g->scrape);
    control_free(g->control);
    sender_free(g->sender);
    intake_free(g->intake);
    journal_free(g->journal);
    spool_free(g->spool);
    if (!stuck)
        loop_free(g->loop);
    queue_free(g->sights);
    keys_done(&g->keys);
    crypto_wipe(g->hash_key, sizeof(g->hash_key));
    free(g->batch);
    free(g->lanes);
    if (g->lock >= 0)
        close(g->lock);
    return stuck;
}

int gateway_run(const struct settings *s, bool *ret_stuck)
{
    struct gateway *g = calloc(1, sizeof(*g));
    if (!g)
        return 1;
    g->s = s;
    g->lock = -1;
    g->release_due = true;
    memory_one_heap();
    int r = set_up(g);
    if (r == 0) {
        char gw[2 * GW_LEN + 1];
        str_hex(g->keys.gw, GW_LEN, gw);
        log_note("run.started", "gateway=%s generation=%" PRIu64 " readers=%zu records=%" PRIu64 " unacked=%" PRIu64,
                 gw, g->keys.bundle.gen, s->readers.n, spool_records(g->spool), spool_unacked(g->spool));
        notify_ready("storing punches");
        r = loop_run(g->loop);
        log_note("run.stopping", "punches=%" PRIu64, g->punches);
    }
    bool stuck = take_down(g);
    if (!stuck)
        free(g);
    *ret_stuck = stuck;
    return r == 0 ? 0 : 1;
}

/* ---- views ---- */

void gateway_view(struct gateway *g, struct gateway_view *ret)
{
    struct stamp_clock c;
    stamp_read(&c);
    *ret = (struct gateway_view){.gen = g->keys.bundle.gen,
                                 .link_up = g->link_up,
                                 .probing = sender_silent(g->sender),
                                 .spool_full = g->spool_full,
                                 .clock_synced = c.synced,
                                 .broker = g->keys.bundle.broker,
                                 .punches = g->punches,
                                 .duplicates = g->duplicates,
                                 .refused = g->refused,
                                 .recoveries = journal_recoveries(g->journal),
                                 .sender = *sender_counts(g->sender),
                                 .spool = g->spool,
                                 .ck = stamp_ck(&g->stamp, &c, c.real, c.mono),
                                 .started = g->started,
                                 .started_mono = g->started_mono,
                                 .commits = &g->commits};
    memcpy(ret->gw, g->keys.gw, GW_LEN);
    memcpy(ret->link_why, g->link_why, sizeof(ret->link_why));
    uplink_counts(g->uplink, &ret->uplink);
    ret->lights = g->lights;
    for (size_t i = 0; i < g->s->readers.n; i++)
        ret->readers_down += !g->lanes[i].up;
}

size_t gateway_readers(const struct gateway *g)
{
    return g->s->readers.n;
}

void gateway_reader(struct gateway *g, size_t i, struct gateway_reader *ret)
{
    const struct reader_settings *s = (const struct reader_settings *)g->s->readers.items + i;
    const struct reader_state *l = &g->lanes[i];
    *ret = (struct gateway_reader){.name = s->name,
                                   .bus = s->bus ? s->bus : "",
                                   .up = l->up,
                                   .acked = l->acked,
                                   .punches = l->punches,
                                   .duplicates = l->duplicates,
                                   .refused = l->refused};
    if (!g->readers)
        return;
    const struct reader_stats *t = readers_stats(g->readers, (unsigned)i);
    ret->reads = atomic_load(&t->reads);
    ret->polls = atomic_load(&t->polls);
    ret->unusable = atomic_load(&t->unusable);
    ret->bad = atomic_load(&t->bad);
    ret->exceptions = atomic_load(&t->exceptions);
    ret->timeouts = atomic_load(&t->timeouts);
    ret->late = atomic_load(&t->late);
}
