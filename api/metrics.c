/* The metrics; see metrics.h. Each family is written whole: HELP, TYPE, then its samples. */
#include "api/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/http.h"
#include "api/problem.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "cloud/audit_move.h"
#include "cloud/delivery.h"
#include "cloud/gateway.h"
#include "cloud/outbox_impl.h"
#include "cloud/password.h"

#define REFUSED "refused_"

struct metrics {
    struct cloud *cloud;
    struct ingest *ingest;
    struct sending *sending;
    struct api *api;
    struct http *http;
    int64_t started; /* us */
};

static const char *const ingest_help[INGEST_COUNTS] = {
    [INGEST_MESSAGES] = "Messages from the broker.",
    [INGEST_PUNCHES] = "Punches committed.",
    [INGEST_RECORDS] = "Records of every kind committed.",
    [INGEST_DUPLICATES] = "Records that were there already.",
    [INGEST_AHEAD] = "Uploads that began behind a gap.",
    [INGEST_FOLDED] = "Repeats folded into the punch they repeat.",
    [INGEST_PENDING] = "Punches that wait for their time.",
    [INGEST_SETTLED] = "Punches that waited and were filed.",
    [INGEST_ODDITIES] = "Records stored whole because they are invalid or of a later version.",
    [INGEST_ERASED] = "Punches of erased people that came late and were dropped.",
    [INGEST_FENCED] = "Uploads put off while an erasure of their customer is finished; they are sent again.",
    [INGEST_VOID] = "Records that their gateway reported as damaged.",
    [INGEST_FORKS] = "Segments that show that an old image of a gateway was restored.",
    [INGEST_STATUSES] = "Status messages of gateways.",
    [INGEST_COMMITS] = "Transactions committed.",
    [INGEST_COMMIT_FAILURES] = "Transactions that failed.",
    [INGEST_ACKS] = "Segments acknowledged.",
    [INGEST_DROPPED] = "Messages dropped because the queue was full; they are sent again.",
    [INGEST_CONNECTS] = "Connections made to the broker.",
};

#define LABEL(name, value) ((struct metrics_label[METRICS_LABELS]){{(name), (value)}})

static void one(struct buf *b, enum metrics_type type, const char *name, const char *help, uint64_t v)
{
    metrics_family(b, type, name, help);
    metrics_value(b, name, NULL, v);
}

static void write_ingest(struct buf *b, struct ingest *in)
{
    static const char *const refused = "punchcloud_ingest_refused_total";
    uint64_t n[INGEST_COUNTS] = {0};
    char name[64];
    if (in)
        ingest_counts(in, n);
    for (int i = 0; i < INGEST_COUNTS; i++) {
        if (ingest_count_refusal((enum ingest_count)i))
            continue;
        snprintf(name, sizeof name, "punchcloud_ingest_%s_total", ingest_count_name((enum ingest_count)i));
        one(b, METRICS_COUNTER, name, ingest_help[i], n[i]);
    }
    metrics_family(b, METRICS_COUNTER, refused, "Messages refused, by reason.");
    for (int i = 0; i < INGEST_COUNTS; i++) {
        const char *reason = ingest_count_name((enum ingest_count)i);
        if (!ingest_count_refusal((enum ingest_count)i))
            continue;
        reason += str_starts(reason, REFUSED) ? strlen(REFUSED) : 0;
        metrics_value(b, refused, LABEL("reason", reason), n[i]);
    }
}

static void write_took(struct buf *b, struct ingest *in)
{
    struct metrics_times t = {0};
    if (in)
        ingest_took(in, &t);
    metrics_family(b, METRICS_HISTOGRAM, "punchcloud_ingest_commit_seconds", "How long a commit of the store took.");
    metrics_histogram(b, "punchcloud_ingest_commit_seconds", &t);
}

static void write_requests(struct buf *b, const struct api *a)
{
    static const char *const name = "punchcloud_http_requests_total";
    static const char *const classes[] = {"2xx", "3xx", "4xx", "5xx"};
    const char *method, *pattern;
    metrics_family(b, METRICS_COUNTER, name, "Requests to the API, by route and class of status.");
    for (size_t i = 0; api_requests(a, i, 2, &method, &pattern), pattern; i++)
        for (unsigned c = 0; c < ARRAY_LEN(classes); c++)
            metrics_value(
                b, name,
                (struct metrics_label[METRICS_LABELS]){{"method", method}, {"route", pattern}, {"status", classes[c]}},
                api_requests(a, i, c + 2, &method, &pattern));
}

static uint64_t size_of(const struct cloud *c, const char *name)
{
    char path[4096];
    struct stat st;
    return cloud_path(c, name, path, sizeof path) == 0 && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void write_store(struct buf *b, struct cloud *c)
{
    struct cloud_rings k;
    cloud_rings(c, &k);
    metrics_family(b, METRICS_GAUGE, "punchcloud_store_bytes", "Size of the store's files.");
    metrics_value(b, "punchcloud_store_bytes", LABEL("file", "store"), size_of(c, "store.db"));
    metrics_value(b, "punchcloud_store_bytes", LABEL("file", "wal"), size_of(c, "store.db-wal"));
    one(b, METRICS_GAUGE, "punchcloud_store_damaged_rows", "Rows found since the start that do not open; 256 at most.",
        cloud_damaged(c));
    one(b, METRICS_GAUGE, "punchcloud_epoch", "The store's epoch; it rises with each restore.", cloud_epoch(c));
    one(b, METRICS_GAUGE, "punchcloud_keyrings", "Keyrings that are open: one a customer, and the vendor's own.",
        k.rings);
    one(b, METRICS_GAUGE, "punchcloud_keyring_keys", "Keys in all keyrings.", k.keys);
    one(b, METRICS_GAUGE, "punchcloud_keyring_generations",
        "Sum of the keyrings' generations; it rises with each erasure.", k.generations);
    one(b, METRICS_GAUGE, "punchcloud_escrow_ok",
        "1 when every escrow folder is there and has every key; looked at each minute.", k.escrow_bad == 0);
}

/* Where the store does not answer, the family is left out. */
static void write_gateways(struct buf *b, struct cloud *c)
{
    struct db *db = NULL;
    struct gateway_list l = {0};
    size_t online = 0, offline = 0, revoked = 0;
    int r = cloud_db_take(c, &db);
    if (r == 0)
        r = gateway_list(db, NULL, &l);
    cloud_db_give(c, db);
    for (size_t i = 0; i < l.n; i++) {
        if (l.items[i].revoked)
            revoked++;
        else if (l.items[i].has_status && l.items[i].online)
            online++;
        else
            offline++;
    }
    gateway_list_done(&l);
    one(b, METRICS_GAUGE, "punchcloud_store_up", "1 when the store answered this very question.", r == 0);
    if (r != 0)
        return;
    metrics_family(b, METRICS_GAUGE, "punchcloud_gateways", "Gateways, by what they said last.");
    metrics_value(b, "punchcloud_gateways", LABEL("state", "online"), online);
    metrics_value(b, "punchcloud_gateways", LABEL("state", "offline"), offline);
    metrics_value(b, "punchcloud_gateways", LABEL("state", "revoked"), revoked);
}

static void write_queued(struct buf *b, struct cloud *c)
{
    static const char *const name = "punchcloud_outbox_messages";
    struct db *db = NULL;
    uint64_t n[SENDING_KINDS][2] = {{0}};
    int r = cloud_db_take(c, &db);
    if (r == 0)
        r = outbox_counts(db, &n[SENDING_MAIL][0], &n[SENDING_MAIL][1]);
    if (r == 0)
        r = delivery_counts(db, &n[SENDING_WEBHOOK][0], &n[SENDING_WEBHOOK][1]);
    cloud_db_give(c, db);
    if (r != 0)
        return;
    metrics_family(b, METRICS_GAUGE, name, "Messages in the store that wait, and those that were given up.");
    for (int k = 0; k < SENDING_KINDS; k++)
        for (int failed = 0; failed < 2; failed++)
            metrics_value(b, name,
                          (struct metrics_label[METRICS_LABELS]){{"kind", sending_kind_name((enum sending_kind)k)},
                                                                 {"state", failed ? "failed" : "waiting"}},
                          n[k][failed]);
}

static void write_outbox(struct buf *b, const struct sending *s)
{
    static const struct {
        const char *name, *help;
    } families[SENDING_COUNTS] = {
        [SENDING_DELIVERED] = {"punchcloud_outbox_delivered_total", "Messages taken by their server or receiver."},
        [SENDING_TRIES_FAILED] = {"punchcloud_outbox_failed_tries_total", "Tries after which a message waits again."},
        [SENDING_GIVEN_UP] = {"punchcloud_outbox_given_up_total", "Messages that are not tried any more."},
    };
    for (int n = 0; n < SENDING_COUNTS; n++) {
        metrics_family(b, METRICS_COUNTER, families[n].name, families[n].help);
        for (int k = 0; k < SENDING_KINDS; k++)
            metrics_value(b, families[n].name, LABEL("kind", sending_kind_name((enum sending_kind)k)),
                          sending_count(s, (enum sending_kind)k, (enum sending_count)n));
    }
}

static void write_audit(struct buf *b, struct cloud *c)
{
    struct audit_counts n;
    audit_counts(c, &n);
    one(b, METRICS_COUNTER, "punchcloud_audit_noted_total", "Audit events written to the journal.", n.noted);
    one(b, METRICS_COUNTER, "punchcloud_audit_moved_total", "Those moved from the journal into the trails.", n.moved);
    one(b, METRICS_COUNTER, "punchcloud_audit_lost_total", "Those that did not open and are in no trail.", n.lost);
    one(b, METRICS_COUNTER, "punchcloud_audit_refusals_total", "Refused requests that the trails tell of, or count.",
        n.refused);
    one(b, METRICS_GAUGE, "punchcloud_audit_journal_bytes",
        "Size of the audit journal; at 64 MiB personal data is refused.", n.journal_bytes);
}

static void write_all(struct metrics *m, struct buf *b)
{
    metrics_family(b, METRICS_GAUGE, "punchcloud_build_info", "1, with the program's version.");
    metrics_value(b, "punchcloud_build_info", LABEL("version", PUNCH_VERSION), 1);
    metrics_family(b, METRICS_GAUGE, "process_start_time_seconds", "When this process started, in seconds since 1970.");
    metrics_seconds(b, "process_start_time_seconds", NULL, (uint64_t)m->started);
    one(b, METRICS_GAUGE, "punchcloud_broker_connected", "1 when connected to the broker.",
        m->ingest && ingest_connected(m->ingest));
    one(b, METRICS_GAUGE, "punchcloud_ingest_queue_messages", "Messages that wait for the store.",
        m->ingest ? ingest_queued(m->ingest) : 0);
    one(b, METRICS_GAUGE, "punchcloud_ingest_queue_limit", "Messages that may wait; more are dropped.",
        cloud_settings(m->cloud)->ingest.queue);
    write_ingest(b, m->ingest);
    write_took(b, m->ingest);
    write_requests(b, m->api);
    one(b, METRICS_COUNTER, "punchcloud_password_hashes_total", "Hashes of passwords computed (Argon2id).",
        password_runs());
    write_store(b, m->cloud);
    write_gateways(b, m->cloud);
    write_audit(b, m->cloud);
    write_outbox(b, m->sending);
    write_queued(b, m->cloud);
}

static int on_request(void *arg, const struct http_request *q, struct http_reply *ret)
{
    if (strcmp(q->path, "/metrics") != 0) {
        problem_reply(ret, PROBLEM_NOT_FOUND, "there is /metrics here and nothing else");
    } else if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0) {
        http_header(ret, "Allow", "GET, HEAD");
        problem_reply(ret, PROBLEM_METHOD, "metrics are read by GET");
    } else {
        ret->status = 200;
        ret->type = "text/plain; version=0.0.4; charset=utf-8";
        write_all(arg, &ret->body);
    }
    return 0;
}

int metrics_start(struct cloud *c, struct ingest *in, struct sending *out, struct api *a, struct metrics **ret_metrics)
{
    const struct settings *set = cloud_settings(c);
    *ret_metrics = NULL;
    if (!set->metrics.listen)
        return 0;
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    *m = (struct metrics){.cloud = c, .ingest = in, .sending = out, .api = a, .started = clock_real()};
    const struct http_options o = {
        .listen = set->metrics.listen,
        .threads = 1,
        .connections = 16,
        .request_ms = 10000,
        .idle_ms = 60000,
        .fn = on_request,
        .arg = m,
    };
    int r = http_start(&o, &m->http);
    if (r < 0) {
        free(m);
        return r;
    }
    log_note("metrics.ready", "listen=%s port=%u", set->metrics.listen, http_port(m->http));
    *ret_metrics = m;
    return 0;
}

void metrics_stop(struct metrics *m)
{
    if (!m)
        return;
    http_stop(m->http);
    free(m);
}
