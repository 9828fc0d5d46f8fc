#include "daemon/metrics.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "daemon/gateway.h"
#include "daemon/stamp.h"
#include "readers/lights.h"

/* ---- the gateway's own numbers ---- */

struct figures {
    uint64_t started_us, clock_state, clock_uncertainty_us;
    uint64_t punches, repeats, refused;
    uint64_t records, unacked, bytes, budget, oldest_us, full, recoveries;
    uint64_t uploads, sent, resent, go_backs, acks;
    uint64_t link_up, probing, connects, failures;
};

struct family {
    enum metrics_type type;
    bool us; /* a time: microseconds, shown as seconds */
    size_t off;
    const char *name, *help;
};

#define COUNT(f) METRICS_COUNTER, false, offsetof(struct figures, f)
#define GAUGE(f) METRICS_GAUGE, false, offsetof(struct figures, f)
#define TIME(f) METRICS_GAUGE, true, offsetof(struct figures, f)
static const struct family families[] = {
    {TIME(started_us), "process_start_time_seconds",
     "When this process started, in seconds since 1970, by the clock of now: it moves when the clock is set."},
    {GAUGE(clock_state), "punchgate_clock_state",
     "What the clock is worth: 0 never set, 1 from the battery-backed or saved clock, 2 synchronised, 3 was "
     "synchronised "
     "and runs free. Punches are put in time by the cloud all the same; at 0 or 1 for long, nobody tells this machine "
     "the "
     "time."},
    {TIME(clock_uncertainty_us), "punchgate_clock_uncertainty_seconds",
     "How far the clock may be off; +Inf when that is not known."},
    {COUNT(punches), "punchgate_punches_total",
     "Punches stored on this machine since the start, each synced to disk before anybody was told."},
    {COUNT(repeats), "punchgate_repeats_total",
     "Reads of a card that was the same presentation as the punch before it, and made none."},
    {COUNT(refused), "punchgate_refused_total",
     "Punches that could not be stored, and were not confirmed to whoever held the card. Any growth needs a look: the "
     "disk "
     "or the spool's budget is full, or the disk fails."},
    {GAUGE(records), "punchgate_spool_records",
     "Sealed records in the spool, those that the cloud has acknowledged and that are kept for a while among them."},
    {GAUGE(unacked), "punchgate_spool_unacked_records", "Records in the spool that the cloud has not acknowledged."},
    {GAUGE(bytes), "punchgate_spool_bytes", "What the spool takes of its budget."},
    {GAUGE(budget), "punchgate_spool_budget_bytes",
     "The most that the spool may take (spool.budget). Acknowledged records make room for new ones; when "
     "unacknowledged ones alone fill it, punches are refused."},
    {TIME(oldest_us), "punchgate_spool_oldest_unacked_seconds",
     "How long the oldest unacknowledged record waits for the cloud, at most; 0 when none does. The one number to be "
     "alarmed by: minutes mean that the broker, the network or the cloud is away."},
    {GAUGE(full), "punchgate_spool_full", "1 while punches are refused because the spool is full."},
    {COUNT(recoveries), "punchgate_spool_recoveries_total",
     "Commits that failed, after which the spool was opened again and read back. Any growth means trouble with the "
     "disk."},
    {COUNT(uploads), "punchgate_uploads_total", "Messages with records handed to the broker's connection."},
    {COUNT(sent), "punchgate_upload_records_total", "Records in those messages, sent again ones among them."},
    {COUNT(resent), "punchgate_upload_records_resent_total",
     "Records that were sent before and had to be sent again, because no acknowledgement came."},
    {COUNT(go_backs), "punchgate_upload_go_backs_total",
     "Times that a segment went back to what was acknowledged, because an acknowledgement was overdue or stood still."},
    {COUNT(acks), "punchgate_acks_total",
     "Acknowledgements by the cloud that were proven to be its own. One of a message may cover many records."},
    {GAUGE(link_up), "punchgate_uplink_up", "1 while there is a connection to the broker."},
    {GAUGE(probing), "punchgate_uplink_probing",
     "1 while there is a connection but nothing is acknowledged, so that only one upload at a time is tried: the cloud "
     "is away, or the broker does not pass anything on."},
    {COUNT(connects), "punchgate_uplink_connects_total", "Connections to the broker that came about."},
    {COUNT(failures), "punchgate_uplink_failures_total", "Attempts to connect to the broker that failed."},
};

/* From the spool's own marks; what an earlier process left waits for as long as this one runs, at least. */
static uint64_t oldest_wait(const struct gateway_view *v)
{
    uint64_t now = clock_mono(), oldest = 0;
    int64_t real = clock_real();
    for (size_t i = 0; i < spool_count(v->spool); i++) {
        const struct spool_seg *s = spool_at(v->spool, i);
        if (s->trimming || spool_seg_skip(s, s->acked) == s->records)
            continue;
        uint64_t wait = now - (s->wait.since != 0 ? s->wait.since : v->started_mono);
        /* Its own word for it only where its clock had been set. */
        if (s->wait.since == 0 && s->opened >= STAMP_YEAR_2020 && real - s->opened > (int64_t)wait)
            wait = (uint64_t)(real - s->opened);
        oldest = wait > oldest ? wait : oldest;
    }
    return oldest;
}

static void take_figures(const struct gateway_view *v, struct figures *ret)
{
    *ret = (struct figures){.clock_state = ck_state(v->ck),
                            .clock_uncertainty_us = ck_uncertainty(v->ck),
                            .punches = v->punches,
                            .repeats = v->duplicates,
                            .refused = v->refused,
                            .records = spool_records(v->spool),
                            .unacked = spool_unacked(v->spool),
                            .bytes = spool_bytes(v->spool),
                            .budget = spool_budget(v->spool),
                            .oldest_us = oldest_wait(v),
                            .full = v->spool_full,
                            .recoveries = v->recoveries,
                            .uploads = v->sender.uploads,
                            .sent = v->sender.records,
                            .resent = v->sender.resent,
                            .go_backs = v->sender.go_backs,
                            .acks = v->sender.acks,
                            .link_up = v->link_up,
                            .probing = v->probing,
                            .connects = v->uplink.connects,
                            .failures = v->uplink.failures};
    int64_t started = clock_real() - (int64_t)(clock_mono() - v->started_mono);
    ret->started_us = started > 0 ? (uint64_t)started : 0;
}

static void put_figures(const struct figures *f, struct buf *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct family *m = &families[i];
        const uint64_t *v = (const void *)((const char *)f + m->off);
        metrics_family(ret, m->type, m->name, m->help);
        (m->us ? metrics_seconds : metrics_value)(ret, m->name, NULL, *v);
    }
}

static void put_bad_acks(const struct sender_counts *c, struct buf *ret)
{
    static const char name[] = "punchgate_acks_ignored_total";
    const struct {
        const char *reason;
        uint64_t n;
    } all[] = {{"forged", c->acks_bad}, {"unknown_segment", c->acks_unknown}, {"old_epoch", c->acks_old_epoch}};
    metrics_family(
        ret, METRICS_COUNTER, name,
        "Acknowledgements that were ignored: forged or broken ones (somebody at the broker tries to make the "
        "gateway delete, any growth needs a look), of segments that are not here any more, and of a cloud "
        "from before a restore.");
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        metrics_value(ret, name, (struct metrics_label[METRICS_LABELS]){{"reason", all[i].reason}}, all[i].n);
}

/* ---- readers and lights ---- */

#define READER(f) offsetof(struct gateway_reader, f)
static const struct family reader_families[] = {
    {METRICS_COUNTER, false, READER(punches), "punchgate_reader_punches_total", "Punches stored from this reader."},
    {METRICS_COUNTER, false, READER(duplicates), "punchgate_reader_repeats_total",
     "Reads of this reader that were the same presentation as the punch before."},
    {METRICS_COUNTER, false, READER(refused), "punchgate_reader_refused_total",
     "Punches of this reader that could not be stored."},
    {METRICS_COUNTER, false, READER(reads), "punchgate_reader_reads_total",
     "Cards that this reader reported, repeats and refused ones among them."},
    {METRICS_COUNTER, false, READER(polls), "punchgate_reader_polls_total",
     "Questions put to this reader; 0 for one that speaks by itself."},
    {METRICS_COUNTER, false, READER(unusable), "punchgate_reader_unusable_total",
     "Cards read well whose number names no card, such as the random ids of telephones: no punch is made."},
    {METRICS_COUNTER, false, READER(bad), "punchgate_reader_bad_frames_total",
     "Frames dropped for a wrong check digit, garbage or a missing end. Growth means a bad line, a wrong speed or a "
     "damaged reader."},
    {METRICS_COUNTER, false, READER(exceptions), "punchgate_reader_exceptions_total",
     "Modbus exceptions that this reader answered: its profile or unit does not fit."},
    {METRICS_COUNTER, false, READER(timeouts), "punchgate_reader_timeouts_total",
     "Questions that this reader did not answer in time."},
    {METRICS_COUNTER, false, READER(late), "punchgate_reader_late_replies_total",
     "Answers that came after their time was over, and were dropped: `timeout` is too short for this reader."},
};

static void put_readers(struct gateway *g, struct buf *ret)
{
    struct gateway_reader r;
    size_t n = gateway_readers(g);
    if (n == 0)
        return;
    metrics_family(ret, METRICS_GAUGE, "punchgate_reader_up", "1 while this reader answers, or its line is open.");
    for (size_t i = 0; i < n; i++) {
        gateway_reader(g, i, &r);
        metrics_value(ret, "punchgate_reader_up", (struct metrics_label[METRICS_LABELS]){{"reader", r.name}}, r.up);
    }
    for (size_t k = 0; k < ARRAY_LEN(reader_families); k++) {
        const struct family *m = &reader_families[k];
        metrics_family(ret, m->type, m->name, m->help);
        for (size_t i = 0; i < n; i++) {
            gateway_reader(g, i, &r);
            const uint64_t *v = (const void *)((const char *)&r + m->off);
            metrics_value(ret, m->name, (struct metrics_label[METRICS_LABELS]){{"reader", r.name}}, *v);
        }
    }
}

static void put_lights(const struct lights *l, struct buf *ret)
{
    struct lights_view v;
    if (lights_count(l) == 0)
        return;
    metrics_family(ret, METRICS_GAUGE, "punchgate_light_up",
                   "1 while this light or buzzer of the machine itself works.");
    for (size_t i = 0; i < lights_count(l); i++) {
        lights_at(l, i, &v);
        metrics_value(ret, "punchgate_light_up",
                      (struct metrics_label[METRICS_LABELS]){{"light", v.place}, {"role", v.role}}, v.working);
    }
    metrics_family(ret, METRICS_COUNTER, "punchgate_light_failures_total",
                   "Times that this light could not be opened or set.");
    for (size_t i = 0; i < lights_count(l); i++) {
        lights_at(l, i, &v);
        metrics_value(ret, "punchgate_light_failures_total",
                      (struct metrics_label[METRICS_LABELS]){{"light", v.place}, {"role", v.role}}, v.failures);
    }
}

void metrics_page(struct gateway *g, struct buf *ret)
{
    struct gateway_view v;
    struct figures f;
    gateway_view(g, &v);
    take_figures(&v, &f);
    metrics_family(ret, METRICS_GAUGE, "punchgate_build_info", "Always 1; the label says which version runs.");
    metrics_value(ret, "punchgate_build_info", (struct metrics_label[METRICS_LABELS]){{"version", PUNCH_VERSION}}, 1);
    put_figures(&f, ret);
    put_bad_acks(&v.sender, ret);
    metrics_family(
        ret, METRICS_HISTOGRAM, "punchgate_commit_seconds",
        "How long a group of punches took from sealing to synced on disk; whoever holds a card waits for it. "
        "Groups that could not be stored are not counted.");
    metrics_histogram(ret, "punchgate_commit_seconds", v.commits);
    put_readers(g, ret);
    put_lights(v.lights, ret);
}
