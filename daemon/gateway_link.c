/* The gateway's side of the uplink: sessions, status, acks, and the sender's timer. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "daemon/gateway_impl.h"
#include "wire/cbor.h"

static struct sender_now now_is(void)
{
    return (struct sender_now){.ms = clock_ms(), .mono = clock_mono()};
}

/* ---- status ---- */

/* When the spool could not even be read back its tables are empty, but not the disk: a status without the recipient
 * keys of what lies there would have the cloud destroy them. */
static void look_at_spool(struct gateway *g)
{
    struct holdings *h = &g->held;
    if (spool_broken(g->spool) && spool_count(g->spool) == 0)
        return;
    h->n_rkids = 0;
    for (size_t i = 0; i < spool_count(g->spool) && h->n_rkids < STATUS_RKIDS_MAX; i++) {
        const uint8_t *rkid = spool_at(g->spool, i)->rkid;
        size_t k = 0;
        while (k < h->n_rkids && memcmp(h->rkids[k], rkid, RKID_LEN) != 0)
            k++;
        if (k == h->n_rkids)
            memcpy(h->rkids[h->n_rkids++], rkid, RKID_LEN);
    }
    h->records = spool_records(g->spool);
    h->unacked = spool_unacked(g->spool);
    h->bytes = spool_bytes(g->spool);
}

static void count(struct gateway *g, struct status *st)
{
    uint64_t bad = 0, down = 0;
    for (unsigned i = 0; i < g->s->readers.n; i++) {
        const struct reader_stats *r = g->readers ? readers_stats(g->readers, i) : NULL;
        bad += r ? atomic_load(&r->bad) : 0;
        down += !g->lanes[i].up;
    }
    st->counts[COUNT_PUNCHES] = g->punches;
    st->counts[COUNT_SPOOL_RECORDS] = g->held.records;
    st->counts[COUNT_SPOOL_UNACKED] = g->held.unacked;
    st->counts[COUNT_SPOOL_BYTES] = g->held.bytes;
    st->counts[COUNT_REFUSED] = g->refused;
    st->counts[COUNT_FRAMES_BAD] = bad;
    st->counts[COUNT_ACKS_BAD] = sender_counts(g->sender)->acks_bad;
    st->counts[COUNT_READERS] = g->s->readers.n;
    st->counts[COUNT_READERS_DOWN] = down;
    st->counts[COUNT_DUPLICATES] = g->duplicates;
}

void gateway_status(struct gateway *g, bool online, struct buf *ret)
{
    struct status st = {.gen = g->keys.bundle.gen, .online = online};
    struct stamp_clock c;
    stamp_read(&c);
    memcpy(st.gw, g->keys.gw, GW_LEN);
    memcpy(st.boot, g->boot, BOOT_LEN);
    memcpy(st.conn, g->conn, sizeof(st.conn));
    st.real = c.real;
    st.mono = c.mono;
    st.ck = stamp_ck(&g->stamp, &c, c.real, c.mono);
    look_at_spool(g);
    st.n_rkids = g->held.n_rkids;
    memcpy(st.rkids, g->held.rkids, sizeof(st.rkids));
    count(g, &st);
    buf_init(ret, STATUS_MSG_MAX);
    int r = status_encode(&st, g->keys.sign, ret);
    if (r != 0) {
        log_error("status.failed", "error=%s action=\"none is published\"", log_q(error_str(r)));
        buf_done(ret);
    }
}

void gateway_status_tick(struct gateway *g)
{
    int64_t age = clock_ms() - g->status_ms;
    look_at_spool(g);
    if (!g->link_up || age < (g->status_due ? STATUS_MIN_MS : STATUS_MS))
        return;
    struct buf msg;
    gateway_status(g, true, &msg);
    if (msg.len == 0 || uplink_send(g->uplink, TOPIC_STATUS, &msg) == 0) { /* else the next tick serves */
        g->status_ms = clock_ms();
        g->status_due = false;
    }
    buf_done(&msg);
}

void gateway_status_changed(struct gateway *g)
{
    g->status_due = true;
    gateway_status_tick(g);
}

static void on_session(void *arg, struct uplink_session *ret)
{
    struct gateway *g = arg;
    if (crypto_random(g->conn, sizeof(g->conn)) != 0)
        return;
    gateway_status(g, true, &ret->online);
    gateway_status(g, false, &ret->will);
}

/* ---- sending ---- */

static int on_send(void *arg, struct buf *msg)
{
    struct gateway *g = arg;
    return uplink_send(g->uplink, TOPIC_UP, msg) == 0 ? 0 : SENDER_BUSY;
}

/* After an outage all that is acknowledged was sent before, and no ack tells the time. A clock record of our own, sent
 * once and acked once, gets it: else what waits in `pending` would wait for the next punch. */
static void ask_time(struct gateway *g)
{
    int64_t now = clock_ms();
    if (g->asked_ms != 0 && now - g->asked_ms < ASK_TIME_MS)
        return;
    g->asked_ms = now;
    g->batch[0] = (struct entry){0};
    stamp_clock_record(&g->stamp, &g->clock, &g->batch[0].rec);
    (void)gateway_commit(g, 1);
}

static void take_time(struct gateway *g, const struct sender_news *news)
{
    gateway_read_clock(g);
    if (!stamp_cloud_due(&g->stamp, &g->clock))
        return;
    if (!news->time) {
        ask_time(g);
        return;
    }
    g->batch[0] = (struct entry){0};
    stamp_cloud_record(news->cloud_now, news->sent_mono, news->ack_mono, &g->batch[0].rec);
    if (gateway_commit(g, 1))
        stamp_cloud_stored(&g->stamp, news->ack_mono);
}

static void take_epoch(struct gateway *g, const struct sender_news *news)
{
    uint8_t arg[16];
    struct cbor_w w = CBOR_W(arg, sizeof(arg));
    log_note("ack.epoch", "epoch=%llu action=\"offering all that is kept again\"", (unsigned long long)news->epoch_now);
    gateway_read_clock(g);
    cbor_put_uint(&w, news->epoch_now);
    gateway_event(g, 0, EVENT_EPOCH, BYTES(arg, w.len));
    (void)gateway_commit(g, 1);
}

static void take_news(struct gateway *g, const struct sender_news *news)
{
    if (news->damage && !g->damage) {
        g->damage = true;
        g->damage_segno = news->damage_segno;
        g->damage_index = news->damage_index;
        memcpy(g->damage_segid, news->damage_segid, SEGID_LEN);
        gateway_due(g);
    }
    if (news->epoch)
        take_epoch(g, news);
    if (news->time || news->untimed)
        take_time(g, news);
}

void gateway_send(struct gateway *g)
{
    struct sender_news news = {0};
    struct sender_now now = now_is();
    uint64_t segno = 0;
    bool live = journal_open_segment(g->journal, &segno);
    sender_live(g->sender, live, segno);
    uint64_t wake = sender_step(g->sender, &now, &news);
    if (news.damage) {
        take_news(g, &news);
        wake = 1;
    }
    if (wake == UINT64_MAX)
        loop_timer_stop(g->send);
    else
        loop_timer_set(g->send, wake > 0 ? wake : 1);
}

void gateway_send_cb(void *arg)
{
    gateway_send(arg);
}

/* ---- what the uplink reports ---- */

static void on_ack(void *arg, struct bytes msg)
{
    struct gateway *g = arg;
    struct sender_news news = {0};
    struct sender_now now = now_is();
    sender_ack(g->sender, msg, &now, &news);
    take_news(g, &news);
    gateway_send(g);
}

/* Live before backlog: what is unacknowledged in the open segment becomes backlog, new punches get a segment of their
 * own beside it. */
static void on_up(void *arg)
{
    struct gateway *g = arg;
    struct sender_now now = now_is();
    uint64_t segno;
    g->link_up = true;
    g->release_due = true;
    g->link_why[0] = '\0';
    log_note("uplink.up", "broker=%s", log_q(g->keys.bundle.broker));
    notify_status("storing punches, connected to the broker");
    if (journal_open_segment(g->journal, &segno)) {
        const struct spool_seg *seg = spool_find(g->spool, segno);
        if (seg && seg->acked < seg->records)
            journal_close(g->journal);
    }
    sender_link(g->sender, true, &now);
    g->status_ms = now.ms; /* the thread has published the session's, which may be older than the last change */
    gateway_send(g);
}

static void on_down(void *arg, const char *why)
{
    struct gateway *g = arg;
    struct sender_now now = now_is();
    bool was = g->link_up;
    g->link_up = false;
    memcpy(g->link_why, why, strnlen(why, sizeof(g->link_why) - 1) + 1);
    g->link_why[sizeof(g->link_why) - 1] = '\0';
    notify_status("storing punches, no connection to the broker");
    if (was)
        log_warn("uplink.down", "broker=%s reason=%s action=\"connecting again\"", log_q(g->keys.bundle.broker),
                 log_q(why));
    else
        log_info("uplink.retry", "broker=%s reason=%s", log_q(g->keys.bundle.broker), log_q(why));
    sender_link(g->sender, false, &now);
    loop_timer_stop(g->send);
}

int gateway_link_start(struct gateway *g)
{
    uint64_t seed = 0;
    int r = crypto_random(&seed, sizeof(seed));
    if (r != 0)
        return r;
    struct uplink_options o = {.host = g->keys.host,
                               .port = g->keys.port,
                               .key_file = g->keys.tls_key,
                               .cert_file = g->keys.tls_crt,
                               .ca_file = g->keys.ca_crt,
                               .keepalive_s = g->s->uplink.keepalive_ms / 1000,
                               .backoff_min_ms = g->s->uplink.backoff_min_ms,
                               .backoff_max_ms = g->s->uplink.backoff_max_ms,
                               .seed = seed};
    memcpy(o.gw, g->keys.gw, GW_LEN);
    struct sender_options so = {.spool = g->spool,
                                .ack_timeout_ms = g->s->uplink.ack_timeout_ms,
                                .backoff_min_ms = g->s->uplink.backoff_min_ms,
                                .backoff_max_ms = g->s->uplink.backoff_max_ms,
                                .seed = seed ^ UINT64_C(0x9e3779b97f4a7c15),
                                .send = on_send,
                                .arg = g};
    struct uplink_calls calls = {.session = on_session, .up = on_up, .down = on_down, .ack = on_ack, .arg = g};
    r = sender_new(&so, &g->sender);
    return r != 0 ? r : uplink_start(g->loop, &o, &calls, &g->uplink);
}
