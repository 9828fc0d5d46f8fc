#include "daemon/sender.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/mutant.h"
#include "wire/upload.h"

#define GRACE_MIN_MS 500 /* from an ack that did not move to going back */
#define BUSY_MS 100

struct flight {
    uint64_t segno, first, end;
    int64_t sent_ms;
    uint64_t sent_mono;
    bool resend;
};

struct sender {
    struct sender_options o;
    bool up, live_open, silent;
    uint64_t live;
    struct flight flights[SENDER_WINDOW];
    size_t n;
    unsigned silent_tries;
    int64_t probe_at, last_ack_ms;
    uint64_t probe_segno; /* the segment probed last */
    uint64_t srtt_ms;
    uint64_t rng;
    struct sender_counts counts;
};

int sender_new(const struct sender_options *o, struct sender **ret)
{
    struct sender *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->o = *o;
    s->rng = o->seed | 1;
    s->last_ack_ms = INT64_MIN;
    *ret = s;
    return 0;
}

void sender_free(struct sender *s)
{
    free(s);
}

const struct sender_counts *sender_counts(const struct sender *s)
{
    return &s->counts;
}

bool sender_silent(const struct sender *s)
{
    return s->silent;
}

/* Doubling from the minimum, at most the maximum, between a half and all of it (xorshift64). */
static int64_t backoff(struct sender *s, unsigned tries)
{
    uint64_t ms = s->o.backoff_min_ms;
    while (tries-- > 0 && ms < s->o.backoff_max_ms)
        ms *= 2;
    if (ms > s->o.backoff_max_ms)
        ms = s->o.backoff_max_ms;
    s->rng ^= s->rng << 13;
    s->rng ^= s->rng >> 7;
    s->rng ^= s->rng << 17;
    return (int64_t)(ms / 2 + s->rng % (ms / 2 + 1));
}

static uint64_t grace_ms(const struct sender *s)
{
    uint64_t g = 2 * s->srtt_ms > GRACE_MIN_MS ? 2 * s->srtt_ms : GRACE_MIN_MS;
    return g < s->o.ack_timeout_ms ? g : s->o.ack_timeout_ms;
}

/* ---- uploads on their way ---- */

static void drop_flight(struct sender *s, size_t i)
{
    struct spool_seg *g = spool_find(s->o.spool, s->flights[i].segno);
    if (g && g->tx.inflight > 0)
        g->tx.inflight--;
    memmove(&s->flights[i], &s->flights[i + 1], (s->n - i - 1) * sizeof(s->flights[0]));
    s->n--;
}

static void go_back(struct sender *s, struct spool_seg *g)
{
    for (size_t i = s->n; i-- > 0;)
        if (s->flights[i].segno == g->segno)
            drop_flight(s, i);
    g->tx.sent = g->acked;
    g->tx.suspect_at = 0;
    s->counts.go_backs++;
}

static void go_back_all(struct sender *s)
{
    while (s->n > 0) {
        struct spool_seg *g = spool_find(s->o.spool, s->flights[0].segno);
        if (g)
            go_back(s, g);
        else
            drop_flight(s, 0);
    }
}

/* The next index to send; after a start, what earlier processes had acknowledged counts. */
static uint64_t position(const struct spool_seg *g)
{
    return spool_seg_skip(g, g->tx.sent > g->acked ? g->tx.sent : g->acked);
}

static bool has_work(const struct spool_seg *g)
{
    return !g->trimming && !g->tx.damage_told && position(g) < g->records;
}

/* One upload of g. 0 sent, SENDER_BUSY, SPOOL_DAMAGED (told), negative: not now. */
static int send_one(struct sender *s, struct spool_seg *g, size_t max_records, const struct sender_now *now,
                    struct sender_news *news)
{
    struct buf msg;
    size_t n = 0;
    g->tx.sent = position(g);
    buf_init(&msg, UPLOAD_MAX);
    bool resend = g->tx.sent < g->tx.high;
    int r = spool_upload(s->o.spool, g, g->tx.sent, max_records, resend ? UPLOAD_RESEND : 0, &msg, &n);
    if (r == SPOOL_DAMAGED) {
        if (!news->damage) {
            news->damage = true;
            news->damage_segno = g->segno;
            news->damage_index = g->tx.sent;
            memcpy(news->damage_segid, g->id, SEGID_LEN);
            g->tx.damage_told = true;
        }
    } else if (r == 0) {
        r = s->o.send(s->o.arg, &msg);
    }
    buf_done(&msg);
    if (r != 0)
        return r;
    s->flights[s->n++] = (struct flight){.segno = g->segno,
                                         .first = g->tx.sent,
                                         .end = g->tx.sent + n,
                                         .sent_ms = now->ms,
                                         .sent_mono = now->mono,
                                         .resend = resend};
    g->tx.inflight++;
    g->tx.sent += n;
    if (g->tx.sent > g->tx.high)
        g->tx.high = g->tx.sent;
    s->counts.uploads++;
    s->counts.records += n;
    s->counts.resent += resend ? n : 0;
    return 0;
}

/* ---- the step ---- */

static void enter_silence(struct sender *s, const struct sender_now *now)
{
    if (!s->silent)
        s->silent_tries = 0;
    s->silent = true;
    go_back_all(s);
    s->probe_at = now->ms + backoff(s, s->silent_tries++);
}

static void expire(struct sender *s, const struct sender_now *now)
{
    for (size_t i = 0; i < s->n;) {
        const struct flight *f = &s->flights[i];
        struct spool_seg *g = spool_find(s->o.spool, f->segno);
        bool overdue = now->ms - f->sent_ms >= (int64_t)s->o.ack_timeout_ms;
        bool suspect = g && g->tx.suspect_at != 0 && now->ms >= g->tx.suspect_at;
        if (!g) {
            drop_flight(s, i);
            continue;
        }
        /* A segment that was stuck before may be one that the cloud will never take: its silence says nothing about
         * the others. */
        if (overdue && s->last_ack_ms < f->sent_ms && (s->silent || g->tx.stuck == 0)) {
            g->tx.stuck++;
            enter_silence(s, now);
            return;
        }
        if (!overdue && !suspect) {
            i++;
            continue;
        }
        /* The first go-back after a suspicion is free: most likely one upload was lost on the way. */
        unsigned tries = g->tx.stuck++;
        g->tx.not_before = now->ms + (tries == 0 && suspect ? 0 : backoff(s, tries));
        go_back(s, g);
        i = 0;
    }
}

static struct spool_seg *probe_candidate(struct sender *s)
{
    struct spool_seg *first = NULL;
    for (size_t i = 0; i < spool_count(s->o.spool); i++) {
        struct spool_seg *g = spool_at(s->o.spool, i);
        if (!has_work(g))
            continue;
        if (g->segno > s->probe_segno)
            return g;
        if (!first)
            first = g;
    }
    return first;
}

static uint64_t until(int64_t at, const struct sender_now *now)
{
    return at <= now->ms ? 0 : (uint64_t)(at - now->ms);
}

static uint64_t probe(struct sender *s, const struct sender_now *now, struct sender_news *news)
{
    if (s->n > 0)
        return until(s->flights[0].sent_ms + (int64_t)s->o.ack_timeout_ms, now);
    if (now->ms < s->probe_at)
        return until(s->probe_at, now);
    struct spool_seg *g = probe_candidate(s);
    if (!g)
        return UINT64_MAX;
    s->probe_segno = g->segno;
    int r = send_one(s, g, SENDER_PROBE_RECORDS, now, news);
    return r == 0 ? s->o.ack_timeout_ms : BUSY_MS;
}

/* As much of g as `slots` allow. False: no more can be sent at all now. */
static bool send_segment(struct sender *s, struct spool_seg *g, unsigned slots, const struct sender_now *now,
                         struct sender_news *news, uint64_t *wake)
{
    if (!has_work(g))
        return true;
    if (now->ms < g->tx.not_before) {
        uint64_t ms = until(g->tx.not_before, now);
        *wake = ms < *wake ? ms : *wake;
        return true;
    }
    while (slots > 0 && has_work(g) && !(g->tx.stuck > 0 && g->tx.inflight > 0)) {
        int r = send_one(s, g, g->tx.stuck > 0 ? SENDER_PROBE_RECORDS : UPLOAD_RECORDS_MAX, now, news);
        if (r == SPOOL_DAMAGED)
            return true;
        if (r != 0) {
            *wake = BUSY_MS;
            return false;
        }
        slots--;
    }
    return true;
}

static unsigned backlog_flights(const struct sender *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += !s->live_open || s->flights[i].segno != s->live;
    return n;
}

uint64_t sender_step(struct sender *s, const struct sender_now *now, struct sender_news *news)
{
    if (!s->up || spool_broken(s->o.spool))
        return UINT64_MAX;
    expire(s, now);
    if (s->silent)
        return probe(s, now, news);
    uint64_t wake = UINT64_MAX;
    struct spool_seg *live = s->live_open ? spool_find(s->o.spool, s->live) : NULL;
    bool more = true;
    if (live)
        more = send_segment(s, live, SENDER_WINDOW - (unsigned)s->n, now, news, &wake);
    unsigned share = SENDER_WINDOW - SENDER_LIVE_SHARE;
    for (size_t i = 0; more && i < spool_count(s->o.spool); i++) {
        struct spool_seg *g = spool_at(s->o.spool, i);
        unsigned used = backlog_flights(s), slots = used < share ? share - used : 0;
        if (slots > SENDER_WINDOW - s->n)
            slots = SENDER_WINDOW - (unsigned)s->n;
        if (slots == 0)
            break;
        if (g != live)
            more = send_segment(s, g, slots, now, news, &wake);
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct flight *f = &s->flights[i];
        const struct spool_seg *g = spool_find(s->o.spool, f->segno);
        uint64_t ms = until(f->sent_ms + (int64_t)s->o.ack_timeout_ms, now);
        wake = ms < wake ? ms : wake;
        if (g && g->tx.suspect_at != 0) {
            ms = until(g->tx.suspect_at, now);
            wake = ms < wake ? ms : wake;
        }
    }
    return wake;
}

/* ---- acks ---- */

/* The newest upload that carried record next-1: the cloud spoke after it had that. A resent one says nothing, the ack
 * may be the first sending's (Karn's rule). */
static const struct flight *carrier(const struct sender *s, const struct spool_seg *g, uint64_t next)
{
    for (size_t i = s->n; i-- > 0;) {
        const struct flight *f = &s->flights[i];
        if (f->segno == g->segno && f->first < next && next <= f->end && !f->resend)
            return f;
    }
    return NULL;
}

static void on_moved(struct sender *s, struct spool_seg *g, const struct ack_item *item, uint64_t next,
                     const struct sender_now *now, struct sender_news *news)
{
    const struct flight *f = carrier(s, g, next);
    news->untimed = news->untimed || !f;
    if (f) {
        news->time = true;
        news->cloud_now = item->now;
        news->sent_mono = f->sent_mono;
        news->ack_mono = now->mono;
        uint64_t rtt = (uint64_t)(now->ms - f->sent_ms);
        s->srtt_ms = s->srtt_ms ? (7 * s->srtt_ms + rtt) / 8 : rtt;
    }
    spool_ack(s->o.spool, g, next, item->now);
    bool torn = false;
    for (size_t i = s->n; i-- > 0;) {
        if (s->flights[i].segno != g->segno)
            continue;
        if (s->flights[i].end <= next)
            drop_flight(s, i);
        else
            torn = torn || s->flights[i].first < next;
    }
    if (g->tx.sent < next)
        g->tx.sent = next;
    g->tx.stuck = 0;
    g->tx.not_before = 0;
    /* An upload of which only the beginning was committed: the rest has to come again. */
    g->tx.suspect_at = torn ? now->ms + (int64_t)grace_ms(s) : 0;
}

static void on_item(struct sender *s, const struct ack_item *item, const struct sender_now *now,
                    struct sender_news *news)
{
    struct spool_seg *g = spool_find_id(s->o.spool, item->segid);
    if (!g || g->trimming) {
        s->counts.acks_unknown++;
        return;
    }
    if (!MUTANT_ANY_ACK && ack_check(g->ack_key, item) != 0) {
        s->counts.acks_bad++;
        log_warn("ack.forged", "segno=%llu action=ignored", (unsigned long long)g->segno);
        return;
    }
    uint64_t epoch = spool_meta(s->o.spool)->epoch, next = item->next;
    if (item->epoch < epoch) {
        s->counts.acks_old_epoch++;
        return;
    }
    if (next > g->records) {
        /* A closed segment may be known to the cloud beyond what is here: this is a restored image, and all that is
         * here is there. Of the open one everything was committed here first. */
        if (!g->closed) {
            s->counts.acks_bad++;
            log_warn("ack.beyond", "segno=%llu action=ignored", (unsigned long long)g->segno);
            return;
        }
        next = g->records;
    }
    s->counts.acks++;
    if (item->epoch == epoch && next < g->acked)
        return; /* overtaken, or replayed: no sign of life either */
    s->last_ack_ms = now->ms;
    if (s->silent)
        s->silent = false;
    if (item->epoch > epoch) {
        if (epoch != 0)
            go_back_all(s);
        spool_take_epoch(s->o.spool, item->epoch);
        news->epoch = epoch != 0;
        news->epoch_now = item->epoch;
    }
    if (next > g->acked)
        on_moved(s, g, item, next, now, news);
    else if (g->tx.inflight > 0 && g->tx.suspect_at == 0)
        g->tx.suspect_at = now->ms + (int64_t)grace_ms(s);
}

void sender_ack(struct sender *s, struct bytes msg, const struct sender_now *now, struct sender_news *news)
{
    struct ack a;
    if (spool_broken(s->o.spool))
        return;
    if (ack_decode(msg, &a) != 0) {
        s->counts.acks_bad++;
        return;
    }
    for (size_t i = 0; i < a.n; i++)
        on_item(s, &a.items[i], now, news);
}

/* ---- what happens around ---- */

void sender_link(struct sender *s, bool up, const struct sender_now *now)
{
    s->up = up;
    go_back_all(s);
    s->silent = false;
    s->silent_tries = 0;
    for (size_t i = 0; up && i < spool_count(s->o.spool); i++) {
        struct spool_seg *g = spool_at(s->o.spool, i);
        g->tx.not_before = 0;
        g->tx.stuck = 0;
    }
}

void sender_live(struct sender *s, bool open, uint64_t segno)
{
    s->live_open = open;
    s->live = segno;
}

void sender_reset(struct sender *s)
{
    s->n = 0;
    s->silent = false;
}
